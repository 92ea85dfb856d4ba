"""A watch for which the kernel of Linux keeps the books: `inotify`, on the open directory.

The kernel wants a path, and gets that of our own file descriptor, `/proc/self/fd/N`, which leads to the directory that is open
and nowhere else. It remembers some sixteen thousand events and then says that it lost some, so nothing grows here. It has few
such books for each user (128, usually), so few of them are for guests.
"""

import ctypes
import errno
import os
import struct
import sys
from collections.abc import Iterator
from functools import cache
from typing import Final

import anyio

from desk.capabilities.codes import CapabilityError, Code
from desk.capabilities.providers.reading import is_nameable
from desk.capabilities.providers.watch import Change, Changes, ComparingWatch, Watch, What, closed

_HEADER = struct.Struct("iIII")  # watch, what, cookie, length of the name
_ROOM = 16 << 10  # bytes read at one time: at most 512 events with names

_CHANGED: Final = 0x2  # MODIFY
_CREATED: Final = 0x100 | 0x80  # CREATE, MOVED_TO
_REMOVED: Final = 0x200 | 0x40  # DELETE, MOVED_FROM
_GONE: Final = 0x400 | 0x800  # DELETE_SELF, MOVE_SELF
_ONLYDIR: Final = 0x0100_0000
_UNMOUNT, _OVERFLOW, _IGNORED = 0x2000, 0x4000, 0x8000


def start_watch(directory: int) -> Watch:
    """Watch an open directory, which is the watch's to close from now on. Raises `OSError`."""
    return InotifyWatch(directory) if supported() else ComparingWatch(directory)


@cache
def supported() -> bool:
    """Whether this system has it, and `/proc` to name what is open."""
    return sys.platform == "linux" and os.path.isdir("/proc/self/fd")


class InotifyWatch(Watch):
    """One directory. The kernel remembers what happens until it is read."""

    def __init__(self, directory: int) -> None:
        try:
            super().__init__(directory)
            self._file = _call("inotify_init1", os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                path = f"/proc/self/fd/{directory}".encode()
                _call("inotify_add_watch", self._file, path, _CHANGED | _CREATED | _REMOVED | _GONE | _ONLYDIR)
            except BaseException:
                os.close(self._file)
                raise
        finally:
            os.close(directory)
        self._busy = False

    async def changes(self, seconds: float) -> Changes:
        """See `Watch`."""
        self.check_open(self._busy)
        self._busy = True
        try:
            with anyio.move_on_after(seconds):
                while True:
                    found = self._read()
                    if found.changes or found.lost:
                        return found
                    await anyio.wait_readable(self._file)
                    self.check_open(busy=False)
            return Changes([], False)
        except anyio.ClosedResourceError:
            raise closed() from None
        finally:
            self._busy = False
            if self.closed:
                os.close(self._file)

    def _read(self) -> Changes:
        try:
            raw = os.read(self._file, _ROOM)
        except BlockingIOError:
            return Changes([], False)
        found: list[Change] = []
        lost = False
        for mask, name in _events(raw):
            lost = lost or bool(mask & _OVERFLOW)
            if mask & (_GONE | _UNMOUNT | _IGNORED):
                self.close()
                raise closed()
            what: What = "changed" if mask & _CHANGED else "created" if mask & _CREATED else "removed"
            if name and is_nameable(name) and (not found or found[-1] != Change(name, what)):
                found.append(Change(name, what))
        return Changes(found, lost)

    def close(self) -> None:
        """See `Watch`."""
        if self.closed:
            return
        self.closed = True
        if self._busy:  # whoever waits closes the file itself: until then its number is not another's
            anyio.notify_closing(self._file)
        else:
            os.close(self._file)


def _events(raw: bytes) -> Iterator[tuple[int, str]]:
    """What happened, and to which name, in the order of the kernel's records."""
    at = 0
    while at < len(raw):
        _, mask, _, length = _HEADER.unpack_from(raw, at)
        at += _HEADER.size
        yield mask, os.fsdecode(raw[at : at + length].rstrip(b"\0"))
        at += length


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(function: str, *arguments: object) -> int:
    result = int(getattr(_libc(), function)(*arguments))
    if result < 0:
        number = ctypes.get_errno()
        if number in (errno.ENOSPC, errno.EMFILE):  # inotify's own limits for a user, whatever the words say
            raise CapabilityError(Code.OVERLOADED, "the computer has too many watches; close one first")
        raise OSError(number, os.strerror(number))
    return result
