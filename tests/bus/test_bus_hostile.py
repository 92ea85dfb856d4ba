"""What people and programs do to a bus at the wrong moment: cancel, close, leave, come back, ask themselves, give nonsense.

After each, the bus is as if it had not happened: nobody waits for ever, nothing accepted is gone without a trace, and no
line, turn or count is left behind.
"""

import math
from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
import pytest

from desk.bus.bus import Bus
from desk.bus.dead_letters import DEAD_BYTES_KEPT, Cause, DeadLetters
from desk.bus.envelope import APP, Envelope, Priority, Reply
from desk.bus.errors import BusClosed, DeskError, ResponderFailed, Unavailable
from desk.bus.mailbox import CONTROL_CAPACITY, Mailbox
from desk.bus.pace import Pace
from desk.bus.subjects import SubjectError
from desk.bus.subscription import Event, Subscription
from desk.bus.types import I32, Signature

pytestmark = pytest.mark.anyio

PATIENCE = 10.0
"""Seconds after which a test that hangs fails."""


@pytest.fixture
def bus() -> Bus:
    return Bus()


async def waiting(subscription: Subscription) -> list[object]:
    """The values in a subscription's mailbox, taken out."""
    values: list[object] = []
    while subscription.mailbox.statistics().queued:
        values.append((await anext(subscription)).value)
    return values


def bury_request(bus: Bus, subject: str) -> None:
    """A request without arguments that failed when nobody waited for its answer any more."""
    reply = Reply()
    reply.abandon()
    bus.bury(Envelope(1, subject, (), APP, None, reply), subject, "failed")


class Unspeakable(Exception):
    """An error that fails when it is asked what it says."""

    def __str__(self) -> str:
        raise RuntimeError("no comment")


# -- cancelled at the wrong moment


async def test_a_publisher_cancelled_between_two_subscribers_leaves_no_line(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands in the line of one when it lets others have a turn before the next, and is cancelled there."""
    turns = 0

    async def breathe(pace: Pace) -> None:
        nonlocal turns
        turns += 1
        if turns == 2:
            await anyio.sleep_forever()

    with bus.subscribe("a", capacity=1) as full, bus.subscribe("a"):
        await bus.publish("a", 1)
        bus.pace.until = 0.0  # every slice is over at once
        monkeypatch.setattr(Pace, "breathe", breathe)
        with anyio.move_on_after(0.01):
            await bus.publish("a", 2)
        assert turns == 2
        assert full.mailbox.statistics().waiting == 0
        assert await waiting(full) == [1]


async def test_a_cancelled_publisher_is_counted_for_those_who_have_its_event(bus: Bus) -> None:
    """The counts of subject, subscriptions and bus agree."""
    with bus.subscribe("a", capacity=1), bus.subscribe("a"):
        await bus.publish("a", 1)
        with anyio.move_on_after(0.01):
            await bus.publish("a", 2)
        (subject,) = bus.subjects()
        assert (
            bus.statistics().delivered == subject.delivered == sum(each.delivered for each in bus.subscriptions()) == 3
        )


async def test_many_cancelled_publishers_leave_as_fast_as_few() -> None:
    """Each leaves the line without a search: twenty thousand, from its end, at once."""
    box = Mailbox("stuck", 1)
    event = Envelope(1, "a", b"\x01", APP, None)
    assert box.accept(event)
    line = [box.line_up(event) for _ in range(20_000)]
    for putting in reversed(
        line
    ):  # a search each would be 200 million steps: much longer than anybody waits for a test
        putting.leave()
    assert box.statistics().waiting == 0


async def test_a_cancelled_taker_does_not_keep_a_bus_from_resting(bus: Bus) -> None:
    """A subscriber that stopped waiting has nothing to do: `drain` does not wait for it."""
    with bus.subscribe("a") as events:
        await bus.publish("a", 1)
        await anext(events)
        with anyio.move_on_after(0.01):
            await anext(events)
        with anyio.fail_after(PATIENCE):
            report = await bus.drain(60.0)
        assert report.unfinished == ()


async def test_several_tasks_may_read_one_subscription(bus: Bus) -> None:
    """Each event goes to one of them, and all of them end when it is closed."""
    seen: list[object] = []

    async def read() -> None:
        async for event in events:
            seen.append(event.value)  # noqa: PERF401 - one by one, as they come

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            with bus.subscribe("a") as events:
                for _ in range(3):
                    tasks.start_soon(read)
                for number in range(6):
                    await bus.publish("a", number)
                    await anyio.wait_all_tasks_blocked()
    assert seen == list(range(6))


async def test_several_tasks_may_read_one_tap(bus: Bus) -> None:
    """All of them end when it is closed."""
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tap = bus.tap()

            async def read() -> None:
                async for _ in tap:
                    pass

            for _ in range(3):
                tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            await bus.publish("a", 1)
            await anyio.wait_all_tasks_blocked()
            tap.close()


# -- what is urgent


async def test_what_is_urgent_does_not_stand_behind_waiting_publishers(bus: Bus) -> None:
    """Data waits in line for a full mailbox; a `sys.` event goes past it."""
    with anyio.fail_after(PATIENCE), bus.subscribe("**", capacity=1) as events:
        await bus.publish("a", 1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bus.publish, "a", 2)
            await anyio.wait_all_tasks_blocked()
            assert await bus.publish("sys.stop", 3) == 1
            assert [(await anext(events)).value for _ in range(3)] == [3, 1, 2]


def test_a_flood_of_urgent_events_displaces_no_data() -> None:
    """`drop_oldest` makes room in the lane in which room is needed."""
    box = Mailbox("both", 10)
    for number in range(10):
        assert box.accept(Envelope(number, "a", b"", APP, None))
    for number in range(CONTROL_CAPACITY + 5):
        urgent = Envelope(100 + number, "sys.a", b"", APP, None, priority=Priority.CONTROL)
        assert box.accept(urgent) or box.displace(urgent) == (1, True)
    assert box.statistics().queued == CONTROL_CAPACITY + 10
    assert box.statistics().displaced == 5


async def test_a_priority_is_one_of_two(bus: Bus) -> None:
    """A plain number means the one it is equal to, so that every lane is bounded; any other is refused."""
    with bus.subscribe("a", capacity=1, overflow="drop_newest") as events:
        for number in range(3):
            await bus.publish("a", number, priority=1)  # type: ignore[arg-type]
        assert await waiting(events) == [0]
        with pytest.raises(ValueError, match="5 is not a valid Priority"):
            await bus.publish("a", 0, priority=5)  # type: ignore[arg-type]


# -- nonsense


@pytest.mark.parametrize("deadline", [math.nan, -1, "3", True, b"", [], -math.inf])
async def test_a_deadline_that_is_none_is_refused_before_anything_happens(bus: Bus, deadline: float) -> None:
    """Also where nobody would have had to wait: `publish` tells nobody, `drain` goes on taking messages."""
    with bus.subscribe("a") as events:
        with pytest.raises(ValueError, match="a deadline is a number of seconds"):
            await bus.publish("a", 1, deadline=deadline)
        with pytest.raises(ValueError, match="a deadline is a number of seconds"):
            await bus.drain(deadline)
        assert await bus.publish("a", 2) == 1
        assert await waiting(events) == [2]


@pytest.mark.parametrize("deadline", [math.inf, 1e300, 10**400])
async def test_a_deadline_may_be_as_far_as_one_likes(bus: Bus, deadline: float) -> None:
    """Infinite, or more than a clock can count."""

    async def answer() -> int:
        await anyio.lowlevel.checkpoint()
        return 42

    with anyio.fail_after(PATIENCE), bus.respond("a", answer), bus.subscribe("b", capacity=1) as events:
        assert await bus.request("a", deadline=deadline) == 42
        await bus.publish("b", 1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: bus.publish("b", 2, deadline=deadline))
            await anyio.wait_all_tasks_blocked()
            assert [(await anext(events)).value for _ in range(2)] == [1, 2]
    await bus.drain(deadline)


async def at_once(act: Callable[[], object]) -> None:
    """What is plain, as what is async."""
    act()


VERBS: dict[str, Callable[[Bus, str], Awaitable[object]]] = {
    "publish": lambda bus, subject: bus.publish(subject, 1),
    "request": lambda bus, subject: bus.request(subject),
    "subscribe": lambda bus, subject: at_once(lambda: bus.subscribe(subject)),
    "respond": lambda bus, subject: at_once(lambda: bus.respond(subject, print, "()")),
    "declare": lambda bus, subject: at_once(lambda: bus.declare(subject, "i32")),
    "forget": lambda bus, subject: at_once(lambda: bus.forget(subject)),
    "tap": lambda bus, subject: at_once(lambda: bus.tap(subject)),
}


@pytest.mark.parametrize("subject", [None, 1, [], {}, b"a", "A", "a\n", "a" * 256, "", "a..b", "a.*.**.b", "\ud800"])
@pytest.mark.parametrize("verb", VERBS)
async def test_what_is_no_subject_is_refused(bus: Bus, verb: str, subject: str) -> None:
    """With `SubjectError`, whatever it is, by every verb; and nothing is left of the attempt."""
    with pytest.raises(SubjectError):
        await VERBS[verb](bus, subject)
    assert (bus.statistics().subscriptions, bus.statistics().services, bus.subjects()) == (0, 0, ())


@pytest.mark.parametrize("number", [True, 1.5, "3", math.nan, math.inf, 0, -1, None])
def test_a_capacity_is_a_whole_number(bus: Bus, number: int) -> None:
    """Of a mailbox, a tap, a responder: anything else is refused with `ValueError`, and nothing is left of the attempt."""
    with pytest.raises(ValueError, match="a whole number of envelopes"):
        bus.subscribe("a", capacity=number)
    with pytest.raises(ValueError, match="a tap keeps 1 to"):
        bus.tap(capacity=number)
    with pytest.raises(ValueError, match="at least 1 request"):
        bus.respond("a", print, "()", at_once=number)
    assert (bus.statistics().subscriptions, bus.statistics().services) == (0, 0)


@pytest.mark.parametrize("group", [[], {}, 1, b"g", True])
async def test_a_group_is_a_name(bus: Bus, group: str) -> None:
    """One that is none would make every publisher fail; it is refused where it is made."""
    with pytest.raises(ValueError, match="a group is a name"):
        bus.subscribe("**", group=group)
    assert await bus.publish("a", 1) == 0


async def test_an_error_that_cannot_say_what_it_is_ends_nothing(bus: Bus) -> None:
    """A responder's is `ResponderFailed`, a subscriber's a dead letter; a tap sees both; the next message is handled."""

    def fail() -> None:
        raise Unspeakable

    handled: list[object] = []

    def handle(event: Event) -> None:
        handled.append(event.value)
        raise Unspeakable

    with bus.tap() as seen, bus.respond("a", fail), bus.subscribe("b") as events:
        with pytest.raises(ResponderFailed, match="Unspeakable, which fails to say why"):
            await bus.request("a")
        for number in range(2):
            await bus.publish("b", number)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(events.each, handle)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert handled == [0, 1]
        assert [letter.reason for letter in bus.dead_letters] == ["failed: Unspeakable, which fails to say why"] * 2
        assert sum("fails to say why" in str(sight) for sight in seen.sights()) == 3


async def test_a_result_that_cannot_be_read_is_the_responders_fault(bus: Bus) -> None:
    """Whatever its objects do when they are read, the requester gets a typed error."""

    class Trap(dict[str, int]):
        def __len__(self) -> int:
            raise LookupError("gone")

    def answer() -> object:
        return Trap(a=1)

    def endless() -> object:
        result: list[object] = []
        result.append(result)
        return result

    for subject, function in (("a", answer), ("b", endless)):
        bus.respond(subject, function, "() -> any")
        with pytest.raises(ResponderFailed):
            await bus.request(subject)


async def test_a_tap_makes_no_text_of_megabytes(bus: Bus) -> None:
    """What it says of an answer is short, however large that is."""

    def large() -> bytes:
        return bytes(8_000_000)

    def wide() -> object:
        return [{"k": "x" * 1_000}] * 1_000

    bus.respond("a.large", large)
    bus.respond("a.wide", wide, "() -> any")
    with bus.tap() as seen:
        await bus.request("a.large")
        await bus.request("a.wide")
        sights = seen.sights()
    assert sights[1].detail == "8,000,000 bytes"
    assert all(len(str(sight)) < 600 for sight in sights)


async def test_a_reader_of_a_tap_that_publishes_sees_itself_and_ends_when_told(bus: Bus) -> None:
    """It is endless, but others have their turns, what it keeps is bounded, and it can be cancelled."""
    published = 0
    with anyio.move_on_after(0.05) as scope, bus.tap(capacity=10) as seen:
        await bus.publish("a", 0)
        async for _ in seen:
            await bus.publish("a", published)
            published += 1
    assert scope.cancelled_caught
    assert published > 10


async def test_who_publishes_to_nobody_gives_others_their_turns(bus: Bus) -> None:
    """A loop that does nothing else can be cancelled."""
    with anyio.move_on_after(0.05) as scope:
        while True:
            await bus.publish("a", 1)
    assert scope.cancelled_caught


# -- those who come late, those who leave


async def test_retained_values_beyond_the_capacity_follow_the_policy(bus: Bus) -> None:
    """The latest stay if the oldest are to go; where somebody would have to wait, or refuses, they are dead letters."""
    for number in range(5):
        await bus.publish(f"a.n{number}", number, retain=True)
    expected = {
        "drop_oldest": ([3, 4], 3, 0),
        "drop_newest": ([0, 1], 3, 0),
        "refuse": ([0, 1], 0, 3),
        "wait": ([0, 1], 0, 3),
    }
    for overflow, (values, dropped, refused) in expected.items():
        with bus.subscribe("a.*", capacity=2, overflow=overflow) as late:
            assert await waiting(late) == values
            statistics = late.statistics()
            assert (statistics.dropped, statistics.refused) == (dropped, refused)
    assert [letter.cause for letter in bus.dead_letters] == [Cause.FULL] * 6


async def test_a_retained_value_comes_once(bus: Bus) -> None:
    """To a mailbox that listens by two patterns, and to a group."""
    await bus.publish("a.b", 1, retain=True)
    box = Mailbox("twice")
    for pattern in ("a.*", "a.b"):
        bus.subscribe(pattern, mailbox=box)
    assert box.queued == 1
    with bus.subscribe("a.*", group="g") as one, bus.subscribe("a.*", group="g") as two:
        assert (one.mailbox.queued, two.mailbox.queued) == (1, 0)


async def test_who_leaves_a_group_leaves_its_events_to_others(bus: Bus) -> None:
    """Those that wait for room go to another member; those it had taken are dead letters, and can be retried."""
    with anyio.fail_after(PATIENCE):
        one = bus.subscribe("jobs", group="workers", capacity=1)
        await bus.publish("jobs", 1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bus.publish, "jobs", 2)
            await anyio.wait_all_tasks_blocked()
            two = bus.subscribe("jobs", group="workers")
            with one:
                pass
            await anyio.wait_all_tasks_blocked()
            assert await waiting(two) == [2]
        (letter,) = bus.dead_letters
        assert letter.cause is Cause.STOPPED
        await bus.retry(letter)
        assert [each.queued for each in bus.subscriptions()] == [1]


async def test_a_member_that_was_stopped_is_not_chosen(bus: Bus) -> None:
    """Its mailbox is the emptiest of all, but closed."""
    gone = Mailbox("gone")
    bus.subscribe("jobs", group="workers", mailbox=gone)
    with bus.subscribe("jobs", group="workers") as there:
        gone.close()
        assert [await bus.publish("jobs", number) for number in range(4)] == [1] * 4
        assert await waiting(there) == list(range(4))
    assert await bus.publish("jobs", 4) == 0


async def test_a_shared_mailbox_stays_open_when_a_listener_leaves(bus: Bus) -> None:
    """Others have it, too: a request that waits in it is answered, and so is the next."""
    box = Mailbox("both")
    bus.serve("calc.add", Signature((I32,)), box)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            with bus.subscribe("a", mailbox=box):
                tasks.start_soon(bus.request, "calc.add", 1)
                await anyio.wait_all_tasks_blocked()
            tasks.start_soon(bus.request, "calc.add", 2)
            for _ in range(2):
                envelope = await box.take()
                assert envelope is not None
                assert envelope.reply is not None
                envelope.reply.answer(None)
    assert not bus.dead_letters


async def test_who_waits_for_a_responder_that_leaves_is_told(bus: Bus) -> None:
    """The request it works on is answered, the one that waits for its turn is not given to it any more."""
    gate, calls = anyio.Event(), list[int]()
    outcomes: list[object] = []

    async def work(number: int) -> int:
        calls.append(number)
        await gate.wait()
        return number

    async def ask(number: int) -> None:
        try:
            outcomes.append(await bus.request("a", number))
        except Unavailable as error:
            outcomes.append(type(error))

    responder = bus.respond("a", work, at_once=1)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            with responder:
                for number in range(3):
                    tasks.start_soon(ask, number)
                    await anyio.wait_all_tasks_blocked()
            gate.set()
    assert calls == [0]
    assert outcomes == [0, Unavailable, Unavailable]
    assert responder.active == 0


async def test_a_request_goes_to_who_answers_when_it_is_sent(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not to one that was withdrawn while the requester let others have a turn."""

    def old() -> str:
        return "old"

    def new() -> str:
        return "new"

    responder = bus.respond("a", old)

    async def breathe(pace: Pace) -> None:
        responder.withdraw()
        bus.respond("a", new)

    bus.pace.until = 0.0
    monkeypatch.setattr(Pace, "breathe", breathe)
    assert await bus.request("a") == "new"


# -- inside of itself


async def test_a_responder_may_do_everything_to_its_own_bus(bus: Bus) -> None:
    """Publish to a subscription of its own and close that, withdraw itself, and drain the bus: it is answered all the same."""

    async def everything() -> str:
        with bus.subscribe("a") as mine:
            await bus.publish("a", 1)
            assert (await anext(mine)).value == 1
        responder.withdraw()
        await bus.drain(0.01)
        with pytest.raises(BusClosed):
            await bus.publish("a", 2)
        return "done"

    responder = bus.respond("a.everything", everything)
    assert await bus.request("a.everything", deadline=PATIENCE) == "done"
    assert responder.active == 0
    assert bus.statistics().services == 0


async def test_a_bus_that_is_closed_stays_closed(bus: Bus) -> None:
    """A second `drain` opens nothing, and neither does one in a process that the bus does not belong to."""
    called: list[int] = []
    bus.respond("a", lambda: called.append(1), "()")
    bury_request(bus, "a")
    await bus.drain()
    await bus.drain()
    for act in (lambda: bus.publish("a", 1), lambda: bus.request("a"), lambda: bus.retry(bus.dead_letters[0])):
        with pytest.raises(BusClosed, match="is shut down"):
            await act()
    assert not called
    assert len(bus.dead_letters) == 1

    forked = Bus()
    forked._forbid("belongs to another process")  # pyright: ignore[reportPrivateUsage]
    await forked.drain()
    with pytest.raises(BusClosed, match="belongs to another process"):
        await forked.publish("a", 1)


async def test_retrying_without_end_gives_others_their_turns(bus: Bus) -> None:
    """A letter that dies again each time, retried at once: the loop has turns, and one can stop it."""
    attempts = 0

    def fail() -> None:
        nonlocal attempts
        attempts += 1
        raise LookupError("never")

    bus.respond("a", fail)
    bury_request(bus, "a")
    with anyio.move_on_after(0.05) as scope:
        while bus.dead_letters:
            with pytest.raises(DeskError):
                await bus.retry(bus.dead_letters[0])
    assert scope.cancelled_caught
    assert attempts > 1
    assert len(bus.dead_letters) == 1


def test_one_huge_letter_is_kept() -> None:
    """The latest is always kept; bounded is what stands beside it."""
    letters = DeadLetters()
    huge = Envelope(1, "a", (bytes(DEAD_BYTES_KEPT), b"more"), APP, None)
    letters.add(Envelope(2, "a", b"", APP, None), "b", Cause.FAILED, "small")
    letters.add(huge, "b", Cause.FAILED, "huge")
    assert [letter.reason for letter in letters] == ["huge"]
    letters.add(Envelope(3, "a", b"", APP, None), "b", Cause.FAILED, "small")
    assert [letter.reason for letter in letters] == ["small"]
