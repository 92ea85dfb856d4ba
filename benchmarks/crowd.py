"""What a message costs when 10,000 actors are there: nothing more, as long as they have nothing to do.

Two hosts in one event loop, one with ten extensions and one with the crowd, take turns. Each message goes to *one* extension,
the same all the time. `in turn` asks all of them one after the other: then a crowd has another cost that no design
avoids, the processor's caches do not hold all of it.

A process may have some 65,000 memory maps on Linux (`vm.max_map_count`), about six for each instance: a crowd that does
not fit is measured as large as it could be made, and the rows say so.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from anyio.from_thread import start_blocking_portal

from benchmarks.echo import exchanges
from benchmarks.measure import Entry, Figure, interleave
from benchmarks.ours import Hosted
from benchmarks.plan import Finding, Setup

FEW = 10
SIZE = 64
"""Bytes of each payload."""


def run(setup: Setup) -> Iterator[Finding]:
    """Load the crowd, then measure it beside ten."""
    with ExitStack() as stack:
        portal = stack.enter_context(start_blocking_portal(setup.backend))
        few = stack.enter_context(Hosted.running(portal, setup.wasm, setup.cache))
        few.grow(min(FEW, setup.plan.actors))
        many = stack.enter_context(Hosted.running(portal, setup.wasm, setup.cache))
        taken, note = load(many, setup)
        yield Finding("load one of many", Figure.of(taken * 1000 / len(many.names)), note)
        entries = {
            f"{what}, {who}": entry
            for who, host in (("ten", few), ("many", many))
            for what, entry in _entries(host, setup.plan.calls).items()
        }
        for name, figure in interleave(entries, max(1, setup.plan.rounds // 2)).items():
            yield Finding(name, figure, note)


def _entries(host: Hosted, calls: int) -> dict[str, Entry]:
    payloads = exchanges(SIZE)
    return {
        "call one": Entry(lambda count: host.batch(payloads, count), calls),
        "publish to one": Entry(host.events, calls),
        "call all in turn": Entry(lambda count: host.in_turn(payloads, count), calls),
    }


def load(host: Hosted, setup: Setup) -> tuple[float, str]:
    """Load as many as fit; seconds it took, and what the rows are to say about it."""
    wanted = setup.plan.actors
    start = time.perf_counter()
    try:
        host.grow(wanted, _every_thousand(setup.progress, wanted))
    except Exception as error:  # whatever stops a host from taking more: the reader is told
        setup.progress(f"no more than {len(host.names):,} actors: {error}")
        note = f"only {len(host.names):,} of {wanted:,} actors could be loaded: {type(error).__name__}"
    else:
        note = f"{len(host.names):,} actors"
    return time.perf_counter() - start, note


def _every_thousand(progress: Callable[[str], None], wanted: int) -> Callable[[int], None]:
    def say(loaded: int) -> None:
        if loaded % 1000 == 0:
            progress(f"{loaded:,} of {wanted:,} actors loaded")

    return say
