"""The host: the one object an app embeds. It puts the rooms together and owns everything that runs.

    async with Host() as host:                                   # on trio or on asyncio
        await host.load("weather-widget.wasm", grants={"network": ["api.weather.com:80"]})
        await host.publish("weather.observed", {...})            # extensions that subscribe handle it
        size = await host.call("weather-widget", "render", 640, 480)

Loading is: read, admit (from bytes and manifest alone), compile off the loop, make an instance, become reachable. Whatever is
wrong before the last step leaves the host as it was. Nothing is granted unless `grants` says so.
"""

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import anyio
import anyio.to_thread

from desk.actors import abi
from desk.actors.admission import admit
from desk.actors.cell import Cell, CellStatistics
from desk.actors.engine.engine import Engine
from desk.actors.engine.interrupts import deferred_interrupts
from desk.actors.engine.modulecache import ModuleCache
from desk.actors.limits import Limits
from desk.actors.manifest import Manifest, parse_manifest
from desk.actors.runner import Runner
from desk.actors.wasi import preview1
from desk.bus.bus import DEFAULT_DEADLINE, Bus
from desk.bus.envelope import APP, Origin
from desk.bus.mailbox import DEFAULT_CAPACITY
from desk.bus.subscription import Subscription
from desk.capabilities.addresses import AddressMap
from desk.capabilities.audit import Audit, AuditSink
from desk.capabilities.broker import Broker
from desk.capabilities.codes import PermissionDenied
from desk.capabilities.facet import Facet
from desk.capabilities.grants import Grants
from desk.capabilities.message_atoms import BusAtom
from desk.capabilities.permissions import PermissionSet
from desk.capabilities.provider import Provider
from desk.capabilities.providers.http import HttpProvider
from desk.host.errors import AlreadyLoaded, NotLoaded
from desk.host.files import read_module
from desk.traces import names
from desk.traces.configure import configure_from_environment
from desk.traces.tracing import Tracing

log = logging.getLogger("desk.host")

Permissions = Mapping[str, str | Sequence[str]]
"""Permissions by section, in the manifest's grammar: `{"network": ["api.weather.com:80"], "bus": ["publish:weather.*"]}`."""

FUNCTIONS = abi.FUNCTIONS + preview1.FUNCTIONS
IMPORTS = {(f.module, f.name): (f.params, (f.result,) if f.result else ()) for f in FUNCTIONS}
"""Every import a module may have, with its type: what admission holds it against."""

GRACE = 0.5
"""Seconds that turns in progress get when the host closes; then they are cancelled. Ctrl-C is to work within a second."""


def default_cache_dir() -> Path:
    """Where compiled modules are kept: `$XDG_CACHE_HOME/desk/modules`, or below `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "desk" / "modules"


@dataclass(frozen=True, slots=True)
class Extension:
    """A loaded extension, as `extensions()` shows it."""

    name: str
    manifest: Manifest
    granted: PermissionSet
    notices: tuple[str, ...]
    """What was accepted but is not acted upon, and what was asked for but not granted: sentences for people."""
    statistics: CellStatistics


class Host:
    """See the module's docstring. Enter and leave it in one task; use it from any task of the same event loop."""

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        addresses: AddressMap | None = None,
        providers: Iterable[Provider] | None = None,
        audit: AuditSink | None = None,
        tracing: Tracing | None = None,
        cache_dir: Path | str | None = None,
        cache: bool = True,
    ) -> None:
        """Nothing starts before `async with`.

        `limits` caps every extension. `addresses` answers for host names, for tests and demos. `providers` replaces the
        standard capabilities. `audit` is called with every decision. `tracing` defaults to what `OTEL_*` variables say.
        `cache_dir` keeps compiled modules (`default_cache_dir()`); `cache=False` keeps none.
        """
        self.limits = limits or Limits()
        self.audit = Audit(audit)
        self._tracing = tracing
        self._providers = tuple(providers) if providers is not None else (HttpProvider(address_map=addresses),)
        self._cache_dir = (Path(cache_dir) if cache_dir else default_cache_dir()) if cache else None
        self._cells: dict[str, tuple[Cell, PermissionSet, tuple[str, ...]]] = {}
        self._loading: set[str] = set()
        self._stack = AsyncExitStack()

    def __repr__(self) -> str:
        """Like `<Host: 2 extensions: echo, weather-widget>`."""
        return f"<Host: {len(self._cells)} extensions: {', '.join(sorted(self._cells)) or 'none'}>"

    # -- life

    async def __aenter__(self) -> Self:
        """Start: a bus, an engine, and a group of tasks for the actors."""
        tracing = self._tracing
        if tracing is None:
            tracing = configure_from_environment()
            self._stack.push_async_callback(_shutdown, tracing)
        self.tracing = tracing
        self.bus = Bus(tracing)
        self._broker = Broker(self._providers, self.audit, tracing)
        self._engine = Engine(FUNCTIONS, ModuleCache(self._cache_dir) if self._cache_dir else None)
        self._stack.callback(self._engine.close)
        self._stack.enter_context(deferred_interrupts(Cell.run))
        self._tasks = await self._stack.enter_async_context(anyio.create_task_group())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Stop everything: turns in progress get `GRACE` seconds, or none if this ends with an error."""
        for cell, _, _ in self._cells.values():
            cell.stop()
        self._cells.clear()
        if error is not None:
            self._tasks.cancel_scope.cancel()
        else:
            self._tasks.cancel_scope.deadline = anyio.current_time() + GRACE
        # The error is the app's own: it goes on as it is, not inside the exception group of our tasks.
        await self._stack.aclose()

    # -- extensions

    async def load(
        self,
        source: str | Path | bytes,
        *,
        manifest: str | bytes | None = None,
        grants: Permissions | Literal["requested"] | None = None,
    ) -> Extension:
        """Load a module and start its actor; returns it once it is reachable.

        `source` is a file, or its bytes. The manifest travels in the module (custom section `desk:manifest`), lies beside
        the file as `manifest.ron`, or is given here as RON text. `grants` is what it may do, at most what its manifest asks
        for; nothing by default; `"requested"` grants all that it asks for.

        Raises `Refused` with every reason (nothing has run then), `AlreadyLoaded`, `UnreadableModule`, `ManifestError`,
        `PermissionSyntaxError` for bad grants, and `ExtensionError` if the guest fails while it starts.
        """
        if not isinstance(source, bytes):
            wasm, manifest = await anyio.to_thread.run_sync(read_module, Path(source), manifest)
        else:
            wasm = source
        admission = admit(
            wasm, parse_manifest(manifest) if manifest is not None else None, imports=IMPORTS, limits=self.limits
        )
        accepted = admission.check()
        name = accepted.name
        if name in self._cells or name in self._loading:
            raise AlreadyLoaded(f"an extension {name!r} is loaded already; remove it first")
        self._loading.add(name)
        try:
            return await self._start(accepted, wasm, _granted(accepted, grants), admission.notices)
        finally:
            self._loading.discard(name)

    async def _start(
        self, manifest: Manifest, wasm: bytes, granted: PermissionSet, notices: tuple[str, ...]
    ) -> Extension:
        name = manifest.name
        with self.tracing.span(names.LOAD, name) as span:
            with self.tracing.span(names.COMPILE, name, parent=span.traceparent):
                program = await anyio.to_thread.run_sync(self._engine.compile, name, wasm, abandon_on_cancel=True)
            facet = Facet(self.bus, self._broker, Grants(manifest.requested, granted), manifest.publishes)
            limits = self.limits.narrowed(manifest.limits)
            runner = Runner(name, program, self._engine, limits, facet, self.tracing)
            cell = Cell(manifest, runner, limits, self.bus, self.tracing)
            patterns, ungranted = self._subscriptions(manifest, facet, Origin(name, (), 0, span.traceparent))
            await cell.start(span, patterns)
            self._tasks.start_soon(cell.run, name=f"actor {name}")
        self._cells[name] = (cell, granted, notices + ungranted)
        for notice in ungranted:
            log.warning("%s: %s", name, notice)
        return self._extension(name)

    def _subscriptions(self, manifest: Manifest, facet: Facet, origin: Origin) -> tuple[list[str], tuple[str, ...]]:
        """The patterns that the extension may listen to, and a notice for each that it asks for without a grant."""
        allowed: list[str] = []
        notices: list[str] = []
        for pattern in manifest.subscribes:
            try:
                self._broker.authorise(BusAtom.subscribe(pattern), facet.grants, origin, "subscribe")
                allowed.append(pattern)
            except PermissionDenied as denial:
                notices.append(f"does not listen to {pattern}: {denial}")
        return allowed, tuple(notices)

    async def remove(self, name: str) -> None:
        """Stop an extension and forget it. A turn in progress ends by itself, or at its wall limit."""
        cell, _, _ = self._entry(name)
        del self._cells[name]
        cell.stop()
        await cell.stopped.wait()

    def extensions(self) -> tuple[Extension, ...]:
        """All that are loaded, by name."""
        return tuple(self._extension(name) for name in sorted(self._cells))

    def _extension(self, name: str) -> Extension:
        cell, granted, notices = self._cells[name]
        return Extension(name, cell.manifest, granted, notices, cell.statistics())

    def _entry(self, name: str) -> tuple[Cell, PermissionSet, tuple[str, ...]]:
        try:
            return self._cells[name]
        except KeyError:
            loaded = ", ".join(sorted(self._cells)) or "none"
            raise NotLoaded(f"there is no extension {name!r}; loaded: {loaded}") from None

    # -- messages

    async def call(self, name: str, export: str, *args: object, deadline: float | None = DEFAULT_DEADLINE) -> object:
        """Call an export and return its checked result; waits at most `deadline` seconds (None: for ever).

        Raises `NotLoaded`; `InvalidValue` if an argument is not of the declared type (the guest was not called);
        `ExtensionError` (`GuestFailed`, `Trapped`, `Killed`, …) for the guest's doing; `DeadlineExceeded`.
        """
        exports = self._entry(name)[0].manifest.exports
        if export not in exports:
            raise NotLoaded(f"{name} has no export {export!r}; it has: {', '.join(sorted(exports)) or 'none'}")
        return await self.bus.request(f"ext.{name}.{export}", *args, deadline=deadline)

    async def publish(self, subject: str, value: object) -> int:
        """Publish an event and return how many took it: extensions and Python subscribers. See `Bus.publish`."""
        return await self.bus.publish(subject, value, origin=APP)

    def subscribe(self, pattern: str, *, capacity: int = DEFAULT_CAPACITY) -> Subscription:
        """Listen to events, also those that extensions publish: `async with host.subscribe("weather.*") as events`."""
        return self.bus.subscribe(pattern, capacity=capacity)


async def _shutdown(tracing: Tracing) -> None:
    """Deliver the spans still held; it takes seconds at most, also when everything else is being cancelled."""
    with anyio.CancelScope(shield=True):
        await anyio.to_thread.run_sync(tracing.shutdown)


def _granted(manifest: Manifest, grants: Permissions | Literal["requested"] | None) -> PermissionSet:
    if grants is None:
        return PermissionSet.parse({})
    return manifest.requested if grants == "requested" else PermissionSet.parse(grants)
