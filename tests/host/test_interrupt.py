"""The process that embeds a host: Ctrl-C, ends without closing, other signal handlers, threads, and hundreds of crashes.

Each test runs a program of its own, because what is asked is how a *process* ends: by the exception a person expects, never
by an abort or a segmentation fault. The programs are written here, behind the lines of `programs.BUSY_HOST`.
"""

import json
import signal
import subprocess
import time
from contextlib import AbstractContextManager
from pathlib import Path

import programs
import pytest
from programs import BUSY_HOST, PATIENCE, finish


def program(
    tmp_path: Path, text: str, *arguments: str, **environment: str
) -> AbstractContextManager[subprocess.Popen[str]]:
    """The program, with the busy extension and what makes hosts before it."""
    return programs.program(tmp_path, BUSY_HOST + text, *arguments, **environment)


def ran(tmp_path: Path, text: str, *arguments: str, **environment: str) -> str:
    """What such a program printed; it must end with status 0."""
    return programs.ran(tmp_path, BUSY_HOST + text, *arguments, **environment)


backends = pytest.mark.parametrize("backend", ["trio", "asyncio"])

# -- Ctrl-C

BUSY_PROGRAM = """
async def main(export):
    async with make_host() as host:
        await host.load(BUSY, grants="requested")
        threading.Timer(float(sys.argv[3]), print, ("busy",), {"flush": True}).start()
        while True:
            await host.call("busy", export, deadline=None)

run(sys.argv[1], main, sys.argv[2])
"""


@backends
@pytest.mark.parametrize(("export", "times"), [("spin", 1), ("chat", 2), ("tell", 2), ("short", 1)])
def test_ctrl_c_ends_a_busy_program(tmp_path: Path, backend: str, export: str, times: int) -> None:
    """Whatever the guest does without end, one Ctrl-C ends the process, by `KeyboardInterrupt` and nothing else."""
    for delay in ("0.1", "0.1013")[:times]:
        with program(tmp_path, BUSY_PROGRAM, backend, export, delay) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "busy\n", finish(process)
            sent = time.monotonic()
            process.send_signal(signal.SIGINT)
            _, err = finish(process)
            print(f"{backend} {export}: ended {time.monotonic() - sent:.3f} s after Ctrl-C")
        assert process.returncode == -signal.SIGINT, f"status {process.returncode}\n{err[-4000:]}"
        assert err.rstrip().endswith("KeyboardInterrupt"), err[-4000:]
        assert "Exception ignored" not in err


OWN_LOOP = """
async def main(export):
    async with make_host() as host:
        await host.load(BUSY, grants="requested")
        threading.Timer(0.1, print, ("busy",), {"flush": True}).start()
        await host.call("busy", export, deadline=None)

try:
    asyncio.new_event_loop().run_until_complete(main(sys.argv[1]))
except BaseException:
    os._exit(7)  # the loop is anybody's guess now, and not ours
"""


@pytest.mark.parametrize("export", ["spin", "chat", "tell"])
def test_ctrl_c_on_a_loop_of_one_s_own(tmp_path: Path, export: str) -> None:
    """Where nobody took SIGINT over, as in a notebook, Python raises anywhere: the app hears of it, and nothing aborts."""
    for _ in range(3):
        with program(tmp_path, OWN_LOOP, export) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "busy\n", finish(process)
            for _ in range(int(PATIENCE)):  # asyncio itself may lose one, so press again, as a person would
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(1.0)
                    break
                except subprocess.TimeoutExpired:
                    continue
            _, err = finish(process)
        assert process.returncode == 7, f"status {process.returncode}\n{err[-4000:]}"
        assert "ctypes callback" not in err


INTERRUPTED_PLACE = """
from desk.actors.engine import capi

place = sys.argv[2]
original = getattr(capi, place)
armed = False

def interrupted(*args):
    global armed
    result = original(*args)
    if armed:
        armed = False
        signal.raise_signal(signal.SIGINT)
    return result

setattr(capi, place, interrupted)

async def main():
    global armed
    async with make_host() as host:
        await host.load(BUSY, grants="requested")
        await host.call("busy", "short")
        armed = True
        for _ in range(3):
            await host.call("busy", "short")
            try:
                await host.call("busy", "trap")
            except Trapped:
                pass
    print("not interrupted")  # then `place` names nothing that a call uses

run(sys.argv[1], main)
"""


@pytest.mark.parametrize("place", ["call_async", "future_poll", "future_free", "store_delete", "store_new"])
def test_ctrl_c_right_after_a_call_into_wasmtime(tmp_path: Path, place: str) -> None:
    """Wherever the signal arrives, nothing of wasmtime's is freed twice: the process ends by it, cleanly.

    On trio, whose handler may raise at any bytecode; asyncio's runner cancels the main task instead.
    """
    with program(tmp_path, INTERRUPTED_PLACE, "trio", place) as process:
        out, err = finish(process)
    assert process.returncode == -signal.SIGINT, f"status {process.returncode}\n{out}\n{err[-4000:]}"
    assert err.rstrip().endswith("KeyboardInterrupt"), err[-4000:]


# -- ends without closing

LEFT_OPEN = """
kept = []

async def main():
    host = await make_host().__aenter__()
    kept.append(host)
    await host.load(BUSY, grants="requested")
    threading.Timer(0.2, lambda: (print("busy", flush=True), os.kill(os.getpid(), signal.SIGINT))).start()
    await host.call("busy", sys.argv[1], deadline=None)

try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted")
if sys.argv[2] == "collect":
    kept.clear()
    gc.collect()
    time.sleep(0.1)
    gc.collect()
print("end")
"""


@pytest.mark.parametrize("export", ["spin", "tell"])
@pytest.mark.parametrize("end", ["collect", "exit"])
def test_a_host_left_open_does_not_crash_the_interpreter(tmp_path: Path, export: str, end: str) -> None:
    """asyncio is interrupted while a guest runs and nobody closes the host: the program goes on, and ends as it wants."""
    out = ran(tmp_path, LEFT_OPEN, export, end, MALLOC_PERTURB_="165")
    assert out == "busy\ninterrupted\nend\n"


ENGINE_FORGOTTEN = """
from desk.actors.engine.engine import Engine
from desk.actors.engine.instance import Instance
from desk.actors.guest import Guest
from desk.host.host import FUNCTIONS

def use_and_forget():
    engine = Engine(FUNCTIONS)
    instance = Instance(engine, engine.compile("busy", BUSY), Limits())
    instance.guest = Guest(Limits())
    while not instance.poll():
        pass
    instance.start(instance.export("spin", (), None), ())
    for _ in range(5):
        assert not instance.poll()

for _ in range(20):
    use_and_forget()
    gc.collect()
time.sleep(0.1)
print("end")
"""


def test_an_engine_that_nobody_closed_is_not_used_after_it_is_gone(tmp_path: Path) -> None:
    """The ticker thread of a forgotten engine, mid-call or not, never touches freed memory."""
    assert ran(tmp_path, ENGINE_FORGOTTEN, MALLOC_PERTURB_="165", MALLOC_CHECK_="3") == "end\n"


EXIT_WHILE_RUNNING = """
def work(backend):
    async def main():
        async with make_host() as host:
            await host.load(BUSY, grants="requested")
            started.set()
            await host.call("busy", "spin", deadline=None)
    run(backend, main)

started = threading.Event()
threading.Thread(target=work, args=(sys.argv[1],), daemon=True).start()
started.wait()
time.sleep(0.1)
print("end")
"""


@backends
def test_a_program_may_end_while_a_daemon_thread_runs_a_guest(tmp_path: Path, backend: str) -> None:
    """The interpreter shuts down under a running guest, without an abort."""
    assert ran(tmp_path, EXIT_WHILE_RUNNING, backend) == "end\n"


# -- other owners of signals

FAULTHANDLER_LATER = """
async def main():
    async with make_host() as host:
        await host.load(BUSY)
        assert await host.call("busy", "count") == 1
    faulthandler.disable()
    faulthandler.enable()
    async with make_host() as host:
        await host.load(BUSY)
        for _ in range(3):
            try:
                await host.call("busy", "far")
            except Trapped as trapped:
                print(trapped.code)
        print(await host.call("busy", "count"))

run(sys.argv[1], main)
"""


@backends
def test_faulthandler_enabled_later_does_not_make_a_guest_s_fault_ours(tmp_path: Path, backend: str) -> None:
    """Whoever owns SIGSEGV: an access outside memory is the guest's trap, and the process goes on."""
    assert ran(tmp_path, FAULTHANDLER_LATER, backend) == "memory_out_of_bounds\n" * 3 + "1\n"


# -- threads

THREADS = """
failures = []

def work(backend, name):
    async def main():
        async with make_host() as host:
            await host.load(BUSY, grants="requested")
            for turn in range(1, 151):
                assert await host.call("busy", "count") == (turn - 1) % 10 + 1
                if turn % 10 == 0:
                    try:
                        await host.call("busy", "trap" if turn % 20 else "far")
                    except Trapped:
                        pass
                    gc.collect()
        async with Host(cache=False, tracing=Tracing.off(), limits=Limits(wall_ms=50)) as host:
            await host.load(BUSY, grants="requested")
            for export in ("spin", "chat", "tell"):
                try:
                    await host.call("busy", export)
                except Killed:
                    pass
    try:
        run(backend, main)
    except BaseException as error:
        failures.append((name, repr(error)))

threads = [threading.Thread(target=work, args=(backend, n)) for n, backend in enumerate(sys.argv[1:])]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(failures)
"""


@pytest.mark.parametrize("pair", [("trio", "trio"), ("asyncio", "asyncio"), ("trio", "asyncio")])
def test_each_thread_may_have_a_host(tmp_path: Path, pair: tuple[str, str]) -> None:
    """Two hosts in two threads, each on its own loop, count, crash and are killed without noticing each other."""
    assert ran(tmp_path, THREADS, *pair) == "[]\n"


GARBAGE_IN_CALLBACKS = """
from desk.actors.engine.engine import Engine
from desk.actors.engine.hostcalls import HostFunction
from desk.actors.engine.instance import Instance
from desk.actors.guest import Guest
from desk.host.host import FUNCTIONS

collected = 0

def lose(export):
    lost = Instance(engine, program, Limits())
    lost.guest = Guest(Limits())
    while not lost.poll():
        pass
    lost.guest.ready = True
    lost.guest.memory = lost.memory()
    lost.start(lost.export(export, (), None), ())
    lost.poll()
    garbage = [lost]
    garbage.append(garbage)

def drop(guest, handle):
    global collected
    collected += gc.collect() > 0

functions = tuple(
    HostFunction(f.module, f.name, f.params, f.result, drop, f.suspends) if f.name == "drop" else f for f in FUNCTIONS
)
engine = Engine(functions)
program = engine.compile("busy", BUSY)
gc.disable()
for _ in range(10):
    for export in ("spin", "tell", "short"):
        lose(export)
    caller = Instance(engine, program, Limits())
    caller.guest = Guest(Limits())
    while not caller.poll():
        pass
    caller.start(caller.export("chat", (), None), ())
    for _ in range(5):
        caller.poll()
    caller.kill()
engine.close()
print(collected >= 10)
"""


def test_the_collector_may_run_inside_a_host_function(tmp_path: Path) -> None:
    """Lost instances, idle, mid-slice and suspended, may be freed while another guest's fiber is running."""
    assert ran(tmp_path, GARBAGE_IN_CALLBACKS) == "True\n"


# -- crash after crash

MANY = """
def measure():
    gc.collect()
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    return {
        "fds": len(os.listdir("/proc/self/fd")),
        "rss": pages * os.sysconf("SC_PAGE_SIZE"),
        "threads": threading.active_count(),
    }

async def crash(host):
    await host.load(BUSY, grants="requested")
    assert await host.call("busy", "count") == 1
    for export in ("trap", "far"):
        try:
            await host.call("busy", export)
        except Trapped:
            pass
    assert await host.call("busy", "count") == 1
    await host.remove("busy")

async def main():
    async with make_host() as host:
        for turn in range(int(sys.argv[2]) + 50):
            if turn == 50:
                before = measure()
            await crash(host)
        after = measure()
    print(json.dumps([before, after]))

async def hosts():
    for turn in range(int(sys.argv[2]) + 10):
        if turn == 10:
            before = measure()
        async with make_host() as host:
            await crash(host)
    print(json.dumps([before, measure()]))

run(sys.argv[1], main if sys.argv[3] == "extensions" else hosts)
"""


@backends
@pytest.mark.parametrize(("what", "times"), [("extensions", 300), ("hosts", 60)])
@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="counts memory and files through /proc, as Linux has it"
)
def test_hundreds_of_crashes_leave_nothing_behind(tmp_path: Path, backend: str, what: str, times: int) -> None:
    """Load, trap, recreate, remove, again and again: as many files and threads as before, and hardly more memory."""
    before, after = json.loads(ran(tmp_path, MANY, backend, str(times), what))
    print(f"{backend}, {times} {what}: {before} -> {after}")
    assert after["fds"] == before["fds"]
    assert after["threads"] == before["threads"]
    assert after["rss"] - before["rss"] < 48 << 20
