"""What of the outside world a guest gets without asking: the time, and random numbers. WASI reads them from here.

`Sources` are the system's own. `Seeded` ones are a function of the seed and of what was read before, so that a guest of the
profile `deterministic` sees the same in every run, on every machine and every version of Python. Either way it is the caller
who rounds the time: what a guest may see of it is for WASI to say.
"""

import hashlib
import os
import time

REALTIME, MONOTONIC = 0, 1
"""Clocks, by their numbers in WASI: nanoseconds since 1970, and since some moment that stays the same."""


class Sources:
    """The system's clocks, and its secure random numbers."""

    __slots__ = ()

    def time_ns(self, clock: int) -> int:
        """What `REALTIME` or `MONOTONIC` shows, in nanoseconds."""
        return time.time_ns() if clock == REALTIME else time.monotonic_ns()

    def random(self, length: int) -> bytes:
        """So many random bytes."""
        return os.urandom(length)


class Seeded(Sources):
    """Clocks that show how often they were read, and random numbers that anyone who knows the seed can work out.

    Both clocks advance by `STEP_NS` whenever either is read: a guest that waits for a time gets there. The `n`th request for
    random bytes, counted from 0, is answered with the first bytes of SHAKE-256 of the text `desk seeded random 1: SEED, N`.
    """

    __slots__ = ("_readings", "_requests", "_seed")

    START_NS = 1_000_000_000 * 1_000_000_000
    """What the real-time clock shows first: 2001-09-09, 01:46:40 UTC. The monotonic clock begins at one step."""

    STEP_NS = 1_000_000
    """Nanoseconds between two readings."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._readings = 0
        self._requests = 0

    def time_ns(self, clock: int) -> int:
        """`START_NS` or `STEP_NS`, and a step for each earlier reading of any clock."""
        elapsed = self._readings * self.STEP_NS
        self._readings += 1
        return elapsed + (self.START_NS if clock == REALTIME else self.STEP_NS)

    def random(self, length: int) -> bytes:
        """So many bytes of the answer to this request."""
        text = f"desk seeded random 1: {self._seed}, {self._requests}"
        self._requests += 1
        return hashlib.shake_256(text.encode()).digest(length)


SYSTEM = Sources()
"""It has no state, so one is enough for all."""
