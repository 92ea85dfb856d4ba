"""How much an extension keeps below its own roots: counted, so that it cannot fill the disk.

Everything is measured once, by walking through it, and from then on each change says what it adds. A file counts as the blocks
that its size fills, however empty it is inside, and a directory as one block: a million empty files are not nothing. One
change at a time, because each begins with what is left.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

import anyio

from desk.capabilities.codes import CapabilityError, Code
from desk.capabilities.providers.beneath import Open, look

BLOCK = 4096
"""Bytes that the smallest thing counts as."""

_READING = os.O_RDONLY | os.O_DIRECTORY


@dataclass(slots=True, eq=False)
class Storage:
    """What one extension keeps."""

    used: int | None = None
    """Bytes, or None if they must be measured."""
    changing: anyio.Lock = field(default_factory=lambda: anyio.Lock(fast_acquire=True))
    """Held by who changes it."""


def cost(found: os.stat_result | None) -> int:
    """What one thing counts as, in bytes; nothing if there is nothing."""
    if found is None:
        return 0
    return cost_of(found.st_size) if stat.S_ISREG(found.st_mode) else BLOCK


def cost_of(size: int) -> int:
    """What a file of `size` bytes counts as."""
    return max(1, -(-size // BLOCK)) * BLOCK


def check_room(more: int, room: int) -> None:
    """Raise `CapabilityError(OVERLOADED)` if there is no `room` for `more` bytes."""
    if more > room:
        raise CapabilityError(
            Code.OVERLOADED,
            f"this takes {more:,} bytes, and {max(room, 0):,} are left of what the extension may keep (limit: storage)",
        )


def measure(root: int, open_: Open) -> int:
    """What lies beneath an open directory, in bytes. Raises `OSError`."""
    return sum(cost(found) for _, _, _, found in _walk(root, open_))


def empty(root: int, open_: Open) -> None:
    """Remove all that lies beneath an open directory. Raises `OSError`."""
    directories: list[str] = []
    for directory, name, path, found in _walk(root, open_):
        if stat.S_ISDIR(found.st_mode):
            directories.append(path)
        else:
            os.unlink(name, dir_fd=directory)
    for path in reversed(directories):  # what is inside another was found after it
        above, _, name = path.rpartition("/")
        directory = open_(root, above or ".", _READING, 0)
        try:
            os.rmdir(name, dir_fd=directory)
        finally:
            os.close(directory)


def _walk(root: int, open_: Open) -> Iterator[tuple[int, str, str, os.stat_result]]:
    """Everything beneath: the open directory it is in, its name there, its path beneath `root`, and what it is."""
    waiting = [""]
    while waiting:
        path = waiting.pop()
        directory = open_(root, path or ".", _READING, 0)
        try:
            for name in os.listdir(directory):
                found = look(directory, os.fsencode(name))
                if found is None:
                    continue
                below = f"{path}/{name}" if path else name
                if stat.S_ISDIR(found.st_mode):
                    waiting.append(below)
                yield directory, name, below, found
        finally:
            os.close(directory)
