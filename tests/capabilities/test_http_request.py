"""A guest's request record becomes one request, or is refused: nothing in it can say something else on the wire."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.capabilities.codes import CapabilityError, Code
from desk.capabilities.providers.http_request import MAX_HEADERS, METHODS, HttpRequest, parse_request


def parsed(url: str = "http://example.com/", method: str = "GET", **fields: object) -> HttpRequest:
    return parse_request({"method": method, "url": url, **fields}, max_body=100)


def refusal(code: Code, **fields: object) -> str:
    with pytest.raises(CapabilityError) as caught:
        parsed(**fields)  # pyright: ignore[reportArgumentType]
    assert caught.value.guest_code is code
    assert str(caught.value).isascii()
    assert len(str(caught.value)) < 700
    return str(caught.value)


@pytest.mark.parametrize(
    ("url", "permission", "authority", "target"),
    [
        ("http://example.com", "connect:example.com:80", "example.com", "/"),
        ("https://example.com/a/b?c=d&e", "connect:example.com:443", "example.com", "/a/b?c=d&e"),
        ("HTTPS://Example.COM:443/", "connect:example.com:443", "example.com", "/"),
        ("http://example.com:443/", "connect:example.com:443", "example.com:443", "/"),
        ("https://example.com?q=[1]|{2}", "connect:example.com:443", "example.com", "/?q=[1]|{2}"),
        ("https://example.com/a?b?c#d?e", "connect:example.com:443", "example.com", "/a?b?c"),
        ("https://example.com#frag", "connect:example.com:443", "example.com", "/"),
        ("http://127.0.0.1:8080/x@y:z", "connect:127.0.0.1:8080", "127.0.0.1:8080", "/x@y:z"),
        ("http://[::1]:8080/", "connect:[::1]:8080", "[::1]:8080", "/"),
        ("http://[2001:DB8:0::1]/", "connect:[2001:db8::1]:80", "[2001:db8::1]", "/"),
        ("http://example.com/../%2e%2e/%0d", "connect:example.com:80", "example.com", "/../%2e%2e/%0d"),
    ],
)
def test_url(url: str, permission: str, authority: str, target: str) -> None:
    """A URL says which permission it takes, what the Host header is, and what is asked for, unchanged."""
    request = parsed(url)
    assert (request.atom.text, request.authority, request.target) == (permission, authority, target)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "//example.com/",
        "http:/example.com/",
        "http:example.com",
        "http:///path",
        "http://",
        "http://:80/",
        "file:///etc/passwd",
        "ftp://example.com/",
        "ws://example.com/",
        "gopher://example.com/",
        "httpſ://example.com/",
        " http://example.com/",
        "http://example.com/ ",
        "http://example.com/\n",
        "http://example.com/a b",
        "http://example.com/\r\nX: y",
        "http://example.com/\t",
        "http://example.com/\x00",
        "http://example.com/\x7f",
        "http://example.com/é",
        "http://example.com/\u202e",
        "http://example.com/\ud800",
        "http://example.com\\@evil.com/",
        "http://example.com/\\evil",
        "http://user@example.com/",
        "http://user:password@example.com/",
        "http://example.com@127.0.0.1/",
        "http://example.com:80@127.0.0.1/",
        "http://example.com:/",
        "http://example.com:0/",
        "http://example.com:080/",
        "http://example.com:65536/",
        "http://example.com:99999999999/",
        "http://example.com:+80/",
        "http://example.com:８０/",
        "http://example.com./",
        "http://.example.com/",
        "http://exa_mple.com/",
        "http://*.example.com/",
        "http://*/",
        "http://ex%61mple.com/",
        "http://bücher.example/",
        "http://２１３.example.com/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://0x7f.1/",
        "http://0/",
        "http://0127.0.0.1/",
        "http://127.0.0.1./",
        "http://127。0。0。1/",
        "http://１２７.0.0.1/",
        "http://①②⑦.0.0.1/",
        "http://local\u00adhost/",
        "http://ⓛocalhost/",
        "http://127.0.0.1\x00.example.com/",
        "http://127.0.0.1%00.example.com/",
        "http://10.0.0.0/8\\x",
        "http://::1/",
        "http://[::1/",
        "http://[::1]]/",
        "http://[::1]x/",
        "http://[::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[2001:db8::/32]/",
        "http://[1.2.3.4]/",
        "http://[v1.x]/",
        "http://[]/",
        "http://0.0.0.0/",
        "http://[::]/",
    ],
)
def test_bad_url(url: str) -> None:
    """Other schemes, user names, other spellings of addresses, and everything two readers could read differently."""
    refusal(Code.INVALID, url=url)


def test_long_url() -> None:
    """A URL has a limit."""
    refusal(Code.TOO_LARGE, url="http://example.com/" + "a" * 10_000)


@pytest.mark.parametrize("method", METHODS)
def test_methods(method: str) -> None:
    """The methods there are."""
    assert parsed(method=method).method == method


@pytest.mark.parametrize("method", ["", "get", "CONNECT", "TRACE", "GET ", "GET / HTTP/1.1\r\nX:", "PROPFIND"])
def test_bad_method(method: str) -> None:
    """There are no others: no tunnels, no lower case, no request inside a method."""
    assert "GET" in refusal(Code.INVALID, method=method)


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "hOST",
        "Connection",
        "Keep-Alive",
        "Content-Length",
        "Transfer-Encoding",
        "TE",
        "Trailer",
        "Upgrade",
        "Expect",
        "Proxy-Authorization",
        "proxy-connection",
        "Proxy-",
    ],
)
def test_hosts_own_headers(name: str) -> None:
    """What frames and routes a message is the host's to write, in any case."""
    assert "set by the host" in refusal(Code.INVALID, headers=[(name, "x")])


@pytest.mark.parametrize("name", ["", " ", "a b", "a:", "a\r\nb", "a\n", "\x00", "é", "(a)", " host", "host ", "ﬁ"])
def test_bad_header_name(name: str) -> None:
    """A header name is a token and nothing else."""
    refusal(Code.INVALID, headers=[(name, "x")])


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\rb", "\n", "a\x00b", "a\x0bb", "\x7f", "Ā", "\u2028"])
def test_bad_header_value(value: str) -> None:
    """A header value has no control characters, and none that is no byte."""
    refusal(Code.INVALID, headers=[("X-A", value)])


def test_too_many_headers() -> None:
    """Headers have a limit in number and in bytes, however many there are."""
    assert len(parsed(headers=[("a", "b")] * MAX_HEADERS).guest_headers) == MAX_HEADERS
    refusal(Code.TOO_LARGE, headers=[("a", "b")] * (MAX_HEADERS + 1))
    refusal(Code.TOO_LARGE, headers=[("a", "b")] * 32_769)
    refusal(Code.TOO_LARGE, headers=[("a", "b" * 65_536)])


def test_body_limit() -> None:
    """A body over the limit is refused before anything is sent."""
    assert parsed(method="POST", body=b"a" * 100).body == b"a" * 100
    refusal(Code.TOO_LARGE, method="POST", body=b"a" * 101)


def test_absent_fields() -> None:
    """Headers and body may be null or missing; a method that usually has a body then says that it is empty."""
    assert parsed() == parsed(headers=None, body=None)
    assert parsed().headers == [
        (b"Host", b"example.com"),
        (b"Connection", b"close"),
        (b"Accept-Encoding", b"identity"),
    ]
    assert (b"Content-Length", b"0") in parsed(method="POST").headers


def test_guest_may_ask_for_compression() -> None:
    """A guest that can unpack says so, and only it says so."""
    assert parsed(headers=[("accept-Encoding", " gzip\t")]).headers == [
        (b"Host", b"example.com"),
        (b"Connection", b"close"),
        (b"accept-Encoding", b"gzip"),
    ]


texts = st.text(max_size=12) | st.text(st.characters(max_codepoint=0xFF), max_size=12)


@given(
    st.sampled_from(METHODS),
    st.sampled_from(["http://example.com", "https://[::1]:81/a"]) | st.builds("http://example.com/{}".format, texts),
    st.lists(st.tuples(st.sampled_from(["X-A", "cookie", "Accept-Encoding", "Host"]) | texts, texts), max_size=4),
    st.none() | st.binary(max_size=20),
)
def test_one_request_on_the_wire(method: str, url: str, headers: list[tuple[str, str]], body: bytes | None) -> None:
    """Whatever is not refused, a server reads as exactly one request, for the host that was checked."""
    try:
        request = parsed(url, method, headers=headers, body=body)
    except CapabilityError:
        return
    client, server = h11.Connection(h11.CLIENT), h11.Connection(h11.SERVER)
    head = h11.Request(method=method, target=request.target, headers=request.headers)
    for event in (head, h11.Data(request.body), h11.EndOfMessage()):
        if data := client.send(event):
            server.receive_data(data)
    seen = server.next_event()
    assert isinstance(seen, h11.Request)
    assert [value for name, value in seen.headers if name == b"host"] == [request.authority.encode()]
    assert seen.target.decode() == request.target
    got = b""
    while isinstance(event := server.next_event(), h11.Data):
        got += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert got == (body or b"")
    assert server.trailing_data == (b"", False)
