"""The peers, each in the fastest fair way to make it do the work.

extism         Extism's Python SDK, `Plugin.call`, with a timeout set: like us, it can stop an endless guest
wasmtime-py    wasmtime's own Python API: alloc, `Memory.write`, echo, `Memory.read`, free; *no* timeout of any kind
"""

import importlib
import time
from collections.abc import Sequence
from typing import Any, cast

import wasmtime

from benchmarks.echo import Exchange
from benchmarks.measure import check_heard, timed

TIMEOUT_MS = 5_000
"""Wall time that one call may take: the default of our `Limits.wall_ms`, and set for Extism."""


class PeerMissing(Exception):
    """A peer is not installed; the text says what installs it."""


class Extism:
    """Extism's Python SDK. Imported by name: it is not a dependency of ours, and has no type information."""

    def __init__(self, wasm: bytes) -> None:
        try:
            extism: Any = importlib.import_module("extism")
        except ImportError:
            raise PeerMissing("peer missing: pip install extism") from None
        self._plugin: Any = extism.Plugin({"wasm": [{"data": wasm}], "timeout_ms": TIMEOUT_MS})
        self._heard = 0

    def call(self, payload: bytes) -> bytes | bytearray:
        """One `Plugin.call`, the output copied to `bytes`, as its default is."""
        output: bytes = self._plugin.call("echo", payload)
        return output

    def batch(self, exchanges: Sequence[Exchange], calls: int) -> int:
        """Calls of the one plugin."""
        return timed(self.call, exchanges, calls)

    def ticks(self, calls: int) -> int:
        """Its smallest call that carries a number: what an event is to us."""
        one = (1).to_bytes(8, "little")
        start = time.perf_counter_ns()
        for _ in range(calls):
            self._plugin.call("on_tick", one)
        elapsed = time.perf_counter_ns() - start
        self._heard += calls
        check_heard(int.from_bytes(self._plugin.call("heard", b""), "little"), self._heard)
        return elapsed


class WasmtimePy:
    """wasmtime-py as its documentation shows it, with the engine's defaults."""

    def __init__(self, wasm: bytes) -> None:
        engine = wasmtime.Engine()
        self._store = wasmtime.Store(engine)
        exports = wasmtime.Instance(self._store, wasmtime.Module(engine, wasm), []).exports(self._store)
        self._memory = cast(wasmtime.Memory, exports["memory"])
        self._alloc, self._free, self._echo, self._burn = (
            cast(wasmtime.Func, exports[name]) for name in ("alloc", "free", "echo", "burn")
        )

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

    def burn(self, steps: int) -> int:
        """Compute, with nothing around it: what `echo.burnt` must be, as a signed number."""
        return cast(int, self._burn(self._store, steps))
