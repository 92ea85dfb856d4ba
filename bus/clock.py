"""What time it is for whoever waits: a small port, so that tests can jump an hour and a program cannot tell.

`SystemClock` is the clock of the machine. `desk.testing.clock.ManualClock` stands until a test moves it.

Seconds are monotonic and count from anywhere: only differences mean something, and setting the date changes nothing. On
Linux and macOS the clock stands while the machine is suspended. It goes on while the process is stopped, or a virtual
machine is paused, and whoever slept through that wakes up late.
"""

import time
from typing import Protocol

import anyio


class Clock(Protocol):
    """Tells the time, and lets one sleep until then. One implements it to decide when things happen."""

    def now(self) -> float:
        """Monotonic seconds."""
        ...

    async def sleep_until(self, when: float) -> None:
        """Return when `now()` is `when` or later. Always gives others a turn, also when it is that late already."""
        ...


class SystemClock:
    """The machine's clock, `time.monotonic()`, as envelopes and deadlines have it. Sleeps on trio and on asyncio."""

    __slots__ = ()

    def now(self) -> float:
        """Seconds of `time.monotonic()`."""
        return time.monotonic()

    async def sleep_until(self, when: float) -> None:
        """Sleep until `time.monotonic()` is `when`, never shorter: an event loop may wake one up a tick too early."""
        while True:
            await anyio.sleep(max(0.0, when - time.monotonic()))
            if time.monotonic() >= when:
                return
