"""Bad guests: each does one thing that no guest should, and it has a typed, named outcome, while others go on answering.

What single host functions do with bad arguments is in tests/actors/test_abi.py, bad replies and pointers in
tests/host/test_host.py, compilers that take too long or die in tests/actors/test_compile.py. Here it is whole hosts, and in
each test a well-behaved extension is asked all the time, and answers.
"""

import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from ledger import Ledger
from toolbox import extension

from desk.actors.engine.compiler import CompileLimits
from desk.actors.errors import BadReply, CompileFailed, GuestFailed, Killed, Trapped
from desk.actors.limits import MIB, Limits
from desk.bus.errors import DeadlineExceeded
from desk.capabilities.codes import Code
from desk.capabilities.provider import Use
from desk.host import Host
from desk.traces.tracing import Tracing

pytestmark = pytest.mark.anyio

PATIENCE = 60.0
"""Seconds until a test that hangs fails."""

GOOD = extension(
    '(name: "good", api_version: "0.1", exports: {"answer": (params: [], ret: i32)})',
    '(func (export "answer") (result i32) (i32.const 42))',
)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One compile cache for all tests here."""
    return tmp_path_factory.mktemp("modules")


@asynccontextmanager
async def hosting(cache: Path, bad: bytes | None, limits: Limits | None = None, **more: Any) -> AsyncIterator[Host]:
    """A host with the bad guest, and with a good one that is asked all the time and always answers."""
    answers = 0

    async def ask(host: Host) -> None:
        nonlocal answers
        while True:
            assert await host.call("good", "answer") == 42
            answers += 1
            await anyio.lowlevel.checkpoint()

    with anyio.fail_after(PATIENCE):
        async with (
            Host(cache_dir=cache, tracing=Tracing.off(), limits=limits, **more) as host,
            anyio.create_task_group() as tasks,
        ):
            await host.load(GOOD)
            if bad is not None:
                await host.load(bad, grants="requested")
            tasks.start_soon(ask, host)
            await anyio.lowlevel.checkpoint()
            before = answers
            yield host
            while answers < before + 3:
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()


def bad(exports: str, functions: str, more: str = "", memory: str = "1") -> bytes:
    """An extension named `bad`."""
    return extension(
        f'(name: "bad", api_version: "0.1", exports: {{{exports}}}, {more})',
        functions,
        memory=memory,
    )


# -- memory and stack


async def test_one_that_takes_all_its_memory_is_told_no(cache: Path) -> None:
    """`memory.grow` answers -1 at the cap; what it has is usable to the last byte, and it goes on answering."""
    grows = bad(
        '"grow": (params: [], ret: u32), "touch": (params: [], ret: u32)',
        """
        (func (export "grow") (result i32)
          (loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
          (loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
          (memory.size))
        (func (export "touch") (result i32)
          (memory.fill (i32.const 0) (i32.const 7) (i32.shl (memory.size) (i32.const 16)))
          (i32.load8_u (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 1))))
        """,
    )
    async with hosting(cache, grows, Limits(memory=8 * MIB)) as host:
        for _ in range(3):
            assert await host.call("bad", "grow") == 8 * MIB // 65536
        assert await host.call("bad", "touch") == 7
        assert {each.statistics.instances for each in host.extensions()} == {1}


async def test_one_that_recurses_without_end_traps(cache: Path) -> None:
    """By name, with its frames; its caller learns it, its next caller gets a fresh instance."""
    recurses = bad(
        '"recurse": (params: [i32], ret: i32), "answer": (params: [], ret: i32)',
        """
        (func $recurse (export "recurse") (param i32) (result i32)
          (i32.add (i32.const 1) (call $recurse (local.get 0))))
        (func (export "answer") (result i32) (i32.const 41))
        """,
    )
    async with hosting(cache, recurses) as host:
        for _ in range(10):
            with pytest.raises(Trapped, match=r"^bad\.recurse: ") as caught:
                await host.call("bad", "recurse", 1)
            assert caught.value.code == "stack_overflow"
            assert caught.value.frames[0].function == "recurse"
            assert await host.call("bad", "answer") == 41


# -- the start


async def test_one_that_never_ends_its_initialisation_is_killed(cache: Path) -> None:
    """By the limit of the start, when it is loaded; the host is then as it was."""
    never = bad('"f": (params: [])', '(func (export "f")) (func (export "_initialize") (loop (br 0)))')
    async with hosting(cache, None, Limits(start_ms=60)) as host:
        for _ in range(2):
            with pytest.raises(Killed, match=r"^bad\._initialize: .*start_ms = 60") as caught:
                await host.load(never)
            assert caught.value.limit == "start_ms"
            assert [extension.name for extension in host.extensions()] == ["good"]
            assert host.bus.statistics().services == 1


async def test_one_that_starts_once_and_never_again_fails_its_callers(cache: Path) -> None:
    """An initialisation that loops the second time: each call that needs a new instance is told, none hangs."""
    # No memory of a guest outlives its instance, so this one asks whether it has started before.
    starts = extension(
        """(name: "bad", api_version: "0.1", exports: {"trap": (params: [])},
            permissions: {filesystem: ["read:/ledger"]})""",
        """
        (func (export "desk_start") (local $pair i64)
          (local.set $pair (call $request (i32.const 0) (i32.const 10) (i32.const 32) (i32.const 3)))
          (drop (call $read (i32.wrap_i64 (i64.shr_u (local.get $pair) (i64.const 32)))
            (i32.const 0) (i32.const 64) (i32.const 64)))
          ;; {"ok": number}: a map, a text of two, "ok", and 0x19 hi lo
          (if (i32.load8_u (i32.const 70)) (then (loop (br 0)))))
        (func (export "trap") (unreachable))
        (data (i32.const 0) "cap.ledger") (data (i32.const 32) "\\19\\10\\00")
        """,
    )

    class Counting(Ledger):
        async def perform(self, request: object, use: Use) -> object:
            """How often it was asked, in three bytes: 4,096 first, whose last byte is 0."""
            await super().perform(request, use)
            return 4_096 + len(self.asked) - 1

    async with hosting(cache, starts, Limits(start_ms=60), providers=[Counting()]) as host:
        with pytest.raises(Trapped):
            await host.call("bad", "trap")
        for _ in range(3):
            with pytest.raises(Killed, match=r"^bad\.desk_start: .*start_ms = 60"):
                await host.call("bad", "trap")


# -- floods


async def test_a_flood_of_log_lines_is_counted_not_kept(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Twenty thousand lines: `log_lines` of them are written, one line says how many were not, and the call ends well."""
    flood = bad(
        '"flood": (params: [], ret: i32)',
        """
        (func (export "flood") (result i32) (local $left i32)
          (local.set $left (i32.const 20000))
          (loop
            (call $log (i32.const 4) (i32.const 0) (i32.const 1000))
            (br_if 0 (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
          (i32.const 7))
        """,
    )
    limits = Limits(cpu_ms=30_000, wall_ms=30_000, log_lines=50, log_line=100)
    with caplog.at_level(logging.INFO, "desk.ext.bad"):
        async with hosting(cache, flood, limits) as host:
            assert await host.call("bad", "flood", deadline=None) == 7
            assert host.extensions()[0].statistics.failed == 0
    lines = [record.getMessage() for record in caplog.records if record.name == "desk.ext.bad"]
    assert len(lines) <= 55
    assert sum(map(len, lines)) < 60 * 500
    assert any(str(20_000 - limits.log_lines) in line.replace(",", "") for line in lines), lines[-1]


SENDS = """
        (func $ask (drop (call $request (i32.const 0) (i32.const 10) (i32.const 32) (i32.const 3))))
        (func $tell (drop (call $publish (i32.const 16) (i32.const 4) (i32.const 32) (i32.const 3))))
        (func $say (call $log (i32.const 2) (i32.const 16) (i32.const 4)))
        (data (i32.const 0) "cap.ledger") (data (i32.const 16) "news") (data (i32.const 32) "\\19\\10\\00")
"""
"""What the guests below send: the number 4,096, to the ledger or to all who want news."""

MAY = 'permissions: {filesystem: ["read:/ledger"], bus: ["publish:news"]}'


@pytest.mark.parametrize("act", ["ask", "tell"])
async def test_a_flood_of_messages_is_refused(cache: Path, act: str) -> None:
    """Beyond `requests` of one call nothing happens any more, and the guest goes on; the next call may send again."""
    flood = bad(
        '"flood": (params: [i32], ret: i32)',
        f"""
        {SENDS}
        (func (export "flood") (param $left i32) (result i32)
          (loop (call ${act}) (br_if 0 (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
          (i32.const 7))
        """,
        MAY,
    )
    ledger = Ledger(turns=0)
    limits = Limits(requests=40, wall_ms=30_000, cpu_ms=30_000)
    async with hosting(cache, flood, limits, providers=[ledger]) as host, host.subscribe("news") as news:
        for times in (1, 2):
            assert await host.call("bad", "flood", 500, deadline=None) == 7
            assert len(ledger.asked) + news.mailbox.statistics().accepted == 40 * times
        assert {extension.statistics.instances for extension in host.extensions()} == {1}


@pytest.mark.parametrize("act", ["ask", "tell", "say"])
async def test_a_flood_without_end_is_killed(cache: Path, act: str) -> None:
    """It ends at the limit of its time, by name, however it spends it."""
    flood = bad('"flood": (params: [])', f'{SENDS} (func (export "flood") (loop (call ${act}) (br 0)))', MAY)
    async with hosting(cache, flood, Limits(wall_ms=200), providers=[Ledger(turns=0)]) as host:
        for _ in range(2):
            with pytest.raises(Killed, match=r"^bad\.flood: ") as caught:
                await host.call("bad", "flood")
            assert caught.value.limit in ("wall_ms", "cpu_ms")


async def test_one_that_floods_a_slow_subscriber_waits_for_it(cache: Path) -> None:
    """Nobody takes the news: its publisher is told `overloaded` before its own time is over, and memory does not fill."""
    flood = bad(
        '"flood": (params: [], ret: i32)',
        """
        (func (export "flood") (result i32) (local $sent i32) (local $code i32)
          (loop
            (local.set $code (call $publish (i32.const 16) (i32.const 4) (i32.const 32) (i32.const 3)))
            (if (i32.ge_s (local.get $code) (i32.const 0))
              (then (local.set $sent (i32.add (local.get $sent) (i32.const 1))) (br 1))))
          (i32.sub (i32.mul (local.get $sent) (i32.const 100)) (local.get $code)))
        (data (i32.const 16) "news") (data (i32.const 32) "\\19\\10\\00")
        """,
        'permissions: {bus: ["publish:news"]}',
    )
    async with hosting(cache, flood, Limits(wall_ms=400)) as host, host.subscribe("news", capacity=5) as news:
        assert await host.call("bad", "flood") == 500 + Code.OVERLOADED
        assert news.mailbox.statistics().queued == 5
        assert news.mailbox.statistics().waiting == 0


# -- handles


async def test_one_that_holds_a_thousand_handles_is_given_no_more(cache: Path) -> None:
    """At `handles` each more is `overloaded`, without a handle; the next call begins with none."""
    holds = bad(
        '"hold": (params: [i32], ret: i32)',
        """
        (func (export "hold") (param $left i32) (result i32) (local $held i32) (local $pair i64)
          (loop
            (local.set $pair (call $context))
            (if (i64.ne (i64.shr_u (local.get $pair) (i64.const 32)) (i64.const 0))
              (then (local.set $held (i32.add (local.get $held) (i32.const 1)))))
            (br_if 0 (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
          (i32.add (i32.mul (local.get $held) (i32.const 100)) (i32.wrap_i64 (local.get $pair))))
        """,
    )
    async with hosting(cache, holds) as host:
        for _ in range(3):
            assert await host.call("bad", "hold", 1000) == Limits().handles * 100 + Code.OVERLOADED
        assert host.extensions()[0].statistics.failed == 0


# -- replies


async def test_one_that_replies_a_thousand_times_or_never(cache: Path) -> None:
    """`BadReply`, which says how often; no reply of one call is ever the answer to another."""
    replies = bad(
        '"many": (params: [], ret: bytes), "never": (params: [], ret: bytes), "both": (params: [], ret: bytes)',
        """
        (func (export "many") (local $left i32)
          (local.set $left (i32.const 1000))
          (loop
            (call $reply (i32.const 0) (i32.const 60000))
            (br_if 0 (local.tee $left (i32.sub (local.get $left) (i32.const 1))))))
        (func (export "never"))
        (func (export "both")
          (call $fail (i32.const 1) (i32.const 0) (i32.const 0)) (call $reply (i32.const 0) (i32.const 1)))
        """,
    )
    async with hosting(cache, replies) as host:
        for _ in range(2):
            with pytest.raises(BadReply, match=r"^bad\.many: answered 1,?000 times"):
                await host.call("bad", "many")
            with pytest.raises(BadReply, match=r"^bad\.never: returned without calling `reply`"):
                await host.call("bad", "never")
            with pytest.raises(BadReply, match=r"^bad\.both: answered 2 times"):
                await host.call("bad", "both")
        assert host.extensions()[0].statistics.instances == 1


async def test_one_that_replies_after_the_deadline_replies_to_nobody(cache: Path) -> None:
    """Its caller has been told; the late answer is dropped, and the next caller gets its own."""
    late = bad(
        '"late": (params: [u32], ret: u32), "fail_late": (params: [u32], ret: u32)',
        """
        (func $wait (drop (call $request (i32.const 0) (i32.const 10) (i32.const 32) (i32.const 3))))
        (func (export "late") (param i32) (result i32) (call $wait) (local.get 0))
        (func (export "fail_late") (param i32) (result i32)
          (call $wait) (call $fail (i32.const 5) (i32.const 0) (i32.const 3)) (i32.const 0))
        (data (i32.const 0) "cap.ledger") (data (i32.const 32) "\\19\\10\\00")
        """,
        'permissions: {filesystem: ["read:/ledger"]}',
    )

    class Slow(Ledger):
        async def perform(self, request: object, use: Use) -> object:
            await anyio.sleep(0.05)
            return await super().perform(request, use)

    ledger = Slow()
    async with hosting(cache, late, providers=[ledger]) as host:
        for number in range(3):
            with pytest.raises(DeadlineExceeded, match=r"no answer from ext\.bad\.late within 0\.01 s"):
                await host.call("bad", "late", number, deadline=0.01)
            assert await host.call("bad", "late", 100 + number) == 100 + number
        assert len(ledger.asked) == 6
        with pytest.raises(DeadlineExceeded):
            await host.call("bad", "fail_late", 1, deadline=0.01)
        assert await host.call("bad", "late", 7) == 7
        statistics = host.extensions()[0].statistics
        assert (statistics.handled, statistics.failed, statistics.instances) == (7, 1, 1)
        (letter,) = host.bus.dead_letters  # the failure that nobody heard
        assert letter.envelope.subject == "ext.bad.fail_late"


# -- buffers


async def test_a_buffer_that_changes_after_it_was_handed_over_changes_nothing(
    cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Request, publication, reply, failure and log line are what they were when the guest called; the buffer is its own again."""
    changes = bad(
        '"send": (params: [], ret: bytes), "answer": (params: [], ret: bytes), "give_up": (params: [], ret: bytes)',
        """
        (func $set (param i32) (i32.store8 (i32.const 34) (local.get 0)))
        (func $ask (drop (call $request (i32.const 0) (i32.const 10) (i32.const 32) (i32.const 3))))
        (func $tell (drop (call $publish (i32.const 16) (i32.const 4) (i32.const 32) (i32.const 3))))
        (func $wipe (memory.fill (i32.const 0) (i32.const 255) (i32.const 60000)))
        (func (export "send")
          (call $set (i32.const 1)) (call $ask) (call $tell)
          (call $set (i32.const 2)) (call $ask) (call $tell)
          (call $ask) (call $tell)
          (call $log (i32.const 2) (i32.const 16) (i32.const 4))
          (call $reply (i32.const 16) (i32.const 4))
          (call $wipe))
        (func (export "answer")
          (call $reply (i32.const 16) (i32.const 4)))
        (func (export "give_up")
          (memory.fill (i32.const 100) (i32.const 97) (i32.const 5))
          (call $fail (i32.const 3) (i32.const 100) (i32.const 5)) (call $wipe))
        (data (i32.const 0) "cap.ledger") (data (i32.const 16) "news") (data (i32.const 32) "\\19\\10\\00")
        """,
        'permissions: {filesystem: ["read:/ledger"], bus: ["publish:news"]}',
    )
    ledger = Ledger()
    with caplog.at_level(logging.INFO, "desk.ext.bad"):
        async with hosting(cache, changes, providers=[ledger]) as host:
            with host.subscribe("news") as first, host.subscribe("news") as second:
                assert await host.call("bad", "send") == b"news"
                assert await host.call("bad", "answer") == b"\xff" * 4  # it has really wiped its memory
                with pytest.raises(GuestFailed, match="code 3: aaaaa"):
                    await host.call("bad", "give_up")
                for events in (first, second):
                    assert [(await anext(events)).value for _ in range(3)] == [4_097, 4_098, 4_098]
    assert ledger.asked == [4_097, 4_098, 4_098]
    assert [record.getMessage() for record in caplog.records if record.name == "desk.ext.bad"] == ["news"]


async def test_one_payload_may_be_read_twice_and_is_the_same(cache: Path) -> None:
    """What a guest does to its copy of an event is its own: it reads the same again, and so does the other subscriber."""
    name = "reader"
    reads = """
        (global $same (mut i32) (i32.const 0))
        (func (export "on_event") (param $handle i32) (param $len i32)
          (drop (call $read (local.get $handle) (i32.const 0) (i32.const 1024) (local.get $len)))
          (memory.fill (i32.const 1024) (i32.const 0) (local.get $len))
          (drop (call $read (local.get $handle) (i32.const 0) (i32.const 1024) (local.get $len)))
          (global.set $same (i32.load (i32.const 1025))))
        (func (export "seen") (result i32) (global.get $same))
        """

    def reader(number: int) -> bytes:
        return extension(
            f"""(name: "{name}-{number}", api_version: "0.1",
                exports: {{"on_event": (params: [any]), "seen": (params: [], ret: u32)}},
                subscribes: {{"news": "on_event"}})""",
            reads,
        )

    async with hosting(cache, reader(1)) as host:
        await host.load(reader(2), grants="requested")
        assert await host.publish("news", "same") == 2
        for number in (1, 2):
            assert await host.call(f"{name}-{number}", "seen") == int.from_bytes(b"same", "little")


# -- compiling

SLOW = extension(
    '(name: "bad", api_version: "0.1", exports: {"f": (params: [])})',
    '(func (export "f"))'
    + "".join(
        f"(func (param i32) (result i32) {'(local.set 0 (i32.mul (local.get 0) (local.get 0)))' * 200} (local.get 0))"
        for _ in range(1_500)
    ),
)
"""Takes seconds of processor time to compile."""


async def test_a_module_that_takes_too_long_to_compile_fails_by_name(tmp_path: Path) -> None:
    """`CompileFailed` says which limit, nothing of it has run, and others answer meanwhile."""
    async with hosting(tmp_path, None, compile_limits=CompileLimits(compile_ms=250)) as host:
        with pytest.raises(CompileFailed, match="'bad'") as caught:
            await host.load(SLOW)
        assert caught.value.limit == "compile_ms"
        assert [each.name for each in host.extensions()] == ["good"]


async def test_a_compiler_that_is_killed_fails_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody kills the child: `CompileFailed` names the signal and no limit, and one may try again."""
    started: list[int] = []
    original = anyio.open_process

    async def open_process(*args: Any, **options: Any) -> anyio.abc.Process:
        process = await original(*args, **options)
        started.append(process.pid)
        return process

    async with hosting(tmp_path, None) as host, anyio.create_task_group() as tasks:
        monkeypatch.setattr(anyio, "open_process", open_process)

        async def kill() -> None:
            while not started:  # noqa: ASYNC110 - a process, not a task
                await anyio.sleep(0.005)
            os.kill(started[0], signal.SIGKILL)

        tasks.start_soon(kill)
        with pytest.raises(CompileFailed, match="SIGKILL") as caught:
            await host.load(SLOW)
        assert caught.value.limit is None
        assert [each.name for each in host.extensions()] == ["good"]
        await host.load(bad('"f": (params: [], ret: i32)', '(func (export "f") (result i32) (i32.const 3))'))
        assert await host.call("bad", "f") == 3


# -- host functions


async def test_one_that_copies_megabytes_all_the_time_lets_others_run(cache: Path) -> None:
    """No tick comes while it keeps taking Python's lock, so the host functions themselves end its slice."""
    copies = bad(
        '"copy": (params: [])',
        '(func (export "copy") (loop (call $reply (i32.const 0) (i32.const 4194304)) (br 0)))',
        memory="64",
    )
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    async with hosting(cache, copies, Limits(cpu_ms=300)) as host, anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        await anyio.lowlevel.checkpoint()
        before = turns
        with pytest.raises(Killed, match="cpu_ms"):
            await host.call("bad", "copy")
        assert turns - before > 20
        tasks.cancel_scope.cancel()
