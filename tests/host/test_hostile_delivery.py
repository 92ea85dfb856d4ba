"""Delivery to and from extensions when somebody misbehaves: handlers that fail, leave or are removed, publishers that are
cancelled, timers that always trap, manifests that contradict each other, and names without end.

Each time the host goes on as if nothing had been, and what was not handled is in the dead letters.
"""

import logging
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from ledger import Ledger
from toolbox import extension

from desk.actors.errors import Refused, Trapped
from desk.actors.limits import Limits
from desk.bus.dead_letters import Cause
from desk.bus.errors import ConflictingTypes, Unavailable
from desk.bus.subscription import Event
from desk.capabilities.provider import Use
from desk.host import Host
from desk.testing.clock import ManualClock
from desk.traces.tracing import Tracing

pytestmark = pytest.mark.anyio

PATIENCE = 60.0
"""Seconds until a test that hangs fails."""


def listener(name: str, more: str = "", subscribes: str = '{"news": "on_event"}') -> bytes:
    """Counts events; traps on `news.trap`-like ones (`on_trap`), fails on others (`on_fail`), and can be kept busy (`wait`)."""
    return extension(
        f"""(name: "{name}", api_version: "0.1", exports: {{
            "on_event": (params: [any]), "on_trap": (params: [any]), "on_fail": (params: [any]), "on_wait": (params: [any]),
            "handled": (params: [], ret: i32), "wait": (params: []), "tick": (),
        }}, subscribes: {subscribes}, permissions: {{filesystem: ["read:/ledger"]}}, {more})""",
        """
        (global $handled (mut i32) (i32.const 0))
        (func $ask (drop (call $request (i32.const 0) (i32.const 10) (i32.const 32) (i32.const 1))))
        (func (export "on_event") (param i32 i32)
          (global.set $handled (i32.add (global.get $handled) (i32.const 1))))
        (func (export "on_trap") (param i32 i32) (unreachable))
        (func (export "on_fail") (param i32 i32) (call $fail (i32.const 3) (i32.const 0) (i32.const 10)))
        (func (export "on_wait") (param i32 i32)
          (call $ask) (global.set $handled (i32.add (global.get $handled) (i32.const 1))))
        (func (export "handled") (result i32) (global.get $handled))
        (func (export "wait") (call $ask))
        (func (export "tick") (call $ask) (unreachable))
        (data (i32.const 0) "cap.ledger") (data (i32.const 32) "\\01")
        """,
    )


class Gate(Ledger):
    """The capability `ledger`, which answers when the gate is open."""

    def __init__(self) -> None:
        super().__init__(turns=0)
        self.gate = anyio.Event()
        self.arrived = anyio.Event()

    async def perform(self, request: object, use: Use) -> object:
        """Wait for the gate."""
        self.arrived.set()
        await self.gate.wait()
        return await super().perform(request, use)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One compile cache for all tests here."""
    return tmp_path_factory.mktemp("modules")


@asynccontextmanager
async def hosting(cache: Path, *modules: bytes, **more: Any) -> AsyncGenerator[Host]:
    """A host with these extensions, which are granted all they ask for, within the time that a test may take."""
    with anyio.fail_after(PATIENCE):
        async with Host(cache_dir=cache, tracing=Tracing.off(), **more) as host:
            for module in modules:
                await host.load(module, grants="requested")
            yield host


async def handled(host: Host, name: str) -> int:
    """How many events it has handled, of all that were in its mailbox."""
    return int(str(await host.call(name, "handled", deadline=None)))


# -- handlers


async def test_a_handler_that_fails_or_traps_ends_nothing(cache: Path) -> None:
    """Its event is a dead letter with the reason, others have it, and it gets the next one."""
    bad = '{"news.trap": "on_trap", "news.fail": "on_fail", "news.good": "on_event"}'
    modules = listener("bad", subscribes=bad), listener("other", subscribes='{"news.*": "on_event"}')
    async with hosting(cache, *modules) as host:
        for subject in ("news.trap", "news.good", "news.fail", "news.good"):
            assert await host.publish(subject, None) == 2
        assert await handled(host, "other") == 4
        assert await handled(host, "bad") == 2
        assert [(letter.receiver, letter.cause) for letter in host.bus.dead_letters] == [("bad", Cause.FAILED)] * 2
        assert "bad.on_trap" in host.bus.dead_letters[0].reason
        assert "cap.ledger" in host.bus.dead_letters[1].reason
        await host.remove("bad")
        with pytest.raises(Unavailable):
            await host.bus.retry(host.bus.dead_letters[0])


async def test_python_that_raises_beside_extensions_ends_nothing(cache: Path) -> None:
    """A subscriber of the app fails on each event; the extensions have all of them, and so has the next of the app's."""
    seen: list[object] = []

    def fail(event: Event) -> None:
        seen.append(event.value)
        raise LookupError("no such thing")

    async with (
        hosting(cache, listener("good")) as host,
        host.subscribe("news") as events,
        host.subscribe("news") as more,
    ):
        for number in range(3):
            assert await host.publish("news", number) == 3
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(events.each, fail)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert seen == [0, 1, 2]
        assert [(await anext(more)).value for _ in range(3)] == [0, 1, 2]
        assert await handled(host, "good") == 3
        assert host.bus.dead_letters.total == 3


async def test_an_extension_that_is_removed_while_it_handles(cache: Path) -> None:
    """The event it handles is handled to the end, those that wait are dead letters, and it gets no more."""
    gate = Gate()
    async with hosting(cache, listener("bad", subscribes='{"news": "on_wait"}'), providers=[gate]) as host:
        for number in range(3):
            assert await host.publish("news", number) == 1
        await gate.arrived.wait()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(host.remove, "bad")
            await anyio.wait_all_tasks_blocked()
            assert await host.publish("news", 3) == 0
            assert [letter.cause for letter in host.bus.dead_letters] == [Cause.STOPPED] * 2
            gate.gate.set()
        assert gate.asked == [1]
        assert host.bus.dead_letters.total == 2
        assert host.bus.statistics().subscriptions == 0


async def test_a_publisher_that_is_cancelled_while_it_waits_for_an_extension(cache: Path) -> None:
    """Its event is not handled later; the others are, and nobody is left in line."""
    gate = Gate()
    slow = listener("slow", subscribes='{"news": "on_wait"}')
    async with hosting(cache, slow, providers=[gate], limits=Limits(mailbox=1)) as host:
        for number in range(2):
            assert await host.publish("news", number) == 1
        with anyio.move_on_after(0.01) as scope:
            await host.publish("news", 2)
        assert scope.cancelled_caught
        assert [(each.delivered, each.queued) for each in host.bus.subscriptions()] == [(2, 1)]
        gate.gate.set()
        assert await handled(host, "slow") == 2
        assert host.bus.dead_letters.total == 0


# -- overflow, as the manifest says


async def test_refused_events_are_dead_letters_that_can_be_retried(cache: Path) -> None:
    """`overflow: refuse` in the manifest: no publisher waits, and a person can send again what there was no room for."""
    gate = Gate()
    picky = listener("picky", subscribes='{"news": (export: "on_event", overflow: refuse)}')
    async with (
        hosting(cache, picky, providers=[gate], limits=Limits(mailbox=2)) as host,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(host.call, "picky", "wait")
        await gate.arrived.wait()
        assert [await host.publish("news", number) for number in range(4)] == [1, 1, 0, 0]
        assert [(letter.receiver, letter.cause) for letter in host.bus.dead_letters] == [("picky", Cause.FULL)] * 2
        gate.gate.set()
        assert await handled(host, "picky") == 2
        for letter in tuple(host.bus.dead_letters):
            await host.bus.retry(letter)
        assert await handled(host, "picky") == 4
        assert len(host.bus.dead_letters) == 0


async def test_dropping_the_oldest_drops_no_request(cache: Path) -> None:
    """`overflow: drop_oldest` in the manifest: events make room for events; who asked gets an answer."""
    gate = Gate()
    latest = listener("latest", subscribes='{"news": (export: "on_event", overflow: drop_oldest)}')
    async with hosting(cache, latest, providers=[gate], limits=Limits(mailbox=4)) as host:
        answers: list[object] = []

        async def ask() -> None:
            answers.append(await host.call("latest", "handled", deadline=None))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(host.call, "latest", "wait")
            await gate.arrived.wait()
            for _ in range(2):
                assert await host.publish("news", 0) == 1
                tasks.start_soon(ask)
                await anyio.wait_all_tasks_blocked()
            assert [await host.publish("news", number) for number in range(20)] == [1] * 20
            for _ in range(2):
                tasks.start_soon(ask)
                await anyio.wait_all_tasks_blocked()
            gate.gate.set()
        assert len(answers) == 4
        assert await handled(host, "latest") == 2
        (listening,) = host.bus.subscriptions()
        assert (listening.delivered, listening.dropped) == (22, 20)
        statistics = host.extensions()[0].statistics
        assert (statistics.handled, statistics.failed, statistics.dropped) == (1 + 2 + 4 + 1, 0, 20)


# -- timers


@asynccontextmanager
async def ticking(cache: Path, *modules: bytes, **more: Any) -> AsyncGenerator[tuple[Host, ManualClock]]:
    """A host whose timers stand until the test moves their clock."""
    clock = ManualClock()
    async with hosting(cache, *modules, clock=clock, **more) as host:
        yield host, clock


async def test_timers_that_always_trap_cost_only_themselves(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each tick is a dead letter that can be retried; the log has a few lines, and other extensions go on."""
    bad = listener("bad", 'timers: {"tick": "every 1s"}')
    gate = Gate()
    gate.gate.set()
    caplog.set_level(logging.WARNING, "desk.actors")
    async with ticking(cache, bad, listener("good"), providers=[gate]) as (host, clock):
        for number in range(20):
            await clock.until_asleep()
            await clock.jump(1)
            assert await host.publish("news", number) == 2
        await clock.until_asleep()
        letters = [letter for letter in host.bus.dead_letters if letter.envelope.subject == "ext.bad.tick"]
        assert len(letters) == 20
        assert await handled(host, "good") == 20
        with pytest.raises(Trapped):
            await host.bus.retry(letters[0])
        lines = [record for record in caplog.records if "of bad.tick failed" in record.getMessage()]
        assert 1 <= len(lines) <= 10


async def tick_and_remove(host: Host, clock: ManualClock, gate: Gate) -> None:
    """Let a tick begin, remove the extension meanwhile, and let the tick's call end."""
    await clock.until_asleep()
    await clock.jump(1)
    await gate.arrived.wait()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(host.remove, "bad")
        await anyio.wait_all_tasks_blocked()
        gate.gate.set()


async def test_an_extension_that_is_removed_while_its_timers_call_runs_and_traps(cache: Path) -> None:
    """The tick fails after its receiver is gone: the timer ends with it, and the host does not."""
    gate = Gate()
    async with ticking(
        cache, listener("bad", 'timers: {"tick": "every 1s"}'), listener("good"), providers=[gate]
    ) as running:
        host, clock = running
        await tick_and_remove(host, clock, gate)
        await anyio.wait_all_tasks_blocked()
        assert await host.publish("news", 1) == 1
        assert await handled(host, "good") == 1
        assert clock.asleep == 0


async def test_an_extension_that_is_removed_while_its_timers_call_runs(cache: Path) -> None:
    """The call goes on to its end, and no tick comes after it."""
    gate = Gate()
    bad = listener("bad", 'timers: {"wait": "every 1s"}')
    async with ticking(cache, bad, listener("good"), providers=[gate]) as (host, clock):
        await tick_and_remove(host, clock, gate)
        await anyio.wait_all_tasks_blocked()
        assert gate.asked == [1]
        assert clock.asleep == 0
        assert host.bus.dead_letters.total == 0
        assert await host.publish("news", 1) == 1


async def test_the_timers_of_an_extension_that_was_loaded_by_a_responder_go_on(cache: Path) -> None:
    """What a Python function starts while it answers outlives the request's deadline."""
    gate = Gate()
    gate.gate.set()
    async with ticking(cache, providers=[gate]) as (host, clock):
        module = listener("clock", 'timers: {"wait": "every 1s"}')

        async def install() -> None:
            await host.load(module, grants="requested")

        host.bus.respond("app.install", install)
        await host.load(module)  # so that it is compiled, and takes no time
        await host.remove("clock")
        await host.bus.request("app.install", deadline=1.0)
        await clock.until_asleep()
        await anyio.sleep(1.0)
        await clock.jump(1)
        await clock.until_asleep()
        assert gate.asked == [1]
        assert host.bus.dead_letters.total == 0


# -- manifests that contradict each other


def publishing(name: str, type_: str) -> bytes:
    """Declares what `weather.now` is, and has an export."""
    return extension(
        f"""(name: "{name}", api_version: "0.1", exports: {{"spin": (), "on_event": (params: [i32])}},
            publishes: {{"weather.now": {type_}}})""",
        '(func (export "spin") (loop (br 0))) (func (export "on_event") (param i32))',
    )


async def test_two_that_say_otherwise_what_a_subject_is(cache: Path) -> None:
    """The second is refused with both names and where they differ, and leaves nothing behind; without the first it loads."""
    async with hosting(cache, publishing("first", "i32")) as host:
        before = host.bus.statistics(), host.bus.declarations()
        for _ in range(2):
            with pytest.raises(ConflictingTypes) as refused:
                await host.load(publishing("second", "string"), grants="requested")
            assert all(word in str(refused.value) for word in ("first", "second", "weather.now", "i32", "string"))
        assert (host.bus.statistics(), host.bus.declarations()) == before
        assert [each.name for each in host.extensions()] == ["first"]
        await host.load(publishing("third", "i32"), grants="requested")
        await host.remove("first")
        with pytest.raises(ConflictingTypes, match="third"):
            await host.load(publishing("second", "string"), grants="requested")
        await host.remove("third")
        assert host.bus.declared("weather.now") is None
        await host.load(publishing("second", "string"), grants="requested")
        assert str(host.bus.declared("weather.now")) == "string"


async def test_one_that_cannot_read_what_it_asks_for_is_refused(cache: Path) -> None:
    """A listener that names a declared subject and takes another type, in either order; both names are said."""
    reader = extension(
        """(name: "reader", api_version: "0.1", exports: {"on_event": (params: [i32])},
            subscribes: {"weather.now": "on_event"})""",
        '(func (export "on_event") (param i32))',
    )
    async with hosting(cache, publishing("station", "string")) as host:
        with pytest.raises(ConflictingTypes, match=r"station .*reader"):
            await host.load(reader, grants="requested")
        await host.remove("station")
        await host.load(reader, grants="requested")
        with pytest.raises(ConflictingTypes, match=r"station .*reader"):
            await host.load(publishing("station", "string"), grants="requested")
        assert host.bus.declared("weather.now") is None


async def test_one_that_may_not_publish_binds_nobody(cache: Path) -> None:
    """Without the grant its declaration counts for nothing: the app publishes as it likes, and others declare as they do."""
    async with hosting(cache) as host:
        await host.load(publishing("stranger", "bool"))
        assert host.bus.declared("weather.now") is None
        assert await host.publish("weather.now", {"celsius": 21}) == 0
        await host.load(publishing("station", "i32"), grants="requested")
        assert str(host.bus.declared("weather.now")) == "i32"


async def test_one_that_fails_to_start_leaves_no_declaration(cache: Path) -> None:
    """It declares before it starts, so that its first event is checked; when it traps on the way, that is undone."""
    broken = extension(
        '(name: "broken", api_version: "0.1", publishes: {"weather.now": i32, "weather.next": string})',
        '(func (export "desk_start") (unreachable))',
    )
    async with hosting(cache) as host:
        for _ in range(2):
            with pytest.raises(Trapped):
                await host.load(broken, grants="requested")
            assert list(host.bus.declarations()) == ["sys.audit"]
            assert (host.bus.statistics().subscriptions, host.bus.statistics().services) == (0, 0)
        await host.load(publishing("other", "string"), grants="requested")


async def test_one_that_takes_the_place_of_another_keeps_its_declarations(cache: Path) -> None:
    """The old one of the same name is still at its last call when the new one is loaded; its end takes nothing along."""
    async with hosting(cache, publishing("station", "i32"), limits=Limits(wall_ms=300)) as host:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(failing, host)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(host.remove, "station")
            await anyio.wait_all_tasks_blocked()
            await host.load(publishing("station", "i32"), grants="requested")
        assert str(host.bus.declared("weather.now")) == "i32"


async def failing(host: Host) -> None:
    """A call that ends with an error."""
    with pytest.raises(Exception, match=r"station\.spin"):
        await host.call("station", "spin")


# -- bombs


@pytest.mark.parametrize(
    ("types", "said"),
    [
        (", ".join(f'"t{n}": tuple(t{n + 1}, t{n + 1})' for n in range(40)) + ', "t40": i32', "4,096"),
        ('"t0": list(t1), "t1": list(t0)', "itself"),
        ('"t0": t0', "itself"),
        (", ".join(f'"t{n}": i32' for n in range(300)), "256"),
        ('"t0": ' + "list(" * 40 + "i32" + ")" * 40, "deep"),
    ],
    ids=["doubling", "circle", "own", "many", "deep"],
)
async def test_a_bomb_of_types_is_refused(cache: Path, types: str, said: str) -> None:
    """Before anything is made of it, with the reason; the host goes on."""
    bomb = extension(
        f'(name: "bomb", api_version: "0.1", types: {{{types}}}, exports: {{"f": (params: [t0])}}, publishes: {{"a": t0}})',
        '(func (export "f") (param i32 i32))',
    )
    async with hosting(cache, listener("good")) as host:
        with pytest.raises(Refused) as refused:
            await host.load(bomb)
        assert said in str(refused.value), str(refused.value)
        assert len(str(refused.value)) < 2_000
        assert list(host.bus.declarations()) == ["sys.audit"]
        assert await handled(host, "good") == 0


async def test_a_bomb_of_patterns_is_only_many_patterns(cache: Path) -> None:
    """As many patterns as a manifest may have, all of which match: one event is one message, handled once by each."""
    words = ["*" if number >> bit & 1 else "a" for number in range(64) for bit in range(6)]
    patterns = [".".join([*words[at : at + 6], *"aaaaaaaaaa"]) for at in range(0, len(words), 6)]
    assert len(set(patterns)) == 64
    many = ", ".join(f'"{pattern}": "on_event"' for pattern in patterns)
    async with hosting(cache, listener("all", subscribes=f"{{{many}}}")) as host:
        assert await host.publish(".".join("a" * 16), None) == 1
        assert await handled(host, "all") == 64
        with pytest.raises(Refused, match="64"):
            await host.load(listener("more", subscribes=f'{{{many}, "b": "on_event"}}'), grants="requested")


MILLION = """
import anyio
from desk.bus.bus import Bus

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

async def main():
    bus = Bus()
    for number in range(1_000_000):
        await bus.publish(f"n.s{number}", None)
        if number == 100_000:
            before = resident()
    print(resident() - before, len(bus.subjects()), bus.statistics().published)

anyio.run(main, backend="asyncio")
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the memory of a process is asked of Linux")
def test_a_million_subjects_cost_no_memory() -> None:
    """What the process holds after a million is what it held after a hundred thousand, within a few megabytes."""
    done = subprocess.run([sys.executable, "-c", MILLION], capture_output=True, text=True, timeout=240, check=True)
    grown, known, published = map(int, done.stdout.split())
    assert published == 1_000_000
    assert known <= 10_000
    assert grown < 8 << 20, f"{grown:,} bytes"
