"""Writing RON: what is written reads back as the same, in one form, in time that is linear; and plain Python values."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.bus import ron
from desk.bus.ron import (
    Bool,
    Bytes,
    Char,
    Field,
    Float,
    Ident,
    Int,
    List,
    Map,
    Node,
    NoneValue,
    Range,
    RonLimits,
    Some,
    Str,
    Struct,
    Tuple,
)

LARGE = RonLimits(size=1 << 24, depth=1 << 20, nodes=1 << 20)


def read(text: str) -> Node:
    return ron.parse(text, limits=LARGE)


# Single values.


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (Bool(True), "true"),
        (Int(0), "0"),
        (Int(-5, "i8"), "-5i8"),
        (Int((1 << 128) - 1), "340282366920938463463374607431768211455"),
        (Float(1.0), "1.0"),
        (Float(-0.0), "-0.0"),
        (Float(1e300), "1e+300"),
        (Float(5e-324), "5e-324"),
        (Float(0.5, "f32"), "0.5f32"),
        (Float(math.inf), "inf"),
        (Float(-math.inf, "f32"), "-inff32"),
        (Float(math.nan), "NaN"),
        (Float(math.copysign(math.nan, -1), "f64"), "-NaNf64"),
        (Str('a "b" \\ \n\r\t\0\x1b'), r'"a \"b\" \\ \n\r\t\0\u{1b}"'),
        (Str("'é中🦀"), '"\'é中🦀"'),
        (Str("\u202e\u00a0\ufeff\u200b"), r'"\u{202e}\u{a0}\u{feff}\u{200b}"'),
        (Char("'"), r"'\''"),
        (Char('"'), "'\"'"),
        (Char("\u2028"), r"'\u{2028}'"),
        (Bytes(b'a"\\\n\0\x7f\xff'), r'b"a\"\\\n\0\x7f\xff"'),
        (NoneValue(), "None"),
        (Ident("i32"), "i32"),
        (Ident("None"), "r#None"),
        (Ident("NaNf32"), "r#NaNf32"),
        (Ident("hot-reload"), "r#hot-reload"),
        (Ident("3d"), "r#3d"),
        (Ident("élan_2"), "élan_2"),
        (Range(Int(1), Int(5), inclusive=True), "1..=5"),
        (Range(None, Int(-5), inclusive=True), "..=-5"),
        (Range(Float(0.0), Float(1.0), inclusive=False), "0.0..1.0"),
        (Range(Float(-math.inf), Float(math.inf), inclusive=False), "-inf..+inf"),
        (Range(Int(1, "u8"), None, inclusive=False), "1u8.."),
        (Range(None, None, inclusive=False), ".."),
    ],
)
def test_single_values(node: Node, text: str) -> None:
    """Each has the shortest plain form, with escapes for all that cannot be seen."""
    assert ron.dump(node) == text
    again = read(text)
    assert repr(again) == repr(node)  # which tells -0.0 from 0.0, and has NaN equal to itself
    assert ron.dump(again) == text


@pytest.mark.parametrize(
    "node",
    [
        Int(1 << 128),
        Int(-1, "u8"),
        Float(0.1, "f32"),
        Char(""),
        Char("ab"),
        Str("\ud800"),
        Ident(""),
        Ident("a b"),
        Ident("#x"),
        Tuple("a(", ()),
        Struct(None, ()),
        Struct(None, (Field("a b", Int(1)),)),
        Struct(None, (Field("a", Int(1)), Field("a", Int(2)))),
        Map(((Int(1), Int(1)), (Int(1, "u8"), Int(2)))),
        Range(Int(1), None, inclusive=True),
    ],
)
def test_what_no_text_stands_for(node: Node) -> None:
    """A node that reading never gives is refused, alone and inside others, instead of being written as something else."""
    for whole in (node, List((node,)), Map(((node, node),))):
        with pytest.raises(ValueError, match=r"."):
            ron.dump(whole)


# Layout.

LAYOUT = """\
ExtensionManifest(
    name: "weather-widget",
    exports: {"render": (params: [i32, i32], ret: i32), "update": (params: [json], ret: bool)},
    subscribes: list((
        city: "a name that takes some room",
        observed: Some("another name that takes some room"),
        r#hot-reload: true,
    )),
    empty: [[], {}, ()],
    numbers: [
        1000000000000000000000000000,
        1000000000000000000000000000,
        1000000000000000000000000000,
        1000000000000000000000000000,
    ],
)"""


def test_layout() -> None:
    """What fits stands on one line; what does not has an element on each, and a comma behind each."""
    assert ron.dump(read(LAYOUT)) == LAYOUT
    assert ron.dump(read(LAYOUT), indent=2) == LAYOUT.replace("    ", "  ")


@pytest.mark.parametrize("length", range(90, 110))
def test_lines_have_at_most_100_columns(length: int) -> None:
    """What fits in a line with the comma behind it stays whole, anything longer is broken."""
    words = List((Str("x" * (length - 8)), Int(1)))  # takes `length` columns with the comma behind it
    assert ("\n" in ron.dump(words)) == (length > 100)
    lines = ron.dump(List((Str("y" * 90), words))).splitlines()
    assert (len(lines) == 4) == (length + 4 <= 100)
    key = Map(((words, words),))
    assert read(ron.dump(key)) == key


# Everything.


def names() -> st.SearchStrategy[str]:
    some = [
        "a",
        "b",
        "r",
        "br",
        "true",
        "None",
        "Some",
        "inf",
        "NaN",
        "inff32",
        "NaNf64",
        "3d",
        "a.b",
        "-",
        "é",
        "中",
    ]
    return st.sampled_from(some) | st.from_regex(r"[A-Za-z0-9_.+\-]{1,6}", fullmatch=True)


def texts() -> st.SearchStrategy[str]:
    return st.text(max_size=10) | st.text("\"'\\\n\r\t\0\x1b#r{}éa \u2028\u202e", max_size=6)


INTEGERS = st.one_of(
    st.builds(Int, st.integers(-(1 << 127), (1 << 128) - 1)),
    st.builds(Int, st.integers(0, 127), st.sampled_from(["i8", "u8", "i16", "u32", "i64", "u128"])),
    st.builds(Int, st.integers(-128, 0), st.sampled_from(["i8", "i32", "i128"])),
)
FLOATS = st.builds(Float, st.floats(allow_nan=False), st.sampled_from([None, "f64"])) | st.builds(
    Float, st.floats(width=32, allow_nan=False), st.just("f32")
)
NUMBERS = INTEGERS | FLOATS
LEAVES: st.SearchStrategy[Any] = st.one_of(
    st.builds(Bool, st.booleans()),
    NUMBERS,
    st.builds(Str, texts()),
    st.builds(Char, st.characters(exclude_categories=["Cs"])),
    st.builds(Bytes, st.binary(max_size=8)),
    st.builds(Ident, names()),
    st.builds(NoneValue),
    st.builds(Range, st.none() | NUMBERS, NUMBERS, inclusive=st.booleans()),
    st.builds(Range, st.none() | NUMBERS, st.none(), inclusive=st.just(False)),
)


def _different(keys: list[Node]) -> bool:
    """Whether the keys of a map are different ones, as those in a text are."""
    return all(first != second for at, first in enumerate(keys) for second in keys[:at])


@st.composite
def nodes(draw: st.DrawFn, depth: int = 3) -> Node:
    """Any node, with NaN left out: it equals nothing."""
    kind = draw(st.sampled_from(["leaf", "leaf", "list", "tuple", "struct", "map", "some"])) if depth else "leaf"
    inner = nodes(depth - 1)
    match kind:
        case "list":
            return List(tuple(draw(st.lists(inner, max_size=3))))
        case "tuple":
            return Tuple(draw(st.none() | names()), tuple(draw(st.lists(inner, max_size=3))))
        case "struct":
            field_names = draw(st.lists(names(), min_size=1, max_size=4, unique=True))
            return Struct(draw(st.none() | names()), tuple(Field(name, draw(inner)) for name in field_names))
        case "map":
            keys = draw(st.lists(inner, max_size=3).filter(_different))
            return Map(tuple((key, draw(inner)) for key in keys))
        case "some":
            return Some(draw(inner))
        case _:
            return draw(LEAVES)


@given(nodes(), st.sampled_from([0, 2, 4]))
def test_what_is_written_reads_back(node: Node, indent: int) -> None:
    """Any node is equal to what its text is read as, down to the suffixes of numbers and the sign of zero."""
    text = ron.dump(node, indent=indent)
    again = read(text)
    assert again == node
    assert repr(again) == repr(node)
    assert suffixes(again) == suffixes(node)
    assert ron.dump(again, indent=indent) == text


def suffixes(node: Node) -> list[str | None]:
    """The suffixes of all numbers, in the order of the text."""
    match node:
        case Int(_, suffix) | Float(_, suffix):
            return [suffix]
        case Range(start, end):
            return [suffix for number in (start, end) if number is not None for suffix in suffixes(number)]
        case List(items) | Tuple(_, items):
            return [suffix for item in items for suffix in suffixes(item)]
        case Some(value):
            return suffixes(value)
        case Struct(_, fields):
            return [suffix for field in fields for suffix in suffixes(field.value)]
        case Map(entries):
            return [suffix for entry in entries for part in entry for suffix in suffixes(part)]
        case _:
            return []


@pytest.mark.parametrize(
    "around",
    [
        "[{}]",
        "[1, {}, 2]",
        "Some({})",
        "A({})",
        "A(a: {})",
        '{{"a": {}}}',
        '{{{}: "a"}}',
    ],
)
def test_no_depth_exhausts_the_stack(around: str) -> None:
    """A value within five thousand others is written, in a text whose size is linear in the depth, and reads back."""
    opening, closing = around.format("!").split("!")
    text = ron.dump(read(opening * 5_000 + "1" + closing * 5_000))
    assert len(text) < 5_000 * 300
    assert ron.dump(read(text)) == text


# Plain Python values.

PLAIN: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 127), 1 << 127)
    | st.floats(allow_nan=False)
    | texts()
    | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(texts(), inner, max_size=4)
    ),
    max_leaves=15,
)


@given(PLAIN)
def test_plain_values_there_and_back(value: object) -> None:
    """A plain value comes back from its node, and from the node's text, with every type as it was."""
    node = ron.of(value)
    assert repr(ron.to_python(node)) == repr(value)
    assert repr(ron.to_python(read(ron.dump(node)))) == repr(value)


def test_of_and_to_python() -> None:
    """Lists, tuples and maps stay apart; on the way to Python names of structs are lost, and names are text."""
    assert ron.of({"a": [1, (True, None)]}) == read('{"a": [1, (true, None)]}')
    value = ron.to_python(
        read("""Widget(size: Some(i32), 'c': 1)""".replace("'c': 1", "char: 'c', map: {1: b\"x\", None: 2.5}"))
    )
    assert value == {"size": "i32", "char": "c", "map": {1: b"x", None: 2.5}}


@pytest.mark.parametrize("value", [{1: 2}, {"a": {1}}, [object()], range(3), 1j, bytearray(b"")])
def test_what_is_no_plain_value(value: object) -> None:
    """Everything else is refused, with the type that is not known."""
    with pytest.raises(TypeError, match="expected"):
        ron.of(value)


def test_a_value_in_itself() -> None:
    """A list that contains itself is refused; one that is in two places is in two places."""
    loop: list[object] = []
    loop.append({"a": (loop,)})
    with pytest.raises(ValueError, match="contains itself"):
        ron.of(loop)
    twice = [1]
    assert ron.dump(ron.of([twice, {"a": twice}])) == '[[1], {"a": [1]}]'


@pytest.mark.parametrize("text", ["1..2", "{[]: 1}", "{(a: 1): 1}", "[{1: 1, 1.0: 2}]"])
def test_what_is_nothing_in_python(text: str) -> None:
    """A range, a container as a key, and keys that are the same in Python are refused."""
    with pytest.raises(ValueError, match="line 1"):
        ron.to_python(read(text))


def test_plain_values_of_any_depth() -> None:
    """Neither way uses Python's stack."""
    value: object = 1
    for _ in range(5_000):
        value = [{"a": value}]
    node = ron.of(value)
    again = ron.to_python(node)
    for _ in range(5_000):
        assert isinstance(again, list)
        (again,) = again[0].values()  # type: ignore[reportUnknownVariableType, reportUnknownMemberType]
    assert again == 1
