"""Who can read what another writes: never yes wrongly, yes where it matters, and what is said of the rest."""

import math
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any, TypeAlias, cast

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from desk.bus import codec
from desk.bus.types import (
    ANY,
    BOOL,
    BYTES,
    F64,
    I64,
    JSON,
    MAX_TYPE_SIZE,
    STRING,
    U8,
    Bytes,
    Char,
    EnumOf,
    Float,
    Integer,
    InvalidValue,
    ListOf,
    Named,
    OptionOf,
    Record,
    Signature,
    String,
    TupleOf,
    Type,
    VariantOf,
    parse_type_text,
)
from desk.bus.types.compatible import MAX_PROBLEMS, Problem, problems, signature_problems
from desk.bus.types.difference import difference
from desk.testing.drawn_types import types
from desk.testing.values import values_of

Draw: TypeAlias = Callable[[st.SearchStrategy[Any]], Any]

NAMES = {
    name: Named(name, parse_type_text(text))
    for name, text in {
        "reading": "(tmax: f64, unit: enum(C, F))",
        "perhaps": "option(u8)",
        "small": "u8(..=9)",
    }.items()
}


def read(text: str) -> Type:
    return parse_type_text(text, NAMES)


def lifted(declared: Type, wire: object) -> object:
    """The value of `declared` in a part of a message: what a reader of it makes of it."""
    whole = Record((("it", declared),)).lift(codec.encode({"it": wire}))
    return cast("dict[str, object]", whole)["it"]


def said(writer: str, reader: str) -> list[str]:
    """The problems, as they are printed."""
    return [str(each) for each in problems(read(writer), read(reader))]


# Yes and no, by hand.


@pytest.mark.parametrize(
    ("writer", "reader"),
    [
        ("u8", "u8"),
        ("u8", "i16"),
        ("u8", "i64"),
        ("i8(0..=9)", "u8"),
        ("i32(1..=5)", "u8(0..=5)"),
        ("i32", "f64"),
        ("u32", "f64(0.0..)"),
        ("i64(0..=9007199254740992)", "f64"),
        ("u16", "f32"),
        ("f32", "f64"),
        ("f32(0.0..=0.5)", "f64(..=0.5)"),
        ("f64(0.0..)", "f64(0.0..=inf)"),
        ("f64(1.0..=2.0)", "json"),
        ("char", "string"),
        ("char", "string(1..)"),
        ("string(1..=1)", "char"),
        ("string(2..=5)", "string(1..=5)"),
        ('string(2..=5, "[a-z]+")', 'string("[a-z]+")'),
        ('string("[a-z]+")', "string"),
        ("enum(C, F)", "enum(F, K, C)"),
        ("enum(C, F)", "string"),
        ("enum(C, F)", "char"),
        ("enum(low, high)", 'string(3..=4, "[a-z]+")'),
        ("enum(a, b)", "variant(a: (), b: (), c: f64)"),
        ("variant(a: (), b: ())", "enum(a, b, c)"),
        ("variant(a: (), b: ())", "string(1..=1)"),
        ("variant(a: u8)", "variant(b: (), a: u16)"),
        ("result(u8, string)", "result(u16, string)"),
        ("result(u8, ())", "variant(ok: u8, error: (), unsure: ())"),
        ("bytes(1..=4)", "bytes(..=8)"),
        ("u8", "option(u8)"),
        ("option(u8)", "option(u16)"),
        ("option(u8)", "option(json)"),
        ("option(u8)", "json"),
        ("option(bytes)", "any"),
        ("list(u8)", "list(u16)"),
        ("list(u8, 2..=3)", "list(u8, 1..)"),
        ("list(bytes, 0..=0)", "list(u8)"),
        ("list(bytes, 0..=0)", "json"),
        ("tuple(u8, i8)", "list(i16, 2..)"),
        ("tuple(u8, i8)", "tuple(u16, i8)"),
        ("(a: u8, b: string)", "(b: string, a: i32)"),
        ("(a: u8)", "(a: u8, b: option(string))"),
        ("(a: u8)", "(a: u8, b: perhaps)"),
        ("(a: perhaps)", "(a: option(u8))"),
        ("(a: list(option(tuple(char, bool))))", "json"),
        ("reading", "(tmax: f64, unit: string)"),
        ("small", "u8"),
        ("json", "json"),
        ("json", "any"),
        ("any", "any"),
        ("any", "option(any)"),
    ],
)
def test_can_read(writer: str, reader: str) -> None:
    """A reader of the second reads all that a writer of the first sends."""
    assert said(writer, reader) == []


@pytest.mark.parametrize(
    ("writer", "reader", "sent"),
    [
        ("u8", "i8", 128),
        ("u8", "bool", 1),
        ("bool", "u8", True),
        ("u8(..=10)", "u8(1..)", 0),
        ("f64", "i64", 1.0),
        ("f64", "f32", 1e300),
        ("f64", "f64(0.0..)", math.nan),
        ("f64(-1.0..)", "f64(0.0..)", -0.5),
        ("f64(0.0..=1.0)", "f64(0.0..=0.5)", 0.75),
        ("i8", "f64(0.0..)", -1),
        ("f64", "json", math.nan),
        ("f64(0.0..)", "json", math.inf),
        ("bytes", "json", b""),
        ("any", "json", b""),
        ("any", "u8", "a"),
        ("json", "string", 1),
        ("string", "char", "ab"),
        ("string", "string(1..)", ""),
        ("string", "bytes", "a"),
        ("bytes", "string", b"a"),
        ("bytes", "bytes(..=4)", b"12345"),
        ("char", "string(2..)", "a"),
        ("string", 'string("[a-z]*")', "A"),
        ("string", "enum(a)", "b"),
        ("enum(C, F, K)", "enum(C, F)", "K"),
        ("enum(C, low)", "char", "low"),
        ("enum(C, F)", 'string("[A-E]")', "F"),
        ("enum(a)", "variant(a: u8)", "a"),
        ("variant(a: u8)", "enum(a)", {"a": 1}),
        ("variant(a: u8, b: ())", "string", {"a": 1}),
        ("variant(a: u8)", "variant(a: ())", {"a": 1}),
        ("variant(a: u16)", "variant(a: u8)", {"a": 256}),
        ("result((), string)", "result((), ())", {"error": ""}),
        ("option(u8)", "u8", None),
        ("perhaps", "small", None),
        ("option(u8)", "string", 1),
        ("list(u8)", "list(u8, 1..)", []),
        ("list(u16)", "list(u8)", [256]),
        ("list(u8)", "tuple(u8)", []),
        ("tuple(u8, u8)", "tuple(u8)", [1, 2]),
        ("tuple(u8, u8)", "list(u8, 3..)", [1, 2]),
        ("tuple(u8, string)", "list(u8)", [1, ""]),
        ("(a: u8)", "(b: u8)", {"a": 1}),
        ("(a: u8, b: u8)", "(a: u8)", {"a": 1, "b": 1}),
        ("(a: u8)", "(a: u8, b: any)", {"a": 1}),
        ("(a: option(u8))", "(a: any)", {}),
        ("(a: u8)", "list(u8)", {"a": 1}),
        ("reading", "(tmax: f64, unit: enum(C))", {"tmax": 1.0, "unit": "F"}),
    ],
)
def test_cannot_read(writer: str, reader: str, sent: object) -> None:
    """A writer of the first may send something that a reader of the second refuses, and it is said so."""
    lifted(read(writer), sent)
    with pytest.raises(InvalidValue):
        lifted(read(reader), sent)
    assert said(writer, reader)


@pytest.mark.parametrize(
    ("writer", "reader"),
    [
        ("i64", "f64"),
        ("u32", "f32"),
        ("f64(0.0..=1.0)", "f32"),
        ('string(1..=2, "[ab]")', "char"),
        ('string("a|b")', 'string("[ab]")'),
        ('string("a|b")', "enum(a, b)"),
        ("list(u8, 2..=2)", "tuple(u8, u8)"),
        ("(a: u8)", "variant(a: u8)"),
        ("variant(a: u8)", "(a: u8)"),
        ("list(string(9..=9), 0..)", "list(u8)"),
    ],
)
def test_no_although_it_may_go_well(writer: str, reader: str) -> None:
    """What the module says that it does not find out, or that it refuses because a value would be changed."""
    assert said(writer, reader)


def test_a_problem_is_a_line_with_its_place() -> None:
    """Every problem is reported, each in one line: where, what is sent and read there, and why that does not do."""
    writer = "(city: string, tmax: f64, days: list((rain: option(f64), wind: u16)), at: tuple(u8, u8), unit: enum(C, K), old: u8)"
    reader = "(city: string(..=80), tmax: i32, days: list((rain: f64, wind: u8)), at: tuple(u8, bool), unit: enum(C), new: u8)"
    assert said(writer, reader) == [
        ".city: string -> string(..=80): it may be shorter or longer than what is read",
        ".tmax: f64 -> i32: they are of different kinds",
        ".days[].rain: option(f64) -> f64: none may be sent",
        ".days[].wind: u16 -> u8: its range is wider than what is read",
        ".at[1]: u8 -> bool: they are of different kinds",
        ".unit.K: enum(C, K) -> enum(C): the reader does not know this case",
        ".old: u8 -> nothing: the reader refuses fields that it does not know",
        ".new: nothing -> u8: only a field of an option type may be missing",
    ]
    assert said("string", "u8") == ["value: string -> u8: they are of different kinds"]


def test_a_long_type_is_cut_in_a_line() -> None:
    """A type may be printed in thousands of words; in a problem it is a hundred characters."""
    wide = EnumOf(tuple(f"name_{number}" for number in range(1000)))
    [problem] = problems(wide, U8)
    assert len(str(problem)) < 200
    assert "\n" not in str(problem)


# Functions.


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (Signature((U8,), ("a",), F64), Signature((I64,), ("b",), Float(32)), []),
        (Signature(()), Signature(()), []),
        (Signature((I64,)), Signature((U8,)), ["params[0]: i64 -> u8: its range is wider than what is read"]),
        (Signature((U8,)), Signature((U8, U8)), ["params: 1 are given, 2 are taken"]),
        (
            Signature((), None, U8),
            Signature((), None, I64),
            ["result: i64 -> u8: its range is wider than what is read"],
        ),
        (Signature((), None, U8), Signature(()), ["result: nothing -> u8: there is a result on one side only"]),
        (Signature(()), Signature((), None, U8), ["result: u8 -> nothing: there is a result on one side only"]),
    ],
)
def test_an_export_may_become_more_general(old: Signature, new: Signature, expected: list[str]) -> None:
    """Arguments may become wider and results narrower; the number of arguments and whether there is a result may not change."""
    assert [str(each) for each in signature_problems(old, new)] == expected


# What is true of all types.


def children(declared: Type, change: Callable[[Type], Type]) -> Type:
    """The same type with each of its parts changed."""
    match declared:
        case Named(name=name, type=held):
            return Named(name, change(held))
        case ListOf(item=item, shortest=shortest, longest=longest):
            return ListOf(change(item), shortest, longest)
        case OptionOf(item=item):
            changed = change(item)
            return changed if isinstance(changed.bare, OptionOf) else OptionOf(changed)
        case TupleOf(items=items):
            return TupleOf(tuple(map(change, items)))
        case Record(fields=fields):
            return Record(tuple((name, change(item)) for name, item in fields))
        case VariantOf(cases=cases):
            return VariantOf(tuple((name, item and change(item)) for name, item in cases))
        case _:
            return declared


def new_among(parts: Iterable[tuple[str, object]]) -> str:
    """A name that none of these has."""
    taken = dict(parts)
    return next(name for number in count() if (name := f"further_{number}") not in taken)


@st.composite
def writers(draw: Draw) -> Type:
    """Types of all kinds, some parts of them with names."""

    def named(declared: Type) -> Type:
        inner = children(declared, named)
        return Named(draw(st.sampled_from(["reading", "place"])), inner) if draw(st.integers(0, 3)) == 0 else inner

    return named(draw(types(max_depth=2, any_=True)))


def wider(draw: Draw, declared: Type) -> Type:
    """A type that reads all that `declared` writes, by steps of which each is known to be safe."""
    inner = children(declared, lambda part: wider(draw, part))
    step = draw(st.integers(0, 5))
    if step == 0:
        return OptionOf(ANY) if isinstance(inner.bare, OptionOf) else ANY  # an option of a record may be left out
    match inner:
        case _ if step == 1 and not isinstance(inner.bare, OptionOf):
            return OptionOf(inner)
        case Integer() if step == 2 and abs(inner.low) < 1 << 53 and abs(inner.high) < 1 << 53:
            return draw(
                st.sampled_from([F64, Float(64, inner.low, None), Float(64, None, float(inner.high)), I64, JSON])
            )
        case Float(bits=32) if step == 2:
            return Float(64, inner.low, inner.high)
        case Float() | String() | Bytes() if step == 3:
            return type(inner)(64) if isinstance(inner, Float) else type(inner)()
        case Char() if step == 2:
            return draw(st.sampled_from([STRING, String(1), String(0, 1), JSON]))
        case EnumOf() if step == 2:
            return VariantOf(
                tuple((name, None) for name in (*inner.names, new_among((name, None) for name in inner.names)))
            )
        case EnumOf() if step == 3:
            return EnumOf((new_among((name, None) for name in inner.names), *inner.names))
        case ListOf() if step == 2:
            return ListOf(inner.item, draw(st.integers(0, inner.shortest)), None)
        case TupleOf() if step == 2:
            return ListOf(ANY, draw(st.integers(0, len(inner.items))))
        case Record() if step == 2:
            return Record((*reversed(inner.fields), (new_among(inner.fields), OptionOf(U8))))
        case VariantOf() if step == 2:
            return VariantOf(((new_among(inner.cases), None), *inner.cases))
        case _:
            return inner


def relative(draw: Draw, declared: Type) -> Type:
    """A type that is like `declared` but for a few parts, which are wider, narrower or something else."""
    inner = children(declared, lambda part: relative(draw, part))
    match draw(st.integers(0, 12)):
        case 0:
            return draw(types(max_depth=1, any_=True))
        case 1 | 2:
            return wider(draw, inner)
        case 3 if isinstance(inner, OptionOf):
            return inner.item
        case 3 if isinstance(inner, Integer):
            return Integer(inner.name, inner.low, draw(st.integers(inner.low, inner.high)), inner.wide)
        case 3 if isinstance(inner, Float):
            return Float(inner.bits, inner.low, inner.high if inner.high is not None else math.inf)
        case 3 if isinstance(inner, String):
            return String(inner.shortest, inner.longest)
        case 3 if isinstance(inner, ListOf):
            return ListOf(inner.item, min(1, inner.shortest), inner.longest)
        case 3 if isinstance(inner, EnumOf):
            return draw(st.sampled_from([STRING, String(1, 8), Char(), EnumOf(inner.names[:2])]))
        case 3 if isinstance(inner, Record):
            return draw(
                st.sampled_from(
                    [JSON, Record(inner.fields[:2]), Record((*inner.fields, (new_among(inner.fields), U8)))]
                )
            )
        case 3 if isinstance(inner, VariantOf):
            return draw(st.sampled_from([JSON, STRING, VariantOf(inner.cases[:2])]))
        case 4:
            return JSON
        case _:
            return inner


def without_nones(draw: Draw, declared: Type, value: object) -> object:
    """A wire value of `declared`, some of whose fields that are none are left out, as a guest may leave them out."""
    match declared.bare:
        case Record(fields=fields):
            given = cast("dict[str, object]", value)
            return {
                name: without_nones(draw, item, given[name])
                for name, item in fields
                if given[name] is not None or not isinstance(item.bare, OptionOf) or draw(st.booleans())
            }
        case ListOf(item=item):
            return [without_nones(draw, item, each) for each in cast("list[object]", value)]
        case TupleOf(items=items):
            return [without_nones(draw, *each) for each in zip(items, cast("list[object]", value), strict=True)]
        case OptionOf(item=item) if value is not None:
            return without_nones(draw, item, value)
        case VariantOf(cases=cases) if isinstance(value, dict):
            [(name, held)] = cast("dict[str, object]", value).items()
            return {name: without_nones(draw, cast("Type", dict(cases)[name]), held)}
        case _:
            return value


def same(sent: object, read: object) -> bool:
    """Whether nothing was lost: integers may have become floats, and fields that were left out are none."""
    if isinstance(sent, dict) and isinstance(read, dict):
        one, other = cast("dict[str, object]", sent), cast("dict[str, object]", read)
        return all(same(one.get(name), other.get(name)) for name in {*one, *other})
    if isinstance(sent, list | tuple) and isinstance(read, list | tuple):
        one, other = cast("list[object]", sent), cast("list[object]", read)
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(sent, float) and math.isnan(sent):
        return isinstance(read, float) and math.isnan(read)
    return sent == read and isinstance(sent, bool) is isinstance(read, bool)


@settings(deadline=None)
@given(st.data())
def test_yes_is_never_wrong(data: st.DataObject) -> None:
    """Without a problem, every value of the writer, sent as CBOR, is read by the reader, and is the same for it."""
    writer = data.draw(writers())
    reader = relative(data.draw, writer)
    if problems(writer, reader):
        event("no")
        return
    event("yes, the same" if writer == reader else "yes")
    value = data.draw(values_of(writer))
    wire = codec.decode(codec.encode(writer.to_wire(value)))
    sent = without_nones(data.draw, writer, wire)
    assert same(sent, lifted(reader, sent))


@settings(deadline=None)
@given(st.data())
def test_yes_is_said_to_what_became_wider(data: st.DataObject) -> None:
    """A type that became another by safe steps only can be read as that."""
    writer = data.draw(writers())
    assert problems(writer, wider(data.draw, writer)) == ()


@settings(deadline=None)
@given(writers())
def test_a_type_can_read_itself(declared: Type) -> None:
    """There is no problem between equal types, and no difference."""
    assert problems(declared, declared) == ()
    assert difference(declared, declared) == ""


@settings(deadline=None)
@given(st.data())
def test_problems_are_lines(data: st.DataObject) -> None:
    """Whatever the types are, a problem is one line that starts with a place."""
    writer, reader = data.draw(writers()), data.draw(writers())
    for problem in problems(writer, reader):
        assert str(problem).startswith(problem.path or "value")
        assert len(str(problem).splitlines()) == 1


# Large types.


def widest(fields: int, prefix: str) -> Record:
    return Record(tuple((f"{prefix}{number}", OptionOf(BYTES)) for number in range(fields)))


def test_problems_without_end_are_cut() -> None:
    """Of thousands of problems the first are reported."""
    assert len(problems(widest(2000, "a"), widest(2000, "b"))) == MAX_PROBLEMS


def test_every_item_of_a_tuple_against_a_large_item() -> None:
    """Many parts of a writer against one large part of the reader cost their sum, not their product."""
    writer = TupleOf((Record((("a0", BYTES),)),) * 1300)
    assert problems(writer, ListOf(widest(2000, "a"))) == ()
    assert (
        problems(TupleOf((EnumOf(("a0",)),) * 1300), ListOf(EnumOf(tuple(f"a{number}" for number in range(4000)))))
        == ()
    )


def test_names_that_are_used_again_and_again() -> None:
    """Types that double by name, as large as a type may be, are compared part by part."""
    old, new = cast("Type", BOOL), cast("Type", OptionOf(BOOL))
    while 4 * old.size + 8 < MAX_TYPE_SIZE:
        old, new = (Named("doubled", TupleOf((each, each))) for each in (old, new))
        if old.depth > 9:
            break
    assert problems(old, new) == ()
    backwards = problems(new, old)
    assert len(backwards) == MAX_PROBLEMS
    assert {each.why for each in backwards} == {"none may be sent"}


def test_a_problem_says_what_is_compared() -> None:
    """The parts of a problem can be had one by one."""
    assert problems(Record((("a", BOOL),)), Record((("a", U8),))) == (
        Problem(".a", BOOL, U8, "they are of different kinds"),
    )
