"""Tasks wait, at most so long, until somebody wakes them: what all waiting for messages and answers is made of.

`anyio.Event` inside of `anyio.move_on_after` says the same, and took a third of the time of a round trip. So this one is
written for the two event loops themselves. It may be set before anybody waits, and is set once.
"""

import math
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio


class Wakeup:
    """See the module's docstring."""

    __slots__ = ("_sleepers", "woken")

    def __init__(self) -> None:
        self.woken = False
        self._sleepers: list[tuple[Callable[[Any], object], object]] = []  # how to wake, and whom

    def set(self) -> None:
        """Wake all who wait; who has not begun to wait will not. Idempotent."""
        self.woken = True
        for wake, sleeper in self._sleepers:
            wake(sleeper)
        self._sleepers.clear()

    def wait(self, seconds: float = math.inf) -> Coroutine[Any, Any, bool]:
        """Return when it is set, True, or when the time is over, False. No turn of the event loop if it is set already."""
        return self._on_trio(seconds) if _in_trio() else self._on_asyncio(seconds)

    async def _on_asyncio(self, seconds: float) -> bool:
        if self.woken:
            return True
        import asyncio

        loop = asyncio.get_running_loop()
        future = loop.create_future()
        sleeper = _finish, future
        self._sleepers.append(sleeper)
        timer = loop.call_later(seconds, _finish, future) if seconds < math.inf else None
        try:
            await future
        finally:
            if timer is not None:
                timer.cancel()
            if not self.woken:
                self._sleepers.remove(sleeper)
        return self.woken

    async def _on_trio(self, seconds: float) -> bool:
        if self.woken:
            return True
        import trio

        sleeper = trio.lowlevel.reschedule, trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            self._sleepers.remove(sleeper)
            return trio.lowlevel.Abort.SUCCEEDED

        self._sleepers.append(sleeper)
        if seconds == math.inf:
            await trio.lowlevel.wait_task_rescheduled(abort)
        else:
            with trio.CancelScope(deadline=trio.current_time() + seconds):
                await trio.lowlevel.wait_task_rescheduled(abort)
        return self.woken


def _in_trio() -> bool:
    """Whether this task is trio's, which may run inside of asyncio. Trio is not imported for the sake of asking."""
    trio = sys.modules.get("trio")
    return trio is not None and trio.lowlevel.in_trio_task()


def _finish(future: "asyncio.Future[None]") -> None:
    if not future.done():  # or else its task was cancelled just now
        future.set_result(None)
