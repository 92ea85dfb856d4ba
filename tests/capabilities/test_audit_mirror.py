"""The audit on the bus: decisions are events `sys.audit` for who listens, and nobody else notices."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from extensions import relay
from toolbox import extension

from desk.bus.bus import Bus
from desk.bus.envelope import MAX_HOPS
from desk.bus.mailbox import Overflow
from desk.bus.subscription import Subscription
from desk.capabilities.audit import AuditRecord
from desk.capabilities.audit_lines import read_audit
from desk.capabilities.audit_mirror import DEPTH, QUEUED, SUBJECT, AuditMirror
from desk.capabilities.audit_rates import AuditRates
from desk.capabilities.codes import Code
from desk.host import Host

pytestmark = pytest.mark.anyio

HANG_GUARD = 30.0
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def decided(number: int = 0, extension: str = "widget", hops: int = 1, *, allowed: bool = True) -> AuditRecord:
    """A decision that can be told from others."""
    return AuditRecord(
        float(number), extension, ("app", extension), f"bus publish:a{number}", allowed, "why", TRACE, hops=hops
    )


@asynccontextmanager
async def mirroring(mirror: AuditMirror) -> AsyncIterator[None]:
    """It runs."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(mirror.run)
        with anyio.fail_after(HANG_GUARD):
            yield
        tasks.cancel_scope.cancel()


async def next_of(events: Subscription) -> object:
    """The value of the next event."""
    async for event in events:
        return event.value
    raise AssertionError("the subscription has ended")


async def test_a_decision_is_an_event() -> None:
    """With what a watcher wants to know; it belongs to the trace of the decision, and comes from the host."""
    bus = Bus()
    mirror = AuditMirror(bus)
    async with mirroring(mirror), bus.subscribe("sys.*") as events:
        mirror(decided(7))
        async for event in events:
            assert (event.subject, event.sender, event.traceparent) == (SUBJECT, "", TRACE)
            assert event.value == {
                "time": 7.0,
                "extension": "widget",
                "chain": ["app", "widget"],
                "permission": "bus publish:a7",
                "allowed": True,
                "reason": "why",
                "trace": TRACE,
                "dropped": 0,
            }
            break
        mirror(decided(8)._replace(traceparent=None))
        assert await next_of(events) is not None


async def test_nothing_is_made_while_nobody_listens() -> None:
    """Decisions of that time are not mirrored later, and are not counted as dropped."""
    bus = Bus()
    mirror = AuditMirror(bus)
    async with mirroring(mirror):
        mirror(decided(1))
        assert repr(mirror) == "<AuditMirror: 0 waiting, 0 dropped>"
        async with bus.subscribe("**") as events:
            mirror(decided(2))
            value = await next_of(events)
        mirror(decided(3))
    assert isinstance(value, dict)
    assert value["time"] == 2.0
    assert bus.statistics().published == 1


async def test_a_listener_that_is_slow_delays_no_decision() -> None:
    """Decisions never wait; what there is no room for is counted, and the next event that is taken says so."""
    bus = Bus()
    mirror = AuditMirror(bus, AuditRates(1e6, 1_000_000))
    async with mirroring(mirror), bus.subscribe(SUBJECT, capacity=1, overflow=Overflow.WAIT) as events:
        for number in range(QUEUED + 10):
            mirror(decided(number))
        assert repr(mirror) == f"<AuditMirror: {QUEUED:,} waiting, 10 dropped>"
        assert [await next_of(events) for _ in range(QUEUED)]
        mirror(decided(-1)._replace(time=1e6))
        value = await next_of(events)
        assert isinstance(value, dict)
        assert (value["time"], value["dropped"]) == (1e6, 10)


async def test_a_flood_of_one_extension_leaves_room_for_others() -> None:
    """Each has a rate of its own, and denials another than what is allowed."""
    bus = Bus()
    mirror = AuditMirror(bus, AuditRates(1e-6, 5))
    async with mirroring(mirror), bus.subscribe(SUBJECT) as events:
        for number in range(1_000):
            mirror(decided(number))
        mirror(decided(1_000, allowed=False))
        mirror(decided(1_001, "other"))
        values = [await next_of(events) for _ in range(7)]
    assert [(each["time"], each["dropped"]) for each in values if isinstance(each, dict)] == [
        *((float(number), 0) for number in range(5)),
        (1_000.0, 995),
        (1_001.0, 0),
    ]
    assert mirror.dropped == 995


async def test_what_the_mirror_itself_has_caused_is_not_mirrored() -> None:
    """Whatever is decided while such an event is handled comes from more than `DEPTH` messages."""
    bus = Bus()
    mirror = AuditMirror(bus)
    async with mirroring(mirror), bus.subscribe(SUBJECT) as events:
        mirror(decided(hops=DEPTH))
        async for event in events:
            assert event.onward.hops == DEPTH + 1 <= MAX_HOPS
            mirror(decided(hops=event.onward.hops))
            break
        mirror(decided(9))
        value = await next_of(events)
    assert isinstance(value, dict)
    assert value["time"] == 9.0


async def test_the_mirror_ends_with_the_bus() -> None:
    """Its task is over when nothing can be published any more; decisions may go on."""
    bus = Bus()
    mirror = AuditMirror(bus)
    with anyio.fail_after(HANG_GUARD):
        async with anyio.create_task_group() as tasks:
            bus.subscribe(SUBJECT)
            tasks.start_soon(mirror.run)
            await bus.drain()
            mirror(decided())
    mirror(decided())


NOSY = extension(
    """(name: "nosy", api_version: "0.1",
        exports: {"on_event": (params: [any]), "handled": (params: [], ret: i32)},
        subscribes: {"sys.audit": "on_event"}, publishes: {"noted": any})""",
    """
    (global $handled (mut i32) (i32.const 0))
    (func (export "on_event") (param i32 i32)
      (global.set $handled (i32.add (global.get $handled) (i32.const 1)))
      (drop (call $publish (i32.const 0) (i32.const 5) (i32.const 64) (i32.const 1)))
      (drop (call $publish (i32.const 0) (i32.const 5) (i32.const 64) (i32.const 1))))
    (func (export "handled") (result i32) (global.get $handled))
    (data (i32.const 0) "noted") (data (i32.const 64) "\\f6")
    """,
)
"""For each decision that it hears of, it does two things that are decided."""


async def test_an_extension_that_listens_to_the_audit_starts_no_loop(tmp_path: Path) -> None:
    """It hears of what others do, and not of what it does about it; the audit has both."""
    async with Host(cache_dir=tmp_path) as host:
        await host.load(NOSY, grants="requested")
        await host.load(relay("other", 'bus: ["publish:a"]'), grants="requested")
        before = len(host.audit.records)
        with anyio.fail_after(HANG_GUARD):
            async with host.subscribe("noted") as noted:
                for _ in range(3):
                    assert await host.call("other", "tell", "a", b"\xf6") == 0
                    assert [await next_of(noted) for _ in range(2)] == [None, None]
        await anyio.sleep(0.1)
        assert await host.call("nosy", "handled") == 3
        made = [(each.extension, each.permission) for each in list(host.audit.records)[before:]]
        assert sorted(made) == [("nosy", "bus publish:noted")] * 6 + [("other", "bus publish:a")] * 3


async def test_a_host_writes_its_audit_into_a_file(tmp_path: Path) -> None:
    """Every decision is a line when the host is closed, and the file says what the host's own records say."""
    path = tmp_path / "audit.jsonl"
    async with Host(cache_dir=tmp_path / "cache", audit=path) as host:
        await host.load(relay("other", 'bus: ["publish:a"]'), grants="requested")
        assert await host.call("other", "tell", "a", b"\xf6") == 0
        assert await host.call("other", "tell", "b", b"\xf6") == -Code.DENIED
        records = list(host.audit.records)
    assert list(read_audit(path)) == records
    assert [(each.permission, each.outcome, each.by, each.missing) for each in records] == [
        ("bus publish:a", "allowed", "bus publish:a (session, by operator)", None),
        ("bus publish:b", "DENIED", "", "request"),
    ]
