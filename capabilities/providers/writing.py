"""Changing what lies beneath a granted directory: the four ways to write a file, renaming, removing, making a directory.

    create    a file that is not there yet
    replace   the whole of a file, or a new one; whoever reads it meanwhile sees the old content or the new, never a part
    append    at the end, wherever that is by then; a new file if there is none
    update    from `offset` on, of a file that is there

Each function does one change, blocking, and says what it adds to what is stored; `room` is how much may be added. Nothing is
written through a name that a link or a second hard link could have made another's: `desk.capabilities.providers.beneath`.
"""

import errno
import os
import secrets
import stat
from typing import Literal

from desk.capabilities.codes import CapabilityError, Code
from desk.capabilities.providers.beneath import PASSING, Place, kind_of, look, open_parent, open_regular
from desk.capabilities.providers.quota import BLOCK, check_room, cost, cost_of
from desk.capabilities.syntax import shown

Mode = Literal["create", "replace", "append", "update"]
"""How to write."""

MAX_FILE = 1 << 30
"""Bytes of the largest file that can be written, wherever it is: one write far behind the end would make a larger one."""


def write(place: Place, room: int, *, data: bytes, mode: Mode, offset: int, durable: bool) -> tuple[int, int]:
    """Write `data`; returns the size of the file, and what was added, in bytes. Raises `OSError`, `CapabilityError`.

    `durable`: it is on the disk, not only on its way there, when this returns.
    """
    if offset and mode != "update":
        raise CapabilityError(Code.INVALID, f"an offset is for the mode update, not for {mode}")
    _check_size(offset + len(data), place)
    match mode:
        case "create":
            return _create(place, data, durable, room)
        case "replace":
            return _replace(place, data, durable, room)
        case "append":
            return _append(place, data, durable, room)
        case "update":
            file, found = open_regular(place, os.O_WRONLY)
            return _go_on(file, found, place, data, offset, durable, room)


def make_directory(place: Place, room: int) -> tuple[None, int]:
    """Make a directory in one that there is. Raises as `write`."""
    check_room(BLOCK, room)
    parent, name = open_parent(place)
    try:
        os.mkdir(name, 0o700 if place.own else 0o777, dir_fd=parent)
    finally:
        os.close(parent)
    return None, BLOCK


def remove(place: Place, room: int) -> tuple[None, int]:
    """Remove a file, a symbolic link itself, or an empty directory. Raises as `write`."""
    del room
    parent, name = open_parent(place)
    try:
        found = _existing(parent, name)
        match kind_of(found.st_mode):
            case "directory":
                os.rmdir(name, dir_fd=parent)
            case "file" | "link":
                os.unlink(name, dir_fd=parent)
            case "other":
                raise place.refused("is neither a file nor a directory")
    finally:
        os.close(parent)
    return None, -cost(found)


def rename(old: Place, new: Place, room: int) -> tuple[None, int]:
    """Give a regular file another name, which may be that of another regular file: that one is replaced. Raises as `write`.

    Not a directory: what permissions and rules say about paths inside of it would be said about other files.
    """
    before, old_name = open_parent(old)
    try:
        after, new_name = open_parent(new)
        try:
            moved, replaced = _existing(before, old_name), look(after, new_name)
            for place, found in ((old, moved), (new, replaced)):
                if found is not None and not stat.S_ISREG(found.st_mode):
                    raise CapabilityError(Code.INVALID, f"{shown(place.said)} is no file, and only files are renamed")
            same = replaced is not None and os.path.samestat(moved, replaced)
            added = (cost(moved) - cost(replaced) if new.own else 0) - (cost(moved) if old.own else 0)
            check_room(added, room)
            os.rename(old_name, new_name, src_dir_fd=before, dst_dir_fd=after)
        except OSError as error:
            if error.errno == errno.EXDEV:
                raise CapabilityError(
                    Code.INVALID,
                    f"{shown(new.said)} is on another file system; read the file, write it there, remove it",
                ) from None
            raise
        finally:
            os.close(after)
    finally:
        os.close(before)
    return None, 0 if same else added


def _create(place: Place, data: bytes, durable: bool, room: int) -> tuple[int, int]:
    check_room(cost_of(len(data)), room)
    file, _ = open_regular(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _mode(place))
    try:
        _put(file, data)
        _settle(file, durable)
    except OSError:
        remove(place, 0)  # half of it is not what was asked for
        raise
    finally:
        os.close(file)
    if durable:
        _settle_parent(place)
    return len(data), cost_of(len(data))


def _replace(place: Place, data: bytes, durable: bool, room: int) -> tuple[int, int]:
    parent, name = open_parent(place, os.O_RDONLY if durable else PASSING)
    try:
        old = look(parent, name)
        if old is not None and not stat.S_ISREG(old.st_mode):
            if stat.S_ISDIR(old.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            raise place.refused("is no file, and is not replaced")
        added = cost_of(len(data)) - cost(old)
        check_room(added, room)
        beside = f".desk-{secrets.token_hex(8)}".encode()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(beside, flags, _mode(place), dir_fd=parent)
        try:
            try:
                _put(file, data)
                if old is not None:
                    os.fchmod(file, old.st_mode & 0o777)
                _settle(file, durable)
            finally:
                os.close(file)
            os.rename(beside, name, src_dir_fd=parent, dst_dir_fd=parent)
        except BaseException:
            os.unlink(beside, dir_fd=parent)
            raise
        _settle(parent, durable)
    finally:
        os.close(parent)
    return len(data), added


def _append(place: Place, data: bytes, durable: bool, room: int) -> tuple[int, int]:
    try:
        file, found = open_regular(place, os.O_WRONLY | os.O_APPEND)
    except FileNotFoundError:
        return _create(place, data, durable, room)
    return _go_on(file, found, place, data, None, durable, room)


def _go_on(
    file: int, found: os.stat_result, place: Place, data: bytes, offset: int | None, durable: bool, room: int
) -> tuple[int, int]:
    """Write into an open file, at its end if there is no `offset`, and close it."""
    try:
        size = max(found.st_size, (found.st_size if offset is None else offset) + len(data))
        _check_size(size, place)
        added = cost_of(size) - cost(found)
        check_room(added, room)
        if offset is not None:
            os.lseek(file, offset, os.SEEK_SET)
        _put(file, data)
        _settle(file, durable)
    finally:
        os.close(file)
    return size, added


def _put(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def _existing(directory: int, name: bytes) -> os.stat_result:
    found = look(directory, name)
    if found is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    return found


def _settle(file: int, durable: bool) -> None:
    if durable:
        os.fsync(file)


def _settle_parent(place: Place) -> None:
    parent, _ = open_parent(place, os.O_RDONLY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def _mode(place: Place) -> int:
    """Nobody else reads what is an extension's own; what it makes elsewhere is like any program's. Nothing can be executed."""
    return 0o600 if place.own else 0o666


def _check_size(size: int, place: Place) -> None:
    if size > MAX_FILE:
        raise CapabilityError(
            Code.TOO_LARGE, f"{shown(place.said)} would have {size:,} bytes; {MAX_FILE:,} are allowed"
        )
