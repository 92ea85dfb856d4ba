"""How much work it is to read a CBOR message, known before any of it is built.

The size of a message bounds the text and bytes in it, but not the work. One byte is enough for an empty array, for which
Python takes 64 bytes and half a microsecond: 8 MiB of them held the event loop for four seconds and took 515 MiB. So the
items are bounded too: every value, the arrays and maps themselves, and every key of a map. They are weighed by what they
cost to count, build and check: a number, true, false or null is one, a text or byte string two, an array or map five.

Nothing here judges whether a message is well-formed (RFC 8949 §3 has the layout of heads). The count is right as far as
it is, and a decoder gets no further than that.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import cast

MAX_ITEMS = 1 << 17
"""Items of one message, by weight. Reading takes about 0.1 µs for each: 15 to 25 ms for the most expensive message."""

STRING_WEIGHT = 2
CONTAINER_WEIGHT = 5

_CONTAINERS: frozenset[type] = frozenset({dict, list, tuple})
_STRINGS: frozenset[type] = frozenset({str, bytes, bytearray})
_HEAVY = _CONTAINERS | _STRINGS
_TAG, _STRING_MAJORS, _CONTAINER_MAJORS = 6, (2, 3), (4, 5)


def _lengths() -> Iterator[int]:
    """For each first byte of an item: where the next one begins, counted from it; 0 if more than this byte says so."""
    for first in range(256):
        major, info = first >> 5, first & 31
        if major == _TAG or info > 27:  # the profile has no tags, no open lengths, and 28 to 30 are not CBOR
            yield 0
        elif major in _STRING_MAJORS:
            yield 1 + info if info < 24 else 0
        else:
            yield 1 if info < 24 else 1 + (1 << info - 24)


def _more() -> Iterator[int]:
    """For each first byte of an item: how much more than one it weighs."""
    for first in range(256):
        major = first >> 5
        yield (
            STRING_WEIGHT - 1 if major in _STRING_MAJORS else CONTAINER_WEIGHT - 1 if major in _CONTAINER_MAJORS else 0
        )


_LENGTHS = bytes(_lengths())
_MORE = bytes(_more())
_LIGHT_LENGTHS = bytes(0 if more else length for length, more in zip(_LENGTHS, _MORE, strict=True))
_LONG_STRINGS = {major << 5 | info: 1 << info - 24 for major in _STRING_MAJORS for info in (24, 25, 26, 27)}
"""For the first byte of a string that says its length in further bytes: in how many."""
_ALL_BUT_STRINGS = bytes(first for first in range(256) if first >> 5 not in _STRING_MAJORS)
_ALL_BUT_CONTAINERS = bytes(first for first in range(256) if first >> 5 not in _CONTAINER_MAJORS)


def has_too_many_items(data: bytes) -> bool:
    """Whether they weigh more than `MAX_ITEMS`. Looks at so many heads and no more (6 ms), and steps over text and bytes."""
    if len(data) <= MAX_ITEMS and _at_most(data) <= MAX_ITEMS:
        return False
    at = count = more = 0
    light, lengths = _LIGHT_LENGTHS, _LENGTHS
    try:
        for count in range(MAX_ITEMS):
            first = data[at]
            if length := light[first]:
                at += length
                continue
            more += _MORE[first]
            if count + more >= MAX_ITEMS:
                return True
            if length := lengths[first]:
                at += length
            elif first == 0x78 or first == 0x58:  # as below but three times faster, and most long strings are such
                at += 2 + data[at + 1]
            elif width := _LONG_STRINGS.get(first):
                start = at + 1 + width
                at = start + int.from_bytes(data[at + 1 : start], "big")
            else:
                break
        else:
            count = MAX_ITEMS + (at < len(data))
    except IndexError:  # the end
        pass
    return count + more > MAX_ITEMS


def _at_most(data: bytes) -> int:
    """What the items would weigh if each byte began one, at the speed of C: enough to know for most messages."""
    if len(data) * CONTAINER_WEIGHT <= MAX_ITEMS:
        return MAX_ITEMS
    strings = len(data.translate(None, _ALL_BUT_STRINGS))
    containers = len(data.translate(None, _ALL_BUT_CONTAINERS))
    return len(data) + strings * (STRING_WEIGHT - 1) + containers * (CONTAINER_WEIGHT - 1)


def count_items(value: object) -> int:
    """The items of `value`, by weight. It may have any depth that Python's stack allows."""
    kind = type(value)
    if kind is dict:
        parts: Collection[object] = cast("dict[object, object]", value).values()
        count = CONTAINER_WEIGHT + (STRING_WEIGHT + 1) * len(parts)
    elif kind is list or kind is tuple:
        parts = cast("Sequence[object]", value)
        count = CONTAINER_WEIGHT + len(parts)
    else:
        return STRING_WEIGHT if kind in _STRINGS else 1
    if not _HEAVY.isdisjoint(map(type, parts)):
        for part in parts:
            if type(part) in _HEAVY:
                count += count_items(part) - 1
    return count
