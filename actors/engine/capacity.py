"""How many instances there may be: as many as the operator allows a host, and as many as the system allows the process.

Every instance takes memory maps of the process: five, up to seven in the profile `image`, and a module of its own takes two or
three more. Linux has a limit for them, `vm.max_map_count`, 65,530 unless it was raised: enough for 6,000 to 12,000
instances. Beyond it wasmtime is told "cannot allocate memory", and so may be whatever else in the process wants some. So this
stops earlier, with an error that says what to do.

How many maps are taken is looked up, not reckoned: the app takes some, too. A look costs about half a microsecond for each, so
one that finds room for n more instances holds for the next n / 2 of them. Where the system does not tell (not Linux), only
`max_instances` counts.

Instances are made in event loops, and freed wherever the garbage collector runs, which is why nothing here is locked: a set of
numbers takes and gives up a number in one step. Two loops in two threads may go over a limit by one; the reserve covers it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from desk.actors.errors import TooManyInstances

MAPS_EACH = 10
"""Memory maps that there must be for one more instance: seven, and three for its code."""

REMEMBERED = 1.0
"""Seconds for which a look that found no room holds, unless an instance goes: a look takes tens of milliseconds then."""

RESERVE = 16
"""One in so many of the allowed maps is kept for everything else in the process."""


@dataclass(frozen=True, slots=True)
class Maps:
    """Memory maps of this process."""

    taken: int
    allowed: int

    @property
    def room(self) -> int:
        """For how many more instances there is room."""
        return max(0, self.allowed - self.allowed // RESERVE - self.taken) // MAPS_EACH


def look() -> Maps | None:
    """What Linux says now; None where there is no Linux, or it does not tell."""
    try:
        with open("/proc/sys/vm/max_map_count", "rb") as file:
            allowed = int(file.read())
        with open("/proc/self/maps", "rb") as file:
            taken = sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 16), b""))
    except (OSError, ValueError):
        return None
    return Maps(taken, allowed)


class Process:
    """All instances of a process, and when to look next whether the system has room for more."""

    def __init__(self, look: Callable[[], Maps | None] = look, clock: Callable[[], float] = time.monotonic) -> None:
        self.live: set[int] = set()
        self._look = look
        self._clock = clock
        self._enough = 0
        """As long as there are fewer instances than this, there is room for one more."""
        self._full: tuple[int, float, str] | None = None
        """There was no room: with how many instances, until when that is taken for granted, and what to say."""

    def check(self) -> None:
        """Raise `TooManyInstances` if there is no room for one more."""
        if len(self.live) < self._enough:
            return
        if self._full and len(self.live) >= self._full[0] and self._clock() < self._full[1]:
            raise TooManyInstances(self._full[2])
        maps = self._look()
        if maps is None:
            return
        if not maps.room:
            detail = (
                f"no room for another instance: this process has {len(self.live):,}, and {maps.taken:,} memory maps of the "
                f"{maps.allowed:,} that the system allows, some of which are kept for the rest of it. "
                f"Raise that number (sysctl vm.max_map_count={2 * maps.allowed}), or run fewer extensions"
            )
            self._full = len(self.live), self._clock() + REMEMBERED, detail
            raise TooManyInstances(detail)
        self._enough = len(self.live) + 1 + maps.room // 2


PROCESS = Process()


class Capacity:
    """How many instances one host may have. `claim` before making one, `release` when it is gone, from any thread."""

    def __init__(self, limit: int | None = None, process: Process = PROCESS) -> None:
        """`limit` is a count, None for as many as the system allows. Raises `ValueError` for anything else."""
        if limit is not None and (type(limit) is not int or limit < 1):
            raise ValueError(
                f"a host has room for at least 1 instance: max_instances is a whole number from 1, not {limit!r}"
            )
        self.limit = limit
        self._process = process
        self._live: set[int] = set()

    def __repr__(self) -> str:
        """Like `<Capacity: 3 of 100 instances>`."""
        return f"<Capacity: {self.live} of {'any number of' if self.limit is None else self.limit} instances>"

    @property
    def live(self) -> int:
        """Instances that there are."""
        return len(self._live)

    def claim(self, instance: object) -> None:
        """Count it. Raises `TooManyInstances`, and it must not be made, if there is no room for it."""
        if self.limit is not None and self.live >= self.limit:
            raise TooManyInstances(
                f"no room for another instance: this host has {self.live:,}, as many as it may "
                f"(Host(max_instances={self.limit})). Raise that number, or remove an extension"
            )
        self._process.check()
        self._live.add(id(instance))
        self._process.live.add(id(instance))

    def release(self, instance: object) -> None:
        """Count it no more. Idempotent, and safe in a finalizer."""
        self._live.discard(id(instance))
        self._process.live.discard(id(instance))


ANY = Capacity()
"""For instances without a host."""
