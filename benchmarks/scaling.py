"""Two guests that only compute, on two cores: how much more they do than one, in the same time.

Both are called at the same moment, each with the work that one is given alone; twice the work in the time of one would be
2.00. The machine has its own say: neighbours, clocks that slow down when both cores are busy. So two threads with nothing
but a bare wasm function in each, which need no event loop at all, are measured in the same rounds.
"""

import os
import threading
import time
from collections.abc import Iterator
from statistics import median

import anyio

from benchmarks.echo import burnt, manifest
from benchmarks.measure import Figure, WrongAnswer
from benchmarks.peers import WasmtimePy
from benchmarks.plan import Finding, Setup
from desk.actors.limits import Limits
from desk.host import Host
from desk.traces.tracing import Tracing

PAIR = ("left", "right")
_AMPLE = 600_000
_PROBE = 2_000_000
"""Steps that say how fast this machine is; they take a few milliseconds."""


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(setup: Setup) -> Iterator[Finding]:
    """The whole story, on one event loop."""
    if cores() < len(PAIR):
        yield Finding("work of two guests, in the time of one", None, "needs two cores: this process may use one")
        return
    yield from anyio.run(_measure, setup, backend=setup.backend)


async def _measure(setup: Setup) -> list[Finding]:
    bare = [WasmtimePy(setup.raw) for _ in PAIR]
    steps = _steps(bare[0], setup.plan.work)
    limits = Limits(wall_ms=_AMPLE, cpu_ms=_AMPLE)
    async with Host(providers=(), tracing=Tracing.off(), cache_dir=setup.cache, limits=limits) as host:
        for name in PAIR:
            await host.load(setup.wasm, manifest=manifest(name), grants="requested")
        ours: list[float] = []
        floor: list[float] = []
        for _ in range(setup.plan.repeats):
            one = await _guests(host, PAIR[:1], steps)
            two = await _guests(host, PAIR, steps)
            ours.append(len(PAIR) * one / two)
            floor.append(len(PAIR) * _threads(bare[:1], steps) / _threads(bare, steps))
    return [
        Finding("work of two guests, in the time of one", Figure(median(ours), max(ours))),
        Finding("work of two bare threads, in the time of one", Figure(median(floor), max(floor))),
    ]


async def _guests(host: Host, names: tuple[str, ...], steps: int) -> float:
    """Seconds until all of them have done the work."""
    expected = burnt(steps)

    async def burn(name: str) -> None:
        if await host.call(name, "burn", steps, deadline=None) != expected:
            raise WrongAnswer(f"{name} computed something else")

    start = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for name in names:
            tasks.start_soon(burn, name)
    return time.perf_counter() - start


def _threads(guests: list[WasmtimePy], steps: int) -> float:
    """The same for bare guests, each in a thread."""
    threads = [threading.Thread(target=guest.burn, args=(steps,)) for guest in guests]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - start


def _steps(guest: WasmtimePy, seconds: float) -> int:
    """How many steps take about so long here."""
    start = time.perf_counter()
    if guest.burn(_PROBE) % (1 << 32) != burnt(_PROBE):
        raise WrongAnswer("the bare guest computed something else")
    return min((1 << 32) - 1, round(_PROBE * seconds / (time.perf_counter() - start)))
