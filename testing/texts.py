"""Hypothesis strategies for texts that a pattern describes, of the lengths one wants.

Nothing is drawn and then thrown away. For each part of a pattern the lengths it can have are known beforehand: a set of
numbers, as the bits of an integer. So a length is drawn first, then the share that each part has of it.
"""

from functools import lru_cache

from hypothesis import strategies as st

from desk.bus.types.character_sets import Ranges
from desk.bus.types.pattern_syntax import Characters, Choice, Repeat, Sequence, Tree, parse

_ROOM = 20
"""How much longer than the shortest a text is at most."""


@lru_cache(256)
def texts_of(pattern: str, shortest: int = 0, longest: int | None = None) -> st.SearchStrategy[str]:
    """Texts of `shortest` to `longest` characters, all of which match `pattern` as a whole (`desk.bus.types.patterns`).

        texts_of("[a-z]+(-[0-9]{2})?", 1, 10)          "a", "zq-07", …

    Without `longest`, they are about 20 characters longer than they must be. There are no such texts? Then it is
    `st.nothing()`. Raises `PatternError` for what is no pattern.
    """
    tree = parse(pattern)
    if tree is None:
        return st.nothing() if shortest else st.just("")
    limit = max(shortest, _shortest(tree)) + _ROOM
    lengths = _numbers(_lengths(tree, limit if longest is None else min(limit, longest)) >> shortest << shortest)
    return st.sampled_from(lengths).flatmap(lambda length: _texts(tree, length)) if lengths else st.nothing()


def _shortest(tree: Tree) -> int:
    match tree:
        case Characters():
            return 1
        case Sequence(parts):
            return sum(map(_shortest, parts))
        case Choice(branches):
            return min(map(_shortest, branches))
        case Repeat(part, low, _):
            return low * _shortest(part)


# Sets of lengths, up to a limit: bit n is set if n is in the set.


def _lengths(tree: Tree, limit: int) -> int:
    match tree:
        case Characters(ranges):
            return 1 << 1 if limit and _encodable(ranges) else 0
        case Sequence(parts):
            return _after(parts, limit)[0]
        case Choice(branches):
            lengths = 0
            for branch in branches:
                lengths |= _lengths(branch, limit)
            return lengths
        case Repeat(part, low, high):
            return _repeated(_lengths(part, limit), low, high, limit)[0]


def _after(parts: tuple[Tree, ...], limit: int) -> list[int]:
    """For each number of parts that are through: the lengths of all others, one after the other."""
    after = [1]
    for part in reversed(parts):
        after.append(_sums(after[-1], _lengths(part, limit), limit))
    return after[::-1]


def _repeated(once: int, low: int, high: int | None, limit: int) -> list[int]:
    """For each number of repetitions that are through: the lengths of all others; beyond the end as at the end."""
    after = [1]
    if high is None:
        while (longer := after[0] | _sums(after[0], once, limit)) != after[0]:
            after[0] = longer
        high = low
    for through in reversed(range(high)):
        after.append(_sums(after[-1], once, limit) | (through >= low))
    return after[::-1]


def _sums(some: int, others: int, limit: int) -> int:
    sums = 0
    for number in _numbers(others):
        sums |= some << number
    return sums & (1 << limit + 1) - 1


def _numbers(lengths: int) -> list[int]:
    return [number for number in range(lengths.bit_length()) if lengths >> number & 1]


# Texts of a given length.


@st.composite
def _texts(draw: st.DrawFn, tree: Tree, length: int) -> str:
    match tree:
        case Characters(ranges):
            return draw(_characters(ranges))
        case Choice(branches):
            able = [branch for branch in branches if _lengths(branch, length) >> length & 1]
            return draw(_texts(draw(st.sampled_from(able)), length))
        case Sequence(parts):
            texts: list[str] = []
            for part, rest in zip(parts, _after(parts, length)[1:], strict=True):
                share = draw(_share(_lengths(part, length), rest, length))
                texts.append(draw(_texts(part, share)))
                length -= share
            return "".join(texts)
        case Repeat(part, low, high):
            texts = []
            once = _lengths(part, length)
            after = _repeated(once, low, high, length)
            while length or len(texts) < low:
                rest = after[min(len(texts) + 1, len(after) - 1)]
                share = draw(_share(once, rest, length, empty=len(texts) < low))
                texts.append(draw(_texts(part, share)))
                length -= share
            return "".join(texts)


def _share(mine: int, rest: int, length: int, *, empty: bool = True) -> st.SearchStrategy[int]:
    """How much of `length` a part gets that can have `mine`, where all after it can have `rest`; none only if `empty`."""
    shares = [number for number in _numbers(mine) if number <= length and rest >> length - number & 1]
    return st.sampled_from(shares if empty else [share for share in shares if share])


def _characters(ranges: Ranges) -> st.SearchStrategy[str]:
    return st.one_of(
        [
            st.characters(min_codepoint=low, max_codepoint=high, exclude_categories=["Cs"])
            for low, high in _encodable(ranges)
        ]
    )


def _encodable(ranges: Ranges) -> list[tuple[int, int]]:
    """Those that are not surrogates only, which no text in a message can hold."""
    return [(low, high) for low, high in ranges if not 0xD800 <= low <= high <= 0xDFFF]
