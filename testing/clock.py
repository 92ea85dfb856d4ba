"""A clock that stands until a test moves it, for everything that takes a `desk.bus.clock.Clock`.

    clock = ManualClock()
    bus = Bus(clock=clock)
    ...                                  # something begins to wait for a timer
    await clock.until_asleep()           # and has come so far
    await clock.jump(3_600)              # an hour later

A jump is what a program sees whose machine was paused: at once it is an hour later for everyone. Who sleeps until one
minute from now wakes up once, 59 minutes late, and not sixty times. To have sixty, jump sixty times. Only timers ask this
clock: deadlines and limits go on by the machine's.
"""

import math
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel


@dataclass(slots=True, eq=False)
class _Sleeper:
    when: float
    wake: anyio.Event = field(default_factory=anyio.Event)
    woken: anyio.Event = field(default_factory=anyio.Event)
    """Set when it has had its turn, or was cancelled."""


class ManualClock:
    """See the module's docstring. For one event loop, trio's or asyncio's; nothing in it waits for real time."""

    def __init__(self, now: float = 0.0) -> None:
        self._now = now
        self._sleepers: dict[int, _Sleeper] = {}  # by identity, in the order in which they fell asleep
        self._slept: anyio.Event | None = None

    def __repr__(self) -> str:
        """Like `<ManualClock at 3600 s, 2 asleep>`."""
        return f"<ManualClock at {self._now:g} s, {self.asleep} asleep>"

    @property
    def asleep(self) -> int:
        """How many tasks sleep."""
        return len(self._sleepers)

    def now(self) -> float:
        """Seconds: what the clock was made with, and all jumps since."""
        return self._now

    async def sleep_until(self, when: float) -> None:
        """Return when a jump has reached `when`; after one turn of the event loop if it is that late already."""
        if when <= self._now:
            await anyio.lowlevel.checkpoint()
            return
        sleeper = _Sleeper(when)
        self._sleepers[id(sleeper)] = sleeper
        if self._slept is not None:
            self._slept.set()
            self._slept = None
        try:
            await sleeper.wake.wait()
        finally:
            self._sleepers.pop(id(sleeper), None)
            sleeper.woken.set()

    async def until_asleep(self, count: int = 1) -> None:
        """Return when at least `count` tasks sleep, so that a jump finds them."""
        while len(self._sleepers) < count:
            self._slept = self._slept or anyio.Event()
            await self._slept.wait()

    async def jump(self, seconds: float) -> None:
        """Move on by `seconds`, 0 or more, and wake all who sleep until then, in the order of their times.

        Returns when each of them has had a turn: it went on to where it had to wait again, before the next was woken.
        What needs several turns (an answer from elsewhere) may not be over yet. A jump that is cancelled has still moved
        the clock, and wakes everyone without waiting. Raises `ValueError` for a jump back, or one that is no number.
        """
        if not 0 <= seconds < math.inf:
            raise ValueError(f"a clock jumps forward by a number of seconds, not {seconds!r}")
        self._now += seconds
        due = sorted((each for each in self._sleepers.values() if each.when <= self._now), key=lambda each: each.when)
        try:
            for sleeper in due:
                sleeper.wake.set()
                await sleeper.woken.wait()
        finally:
            for sleeper in due:
                sleeper.wake.set()
        await anyio.lowlevel.checkpoint()
