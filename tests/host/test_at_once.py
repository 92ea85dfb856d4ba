"""Taking a turn at once, on the sender's task, is the mailbox path with fewer task switches, and nothing else.

The same script is played to two hosts, one of which never takes a turn at once; what callers see must not differ.
"""

import math
from collections.abc import Iterable
from pathlib import Path

import anyio
import pytest
from extensions import ECHO, relay
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from toolbox import extension

from desk.actors.cell import Cell
from desk.actors.limits import Limits
from desk.bus.envelope import Envelope
from desk.host import Host
from desk.traces import names
from desk.traces.recorder import record_in_memory
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


async def play(cache: Path, script: list[tuple[str, object]], *, traced: bool) -> list[object]:
    """The script's transcript: every outcome in order, the statistics at the end, and the spans if it is `traced`."""
    seen: list[object] = []
    tracing, recorder = record_in_memory() if traced else (Tracing.off(), None)
    async with Host(cache_dir=cache, tracing=tracing, limits=Limits(cpu_ms=5)) as host:
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
    if recorder is not None:
        seen.append(forest(recorder.spans))
    return seen


def forest(spans: Iterable[ReadableSpan]) -> list[object]:
    """Everything that was recorded but times and numbers, as trees; what happened at the same time in no order."""
    below: dict[int | None, list[ReadableSpan]] = {}
    for span in spans:
        below.setdefault(span.parent and span.parent.span_id, []).append(span)

    def tree(span: ReadableSpan) -> tuple[object, ...]:
        assert span.context is not None
        attributes = {key: value for key, value in (span.attributes or {}).items() if key != names.MESSAGE_ID}
        events = [event.name for event in span.events]
        children = sorted(map(tree, below.get(span.context.span_id, [])), key=repr)
        return span.name, span.kind, span.status.status_code, sorted(attributes.items()), events, children

    return sorted(map(tree, below.get(None, [])), key=repr)


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


@given(script=st.lists(steps, max_size=8), traced=st.booleans())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_callers_cannot_tell_which_way_was_taken(
    script: list[tuple[str, object]],
    traced: bool,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Results, errors, order, fresh instances after a crash, dead letters, spans: all the same, for any script."""
    cache = tmp_path_factory.getbasetemp() / "at-once"
    at_once = await play(cache, script, traced=traced)
    with monkeypatch.context() as patch:
        patch.setattr("desk.host.loading.Cell", Deferring)
        deferred = await play(cache, script, traced=traced)
    assert at_once == deferred


@pytest.mark.parametrize("traced", [False, True])
async def test_a_short_call_needs_no_task_switch(traced: bool, tmp_path: Path) -> None:
    """An idle actor answers on its caller's task, also while spans are recorded: no other task has run meanwhile."""
    others: list[str] = []
    tracing = record_in_memory()[0] if traced else Tracing.off()

    async def other() -> None:
        others.append("ran")

    async with Host(cache_dir=tmp_path / "cache", tracing=tracing) as host:
        await host.load(ECHO)
        host.bus.pace.until = math.inf  # so that it is not others' turn just now
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


BUSY = extension(
    """(name: "busy", api_version: "0.1", exports: {
        "work": (params: [i32]), "on_tick": (params: [any]), "handled": (params: [], ret: i32)
    }, subscribes: {"tick": "on_tick"})""",
    """
    (global $handled (mut i32) (i32.const 0))
    (func (export "work") (param i32)
      (loop (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if 0 (local.get 0))))
    (func (export "on_tick") (param i32 i32)
      (global.set $handled (i32.add (global.get $handled) (i32.const 1))))
    (func (export "handled") (result i32) (global.get $handled))
    """,
)


async def test_events_that_wait_are_handled_in_batches(tmp_path: Path) -> None:
    """What came while an actor was busy is handled without a task switch for each: many events in one turn of the loop."""
    events = 200
    seen: set[int] = set()

    async def watch(host: Host) -> None:
        while True:
            seen.add(host.extensions()[0].statistics.handled)
            await anyio.lowlevel.checkpoint()

    async with Host(cache_dir=tmp_path / "cache", tracing=Tracing.off()) as host:
        await host.load(BUSY, grants="requested")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(host.call, "busy", "work", 200_000_000)
            while not host.extensions()[0].statistics.busy:
                await anyio.lowlevel.checkpoint()
            for number in range(events):
                await host.publish("tick", number)
            assert host.extensions()[0].statistics.queued == events
            tasks.start_soon(watch, host)
            assert await host.call("busy", "handled") == events
            tasks.cancel_scope.cancel()
    assert len(seen) < events / 2
