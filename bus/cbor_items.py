"""How many items a CBOR message consists of, known before one of them is built.

The size of a message bounds the text and bytes in it, but not the work. One byte is enough for an empty array, for which
Python takes 64 bytes and half a microsecond: 8 MiB of them held the event loop for four seconds and took 515 MiB. So the
items are bounded too: every value, the arrays and maps themselves, and every key of a map.

Nothing here judges whether a message is well-formed (RFC 8949 §3 has the layout of heads). The count is right as far as
it is, and a decoder gets no further than that.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import cast

MAX_ITEMS = 1 << 17
"""Items in one message. The most expensive 131,072 of them, small arrays and maps, take 90 ms and 13 MiB to read."""

_CONTAINERS: frozenset[type] = frozenset({dict, list, tuple})
_TAG, _STRINGS = 6, (2, 3)


def _lengths() -> Iterator[int]:
    """For each first byte of an item: where the next one begins, counted from it; 0 if more than this byte says so."""
    for first in range(256):
        major, info = first >> 5, first & 31
        if major == _TAG or info > 27:  # the profile has no tags, no open lengths, and 28 to 30 are not CBOR
            yield 0
        elif major in _STRINGS:
            yield 1 + info if info < 24 else 0
        else:
            yield 1 if info < 24 else 1 + (1 << info - 24)


_LENGTHS = bytes(_lengths())
_LONG_STRINGS = {major << 5 | info: 1 << info - 24 for major in _STRINGS for info in (24, 25, 26, 27)}
"""For the first byte of a string that says its length in further bytes: in how many."""


def has_too_many_items(data: bytes) -> bool:
    """Whether there are more than `MAX_ITEMS`. Looks at so many heads and no more (6 ms), and steps over text and bytes."""
    if len(data) <= MAX_ITEMS:  # an item is at least a byte
        return False
    at, lengths = 0, _LENGTHS
    try:
        for _ in range(MAX_ITEMS):
            first = data[at]
            if length := lengths[first]:
                at += length
            elif first == 0x78 or first == 0x58:  # as below but three times faster, and most long strings are such
                at += 2 + data[at + 1]
            elif width := _LONG_STRINGS.get(first):
                start = at + 1 + width
                at = start + int.from_bytes(data[at + 1 : start], "big")
            else:
                return False
    except IndexError:  # the end
        return False
    return at < len(data)


def count_items(value: object) -> int:
    """The number of items that `value`, of any depth that Python's stack allows, is made of when it is sent."""
    kind = type(value)
    if kind is dict:
        parts: Collection[object] = cast("dict[object, object]", value).values()
        count = 1 + 2 * len(parts)
    elif kind is list or kind is tuple:
        parts = cast("Sequence[object]", value)
        count = 1 + len(parts)
    else:
        return 1
    if not _CONTAINERS.isdisjoint(map(type, parts)):
        for part in parts:
            if type(part) in _CONTAINERS:
                count += count_items(part) - 1
    return count
