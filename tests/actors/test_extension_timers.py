"""The timers of an extension, in a real host: called when due, one tick at a time, and nothing that fails ends them."""

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import pytest
from toolbox import extension

from desk.actors.errors import GuestFailed, Trapped
from desk.actors.manifest import parse_manifest
from desk.actors.timers import Timers, TimerStatistics
from desk.bus.timers import Tick, Ticks
from desk.host import Host
from desk.testing.clock import ManualClock
from desk.traces.tracing import Tracing

pytestmark = pytest.mark.anyio

EXPORTS = """{
    "count": (params: [], ret: i32),
    "last": (params: [], ret: any),
    "beat": (),
    "tick": (params: [(number: u64, missed: u64)]),
    "trap": (),
    "fail": (params: [any], ret: bool),
}"""
CLOCKWORK = f"""(name: "clockwork", api_version: "0.1", exports: {EXPORTS},
    timers: {{"beat": "every 10s", "tick": "every 1m", "trap": "every 1h", "fail": "every 1h"}})"""
CODE = """
    (global $beats (mut i32) (i32.const 0))
    (global $last (mut i32) (i32.const 0))
    (func (export "count") (result i32) (global.get $beats))
    (func (export "last") (call $reply (i32.const 0) (global.get $last)))
    (func (export "beat") (global.set $beats (i32.add (global.get $beats) (i32.const 1))))
    (func (export "tick") (param $handle i32) (param $len i32)
      (global.set $last (local.get $len))
      (drop (call $read (local.get $handle) (i32.const 0) (i32.const 0) (local.get $len))))
    (func (export "trap") (unreachable))
    (data (i32.const 1024) "\\1b[31m\\0ano")
    (func (export "fail") (param i32 i32) (result i32)
      (call $fail (i32.const 3) (i32.const 1024) (i32.const 8)) (i32.const 0))
"""


@pytest.fixture(scope="module")
def clockwork() -> bytes:
    """An extension with four timers, two of which always fail."""
    return extension(CLOCKWORK, CODE)


class Running:
    """A host with the extension in it, its timers, and what they were told of."""

    def __init__(self, host: Host, clock: ManualClock) -> None:
        self.host, self.clock = host, clock
        self.failures: list[tuple[str, Tick, Exception]] = []
        self.timers = Timers(
            host.extensions()[0].manifest,
            partial(Ticks, clock),
            partial(host.call, "clockwork", deadline=None),
            lambda export, tick, error: self.failures.append((export, tick, error)),
        )

    async def jump(self, seconds: float) -> None:
        """Go on by so much, and return when all that came due is over."""
        await self.clock.jump(seconds)
        await self.clock.until_asleep(4)


def unexpected(export: str, tick: Tick, error: Exception) -> None:
    """For timers that do not fail."""
    raise AssertionError(f"{tick} of {export} failed") from error


@asynccontextmanager
async def running(clockwork: bytes, cache: Path) -> AsyncGenerator[Running]:
    """The timers of the extension, running, on a clock that stands."""
    async with Host(cache_dir=cache, tracing=Tracing.off()) as host:
        await host.load(clockwork)
        it = Running(host, ManualClock(500.0))
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(it.timers.run)
                await it.clock.until_asleep(4)
                yield it
                tasks.cancel_scope.cancel()


async def test_exports_are_called_when_they_are_due(clockwork: bytes, tmp_path: Path) -> None:
    """Each at its own interval, from the moment the timers run, and not before."""
    async with running(clockwork, tmp_path) as it:
        await it.jump(9)
        assert await it.host.call("clockwork", "count") == 0
        for _ in range(5):
            await it.jump(10)
        assert await it.host.call("clockwork", "count") == 5
        await it.jump(1)
        assert await it.host.call("clockwork", "count") == 6
        assert await it.host.call("clockwork", "last") == {"number": 1, "missed": 0}
        assert it.timers.statistics() == TimerStatistics(handled=7, failed=0, missed=0)


async def test_a_guest_is_told_what_it_missed(clockwork: bytes, tmp_path: Path) -> None:
    """After a pause there is one tick for all that came due, which says so."""
    async with running(clockwork, tmp_path) as it:
        await it.jump(59 * 60)
        assert await it.host.call("clockwork", "last") == {"number": 59, "missed": 58}
        assert await it.host.call("clockwork", "count") == 1
        await it.jump(60 - 1)
        assert await it.host.call("clockwork", "count") == 2
        assert it.timers.statistics() == TimerStatistics(handled=3, failed=0, missed=58 + 353 + 4)
        assert repr(it.timers) == "<Timers of clockwork: 4, 3 ticks handled, 0 failed, 415 missed>"


async def test_a_tick_that_fails_is_reported_and_the_timer_goes_on(
    clockwork: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A trap and an error value are told each time, with export and tick; the log gets a few, with nothing in them obeyed."""
    caplog.set_level(logging.WARNING, "desk.actors")
    async with running(clockwork, tmp_path) as it:
        for _ in range(20):
            await it.jump(3_600)
        told = {export: [tick.number for name, tick, _ in it.failures if name == export] for export in ("trap", "fail")}
        assert told == {"trap": list(range(1, 21)), "fail": list(range(1, 21))}
        assert {type(error) for _, _, error in it.failures} == {Trapped, GuestFailed}
        assert it.timers.statistics().failed == 40
        lines = [record.getMessage() for record in caplog.records if "tick" in record.getMessage()]
        assert 1 <= len(lines) <= 10
        assert any(line.startswith("tick 1 of clockwork.trap failed: ") for line in lines)
        assert all(line.isprintable() for line in lines)


async def test_ticks_of_one_timer_do_not_overlap() -> None:
    """While a call is not over, what comes due is missed, and counted; other timers go on."""
    manifest = parse_manifest(
        '(name: "a", api_version: "0.1", exports: {"slow": (), "quick": ()}, '
        'timers: {"slow": "every 1s", "quick": "every 1s"})'
    )
    clock, over, calls = ManualClock(), anyio.Event(), list[tuple[str, float]]()

    async def call(export: str, *arguments: object) -> None:
        assert arguments == ()
        calls.append((export, clock.now()))
        if export == "slow" and len(calls) <= 2:
            await over.wait()

    timers = Timers(manifest, partial(Ticks, clock), call, unexpected)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(timers.run)
            await clock.until_asleep(2)
            for _ in range(5):
                await clock.jump(1)
                await clock.until_asleep(1)
            assert sorted(calls) == [*(("quick", float(n)) for n in range(1, 6)), ("slow", 1.0)]
            over.set()
            await clock.until_asleep(2)
            assert calls[-1] == ("slow", 5.0)
            assert timers.statistics() == TimerStatistics(handled=7, failed=0, missed=3)
            tasks.cancel_scope.cancel()


async def test_a_mistake_of_the_host_ends_no_timer(caplog: pytest.LogCaptureFixture) -> None:
    """What is no `DeskError` is reported as well, and logged with its traceback."""
    manifest = parse_manifest('(name: "a", api_version: "0.1", exports: {"b": ()}, timers: {"b": "every 1s"})')
    clock, failures = ManualClock(), list[int]()

    async def call(export: str) -> None:
        raise KeyError(export)

    timers = Timers(manifest, partial(Ticks, clock), call, lambda _export, tick, _error: failures.append(tick.number))
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(timers.run)
            for _ in range(3):
                await clock.until_asleep()
                await clock.jump(1)
            tasks.cancel_scope.cancel()
    assert failures == [1, 2, 3]
    assert caplog.records[0].exc_info is not None


async def test_no_timers_is_over_at_once() -> None:
    """There is nothing to wait for."""
    manifest = parse_manifest('(name: "a", api_version: "0.1")')
    timers = Timers(manifest, partial(Ticks, ManualClock()), pytest.fail, unexpected)
    with anyio.fail_after(60):
        await timers.run()
