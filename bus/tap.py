"""A tap: everything that goes over the bus, for a person who looks for a fault.

    async with bus.tap("weather.**") as seen:
        async for sight in seen:
            print(sight)          # request 7 ext.weather-widget.render (640, 480) from the app

It is bounded and lossy: what it sees is never slowed down by it. Beyond its capacity the oldest sights are gone, and counted.
"""

import reprlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from desk.bus.envelope import Envelope
from desk.bus.subjects import Pattern
from desk.bus.wakeup import Wakeup

TAP_CAPACITY = 1_000
"""Sights that a tap keeps for its reader. Each keeps its message's payload alive."""

MOST_KEPT = 1_000_000
"""The most that one may ask for."""


_SHOWN = 200
"""Characters of a result."""


class Act(StrEnum):
    """What was seen."""

    PUBLISH = "publish"
    REQUEST = "request"
    ANSWER = "answer"
    FAILURE = "failure"
    DEAD = "dead letter"


@dataclass(frozen=True, slots=True)
class Sight:
    """One act with its message. `detail` is the error or reason, if there is one."""

    act: Act
    envelope: Envelope
    detail: str = ""
    at: float = field(default_factory=time.time)
    """When, in seconds since the epoch."""

    def __str__(self) -> str:
        """Like `answer to request 7 calc.add (1, 2) from the app: 3`."""
        what = repr(self.envelope)[1:-1]
        said = what if self.act in (Act.PUBLISH, Act.REQUEST) else f"{self.act} to {what}"
        return f"{said}: {self.detail}" if self.detail else said


class _Brief(reprlib.Repr):
    """What can be read of a large value, without making the text of all of it first."""

    def repr_bytes(self, x: bytes, level: int) -> str:
        return repr(x) if len(x) <= _SHOWN else f"{len(x):,} bytes"


_BRIEF = _Brief()
_BRIEF.maxstring = _SHOWN


def brief(value: object) -> str:
    """Like its `repr`, with what is long in it cut: nobody who sends a megabyte is to pay for a reader's text of it."""
    return _BRIEF.repr(value)[:_SHOWN]


class Tap:
    """See the module's docstring. Iterate over it inside `with` or `async with`, or take what is there with `sights()`."""

    def __init__(self, pattern: Pattern, capacity: int, close: Callable[["Tap"], None]) -> None:
        if type(capacity) is not int or not 1 <= capacity <= MOST_KEPT:
            raise ValueError(f"a tap keeps 1 to {MOST_KEPT:,} sights, not {capacity!r:.40}")
        self.pattern = pattern
        self.missed = 0
        """Sights that are gone because they were not read in time."""
        self._seen: deque[Sight] = deque(maxlen=capacity)
        self._close = close
        self._closed = False
        self._arrival: Wakeup | None = None

    def __repr__(self) -> str:
        """Like `<Tap **: 12 seen, 0 missed>`."""
        return f"<Tap {self.pattern}: {len(self._seen)} seen, {self.missed} missed>"

    def show(self, act: Act, envelope: Envelope, detail: str = "") -> None:
        """See one act, if its subject matches."""
        if not self.pattern.matches(envelope.subject):
            return
        if len(self._seen) == self._seen.maxlen:
            self.missed += 1
        self._seen.append(Sight(act, envelope, detail))
        self._wake()

    def sights(self) -> list[Sight]:
        """All that was seen and not read yet, oldest first; they are read with it."""
        seen = list(self._seen)
        self._seen.clear()
        return seen

    def close(self) -> None:
        """See no more. Idempotent."""
        self._closed = True
        self._close(self)
        self._wake()

    def _wake(self) -> None:
        if self._arrival is not None:
            self._arrival.set()
            self._arrival = None

    def __aiter__(self) -> Self:
        """The tap itself: it is its own iterator."""
        return self

    async def __anext__(self) -> Sight:
        """The next sight, waiting for it; the end when the tap is closed and all is read."""
        while not self._seen:
            if self._closed:
                raise StopAsyncIteration
            if self._arrival is None:
                self._arrival = Wakeup()
            await self._arrival.wait()
        return self._seen.popleft()

    def __enter__(self) -> Self:
        """The tap, which sees already."""
        return self

    def __exit__(self, *exc: object) -> None:
        """See no more."""
        self.close()

    async def __aenter__(self) -> Self:
        """The same as `with`."""
        return self

    async def __aexit__(self, *exc: object) -> None:
        """The same as `with`."""
        self.close()
