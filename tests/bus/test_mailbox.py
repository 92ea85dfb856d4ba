"""The mailbox: bounded, first in first out, and whoever is cancelled at whatever moment neither loses nor doubles a thing."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

import anyio
import anyio.abc
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from desk.bus.envelope import APP, Envelope
from desk.bus.errors import Unavailable
from desk.bus.mailbox import DEFAULT_BYTES, DEFAULT_CAPACITY, Mailbox, MailboxStatistics

pytestmark = pytest.mark.anyio

PATIENCE = 10.0
"""Seconds after which a test that hangs fails. Nothing here takes that long."""


def letter(number: int, size: int = 0) -> Envelope:
    return Envelope(number, "a.b", bytes(size), APP, None)


async def put_all(mailbox: Mailbox, *numbers: int) -> None:
    for number in numbers:
        await mailbox.put(letter(number))


async def take_ids(mailbox: Mailbox, count: int) -> list[int]:
    return [(await mailbox.take()).id for _ in range(count)]


# -- order and bound


async def test_what_was_put_first_is_taken_first() -> None:
    """Envelopes come out in the order in which they went in, the very same objects."""
    mailbox = Mailbox("box", 3)
    letters = [letter(number) for number in range(3)]
    for each in letters:
        await mailbox.put(each)
    assert [await mailbox.take() for _ in letters] == letters
    assert mailbox.statistics() == MailboxStatistics(queued=0, queued_bytes=0, waiting=0, accepted=3, peak=3)


async def test_a_full_box_holds_its_putters_back() -> None:
    """One more than the capacity waits, until one is taken; the box never holds more than its capacity."""
    mailbox = Mailbox("box", 2)
    done: list[int] = []

    async def put(number: int) -> None:
        await mailbox.put(letter(number))
        done.append(number)

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(put, number)
                await anyio.wait_all_tasks_blocked()
            assert done == [0, 1]
            assert mailbox.statistics() == MailboxStatistics(queued=2, queued_bytes=0, waiting=1, accepted=2, peak=2)
            assert await take_ids(mailbox, 1) == [0]
            await anyio.wait_all_tasks_blocked()
            assert done == [0, 1, 2]
    assert mailbox.statistics() == MailboxStatistics(queued=2, queued_bytes=0, waiting=0, accepted=3, peak=2)


async def test_waiting_putters_have_their_turn_in_order_of_arrival() -> None:
    """Whoever came first puts first, also before a putter who comes in the moment room appears."""
    mailbox = Mailbox("box", 1)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            for number in range(4):
                tasks.start_soon(mailbox.put, letter(number))
                await anyio.wait_all_tasks_blocked()
            taken = await take_ids(mailbox, 1)  # room for 1, who has not run yet
            tasks.start_soon(mailbox.put, letter(4))
            taken += await take_ids(mailbox, 4)
    assert taken == [0, 1, 2, 3, 4]


async def test_an_empty_box_wakes_its_taker_when_something_comes() -> None:
    """`take` waits for as long as there is nothing."""
    mailbox = Mailbox("box")
    taken: list[int] = []

    async def take() -> None:
        taken.extend(await take_ids(mailbox, 2))

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(take)
            await anyio.wait_all_tasks_blocked()
            assert taken == []
            await put_all(mailbox, 1, 2)
    assert taken == [1, 2]


@pytest.mark.parametrize("capacity", [0, -1])
async def test_a_box_without_room_is_refused(capacity: int) -> None:
    """A capacity below 1 would make every `put` wait for ever: `ValueError`."""
    with pytest.raises(ValueError, match=f"whole number of envelopes, at least 1, not {capacity}"):
        Mailbox("box", capacity)


async def test_capacity_has_a_default() -> None:
    """Without one it is `DEFAULT_CAPACITY` envelopes and `DEFAULT_BYTES`."""
    assert (Mailbox("box").capacity, Mailbox("box").max_bytes) == (DEFAULT_CAPACITY, DEFAULT_BYTES)


# -- bytes


async def test_a_box_is_full_of_bytes_as_well_as_of_envelopes() -> None:
    """Putters wait while their payload does not fit, however few envelopes there are; events and requests count alike."""
    mailbox = Mailbox("box", 10, 100)
    request = Envelope(2, "a.b", (1, bytes(30), 2.5, bytes(10)), APP, None)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            await mailbox.put(letter(1, 60))
            await mailbox.put(request)
            tasks.start_soon(mailbox.put, letter(3, 1))
            await anyio.wait_all_tasks_blocked()
            assert mailbox.statistics() == MailboxStatistics(queued=2, queued_bytes=100, waiting=1, accepted=2, peak=2)
            assert await take_ids(mailbox, 1) == [1]
            assert mailbox.statistics().queued_bytes == 41
            assert await take_ids(mailbox, 2) == [2, 3]
    assert mailbox.statistics() == MailboxStatistics(queued=0, queued_bytes=0, waiting=0, accepted=3, peak=2)


async def test_an_envelope_larger_than_the_box_goes_in_alone() -> None:
    """It waits until the box is empty and what came before it was taken, and then nothing goes in beside it."""
    mailbox = Mailbox("box", 10, 100)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            await mailbox.put(letter(0))
            for number, size in ((1, 1_000), (2, 1), (3, 99)):
                tasks.start_soon(mailbox.put, letter(number, size))
                await anyio.wait_all_tasks_blocked()
            seen: list[tuple[int, int, int]] = []
            for _ in range(4):
                now = mailbox.statistics()
                seen.append((now.queued, now.queued_bytes, now.waiting))
                await mailbox.take()
    assert seen == [(1, 0, 3), (1, 1_000, 2), (2, 100, 0), (1, 99, 0)]


async def test_a_small_envelope_does_not_overtake_a_large_one_that_waits() -> None:
    """Otherwise a stream of small ones would hold the large one back for ever."""
    mailbox = Mailbox("box", 10, 100)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            await mailbox.put(letter(0, 60))
            for number, size in ((1, 60), (2, 1)):
                tasks.start_soon(mailbox.put, letter(number, size))
                await anyio.wait_all_tasks_blocked()
            assert mailbox.statistics().waiting == 2
            assert await take_ids(mailbox, 3) == [0, 1, 2]


async def test_who_waits_behind_a_large_one_goes_in_when_that_gives_up() -> None:
    """Room that was kept for the first in the queue is there for the others as soon as it leaves, though nothing is taken."""
    mailbox = Mailbox("box", 10, 100)
    scope = anyio.CancelScope()

    async def give_up() -> None:
        with scope:
            await mailbox.put(letter(1, 60))

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            await mailbox.put(letter(0, 60))
            for put in (give_up, lambda: mailbox.put(letter(2, 30)), lambda: mailbox.put(letter(3, 10))):
                tasks.start_soon(put)
                await anyio.wait_all_tasks_blocked()
            scope.cancel()
    assert mailbox.statistics() == MailboxStatistics(queued=3, queued_bytes=100, waiting=0, accepted=3, peak=3)


async def test_a_box_without_bytes_is_refused() -> None:
    """As one without room for an envelope: `ValueError`."""
    with pytest.raises(ValueError, match="whole number of bytes, at least 1, not 0"):
        Mailbox("box", 1, 0)


# -- cancellation


async def test_a_cancelled_putter_leaves_its_place() -> None:
    """Who gives up while waiting has not put, and those behind move up."""
    mailbox = Mailbox("box", 1)
    scope = anyio.CancelScope()

    async def give_up() -> None:
        with scope:
            await mailbox.put(letter(1))

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            await mailbox.put(letter(0))
            for put in (give_up, lambda: mailbox.put(letter(2))):
                tasks.start_soon(put)
                await anyio.wait_all_tasks_blocked()
            scope.cancel()
            await anyio.wait_all_tasks_blocked()
            assert mailbox.statistics().waiting == 1
            assert await take_ids(mailbox, 2) == [0, 2]
    assert mailbox.statistics().accepted == 2


async def test_a_cancelled_taker_takes_nothing() -> None:
    """What comes after a taker was cancelled is there for the next one."""
    mailbox = Mailbox("box")
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(mailbox.take)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        await put_all(mailbox, 1)
        assert await take_ids(mailbox, 1) == [1]


# -- closing


async def test_a_closed_box_gives_back_what_was_left_and_takes_no_more() -> None:
    """`close` returns what was accepted and not taken, once; `put` and `take` then raise `Unavailable` with the name."""
    mailbox = Mailbox("weather-widget", 5)
    await put_all(mailbox, 1, 2, 3)
    assert await take_ids(mailbox, 1) == [1]
    assert [each.id for each in mailbox.close()] == [2, 3]
    assert mailbox.close() == []
    with pytest.raises(Unavailable, match="weather-widget has been stopped"):
        await mailbox.put(letter(4))
    with pytest.raises(Unavailable, match="weather-widget has been stopped"):
        await mailbox.take()
    assert mailbox.statistics() == MailboxStatistics(queued=0, queued_bytes=0, waiting=0, accepted=3, peak=3)


async def test_closing_ends_all_waiting() -> None:
    """Putters that wait for room, and a taker that waits for an envelope, get `Unavailable`; nothing hangs."""
    full, empty = Mailbox("full", 1), Mailbox("empty")
    refused: list[str] = []

    async def expect_refusal(name: str, act: Callable[[], Awaitable[object]]) -> None:
        with pytest.raises(Unavailable):
            await act()
        refused.append(name)

    with anyio.fail_after(PATIENCE):
        await full.put(letter(0))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(expect_refusal, "put", lambda: full.put(letter(1)))
            tasks.start_soon(expect_refusal, "put", lambda: full.put(letter(2)))
            tasks.start_soon(expect_refusal, "take", empty.take)
            await anyio.wait_all_tasks_blocked()
            assert [each.id for each in full.close()] == [0]
            assert empty.close() == []
    assert sorted(refused) == ["put", "put", "take"]
    assert full.statistics().accepted == 1


@pytest.mark.parametrize("then", ["left in the box", "taken"])
async def test_a_put_that_was_accepted_has_succeeded_though_the_box_closes_at_once(then: str) -> None:
    """Room appeared, the envelope went in, the box closed before the putter woke: `put` returns, it did not fail."""
    mailbox = Mailbox("box", 1)
    outcome: list[str] = []

    async def put() -> None:
        try:
            await mailbox.put(letter(1))
        except Unavailable:
            outcome.append("refused")
        else:
            outcome.append("put")

    with anyio.fail_after(PATIENCE):
        await mailbox.put(letter(0))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(put)
            await anyio.wait_all_tasks_blocked()
            taken = await take_ids(mailbox, 1 if then == "left in the box" else 2)
            left = [each.id for each in mailbox.close()]
    assert taken + left == [0, 1]
    assert outcome == ["put"]


# -- what it says of itself


async def test_what_is_taken_at_once_is_accepted_whatever_comes_of_it() -> None:
    """It counts before it is handled, also if an interrupt ends that; what an idle receiver does not take does not."""
    mailbox = Mailbox("idle")

    def interrupted(envelope: Envelope) -> bool:
        raise KeyboardInterrupt

    mailbox.on_idle = interrupted
    with pytest.raises(KeyboardInterrupt):
        mailbox.offer(letter(1))
    mailbox.on_idle = lambda envelope: False
    assert not mailbox.offer(letter(2))
    assert mailbox.statistics().accepted == 1


async def test_it_says_what_it_is() -> None:
    """`repr` has the name, how full it is, who waits, what it accepted, and whether it is closed."""
    mailbox = Mailbox("weather-widget", 2)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            for number in (1, 2):
                await mailbox.put(letter(number, 750))
            tasks.start_soon(mailbox.put, letter(3))
            await anyio.wait_all_tasks_blocked()
            assert repr(mailbox) == "<Mailbox weather-widget: 2 of 2, 1,500 bytes, 1 waiting, 2 accepted>"
            tasks.cancel_scope.cancel()
    mailbox.close()
    assert repr(mailbox) == "<Mailbox weather-widget: closed, 0 of 2, 0 bytes, 0 waiting, 2 accepted>"


# -- any schedule

Step = tuple[Literal["put", "take", "take at once", "cancel", "kill", "close", "settle"], int]

steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 6)),
        st.tuples(st.sampled_from(["take", "take at once", "settle"]), st.just(0)),
        st.tuples(st.sampled_from(["cancel", "kill"]), st.integers(0, 7)),
        st.just(("close", 0)),
    ),
    max_size=30,
)


@dataclass
class Schedule:
    """Plays steps against one mailbox, and writes down what happened to each envelope."""

    mailbox: Mailbox
    tasks: anyio.abc.TaskGroup
    running: "list[Running]" = field(default_factory=lambda: list[Running]())
    called: dict[int, int] = field(default_factory=dict[int, int])
    """The envelopes that were to be put, in the order in which that was tried, with their sizes."""
    outcomes: dict[int, str] = field(default_factory=dict[int, str])
    taken: list[int] = field(default_factory=list[int])
    left: list[int] = field(default_factory=list[int])
    taking: bool = False
    closed: bool = False
    puts: int = 0

    async def play(self, step: Step) -> None:
        """One step, without giving way to any task unless the step says so."""
        match step:
            case ("put", size):
                self.puts += 1
                self._start(lambda number=self.puts: self._put(number, size))
            case ("take", _) if not self.taking:
                self.taking = True
                self._start(self._take)
            case ("take at once", _) if not self.taking and self.mailbox.statistics().queued:
                self.taken.append((await self.mailbox.take()).id)
            case ("cancel", which) if self.running:
                self.running[which % len(self.running)].scope.cancel()
            case ("kill", which) if self.running:
                self.running[which % len(self.running)].kill()
            case ("close", _):
                self.closed = True
                self.left += [each.id for each in self.mailbox.close()]
            case ("settle", _):
                await anyio.wait_all_tasks_blocked()
                self.check_waiting()
            case _:
                pass  # there is nobody it could happen to
        self.check()

    def check(self) -> None:
        """What holds at every moment."""
        now = self.mailbox.statistics()
        assert now.queued <= now.peak <= self.mailbox.capacity
        assert now.queued_bytes <= self.mailbox.max_bytes or now.queued == 1
        assert now.waiting == 0 or (now.queued > 0 and not self.closed)
        assert now.accepted == len(self.taken) + len(self.left) + now.queued

    def check_waiting(self) -> None:
        """What holds when nobody can go on: whoever waits first has no room, and the others wait behind it."""
        now, box = self.mailbox.statistics(), self.mailbox
        waiting = [size for number, size in self.called.items() if self.outcomes[number] == "waiting"]
        assert len(waiting) == now.waiting
        assert not waiting or now.queued == box.capacity or now.queued_bytes + waiting[0] > box.max_bytes

    def check_end(self) -> None:
        """What holds when all tasks are over and the box is closed."""
        accepted = self.taken + self.left
        assert accepted == [number for number in self.called if number in accepted]  # in order, nothing twice
        assert set(self.outcomes) == set(self.called)
        assert "waiting" not in self.outcomes.values()
        for number, outcome in self.outcomes.items():
            if outcome != "cancelled":  # then it was put or it was not
                assert (outcome == "put") == (number in accepted), (number, outcome)

    def _start(self, act: Callable[[], Awaitable[object]]) -> None:
        running = Running(act)
        self.running.append(running)
        self.tasks.start_soon(running.run)

    async def _put(self, number: int, size: int) -> None:
        self.called[number] = size
        self.outcomes[number] = "waiting"
        try:
            await self.mailbox.put(letter(number, size))
            self.outcomes[number] = "put"
        except Unavailable:
            self.outcomes[number] = "refused"
        except BaseException:
            self.outcomes[number] = "cancelled"
            raise

    async def _take(self) -> None:
        try:
            self.taken.append((await self.mailbox.take()).id)
        except Unavailable:
            assert self.closed
        finally:
            self.taking = False


class Running:
    """A task that can be cancelled by its scope, or killed: by `Task.cancel` on asyncio, which hits a waking task, too."""

    def __init__(self, act: Callable[[], Awaitable[object]]) -> None:
        self.scope = anyio.CancelScope()
        self._act = act
        self._task: asyncio.Task[object] | None = None
        self._killed = False

    async def run(self) -> None:
        try:
            self._task = asyncio.current_task()
        except RuntimeError:
            pass  # not asyncio
        try:
            with self.scope:
                await self._act()
        except asyncio.CancelledError:
            if not self._killed:
                raise
        finally:
            self._task = None

    def kill(self) -> None:
        if self._task is None:
            self.scope.cancel()
        elif not self.scope.cancel_called and not self._killed:
            self._killed = True
            self._task.cancel()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(capacity=st.integers(1, 3), max_bytes=st.integers(1, 8), steps=steps)
@example(1, 8, [("put", 0), ("put", 0), ("settle", 0), ("take at once", 0), ("cancel", 1), ("settle", 0), ("close", 0)])
@example(1, 8, [("put", 0), ("put", 0), ("settle", 0), ("take at once", 0), ("kill", 1), ("settle", 0), ("close", 0)])
@example(1, 8, [("put", 0), ("put", 0), ("settle", 0), ("take at once", 0), ("close", 0)])
@example(1, 8, [("take", 0), ("settle", 0), ("put", 0), ("kill", 0), ("settle", 0), ("take", 0), ("settle", 0)])
@example(3, 8, [("put", 6), ("put", 6), ("put", 1), ("settle", 0), ("cancel", 1), ("settle", 0)])
@example(3, 8, [("put", 6), ("put", 6), ("put", 1), ("settle", 0), ("kill", 1), ("take at once", 0), ("settle", 0)])
@example(3, 2, [("put", 6), ("put", 1), ("put", 1), ("settle", 0), ("take at once", 0), ("settle", 0), ("close", 0)])
async def test_whatever_happens_nothing_is_lost_or_doubled(capacity: int, max_bytes: int, steps: list[Step]) -> None:
    """In any schedule of puts, takes, cancellations and closes, accepted = taken + left, in order; and `put` tells truly."""
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            schedule = Schedule(Mailbox("box", capacity, max_bytes), tasks)
            for step in steps:
                await schedule.play(step)
            await schedule.play(("settle", 0))
            await schedule.play(("close", 0))
    schedule.check()
    schedule.check_end()
