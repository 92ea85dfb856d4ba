"""The audit: what every extension was allowed and denied, in the order it was decided.

A request that cannot even be read as one (a malformed URL, a reserved subject) is answered, but decided by nobody.

It is called directly by whoever decides, never through a mailbox: mailboxes may wait or drop, and this must not.
"""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger("desk.audit")

KEPT = 1_000
"""Records an `Audit` remembers; the counts go on."""


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


class Audit:
    """Keeps the last records and counts all; denials also go to the log `desk.audit`. A sink of the app's gets every one."""

    def __init__(self, sink: AuditSink | None = None) -> None:
        self._sink = sink
        self.records: deque[AuditRecord] = deque(maxlen=KEPT)
        self.allowed = 0
        self.denied = 0

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
            log.warning("%s", record)
        if self._sink is not None:
            self._sink(record)
