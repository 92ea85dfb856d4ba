"""Where the first slice of a call is to be: in the event loop or in a worker thread. Learnt from the call before.

What an extension did last it will most likely do again. Most calls are over in microseconds, and a thread would cost more than
they do; an endless loop, a picture that is scaled, a text that is parsed hold the event loop up for the whole of their first
slice, which is long before the ticker notices.

    new     nothing is known: in the event loop, unless some guest computes for long just now; there may be many of its kind
    quick   its last call was over soon, or asked for something: in the event loop
    long    its last call used up slices, or a few in a row took long: in a worker thread, until it is quick there
"""

from typing import Literal, TypeAlias

from desk.actors.engine.pump import Pump

Expected: TypeAlias = Literal["new", "quick", "long"]

SOON = 0.002
"""Seconds. A first slice in the event loop that takes more comes late."""

# The system may take the processor away in the middle of a short call. So there is some patience:
CUT = 1
"""slices that a quick call may use up in the event loop,"""
LATE = 2
"""and so many in a row that come late."""


class Forecast:
    """What is expected of one extension's next call. It outlives its instances."""

    __slots__ = ("_late", "expected")

    def __init__(self) -> None:
        self.expected: Expected = "new"
        self._late = 0

    def begins_here(self, pump: Pump) -> bool:
        """Whether the first slice is for the event loop."""
        return self.expected == "quick" or (self.expected == "new" and not pump.computing)

    def learn(self, slices: int, first: float | None) -> None:
        """A call is over that used up so many slices. `first`: seconds of its first, None if that was in a worker thread."""
        if first is None:
            quick = slices == 0
        else:
            self._late = self._late + 1 if first >= SOON else 0
            quick = slices <= CUT and self._late <= LATE
        self.expected = "quick" if quick else "long"
