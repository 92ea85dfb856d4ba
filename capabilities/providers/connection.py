"""Connections of guests: the one place where a name becomes an address, and an address a socket.

What is checked is what is used. A name is looked up once, every address that is not public is dropped from the answer,
and the socket is connected to one of the rest, by number: a DNS server that changes its mind between check and use
(rebinding) has nobody to tell. A literal address is connected to as it is, because then the grant itself names it. The
operator's `AddressMap` comes before DNS.

This is a network backend of httpcore, and httpcore opens no connection but through it: no Unix sockets, no proxies.
It runs on anyio, so on trio and asyncio alike. What goes wrong here is raised as `CapabilityError`, whose text may be
shown to the guest.
"""

import math
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from ipaddress import ip_address
from typing import NoReturn

import anyio
import anyio.abc
import anyio.to_thread
import httpcore
from anyio.lowlevel import RunVar
from anyio.streams.tls import TLSStream

from desk.capabilities.addresses import AddressMap, Endpoint, IPAddress, is_public, unmapped
from desk.capabilities.codes import CapabilityError, Code, PermissionDenied
from desk.capabilities.hosts import Addresses, Host, Name
from desk.capabilities.network_atoms import NetworkAtom
from desk.capabilities.syntax import shown

Resolver = Callable[[str], Awaitable[Sequence[IPAddress]]]
"""Looks up all addresses of a name, in the order in which to try them. Raises `OSError` if it cannot."""

MAX_ATTEMPTS = 8
"""Addresses of one name that are tried."""

# Bytes the HTTP parser gets at one time. It does not yield in between, and 4 KiB of one-byte chunks take it 10 ms.
_READ_SIZE = 4096
_MAX_LOOKUPS = 8  # at one time: the C library's lookup takes a thread, and a slow DNS server keeps it for long

_lookups: RunVar[anyio.CapacityLimiter] = RunVar("desk_network_lookups")


async def system_resolver(name: str) -> Sequence[IPAddress]:
    """Ask the operating system. Raises `OSError`."""
    try:
        limiter = _lookups.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(_MAX_LOOKUPS)
        _lookups.set(limiter)
    look_up = partial(socket.getaddrinfo, name, None, type=socket.SOCK_STREAM)
    found = await anyio.to_thread.run_sync(look_up, abandon_on_cancel=True, limiter=limiter)
    return [ip_address(address[0]) for *_, address in found]


class GuestConnections(httpcore.AsyncNetworkBackend):
    """Opens connections for guests, to public addresses, literal addresses and the operator's mapped names."""

    def __init__(self, address_map: AddressMap, resolver: Resolver) -> None:
        self._address_map = address_map
        self._resolver = resolver

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Look up and connect within `timeout` seconds. Raises `CapabilityError`."""
        target = NetworkAtom.connect(host, port)
        try:
            with anyio.fail_after(timeout):
                endpoints = await self._find_endpoints(target.host, port)
                return _Stream(await connect_to_first(endpoints, timeout), target.host)
        except TimeoutError:
            raise CapabilityError(
                Code.DEADLINE, f"no connection to {target.host.text}:{port} within {timeout} s"
            ) from None

    async def _find_endpoints(self, host: Host, port: int) -> Sequence[Endpoint]:
        mapped = self._address_map.find(host, port)
        if mapped is not None:
            return [mapped]
        if isinstance(host, Addresses):
            return [Endpoint(host.address, port)]
        assert isinstance(host, Name), "NetworkAtom.connect takes one host"
        try:
            found = await self._resolver(host.name)
        except OSError as error:
            reason = error.strerror or "the lookup failed"
            raise CapabilityError(Code.UNAVAILABLE, f"cannot look up {host.name}: {reason}") from None
        if not found:
            raise CapabilityError(Code.UNAVAILABLE, f"cannot look up {host.name}: it has no addresses")
        return [Endpoint(address, port) for address in public_addresses(host.name, found)]


def public_addresses(name: str, found: Iterable[IPAddress]) -> Sequence[IPAddress]:
    """Return those addresses of `name` that a grant for the name reaches. Raises `PermissionDenied` if there are none.

    IPv4-mapped ones come as IPv4, doubles are dropped.
    """
    distinct = dict.fromkeys(map(unmapped, found))
    public = [address for address in distinct if is_public(address)]
    if not public:
        raise PermissionDenied(
            f"name {name} resolves to {next(iter(distinct))}, which is not a public address; "
            "only a literal address grant reaches it"
        )
    return public[:MAX_ATTEMPTS]


async def connect_to_first(endpoints: Sequence[Endpoint], timeout: float | None) -> anyio.abc.ByteStream:
    """Connect to the first of `endpoints` that accepts. Raises `CapabilityError(UNAVAILABLE)` if none does.

    One that does not answer gets its share of `timeout` seconds, so that the others have theirs.
    """
    share = math.inf if timeout is None else timeout / len(endpoints)
    reason = "no answer"
    for left, endpoint in zip(range(len(endpoints), 0, -1), endpoints, strict=True):
        # The last one has all that is left, and the caller's deadline ends it.
        with anyio.move_on_after(share if left > 1 else math.inf):
            try:
                return await anyio.connect_tcp(endpoint.address, endpoint.port)
            except OSError as error:
                cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
                reason = os.strerror(cause.errno) if cause.errno else "connecting failed"
    raise CapabilityError(Code.UNAVAILABLE, f"cannot connect to {endpoints[-1]}: {reason}")


class _Stream(httpcore.AsyncNetworkStream):
    """An anyio stream as httpcore wants it. `host` is for messages."""

    def __init__(self, stream: anyio.abc.ByteStream, host: Host) -> None:
        self._stream = stream
        self._host = host

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            with anyio.fail_after(timeout):
                return await self._stream.receive(min(max_bytes, _READ_SIZE))
        except anyio.EndOfStream:
            return b""
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, ssl.SSLError) as error:
            raise httpcore.ReadError from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            with anyio.fail_after(timeout):
                await self._stream.send(buffer)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, ssl.SSLError) as error:
            raise httpcore.WriteError from error

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Shake hands within `timeout` seconds. Raises `CapabilityError`; the connection is closed then."""
        try:
            with anyio.fail_after(timeout):
                # Not `standard_compatible`: like every HTTP client, we live with servers that hang up without a word.
                secured = await TLSStream.wrap(
                    self._stream, hostname=server_hostname, ssl_context=ssl_context, standard_compatible=False
                )
        except BaseException as error:
            await anyio.aclose_forcefully(self._stream)
            if isinstance(error, (OSError, anyio.BrokenResourceError, anyio.EndOfStream)):
                self._raise_refusal(error, timeout)
            raise
        return _Stream(secured, self._host)

    def _raise_refusal(self, error: Exception, timeout: float | None) -> NoReturn:
        host = self._host.text
        if isinstance(error, TimeoutError):
            raise CapabilityError(Code.DEADLINE, f"no TLS handshake with {host} within {timeout} s") from None
        if isinstance(error, ssl.SSLCertVerificationError):
            raise CapabilityError(
                Code.UNAVAILABLE, f"the certificate of {host} is not valid: {shown(error.verify_message)}"
            ) from None
        reason = error.reason if isinstance(error, ssl.SSLError) and error.reason else "it hung up"
        raise CapabilityError(Code.UNAVAILABLE, f"no TLS handshake with {host}: {reason}") from None
