"""Which IP addresses are public, and which names an operator has pinned to an address of their own choosing.

A grant for a name is a grant for a host of the public internet. Whoever answers for that name in DNS can make it point
at the machine itself, at the router or at the cloud's metadata service, so the address is looked at again after the
lookup: what is not public is reached with a grant for the address itself, or not at all.

`ipaddress.is_global` is not the question asked here. It says yes to multicast, to site-local addresses, and to the
transition forms that carry an IPv4 address inside (`64:ff9b::a9fe:a9fe` is 169.254.169.254 behind NAT64). So there is
a table of our own, from the IANA special-purpose registries (RFC 6890 and its updates), and an address that carries
others is exactly as public as those it carries.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from types import MappingProxyType

from desk.capabilities.hosts import Addresses, Host, Name, parse_concrete_host
from desk.capabilities.ports import Ports
from desk.capabilities.syntax import PermissionSyntaxError, shown

IPAddress = IPv4Address | IPv6Address

_NOT_PUBLIC_V4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network; Linux takes 0.0.0.0 for loopback
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT; a cloud's metadata service lives here too
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's host agent: a public number, answered by the machine below
        "169.254.0.0/16",  # link-local, with most clouds' metadata service
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays, deprecated
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)

# All that IANA has given out as unicast. Loopback, unique-local, link-local, site-local, multicast, local NAT64,
# segment routing and discard-only all lie outside.
_UNICAST_V6 = IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments: benchmarks, ORCHID, ...
        "2001:db8::/32",  # documentation
        "3fff::/20",  # documentation
    )
)

_LOW = 0xFFFF_FFFF

# (prefix, bits to shift the IPv4 address down by, mask it is XORed with); Teredo carries two.
_CARRIERS = tuple(
    (IPv6Network(prefix), shift, mask)
    for prefix, shift, mask in (
        ("::ffff:0:0/96", 0, 0),  # IPv4-mapped, RFC 4291
        ("::/96", 0, 0),  # IPv4-compatible, RFC 4291; :: and ::1 fall under it and carry 0.0.0.0/8
        ("64:ff9b::/96", 0, 0),  # NAT64, RFC 6052
        ("2002::/16", 80, 0),  # 6to4, RFC 3056
        ("2001::/32", 64, 0),  # Teredo, RFC 4380: the server,
        ("2001::/32", 0, _LOW),  # and the client, inverted
    )
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a TCP connection goes, beyond all doubt."""

    address: IPAddress
    port: int

    def __str__(self) -> str:
        return f"{self.address}:{self.port}" if self.address.version == 4 else f"[{self.address}]:{self.port}"


def is_public(address: IPAddress) -> bool:
    """Say whether `address` is a unicast address of the public internet. An address with a zone id never is."""
    if isinstance(address, IPv4Address):
        return not any(address in block for block in _NOT_PUBLIC_V4)
    if address.scope_id is not None:
        return False
    inside = carried(address)
    if inside:
        return all(is_public(inner) for inner in inside)
    return address in _UNICAST_V6 and not any(address in block for block in _NOT_PUBLIC_V6)


def carried(address: IPAddress) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that are inside of an IPv6 address, to which its packets go in the end; mostly none."""
    if isinstance(address, IPv4Address):
        return ()
    return tuple(
        IPv4Address((int(address) >> shift & _LOW) ^ mask) for prefix, shift, mask in _CARRIERS if address in prefix
    )


def unmapped(address: IPAddress) -> IPAddress:
    """Return the IPv4 address that an IPv4-mapped one (`::ffff:a.b.c.d`) stands for; others as they are."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


class AddressMap:
    """Names that the operator answers for: whoever asks for one of them is connected to the given address instead.

    This is how a test or a demo stands in for `api.example.com` on loopback, and it is the operator's word: the
    address need not be public, and DNS is not asked. The guest sees no difference, `Host` and TLS still use the name.

        AddressMap({"api.example.com": ("127.0.0.1", 8080), "api.example.com:8443": ("::1", 9000)})

    A key is a name, or a name and port; the latter is looked for first. Raises `PermissionSyntaxError` for a key that
    is not one name, an address that is not one literal address, or a port that is none.
    """

    def __init__(self, entries: Mapping[str, tuple[str, int]] = MappingProxyType({})) -> None:
        self._endpoints = {_parse_key(key): _parse_endpoint(*target) for key, target in entries.items()}

    def find(self, host: Host, port: int) -> Endpoint | None:
        """Return where connections to `host` and `port` are to go instead, or None. Addresses are never mapped."""
        if not isinstance(host, Name):
            return None
        return self._endpoints.get((host.name, port)) or self._endpoints.get((host.name, None))


def _parse_key(key: str) -> tuple[str, int | None]:
    text, colon, port = key.partition(":")
    host = parse_concrete_host(text)
    if not isinstance(host, Name):
        raise PermissionSyntaxError(f"cannot map {shown(key)}", "a name, or name:port")
    if not colon:
        return host.name, None
    ports = Ports.parse(port)
    if ports != Ports.one(ports.lowest):
        raise PermissionSyntaxError(f"cannot map {shown(key)}", "one port")
    return host.name, ports.lowest


def _parse_endpoint(address: str, port: int) -> Endpoint:
    host = parse_concrete_host(address)
    if not isinstance(host, Addresses):
        raise PermissionSyntaxError(f"cannot map a name to {shown(address)}", "an address such as 127.0.0.1 or ::1")
    return Endpoint(host.address, Ports.one(port).lowest)
