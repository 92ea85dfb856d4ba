"""What one call runs under: what caused it, what it may use, and its span; and what it is told of that."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from desk.actors.engine.budget import Budget
from desk.actors.limits import Limits
from desk.bus import codec
from desk.bus.envelope import Envelope, Origin
from desk.traces.tracing import Span


@dataclass(slots=True)
class Turn:
    """See the module's docstring. A start has one turn for all that is called in it."""

    name: str
    cause: Origin
    """The origin of the message that it handles."""
    deadline: float | None
    """When whoever waits for it has no more use of an answer."""
    traceparent: str | None
    span: Span
    limits: Limits
    seeded: bool = False
    """Whether the guest is to see the same in every run."""
    starting: bool = False
    """Whether it is the start of an instance, which has a wall time of its own."""
    as_self: bool = False
    """Whether the guest acts with its own rights alone, whoever asked for it: the manifest says so of an export."""
    began: float = field(default_factory=time.monotonic)
    logged: int = 0
    """Lines that the guest has logged so far."""
    _budget: Budget | None = None

    @property
    def budget(self) -> Budget:
        """What it may use. Made when it is asked for: most calls are over by then."""
        if self._budget is None:
            self._budget = Budget(self.limits, self.began, starting=self.starting)
        return self._budget

    def origin(self) -> Origin:
        """What the guest's own messages come from during this call. Most calls send none, so it is not made beforehand."""
        cause, until = self.cause, self.budget.wait_until
        # A start is for all who will ask, and an event is handled for nobody.
        own = self.as_self or self.starting or not cause.chain
        return Origin(
            sender=self.name,
            chain=(*cause.chain, self.name),
            hops=cause.hops + 1,
            traceparent=self.traceparent,
            deadline=until if self.deadline is None else min(until, self.deadline),
            principals=(self.name,) if own else (*cause.principals, self.name),
        )

    def describe(self, envelope: Envelope, config: Mapping[str, object]) -> bytes:
        """What `context()` tells the guest of the message, and of its settings, in CBOR."""
        left = self.limits.wall_ms if self.seeded else (self.budget.deadline - time.monotonic()) * 1000
        return codec.encode(
            {
                "subject": envelope.subject,
                "sender": envelope.origin.sender,
                "id": envelope.id,
                "attempt": envelope.attempt,
                "deadline_ms": max(0, int(left)),
                "config": config,
            }
        )
