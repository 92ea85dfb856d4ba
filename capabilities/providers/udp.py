"""Datagrams as a resource: a socket that many may send to, of which the guest sees only what its grants let in.

Whoever knows the port can send something, whoever that is. So a datagram is passed on if there is a permission to exchange
datagrams with its sender: by the number it comes from, or by the name under which something was sent there. Others are dropped
and counted.
"""

import socket
from collections.abc import Callable
from typing import cast

import anyio
import anyio.lowlevel

from desk.capabilities.addresses import Endpoint
from desk.capabilities.network_atoms import NetworkAtom
from desk.capabilities.providers.tcp import bound, close_socket, peer, refusal
from desk.capabilities.syntax import PermissionSyntaxError

MAX_DATAGRAM = 65_507
"""Bytes of one datagram: what fits into an IPv4 packet."""

_MOST_NAMED = 256  # endpoints of which a socket remembers by what name they were sent to


class Datagrams:
    """One socket. `endpoint` is where others reach it; without one, it gets a port when it is made, and may use IPv4 and IPv6.

    Raises as `refusal` if it cannot be had.
    """

    def __init__(self, endpoint: Endpoint | None = None) -> None:
        try:
            self.raw = _unbound() if endpoint is None else bound(endpoint, socket.SOCK_DGRAM)
        except OSError as error:
            raise refusal("cannot open a socket for datagrams", error) from None
        self.dropped = 0
        """Datagrams of others so far."""
        self._named: dict[Endpoint, NetworkAtom] = {}

    @property
    def closed(self) -> bool:
        """Whether it is."""
        return self.raw.fileno() < 0

    async def send_to(self, data: bytes, endpoint: Endpoint, asked: NetworkAtom) -> None:
        """Send one datagram; answers may come back by the permission `asked`, under which it goes out.

        Raises `anyio.ClosedResourceError`, and as `refusal`.
        """
        await anyio.lowlevel.checkpoint()
        while True:
            try:
                self.raw.sendto(data, self._address_of(endpoint))
            except BlockingIOError:
                await anyio.wait_writable(self.raw)
            except OSError as error:
                if self.closed:
                    raise anyio.ClosedResourceError from None
                raise refusal(f"cannot send to {endpoint}", error) from None
            else:
                break
        self._named.pop(endpoint, None)
        self._named[endpoint] = asked
        if len(self._named) > _MOST_NAMED:
            del self._named[next(iter(self._named))]

    async def receive_from(self, admits: Callable[[NetworkAtom], bool]) -> tuple[bytes, Endpoint]:
        """The next datagram from a peer that `admits` allows, and the peer.

        Raises `anyio.ClosedResourceError`, `BusyResourceError`, `BrokenResourceError`.
        """
        while True:
            await anyio.lowlevel.checkpoint()  # after each one: they may come without an end
            try:
                data, address = cast("tuple[bytes, tuple[str, int]]", self.raw.recvfrom(MAX_DATAGRAM + 1))
            except BlockingIOError:
                await anyio.wait_readable(self.raw)
                continue
            except OSError as error:
                raise (anyio.ClosedResourceError if self.closed else anyio.BrokenResourceError) from error
            sender = peer(address)
            if len(data) <= MAX_DATAGRAM and any(map(admits, self._permissions(sender))):
                return data, sender
            self.dropped += 1

    def close(self) -> None:
        """Close it now. Idempotent."""
        close_socket(self.raw)

    def _permissions(self, sender: Endpoint) -> list[NetworkAtom]:
        """Those of which one is enough for datagrams of `sender`."""
        named = self._named.get(sender)
        found = [] if named is None else [named]
        try:
            found.append(NetworkAtom.udp(str(sender.address), sender.port))
        except PermissionSyntaxError:
            pass  # a zone, or port 0: nothing that one could have a permission for
        return found

    def _address_of(self, endpoint: Endpoint) -> tuple[str, int]:
        mapped = self.raw.family == socket.AF_INET6 and endpoint.address.version == 4
        return (f"::ffff:{endpoint.address}" if mapped else str(endpoint.address), endpoint.port)


def _unbound() -> socket.socket:
    """A socket for both families, if the system has both."""
    try:
        raw = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        try:
            raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            raw.bind(("::", 0))
        except OSError:
            raw.close()
            raise
    except OSError:
        raw = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        raw.bind(("0.0.0.0", 0))
    raw.setblocking(False)
    return raw
