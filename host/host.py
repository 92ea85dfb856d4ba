"""The host: the one object an app embeds. It puts the rooms together and owns everything that runs.

    async with Host(data_dir="/var/lib/app") as host:            # on trio or on asyncio
        await host.load("weather-widget.wasm", grants={"network": ["api.weather.com:80"]})
        await host.publish("weather.observed", {...})            # extensions that subscribe handle it
        size = await host.call("weather-widget", "render", 640, 480)
        host.grants.revoke("weather-widget", {"network": ["api.weather.com:80"]})

Loading is: read, admit (from bytes and manifest alone), compile in a child process, make an instance, become reachable.
Whatever is wrong before the last step leaves the host as it was. Nothing is granted unless `grants` says so.
"""

from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio

from desk.actors.admission import Admission
from desk.actors.engine.capacity import Capacity
from desk.actors.engine.compiler import CompileLimits
from desk.actors.limits import Limits
from desk.bus.clock import Clock
from desk.bus.drain import Drained
from desk.bus.exchange import DEFAULT_DEADLINE
from desk.bus.mailbox import DEFAULT_CAPACITY, Overflow
from desk.bus.responder import Function, Responder
from desk.bus.subscription import Subscription
from desk.bus.types import Signature
from desk.capabilities.addresses import AddressMap
from desk.capabilities.audit import Audit, AuditSink
from desk.capabilities.capability import Capability
from desk.capabilities.policy import Given, Policy
from desk.capabilities.provider import Provider
from desk.host.engines import FUNCTIONS as FUNCTIONS
from desk.host.engines import IMPORTS as IMPORTS
from desk.host.errors import HostNotOpen, NotLoaded
from desk.host.extension import Extension, HostStatistics
from desk.host.files import default_cache_dir, naming
from desk.host.loading import Loaded, Loader, Terms
from desk.host.opening import Options, open_parts
from desk.host.rights import Rights
from desk.traces.tracing import Tracing

GRACE = 0.5
"""Seconds that turns in progress get when the host closes; then they are cancelled. Ctrl-C is to work within a second."""


class Host:
    """See the module's docstring. Enter and leave it in one task; use it from any task of the same event loop."""

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        compile_limits: CompileLimits | None = None,
        max_instances: int | None = None,
        addresses: AddressMap | None = None,
        capabilities: Iterable[Capability] = (),
        providers: Iterable[Provider] | None = None,
        policy: Policy | Path | str | None = None,
        audit: AuditSink | Path | str | None = None,
        tracing: Tracing | None = None,
        data_dir: Path | str | None = None,
        cache_dir: Path | str | None = None,
        cache: bool = True,
        clock: Clock | None = None,
    ) -> None:
        """Nothing starts before `async with`.

        `limits` caps every extension, `compile_limits` its compilation. `max_instances` is how many extensions may live at
        a time, by default as many as the system has room for. `addresses` answers for host names, for tests and demos.
        `capabilities` are the app's own, beside the standard ones; `providers` replaces these. `policy` is what the operator
        decides for all extensions, or the file that says it. `audit` is called with every decision, or is the file to write
        them into. `tracing` defaults to what `OTEL_*` variables say. `data_dir` keeps what extensions store, and is theirs
        alone; without one, files of their own and state are not available. `cache_dir` keeps compiled modules
        (`default_cache_dir()`); `cache=False` keeps none. `clock` is for timers: a test gives one that it can move
        (`desk.testing.clock.ManualClock`).

        Raises `TypeError` for limits that are none, `ValueError` for less than one instance; `PolicyError` or `OSError` for
        a policy's file that cannot be understood, or read.
        """
        capabilities = tuple(capabilities)
        if isinstance(policy, str | Path):
            with naming("policy", Path(policy)):
                policy = Policy.read(policy, capabilities=capabilities)
        self._options = Options(
            limits=Limits() if limits is None else limits,
            compile_limits=compile_limits,
            capacity=Capacity(max_instances),
            addresses=addresses,
            capabilities=capabilities,
            providers=None if providers is None else tuple(providers),
            policy=policy or Policy(),
            audit_file=Path(audit) if isinstance(audit, str | Path) else None,
            tracing=tracing,
            data_dir=None if data_dir is None else Path(data_dir),
            cache_dir=None if not cache else Path(cache_dir) if cache_dir else default_cache_dir(),
            clock=clock,
        )
        self.limits = self._options.limits
        self.audit = Audit(None if isinstance(audit, str | Path) else audit)
        self._loaded: dict[str, Loaded] = {}
        self._stack = AsyncExitStack()
        self._state = "new"

    def __repr__(self) -> str:
        """Like `<Host, open: 2 extensions: echo, weather-widget>`."""
        return f"<Host, {self._state}: {len(self._loaded)} extensions: {', '.join(sorted(self._loaded)) or 'none'}>"

    # -- life

    async def __aenter__(self) -> Self:
        """Start: a bus, an engine, and a group of tasks for the actors.

        Raises `HostNotOpen` if it was open before, `EngineUnusable` if wasmtime is not as tested, `DataDirInUse`, `PolicyError`
        for remembered grants that cannot be understood, `OSError` for directories and files that cannot be used (it names the
        argument), `ValueError` for two capabilities of one name.
        """
        if self._state != "new":
            raise HostNotOpen(f"this host is {self._state} already; make another one")
        try:
            parts = await open_parts(self._options, self.audit, self._stack)
        except BaseException:
            await self._stack.aclose()
            raise
        self.bus, self.tracing, self._tasks = parts.bus, parts.tracing, parts.tasks
        self._rights = Rights(parts.broker.members, parts.vocabulary, parts.remembered)
        self._loader = Loader(parts, self._loaded)
        self._state = "open"
        return self

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
        grants: Given | None = None,
        limits: Limits | None = None,
        profile: str | None = None,
        seed: int = 0,
        config: Mapping[str, object] | None = None,
    ) -> Extension:
        """Load a module and start its actor; returns it once it is reachable.

        `source` is a file, or its bytes. The manifest travels in the module (custom section `desk:manifest`), lies beside
        the file as `manifest.ron`, or is given here as RON text or a path. `grants` is what it may do, at most what its
        manifest asks for; nothing by default; `"requested"` grants all that it asks for.

        `limits` caps this extension; the host's caps hold as well, and so does what the manifest gives up. To lower one only:
        `dataclasses.replace(host.limits, memory=...)`. `profile` ("small", "image", "deterministic") wins over the manifest's.
        `seed` is what its seeded random numbers, and a deterministic extension's clock, come from. `config` has the values of
        what its manifest lists in `config`.

        Raises `Refused` with every reason, `CompileFailed` or `TooManyInstances` (nothing has run then); `AlreadyLoaded`,
        `UnreadableModule`, `ManifestError`, `PermissionSyntaxError` for bad grants, `ExtensionError` if the guest fails while
        it starts; `ConflictingTypes` for events that others declare otherwise; `ValueError` for an unknown profile, or an export
        whose subject the app answers itself, `TypeError` for grants, limits or a seed that are none, `InvalidValue` for a config
        that is not as the manifest wants it; and what the policy's `decide` raises.
        """
        self._check_open()
        terms = Terms(grants, limits, profile, seed, config or {})
        return self._extension(await self._loader.load(source, manifest, terms))

    async def inspect(self, source: str | Path | bytes, *, manifest: str | bytes | Path | None = None) -> Admission:
        """What a module is and asks for, and every reason why it would be refused. Runs nothing; it is not loaded.

        Raises `UnreadableModule`, and `ManifestError` for a manifest beside it that cannot be read.
        """
        self._check_open()
        return await self._loader.inspect(source, manifest)

    async def remove(self, name: str) -> None:
        """Stop an extension and forget it. A turn in progress ends by itself, or at its wall limit. Raises `NotLoaded`."""
        cell = self._entry(name).cell
        del self._loaded[name]
        cell.stop()
        await cell.stopped.wait()

    @property
    def grants(self) -> Rights:
        """What the extensions may do, to be listed, explained, given and taken away while they run."""
        self._check_open()
        return self._rights

    def extensions(self) -> tuple[Extension, ...]:
        """All that are loaded, by name."""
        return tuple(map(self._extension, sorted(self._loaded)))

    def _extension(self, name: str) -> Extension:
        loaded = self._loaded[name]
        member = loaded.member
        return Extension(
            name,
            loaded.cell.manifest,
            member.grants.granted,
            loaded.profile,
            loaded.limits,
            loaded.notices,
            loaded.cell.statistics(),
            len(member.resources),
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

    def respond(self, subject: str, function: Function, signature: Signature | str | None = None) -> Responder:
        """Have a Python function answer requests, beside extensions: `with host.respond("app.time", now): …`."""
        self._check_open()
        return self.bus.respond(subject, function, signature)

    # -- as a whole

    def statistics(self) -> HostStatistics:
        """What it has done so far."""
        self._check_open()
        cells = {name: loaded.cell.statistics() for name, loaded in sorted(self._loaded.items())}
        audit = self.audit
        return HostStatistics(cells, self.bus.statistics(), audit.allowed, audit.denied, audit.observed)

    async def drain(self, deadline: float = 5.0) -> Drained:
        """Refuse new messages, and have those handled that are there, for at most `deadline` seconds: before it is left."""
        self._check_open()
        return await self.bus.drain(deadline)
