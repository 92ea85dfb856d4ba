"""Attacks on `network`: cases 76 to 83 of the security notes, each against real sockets, with what the audit says of them."""

import socket
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import pytest
from loopback import SINK, closed_port, listening
from members import Asking, asking
from name_server import name_server

from desk.capabilities.addresses import IPAddress
from desk.capabilities.codes import CapabilityError, Code
from desk.capabilities.provider import Member
from desk.capabilities.providers.network import Network

pytestmark = pytest.mark.anyio


@dataclass
class Secret:
    """What is on this machine, and must not be reached: it remembers who has connected."""

    reached: list[bytes] = field(default_factory=list[bytes])
    answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret"

    async def __call__(self, stream: anyio.abc.ByteStream) -> None:
        self.reached.append(await stream.receive())
        await stream.send(self.answer)


def guest(network: Network, *permissions: str) -> tuple[Asking, Member]:
    world = asking(network)
    return world, world.member("widget", {"network": permissions})


async def refused(asked: Awaitable[object], *codes: Code) -> str:
    with pytest.raises(CapabilityError) as caught:
        await asked
    assert caught.value.guest_code in codes, caught.value
    assert str(caught.value).isascii()
    return str(caught.value)


WAYS = ("http", "fetch", "begin", "connect", "send_to")
"""All requests in which a guest names a host and port."""


async def ask(world: Asking, me: Member, way: str, host: str, port: int) -> Any:
    """One of them."""
    url = f"http://{host}:{port}/"
    match way:
        case "connect":
            return await world.ask(me, "network.connect", host=host, port=port)
        case "send_to":
            handle = await world.ask(me, "network.open_datagrams")
            try:
                return await world.ask(me, "network.send_to", socket=handle, host=host, port=port, data=b"hello")
            finally:
                me.resources.close(handle)
        case _:
            method = "POST" if way == "begin" else "GET"
            return await world.ask(me, f"network.{way}", method=method, url=url)


async def no_dns(name: str) -> Sequence[IPAddress]:
    raise AssertionError(f"nobody should look up {name}")


@pytest.mark.parametrize(
    "host",
    [
        *("2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0x7f.1", "0", "0127.0.0.1", "127.0.0.1."),
        *("127。0。0。1", "１２７.0.0.1", "①②⑦.0.0.1", "local\u00adhost", "ⓛocalhost", "127.0.0.1\x00.example.com"),
        *("::ffff:127.0.0.1", "[::ffff:7f00:1]", "0.0.0.0", "[::]", "fe80::1%lo", "localhost\u3002", "a@127.0.0.1"),
    ],
)
async def test_case_76_other_spellings_of_loopback(host: str) -> None:
    """What the C library would take for this machine is no host: nothing is decided, looked up or connected to."""
    secret = Secret()
    world, me = guest(Network(resolver=no_dns), "*:*", "udp:*:*", "0.0.0.0/0:*", "udp:0.0.0.0/0:*", "[::/0]:*")
    async with listening(secret) as port:
        for way in WAYS:
            await refused(ask(world, me, way, host, port), Code.INVALID)
        await refused(world.ask(me, "network.resolve", name=host), Code.INVALID)
    assert secret.reached == []
    assert list(world.audit.records) == []


@pytest.mark.parametrize(
    "answer",
    [
        *("127.0.0.1", "::1", "0.0.0.0", "10.0.0.1", "100.64.0.1", "169.254.169.254", "168.63.129.16", "fd00::1"),
        *("::ffff:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "::127.0.0.1", "fec0::1"),
        *("224.0.0.1", "255.255.255.255", "ff02::1"),
    ],
)
async def test_case_77_names_for_private_addresses(answer: str) -> None:
    """A name that stands for an address inside is denied however it is used; the audit has the permission and the denial."""
    secret = Secret()
    async with listening(secret) as port, name_server([answer]) as dns:
        world, me = guest(Network(resolver=dns.resolver), "*:*", "udp:*:*")
        for number, way in enumerate(WAYS, 1):
            message = await refused(ask(world, me, way, "inside.example.com", port), Code.DENIED)
            assert "not a public address" in message
            allowed, denied = list(world.audit.records)[-2:]
            assert (allowed.allowed, denied.allowed) == (True, False)
            assert allowed.permission == denied.permission
            assert "inside.example.com resolves to" in denied.reason
            assert len(dns.asked) == number
        await refused(world.ask(me, "network.resolve", name="inside.example.com"), Code.DENIED)
    assert secret.reached == []


@pytest.mark.parametrize("way", WAYS)
async def test_case_78_rebinding(way: str) -> None:
    """A name whose second answer is this machine: there is one lookup for each request, and nobody hears the second answer."""
    secret = Secret()
    async with listening(secret) as port, name_server([SINK], ["127.0.0.1"]) as dns:
        world, me = guest(Network(resolver=dns.resolver, connect_timeout=0.2), "*:*", "udp:*:*")
        if way == "send_to":
            with suppress(CapabilityError):  # where there is a way to the sink, the datagram is on it
                await ask(world, me, way, "rebind.example.com", port)
        else:
            await refused(ask(world, me, way, "rebind.example.com", port), Code.UNAVAILABLE, Code.DEADLINE)
        assert dns.asked == ["rebind.example.com"]
    assert secret.reached == []


@pytest.mark.parametrize(
    "location", ["http://127.0.0.1:{inner}/", "//127.0.0.1:{inner}/", "file:///etc/passwd", "/again"]
)
async def test_case_79_redirects(location: str) -> None:
    """A redirect is an answer: nobody follows it, wherever it leads. Following it is a request of its own, which is denied."""
    inner = Secret()
    async with listening(inner) as inside:
        target = location.format(inner=inside)
        outer = Secret(answer=b"HTTP/1.1 302 Go\r\nContent-Length: 0\r\nLocation: %s\r\n\r\n" % target.encode())
        async with listening(outer) as port:
            world, me = guest(Network(), f"connect:127.0.0.1:{port}")
            url = f"http://127.0.0.1:{port}/"
            for _ in range(20):
                answer = await world.ask(me, "network.http", method="GET", url=url)
                assert answer["status"] == 302
                assert ("location", target) in answer["headers"]
            answer = await world.ask(me, "network.fetch", method="GET", url=url)
            assert answer["status"] == 302
            me.resources.close_all()
            assert len(outer.reached) == 21
            if "inner" in location:
                await refused(
                    world.ask(me, "network.http", method="GET", url=f"http://127.0.0.1:{inside}/"), Code.DENIED
                )
                assert world.audit.records[-1].permission == f"network connect:127.0.0.1:{inside}"
            elif "file" in location:
                await refused(world.ask(me, "network.http", method="GET", url=target), Code.INVALID)
    assert inner.reached == []


@pytest.mark.parametrize("kind", ["endless", "slow", "bomb"])
async def test_case_80_answers_that_do_not_end(kind: str) -> None:
    """Endless, slow or folded a thousandfold: an answer has bounds in bytes and in time, and the server is cut off at them."""
    ended = anyio.Event()

    async def hostile(stream: anyio.abc.ByteStream) -> None:
        await stream.receive()
        try:
            if kind == "bomb":
                await stream.send(
                    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\n" + bytes(20)
                )
            await stream.send(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                await stream.send(bytes(65536 if kind == "endless" else 1))
                await anyio.sleep(0 if kind == "endless" else 0.02)
        finally:
            ended.set()

    async with listening(hostile) as port:
        world, me = guest(Network(time_limit=0.3 if kind == "slow" else 20.0), f"connect:127.0.0.1:{port}")
        asked = world.ask(me, "network.http", method="GET", url=f"http://127.0.0.1:{port}/")
        if kind == "bomb":
            assert (await asked)["body"] == bytes(20)  # as it was sent: nothing unfolds in the host
        else:
            await refused(asked, Code.TOO_LARGE if kind == "endless" else Code.DEADLINE)
        await ended.wait()
    assert len(me.resources) == 0


@pytest.mark.parametrize(
    "headers",
    [
        [("X-A", "b\r\nHost: evil.example")],
        [("X-A\r\nHost", "evil.example")],
        [("X-A", "b\nHost: evil.example")],
        [("X-A", "b\0")],
        [("Host", "evil.example")],
        [("Content-Length", "0")],
        [("Transfer-Encoding", "chunked")],
        [("Connection", "keep-alive")],
        [("Proxy-Authorization", "x")],
        [("", "x")],
        [("a", "b")] * 32_769,
    ],
    ids=lambda headers: str(headers[0])[:24],
)
async def test_case_81_headers(headers: list[tuple[str, str]]) -> None:
    """Headers that make another request of this one, or too many of them, are refused; the server sees no connection."""
    secret = Secret()
    async with listening(secret) as port:
        world, me = guest(Network(), f"connect:127.0.0.1:{port}")
        url = f"http://127.0.0.1:{port}/"
        for operation, method in (("http", "GET"), ("fetch", "GET"), ("begin", "POST")):
            asked = world.ask(me, f"network.{operation}", method=method, url=url, headers=headers)
            await refused(asked, Code.INVALID, Code.TOO_LARGE)
    assert secret.reached == []
    assert list(world.audit.records) == []


@pytest.fixture
def control_socket(tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """A Unix socket, as a program has it for those who control it."""
    if not hasattr(socket, "AF_UNIX"):
        pytest.skip("there are no Unix sockets here")
    path = str(tmp_path / "control.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        listener.setblocking(False)
        yield path, listener


async def test_case_82_the_host_itself(control_socket: tuple[str, socket.socket]) -> None:
    """Its own listening port takes a grant to connect there; a Unix socket cannot be named at all, with whatever grants."""
    port = closed_port()
    world, me = guest(Network(), f"listen:127.0.0.1:{port}", "*:*", "udp:*:*")
    await world.ask(me, "network.listen", address="127.0.0.1", port=port)
    message = await refused(world.ask(me, "network.connect", host="127.0.0.1", port=port), Code.DENIED)
    assert f'network: ["connect:127.0.0.1:{port}"]' in message.replace("\\", "")
    me = world.member("widget", {"network": [f"listen:127.0.0.1:{port}", f"connect:127.0.0.1:{port}"]})
    listener = await world.ask(me, "network.listen", address="127.0.0.1", port=port)
    handle = await world.ask(me, "network.connect", host="127.0.0.1", port=port)
    accepted = await world.ask(me, "network.accept", listener=listener)
    await world.ask(me, "network.send", socket=handle, data=b"to myself")
    assert await world.ask(me, "network.receive", socket=accepted["socket"]) == b"to myself"
    me.resources.close_all()

    path, control = control_socket
    world, me = guest(Network(), "*:*", "0.0.0.0/0:*", "[::/0]:*")
    for host in (path, f"unix:{path}", f"\0{path}", ""):
        await refused(world.ask(me, "network.connect", host=host, port=80), Code.INVALID)
        for url in (f"http://{host}/", f"unix://{host}", f"http+unix://{path.replace('/', '%2F')}/"):
            await refused(world.ask(me, "network.http", method="GET", url=url), Code.INVALID, Code.DENIED)
    with pytest.raises(BlockingIOError):
        control.accept()


async def test_case_83_listening() -> None:
    """Neither all addresses, nor low ports, nor a port in use, nor IPv4 behind IPv6 are had by a grant for another one."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        used = taken.getsockname()[1]
        port = closed_port()
        world, me = guest(Network(), f"listen:127.0.0.1:{used}", f"listen:127.0.0.1:{port}", f"listen:[::]:{port}")
        for address in ("0.0.0.0", "127.0.0.2", "::1"):
            await refused(world.ask(me, "network.listen", address=address, port=port), Code.DENIED)
            assert not world.audit.records[-1].allowed
        for low in (1, 22, 80, 1023):
            await refused(world.ask(me, "network.listen", address="127.0.0.1", port=low), Code.INVALID)
        for name in ("localhost", "*", "127.0.0.0/8", "::ffff:127.0.0.1", ""):
            await refused(world.ask(me, "network.listen", address=name, port=port), Code.INVALID)
        asked = world.ask(me, "network.listen", address="127.0.0.1", port=used)
        assert "in use" in await refused(asked, Code.UNAVAILABLE)
        handle = await world.ask(me, "network.listen", address="127.0.0.1", port=port)
        asked = world.ask(me, "network.listen", address="127.0.0.1", port=port)
        assert "in use" in await refused(asked, Code.UNAVAILABLE)
        await world.ask(me, "network.close", handle=handle)
        if socket.has_dualstack_ipv6():
            await world.ask(me, "network.listen", address="::", port=port)
            with pytest.raises(ConnectionRefusedError), socket.socket() as client:
                client.connect(("127.0.0.1", port))
    me.resources.close_all()
