"""What an extension listens to follows its grants while it runs: a revoke ends it, a grant begins it."""

from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from extensions import relay
from toolbox import extension

from desk.bus import codec
from desk.bus.errors import ConflictingTypes
from desk.bus.responder import Service
from desk.bus.types import InvalidValue
from desk.bus.types.syntax import parse_type_text
from desk.capabilities.audit import AuditRecord
from desk.capabilities.capability import Capability, operation
from desk.host import Host
from desk.traces.tracing import Tracing

pytestmark = pytest.mark.anyio

LISTENER = relay("listener", more='subscribes: {"news.*": "on_event", "weather": "on_event"}')
NEWS, WEATHER = {"bus": ["subscribe:news.*"]}, {"bus": ["subscribe:weather"]}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(cache_dir=tmp_path / "modules", tracing=Tracing.off())


async def handled(host: Host) -> object:
    return await host.call("listener", "handled")


async def test_who_loses_the_right_to_listen_hears_no_more(host: Host) -> None:
    """From the revoke on, nobody takes the event; what was granted beside it is still heard."""
    async with host:
        await host.load(LISTENER, grants="requested")
        assert await host.publish("news.today", 1) == 1
        host.grants.revoke("listener", NEWS)
        assert await host.publish("news.today", 2) == 0
        assert await host.publish("weather", 3) == 1
        assert await handled(host) == 2


async def test_who_gets_the_right_to_listen_hears_from_then_on(host: Host) -> None:
    """Without a new load; the audit says that it was allowed."""
    async with host:
        extension = await host.load(LISTENER)
        assert len(extension.notices) == 2
        assert await host.publish("news.today", 1) == 0
        host.grants.give("listener", NEWS)
        assert (host.audit.records[-1].permission, host.audit.records[-1].allowed) == ("bus subscribe:news.*", True)
        assert await host.publish("news.today", 2) == 1
        assert await handled(host) == 1


async def test_what_waits_when_the_right_is_lost_is_a_dead_letter(host: Host) -> None:
    """An event that was taken before the revoke, and not handled, is told of: it does not reach the extension."""
    async with host:
        await host.load(LISTENER, grants="requested")
        service = host.bus.service("ext.listener.on_event")
        assert isinstance(service, Service)
        service.mailbox.on_idle = None  # the event waits for the actor's own task
        assert await host.publish("news.today", codec.decode(codec.encode([1]))) == 1
        host.grants.revoke("listener", NEWS)
        assert await handled(host) == 0
        (letter,) = host.bus.dead_letters
        assert letter.envelope.subject == "news.today"
        assert "lost the right to listen" in letter.reason


async def test_a_lease_on_listening_ends_it(host: Host) -> None:
    """What is granted for so many uses, and used up, ends like what is revoked."""
    async with host:
        await host.load(LISTENER)
        (grant,) = host.grants.give("listener", WEATHER, seconds=3600)
        assert await host.publish("weather", 1) == 1
        grant.revoke()
        assert await host.publish("weather", 2) == 0


# -- what may not stand in the way of a revoke


TYPED = extension(
    """(name: "typed", api_version: "0.1", exports: {"on_any": (params: [any]), "on_text": (params: [string])},
        subscribes: {"news.*": "on_any", "weather": "on_text"}, publishes: {"record": u32}, permissions: {
        bus: ["publish:record"]})""",
    '(func (export "on_any") (param i32 i32)) (func (export "on_text") (param i32 i32))',
)


async def test_what_cannot_be_read_does_not_keep_the_rest(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    """A pattern whose events it could not read is not listened to, says the log; the others follow their grants."""
    async with host:
        await host.load(TYPED, grants=NEWS)
        host.bus.declare("weather", parse_type_text("u32"), by="app")
        host.grants.give("typed", WEATHER)
        assert "typed does not listen to weather: app declares weather as u32" in caplog.text
        assert await host.publish("weather", 1) == 0
        assert await host.publish("news.today", 1) == 1
        host.grants.revoke("typed", NEWS)
        assert await host.publish("news.today", 2) == 0


async def test_an_audit_that_fails_does_not_keep_what_is_revoked(tmp_path: Path) -> None:
    """What cannot be audited is not begun; what ends, ends; and the host goes on, also when it was a lease that ended."""
    full = False

    def sink(record: AuditRecord) -> None:
        if full:
            raise OSError("the disk is full")

    async with Host(cache_dir=tmp_path / "modules", tracing=Tracing.off(), audit=sink) as host:
        await host.load(TYPED)
        (lease,) = host.grants.give("typed", NEWS, seconds=0.05)
        assert await host.publish("news.today", 1) == 1
        full = True
        host.grants.give("typed", WEATHER)
        with anyio.fail_after(10):
            while lease.ended is None:  # the host notices, with nobody asking
                await anyio.lowlevel.checkpoint()
        assert await host.publish("news.today", 2) == 0
        assert await host.publish("weather", "sun") == 0


async def test_a_right_revoked_while_it_starts_is_gone_when_it_runs(tmp_path: Path) -> None:
    """Between the decision and the first instance lies a start of the guest, which may take long."""
    starting, go_on = anyio.Event(), anyio.Event()

    class Gate(Capability):
        name = "gate"

        @operation(needs=None)
        async def wait(self) -> None:
            starting.set()
            await go_on.wait()

    guest = extension(
        """(name: "slow", api_version: "0.1", exports: {"on_any": (params: [any])}, subscribes: {"news.*": "on_any"})""",
        """(data (i32.const 0) "cap.gate.wait\\f6")
        (func (export "on_any") (param i32 i32))
        (func (export "desk_start") (drop (call $request (i32.const 0) (i32.const 13) (i32.const 13) (i32.const 1))))""",
    )
    async with (
        Host(cache_dir=tmp_path / "modules", tracing=Tracing.off(), capabilities=[Gate()]) as host,
        anyio.create_task_group() as tasks,
    ):

        async def load() -> None:
            await host.load(guest, grants="requested")
            assert await host.publish("news.today", 1) == 0

        tasks.start_soon(load)
        with anyio.fail_after(60):
            await starting.wait()
        host.grants.revoke("slow", NEWS)
        go_on.set()


async def test_types_follow_the_right_to_publish(host: Host) -> None:
    """The type of what it publishes holds for all from the grant on, and binds nobody after the revoke."""
    publish = {"bus": ["publish:record"]}
    async with host:
        await host.load(TYPED)
        await host.publish("record", "anything")
        host.grants.give("typed", publish)
        with pytest.raises(InvalidValue):
            await host.publish("record", "anything")
        host.grants.revoke("typed", publish)
        await host.publish("record", "anything")


async def test_who_listens_no_more_binds_nobody(host: Host) -> None:
    """What an extension could read of a subject counts as long as it listens."""
    async with host:
        await host.load(TYPED, grants=WEATHER)
        with pytest.raises(ConflictingTypes):
            host.bus.declare("weather", parse_type_text("u32"), by="app")
        host.grants.revoke("typed", WEATHER)
        host.bus.declare("weather", parse_type_text("u32"), by="app")


async def test_grants_may_change_after_the_host_was_drained(host: Host) -> None:
    """Nothing more is listened to, and nobody is surprised."""
    async with host:
        await host.load(LISTENER, grants=NEWS)
        await host.drain(1)
        host.grants.give("listener", WEATHER)
        host.grants.revoke("listener", NEWS)
