"""One wasmtime engine: its host functions, its ticker, and the programs that run on it.

A host has one `Engine` for each profile (profiles.py) that its extensions have. A `Program` is machine code plus resolved
imports; from it `Instance` (instance.py) makes actors' instances in tens of microseconds. Machine code is made in another
process (compiler.py) and kept by modulecache.py; the engine turns it into programs. Its configuration is in configuration.py.

While a program is in use, whoever asks for the same bytes gets the same one: a thousand extensions of one module have one
machine code, mapped once, and all but the first are loaded in the time that it takes to hash their bytes.
"""

from dataclasses import dataclass
from typing import Self
from weakref import WeakValueDictionary

import wasmtime

from desk.actors.engine import capi, hostcalls
from desk.actors.engine.configuration import configuration, one_line
from desk.actors.engine.hostcalls import HostFunction
from desk.actors.engine.modulecache import ModuleCache, digest, fingerprint
from desk.actors.engine.profiles import SMALL, Profile
from desk.actors.engine.ticker import Ticker, refuse_after_fork
from desk.actors.errors import Refused


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Program:
    """A module compiled for one engine, its imports resolved."""

    module: wasmtime.Module
    pre: wasmtime.InstancePre
    profile: Profile
    size: int
    """Bytes of machine code and data."""
    cached: bool
    """Whether compilation was saved when it was made: its machine code came from the cache's directory."""


class Engine:
    """See the module's docstring. Close it after the last instance; `with` does."""

    def __init__(
        self, functions: tuple[HostFunction, ...], cache: ModuleCache | None = None, profile: Profile = SMALL
    ) -> None:
        refuse_after_fork()
        config = configuration(profile)
        config.parallel_compilation = False  # here only the self-test is compiled; the child has its threads
        self._engine = wasmtime.Engine(config)
        self.profile = profile
        self._cache = cache
        self._fingerprint = fingerprint(profile)
        self._programs: WeakValueDictionary[str, Program] = WeakValueDictionary()
        """Those in use, by the digest of their wasm."""
        self._linker = wasmtime.Linker(self._engine)
        hostcalls.define(self._linker, functions)
        self.pointer = capi.address(self._engine)
        self.ticker = Ticker(self._tick)

    def cached(self, name: str, wasm_digest: str) -> Program | None:
        """The program for the wasm of this digest, if it is in use or in the cache. Quick enough for the event loop."""
        refuse_after_fork()
        program = self._programs.get(wasm_digest)
        if program is not None:
            return program
        module = self._load(wasm_digest)
        return self._program(name, wasm_digest, module, cached=True) if module else None

    def install(self, name: str, wasm_digest: str, compiled: bytes | bytearray) -> Program:
        """The program from machine code that `compile_process.py` made, which goes into the cache. Blocks for a large one."""
        if self._cache:
            self._cache.store(self._key(wasm_digest), compiled)
        # Back from the file if there is one: mapped memory is shared, and given up without being written to swap.
        module = self._load(wasm_digest) or wasmtime.Module.deserialize(self._engine, compiled)
        return self._program(name, wasm_digest, module, cached=False)

    def compile(self, name: str, wasm: bytes) -> Program:
        """Load from the cache, or compile here and now, for tests and measurements: a host has a `Compiler` for it.

        Blocks, and nothing limits it. Raises `Refused` if the bytes do not validate.
        """
        wasm_digest = digest(wasm)
        program = self.cached(name, wasm_digest)
        if program is not None:
            return program
        try:
            compiled = wasmtime.Module(self._engine, wasm).serialize()
        except wasmtime.WasmtimeError as error:
            raise Refused(name, [one_line(error)]) from error
        return self.install(name, wasm_digest, compiled)

    def _load(self, wasm_digest: str) -> wasmtime.Module | None:
        return self._cache.load(self._engine, self._key(wasm_digest)) if self._cache else None

    def _key(self, wasm_digest: str) -> str:
        return f"{wasm_digest}-{self._fingerprint}"

    def _program(self, name: str, wasm_digest: str, module: wasmtime.Module, *, cached: bool) -> Program:
        try:
            pre = self._linker.instantiate_pre(module)
        except wasmtime.WasmtimeError as error:
            raise Refused(name, [one_line(error)]) from error
        return self._programs.setdefault(
            wasm_digest, Program(module, pre, self.profile, capi.image_size(module), cached)
        )

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
    engine = wasmtime.Engine(configuration(SMALL))  # in what is valid, no profile differs from another
    try:
        wasmtime.Module.validate(engine, wasm)
    except wasmtime.WasmtimeError as error:
        return one_line(error)
    return None
