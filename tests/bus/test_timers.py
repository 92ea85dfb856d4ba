"""Timers: due at fixed times, never piled up, on a clock that tests move; and how an interval is written."""

import math
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.bus.clock import Clock, SystemClock
from desk.bus.timers import MAX_INTERVAL, MIN_INTERVAL, Tick, Ticks, TimerError, parse_interval
from desk.testing.clock import ManualClock

pytestmark = pytest.mark.anyio


# -- intervals


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("every 5m", 300.0),
        ("5m", 300.0),
        ("every 100ms", 0.1),
        ("every 250ms", 0.25),
        ("1s", 1.0),
        ("24h", 86_400.0),
        ("every 49d", 49 * 86_400.0),
        ("every 365d", 365 * 86_400.0),
        ("31536000000ms", 365 * 86_400.0),
    ],
)
def test_an_interval_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    """With or without the word `every`, in ms, s, m, h or d, from 100 ms to 365 days, both included."""
    assert parse_interval(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "every",
        "every ",
        "m",
        "5",
        "every 5 m",
        "every  5m",
        "every 5m ",
        " 5m",
        "every 5m\n",
        "every every 5m",
        "Every 5m",
        "every 5M",
        "every 5min",
        "every 5us",
        "every 5w",
        "every -1s",
        "every +1s",
        "every 1e9s",
        "every 1.5h",
        "every 1_000s",
        "every 05m",
        "every 1h30m",
        "every 0x5m",
        "every infs",
        "every nand",
        "every ٥m",
        "every ５m",
        "every 5ｍ",
        "every 5²m",
        "every\u00a05m",
        "every 5m\0",
        pytest.param("every " + "9" * 1_000_000 + "d", id="a million digits"),
        pytest.param("m" * 1_000_000, id="a million letters"),
    ],
)
def test_what_is_no_interval_is_refused(text: str) -> None:
    """Signs, fractions, exponents, spaces, other digits than 0 to 9 and other units are errors that say what was expected."""
    with pytest.raises(TimerError, match=r"expected one whole number and a unit \(ms, s, m, h, d\), as in") as caught:
        parse_interval(text)
    assert len(str(caught.value)) < 600
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", ["0s", "99ms", "0ms", "366d", "8761h", "31536000001ms", "every " + "9" * 30 + "d"])
def test_an_interval_has_bounds(text: str) -> None:
    """Less than 100 ms, or more than 365 days, is refused with these two numbers."""
    with pytest.raises(TimerError, match="100ms to 365d, found"):
        parse_interval(text)


@pytest.mark.parametrize("value", [None, 5, 5.0, b"every 5m", ["5m"]])
def test_an_interval_is_text(value: object) -> None:
    """What is no text is refused with its type."""
    with pytest.raises(TimerError, match=f"not {type(value).__name__}"):
        parse_interval(value)  # pyright: ignore[reportArgumentType]


@given(st.text(max_size=50) | st.from_regex(r"(every )?[0-9]{1,13}(ms|s|m|h|d)", fullmatch=True))
def test_any_text_is_an_interval_within_bounds_or_refused(text: str) -> None:
    """No text gives an interval out of bounds, or another error than `TimerError`."""
    try:
        seconds = parse_interval(text)
    except TimerError as error:
        seconds = 1.0 if str(error).isprintable() else math.nan
    assert MIN_INTERVAL <= seconds <= MAX_INTERVAL


@pytest.mark.parametrize("seconds", [0, -1, 0.05, math.nan, math.inf, -math.inf, 366 * 86_400])
async def test_a_timer_has_the_same_bounds(seconds: float) -> None:
    """`Ticks` refuses seconds that no interval has."""
    with pytest.raises(TimerError, match="100ms to 365d"):
        Ticks(ManualClock(), seconds)


# -- ticks


async def test_ticks_come_at_whole_intervals() -> None:
    """The first one interval after the timer was made, and so on: exactly when they are due."""
    clock, seen = ManualClock(1_000.0), list[tuple[float, Tick]]()

    async def watch() -> None:
        async for tick in ticks:
            seen.append((clock.now(), tick))

    ticks = Ticks(clock, 60.0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        await clock.until_asleep()
        await clock.jump(59)
        assert seen == []
        await clock.jump(1)
        await clock.jump(60)
        tasks.cancel_scope.cancel()
    assert seen == [(1_060.0, Tick(1, 1_060.0, 0)), (1_120.0, Tick(2, 1_120.0, 0))]


async def test_an_hour_lost_is_one_tick() -> None:
    """Who slept through sixty ticks is told once, of the last, with the count of the others; and is on time again after."""
    clock = ManualClock()
    ticks = Ticks(clock, 60.0)
    await clock.jump(3_600)
    assert await anext(ticks) == Tick(60, 3_600.0, 59)
    await clock.jump(61)
    assert await anext(ticks) == Tick(61, 3_660.0, 0)
    await clock.jump(59)
    assert await anext(ticks) == Tick(62, 3_720.0, 0)


async def test_ticks_do_not_pile_up_behind_a_slow_body() -> None:
    """The loop's body is the handler: what came due while it ran is one tick."""
    clock, seen = ManualClock(), list[Tick]()
    ticks = Ticks(clock, 1.0)
    await clock.jump(1)
    async for tick in ticks:
        seen.append(tick)
        if len(seen) == 3:
            break
        await clock.jump(2.5)
    assert seen == [Tick(1, 1.0, 0), Tick(3, 3.0, 1), Tick(6, 6.0, 2)]


@given(
    interval=st.floats(MIN_INTERVAL, MAX_INTERVAL),
    start=st.floats(0, 1e7),
    jumps=st.lists(st.floats(0, 1e6) | st.floats(0, 10), min_size=1, max_size=30),
)
def test_no_tick_is_lost_early_or_told_twice(interval: float, start: float, jumps: list[float]) -> None:
    """Whatever the interval and the delays: due times are start + n * interval, numbers rise, and all are accounted for."""

    async def run() -> None:
        clock = ManualClock(start)
        ticks, last = Ticks(clock, interval), 0
        for seconds in jumps:
            await clock.jump(seconds)
            while clock.now() >= start + (last + 1) * interval:
                tick = await anext(ticks)
                assert tick.due == start + tick.number * interval
                assert tick.due <= clock.now()
                assert tick.number == last + 1 + tick.missed
                last = tick.number

    anyio.run(run)


async def test_each_tick_goes_to_one_of_several() -> None:
    """Tasks that share one timer share its ticks."""
    clock, seen = ManualClock(), list[int]()

    async def watch() -> None:
        async for tick in ticks:
            seen.append(tick.number)

    ticks = Ticks(clock, 1.0)
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(watch)
        for _ in range(10):
            await clock.until_asleep(3)
            await clock.jump(1)
        tasks.cancel_scope.cancel()
    assert seen == list(range(1, 11))


async def test_a_cancelled_wait_loses_no_tick() -> None:
    """Who gives up waiting may come back, and finds the tick that was due meanwhile."""
    clock = ManualClock()
    ticks = Ticks(clock, 60.0)
    with anyio.move_on_after(0.01) as scope:
        await anext(ticks)
    assert scope.cancelled_caught
    assert clock.asleep == 0
    await clock.jump(60)
    assert await anext(ticks) == Tick(1, 60.0, 0)


async def test_a_body_that_never_waits_gives_others_their_turn() -> None:
    """A timer that is always behind still lets the event loop go on, and can be cancelled."""
    clock, turns = ManualClock(), 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    ticks = Ticks(clock, 0.5)
    await clock.jump(3_600)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        await anext(ticks)
        for _ in range(100):
            await clock.jump(0.5)
            await anext(ticks)
        tasks.cancel_scope.cancel()
    assert turns >= 100


async def test_a_timer_shows_itself() -> None:
    """Interval, and which tick comes when."""
    clock = ManualClock()
    ticks = Ticks(clock, 300.0)
    await clock.jump(287.5)
    assert repr(ticks) == "<Ticks: every 300 s, number 1 in 12.5 s>"


async def test_many_timers_sleep_side_by_side() -> None:
    """Ten thousand timers of 49 days wait on the machine's clock, and all of them are gone when they are cancelled."""
    clock, begun, ended, all_begun = SystemClock(), 0, 0, anyio.Event()

    async def watch() -> None:
        nonlocal begun, ended
        begun += 1
        if begun == 10_000:
            all_begun.set()
        try:
            async for _ in Ticks(clock, 49 * 86_400.0):
                pytest.fail("too early")
        finally:
            ended += 1

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for _ in range(10_000):
                tasks.start_soon(watch)
            await all_begun.wait()
            tasks.cancel_scope.cancel()
    assert ended == 10_000


# -- clocks


async def test_the_machines_clock_never_wakes_early() -> None:
    """It tells `time.monotonic()`, and a tick comes when it is due or later."""
    clock = SystemClock()
    before = time.monotonic()
    assert before <= clock.now() <= time.monotonic()
    ticks = Ticks(clock, 0.1)
    for number in (1, 2):
        with anyio.fail_after(30):
            tick = await anext(ticks)
        assert time.monotonic() >= tick.due
        assert tick.number - tick.missed <= number <= tick.number


@pytest.mark.parametrize("clock", [SystemClock(), ManualClock()])
async def test_a_time_that_is_over_is_a_turn(clock: Clock) -> None:
    """Sleeping until then returns, but others had a turn, and who was cancelled is not let through."""
    turns = list[str]()

    async def other() -> None:
        turns.append("other")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        while not turns:
            await clock.sleep_until(clock.now() - 1)
        tasks.cancel_scope.cancel()
        await clock.sleep_until(clock.now() - 1)
        pytest.fail("not cancelled")


async def test_a_jump_wakes_in_the_order_of_times() -> None:
    """Whoever fell asleep first: the earlier time is woken first, and those of one time in the order in which they came."""
    clock, woken = ManualClock(), list[tuple[float, int]]()

    async def sleeper(when: float, index: int) -> None:
        await clock.sleep_until(when)
        woken.append((when, index))

    times = [50.0, 10.0, 30.0, 10.0, 20.0, 99.0] * 5
    async with anyio.create_task_group() as tasks:
        for index, when in enumerate(times):
            tasks.start_soon(sleeper, when, index)
            await clock.until_asleep(index + 1)  # trio begins tasks in any order
        await clock.jump(60)
        assert woken == sorted((when, index) for index, when in enumerate(times) if when <= 60)
        assert repr(clock) == "<ManualClock at 60 s, 5 asleep>"
        await clock.jump(39)
        assert len(woken) == len(times)


async def test_a_jump_returns_when_the_woken_had_a_turn() -> None:
    """What they do without waiting is done, before the next is woken."""
    clock, done = ManualClock(), list[tuple[str, float]]()

    async def step(name: str, *times: float) -> None:
        for when in times:
            await clock.sleep_until(when)
            done.append((name, clock.now()))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(step, "a", 1, 11)
        tasks.start_soon(step, "b", 2, 12)
        await clock.until_asleep(2)
        await clock.jump(10)
        assert done == [("a", 10.0), ("b", 10.0)]
        await clock.jump(10)
        assert done[2:] == [("a", 20.0), ("b", 20.0)]


async def test_a_cancelled_jump_has_still_moved_the_clock() -> None:
    """Time is not taken back, and all who slept until then wake up."""
    clock, woken = ManualClock(), list[float]()

    async def sleeper(when: float) -> None:
        await clock.sleep_until(when)
        woken.append(clock.now())

    async with anyio.create_task_group() as tasks:
        for when in (1.0, 2.0, 3.0):
            tasks.start_soon(sleeper, when)
        await clock.until_asleep(3)
        scope = anyio.CancelScope()
        scope.cancel()
        with scope:
            await clock.jump(10)
        assert scope.cancelled_caught
    assert woken == [10.0, 10.0, 10.0]


async def test_a_sleeper_that_is_cancelled_delays_no_jump() -> None:
    """Also when it is cancelled by the one who was woken just before it."""
    clock, scope = ManualClock(), anyio.CancelScope()

    async def first() -> None:
        await clock.sleep_until(1)
        scope.cancel()

    async def second() -> None:
        with scope:
            await clock.sleep_until(2)
        assert scope.cancelled_caught

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first)
            tasks.start_soon(second)
            await clock.until_asleep(2)
            await clock.jump(5)
            assert clock.asleep == 0


@pytest.mark.parametrize("seconds", [-1, -0.001, math.nan, math.inf])
async def test_a_clock_only_goes_forward(seconds: float) -> None:
    """A jump back, for ever, or by what is no number is an error, and changes nothing."""
    clock = ManualClock(5.0)
    with pytest.raises(ValueError, match="forward"):
        await clock.jump(seconds)
    assert clock.now() == 5.0


async def test_everyone_may_wait_for_sleepers() -> None:
    """Several wait for different counts of sleepers, and each goes on when its own is reached."""
    clock, reached = ManualClock(), list[int]()

    async def wait_for(count: int) -> None:
        await clock.until_asleep(count)
        reached.append(count)

    sleep: Callable[[float], Awaitable[None]] = clock.sleep_until
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for count in (3, 1, 2):
                tasks.start_soon(wait_for, count)
            for when in (1.0, 2.0, 3.0):
                tasks.start_soon(sleep, when)
            await clock.until_asleep(3)
            await clock.jump(5)
    assert sorted(reached) == [1, 2, 3]


def test_ticks_are_due_in_order() -> None:
    """Due times of the ticks of one timer rise by whole intervals, also after 10 million of them."""
    clock = ManualClock()
    ticks = Ticks(clock, 0.125)

    async def run() -> list[Tick]:
        seen: list[Tick] = []
        for seconds in (0.125, 0.125, 1_250_000.0, 0.125, 0.125):
            await clock.jump(seconds)
            seen.append(await anext(ticks))
        return seen

    for before, after in pairwise(anyio.run(run)):
        assert after.due > before.due
        assert after.number == before.number + 1 + after.missed
