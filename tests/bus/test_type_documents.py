"""Types as CDDL and as JSON Schema, held against validators of others: what a type takes, its documents take."""

import base64
import json
from typing import Any, cast

import cbor2
import pytest
from cddl_verifier import Validator
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from desk.bus.types import (
    F32,
    F64,
    I8,
    MAX_TYPE_SIZE,
    U8,
    Float,
    InvalidValue,
    ListOf,
    Named,
    Record,
    TupleOf,
    Type,
    parse_type_text,
)
from desk.bus.types.cddl import cddl
from desk.bus.types.json_schema import Schema, json_schema
from desk.testing.drawn_types import types
from desk.testing.values import values_of

READING = Named(
    "reading", parse_type_text('(tmax: f64(-90.0..=60.0), unit: enum(C, F), note: option(string(..=80, "[a-z ]*")))')
)
NAMES = {"reading": READING}
WEATHER = parse_type_text(
    "(city: string(1..=80), days: list(reading, 1..=7), sky: variant(clear: (), cloudy: f32), at: tuple(i16, u64), "
    "icon: bytes(..=1024), more: json, mark: option(char), now: reading)",
    NAMES,
)


def in_cddl(document: str, value: object) -> bool:
    """Whether the first rule of a document takes a wire value."""
    return bool(Validator(document).validate(cbor2.dumps(value)).valid)


def in_schema(schema: Schema, value: object) -> bool:
    """Whether a JSON Schema, which must be one, takes a value as JSON."""
    Draft202012Validator.check_schema(schema)
    return bool(Draft202012Validator(schema).is_valid(json.loads(json.dumps(as_json(value)))))


def as_json(value: object) -> object:
    """A value as `json_schema` describes it."""
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case list() | tuple():
            return [as_json(each) for each in cast("list[object]", value)]
        case dict():
            return {name: as_json(each) for name, each in cast("dict[str, object]", value).items()}
        case _:
            return value


# As they read.


def test_cddl_as_it_reads() -> None:
    """The rules asked for, in order, then the named types they use, then our words."""
    assert cddl({"weather": WEATHER, "gust": U8}) == (
        """\
weather = {
  "city": tstr .size (1..320),
  "days": [1*7 reading],
  "sky": "clear" / {"cloudy": f32},
  "at": [i16, u64],
  "icon": bstr .size (0..1024),
  "more": json,
  ? "mark": char / null,
  "now": reading,
}
gust = u8
reading = {
  "tmax": -90.0..60.0 / -90..60,
  "unit": "C" / "F",
  ? "note": (tstr .size (0..320)) .and (tstr .regexp "[a-z ]*") / null,
}
i16 = -32768..32767
u8 = 0..255
u64 = 0..18446744073709551615
f32 = float / int
char = tstr .regexp "[\\\\s\\\\S]"
json = null / bool / int / float / tstr / [* json] / {* tstr => json}
"""
    )


def test_json_schema_as_it_reads() -> None:
    """One document, with the named types in `$defs`."""
    declared = parse_type_text(
        "(days: list(reading, 1..), sky: variant(clear: (), cloudy: f32), at: tuple(i16), more: any)", NAMES
    )
    assert json_schema(declared) == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "days": {"type": "array", "items": {"$ref": "#/$defs/reading"}, "minItems": 1},
            "sky": {
                "oneOf": [
                    {"enum": ["clear"]},
                    {
                        "type": "object",
                        "properties": {"cloudy": {"type": "number"}},
                        "required": ["cloudy"],
                        "additionalProperties": False,
                    },
                ]
            },
            "at": {
                "type": "array",
                "prefixItems": [{"type": "integer", "minimum": -32768, "maximum": 32767}],
                "items": False,
                "minItems": 1,
            },
            "more": {},
        },
        "required": ["days", "sky", "at", "more"],
        "additionalProperties": False,
        "$defs": {
            "reading": {
                "type": "object",
                "properties": {
                    "tmax": {"type": "number", "minimum": -90.0, "maximum": 60.0},
                    "unit": {"enum": ["C", "F"]},
                    "note": {
                        "anyOf": [{"type": "string", "maxLength": 80, "pattern": "^(?:[a-z ]*)$"}, {"type": "null"}]
                    },
                },
                "required": ["tmax", "unit"],
                "additionalProperties": False,
            }
        },
    }


# What they take and refuse.


@pytest.mark.parametrize(
    ("text", "right", "wrong"),
    [
        ("bool", [True], [0, None, "true"]),
        ("u8", [0, 255], [-1, 256, True, 1.5, "1"]),
        ("i64", [-(1 << 63), (1 << 63) - 1], [1 << 63, -(1 << 63) - 1]),
        ("u8(3..=3)", [3], [2, 4]),
        ("f64", [0.5, 1], ["1", None, True]),
        ("f64(0.0..=1.0)", [0.0, 0.5, 1], [-0.5, 1.5, 2, -1]),
        ("f64(0.25..=0.75)", [0.5], [0, 1, 0.8]),
        ("f64(0.5..)", [0.5, 1, 1e300], [0.4, 0]),
        ("f64(..=1e300)", [-1e300, -5], [1.5e300]),
        ("f32(2.0..=2.0)", [2.0, 2], [2.5, 3]),
        ("char", ["a", "é", "\n", "🌧"], ["", "ab", 1]),
        ("string", ["", "é"], [1, None]),
        ("string(1..=2)", ["a", "éé", "🌧🌧"], ["", "a" * 9]),
        ('string("[a-z]+")', ["abc"], ["", "abc1", "1abc"]),
        ('string("a.c")', ["abc", "a\u2028c"], ["a\nc", "ac"]),
        (r'string("a\\-b\\.c")', ["a-b.c"], ["a-bxc"]),
        (r'string("a^b$c[$^]")', ["a^b$c$", "a^b$c^"], ["abc"]),
        ('string("a|b")', ["a", "b"], ["ab", "xa", "bx"]),
        (r'string("[\\]\\[\\-\\\\\\^\"]*")', ["]", "-\\^", '["'], ["a"]),
        (r'string("\\n\\t\u{e9}?")', ["\n\t", "\n\té"], ["nt"]),
        ("bytes", [b"", b"\xff\xfe"], ["not base64", "====", 1]),
        ("bytes(2..=4)", [b"12", b"1234"], [b"", b"1234567"]),
        ("json", [None, 1, "a", 1.5, [{"a": [True]}]], []),
        ("any", [None, b"", {"a": b"1"}], []),
        ("list(u8, 1..=2)", [[1], [1, 2]], [[], [1, 2, 3], [256], 1, {"a": 1}]),
        ("list(u8(5..=5), ..=2)", [[], [5, 5]], [[4], [5, 5, 5]]),
        ("list(option(u8))", [[], [None, 1]], [["a"]]),
        ("list(option(list(u8)))", [[None, [1], []]], [["a"], [["a"]]]),
        ("tuple(u8, string)", [[1, "a"]], [[1], [1, "a", 2], ["a", 1]]),
        ("option(u8)", [None, 1], ["a", -1]),
        ("option(any)", [None, 1], []),
        (
            "(a: u8, b: option(u8))",
            [{"a": 1}, {"a": 1, "b": None}, {"a": 1, "b": 2}],
            [{}, {"b": 1}, {"a": 1, "c": 2}, []],
        ),
        ("enum(C, F)", ["C", "F"], ["K", "", 0]),
        (
            "variant(a: u8, b: (), c: option(u8))",
            ["b", {"a": 1}, {"c": None}],
            ["a", {"b": 1}, {"a": 1, "c": 1}, {}, {"a": -1}],
        ),
        ("list(variant(a: u8, b: ()))", [["b", {"a": 1}, "b"]], [["a"], [{"a": -1}]]),
        ("result(u8, ())", [{"ok": 1}, "error"], ["ok", {"error": 1}]),
        ("(u8: u8, a: list(enum(u8)))", [{"u8": 1, "a": ["u8"]}], [{"u8": "u8", "a": []}]),
    ],
)
def test_both_take_what_is_right_and_refuse_what_is_wrong(text: str, right: list[object], wrong: list[object]) -> None:
    """Both documents agree with the type on values chosen by hand."""
    declared = parse_type_text(text)
    document, schema = cddl({"it": declared}), json_schema(declared)
    for value in right:
        declared.check(value)
        assert in_cddl(document, value), (value, document)
        assert in_schema(schema, value), (value, schema)
    for value in wrong:
        with pytest.raises(InvalidValue):
            declared.check(value)
        assert not in_cddl(document, value), (value, document)
        assert not in_schema(schema, value), (value, schema)


def test_where_the_documents_are_looser() -> None:
    """CDDL counts the bytes of text, and JSON has one kind of numbers: what the two modules say of themselves."""
    assert in_cddl(cddl({"it": parse_type_text("string(..=1)")}), "ab")
    assert not in_schema(json_schema(parse_type_text("string(..=1)")), "ab")
    assert in_schema(json_schema(U8), 1.0)
    assert not in_cddl(cddl({"it": U8}), 1.0)


@pytest.mark.parametrize("bound", [0.1, 0.9, 1.1, -0.7, 33.3, 1e-45, 3.4028235e38, 3.0])
def test_bounds_of_32_bits_take_the_number_that_was_written(bound: float) -> None:
    """A reader rounds what it compares, a document does not: both the written and the rounded bound are in it."""
    rounded = cast("float", F32.from_wire(bound))
    for declared in (Float(32, bound, None), Float(32, None, bound), Float(32, bound, bound)):
        for value in (bound, rounded):
            assert declared.from_wire(value) == rounded
            assert in_cddl(cddl({"a": declared}), value)
            assert in_schema(json_schema(declared), value)


def test_json_is_what_json_has_a_form_for() -> None:
    """The CDDL of `json` goes all the way down."""
    document = cddl({"it": parse_type_text("json")})
    assert in_cddl(document, {"a": [1, {"b": [None]}]})
    assert not in_cddl(document, {"a": [1, {"b": [b""]}]})


@st.composite
def declared_values(draw: st.DrawFn) -> tuple[Type, Any]:
    """Types, perhaps under a name, with values of theirs."""
    declared = draw(types(max_depth=2, any_=True))
    if draw(st.booleans()):
        declared = Record((("first", Named("part", declared)), ("others", ListOf(Named("part", declared)))))
    return declared, draw(values_of(declared))


@settings(deadline=None)
@given(declared_values())
def test_every_value_is_taken(drawn: tuple[Type, Any]) -> None:
    """What a type takes, encoded, both documents take."""
    declared, value = drawn
    assert in_cddl(cddl({"it": declared}), declared.to_wire(value))
    assert in_schema(json_schema(declared), value)


# Names.


def test_a_name_is_defined_once() -> None:
    """A type that is asked for under its own name, and used elsewhere, has one rule."""
    document = cddl({"reading": READING, "all": ListOf(READING), "same": READING})
    assert [line.split(" = ")[0] for line in document.splitlines() if " = " in line] == ["reading", "all", "same"]
    assert "same = reading\n" in document


def test_names_are_kept_apart() -> None:
    """Two types of one name, and names that mean something in CDDL or cannot stand there, have rules of their own."""
    mine, theirs = Named("number", U8), Named("number", I8)
    document = cddl({"it": TupleOf((mine, theirs, mine)), "u8": F64, "a b": U8, "7-": U8})
    assert document.splitlines()[:6] == [
        "it = [number_, number__, number_]",
        "u8_ = f64",
        "a_b = u8",
        "_7-_ = u8",
        "number_ = u8",
        "number__ = i8",
    ]
    assert in_cddl(document, [255, -1, 0])
    schema = json_schema(TupleOf((mine, theirs)))
    assert list(cast("Schema", schema["$defs"])) == ["number", "number_"]
    assert in_schema(schema, [255, -1])


def test_a_document_of_nothing() -> None:
    """No types, no rules."""
    assert cddl({}) == ""


def test_names_that_double_stay_small() -> None:
    """Named types are defined, not written out: a type of thousands of parts by doubling names is a short document."""
    declared: Type = U8
    step = 0
    while 2 * declared.size + 2 < MAX_TYPE_SIZE:
        step += 1
        declared = Named(f"twice-{step}", TupleOf((declared, declared)))
    assert len(cddl({"it": declared})) < 1000
    assert len(json.dumps(json_schema(declared))) < 5000
