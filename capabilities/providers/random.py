"""Random numbers: the operating system's, which nobody can foretell, or those of a seed, the same in every run.

Seeded ones are one stream of bytes for each loaded extension, from the seed that it was loaded with. Block `n` of the stream,
counted from 0, is the BLAKE2b digest of 64 bytes of the text `desk seeded stream 1: SEED, NAME, N`; a request is answered
with the bytes that follow those of the one before. Whoever knows the seed knows them all.
"""

import os
from collections.abc import Mapping
from hashlib import blake2b
from typing import Annotated, Any, TypeAlias
from weakref import WeakKeyDictionary

from desk.bus.types import Integer
from desk.capabilities.atoms import Atom
from desk.capabilities.capability import Capability, operation
from desk.capabilities.level_atoms import RandomAtom
from desk.capabilities.provider import Member, Use

MOST = 64 << 10
"""Bytes of one answer."""

_BLOCK = 64

_Bytes: TypeAlias = bytes
Count: TypeAlias = Annotated[int, Integer("u32", 0, MOST, wide=False)]


def _level(random: "Random", request: Mapping[str, Any], use: Use) -> tuple[Atom, ...]:
    del random, use
    return (RandomAtom.at("seeded" if request.get("seeded") else "secure"),)


class Random(Capability):
    """See the module's docstring."""

    name = "random"

    def __init__(self) -> None:
        self._given: WeakKeyDictionary[Member, int] = WeakKeyDictionary()

    def permission(self, text: str) -> Atom:
        """`seeded` or `secure`."""
        return RandomAtom.parse(text)

    @operation(needs=_level, at_once=True)
    async def bytes(self, use: Use, count: Count, seeded: bool = False) -> _Bytes:
        """So many of them."""
        if not seeded:
            return os.urandom(count)
        member = use.member
        start = self._given.get(member, 0)
        self._given[member] = start + count
        return stream(member.seed, member.name, start, count)


def stream(seed: int, name: str, start: int, count: int) -> bytes:
    """The `count` bytes from `start` on of the stream that the seed makes for the extension `name`."""
    first = start // _BLOCK
    last = (start + count + _BLOCK - 1) // _BLOCK
    text = f"desk seeded stream 1: {seed}, {name}, "
    blocks = b"".join([blake2b(f"{text}{block}".encode()).digest() for block in range(first, last)])
    return blocks[start - first * _BLOCK :][:count]
