"""How large a type is, known when it is made, so that no walk over a type can take long or run out of stack.

A few names that each use the one before twice (`a: tuple(i32, i32)`, `b: tuple(a, a)`, …) write down a type of 2^n parts
in n lines. Whoever validates, prints, compares or documents types walks through all of them. So a type counts its parts
with the names expanded, from the counts of the types it is made of, and one that is too large cannot be made.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from desk.bus.codec import MAX_DEPTH

MAX_TYPE_SIZE = 4_096
"""Types that one type consists of, itself included and each as often as it is used; so is each name of an enum."""

MAX_HEIGHT = 64
"""Types inside each other, of any kind. Lists, tuples and records reach `MAX_DEPTH` first; options and names do not."""


class Extent(NamedTuple):
    """`size` and `height` count types, `depth` the arrays and maps that a value of it may have inside each other."""

    depth: int
    size: int
    height: int


ONE: Final = Extent(depth=0, size=1, height=1)
"""A type that is not made of others."""


class TooLarge(Exception):
    """A type is larger than a type may be. Who makes the type says so in its own words: this never leaves the package."""


def around(parts: Iterable[Extent], levels: int, words: int) -> Extent:
    """The extent of a type made of `parts` and `words` that are no types, whose wire form adds so many `levels`."""
    depth, size, height = 0, 1 + words, 0
    for part_depth, part_size, part_height in parts:
        size += part_size
        if part_depth > depth:
            depth = part_depth
        if part_height > height:
            height = part_height
    depth += levels
    height += 1
    if depth > MAX_DEPTH:
        raise TooLarge(f"a type of more than {MAX_DEPTH} lists, tuples, records and variants inside each other")
    if height > MAX_HEIGHT:
        raise TooLarge(f"a type of more than {MAX_HEIGHT} types inside each other")
    if size > MAX_TYPE_SIZE:
        raise TooLarge(
            f"a type made of more than {MAX_TYPE_SIZE:,} types and names, each counted as often as it is used"
        )
    return Extent(depth, size, height)
