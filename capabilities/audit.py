"""The audit: what every extension was allowed and denied, in the order it was decided.

A request that cannot even be read as one (a malformed URL, a reserved subject) is answered, but decided by nobody.

It is called directly by whoever decides, never through a mailbox: mailboxes may wait or drop, and this must not.
"""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

log = logging.getLogger("desk.audit")

KEPT = 1_000
"""Records an `Audit` remembers; the counts go on."""

WARNED = 10
"""Denials of one extension that are warnings within `WINDOW` seconds; a guest that asks in a loop must not fill the log."""

WINDOW = 60.0

_WATCHED = 1_000  # extensions whose warnings are counted at one time

Missing = Literal["request", "grant", "principal", "rule"]
"""What a decision lacks: the manifest's request, the operator's grant, the right of a caller, or the leave of a rule."""


class AuditRecord(NamedTuple):
    """One decision. A tuple, since one is made for each request of a guest."""

    time: float
    """When, in seconds since the epoch."""
    extension: str
    chain: tuple[str, ...]
    """Who called whom, outermost first; the last is the extension itself."""
    permission: str
    """The atom in canonical form, printable ASCII: the very object that was decided about."""
    allowed: bool
    reason: str
    """One line for people, printable ASCII."""
    traceparent: str | None
    """The span of the decision, in W3C Trace Context form."""
    principals: tuple[str, ...] = ()
    """Those of `chain` whose rights it took, outermost first."""
    by: str = ""
    """The grant that it rests on, printable ASCII; empty if there is none."""
    rule: str = ""
    """The rule of the operator that refused it; empty if none did."""
    missing: Missing | None = None
    """What it lacks, if it is denied."""
    observed: bool = False
    """Whether it was allowed only because the operator lets rules be watched, not enforced."""
    hops: int = 0
    """How many messages caused it, one after the other."""

    @property
    def denied(self) -> bool:
        """Whether it was denied, or would have been if rules were enforced."""
        return not self.allowed or self.observed

    @property
    def outcome(self) -> Literal["allowed", "observed", "DENIED"]:
        """In one word."""
        return "DENIED" if not self.allowed else "observed" if self.observed else "allowed"

    def __str__(self) -> str:
        """One line for people."""
        rule = f" ({self.rule})" if self.rule else ""
        return f"{self.extension} {self.outcome}: {self.reason}{rule}"


AuditSink = Callable[[AuditRecord], None]


@dataclass(slots=True)
class _Warned:
    """What the log has said of one extension since a time."""

    since: float
    permissions: set[str] = field(default_factory=set[str])


class Audit:
    """Keeps the last records and counts all; each of `sinks` gets every one, in this order.

    Denials, and what is only observed, also go to the log `desk.audit`: the first of each permission as a warning, and what
    repeats it within a minute, or comes after ten others, as a debug line.

    What a sink raises is raised by the decision: what cannot be audited is not done. A sink that would rather lose records
    than be in the way keeps its errors to itself (`desk.capabilities.audit_file` does).
    """

    def __init__(self, *sinks: AuditSink | None) -> None:
        self.sinks = [sink for sink in sinks if sink is not None]
        self.records: deque[AuditRecord] = deque(maxlen=KEPT)
        self.allowed = 0
        self.denied = 0
        self.observed = 0
        """Of those that were allowed: how many would have been denied, were rules enforced."""
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
        if record.observed:
            self.observed += 1
        if record.denied:
            self._log(record)
        for sink in self.sinks:
            sink(record)

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
