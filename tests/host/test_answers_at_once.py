"""What a guest asks for is answered on the task that has begun its call, if that can be done without waiting.

Nobody can tell: what waits goes on in the actor's own task, where all else is done, and what is seen there is the same.
"""

import math
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from anyio import get_current_task
from extensions import relay
from toolbox import extension

from desk.actors.errors import Killed
from desk.actors.limits import Limits
from desk.bus import codec
from desk.bus.errors import Unavailable
from desk.capabilities.at_once import apart
from desk.capabilities.capability import Capability, operation
from desk.capabilities.codes import Code
from desk.host import Host
from desk.traces.recorder import record_in_memory
from desk.traces.tracing import Tracing

pytestmark = pytest.mark.anyio

WHOSE: ContextVar[str] = ContextVar("whose", default="nobody's")


class Probe(Capability):
    """Notes on which task each of its parts runs."""

    name = "probe"

    def __init__(self) -> None:
        self.tasks: list[int] = []
        self.seen: list[str] = []
        self.closed = 0
        self.go_on = anyio.Event()
        self.then: Callable[[], None] = lambda: None

    def note(self) -> None:
        self.tasks.append(get_current_task().id)
        self.seen.append(WHOSE.get())
        self.then()

    @operation(needs=None)
    def now(self) -> str:
        self.note()
        return "now"

    @operation(needs=None)
    async def later(self) -> str:
        self.note()
        return "later"

    @operation(needs=None, at_once=True)
    async def perhaps(self, wait: bool) -> str:
        self.note()
        if not wait:
            return "at once"
        try:
            await apart()
            self.note()
            with anyio.fail_after(10):
                await self.go_on.wait()
        finally:
            self.closed += 1
        return "after a while"

    @operation(needs=None, at_once=True)
    async def liar(self) -> str:
        try:
            await anyio.sleep(0.01)
        finally:
            self.closed += 1
        return "it has waited"


@asynccontextmanager
async def asked(tmp_path: Path, probe: Probe, tracing: Tracing | None = None) -> AsyncGenerator[Host]:
    """A host with a guest that asks what its caller says, and that nobody interrupts."""
    tracing = tracing or Tracing.off()
    async with Host(cache_dir=tmp_path / "cache", tracing=tracing, capabilities=[probe]) as host:
        await host.load(relay("asker"), grants="requested")
        host.bus.pace.until = math.inf
        yield host


async def ask(host: Host, operation: str, **request: object) -> object:
    """The answer that the guest gets."""
    answer = await host.call("asker", "ask", f"cap.probe.{operation}", codec.encode(request))
    assert isinstance(answer, bytes)
    return codec.decode(answer)


async def test_what_does_not_wait_needs_no_task_switch(tmp_path: Path) -> None:
    """Neither a function, nor a coroutine that says when it waits, if it does not: no other task has run meanwhile."""
    probe, others = Probe(), list[str]()

    async def other() -> None:
        others.append("ran")

    async with asked(tmp_path, probe) as host, anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        assert await ask(host, "now") == {"ok": "now"}
        assert await ask(host, "perhaps", wait=False) == {"ok": "at once"}
        assert others == []
        assert set(probe.tasks) == {get_current_task().id}


@pytest.mark.parametrize("traced", [False, True])
async def test_what_waits_goes_on_in_the_actors_own_task(traced: bool, tmp_path: Path) -> None:
    """From `apart` on; and all of it, if it does not say when it waits. Traced, too, where nothing is begun elsewhere."""
    probe = Probe()
    probe.go_on.set()
    tracing = record_in_memory()[0] if traced else Tracing.off()
    async with asked(tmp_path, probe, tracing) as host:
        assert await ask(host, "perhaps", wait=True) == {"ok": "after a while"}
        assert await ask(host, "later") == {"ok": "later"}
        begun, continued, later = probe.tasks
        mine = get_current_task().id
        assert continued == later != mine
        assert begun == (continued if traced else mine)


async def test_whoever_asked_may_give_up_meanwhile(tmp_path: Path) -> None:
    """What was begun on its task does not end with it; the guest has its answer, and the next call its turn."""
    probe = Probe()
    async with asked(tmp_path, probe) as host:
        with anyio.move_on_after(0.01):
            await ask(host, "perhaps", wait=True)
        assert probe.closed == 0
        probe.go_on.set()
        assert await ask(host, "now") == {"ok": "now"}
        assert probe.closed == 1
        assert host.extensions()[0].statistics.failed == 0


async def test_an_actor_that_is_ended_leaves_nothing_half_done(tmp_path: Path) -> None:
    """What was begun on the task of whoever asked ends with the actor, and with an error."""
    probe = Probe()
    async with anyio.create_task_group() as tasks, asked(tmp_path, probe) as host:
        probe.then = lambda: tasks.cancel_scope.cancel() if len(probe.tasks) == 2 else None
        with anyio.CancelScope(shield=True), pytest.raises(Unavailable, match="was stopped while it handled"):
            await ask(host, "perhaps", wait=True)
    assert (len(probe.tasks), probe.closed) == (2, 1)


async def test_what_waits_without_a_word_is_the_hosts_mistake(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is ended there, the guest is told, and the log says where."""
    probe = Probe()
    async with asked(tmp_path, probe) as host:
        answer = await ask(host, "liar")
        assert answer == {"error": {"code": Code.INTERNAL, "message": "the host failed; its log says more"}}
        assert probe.closed == 1
        assert "in liar" in caplog.text
        assert "has not said `await apart()`" in caplog.text
        assert await ask(host, "now") == {"ok": "now"}


async def test_a_capability_sees_the_same_context_on_every_task(tmp_path: Path) -> None:
    """That of the actor, not that of whoever happens to ask; so nothing depends on which way was taken."""
    probe = Probe()
    WHOSE.set("of the app at its start")
    async with asked(tmp_path, probe) as host:
        WHOSE.set("of one caller")
        await ask(host, "now")
        await ask(host, "later")
        assert probe.seen == ["of the app at its start"] * 2


GREEDY = extension(
    """(name: "greedy", api_version: "0.1", exports: {"run": (params: [])}, limits: {requests: 100000000})""",
    """
    (data (i32.const 0) "cap.probe.now\\a0")
    (func (export "run") (local $pair i64)
      (loop
        (local.set $pair (call $request (i32.const 0) (i32.const 13) (i32.const 13) (i32.const 1)))
        (call $drop (i32.wrap_i64 (i64.shr_u (local.get $pair) (i64.const 32))))
        (br 0)))
    """,
)


async def test_a_guest_that_only_asks_uses_up_its_slice_like_any_other(tmp_path: Path) -> None:
    """Answers that need no waiting are no way to keep the event loop: others have their turns until it is killed."""
    turns = 0
    limits = Limits(wall_ms=300)
    async with Host(cache_dir=tmp_path / "cache", tracing=Tracing.off(), capabilities=[Probe()], limits=limits) as host:
        await host.load(GREEDY)
        over = anyio.Event()

        async def run() -> None:
            with pytest.raises(Killed):
                await host.call("greedy", "run")
            over.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            while not over.is_set():
                await anyio.lowlevel.checkpoint()
                turns += 1
    assert turns > 10
