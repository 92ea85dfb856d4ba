"""Ten thousand rounds of everything that may go wrong leave nothing behind.

All scenarios of an event loop run in one program. Each has a host of its own, and is: some rounds to warm up, a measurement,
ten thousand rounds, and a measurement again. Open files, live instances and tasks are as many as before. Resident memory and
the memory maps of the process have grown by no more than the interpreter's own allocator may take, a fifth of a kilobyte for
each round; threads by those that event loops keep for a while.

Three do fewer rounds, because each takes milliseconds by its nature: a guest that is killed for its processor time has to
use it up first (one that is killed for its fuel does all ten thousand), a load hops to a thread, reads the module and makes an
instance, and so does a load that is refused.
"""

import json
from pathlib import Path

import pytest
from programs import program

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/maps").exists(), reason="counts files, maps and memory through /proc, as Linux has it"
)

GROWTH = 2 << 20
"""Bytes of resident memory that may come from elsewhere: the allocator's pages, the interpreter's caches."""

MAPS = 16
"""Memory maps of the same kind; one instance takes five."""

THREADS = 4
"""Idle threads that wait for more work; they end after some seconds."""

PROGRAM = """
import asyncio, gc, json, os, sys, threading
import anyio, anyio.lowlevel, trio
from extensions import ECHO, relay
from desk.actors.engine.instance import Instance
from desk.actors.errors import ExtensionError, Killed
from desk.actors.limits import Limits
from desk.bus import codec
from desk.host import Host
from desk.traces.tracing import Tracing

ASKER = relay("asker", 'network: ["api.example.com"], bus: ["publish:news"], call: ["echo/*"]')
LISTENER = relay("listener", more='subscribes: {"news": "on_event"}')
HELLO = codec.encode("hello")
GET = codec.encode({"method": "GET", "url": "https://api.example.com/"})

async def expect(error, call):
    try:
        await call
    except ExtensionError as raised:
        assert type(raised).__name__ == error, raised
    else:
        assert error is None

async def call(host):
    assert await host.call("echo", "echo", bytes(300)) == bytes(300)

async def trap(host):
    await expect("Trapped", host.call("echo", "trap"))

async def fail(host):
    await expect("GuestFailed", host.call("echo", "fail", "no"))
    await expect("BadReply", host.call("echo", "silent"))
    assert await host.publish("news", bytes(200)) == 1
    assert await host.publish("unheard.of", 1) == 0

async def fuel(host):
    try:
        await host.call("echo", "spin")
    except Killed as killed:
        assert killed.limit == "fuel", killed

async def kill(host):
    await expect("Killed", host.call("echo", "spin"))

async def denied(host):
    answer = codec.decode(await host.call("asker", "ask", "cap.network.http", GET))
    assert answer["error"]["code"] == 2

async def publish(host):
    assert await host.call("asker", "tell", "news", HELLO) == 1

async def request(host):
    assert await host.call("asker", "ask", "ext.echo.count", codec.encode([]))

async def cancelled(host):
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            async def leave():
                for _ in range(host.round % 4):
                    await anyio.lowlevel.checkpoint()
                scope.cancel()
            tasks.start_soon(leave)
            await host.call("asker", "ask", "ext.echo.echo", codec.encode([b"x"]))
    with anyio.move_on_after(0):
        await host.call("echo", "count")

async def load(host):
    await host.load(LISTENER, grants="requested")
    await host.publish("news", 1)
    await host.remove("listener")

async def refused(host):
    for wasm in (b"", ECHO[:200]):
        try:
            await host.load(wasm)
        except Exception as error:
            assert type(error).__name__ == "Refused", error

def measure():
    for _ in range(3):
        gc.collect()
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    with open("/proc/self/maps") as file:
        maps = len(file.readlines())
    return {
        "files": len(os.listdir("/proc/self/fd")),
        "maps": maps,
        "threads": threading.active_count(),
        "instances": sum(type(each) is Instance for each in gc.get_objects()),
        "tasks": len(anyio.get_running_tasks()),
        "rss": pages * os.sysconf("SC_PAGE_SIZE"),
    }

async def play(scenario, rounds):
    limits = Limits(cpu_ms=600_000 if scenario is fuel else 1, mailbox=16)
    async with Host(tracing=Tracing.off(), limits=limits, cache_dir=sys.argv[2]) as host:
        if scenario is fuel:
            await host.load(ECHO, profile="deterministic", limits=Limits(fuel=10_000))
        else:
            await host.load(ECHO)
        await host.load(ASKER, grants={"bus": ["publish:news"], "call": ["echo/*"]})
        if scenario is not load:
            await host.load(LISTENER, grants="requested")
        warm = min(1_100, rounds)  # the last thousand dead letters and decisions are kept
        for host.round in range(warm + rounds):
            if host.round == warm:
                before = measure()
            await scenario(host)
        await anyio.sleep(0.05)
        return before, measure()

async def main():
    results = {}
    for name, rounds in json.loads(sys.argv[3]).items():
        results[name] = await play(globals()[name], rounds)
    print(json.dumps(results))

trio.run(main) if sys.argv[1] == "trio" else asyncio.run(main())
"""

PATIENCE = 100.0
"""Seconds until a scenario counts as hanging: ten thousand rounds take a few on an idle machine."""

MANY, SOME, FEW = 10_000, 1_000, 100

ROUNDS = {
    "call": {"trio": MANY, "asyncio": MANY},
    "trap": {"trio": MANY, "asyncio": SOME},
    "fuel": {"trio": SOME, "asyncio": MANY},
    "fail": {"trio": SOME, "asyncio": SOME},
    "denied": {"trio": SOME, "asyncio": MANY},
    "publish": {"trio": SOME, "asyncio": MANY},
    "request": {"trio": MANY, "asyncio": SOME},
    "cancelled": {"trio": SOME, "asyncio": MANY},
    "kill": {"trio": FEW, "asyncio": FEW},
    "load": {"trio": FEW, "asyncio": FEW},
    "refused": {"trio": FEW, "asyncio": FEW},
}
"""What has little to do with the event loop does all its rounds on one of the two, and a tenth of them on the other."""

Measured = dict[str, tuple[dict[str, int], dict[str, int]]]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Measured:
    """What was there before and after all rounds of each scenario, on the event loop that the test asks for."""
    backend, directory = str(request.param), tmp_path_factory.mktemp("leaks")
    rounds = json.dumps({scenario: rounds[backend] for scenario, rounds in ROUNDS.items()})
    with program(directory, PROGRAM, backend, str(directory / "cache"), rounds) as process:
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err[-4000:]
    results: Measured = json.loads(out)
    return results


@pytest.mark.parametrize("measured", ["trio", "asyncio"], indirect=True)
@pytest.mark.parametrize("scenario", ROUNDS)
def test_nothing_is_left(measured: Measured, scenario: str) -> None:
    """As many files, instances and tasks after all rounds as before them, and hardly more maps, threads and memory."""
    before, after = measured[scenario]
    print(f"{scenario}: {before} -> {after}")
    grown = {what: after[what] - before[what] for what in before}
    assert {what: grown[what] for what in ("files", "instances", "tasks")} == {"files": 0, "instances": 0, "tasks": 0}
    assert grown["threads"] <= THREADS
    assert grown["maps"] <= MAPS
    assert grown["rss"] < GROWTH
