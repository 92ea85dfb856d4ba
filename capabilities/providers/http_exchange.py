"""One HTTP request and its answer, over one connection, piece by piece.

h11 knows the protocol and does no I/O: here its bytes are sent and received. A server may be as hostile as a guest, so its
headers are bounded, and what is read at one time. How long it may take is the business of whoever waits.
"""

import ssl
from collections.abc import Generator
from contextlib import contextmanager

import anyio
import anyio.abc
import h11

from desk.capabilities.codes import CapabilityError, Code
from desk.capabilities.provider import Use
from desk.capabilities.providers.connection import Connections
from desk.capabilities.providers.http_request import MAX_HEADER_BYTES, MAX_HEADERS, HttpRequest, check_header_limits
from desk.capabilities.providers.opening import Opening
from desk.capabilities.providers.tcp import TcpStream
from desk.capabilities.syntax import shown

_TOO_MUCH = 431  # what h11 has for headers without an end
# Bytes h11 gets at one time. It does not yield in between, and 4 KiB of one-byte chunks take it 10 ms; 64 KiB of an answer
# that has not said yet how it will go on would be 30,000 headers.
_READ_CAREFULLY = 4096
_READ_PLAIN = 65536
# Lines of a head, or of what follows the chunks, that is not at its end yet: h11 reads them all at once.
_MOST_LINES = 2 * MAX_HEADERS

Headers = list[tuple[str, str]]
"""As they came, but names in lower case; in values, one character is one byte."""


class HttpExchange:
    """A resource. First `send_body` as often as needed, then `end_body`, `receive_head`, and `receive_body` until it is empty.

    Each may raise `CapabilityError`: `UNAVAILABLE` if the connection breaks or the server does not speak HTTP/1.1, `TOO_LARGE`
    for headers over a limit, `INVALID` for what is out of turn; and `anyio.ClosedResourceError`, `BusyResourceError`.
    """

    def __init__(self, wanted: HttpRequest, tcp: TcpStream, stream: anyio.abc.ByteStream) -> None:
        self.authority = wanted.authority
        self._tcp = tcp
        self._stream = stream
        self._wanted = wanted
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEADER_BYTES + _READ_PLAIN)
        self._to_send = wanted.length
        self._read_size = _READ_CAREFULLY
        self._lines = 0
        self._answer: tuple[int, Headers] | None = None
        self._piece = b""

    @property
    def closed(self) -> bool:
        """Whether it is."""
        return self._tcp.closed

    def close(self) -> None:
        """Close it now. Idempotent."""
        self._tcp.close()

    async def send_head(self) -> None:
        """Send method, target and headers, and as much of the body as is there already."""
        wanted = self._wanted
        with self._explained():
            head = self._http.send(
                h11.Request(method=wanted.method, target=wanted.target.encode(), headers=wanted.headers)
            )
            await self._send(head)
        if wanted.body:
            await self.send_body(wanted.body)

    async def send_body(self, data: bytes) -> None:
        """Send the next bytes of the body."""
        self._check_sending()
        if self._to_send is not None:
            if len(data) > self._to_send:
                raise CapabilityError(Code.INVALID, f"{len(data)} bytes, but only {self._to_send} of the body are left")
            self._to_send -= len(data)
        with self._explained():
            await self._send(self._http.send(h11.Data(data=data)))

    async def end_body(self) -> None:
        """Say that this was all. Nothing happens if that was said."""
        if self._http.our_state is h11.SEND_BODY:
            if self._to_send:
                raise CapabilityError(Code.INVALID, f"{self._to_send} bytes of the body are missing")
            with self._explained():
                await self._send(self._http.send(h11.EndOfMessage()))

    async def receive_head(self) -> tuple[int, Headers]:
        """The status and the headers. Interim answers are skipped."""
        while self._answer is None:
            with self._explained():
                event = await self._next()
            if isinstance(event, h11.Response):
                check_header_limits("answer", event.headers.raw_items())
                headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers]
                if not any(name == "transfer-encoding" for name, _ in headers):
                    self._read_size = _READ_PLAIN
                self._answer = event.status_code, headers
        return self._answer

    async def receive_body(self, most: int) -> bytes:
        """At least one and at most `most` bytes of the body; none at its end."""
        if self._answer is None:
            raise CapabilityError(Code.INVALID, "the answer has not begun: finish the request first")
        while not self._piece and self._http.their_state is h11.SEND_BODY:
            with self._explained():
                event = await self._next()
            if isinstance(event, h11.Data):
                self._piece = bytes(event.data)
        taken, self._piece = self._piece[:most], self._piece[most:]
        return taken

    # -- bytes

    async def _send(self, data: bytes | None) -> None:
        if not data:
            return
        try:
            await self._stream.send(data)
        except anyio.BrokenResourceError:
            pass  # a server may refuse before it has heard everything: what it says comes next
        except BaseException:
            self.close()  # h11 takes it for sent
            raise

    async def _next(self) -> object:
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                self._lines = 0
                return event
            if self._lines > _MOST_LINES:
                raise CapabilityError(Code.TOO_LARGE, f"the headers of {self.authority} do not end")
            try:
                data = await self._stream.receive(self._read_size)
            except anyio.EndOfStream:
                data = b""
            if not data and self._http.their_state is h11.SEND_RESPONSE:
                raise CapabilityError(Code.UNAVAILABLE, f"{self.authority} hung up without an answer")
            self._lines += data.count(b"\n")
            self._http.receive_data(data)

    def _check_sending(self) -> None:
        if self._http.our_state is not h11.SEND_BODY:
            raise CapabilityError(Code.INVALID, "the request is finished: its body has ended")

    @contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except h11.RemoteProtocolError as error:
            self.close()  # whoever asks again would take it for the end of the body
            if error.error_status_hint == _TOO_MUCH:
                raise CapabilityError(Code.TOO_LARGE, f"the headers of {self.authority} do not end") from None
            raise CapabilityError(
                Code.UNAVAILABLE, f"{self.authority} does not speak proper HTTP/1.1: {shown(str(error))}"
            ) from None
        except h11.LocalProtocolError as error:
            raise CapabilityError(Code.INVALID, f"not what HTTP/1.1 permits: {shown(str(error))}") from None
        except (anyio.BrokenResourceError, ssl.SSLError):
            self.close()
            raise CapabilityError(Code.UNAVAILABLE, f"{self.authority} broke the connection") from None


async def begin(wanted: HttpRequest, connections: Connections, use: Use, opening: Opening) -> HttpExchange:
    """Connect and send the head; `opening` holds the exchange then. Raises `CapabilityError`."""
    tcp = opening.hold(await connections.connect(wanted.atom, use))
    stream = await connections.secure(tcp, wanted.atom) if wanted.scheme == "https" else tcp
    exchange = opening.hold(HttpExchange(wanted, tcp, stream))
    await exchange.send_head()
    return exchange
