"""Timers: something happens every so often, and never more often than it can be handled.

    async for tick in Ticks(clock, parse_interval("5m")):
        ...                                             # the loop's body is the handler

Ticks are due at fixed times, whole intervals after the timer was made, however long handling takes: a timer does not
drift. They do not pile up either. Those that came due while the body ran, or while the process was stopped, are one tick,
the latest of them, which says how many it stands for besides itself.
"""

import math
import re
from collections.abc import Mapping
from typing import NamedTuple, Self

from desk.bus.clock import Clock
from desk.bus.errors import DeskError
from desk.bus.ron.text import shown

MIN_INTERVAL, MAX_INTERVAL = 0.1, 365 * 86_400.0
"""Seconds. What should happen more often than ten times a second reacts to events; what is rarer than a year is a date."""

_MILLISECONDS: Mapping[str, int] = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_INTERVAL = re.compile(r"(?:every )?(0|[1-9][0-9]*)([a-z]+)")
_LONGEST = 40  # characters; what fits has few digits
_EXPECTED = f'expected one whole number and a unit ({", ".join(_MILLISECONDS)}), as in "every 5m" or "every 500ms"'
_RANGE = "an interval is 100ms to 365d"


class TimerError(DeskError):
    """What was given is no interval. The doing of who wrote it: the author of a manifest, or the caller. No retry."""

    doing = "author"
    retry = "never"


class Tick(NamedTuple):
    """One beat of a timer."""

    number: int
    """Intervals since the timer was made, from 1. Numbers rise, and leave out as many as were missed."""
    due: float
    """When it should have come, in seconds of the timer's clock. It comes at that time or later, never earlier."""
    missed: int
    """How many came due before this one, and since the last, that nobody was told of."""


def parse_interval(text: str) -> float:
    """The seconds in `"5m"` or `"every 5m"`: a whole number of ms, s, m, h or d, from 100 ms to 365 days.

    Raises `TimerError` that says what was expected.
    """
    # It comes from untyped code, too.
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TimerError(f"{_EXPECTED}, not {type(text).__name__}")
    found = _INTERVAL.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None or found[2] not in _MILLISECONDS:
        raise TimerError(f"{_EXPECTED}, found {shown(text)}")
    seconds = int(found[1]) * _MILLISECONDS[found[2]] / 1_000
    if not MIN_INTERVAL <= seconds <= MAX_INTERVAL:
        raise TimerError(f"{_RANGE}, found {shown(text)}")
    return seconds


class Ticks:
    """An endless async iterator of `Tick`: the first is due `seconds` after this is made. See the module's docstring.

    It holds nothing while nobody iterates, needs no closing, and goes on where it was after a cancellation. If several
    tasks iterate over one, each tick goes to one of them. Raises `TimerError` unless `seconds` is 100 ms to 365 days.
    """

    __slots__ = ("_clock", "_next", "_start", "seconds")

    def __init__(self, clock: Clock, seconds: float) -> None:
        # It comes from untyped code, too.
        if type(seconds) not in (int, float) or not MIN_INTERVAL <= seconds <= MAX_INTERVAL:  # NaN is not, either
            raise TimerError(f"{_RANGE}, found {seconds!r:.40} seconds")
        self.seconds = seconds
        """The interval."""
        self._clock = clock
        self._start = clock.now()
        self._next = 1

    def __repr__(self) -> str:
        """Like `<Ticks: every 300 s, number 4 in 12.5 s>`; a tick that waits to be taken is due in less than 0 s."""
        return f"<Ticks: every {self.seconds:g} s, number {self._next} in {self._due(self._next) - self._clock.now():.3g} s>"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Tick:
        while True:
            await self._clock.sleep_until(self._due(self._next))
            now = self._clock.now()
            if now >= self._due(self._next):  # or else another task has taken this one
                break
        first, latest = self._next, math.floor((now - self._start) / self.seconds)
        if self._due(latest) > now:  # the division has been rounded up
            latest -= 1
        number = max(first, latest)
        self._next = number + 1
        return Tick(number, self._due(number), number - first)

    def _due(self, number: int) -> float:
        return self._start + number * self.seconds
