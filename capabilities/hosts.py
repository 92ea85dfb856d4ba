"""Hosts: names, patterns of names, addresses and blocks of addresses, each with one spelling.

    host  = name | ipv4 [ "/" len ] | "[" ipv6 [ "/" len ] "]" | "*" ;
    name  = [ "*." ] label { "." label } ;
    label = alnum [ { alnum | "-" } alnum ] ;          ASCII, at most 63; a whole name at most 253

The C library reads `127.1`, `0x7f.1`, `2130706433`, full-width digits and even `127.0.0.1\\0.example.com` as
loopback. So nothing here is handed to it in doubt: an address is four plain decimal numbers or bracketed IPv6, a name
is ASCII and does not end in a number, and whatever is neither is refused. International names come as A-labels
(`xn--...`), because the two IDNA standards disagree on what other spellings mean. IPv4-mapped IPv6 addresses
(`::ffff:...`) are a second spelling of IPv4 and refused; so are zone ids.

`*.example.com` stands for names one or more labels below example.com, not for example.com itself. `*` stands for all
names. Neither ever stands for an address: a name may resolve to public addresses only, the others need a grant of
their own, by number.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from desk.capabilities.syntax import PermissionSyntaxError, shown

_OCTET = "(?:0|[1-9][0-9]{0,2})"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}(?:/(?:0|[1-9][0-9]?))?")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]{2,45}(?:/(?:0|[1-9][0-9]{0,2}))?")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_V4_MAPPED = IPv6Network("::ffff:0:0/96")
_MAX_NAME = 253
_EXPECTED = "a name such as api.example.com or *.example.com, an address such as 192.0.2.7, 10.0.0.0/8 or [2001:db8::1]"


@dataclass(frozen=True, slots=True)
class AnyName:
    """`*`: every name, no address."""

    @property
    def text(self) -> str:
        return "*"

    @property
    def concrete(self) -> bool:
        return False

    def covers(self, other: "Host") -> bool:
        return type(other) in (AnyName, Name)


@dataclass(frozen=True, slots=True)
class Name:
    """A DNS name in lower case, or, if `below`, all names one or more labels below it."""

    name: str
    below: bool = False

    @property
    def text(self) -> str:
        return f"*.{self.name}" if self.below else self.name

    @property
    def concrete(self) -> bool:
        """Whether this is one host: only such a host can be connected to."""
        return not self.below

    def covers(self, other: "Host") -> bool:
        """Say whether it reaches every name that `other` reaches; a name never covers an address."""
        if not isinstance(other, Name):
            return False
        if self.name == other.name:
            return self.below == other.below
        return self.below and other.name.endswith(f".{self.name}")


@dataclass(frozen=True, slots=True)
class Addresses:
    """One address, or a block of them."""

    network: IPv4Network | IPv6Network

    def __hash__(self) -> int:
        # Not of the numbers: a guest could pick addresses whose hashes are equal.
        return hash((self.network.network_address.packed, self.network.prefixlen))

    @property
    def text(self) -> str:
        """One address, or a network in CIDR form; IPv6 in brackets, as in a URL."""
        written = str(self.network.network_address) if self.concrete else str(self.network)
        return written if self.network.version == 4 else f"[{written}]"

    @property
    def concrete(self) -> bool:
        return self.network.prefixlen == self.network.max_prefixlen

    @property
    def address(self) -> IPv4Address | IPv6Address:
        """The address, of a `concrete` one; the first of a block."""
        return self.network.network_address

    def covers(self, other: "Host") -> bool:
        """Say whether every address of `other` is one of these; an address never covers a name."""
        if not isinstance(other, Addresses):
            return False
        mine, theirs = self.network, other.network
        return theirs.prefixlen >= mine.prefixlen and theirs.network_address in mine  # False for another version


Host = AnyName | Name | Addresses


def parse_host(text: str) -> Host:
    """Read a host as permissions write it, with IPv6 in brackets; raise `PermissionSyntaxError`."""
    if text == "*":
        return AnyName()
    if text.startswith("[") and text.endswith("]"):
        return Addresses(_ipv6(text[1:-1]))
    if _IPV4.fullmatch(text) is not None:
        return Addresses(_ipv4(text))
    if text.startswith("*."):
        if "." not in text[2:]:
            raise PermissionSyntaxError(f"{shown(text)} is too wide", "at least two labels after *.")
        return Name(_name(text[2:]), below=True)
    return Name(_name(text))


def parse_concrete_host(text: str) -> Name | Addresses:
    """Read the one host of a request, where IPv6 may also come without brackets; raise `PermissionSyntaxError`."""
    if type(text) is not str:
        raise PermissionSyntaxError(f"a host cannot be {type(text).__name__}", "text")
    host = parse_host(f"[{text}]" if ":" in text and not text.startswith("[") else text)
    if isinstance(host, AnyName) or not host.concrete:
        raise PermissionSyntaxError(f"{shown(text)} is not one host", "one name or one address")
    return host


def _name(text: str) -> str:
    if len(text) > _MAX_NAME:
        raise PermissionSyntaxError(f"a name of {len(text)} characters", f"at most {_MAX_NAME}")
    if not text.isascii():
        raise PermissionSyntaxError(f"{shown(text)} is not ASCII", "international names in their xn-- form")
    # Only now: before the ASCII check, lower() would turn the Kelvin sign into a plain k.
    name = text.lower()
    labels = name.split(".")
    if labels[-1] == "" and len(labels) > 1:
        raise PermissionSyntaxError(f"{shown(text)} ends in a dot", "a name without a dot at its end")
    for label in labels:
        if _LABEL.fullmatch(label) is None:
            raise PermissionSyntaxError(f"bad host {shown(text)}", _EXPECTED)
    if _NUMBER.fullmatch(labels[-1]) is not None:
        raise PermissionSyntaxError(
            f"{shown(text)} ends in a number but is no address", "four decimal numbers without leading zeros"
        )
    return name


def _ipv4(text: str) -> IPv4Network:
    try:
        return IPv4Network(text)
    except ValueError:
        raise PermissionSyntaxError(
            f"bad address {shown(text)}, or bits set beyond its prefix", "an address, or a block such as 10.0.0.0/8"
        ) from None


def _ipv6(text: str) -> IPv6Network:
    try:
        if _IPV6.fullmatch(text) is None:
            raise ValueError
        network = IPv6Network(text)
    except ValueError:
        raise PermissionSyntaxError(
            f"bad IPv6 address {shown(text)}, or bits set beyond its prefix",
            "an address such as [2001:db8::1] or a block such as [2001:db8::/32], without a zone",
        ) from None
    if network.subnet_of(_V4_MAPPED):
        raise PermissionSyntaxError(f"{shown(text)} is IPv4 in disguise", "the IPv4 address itself")
    return network
