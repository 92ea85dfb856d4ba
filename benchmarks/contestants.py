"""Who takes part in what is timed by the call, all brought to the start.

A contestant runs a *batch*: a number of calls after another, every answer compared with what it must be, and returns the
nanoseconds of wall time it took.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from anyio.from_thread import start_blocking_portal

from benchmarks.echo import Exchange, build
from benchmarks.ours import EngineAlone, Hosted
from benchmarks.peers import Extism, PeerMissing, WasmtimePy
from benchmarks.plan import LOOPS
from desk.traces.recorder import record_in_memory

Batch = Callable[[Sequence[Exchange], int], int]
"""`batch(exchanges, calls)` -> nanoseconds."""


@dataclass(frozen=True, slots=True)
class Field:
    """Everyone who takes part. `extism` is the reason, as text, if that peer is missing."""

    engine: EngineAlone
    hosts: dict[str, Hosted]
    """By event loop."""
    traced: dict[str, Hosted]
    """The same, with spans recorded in memory."""
    wasmtime_py: WasmtimePy
    extism: Extism | str

    def batches(self) -> dict[str, Batch]:
        """The contestants in the echo, by name."""
        batches: dict[str, Batch] = {"engine alone": self.engine.batch, "wasmtime-py": self.wasmtime_py.batch}
        batches |= {f"host.call ({loop})": host.batch for loop, host in self.hosts.items()}
        if isinstance(self.extism, Extism):
            batches["extism"] = self.extism.batch
        return batches


@contextmanager
def field(cache: Path) -> Generator[Field, None, None]:
    """Build the three guests and bring everyone to the start. Raises `NoCompiler`; `cache` is for compiled modules."""
    desk, raw = build("desk"), build("raw")
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as stack:
        engine = EngineAlone(desk, cache)
        stack.callback(engine.close)
        hosts: dict[str, Hosted] = {}
        traced: dict[str, Hosted] = {}
        for loop in LOOPS:
            portal = stack.enter_context(start_blocking_portal(loop))
            hosts[loop] = stack.enter_context(Hosted.running(portal, desk, cache))
            traced[loop] = stack.enter_context(Hosted.running(portal, desk, cache, record_in_memory()[0]))
        try:
            extism: Extism | str = Extism(build("extism"))
        except PeerMissing as missing:
            extism = str(missing)
        yield Field(engine, hosts, traced, WasmtimePy(raw), extism)
