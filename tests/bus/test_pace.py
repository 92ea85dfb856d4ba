"""Who works without waiting gives everyone else a turn: soon, a few at a time, in order."""

import math

import anyio
import anyio.lowlevel
import pytest

from desk.bus.pace import ABREAST, Pace

pytestmark = pytest.mark.anyio


async def turns(counted: list[int]) -> None:
    """Append for each turn of the event loop."""
    while True:
        counted.append(1)
        await anyio.lowlevel.checkpoint()


async def test_within_a_slice_nobody_waits() -> None:
    """As long as the slice is not over, breathing is no checkpoint."""
    pace, counted = Pace(), list[int]()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(turns, counted)
        pace.until = math.inf
        for _ in range(100):
            await pace.breathe()
        assert counted == []
        tasks.cancel_scope.cancel()


async def test_after_it_everyone_has_a_turn() -> None:
    """Each who breathes then waits for a turn of the loop, and may be cancelled there."""
    pace, counted = Pace(), list[int]()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(turns, counted)
        for _ in range(50):
            pace.until = 0.0
            await pace.breathe()
        assert len(counted) >= 49
        tasks.cancel_scope.cancel()
    with anyio.CancelScope() as scope:
        scope.cancel()
        pace.until = 0.0
        await pace.breathe()
        raise AssertionError("it was no checkpoint")


@pytest.mark.parametrize(("lane", "abreast"), [("breathe", ABREAST), ("another", 1)])
async def test_many_go_on_in_order_and_a_few_at_a_time(lane: str, abreast: int) -> None:
    """A hundred who come at once pass in the order in which they came, and never more in one turn than may."""
    pace = Pace()
    counted: list[int] = []
    passed: list[tuple[int, int]] = []

    async def work(number: int) -> None:
        await getattr(pace, lane)()
        passed.append((number, len(counted)))
        pace.until = 0.0  # it has used up its slice

    async with anyio.create_task_group() as outer:
        outer.start_soon(turns, counted)
        async with anyio.create_task_group() as tasks:
            for number in range(100):
                pace.until = 0.0
                tasks.start_soon(work, number)
                await anyio.lowlevel.checkpoint()
        outer.cancel_scope.cancel()
    assert [number for number, _ in passed] == sorted(number for number, _ in passed)
    at = [turn for _, turn in passed]
    assert max(at.count(turn) for turn in set(at)) <= abreast + 1  # the counting task may come before or after them
