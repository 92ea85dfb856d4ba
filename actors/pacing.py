"""Where the first slice of a call is to be: in the event loop or in a worker thread. Learnt from the call before.

What an extension did last it will most likely do again. Most calls are over in microseconds, and a thread would cost more than
they do; an endless loop, a picture that is scaled, a text that is parsed hold the event loop up for the whole of their first
slice, which is long before the ticker notices.

    new     nothing is known: in the event loop, unless some guest computes for long just now; there may be many of its kind
    quick   its last call was over soon, or asked for something: in the event loop
    long    it was not: in a worker thread from the beginning, until it is quick there
"""

from typing import Literal, TypeAlias

Expected: TypeAlias = Literal["new", "quick", "long"]

SOON = 0.002
"""Seconds. More in one slice, in the event loop, is long."""

CUT = 1
"""Slices of a quick call in the event loop that may be over before it is: the system may take the processor away meanwhile."""


class Pacing:
    """What is expected of one extension's next call. It outlives its instances."""

    __slots__ = ("expected",)

    def __init__(self) -> None:
        self.expected: Expected = "new"

    def begins_here(self, computing: int) -> bool:
        """Whether the first slice is for the event loop; `computing` is how many guests are with the workers."""
        return self.expected == "quick" or (self.expected == "new" and not computing)

    def learn(self, slices: int, first: float | None) -> None:
        """A call is over that used up so many slices. `first`: seconds of its first, None if that was in a worker thread."""
        quick = slices == 0 if first is None else slices <= CUT and first < SOON
        self.expected = "quick" if quick else "long"
