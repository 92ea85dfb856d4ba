"""Sets of characters, as a class in a pattern has them: ranges of code points.

A set is a tuple of inclusive ranges in ascending order with gaps between them, so it is as small as it can be, whatever
the class that was written: `[a-cb-z]` is one range, `[^x]` two.
"""

import sys
from collections.abc import Iterable
from typing import TypeAlias

Ranges: TypeAlias = tuple[tuple[int, int], ...]
"""First and last code point of each range."""


def only(character: str) -> Ranges:
    """The set of one character."""
    return ((ord(character), ord(character)),)


def union(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """The set of all characters in any of `ranges`, which may overlap and come in any order."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(merged[-1][1], high)
        else:
            merged.append((low, high))
    return tuple(merged)


def all_but(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """The set of all characters in none of `ranges`."""
    others: list[tuple[int, int]] = []
    start = 0
    for low, high in union(ranges):
        if start < low:
            others.append((start, low - 1))
        start = high + 1
    if start <= sys.maxunicode:
        others.append((start, sys.maxunicode))
    return tuple(others)
