"""Leases that end by time: what was opened under one is closed when it is over, also if nobody asks for anything then.

Everybody who decides notices a lease that is over; this is for a guest that only waits, on a socket that it may have no longer.
"""

import time
from collections.abc import Iterable

from desk.bus.wakeup import Wakeup
from desk.capabilities.broker import Broker
from desk.capabilities.provider import Member


async def keep_leases(broker: Broker) -> None:
    """Have leases end when they are over, until it is cancelled. A host has it as a task."""
    while True:
        wakeup = broker.change = Wakeup()
        end = _next_end(broker.leasing)
        await wakeup.wait(float("inf") if end is None else max(0.0, end - time.monotonic()))
        for member in broker.leasing:
            member.grants.expire()


def _next_end(members: Iterable[Member]) -> float | None:
    ends = (member.grants.next_end() for member in members)
    return min((end for end in ends if end is not None), default=None)
