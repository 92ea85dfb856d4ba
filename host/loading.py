"""Loading: from a file to an actor that is reachable. Read, admit, compile, start; only then does the host know of it.

Whatever is wrong on the way leaves nothing behind, and a host that closes ends every load in progress.

Reading is for a thread, since a disk may be slow. What follows is Python's work: a thread would hold Python's lock as long, and
cost a hop, so what is small is done on the event loop (`actors/effort.py` says what is), and the rest in a thread, one module
at a time. Many loads at once keep the bus's pace: the loop has its turns between them.
"""

import logging
from collections.abc import Awaitable, MutableMapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import anyio
import anyio.abc
import anyio.to_thread

from desk.actors.admission import Admission, admit
from desk.actors.cell import Cell
from desk.actors.effort import is_quick
from desk.actors.engine.capacity import Capacity
from desk.actors.engine.compiler import Compiler
from desk.actors.engine.modulecache import digest
from desk.actors.engine.profiles import PROFILES
from desk.actors.engine.pump import Pump
from desk.actors.limits import Limits
from desk.actors.manifest import Manifest, parse_manifest
from desk.actors.manifest_handlers import tick_argument
from desk.actors.runner import Runner
from desk.actors.timers import Timers
from desk.bus.bus import Bus
from desk.bus.envelope import Origin
from desk.bus.errors import DeskError, NoReceiver, Unavailable
from desk.bus.timers import Tick
from desk.capabilities.broker import Broker
from desk.capabilities.facet import Facet
from desk.capabilities.grants import Grants
from desk.capabilities.message_atoms import BusAtom
from desk.capabilities.permissions import PermissionSet
from desk.capabilities.provider import Member, Use
from desk.host.engines import IMPORTS, Engines
from desk.host.errors import AlreadyLoaded, HostNotOpen
from desk.host.files import read_extension
from desk.host.granting import Permissions, granted_to, heard, useless
from desk.traces import names
from desk.traces.tracing import Tracing

log = logging.getLogger("desk.host")

_TIMER = Origin(traceparent="")
"""What a tick comes from: nobody waits for it, and it begins a trace; whoever loaded the extension has no part in it."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What an operator says beside the module: see `Host.load`. Raises `TypeError` or `ValueError` for what makes no sense."""

    grants: Permissions | Literal["requested"] | None = None
    limits: Limits | None = None
    profile: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        # It comes from untyped code, too.
        if self.limits is not None and not isinstance(self.limits, Limits):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"limits is a Limits, as in Limits(memory=1 << 20); not {self.limits!r:.80}")
        if self.profile is not None and (not isinstance(self.profile, str) or self.profile not in PROFILES):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(f"there is no profile {self.profile!r:.80}; known: {', '.join(PROFILES)}")
        if type(self.seed) is not int:
            raise TypeError(f"seed is an integer, not {self.seed!r:.80}")


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the host keeps of an extension."""

    cell: Cell
    granted: PermissionSet
    profile: str
    limits: Limits
    notices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Module:
    """The bytes of a module, what admission says of them, and, if they were hashed with it, their digest."""

    wasm: bytes
    admission: Admission
    digest: str | None


class Loader:
    """See the module's docstring. `limits` caps every extension; `loaded` is the host's list, to which each load adds one."""

    def __init__(
        self,
        *,
        bus: Bus,
        broker: Broker,
        tracing: Tracing,
        engines: Engines,
        compiler: Compiler,
        pump: Pump,
        capacity: Capacity,
        tasks: anyio.abc.TaskGroup,
        limits: Limits,
        loaded: MutableMapping[str, Loaded],
    ) -> None:
        self._bus = bus
        self._broker = broker
        self._tracing = tracing
        self._engines = engines
        self._compiler = compiler
        self._pump = pump
        self._capacity = capacity
        self._tasks = tasks
        self._limits = limits
        self._loaded = loaded
        self._loading: dict[str, tuple[anyio.CancelScope, anyio.Event]] = {}
        self._thread = anyio.CapacityLimiter(1)
        self._closed = False

    async def load(self, source: str | Path | bytes, manifest: str | bytes | Path | None, terms: Terms) -> str:
        """Load an extension and return its name. Raises what `Host.load` does."""
        limits = self._limits if terms.limits is None else self._limits.narrowed(asdict(terms.limits))
        module = await self._module(source, manifest, limits)
        accepted = module.admission.check()
        name = accepted.name
        if name in self._loaded or name in self._loading:
            raise AlreadyLoaded(f"an extension {name!r} is loaded already; remove it first")
        granted = granted_to(accepted, terms.grants)
        if self._closed:
            raise _closed_meanwhile(name)
        over = anyio.Event()
        with anyio.CancelScope() as scope:
            self._loading[name] = scope, over
            try:
                self._loaded[name] = await self._start(module, accepted, granted, terms)
            finally:
                del self._loading[name]
                over.set()
        if scope.cancelled_caught:
            raise _closed_meanwhile(name)
        return name

    def cancel(self) -> None:
        """End all loads, and begin no more."""
        self._closed = True
        for scope, _ in self._loading.values():
            scope.cancel()

    async def wait(self) -> None:
        """Return when all loads have ended: they run on their callers' tasks, but on our engines."""
        for _, over in list(self._loading.values()):
            with anyio.CancelScope(shield=True):
                await over.wait()

    # -- read and admit

    async def _module(self, source: str | Path | bytes, manifest: str | bytes | Path | None, limits: Limits) -> _Module:
        if isinstance(source, bytes) and not isinstance(manifest, Path):
            wasm, text = read_extension(source, manifest)
        else:
            wasm, text = await anyio.to_thread.run_sync(read_extension, source, manifest)
        if is_quick(wasm, text):
            await self._bus.pace.breathe()
            return _judged(wasm, text, limits)
        return await anyio.to_thread.run_sync(_judged, wasm, text, limits, limiter=self._thread)

    # -- compile and start

    async def _start(self, module: _Module, manifest: Manifest, granted: PermissionSet, terms: Terms) -> Loaded:
        name = manifest.name
        profile = PROFILES[terms.profile or manifest.profile]
        engine = self._engines.get(profile)
        limits = module.admission.limits
        with self._tracing.span(names.LOAD, name) as span:
            with self._tracing.span(names.COMPILE, name, parent=span.traceparent):
                program = await self._compiler.program(engine, name, module.wasm, module.digest)
            member = Member(name, Grants(manifest.requested, granted))
            facet = Facet(self._bus, self._broker, member)
            runner = Runner(
                name,
                program,
                engine,
                limits,
                facet,
                self._tracing,
                self._pump,
                seed=terms.seed,
                capacity=self._capacity,
            )
            cell = Cell(manifest, runner, limits, self._bus, self._tracing)
            use = Use(member, Origin(name, (), 0, span.traceparent))
            patterns, unheard = await heard(manifest, self._broker, use)
            await self._bus.pace.breathe()
            try:
                subjects = [each for each in manifest.publishes if member.grants.decide(BusAtom.publish(each)).allowed]
                unheard += await cell.start(span, patterns, subjects)
                if self._closed:  # and it was not cancelled, since it did not have to wait
                    raise _closed_meanwhile(name)
            except BaseException:
                cell.stop()
                runner.close()
                raise
            self._tasks.start_soon(cell.run, name=f"actor {name}")
            if manifest.timers:
                self._tasks.start_soon(self._keep_time, cell, name=f"timers of {name}")
        said = unheard + useless(manifest, granted)
        for notice in said:
            log.warning("%s %s", name, notice)
        return Loaded(cell, granted, profile.name, limits, module.admission.notices + said)

    async def _keep_time(self, cell: Cell) -> None:
        """Have the exports of its timers called until it is stopped."""

        def call(export: str, *args: object) -> Awaitable[object]:
            return self._bus.request(cell.subjects[export], *args, deadline=None, origin=_TIMER)

        def failed(export: str, tick: Tick, error: Exception) -> None:
            if not isinstance(error, NoReceiver | Unavailable):
                takes_it = cell.manifest.exports[export].params
                args = (tick_argument(tick.number, tick.missed),) if takes_it else ()
                with suppress(DeskError):  # it was stopped meanwhile, maybe replaced: then there is nothing to retry
                    self._bus.bury_request(cell.subjects[export], args, cell.name, f"failed: {error}")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Timers(cell.manifest, self._bus.every, call, failed).run)
            await cell.stopping.wait()
            tasks.cancel_scope.cancel()


def _judged(wasm: bytes, text: str | bytes | None, limits: Limits) -> _Module:
    """The module as admission sees it. Raises `ManifestError`."""
    manifest = parse_manifest(text) if text is not None else None
    admission = admit(wasm, manifest, imports=IMPORTS, limits=limits)
    return _Module(wasm, admission, digest(wasm) if admission.accepted else None)


def _closed_meanwhile(name: str) -> HostNotOpen:
    return HostNotOpen(f"the host was closed while it loaded {name!r}")
