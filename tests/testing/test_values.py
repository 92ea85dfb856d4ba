"""The strategies of the test kit: what they draw is of the type, reaches its bounds, and leaves no kind of type out."""

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st
from sameness import same

from desk.bus import ron
from desk.bus.codec import MAX_DEPTH
from desk.bus.types import (
    ANY,
    BYTES,
    JSON,
    STRING,
    U8,
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
    Named,
    OptionOf,
    Record,
    ResultOf,
    Signature,
    String,
    TupleOf,
    Type,
    VariantOf,
    parse_type,
)
from desk.bus.types.patterns import Pattern
from desk.testing.drawn_types import types
from desk.testing.texts import texts_of
from desk.testing.values import arguments_of, values_of, wrong_values_for

thorough = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)


def read(text: str) -> Type:
    """The type written as `text`."""
    return parse_type(ron.parse(text))


# Types.


@thorough
@given(types(any_=True))
def test_a_drawn_type_can_be_written_in_a_manifest(declared: Type) -> None:
    """What it prints is read as the same type."""
    assert read(str(declared)) == declared


KINDS = (
    Bool,
    Integer,
    Float,
    Char,
    String,
    Bytes,
    Json,
    EnumOf,
    VariantOf,
    ResultOf,
    OptionOf,
    TupleOf,
    ListOf,
    Record,
)


BOUNDS = ("u8(", "i64(", "f32(", "f64(", "string(", "bytes(", 'string("', "..", "..=", "=")


def test_no_kind_of_type_is_left_out() -> None:
    """Every kind is drawn, by itself and inside of another; numbers with ranges, and texts with lengths and patterns."""
    alone: set[type[Type]] = set()
    inside: set[type[Type]] = set()
    texts: list[str] = []

    @settings(max_examples=700, derandomize=True, database=None, suppress_health_check=list(HealthCheck), deadline=None)
    @given(types())
    def look(declared: Type) -> None:
        alone.add(type(declared))
        inside.update(map(type, declared.parts()))
        texts.append(str(declared))

    look()
    assert alone == set(KINDS)
    assert inside == set(KINDS)
    assert [each for each in BOUNDS if each not in "".join(texts)] == []


def test_any_is_drawn_only_when_it_is_asked_for() -> None:
    """No message of type `any` can say what it should be, so a property of all types seldom holds for it."""

    def holds_any(declared: Type) -> bool:
        return isinstance(declared, Any_) or any(map(holds_any, declared.parts()))

    assert find(types(any_=True), holds_any)

    @thorough
    @given(types())
    def never(declared: Type) -> None:
        assert not holds_any(declared)

    never()


@given(types(max_depth=0))
def test_types_are_no_deeper_than_asked(declared: Type) -> None:
    """With no room for others, a type is a word, or one with bounds, or an enum."""
    assert declared.parts() == ()


# Values.


@thorough
@given(st.data())
def test_drawn_values_are_of_the_type_and_come_back(data: st.DataObject) -> None:
    """Each is taken, alone and by `check`, and is the same after a message."""
    declared = data.draw(types(any_=True))
    value = data.draw(values_of(declared))
    declared.check(value)
    assert same(declared.lift(declared.lower(value)), value)


@thorough
@given(st.data())
def test_wrong_values_are_refused(data: st.DataObject) -> None:
    """There are some for every type, also for `any`."""
    declared = data.draw(types(any_=True))
    wrong = data.draw(wrong_values_for(declared))
    with pytest.raises(InvalidValue):
        declared.lower(wrong)


@pytest.mark.parametrize(
    ("text", "edges"),
    [
        ("u8", [0, 255]),
        ("i64(-3..=3)", [-3, 3]),
        ("f64(0.0..=1.0)", [0.0, 1.0]),
        ("f32(0.1..)", [0.10000000149011612, float("inf")]),
        ('string(2..=3, "0*")', ["00", "000"]),
        ('string(..=2, "a*")', ["", "aa"]),
        ("bytes(..=1)", [b"", b"\0"]),
        ("list(u8(7..=7), 2..=3)", [[7, 7], [7, 7, 7]]),
        ("option(bool)", [None, True]),
        ("enum(red, green)", ["red", "green"]),
        ("variant(a: bool, b: ())", [{"a": True}, "b"]),
        ("result((), bool)", ["ok", {"error": False}]),
        ("tuple(bool, char)", [(True, "0")]),
        ("(a: bool, b: option(bool))", [{"a": False, "b": None}]),
        ("json", [None, [], {}]),
    ],
)
def test_the_edges_of_a_type_are_reached(text: str, edges: list[Any]) -> None:
    """Bounds belong to the range, and every case is drawn."""
    for edge in edges:
        assert same(find(values_of(read(text)), lambda value, edge=edge: same(value, edge)), edge)


def test_a_named_type_has_the_values_of_its_type() -> None:
    """The name is for people."""
    assert find(values_of(ListOf(Named("small", U8))), lambda value: value == [255]) == [255]


def test_a_type_without_values_has_no_values() -> None:
    """A text cannot be longer than its pattern says."""
    impossible = String(5, 5, "[a-z]")
    assert values_of(impossible).is_empty
    assert values_of(TupleOf((U8, impossible))).is_empty
    assert find(values_of(ListOf(impossible)), lambda _: True) == []
    assert find(values_of(OptionOf(impossible)), lambda _: True) is None


@pytest.mark.parametrize("leaf", [ANY, JSON])
def test_what_any_holds_fits_into_the_depth_that_is_left(leaf: Type) -> None:
    """Fifteen lists around it leave room for one more."""
    declared = leaf
    for _ in range(MAX_DEPTH - 1):
        declared = ListOf(declared, 1, 1)

    @settings(max_examples=50)
    @given(values_of(declared))
    def fits(value: object) -> None:
        declared.check(value)

    fits()


@given(arguments_of(Signature((U8, STRING, BYTES), ("a", "b", "c"))))
def test_arguments_are_those_of_a_call(arguments: tuple[object, ...]) -> None:
    """One for each parameter, in order."""
    a, b, c = arguments
    assert Signature((U8, STRING, BYTES)).lower_args(arguments) == (a, str(b).encode(), c)


# Texts of a pattern.

PATTERNS = (
    "",
    "a",
    "[a-z]+",
    "(ab|c){2,3}",
    "(a?b?)*",
    "[^,]*",
    "x{3}(y|z{4})?",
    ".",
    "((a|)b){2}",
    "é|日本",
    "(a{2}){1,2}",
)


@given(st.sampled_from(PATTERNS), st.integers(0, 12), st.none() | st.integers(0, 6), st.data())
def test_texts_match_their_pattern_and_are_as_long_as_asked(
    pattern: str, shortest: int, more: int | None, data: st.DataObject
) -> None:
    """And where none is drawn, there is none: Python's own reader of patterns agrees."""
    longest = None if more is None else shortest + more
    texts = texts_of(pattern, shortest, longest)
    if texts.is_empty:
        assert not any(
            re.fullmatch(pattern, text)
            for text in SHORT
            if shortest <= len(text) <= (6 if longest is None else longest)
        )
        return
    text = data.draw(texts)
    assert Pattern(pattern).fullmatch(text)
    assert re.fullmatch(pattern, text)
    assert shortest <= len(text)
    assert longest is None or len(text) <= longest


SHORT = [
    *("", "a", "ab", "c", "abc", "cab", "cc", "ccc", "abab", "ababc", "ababab", "b", "bb", "aab", "abb", "é", "日本"),
    *("xxx", "xxxy", "xxxzzzz", "aa", "aaaa", "zzzzzz"),
]


@settings(max_examples=5, database=None, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.sampled_from(["ab" * 500, "[a-z]{1000}", "(a|bc){300}", "(((a{1,10}){1,10}){1,10})"]).flatmap(texts_of))
def test_a_long_pattern_is_no_burden(text: str) -> None:
    """A thousand characters, one after the other or counted out."""
    assert text
