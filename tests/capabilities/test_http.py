"""`network.http` against real servers on loopback, friendly and hostile: what it sends, what it takes, where it connects."""

import gzip
import json
import socket
import ssl
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, cast

import anyio
import anyio.abc
import pytest
from loopback import SINK, closed_port, listening

from desk.bus import codec
from desk.bus.envelope import Origin
from desk.capabilities.addresses import AddressMap, Endpoint, IPAddress
from desk.capabilities.codes import CapabilityError, Code
from desk.capabilities.grants import Grants
from desk.capabilities.permissions import PermissionSet
from desk.capabilities.provider import Member, Provider, Use
from desk.capabilities.providers import destinations
from desk.capabilities.providers.connection import Connections
from desk.capabilities.providers.destinations import Destinations, Resolver, public_addresses, system_resolver
from desk.capabilities.providers.http import HttpProvider
from desk.capabilities.providers.tcp import connect_to_first

pytestmark = pytest.mark.anyio


async def read_request(stream: anyio.abc.ByteStream) -> tuple[str, bytes]:
    """Read one request with a Content-Length or no body; return its head and body."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive()
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while len(body) < sum(map(int, lengths)):
        body += await stream.receive()
    return head.decode("latin-1"), body


async def echo(stream: anyio.abc.ByteStream) -> None:
    """Answer with what came, as JSON."""
    head, body = await read_request(stream)
    content = json.dumps({"head": head.split("\r\n"), "body": body.decode("latin-1")}).encode()
    await stream.send(b"HTTP/1.1 200 OK\r\nX-Echo: one\r\nx-echo: two\r\nContent-Length: %d\r\n\r\n" % len(content))
    await stream.send(content)


@dataclass
class Canned:
    """Answer every request with the same bytes, then hang up; remember the requests."""

    answer: bytes
    heads: list[str] = field(default_factory=list[str])

    async def __call__(self, stream: anyio.abc.ByteStream) -> None:
        self.heads.append((await read_request(stream))[0])
        await stream.send(self.answer)


@dataclass
class Lookups:
    """A DNS that gives one answer after the other, and counts."""

    answers: list[list[str]]
    asked: list[str] = field(default_factory=list[str])

    async def __call__(self, name: str) -> Sequence[IPAddress]:
        self.asked.append(name)
        return [ip_address(text) for text in self.answers[len(self.asked) - 1]]


async def no_dns(name: str) -> Sequence[IPAddress]:
    raise AssertionError(f"nobody should look up {name}")


def http(
    *,
    address_map: AddressMap | None = None,
    resolver: Resolver = system_resolver,
    tls: ssl.SSLContext | None = None,
    connect_timeout: float = 10.0,
    **limits: Any,
) -> HttpProvider:
    connections = Connections(Destinations(address_map, resolver), tls=tls, timeout=connect_timeout)
    return HttpProvider(connections, **limits)


def a_use() -> Use:
    """A request of an extension that nobody has a rule for; that it is allowed was decided before."""
    return Use(Member("widget", Grants(PermissionSet(), PermissionSet())), Origin("widget", principals=("widget",)))


async def perform(provider: HttpProvider, request: dict[str, object]) -> dict[str, object]:
    """Perform a request, after which nothing may be open."""
    use = a_use()
    try:
        return await provider.perform(request, use)
    finally:
        assert len(use.resources) == 0


def get(url: str, **fields: object) -> dict[str, object]:
    return {"method": "GET", "url": url, **fields}


async def failure(code: Code, provider: HttpProvider, url: str, **fields: object) -> str:
    """Perform a request that must fail with `code`, in one short line of ASCII; return the message."""
    with pytest.raises(CapabilityError) as caught:
        await perform(provider, get(url, **fields))
    message = str(caught.value)
    assert caught.value.guest_code is code, message
    assert message.isascii()
    assert message.isprintable()
    assert len(message) < 300
    return message


async def body_of(provider: HttpProvider, url: str, **fields: object) -> bytes:
    return cast("bytes", (await perform(provider, get(url, **fields)))["body"])


def test_is_a_provider() -> None:
    """The types are those of the documentation, and a request needs the connection it will make."""
    provider: Provider = http()
    assert provider.name == "network.http"
    request = get("https://api.example.com/v1", headers=[("accept", "*/*")], body=None)
    provider.request_type.check(request, "request")
    assert str(provider.needs(request, a_use())[0]) == "network connect:api.example.com:443"


def test_needs_refuses_nonsense() -> None:
    """A request that would not be sent needs no permission: it is refused before anybody decides."""
    with pytest.raises(CapabilityError) as caught:
        http().needs(get("file:///etc/passwd"), a_use())
    assert caught.value.guest_code is Code.INVALID
    with pytest.raises(CapabilityError) as caught:
        http(max_request_body=3).needs(get("http://example.com", body=b"1234"), a_use())
    assert caught.value.guest_code is Code.TOO_LARGE


async def test_get() -> None:
    """A GET to a literal address arrives as it was given, with nothing added but what HTTP needs."""
    async with listening(echo) as port:
        provider = http(resolver=no_dns)
        answer = await perform(
            provider, get(f"http://127.0.0.1:{port}/a?b=c#d", headers=[("X-One", "1"), ("x-one", "2")])
        )
    assert answer["status"] == 200
    assert [pair for pair in cast("list[tuple[str, str]]", answer["headers"]) if pair[0] == "x-echo"] == [
        ("x-echo", "one"),
        ("x-echo", "two"),
    ]
    assert json.loads(cast("bytes", answer["body"]))["head"] == [
        "GET /a?b=c HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Connection: close",
        "X-One: 1",
        "x-one: 2",
        "Accept-Encoding: identity",
    ]
    provider.response_type.check(answer, "answer")
    codec.encode(answer)


async def test_post() -> None:
    """A body arrives whole, with its length, whatever bytes it has."""
    body = bytes(range(256)) * 1000
    async with listening(echo) as port:
        answer = await perform(
            http(), {"method": "POST", "url": f"http://127.0.0.1:{port}/", "headers": None, "body": body}
        )
    seen = json.loads(cast("bytes", answer["body"]))
    assert seen["body"].encode("latin-1") == body
    assert f"Content-Length: {len(body)}" in seen["head"]


async def test_head_and_empty_answers() -> None:
    """Answers without a body have an empty one, whatever length they announce."""
    server = Canned(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    async with listening(server) as port:
        answer = await perform(http(), {"method": "HEAD", "url": f"http://127.0.0.1:{port}/"})
        assert answer["body"] == b""
        server.answer = b"HTTP/1.1 204 No Content\r\n\r\n"
        assert (await perform(http(), get(f"http://127.0.0.1:{port}/")))["status"] == 204


async def test_other_framings() -> None:
    """A body may come in chunks, after interim answers, or end with the connection."""
    server = Canned(
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n2;ext\r\nde\r\n0\r\nTrailer: x\r\n\r\n"
    )
    async with listening(server) as port:
        assert await body_of(http(), f"http://127.0.0.1:{port}/") == b"abcde"
        server.answer = b"HTTP/1.0 200 OK\r\n\r\nabc"
        assert await body_of(http(), f"http://127.0.0.1:{port}/") == b"abc"


async def test_error_status_is_an_answer() -> None:
    """A server's refusal is not ours: the guest gets its status and its body."""
    async with listening(Canned(b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno")) as port:
        answer = await perform(http(), get(f"http://127.0.0.1:{port}/"))
    assert (answer["status"], answer["body"]) == (500, b"no")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_an_answer(status: int) -> None:
    """A redirect is never followed, wherever it leads: the guest gets it, and asks again if it wants to."""
    inner = Canned(b"HTTP/1.1 200 OK\r\n\r\nsecret")
    async with listening(inner) as other:
        server = Canned(b"HTTP/1.1 %d Go\r\nLocation: http://127.0.0.1:%d/\r\n\r\n" % (status, other))
        async with listening(server) as port:
            answer = await perform(http(), get(f"http://127.0.0.1:{port}/"))
    assert answer["status"] == status
    assert ("location", f"http://127.0.0.1:{other}/") in cast("list[object]", answer["headers"])
    assert (len(server.heads), len(inner.heads)) == (1, 0)


async def test_cookies_are_not_kept() -> None:
    """Nothing is remembered from one request to the next."""
    server = Canned(b'HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nAlt-Svc: h2=":1"\r\nContent-Length: 0\r\n\r\n')
    async with listening(server) as port:
        provider = http()
        for _ in range(2):
            await perform(provider, get(f"http://127.0.0.1:{port}/"))
    assert len(server.heads) == 2
    assert "cookie" not in server.heads[1].lower()


async def test_proxy_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's proxies are not for guests."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    async with listening(Canned(b"HTTP/1.1 200 OK\r\n\r\nhi")) as port:
        assert await body_of(http(), f"http://127.0.0.1:{port}/") == b"hi"


async def test_compressed_body_passes_through() -> None:
    """A compressed body stays as it is, so that it cannot unfold inside the host."""
    bomb = gzip.compress(bytes(10_000_000))
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb
    async with listening(Canned(answer)) as port:
        assert await body_of(http(max_response_body=100_000), f"http://127.0.0.1:{port}/") == bomb


@pytest.mark.parametrize("header", ["X-A: b\r\nHost: evil", "Host", "Content-Length"])
async def test_nothing_is_sent_for_a_bad_header(header: str) -> None:
    """A header that would make another request of this one is refused, and no server hears of it."""
    server = Canned(b"HTTP/1.1 200 OK\r\n\r\n")
    async with listening(server) as port:
        await failure(Code.INVALID, http(), f"http://127.0.0.1:{port}/", headers=[(header, "1")])
        await failure(Code.INVALID, http(), f"http://127.0.0.1:{port}/", headers=[("x", f"1\r\n{header}: 1")])
    assert server.heads == []


# --- Limits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", [b"Content-Length: 1001\r\n", b"Transfer-Encoding: chunked\r\n", b""])
async def test_body_over_the_cap(framing: bytes) -> None:
    """One byte too many is TOO_LARGE, and the last byte allowed is not, however the body is framed."""
    body = b"3e9\r\n" + b"a" * 1001 + b"\r\n0\r\n\r\n" if b"chunked" in framing else b"a" * 1001
    async with listening(Canned(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n" + body)) as port:
        url = f"http://127.0.0.1:{port}/"
        assert "1000 bytes" in await failure(Code.TOO_LARGE, http(max_response_body=1000), url)
        assert await body_of(http(max_response_body=1001), url) == b"a" * 1001


@pytest.mark.parametrize("chunk", [b"a" * 65536, b"1\r\na\r\n" * 10_000], ids=["large", "by the byte"])
async def test_endless_body_is_stopped(chunk: bytes) -> None:
    """A body without an end is cut off at the cap: the server finds the connection closed."""
    closed = anyio.Event()

    async def endless(stream: anyio.abc.ByteStream) -> None:
        await read_request(stream)
        chunked = b"Transfer-Encoding: chunked\r\n" if chunk.startswith(b"1") else b""
        await stream.send(b"HTTP/1.1 200 OK\r\n" + chunked + b"\r\n")
        try:
            while True:
                await stream.send(chunk)
        finally:
            closed.set()

    async with listening(endless) as port:
        await failure(Code.TOO_LARGE, http(max_response_body=20_000), f"http://127.0.0.1:{port}/")
        await closed.wait()


@pytest.mark.parametrize(
    "headers",
    [
        b"a: b\r\n" * 101,
        b"a: " + b"b" * 66_000 + b"\r\n",
        (b"a: " + b"b" * 8000 + b"\r\n") * 9,
        b"a: " + b"b" * 200_000,
    ],
    ids=["many", "one long", "long together", "without end"],
)
async def test_answer_headers_have_limits(headers: bytes) -> None:
    """Headers of an answer are bounded in number and in bytes."""
    async with listening(Canned(b"HTTP/1.1 200 OK\r\n" + headers + b"\r\nok")) as port:
        await failure(Code.TOO_LARGE, http(), f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    ("start", "drop"),
    [
        (b"", b""),
        (b"HTTP/1.1 2", b"0"),
        (b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"),
        (b"", b"HTTP/1.1 100 Go\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"a"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b""),
    ],
    ids=["silent", "status line", "headers", "interim answers", "body", "missing body"],
)
async def test_slow_server(start: bytes, drop: bytes) -> None:
    """A server that stays silent, or drips, gets the time limit and no more, whatever part it is at."""

    async def slow(stream: anyio.abc.ByteStream) -> None:
        await read_request(stream)
        await stream.send(start)
        while True:
            await anyio.sleep(0.05)
            await stream.send(drop)

    async with listening(slow) as port:
        await failure(Code.DEADLINE, http(time_limit=0.2), f"http://127.0.0.1:{port}/")


async def test_server_that_does_not_read() -> None:
    """A server that never takes the body gets the time limit, too."""
    async with listening(lambda _: anyio.sleep_forever()) as port:
        provider = http(time_limit=0.2, max_request_body=1 << 25)
        await failure(Code.DEADLINE, provider, f"http://127.0.0.1:{port}/", body=bytes(1 << 25))


async def test_cancelled() -> None:
    """A request that is given up from outside closes its connection and raises nothing of its own."""
    closed = anyio.Event()

    async def silent(stream: anyio.abc.ByteStream) -> None:
        await read_request(stream)
        with pytest.raises(anyio.EndOfStream):
            await stream.receive()
        closed.set()

    async with listening(silent) as port:
        with anyio.move_on_after(0.1) as scope:
            await perform(http(), get(f"http://127.0.0.1:{port}/"))
        assert scope.cancelled_caught
        await closed.wait()


# --- Failures of the network ----------------------------------------------------------------------------------------


async def test_nobody_listens() -> None:
    """A refused connection says so, in one line."""
    message = await failure(Code.UNAVAILABLE, http(), f"http://127.0.0.1:{closed_port()}/")
    assert "refused" in message


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9\r\n" * 100,
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\x1b[31m\xe2\x80\xae: x\r\n\r\n",
        b"\x16\x03\x01\x00\x00",
    ],
)
async def test_broken_protocol(answer: bytes) -> None:
    """What is no HTTP answer is UNAVAILABLE, in one short line whatever the server wrote."""
    async with listening(Canned(answer)) as port:
        await failure(Code.UNAVAILABLE, http(), f"http://127.0.0.1:{port}/")


async def test_reset_connection() -> None:
    """A connection that breaks is UNAVAILABLE."""

    async def reset(stream: anyio.abc.ByteStream) -> None:
        await read_request(stream)
        raw = stream.extra(anyio.abc.SocketAttribute.raw_socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        await anyio.aclose_forcefully(stream)

    async with listening(reset) as port:
        await failure(Code.UNAVAILABLE, http(), f"http://127.0.0.1:{port}/")


# --- Where names lead -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answers",
    [
        ["127.0.0.1"],
        ["::1"],
        ["0.0.0.0"],
        ["169.254.169.254"],
        ["fd00::1"],
        ["fe80::1%lo"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["10.0.0.1", "127.0.0.1"],
    ],
)
async def test_name_for_a_private_address(answers: list[str]) -> None:
    """A name that leads to an address that is not public is refused, and nobody is connected to."""
    server = Canned(b"HTTP/1.1 200 OK\r\n\r\nsecret")
    async with listening(server) as port:
        lookups = Lookups([answers])
        message = await failure(Code.DENIED, http(resolver=lookups), f"http://rebind.example:{port}/")
    assert message.startswith("name rebind.example resolves to ")
    assert message.endswith("which is not a public address; only a literal address grant reaches it")
    assert lookups.asked == ["rebind.example"]
    assert server.heads == []


async def test_localhost_is_a_name() -> None:
    """The system's own answer for `localhost` is held to the same rule."""
    assert await system_resolver("localhost")
    async with listening(echo) as port:
        assert "localhost resolves to" in await failure(Code.DENIED, http(), f"http://localhost:{port}/")


async def test_lookups_that_nobody_waits_for_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that does not answer keeps so many threads and no more, whoever is cancelled meanwhile."""
    answered, asked = threading.Event(), list[str]()

    def hang(name: str, *_: object, **__: object) -> list[object]:
        asked.append(name)
        answered.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(destinations, "_under_way", threading.Semaphore(4))
    try:
        for _ in range(12):
            with anyio.move_on_after(0.02), suppress(OSError):
                await system_resolver("slow.example.com")
        assert 1 <= len(asked) <= 4
    finally:
        answered.set()


async def test_rebinding() -> None:
    """A name is looked up once: what a second lookup would say is never heard."""
    server = Canned(b"HTTP/1.1 200 OK\r\n\r\nsecret")
    async with listening(server) as port:
        lookups = Lookups([[SINK], ["127.0.0.1"], ["127.0.0.1"]])
        provider = http(resolver=lookups, connect_timeout=0.2)
        with pytest.raises(CapabilityError) as caught:
            await perform(provider, get(f"http://rebind.example:{port}/"))
    assert caught.value.guest_code in (Code.UNAVAILABLE, Code.DEADLINE)
    assert lookups.asked == ["rebind.example"]
    assert server.heads == []


async def test_private_addresses_are_dropped_among_public_ones() -> None:
    """One public address does not bring the others in."""
    server = Canned(b"HTTP/1.1 200 OK\r\n\r\nsecret")
    async with listening(server) as port:
        provider = http(resolver=Lookups([["127.0.0.1", SINK, "::1"]]), connect_timeout=0.2)
        with pytest.raises(CapabilityError):
            await perform(provider, get(f"http://rebind.example:{port}/"))
    assert server.heads == []


def test_public_addresses() -> None:
    """What is left of a DNS answer keeps its order, without doubles, mapped addresses or too many of them."""
    found = [ip_address(text) for text in ["10.0.0.1", "::ffff:8.8.8.8", SINK, "8.8.8.8", "::1", "1.1.1.1"]]
    assert public_addresses("example.com", found) == [ip_address(text) for text in ["8.8.8.8", SINK, "1.1.1.1"]]
    assert len(public_addresses("example.com", [ip_address(f"8.8.8.{last}") for last in range(256)])) == 8


async def test_first_that_accepts() -> None:
    """Addresses are tried in order until one accepts; if none does, the last reason is given."""
    loopback = ip_address("127.0.0.1")
    async with listening(echo) as port:
        targets = [Endpoint(loopback, closed_port()), Endpoint(loopback, port)]
        async with await connect_to_first(targets, 5) as stream:
            assert stream.raw.getpeername()[1] == port
    with pytest.raises(CapabilityError, match="refused") as caught:
        await connect_to_first([Endpoint(loopback, closed_port())], 5)
    assert caught.value.guest_code is Code.UNAVAILABLE


async def test_failed_lookups() -> None:
    """A name that cannot be looked up is UNAVAILABLE; a lookup that hangs is DEADLINE."""

    async def unknown(name: str) -> Sequence[IPAddress]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def hangs(name: str) -> Sequence[IPAddress]:
        await anyio.sleep_forever()
        return []

    url = "http://nobody.example/"
    assert "not known" in await failure(Code.UNAVAILABLE, http(resolver=unknown), url)
    await failure(Code.UNAVAILABLE, http(resolver=Lookups([[]])), url)
    await failure(Code.DEADLINE, http(resolver=hangs, connect_timeout=0.1), url)


async def test_address_map() -> None:
    """A name the operator answers for leads where the operator says, with the name in the Host header."""
    async with listening(echo) as port:
        provider = http(address_map=AddressMap({"api.weather.com": ("127.0.0.1", port)}), resolver=no_dns)
        for url, host in [
            ("http://api.weather.com/v1", "api.weather.com"),
            ("http://API.weather.com:8080/v1", "api.weather.com:8080"),
        ]:
            assert f"Host: {host}" in json.loads(await body_of(provider, url))["head"]


# --- TLS ------------------------------------------------------------------------------------------------------------


@dataclass
class Tls:
    """A certificate authority of our own, a client that trusts it, and a server for two names."""

    client: ssl.SSLContext
    server: ssl.SSLContext
    names: list[str | None]


@pytest.fixture
def tls() -> Tls:
    trustme = pytest.importorskip("trustme", reason="trustme makes the certificates of these tests")
    authority = trustme.CA()
    client, server = ssl.create_default_context(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.configure_trust(client)
    authority.issue_cert("api.weather.com", "127.0.0.1").configure_cert(server)
    names: list[str | None] = []
    server.sni_callback = lambda _connection, name, _context: names.append(name)
    return Tls(client, server, names)


async def test_https(tls: Tls) -> None:
    """Over TLS, the certificate must be for the name, which the server is told, not for the mapped address."""
    async with listening(echo, tls.server) as port:
        provider = http(address_map=AddressMap({"api.weather.com": ("127.0.0.1", port)}), tls=tls.client)
        assert "Host: api.weather.com" in json.loads(await body_of(provider, "https://api.weather.com/"))["head"]
    assert tls.names == ["api.weather.com"]


async def test_https_by_address(tls: Tls) -> None:
    """A certificate may be for a literal address."""
    async with listening(echo, tls.server) as port:
        assert await body_of(http(tls=tls.client), f"https://127.0.0.1:{port}/")


async def test_https_for_another_name(tls: Tls) -> None:
    """A certificate for another name is refused."""
    async with listening(echo, tls.server) as port:
        provider = http(address_map=AddressMap({"other.example": ("127.0.0.1", port)}), tls=tls.client)
        assert "certificate of other.example" in await failure(Code.UNAVAILABLE, provider, "https://other.example/")


async def test_https_untrusted(tls: Tls) -> None:
    """By default the system's authorities are trusted, and ours is none of them."""
    async with listening(echo, tls.server) as port:
        assert "certificate" in await failure(Code.UNAVAILABLE, http(), f"https://127.0.0.1:{port}/")


async def test_https_endless_body(tls: Tls) -> None:
    """The cap holds over TLS, too."""
    async with listening(Canned(b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 1_000_000), tls.server) as port:
        provider = http(tls=tls.client, max_response_body=1000)
        await failure(Code.TOO_LARGE, provider, f"https://127.0.0.1:{port}/")


async def test_no_tls_on_the_other_side() -> None:
    """A server that talks, hangs up or stays silent instead of shaking hands fails the request, nothing else."""

    async def hangs_up(stream: anyio.abc.ByteStream) -> None:
        await stream.receive()

    async with listening(hangs_up) as port:
        await failure(Code.UNAVAILABLE, http(), f"https://127.0.0.1:{port}/")

    async def talks(stream: anyio.abc.ByteStream) -> None:
        await stream.receive()
        await stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with listening(talks) as port:
        assert "handshake" in await failure(Code.UNAVAILABLE, http(), f"https://127.0.0.1:{port}/")
    async with listening(lambda _: anyio.sleep_forever()) as port:
        await failure(Code.DEADLINE, http(connect_timeout=0.2), f"https://127.0.0.1:{port}/")
