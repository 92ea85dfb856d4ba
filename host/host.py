"""The host: the one object an app embeds. It puts the rooms together and owns everything that runs.

    async with Host() as host:                                   # on trio or on asyncio
        await host.load("weather-widget.wasm", grants={"network": ["api.weather.com:80"]})
        await host.publish("weather.observed", {...})            # extensions that subscribe handle it
        size = await host.call("weather-widget", "render", 640, 480)

Loading is: read, admit (from bytes and manifest alone), compile in a child process, make an instance, become reachable.
Whatever is wrong before the last step leaves the host as it was. Nothing is granted unless `grants` says so.
"""

import logging
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import anyio
import anyio.to_thread

from desk.actors.cell import Cell
from desk.actors.cell_statistics import CellStatistics
from desk.actors.engine.capacity import Capacity
from desk.actors.engine.compiler import CompileLimits, Compiler
from desk.actors.engine.interrupts import deferred_interrupts
from desk.actors.engine.modulecache import ModuleCache
from desk.actors.engine.pump import Pump
from desk.actors.engine.selftest import ensure_usable
from desk.actors.engine.workers import Workers
from desk.actors.limits import Limits
from desk.actors.manifest import Manifest
from desk.bus.bus import Bus
from desk.bus.clock import Clock
from desk.bus.exchange import DEFAULT_DEADLINE
from desk.bus.mailbox import DEFAULT_CAPACITY, Overflow
from desk.bus.subscription import Subscription
from desk.capabilities.addresses import AddressMap
from desk.capabilities.audit import Audit, AuditSink
from desk.capabilities.broker import Broker
from desk.capabilities.permissions import PermissionSet
from desk.capabilities.provider import Provider
from desk.capabilities.providers.http import HttpProvider
from desk.host.engines import FUNCTIONS as FUNCTIONS
from desk.host.engines import IMPORTS as IMPORTS
from desk.host.engines import Engines
from desk.host.errors import HostNotOpen, NotLoaded
from desk.host.files import default_cache_dir
from desk.host.granting import Permissions
from desk.host.loading import Loaded, Loader, Terms
from desk.traces.configure import configure_from_environment
from desk.traces.tracing import Tracing

log = logging.getLogger("desk.host")

GRACE = 0.5
"""Seconds that turns in progress get when the host closes; then they are cancelled. Ctrl-C is to work within a second."""


@dataclass(frozen=True, slots=True, repr=False)
class Extension:
    """A loaded extension, as `extensions()` shows it."""

    name: str
    manifest: Manifest
    granted: PermissionSet
    profile: str
    limits: Limits
    """What it may use: the least of what the host, the operator and the manifest say."""
    notices: tuple[str, ...]
    """What was accepted but is not acted upon, and what was asked for but not granted: sentences for people."""
    statistics: CellStatistics

    def __repr__(self) -> str:
        """Like `<Extension echo, 3 exports, 2 permissions granted, 4 asked for, small>`."""
        asked = len(self.manifest.requested.atoms)
        return (
            f"<Extension {self.name}, {len(self.manifest.exports)} exports, {len(self.granted.atoms)} permissions granted, "
            f"{asked} asked for, {self.profile}>"
        )


class Host:
    """See the module's docstring. Enter and leave it in one task; use it from any task of the same event loop."""

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        compile_limits: CompileLimits | None = None,
        max_instances: int | None = None,
        addresses: AddressMap | None = None,
        providers: Iterable[Provider] | None = None,
        audit: AuditSink | None = None,
        tracing: Tracing | None = None,
        cache_dir: Path | str | None = None,
        cache: bool = True,
        clock: Clock | None = None,
    ) -> None:
        """Nothing starts before `async with`.

        `limits` caps every extension, `compile_limits` its compilation. `max_instances` is how many extensions may live at
        a time, by default as many as the system has room for. `addresses` answers for host names, for tests and demos.
        `providers` replaces the standard capabilities. `audit` is called with every decision. `tracing` defaults to what
        `OTEL_*` variables say. `cache_dir` keeps compiled modules (`default_cache_dir()`); `cache=False` keeps none.
        `clock` is for timers: a test gives one that it can move (`desk.testing.clock.ManualClock`).
        """
        for given, kind in ((limits, Limits), (compile_limits, CompileLimits)):
            # It comes from untyped code, too.
            if given is not None and not isinstance(given, kind):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise TypeError(
                    f"expected {kind.__name__}(...), with what differs from the defaults; not {given!r:.80}"
                )
        self.limits = limits or Limits()
        self._compile_limits = compile_limits
        self._capacity = Capacity(max_instances)
        self.audit = Audit(audit)
        self._tracing = tracing
        self._providers = tuple(providers) if providers is not None else (HttpProvider(address_map=addresses),)
        self._cache_dir = Path(cache_dir) if cache_dir and cache else None
        self._cache = cache
        self._clock = clock
        self._loaded: dict[str, Loaded] = {}
        self._stack = AsyncExitStack()
        self._state = "new"

    def __repr__(self) -> str:
        """Like `<Host, open: 2 extensions: echo, weather-widget>`."""
        return f"<Host, {self._state}: {len(self._loaded)} extensions: {', '.join(sorted(self._loaded)) or 'none'}>"

    # -- life

    async def __aenter__(self) -> Self:
        """Start: a bus, an engine, and a group of tasks for the actors. Raises `EngineUnusable` if wasmtime is not as tested."""
        if self._state != "new":
            raise HostNotOpen(f"this host is {self._state} already; make another one")
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        self._state = "open"
        return self

    async def _open(self) -> None:
        tracing = self._tracing
        if tracing is None:
            tracing = configure_from_environment()
            self._stack.push_async_callback(_shutdown, tracing)
        self.tracing = tracing
        self.bus = Bus(tracing, self._clock)
        broker = Broker(self._providers, self.audit, tracing)
        ensure_usable()
        engines = Engines(self._open_cache())
        self._stack.callback(engines.close)
        compiler = await self._stack.enter_async_context(Compiler(self._compile_limits))
        self._stack.enter_context(deferred_interrupts(Cell.run))
        self._tasks = await self._stack.enter_async_context(anyio.create_task_group())
        self._loader = Loader(
            bus=self.bus,
            broker=broker,
            tracing=tracing,
            engines=engines,
            compiler=compiler,
            pump=Pump(self.bus.pace, Workers()),
            capacity=self._capacity,
            tasks=self._tasks,
            limits=self.limits,
            loaded=self._loaded,
        )

    def _open_cache(self) -> ModuleCache | None:
        if self._cache_dir is not None:
            return ModuleCache(self._cache_dir)
        if not self._cache:
            return None
        try:
            return ModuleCache(default_cache_dir())
        except OSError as error:  # no home, or not ours: a cache only saves time
            log.warning("compiled modules are not kept: %s", error)
            return None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Stop everything: loads at once, turns in progress within `GRACE` seconds, or at once if this ends with an error."""
        self._state = "closed"
        self._loader.cancel()
        for loaded in self._loaded.values():
            loaded.cell.stop()
        self._loaded.clear()
        if error is not None:
            self._tasks.cancel_scope.cancel()
        else:
            self._tasks.cancel_scope.deadline = anyio.current_time() + GRACE
        await self._loader.wait()
        # The error is the app's own: it goes on as it is, not inside the exception group of our tasks.
        await self._stack.aclose()

    def _check_open(self) -> None:
        if self._state != "open":
            raise HostNotOpen(
                f"this host is {self._state}, not open: use `async with Host() as host:`, and it inside of that"
            )

    # -- extensions

    async def load(
        self,
        source: str | Path | bytes,
        *,
        manifest: str | bytes | Path | None = None,
        grants: Permissions | Literal["requested"] | None = None,
        limits: Limits | None = None,
        profile: str | None = None,
        seed: int = 0,
    ) -> Extension:
        """Load a module and start its actor; returns it once it is reachable.

        `source` is a file, or its bytes. The manifest travels in the module (custom section `desk:manifest`), lies beside
        the file as `manifest.ron`, or is given here as RON text or a path. `grants` is what it may do, at most what its
        manifest asks for; nothing by default; `"requested"` grants all that it asks for.

        `limits` caps this extension; the host's caps hold as well, and so does what the manifest gives up. To lower one only:
        `dataclasses.replace(host.limits, memory=...)`. `profile` ("small", "image", "deterministic") wins over the manifest's.
        `seed` is what a deterministic extension's clock and random numbers come from.

        Raises `Refused` with every reason, `CompileFailed` or `TooManyInstances` (nothing has run then); `AlreadyLoaded`,
        `UnreadableModule`, `ManifestError`, `PermissionSyntaxError` for bad grants, `ExtensionError` if the guest fails while
        it starts; `ValueError` for an unknown profile, `TypeError` for grants, limits or a seed that are none.
        """
        self._check_open()
        terms = Terms(grants, limits, profile, seed)
        return self._extension(await self._loader.load(source, manifest, terms))

    async def remove(self, name: str) -> None:
        """Stop an extension and forget it. A turn in progress ends by itself, or at its wall limit."""
        cell = self._entry(name).cell
        del self._loaded[name]
        cell.stop()
        await cell.stopped.wait()

    def extensions(self) -> tuple[Extension, ...]:
        """All that are loaded, by name."""
        return tuple(map(self._extension, sorted(self._loaded)))

    def _extension(self, name: str) -> Extension:
        loaded = self._loaded[name]
        return Extension(
            name,
            loaded.cell.manifest,
            loaded.granted,
            loaded.profile,
            loaded.limits,
            loaded.notices,
            loaded.cell.statistics(),
        )

    def _entry(self, name: str) -> Loaded:
        self._check_open()
        try:
            return self._loaded[name]
        except KeyError:
            known = ", ".join(sorted(self._loaded)) or "none"
            raise NotLoaded(f"there is no extension {name!r}; loaded: {known}") from None

    # -- messages

    async def call(self, name: str, export: str, *args: object, deadline: float | None = DEFAULT_DEADLINE) -> object:
        """Call an export and return its checked result; waits at most `deadline` seconds (None: for ever).

        Raises `NotLoaded`; `InvalidValue` if an argument is not of the declared type (the guest was not called);
        `ExtensionError` (`GuestFailed`, `Trapped`, `Killed`, …) for the guest's doing; `DeadlineExceeded`.
        """
        subjects = self._entry(name).cell.subjects
        if export not in subjects:
            raise NotLoaded(f"{name} has no export {export!r}; it has: {', '.join(sorted(subjects)) or 'none'}")
        return await self.bus.request(subjects[export], *args, deadline=deadline)

    async def publish(self, subject: str, value: object, *, deadline: float | None = DEFAULT_DEADLINE) -> int:
        """Publish an event and return how many took it: extensions and Python subscribers. See `Bus.publish`."""
        self._check_open()
        return await self.bus.publish(subject, value, deadline=deadline)

    def subscribe(
        self, pattern: str, *, capacity: int = DEFAULT_CAPACITY, overflow: Overflow | str = Overflow.WAIT
    ) -> Subscription:
        """Listen to events, also those that extensions publish: `async with host.subscribe("weather.*") as events`."""
        self._check_open()
        return self.bus.subscribe(pattern, capacity=capacity, overflow=overflow)


async def _shutdown(tracing: Tracing) -> None:
    """Deliver the spans still held; it takes seconds at most, also when everything else is being cancelled."""
    with anyio.CancelScope(shield=True):
        await anyio.to_thread.run_sync(tracing.shutdown)
