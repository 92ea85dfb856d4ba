"""What one call may use: wall time and processor time.

Two limits hold for all of a call. The *wall* deadline is for whoever waits for the guest. What the guest itself waits for is cut
short a little before, and answered as too late: a slow peer is no reason to kill the one who asked it. The *CPU* budget is
for everyone else: processor time spent inside the guest, but for a first slice in the event loop, and reading what it sends.
A hungry guest yields once a tick, so a kill is a tick or two late.
"""

import time

from desk.actors.errors import Killed
from desk.actors.limits import Limits

_LAST_WORD = (0.1, 0.05)
"""What is left of the wall time when waiting ends: this share of it, or this many seconds if that is more, but at most half."""


class Budget:
    """What one call may use that began at `began`: wall time until `deadline` (`time.monotonic()`), and processor time."""

    __slots__ = ("_limits", "_seconds", "_spent", "_wall", "deadline")

    def __init__(self, limits: Limits, began: float, *, starting: bool = False) -> None:
        self._limits = limits
        self._wall = "start_ms" if starting else "wall_ms"
        self._seconds = (limits.start_ms if starting else limits.wall_ms) / 1000
        self._spent = 0.0
        self.deadline = began + self._seconds

    @property
    def wait_until(self) -> float:
        """When waiting ends, so that the guest can still say something about it."""
        share, least = _LAST_WORD
        return self.deadline - min(self._seconds / 2, max(least, share * self._seconds))

    def charge(self, cpu: float) -> None:
        """Count `cpu` seconds that somebody else has used for the guest."""
        self._spent += cpu

    def spend(self, cpu: float) -> None:
        """Count `cpu` seconds. Raises `Killed` if there is nothing left."""
        self._spent += cpu
        if self._wall == "wall_ms" and self._spent * 1000 > self._limits.cpu_ms:
            raise self._killed("cpu_ms", "it computed longer than one message may")
        if time.monotonic() > self.deadline:
            raise self._killed(self._wall, "it was still at work at the end of its wall time")

    def _killed(self, limit: str, detail: str) -> Killed:
        return Killed(limit, f"{detail} ({limit} = {getattr(self._limits, limit):,})")
