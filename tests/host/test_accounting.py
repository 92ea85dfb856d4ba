"""Nothing that was accepted is lost: `accepted = handled + buried + pending`, whatever happens, and always.

Generated scripts of calls, bursts of events, callers that leave, crashes, endless loops, removals and loads, and at the end
a host that closes with work in flight. *Accepted* is what a mailbox took. *Handled* is a turn that ended well, whether or
not its caller still waited. *Buried* is everything else that is over: a turn that failed, a message that nobody waited for
any more, or that was there when the actor ended. A buried request is told to its caller if that one waits, and is a dead
letter otherwise, as a buried event always is.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import anyio
import anyio.lowlevel
import pytest
from extensions import relay
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger import FIRST, JOURNALIST, Books, Ledger, journal, keeping_books

from desk.actors.errors import BadReply, GuestFailed, Killed, Trapped
from desk.actors.limits import Limits
from desk.bus.bus import Bus
from desk.bus.errors import DeadlineExceeded, DeskError, NoReceiver, Unavailable
from desk.bus.mailbox import Mailbox
from desk.bus.types import Signature
from desk.host import Host
from desk.host.errors import HostNotOpen, NotLoaded
from desk.traces.recorder import record_in_memory
from desk.traces.tracing import Tracing

pytestmark = pytest.mark.anyio

PATIENCE = 20.0
"""Seconds until a script that hangs fails."""

OWN = {"fail": GuestFailed, "trap": Trapped, "silent": BadReply, "spin": Killed, "long": Killed, "journey": Killed}
"""How a call of each kind ends if it does not end well; what is not here ends well."""

WELL = ("plain", "ask", "tell", "long", "journey")
"""Those that may end well: `long` and `journey` do on a machine that is fast enough for their limit."""

NAME = "journalist"

LISTENER = relay("listener", more='subscribes: {"news": "on_event"}')
"""Hears what the journalist tells, in its own time."""

kinds = st.sampled_from(("plain", "plain", "ask", "tell", "long", "journey", "fail", "trap", "silent", "spin"))
events = st.sampled_from(("plain", "plain", "ask", "trap", "fail", "silent"))
crowds = st.lists(kinds, min_size=2, max_size=8).map(tuple)
turns = st.integers(0, 40)

steps = st.one_of(
    st.tuples(st.just("call"), kinds),
    st.tuples(st.just("together"), crowds),
    st.tuples(st.just("leave"), crowds, turns),
    st.tuples(st.just("late"), kinds, st.sampled_from((0.0, 0.0005, 0.003))),
    st.tuples(st.just("burst"), events, st.integers(1, 12)),
    st.tuples(st.just("storm"), crowds, events, st.integers(1, 12)),
    st.tuples(st.just("remove"), crowds, events, turns),
)
ends = st.tuples(st.sampled_from(("orderly", "error", "cancelled")), st.just(()) | crowds, events, turns)


class Script:
    """One host, played a script; it knows the fate of every message as those outside see it."""

    def __init__(self, host: Host, books: Books, ledger: Ledger) -> None:
        self.host = host
        self.books = books
        self.ledger = ledger
        self.numbers = iter(range(FIRST, 60_000))
        self.called: dict[int, str] = {}
        """The kind of every call that was begun."""
        self.outcomes: dict[int, object] = {}
        """How it ended: the result, the type of the error, or `cancelled`."""
        self.published: dict[int, int] = {}
        """How many took the event, of every publication that was not cancelled."""
        self.news: list[int] = []

    # -- what the app does

    async def load(self) -> None:
        """Load the extension, again if it was removed."""
        await self.host.load(JOURNALIST, grants="requested")
        self.books.note(self.host, NAME, "journal")

    async def call(self, kind: str, deadline: float | None = None) -> None:
        """One call to its end."""
        number = next(self.numbers)
        self.called[number] = kind
        self.outcomes[number] = "cancelled"
        try:
            self.outcomes[number] = await self.host.call(NAME, kind, number, deadline=deadline)
        except Exception as error:
            self.outcomes[number] = type(error)

    async def publish(self, kind: str) -> None:
        """One event, to the extension if it is there."""
        number = next(self.numbers)
        try:
            self.published[number] = await self.host.publish(f"work.{kind}", number)
        except HostNotOpen:
            self.published[number] = 0

    async def burst(self, kind: str, count: int) -> None:
        """As many events, one after the other."""
        for _ in range(count):
            await self.publish(kind)

    async def crowd(self, kinds: Sequence[str]) -> None:
        """A caller for each kind, all at one time."""
        async with anyio.create_task_group() as tasks:
            for kind in kinds:
                tasks.start_soon(self.call, kind)

    async def step(self, kind: str, *what: object) -> None:
        """One step of a script, to its end."""
        match kind, *what:
            case "call", str(export):
                await self.call(export)
            case "together", tuple(crowd):
                await self.crowd(crowd)
            case "leave", tuple(crowd), int(after):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self.crowd, crowd)
                    await spend(after)
                    tasks.cancel_scope.cancel()
            case "late", str(export), float(deadline):
                await self.call(export, deadline)
            case "burst", str(export), int(count):
                await self.burst(export, count)
            case "storm", tuple(crowd), str(export), int(count):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self.crowd, crowd)
                    tasks.start_soon(self.burst, export, count)
            case "remove", tuple(crowd), str(export), int(after):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self.crowd, crowd)
                    tasks.start_soon(self.burst, export, 6)
                    await spend(after)
                    await self.host.remove(NAME)
                await self.load()
            case _:
                raise AssertionError(kind, what)

    # -- what holds

    def check(self) -> None:
        """Hold the books against each other; nothing is in progress."""
        books, bus = self.books, self.host.bus
        books.check_cells()
        assert books.pending == 0, self.story()
        assert books.accepted == books.handled + len(books.burials), self.story()
        assert books.failed + books.dropped == len(books.burials), self.story()
        told = Counter(burial.told for burial in books.burials)
        statistics = bus.statistics()
        unheard = [letter for letter in bus.dead_letters if letter.envelope.reply and letter.envelope.reply.error]
        assert statistics.delivered == books.accepted, self.story()
        assert statistics.dead == len(bus.dead_letters) == told[False] + len(unheard), self.story()
        assert all(burial.request for burial in books.burials if burial.told)
        for letter in bus.dead_letters:
            reply = letter.envelope.reply
            assert reply is None or (reply.settled, reply.value) == (True, None), letter
        for letter in unheard:  # its caller was told, and left at the same moment
            assert isinstance(letter.envelope.payload, tuple)
            assert self.outcomes[cast(int, letter.envelope.payload[0])] in ("cancelled", DeadlineExceeded), letter
        for number, receivers in self.published.items():
            assert len(books.buried(number, NAME)) <= receivers <= 1
        for number, kind in self.called.items():
            self.check_call(number, kind, self.outcomes[number], [burial.told for burial in books.buried(number, NAME)])
        assert max(Counter(self.ledger.asked).values(), default=0) <= 2  # a journey asks twice, all others once

    def check_call(self, number: int, kind: str, outcome: object, told: list[bool]) -> None:
        """A call ended once, as such a call may end, and was told of a burial exactly if there was one."""
        why = f"{number} {kind}: {outcome}, buried {told}\n{self.story()}"
        assert len(told) <= 1, why
        if outcome == number:
            assert kind in WELL, why
            assert told == [], why
        elif outcome in (GuestFailed, Trapped, BadReply, Killed):
            assert outcome is OWN.get(kind), why
            assert told == [True], why
        elif outcome is Unavailable:  # before it was accepted, or after
            assert told in ([], [True]), why
        elif outcome in (NotLoaded, HostNotOpen, NoReceiver):
            assert told == [], why
        else:  # handled, buried, or never accepted: its caller does not learn it; more about it below
            assert outcome in ("cancelled", DeadlineExceeded), why

    def story(self) -> str:
        """All that happened, for a failing assertion."""
        books = self.books
        return (
            f"accepted {books.accepted}, handled {books.handled}, failed {books.failed}, pending {books.pending}\n"
            f"{self.host.bus.statistics()}\ncalls {[(n, k, self.outcomes[n]) for n, k in self.called.items()]}\n"
            f"events {self.published}\n{books.burials}\n{list(self.host.bus.dead_letters)}"
        )


async def spend(turns: int) -> None:
    """Some turns of the event loop."""
    for _ in range(turns):
        await anyio.lowlevel.checkpoint()


async def play(
    cache: Path, script: Sequence[tuple[str, object]], end: tuple[str, Sequence[str], str, int], *, traced: bool
) -> None:
    """Play it, checking after each step and when the host is closed."""
    how, crowd, export, after = end
    ledger = Ledger()
    tracing = record_in_memory()[0] if traced else Tracing.off()
    limits = Limits(cpu_ms=6, mailbox=4)
    with anyio.fail_after(PATIENCE), keeping_books() as books:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as outside:
                try:
                    async with Host(cache_dir=cache, tracing=tracing, limits=limits, providers=[ledger]) as host:
                        game = Script(host, books, ledger)
                        await host.load(LISTENER, grants="requested")
                        books.note(host, "listener", "handled")
                        await game.load()
                        for step in script:
                            await game.step(*step)
                            await journal(host)
                            await host.call("listener", "handled")
                            game.check()
                        outside.start_soon(game.crowd, crowd)
                        if crowd:
                            outside.start_soon(game.burst, export, 6)
                        await spend(after)
                        if how == "error":
                            raise LookupError
                        if how == "cancelled":
                            scope.cancel()
                            await anyio.lowlevel.checkpoint()
                except LookupError:
                    pass
        game.check()  # pyright: ignore[reportPossiblyUnboundVariable] - else there was an error already


@given(script=st.lists(steps, max_size=6), end=ends, traced=st.booleans())
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_every_accepted_message_is_accounted_for_once(
    script: list[tuple[str, object]],
    end: tuple[str, Sequence[str], str, int],
    traced: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """After each step and after the host: accepted are those handled and those buried, and every call has ended once."""
    await play(tmp_path_factory.getbasetemp() / "accounting", script, end, traced=traced)


# -- the moment in which a caller leaves


async def leaving(bus: Bus, scope: anyio.CancelScope, errors: list[Exception], act: str) -> None:
    """One who asks, or publishes, until its scope is cancelled."""
    with scope:
        try:
            await (bus.request("ext.a.f") if act == "request" else bus.publish("news", 1))
        except DeskError as error:
            errors.append(error)


@pytest.mark.parametrize("order", ["cancelled first", "cancelled last"])
async def test_a_failure_that_its_caller_did_not_hear_is_a_dead_letter(order: str) -> None:
    """The caller leaves in the same turn of the loop in which its message fails: it is told, or the letter is kept."""
    bus, mailbox, scope, errors = Bus(), Mailbox("a"), anyio.CancelScope(), list[Exception]()
    bus.serve("ext.a.f", Signature(()), mailbox)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(leaving, bus, scope, errors, "request")
        envelope = await mailbox.take()
        assert envelope is not None
        await spend(3)  # until the caller waits
        steps = [scope.cancel, lambda: bus.bury(envelope, "a", "failed", Unavailable("failed"))]
        for step in steps if order == "cancelled first" else reversed(steps):
            step()
    assert len(errors) + len(bus.dead_letters) == 1


@pytest.mark.parametrize("act", ["request", "publish"])
@pytest.mark.parametrize("order", ["cancelled first", "cancelled last"])
async def test_a_message_is_delivered_if_it_was_accepted(act: str, order: str) -> None:
    """The sender leaves in the same turn in which a full mailbox takes its message: the bus counts it if the box does."""
    bus, mailbox, scope = Bus(), Mailbox("a", 1), anyio.CancelScope()
    bus.serve("ext.a.f", Signature(()), mailbox)
    bus.subscribe("news", mailbox=mailbox)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(leaving, bus, anyio.CancelScope(), [], "publish")
        await spend(3)  # until the box is full
        tasks.start_soon(leaving, bus, scope, [], act)
        await spend(3)  # until the sender waits for room
        assert mailbox.statistics().waiting == 1
        if order == "cancelled first":
            scope.cancel()
        await mailbox.take()
        scope.cancel()
    assert bus.statistics().delivered == mailbox.statistics().accepted
