"""Reading what lies beneath a granted directory: what a name is, what is in a file, what is in a directory."""

import heapq
import os
from collections.abc import Iterator
from dataclasses import dataclass

from desk.capabilities.codes import CapabilityError, Code
from desk.capabilities.filesystem_atoms import FilesystemAtom
from desk.capabilities.providers.beneath import Kind, Place, kind_of, look, open_directory, open_parent
from desk.capabilities.syntax import PermissionSyntaxError, shown

MAX_SCANNED = 100_000
"""Names in a directory that is listed: all are read for each page, and take about a microsecond each."""


@dataclass(frozen=True, slots=True)
class Content:
    """A part of a file."""

    data: bytes
    size: int
    """Bytes of the whole file."""


@dataclass(frozen=True, slots=True)
class Stat:
    """What is known of a name."""

    kind: Kind
    size: int
    """Bytes; 0 for what is no file."""
    modified: int
    """When its content was changed, in whole seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a directory."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of a directory, sorted by name."""

    entries: list[Entry]
    more: bool
    """Whether there are further names, after the last of these."""
    skipped: int
    """Names in the directory that no path of ours can say: not UTF-8, invisible characters, `\\` and `*`."""


def look_at(place: Place) -> Stat:
    """What is there. Raises `OSError`, `CapabilityError`."""
    if place.path:
        parent, name = open_parent(place)
        try:
            found = look(parent, name)
        finally:
            os.close(parent)
        if found is None:
            raise CapabilityError(Code.UNKNOWN, f"{shown(place.said)} does not exist")
    else:
        found = os.fstat(place.root)
    kind = kind_of(found.st_mode)
    return Stat(kind, found.st_size if kind == "file" else 0, found.st_mtime_ns // 1_000_000_000)


def read_from(file: int, offset: int, size: int) -> bytes:
    """`size` bytes of an open file, or less if it has become shorter meanwhile. Raises `OSError`."""
    data = os.pread(file, size, offset)
    if len(data) == size:
        return data
    parts = [data]
    while data and size > len(data):  # a long read may come in parts
        size, offset = size - len(data), offset + len(data)
        data = os.pread(file, size, offset)
        parts.append(data)
    return b"".join(parts)


def list_directory(place: Place, after: str, most: int) -> Listing:
    """The first `most` names that come after `after`, in the order of their code points. Raises `OSError`, `CapabilityError`."""
    directory, _ = open_directory(place, place.path, os.O_RDONLY)
    skipped = 0

    def nameable(entries: Iterator[os.DirEntry[str]]) -> Iterator[tuple[str, os.DirEntry[str]]]:
        nonlocal skipped
        for number, entry in enumerate(entries):
            if number >= MAX_SCANNED:
                raise CapabilityError(
                    Code.TOO_LARGE, f"{shown(place.said)} has more than {MAX_SCANNED:,} names, and is not listed"
                )
            if not is_nameable(entry.name):
                skipped += 1
            elif entry.name > after:
                yield entry.name, entry

    try:
        with os.scandir(directory) as entries:
            found = heapq.nsmallest(most + 1, nameable(entries))
            page = [Entry(name, _kind(entry)) for name, entry in found[:most]]
    finally:
        os.close(directory)
    return Listing(page, len(found) > most, skipped)


def is_nameable(name: str) -> bool:
    """Whether a path of a request can have this name in it."""
    if name.isascii() and name.isprintable() and "*" not in name and "\\" not in name:
        return True
    try:
        FilesystemAtom.read(f"@data/{name}")
    except PermissionSyntaxError:
        return False
    return True


def _kind(entry: os.DirEntry[str]) -> Kind:
    if entry.is_symlink():
        return "link"
    if entry.is_file(follow_symlinks=False):
        return "file"
    return "directory" if entry.is_dir(follow_symlinks=False) else "other"
