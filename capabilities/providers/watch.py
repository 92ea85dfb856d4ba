"""What changes in a directory, watched: a resource that remembers until it is asked.

`start_watch` takes the open directory itself, so a watch sees what was decided, whatever its name leads to later. It has
two kinds: the kernel tells (`inotify`), or the names are compared once a second where it does not.
"""

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import Literal

import anyio

from desk.bus.wakeup import Wakeup
from desk.capabilities.codes import CapabilityError, Code
from desk.capabilities.providers.reading import is_nameable
from desk.capabilities.providers.threads import in_thread

What = Literal["created", "changed", "removed"]
"""What became of a name. A file that is renamed is removed under one name and created under the other."""

MAX_COMPARED = 10_000
"""Names of a directory that is compared; further ones are not seen."""

_EVERY = 1.0  # seconds between two comparisons


@dataclass(frozen=True, slots=True)
class Change:
    """One name in the directory, and what became of it."""

    name: str
    what: What


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened since the last time, oldest first."""

    changes: list[Change]
    lost: bool
    """Whether there was more than is remembered: list the directory to know what is there."""


class Watch(ABC):
    """One directory that is watched. It owns the open `directory`, which can be read, from the first moment."""

    def __init__(self, directory: int) -> None:
        self.identity = identity_of(os.fstat(directory))
        """Which directory it is."""
        self.closed = False

    @abstractmethod
    async def changes(self, seconds: float) -> Changes:
        """What has changed; nothing if nothing does for so many seconds. Raises `CapabilityError` when it is closed."""

    @abstractmethod
    def close(self) -> None:
        """End it, and wake who waits. Idempotent."""

    def check_open(self, busy: bool) -> None:
        """Raise `CapabilityError` if it is closed, or somebody is `busy` waiting for it."""
        if self.closed:
            raise closed()
        if busy:
            raise CapabilityError(Code.OVERLOADED, "somebody waits for this watch already")


def identity_of(found: os.stat_result) -> tuple[int, int]:
    """What makes a directory this one, as long as it is open somewhere."""
    return found.st_dev, found.st_ino


def closed() -> CapabilityError:
    """What who waits gets when a watch is closed meanwhile."""
    return CapabilityError(Code.UNAVAILABLE, "the watch is closed: its permission, its directory or its owner is gone")


class ComparingWatch(Watch):
    """Looks at all names again and again."""

    def __init__(self, directory: int) -> None:
        self._directory = directory
        self._closing = Wakeup()
        self._busy = False
        try:
            super().__init__(directory)
            self._seen = _names(directory)
        except BaseException:
            os.close(directory)
            raise

    async def changes(self, seconds: float) -> Changes:
        """See `Watch`."""
        self.check_open(self._busy)
        self._busy = True
        try:
            return await self._compare(anyio.current_time() + seconds)
        finally:
            self._busy = False
            if self.closed:
                os.close(self._directory)

    async def _compare(self, until: float) -> Changes:
        while True:
            names = await in_thread(partial(_names, self._directory))
            self.check_open(busy=False)
            found = [Change(name, "removed") for name in self._seen if name not in names]
            for name, state in names.items():
                before = self._seen.get(name)
                if before != state:
                    found.append(Change(name, "created" if before is None else "changed"))
            self._seen = names
            left = until - anyio.current_time()
            if found or left <= 0:
                return Changes(found, False)
            await self._closing.wait(min(left, _EVERY))

    def close(self) -> None:
        """See `Watch`."""
        if self.closed:
            return
        self.closed = True
        self._closing.set()
        if not self._busy:  # or else whoever waits closes it, when it has noticed
            os.close(self._directory)


def _names(directory: int) -> dict[str, tuple[int, int, int]]:
    """The names in a directory, each with what differs when it has changed. Raises `OSError`."""
    found: dict[str, tuple[int, int, int]] = {}
    with os.scandir(directory) as entries:
        for entry in entries:
            if len(found) >= MAX_COMPARED:
                break
            if not is_nameable(entry.name):
                continue
            try:
                state = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            found[entry.name] = (state.st_mtime_ns, state.st_size, state.st_ino)
    return found
