"""The audit on the bus: each decision as an event `sys.audit`, for whoever watches while it happens. The audit is elsewhere.

It is best effort: nothing is mirrored while nobody listens, and a decision never waits. What comes faster than it can be
published, or too often from one extension, is left out, and the next event says how many were.

Whoever handles such an event may ask for things itself, and that is decided and audited, too. It is not mirrored: an event of
the mirror counts as `DEPTH` messages, and what more than `DEPTH` messages have caused is left out. That holds for the app's
listeners as far as they pass `event.onward` on; what they ask extensions for besides is held back by the rate alone.
"""

from collections import deque

from desk.bus.bus import Bus
from desk.bus.envelope import MAX_HOPS, Origin
from desk.bus.errors import BusClosed, BusError
from desk.bus.types.syntax import parse_type_text
from desk.bus.wakeup import Wakeup
from desk.capabilities.audit import AuditRecord
from desk.capabilities.audit_rates import AuditRates

SUBJECT = "sys.audit"

AUDIT_TYPE = parse_type_text(
    "(time: f64, extension: string, chain: list(string), permission: string, allowed: bool, reason: string, "
    "trace: option(string), dropped: u64)"
)
"""What such an event is. `dropped` counts the decisions before it, since the last event, that were left out."""

QUEUED = 1_000
"""Decisions that wait to be published."""

RATE, BURST = 50.0, 200
"""Events a second of one extension and outcome, and how many may come at once."""

DEPTH = MAX_HOPS // 2
"""See the module's docstring. A real chain of extensions is two or three long."""

DEADLINE = 1.0
"""Seconds that the mirror waits for a listener with a full mailbox; the event is a dead letter then."""


class AuditMirror:
    """A sink of the audit, and the task that publishes; see the module's docstring. Both in the event loop of the bus."""

    def __init__(self, bus: Bus, rates: AuditRates | None = None) -> None:
        """`rates` is for tests."""
        self._bus = bus
        self._rates = rates or AuditRates(RATE, BURST)
        self._queue: deque[tuple[AuditRecord, int]] = deque()
        self._left_out = 0  # since the last one that was queued
        self._wakeup = Wakeup()
        self.dropped = 0
        """Decisions that were left out while somebody listened."""
        bus.declare(SUBJECT, AUDIT_TYPE, by=SUBJECT)

    def __repr__(self) -> str:
        """Like `<AuditMirror: 0 waiting, 0 dropped>`."""
        return f"<AuditMirror: {len(self._queue):,} waiting, {self.dropped:,} dropped>"

    def __call__(self, record: AuditRecord) -> None:
        """Let one record be published, if anybody listens. Never waits, and never raises."""
        if record.hops > DEPTH or not self._bus.heard(SUBJECT):
            return
        if len(self._queue) >= QUEUED or not self._rates.take(record):
            self._left_out += 1
            self.dropped += 1
            return
        self._queue.append((record, self._left_out))
        self._left_out = 0
        self._wakeup.set()

    async def run(self) -> None:
        """Publish until the bus is closed, or this is cancelled."""
        while True:
            await self._wakeup.wait()
            self._wakeup = Wakeup()
            while self._queue:
                record, left_out = self._queue.popleft()
                origin = Origin(hops=DEPTH, traceparent=record.traceparent)
                try:
                    await self._bus.publish(SUBJECT, _event(record, left_out), origin=origin, deadline=DEADLINE)
                except BusClosed:
                    return
                except BusError:  # the bus has no room for it, and the next one may fit
                    self._left_out += 1 + left_out
                    self.dropped += 1


def _event(record: AuditRecord, left_out: int) -> dict[str, object]:
    return {
        "time": record.time,
        "extension": record.extension,
        "chain": list(record.chain),
        "permission": record.permission,
        "allowed": record.allowed,
        "reason": record.reason,
        "trace": record.traceparent,
        "dropped": left_out,
    }
