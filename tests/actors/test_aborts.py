"""What ends the process when wasmtime is used wrongly, and that the engine does not let it happen.

Most tests run two programs. The *control* makes the mistake with bare calls of the C API, or with one guard of ours taken
away, and must end as expected: by an abort, a segmentation fault, or not at all. Then the same through the engine, which must
end well. A control that ends well after an upgrade of wasmtime says that a guard may go.

No control is possible where our API has no words for the mistake: there are no unchecked calls into a guest (on which an
async import aborts), no components, and none of wasmtime's own WASI (whose async form aborts when a guest sleeps).
Ctrl-C and the garbage collector inside a callback, and a host for each of two threads: tests/host/test_interrupt.py.
"""

import signal
import sys
from pathlib import Path

import pytest
from programs import BUSY_HOST, ended, ran

ABORT, SEGV, ALARM = -signal.SIGABRT, -signal.SIGSEGV, -signal.SIGALRM
CRASH = {ABORT, SEGV, -signal.SIGBUS}
"""Where memory is used that was freed, what happens is up to chance."""

RAW = '''
import ctypes, faulthandler, os, signal, sys, threading, time
import wasmtime
from wasmtime import _ffi as ffi
from desk.actors.engine import capi

TEXT = """(module
  (import "host" "now" (func $now (result i32)))
  (import "host" "wait" (func $wait (result i32)))
  (memory (export "memory") 1)
  (func (export "one") (result i32) (i32.const 1))
  (func (export "now") (result i32) (call $now))
  (func (export "wait") (result i32) (call $wait))
  (func (export "both") (result i32) (i32.add (call $now) (call $wait)))
  (func (export "spin") (result i32) (loop (br 0)) (unreachable))
  (func (export "far") (result i32) (i32.load (i32.const -64))))"""

def alarm(seconds):
    """End this process by SIGALRM, if it does not end before: whoever hangs is to be seen."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
'''
"""What both kinds of programs begin with."""

CONTROL = (
    RAW
    + '''
@capi.SyncCallback
def now(env, caller, raw, count):
    ctypes.memmove(raw, b"\\1\\0\\0\\0", 4)
    return 0

@capi.Continuation
def never(env):
    return False

@capi.SuspendingCallback
def wait(env, caller, args, n, results, m, trap, continuation):
    code = ctypes.cast(never, ctypes.c_void_p).value
    ctypes.memmove(continuation, (ctypes.c_void_p * 3)(code, 0, 0), 24)

class Raw:
    """A guest called as the engine calls it, with nothing that the engine checks."""

    def __init__(self, config=None, *, now=now, wait=wait, engine=None):
        self.engine = engine or wasmtime.Engine(config or wasmtime.Config())
        self.linker = wasmtime.Linker(self.engine)
        i32 = wasmtime.FuncType([], [wasmtime.ValType.i32()])
        for definer, name, callback in ((capi.define_sync, b"now", now), (capi.define_suspending, b"wait", wait)):
            names = (b"host", 4, name, len(name))
            capi.check(definer(capi.address(self.linker), *names, capi.address(i32), callback, None, None))
        self.pre = self.linker.instantiate_pre(wasmtime.Module(self.engine, TEXT))
        self.store = capi.store_new(capi.address(self.engine), None, None)
        self.context = capi.store_context(self.store)
        self.outcome = (ctypes.c_void_p * 2)()
        self.outcomes = [ctypes.addressof(self.outcome) + at for at in (0, 8)]
        self.struct, self.results = capi.Instance(), ctypes.create_string_buffer(capi.VAL_SIZE)
        where = ctypes.addressof(self.struct)
        future = capi.instantiate(capi.address(self.pre), self.context, where, *self.outcomes)
        while not capi.future_poll(future):
            pass
        capi.future_delete(future)

    def export(self, name):
        self.extern = capi.Extern()
        assert capi.export_get(self.context, ctypes.addressof(self.struct), name, len(name), ctypes.addressof(self.extern))
        return capi.Func.from_buffer_copy(self.extern.of)

    def start(self, export):
        self.function = export
        function = ctypes.addressof(export)
        return capi.call_async(self.context, function, None, 0, ctypes.addressof(self.results), 1, *self.outcomes)
'''
)
"""What controls begin with."""

OURS = (
    RAW
    + '''
import gc
from desk.actors.engine import hostcalls
from desk.actors.engine.engine import Engine
from desk.actors.engine.hostcalls import GuestFault, HostFunction
from desk.actors.engine.instance import Instance
from desk.actors.errors import EngineUnusable, Trapped
from desk.actors.limits import Limits

class Kit:
    """An engine with the module, and host functions that can be exchanged for each call."""

    def __init__(self):
        self.now = self.wait = lambda guest: 1
        functions = (
            HostFunction("host", "now", (), "i32", lambda guest: self.now(guest)),
            HostFunction("host", "wait", (), "i32", lambda guest: self.wait(guest), suspends=True),
        )
        self.engine = Engine(functions)
        self.program = self.engine.compile("kit", bytes(wasmtime.wat2wasm(TEXT)))

    def instance(self, guest=None):
        instance = Instance(self.engine, self.program, Limits())
        instance.guest = guest
        while not instance.poll():
            pass
        return instance

    def start(self, instance, name):
        instance.start(instance.export(name, (), "i32"), ())
        return instance

def finish(instance):
    """Poll to the end, or until it waits."""
    while not instance.poll():
        if instance.suspension is not None:
            return "waits"
    return instance.result()
'''
)
"""What programs with our engine begin with."""


def check(tmp_path: Path, control: str, outcome: int, ours: str, printed: str, said: str = "") -> None:
    """Hold that the control ends by `outcome`, saying `said`, and that ours ends well, having printed `printed`."""
    end = ended(tmp_path, CONTROL + control)
    assert end.status == outcome, end
    assert said in end.err, end
    assert ran(tmp_path, OURS + ours) == printed


# -- mistakes in the use of futures, stores and engines


def test_an_exception_that_escapes_a_suspending_host_function(tmp_path: Path) -> None:
    """Without a continuation wasmtime aborts; ours is set before anything can be raised, and the error comes out of the poll."""
    control = """
@capi.SuspendingCallback
def raises(*arguments):
    raise ZeroDivisionError

raw = Raw(wait=raises)
capi.future_poll(raw.start(raw.export(b"wait")))
"""
    ours = """
kit = Kit()
def fails(guest):
    raise guest
for error in (ZeroDivisionError(), RecursionError(), MemoryError(), KeyboardInterrupt(), SystemExit(3), GuestFault("bad")):
    kit.now = kit.wait = fails
    for name in ("now", "wait"):
        instance = kit.start(kit.instance(error), name)
        try:
            finish(instance)
        except BaseException as caught:
            assert caught is error or (isinstance(error, GuestFault) and isinstance(caught, Trapped)), caught
            assert instance.state == "dead"
        else:
            print("nothing raised")
print("end")
"""
    check(tmp_path, control, ABORT, ours, "end\n", "callback must be set")


def test_polling_a_call_that_is_over(tmp_path: Path) -> None:
    """wasmtime aborts; ours refuses, also after an interrupt that came between the end of the call and the look at it."""
    control = """
raw = Raw()
future = raw.start(raw.export(b"one"))
assert capi.future_poll(future)
capi.future_poll(future)
"""
    ours = """
kit = Kit()
instance = kit.start(kit.instance(), "one")
assert finish(instance) == 1
try:
    instance.poll()
except RuntimeError as error:
    print(error)

poll = capi.future_poll
def interrupted(future):
    assert poll(future)
    raise KeyboardInterrupt
kit.start(instance, "one")
capi.future_poll = interrupted
try:
    instance.poll()
except KeyboardInterrupt:
    capi.future_poll = poll
try:
    instance.poll()
except RuntimeError as error:
    print(error)
instance.kill()
"""
    said = "nothing to poll: this instance is idle\nnothing to poll: this instance is dead\n"
    check(tmp_path, control, ABORT, ours, said, "resumed after completion")


def test_a_store_that_goes_before_its_call(tmp_path: Path) -> None:
    """wasmtime aborts when the call is freed after its store; ours frees in order, whoever frees and in whatever state."""
    control = """
raw = Raw()
future = raw.start(raw.export(b"wait"))
assert not capi.future_poll(future)
capi.store_delete(raw.store)
capi.future_delete(future)
"""
    ours = """
kit = Kit()
for name in ("one", "wait", "spin"):
    for polls in (0, 1):
        for end in ("kill", "drop", "collect"):
            instance = kit.start(kit.instance(), name)
            for _ in range(polls):
                instance.poll()
            if end == "kill":
                instance.kill()
                instance.kill()
            elif end == "collect":
                instance.cycle = instance
            del instance
            gc.collect()
print(finish(kit.start(kit.instance(), "one")))
"""
    check(tmp_path, control, ABORT, ours, "1\n")


def test_an_export_of_another_instance(tmp_path: Path) -> None:
    """wasmtime aborts; ours refuses an export of an instance that lives, or that is gone, and a program of another engine."""
    control = """
first, second = Raw(), Raw()
capi.future_poll(second.start(first.export(b"one")))
"""
    ours = """
kit = Kit()
gone = kit.instance()
lost = gone.export("one", (), "i32")
gone.kill()
for export in (kit.instance().export("one", (), "i32"), lost):
    for used in (True, False):
        instance = kit.instance()
        if used:
            instance.export("one", (), "i32")
        try:
            instance.start(export, ())
        except RuntimeError as error:
            print(error)
try:
    finish(Instance(Kit().engine, kit.program, Limits()))
except Trapped as error:
    print(error.message)
"""
    said = "an instance runs its own exports, this one is of another\n" * 4
    said += "cross-`Engine` usage is not supported\n"
    check(tmp_path, control, ABORT, ours, said, "object used with the wrong store")


def test_an_instance_freed_by_its_own_host_function(tmp_path: Path) -> None:
    """It would pull the stack from under itself; ours refuses, and the mistake comes out of the poll."""
    control = """
@capi.SyncCallback
def frees(*arguments):
    capi.future_delete(future)
    capi.store_delete(raw.store)
    return 0

raw = Raw(now=frees)
future = raw.start(raw.export(b"now"))
capi.future_poll(future)
capi.future_delete(future)
"""
    ours = """
kit = Kit()
kit.now = kit.wait = lambda guest: guest[0].kill()
for name in ("now", "wait"):
    guest = []
    guest.append(kit.instance(guest))
    try:
        finish(kit.start(guest[0], name))
    except RuntimeError as error:
        print(error, guest[0].state)
"""
    end = ended(tmp_path, CONTROL + control, MALLOC_PERTURB_="165")
    assert end.status in CRASH, end
    said = "an instance cannot be freed while its guest runs dead\n" * 2
    assert ran(tmp_path, OURS + ours, MALLOC_PERTURB_="165") == said


def test_an_instance_freed_by_another_thread(tmp_path: Path) -> None:
    """It would pull the stack from under a guest at work; ours refuses, the guest goes on, and may be freed when it is out."""
    wait = """
inside, leave = threading.Event(), threading.Event()
def called(*arguments):
    inside.set()
    leave.wait()
    return 0
"""
    control = f"""
{wait}
waits = capi.SyncCallback(called)
raw = Raw(now=waits)
future = raw.start(raw.export(b"now"))
thread = threading.Thread(target=capi.future_poll, args=(future,))
thread.start()
inside.wait()
capi.future_delete(future)
capi.store_delete(raw.store)
leave.set()
thread.join()
print("alive", flush=True)
"""
    ours = f"""
{wait}
kit = Kit()
kit.now = called
instance = kit.start(kit.instance(), "now")
thread = threading.Thread(target=lambda: print(instance.poll(), instance.result()))
thread.start()
inside.wait()
try:
    instance.kill()
except RuntimeError as error:
    print(error)
try:
    instance.poll()
except RuntimeError as error:
    print(error)
leave.set()
thread.join()
instance.kill()
"""
    end = ended(tmp_path, CONTROL + control, MALLOC_PERTURB_="165")
    assert end.status in CRASH, end
    said = "an instance cannot be freed while its guest runs\nnothing to poll: this instance is polling\nTrue 0\n"
    assert ran(tmp_path, OURS + ours, MALLOC_PERTURB_="165") == said


def test_signals_during_a_callback(tmp_path: Path) -> None:
    """A handler that raises there is not lost, nor does it abort: the poll raises what it raised, and the instance is freed."""
    raises = """
class Struck(BaseException):
    pass

def struck(number, frame):
    raise Struck

signal.signal(signal.SIGUSR1, struck)
def called(*arguments):
    signal.raise_signal(signal.SIGUSR1)
    return 1
"""
    control = f"""
{raises}
raw = Raw(wait=capi.SuspendingCallback(called))
capi.future_poll(raw.start(raw.export(b"wait")))
"""
    ours = f"""
{raises}
kit = Kit()
kit.now = kit.wait = called
for name in ("now", "wait") * 50:
    instance = kit.start(kit.instance(), name)
    try:
        finish(instance)
    except Struck:
        assert instance.state == "dead"
    else:
        print("lost")
print("end")
"""
    end = ended(tmp_path, CONTROL + control)  # an abort, or in Python 3.13 a crash on the way to it
    assert end.status in CRASH, end
    assert ran(tmp_path, OURS + ours) == "end\n"


def test_memory_after_its_instance(tmp_path: Path) -> None:
    """Where a guest's memory was, nothing is mapped any more; ours says so instead of looking there."""
    control = """
raw = Raw()
raw.export(b"memory")
memory = capi.Memory.from_buffer_copy(raw.extern.of)
base = capi.memory_data(raw.context, ctypes.addressof(memory))
assert ctypes.string_at(base, 1) == b"\\0"
capi.store_delete(raw.store)
ctypes.string_at(base, 1)
"""
    ours = """
kit = Kit()
instance = kit.instance()
killed, lost = instance.memory(), kit.instance().memory()
assert killed.read(0, 1) == b"\\0"
instance.kill()
for memory in (killed, lost):
    for access in (lambda: memory.read(0, 1), lambda: memory.write(65535, b"x")):
        try:
            access()
        except RuntimeError as error:
            print(error)
"""
    check(tmp_path, control, SEGV, ours, "this memory is gone, as its instance is\n" * 4)


def test_a_function_type_of_another_engine(tmp_path: Path) -> None:
    """wasmtime aborts; ours makes them for each engine, so that two with the same host functions work side by side."""
    control = """
types = wasmtime.FuncType([], [wasmtime.ValType.i32()])
for _ in range(2):
    engine = wasmtime.Engine()
    linker = wasmtime.Linker(engine)
    names = (b"host", 4, b"now", 3)
    capi.check(capi.define_sync(capi.address(linker), *names, capi.address(types), now, None, None))
    store = wasmtime.Store(engine)
    linker.instantiate(store, wasmtime.Module(engine, '(module (import "host" "now" (func (result i32))))'))
    print("made", flush=True)
"""
    ours = """
functions = (
    HostFunction("host", "now", (), "i32", lambda guest: 7),
    HostFunction("host", "wait", (), "i32", lambda guest: 1, suspends=True),
)
engines = [Engine(functions) for _ in range(3)]
wasm = bytes(wasmtime.wat2wasm(TEXT))
instances = [Instance(engine, engine.compile("kit", wasm), Limits()) for engine in engines]
for instance in instances:
    finish(instance)
    instance.start(instance.export("now", (), "i32"), ())
print([finish(instance) for instance in instances])
"""
    check(tmp_path, control, ABORT, ours, "[7, 7, 7]\n", "comes_from_same_engine")


def test_a_configuration_that_contradicts_itself(tmp_path: Path) -> None:
    """More stack for wasm than the fiber has aborts in `Engine()`; ours is fixed, and leaves megabytes for Python."""
    control = """
config = wasmtime.Config()
config.max_wasm_stack = 4 << 20
ffi.wasmtime_config_async_stack_size_set(config.ptr(), 1 << 20)
wasmtime.Engine(config)
"""
    ours = """
from desk.actors.engine.configuration import FIBER_STACK, WASM_STACK
print(FIBER_STACK - WASM_STACK >= 6 << 20)
"""
    check(tmp_path, control, ABORT, ours, "True\n", "max_wasm_stack size cannot exceed the async_stack_size")


def test_a_poll_that_keeps_the_gil(tmp_path: Path) -> None:
    """The ticker's thread could never run, and a guest never be stopped; ours releases it."""
    control = """
import threading
config = wasmtime.Config()
config.epoch_interruption = True
raw = Raw(config)
capi.epoch_yield(raw.context, 1)
capi.set_epoch_deadline(raw.context, 1)

def tick():
    while True:
        time.sleep(0.001)
        capi.increment_epoch(capi.address(raw.engine))

threading.Thread(target=tick, daemon=True).start()
future = raw.start(raw.export(b"spin"))
assert not capi.future_poll(future)
alarm(0.5)
ctypes.PyDLL(None, handle=ffi.dll._handle)["wasmtime_call_future_poll"](ctypes.c_void_p(future))
"""
    ours = """
alarm(5)
kit = Kit()
print(kit.start(kit.instance(), "spin").poll())
"""
    check(tmp_path, control, ALARM, ours, "False\n")


# -- Python on the fiber's stack

FINALIZERS = """
import re, functools

def sort(depth):
    return sorted([depth, depth + 1], key=sort)

def evaluate(depth):
    return eval("evaluate(depth + 1)", globals(), {"depth": depth})

def replace(depth):
    return re.sub("a", lambda match: replace(depth + 1), "a")

class Shown:
    def __repr__(self):
        return "%r" % (self,)

class Missing:
    def __getattr__(self, name):
        return getattr(self, name + "x")

class Finalized:
    def __init__(self, recurse):
        self.recurse = recurse

    def __del__(self):
        try:
            self.recurse()
        except RecursionError:
            print("RecursionError", flush=True)

def collect(recurse):
    garbage = [Finalized(recurse)]
    garbage.append(garbage)
    del garbage
    gc.collect()

RECURSIONS = (lambda: sort(0), lambda: evaluate(0), lambda: replace(0), lambda: repr(Shown()), lambda: Missing().x)
"""


def test_a_deep_recursion_in_a_finalizer_during_a_callback(tmp_path: Path) -> None:
    """On a fiber of 2 MiB it overflows the stack; ours has room up to Python's own limit, for the hungriest recursions too."""
    recurse = """
kit = Kit()
def now(guest):
    collect(guest)
    return 5
kit.now = kit.wait = now
gc.disable()
for recursion in RECURSIONS:
    for name in ("now", "wait"):
        instance = kit.start(kit.instance(recursion), name)
        assert finish(instance) == (5 if name == "now" else "waits")
        instance.kill()
"""
    smaller = "from desk.actors.engine import configuration\nconfiguration.FIBER_STACK = 2 << 20\n"
    control = ended(tmp_path, smaller + OURS + FINALIZERS + recurse)
    assert control.status in CRASH, control
    assert ran(tmp_path, OURS + FINALIZERS + recurse) == "RecursionError\n" * 10


DEEP = """
def deep(depth, function):
    return function() if not depth else deep(depth - 1, function)
"""

NO_ROOM = """
for depth in range(sys.getrecursionlimit() - 60, sys.getrecursionlimit()):
    raw = Raw()
    future = raw.start(raw.export(b"wait"))
    try:
        deep(depth, lambda: capi.future_poll(future))
    except (RecursionError, ctypes.ArgumentError):
        pass
    capi.future_delete(future)
"""

ROOM = """
kit = Kit()
calls = []
def called(guest):
    calls.append(guest)
    return 1
kit.now = kit.wait = called
ends = {"done": 0, "RecursionError": 0}
for name in ("now", "wait"):
    for depth in range(sys.getrecursionlimit() - 60, sys.getrecursionlimit()):
        calls.clear()
        instance = kit.start(kit.instance(), name)
        try:
            over = deep(depth, instance.poll)
        except RecursionError:
            ends["RecursionError"] += 1
            assert not calls
        else:
            ends["done"] += 1
            while not over and instance.suspension is None:
                over = instance.poll()
            assert len(calls) == 1, (name, depth)
        instance.kill()
print(all(ends.values()), sum(ends.values()))
"""


def test_a_poll_near_the_end_of_python_s_own_stack(tmp_path: Path) -> None:
    """Where a callback could not begin any more, nothing is polled: no abort, and no host function is left out in silence."""
    control = ended(tmp_path, CONTROL + DEEP + NO_ROOM)
    assert control.status == ABORT, control
    assert "callback must be set" in control.err, control
    end = ended(tmp_path, OURS + DEEP + ROOM)
    assert (end.status, end.out, end.err) == (0, "True 120\n", ""), end


def test_a_poll_inside_a_callback(tmp_path: Path) -> None:
    """A finalizer may call another guest from within a callback: afterwards host functions know again whose they are."""
    ours = """
kit = Kit()
inner = kit.start(kit.instance("inner"), "wait")
seen = []
def now(guest):
    if guest == "outer":
        seen.append(finish(inner))
    seen.append(guest)
    return 1
kit.now = now
kit.wait = seen.append
outer = kit.start(kit.instance("outer"), "both")
print(finish(outer), seen, outer.suspension is not None, inner.suspension is not None)
"""
    assert ran(tmp_path, OURS + ours) == "waits ['inner', 'waits', 'outer', 'outer'] True True\n"


# -- other owners of the process


def test_faulthandler_enabled_late(tmp_path: Path) -> None:
    """It takes SIGSEGV over: where traps are signals, a guest's bad access then ends the process; ours are not."""
    control = """
faulthandler.disable()
raw = Raw()
future = raw.start(raw.export(b"far"))
assert capi.future_poll(future)
faulthandler.enable()
raw = Raw(engine=raw.engine)
capi.future_poll(raw.start(raw.export(b"far")))
"""
    ours = """
faulthandler.disable()
kit = Kit()
for _ in range(2):
    try:
        finish(kit.start(kit.instance(), "far"))
    except Trapped as error:
        print(error.code)
    faulthandler.enable()
"""
    check(tmp_path, control, SEGV, ours, "memory_out_of_bounds\n" * 2, "Segmentation fault")


FORK = """
def child(function):
    process = os.fork()
    if not process:
        alarm(1)
        try:
            function()
        except EngineUnusable as error:
            assert "spawn" in str(error)
            os._exit(7)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="nothing forks there")
def test_fork(tmp_path: Path) -> None:
    """In a forked child compiling hangs, and so does a guest that nothing stops; ours refuses both, in new engines too."""
    control = """
EngineUnusable = ZeroDivisionError
config = wasmtime.Config()
config.epoch_interruption = True
Raw(config)
print(child(Raw))
"""
    ours = """
print(child(Kit))
kit = Kit()
spinning, idle = kit.start(kit.instance(), "spin"), kit.instance()
assert not spinning.poll()
print(child(Kit))
print(child(lambda: kit.engine.compile("kit", b"(module)")))
print(child(lambda: kit.instance()))
print(child(lambda: finish(spinning)))
print(child(lambda: finish(kit.start(idle, "one"))))
print(child(lambda: (spinning.kill(), idle.kill(), kit.engine.close(), gc.collect())))
print(spinning.poll(), finish(kit.start(idle, "one")))
process = os.fork()
if not process:
    sys.exit(5)  # all that runs at an orderly exit
print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
"""
    assert ran(tmp_path, CONTROL + FORK + control) == f"{ALARM}\n"
    assert ran(tmp_path, OURS + FORK + ours) == "0\n" + "7\n" * 5 + "0\nFalse 1\n5\n"


def test_the_interpreter_exits_under_calls(tmp_path: Path) -> None:
    """Guests that compute, wait, or have not begun, kept by globals, by cycles or by `atexit`, do not disturb the exit."""
    ours = """
import atexit
kit = Kit()
kept = [kit.start(kit.instance(), name) for name in ("one", "wait", "spin") for _ in range(3)]
for instance in kept[1:]:
    if instance.suspension is None:
        instance.poll()
cycle = [kit.start(kit.instance(), "wait")]
cycle[0].poll()
cycle.append(cycle)
last = kit.start(kit.instance(), "spin")
atexit.register(lambda: print(last.poll(), last.kill()))
sys.modules["kept"] = kept  # torn down later than globals
print("end")
"""
    # The ticker was stopped by its own `atexit` function, which runs later than ours: the last in is the first out.
    assert ran(tmp_path, OURS + ours, MALLOC_PERTURB_="165") == "end\nFalse None\n"


# -- hosts

backends = pytest.mark.parametrize("backend", ["trio", "asyncio"])

CANCELLED = """
async def main():
    async with Host(cache=False, tracing=Tracing.off(), limits=Limits(wall_ms=40)) as host:
        await host.load(BUSY, grants="requested")
        for export in ("spin", "chat", "tell", "trap", "short"):
            for patience in (0, 0.002, 0.02):
                with anyio.move_on_after(patience):
                    try:
                        await host.call("busy", export)
                    except (Killed, Trapped):
                        pass
                first = await host.call("busy", "count")
                assert await host.call("busy", "count") == first + 1
    print("end")

run(sys.argv[1], main)
"""


@backends
def test_a_cancelled_call_and_the_next_one(tmp_path: Path, backend: str) -> None:
    """Whatever a guest did when its caller left, the actor takes the next call, on this instance or a new one."""
    assert ran(tmp_path, BUSY_HOST + CANCELLED, backend) == "end\n"


TWO_HOSTS = """
async def life(number, turns):
    for _ in range(turns):
        async with Host(cache=False, tracing=Tracing.off(), limits=Limits(wall_ms=30)) as host:
            await host.load(BUSY, grants="requested")
            for turn in range(1, 6):
                assert await host.call("busy", "count") == turn
            for export in ("spin", "tell", "far"):
                try:
                    await host.call("busy", export)
                except (Killed, Trapped) as error:
                    ends.append((number, type(error).__name__))
                assert await host.call("busy", "count") == 1

async def main():
    async with anyio.create_task_group() as tasks:
        for number, turns in enumerate((1, 2, 3)):
            tasks.start_soon(life, number, turns)

ends = []
run(sys.argv[1], main)
print(len(ends), sorted(set(ends)) == [(n, error) for n in range(3) for error in ("Killed", "Trapped")])
"""


@backends
def test_hosts_that_share_a_loop(tmp_path: Path, backend: str) -> None:
    """Three hosts at one time, which open and close as they like, count, crash and are killed each for itself."""
    assert ran(tmp_path, BUSY_HOST + TWO_HOSTS, backend) == "18 True\n"


CLOSED = """
async def call(host, export):
    try:
        await host.call("busy", export, deadline=None)
    except Exception as error:
        ends.append(f"{export} {type(error).__name__}")
    else:
        ends.append(f"{export} done")

async def main():
    async with anyio.create_task_group() as tasks:
        try:
            async with make_host() as host:
                await host.load(BUSY, grants="requested")
                async with host.subscribe("news", capacity=1):  # and nobody takes the news: `tell` waits for ever
                    for export in (sys.argv[2], "short"):
                        tasks.start_soon(call, host, export)
                        await anyio.sleep(0.05)
                    if sys.argv[3] == "error":
                        raise LookupError
        except LookupError:
            pass
    gc.collect()
    print(*sorted(ends), sep=", ")

ends = []
run(sys.argv[1], main)
"""


@backends
@pytest.mark.parametrize("export", ["spin", "tell"])
@pytest.mark.parametrize("how", ["orderly", "error"])
def test_a_host_closed_with_calls_in_flight(tmp_path: Path, backend: str, export: str, how: str) -> None:
    """Guests that compute or wait are ended with the host, and whoever waits for an answer is told."""
    assert ran(tmp_path, BUSY_HOST + CLOSED, backend, export, how) == f"short Unavailable, {export} Unavailable\n"


# -- two guests that compute without end, wherever they do it

TWO_BUSY = """
OTHER = BUSY.replace(b'name: "busy"', b'name: "bus2"')
ends = []

def make_host(cpu_ms=600_000):
    return Host(tracing=Tracing.off(), limits=Limits(wall_ms=600_000, cpu_ms=cpu_ms))

async def endless(host, name):
    try:
        await host.call(name, "spin", deadline=None)
    except Exception as error:
        ends.append(type(error).__name__)

async def begin(host, tasks):
    await host.load(BUSY, grants="requested")
    await host.load(OTHER, grants="requested")
    for name in ("busy", "bus2"):
        tasks.start_soon(endless, host, name)
    await anyio.sleep(0.1)
"""
"""Has two extensions loaded, each of which has been computing for a tenth of a second."""


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the next programs keep compiled modules: each would start two compilers otherwise."""
    return str(tmp_path_factory.mktemp("modules"))


BUSY_CLOSED = """
class Over(Exception):
    pass

async def main():
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            try:
                async with make_host(400 if sys.argv[2] == "removed" else 600_000) as host:
                    await begin(host, tasks)
                    if sys.argv[2] == "error":
                        raise Over
                    if sys.argv[2] == "cancelled":
                        scope.cancel()
                        await anyio.sleep(0)
                    if sys.argv[2] == "removed":
                        async with anyio.create_task_group() as removing:
                            removing.start_soon(host.remove, "busy")
                            removing.start_soon(host.remove, "bus2")
            except Over:
                pass
    gc.collect()
    print(*ends)

run(sys.argv[1], main)
"""


@backends
@pytest.mark.parametrize("how", ["orderly", "error", "cancelled", "removed"])
def test_a_host_closed_under_two_busy_guests(tmp_path: Path, modules: str, backend: str, how: str) -> None:
    """They are stopped, both callers are told, and nothing that was freed is touched afterwards."""
    told = (
        "Killed Killed\n" if how == "removed" else "Unavailable Unavailable\n"
    )  # a turn in progress ends by its limits
    program = BUSY_HOST + TWO_BUSY + BUSY_CLOSED
    assert (
        ran(tmp_path, program, backend, how, XDG_CACHE_HOME=modules, MALLOC_PERTURB_="165", MALLOC_CHECK_="3") == told
    )


BUSY_EXIT = """
how = sys.argv[2]

async def main():
    async with anyio.create_task_group() as tasks:
        async with make_host() as host:
            await begin(host, tasks)
            busy.set()
            if how == "sys.exit":
                sys.exit(5)
            if how == "left":
                os._exit(5)
            if how == "signal":
                os.kill(os.getpid(), signal.SIGINT)
            await anyio.sleep_forever()

busy = threading.Event()
if how == "daemon":
    threading.Thread(target=run, args=(sys.argv[1], main), daemon=True).start()
    busy.wait()
    sys.exit(5)
try:
    run(sys.argv[1], main)
except BaseException as error:
    def leaf(error):
        return leaf(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
    assert type(leaf(error)) is (KeyboardInterrupt if how == "signal" else SystemExit), error
    gc.collect()
    sys.exit(5)
"""


@backends
@pytest.mark.parametrize("how", ["sys.exit", "left", "signal", "daemon"])
def test_a_program_that_ends_under_two_busy_guests(tmp_path: Path, modules: str, backend: str, how: str) -> None:
    """By `sys.exit`, `os._exit` or Ctrl-C, or while they run in a daemon thread: it ends as it says, without a word more."""
    program = BUSY_HOST + TWO_BUSY + BUSY_EXIT
    end = ended(tmp_path, program, backend, how, XDG_CACHE_HOME=modules, MALLOC_PERTURB_="165")
    assert end.status == 5, end
    assert "Fatal" not in end.err, end
    assert "Exception ignored" not in end.err, end


BUSY_FORK = """
from desk.actors.engine.engine import Engine
from desk.actors.errors import EngineUnusable
import warnings
warnings.simplefilter("ignore")  # Python 3.12 warns of a fork in a process with threads: that is what this is about

def child():
    gc.collect()
    try:
        Engine(())
    except EngineUnusable:
        os._exit(7)
    os._exit(0)

def fork():
    process = os.fork()
    if not process:
        signal.setitimer(signal.ITIMER_REAL, 5)
        child()
    statuses.append(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))

statuses = []

async def main():
    async with anyio.create_task_group() as tasks:
        async with make_host() as host:
            await begin(host, tasks)
            for _ in range(3):
                fork()
                await anyio.to_thread.run_sync(fork)
                await anyio.sleep(0.01)
            assert ends == []
    print(statuses, *ends)

run(sys.argv[1], main)
"""


@backends
@pytest.mark.skipif(sys.platform == "win32", reason="nothing forks there")
def test_a_fork_under_two_busy_guests(tmp_path: Path, modules: str, backend: str) -> None:
    """The children have none of the threads and are told so; in the parent the guests go on until the host closes."""
    printed = ran(tmp_path, BUSY_HOST + TWO_BUSY + BUSY_FORK, backend, XDG_CACHE_HOME=modules)
    assert printed == "[7, 7, 7, 7, 7, 7] Unavailable Unavailable\n"


BUSY_LATE = """
async def main():
    faulthandler.disable()
    async with anyio.create_task_group() as tasks:
        async with make_host() as host:
            await begin(host, tasks)
            faulthandler.enable()
            await host.load(BUSY.replace(b'name: "busy"', b'name: "bus3"'), grants="requested")
            for _ in range(3):
                for export in ("far", "trap"):
                    try:
                        await host.call("bus3", export)
                    except Trapped as trapped:
                        print(trapped.code)
    print(*ends)

run(sys.argv[1], main)
"""


@backends
def test_faulthandler_enabled_under_two_busy_guests(tmp_path: Path, modules: str, backend: str) -> None:
    """A third guest's faults are traps all the same."""
    printed = ran(tmp_path, BUSY_HOST + TWO_BUSY + BUSY_LATE, backend, XDG_CACHE_HOME=modules)
    assert printed == "memory_out_of_bounds\nunreachable\n" * 3 + "Unavailable Unavailable\n"


# -- another wasmtime

VERSION = """
import importlib.metadata, sys
importlib.metadata.version = lambda name, version=importlib.metadata.version: (
    sys.argv[1] if name == "wasmtime" else version(name)
)
import desk.host
"""


@pytest.mark.parametrize("version", ["49.0.0", "50.1.0", "51.0.0", "5", "500.0.0"])
def test_another_version_is_refused(tmp_path: Path, version: str) -> None:
    """The engine does not start with a wasmtime that it was not tested with, and says which one to install."""
    end = ended(tmp_path, VERSION, version)
    assert end.status == 1, end
    assert f"EngineUnusable: wasmtime {version} is installed, but the engine is tested with 50.0.x only" in end.err
    assert "pip install 'wasmtime==50.0.*'" in end.err


CHANGED = {
    "layout": (
        "import ctypes\nfrom wasmtime import _ffi\n_ffi.wasmtime_func_t = type('Changed', (ctypes.Structure,), "
        "{'_fields_': [('all', ctypes.c_uint8 * 24)]})",
        "wasmtime's Changed is 24 bytes here, tested with 16",
    ),
    "symbol": (
        "import ctypes, wasmtime\nfind = ctypes.CDLL.__getitem__\ndef changed(self, name):\n"
        "    if name == 'wasmtime_call_future_poll': raise AttributeError(name)\n    return find(self, name)\n"
        "ctypes.CDLL.__getitem__ = changed",
        "wasmtime 50.0.1 has no `wasmtime_call_future_poll` here",
    ),
    "kinds": (
        "from desk.actors.engine import capi\ncapi.VAL_KINDS.update(f32=3, f64=2)",
        "  - an f32, there and back: expected 1.5, got ",
    ),
    "limiter": (
        "from desk.actors.engine import capi\ncapi.store_limiter = lambda *limits: None",
        "  - the limit of the memory: expected 4294967295, got 1",
    ),
    "frames": (
        "from desk.actors.engine import capi\ncapi.frame_function_name = lambda frame: None",
        "  - a trap and its frames: expected ('memory_out_of_bounds', ['far']), got ('memory_out_of_bounds', ['function[",
    ),
}
"""What may be different, and what is said then."""


@pytest.mark.parametrize("what", CHANGED)
def test_a_wasmtime_that_is_different_is_refused(tmp_path: Path, what: str) -> None:
    """A changed layout, a function that is missing or behaves otherwise: `EngineUnusable` names it, before any guest runs."""
    change, said = CHANGED[what]
    opens = "async def main():\n    async with make_host():\n        print('open')\n\nrun('trio', main)\n"
    end = ended(tmp_path, f"{change}\n{BUSY_HOST}\n{opens}")
    assert end.status == 1, end
    assert end.out == "", end
    assert "EngineUnusable: " in end.err, end
    assert said in end.err, end


def test_the_self_test_runs_once(tmp_path: Path) -> None:
    """Opening a second host does not repeat it."""
    text = """
from desk.actors.engine import selftest
calls = []
trial = selftest._Trial.__init__
selftest._Trial.__init__ = lambda self, engine: (calls.append(1), trial(self, engine))[1]
async def main():
    for _ in range(3):
        async with make_host():
            pass
run("trio", main)
print(calls)
"""
    assert ran(tmp_path, BUSY_HOST + text) == "[1]\n"
