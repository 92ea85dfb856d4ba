"""One state file, for the event loop: a small value is read here and now, all else is done in a thread, one batch at a time.

Whatever waits when a thread becomes free is one transaction, so that many writers share the one wait for the disk; each is
answered when that is over. What was answered is what every later read sees.

A file that cannot be read is left as it is. Whoever asks is told so, each time, and the log says why.
"""

import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import anyio
import anyio.to_thread

from desk.capabilities.at_once import apart
from desk.capabilities.codes import CapabilityError, Code
from desk.capabilities.providers.state_entries import Entries, open_reader, open_writer, read_small
from desk.traces.log_rate import LogRate

log = logging.getLogger("desk.capabilities")

SMALL = 64 << 10
"""Bytes of a value that is read on the event loop: some 50 µs."""

_FAILURES = (0.1, 3)
"""Lines in the log about one file, a second and at once."""

_T = TypeVar("_T")


class Store:
    """See the module's docstring. `close` it when it is not `busy`; it opens again when it is asked again."""

    def __init__(self, path: Path, threads: anyio.CapacityLimiter) -> None:
        """Nothing is opened yet. `threads` are shared with others."""
        self.path = path
        self._threads = threads
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._waiting: list[_Job] = []
        self._turn = anyio.Lock()
        self._failures = LogRate(*_FAILURES)

    @property
    def busy(self) -> bool:
        """Whether somebody waits for it."""
        return bool(self._waiting) or self._turn.locked()

    async def get(self, key: bytes) -> bytes | None:
        """The value of `key`, or None. Raises `CapabilityError(UNAVAILABLE)`."""
        if self._reader is not None:
            try:
                found = read_small(self._reader, key, SMALL)
            except sqlite3.Error:
                pass  # somebody else is about to change the file, or it is broken: the thread waits, or says so
            else:
                if found is None or found[0] <= SMALL:
                    return None if found is None else found[1]
        return await self.do(lambda entries: entries.get(key))

    async def do(self, action: Callable[[Entries], _T]) -> _T:
        """What `action` returns, when all that it did is on the disk. It raises `CapabilityError` before it changes anything.

        If this is cancelled it is done, or not, as a whole. Raises `CapabilityError(UNAVAILABLE)` if the file cannot be used.
        """
        job = _Job(action)
        self._waiting.append(job)
        try:
            await apart()
            async with self._turn:
                if not job.over:
                    await self._run_batch()
        finally:
            if job in self._waiting:
                self._waiting.remove(job)
        if job.error is not None:
            raise job.error
        return cast("_T", job.result)

    async def _run_batch(self) -> None:
        batch, self._waiting = self._waiting, []
        try:
            await anyio.to_thread.run_sync(self._run, batch, limiter=self._threads)
        finally:  # cancelled before there was a thread: it is for whoever waits next
            self._waiting[:0] = [job for job in batch if not job.over]

    def close(self) -> None:
        """Close the file. Idempotent. It may wait for the disk."""
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()
        self._reader = self._writer = None

    # -- in a thread, one at a time

    def _run(self, batch: "list[_Job]") -> None:
        try:
            if self._writer is None:
                self._writer = open_writer(self.path)
            if self._reader is None:
                self._reader = open_reader(self.path)
            _commit(self._writer, batch)
        except (sqlite3.Error, OSError) as error:
            self._log(error)
            for job in batch:
                job.error = CapabilityError(
                    Code.UNAVAILABLE, "what is stored there cannot be used now; the log of the host says why"
                )
        for job in batch:
            job.over = True

    def _log(self, error: Exception) -> None:
        if self._failures.take():
            log.error("%s cannot be used, and is left as it is: %s", self.path, error)


class _Job:
    """Something to do, and what came of it."""

    __slots__ = ("action", "error", "over", "result")

    def __init__(self, action: Callable[[Entries], Any]) -> None:
        self.action = action
        self.result: Any = None
        self.error: Exception | None = None
        self.over = False


def _commit(connection: sqlite3.Connection, batch: list[_Job]) -> None:
    """Do all of it in one transaction. Raises `sqlite3.Error` if none of it is done."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        entries = Entries(connection)
        for job in batch:
            try:
                job.result = job.action(entries)
            except CapabilityError as error:
                job.error = error
        entries.finish()
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
