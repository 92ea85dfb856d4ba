"""A caller may leave at every possible moment, and takes nothing with it but its own answer.

The same call, which publishes, asks a capability, computes for several slices, asks and publishes again, is cancelled after
0, 1, 2, … turns of the event loop, until it is over before it is cancelled: every turn at first, then in steps that grow
with the number, as a guest that goes on in a thread leaves the loop many turns. After each, the actor is as if nobody had
left: what it accepted it has done, in order, once, on the same instance; it answers the next caller, and no task is left.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from extensions import ECHO, relay
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger import FIRST, JOURNALIST, Books, Ledger, journal, keeping_books

from desk.actors.limits import Limits
from desk.bus import codec
from desk.bus.errors import BusError, DeadlineExceeded
from desk.capabilities.provider import Use
from desk.host import Host
from desk.host.errors import AlreadyLoaded
from desk.traces.recorder import record_in_memory
from desk.traces.tracing import Tracing

pytestmark = pytest.mark.anyio

PATIENCE = 60.0
"""Seconds until a test that hangs fails."""

DENSE = 48
"""So many moments are tried one after the other; beyond it, each is a sixteenth later than the one before."""

MANY = 100_000
"""Turns of the loop after which a call that is still not over counts as hanging."""

ROOMY = Limits(wall_ms=60_000, cpu_ms=60_000)
"""Nothing here is to end by a limit, on however slow a machine."""


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One compile cache for all tests here."""
    return tmp_path_factory.mktemp("modules")


@asynccontextmanager
async def hosting(cache: Path, ledger: Ledger | None = None, *, traced: bool = False) -> AsyncIterator[Host]:
    """A host with the ledger, within the time that a test may take."""
    tracing = record_in_memory()[0] if traced else Tracing.off()
    with anyio.fail_after(PATIENCE):
        async with Host(cache_dir=cache, tracing=tracing, limits=ROOMY, providers=[ledger or Ledger()]) as host:
            yield host


def moments() -> Iterator[int]:
    """Turns of the loop until the caller leaves, rising."""
    moment = 0
    while moment < MANY:
        yield moment
        moment += 1 if moment < DENSE else moment // 16
    pytest.fail(f"not over after {MANY:,} turns of the loop")


async def cancelled_after(turns: int, act: Callable[[], Awaitable[object]]) -> bool:
    """Do it, and cancel it after so many turns; whether it was cancelled before it was over."""
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:

            async def leave() -> None:
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                scope.cancel()

            tasks.start_soon(leave)
            await act()
            tasks.cancel_scope.cancel()
            return False
    return True


def tasks_there() -> int:
    """How many tasks the event loop has."""
    return len(anyio.get_running_tasks())


@pytest.mark.parametrize("traced", [False, True])
async def test_a_call_cancelled_at_every_moment(cache: Path, traced: bool) -> None:
    """The guest does all that it was asked, once, in order, on one instance, and the books balance after each."""
    ledger, told = Ledger(), list[object]()
    with keeping_books() as books:
        async with hosting(cache, ledger, traced=traced) as host, anyio.create_task_group() as tasks:
            news = host.subscribe("news", capacity=1)

            async def listen() -> None:
                async for event in news:
                    told.append(event.value)

            tasks.start_soon(listen)
            await host.load(JOURNALIST, grants="requested")
            books.note(host, "journalist", "journal")
            before, left, over = tasks_there(), 0, 0
            for number, moment in enumerate(moments(), FIRST):
                cancelled = await cancelled_after(moment, lambda n=number: host.call("journalist", "journey", n))
                left, over = left + cancelled, 0 if cancelled else over + 1
                done = await undisturbed(host, books)
                in_order(done, number, books)
                if over == 3:
                    break
            twice = [number for number in done for _ in range(2)]
            assert ledger.asked == twice
            assert left > 3
            with anyio.fail_after(10):
                while len(told) < len(twice):
                    await anyio.lowlevel.checkpoint()
            assert told == twice
            assert tasks_there() == before
            news.cancel()
            tasks.cancel_scope.cancel()


async def undisturbed(host: Host, books: Books) -> list[int]:
    """Hold that the actor is well and the books balance; the journal."""
    done = await journal(host)
    (extension,) = host.extensions()
    assert extension.statistics.instances == 1
    assert extension.statistics.failed == 0
    assert extension.statistics.queued == 0
    assert books.accepted == books.handled + len(books.burials)
    assert not [burial for burial in books.burials if burial.number in done]
    return done


def in_order(done: list[int], last: int, books: Books) -> None:
    """Hold that of all numbers up to `last` each was done once, in order, or buried; the first may have left unasked."""
    assert done == sorted(set(done))
    lost = set(range(FIRST, last + 1)) - set(done) - {burial.number for burial in books.burials}
    assert lost <= {FIRST}, lost


async def test_who_waits_in_the_queue_may_leave_at_every_moment(cache: Path) -> None:
    """Of callers one behind the other, and events between them, one leaves: the others are served, in their order."""
    numbers = iter(range(FIRST, 60_000))
    with keeping_books() as books:
        async with hosting(cache) as host:
            await host.load(JOURNALIST, grants="requested")
            books.note(host, "journalist", "journal")
            before = tasks_there()
            for moment in moments():
                seen = len(await undisturbed(host, books))
                first, leaver, event, last = (next(numbers) for _ in range(4))
                answers: list[object] = []
                cancelled = False

                async def call(number: int, answers: list[object] = answers) -> None:
                    answers.append(await host.call("journalist", "journey", number))

                async def leave(number: int, moment: int = moment) -> None:
                    nonlocal cancelled
                    cancelled = await cancelled_after(moment, lambda: host.call("journalist", "plain", number))

                async with anyio.create_task_group() as tasks:
                    # The first begins at once and is not over in its first slice: all others come behind it.
                    tasks.start_soon(call, first)
                    await anyio.lowlevel.checkpoint()
                    tasks.start_soon(leave, leaver)
                    await anyio.lowlevel.checkpoint()
                    await host.publish("work.plain", event)
                    await call(last)
                assert answers == [first, last]
                new = (await undisturbed(host, books))[seen:]
                assert new in ([first, leaver, event, last], [first, event, last])
                assert cancelled or leaver in new
                assert tasks_there() == before
                if not cancelled:
                    break


async def test_a_publisher_may_leave_at_every_moment(cache: Path) -> None:
    """An event is taken or not: none is doubled, none overtakes another, and a full mailbox is no place to be stuck in."""
    slow = relay("slow", more='subscribes: {"work.*": "on_event"}, limits: {mailbox: 1}')
    with keeping_books() as books:
        async with hosting(cache) as host:
            await host.load(JOURNALIST, grants="requested")
            await host.load(slow, grants="requested")
            books.note(host, "journalist", "journal")
            books.note(host, "slow", "handled")
            numbers = iter(range(FIRST, 60_000))
            before, published = tasks_there(), list[int]()

            async def publish() -> None:
                for kind in ("plain", "journey", "plain", "plain"):
                    published.append(next(numbers))
                    await host.publish(f"work.{kind}", published[-1])

            for moment in moments():
                cancelled = await cancelled_after(moment, publish)
                await host.call("slow", "handled")
                taken = await journal(host)
                assert taken == sorted(set(taken)), taken
                assert set(taken) <= set(published)
                assert (
                    len(published) - len(taken) <= moment + 1
                )  # at most the one that each leaver was about to publish
                assert books.accepted == books.handled
                assert not books.burials
                assert tasks_there() == before
                if not cancelled:
                    assert taken[-4:] == published[-4:]
                    break


async def test_who_loads_may_leave_at_every_moment(cache: Path) -> None:
    """The extension is there and answers, or it is not there at all, and its name is free."""
    async with hosting(cache) as host:
        await host.load(ECHO)
        await host.remove("echo")
        before = tasks_there()
        for moment in moments():
            cancelled = await cancelled_after(moment, lambda: host.load(ECHO))
            loaded = [extension.name for extension in host.extensions()]
            assert loaded == ["echo"] or (cancelled and loaded == [])
            if not loaded:
                assert host.bus.statistics().services == 0
                assert host.bus.statistics().subscriptions == 0
                await host.load(ECHO)
            else:
                with pytest.raises(AlreadyLoaded):
                    await host.load(ECHO)
            assert await host.call("echo", "count") == 1
            await host.remove("echo")
            assert tasks_there() == before
            if not cancelled:
                break


async def test_who_removes_may_leave_at_every_moment(cache: Path) -> None:
    """Removing goes on by itself: the turn in progress ends, its caller is answered, and the name is free."""
    async with hosting(cache) as host:
        before = tasks_there()
        for number, moment in enumerate(moments(), FIRST):
            await host.load(JOURNALIST, grants="requested")
            answers: list[object] = []

            async def call(number: int = number, answers: list[object] = answers) -> None:
                answers.append(await host.call("journalist", "journey", number))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call)
                while not host.extensions()[0].statistics.accepted:
                    await anyio.lowlevel.checkpoint()
                cancelled = await cancelled_after(moment, lambda: host.remove("journalist"))
                if cancelled and host.extensions():  # it left before it had begun
                    await host.remove("journalist")
            assert answers == [number]
            assert host.extensions() == ()
            with anyio.fail_after(10):
                while tasks_there() > before:
                    await anyio.lowlevel.checkpoint()
            if not cancelled:
                break


# -- a deadline is a caller that leaves at a time of its own


async def test_a_deadline_may_pass_at_every_moment(cache: Path) -> None:
    """`DeadlineExceeded` or the answer, and the guest has done what it took; nothing else can come out."""
    with keeping_books() as books:
        async with hosting(cache) as host:
            await host.load(JOURNALIST, grants="requested")
            books.note(host, "journalist", "journal")
            outcomes: set[object] = set()
            for number in range(FIRST, FIRST + 60):
                async with anyio.create_task_group() as tasks:
                    if number % 2:  # half of them find the actor busy
                        tasks.start_soon(host.call, "journalist", "long", 20_000 + number)
                        await anyio.lowlevel.checkpoint()
                    try:
                        answer = await host.call("journalist", "journey", number, deadline=(number - FIRST) * 0.0003)
                        outcomes.add(answer == number)
                    except BusError as error:
                        outcomes.add(type(error))
                done = await undisturbed(host, books)
                assert number in done or [burial.number for burial in books.burials][-1] == number
            assert DeadlineExceeded in outcomes
            assert outcomes <= {True, DeadlineExceeded}


class Stalling(Ledger):
    """Answers late, and stalls the event loop meanwhile, when somebody waits behind its guest."""

    host: Host

    async def perform(self, request: object, use: Use) -> object:
        """Wait until another message is in the queue, then let its deadline pass in one turn of the loop."""
        while not self.host.extensions()[0].statistics.queued:
            await anyio.lowlevel.checkpoint()
        time.sleep(0.06)  # noqa: ASYNC251 - that is what it is about
        return request


async def test_a_deadline_that_passes_while_the_loop_is_stalled_is_one(cache: Path) -> None:
    """The actor sees it before the caller was woken: the caller hears `DeadlineExceeded`, and not that the actor is gone."""
    ledger = Stalling()
    async with hosting(cache, ledger) as host, anyio.create_task_group() as tasks:
        ledger.host = host
        await host.load(JOURNALIST, grants="requested")
        tasks.start_soon(host.call, "journalist", "ask", FIRST)
        while not host.extensions()[0].statistics.busy:
            await anyio.lowlevel.checkpoint()
        with pytest.raises(DeadlineExceeded, match=r"ext\.journalist\.plain"):
            await host.call("journalist", "plain", FIRST + 1, deadline=0.03)
        assert await journal(host) == [FIRST]
        assert host.extensions()[0].statistics.dropped == 1


# -- any script of leaving and staying

plans = st.lists(
    st.tuples(st.sampled_from(("plain", "ask", "tell", "long", "journey")), st.none() | st.integers(0, 60)),
    min_size=1,
    max_size=7,
)


@given(rounds=st.lists(plans, min_size=1, max_size=3))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_who_stays_does_not_notice_who_leaves(
    rounds: list[list[tuple[str, int | None]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Callers of every kind, some of whom leave: the others get their own answers, in the order in which they asked."""
    cache = tmp_path_factory.getbasetemp() / "cancellation"
    numbers = iter(range(FIRST, 60_000))
    with keeping_books() as books:
        async with hosting(cache) as host:
            await host.load(JOURNALIST, grants="requested")
            books.note(host, "journalist", "journal")
            asked: list[int] = []
            stayed: list[int] = []
            for plan in rounds:
                before = tasks_there()

                async def call(kind: str, turns: int | None) -> None:
                    number = next(numbers)
                    asked.append(number)
                    if turns is not None:
                        await cancelled_after(turns, lambda: host.call("journalist", kind, number))
                        return
                    stayed.append(number)
                    assert await host.call("journalist", kind, number) == number

                async with anyio.create_task_group() as tasks:
                    for kind, turns in plan:
                        tasks.start_soon(call, kind, turns)
                        for _ in range(3):  # until it has asked
                            await anyio.lowlevel.checkpoint()
                done = await undisturbed(host, books)
                assert tasks_there() == before
                assert set(stayed) <= set(done) <= set(asked)
                assert [number for number in done if number in stayed] == stayed


async def test_a_guest_whose_caller_s_caller_left_goes_on(cache: Path) -> None:
    """Who asked an extension that asks another leaves: both do what they have begun, and both answer the next caller."""
    asker = relay("asker", 'call: ["journalist/*"]')
    with keeping_books() as books:
        async with hosting(cache) as host:
            await host.load(JOURNALIST, grants="requested")
            await host.load(asker, grants="requested")
            books.note(host, "journalist", "journal")
            books.note(host, "asker", "handled")
            before = tasks_there()
            for number, moment in enumerate(moments(), FIRST):
                arguments = "ext.journalist.journey", codec.encode([number])
                cancelled = await cancelled_after(moment, lambda a=arguments: host.call("asker", "ask", *a))
                await host.call("asker", "handled")
                in_order(await journal(host), number, books)
                assert books.accepted == books.handled
                assert tasks_there() == before
                assert all(extension.statistics.instances == 1 for extension in host.extensions())
                if not cancelled:
                    break
