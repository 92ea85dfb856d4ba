"""The capability family `network`: HTTP, TCP, datagrams, and what a name stands for.

    network.http                                     a whole request and its answer: `http.py`
    network.fetch begin write_body finish read_body  HTTP in pieces: `http_streams.py`

    network.connect(host, port)               -> socket
    network.listen(address, port)             -> listener
    network.accept(listener)                  -> {socket, address, port}
    network.send(socket, data)                           all of it
    network.receive(socket, most?)            -> option(bytes)      null when the other end has said that this was all
    network.end(socket)                                  says so to the other end
    network.open_datagrams(address?, port?)   -> socket
    network.send_to(socket, host, port, data)
    network.receive_from(socket)              -> {data, address, port, dropped}
    network.resolve(name)                     -> list(string)       public addresses
    network.close(handle)

A socket is a handle, and each use of it takes the permissions that it was opened under. A name leads where `destinations.py`
says, is looked up once for each request that names it, and nothing is remembered.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import anyio

from desk.bus.types import U64, Bytes, Integer
from desk.capabilities.addresses import AddressMap, Endpoint
from desk.capabilities.atoms import Atom
from desk.capabilities.capability import Capability, Needs, operation
from desk.capabilities.codes import CapabilityError, Code
from desk.capabilities.hosts import Addresses, Name
from desk.capabilities.network_atoms import NetworkAtom
from desk.capabilities.provider import Provider, Use
from desk.capabilities.providers.connection import Connections
from desk.capabilities.providers.destinations import Destinations, Resolver, check_somebody, system_resolver
from desk.capabilities.providers.http import HttpProvider
from desk.capabilities.providers.http_streams import USUAL_PIECE, Handle, HttpStreams, Most, Piece
from desk.capabilities.providers.opening import Opening, using
from desk.capabilities.providers.tcp import TcpListener, TcpStream
from desk.capabilities.providers.udp import MAX_DATAGRAM, Datagrams

Port = Annotated[int, Integer("u16", 1, 65535, wide=False)]
_DatagramBytes = Annotated[bytes, Bytes(0, MAX_DATAGRAM)]


@dataclass(frozen=True, slots=True)
class Accepted:
    """A connection that somebody has made, and where from."""

    socket: Handle
    address: str
    port: Port


@dataclass(frozen=True, slots=True)
class Datagram:
    """One datagram, where it comes from, and how many of others this socket has dropped so far."""

    data: bytes
    address: str
    port: Port
    dropped: Annotated[int, U64]


def _connecting(capability: Capability, request: Mapping[str, Any], use: Use) -> tuple[Atom, ...]:
    del capability, use
    return (check_somebody(NetworkAtom.connect(request["host"], request["port"])),)


def _listening(capability: Capability, request: Mapping[str, Any], use: Use) -> tuple[Atom, ...]:
    del capability, use
    return (NetworkAtom.listen(request["address"], request["port"]),)


def _opening_datagrams(capability: Capability, request: Mapping[str, Any], use: Use) -> tuple[Atom, ...]:
    if request.get("address") is None and request.get("port") is None:
        return ()
    if request.get("address") is None or request.get("port") is None:
        raise CapabilityError(Code.INVALID, "address and port come together: where others reach this, or neither")
    return _listening(capability, request, use)


def _sending_to(capability: Capability, request: Mapping[str, Any], use: Use) -> tuple[Atom, ...]:
    del capability
    asked = check_somebody(NetworkAtom.udp(request["host"], request["port"]))
    return (asked, *use.resources.atoms(request["socket"]))


def _resolving(capability: Capability, request: Mapping[str, Any], use: Use) -> tuple[Atom, ...]:
    del capability, use
    return (NetworkAtom.resolve(request["name"]),)


def _of(field: str) -> Needs:
    """The permissions of the handle in that field. None for one that there is not: that is found out later."""
    return lambda _capability, request, use: use.resources.atoms(request[field])


class Network(Capability):
    """See the module's docstring. All raise `CapabilityError`.

    `address_map` and `resolver` say where names lead, `tls` whom to trust (by default, whom the system trusts). Times in
    seconds: `connect_timeout` is for looking up and connecting, and again for a TLS handshake; `time_limit` for every request.
    """

    name = "network"

    def __init__(
        self,
        *,
        address_map: AddressMap | None = None,
        resolver: Resolver = system_resolver,
        tls: ssl.SSLContext | None = None,
        connect_timeout: float = 10.0,
        time_limit: float = 30.0,
    ) -> None:
        self._destinations = Destinations(address_map, resolver)
        self._connections = Connections(self._destinations, tls=tls, timeout=connect_timeout)
        self._time_limit = time_limit

    def permission(self, text: str) -> Atom:
        """As everywhere: `network_atoms.py`."""
        return NetworkAtom.parse(text)

    def operations(self) -> tuple[Provider, ...]:
        """All of the family."""
        http = HttpProvider(self._connections, time_limit=self._time_limit)
        streams = HttpStreams(self._connections, time_limit=self._time_limit)
        return (http, *streams.operations(), *super().operations())

    # -- TCP

    @operation(needs=_connecting)
    async def connect(self, host: str, port: Port, use: Use) -> Handle:
        """A connection to one host and port."""
        wanted = NetworkAtom.connect(host, port)
        opening = Opening(use, (wanted,))
        with opening.within(self._time_limit, f"connection to {wanted.host.text}:{port}"):
            opening.hold(await self._connections.connect(wanted, use))
            return opening.keep()

    @operation(needs=_listening)
    async def listen(self, address: str, port: Port, use: Use) -> Handle:
        """Take connections on one address and port of this machine: `UNAVAILABLE` if others do already."""
        wanted = NetworkAtom.listen(address, port)
        use.resources.check_room()
        return use.resources.add(TcpListener(_endpoint(wanted)), (wanted,), use.origin.principals)

    @operation(needs=_of("listener"))
    async def accept(self, listener: Handle, use: Use) -> Accepted:
        """The next connection; it has the permissions of the listener."""
        use.resources.check_room()
        with using(use, listener, TcpListener, self._time_limit, "connection") as listening:
            stream, peer = await listening.accept()
            socket = use.resources.add(stream, use.resources.atoms(listener), use.origin.principals)
            return Accepted(socket, str(peer.address), peer.port)

    @operation(needs=_of("socket"))
    async def send(self, socket: Handle, data: Piece, use: Use) -> None:
        """Send, and return when the system has taken all of it. After `DEADLINE` the socket is closed, unless nothing went."""
        with using(use, socket, TcpStream, self._time_limit, "room for all of it") as stream:
            await stream.send(data)

    @operation(needs=_of("socket"))
    async def receive(self, socket: Handle, use: Use, most: Most = USUAL_PIECE) -> bytes | None:
        """What has come, or what comes next: at most `most` bytes, None when the other end has said that this was all."""
        with using(use, socket, TcpStream, self._time_limit, "data") as stream:
            try:
                return await stream.receive(most)
            except anyio.EndOfStream:
                return None

    @operation(needs=_of("socket"))
    async def end(self, socket: Handle, use: Use) -> None:
        """Say to the other end that this was all; it may still send."""
        with using(use, socket, TcpStream, self._time_limit, "end") as stream:
            await stream.send_eof()

    # -- datagrams

    @operation(needs=_opening_datagrams)
    async def open_datagrams(self, use: Use, address: str | None = None, port: Port | None = None) -> Handle:
        """A socket for datagrams: on any port, or where others reach it, for which it takes the permission to listen there."""
        wanted = () if address is None or port is None else (NetworkAtom.listen(address, port),)
        use.resources.check_room()
        datagrams = Datagrams(*map(_endpoint, wanted))
        return use.resources.add(datagrams, wanted, use.origin.principals)

    @operation(needs=_sending_to)
    async def send_to(self, socket: Handle, host: str, port: Port, data: _DatagramBytes, use: Use) -> None:
        """Send one datagram to one host and port."""
        asked = NetworkAtom.udp(host, port)
        with using(use, socket, Datagrams, self._time_limit, f"way to {asked.host.text}:{port}") as datagrams:
            endpoints = await self._destinations.find(asked, use.member.grants.rules)
            await datagrams.send_to(data, endpoints[0], asked)

    @operation(needs=_of("socket"))
    async def receive_from(self, socket: Handle, use: Use) -> Datagram:
        """The next datagram of somebody with whom the extension may exchange them."""
        with using(use, socket, Datagrams, self._time_limit, "datagram") as datagrams:
            data, sender = await datagrams.receive_from(use.admits)
            return Datagram(data, str(sender.address), sender.port, datagrams.dropped)

    # -- names, and the end

    @operation(needs=_resolving)
    async def resolve(self, name: str, use: Use) -> list[str]:
        """The public addresses of a name, at most 8."""
        wanted = NetworkAtom.resolve(name)
        assert isinstance(wanted.host, Name), "resolve takes one name"
        opening = Opening(use, (wanted,))
        with opening.within(self._time_limit, f"answer for {wanted.host.text}"):
            return [str(address) for address in await self._destinations.resolve(wanted.host.name)]

    @operation(needs=None)
    async def close(self, handle: Handle, use: Use) -> None:
        """Close a handle of this family. Nothing happens if there is none."""
        use.resources.close(handle)


def _endpoint(atom: NetworkAtom) -> Endpoint:
    """The address and port of this machine that a permission to listen names."""
    assert isinstance(atom.host, Addresses), "listen takes an address"
    return Endpoint(atom.host.address, atom.ports.lowest)
