"""Where a guest's name leads: the one place where a name becomes an address.

What is checked is what is used. A name is looked up once, every address that is not public or that a rule of the operator
forbids is dropped from the answer, and what is left is connected to by number: a DNS server that changes its mind between
check and use (rebinding) has nobody to tell. A literal address is used as it is, because then the grant itself names it. The
operator's `AddressMap` comes before DNS, and is the operator's last word on a name.
"""

import errno
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import ip_address

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

from desk.capabilities.addresses import AddressMap, Endpoint, IPAddress, is_public, unmapped
from desk.capabilities.codes import CapabilityError, Code, PermissionDenied
from desk.capabilities.decision import Rules
from desk.capabilities.hosts import Addresses, Name
from desk.capabilities.network_atoms import NetworkAtom

Resolver = Callable[[str], Awaitable[Sequence[IPAddress]]]
"""Looks up all addresses of a name, in the order in which to try them. Raises `OSError` if it cannot."""

MAX_ADDRESSES = 8
"""Addresses of one name that are looked at."""

_MAX_LOOKUPS = 8  # at one time: the C library's lookup takes a thread, and a slow DNS server keeps it for long

_lookups: RunVar[anyio.CapacityLimiter] = RunVar("desk_network_lookups")

_MOST_LEFT = 64
_under_way = threading.Semaphore(_MOST_LEFT)  # with those that nobody waits for any more, which asyncio forgets


async def system_resolver(name: str) -> Sequence[IPAddress]:
    """Ask the operating system. Raises `OSError`."""
    try:
        limiter = _lookups.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(_MAX_LOOKUPS)
        _lookups.set(limiter)
    return await anyio.to_thread.run_sync(_look_up, name, abandon_on_cancel=True, limiter=limiter)


def _look_up(name: str) -> Sequence[IPAddress]:
    if not _under_way.acquire(blocking=False):
        raise OSError(errno.EAGAIN, "too many lookups wait for an answer already")
    try:
        return [ip_address(address[0]) for *_, address in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)]
    finally:
        _under_way.release()


class Destinations:
    """Public addresses of names, literal addresses, and the operator's mapped names. Remembers nothing."""

    def __init__(self, address_map: AddressMap | None = None, resolver: Resolver = system_resolver) -> None:
        self._address_map = AddressMap() if address_map is None else address_map
        self._resolver = resolver

    async def find(self, wanted: NetworkAtom, rules: Rules | None) -> Sequence[Endpoint]:
        """The endpoints that a request to connect or to send datagrams leads to, in the order in which to try them.

        Raises `PermissionDenied` if the name has none that is public and not forbidden, `CapabilityError(UNAVAILABLE)` if it
        cannot be looked up.
        """
        host, port = wanted.host, wanted.ports.lowest
        mapped = self._address_map.find(host, port)
        if mapped is not None:
            return [mapped]
        if isinstance(host, Addresses):
            return [Endpoint(host.address, port)]
        assert isinstance(host, Name), "a request is for one host"
        public = public_addresses(host.name, await self._look_up(host.name))
        return [Endpoint(address, port) for address in _not_denied(public, wanted, rules)]

    async def resolve(self, name: str) -> Sequence[IPAddress]:
        """The public addresses of a name, or the one it is mapped to, whatever the port. Raises as `find` does."""
        mapped = self._address_map.find(Name(name), 0)
        return [mapped.address] if mapped is not None else public_addresses(name, await self._look_up(name))

    async def _look_up(self, name: str) -> Sequence[IPAddress]:
        try:
            found = await self._resolver(name)
        except OSError as error:
            reason = error.strerror or "the lookup failed"
            raise CapabilityError(Code.UNAVAILABLE, f"cannot look up {name}: {reason}") from None
        if not found:
            raise CapabilityError(Code.UNAVAILABLE, f"cannot look up {name}: it has no addresses")
        return found


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
    return public[:MAX_ADDRESSES]


def _not_denied(found: Sequence[IPAddress], wanted: NetworkAtom, rules: Rules | None) -> Sequence[IPAddress]:
    if rules is None:
        return found
    denied = {address: rules.denies_address(wanted, address) for address in found}
    left = [address for address in found if denied[address] is None]
    if not left:
        said = f"name {wanted.host.text} resolves to {found[0]}, which a rule of the operator refuses"
        raise PermissionDenied(said, rule=denied[found[0]] or "")
    return left


def check_somebody(atom: NetworkAtom) -> NetworkAtom:
    """Return `atom`; raise `CapabilityError(INVALID)` if its host is the unspecified address.

    A grant for that address would be used for another one: Linux connects to loopback.
    """
    if isinstance(atom.host, Addresses) and atom.host.address.is_unspecified:
        raise CapabilityError(Code.INVALID, f"{atom.host.text} is nobody's address")
    return atom
