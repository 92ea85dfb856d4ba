"""The files that belong to extensions themselves: four directories each, and a count of what is in them.

    DATA_DIR/extensions/NAME/data        @data     what is to stay
                             cache       @cache    what can be made again
                             config      @config   settings
                             tmp         @tmp      emptied when a host first uses it

They are made when they are first needed, closed to other users of the computer. What is in them is counted together.
"""

import errno
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from desk.capabilities.at_once import apart
from desk.capabilities.codes import CapabilityError, Code
from desk.capabilities.providers.beneath import Open, Place
from desk.capabilities.providers.quota import Storage, empty, measure
from desk.capabilities.providers.roots import Root, open_own
from desk.capabilities.providers.threads import in_thread
from desk.capabilities.syntax import shown

ROOTS = ("@data", "@cache", "@config", "@tmp")

# Some of it may have been written.
_UNFINISHED = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EMFILE, errno.ENFILE)
_T = TypeVar("_T")


class OwnFiles:
    """Those of all extensions of a host."""

    def __init__(self, data_dir: Path, open_: Open) -> None:
        self._data_dir = data_dir
        self._open = open_
        self._storages: dict[str, Storage] = {}
        self._emptied: set[str] = set()

    async def prepare(self, extension: str) -> None:
        """Make its directories and measure them, if that is still to be done. Raises `OSError`."""
        if self._storage(extension).used is None:
            async with self.changing(extension):
                pass

    @asynccontextmanager
    async def changing(self, extension: str) -> AsyncGenerator[None, None]:
        """To be held while something is changed: one change at a time, and it is known what there is. Raises `OSError`."""
        storage = self._storage(extension)
        await apart()
        async with storage.changing:
            if storage.used is None:
                storage.used = await in_thread(partial(self._measure, extension))
            yield

    def open(self, extension: str, root: str) -> Root:
        """Open the directory for `@data`, .... Raises `OSError`."""
        if not extension or extension.startswith(".") or "/" in extension:
            raise CapabilityError(Code.UNAVAILABLE, f"{shown(extension)} is no name that can have files of its own")
        self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        parent = os.open(self._data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return open_own(parent, ("extensions", extension, root.removeprefix("@")))
        finally:
            os.close(parent)

    def counted(self, extension: str, limit: int, work: Callable[..., tuple[_T, int]]) -> Callable[..., _T]:
        """`work` that is given its places and what is left of `limit` bytes, and whose additions are counted."""

        def change(*places: Place) -> _T:
            storage = self._storages[extension]
            used = storage.used or 0
            try:
                result, added = work(*places, limit - used)
            except OSError as error:
                if error.errno in _UNFINISHED:
                    storage.used = None
                raise
            storage.used = max(0, used + added)
            return result

        return change

    def _storage(self, extension: str) -> Storage:
        storage = self._storages.get(extension)
        if storage is None:
            storage = self._storages[extension] = Storage()
        return storage

    def _measure(self, extension: str) -> int:
        used = 0
        for name in ROOTS:
            root = self.open(extension, name)
            try:
                if name == "@tmp" and extension not in self._emptied:
                    empty(root.directory, self._open)
                    self._emptied.add(extension)
                used += measure(root.directory, self._open)
            finally:
                root.close()
        return used


def uncounted(work: Callable[..., tuple[_T, int]], room: int) -> Callable[..., _T]:
    """`work` that is given its places and always the same `room`, where nobody counts."""

    def change(*places: Place) -> _T:
        return work(*places, room)[0]

    return change
