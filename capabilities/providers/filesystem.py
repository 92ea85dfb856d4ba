"""The capability `filesystem`: the files that an extension was granted, and those of its own.

A path is one that permissions speak of, `/srv/weather/today.json` or `@data/today.json`, and is parsed by the very parser that
reads manifests. The broker decides about it; the grant that allows it says which open directory to look beneath (`roots`), and
what is found there without following any link is what is used (`beneath`). Everything else is a limit.

An extension's own files lie below `DATA_DIR/extensions/NAME/`, in `data`, `cache`, `config` and `tmp`, closed to other users;
`tmp` is emptied before a host first uses it. docs/capabilities/filesystem.md is the page for authors of extensions.

What is small is done on the event loop, because a thread costs more than it takes. What may take long is done in a thread, on
file descriptors of its own: those that are kept are only used on the event loop, which is where they are closed.
"""

import math
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

from desk.bus.types import parse_type_text
from desk.capabilities.atoms import Atom
from desk.capabilities.capability import Capability, operation
from desk.capabilities.codes import CapabilityError, Code
from desk.capabilities.filesystem_atoms import FilesystemAtom
from desk.capabilities.grants import Decision
from desk.capabilities.provider import Use
from desk.capabilities.providers import writing
from desk.capabilities.providers.beneath import Open, Place, best_open, open_directory, open_regular
from desk.capabilities.providers.file_errors import refusal
from desk.capabilities.providers.inotify import start_watch
from desk.capabilities.providers.own_files import ROOTS, OwnFiles, uncounted
from desk.capabilities.providers.reading import Content, Listing, Stat, list_directory, look_at, read_from
from desk.capabilities.providers.roots import Root, open_granted
from desk.capabilities.providers.threads import in_thread
from desk.capabilities.providers.watch import Changes, Watch, identity_of
from desk.capabilities.syntax import shown

MAX_READ = 8 << 20
"""Bytes of one read, and of one write."""

DIRECT = 64 << 10
"""Bytes up to which a file is read or written on the event loop: 64 KiB of a cached file take some 20 µs."""

WATCHES = 8
"""Watches of one extension at one time."""

MAX_WATCHES = 64
"""Watches of all extensions of a host at one time."""

Offset = Annotated[int, parse_type_text("u64(..=4611686018427387904)")]
Length = Annotated[int, parse_type_text(f"u32(..={MAX_READ})")]
Data = Annotated[bytes, parse_type_text(f"bytes(..={MAX_READ})")]
Page = Annotated[int, parse_type_text("u32(1..=2000)")]
Seconds = Annotated[float, parse_type_text("f64(0.0..=86400.0)")]

_T = TypeVar("_T")
_Work = Callable[[Place], _T] | Callable[[Place, Place], _T]


def _reads(_: Capability, request: Mapping[str, Any], use: Use) -> Iterable[Atom]:
    del use
    return (FilesystemAtom.read(request["path"]),)


def _writes(_: Capability, request: Mapping[str, Any], use: Use) -> Iterable[Atom]:
    del use
    return (FilesystemAtom.write(request["path"]),)


def _renames(_: Capability, request: Mapping[str, Any], use: Use) -> Iterable[Atom]:
    """Both ends are written; and if one can be read, the other must be, too: a name must not give rights to a file.

    On behalf of others, both must be readable: which of the two they can read, each for itself, is not known here.
    """
    paths = (request["path"], request["to"])
    yield from map(FilesystemAtom.write, paths)
    reads = tuple(map(FilesystemAtom.read, paths))
    of_others = len(use.origin.principals) > 1 and not all(each.own for each in reads)
    if of_others or any(use.member.grants.decide(each).allowed for each in reads):
        yield from reads


def _opened_under(_: Capability, request: Mapping[str, Any], use: Use) -> Iterable[Atom]:
    return use.resources.atoms(request["watch"])


class Filesystem(Capability):
    """See the module's docstring.

    `data_dir` is where extensions have files of their own; without one, they have none. `private` are further directories of
    the host's own, which no grant reaches, whatever it says; `data_dir` is one of them. `open_` is for tests.
    """

    name = "filesystem"

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        private: Iterable[Path] = (),
        open_: Open | None = None,
        watch: Callable[[int], Watch] = start_watch,
    ) -> None:
        self._open = open_ or best_open()
        self._start_watch = watch
        self._private = (*(() if data_dir is None else (data_dir,)), *private)
        self._own = None if data_dir is None else OwnFiles(data_dir, self._open)
        self._watches: list[tuple[str, Watch]] = []

    def permission(self, text: str) -> Atom:
        """A filesystem permission, as manifests have it."""
        return FilesystemAtom.parse(text)

    # -- what guests may ask

    @operation(needs=_reads, at_once=True)
    async def read(self, path: str, offset: Offset = 0, length: Length = 1 << 20, *, use: Use) -> Content:
        """A part of a file."""
        file, found = await self._do(use, lambda place: open_regular(place, os.O_RDONLY), path)
        try:
            size = min(length, max(0, found.st_size - offset))
            if size <= DIRECT:
                return Content(read_from(file, offset, size), found.st_size)
            return Content(await in_thread(partial(read_from, file, offset, size)), found.st_size)
        except OSError as error:
            raise refusal(error, path) from None
        finally:
            os.close(file)

    @operation(needs=_reads, at_once=True)
    async def stat(self, path: str, *, use: Use) -> Stat:
        """What a name stands for."""
        return await self._do(use, look_at, path)

    @operation(needs=_reads)
    async def list(self, path: str, after: str = "", most: Page = 1000, *, use: Use) -> Listing:
        """The names in a directory."""
        return await self._do(use, partial(list_directory, after=after, most=most), path, apart=True)

    @operation(needs=_writes)
    async def write(
        self,
        path: str,
        data: Data,
        mode: writing.Mode = "replace",
        offset: Offset = 0,
        durable: bool = False,
        *,
        use: Use,
    ) -> int:
        """Write a file; the answer is its size."""
        # What is replaced may be large, elsewhere than below its own roots: to free a gigabyte takes 60 ms.
        apart = durable or len(data) > DIRECT or (mode == "replace" and not _is_own(path))
        work = partial(writing.write, data=data, mode=mode, offset=offset, durable=durable)
        return await self._change(use, work, path, apart=apart)

    @operation(needs=_writes)
    async def remove(self, path: str, *, use: Use) -> None:
        """Remove a file or an empty directory."""
        await self._change(use, writing.remove, path, apart=True)

    @operation(needs=_writes)
    async def make_directory(self, path: str, *, use: Use) -> None:
        """Make a directory."""
        await self._change(use, writing.make_directory, path)

    @operation(needs=_renames)
    async def rename(self, path: str, to: str, *, use: Use) -> None:
        """Give a file another name."""
        await self._change(use, writing.rename, path, to, apart=True)

    @operation(needs=_reads)
    async def watch(self, path: str, *, use: Use) -> int:
        """Begin to watch a directory; the answer is the watch's handle."""
        use.resources.check_room()
        self._check_watches(use.extension)
        watch = await self._do(use, lambda at: self._start_watch(open_directory(at, at.path, os.O_RDONLY)[0]), path)
        self._watches.append((use.extension, watch))
        return use.resources.add(watch, tuple(each.atom for each in use.decisions), use.origin.principals)

    @operation(needs=_opened_under)
    async def changes(self, watch: int, seconds: Seconds | None = None, *, use: Use) -> Changes:
        """What has changed in a watched directory; waits until something does."""
        watched = use.resources.get(watch, Watch)
        try:
            found = await watched.changes(math.inf if seconds is None else seconds)
            await self._check_unmoved(use, watched)
        except OSError as error:
            raise refusal(error, _path(use.decisions[0].atom)) from None
        finally:
            if watched.closed:
                use.resources.close(watch)
        return found

    @operation(needs=None)
    async def close(self, watch: int, *, use: Use) -> None:
        """End a watch."""
        use.resources.get(watch, Watch)
        use.resources.close(watch)

    # -- how

    async def _do(self, use: Use, work: _Work[_T], *paths: str, apart: bool = False) -> _T:
        """Call `work` with where `paths` lead; `apart` in a thread. Raises `CapabilityError`."""
        try:
            for path in filter(_is_own, paths):
                await self._own_files(path).prepare(use.extension)
            places = [self._place(use, path, index) for index, path in enumerate(paths)]
            if not apart:
                return work(*places)  # nothing has been awaited since they were found, so they are still open
            with ExitStack() as stack:
                for index, place in enumerate(places):
                    places[index] = replace(place, root=os.dup(place.root))
                    stack.callback(os.close, places[index].root)
                return await in_thread(partial(work, *places))
        except OSError as error:
            raise refusal(error, paths[0]) from None

    async def _change(self, use: Use, work: Callable[..., tuple[_T, int]], *paths: str, apart: bool = False) -> _T:
        """Call `work` with where `paths` lead, and the room there is for what it adds."""
        mine = next(filter(_is_own, paths), None)
        if mine is None:
            return await self._do(use, uncounted(work, writing.MAX_FILE), *paths, apart=apart)
        own = self._own_files(mine)
        try:
            async with own.changing(use.extension):
                counted = own.counted(use.extension, use.member.storage, work)
                return await self._do(use, counted, *paths, apart=apart)
        except OSError as error:
            raise refusal(error, mine) from None

    def _place(self, use: Use, path: str, index: int = 0) -> Place:
        """Where the path of the request's permission `index` leads. Raises `OSError`, `CapabilityError`."""
        decision = use.decisions[index]
        head, _, rest = path.partition("/")
        if head:
            own = self._own_files(path)
            root = self._kept(use, head, decision, partial(own.open, use.extension, head))
        else:
            granted = _path(decision.by or decision.atom)
            root = self._kept(use, granted, decision, partial(open_granted, granted, self._private))
            rest = root.beneath(path[len(granted) + 1 :])
            root.check(rest, decision.atom, use.member.grants.rules)
        return Place(root.directory, rest, path, bool(head), root.device, self._open)

    def _kept(self, use: Use, name: str, decision: Decision, make: Callable[[], Root]) -> Root:
        """The open directory of that name; opened again if it was removed meanwhile."""
        key, atoms, principals = (self, name), (decision.by or decision.atom,), (use.extension,)
        root = use.resources.kept(key, atoms, principals, make)
        if root.gone():
            use.resources.drop(key)
            root = use.resources.kept(key, atoms, principals, make)
        return root

    def _own_files(self, path: str) -> OwnFiles:
        head = path.partition("/")[0]
        if self._own is None:
            raise CapabilityError(Code.UNAVAILABLE, "this host keeps no files for extensions; give it data_dir")
        if head not in ROOTS:
            raise CapabilityError(Code.UNAVAILABLE, f"this extension has no {head}: it was not loaded from a package")
        return self._own

    async def _check_unmoved(self, use: Use, watched: Watch) -> None:
        """Close it if its directory was moved to where nobody granted it. Raises `CapabilityError` then."""
        path = _path(use.decisions[0].atom)
        try:
            directory, seen = await self._do(use, lambda at: open_directory(at, at.path), path)
            os.close(directory)
            if identity_of(seen) != watched.identity:
                raise CapabilityError(Code.UNAVAILABLE, f"{shown(path)} is another directory; the watch is closed")
        except CapabilityError:
            watched.close()
            raise

    def _check_watches(self, extension: str) -> None:
        self._watches = [each for each in self._watches if not each[1].closed]
        if sum(owner == extension for owner, _ in self._watches) >= WATCHES or len(self._watches) >= MAX_WATCHES:
            raise CapabilityError(
                Code.OVERLOADED,
                f"an extension may have {WATCHES} watches, and all together {MAX_WATCHES}; close one first",
            )


def _is_own(path: str) -> bool:
    return path.startswith("@")


def _path(atom: Atom) -> str:
    assert isinstance(atom, FilesystemAtom), "every operation needs such a permission"
    return atom.path
