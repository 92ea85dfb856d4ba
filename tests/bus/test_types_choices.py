"""Enums, variants and results: their values on both ways, what is refused and how, and how they are written."""

import copy
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError

import cbor2
import pytest

from desk.bus.types import (
    F64,
    I32,
    MAX_TYPE_SIZE,
    STRING,
    U8,
    EnumOf,
    InvalidValue,
    ListOf,
    OptionOf,
    Record,
    ResultOf,
    Type,
    TypeSyntaxError,
    VariantOf,
    parse_type_text,
)

read = parse_type_text

SHAPE = read("variant(circle: f64, rect: (w: f64, h: f64), empty: (), note: option(string))")
COLOR = read("enum(red, green, blue)")


@pytest.mark.parametrize(
    ("text", "value", "wire"),
    [
        ("enum(red, green)", "green", "green"),
        ("variant(circle: f64, empty: ())", {"circle": 2.0}, {"circle": 2.0}),
        ("variant(circle: f64, empty: ())", "empty", "empty"),
        ("variant(none: option(u8))", {"none": None}, {"none": None}),
        ("variant(a: (b: option(u8)))", {"a": {"b": None}}, {"a": {"b": None}}),
        ("variant(a: variant(a: ()))", {"a": "a"}, {"a": "a"}),
        ("result(u8, string)", {"ok": 7}, {"ok": 7}),
        ("result(u8, string)", {"error": "no"}, {"error": "no"}),
        ("result((), string)", "ok", "ok"),
        ("result(u8, ())", "error", "error"),
        ("result((), ())", "ok", "ok"),
        ("list(enum(a, b))", ["a", "b", "a"], ["a", "b", "a"]),
        (
            "list(result(tuple(u8, u8), enum(gone)))",
            [{"ok": (1, 2)}, {"error": "gone"}],
            [{"ok": [1, 2]}, {"error": "gone"}],
        ),
        ("option(enum(a))", None, None),
        ("(color: option(enum(a)))", {"color": None}, {"color": None}),
    ],
)
def test_wire_form(text: str, value: object, wire: object) -> None:
    """A choice is lowered to the CBOR of its name, or of a map of its name to what it holds, and comes back the same."""
    declared = read(text)
    assert declared.flat is None
    assert declared.lower(value) == cbor2.dumps(wire)
    assert declared.lift(cbor2.dumps(wire)) == value
    declared.check(value)


def test_what_a_case_holds_is_converted() -> None:
    """What is taken for a value of the type inside is taken in a case, too."""
    assert repr(SHAPE.lift(cbor2.dumps({"circle": 2}))) == "{'circle': 2.0}"
    assert SHAPE.lower({"rect": {"w": 1, "h": 2}}) == cbor2.dumps({"rect": {"w": 1.0, "h": 2.0}})


ERRORS: list[tuple[Type, object, str]] = [
    (COLOR, "grean", "value: expected enum(red, green, blue), got 'grean' (string) (did you mean 'green'?)"),
    (COLOR, 1, "value: expected enum(red, green, blue), got 1 (integer)"),
    (COLOR, ["red"], "value: expected enum(red, green, blue), got a list of 1"),
    (COLOR, "\ud800", r"value: expected enum(red, green, blue), got '\ud800' (string)"),
    (ListOf(COLOR), ["red", {}], "value[1]: expected enum(red, green, blue), got a map of 0"),
    (SHAPE, {"circle": "wide"}, "value.circle: expected f64, got 'wide' (string)"),
    (SHAPE, {"rect": {"w": 1.0}}, "value.rect.h: expected f64, got nothing: the field is missing"),
    (SHAPE, {"empty": None}, "value: expected 'empty', a case that holds nothing, got a value in it"),
    (SHAPE, {"empty": {}}, "value: expected 'empty', a case that holds nothing, got a value in it"),
    (SHAPE, "circle", "value: expected {'circle': f64}, got 'circle' without a value"),
    (SHAPE, "note", "value: expected {'note': option(string)}, got 'note' without a value"),
    (
        ResultOf(U8, STRING),
        {"err": "no"},
        "value: expected result(u8, string), got the case 'err' (string) (did you mean 'error'?)",
    ),
    (ResultOf(None, STRING), {"ok": None}, "value: expected 'ok', a case that holds nothing, got a value in it"),
]


@pytest.mark.parametrize(("declared", "value", "words"), ERRORS)
def test_errors_name_the_place(declared: Type, value: object, words: str) -> None:
    """An error says which case it was about, and what belongs there."""
    with pytest.raises(InvalidValue) as caught:
        declared.lower(value)
    assert str(caught.value) == words


@pytest.mark.parametrize(
    "value",
    [
        None,
        1,
        True,
        "",
        "triangle",
        b"empty",
        [],
        ["circle", 2.0],
        ("empty",),
        {},
        {"circle": 1.0, "empty": None},
        {"circle": 1.0, "rect": {"w": 1.0, "h": 1.0}},
        {"triangle": 1.0},
        {1: 1.0},
        {None: 1.0},
        {b"circle": 1.0},
        {("circle",): 1.0},
        {"circle": None},
        {"circle": {"circle": 1.0}},
    ],
)
def test_what_is_no_value_of_a_variant(value: object) -> None:
    """A map with no case, two cases or a case of another name, and a name of a case that holds a value, are refused."""
    for declared, wrapped in ((SHAPE, value), (ListOf(SHAPE), [value]), (VariantOf((("a", SHAPE),)), {"a": value})):
        with pytest.raises(InvalidValue) as caught:
            declared.lower(wrapped)
        assert len(str(caught.value)) < 500
        with pytest.raises(InvalidValue):
            declared.check(wrapped)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00",
        b"\xa0",
        b"\xa1\x01\x02",
        b"\xa2\x65empty\xf6\x66circle\x01",
        b"\x66circle",
        b"\xf6",
        b"\xa1\x41a\x00",
    ],
)
def test_what_a_guest_gives_is_checked(raw: bytes) -> None:
    """Bytes that are no CBOR, or no value of the variant, are refused."""
    with pytest.raises(InvalidValue):
        SHAPE.lift(raw)
    with pytest.raises(InvalidValue):
        COLOR.lift(raw)


def test_subclasses_of_str_are_no_names() -> None:
    """A str that may mean something else, such as a member of an enum of Python, is refused as everywhere."""

    class Name(str):
        __slots__ = ()

    for declared in (COLOR, VariantOf((("red", None),))):
        with pytest.raises(InvalidValue):
            declared.lower(Name("red"))
        with pytest.raises(InvalidValue):
            ListOf(declared).lower([Name("red")])


# What they are made of.


def test_depth_and_size() -> None:
    """A variant is a map around what its cases hold, and names count as types do."""
    assert (COLOR.depth, COLOR.size) == (0, 4)
    assert (read("variant(a: (), b: ())").depth, read("variant(a: (), b: ())").size) == (0, 3)
    assert (SHAPE.depth, SHAPE.size) == (2, 8)
    assert (read("result((), list(u8))").depth, read("result((), list(u8))").size) == (2, 4)
    assert (read("option(result(u8, u8))").depth, U8.size, U8.depth) == (1, 1, 0)


def test_parts() -> None:
    """`parts` are the types directly inside, in order; a case that holds nothing has none."""
    assert SHAPE.parts() == (F64, read("(w: f64, h: f64)"), OptionOf(STRING))
    assert ResultOf(None, U8).parts() == (U8,)
    assert COLOR.parts() == U8.parts() == ()
    assert Record((("a", I32), ("b", STRING))).parts() == (I32, STRING)
    assert read("tuple(i32, string)").parts() == (I32, STRING)
    assert ListOf(I32).parts() == OptionOf(I32).parts() == (I32,)


def test_a_result_is_a_variant_of_two_cases() -> None:
    """It has cases and can be taken apart as a variant, but prints as a result, and is equal to results only."""
    result = ResultOf(U8, None)
    assert isinstance(result, VariantOf)
    assert (result.ok, result.error, result.cases) == (U8, None, (("ok", U8), ("error", None)))
    assert result == ResultOf(U8, None) != ResultOf(None, U8)
    assert hash(result) == hash(ResultOf(U8, None))
    assert result != VariantOf(result.cases)
    assert VariantOf(result.cases).lower({"ok": 1}) == result.lower({"ok": 1})
    assert str(result) == "result(u8, ())"
    assert repr(result).startswith("ResultOf(Integer(")
    assert copy.deepcopy(result) == pickle.loads(pickle.dumps(result)) == result
    with pytest.raises(FrozenInstanceError):
        result.cases = ()  # pyright: ignore[reportAttributeAccessIssue]


# Syntax.


@pytest.mark.parametrize(
    ("text", "declared"),
    [
        ("enum(red)", EnumOf(("red",))),
        ("enum(r#true, r#None, r#inf, i32, list)", EnumOf(("true", "None", "inf", "i32", "list"))),
        ("variant(circle: f64, empty: ())", VariantOf((("circle", F64), ("empty", None)))),
        ("variant(true: u8, None: ())", VariantOf((("true", U8), ("None", None)))),
        ("result(u8, string)", ResultOf(U8, STRING)),
        ("result((), result(u8, ()))", ResultOf(None, ResultOf(U8, None))),
    ],
)
def test_syntax(text: str, declared: Type) -> None:
    """A choice is read from its text, and printed as it was written."""
    assert read(text) == declared
    assert str(declared) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("enum", "enum of what? Write for example enum(red, green)"),
        ("enum()", "an enum type needs at least one name"),
        ("enum(a, a)", "enum 'a' is declared twice"),
        ('enum("a")', "expected a name, as in enum(red, green), got a string"),
        ("enum(true)", "got a bool; true and the like are written r#true"),
        ("enum(a: i32)", "no name of its own"),
        ("enum(list(i32))", "expected a name, as in enum(red, green), got a tuple"),
        ("enum(é)", "is no enum name; expected ASCII"),
        ("enum(r#two.words)", "is no enum name; expected ASCII"),
        ("variant", "variant of what? Write for example variant(circle: f64, empty: ())"),
        ("variant()", "the cases of a variant have names"),
        ("variant(f64, i32)", "the cases of a variant have names"),
        ("variant(a: f65)", "no type is called 'f65'"),
        ("variant(é: ())", "is no case name"),
        ("result", "result of what? Write for example result(i32, string)"),
        ("result(i32)", "result is of two types, got 1; () stands for nothing"),
        ("result(i32, i32, i32)", "result is of two types, got 3"),
        ("list(())", "expected a type"),
        ("(a: ())", "expected a type"),
        ("variant(a: " * 17 + "i32" + ")" * 17, "more than 16"),
        ("result((), " * 17 + "i32" + ")" * 17, "more than 16"),
        ("enumm(a)", "did you mean 'enum'"),
    ],
)
def test_what_is_no_choice(text: str, words: str) -> None:
    """What is not a choice is refused with its place and what to write."""
    with pytest.raises(TypeSyntaxError) as caught:
        read(text)
    assert words in str(caught.value)
    assert str(caught.value).startswith("line 1, column ")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "make",
    [
        lambda: EnumOf(()),
        lambda: EnumOf(("a", "a")),
        lambda: EnumOf(("a b",)),
        lambda: EnumOf(("a\n",)),
        lambda: EnumOf((5,)),  # pyright: ignore[reportArgumentType]
        lambda: EnumOf(([],)),  # pyright: ignore[reportArgumentType]
        lambda: EnumOf(("a" * 65,)),
        lambda: VariantOf(()),
        lambda: VariantOf((("a", None), ("a", U8))),
        lambda: VariantOf((("", U8),)),
    ],
)
def test_choices_cannot_be_made_wrong(make: Callable[[], object]) -> None:
    """A choice made in code keeps to the rules of one that was written."""
    with pytest.raises(TypeSyntaxError) as caught:
        make()
    assert len(str(caught.value)) < 400


# Bombs.


def test_a_huge_enum_is_refused() -> None:
    """The names of an enum are bounded as types are, and the largest one is a type like others."""
    names = tuple(f"name_{number}" for number in range(MAX_TYPE_SIZE))
    largest = EnumOf(names[1:])
    assert largest.size == MAX_TYPE_SIZE
    assert largest.lift(largest.lower("name_4000")) == "name_4000"
    for make in (
        lambda: EnumOf(names),
        lambda: EnumOf(names * 1000),
        lambda: VariantOf(tuple((name, None) for name in names)),
    ):
        with pytest.raises(TypeSyntaxError, match="more than 4,096 types and names"):
            make()


def test_errors_about_a_huge_type_are_short() -> None:
    """An error about a choice of thousands shows the first few, and does not compare the wrong name with all of them."""
    names = tuple(f"{'very_similar_' * 4}{number:04}" for number in range(4_000))
    wrong = "very_similar_" * 4 + "x000"
    for declared in (EnumOf(names), VariantOf(tuple((name, None) for name in names))):
        with pytest.raises(InvalidValue) as caught:
            declared.lift(cbor2.dumps(wrong))
        assert len(str(caught.value)) < 500
        assert "did you mean" in str(caught.value)
