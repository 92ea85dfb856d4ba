"""How often one source may write to a log: a bucket of lines that fills at a steady rate.

Somebody else decides how often a guest says something, and every line costs room on a disk. So lines are taken from a
bucket; what comes while it is empty is counted, and the count is told by one line, which is taken from the bucket like any
other. However a flood is spread over calls, instances or time, the log has at most `burst + rate * seconds` lines of it.
"""

import time
from collections.abc import Callable


class LogRate:
    """See the module's docstring. One for each source, for as long as the source can talk."""

    __slots__ = ("_burst", "_clock", "_lines", "_rate", "_then", "dropped")

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`rate` is lines a second, `burst` how many may come at once after a silence. `clock` gives seconds."""
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._lines = float(burst)
        self._then = clock()
        self.dropped = 0
        """Lines that were not written, and not told of yet."""

    def take(self) -> bool:
        """Whether a line may be written now; then it counts as written. Whoever drops it otherwise counts it in `dropped`."""
        now = self._clock()
        self._lines = min(self._burst, self._lines + max(0.0, now - self._then) * self._rate)
        self._then = now
        if self._lines < 1:
            return False
        self._lines -= 1
        return True

    def take_note(self) -> int:
        """How many lines were dropped, if there were any and a line may tell of it now; else 0."""
        if not self.dropped or not self.take():
            return 0
        dropped, self.dropped = self.dropped, 0
        return dropped
