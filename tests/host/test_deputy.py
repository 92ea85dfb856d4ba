"""Confused deputies, with real guests: what an extension may not do itself, it does not get another to do.

Both are relays, which do what their callers tell them: `front` has the callers, `back` has the network.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from extensions import relay
from loopback import Pages, serving

from desk.bus import codec
from desk.capabilities.codes import Code
from desk.host import Host
from desk.traces.tracing import Tracing

pytestmark = pytest.mark.anyio

PATIENCE = 60.0
"""Seconds until a test that hangs fails."""

CALL = 'call: ["back/*"]'


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One compile cache for all tests here."""
    return tmp_path_factory.mktemp("modules")


@asynccontextmanager
async def hosting(cache: Path) -> AsyncGenerator[tuple[Host, Pages, int]]:
    """A host, and a page on a port of loopback."""
    pages = Pages({"/": b"the page"})
    with anyio.fail_after(PATIENCE):
        async with serving(pages) as port, Host(cache_dir=cache, tracing=Tracing.off()) as host:
            yield host, pages, port


async def fetch(host: Host, port: int, by: str = "front", through: str | None = "back") -> dict[str, Any]:
    """Have `by` fetch the page, or get another to do so; the innermost answer, which is `{ok}` or `{error}`."""
    subject, payload = "cap.network.http", codec.encode({"method": "GET", "url": f"http://127.0.0.1:{port}/"})
    if through is not None:
        subject, payload = f"ext.{through}.ask", codec.encode([subject, payload])
    raw = await host.call(by, "ask", subject, payload)
    assert isinstance(raw, bytes)
    answer: Any = codec.decode(raw)
    if through is not None and "ok" in answer:
        answer = codec.decode(answer["ok"])
    return answer


def network(port: int) -> str:
    """The permission in a manifest."""
    return f'network: ["127.0.0.1:{port}"]'


async def test_an_extension_without_network_does_not_get_another_to_fetch(cache: Path) -> None:
    """Case 72: denied, in the name of the one that lacks it; nothing is sent; and the audit has the whole chain."""
    async with hosting(cache) as (host, pages, port):
        await host.load(relay("front", CALL), grants="requested")
        await host.load(relay("back", network(port)), grants="requested")
        error = (await fetch(host, port))["error"]
        assert error["code"] == Code.DENIED
        assert "back may, but asks on behalf of front, which may not" in error["message"]
        assert pages.asked == []
        record = host.audit.records[-1]
        assert (record.extension, record.chain, record.principals) == ("back", ("front", "back"), ("front", "back"))
        assert (record.allowed, record.missing) == (False, "principal")
        assert (await fetch(host, port, "back", None))["ok"]["body"] == b"the page"


async def test_who_may_itself_may_through_another(cache: Path) -> None:
    """Until it may no longer: its right ends for whoever asks on its behalf."""
    async with hosting(cache) as (host, pages, port):
        await host.load(relay("front", f"{CALL}, {network(port)}"), grants="requested")
        await host.load(relay("back", network(port)), grants="requested")
        assert (await fetch(host, port))["ok"]["body"] == b"the page"
        host.grants.revoke("front", {"network": [f"127.0.0.1:{port}"]})
        assert (await fetch(host, port))["error"]["code"] == Code.DENIED
        assert (await fetch(host, port, "back", None))["ok"]["body"] == b"the page"
        assert len(pages.asked) == 2


async def test_the_deputy_needs_the_right_as_well(cache: Path) -> None:
    """A caller with network does not lend it to one that has none: rights along a chain are met, not added."""
    async with hosting(cache) as (host, pages, port):
        await host.load(relay("front", f"{CALL}, {network(port)}"), grants="requested")
        await host.load(relay("back"), grants="requested")
        error = (await fetch(host, port))["error"]
        assert error["code"] == Code.DENIED
        assert "the manifest does not ask for it" in error["message"]
        assert pages.asked == []


async def test_an_export_as_self_answers_for_it_alone(cache: Path) -> None:
    """The manifest of the one that is asked says so of one export: then it acts with its own rights, for whoever may call it."""
    async with hosting(cache) as (host, pages, port):
        await host.load(relay("front", CALL), grants="requested")
        await host.load(relay("back", network(port), as_self=True), grants="requested")
        assert (await fetch(host, port))["ok"]["body"] == b"the page"
        record = host.audit.records[-1]
        assert (record.chain, record.principals) == (("front", "back"), ("back",))
        host.grants.revoke("front", {"call": ["back/*"]})
        assert (await fetch(host, port))["error"]["code"] == Code.DENIED
        assert len(pages.asked) == 1


async def test_a_chain_of_three_begins_anew_at_the_one_that_says_so(cache: Path) -> None:
    """What comes after it acts on its behalf, not on behalf of those before it."""
    async with hosting(cache) as (host, pages, port):
        await host.load(relay("front", 'call: ["middle/*"]'), grants="requested")
        await host.load(relay("middle", f"{CALL}, {network(port)}", as_self=True), grants="requested")
        await host.load(relay("back", network(port)), grants="requested")
        inner = codec.encode(["cap.network.http", codec.encode({"method": "GET", "url": f"http://127.0.0.1:{port}/"})])
        payload = codec.encode(["ext.back.ask", inner])
        answers: list[Any] = [codec.decode(_bytes(await host.call("front", "ask", "ext.middle.ask", payload)))]
        for _ in range(2):
            answers.append(codec.decode(answers[-1]["ok"]))
        assert answers[-1]["ok"]["body"] == b"the page"
        assert host.audit.records[-1].principals == ("middle", "back")
        host.grants.revoke("middle", {"network": [f"127.0.0.1:{port}"]})
        answer: Any = codec.decode(_bytes(await host.call("front", "ask", "ext.middle.ask", payload)))
        last: Any = codec.decode(codec.decode(answer["ok"])["ok"])  # pyright: ignore[reportIndexIssue, reportArgumentType]
        assert "on behalf of middle" in last["error"]["message"]
        assert len(pages.asked) == 1


def _bytes(answer: object) -> bytes:
    assert isinstance(answer, bytes)
    return answer
