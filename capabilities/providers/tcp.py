"""TCP as resources: connections and listeners that can be closed at any moment, by anybody.

They are plain non-blocking sockets, and the event loop only says when one is ready. So `close` needs no waiting: a revoke closes
a connection then and there, and whoever waits for it is woken with `anyio.ClosedResourceError`. Nothing is read before it is
asked for; the only buffers are the operating system's.
"""

import errno
import math
import os
import socket
from collections.abc import Sequence
from ipaddress import ip_address

import anyio
import anyio.abc
import anyio.lowlevel

from desk.capabilities.addresses import Endpoint, unmapped
from desk.capabilities.codes import CapabilityError, Code

BACKLOG = 64
"""Connections to one listener that the system holds until they are accepted."""

_UNDER_WAY = {errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EINTR}
_NOT_THIS_ONE = {errno.ECONNABORTED, errno.EPROTO, errno.EINTR}  # `accept`: that connection is gone, others may come


class TcpStream(anyio.abc.ByteStream):
    """One connection. Whoever asks twice at once, to read or to write, gets `anyio.BusyResourceError`."""

    def __init__(self, raw: socket.socket) -> None:
        raw.setblocking(False)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.raw = raw

    @property
    def closed(self) -> bool:
        """Whether it is."""
        return self.raw.fileno() < 0

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """At least one byte. Raises `anyio.EndOfStream`, `BrokenResourceError`, `ClosedResourceError`."""
        await anyio.lowlevel.checkpoint()
        while True:
            try:
                data = self.raw.recv(max_bytes)
            except BlockingIOError:
                await anyio.wait_readable(self.raw)
            except OSError as error:
                lost = _lost(self.raw)
                self.close()  # whoever asks again would take it for the end
                raise lost from error
            else:
                if not data:
                    raise anyio.EndOfStream
                return data

    async def send(self, item: bytes) -> None:
        """Hand all of it to the system. If that is given up halfway, the connection is closed: nobody knows how much has gone.

        Raises `anyio.BrokenResourceError`, `ClosedResourceError`.
        """
        await anyio.lowlevel.checkpoint()
        left = memoryview(item)
        while left:
            try:
                left = left[self.raw.send(left) :]
            except BlockingIOError:
                try:
                    await anyio.wait_writable(self.raw)
                except BaseException:
                    if len(left) < len(item):
                        self.close()
                    raise
            except OSError as error:
                raise _lost(self.raw) from error

    async def send_eof(self) -> None:
        """Say that nothing more comes; the other end may still send. Raises as `send` does."""
        try:
            self.raw.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise _lost(self.raw) from error
        await anyio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """As `close`."""
        self.close()
        await anyio.lowlevel.checkpoint()

    def close(self) -> None:
        """Close it now. Idempotent."""
        close_socket(self.raw)


class TcpListener:
    """Takes connections on one address and port of this machine. Raises `CapabilityError(UNAVAILABLE)` if it cannot."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.raw = bound(endpoint, socket.SOCK_STREAM)

    @property
    def closed(self) -> bool:
        """Whether it is."""
        return self.raw.fileno() < 0

    async def accept(self) -> tuple[TcpStream, Endpoint]:
        """The next connection, and who is at its other end. Raises `anyio.ClosedResourceError`, `CapabilityError`."""
        await anyio.lowlevel.checkpoint()
        while True:
            try:
                raw, address = self.raw.accept()
            except BlockingIOError:
                await anyio.wait_readable(self.raw)
            except OSError as error:
                if self.closed:
                    raise anyio.ClosedResourceError from None
                if error.errno not in _NOT_THIS_ONE:
                    raise refusal("cannot accept a connection", error) from None
            else:
                return TcpStream(raw), peer(address)

    def close(self) -> None:
        """Close it now; what is accepted lives on. Idempotent."""
        close_socket(self.raw)


async def connect_to_first(endpoints: Sequence[Endpoint], timeout: float) -> TcpStream:
    """Connect to the first of `endpoints` that accepts. Raises `CapabilityError` if none does, as `refusal`.

    One that does not answer gets its share of `timeout` seconds, so that the others have theirs.
    """
    share = timeout / len(endpoints)
    refused = CapabilityError(Code.UNAVAILABLE, f"cannot connect to {endpoints[-1]}: no answer")
    for left, endpoint in zip(range(len(endpoints), 0, -1), endpoints, strict=True):
        # The last one has all that is left, and the caller's deadline ends it.
        with anyio.move_on_after(share if left > 1 else math.inf):
            try:
                return await _connect(endpoint)
            except OSError as error:
                refused = refusal(f"cannot connect to {endpoint}", error)
    raise refused


async def _connect(endpoint: Endpoint) -> TcpStream:
    await anyio.lowlevel.checkpoint()
    stream = TcpStream(socket.socket(family(endpoint), socket.SOCK_STREAM))
    try:
        error = stream.raw.connect_ex((str(endpoint.address), endpoint.port))
        if error in _UNDER_WAY:
            await anyio.wait_writable(stream.raw)
            error = stream.raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))
    except BaseException:
        stream.close()
        raise
    return stream


# What datagrams share.


def bound(endpoint: Endpoint, kind: socket.SocketKind) -> socket.socket:
    """A non-blocking socket on one address and port of this machine, which listens if it can. Raises as `refusal`."""
    raw: socket.socket | None = None
    try:
        raw = socket.socket(family(endpoint), kind)
        raw.setblocking(False)
        if kind is socket.SOCK_STREAM and os.name == "posix":  # elsewhere it would let others in on the port
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if raw.family == socket.AF_INET6:
            raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # `::` is granted, 0.0.0.0 is not
        raw.bind((str(endpoint.address), endpoint.port))
        if kind is socket.SOCK_STREAM:
            raw.listen(BACKLOG)
    except OSError as error:
        if raw is not None:
            raw.close()
        raise refusal(f"cannot listen on {endpoint}", error) from None
    return raw


def refusal(what: str, error: OSError) -> CapabilityError:
    """What the system did not do, and why, for the guest: `UNAVAILABLE`, or `OVERLOADED` if too many files are open."""
    code = Code.OVERLOADED if error.errno in (errno.EMFILE, errno.ENFILE) else Code.UNAVAILABLE
    return CapabilityError(code, f"{what}: {os.strerror(error.errno) if error.errno else 'it failed'}")


def close_socket(raw: socket.socket) -> None:
    """Close it, and wake whoever waits for it. Idempotent."""
    if raw.fileno() >= 0:
        try:
            anyio.notify_closing(raw)
        finally:
            raw.close()


def family(endpoint: Endpoint) -> socket.AddressFamily:
    """Which kind of socket reaches it."""
    return socket.AF_INET if endpoint.address.version == 4 else socket.AF_INET6


def peer(address: tuple[str, int]) -> Endpoint:
    """The other end, as the system names it."""
    return Endpoint(unmapped(ip_address(address[0])), address[1])


def _lost(raw: socket.socket) -> Exception:
    return anyio.ClosedResourceError() if raw.fileno() < 0 else anyio.BrokenResourceError()
