"""What an extension listens to follows its grants while it runs: a revoke ends it, a grant begins it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from extensions import relay

from desk.bus import codec
from desk.host import Host
from desk.traces.tracing import Tracing

pytestmark = pytest.mark.anyio

LISTENER = relay("listener", more='subscribes: {"news.*": "on_event", "weather": "on_event"}')
NEWS, WEATHER = {"bus": ["subscribe:news.*"]}, {"bus": ["subscribe:weather"]}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    yield Host(cache_dir=tmp_path / "modules", tracing=Tracing.off())


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
        host.bus.service("ext.listener.on_event").mailbox.on_idle = None  # the event waits for the actor's own task
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
