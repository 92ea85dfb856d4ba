"""One wasmtime engine: its host functions, its ticker, and the programs that run on it.

`Engine(host_functions)` is made once per `Host`. A `Program` is machine code plus resolved imports; from it `Instance`
(instance.py) makes actors' instances in tens of microseconds. Machine code is made in another process (compiler.py) and kept
by modulecache.py; the engine turns it into programs. Its configuration is in configuration.py.
"""

from dataclasses import dataclass
from typing import Self

import anyio
import wasmtime

from desk.actors.engine import capi, hostcalls
from desk.actors.engine.configuration import configuration, one_line
from desk.actors.engine.hostcalls import HostFunction
from desk.actors.engine.modulecache import ModuleCache
from desk.actors.engine.ticker import Ticker, refuse_after_fork
from desk.actors.errors import Refused


@dataclass(frozen=True, slots=True)
class Program:
    """A module compiled for one engine, its imports resolved. `cached` says whether compilation was saved."""

    module: wasmtime.Module
    pre: wasmtime.InstancePre
    cached: bool


class Engine:
    """See the module's docstring. Close it after the last instance; `with` does."""

    def __init__(self, functions: tuple[HostFunction, ...], cache: ModuleCache | None = None) -> None:
        refuse_after_fork()
        config = configuration()
        config.parallel_compilation = False  # here only the self-test is compiled; the child has its threads
        self._engine = wasmtime.Engine(config)
        self._cache = cache
        self._linker = wasmtime.Linker(self._engine)
        hostcalls.define(self._linker, functions)
        self.pointer = capi.address(self._engine)
        self.ticker = Ticker(self._tick)
        self.gate = anyio.Lock()
        """Held during every slice but a call's first: see pump.py."""

    def cached(self, name: str, wasm: bytes) -> Program | None:
        """The program for these bytes if the cache has it. Quick enough for the event loop."""
        refuse_after_fork()
        module = self._cache.load(self._engine, wasm) if self._cache else None
        return self._program(name, module, cached=True) if module else None

    def install(self, name: str, wasm: bytes, compiled: bytes | bytearray) -> Program:
        """The program from machine code that `compile_process.py` made, which goes into the cache. Blocks for a large one."""
        if self._cache:
            self._cache.store(wasm, compiled)
        # Back from the file if there is one: mapped memory is shared, and given up without being written to swap.
        module = self._cache.load(self._engine, wasm) if self._cache else None
        return self._program(name, module or wasmtime.Module.deserialize(self._engine, compiled), cached=False)

    def compile(self, name: str, wasm: bytes) -> Program:
        """Load from the cache, or compile here and now, for tests and measurements: a host has a `Compiler` for it.

        Blocks, and nothing limits it. Raises `Refused` if the bytes do not validate.
        """
        program = self.cached(name, wasm)
        if program is not None:
            return program
        try:
            compiled = wasmtime.Module(self._engine, wasm).serialize()
        except wasmtime.WasmtimeError as error:
            raise Refused(name, [one_line(error)]) from error
        return self.install(name, wasm, compiled)

    def _program(self, name: str, module: wasmtime.Module, *, cached: bool) -> Program:
        try:
            return Program(module, self._linker.instantiate_pre(module), cached)
        except wasmtime.WasmtimeError as error:
            raise Refused(name, [one_line(error)]) from error

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
    engine = wasmtime.Engine(configuration())
    try:
        wasmtime.Module.validate(engine, wasm)
    except wasmtime.WasmtimeError as error:
        return one_line(error)
    return None
