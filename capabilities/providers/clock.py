"""Clocks: what time it is, as fine as it was granted, and waiting.

A fine clock measures what others compute, and so what they know: it takes a permission of its own. The coarse monotonic clock
ticks once in a millisecond, but not at its beginning: each tick comes at a moment of its millisecond that nobody can foretell,
so that watching for the tick does not make a fine clock of it either. It is up to two milliseconds behind, and never ahead.
"""

import os
import time
from collections.abc import Mapping
from hashlib import blake2b
from typing import Annotated, Any, Literal

from desk.bus.clock import Clock as Timekeeper
from desk.bus.clock import SystemClock
from desk.bus.types import U64, Integer
from desk.capabilities.atoms import Atom
from desk.capabilities.capability import Capability, operation
from desk.capabilities.level_atoms import ClockAtom
from desk.capabilities.provider import Use

TICK_NS = 1_000_000
"""Nanoseconds between two ticks of the coarse monotonic clock, on average."""

WALL_TICK_NS = 1_000_000_000
"""Nanoseconds between two ticks of the coarse wall clock, which come with the seconds."""

LONGEST_SLEEP_MS = 3_600_000
"""An hour: a call has ended long before, and for what is rarer there are the manifest's timers."""


def _level(clock: "Clock", request: Mapping[str, Any], use: Use) -> tuple[Atom, ...]:
    del clock, use
    return (ClockAtom.at(request["clock"] if request.get("fine") else f"{request['clock']}:coarse"),)


class Clock(Capability):
    """See the module's docstring."""

    name = "clock"

    def __init__(self, clock: Timekeeper | None = None) -> None:
        """`clock` is the monotonic clock, by default the machine's, which also decides how long sleeping takes."""
        self._clock = clock or SystemClock()
        self._key = os.urandom(16)

    def permission(self, text: str) -> Atom:
        """Like `wall:coarse`."""
        return ClockAtom.parse(text)

    @operation(needs=_level, at_once=True)
    async def now(self, clock: Literal["monotonic", "wall"], fine: bool = False) -> Annotated[int, U64]:
        """Nanoseconds: since 1970 in UTC (`wall`), or since some moment that stays the same while the host runs."""
        if clock == "wall":
            now = time.time_ns()
            return now if fine else now - now % WALL_TICK_NS
        now = round(self._clock.now() * 1_000_000_000)
        return now if fine else coarse(now, self._key)

    @operation(needs=None)
    async def sleep(self, milliseconds: Annotated[int, Integer("u32", 0, LONGEST_SLEEP_MS, wide=False)]) -> None:
        """Return after so many milliseconds, not before. The call's own deadline may end it earlier."""
        await self._clock.sleep_until(self._clock.now() + milliseconds / 1_000)


def coarse(now: int, key: bytes) -> int:
    """The tick that the coarse clock shows at `now`, in nanoseconds. It never goes back; `key` decides when ticks come."""
    tick, into = divmod(now, TICK_NS)
    drawn = blake2b(tick.to_bytes(8, "little"), digest_size=8, key=key).digest()
    comes = int.from_bytes(drawn, "little") % TICK_NS
    return max(0, tick if into >= comes else tick - 1) * TICK_NS
