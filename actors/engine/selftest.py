"""The start-up self-test: does the wasmtime that is installed do what the engine relies on?

The engine calls wasmtime's C API by layouts and promises that a version number vouches for only so far: a patched build,
another platform or a changed header would show as memory corruption in the middle of somebody's day. So before the first
engine of each profile in a process is used, a module of a few lines goes through everything that a call can meet there.
It takes 6 to 9 ms, once; making the first engine of a process takes 10 more in any case.

What is tested is a table: what we rely on, how it is tried, and what must come of it.
"""

import math
from collections.abc import Callable
from functools import cache
from importlib.metadata import version

import wasmtime

from desk.actors.engine import capi
from desk.actors.engine.engine import Engine
from desk.actors.engine.hostcalls import HostFunction
from desk.actors.engine.instance import Instance
from desk.actors.engine.profiles import SMALL, Profile
from desk.actors.errors import EngineUnusable, Trapped
from desk.actors.limits import Limits

_MODULE = """(module
  (import "self" "sync" (func $sync (param i32 i64) (result i64)))
  (import "self" "wait" (func $wait (param i64 i32) (result i32)))
  (import "self" "tick" (func $tick))
  (import "self" "turn" (func $turn))
  (memory (export "memory") 1)
  (data (i32.const 65533) "end")
  (func (export "sum") (param i32 f32 i64 f64) (result f64)
    (f64.add (f64.add (f64.convert_i32_s (local.get 0)) (f64.promote_f32 (local.get 1)))
             (f64.add (f64.convert_i64_s (local.get 2)) (local.get 3))))
  (func (export "half") (param f32) (result f32) (f32.mul (local.get 0) (f32.const 0.5)))
  (func (export "sync") (result i64) (call $sync (i32.const -2) (i64.const -3)))
  (func (export "wait") (result i32) (i32.add (call $wait (i64.const -4) (i32.const 5)) (i32.const 1)))
  (func (export "spin") (call $tick) (loop (br 0)))
  (func $far (export "far") (result i32) (i32.load (i32.const 65533)))
  (func (export "nan") (param f64) (result i64) (i64.reinterpret_f64 (f64.div (local.get 0) (local.get 0))))
  (func (export "turns") (loop (call $turn) (br 0)))
  (func (export "grow") (result i32) (memory.grow (i32.const 1)))
)"""


_TICKS = 4
"""More than a slice takes."""

_FUEL = 10_000
"""What each call has where fuel is counted: nothing here needs more but endless loops."""


def _request(guest: object, *arguments: int) -> tuple[int, ...]:
    return arguments


def _sync(guest: object, number: int, wide: int) -> int:
    return number + wide


def _tick(guest: "_Trial") -> None:
    for _ in range(_TICKS):
        capi.increment_epoch(guest.engine.pointer)


def _turn(guest: "_Trial") -> None:
    guest.turns += 1
    if guest.turns % 100 == 0:
        _tick(guest)


_FUNCTIONS = (
    HostFunction("self", "sync", ("i32", "i64"), "i64", _sync),
    HostFunction("self", "wait", ("i64", "i32"), "i32", _request, suspends=True),
    HostFunction("self", "tick", (), None, _tick),
    HostFunction("self", "turn", (), None, _turn),
)


class _Trial:
    """An engine with the module, and a way to call it. Each call has a fresh instance."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.turns = 0
        self._program = engine.compile("self-test", bytes(wasmtime.wat2wasm(_MODULE)))

    def instance(self) -> Instance:
        instance = Instance(self.engine, self._program, Limits(memory=65536, fuel=_FUEL))
        instance.guest = self
        _finish(instance)
        return instance

    def start(self, name: str, params: str = "", result: str | None = None, *arguments: int | float) -> Instance:
        instance = self.instance()
        export = instance.export(name, params.split(), result)
        if export is None:
            raise LookupError(f"no export {name!r}")
        instance.start(export, arguments)
        return instance

    def call(self, name: str, params: str = "", result: str | None = None, *arguments: int | float) -> object:
        instance = self.start(name, params, result, *arguments)
        _finish(instance)
        value = instance.result()
        instance.kill()
        return value


def _finish(instance: Instance) -> None:
    for _ in range(1000):  # slices; a tick may come at any time, but nothing here takes more than one or two
        if instance.poll():
            return
    raise TimeoutError("a call did not end")


def _memory(trial: _Trial) -> object:
    instance = trial.instance()
    return instance.memory().read(65532, 4)


def _suspension(trial: _Trial) -> object:
    instance = trial.start("wait", "", "i32")
    while instance.suspension is None and not instance.poll():
        pass
    if instance.suspension is None:
        return "did not suspend"
    request = instance.suspension.request
    instance.suspension.resume(41)
    _finish(instance)
    return request, instance.result()


def _trap(trial: _Trial) -> object:
    try:
        return trial.call("far", "", "i32")
    except Trapped as trapped:
        return trapped.code, [frame.function for frame in trapped.frames]


def _yield(trial: _Trial) -> object:
    instance = trial.start("spin")
    done = instance.poll()
    instance.kill()
    return done, instance.suspension


def _kill(trial: _Trial) -> object:
    instance = trial.start("wait", "", "i32")
    while instance.suspension is None and not instance.poll():
        pass
    instance.kill()
    return instance.state, trial.call("half", "f32", "f32", 1.0)


def _fuel_used(trial: _Trial) -> object:
    instance = trial.start("sync", "", "i64")
    _finish(instance)
    return instance.fuel


def _fuel_out(trial: _Trial) -> object:
    trial.turns = 0
    try:
        return trial.call("turns")
    except Trapped as trapped:
        return trapped.code, trial.turns


_Check = tuple[str, Callable[[_Trial], object], object]

_CHECKS: tuple[_Check, ...] = (
    (
        "numbers of four types, and an f64",
        lambda t: t.call("sum", "i32 f32 i64 f64", "f64", -1, 0.5, -(2**40), 2.25),
        -(2**40) + 1.75,
    ),
    ("an f32, there and back", lambda t: t.call("half", "f32", "f32", 3.0), 1.5),
    ("the last bytes of the memory", _memory, b"\0end"),
    ("the limit of the memory", lambda t: t.call("grow", "", "i32"), 2**32 - 1),
    ("a host function, and an i64", lambda t: t.call("sync", "", "i64"), 2**32 - 2 - 3),
    ("a host function that suspends, and an i32", _suspension, ((2**64 - 4, 5), 42)),
    ("a trap and its frames", _trap, ("memory_out_of_bounds", ["far"])),
    ("an endless loop, stopped by the epoch", _yield, (False, None)),
    ("a call freed while it waits", _kill, ("dead", 0.5)),
)


_FUEL_CHECKS: tuple[_Check, ...] = (
    ("the fuel that a call takes", _fuel_used, 4),
    ("an endless loop, yielding now and then, stopped by the fuel", _fuel_out, ("out_of_fuel", 5_000)),
)

_NAN_CHECKS: tuple[_Check, ...] = (
    ("the bits of 0/0", lambda t: t.call("nan", "f64", "i64", 0.0), 0x7FF8_0000_0000_0000),
    ("the bits of a NaN that was given", lambda t: t.call("nan", "f64", "i64", math.nan), 0x7FF8_0000_0000_0000),
)


def _checks(profile: Profile) -> tuple[_Check, ...]:
    return _CHECKS + _FUEL_CHECKS * profile.fuel + _NAN_CHECKS * profile.canonical_nan


def ensure_usable(profile: Profile = SMALL) -> None:
    """Run the self-test, once for each profile in a process.

    Raises `EngineUnusable`, which says what is not as it was tested.
    """
    _test(profile)


@cache
def _test(profile: Profile) -> None:
    differences: list[str] = []
    with Engine(_FUNCTIONS, profile=profile) as engine:
        trial = _Trial(engine)
        for what, check, expected in _checks(profile):
            try:
                got = check(trial)
            except Exception as error:
                got = error
            if got != expected:
                differences.append(f"\n  - {what}: expected {expected!r}, got {got!r}")
    if differences:
        raise EngineUnusable(
            f"wasmtime {version('wasmtime')} does not do here what the engine relies on (tested: {capi.TESTED}x):"
            + "".join(differences)
        )
