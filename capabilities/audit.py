"""The audit: what every extension was allowed and denied, in the order it was decided.

A request that cannot even be read as one (a malformed URL, a reserved subject) is answered, but decided by nobody.

It is called directly by whoever decides, never through a mailbox: mailboxes may wait or drop, and this must not.
"""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

log = logging.getLogger("desk.audit")

KEPT = 1_000
"""Records an `Audit` remembers; the counts go on."""

WARNED = 10
"""Denials of one extension that are warnings within `WINDOW` seconds; a guest that asks in a loop must not fill the log."""

WINDOW = 60.0

_WATCHED = 1_000  # extensions whose warnings are counted at one time


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One decision."""

    time: float
    """When, in seconds since the epoch."""
    extension: str
    chain: tuple[str, ...]
    """Who called whom, outermost first; the last is the extension itself. It may have asked on behalf of any of them."""
    permission: str
    """The atom in canonical form, printable ASCII."""
    allowed: bool
    reason: str
    traceparent: str | None

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.extension} {'allowed' if self.allowed else 'DENIED'}: {self.reason}"


AuditSink = Callable[[AuditRecord], None]


@dataclass(slots=True)
class _Warned:
    """What the log has said of one extension since a time."""

    since: float
    permissions: set[str] = field(default_factory=set[str])


class Audit:
    """Keeps the last records and counts all; a sink of the app's gets every one.

    Denials also go to the log `desk.audit`: the first of each permission as a warning, and what repeats it within a minute,
    or comes after ten others, as a debug line.
    """

    def __init__(self, sink: AuditSink | None = None) -> None:
        self._sink = sink
        self.records: deque[AuditRecord] = deque(maxlen=KEPT)
        self.allowed = 0
        self.denied = 0
        self._warned: dict[str, _Warned] = {}

    def __repr__(self) -> str:
        """Like `<Audit: 12 allowed, 1 denied>`."""
        return f"<Audit: {self.allowed} allowed, {self.denied} denied>"

    def __call__(self, record: AuditRecord) -> None:
        """Keep one record."""
        self.records.append(record)
        if record.allowed:
            self.allowed += 1
        else:
            self.denied += 1
            self._log(record)
        if self._sink is not None:
            self._sink(record)

    def _log(self, record: AuditRecord) -> None:
        warned = self._warned.get(record.extension)
        if warned is None or not 0 <= record.time - warned.since < WINDOW:
            if len(self._warned) >= _WATCHED:
                self._warned.clear()
            warned = self._warned[record.extension] = _Warned(record.time)
        if record.permission in warned.permissions or len(warned.permissions) >= WARNED:
            log.debug("%s", record)
            return
        warned.permissions.add(record.permission)
        log.warning("%s", record)
        if len(warned.permissions) == WARNED:
            log.warning(
                "%s was denied %d different things; more within a minute are debug lines", record.extension, WARNED
            )
