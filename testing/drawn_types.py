"""A Hypothesis strategy for types, for properties that hold whatever a message is: of validation, of documents, of a guest."""

import dataclasses
from functools import lru_cache
from typing import Any

from hypothesis import strategies as st

from desk.bus.types import (
    ANY,
    F32,
    F64,
    STRING,
    WORDS,
    Bytes,
    EnumOf,
    Float,
    Integer,
    ListOf,
    OptionOf,
    Record,
    ResultOf,
    String,
    TupleOf,
    Type,
    TypeSyntaxError,
    VariantOf,
)
from desk.testing.texts import texts_of

_INTEGERS = [each for each in WORDS.values() if isinstance(each, Integer)]
_NUMBERS = [*_INTEGERS, F32, F64]


def types(*, max_depth: int = 3, any_: bool = False) -> st.SearchStrategy[Type]:
    """Types of every kind, bounded and not, with at most `max_depth` others around each part; `any` only if `any_`.

        types()                             u8, list(string(1..=80)), (b: option(f64(0.0..))), …

    All have values. No part is a named type, so that `str(type)` stands for it without more.
    """
    return _types(max_depth, any_)


@st.composite
def _types(draw: st.DrawFn, depth: int, any_: bool) -> Type:
    """Looked into only where it is drawn from: written out, the strategy is larger by an order with each level."""
    return draw(_strategy(depth, any_))


@lru_cache
def _strategy(depth: int, any_: bool) -> st.SearchStrategy[Type]:
    leaves = st.one_of(
        st.sampled_from(_NUMBERS),
        st.sampled_from([each for each in WORDS.values() if each not in _NUMBERS and (any_ or each is not ANY)]),
        _narrow_integers(),
        _narrow_floats(),
        _narrow_strings(),
        _lengths().map(lambda lengths: Bytes(*lengths)),
        st.lists(_NAMES, min_size=1, max_size=5, unique=True).map(lambda names: EnumOf(tuple(names))),
    )
    return leaves | _compounds(_types(depth - 1, any_)) if depth else leaves


_NAMES = st.from_regex("[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True) | st.sampled_from(
    [*("true", "None", "Some", "inf", "NaN", "r", "b", "i32", "list", "_", "ok", "x" * 64)]  # with a meaning elsewhere
)


def _compounds(part: st.SearchStrategy[Type]) -> st.SearchStrategy[Type]:
    parts = st.lists(part, min_size=1, max_size=4).map(tuple)
    perhaps = st.none() | part
    return st.one_of(
        st.builds(ListOf, part),
        st.tuples(part, _lengths(most=4)).map(lambda drawn: ListOf(drawn[0], *drawn[1])),
        st.builds(OptionOf, part.filter(lambda item: not isinstance(item, OptionOf))),
        st.builds(TupleOf, parts),
        _named(part).map(Record),
        _named(perhaps).map(VariantOf),
        st.builds(ResultOf, perhaps, perhaps),
    )


def _named(part: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[tuple[str, Any], ...]]:
    return st.lists(st.tuples(_NAMES, part), min_size=1, max_size=4, unique_by=lambda field: field[0]).map(tuple)


def _narrow_integers() -> st.SearchStrategy[Type]:
    return st.sampled_from(_INTEGERS).flatmap(
        lambda whole: _bounds(st.integers(whole.low, whole.high)).map(
            lambda bounds: dataclasses.replace(whole, low=bounds[0], high=bounds[1])
        )
    )


def _bounds(number: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.tuples(number, number).map(sorted)


def _narrow_floats() -> st.SearchStrategy[Type]:
    def of(whole: Float) -> st.SearchStrategy[Type]:
        number = st.floats(allow_nan=False, width=whole.bits)
        both = _bounds(number).map(tuple)
        one = st.tuples(number, st.none()) | st.tuples(st.none(), number)
        return (both | one).map(lambda bounds: Float(whole.bits, *bounds))

    return st.sampled_from([F32, F64]).flatmap(of)


def _lengths(most: int = 30) -> st.SearchStrategy[tuple[int, int | None]]:
    shortest = st.integers(0, most)
    return shortest.flatmap(lambda low: st.tuples(st.just(low), st.none() | st.integers(low, low + most)))


@st.composite
def _narrow_strings(draw: st.DrawFn) -> Type:
    lengths = draw(_lengths())
    if draw(st.booleans()):
        return String(*lengths)
    pattern = draw(_PATTERNS)
    for bounds in (lengths, (0, lengths[1]), (lengths[0], None), (0, None)):
        if not texts_of(pattern, *bounds).is_empty:  # or no text is both in the pattern and as long
            break
    try:
        return String(*bounds, pattern)
    except TypeSyntaxError:  # few patterns have too many states
        return STRING


_PATTERNS = st.recursive(
    st.sampled_from(["a", "é", "-", "x1", ".", r"\.", r"\n", "[a-z]", "[0-9]", "[^,]", "[A-Za-z_-]", "日"]),
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map("|".join).map("({})".format),
        st.builds("({}){}".format, inner, st.sampled_from(["?", "*", "+", "{2}", "{1,3}", "{2,}"])),
    ),
    max_leaves=5,
)
