"""The audit on disk: every decision as a line of JSON, in files of bounded size, without anybody waiting for the disk.

    with AuditFile("audit.jsonl") as file:
        async with Host(audit=file) as host: ...

Whoever decides only puts the record into a queue: about a microsecond. One thread writes what is in it, a twentieth of a second
later, so that one write takes many lines. What the disk, the queue or an extension's share has no room for is dropped and
counted, and a line of its own says how many were, and whose, once a second at most. A decision never fails because of it.

What is written survives a crash of the process, but for the last twentieth of a second; nothing is promised for a crash of the
machine.
"""

import atexit
import logging
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

from desk.capabilities.audit import AuditRecord
from desk.capabilities.audit_lines import Gap, Why, gap_line, record_line
from desk.capabilities.audit_rates import AuditRates
from desk.capabilities.rotating_file import RotatingFile

log = logging.getLogger("desk.audit")

MAX_BYTES = 16 << 20
"""Bytes of one file, unless said otherwise."""

KEEP = 4
"""Older files that are kept, unless said otherwise."""

QUEUED = 10_000
"""Records that wait for the thread."""

PAUSE = 0.05
"""Seconds that the thread waits for more records before it writes."""

TOLD = 1.0
"""Seconds between two times that it is said what was dropped."""

_AT_ONCE = 100  # lines that are made at once: others want to run Python, too
_CLOSING = 10.0  # seconds that the end waits for the disk
_WARNED = 60.0  # seconds between two warnings about the disk
_COUNTED = 1_000  # extensions whose drops are counted by name until the next line says so

_Lost: TypeAlias = tuple[str, bool, Why]


def file_names(path: Path, keep: int = KEEP) -> list[Path]:
    """The names of the file and of the older ones beside it."""
    return [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, keep + 1))]


class AuditFile:
    """A sink of the audit; see the module's docstring. Opens its file at once, and raises `OSError` if it cannot.

    It may be called from any thread. Whoever makes it closes it: with the interpreter it is closed by itself.
    """

    def __init__(
        self, path: Path | str, *, max_bytes: int = MAX_BYTES, keep: int = KEEP, rates: AuditRates | None = None
    ) -> None:
        """`max_bytes` is of one file; `keep` older ones are kept, as `NAME.1` (the latest), `NAME.2`, … `rates` is for tests."""
        self._file = RotatingFile(path, max_bytes, keep)
        self._rates = rates or AuditRates()
        self._lock = threading.Lock()
        self._queue: list[AuditRecord] = []
        self._lost: Counter[_Lost] = Counter()
        self._awake = False
        self._closed = False
        self._wake = threading.Event()
        self._closing = threading.Event()
        self.written = 0
        """Decisions that are in the file."""
        self.dropped = 0
        """Decisions that are not, for whatever reason."""
        self._warned = -_WARNED
        self._thread = threading.Thread(target=self._run, name="desk audit", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def __repr__(self) -> str:
        """Like `<AuditFile audit.jsonl: 12 written, 0 dropped>`."""
        return f"<AuditFile {self._file.path.name}: {self.written:,} written, {self.dropped:,} dropped>"

    def __call__(self, record: AuditRecord) -> None:
        """Let one record be written. Never waits for the disk, and never raises."""
        with self._lock:
            if len(self._queue) < QUEUED and not self._closed and self._rates.take(record):
                self._queue.append(record)
            else:
                full = self._closed or len(self._queue) >= QUEUED
                self._lose(record, "queue" if full else "rate")
            if not self._awake:
                self._awake = True
                self._wake.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Write what there is, and close the file. Waits for the disk, at most ten seconds; idempotent."""
        with self._lock:
            self._closed = True
        self._closing.set()
        self._wake.set()
        self._thread.join(_CLOSING)
        atexit.unregister(self.close)

    def _lose(self, record: AuditRecord, why: Why) -> None:
        """Count a record that is not written; the lock is held."""
        self.dropped += 1
        key: _Lost = record.extension, record.denied, why
        if len(self._lost) >= _COUNTED and key not in self._lost:
            key = "", record.denied, why
        self._lost[key] += 1

    # -- the thread

    def _run(self) -> None:
        told = -TOLD
        while True:
            self._wake.wait(TOLD if self._lost else None)
            self._closing.wait(PAUSE)
            last = self._closing.is_set()
            self._wake.clear()
            with self._lock:
                self._awake = False
                records, self._queue = self._queue, []
            self._write(records)
            if self._lost and (last or time.monotonic() - told >= TOLD):
                told = time.monotonic()
                self._tell()
            if last:
                self._file.close()
                return

    def _write(self, records: Sequence[AuditRecord]) -> None:
        for start in range(0, len(records), _AT_ONCE):
            some = records[start : start + _AT_ONCE]
            done = self._file.write([record_line(record) for record in some])
            self.written += done
            if done < len(some):
                self._warn()
                with self._lock:
                    for record in records[start + done :]:
                        self._lose(record, "disk")
                return

    def _tell(self) -> None:
        """Say what was dropped. What cannot be said now is said later."""
        with self._lock:
            lost, self._lost = self._lost, Counter()
        now = time.time()
        gaps = [Gap(now, extension, denied, count, why) for (extension, denied, why), count in sorted(lost.items())]
        done = self._file.write([gap_line(gap) for gap in gaps])
        with self._lock:
            for gap in gaps[done:]:
                self._lost[gap.extension, gap.denied, gap.why] += gap.dropped

    def _warn(self) -> None:
        if time.monotonic() - self._warned >= _WARNED:
            self._warned = time.monotonic()
            log.warning("the audit cannot be written, decisions are lost: %s", self._file.error)
