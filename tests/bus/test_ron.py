"""The RON reader: the same language as ron-rs 0.12.2, save for what we refuse on purpose, and never a surprise."""

import json
import math
import struct
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desk.bus import ron
from desk.bus.ron import DEFAULT_LIMITS, RonError, RonLimits, containers, plain

CORPUS = Path(__file__).resolve().parents[2].parent / "shared" / "corpus" / "ron"

TWICE = "already given"
"""The deviation that a key or a field given twice is refused, where ron-rs takes the last: its error says this."""

EXTENSION = "is not supported"
"""The deviation that all extensions but implicit_some are refused, because they change what a text means."""

DEVIATIONS = {
    "adversarial_valid/dup_map_key.ron": TWICE,
    **dict.fromkeys(
        (
            "valid/src_de_tests_581.ron",
            "valid/250_variant_newtypes_65.ron",
            "valid/250_variant_newtypes_79.ron",
            "valid/250_variant_newtypes_91.ron",
            "valid/250_variant_newtypes_97.ron",
            "valid/250_variant_newtypes_115.ron",
            "valid/250_variant_newtypes_119.ron",
            "valid/250_variant_newtypes_125.ron",
            "valid/250_variant_newtypes_147.ron",
            "valid/250_variant_newtypes_163.ron",
            "valid/250_variant_newtypes_179.ron",
            "valid/250_variant_newtypes_191.ron",
            "valid/250_variant_newtypes_204.ron",
            "valid/250_variant_newtypes_219.ron",
            "edge/250_variant_newtypes_232.ron",
            "valid/250_variant_newtypes_246.ron",
            "valid/250_variant_newtypes_256.ron",
            "valid/250_variant_newtypes_263.ron",
            "valid/250_variant_newtypes_275.ron",
            "edge/250_variant_newtypes_307.ron",
            "valid/438_rusty_byte_strings_181.ron",
            "edge/465_unwrap_some_newtype_variant_value_14.ron",
            "edge/465_unwrap_some_newtype_variant_value_25.ron",
            "edge/465_unwrap_some_newtype_variant_value_38.ron",
            "valid/502_known_bugs_754.ron",
            "valid/502_known_bugs_763.ron",
            "valid/docs_extensions.md_2.ron",
            "valid/docs_extensions.md_6.ron",
            "adversarial_valid/ext_two.ron",
            "adversarial_valid/ext_two_lines.ron",
        ),
        EXTENSION,
    ),
}
"""Every text of the corpus that ron-rs accepts and we refuse. There is none the other way round."""

SEED = """\
// manifest.ron
ExtensionManifest (
    name: "weather-widget",
    api_version: "0.1",
    exports: {
        "render": (params: [i32, i32], ret: i32),
        "update": (params: [json], ret: bool)
    },
    permissions: {
        network: ["api.weather.com"],
        filesystem: ["read:/var/cache/weather"]
    }
)
"""


# The corpus.


def corpus() -> list[Any]:
    if not (CORPUS / "index.json").exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"no corpus at {CORPUS}"), id="no-corpus")]
    return [pytest.param(case, id=case["path"]) for case in json.loads((CORPUS / "index.json").read_text("utf-8"))]


@pytest.mark.parametrize("case", corpus())
def test_corpus(case: dict[str, Any]) -> None:
    """What ron-rs accepts we accept with the same value, and what it refuses we refuse, apart from DEVIATIONS."""
    data = (CORPUS / case["path"]).read_bytes()
    expected = case["ron_value"]
    limits = RonLimits(size=1 << 20, nodes=1_000_000)
    if expected is None:
        assert case["path"] not in DEVIATIONS
        with pytest.raises(RonError):
            ron.parse_bytes(data, limits=limits)
    elif case["path"] in DEVIATIONS:
        with pytest.raises(RonError, match=DEVIATIONS[case["path"]]):
            ron.parse_bytes(data, limits=limits)
    else:
        node = ron.parse_bytes(data, limits=limits)
        # The index does not hold the trees of the largest texts.
        assert expected == "(large)" or as_ron_rs(node, data.decode()) == comparable(expected)


def as_ron_rs(node: ron.Node, text: str) -> object:
    """`node` as the untyped `ron::Value` has it: names are lost, a struct is a map, and the last of equal keys wins."""
    match node:
        case ron.Bool(value):
            return "bool", value
        case ron.Int(value):
            return "int", value
        case ron.Float(value, suffix):
            # Without a suffix, ron-rs keeps a float in 32 bits if that loses nothing.
            narrow = suffix == "f32" or (suffix is None and repr(float_32(value)) == repr(value))
            return "F32" if narrow else "F64", repr(value)
        case ron.Str(value):
            return "str", value
        case ron.Char(value):
            return "char", value
        case ron.Bytes(value):
            return "bytes", value.hex()
        case ron.NoneValue():
            return "none", True
        case ron.Some(value):
            return "some", as_ron_rs(value, text)
        case ron.Ident() | ron.Range(None, None):
            return "unit", True
        case ron.Tuple(None, ()) if text.startswith("()", offset(text, node.pos)):
            return "unit", True
        case ron.List(items) | ron.Tuple(_, items):
            return "seq", tuple(as_ron_rs(item, text) for item in items)
        case ron.Map(entries):
            return "map", frozenset({as_ron_rs(key, text): as_ron_rs(value, text) for key, value in entries}.items())
        case ron.Struct(_, fields):
            return "map", frozenset((("str", field.name), as_ron_rs(field.value, text)) for field in fields)
        case ron.Range(start, end):
            ends = (("start", start), ("end", end))
            return "map", frozenset((("str", name), as_ron_rs(at, text)) for name, at in ends if at is not None)


def comparable(tree: dict[str, Any]) -> object:
    """A tree of the index, in the form that `as_ron_rs` returns."""
    ((kind, content),) = tree.items()
    match kind:
        case "num":
            size, *_, written = content.rstrip(")").split("(")  # U8(4) or F32(F32(1.5))
            if size == "F32":
                return size, repr(float_32(float(written)))
            return (size, repr(float(written))) if size == "F64" else ("int", int(written))
        case "some":
            return kind, comparable(content)
        case "seq":
            return kind, tuple(comparable(item) for item in content)
        case "map":
            return kind, frozenset((comparable(key), comparable(value)) for key, value in content)
        case _:
            return kind, content


def float_32(value: float) -> float:
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def offset(text: str, pos: ron.Pos) -> int:
    """Where `pos` is in `text`, counted by other means than the reader does; it must be inside or one past the end."""
    lines = text.split("\n")
    assert 1 <= pos.line <= len(lines)
    assert 1 <= pos.column <= len(lines[pos.line - 1]) + 1
    return sum(len(line) + 1 for line in lines[: pos.line - 1]) + pos.column - 1


# What nodes say, and where they stood.


def test_the_manifest_of_the_seed() -> None:
    """The product owner's example reads as a struct of strings, maps, lists and bare words, each knowing its place."""
    manifest = ron.parse(SEED)
    assert isinstance(manifest, ron.Struct)
    assert (manifest.name, str(manifest.pos)) == ("ExtensionManifest", "line 2, column 1")
    fields = {field.name: field for field in manifest.fields}
    assert list(fields) == ["name", "api_version", "exports", "permissions"]
    assert fields["name"].value == ron.Str("weather-widget")
    assert fields["exports"].pos == ron.Pos(5, 5)
    exports = fields["exports"].value
    assert isinstance(exports, ron.Map)
    name, signature = exports.entries[1]
    assert (name, name.pos) == (ron.Str("update"), ron.Pos(7, 9))
    params = ron.Field("params", ron.List((ron.Ident("json"),)))
    assert signature == ron.Struct(None, (params, ron.Field("ret", ron.Ident("bool"))))


def test_bare_fields() -> None:
    """`parse_fields` reads what stands between a struct's parentheses, to the end of the text."""
    fields = ron.parse_fields('// asked for\npermissions: {\n  gpu: "limited:webgl1",\n}\n').fields
    assert [(field.name, field.value.kind, field.pos) for field in fields] == [("permissions", "a map", ron.Pos(2, 1))]
    assert ron.parse_fields(" ").fields == ()
    assert ron.parse_fields("a: 1, b: 2,") == ron.parse("(a: 1, b: 2)")


@pytest.mark.parametrize("text", ["(a: 1)", "Foo(a: 1)", "a: 1)", "a: 1 b: 2", "a: 1, a: 2", "a", "a:", ",", "1: 2"])
def test_bare_fields_are_only_fields(text: str) -> None:
    """`parse_fields` refuses a whole value, a stray parenthesis, and all else that a struct could not hold."""
    with pytest.raises(RonError):
        ron.parse_fields(text)


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("Foo", ron.Ident("Foo")),
        ("r#true", ron.Ident("true")),
        ("( )", ron.Tuple(None, ())),
        ("Foo()", ron.Tuple("Foo", ())),
        ("list(i32)", ron.Tuple("list", (ron.Ident("i32"),))),
        ("Foo(r#in-out: 1)", ron.Struct("Foo", (ron.Field("in-out", ron.Int(1)),))),
        ("(true: 1)", ron.Struct(None, (ron.Field("true", ron.Int(1)),))),
        ("{a: 1}", ron.Map(((ron.Ident("a"), ron.Int(1)),))),
        ("#![enable(implicit_some)] 1", ron.Int(1)),
        ("1..=2.5", ron.Range(ron.Int(1), ron.Float(2.5), inclusive=True)),
    ],
)
def test_nodes_keep_names(text: str, node: ron.Node) -> None:
    """Names of structs, tuples and fields survive, `r#` does not, and a keyword behind `r#` or before `:` is a name."""
    assert ron.parse(text) == node


@pytest.mark.parametrize(
    ("text", "value", "suffix"),
    [
        ("007", 7, None),
        ("-128i8", -128, "i8"),
        ("0x1f32", 0x1F32, None),
        ("1_000_u16", 1000, "u16"),
        ("b'\\xff'", 255, "u8"),
        ("1_f64", 1.0, "f64"),
        ("0.1f32", float_32(0.1), "f32"),
        ("1e400", math.inf, None),
        ("1e39f32", math.inf, "f32"),
        ("-inff32", -math.inf, "f32"),
    ],
)
def test_numbers(text: str, value: float, suffix: str | None) -> None:
    """A number has the value and the suffix that it was written with."""
    node = ron.parse(text)
    assert isinstance(node, ron.Int | ron.Float)
    assert (type(node.value), node.value, node.suffix) == (type(value), value, suffix)


def test_equality_is_about_values() -> None:
    """Nodes are equal when they say the same, wherever and however it was written."""
    assert ron.parse("[1, ( )]") == ron.parse("/* */ [0x1u8, (),]")
    assert ron.parse("Foo(1)") != ron.parse("Bar(1)")
    assert ron.parse("1") != ron.parse("true")
    assert (ron.Int(1), ron.Int(1).pos) == (ron.parse("\n1"), ron.Pos(1, 1))


# What is refused on purpose.


@pytest.mark.parametrize(
    "key",
    ["1", "0x1i8", '"a"', "NaN", "a", "(1, [2])", "Foo(a: 1, b: 2)", "{1: 2, 3: 4}", "Some(None)", "1.."],
)
def test_keys_given_twice(key: str) -> None:
    """A map key given twice is refused, whatever kind of value it is, and the error tells both places."""
    with pytest.raises(RonError, match="line 1, column 2") as caught:
        ron.parse(f"{{{key}: 0, 5: 0,\n /* */ {key}: 1}}")
    assert caught.value.pos == ron.Pos(2, 8)


def test_keys_given_twice_in_another_form() -> None:
    """Keys are compared by value: number formats, spaces, and the order of fields and entries make no difference."""
    for first, second in (("1", "0x01u8"), ("(a:1,b:2)", "(b: 2, a: 1)"), ("{1:2,3:4}", "{3:4,1:2}"), ("r#x", "x")):
        with pytest.raises(RonError, match=TWICE):
            ron.parse(f"{{{first}: 0, {second}: 0}}")
    assert ron.parse("{1: 0, 1.0: 0, \"1\": 0, '1': 0, [1]: 0, (1): 0, A(1): 0, B(1): 0, A: 0, Some(1): 0}")


def test_fields_given_twice() -> None:
    """A struct field given twice is refused, also when one is written raw."""
    with pytest.raises(RonError, match=TWICE) as caught:
        ron.parse("(a: 1, b: 2, r#a: 3)")
    assert caught.value.column == 14


@pytest.mark.parametrize("text", ["256u8", "-1u32", "-129i8", "0x1_0000u16", str(1 << 128), str(-(1 << 127) - 1)])
def test_integers_out_of_range(text: str) -> None:
    """An integer beyond its suffix or beyond 128 bits is refused; it never becomes a float."""
    with pytest.raises(RonError, match="out of range"):
        ron.parse(text)


def test_implicit_some_is_not_a_some_without_parentheses() -> None:
    """`Some 1` is refused under implicit_some too, where ron-rs takes it by accident."""
    with pytest.raises(RonError) as caught:
        ron.parse("#![enable(implicit_some)] Some 1")
    assert caught.value.expected == "`(`"


# Limits.


@pytest.mark.parametrize(("opening", "closing", "most"), [("[", "]", 64), ("(a: ", ")", 64), ("{1: ", "}", 64)])
def test_depth(opening: str, closing: str, most: int) -> None:
    """Containers nest to the depth limit, which by default is that of ron-rs, and no further."""
    ron.parse(opening * most + "1" + closing * most)
    with pytest.raises(RonError, match="nested too deeply") as caught:
        ron.parse(opening * (most + 1) + "1" + closing * (most + 1))
    assert caught.value.column == len(opening) * most + 1


def test_depth_counts_some_as_half() -> None:
    """A `Some` counts half, as in ron-rs."""
    ron.parse("Some(" * 128 + "1" + ")" * 128)
    with pytest.raises(RonError, match="nested too deeply"):
        ron.parse("Some(" * 129 + "1" + ")" * 129)


def test_no_depth_exhausts_the_stack() -> None:
    """With limits that allow it, a text can nest far deeper than Python's own stack."""
    depth = 20_000
    limits = RonLimits(size=1 << 20, depth=depth, nodes=10 * depth)
    node = ron.parse("[" * depth + "]" * depth, limits=limits)
    found = 0
    while isinstance(node, ron.List):
        found += 1
        node = node.items[0] if node.items else None
    assert found == depth
    with pytest.raises(RonError):
        ron.parse("{Foo(" * (depth // 2), limits=limits)
    ron.parse("{" * depth + "1" + ": 2}" * depth, limits=limits)  # each map is the key of the next
    with pytest.raises(RonError, match=TWICE):
        ron.parse("{" + 2 * ("[" * (depth - 1) + "]" * (depth - 1) + ": 1,"), limits=limits)


def test_size_and_number_of_values() -> None:
    """A text with more bytes, or more values, than the limits is refused; the size is that of the UTF-8."""
    limits = RonLimits(size=8, nodes=3)
    ron.parse("[1,2]", limits=limits)
    ron.parse("/*ä*/ 1", limits=limits)
    for text in ("/*ää*/1", "/*aaaa*/1", "/*aaaaaaaaa"):
        with pytest.raises(RonError, match="too large"):
            ron.parse(text, limits=limits)
        with pytest.raises(RonError, match="too large"):
            ron.parse_bytes(text.encode(), limits=limits)
    with pytest.raises(RonError, match="too many values"):
        ron.parse("[1,2,3]", limits=limits)


# Errors, and how they show the place.


@pytest.mark.parametrize(
    ("text", "line", "column", "expected"),
    [
        ("", 1, 1, "a value"),
        ("// a\n", 2, 1, "a value"),
        ("(a: 1\n b: 2)", 2, 2, "`,` or `)`"),
        ("[1,", 1, 4, "a value or `]`"),
        ("{1: 2,,}", 1, 7, "a key or `}`"),
        ("(a: )", 1, 5, "a value"),
        ("(a: 1, 2)", 1, 8, "a field's name or `)`"),
        ('{"a" = 1}', 1, 6, "`:`"),
        ("Some(1, 2)", 1, 9, "`)`"),
        ("1 2", 1, 3, "the end of the text, which holds one value"),
        ("(hot-reload: true)", 1, 5, "`r#hot-reload` if this is one name"),
        ("'two'", 1, 1, "one character between apostrophes"),
        ("300u8", 1, 1, "0 to 255, the range of u8"),
        ("/* /* */", 1, 1, "1 more `*/`"),
        ("#![enable(unwrap_newtypes)] 1", 1, 11, "`implicit_some` or none"),
        ('"\ud800"', 1, 2, "Unicode text"),
    ],
)
def test_errors_say_where_and_what(text: str, line: int, column: int, expected: str) -> None:
    """An error has the place and what was expected there."""
    with pytest.raises(RonError) as caught:
        ron.parse(text)
    assert (caught.value.line, caught.value.column, caught.value.expected) == (line, column, expected)


def test_an_error_in_full() -> None:
    """An error reads as place, problem, expectation, and the line with a caret."""
    with pytest.raises(RonError) as caught:
        ron.parse('(\n  name: "weather"\n  version: "1"\n)')
    assert str(caught.value) == (
        "line 3, column 3: unexpected `version`; expected `,` or `)` (is a comma missing before it?)\n"
        '3 |   version: "1"\n'
        "  |   ^"
    )  # fmt: skip


def test_bytes_that_are_not_utf8() -> None:
    """Bytes that are not UTF-8 are refused where they stand, and so is a byte order mark."""
    with pytest.raises(RonError, match="0xff is not UTF-8") as caught:
        ron.parse_bytes('(a: "ä",\n b: '.encode() + b"\xff)")
    assert caught.value.pos == ron.Pos(2, 5)
    with pytest.raises(RonError, match=r"U\+FEFF"):
        ron.parse_bytes(b"\xef\xbb\xbf(a: 1)")


def test_excerpt() -> None:
    """An excerpt shows a line with the caret under the place, in terminal columns, escaped and cut to a line."""
    assert ron.excerpt("a\nbcd\ne", ron.Pos(2, 3)) == "2 | bcd\n  |   ^"
    assert ron.excerpt("漢字x", ron.Pos(1, 3)) == "1 | 漢字x\n  |     ^"
    assert ron.excerpt("\x1b[2J\u202eb", ron.Pos(1, 6)) == "1 | \\x1b[2J\\u202eb\n  |              ^"
    assert ron.excerpt("a\r\nb", ron.Pos(1, 2)) == "1 | a\n  |  ^"
    for beyond in (ron.Pos(9, 9), ron.Pos(1, 99), ron.Pos(0, -3)):
        assert ron.excerpt("ab", beyond).startswith("1 | ab\n  | ")
    top, bottom = ron.excerpt("x" * 1000 + "y" + "z" * 1000, ron.Pos(1, 1001)).split("\n")
    assert (len(top), top[bottom.index("^")]) == (82, "y")


# Properties.

TOKENS = """
    ( ) [ ] { } , : . .. ..= + - _ / // /* */ " ' \\ # ! = 0 1 42 300 1.5 .5 1e5 0x 0b1 0o7 i8 u8 u128 f32 f64
    inf NaN b' b" r" r#" br#" "# r# Some None true Foo a é r#a-b \\n \\x41 \\xff \\u{41} \\u{ ( ) () #![ #![enable(
    implicit_some type schema 'a' "s" b"b" Some( Foo( a: {1: [1,
"""

texts = st.lists(st.sampled_from([*TOKENS.split(), " ", "\n", "\x00", "\ufeff", "\ud800"]) | st.text(max_size=3)).map(
    "".join
)


@settings(deadline=None)
@given(texts)
def test_any_text(text: str) -> None:
    """Any text gives a node or a RonError: inside the text, in three lines of bounded length, free of control codes."""
    for parse in (ron.parse, ron.parse_fields):
        try:
            parse(text, limits=RonLimits(nodes=20, depth=5))
        except RonError as error:
            shown, pos = str(error), error.pos
        else:
            continue
        offset(text, pos)
        lines = shown.split("\n")
        assert len(lines) == 3
        assert all(line.isprintable() and len(line) < 1000 for line in lines)


@contextmanager
def in_steps() -> Generator[None]:
    """Reading as if no element of any container were plain."""
    with pytest.MonkeyPatch.context() as patch:
        for container in (containers.OpenList, containers.OpenMap, containers.OpenStruct):
            patch.setattr(container, "patterns", plain.NEVER)
        yield


def outcome(parse: Callable[..., ron.Node], text: str, limits: RonLimits) -> object:
    """All that reading `text` gives: the value, the suffixes and the places of its nodes, or the error."""
    try:
        todo: list[ron.Node | ron.Field] = [parse(text, limits=limits)]
    except RonError as error:
        return str(error)
    told: list[object] = [repr(todo[0])]
    for node in todo:
        told.append((node.pos, getattr(node, "suffix", None)))
        match node:
            case ron.List(items) | ron.Tuple(_, items):
                todo.extend(items)
            case ron.Map(entries):
                todo.extend(part for entry in entries for part in entry)
            case ron.Struct(_, fields):
                todo.extend(fields)
            case ron.Field(_, value) | ron.Some(value):
                todo.append(value)
            case _:
                pass
    return told


PIECES = """
    1 7.5 007 -1 1u8 1.. 999999999999999999 1000000000000000000 true None inf NaNf32 Some Some(1) a é r#a r b a-b r"" b""
    "" "a" "\\n" "\\" 'a' ( ) [ ] { } [] () (b: (b (1) , ,, : :1 a: "a": true: 1: é: / // /* /**/
"""

SPACED_PIECES = ("", " 1", " a", ' "a"', "\n", "//\n", "\u2028", "\x0b")


@pytest.mark.parametrize(
    "around",
    ["[%]", "[1%]", "[%,]", "(a: %)", "(a: 1, %)", "(a: 1%)", "{a: %}", "{1: %}", "{%}", "{a: 1, %}", "{%: 1}"],
)
def test_plain_elements_are_only_a_shortcut(around: str) -> None:
    """A text gives the same, to the place and the last letter of the error, when every element is read in small steps."""
    pieces = (*PIECES.split(), *SPACED_PIECES)
    texts = [around.replace("%", piece + more) for piece in pieces for more in pieces]
    quick = [outcome(ron.parse, text, DEFAULT_LIMITS) for text in texts]
    with in_steps():
        for text, told in zip(texts, quick, strict=True):
            assert outcome(ron.parse, text, DEFAULT_LIMITS) == told, text


@st.composite
def altered(draw: st.DrawFn) -> str:
    """The manifest of the seed with one part of it gone, given twice, or something else in its place."""
    start = draw(st.integers(0, len(SEED)))
    end = start + draw(st.integers(0, 12))
    instead = draw(st.sampled_from(["", SEED[start:end] * 2]) | texts)
    return SEED[:start] + instead + SEED[end:]


@settings(deadline=None, max_examples=300)
@given(texts | altered(), st.builds(RonLimits, depth=st.integers(0, 5), nodes=st.integers(0, 30)))
def test_the_shortcut_in_altered_texts_and_at_limits(text: str, limits: RonLimits) -> None:
    """The same holds for larger texts, and where a limit ends the reading."""
    for parse in (ron.parse, ron.parse_fields):
        quick = outcome(parse, text, limits)
        with in_steps():
            assert outcome(parse, text, limits) == quick


@settings(deadline=None)
@given(st.binary() | texts.map(lambda text: text.encode(errors="replace")))
def test_any_bytes(data: bytes) -> None:
    """Any bytes give what their text gives, or a RonError if they are none."""
    try:
        ron.parse_bytes(data)
    except RonError as error:
        offset(data.decode(errors="backslashreplace"), error.pos)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


Written = tuple[str, ron.Node]
"""A text and the node that it must give."""

leaves: st.SearchStrategy[Written] = st.one_of(
    st.sampled_from(
        [
            ("true", ron.Bool(True)),
            ("None", ron.NoneValue()),
            ("r#None", ron.Ident("None")),
            ("i32", ron.Ident("i32")),
            ("'''", ron.Char("'")),
            ('r#"\\"#', ron.Str("\\")),
            ("..", ron.Range(None, None, inclusive=False)),
        ]
    ),
    st.integers(-(1 << 127), (1 << 128) - 1).map(lambda n: (str(n), ron.Int(n))),
    st.floats(allow_nan=False).map(lambda x: (repr(x), ron.Float(x))),
    st.text(st.characters(exclude_categories=["Cs"])).map(lambda s: (quoted(s), ron.Str(s))),
    st.binary().map(lambda b: ('b"' + "".join(f"\\x{x:02x}" for x in b) + '"', ron.Bytes(b))),
)


def nested_in(inner: st.SearchStrategy[Written]) -> st.SearchStrategy[Written]:
    space = st.sampled_from(["", " ", "\n", "\u2028", '/* [ /* */ " */', "// }\n"])
    some_names = st.sampled_from([None, "Foo", "_é1"])

    @st.composite
    def container(draw: st.DrawFn) -> Written:
        children = draw(st.lists(inner, max_size=3))
        kind = draw(st.sampled_from(["list", "tuple", "struct", "map", "some"]))
        name = draw(some_names)
        values = tuple(node for _, node in children)
        labels = [f"f{i}" for i in range(len(children))]
        match kind:
            case "list":
                opening, closing, node = "[", "]", ron.List(values)
            case "tuple":
                opening, closing, node = f"{name or ''}(", ")", ron.Tuple(name, values)
            case "struct" if children:
                fields = tuple(ron.Field(label, value) for label, value in zip(labels, values, strict=True))
                opening, closing, node = f"{name or ''}(", ")", ron.Struct(name, fields)
            case "some" if len(children) == 1:
                opening, closing, node = "Some(", ")", ron.Some(values[0])
            case _:
                keys = [ron.Str(label) for label in labels]
                opening, closing, node = "{", "}", ron.Map(tuple(zip(keys, values, strict=True)))
        written = [text for text, _ in children]
        if isinstance(node, ron.Map | ron.Struct):
            written = [
                (quoted(label) if isinstance(node, ron.Map) else label) + draw(space) + ":" + draw(space) + text
                for label, text in zip(labels, written, strict=True)
            ]
        inside = (draw(space) + "," + draw(space)).join(written)
        last_comma = draw(st.sampled_from(["", ","])) if children else ""
        return opening + draw(space) + inside + draw(space) + last_comma + draw(space) + closing, node

    return container()


@settings(deadline=None)
@given(st.recursive(leaves, nested_in, max_leaves=12))
def test_what_is_written_is_read(written: Written) -> None:
    """Any value, with any spaces, comments and trailing commas between its tokens, is read as what was written."""
    text, node = written
    assert ron.parse(text, limits=RonLimits(size=1 << 20)) == node


@settings(deadline=None)
@given(st.recursive(leaves, nested_in, max_leaves=12))
def test_nodes_stand_where_they_say(written: Written) -> None:
    """The text from a node's place on begins with that node: it reads as the same value when the rest is cut off."""
    text, _ = written
    node = ron.parse(text, limits=RonLimits(size=1 << 20))
    todo: list[ron.Node] = [node]
    while todo:
        node = todo.pop()
        rest = text[offset(text, node.pos) :]
        assert rest[0] not in " \n/,:"
        match node:
            case ron.Str():
                assert rest[0] in '"r'
            case ron.List(items):
                assert rest[0] == "["
                todo.extend(items)
            case ron.Map(entries):
                assert rest[0] == "{"
                todo.extend(part for entry in entries for part in entry)
            case ron.Tuple(name, items):
                assert rest.startswith((name or "") + "(")
                todo.extend(items)
            case ron.Struct(name, fields):
                assert rest.startswith((name or "") + "(")
                for field in fields:
                    assert text.startswith(field.name, offset(text, field.pos))
                    todo.append(field.value)
            case ron.Some(value):
                assert rest.startswith("Some(")
                todo.append(value)
            case _:
                pass
