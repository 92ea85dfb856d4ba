"""What lies beneath a granted directory, opened: the only way in which the files of guests are touched.

A path string means something else each time it is looked up. So the directory that a permission speaks of is opened once
(`roots`), and everything below is opened relative to it, in one step that follows no symbolic link: the object that is found is
the object that is used. What it is, is asked of the open file and not of its name, before a byte is read or written.
"""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from desk.capabilities.codes import CapabilityError, Code, PermissionDenied
from desk.capabilities.providers import openat2, portable_open
from desk.capabilities.providers.kernel_files import is_of_kernel
from desk.capabilities.syntax import shown

Open = Callable[[int, str, int, int], int]
"""Opens a path below an open directory, with flags and mode: `openat2.open_beneath` or `portable_open.open_beneath`."""

Kind = Literal["file", "directory", "link", "other"]
"""What a name stands for."""

PASSING: int = getattr(os, "O_PATH", os.O_RDONLY)
"""How to open a directory in which things are only looked up."""

# A FIFO would make us wait for somebody to open its other end, a terminal would become ours.
_CAREFUL = os.O_NONBLOCK | os.O_NOCTTY


def best_open() -> Open:
    """The one to use on this computer."""
    return openat2.open_beneath if openat2.supported() else portable_open.open_beneath


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request leads: a path beneath an open directory."""

    root: int
    """The directory, as a file descriptor that is somebody else's to close."""
    path: str
    """Names joined by `/`; empty for the directory itself."""
    said: str
    """The whole path as the guest said it, for messages."""
    own: bool
    """Whether it is the extension's own."""
    device: int
    """The file system that the directory is on."""
    open: Open

    def refused(self, why: str) -> PermissionDenied:
        """The error for what is there and may not be used, for example because it `is a device`."""
        return PermissionDenied(f"{shown(self.said)} {why}")


def kind_of(mode: int) -> Kind:
    """What an `st_mode` says."""
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "directory"
    return "link" if stat.S_ISLNK(mode) else "other"


def open_regular(place: Place, flags: int, mode: int = 0) -> tuple[int, os.stat_result]:
    """Open a regular file, and say what it is. Raises `OSError`; `PermissionDenied` for devices, FIFOs, and the kernel's files.

    One that has further names is opened only for reading: a write through this name would change what may be another grant's.
    """
    file = place.open(place.root, place.path or ".", flags | _CAREFUL, mode)
    try:
        found = os.fstat(file)
        if stat.S_ISDIR(found.st_mode):
            raise CapabilityError(Code.INVALID, f"{shown(place.said)} is a directory")
        if not stat.S_ISREG(found.st_mode):
            raise place.refused("is neither a file nor a directory")
        if found.st_nlink > 1 and flags & (os.O_WRONLY | os.O_RDWR):
            raise place.refused("has further names (hard links), and may be read, but not written")
        _check_kernel(file, found, place)
    except BaseException:
        os.close(file)
        raise
    return file, found


def open_directory(place: Place, path: str, flags: int = PASSING) -> tuple[int, os.stat_result]:
    """Open the directory `path` of the place's root, and say what it is. Raises `OSError`, `PermissionDenied`."""
    directory = place.open(place.root, path or ".", flags | os.O_DIRECTORY, 0)
    try:
        found = os.fstat(directory)
        _check_kernel(directory, found, place)
    except BaseException:
        os.close(directory)
        raise
    return directory, found


def open_parent(place: Place, flags: int = PASSING) -> tuple[int, bytes]:
    """Open the directory that a place is in, and say under which name. Raises as `open_directory`."""
    above, _, name = place.path.rpartition("/")
    if not name:
        raise CapabilityError(
            Code.INVALID, f"{shown(place.said)} is the granted directory itself; this is for what is in it"
        )
    return open_directory(place, above, flags)[0], name.encode()


def look(directory: int, name: bytes) -> os.stat_result | None:
    """What the name stands for in an open directory, a link for itself; None if there is nothing. Raises `OSError`."""
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _check_kernel(file: int, found: os.stat_result, place: Place) -> None:
    if found.st_dev != place.device and is_of_kernel(file):
        raise place.refused("belongs to the operating system, and is not for extensions")
