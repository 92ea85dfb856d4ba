"""Who takes part, and the fastest fair way to make each do the work: argument bytes in, reply bytes out.

    engine alone   our engine as the cell uses it: payload handles, one fiber call, epochs armed; no bus, no event loop
    host.call      the whole way: type check, bus, mailbox, actor, typed answer; spans off; on trio and on asyncio
    extism         Extism's Python SDK, `Plugin.call`, with a timeout set: like us, it can stop an endless guest
    wasmtime-py    wasmtime's own Python API: alloc, `Memory.write`, echo, `Memory.read`, free; *no* timeout of any kind

A contestant runs a *batch*: a number of calls after another, every answer compared with what it must be, and returns the
nanoseconds of wall time it took. The two event loops run in a thread of their own each, asleep while it is not their turn.
"""

import importlib
import itertools
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import wasmtime
from anyio.from_thread import BlockingPortal, start_blocking_portal

from benchmarks.echo import MANIFEST, Exchange, build
from desk.actors import abi
from desk.actors.engine.engine import Engine, Program
from desk.actors.engine.instance import Instance
from desk.actors.engine.modulecache import ModuleCache
from desk.actors.guest import Guest
from desk.actors.limits import Limits
from desk.host import Host
from desk.traces.tracing import Tracing

TIMEOUT_MS = 5_000
"""Wall time that one call may take, for us (the default of `Limits.wall_ms`) and for Extism."""

Batch = Callable[[Sequence[Exchange], int], int]
"""`batch(exchanges, calls)` -> nanoseconds."""


class WrongAnswer(Exception):
    """A contestant gave other bytes than it must: its time means nothing."""


class PeerMissing(Exception):
    """A peer is not installed; the text says what installs it."""


def timed(call: Callable[[bytes], bytes | bytearray], exchanges: Sequence[Exchange], calls: int) -> int:
    """Nanoseconds that `calls` calls take, each answer checked."""
    start = time.perf_counter_ns()
    for payload, expected in itertools.islice(itertools.cycle(exchanges), calls):
        if call(payload) != expected:
            raise WrongAnswer(f"{call} gave other bytes than expected for {len(payload)} bytes")
    return time.perf_counter_ns() - start


async def timed_async(call: Callable[[bytes], Awaitable[object]], exchanges: Sequence[Exchange], calls: int) -> int:
    """`timed` within an event loop."""
    start = time.perf_counter_ns()
    for payload, expected in itertools.islice(itertools.cycle(exchanges), calls):
        if await call(payload) != expected:
            raise WrongAnswer(f"{call} gave other bytes than expected for {len(payload)} bytes")
    return time.perf_counter_ns() - start


# -- our engine


class EngineAlone:
    """One instance, called without bus, mailbox and event loop. Also makes and loads instances, for their own rows."""

    def __init__(self, wasm: bytes, cache: Path) -> None:
        self._wasm = wasm
        self._engine = Engine(abi.FUNCTIONS, ModuleCache(cache))
        self._limits = Limits()
        self._program = self._engine.compile("echo", wasm)
        self._instance = self._instantiate(self._program)
        self._guest = Guest(self._limits)
        self._guest.memory = self._instance.memory()
        self._instance.guest = self._guest
        export = self._instance.export("echo", ("i32", "i32"), None)
        assert export is not None
        self._export = export

    def call(self, payload: bytes) -> bytes | bytearray:
        """What the cell does for one message, without its message."""
        guest, instance = self._guest, self._instance
        guest.begin(_nothing)
        instance.start(self._export, guest.flatten((payload,)))
        while not instance.poll():
            pass  # its slice was over: a tick of the engine's clock fell into this call
        if guest.replies != 1 or guest.reply is None:
            raise WrongAnswer(f"the guest replied {guest.replies} times: {guest.failure}")
        return guest.reply

    def batch(self, exchanges: Sequence[Exchange], calls: int) -> int:
        """Calls of the one instance."""
        return timed(self.call, exchanges, calls)

    def instances(self, calls: int) -> int:
        """Make an instance, and free it: what a crash costs before the next message."""
        start = time.perf_counter_ns()
        for _ in range(calls):
            self._instantiate(self._program).kill()
        return time.perf_counter_ns() - start

    def cached_loads(self, calls: int) -> int:
        """Find the compiled module by the hash of its wasm, map it, and resolve its imports."""
        start = time.perf_counter_ns()
        for _ in range(calls):
            if not self._engine.compile("echo", self._wasm).cached:
                raise WrongAnswer("the module was compiled, not loaded from the cache")
        return time.perf_counter_ns() - start

    def close(self) -> None:
        """Free the instance, then stop the engine."""
        self._instance.kill()
        self._engine.close()

    def _instantiate(self, program: Program) -> Instance:
        instance = Instance(self._engine, program, self._limits)
        while not instance.poll():
            pass
        return instance


def _nothing() -> bytes:
    return b"\xa0"


# -- our host


class HostCall:
    """A host with one extension, on one event loop; `backend` is "trio" or "asyncio"."""

    def __init__(self, host: Host, portal: BlockingPortal, wasm: bytes) -> None:
        self._host = host
        self._portal = portal
        self._wasm = wasm

    @classmethod
    @contextmanager
    def running(cls, backend: str, wasm: bytes, cache: Path) -> "Generator[HostCall, None, None]":
        """A host in a thread of its own, for as long as the `with` lasts."""
        with start_blocking_portal(backend) as portal:
            host = Host(providers=(), tracing=Tracing.off(), cache_dir=cache)
            with portal.wrap_async_context_manager(host):
                contestant = cls(host, portal, wasm)
                portal.call(contestant._load)
                yield contestant

    async def _load(self) -> None:
        await self._host.load(self._wasm, manifest=MANIFEST, grants="requested")

    def batch(self, exchanges: Sequence[Exchange], calls: int) -> int:
        """Calls of the extension, one after another."""

        async def call(payload: bytes) -> object:
            return await self._host.call("echo", "echo", payload)

        return self._portal.call(timed_async, call, exchanges, calls)

    def events(self, calls: int) -> int:
        """Publish `calls` events to the extension, as fast as it takes them, until it has handled the last."""
        return self._portal.call(self._events, calls)

    async def _events(self, calls: int) -> int:
        before = cast(int, await self._host.call("echo", "heard"))
        start = time.perf_counter_ns()
        for _ in range(calls):
            await self._host.publish("bench.tick", 1)
        heard = cast(int, await self._host.call("echo", "heard"))  # waits in the same mailbox, behind the last event
        elapsed = time.perf_counter_ns() - start
        if heard - before != calls:
            raise WrongAnswer(f"the extension heard {heard - before} of {calls} events")
        return elapsed

    def reloads(self, calls: int) -> int:
        """Remove the extension and load it again: admission, module cache, instance, subscriptions."""
        return self._portal.call(self._reloads, calls)

    async def _reloads(self, calls: int) -> int:
        start = time.perf_counter_ns()
        for _ in range(calls):
            await self._host.remove("echo")
            await self._load()
        return time.perf_counter_ns() - start


# -- the peers


class Extism:
    """Extism's Python SDK. Imported by name: it is not a dependency of ours, and has no type information."""

    def __init__(self, wasm: bytes) -> None:
        try:
            extism: Any = importlib.import_module("extism")
        except ImportError:
            raise PeerMissing("peer missing: pip install extism") from None
        self._plugin: Any = extism.Plugin({"wasm": [{"data": wasm}], "timeout_ms": TIMEOUT_MS})

    def call(self, payload: bytes) -> bytes | bytearray:
        """One `Plugin.call`, the output copied to `bytes`, as its default is."""
        output: bytes = self._plugin.call("echo", payload)
        return output

    def batch(self, exchanges: Sequence[Exchange], calls: int) -> int:
        """Calls of the one plugin."""
        return timed(self.call, exchanges, calls)


class WasmtimePy:
    """wasmtime-py as its documentation shows it, with the engine's defaults."""

    def __init__(self, wasm: bytes) -> None:
        engine = wasmtime.Engine()
        self._store = wasmtime.Store(engine)
        exports = wasmtime.Instance(self._store, wasmtime.Module(engine, wasm), []).exports(self._store)
        self._memory = cast(wasmtime.Memory, exports["memory"])
        self._alloc, self._free, self._echo = (cast(wasmtime.Func, exports[name]) for name in ("alloc", "free", "echo"))

    def call(self, payload: bytes) -> bytes | bytearray:
        """One checked echo through the guest's own allocator."""
        store, memory = self._store, self._memory
        at: int = self._alloc(store, len(payload) + 8)
        memory.write(store, payload, at)
        length: int = self._echo(store, len(payload))
        output = memory.read(store, at, at + length)
        self._free(store, at)
        return output

    def batch(self, exchanges: Sequence[Exchange], calls: int) -> int:
        """Calls of the one instance."""
        return timed(self.call, exchanges, calls)


@dataclass(frozen=True, slots=True)
class Field:
    """Everyone who takes part. `extism` is the reason, as text, if that peer is missing."""

    engine: EngineAlone
    trio: HostCall
    asyncio: HostCall
    wasmtime_py: WasmtimePy
    extism: Extism | str

    def batches(self) -> dict[str, Batch]:
        """The contestants in the echo, by name."""
        batches: dict[str, Batch] = {
            "engine alone": self.engine.batch,
            "host.call (trio)": self.trio.batch,
            "host.call (asyncio)": self.asyncio.batch,
            "wasmtime-py": self.wasmtime_py.batch,
        }
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
        trio = stack.enter_context(HostCall.running("trio", desk, cache))
        asyncio = stack.enter_context(HostCall.running("asyncio", desk, cache))
        try:
            extism: Extism | str = Extism(build("extism"))
        except PeerMissing as missing:
            extism = str(missing)
        yield Field(engine, trio, asyncio, WasmtimePy(raw), extism)
