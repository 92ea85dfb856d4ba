"""One HTTP request of a guest, read once into a value: what is asked of the grants is what is sent.

The guest gives a method, a URL, headers and a body. Everything that says where the request goes and where it ends
(`Host`, lengths, connection handling, proxies) is the host's to write, so that nothing the guest says can make a
server see another request than the one that was allowed. The URL grammar is RFC 3986 as far as an HTTP client needs it,
narrowed: printable ASCII only, no user name, host and port by the rules of permissions, nothing repaired.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NotRequired, TypeAlias, TypedDict, cast

from desk.capabilities.codes import CapabilityError, Code
from desk.capabilities.network_atoms import NetworkAtom
from desk.capabilities.providers.destinations import check_somebody
from desk.capabilities.syntax import PermissionSyntaxError, shown

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

METHODS_WITH_BODY = ("POST", "PUT", "PATCH")
"""For these, no body is said with a length of 0 (RFC 9110, 8.6); and only they have one that is sent in pieces."""

MAX_URL = 8192
"""Characters of a URL."""
MAX_HEADERS = 100
"""Headers of one message, either way."""
MAX_HEADER_BYTES = 64 * 1024
"""Bytes of all headers of one message as they are sent, either way."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOSTS_OWN = {
    "connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
}  # fmt: skip

_URL = re.compile(
    r"""
    (?P<scheme> https? ) ://
    (?P<host> \[ [0-9a-f:.]+ \] | [a-z0-9.-]+ )
    (?: : (?P<port> [1-9][0-9]{0,4} ) )?
    (?P<path> / [!$-;=@-\[\]-~]* )?     # printable ASCII without space, quote, angle brackets, backslash, # and ?
    (?P<query> \? [!$-;=?-\[\]-~]* )?   # the same with ?
    (?: \# [!-\[\]-~]* )?
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # RFC 9110, 5.5; above ASCII one character is one byte


class HttpRecord(TypedDict):
    """The request record as it comes from a guest, type-checked."""

    method: str
    url: str
    headers: NotRequired[Sequence[tuple[str, str]] | None]
    body: NotRequired[bytes | bytearray | memoryview | None]
    length: NotRequired[int | None]


_Head: TypeAlias = tuple[str, Literal["http", "https"], NetworkAtom, str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request ready to be sent. `atom` is the permission it takes and the host and port it goes to."""

    method: str
    scheme: Literal["http", "https"]
    atom: NetworkAtom
    target: str
    guest_headers: tuple[tuple[str, str], ...]
    body: bytes
    length: int | None
    """Bytes of the whole body; None if only its end will say. What is not in `body` is sent later."""

    @property
    def port(self) -> int:
        return self.atom.ports.lowest

    @property
    def authority(self) -> str:
        """`host` or `host:port`, as in the Host header and in messages."""
        host = self.atom.host.text
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """All headers, as they are sent."""
        headers = [("Host", self.authority), ("Connection", "close"), *self.guest_headers]
        if not any(name.lower() == "accept-encoding" for name, _ in self.guest_headers):
            headers.append(("Accept-Encoding", "identity"))
        if self.length is None:
            headers.append(("Transfer-Encoding", "chunked"))
        elif self.length or self.method in METHODS_WITH_BODY:
            headers.append(("Content-Length", str(self.length)))
        return [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]


def parse_request(record: object, max_body: int) -> HttpRequest:
    """Read a type-checked request record. Raises `CapabilityError`: `INVALID`, or `TOO_LARGE` beyond a limit."""
    given = cast("HttpRecord", record)
    head = _parse_head(given, METHODS)
    body = given.get("body") or b""
    if len(body) > max_body:
        raise CapabilityError(Code.TOO_LARGE, f"a request body of {len(body)} bytes; at most {max_body} are sent")
    return HttpRequest(*head, bytes(body), len(body))


def parse_begun(record: object) -> HttpRequest:
    """Read the record of a request whose body comes later, with its `length` if that is known. Raises as `parse_request`."""
    given = cast("HttpRecord", record)
    return HttpRequest(*_parse_head(given, METHODS_WITH_BODY), b"", given.get("length"))


def check_header_limits(whose: str, headers: Sequence[tuple[bytes, bytes]] | Sequence[tuple[str, str]]) -> None:
    """Raise `CapabilityError(TOO_LARGE)` if these are too many headers, or too long ones."""
    if len(headers) > MAX_HEADERS:
        raise CapabilityError(Code.TOO_LARGE, f"{len(headers)} headers in the {whose}; at most {MAX_HEADERS}")
    size = sum(len(name) + len(value) + len(": \r\n") for name, value in headers)
    if size > MAX_HEADER_BYTES:
        raise CapabilityError(Code.TOO_LARGE, f"{size} bytes of headers in the {whose}; at most {MAX_HEADER_BYTES}")


def _parse_head(given: HttpRecord, methods: Sequence[str]) -> "_Head":
    if given["method"] not in methods:
        raise _invalid(f"unknown method {shown(given['method'])}; expected one of {', '.join(methods)}")
    scheme, atom, target = _parse_url(given["url"])
    return given["method"], scheme, atom, target, _parse_headers(given.get("headers") or ())


def _parse_url(url: str) -> tuple[Literal["http", "https"], NetworkAtom, str]:
    if len(url) > MAX_URL:
        raise CapabilityError(Code.TOO_LARGE, f"a URL of {len(url)} characters; at most {MAX_URL}")
    match = _URL.fullmatch(url) if url.isascii() else None
    if match is None:
        raise _invalid(
            f"bad URL {shown(url)}; expected http:// or https://, a host, and printable ASCII: "
            "no user name, no backslash, other characters percent-encoded, international names in their xn-- form"
        )
    scheme = "https" if match["scheme"].lower() == "https" else "http"
    try:
        atom = NetworkAtom.connect(match["host"], int(match["port"] or _DEFAULT_PORTS[scheme]))
    except PermissionSyntaxError as error:
        raise _invalid(f"bad URL {shown(url)}: {error}") from error
    return scheme, check_somebody(atom), (match["path"] or "/") + (match["query"] or "")


def _parse_headers(headers: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    check_header_limits("request", headers)
    return tuple(_checked_headers(headers))


def _checked_headers(headers: Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    for name, value in headers:
        if _TOKEN.fullmatch(name) is None:
            raise _invalid(f"bad header name {shown(name)}; expected letters, digits and !#$%&'*+-.^_`|~")
        if name.lower() in _HOSTS_OWN or name.lower().startswith("proxy-"):
            raise _invalid(f"the header {name} is set by the host; leave it out")
        # Blanks around a value do not belong to it (RFC 9110, 5.5).
        stripped = value.strip(" \t")
        if _VALUE.fullmatch(stripped) is None:
            raise _invalid(
                f"bad value of header {name}: {shown(value)}; expected no control characters, and none beyond U+00FF"
            )
        yield name, stripped


def _invalid(message: str) -> CapabilityError:
    return CapabilityError(Code.INVALID, message)
