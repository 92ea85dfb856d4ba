"""Opening a host: from what the app said to what runs, in the order in which it is closed again, backwards."""

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import anyio
import anyio.to_thread

from desk.actors.cell import Cell
from desk.actors.engine.capacity import Capacity
from desk.actors.engine.compiler import CompileLimits, Compiler
from desk.actors.engine.interrupts import deferred_interrupts
from desk.actors.engine.modulecache import ModuleCache
from desk.actors.engine.pump import Pump
from desk.actors.engine.selftest import ensure_usable
from desk.actors.engine.workers import Workers
from desk.actors.limits import Limits
from desk.bus.bus import Bus
from desk.bus.clock import Clock
from desk.capabilities.addresses import AddressMap
from desk.capabilities.audit import Audit
from desk.capabilities.audit_file import AuditFile, file_names
from desk.capabilities.audit_mirror import AuditMirror
from desk.capabilities.broker import Broker
from desk.capabilities.capability import Capability, vocabulary_with
from desk.capabilities.lease_keeper import keep_leases
from desk.capabilities.policy import Policy
from desk.capabilities.prompting import Prompter
from desk.capabilities.provider import Provider
from desk.capabilities.providers.standard import Standard
from desk.capabilities.remembered import Remembered
from desk.capabilities.vocabulary import Vocabulary
from desk.host.engines import Engines
from desk.host.files import GRANTS_FILE, claim_data_dir, default_cache_dir, naming
from desk.host.parts import Parts
from desk.traces.configure import configure_from_environment
from desk.traces.tracing import Tracing

log = logging.getLogger("desk.host")


@dataclass(frozen=True, slots=True)
class Options:
    """What the app said: see `Host.__init__`. Raises `TypeError` for limits that are none."""

    limits: Limits
    compile_limits: CompileLimits | None
    capacity: Capacity
    addresses: AddressMap | None
    capabilities: Sequence[Capability]
    providers: Sequence[Provider] | None
    policy: Policy
    audit_file: Path | None
    tracing: Tracing | None
    data_dir: Path | None
    cache_dir: Path | None
    """None: nothing is kept."""
    clock: Clock | None

    def __post_init__(self) -> None:
        # It comes from untyped code, too.
        for given, kind in ((self.limits, Limits), (self.compile_limits, CompileLimits)):
            if given is not None and not isinstance(given, kind):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise TypeError(
                    f"expected {kind.__name__}(...), with what differs from the defaults; not {given!r:.80}"
                )


async def open_parts(options: Options, audit: Audit, stack: AsyncExitStack) -> Parts:
    """Start a bus, an engine, and a group of tasks for the actors; `stack` ends them.

    Raises `EngineUnusable` if wasmtime is not as tested, `DataDirInUse`, `PolicyError` for remembered grants that cannot be
    understood, and `OSError` for directories that cannot be used.
    """
    tracing = options.tracing
    if tracing is None:
        tracing = configure_from_environment()
        stack.push_async_callback(_in_thread, tracing.shutdown)  # delivers the spans still held
    bus = Bus(tracing, options.clock)
    vocabulary = vocabulary_with(options.capabilities)
    remembered = _remembered(options.data_dir, vocabulary, stack)
    mirror = AuditMirror(bus)
    audit.sinks.append(mirror)
    stack.callback(audit.sinks.remove, mirror)
    if options.audit_file is not None:
        with naming("audit", options.audit_file):
            file = AuditFile(options.audit_file)
        stack.push_async_callback(_in_thread, file.close)
        audit.sinks.append(file)
        stack.callback(audit.sinks.remove, file)
    asks = options.policy.ask
    prompter = None if asks is None else Prompter(asks, None if remembered is None else remembered.add)
    broker = Broker(_providers(options, stack), audit, tracing, prompter)
    ensure_usable()
    engines = Engines(_cache(options.cache_dir))
    stack.callback(engines.close)
    compiler = await stack.enter_async_context(Compiler(options.compile_limits))
    stack.enter_context(deferred_interrupts(Cell.run))
    # Two groups: these tasks go on while the actors come to their end.
    background = await stack.enter_async_context(anyio.create_task_group())
    stack.callback(background.cancel_scope.cancel)
    background.start_soon(mirror.run, name="audit mirror")
    background.start_soon(keep_leases, broker, name="leases")
    if prompter is not None:
        background.start_soon(prompter.run, name="prompter")
    tasks = await stack.enter_async_context(anyio.create_task_group())
    return Parts(
        bus=bus,
        broker=broker,
        tracing=tracing,
        engines=engines,
        compiler=compiler,
        pump=Pump(bus.pace, Workers()),
        capacity=options.capacity,
        tasks=tasks,
        limits=options.limits,
        vocabulary=vocabulary,
        policy=options.policy,
        remembered=remembered,
    )


def _remembered(data_dir: Path | None, vocabulary: Vocabulary, stack: AsyncExitStack) -> Remembered | None:
    if data_dir is None:
        return None
    with naming("data_dir", data_dir):
        stack.callback(os.close, claim_data_dir(data_dir))
        return Remembered(data_dir / GRANTS_FILE, vocabulary)


def _providers(options: Options, stack: AsyncExitStack) -> Sequence[Provider]:
    own = tuple(chain.from_iterable(each.operations() for each in options.capabilities))
    if options.providers is not None:
        return (*options.providers, *own)
    # Whoever may write these could have machine code of its own run, or change what is remembered of it.
    private = [] if options.cache_dir is None else [options.cache_dir]
    if options.audit_file is not None:
        private += file_names(options.audit_file)
    standard = Standard(options.data_dir, options.addresses, options.clock, private)
    stack.callback(standard.close)
    return (*standard.providers, *own)


def _cache(directory: Path | None) -> ModuleCache | None:
    if directory is None:
        return None
    try:
        with naming("cache_dir", directory):
            return ModuleCache(directory)
    except OSError as error:
        if directory != default_cache_dir():
            raise
        log.warning("compiled modules are not kept: %s", error)  # no home, or not ours: a cache only saves time
        return None


async def _in_thread(end: Callable[[], object]) -> None:
    """Do what is to be done at the end: it takes seconds at most, also when everything else is being cancelled."""
    with anyio.CancelScope(shield=True):
        await anyio.to_thread.run_sync(end)
