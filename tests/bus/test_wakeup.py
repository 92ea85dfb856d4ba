"""A wakeup: set once, before or while tasks wait; each wait ends by it, by its time, or by a cancellation."""

import anyio
import pytest

from desk.bus.wakeup import Wakeup

pytestmark = pytest.mark.anyio

PATIENCE = 10.0
"""Seconds after which a test that hangs fails."""


async def test_all_who_wait_are_woken() -> None:
    """With and without a time, each of them once."""
    wakeup, woken = Wakeup(), list[bool]()

    async def sleep(seconds: float) -> None:
        woken.append(await wakeup.wait(seconds))

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            for seconds in (float("inf"), 60.0, 1e300):
                tasks.start_soon(sleep, seconds)
            await anyio.wait_all_tasks_blocked()
            assert not woken
            wakeup.set()
            wakeup.set()
    assert woken == [True] * 3


async def test_what_was_set_before_lets_nobody_wait() -> None:
    """Whatever their time."""
    wakeup = Wakeup()
    wakeup.set()
    assert await wakeup.wait()
    assert await wakeup.wait(0)
    assert wakeup.woken


async def test_time_passes() -> None:
    """Then it says so, and may still be set, and waited for again."""
    wakeup = Wakeup()
    with anyio.fail_after(PATIENCE):
        assert not await wakeup.wait(0)
        assert not await wakeup.wait(0.001)
        assert not wakeup.woken
        wakeup.set()
        assert await wakeup.wait(0.001)


async def test_who_is_cancelled_leaves_nothing_behind() -> None:
    """Neither by a scope around it, nor when it is set in the same turn; the others are woken."""
    wakeup, woken = Wakeup(), list[bool]()

    async def sleep() -> None:
        woken.append(await wakeup.wait(60.0))

    with anyio.fail_after(PATIENCE):
        for _ in range(100):
            with anyio.move_on_after(0):
                await wakeup.wait(60.0)
            with anyio.move_on_after(0):
                await wakeup.wait()
        assert not wakeup._sleepers  # pyright: ignore[reportPrivateUsage] - a mailbox may be waited for very often
        async with anyio.create_task_group() as tasks, anyio.create_task_group() as others:
            tasks.start_soon(sleep)
            others.start_soon(sleep)
            await anyio.wait_all_tasks_blocked()
            others.cancel_scope.cancel()
            wakeup.set()
    assert woken in ([True], [True, True])  # an event loop may tell of the one or of the other
