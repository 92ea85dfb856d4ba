"""Programs for a host's engines: from the cache, or compiled in a child process, once for all who ask at the same time.

What is in use or in the cache is there at once, on the caller's task: in less than 0.1 ms, and 0.6 ms more for each MB if the
bytes must be hashed here. Anything else is a job of the compiler's own task group, so that cancelling one caller does not take
it from the others; the last one who leaves cancels it. A job that takes long says so on the logger `desk.actors.compiler`,
every few seconds.

The limits are the host's, not the extension's: nothing of it runs yet. How the child is limited: `compile_process.py`.
"""

import logging
from dataclasses import dataclass, field, fields
from functools import partial
from types import TracebackType
from typing import Self

import anyio
import anyio.to_thread
import wasmtime

from desk.actors.engine.compile_process import Failure, compile_in_child
from desk.actors.engine.configuration import one_line
from desk.actors.engine.engine import Engine, Program
from desk.actors.engine.modulecache import digest
from desk.actors.errors import CompileFailed, Refused
from desk.bus.types.base import InvalidValue, describe

log = logging.getLogger("desk.actors.compiler")

PROGRESS = 5.0
"""Seconds between two log lines about one compilation."""


@dataclass(frozen=True, slots=True)
class CompileLimits:
    """What compiling may take. Going over one is `CompileFailed`, and its `limit` is the key here.

    Raises `InvalidValue`, which names the limit, for anything but integers from 1.
    """

    compile_ms: int = 60_000
    """Wall time of one compilation, in milliseconds. Well-meant modules take about 3 s of processor time for each MB."""

    compile_memory: int = 2 << 30
    """Bytes of memory that the compiler's process may write to."""

    compile_at_once: int = 4
    """Compilations at the same time. More wait, as long as it takes; that is no part of `compile_ms`."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value: object = getattr(self, each.name)
            if type(value) is not int or not 1 <= value < 1 << 63:
                raise InvalidValue(f"limit {each.name}", "an integer from 1 to 2**63 - 1", describe(value))


@dataclass(eq=False, slots=True)
class _Job:
    name: str
    """The extension that asked first, for the log."""
    wasm: bytes
    digest: str
    engine: Engine
    waiters: int = 0
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    done: anyio.Event = field(default_factory=anyio.Event)
    outcome: Program | Failure | None = None
    """None until it is done, and for good if it was cancelled."""


class Compiler:
    """See the module's docstring. `async with` it, around everything that uses it; leaving kills what is still compiling."""

    def __init__(self, limits: CompileLimits | None = None) -> None:
        self.limits = limits or CompileLimits()
        self._jobs: dict[tuple[Engine, str], _Job] = {}
        self._room = anyio.Semaphore(self.limits.compile_at_once)
        self._tasks = anyio.create_task_group()

    async def program(self, engine: Engine, name: str, wasm: bytes, wasm_digest: str | None = None) -> Program:
        """The program of an engine for checked bytes. Raises `Refused` if they do not validate, and `CompileFailed`.

        Who has the bytes' `modulecache.digest` already, for example from a thread, gives it: hashing is most of the time.
        """
        wasm_digest = wasm_digest or digest(wasm)
        program = engine.cached(name, wasm_digest)
        if program is not None:
            return program
        job = self._jobs.get((engine, wasm_digest))
        if job is None:
            job = self._jobs[engine, wasm_digest] = _Job(name, wasm, wasm_digest, engine)
            self._tasks.start_soon(self._run, job, name=f"compile {name}")
        job.waiters += 1
        try:
            await job.done.wait()
        finally:
            job.waiters -= 1
            if not job.waiters and not job.done.is_set():
                self._forget(job)
                job.scope.cancel()
        match job.outcome:
            case Program() as program:
                return program
            case None:
                raise CompileFailed(name, "the host was closed meanwhile")
            case failure:
                raise failure(name)

    async def _run(self, job: _Job) -> None:
        try:
            with job.scope:
                async with self._room, anyio.create_task_group() as tasks:
                    tasks.start_soon(self._report, job)
                    job.outcome = await self._compile(job)
                    tasks.cancel_scope.cancel()
        finally:
            self._forget(job)
            job.done.set()

    async def _compile(self, job: _Job) -> Program | Failure:
        compiled = await compile_in_child(
            job.wasm,
            job.engine.profile,
            compile_ms=self.limits.compile_ms,
            compile_memory=self.limits.compile_memory,
        )
        if not isinstance(compiled, bytearray):
            return compiled
        try:
            return await anyio.to_thread.run_sync(job.engine.install, job.name, job.digest, compiled)
        except Refused as refused:
            return partial(Refused, reasons=refused.reasons)
        except wasmtime.WasmtimeError as error:
            return partial(CompileFailed, detail=f"what the compiler made cannot be loaded: {one_line(error)}")

    async def _report(self, job: _Job) -> None:
        start = anyio.current_time()
        while True:
            await anyio.sleep(PROGRESS)
            log.info(
                "compiling %s (%.1f MiB): %.0f s so far, %.0f s at most",
                *(job.name, len(job.wasm) / (1 << 20), anyio.current_time() - start, self.limits.compile_ms / 1000),
            )

    def _forget(self, job: _Job) -> None:
        key = job.engine, job.digest
        if self._jobs.get(key) is job:  # and not one that was begun after all had left this one
            del self._jobs[key]

    async def __aenter__(self) -> Self:
        """The compiler, ready."""
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> bool | None:
        """Kill what is still compiling; who waits for it gets `CompileFailed`."""
        self._tasks.cancel_scope.cancel()
        return await self._tasks.__aexit__(kind, error, tb)
