"""Sets of ports.

    ports = "*" | range { "," range } ;  range = port [ "-" port ] ;       port: 1 to 65535, no leading zero

A set is one integer with bit n set for port n. So every question takes a bounded time, however the ranges in a manifest
are laid out to make it long, and equal sets are equal values.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from desk.capabilities.syntax import PermissionSyntaxError, shown

_PORT = "([1-9][0-9]{0,4})"
_RANGE = re.compile(f"{_PORT}(?:-{_PORT})?")
_LAST = 65535
_EXPECTED = "ports such as 443, 8000-8080, 80,443 or *; each 1 to 65535 in decimal, without leading zeros"


@dataclass(frozen=True, slots=True, repr=False)
class Ports:
    """A set of ports; empty by default."""

    bits: int = 0

    @classmethod
    def parse(cls, text: str) -> "Ports":
        """Read the grammar above; raise `PermissionSyntaxError`."""
        return ALL_PORTS if text == "*" else cls().union(_parse_range(part) for part in text.split(","))

    @classmethod
    def one(cls, port: int) -> "Ports":
        """Return the set of one port, which may come from a guest; raise `PermissionSyntaxError`."""
        if type(port) is not int or not 1 <= port <= _LAST:
            raise PermissionSyntaxError("the port is out of range or not an integer", "a port from 1 to 65535")
        return cls(1 << port)

    @property
    def text(self) -> str:
        """The grammar above, in ascending order and as short as it gets."""
        last = self.bits.bit_length() - 1
        if self.bits == 1 << max(0, last):  # those of requests
            return str(last)
        if self == ALL_PORTS:
            return "*"
        return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in self.ranges())

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Yield the first and last port of each range, both included, in ascending order."""
        bits, base = self.bits, 0
        while bits:
            gap = (bits & -bits).bit_length() - 1
            bits >>= gap
            size = (bits ^ (bits + 1)).bit_length() - 1
            yield base + gap, base + gap + size - 1
            bits >>= size
            base += gap + size

    @property
    def lowest(self) -> int:
        """The lowest port; the set must not be empty."""
        return (self.bits & -self.bits).bit_length() - 1

    def __bool__(self) -> bool:
        return self.bits != 0

    def __hash__(self) -> int:
        # Not of the bits: 1 << 80 and 1 << 141 have the same hash as 1 << 19, so a guest could pick ports that have.
        return self.bits.bit_length()

    def __repr__(self) -> str:
        # Not the bits: Python refuses to print a number that long.
        return f"Ports({self.text!r})"

    def covers(self, other: "Ports") -> bool:
        """Say whether every port of `other` is in this set."""
        return other.bits & self.bits == other.bits  # (a complement would be 8 KiB to write)

    def union(self, others: "Iterable[Ports]") -> "Ports":
        """Return all ports of this set and the others."""
        bits = self.bits
        for other in others:
            bits |= other.bits
        return Ports(bits)

    def minus(self, other: "Ports") -> "Ports":
        """Return the ports of this set that are not in `other`."""
        return Ports(self.bits & ~other.bits)


def _range(first: int, last: int) -> Ports:
    return Ports((1 << (last + 1)) - (1 << first))


ALL_PORTS = _range(1, _LAST)


def _parse_range(text: str) -> Ports:
    match = _RANGE.fullmatch(text)
    if match is not None:
        first, last = int(match[1]), int(match[2] or match[1])
        if first <= last <= _LAST:
            return _range(first, last)
    raise PermissionSyntaxError(f"bad ports {shown(text)}", _EXPECTED)
