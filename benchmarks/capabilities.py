"""What mediation costs: a decision alone, and the whole way of a guest's request, from `host.call` to the answer in its hands.

    decide                 a request held against 25 grants: an equal one was made before, or none was
    nothing                a capability that does nothing: what all of them cost at least
    state.get              64 bytes from the extension's own store
    filesystem.read        4 KiB from a file below a granted directory
    network.http           a GET over loopback, beside the same client used directly: no guest, no decision. A connection for each

The guest's own work is the same in all of them, and small: it copies the answer back to its caller.
"""

import itertools
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import anyio.abc
import httpcore
from anyio.from_thread import BlockingPortal, start_blocking_portal

from benchmarks.echo import manifest
from benchmarks.measure import Entry, WrongAnswer, interleave
from benchmarks.plan import Finding, Setup
from desk.bus import codec
from desk.bus.envelope import APP
from desk.capabilities.capability import Capability, operation
from desk.capabilities.grants import Grants
from desk.capabilities.network_atoms import NetworkAtom
from desk.capabilities.permissions import PermissionSet
from desk.capabilities.provider import Member, Use
from desk.capabilities.providers.connection import Connections
from desk.capabilities.providers.destinations import Destinations
from desk.capabilities.providers.http import HttpProvider
from desk.host import Host
from desk.traces.tracing import Tracing

GRANTS = 25
NAME = "asker"
PAGE = bytes(range(256)) * 4
"""1 KiB: the body of the answer."""
BLOCK = bytes(range(256)) * 16
VALUE = bytes(64)

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"


def run(setup: Setup) -> Iterator[Finding]:
    """All of it, on one event loop."""
    with (
        TemporaryDirectory() as scratch,
        start_blocking_portal(setup.backend) as portal,
        portal.wrap_async_context_manager(_world(setup, Path(scratch))) as asks,
    ):
        calls = max(1, setup.plan.calls // 4)
        entries = {
            "decide, 25 grants, remembered": Entry(remembered(), setup.plan.calls * 10),
            "decide, 25 grants, for the first time": Entry(undecided(), setup.plan.calls),
            **{name: Entry(_batch(portal, ask), calls) for name, ask in asks.items()},
        }
        for name, figure in interleave(entries, max(1, setup.plan.rounds // 2)).items():
            yield Finding(name, figure)


def _grants() -> Grants:
    """25 grants, each for a host of its own."""
    hosts = [f"connect:api{number}.example.com:443" for number in range(GRANTS)]
    permissions = PermissionSet.parse({"network": hosts})
    return Grants(permissions, permissions)


def remembered() -> Callable[[int], int]:
    """An equal request again: the last of the grants covers it."""
    grants = _grants()
    first, atom = (NetworkAtom.connect(f"api{GRANTS - 1}.example.com", 443) for _ in range(2))

    def batch(count: int) -> int:
        if not grants.decide(first).allowed:
            raise WrongAnswer(f"{first} was denied")
        began = time.perf_counter_ns()
        for _ in range(count):
            grants.decide(atom)
        return time.perf_counter_ns() - began

    return batch


def undecided() -> Callable[[int], int]:
    """Requests that were never made before, each covered by the last of the grants: one host, and ever other ports."""
    permissions = PermissionSet.parse(
        {"network": [*(f"connect:api{number}.example.com:443" for number in range(GRANTS - 1)), "api.example.com:*"]}
    )
    ports = itertools.cycle(range(1, 65_536))

    def batch(count: int) -> int:
        grants = Grants(permissions, permissions)
        atoms = [NetworkAtom.connect("api.example.com", next(ports)) for _ in range(count)]
        began = time.perf_counter_ns()
        decisions = [grants.decide(atom) for atom in atoms]
        taken = time.perf_counter_ns() - began
        if not all(decision.allowed for decision in decisions):
            raise WrongAnswer("a request was denied")
        return taken

    return batch


class _Bench(Capability):
    name = "bench"

    @operation(needs=None)
    def nothing(self) -> None:
        """Does it."""


Ask = Callable[[], Coroutine[Any, Any, None]]


@asynccontextmanager
async def _world(setup: Setup, scratch: Path) -> AsyncGenerator[dict[str, Ask]]:
    """A host with one guest, a file and a page for it to ask for; what can be asked, by its row."""
    (scratch / "files").mkdir()
    (scratch / "files" / "block").write_bytes(BLOCK)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, _serve)
        port: int = listener.extra(anyio.abc.SocketAttribute.local_port)
        permissions = f'filesystem: ["read:{scratch}/files"], network: ["connect:127.0.0.1:{port}"]'
        async with Host(
            tracing=Tracing.off(), data_dir=scratch / "data", cache_dir=setup.cache, capabilities=[_Bench()]
        ) as host:
            await host.load(setup.wasm, manifest=manifest(NAME, "", permissions), grants="requested")
            await host.call(NAME, "ask", "cap.state.put", codec.encode({"key": "here", "value": VALUE}))
            url = f"http://127.0.0.1:{port}/"
            yield {
                "nothing": _asking(host, "bench.nothing", {}, None),
                "state.get": _asking(host, "state.get", {"key": "here"}, VALUE),
                "filesystem.read, 4 KiB": _asking(
                    host, "filesystem.read", {"path": f"{scratch}/files/block"}, BLOCK, "data"
                ),
                "network.http": _asking(host, "network.http", {"method": "GET", "url": url}, PAGE, "body"),
                "the same client": _fetching(url),
                "httpcore": lambda: _get(url),
            }
        tasks.cancel_scope.cancel()


def _asking(host: Host, capability: str, request: dict[str, object], expected: bytes | None, field: str = "") -> Ask:
    payload = codec.encode(request)

    async def ask() -> None:
        answer: Any = await host.call(NAME, "ask", f"cap.{capability}", payload)
        found = answer.get("ok", answer)
        if (found.get(field) if field else found) != expected:
            raise WrongAnswer(f"{capability} answered {answer!r:.200}")

    return ask


def _fetching(url: str) -> Ask:
    """The client that guests use, from Python."""
    client, use = HttpProvider(Connections(Destinations())), Use(Member(NAME, _grants()), APP)

    async def fetch() -> None:
        if (await client.perform({"method": "GET", "url": url}, use))["body"] != PAGE:
            raise WrongAnswer("our own client gave another page")

    return fetch


async def _get(url: str) -> None:
    connection = httpcore.AsyncHTTPConnection(httpcore.URL(url).origin)
    try:
        answer = await connection.request("GET", url)
    finally:
        await connection.aclose()
    if answer.content != PAGE:
        raise WrongAnswer("httpcore gave another page")


async def _serve(stream: anyio.abc.ByteStream) -> None:
    """One page, whatever is asked for."""
    async with stream:
        asked = b""
        while not asked.endswith(b"\r\n\r\n"):
            asked += await stream.receive()
        await stream.send(_HEAD % len(PAGE) + PAGE)


def _batch(portal: BlockingPortal, ask: Ask) -> Callable[[int], int]:
    return lambda count: portal.call(_timed, ask, count)


async def _timed(ask: Ask, count: int) -> int:
    began = time.perf_counter_ns()
    for _ in range(count):
        await ask()
    return time.perf_counter_ns() - began
