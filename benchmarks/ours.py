"""Our side, twice.

    EngineAlone    the engine as the cell uses it: payload handles, one fiber call, epochs armed; no bus, no event loop
    Hosted         the whole way: type check, bus, mailbox, actor, typed answer; on trio or on asyncio

An event loop runs in a thread of its own, asleep while it is not its turn.
"""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import anyio
from anyio.from_thread import BlockingPortal

from benchmarks.echo import Exchange, manifest
from benchmarks.measure import WrongAnswer, check_heard, timed, timed_async
from desk.actors import abi
from desk.actors.engine.engine import Engine, Program
from desk.actors.engine.instance import Instance
from desk.actors.engine.modulecache import ModuleCache
from desk.actors.guest import Guest
from desk.actors.limits import Limits
from desk.host import Host
from desk.traces.tracing import Tracing

WAITING = 200
"""Events put into the mailbox of an actor that is busy; fewer than the mailbox takes (`Limits.mailbox`)."""


class EngineAlone:
    """One instance, called without bus, mailbox and event loop. Also makes and loads instances, for their own rows."""

    def __init__(self, wasm: bytes, cache: Path) -> None:
        self._wasm = wasm
        self._engine = Engine(abi.FUNCTIONS, ModuleCache(cache))
        self._loader = Engine(abi.FUNCTIONS, ModuleCache(cache))
        self._limits = Limits()
        self._program = self._engine.compile("echo", wasm)
        self._instance = self._instantiate(self._program)
        self._guest = Guest(self._limits)
        self._guest.memory = self._instance.memory()
        self._instance.guest = self._guest
        echo, tick = (
            self._instance.export("echo", ("i32", "i32"), None),
            self._instance.export("on_tick", ("i32",), None),
        )
        heard = self._instance.export("heard", (), "i32")
        assert echo is not None
        assert tick is not None
        assert heard is not None
        self._echo, self._tick, self._heard = echo, tick, heard
        self._ticks = 0

    def call(self, payload: bytes) -> bytes | bytearray:
        """What the cell does for one message, without its message."""
        guest, instance = self._guest, self._instance
        guest.begin(_nothing)
        instance.start(self._echo, guest.flatten((payload,)))
        while not instance.poll():
            pass  # its slice was over: a tick of the engine's clock fell into this call
        if guest.replies != 1 or guest.reply is None:
            raise WrongAnswer(f"the guest replied {guest.replies} times: {guest.failure}")
        return guest.reply

    def batch(self, exchanges: Sequence[Exchange], calls: int) -> int:
        """Calls of the one instance."""
        return timed(self.call, exchanges, calls)

    def ticks(self, calls: int) -> int:
        """The smallest call that carries a number."""
        guest, instance = self._guest, self._instance
        start = time.perf_counter_ns()
        for _ in range(calls):
            guest.begin(_nothing)
            instance.start(self._tick, guest.flatten((1,)))
            while not instance.poll():
                pass
        elapsed = time.perf_counter_ns() - start
        self._ticks += calls
        instance.start(self._heard, ())
        while not instance.poll():
            pass
        check_heard(cast(int, instance.result()), self._ticks)
        return elapsed

    def instances(self, calls: int) -> int:
        """Make an instance, and free it: what a crash costs before the next message."""
        start = time.perf_counter_ns()
        for _ in range(calls):
            self._instantiate(self._program).kill()
        return time.perf_counter_ns() - start

    def cached_loads(self, calls: int) -> int:
        """Find the compiled module by the hash of its wasm, map it, and resolve its imports; nobody else has it in use."""
        start = time.perf_counter_ns()
        for _ in range(calls):
            if not self._loader.compile("echo", self._wasm).cached:
                raise WrongAnswer("the module was compiled, not loaded from the cache")
        return time.perf_counter_ns() - start

    def close(self) -> None:
        """Free the instance, then stop the engines."""
        self._instance.kill()
        self._engine.close()
        self._loader.close()

    def _instantiate(self, program: Program) -> Instance:
        instance = Instance(self._engine, program, self._limits)
        while not instance.poll():
            pass
        return instance


def _nothing() -> bytes:
    return b"\xa0"


class Hosted:
    """A host on one event loop, with as many extensions as were loaded; those are all the same guest."""

    def __init__(self, host: Host, portal: BlockingPortal, wasm: bytes) -> None:
        self._host = host
        self._wasm = wasm
        self.portal = portal
        self.names: list[str] = []
        self._turn = 0

    @classmethod
    @contextmanager
    def running(
        cls, portal: BlockingPortal, wasm: bytes, cache: Path, tracing: Tracing | None = None
    ) -> "Generator[Hosted, None, None]":
        """A host for as long as the `with` lasts, with one extension; spans off unless `tracing` is given."""
        host = Host(providers=(), tracing=tracing or Tracing.off(), cache_dir=cache)
        with portal.wrap_async_context_manager(host):
            hosted = cls(host, portal, wasm)
            hosted.grow(1)
            yield hosted

    def grow(self, count: int, progress: Callable[[int], None] = lambda loaded: None) -> None:
        """Load more extensions until there are `count`; says after each how many there are."""
        self.portal.call(self._grow, count, progress)

    async def _grow(self, count: int, progress: Callable[[int], None]) -> None:
        while len(self.names) < count:
            name = f"echo-{len(self.names)}"
            await self._load(name)
            self.names.append(name)
            progress(len(self.names))

    async def _load(self, name: str) -> None:
        await self._host.load(self._wasm, manifest=manifest(name), grants="requested")

    def batch(self, exchanges: Sequence[Exchange], calls: int) -> int:
        """Calls of the extension that was loaded last, one after another."""
        name = self.names[-1]

        async def call(payload: bytes) -> object:
            return await self._host.call(name, "echo", payload)

        return self.portal.call(timed_async, call, exchanges, calls)

    def in_turn(self, exchanges: Sequence[Exchange], calls: int) -> int:
        """Calls of all extensions, each after the one before it; the next batch goes on with the next one."""

        async def call(payload: bytes) -> object:
            self._turn += 1
            return await self._host.call(self.names[self._turn % len(self.names)], "echo", payload)

        return self.portal.call(timed_async, call, exchanges, calls)

    def events(self, calls: int) -> int:
        """Publish `calls` events to the extension, as fast as it takes them, until it has handled the last."""
        return self.portal.call(self._events, calls)

    async def _events(self, calls: int) -> int:
        name, before = self.names[-1], await self._heard()
        start = time.perf_counter_ns()
        for _ in range(calls):
            await self._host.publish(f"bench.tick.{name}", 1)
        heard = await self._heard()  # waits in the same mailbox, behind the last event
        elapsed = time.perf_counter_ns() - start
        check_heard(heard - before, calls)
        return elapsed

    def waiting_events(self, calls: int) -> int:
        """The same for an actor that is busy: up to `WAITING` at a time fill its mailbox, then it takes them all."""
        full, rest = divmod(calls, WAITING)
        return sum(self.portal.call(self._waiting, size) for size in (*[WAITING] * full, rest) if size)

    async def _waiting(self, calls: int) -> int:
        name, before, heard, elapsed = self.names[-1], await self._heard(), 0, 0
        async with self._host.subscribe("bench.hold", capacity=1) as held, anyio.create_task_group() as tasks:
            tasks.start_soon(self._host.call, name, "hold")
            await anext(held)  # the guest is at work; it goes on until its third event finds no room
            start = time.perf_counter_ns()
            for _ in range(calls):
                await self._host.publish(f"bench.tick.{name}", 1)
            await anext(held)  # there is room
            heard = await self._heard()
            elapsed = time.perf_counter_ns() - start
        check_heard(heard - before, calls)
        return elapsed

    async def _heard(self) -> int:
        return cast(int, await self._host.call(self.names[-1], "heard"))

    def reloads(self, calls: int) -> int:
        """Remove the extension and load it again: admission, module cache, instance, subscriptions."""
        return self.portal.call(self._reloads, calls)

    async def _reloads(self, calls: int) -> int:
        name = self.names[-1]
        start = time.perf_counter_ns()
        for _ in range(calls):
            await self._host.remove(name)
            await self._load(name)
        return time.perf_counter_ns() - start
