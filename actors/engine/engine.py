"""One wasmtime engine: its configuration, its host functions, its ticker, and the programs compiled for it.

`Engine(host_functions)` is made once per `Host`. `compile` turns checked wasm bytes into a `Program` (machine code plus
resolved imports), from which `Instance` (instance.py) makes actors' instances in tens of microseconds. Compiling blocks and
may take seconds, so the caller runs it off the event loop; compiled code is kept by `modulecache.py`.

The configuration is fixed here, because a bad combination is not an error in wasmtime but an abort of the process:
`max_wasm_stack` must be below the fiber's stack size, for example.
"""

from dataclasses import dataclass
from typing import Self

import anyio
import wasmtime
from wasmtime import _ffi as ffi  # pyright: ignore[reportPrivateUsage]

from desk.actors.engine import capi, hostcalls
from desk.actors.engine.hostcalls import HostFunction
from desk.actors.engine.modulecache import ModuleCache
from desk.actors.engine.ticker import Ticker
from desk.actors.errors import Refused

WASM_STACK = 256 * 1024
"""Bytes of a fiber's stack that wasm frames may use; deeper recursion is a `stack_overflow` trap. About 8,000 small frames."""

FIBER_STACK = 2 * 1024 * 1024
"""Bytes of a fiber's whole stack. The difference is for Python: callbacks only copy, but the garbage collector or a signal
handler may run inside one. Only pages that were touched cost memory."""

_OFF = (
    "wasm_threads",
    "shared_memory",
    "wasm_memory64",
    "wasm_multi_memory",
    "wasm_custom_page_sizes",
    "wasm_gc",
    "wasm_function_references",
    "wasm_exceptions",
    "wasm_component_model",
    "wasm_stack_switching",
    "wasm_wide_arithmetic",
)
"""Proposals that no guest toolchain we support needs: each is attack surface, or breaks "one 32-bit memory per instance"."""


@dataclass(frozen=True, slots=True)
class Program:
    """A module compiled for one engine, its imports resolved. `cached` says whether compilation was saved."""

    module: wasmtime.Module
    pre: wasmtime.InstancePre
    cached: bool


class Engine:
    """See the module's docstring. Close it after the last instance; `with` does."""

    def __init__(self, functions: tuple[HostFunction, ...], cache: ModuleCache | None = None) -> None:
        config = _config()
        self._engine = wasmtime.Engine(config)
        self._cache = cache
        self._linker = wasmtime.Linker(self._engine)
        hostcalls.define(self._linker, functions)
        self.pointer = capi.address(self._engine)
        self.ticker = Ticker(self._tick)
        self.gate = anyio.Lock()
        """Held during every slice but a call's first: see pump.py."""

    def compile(self, name: str, wasm: bytes) -> Program:
        """Compile checked bytes, or load them from the cache. Blocks: call it off the loop. `Refused` if they do not validate."""
        module = self._cache.load(self._engine, wasm) if self._cache else None
        cached = module is not None
        if module is None:
            try:
                module = wasmtime.Module(self._engine, wasm)
            except wasmtime.WasmtimeError as error:
                raise Refused(name, [_one_line(error)]) from error
            if self._cache:
                self._cache.store(wasm, module.serialize())
        try:
            return Program(module, self._linker.instantiate_pre(module), cached)
        except wasmtime.WasmtimeError as error:
            raise Refused(name, [_one_line(error)]) from error

    def _tick(self) -> None:
        # A bound method: as long as the ticker's thread may call it, this engine is not freed.
        capi.increment_epoch(self.pointer)

    def close(self) -> None:
        """Stop the ticker. The engine itself goes with its last program."""
        self.ticker.stop()

    def __enter__(self) -> Self:
        """The engine."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close it."""
        self.close()


def validate(wasm: bytes) -> str | None:
    """Why wasmtime would not compile these bytes, or None. Much cheaper than compiling; no code is made."""
    engine = wasmtime.Engine(_config())
    try:
        wasmtime.Module.validate(engine, wasm)
    except wasmtime.WasmtimeError as error:
        return _one_line(error)
    return None


def _config() -> wasmtime.Config:
    config = wasmtime.Config()
    config.epoch_interruption = True
    # Bounds and overflow checks in the code instead of SIGSEGV: a later `faulthandler.enable()` by the embedding app would
    # take that signal over, and then a guest's bad access would end the process. Costs 6-11 %.
    config.signals_based_traps = False
    config.max_wasm_stack = WASM_STACK
    ffi.wasmtime_config_async_stack_size_set(config.ptr(), FIBER_STACK)
    # The memory's base address must never change: `Memory` keeps it.
    config.memory_reservation = 4 << 30
    config.memory_may_move = False
    config.memory_init_cow = False  # small data: copying it is cheaper than two more memory maps for each instance
    config.wasm_relaxed_simd = False
    for proposal in _OFF:
        setattr(config, proposal, False)
    return config


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:500]
