"""HTTP in pieces, against real servers on loopback: bodies of any length both ways, one piece at a time."""

import ssl
from collections.abc import AsyncGenerator, Awaitable
from typing import Any

import anyio
import anyio.abc
import pytest
from loopback import listening
from members import Asking, asking

from desk.capabilities.addresses import AddressMap
from desk.capabilities.codes import CapabilityError, Code
from desk.capabilities.provider import Member
from desk.capabilities.providers.network import Network

pytestmark = pytest.mark.anyio

PATIENCE = 20.0
"""Seconds after which a test that hangs fails. Nothing here takes that long."""


@pytest.fixture(autouse=True)
async def in_time() -> AsyncGenerator[None]:
    with anyio.fail_after(PATIENCE):
        yield


def guest(network: Network | None = None) -> tuple[Asking, Member]:
    world = asking(Network() if network is None else network)
    return world, world.member("widget", {"network": ["connect:127.0.0.1:*", "api.example.com"]})


async def refused(code: Code, asked: Awaitable[object]) -> str:
    with pytest.raises(CapabilityError) as caught:
        await asked
    assert caught.value.guest_code is code, caught.value
    return str(caught.value)


async def read_all(world: Asking, me: Member, response: int, most: int = 65536) -> bytes:
    body = b""
    while (piece := await world.ask(me, "network.read_body", response=response, most=most)) is not None:
        assert 0 < len(piece) <= most
        body += piece
    return body


async def head_of(stream: anyio.abc.ByteStream) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive()
    return data


async def mirror(stream: anyio.abc.ByteStream) -> None:
    """Answer with the head of the request, and then its body as it comes. A body with a length ends in `!`."""
    seen = await head_of(stream)
    end = b"!" if b"Content-Length" in seen else b"\r\n0\r\n\r\n"
    await stream.send(b"HTTP/1.1 200 OK\r\nX-Kind: Mirror\r\n\r\n" + seen)
    while not seen.endswith(end):
        data = await stream.receive()
        seen += data
        await stream.send(data)


async def canned(stream: anyio.abc.ByteStream, *pieces: bytes) -> None:
    await head_of(stream)
    for piece in pieces:
        await stream.send(piece)
        await anyio.sleep(0.01)


async def test_fetch() -> None:
    """The head of the answer comes first, and the body as it is asked for; at its end there is null, as often as one asks."""
    body = bytes(range(256)) * 2000

    async def server(stream: anyio.abc.ByteStream) -> None:
        await canned(stream, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body)

    world, me = guest()
    async with listening(server) as port:
        answer = await world.ask(me, "network.fetch", method="GET", url=f"http://127.0.0.1:{port}/")
        assert answer["status"] == 200
        assert answer["headers"] == [("content-length", str(len(body)))]
        assert await read_all(world, me, answer["response"]) == body
        assert await world.ask(me, "network.read_body", response=answer["response"]) is None
        await world.ask(me, "network.close", handle=answer["response"])
        assert len(me.resources) == 0
        permissions = {record.permission for record in world.audit.records}
        assert permissions == {f"network connect:127.0.0.1:{port}"}


@pytest.mark.parametrize("head", ["Content-Length: 9", "Transfer-Encoding: chunked"])
async def test_half_a_body_is_not_a_whole_one(head: str) -> None:
    """Where the server hangs up in the middle there is no end, however often one asks."""

    async def server(stream: anyio.abc.ByteStream) -> None:
        await canned(stream, f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode(), b"4\r\nhalf")

    world, me = guest()
    async with listening(server) as port:
        answer = await world.ask(me, "network.fetch", method="GET", url=f"http://127.0.0.1:{port}/")
        with pytest.raises(CapabilityError, match="proper HTTP"):
            await read_all(world, me, answer["response"])
        await refused(Code.UNKNOWN, world.ask(me, "network.read_body", response=answer["response"]))
        assert len(me.resources) == 0


@pytest.mark.parametrize("most", [1, 3, 100])
async def test_small_pieces(most: int) -> None:
    """However a body is framed and sent, pieces are as large as was asked for, at most, and nothing is lost between them."""

    async def server(stream: anyio.abc.ByteStream) -> None:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        await canned(stream, head, b"3\r\nabc\r\n", b"1", b"\r\nd\r\n4\r\nef", b"gh\r\n0\r\n\r\n")

    world, me = guest()
    async with listening(server) as port:
        answer = await world.ask(me, "network.fetch", method="GET", url=f"http://127.0.0.1:{port}/")
        assert await read_all(world, me, answer["response"], most=most) == b"abcdefgh"
        me.resources.close_all()


async def test_a_body_without_an_end() -> None:
    """It is read as long as the guest wants to, and nothing is read ahead; when it closes, the server hears of it."""
    ended = anyio.Event()

    async def server(stream: anyio.abc.ByteStream) -> None:
        await head_of(stream)
        await stream.send(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                await stream.send(bytes(65536))
        finally:
            ended.set()

    world, me = guest()
    async with listening(server) as port:
        answer = await world.ask(me, "network.fetch", method="GET", url=f"http://127.0.0.1:{port}/")
        for _ in range(100):
            assert await world.ask(me, "network.read_body", response=answer["response"])
        assert not ended.is_set()
        await world.ask(me, "network.close", handle=answer["response"])
        await ended.wait()


async def test_a_body_in_pieces() -> None:
    """A request body goes as it is written, in chunks, and the answer may begin before it has ended."""
    world, me = guest()
    async with listening(mirror) as port:
        url = f"http://127.0.0.1:{port}/up"
        request = await world.ask(me, "network.begin", method="POST", url=url, headers=[("X-One", "1")])
        await world.ask(me, "network.write_body", request=request, data=b"one")
        await world.ask(me, "network.write_body", request=request, data=b"two!")
        answer = await world.ask(me, "network.finish", request=request)
        assert (answer["response"], answer["status"]) == (request, 200)
        assert ("x-kind", "Mirror") in answer["headers"]
        seen = await read_all(world, me, request)
        assert b"Transfer-Encoding: chunked\r\n" in seen
        assert b"X-One: 1\r\n" in seen
        assert seen.endswith(b"3\r\none\r\n4\r\ntwo!\r\n0\r\n\r\n")
        me.resources.close_all()


async def test_a_body_of_known_length() -> None:
    """With a length, exactly that much is sent: neither more nor less would be the same request."""
    world, me = guest()
    async with listening(mirror) as port:
        request: dict[str, Any] = {"method": "PUT", "url": f"http://127.0.0.1:{port}/", "length": 5}
        handle = await world.ask(me, "network.begin", **request)
        assert "5 of the body" in await refused(
            Code.INVALID, world.ask(me, "network.write_body", request=handle, data=b"123456")
        )
        await world.ask(me, "network.write_body", request=handle, data=b"123")
        assert "2 bytes" in await refused(Code.INVALID, world.ask(me, "network.finish", request=handle))
        await world.ask(me, "network.write_body", request=handle, data=b"4!")
        await world.ask(me, "network.finish", request=handle)
        await refused(Code.INVALID, world.ask(me, "network.write_body", request=handle, data=b"6"))
        assert (await read_all(world, me, handle)).endswith(b"Content-Length: 5\r\n\r\n1234!")
        me.resources.close_all()


async def test_out_of_turn() -> None:
    """The answer is read after the request is finished; methods without a body have none in pieces."""
    world, me = guest()
    async with listening(mirror) as port:
        url = f"http://127.0.0.1:{port}/"
        await refused(Code.INVALID, world.ask(me, "network.begin", method="GET", url=url))
        handle = await world.ask(me, "network.begin", method="POST", url=url)
        await refused(Code.INVALID, world.ask(me, "network.read_body", response=handle))
        me.resources.close_all()


async def test_a_server_that_has_heard_enough() -> None:
    """A server may refuse a body before it has all of it: the guest gets its answer, and not a broken connection."""

    async def server(stream: anyio.abc.ByteStream) -> None:
        await canned(stream, b"HTTP/1.1 413 Enough\r\nContent-Length: 2\r\n\r\nno")
        await stream.send_eof()
        async for _ in stream:
            pass

    world, me = guest()
    async with listening(server) as port:
        handle = await world.ask(me, "network.begin", method="POST", url=f"http://127.0.0.1:{port}/")
        for _ in range(20):
            await world.ask(me, "network.write_body", request=handle, data=bytes(65536))
        assert (await world.ask(me, "network.finish", request=handle))["status"] == 413
        assert await read_all(world, me, handle) == b"no"
        me.resources.close_all()


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"", Code.UNAVAILABLE),
        (b"SSH-2.0\r\n\r\n", Code.UNAVAILABLE),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 101 + b"\r\n", Code.TOO_LARGE),
        (b"HTTP/1.1 200 OK\r\na: " + b"b" * 200_000, Code.TOO_LARGE),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 300, Code.TOO_LARGE),
    ],
    ids=["nothing", "no HTTP", "many headers", "endless header", "too many for an end to matter"],
)
async def test_a_bad_head(answer: bytes, code: Code) -> None:
    """What is no answer, or too much of a head, fails the request; nothing stays open."""
    world, me = guest()
    async with listening(lambda stream: canned(stream, answer)) as port:
        url = f"http://127.0.0.1:{port}/"
        await refused(code, world.ask(me, "network.fetch", method="GET", url=url))
        assert len(me.resources) == 0


async def test_a_body_that_breaks_off() -> None:
    """What is there can be read; that the rest is missing is an error, and no end."""
    world, me = guest()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"
    async with listening(lambda stream: canned(stream, answer)) as port:
        head = await world.ask(me, "network.fetch", method="GET", url=f"http://127.0.0.1:{port}/")
        assert await world.ask(me, "network.read_body", response=head["response"]) == b"short"
        await refused(Code.UNAVAILABLE, world.ask(me, "network.read_body", response=head["response"]))
        me.resources.close_all()


async def test_over_tls() -> None:
    """Pieces go over TLS as well, to the name that the certificate is for."""
    trustme = pytest.importorskip("trustme", reason="trustme makes the certificates of these tests")
    authority = trustme.CA()
    client, server = ssl.create_default_context(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.configure_trust(client)
    authority.issue_cert("api.example.com").configure_cert(server)
    async with listening(mirror, server) as port:
        addresses = AddressMap({"api.example.com": ("127.0.0.1", port)})
        world, me = guest(Network(address_map=addresses, tls=client))
        handle = await world.ask(me, "network.begin", method="POST", url="https://api.example.com/")
        await world.ask(me, "network.write_body", request=handle, data=b"x" * 100_000 + b"!")
        await world.ask(me, "network.finish", request=handle)
        assert b"x" * 100_000 in await read_all(world, me, handle, most=1 << 20)
        me.resources.close_all()


async def test_a_step_that_takes_too_long_may_be_asked_again() -> None:
    """After DEADLINE the answer may still come: nothing of it is lost."""
    first, second = anyio.Event(), anyio.Event()

    async def server(stream: anyio.abc.ByteStream) -> None:
        await head_of(stream)
        await first.wait()
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        await second.wait()
        await stream.send(b"ok")

    world, me = guest(Network(time_limit=0.1))
    async with listening(server) as port:
        handle = await world.ask(me, "network.begin", method="POST", url=f"http://127.0.0.1:{port}/", length=0)

        async def patiently(operation: str, **request: Any) -> Any:
            while True:
                try:
                    return await world.ask(me, operation, **request)
                except CapabilityError as error:
                    if error.guest_code is not Code.DEADLINE:
                        raise

        await refused(Code.DEADLINE, world.ask(me, "network.finish", request=handle))
        first.set()
        assert (await patiently("network.finish", request=handle))["status"] == 200
        await refused(Code.DEADLINE, world.ask(me, "network.read_body", response=handle))
        second.set()
        assert await patiently("network.read_body", response=handle) == b"ok"
        me.resources.close_all()
