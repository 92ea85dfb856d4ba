"""Python functions that answer requests, and subjects whose events have a declared type."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

import anyio
import anyio.lowlevel
import pytest

from desk.bus.bus import Bus
from desk.bus.envelope import MAX_HOPS, Origin
from desk.bus.errors import (
    ConflictingTypes,
    DeadlineExceeded,
    NoReceiver,
    Overloaded,
    ResponderFailed,
    TooManyHops,
    Unavailable,
    WouldDeadlock,
)
from desk.bus.mailbox import Mailbox
from desk.bus.responder import WAITING
from desk.bus.types import I32, STRING, InvalidValue, Signature, TypeSyntaxError
from desk.bus.types.functions import parse_signature
from desk.traces.recorder import record_in_memory

pytestmark = pytest.mark.anyio

PATIENCE = 10.0
"""Seconds after which a test that hangs fails."""


@dataclass
class Reading:
    city: str
    tmax: float


def add(a: Annotated[int, I32], b: int) -> int:
    return a + b


@pytest.fixture
def bus() -> Bus:
    return Bus()


# -- functions


async def test_a_function_answers(bus: Bus) -> None:
    """Plain or async; what it takes and gives is in its annotations, and checked on both ways."""

    async def shout(text: str) -> str:
        await anyio.lowlevel.checkpoint()
        return text.upper()

    with bus.respond("calc.add", add) as adding, bus.respond("text.shout", shout):
        assert await bus.request("calc.add", 1, 2) == 3
        assert await bus.request("text.shout", "hey") == "HEY"
        with pytest.raises(InvalidValue, match=r"calc\.add: a: expected i32"):
            await bus.request("calc.add", "1", 2)
        with pytest.raises(InvalidValue, match="expected 2 arguments"):
            await bus.request("calc.add", 1)
        assert adding.requested == 1
        assert repr(adding) == "<Responder calc.add(a: i32, b: i64) -> i64, 1 requested, 0 failed, 0 active>"


async def test_nobody_the_stopped_and_the_restarting_are_three_outcomes(bus: Bus) -> None:
    """`NoReceiver` and `Unavailable` at once; a request to one that restarts waits, and its replacement answers it."""
    with pytest.raises(NoReceiver):
        await bus.request("calc.add", 1, 2)
    with bus.respond("calc.add", add):
        pass
    with pytest.raises(Unavailable, match=r"calc\.add has been stopped"):
        await bus.request("calc.add", 1, 2)
    with bus.respond("calc.add", add):
        assert await bus.request("calc.add", 1, 2) == 3, "it is there again"

    box = Mailbox("actor")  # nobody takes from it: the actor is being restarted
    bus.serve("actor.greet", Signature((STRING,), None, STRING), box)

    async def replacement() -> None:
        await anyio.wait_all_tasks_blocked()
        envelope = await box.take()
        assert envelope is not None
        assert envelope.reply is not None
        envelope.reply.answer("hello")

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(replacement)
            assert await bus.request("actor.greet", "you") == "hello"
    with pytest.raises(DeadlineExceeded):
        await bus.request("actor.greet", "you", deadline=0.01)


async def test_its_errors_are_typed(bus: Bus) -> None:
    """A `DeskError` reaches the requester as it is, any other as `ResponderFailed` with its cause; so does a wrong result."""

    def refuse() -> None:
        raise Overloaded("come back tomorrow")

    def fail() -> None:
        raise LookupError("no such thing")

    def lie() -> int:
        return "text"  # type: ignore[return-value]

    for subject, function in (("a.refuse", refuse), ("a.fail", fail), ("a.lie", lie)):
        bus.respond(subject, function)
    with pytest.raises(Overloaded, match="tomorrow"):
        await bus.request("a.refuse")
    with pytest.raises(ResponderFailed, match=r"a\.fail failed: LookupError: no such thing") as failed:
        await bus.request("a.fail")
    assert isinstance(failed.value.__cause__, LookupError)
    with pytest.raises(ResponderFailed, match=r"a\.lie gave what it does not promise: result: expected i64"):
        await bus.request("a.lie")


async def test_objects_are_not_shared(bus: Bus) -> None:
    """What the function gets and gives are copies, as if an extension had been asked."""
    kept: list[list[object]] = []

    def keep(items: list[int]) -> list[int]:
        kept.append(items)  # type: ignore[arg-type]
        return items

    bus.respond("a.keep", keep)
    mine = [1, 2]
    answer = await bus.request("a.keep", mine)
    kept[0].append(3)
    assert (mine, answer) == ([1, 2], [1, 2])


async def test_objects_of_the_app(bus: Bus) -> None:
    """Annotated with classes, the function gets and gives their objects; the requester sees plain values."""

    def warmer(reading: Reading, by: float = 1.0) -> Reading:
        return Reading(reading.city, reading.tmax + by)

    bus.respond("weather.warmer", warmer)
    asked = {"city": "Bergen", "tmax": 11.5}
    assert await bus.request("weather.warmer", asked, 2) == {"city": "Bergen", "tmax": 13.5}


async def test_a_deadline_and_a_cancelled_requester_reach_the_function(bus: Bus) -> None:
    """It runs on the requester's task: when nobody waits any more it is cancelled, and its turn is free again."""
    ended: list[str] = []

    async def slow() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("cancelled")

    with anyio.fail_after(PATIENCE), bus.respond("a.slow", slow, at_once=1) as responder:
        with pytest.raises(DeadlineExceeded):
            await bus.request("a.slow", deadline=0.01)
        with anyio.move_on_after(0.01):
            await bus.request("a.slow", deadline=None)
        assert ended == ["cancelled"] * 2
        assert responder.active == 0


async def test_at_most_so_many_at_once(bus: Bus) -> None:
    """The others wait for their turn, in order; too many of them are `Overloaded`, at once."""
    active: list[int] = []
    peak: list[int] = []
    gate = anyio.Event()

    async def work(number: int) -> int:
        active.append(number)
        peak.append(len(active))
        await gate.wait()
        active.remove(number)
        return number

    answers: list[object] = []

    async def ask(number: int) -> None:
        answers.append(await bus.request("a.work", number))

    bus.respond("a.work", work, at_once=3)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            for number in range(3 + WAITING):
                tasks.start_soon(ask, number)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(Overloaded, match="1,024 requests waiting"):
                await bus.request("a.work", 0)
            gate.set()
    assert max(peak) == 3
    assert sorted(map(int, map(str, answers))) == list(range(3 + WAITING))


async def test_functions_that_ask_each_other_end(bus: Bus) -> None:
    """What a function sends belongs to the request it answers: a circle ends with `TooManyHops`."""
    depth: list[int] = []

    async def ping() -> None:
        depth.append(1)
        await bus.request("b.pong")

    async def pong() -> None:
        depth.append(1)
        await bus.request("a.ping")

    bus.respond("a.ping", ping)
    bus.respond("b.pong", pong)
    with pytest.raises(TooManyHops):
        await bus.request("a.ping")
    assert len(depth) == MAX_HOPS + 1


@pytest.mark.parametrize("at_once", [1, 2])
async def test_a_function_that_waits_for_itself_is_told(bus: Bus, at_once: int) -> None:
    """When all its turns are taken by its own requesters, `WouldDeadlock` comes at once; another's request only waits."""
    gate = anyio.Event()

    async def work(deep: bool) -> str:
        if not deep:
            await gate.wait()
            return "done"
        return str(await bus.request("a.other", deep, deadline=None))

    async def other(deep: bool) -> str:
        return str(await bus.request("a.work", deep, deadline=None))

    answers: list[object] = []

    async def ask() -> None:
        answers.append(await bus.request("a.work", False))

    bus.respond("a.work", work, at_once=at_once)
    bus.respond("a.other", other)
    with anyio.fail_after(PATIENCE):
        with pytest.raises(WouldDeadlock, match=r"a\.work asks itself"):
            await bus.request("a.work", True, deadline=None)
        async with anyio.create_task_group() as tasks:
            for _ in range(at_once + 1):
                tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            gate.set()
    assert answers == ["done"] * (at_once + 1)


async def test_the_inherited_deadline_counts(bus: Bus) -> None:
    """A function that asks on has no more time for that than its own requester gave it."""

    async def outer() -> str:
        try:
            await bus.request("b.inner", deadline=None)
        except DeadlineExceeded:
            return "in time"
        return "too late"

    async def inner() -> None:
        await anyio.sleep_forever()

    bus.respond("a.outer", outer)
    bus.respond("b.inner", inner)
    with anyio.fail_after(PATIENCE), pytest.raises(DeadlineExceeded):
        await bus.request("a.outer", deadline=0.05)


async def test_it_is_traced() -> None:
    """A request and its processing are spans, and what the function sends hangs below them."""
    tracing, recorder = record_in_memory()
    bus = Bus(tracing)

    async def relay(text: str) -> int:
        return await bus.publish("a.b", text)

    bus.respond("a.relay", relay)
    await bus.request("a.relay", "x")
    spans = {span.name: span for span in recorder.spans}
    request, publish, process = spans["request a.relay"], spans["publish a.b"], spans["process a.relay"]
    assert process.parent.span_id == request.context.span_id
    assert publish.parent.span_id == process.context.span_id


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: x, "x has no annotation"),
        (lambda *xs: xs, "cannot be given by a request"),
    ],
    ids=["bare", "star"],
)
def test_what_has_no_signature_is_refused(bus: Bus, function: Callable[..., Awaitable[object]], said: str) -> None:
    """With `TypeError` that names the parameter; a signature beside the function helps."""
    with pytest.raises(TypeError, match=said):
        bus.respond("a.b", function)
    assert bus.statistics().services == 0


def test_an_annotation_that_names_nothing_is_refused(bus: Bus) -> None:
    """With `TypeError`, as one that has no type, and with the function's name."""

    def lost(city: "Nowhere") -> None:  # noqa: F821 # pyright: ignore[reportUndefinedVariable, reportUnknownParameterType]
        del city  # pyright: ignore[reportUnknownVariableType]

    with pytest.raises(TypeError, match=r"lost: name 'Nowhere' is not defined; an annotation can name"):
        bus.respond("a.b", lost)  # pyright: ignore[reportUnknownArgumentType]


def test_one_subject_is_answered_once(bus: Bus) -> None:
    """A second one is refused with the name of the first."""
    bus.respond("calc.add", add)
    with pytest.raises(ValueError, match=r"calc\.add is answered by calc\.add already"):
        bus.respond("calc.add", add)


@pytest.mark.parametrize("deadline", [float("nan"), -1, "1", True])
async def test_a_deadline_that_is_none_is_refused(bus: Bus, deadline: float) -> None:
    """With `ValueError` that says what a deadline is; nobody is asked."""
    with bus.respond("calc.add", add) as adding, pytest.raises(ValueError, match="a deadline is a number of seconds"):
        await bus.request("calc.add", 1, 2, deadline=deadline)
    assert adding.requested == 0


# -- signatures as text


@pytest.mark.parametrize(
    "text",
    [
        "()",
        "(i32)",
        "(i32, i32) -> i32",
        "(city: string, tmax: f64) -> (text: string)",
        '(string("->")) -> bool',
        "() -> list(u8)",
    ],
)
def test_a_signature_reads_as_it_prints(text: str) -> None:
    """`parse_signature(str(signature))` is the signature."""
    signature = parse_signature(text)
    assert parse_signature(str(signature)) == signature


@pytest.mark.parametrize("text", ["", "i32", "(i32", "(i32) -> ", "(i32) -> (", "(int) -> i32", "Name(i32)", "[i32]"])
def test_what_is_no_signature_is_refused(text: str) -> None:
    """With `TypeSyntaxError`."""
    with pytest.raises(TypeSyntaxError):
        parse_signature(text)


# -- declared subjects


async def test_declared_events_are_checked(bus: Bus) -> None:
    """Whoever publishes: what is not of the type is refused before anyone sees it."""
    bus.declare("weather.changed", "(city: string, tmax: f64)")
    with bus.subscribe("weather.*") as events:
        with pytest.raises(InvalidValue, match=r"weather\.changed\.tmax: expected f64"):
            await bus.publish("weather.changed", {"city": "Bergen", "tmax": "warm"})
        assert await bus.publish("weather.changed", {"city": "Bergen", "tmax": 11}) == 1
        assert (await anext(events)).value == {"city": "Bergen", "tmax": 11.0}
    assert str(bus.declared("weather.changed")) == "(city: string, tmax: f64)"
    assert bus.declared("weather.other") is None
    assert list(bus.declarations()) == ["weather.changed"]


async def test_a_class_makes_objects_of_events(bus: Bus) -> None:
    """Registered for a subject, its objects can be published and are what subscribers get; plain values work as well."""
    bus.declare("weather.changed", Reading)
    with bus.subscribe("weather.*") as events:
        await bus.publish("weather.changed", Reading("Bergen", 11.5))
        await bus.publish("weather.changed", {"city": "Oslo", "tmax": 7})
        assert [(await anext(events)).value for _ in range(2)] == [Reading("Bergen", 11.5), Reading("Oslo", 7.0)]


async def test_an_event_of_the_wrong_type_is_a_dead_letter(bus: Bus) -> None:
    """Published before the type was declared: the subscriber does not see it, and goes on with the next."""
    with bus.subscribe("a.b") as events:
        await bus.publish("a.b", "text")
        bus.declare("a.b", "i32")
        await bus.publish("a.b", 2)
        assert (await anext(events)).value == 2
    (letter,) = bus.dead_letters
    assert "expected i32" in letter.reason


def test_conflicting_declarations_are_refused_with_both_names(bus: Bus) -> None:
    """Two that could not read each other's events cannot share a subject; the same type, or an equal one, may."""
    bus.declare("weather.changed", "(city: string)", by="station")
    bus.declare("weather.changed", "(city: string)", by="other-station")
    with pytest.raises(ConflictingTypes) as refused:
        bus.declare("weather.changed", "(city: string, tmax: f64)", by="newcomer")
    for part in ("station", "newcomer", "weather.changed", "tmax"):
        assert part in str(refused.value)
    bus.retract("station")
    bus.retract("other-station")
    bus.declare("weather.changed", "(city: string, tmax: f64)", by="newcomer")


def test_a_listener_that_cannot_read_is_refused_or_told(bus: Bus) -> None:
    """By its name of the subject it is refused, in either order; by a wildcard it gets a notice."""
    bus.declare("weather.changed", "i64", by="station")
    with pytest.raises(ConflictingTypes, match=r"station declares weather\.changed as i64, which widget cannot read"):
        bus.listens("weather.changed", I32, by="widget")
    (notice,) = bus.listens("weather.*", I32, by="widget")
    assert "listens to weather.*, but station declares weather.changed as i64" in notice
    assert bus.listens("news", STRING, by="reader") == ()
    with pytest.raises(ConflictingTypes, match="reader"):
        bus.declare("news", "i32", by="agency")
    bus.retract("reader")
    bus.declare("news", "i32", by="agency")


def test_who_is_alone_with_a_declaration_may_change_it(bus: Bus) -> None:
    """The last word counts; while others declare the subject, too, they must agree."""
    bus.declare("a.b", "i32")
    bus.declare("a.b", "string")
    assert bus.declared("a.b") == STRING
    bus.declare("a.b", "string", by="other")
    with pytest.raises(ConflictingTypes, match="other"):
        bus.declare("a.b", "i32")
    assert bus.declared("a.b") == STRING


def test_notices_are_few_however_much_is_declared(bus: Bus) -> None:
    """A pattern that matches many subjects is told of the first, and types too large to be compared in no time of none."""
    for number in range(20):
        bus.declare(f"small.n{number}", "i64", by="station")
        bus.declare(f"large.n{number}", f"tuple({', '.join(['i64'] * 4_000)})", by="station")
    assert len(bus.listens("small.*", I32, by="widget")) == 3
    assert bus.listens("large.*", I32, by="widget") == ()


async def test_a_value_without_a_form_is_refused_as_ever(bus: Bus) -> None:
    """`any` is a declaration, too: what has no form on the bus is not of that type, either."""
    bus.declare("a.b", "any")
    with pytest.raises(InvalidValue, match="a value of type object"):
        await bus.publish("a.b", object())
    assert await bus.publish("a.b", [1, {"x": None}], origin=Origin("echo")) == 0
