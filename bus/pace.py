"""How long one may go on in an event loop before everybody else has had a turn.

Whoever does something that takes time without waiting for anything calls `breathe` before. It returns at once for a
millisecond of work (`SLICE`), of all who work together; then it waits for a turn of the event loop, a few tasks at a time
(`ABREAST`) and in the order in which they came. So a thousand tasks that all have a millisecond of work delay the loop by a few
milliseconds in each of its turns, and not once by a second; and a thousand that have next to none are soon through.

Those who have had their first slice and want more (guests that compute) ask for `another`. They wait in a line of their own, so
that they delay what is short by one slice and not by as many as they are.
"""

import time

import anyio

SLICE = 0.001
"""Seconds of work between two turns of the event loop."""

ABREAST = 4
"""Tasks that go on in one turn of the loop, when many wait. Most have much less to do than a slice."""


class Pace:
    """See the module's docstring. One for each event loop that a bus lives in."""

    __slots__ = ("_first", "_more", "hungry", "until")

    def __init__(self) -> None:
        self.until = 0.0
        """Until when nobody need wait, by `time.monotonic()`. For those who save themselves the call of `breathe`."""
        self.hungry = 0
        """How many wait for another slice."""
        self._first = anyio.Semaphore(ABREAST)
        self._more = anyio.Lock()

    async def breathe(self) -> None:
        """Return when a slice of work may begin. A checkpoint, unless there was one within the last slice."""
        if time.monotonic() >= self.until:
            async with self._first:  # also where nobody else is there, this is a turn of the event loop
                self.until = time.monotonic() + SLICE

    async def another(self) -> None:
        """Return when one more slice may begin, always after a turn of the event loop."""
        self.hungry += 1
        try:
            async with self._more:
                pass
        finally:
            self.hungry -= 1
