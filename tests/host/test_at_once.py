"""Taking a turn at once, on the sender's task, is the mailbox path with fewer task switches, and nothing else.

The same script is played to two hosts, one of which never takes a turn at once; what callers see must not differ.
"""

from pathlib import Path

import anyio
import pytest
from extensions import ECHO, relay
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from desk.actors.cell import Cell
from desk.actors.limits import Limits
from desk.bus.envelope import Envelope
from desk.host import Host
from desk.traces.tracing import Tracing

pytestmark = pytest.mark.anyio

LISTENER = relay("listener", more='subscribes: {"tick": "on_event"}')

payloads = st.binary(max_size=40)
calls = st.one_of(
    st.tuples(st.just("add"), st.integers(-100, 100), st.integers(-100, 100)),
    st.tuples(st.just("echo"), payloads),
    st.tuples(st.just("count")),
    st.tuples(st.just("fail"), st.text(max_size=10)),
    st.tuples(st.just("trap")),
    st.tuples(st.just("silent")),
    st.tuples(st.just("twice"), payloads),
    st.tuples(st.just("spin")),
    st.tuples(st.just("add"), st.text(max_size=3), st.just(1)),
)
steps = st.one_of(
    st.tuples(st.just("call"), calls),
    st.tuples(st.just("publish"), st.integers(1, 5)),
    st.tuples(st.just("together"), st.integers(2, 6)),
)


class Deferring(Cell):
    """A cell that only ever takes messages from its mailbox."""

    def _take_at_once(self, envelope: Envelope) -> bool:
        del envelope
        return False


async def outcome(host: Host, export: str, *arguments: object) -> object:
    """What a caller sees: the result, or the error's type and text."""
    try:
        return await host.call("echo", export, *arguments)
    except Exception as error:
        return type(error).__name__, str(error)


async def play(cache: Path, script: list[tuple[str, object]]) -> list[object]:
    """The script's transcript: every outcome in order, and the statistics at the end."""
    seen: list[object] = []
    async with Host(cache_dir=cache, tracing=Tracing.off(), limits=Limits(cpu_ms=5)) as host:
        await host.load(ECHO)
        await host.load(LISTENER, grants="requested")
        for kind, what in script:
            if kind == "call":
                assert isinstance(what, tuple)
                seen.append(await outcome(host, *what))
            elif kind == "publish":
                assert isinstance(what, int)
                seen.append([await host.publish("tick", number) for number in range(what)])
                seen.append(await host.call("listener", "handled"))
            else:
                assert isinstance(what, int)
                seen.append(await together(host, what))
        for extension in host.extensions():
            statistics = extension.statistics
            seen.append((extension.name, statistics.failed, statistics.instances, statistics.queued))
            seen.append(len(host.bus.dead_letters))
    return seen


async def together(host: Host, number: int) -> list[int]:
    """`number` callers count at the same time; the counts they get, sorted."""
    counts: list[int] = []

    async def call() -> None:
        count = await host.call("echo", "count")
        assert isinstance(count, int)
        counts.append(count)

    async with anyio.create_task_group() as tasks:
        for _ in range(number):
            tasks.start_soon(call)
    return sorted(counts)


@given(script=st.lists(steps, max_size=8))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_callers_cannot_tell_which_way_was_taken(
    script: list[tuple[str, object]], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results, errors, order, fresh instances after a crash, dead letters: all the same, for any script."""
    cache = tmp_path_factory.getbasetemp() / "at-once"
    at_once = await play(cache, script)
    with monkeypatch.context() as patch:
        patch.setattr("desk.host.host.Cell", Deferring)
        deferred = await play(cache, script)
    assert at_once == deferred


async def test_a_short_call_needs_no_task_switch(tmp_path: Path) -> None:
    """An idle actor answers on its caller's task: no other task has run when the answer is there."""
    others: list[str] = []

    async def other() -> None:
        others.append("ran")

    async with Host(cache_dir=tmp_path / "cache", tracing=Tracing.off()) as host:
        await host.load(ECHO)
        assert await host.call("echo", "add", 1, 1) == 2
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(other)
            assert await host.call("echo", "add", 1, 2) == 3
            assert others == []


async def test_what_is_not_over_in_its_first_slice_goes_on_in_the_actors_task(tmp_path: Path) -> None:
    """The caller may give up at any time; the turn ends by itself, and what came after it is handled in order."""
    async with Host(cache_dir=tmp_path / "cache", tracing=Tracing.off(), limits=Limits(cpu_ms=50)) as host:
        await host.load(ECHO)
        with anyio.move_on_after(0.005):
            await host.call("echo", "spin")
        assert await host.call("echo", "count") == 1
        statistics = host.extensions()[0].statistics
        assert (statistics.failed, statistics.instances) == (1, 2)


async def test_a_caller_that_never_waits_still_lets_others_run(tmp_path: Path) -> None:
    """Thousands of calls that are answered at once yield to the event loop now and then, and can be cancelled."""
    async with Host(cache_dir=tmp_path / "cache", tracing=Tracing.off()) as host:
        await host.load(ECHO)
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:

                async def cancel() -> None:
                    scope.cancel()

                tasks.start_soon(cancel)
                while True:
                    await host.call("echo", "add", 1, 1)
        assert scope.cancelled_caught
