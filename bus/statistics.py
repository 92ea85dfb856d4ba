"""What the bus has done: a snapshot for people and tests."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BusStatistics:
    """A snapshot: how many messages were published and requested, deliveries made, letters dead; and who listens."""

    published: int
    requested: int
    delivered: int
    dead: int
    subscriptions: int
    services: int
