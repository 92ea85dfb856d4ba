"""Who takes part in the group `bus`, all brought to the start. No guest, and so no compiler, is needed for it."""

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from anyio.from_thread import BlockingPortal, start_blocking_portal

from benchmarks import bus_ours, bus_parts, bus_peers
from benchmarks.bus_work import Contestant
from benchmarks.measure import Entry
from benchmarks.plan import LOOPS, Plan

CROWD = 100
"""Subscribers of one subject."""


@contextmanager
def bus_entries(plan: Plan) -> Generator[dict[str, Entry], None, None]:
    """All of them, by "bus: contestant"."""
    found = {
        "bus: find who listens, 10,000 patterns": Entry(bus_parts.find_in_patterns(), plan.calls),
        "bus: find who listens, on the bus": Entry(bus_parts.find_on_the_bus(), plan.calls),
        "bus: decode a message of a type": Entry(bus_parts.lift(), plan.calls),
        "bus: decode a message": Entry(bus_parts.decode(), plan.calls),
    }
    with ExitStack() as stack:
        for loop in LOOPS:
            portal = stack.enter_context(start_blocking_portal(loop))
            for name, contestant, calls in _contestants(loop, plan):
                found[f"bus: {name} ({loop})"] = stack.enter_context(_started(portal, contestant, calls))
        yield found


@contextmanager
def _started(portal: BlockingPortal, contestant: Callable[[], Contestant], calls: int) -> Generator[Entry, None, None]:
    with portal.wrap_async_context_manager(portal.call(contestant)) as batch:
        yield Entry(partial(portal.call, batch), calls)


def _contestants(loop: str, plan: Plan) -> Iterator[tuple[str, Callable[[], Contestant], int]]:
    """Name, who it is, and how many calls a batch of it has."""
    events, asked = plan.events, max(1, plan.calls // 4)
    for count, batch in ((1, events), (CROWD, max(1, events // 50))):
        yield f"publish to {count}", partial(bus_ours.publish, count), batch
        for name, peer in bus_peers.EVENTS[loop].items():
            yield f"{name}, send to {count}", partial(peer, count), batch
    for name, ask in bus_ours.REQUESTS.items():
        yield name, ask, asked
    for name, ask in bus_peers.ROUND_TRIPS[loop].items():
        yield name, partial(ask, patient=False), asked
        yield f"{name}, no deadline", partial(ask, patient=True), asked
