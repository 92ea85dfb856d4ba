"""The engine: fibers, host functions, traps, limits, the pump. Modules are text, host functions are made for the test."""

import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import wasmtime

from desk.actors.engine.budget import Budget
from desk.actors.engine.engine import Engine, validate
from desk.actors.engine.hostcalls import GuestFault, HostFunction
from desk.actors.engine.instance import Instance
from desk.actors.engine.memory import Memory
from desk.actors.engine.modulecache import ModuleCache, digest, fingerprint
from desk.actors.engine.profiles import SMALL
from desk.actors.engine.pump import Pump, Server
from desk.actors.engine.workers import Workers
from desk.actors.errors import Killed, Refused, Trapped
from desk.actors.limits import Limits
from desk.bus.pace import Pace

MODULE = """(module
  (import "host" "length" (func $length (param i32 i32) (result i32)))
  (import "host" "wait" (func $wait (param i32 i32) (result i64)))
  (import "host" "raise" (func $raise))
  (memory (export "memory") 1)
  (global $calls (mut i32) (i32.const 0))
  (func (export "count") (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1))) (global.get $calls))
  (func (export "i32") (param i32) (result i32) (i32.sub (i32.const 0) (local.get 0)))
  (func (export "i64") (param i64) (result i64) (i64.sub (i64.const 0) (local.get 0)))
  (func (export "f32") (param f32) (result f32) (f32.neg (local.get 0)))
  (func (export "f64") (param f64) (result f64) (f64.neg (local.get 0)))
  (func (export "mixed") (param i32 f64 i64) (result f64)
    (f64.add (f64.convert_i32_s (local.get 0)) (f64.add (local.get 1) (f64.convert_i64_s (local.get 2)))))
  (func (export "length") (param i32 i32) (result i32) (call $length (local.get 0) (local.get 1)))
  (func (export "wait") (result i64) (i64.add (call $wait (i32.const 0) (i32.const 3)) (i64.const 1)))
  (func (export "raise") (call $raise))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "spin") (loop (br 0)))
  (func (export "beg") (loop (drop (call $wait (i32.const 0) (i32.const 3))) (br 0)))
  (func (export "unreachable") (unreachable))
  (func $inner (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "load") (param i32) (result i32) (call $inner (local.get 0)))
  (func (export "divide") (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))
  (func $recurse (export "recurse") (param i64) (result i64)
    (i64.add (i64.const 1) (call $recurse (local.get 0))))
  (data (i32.const 0) "abc"))"""


class Guest:
    """What the test's host functions get."""

    memory: Memory
    error: BaseException | None = None


def _length(guest: Guest, pointer: int, length: int) -> int:
    return len(guest.memory.read(pointer, length))


def _wait(guest: Guest, pointer: int, length: int) -> bytes:
    return guest.memory.read(pointer, length)


def _raise(guest: Guest) -> None:
    if guest.error is not None:
        raise guest.error


FUNCTIONS = (
    HostFunction("host", "length", ("i32", "i32"), "i32", _length),
    HostFunction("host", "wait", ("i32", "i32"), "i64", _wait, suspends=True),
    HostFunction("host", "raise", (), None, _raise),
)


class Fixture:
    """An engine with the module above compiled."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.program = engine.compile("test", bytes(wasmtime.wat2wasm(MODULE)))

    def instance(self, limits: Limits | None = None) -> Instance:
        """A new instance, ready to be called."""
        instance = Instance(self.engine, self.program, limits or Limits())
        instance.guest = Guest()
        while not instance.poll():
            pass
        instance.guest.memory = instance.memory()
        return instance

    def call(self, instance: Instance, name: str, params: str = "", result: str | None = None, *arguments: Any) -> Any:
        """Run an export that needs no event loop."""
        export = instance.export(name, params.split(), result)
        assert export is not None
        instance.start(export, arguments)
        while not instance.poll():
            pass
        return instance.result()


@pytest.fixture(scope="module")
def fixture() -> Iterator[Fixture]:
    """One engine for the module: making one takes milliseconds."""
    with Engine(FUNCTIONS) as engine:
        yield Fixture(engine)


def test_numbers_of_all_four_types_pass_in_and_out(fixture: Fixture) -> None:
    """Every value type makes the round trip with its exact bits; integers are unsigned on our side."""
    instance = fixture.instance()
    assert fixture.call(instance, "i32", "i32", "i32", 1) == 0xFFFF_FFFF
    assert fixture.call(instance, "i64", "i64", "i64", 1) == 0xFFFF_FFFF_FFFF_FFFF
    assert fixture.call(instance, "f32", "f32", "f32", 1.5) == -1.5
    assert fixture.call(instance, "f64", "f64", "f64", math.pi) == -math.pi
    assert fixture.call(instance, "mixed", "i32 f64 i64", "f64", 1, 0.5, 2) == 3.5


def test_a_host_function_sees_the_guests_memory(fixture: Fixture) -> None:
    """A pointer inside memory is read, whole, up to the very last byte."""
    instance = fixture.instance()
    assert fixture.call(instance, "length", "i32 i32", "i32", 0, 65536) == 65536
    assert fixture.call(instance, "length", "i32 i32", "i32", 65536, 0) == 0


@pytest.mark.parametrize(("pointer", "length"), [(65536, 1), (0, 65537), (0xFFFF_FFFF, 0xFFFF_FFFF), (1, 65536)])
def test_a_pointer_outside_memory_traps_the_guest(fixture: Fixture, pointer: int, length: int) -> None:
    """Each way to point outside ends the call as a trap that names the pointer, with the wasm backtrace."""
    with pytest.raises(Trapped, match=f"pointer {pointer:#x} .* outside") as caught:
        fixture.call(fixture.instance(), "length", "i32 i32", "i32", pointer, length)
    assert caught.value.code == "host_error"
    assert caught.value.frames


def test_an_empty_memory_is_a_memory(fixture: Fixture) -> None:
    """A guest that starts with no memory at all can be asked for nothing, and a pointer into it traps."""
    program = fixture.engine.compile("empty", bytes(wasmtime.wat2wasm('(module (memory (export "memory") 0))')))
    instance = Instance(fixture.engine, program, Limits())
    while not instance.poll():
        pass
    memory = instance.memory()
    memory.write(0, b"")
    assert memory.read(0, 0) == b""
    with pytest.raises(GuestFault):
        memory.read(0, 1)
    instance.kill()


def test_memory_that_grew_is_readable_at_once(fixture: Fixture) -> None:
    """The size is looked up again when the known one is not enough."""
    instance = fixture.instance()
    assert fixture.call(instance, "grow", "i32", "i32", 1) == 1
    assert fixture.call(instance, "length", "i32 i32", "i32", 65536, 65536) == 65536


@pytest.mark.parametrize(
    ("export", "params", "arguments", "code", "frame"),
    [
        ("unreachable", "", (), "unreachable", "function["),
        ("load", "i32", (0xFFFF_FFFC,), "memory_out_of_bounds", "inner"),
        ("divide", "i32", (0,), "integer_division_by_zero", "function["),
        ("recurse", "i64", (1,), "stack_overflow", "recurse"),
    ],
)
def test_a_wasm_trap_is_typed_and_has_a_backtrace(
    fixture: Fixture, export: str, params: str, arguments: tuple[int, ...], code: str, frame: str
) -> None:
    """The trap's code and the innermost function are there; the instance is dead and a new one works."""
    instance = fixture.instance()
    result = None if export == "unreachable" else params.split()[0]
    with pytest.raises(Trapped) as caught:
        fixture.call(instance, export, params, result, *arguments)
    assert caught.value.code == code
    assert caught.value.frames[0].function.startswith(frame)
    assert len(caught.value.frames) <= 32
    assert instance.state == "dead"
    assert fixture.call(fixture.instance(), "count", "", "i32") == 1


def test_what_wasmtime_would_say_is_never_asked_for(fixture: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would demangle the names of a backtrace, and a short name may stand for one that fills the memory."""
    monkeypatch.setattr(wasmtime.Trap, "message", property(lambda self: pytest.fail("asked for a trap's message")))
    monkeypatch.setattr(wasmtime.WasmtimeError, "__str__", lambda self: pytest.fail("asked for an error's message"))
    with pytest.raises(Trapped, match="divide by zero") as trapped:
        fixture.call(fixture.instance(), "divide", "i32", "i32", 0)
    assert trapped.value.code == "integer_division_by_zero"
    with pytest.raises(Trapped, match=r"outside the guest's memory") as faulty:
        fixture.call(fixture.instance(), "length", "i32 i32", "i32", 65_536, 1)
    assert (faulty.value.code, len(faulty.value.frames)) == ("host_error", 1)


def test_names_in_a_backtrace_are_cut_and_printable() -> None:
    """They are the guest's own words, of any length, and end in logs and terminals."""
    name = "\\1b[2JOWNED\\0a" + "x" * 100_000
    text = f'(module (memory (export "memory") 1) (func (@name "{name}") (export "f") (unreachable)))'
    with Engine(()) as engine:
        instance = Instance(engine, engine.compile("named", bytes(wasmtime.wat2wasm(text))), Limits())
        while not instance.poll():
            pass
        export = instance.export("f", (), None)
        assert export is not None
        instance.start(export, ())
        with pytest.raises(Trapped) as caught:
            instance.poll()
    assert str(caught.value).isprintable() or "\n    at " in str(caught.value)
    (frame,) = caught.value.frames
    assert frame.function.startswith("\\x1b[2JOWNED\\nxxx")
    assert len(frame.function) < 300


def test_state_lives_as_long_as_the_instance(fixture: Fixture) -> None:
    """Globals survive from call to call, and two instances share nothing."""
    first, second = fixture.instance(), fixture.instance()
    assert [fixture.call(first, "count", "", "i32") for _ in range(3)] == [1, 2, 3]
    assert fixture.call(second, "count", "", "i32") == 1


def test_growth_beyond_the_limit_answers_minus_one(fixture: Fixture) -> None:
    """`memory.grow` over the limit is refused as a value, and the guest goes on."""
    instance = fixture.instance(Limits(memory=2 * 65536))
    assert fixture.call(instance, "grow", "i32", "i32", 1) == 1
    assert fixture.call(instance, "grow", "i32", "i32", 1) == 0xFFFF_FFFF
    assert fixture.call(instance, "count", "", "i32") == 1


def test_a_second_call_while_one_runs_is_refused(fixture: Fixture) -> None:
    """One instance runs one call at a time, and a call that is over cannot be polled: both would abort the process."""
    instance = fixture.instance()
    with pytest.raises(RuntimeError, match="nothing to poll"):
        instance.poll()
    spin = instance.export("spin", (), None)
    assert spin is not None
    instance.start(spin, ())
    assert not instance.poll()
    with pytest.raises(RuntimeError, match="one call at a time"):
        instance.start(spin, ())
    instance.kill()
    instance.kill()
    with pytest.raises(RuntimeError, match="nothing to poll"):
        instance.poll()


def test_an_exception_in_a_host_function_reaches_the_caller(fixture: Fixture) -> None:
    """A mistake in a host function ends the guest and is raised after the poll, as is a Ctrl-C that arrives there."""
    for error in (ZeroDivisionError("ours"), KeyboardInterrupt()):
        instance = fixture.instance()
        instance.guest.error = error
        with pytest.raises(type(error)):
            fixture.call(instance, "raise")
        assert instance.state == "dead"
    instance = fixture.instance()
    instance.guest.error = GuestFault("yours")
    with pytest.raises(Trapped, match="yours"):
        fixture.call(instance, "raise")


class Answers:
    """A server that takes `seconds` for each request (None: for ever), and keeps what it was asked."""

    def __init__(self, value: int = 41, seconds: float | None = 0.0) -> None:
        self.value = value
        self.seconds = seconds
        self.requests: list[bytes] = []

    async def serve(self, request: bytes, /) -> int:
        self.requests.append(request)
        if self.seconds is None:
            await anyio.sleep_forever()
        elif self.seconds:
            await anyio.sleep(self.seconds)
        return self.value

    def too_late(self, request: bytes, /) -> int:
        del request
        return -1


def limits(wall: float = 30.0, cpu: float = 30.0) -> Limits:
    """Limits in seconds."""
    return Limits(wall_ms=int(wall * 1000), cpu_ms=int(cpu * 1000))


class CountingPace(Pace):
    """Counts the slices it has let through after the first of each call."""

    def __init__(self) -> None:
        super().__init__()
        self.slices = 0

    async def another(self) -> None:
        await super().another()
        self.slices += 1


async def run(
    instance: Instance, name: str, result: str | None, server: Server, within: Limits, pump: Pump | None = None
) -> object:
    """Call an export to its end, as the runner does."""
    export = instance.export(name, (), result)
    assert export is not None
    instance.start(export, ())
    began = time.monotonic()
    if not instance.poll():
        pump = pump or Pump(Pace(), Workers())
        await pump.drive(instance, server, Budget(within, began), within.share, began)
    return instance.result()


async def count_turns(turns: list[int]) -> None:
    """Append to `turns` once for every turn of the event loop."""
    while True:
        turns.append(1)
        await anyio.lowlevel.checkpoint()


@pytest.mark.anyio
class TestPump:
    """Driving calls in an event loop."""

    async def test_a_suspended_guest_waits_while_the_loop_goes_on(self, fixture: Fixture) -> None:
        """Two guests wait at the same time, and each gets its answer."""
        server = Answers(seconds=0.02)
        results: list[object] = []

        async def call() -> None:
            results.append(await run(fixture.instance(), "wait", "i64", server, limits()))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            tasks.start_soon(call)
            while len(server.requests) < 2:
                await anyio.lowlevel.checkpoint()
            assert results == []
        assert server.requests == [b"abc", b"abc"]
        assert results == [42, 42]

    @pytest.mark.parametrize(("within", "limit"), [(limits(wall=0.05), "wall_ms"), (limits(cpu=0.05), "cpu_ms")])
    async def test_an_endless_loop_is_killed_at_its_limit(self, fixture: Fixture, within: Limits, limit: str) -> None:
        """A guest that never returns is stopped by whichever limit comes first, and meanwhile other tasks run."""
        instance = fixture.instance()
        turns: list[int] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(count_turns, turns)
            with pytest.raises(Killed, match=f"{limit} = 50") as caught:
                await run(instance, "spin", None, Answers(), within)
            tasks.cancel_scope.cancel()
        assert caught.value.limit == limit
        assert instance.state == "dead"
        assert len(turns) > 1

    async def test_waiting_costs_no_cpu(self, fixture: Fixture) -> None:
        """The CPU budget counts the time inside the guest, not what it waits for."""
        assert await run(fixture.instance(), "wait", "i64", Answers(seconds=0.1), limits(cpu=0.05)) == 42

    async def test_hungry_guests_get_one_slice_for_each_turn_of_the_loop(self, fixture: Fixture) -> None:
        """However many compute without end, the loop is delayed by one slice at a time, and each has its share."""
        pace = CountingPace()
        pump = Pump(pace, Workers())
        turns: list[int] = []
        killed: list[str] = []

        async def spin() -> None:
            with pytest.raises(Killed) as caught:
                await run(fixture.instance(), "spin", None, Answers(), limits(wall=0.3), pump)
            killed.append(caught.value.limit)

        async with anyio.create_task_group() as counting:
            counting.start_soon(count_turns, turns)
            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(spin)
            counting.cancel_scope.cancel()
        assert killed == ["wall_ms"] * 20
        assert 20 <= pace.slices <= len(turns) + 1

    async def test_a_guest_that_asks_all_the_time_is_stopped_as_well(self, fixture: Fixture) -> None:
        """Requests that are answered at once never suspend for long, and still others run and the limits hold."""
        instance = fixture.instance()
        turns: list[int] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(count_turns, turns)
            with pytest.raises(Killed):
                await run(instance, "beg", None, Answers(), limits(wall=0.1))
            tasks.cancel_scope.cancel()
        assert instance.state == "dead"
        assert len(turns) > 5

    async def test_what_comes_too_late_is_answered_as_such(self, fixture: Fixture) -> None:
        """A guest that waits is not killed for what it waits for: shortly before its wall time ends it is told."""
        instance = fixture.instance()
        assert await run(instance, "wait", "i64", Answers(seconds=None), limits(wall=0.1)) == 0
        assert instance.state == "idle"

    async def test_a_guest_that_goes_on_waiting_is_killed(self, fixture: Fixture) -> None:
        """The wall time is over for it, too."""
        instance = fixture.instance()
        with pytest.raises(Killed, match="wall_ms = 100"):
            await run(instance, "beg", None, Answers(seconds=None), limits(wall=0.1))
        assert instance.state == "dead"

    async def test_cancelling_leaves_nothing_behind(self, fixture: Fixture) -> None:
        """A cancelled call kills its instance, computing or waiting."""
        for name, result in (("spin", None), ("wait", "i64")):
            instance = fixture.instance()
            with anyio.move_on_after(0.02) as scope:
                await run(instance, name, result, Answers(seconds=None), limits())
            assert scope.cancelled_caught
            assert instance.state == "dead"


def test_bytes_that_are_no_module_are_refused(fixture: Fixture) -> None:
    """What wasmtime does not accept is `Refused` with its reason, and `validate` says the same without compiling."""
    broken = bytes(wasmtime.wat2wasm("(module (func (result i32) i32.const 1))")).replace(b"\x41\x01", b"\x1a\x1a")
    with pytest.raises(Refused, match="refused"):
        fixture.engine.compile("broken", broken)
    assert validate(broken)
    assert validate(bytes(wasmtime.wat2wasm("(module)"))) is None


@pytest.mark.parametrize(
    "text",
    [
        "(module (memory 1) (memory 1))",
        "(module (memory i64 1))",
        "(module (memory 1 1 shared))",
        "(module (type (struct)))",
        "(module (tag))",
    ],
)
def test_proposals_that_guests_do_not_need_are_off(text: str) -> None:
    """Several memories, 64-bit or shared memory, garbage collection and exceptions do not validate."""
    assert validate(bytes(wasmtime.wat2wasm(text)))


class TestModuleCache:
    """Compiled modules on disk."""

    WASM = bytes(wasmtime.wat2wasm('(module (func (export "f")))'))

    def test_a_module_is_compiled_once(self, tmp_path: Path) -> None:
        """The second engine loads what the first one stored."""
        directory = tmp_path / "modules"
        for cached in (False, True):
            with Engine((), ModuleCache(directory)) as engine:
                assert engine.compile("f", self.WASM).cached is cached

    def test_a_damaged_file_only_costs_a_compilation(self, tmp_path: Path) -> None:
        """What wasmtime cannot read back is compiled again."""
        cache = ModuleCache(tmp_path / "modules")
        cache.store(f"{digest(self.WASM)}-{fingerprint(SMALL)}", b"not native code")
        with Engine((), cache) as engine:
            assert not engine.compile("f", self.WASM).cached

    def test_a_directory_open_to_others_is_refused(self, tmp_path: Path) -> None:
        """A forged file would run as native code, so nobody else may be able to write one."""
        directory = tmp_path / "modules"
        directory.mkdir()
        os.chmod(directory, 0o770)
        with pytest.raises(PermissionError, match="chmod 700"):
            ModuleCache(directory)
