"""HTTP whose bodies do not fit into one message: sent and read piece by piece.

    network.fetch(method, url, headers?, body?)      -> {response, status, headers}     the answer's head; its body waits
    network.begin(method, url, headers?, length?)    -> request                         the head is sent; POST, PUT, PATCH
    network.write_body(request, data)
    network.finish(request)                          -> {response, status, headers}     `response` is `request`
    network.read_body(response, most?)               -> option(bytes)                   null at the end
    network.close(handle)

It is HTTP as in `http.py`, with the same rules, but for the length of the bodies: they may be endless, and it is up to the
guest to stop. Only so much is read as is asked for. Every step has a time limit, and takes the permission again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from desk.bus.types import I32, U64, Bytes, Integer, parse_type_text
from desk.capabilities.atoms import Atom
from desk.capabilities.capability import Capability, operation
from desk.capabilities.network_atoms import NetworkAtom
from desk.capabilities.provider import Use
from desk.capabilities.providers.connection import Connections
from desk.capabilities.providers.http_exchange import Headers, HttpExchange, begin
from desk.capabilities.providers.http_request import parse_begun, parse_request
from desk.capabilities.providers.opening import Opening, using

PIECE = 1 << 20
"""Bytes that one request sends or reads at most."""
USUAL_PIECE = 1 << 16
"""Bytes that are read if the guest does not say how many."""

Handle = Annotated[int, U64]
Piece = Annotated[bytes, Bytes(0, PIECE)]
Sent = Annotated[Headers, parse_type_text("list(tuple(string, string), ..=1000)")]
Most = Annotated[int, Integer("u32", 1, PIECE, wide=False)]
Status = Annotated[int, I32]


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of an answer. `response` is the handle for its body."""

    response: Handle
    status: Status
    headers: Headers


def _url(capability: "HttpStreams", request: Mapping[str, Any], use: Use) -> tuple[Atom, ...]:
    del capability, use
    return (parse_request(request, PIECE).atom,)


def _begun(capability: "HttpStreams", request: Mapping[str, Any], use: Use) -> tuple[Atom, ...]:
    del capability, use
    return (parse_begun(request).atom,)


def _request(capability: "HttpStreams", request: Mapping[str, Any], use: Use) -> tuple[Atom, ...]:
    del capability
    return use.resources.atoms(request["request"])


def _response(capability: "HttpStreams", request: Mapping[str, Any], use: Use) -> tuple[Atom, ...]:
    del capability
    return use.resources.atoms(request["response"])


class HttpStreams(Capability):
    """See the module's docstring. `time_limit` is for every step, in seconds. All raise `CapabilityError`, as `http` does."""

    name = "network"

    def __init__(self, connections: Connections, *, time_limit: float = 30.0) -> None:
        self._connections = connections
        self._time_limit = time_limit

    def permission(self, text: str) -> Atom:
        """As everywhere: `network_atoms.py`."""
        return NetworkAtom.parse(text)

    @operation(needs=_url)
    async def fetch(
        self, method: str, url: str, use: Use, headers: Sent | None = None, body: bytes | None = None
    ) -> Answer:
        """Send a whole request, and return when the head of the answer is here."""
        wanted = parse_request({"method": method, "url": url, "headers": headers, "body": body}, PIECE)
        opening = Opening(use, (wanted.atom,))
        with opening.within(self._time_limit, f"answer from {wanted.authority}"):
            exchange = await begin(wanted, self._connections, use, opening)
            await exchange.end_body()
            status, received = await exchange.receive_head()
            return Answer(opening.keep(), status, received)

    @operation(needs=_begun)
    async def begin(
        self, method: str, url: str, use: Use, headers: Sent | None = None, length: Handle | None = None
    ) -> Handle:
        """Send the head of a request. Without a `length` of the body, it goes in chunks."""
        wanted = parse_begun({"method": method, "url": url, "headers": headers, "length": length})
        opening = Opening(use, (wanted.atom,))
        with opening.within(self._time_limit, f"connection to {wanted.authority}"):
            await begin(wanted, self._connections, use, opening)
            return opening.keep()

    @operation(needs=_request)
    async def write_body(self, request: Handle, data: Piece, use: Use) -> None:
        """Send the next piece, and return when the system has taken all of it."""
        with using(use, request, HttpExchange, self._time_limit, "room for the whole piece") as exchange:
            await exchange.send_body(data)

    @operation(needs=_request)
    async def finish(self, request: Handle, use: Use) -> Answer:
        """End the body, and return when the head of the answer is here. After `DEADLINE`, it may be asked again."""
        with using(use, request, HttpExchange, self._time_limit, "answer") as exchange:
            await exchange.end_body()
            status, headers = await exchange.receive_head()
            return Answer(request, status, headers)

    @operation(needs=_response)
    async def read_body(self, response: Handle, use: Use, most: Most = USUAL_PIECE) -> bytes | None:
        """What there is of the body, or what comes next of it: at most `most` bytes, None at its end."""
        with using(use, response, HttpExchange, self._time_limit, "more of the body") as exchange:
            return await exchange.receive_body(most) or None
