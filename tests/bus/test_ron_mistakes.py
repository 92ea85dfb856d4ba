"""What people who know other notations write by mistake: each gets the place, what was expected, and what to do about it."""

import pytest

from desk.bus import ron
from desk.bus.ron import RonError

COMMA = "is a comma missing before it?"
COLON = "a colon stands between a name and its value"
STRING = "a string stands between double quotes"
QUOTES = 'a string stands between plain quotes: "..."'
UNSEEN = "it cannot be seen, and is not white space in RON: type a plain space, or nothing"
PARENTHESES = "fields stand between parentheses: (name: value)"
RANGE = "no space stands around `..`"
TEXT = "a text, such as a version or a size with a unit, stands between quotes"
COMMENT = "a comment begins with `//`"


@pytest.mark.parametrize(
    ("text", "line", "column", "expected", "hint"),
    [
        pytest.param('(\n  a: "x"\n  b: 1,\n)', 3, 3, "`,` or `)`", COMMA, id="no comma between fields"),
        pytest.param('(\n\ta: "x"\n\tb: 1,\n)', 3, 2, "`,` or `)`", COMMA, id="a tab is one column"),
        pytest.param("[1 2]", 1, 4, "`,` or `]`", COMMA, id="no comma between items"),
        pytest.param('{"a": [1] "b": 2}', 1, 11, "`,` or `}`", COMMA, id="no comma between entries"),
        pytest.param("(a: 1; b: 2)", 1, 6, "`,` or `)`", "a comma stands between values", id="semicolon"),
        pytest.param("[1,,2]", 1, 4, "a value or `]`", "", id="two commas"),
        pytest.param('(name = "a")', 1, 7, "`:`, `,` or `)`", COLON, id="equals sign in the first field"),
        pytest.param("(a: 1, b = 2)", 1, 10, "`:`", COLON, id="equals sign"),
        pytest.param('{"a" => 1}', 1, 6, "`:`", COLON, id="arrow"),
        pytest.param('(name "a")', 1, 7, "`:`, `,` or `)`", "", id="no colon"),
        pytest.param('("a": 1)', 1, 5, "`,` or `)`", "names of fields have no quotes; a map stands between `{` and `}`",
                     id="quoted field"),
        pytest.param('(a: 1, "b": 2)', 1, 8, "a field's name or `)`", "names of fields have no quotes", id="quoted later field"),
        pytest.param("(1, a: 2)", 1, 6, "`,` or `)`", "in a struct every value has a name, in a tuple none", id="half a struct"),
        pytest.param('A { a: "x" }', 1, 3, "the end of the text, which holds one value",
                     "the fields of a struct stand between parentheses: A(name: value)", id="struct of Rust"),
        pytest.param("(a: A { b: 1 })", 1, 7, "`,` or `)`",
                     "the fields of a struct stand between parentheses: A(name: value)", id="struct of Rust inside"),
        pytest.param("name: 1", 1, 5, "the end of the text, which holds one value", PARENTHESES, id="fields of YAML"),
        pytest.param('[a]\nname = "x"', 2, 1, "the end of the text, which holds one value", "", id="TOML"),
        pytest.param("(a: 'weather')", 1, 5, "one character between apostrophes", STRING, id="single quotes"),
        pytest.param("{'a b': 1}", 1, 2, "one character between apostrophes", STRING, id="single quotes around a key"),
        pytest.param("''", 1, 1, "one character between apostrophes", STRING, id="nothing in single quotes"),
        pytest.param("(a: “x”)", 1, 5, "a value", QUOTES, id="quotes of a word processor"),
        pytest.param("(a: `x`)", 1, 5, "a value", QUOTES, id="backticks"),
        pytest.param("[1，2]", 1, 3, "`,` or `]`", "it only looks like `,`", id="fullwidth comma"),
        pytest.param("(a：1)", 1, 3, "`:`, `,` or `)`", "it only looks like `:`", id="fullwidth colon"),
        pytest.param("(a: 1, # one\n b: 2)", 1, 8, "a field's name or `)`", COMMENT, id="hash comment"),
        pytest.param("# a manifest\n(a: 1)", 1, 3, "`!`, as in `#![enable(implicit_some)]`", COMMENT, id="hash comment first"),
        pytest.param("(a: /x)", 1, 6, "`//` or `/*`, which begin a comment", "", id="one slash"),
        pytest.param("(a: 1, /* b: 2)", 1, 8, "1 more `*/`", "", id="open comment"),
        pytest.param("(a: [1, 2), b: 3)", 1, 10, "`,` or `]`", "this is in a list that begins at line 1, column 5",
                     id="wrong bracket"),
        pytest.param('{"a": (1, 2}', 1, 12, "`,` or `)`", "this is in a tuple that begins at line 1, column 7", id="wrong brace"),
        pytest.param("(a: 1))", 1, 7, "the end of the text, which holds one value", "", id="one bracket too many"),
        pytest.param("(a: 1) x", 1, 8, "the end of the text, which holds one value", "", id="something behind it"),
        pytest.param("(a: 1),", 1, 7, "the end of the text, which holds one value", "", id="a comma behind it"),
        pytest.param('(\n  a: "x,\n  b: "1",\n)', 3, 7, "`,` or `)`",
                     "the string that begins at line 2, column 6 goes on to another line: is its closing quote missing?",
                     id="string over lines"),
        pytest.param('(a: "x', 1, 5, '`"` after it', "", id="open string"),
        pytest.param(r'"C:\dir"', 1, 4,
                     r"\\ for a backslash, or one of \n \r \t \0 \\ \' \" \x41 \u{1F980}, and UTF-8 from \x80 on", "",
                     id="backslash"),
        pytest.param("\ufeff(a: 1)", 1, 1, "a value", "this is a byte order mark: save the text as UTF-8 without one", id="mark"),
        pytest.param("(a:\u00a01)", 1, 4, "a value", UNSEEN, id="no-break space"),
        pytest.param("[1,\u30002]", 1, 4, "a value or `]`", UNSEEN, id="ideographic space"),
        pytest.param("(a\u200b: 1)", 1, 3, "`:`, `,` or `)`", UNSEEN, id="zero width space"),
        pytest.param("(a: 1 ..= 5)", 1, 7, "`,` or `)`", RANGE, id="space before dots"),
        pytest.param("(a: 1..= 5)", 1, 9, "a number", RANGE, id="space behind dots and equals sign"),
        pytest.param("(a: 1.. 5)", 1, 9, "`,` or `)`", RANGE, id="space behind dots"),
        pytest.param("(v: 1.2.3)", 1, 5, "a float such as 1.5, .5, 1_000. or 2e-3", TEXT, id="version"),
        pytest.param("(m: 16MiB)", 1, 7, "the end of the number, or one of its suffixes: i8 to i128, u8 to u128, f32, f64", TEXT,
                     id="size"),
        pytest.param("(hot-reload: true)", 1, 5, "`r#hot-reload` if this is one name", "", id="hyphen"),
        pytest.param("Some 1", 1, 6, "`(`", "", id="Some without parentheses"),
        pytest.param("Some(1, 2)", 1, 9, "`)`", "", id="Some of two"),
    ],
)  # fmt: skip
def test_mistakes(text: str, line: int, column: int, expected: str, hint: str) -> None:
    """The error is where the mistake is, and says what to do where what was expected leaves that open."""
    with pytest.raises(RonError) as caught:
        ron.parse(text)
    error = caught.value
    assert (error.line, error.column, error.expected, error.hint) == (line, column, expected, hint)
    assert error.message.endswith(f"expected {expected}" + (f" ({hint})" if hint else ""))
    assert str(error).startswith(f"line {line}, column {column}: {error.message}\n{line} | ")


@pytest.mark.parametrize(
    ("text", "place", "around"),
    [
        ('A(\n  name: "a",\n  exports: {\n    "x": 1,\n', (5, 1), "a map that begins at line 3, column 12"),
        ("[1, (2, 3", (1, 10), "a tuple that begins at line 1, column 5"),
        ("(a: 1,", (1, 7), "a struct that begins at line 1, column 1"),
        ("[", (1, 2), "a list that begins at line 1, column 1"),
        ("Some(", (1, 6), "Some that begins at line 1, column 1"),
        ("(a: True", (1, 9), "a struct that begins at line 1, column 1"),
    ],
)
def test_brackets_that_are_never_closed(text: str, place: tuple[int, int], around: str) -> None:
    """Where the text ends inside something, the error says inside what, and where that begins."""
    with pytest.raises(RonError, match=f"the text ends inside {around}") as caught:
        ron.parse(text)
    assert (caught.value.line, caught.value.column) == place


def test_an_error_in_full_with_its_caret() -> None:
    """The caret stands under the mistake, tabs and wide characters notwithstanding."""
    with pytest.raises(RonError) as caught:
        ron.parse('(\n\tname: "天気" version: 1)')
    assert str(caught.value) == (
        "line 2, column 13: unexpected `version`; expected `,` or `)` (is a comma missing before it?)\n"
        '2 | \\tname: "天気" version: 1)\n'
        "  |                ^"
    )
