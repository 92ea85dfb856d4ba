"""A file of lines that never becomes larger than agreed: `audit.jsonl`, and before it `audit.jsonl.1`, `audit.jsonl.2`, …

When the next line does not fit any more, the file is renamed, and the oldest one is forgotten. It belongs to one writer: a
second one is refused, since each would rename what the other is writing. Nobody else may read it, and what stands at its
place is used only if it is a plain file of our own: not a link to another one, not a pipe.

A line that could be written only in part stays, with an end: whoever reads it will find that it is none.
"""

import fcntl
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path


class RotatingFile:
    """See the module's docstring. It is opened at once; raises `OSError`."""

    def __init__(self, path: Path | str, max_bytes: int, keep: int) -> None:
        """`max_bytes` is of one file, `keep` how many older ones there may be. Raises `ValueError` for less than 1 and 0."""
        if max_bytes < 1 or keep < 0:
            raise ValueError(f"expected max_bytes of 1 or more, and keep of 0 or more; got {max_bytes} and {keep}")
        self.path = Path(path)
        self._max_bytes = max_bytes
        self._keep = keep
        self._size = 0
        self._descriptor = -1
        self._torn = False
        self.error: OSError | None = None
        """Why a line could not be written, the last time that one could not."""
        self._open()

    def write(self, lines: Sequence[bytes]) -> int:
        """Append lines, each with its end; returns how many of them, from the first, are now in the file. Never raises.

        Fewer than all: there was no room, or no permission, and the next call tries again.
        """
        done = 0
        try:
            while done < len(lines):
                if self._descriptor < 0:
                    self._open()
                count = self._fitting(lines, done)
                if not count and self._size:
                    self._rotate()
                    continue
                count = max(count, 1)  # one that is longer than a file may be is a file of its own
                whole = self._append(lines[done : done + count])
                done += whole
                if whole < count:
                    break
        except OSError as error:
            self.error = error
        return done

    def close(self) -> None:
        """Close it. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
        descriptor = os.open(self.path, flags, 0o600)
        try:
            self._size, self._torn = _claim(descriptor, self.path)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def _fitting(self, lines: Sequence[bytes], start: int) -> int:
        """How many lines from `start` on fit into what is left of this file."""
        room = self._max_bytes - self._size - self._torn
        count = 0
        while start + count < len(lines) and (room := room - len(lines[start + count])) >= 0:
            count += 1
        return count

    def _append(self, lines: Sequence[bytes]) -> int:
        data = b"\n" * self._torn + b"".join(lines)
        written = 0
        try:
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        except OSError as error:
            self.error = error
        self._size += written
        if written == len(data):
            self._torn = False
            return len(lines)
        if not written:
            return 0
        left, whole = written - self._torn, 0
        while left >= len(lines[whole]):
            left -= len(lines[whole])
            whole += 1
        self._torn = left > 0
        return whole

    def _rotate(self) -> None:
        """Make room: rename what there is, from the oldest to the newest. Others may have renamed or removed it meanwhile."""
        for number in range(self._keep, 0, -1):
            older = self._numbered(number)
            newer = self._numbered(number - 1)
            with suppress(FileNotFoundError):
                os.replace(newer, older)
        self.path.unlink(missing_ok=True)
        self.close()
        self._open()

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}") if number else self.path


def _claim(descriptor: int, path: Path) -> tuple[int, bool]:
    """Make sure of the file that was opened; its size, and whether its last line has no end."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_nlink != 1:
        raise OSError(f"{path} is not a plain file of our own, with one name; expected one, or none yet")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OSError(f"{path} is being written by another; expected a file for each writer") from None
    os.fchmod(descriptor, 0o600)
    return found.st_size, bool(found.st_size) and os.pread(descriptor, 1, found.st_size - 1) != b"\n"
