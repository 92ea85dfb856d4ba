"""Hypothesis strategies for values of a type: what a property says of all messages, tried on many.

    from hypothesis import given
    from desk.testing.values import values_of
    from desk.bus.types import parse_type_text

    READING = parse_type_text("(city: string(1..=80), tmax: f64(-90.0..=60.0), unit: enum(C, F))")

    @given(values_of(READING))
    def test_every_reading_can_be_drawn(reading): ...

A value comes back from a message as it was drawn, `==` to itself but for NaN: texts that are encodable, floats where floats
are declared and of so many bits, all fields of a record. What a type takes beyond that (a tuple for a list, a whole number for
a float, an option left out of a record) is not drawn.

Needs `hypothesis`, which `desk-ext[testing]` brings along.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import strategies as st

from desk.bus.codec import MAX_DEPTH
from desk.bus.types import (
    Any_,
    Bool,
    Bytes,
    Char,
    EnumOf,
    Float,
    Integer,
    InvalidValue,
    Json,
    ListOf,
    OptionOf,
    Record,
    ResultOf,
    Signature,
    String,
    TupleOf,
    Type,
    VariantOf,
)
from desk.testing.texts import texts_of

_MORE = 4
"""How many items a list has at most beyond those it must have; twenty times as many for text and bytes."""

_CHARACTERS = st.characters(exclude_categories=["Cs"])


def values_of(declared: Type) -> st.SearchStrategy[Any]:
    """Values that `declared.lower` takes, within all its bounds.

        values_of(parse_type_text("list(u8(1..=6), 2..=2)"))         [1, 1], [6, 3], …

    `st.nothing()` for a type that has no values, such as `string(5..=5, "[a-z]")`.
    """
    return _values(declared, MAX_DEPTH)


def arguments_of(signature: Signature) -> st.SearchStrategy[tuple[Any, ...]]:
    """All arguments of one call, in order: `host.call(name, export, *arguments)`.

    arguments_of(manifest.exports["render"])                 (640, 480), (0, 1), …
    """
    return st.tuples(*map(values_of, signature.params))


def wrong_values_for(declared: Type) -> st.SearchStrategy[Any]:
    """Values of many kinds that `declared.lower` refuses with `InvalidValue`; for `any` there are few.

    wrong_values_for(U8)                                     None, True, -1, 256, "", [0], …
    """
    return st.sampled_from([value for value in _ALL_KINDS if not _takes(declared, value)])


_ALL_KINDS: list[object] = [
    *(None, True, 0, -1, 1 << 31, 1 << 63, 1 << 64, -(1 << 65), 0.0, math.inf, math.nan, "", "a", "\ud800", "wrong"),
    *(
        b"",
        b"\xff",
        [],
        [0],
        [None],
        ["a"],
        (),
        (0, "a"),
        {},
        {"wrong": 0},
        {"ok": 0},
        {1: 2},
        {"": None},
        set(),
        object(),
    ),
]


def _takes(declared: Type, value: object) -> bool:
    try:
        declared.lower(value)
    except InvalidValue:
        return False
    return True


def _values(declared: Type, room: int) -> st.SearchStrategy[Any]:
    """As `values_of`, with `room` for so many arrays and maps inside each other."""
    bare = declared.bare
    return _VALUES[type(bare)](bare, room)


def _floats(declared: Float, _room: int) -> st.SearchStrategy[float]:
    low, high = declared.low, declared.high
    if low is None and high is None:
        return st.floats(width=declared.bits)
    return st.floats(low, high, width=declared.bits, allow_nan=False)


def _strings(declared: String, _room: int) -> st.SearchStrategy[str]:
    if declared.pattern is not None:
        return texts_of(declared.pattern, declared.shortest, declared.longest)
    return st.text(_CHARACTERS, min_size=declared.shortest, max_size=_most(declared, 20 * _MORE))


def _bytes(declared: Bytes, _room: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=declared.shortest, max_size=_most(declared, 20 * _MORE))


def _lists(declared: ListOf, room: int) -> st.SearchStrategy[list[Any]]:
    items = _values(declared.item, room - 1)
    if items.is_empty:
        return st.nothing() if declared.shortest else st.builds(list[Any])
    return st.lists(items, min_size=declared.shortest, max_size=_most(declared, _MORE))


def _most(declared: String | Bytes | ListOf, more: int) -> int:
    most = declared.shortest + more
    return most if declared.longest is None else min(most, declared.longest)


def _records(declared: Record, room: int) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({name: _values(item, room - 1) for name, item in declared.fields})


def _cases(declared: VariantOf, room: int) -> st.SearchStrategy[Any]:
    return st.one_of(
        [
            st.just(name) if item is None else st.fixed_dictionaries({name: _values(item, room - 1)})
            for name, item in declared.cases
        ]
    )


def _anything(leaves: st.SearchStrategy[Any], room: int) -> st.SearchStrategy[Any]:
    whole = leaves
    for _ in range(min(room, 3)):
        whole = leaves | st.lists(whole, max_size=_MORE) | st.dictionaries(st.text(_CHARACTERS), whole, max_size=_MORE)
    return whole


_PLAIN = st.none() | st.booleans() | st.integers(-(1 << 64), (1 << 64) - 1) | st.text(_CHARACTERS)
_FINITE = _PLAIN | st.floats(allow_nan=False, allow_infinity=False)

_VALUES: Mapping[type[Type], Callable[[Any, int], st.SearchStrategy[Any]]] = {
    Bool: lambda _, __: st.booleans(),
    Integer: lambda declared, _: st.integers(declared.low, declared.high),
    Float: _floats,
    Char: lambda _, __: _CHARACTERS,
    String: _strings,
    Bytes: _bytes,
    Json: lambda _, room: _anything(_FINITE, room),
    Any_: lambda _, room: _anything(_PLAIN | st.floats() | st.binary(), room),
    EnumOf: lambda declared, _: st.sampled_from(declared.names),
    VariantOf: _cases,
    ResultOf: _cases,
    OptionOf: lambda declared, room: st.none() | _values(declared.item, room),
    TupleOf: lambda declared, room: st.tuples(*(_values(item, room - 1) for item in declared.items)),
    ListOf: _lists,
    Record: _records,
}
