"""What changed from one type to another: a line for each change, none where nothing did."""

import pytest
from hypothesis import given, settings

from desk.bus.types import U8, Named, Record, Type, parse_type_text
from desk.bus.types.difference import difference
from desk.testing.drawn_types import types


def between(old: str, new: str) -> list[str]:
    """The lines for two types."""
    return difference(parse_type_text(old), parse_type_text(new)).splitlines()


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        (
            "(tmax: f64)",
            "(tmax: option(f64), unit: enum(C, F))",
            ["~ .tmax: f64 -> option(f64)", "+ .unit: enum(C, F)"],
        ),
        ("(a: u8, b: u8)", "(b: u8)", ["- .a: u8"]),
        ("u8", "u8(1..)", ["~ value: u8 -> u8(1..)"]),
        ("enum(red, green)", "enum(red, blue)", ["- .green", "+ .blue"]),
        ("option(enum(red))", "option(enum(red, blue))", ["+ .blue"]),
        ("option(u8)", "option(i8)", ["~ value: option(u8) -> option(i8)"]),
        ("(a: option((b: u8)))", "(a: option((b: i8)))", ["~ .a.b: u8 -> i8"]),
        ("variant(a: u8, b: ())", "variant(a: (), c: ())", ["~ .a: u8 -> ()", "- .b", "+ .c"]),
        ("result(u8, ())", "result(i8, string)", ["~ .ok: u8 -> i8", "~ .error: () -> string"]),
        ("result(u8, u8)", "variant(ok: u8, error: u8)", ["~ value: result -> variant"]),
        ("list(u8)", "list(u8, 1..=3)", ["~ value: any number of items -> 1..=3 items"]),
        ("list((a: u8))", "list((a: i8))", ["~ [].a: u8 -> i8"]),
        ("tuple(u8, u8)", "tuple(u8, i8, bool)", ["~ [1]: u8 -> i8", "+ [2]: bool"]),
        ("(a: u8, b: u8)", "(b: u8, a: u8)", ["~ value: the order .a .b -> the order .b .a"]),
        ("(a: (b: u8))", "(a: list(u8))", ["~ .a: (b: u8) -> list(u8)"]),
    ],
)
def test_a_change_is_a_line(old: str, new: str, lines: list[str]) -> None:
    """Each change with its place, what was there and what is there instead."""
    assert between(old, new) == lines


def test_a_change_in_a_named_type_is_said_once() -> None:
    """However often a named type is used, its change is one line, which starts with its name."""

    def using(text: str) -> Type:
        reading = Named("reading", parse_type_text(text))
        return Record((("first", reading), ("all", parse_type_text("list(reading)", {"reading": reading}))))

    assert difference(using("(tmax: f64)"), using("(tmax: f32)")) == "~ reading.tmax: f64 -> f32"


def test_a_name_is_a_change() -> None:
    """A name that is given, taken or changed is a line, and what else changed there is said, too."""
    old, new = parse_type_text("(a: u8)"), parse_type_text("(a: i8)")
    assert difference(old, Named("place", new)).splitlines() == ["~ value: (a: u8) -> place", "~ .a: u8 -> i8"]
    assert difference(Named("there", U8), Named("place", U8)) == "~ value: there -> place"


@settings(deadline=None)
@given(types(max_depth=2), types(max_depth=2))
def test_it_is_empty_only_between_equals(old: Type, new: Type) -> None:
    """No change is passed over, and where there is none nothing is said. Every line says of what kind it is."""
    lines = difference(old, new).splitlines()
    assert bool(lines) is (old != new)
    assert all(line[:2] in ("~ ", "+ ", "- ") for line in lines)
    assert difference(old, old) == ""
