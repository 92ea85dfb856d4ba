"""A thousand extensions, from the cache: the time until each has answered its first call, and the memory it holds then.

One module under a thousand names, as an app has that runs one extension for each of its users. The memory is what the
kernel counts for this process (`/proc/self/statm`, the resident set), after a garbage collection, less what it was with the
first extension; `page tables` is the kernel's own memory for the address space that is reserved, and is no part of that.
"""

import gc
import os
import time
from collections.abc import Iterator
from pathlib import Path

import anyio

from benchmarks.echo import exchanges, manifest
from benchmarks.measure import Figure, WrongAnswer
from benchmarks.plan import Finding, Setup
from desk.host import Host
from desk.traces.tracing import Tracing

_STATM, _STATUS = Path("/proc/self/statm"), Path("/proc/self/status")
_EXCHANGE = exchanges(64)[0]


def run(setup: Setup) -> Iterator[Finding]:
    """The whole story, on one event loop."""
    yield from anyio.run(_measure, setup, backend=setup.backend)


async def _measure(setup: Setup) -> list[Finding]:
    async with _host(setup) as host:
        await _start(host, "first", setup)  # now the compiled module is in the cache, and this process is warm
    async with _host(setup) as host:
        count = setup.plan.extensions
        start = time.perf_counter()
        await _start(host, "ext-0", setup)
        first = time.perf_counter() - start
        before = _memory()
        start = time.perf_counter()
        for number in range(1, count):
            await _start(host, f"ext-{number}", setup)
        rest = time.perf_counter() - start
        grown = {what: (after - before[what]) / (count - 1) / 1000 for what, after in _memory().items()}
        mean = (first + rest) / count * 1000
        found = [Finding("load and first call, mean of many", Figure.of(mean), f"{count:,} extensions")]
        return found + [Finding(f"{what}, each of many", Figure.of(size)) for what, size in grown.items()]


def _host(setup: Setup) -> Host:
    return Host(providers=(), tracing=Tracing.off(), cache_dir=setup.cache)


async def _start(host: Host, name: str, setup: Setup) -> None:
    """All of it: load, admission, instance, subscription, and a call that answers."""
    await host.load(setup.wasm, manifest=manifest(name), grants="requested")
    payload, expected = _EXCHANGE
    if await host.call(name, "echo", payload) != expected:
        raise WrongAnswer(f"{name} gave other bytes than expected")


def _memory() -> dict[str, int]:
    """Bytes, by what they are; nothing where the kernel does not say."""
    gc.collect()
    if not _STATM.exists():
        return {}
    resident = int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    tables = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmPTE:"))
    return {"memory": resident, "page tables": int(tables.split()[1]) * 1024}
