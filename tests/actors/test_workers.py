"""Worker threads: guests that compute for long leave the event loop free, and nothing else about them changes."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from unittest.mock import Mock

import anyio
import anyio.lowlevel
import pytest
import wasmtime

from desk.actors.engine.budget import Budget
from desk.actors.engine.engine import Engine, Program
from desk.actors.engine.hostcalls import HostFunction
from desk.actors.engine.instance import Instance
from desk.actors.engine.pump import Pump
from desk.actors.engine.workers import Workers, _Job  # pyright: ignore[reportPrivateUsage]
from desk.actors.errors import Killed, Trapped
from desk.actors.limits import Limits
from desk.bus.pace import Pace

pytestmark = pytest.mark.anyio

PATIENCE = 20.0
"""Seconds after which a test counts as hanging."""

AMPLE = Limits(cpu_ms=60_000, wall_ms=60_000)

MODULE = """(module
  (import "host" "note" (func $note))
  (import "host" "wait" (func $wait (result i32)))
  (import "host" "fail" (func $fail))
  (memory (export "memory") 1)
  (func $work (local $left i32)
    (local.set $left (i32.const 200000))
    (loop (local.set $left (i32.sub (local.get $left) (i32.const 1))) (br_if 0 (local.get $left))))
  (func $long (local $left i32)
    (local.set $left (i32.const 600))
    (loop (call $work) (call $note) (local.set $left (i32.sub (local.get $left) (i32.const 1))) (br_if 0 (local.get $left))))
  (func (export "compute") (result i32) (call $long) (i32.const 7))
  (func (export "ask") (result i32) (call $long) (i32.add (call $wait) (i32.const 1)))
  (func (export "twice") (result i32) (call $long) (drop (call $wait)) (call $long) (call $wait))
  (func (export "after") (drop (call $wait)) (call $work))
  (func (export "spin") (loop (br 0)))
  (func $deep (export "trap") (call $long) (unreachable))
  (func (export "fail") (call $long) (call $fail)))"""


class Guest:
    """Whose callbacks the host functions are: it keeps the threads they ran in."""

    def __init__(self) -> None:
        self.threads: set[int] = set()


def _note(guest: Guest) -> None:
    guest.threads.add(threading.get_ident())


def _wait(guest: Guest) -> None:
    guest.threads.add(threading.get_ident())


def _fail(guest: Guest) -> None:
    raise ZeroDivisionError("the host's own mistake")


FUNCTIONS = (
    HostFunction("host", "note", (), None, _note),
    HostFunction("host", "wait", (), "i32", _wait, suspends=True),
    HostFunction("host", "fail", (), None, _fail),
)


class Counted(Instance):
    """Counts its slices in worker threads."""

    worked = 0

    def poll(self) -> bool:
        if threading.current_thread() is not threading.main_thread():
            self.worked += 1
        return super().poll()


class Answers:
    """Answers every request with 41."""

    async def serve(self, request: None, /) -> int:
        await anyio.lowlevel.checkpoint()
        return 41

    def too_late(self, request: None, /) -> int:
        return -1


class Shop:
    """An engine and one module; makes instances, and calls them through a pump as a runner does."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.program: Program = engine.compile("test", bytes(wasmtime.wat2wasm(MODULE)))

    def instance(self) -> Counted:
        instance = Counted(self.engine, self.program, Limits())
        instance.guest = Guest()
        while not instance.poll():
            pass
        return instance

    async def call(self, instance: Instance, name: str, workers: Workers, limits: Limits = AMPLE) -> object:
        export = instance.export(name, (), "i32" if name in ("compute", "ask", "twice") else None)
        assert export is not None
        instance.start(export, ())
        began = time.monotonic()
        if not instance.poll():
            await Pump(Pace(), workers).drive(instance, Answers(), Budget(limits, began), limits.share, began)
        return instance.result()


async def until(condition: Callable[[], bool]) -> None:
    """Let others run until it holds."""
    while not condition():
        await anyio.lowlevel.checkpoint()


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    """One engine for all."""
    with Engine(FUNCTIONS) as engine:
        yield Shop(engine)


@pytest.mark.parametrize(("export", "result"), [("compute", 7), ("ask", 42), ("twice", 41)])
async def test_a_long_call_goes_on_in_a_thread_and_gives_the_same_result(shop: Shop, export: str, result: int) -> None:
    """Host functions run in the thread, requests are served in the event loop, and the result is the result."""
    instance = shop.instance()
    assert await shop.call(instance, export, Workers()) == result
    assert instance.guest.threads > {threading.get_ident()}
    assert instance.state == "idle"
    assert not shop.engine.ticker.polling


async def test_the_loop_is_free_while_a_guest_computes(shop: Shop) -> None:
    """Other tasks take thousands of turns while one guest computes without a pause."""
    instance = shop.instance()
    turns = 0
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:

            async def count() -> None:
                nonlocal turns
                while instance.worked < 50:
                    turns += 1
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()

            tasks.start_soon(count)
            await shop.call(instance, "spin", Workers())
    assert turns > instance.worked


async def test_guests_take_turns_and_each_gets_its_share(shop: Shop) -> None:
    """On one worker, a guest with three times the share of another runs three times as many slices."""
    workers = Workers(1)
    small, large = shop.instance(), shop.instance()
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(shop.call, small, "spin", workers, replace(AMPLE, share=2))
            tasks.start_soon(shop.call, large, "spin", workers, replace(AMPLE, share=6))
            await until(lambda: small.worked >= 60)
            tasks.cancel_scope.cancel()
    assert 2.0 < large.worked / small.worked < 4.0
    assert (workers.guests, workers.crowded) == (0, False)


async def test_a_guest_that_waits_for_a_worker_is_killed_at_its_wall_time(shop: Shop) -> None:
    """Waiting for a thread is no way around a limit, nor a way to be forgotten."""
    workers = Workers(1)
    busy, waiting = shop.instance(), shop.instance()
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(shop.call, busy, "spin", workers, replace(AMPLE, share=1_000_000))
            await until(lambda: busy.worked > 0)
            with pytest.raises(Killed, match="wall_ms = 100"):
                await shop.call(waiting, "spin", workers, Limits(wall_ms=100))
            tasks.cancel_scope.cancel()
    assert (waiting.worked, waiting.state) == (0, "dead")


@pytest.mark.parametrize(("limits", "limit"), [(Limits(cpu_ms=50), "cpu_ms"), (Limits(wall_ms=50), "wall_ms")])
async def test_limits_hold_in_a_thread(shop: Shop, limits: Limits, limit: str) -> None:
    """An endless loop is killed there as well."""
    instance = shop.instance()
    with pytest.raises(Killed) as caught:
        await shop.call(instance, "spin", Workers(), limits)
    assert caught.value.limit == limit
    assert instance.state == "dead"
    assert instance.worked > 0


async def test_a_crash_in_a_thread_is_the_guests(shop: Shop) -> None:
    """A trap is typed, with its frames."""
    instance = shop.instance()
    with pytest.raises(Trapped) as caught:
        await shop.call(instance, "trap", Workers())
    assert caught.value.code == "unreachable"
    assert [frame.function for frame in caught.value.frames] == ["deep"]
    assert instance.state == "dead"


async def test_a_mistake_of_the_hosts_in_a_thread_reaches_the_caller(shop: Shop) -> None:
    """What a host function raises is raised to the one who made the call."""
    with pytest.raises(ZeroDivisionError, match="own mistake"):
        await shop.call(shop.instance(), "fail", Workers())


async def test_a_cancelled_call_leaves_its_thread(shop: Shop) -> None:
    """Cancelled at any moment, the instance is freed, and the thread serves the next guest."""
    workers = Workers(1)

    async def cancel_after(slices: int) -> None:
        instance = shop.instance()
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(shop.call, instance, "spin", workers)
                await until(lambda: instance.worked >= slices)
                tasks.cancel_scope.cancel()
        assert instance.state == "dead"

    for slices in (0, 1, 3, 10):
        await cancel_after(slices)
    assert await shop.call(shop.instance(), "compute", workers) == 7


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_task_cancelled_by_asyncio_itself_leaves_its_thread_too(shop: Shop, anyio_backend: str) -> None:
    """`Task.cancel` does not wait for threads; the instance is not freed under the guest for that."""
    instance = shop.instance()
    task = asyncio.create_task(shop.call(instance, "spin", Workers()))  # type: ignore[arg-type]
    await until(lambda: instance.worked >= 3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert instance.state == "dead"


async def test_two_guests_compute_at_the_same_time(shop: Shop) -> None:
    """Each has a thread of its own, if there are two workers: both are inside wasm at one moment."""
    workers = Workers(2)
    first, second = shop.instance(), shop.instance()
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(shop.call, first, "spin", workers)
            tasks.start_soon(shop.call, second, "spin", workers)
            await until(lambda: first.state == second.state == "polling")
            tasks.cancel_scope.cancel()


async def test_who_waits_for_an_answer_uses_up_no_slice(shop: Shop) -> None:
    """Ticks that go by meanwhile are not its own: a short call stays a short one, however long it is answered."""

    class Late(Answers):
        async def serve(self, request: None, /) -> int:
            await anyio.sleep(0.05)
            return 41

    workers, busy, instance = Workers(1), shop.instance(), shop.instance()
    export = instance.export("after", (), None)
    assert export is not None
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(shop.call, busy, "spin", workers)
            await until(lambda: busy.worked > 3)
            instance.start(export, ())
            began = time.monotonic()
            assert not instance.poll()
            await Pump(Pace(), workers).drive(instance, Late(), Budget(AMPLE, began), AMPLE.share, began)
            tasks.cancel_scope.cancel()
    assert (instance.slices, instance.worked) == (0, 0)


def test_a_job_that_was_stopped_before_it_began_touches_nothing() -> None:
    """Its instance may be gone by then."""
    instance = Mock()
    job = _Job(Mock(), instance, Mock(), 1)
    job.stop()
    assert not job.run()
    assert instance.mock_calls == []


async def test_an_abandoned_host_call_is_possible_from_a_thread(shop: Shop) -> None:
    """A guest that waits for an answer is on no thread, so that cancelling it needs none."""
    workers, instance = Workers(1), shop.instance()

    class Never(Answers):
        async def serve(self, request: None, /) -> int:
            await anyio.sleep_forever()
            raise AssertionError

    export = instance.export("ask", (), "i32")
    assert export is not None
    instance.start(export, ())
    began = time.monotonic()
    assert not instance.poll()
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Pump(Pace(), workers).drive, instance, Never(), Budget(AMPLE, began), AMPLE.share, began)
            await until(lambda: instance.suspension is not None)
            await anyio.sleep(0.01)
            assert (instance.state, workers.guests) == ("running", 0)
            tasks.cancel_scope.cancel()
    assert instance.state == "dead"
