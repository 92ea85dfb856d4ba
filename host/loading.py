"""Loading: from a file to an actor that is reachable. Read, admit, compile, start; only then does the host know of it.

Whatever is wrong on the way leaves nothing behind, and a host that closes ends every load in progress.

Reading is for a thread, since a disk may be slow. What follows is Python's work: a thread would hold Python's lock as long, and
cost a hop, so what is small is done on the event loop (`actors/effort.py` says what is), and the rest in a thread, one module
at a time. Many loads at once keep the bus's pace: the loop has its turns between them.
"""

import logging
from collections.abc import Awaitable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import anyio
import anyio.to_thread

from desk.actors.admission import Admission, admit
from desk.actors.cell import Cell
from desk.actors.effort import is_quick
from desk.actors.engine.modulecache import digest
from desk.actors.engine.profiles import PROFILES
from desk.actors.limits import Limits
from desk.actors.manifest import Manifest, parse_manifest
from desk.actors.manifest_config import settings
from desk.actors.manifest_handlers import tick_argument
from desk.actors.runner import Runner
from desk.actors.timers import Timers
from desk.bus.envelope import Origin
from desk.bus.errors import DeskError, NoReceiver, Unavailable
from desk.bus.timers import Tick
from desk.capabilities.facet import Facet
from desk.capabilities.grant import Scope
from desk.capabilities.grants import Grants
from desk.capabilities.message_atoms import BusAtom
from desk.capabilities.permissions import PermissionSet
from desk.capabilities.policy import Given
from desk.capabilities.provider import Member, Use
from desk.capabilities.resources import Resources
from desk.capabilities.vocabulary import Vocabulary
from desk.host.engines import IMPORTS
from desk.host.errors import AlreadyLoaded, HostNotOpen
from desk.host.files import read_extension
from desk.host.granting import follow_grants, granted_to, heard, useless
from desk.host.parts import Parts
from desk.traces import names

log = logging.getLogger("desk.host")

_TIMER = Origin(traceparent="")
"""What a tick comes from: nobody waits for it, and it begins a trace; whoever loaded the extension has no part in it."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What an operator says beside the module: see `Host.load`. Raises `TypeError` or `ValueError` for what makes no sense."""

    grants: Given | None = None
    limits: Limits | None = None
    profile: str | None = None
    seed: int = 0
    config: Mapping[str, object] = field(default_factory=dict[str, object])

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
    member: Member
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
    """See the module's docstring. `loaded` is the host's list, to which each load adds one."""

    def __init__(self, parts: Parts, loaded: MutableMapping[str, Loaded]) -> None:
        self._parts = parts
        self._loaded = loaded
        self._loading: dict[str, tuple[anyio.CancelScope, anyio.Event]] = {}
        self._thread = anyio.CapacityLimiter(1)
        self._closed = False

    async def load(self, source: str | Path | bytes, manifest: str | bytes | Path | None, terms: Terms) -> str:
        """Load an extension and return its name. Raises what `Host.load` does."""
        limits = self._parts.limits if terms.limits is None else self._parts.limits.narrowed(asdict(terms.limits))
        module = await self._module(source, manifest, limits)
        accepted = module.admission.check()
        name = accepted.name
        if name in self._loaded or name in self._loading:
            raise AlreadyLoaded(f"an extension {name!r} is loaded already; remove it first")
        granted = granted_to(accepted, terms.grants, self._parts)
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

    async def inspect(self, source: str | Path | bytes, manifest: str | bytes | Path | None) -> Admission:
        """What admission says of a module, which is not loaded."""
        return (await self._module(source, manifest, self._parts.limits)).admission

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
            await self._parts.bus.pace.breathe()
            return _judged(wasm, text, limits, self._parts.vocabulary)
        vocabulary = self._parts.vocabulary
        return await anyio.to_thread.run_sync(_judged, wasm, text, limits, vocabulary, limiter=self._thread)

    # -- compile and start

    async def _start(self, module: _Module, manifest: Manifest, granted: PermissionSet, terms: Terms) -> Loaded:
        name = manifest.name
        profile = PROFILES[terms.profile or manifest.profile]
        engine = self._parts.engines.get(profile)
        limits = module.admission.limits
        config = settings(manifest.config, terms.config)
        with self._parts.tracing.span(names.LOAD, name) as span:
            with self._parts.tracing.span(names.COMPILE, name, parent=span.traceparent):
                program = await self._parts.compiler.program(engine, name, module.wasm, module.digest)
            grants = Grants(manifest.requested, granted, self._parts.policy.rules(name))
            if self._parts.remembered is not None:
                always = self._parts.remembered.granted(name, manifest.requested)
                grants.give(always, scope=Scope.ALWAYS, by="person")
            member = Member(
                name,
                grants,
                Resources(limits.resources),
                limits.storage,
                config,
                seed=terms.seed,
                reason=manifest.reason,
            )
            facet = Facet(self._parts.bus, self._parts.broker, member)
            runner = Runner(
                name,
                program,
                engine,
                limits,
                facet,
                self._parts.tracing,
                self._parts.pump,
                seed=terms.seed,
                capacity=self._parts.capacity,
            )
            cell = Cell(manifest, runner, limits, self._parts.bus, self._parts.tracing)
            use = Use(member, Origin(name, (), 0, span.traceparent))
            try:
                patterns, unheard = await heard(manifest, self._parts.broker, use)
                await self._parts.bus.pace.breathe()
                subjects = [each for each in manifest.publishes if member.grants.decide(BusAtom.publish(each)).allowed]
                unheard += await cell.start(span, patterns, subjects)
                if self._closed:  # and it was not cancelled, since it did not have to wait
                    raise _closed_meanwhile(name)
            except BaseException:
                cell.stop()
                runner.close()
                raise
            member.on_change = lambda: follow_grants(cell, self._parts.broker, use)
            member.on_change()  # its rights may have changed while it was made
            self._parts.tasks.start_soon(cell.run, name=f"actor {name}")
            if manifest.timers:
                self._parts.tasks.start_soon(self._keep_time, cell, name=f"timers of {name}")
        said = unheard + useless(manifest.requested, granted)
        for notice in said:
            log.warning("%s %s", name, notice)
        return Loaded(cell, member, profile.name, limits, module.admission.notices + said)

    async def _keep_time(self, cell: Cell) -> None:
        """Have the exports of its timers called until it is stopped."""

        def call(export: str, *args: object) -> Awaitable[object]:
            return self._parts.bus.request(cell.subjects[export], *args, deadline=None, origin=_TIMER)

        def failed(export: str, tick: Tick, error: Exception) -> None:
            if not isinstance(error, NoReceiver | Unavailable):
                takes_it = cell.manifest.exports[export].params
                args = (tick_argument(tick.number, tick.missed),) if takes_it else ()
                with suppress(DeskError):  # it was stopped meanwhile, maybe replaced: then there is nothing to retry
                    self._parts.bus.bury_request(cell.subjects[export], args, cell.name, f"failed: {error}")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Timers(cell.manifest, self._parts.bus.every, call, failed).run)
            await cell.stopping.wait()
            tasks.cancel_scope.cancel()


def _judged(wasm: bytes, text: str | bytes | None, limits: Limits, vocabulary: Vocabulary) -> _Module:
    """The module as admission sees it. Raises `ManifestError`."""
    manifest = parse_manifest(text, vocabulary) if text is not None else None
    admission = admit(wasm, manifest, imports=IMPORTS, limits=limits, vocabulary=vocabulary)
    return _Module(wasm, admission, digest(wasm) if admission.accepted else None)


def _closed_meanwhile(name: str) -> HostNotOpen:
    return HostNotOpen(f"the host was closed while it loaded {name!r}")
