"""Ranges, lengths and patterns: what they let through at their edges, how they are written, and which are none."""

import math
import re
from collections.abc import Callable

import cbor2
import pytest

from desk.bus.types import (
    F32,
    F64,
    I8,
    I64,
    STRING,
    U8,
    WORDS,
    Bytes,
    Float,
    Integer,
    InvalidValue,
    ListOf,
    Raw,
    String,
    TupleOf,
    Type,
    TypeSyntaxError,
    parse_type_text,
)
from desk.bus.types.numbers import INTEGER_RANGES

read = parse_type_text


EDGES: list[tuple[str, list[object], list[object]]] = [
    ("u8(1..=10)", [1, 10], [0, 11, -1, 256, 1.0, True]),
    ("u8(1..11)", [1, 10], [0, 11]),
    ("u8(5..=5)", [5], [4, 6]),
    ("i32(..=5)", [5, -(2**31)], [6, -(2**31) - 1]),
    ("i32(..0)", [-1], [0]),
    ("i64(1..)", [1, 2**63 - 1], [0, 2**63]),
    ("u64(1..=18446744073709551615)", [1, 2**64 - 1], [0, 2**64]),
    ("i8(-5..=-2)", [-5, -2], [-6, -1, 2]),
    ("f64(0.0..=1.0)", [0.0, -0.0, 1.0, 0, 1], [-5e-324, math.nextafter(1.0, 2.0), math.nan, math.inf, 2]),
    ("f64(0..=1)", [0.0, 1.0], [-0.1, 1.1]),
    ("f64(0.0..)", [0.0, math.inf], [-0.1, -math.inf, math.nan]),
    ("f64(..=0.0)", [0.0, -math.inf], [0.1, math.nan]),
    ("f64(-inf..=inf)", [-math.inf, math.inf, 0], [math.nan]),
    ("f64(..=1.7976931348623157e308)", [1.7976931348623157e308, -math.inf], [math.inf, math.nan]),
    ("f32(0.0..=1.0)", [0.0, 1.0], [-1e-30, 1.001, math.nan, 1e39]),
    ("string(1..=3)", ["a", "éßx", "😀😀😀"], ["", "abcd", "😀😀😀😀"]),
    ("string(2..)", ["ab"], ["a"]),
    ("string(..=0)", [""], ["a"]),
    ('string("[a-z]+")', ["a", "abc"], ["", "A", "ab1", "a\n", "\na"]),
    ('string(2..=3, "[a-z]+")', ["ab", "abc"], ["a", "abcd", "AB"]),
    ('string("")', [""], ["a"]),
    ('string("é|.{2}")', ["é", "ab", "😀b"], ["e", "e\u0301\u0301"]),
    ("bytes(..=2)", [b"", b"ab", bytearray(b"ab")], [b"abc", bytearray(3), memoryview(bytes(3)), "a"]),
    ("bytes(2..=2)", [b"ab"], [b"a", b"abc"]),
    ("list(u8, 1..=2)", [[1], [1, 2]], [[], [1, 2, 3], (1, 2, 3), [1, 256]]),
    ("list(any, 1..)", [[None]], [[]]),
    ("list(list(u8, 1..), ..=1)", [[], [[1]]], [[[]], [[1], [1]]]),
]


@pytest.mark.parametrize(("text", "inside", "outside"), EDGES)
def test_edges(text: str, inside: list[object], outside: list[object]) -> None:
    """What is at a bound is taken and what is beyond it refused: alone, in a list, and on both ways."""
    declared = read(text)
    for value in inside:
        assert declared.lift(declared.lower(value)) == value
        assert ListOf(declared).lift(ListOf(declared).lower([value, value])) == [value, value]
        declared.check(value)
    for value in outside:
        for wrap, wrapped in ((declared, value), (ListOf(declared), [value]), (TupleOf((U8, declared)), (1, value))):
            with pytest.raises(InvalidValue):
                wrap.lower(wrapped)
            with pytest.raises(InvalidValue):
                wrap.check(wrapped)


@pytest.mark.parametrize(
    ("text", "raw"),
    [
        ("u8(1..=10)", 0),
        ("u8(1..=10)", 11),
        ("i32(0..=5)", 0xFFFFFFFF),
        ("i32(0..=5)", -1),
        ("i32(-5..=5)", 0xFFFFFFF0),
        ("u64(..=9)", -1),
        ("f64(0.0..=1.0)", math.nan),
        ("f64(0.0..=1.0)", 1.5),
        ("f32(0.0..=1.0)", 1.5),
        ("string(..=3)", b"abcd"),
        ("string(2..)", "é".encode()),
        ('string("[a-z]+")', b"A"),
        ("bytes(..=2)", b"abc"),
        ("bytes(..=2)", bytearray(b"abc")),
        ("bytes(2..)", memoryview(b"a")),
        ("list(u8, 1..=2)", b"\x80"),
        ("list(u8, 1..=2)", b"\x83\x01\x02\x03"),
        ("list(string(1..))", b"\x81\x60"),
        ('list(string("[a-z]+"))', b"\x81\x61A"),
    ],
)
def test_what_a_guest_gives_keeps_to_them(text: str, raw: Raw) -> None:
    """Numbers and payloads of a guest are held to the constraints as those of the host are."""
    with pytest.raises(InvalidValue):
        read(text).lift(raw)


def test_integers_of_a_range_are_read_by_their_bits() -> None:
    """A range does not change how a number of wasm is read: signed for i32, unsigned for u32."""
    assert read("i32(-5..=5)").lift(0xFFFFFFFB) == -5
    assert read("u32(4294967295..)").lift(-1) == 2**32 - 1
    with pytest.raises(InvalidValue, match=r"i32 \(0 to 5\), got -1 \(integer\)"):
        read("i32(0..=5)").lift(-1)


def test_bounds_of_32_bits_are_rounded_as_values_are() -> None:
    """A bound means the f32 nearest to it, so that what equals the bound before rounding is taken."""
    declared = read("f32(0.0..=0.1)")
    nearest = F32.lower(0.1)
    assert declared.lower(0.1) == nearest
    assert isinstance(declared, Float)
    assert declared.high == nearest
    assert read(str(declared)) == declared
    with pytest.raises(InvalidValue):
        declared.lower(0.10000001)


def test_whole_numbers_in_a_message_are_held_to_a_range_of_floats() -> None:
    """5 is taken for 5.0, and is then in or out of the range as 5.0 is."""
    declared = read("(t: f64(0.0..=5.0))")
    assert repr(declared.lift(cbor2.dumps({"t": 5}))) == "{'t': 5.0}"
    with pytest.raises(InvalidValue, match=r"value\.t: expected f64\(0\.0\.\.=5\.0\), got 6 \(integer\)"):
        declared.lift(cbor2.dumps({"t": 6}))


@pytest.mark.parametrize("text", ["string(1..)", 'string(".")', 'list(string("."), 1..)'])
def test_lone_surrogates_are_refused_whatever_the_pattern(text: str) -> None:
    """A text that UTF-8 cannot carry is no string, though its length and the pattern allow it."""
    value = ["\ud800"] if text.startswith("list") else "\ud800"
    with pytest.raises(InvalidValue):
        read(text).lower(value)


@pytest.mark.parametrize(
    ("text", "value", "words"),
    [
        ("u8(1..=10)", 0, "value: expected u8 (1 to 10), got 0 (integer)"),
        ("f64(0.0..=1.0)", math.nan, "value: expected f64(0.0..=1.0), got nan (float)"),
        ("string(1..=80)", "", "value: expected string(1..=80), got '' (string)"),
        ('string("[a-z]+")', "AB", "value: expected string(\"[a-z]+\"), got 'AB' (string)"),
        ("bytes(..=2)", b"abc", "value: expected bytes(..=2), got 3 bytes"),
        ("(tags: list(u8, ..=2))", {"tags": [1, 2, 3]}, "value.tags: expected list(u8, ..=2), got a list of 3"),
        ("list(u8(1..))", [1, 0], "value[1]: expected u8 (1 to 255), got 0 (integer)"),
    ],
)
def test_errors_name_the_place_and_the_constraint(text: str, value: object, words: str) -> None:
    """An error shows what was allowed, in the syntax of manifests."""
    with pytest.raises(InvalidValue) as caught:
        read(text).lower(value)
    assert str(caught.value) == words


# Syntax.


@pytest.mark.parametrize(
    ("text", "printed", "declared"),
    [
        ("u8(1..11)", "u8(1..=10)", Integer("u8", 1, 10, wide=False)),
        ("u8(0..=255)", "u8", U8),
        ("u8(..)", "u8", U8),
        ("u8(0x10..=1_00)", "u8(16..=100)", Integer("u8", 16, 100, wide=False)),
        ("i8(-128..=0)", "i8(..=0)", Integer("i8", -128, 0, wide=False)),
        ("i64(1..)", "i64(1..)", Integer("i64", 1, 2**63 - 1, wide=True)),
        ("f64(0..=1)", "f64(0.0..=1.0)", Float(64, 0.0, 1.0)),
        ("f64(-0.0..)", "f64(0.0..)", Float(64, 0.0)),
        ("f64(..=1e22)", "f64(..=1e+22)", Float(64, None, 1e22)),
        ("f64(-inf..=inf)", "f64(-inf..=inf)", Float(64, -math.inf, math.inf)),
        ("f64(..)", "f64", F64),
        ("string(0..)", "string", STRING),
        ("string(1..=80)", "string(1..=80)", String(1, 80)),
        ("string(..81)", "string(..=80)", String(0, 80)),
        ('string("[a-z]+")', 'string("[a-z]+")', String(pattern="[a-z]+")),
        (r'string(1.., r"\.")', r'string(1.., "\\.")', String(1, None, r"\.")),
        ('string(r#""\u00e9\n"#)', r'string("\"é\n")', String(pattern='"é\n')),
        ("bytes(..=1024)", "bytes(..=1024)", Bytes(0, 1024)),
        ("bytes(16..=16)", "bytes(16..=16)", Bytes(16, 16)),
        ("list(u8, 1..=10)", "list(u8, 1..=10)", ListOf(U8, 1, 10)),
        ("list(u8, 0..)", "list(u8)", ListOf(U8)),
    ],
)
def test_syntax_of_constraints(text: str, printed: str, declared: Type) -> None:
    """A constraint is printed as a range with both its ends, and not at all if it leaves nothing out."""
    assert read(text) == declared
    assert str(declared) == printed
    assert read(printed) == declared


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("u8(0..=256)", "u8 has numbers from 0 to 255 only"),
        ("u8(-1..)", "u8 has numbers from 0 to 255 only"),
        ("i8(..=340282366920938463463374607431768211455)", "i8 has numbers from -128 to 127 only"),
        ("u8(5..=4)", "no number is in the range 5..=4"),
        ("u8(5..5)", "nothing is in the range 5..5"),
        ("u8(0..0)", "nothing is in the range 0..0"),
        ("u8(..0)", "no number is in the range 0..=-1"),
        ("u8(1.0..=2.0)", "expected a range of whole numbers"),
        ("u8(5)", "u8 takes a range, as in u8(1..=10), got an integer"),
        ("u8()", "u8 takes a range, as in u8(1..=10), got 0 values"),
        ("u8(1..=2, 3..=4)", "u8 takes a range, as in u8(1..=10), got 2 values"),
        ('u8("1..=10")', "u8 takes a range, as in u8(1..=10), got a string"),
        ("f64(0.0..1.0)", "a range of floats has its end in it: write 0.0..=1.0"),
        ("f64(NaN..)", "f64 has no number nan"),
        ("f64(..=NaN)", "f64 has no number nan"),
        ("f64(1.0..=0.0)", "no number is in the range 1.0..=0.0"),
        ("f64(0..=9007199254740993)", "f64 has no number 9007199254740993"),
        ("f32(0..=16777217)", "f32 has no number 16777217"),
        ("f32(..=1e39)", "is beyond f32"),
        ("f64(1.0)", "f64 takes a range, as in f64(0.0..=1.0), got a float"),
        ("string(80)", "string takes a range of lengths, a pattern, or both"),
        ('string("a", 1..=2)', "string takes a range of lengths, a pattern, or both"),
        ("string()", "string takes a range of lengths, a pattern, or both"),
        ("string(-1..=2)", "a length is a whole number from 0"),
        ("string(1..=99999999999)", "a length is a whole number from 0 to 4294967295"),
        ("string(3..=2)", "no length is in the range 3..=2"),
        ("string(0..0)", "nothing is in the range 0..0"),
        ("string(0.5..)", "expected a range of whole numbers"),
        ('string("[a-z")', "of the pattern"),
        ('string("(a")', "of the pattern"),
        (r'string(r"\d+")', "[0-9]"),
        ('string("(a|b)*a(a|b){30}")', "too many states"),
        ("bytes(80)", "bytes takes a range, as in bytes(1..=80), got an integer"),
        ('bytes("a")', "bytes takes a range, as in bytes(1..=80), got a string"),
        ("list(1..=2)", "expected a type, got a range"),
        ("list(i32, 2)", "list is of one type, got 2; lengths are written list(i32, 1..=10)"),
        ("list(i32, 1..=2, 3)", "list is of one type, got 3"),
        ("list(i32, 2..=1)", "no length is in the range 2..=1"),
        ("option(i32, 1..=2)", "option is of one type, got 2"),
        *((f"{word}(1..=2)", f"{word} is a type by itself") for word in ("bool", "char", "json", "any")),
    ],
)
def test_what_is_no_constraint(text: str, words: str) -> None:
    """A constraint that is none, leaves nothing over or is not that of its type is refused with its place."""
    with pytest.raises(TypeSyntaxError) as caught:
        read(f"(\n  a: {text})")
    assert words in str(caught.value)
    assert str(caught.value).startswith("line 2, column ")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "make",
    [
        lambda: Integer("u8", 0, 256, wide=False),
        lambda: Integer("u8", 0, 255, wide=True),
        lambda: Integer("u7", 0, 100, wide=False),
        lambda: Integer("i64", 0, 1, wide=False),
        lambda: Integer("u8", True, 5, wide=False),
        lambda: Integer("u8", 0, 5.0, wide=False),  # pyright: ignore[reportArgumentType]
        lambda: Float(16),  # pyright: ignore[reportArgumentType]
        lambda: Float(64, math.nan),
        lambda: Float(64, 10**400),
        lambda: Float(64, "0"),  # pyright: ignore[reportArgumentType]
        lambda: Float(64, True, 2.0),
        lambda: Float(64, 1.0, 0.0),
        lambda: String(-1),
        lambda: String(True),
        lambda: String(0, 10**5000),
        lambda: String(5, 4),
        lambda: String(pattern="["),
        lambda: String(pattern="\ud800"),
        lambda: String(pattern=5),  # pyright: ignore[reportArgumentType]
        lambda: Bytes(2, 1),
        lambda: ListOf(I8, 2, 1),
    ],
)
def test_constraints_cannot_be_made_wrong(make: Callable[[], object]) -> None:
    """A constraint made in code keeps to the rules of one that was written."""
    with pytest.raises(TypeSyntaxError) as caught:
        make()
    assert len(str(caught.value)) < 400


def test_a_range_is_part_of_the_type() -> None:
    """Types with other constraints differ; those that leave the same over are equal, however they were written."""
    assert read("u8(1..=10)") == read("u8(1..11)") != U8
    assert hash(read("string(1..)")) == hash(String(1))
    assert read("f64(0.0..)") != read("f64(-inf..)") != F64
    assert len({read("string(1..=2)"), read("string"), read('string("a")'), String(1, 2)}) == 3


@pytest.mark.parametrize("name", INTEGER_RANGES)
def test_words_are_their_widest_ranges(name: str) -> None:
    """The word of a whole number is the range of all numbers that have its bits."""
    low, high = INTEGER_RANGES[name]
    assert read(f"{name}({low}..={high})") == WORDS[name]
    assert str(WORDS[name]) == name


def test_a_text_too_long_is_not_matched() -> None:
    """The length is looked at before the pattern, so that a long text costs no more than its own reading."""
    declared = read('string(..=10, "(a+)+b")')
    with pytest.raises(InvalidValue, match=re.escape("string of 1000000 characters")):
        declared.lift(b"a" * 1_000_000)


def test_a_pattern_that_others_choke_on_costs_nothing() -> None:
    """Matching takes one step a character, whatever the pattern is."""
    declared = read('string("(a+)+b")')
    with pytest.raises(InvalidValue):
        declared.lift(b"a" * 100_000)
    assert declared.lift(b"a" * 100_000 + b"b") == "a" * 100_000 + "b"


def test_numbers_of_wide_words() -> None:
    """Ranges of 64-bit words lower to i64 as the words do."""
    assert read("i64(1..=2)").flat == I64.flat == "i64"
    assert read("u8(1..=2)").flat == "i32"
    assert read("f32(0.0..)").flat == "f32"
