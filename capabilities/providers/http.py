"""The capability `network.http`: one request, one answer, over a connection of its own.

    {method: string, url: string, headers: option(list(tuple(string, string))), body: option(bytes)}
    -> {status: i32, headers: list(tuple(string, string)), body: bytes}

What comes back is what the server said: a redirect is an answer like any other (following it is a new request, with a
decision of its own), a compressed body stays compressed, header names come in lower case and header values with one
character a byte. There are no cookies, no proxies, no retries and no memory between requests. A server may be as
hostile as a guest: its headers, its body and its time are bounded, and it is cut off when it goes beyond.
"""

import ssl
from functools import cached_property
from typing import Self

import anyio
import httpcore

from desk.bus import ron
from desk.bus.types import Type, parse_type
from desk.capabilities.addresses import AddressMap
from desk.capabilities.codes import CapabilityError, Code
from desk.capabilities.network_atoms import NetworkAtom
from desk.capabilities.provider import Use
from desk.capabilities.providers.connection import GuestConnections, Resolver, system_resolver
from desk.capabilities.providers.http_request import HttpRequest, check_header_limits, parse_request
from desk.capabilities.syntax import shown

_REQUEST = "(method: string, url: string, headers: option(list(tuple(string, string))), body: option(bytes))"
_RESPONSE = "(status: i32, headers: list(tuple(string, string)), body: bytes)"


class HttpProvider:
    """Carries out `network.http`. Sizes in bytes, times in seconds.

    `address_map` and `resolver` say where names lead, `tls` whom to trust (by default, whom the system trusts).
    `connect_timeout` is for looking up and connecting, and again for the TLS handshake; `time_limit` for everything.
    """

    name: str = "network.http"
    request_type: Type = parse_type(ron.parse(_REQUEST))
    response_type: Type = parse_type(ron.parse(_RESPONSE))

    def __init__(
        self,
        *,
        address_map: AddressMap | None = None,
        resolver: Resolver = system_resolver,
        tls: ssl.SSLContext | None = None,
        max_request_body: int = 1 << 20,
        max_response_body: int = 8 << 20,
        connect_timeout: float = 10.0,
        time_limit: float = 30.0,
    ) -> None:
        self._connections = GuestConnections(AddressMap() if address_map is None else address_map, resolver)
        self._given_tls = tls
        self._max_request_body = max_request_body
        self._max_response_body = max_response_body
        self._connect_timeout = connect_timeout
        self._time_limit = time_limit

    def needs(self, request: object, use: Use) -> tuple[NetworkAtom]:
        """The permission to connect to the URL's host and port. Raises `CapabilityError`."""
        del use
        return (parse_request(request, self._max_request_body).atom,)

    async def perform(self, request: object, use: Use) -> dict[str, object]:
        """Send the request and return the answer's record.

        Raises `CapabilityError`: `INVALID` for a bad request; `TOO_LARGE` for a body or headers over a limit, either
        way; `DENIED` for a name without a public address; `UNAVAILABLE` if the server cannot be reached, is not
        trusted, or breaks the protocol; `DEADLINE` if it is too slow.
        """
        del use
        wanted = parse_request(request, self._max_request_body)
        try:
            with anyio.fail_after(self._time_limit):
                return await self._exchange(wanted)
        except TimeoutError:
            raise CapabilityError(
                Code.DEADLINE, f"no whole answer from {wanted.authority} within {self._time_limit} s"
            ) from None
        except httpcore.ProtocolError as error:
            if getattr(error.__cause__, "error_status_hint", None) == 431:  # h11: too much, and no end of a header
                raise CapabilityError(Code.TOO_LARGE, f"the headers of {wanted.authority} do not end") from None
            raise CapabilityError(
                Code.UNAVAILABLE, f"{wanted.authority} does not speak proper HTTP/1.1: {shown(str(error))}"
            ) from None
        except httpcore.NetworkError:
            raise CapabilityError(Code.UNAVAILABLE, f"{wanted.authority} broke the connection") from None

    async def _exchange(self, wanted: HttpRequest) -> dict[str, object]:
        host = wanted.atom.host.text.strip("[]")
        url = httpcore.URL(scheme=wanted.scheme, host=host, port=wanted.port, target=wanted.target)
        request = httpcore.Request(
            wanted.method,
            url,
            headers=wanted.headers,
            content=_Body(wanted.body),
            extensions={"timeout": {"connect": self._connect_timeout}},
        )
        connection = httpcore.AsyncHTTPConnection(
            url.origin,
            ssl_context=self._tls if wanted.scheme == "https" else None,
            network_backend=self._connections,
        )
        try:
            response = await connection.handle_async_request(request)
            check_header_limits("answer", response.headers)
            body = await self._read_body(response, wanted.authority)
        finally:
            with anyio.CancelScope(shield=True):
                await connection.aclose()
        headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in response.headers]
        return {"status": response.status, "headers": headers, "body": body}

    async def _read_body(self, response: httpcore.Response, authority: str) -> bytes:
        body = bytearray()  # not a list of chunks: a server may send them by the byte
        with anyio.CancelScope() as reading:
            async for chunk in response.aiter_stream():
                if len(body) + len(chunk) <= self._max_response_body:
                    body += chunk
                else:
                    # Not `break`: that would leave httpcore's generators to the garbage collector, open.
                    reading.cancel()
        if reading.cancel_called:
            raise CapabilityError(
                Code.TOO_LARGE, f"the answer of {authority} has a body of more than {self._max_response_body} bytes"
            )
        return bytes(body)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        # Reading the system's certificates takes tens of milliseconds: not before somebody needs them.
        return ssl.create_default_context() if self._given_tls is None else self._given_tls


class _Body:
    """A request's body as httpcore takes it, but no generator: sending may be cut short, and nothing is left open."""

    def __init__(self, content: bytes) -> None:
        self._parts = iter((content,))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        for part in self._parts:
            return part
        raise StopAsyncIteration
