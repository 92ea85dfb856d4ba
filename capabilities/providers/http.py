"""The capability `network.http`: one request, one answer, over a connection of its own.

    {method: string, url: string, headers: option(list(tuple(string, string), ..=1000)), body: option(bytes)}
    -> {status: i32, headers: list(tuple(string, string)), body: bytes}

What comes back is what the server said: a redirect is an answer like any other (following it is a new request, with a
decision of its own), a compressed body stays compressed, header names come in lower case and header values with one
character a byte. There are no cookies, no proxies, no retries and no memory between requests. A server may be as
hostile as a guest: its headers, its body and its time are bounded, and it is cut off when it goes beyond. What does not fit
is fetched in pieces (`http_streams.py`).
"""

from desk.bus import ron
from desk.bus.types import Type, parse_type
from desk.capabilities.codes import CapabilityError, Code
from desk.capabilities.network_atoms import NetworkAtom
from desk.capabilities.provider import Use
from desk.capabilities.providers.connection import Connections
from desk.capabilities.providers.http_exchange import HttpExchange, begin
from desk.capabilities.providers.http_request import parse_request
from desk.capabilities.providers.opening import Opening

_REQUEST = "(method: string, url: string, headers: option(list(tuple(string, string), ..=1000)), body: option(bytes))"
_RESPONSE = "(status: i32, headers: list(tuple(string, string)), body: bytes)"
_PIECE = 65536


class HttpProvider:
    """Carries out `network.http`. Sizes in bytes; `time_limit`, for everything, in seconds."""

    name: str = "network.http"
    request_type: Type = parse_type(ron.parse(_REQUEST))
    response_type: Type = parse_type(ron.parse(_RESPONSE))

    def __init__(
        self,
        connections: Connections,
        *,
        max_request_body: int = 1 << 20,
        max_response_body: int = 8 << 20,
        time_limit: float = 30.0,
    ) -> None:
        self._connections = connections
        self._max_request_body = max_request_body
        self._max_response_body = max_response_body
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
        wanted = parse_request(request, self._max_request_body)
        opening = Opening(use, (wanted.atom,))
        with opening.within(self._time_limit, f"whole answer from {wanted.authority}"):
            exchange = await begin(wanted, self._connections, use, opening)
            await exchange.end_body()
            status, headers = await exchange.receive_head()
            body = await self._receive_body(exchange)
        return {"status": status, "headers": headers, "body": body}

    async def _receive_body(self, exchange: HttpExchange) -> bytes:
        body = bytearray()  # not a list of pieces: a server may send them by the byte
        while piece := await exchange.receive_body(_PIECE):
            if len(body) + len(piece) > self._max_response_body:
                raise CapabilityError(
                    Code.TOO_LARGE,
                    f"the answer of {exchange.authority} has a body of more than {self._max_response_body} bytes",
                )
            body += piece
        return bytes(body)
