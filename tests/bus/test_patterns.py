"""Patterns: what they mean, what is refused with which advice, and that no pattern and no text costs more than its length."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.bus.types.patterns import Pattern, PatternError


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("", [""], ["a", " "]),
        ("abc", ["abc"], ["", "ab", "abcd", "ABC", " abc"]),
        ("a|bc|", ["a", "bc", ""], ["b", "abc"]),
        ("a(b|c)*d", ["ad", "abcbd"], ["abc", "aad"]),
        ("[0-9]{4}-[0-9]{2}-[0-9]{2}", ["2024-02-29"], ["2024-2-29", "2024-02-290", "２０２４-02-29"]),
        ("[a-z][a-z0-9_-]{0,3}", ["a", "a-_9"], ["", "9a", "abcde"]),
        ("[^a-c]", ["d", "\n", "\U0010ffff"], ["a", "b", "c", ""]),
        ("[-a]+", ["a-a"], ["b"]),
        ("[a-]+", ["a-a"], ["b"]),
        ("[^-]", ["a"], ["-"]),
        ("[+-\\-]", ["+", ",", "-"], ["."]),
        (r"[\]\[\^\\]+", ["[]^\\"], ["a"]),
        (".", ["a", " ", "\t", "🦀", "\u2028"], ["", "\n", "\r", "ab"]),
        (r"\n\r\t\.\\\-\{\}\(\)\*\+\?\|\^\[\]", ["\n\r\t.\\-{}()*+?|^[]"], ["nrt"]),
        ("a?b+c*", ["b", "abbcc"], ["ac", "aab"]),
        ("(ab){2}", ["abab"], ["ab", "ababab"]),
        ("(ab){2,}", ["abab", "ababab"], ["ab", "ababa"]),
        ("(ab){1,2}c", ["abc", "ababc"], ["c", "abababc"]),
        ("(a?b?){2}", ["", "a", "b", "ab", "ba", "aba", "abab"], ["ababa", "bbb"]),
        ("x{0}y{0,0}z{0,}", ["", "zz"], ["x", "y"]),
        ("(){1000}(|)*a", ["a"], ["", "aa"]),
        ("a^b$c", ["a^b$c"], ["abc"]),
        ("-/,", ["-/,"], [""]),
        ("é|中+", ["é", "中中"], ["e\u0301"]),
        ("[à-ö]+", ["àéö"], ["a"]),
    ],
)
def test_what_patterns_mean(pattern: str, yes: list[str], no: list[str]) -> None:
    """A pattern describes the whole text, as RFC 9485 has it."""
    compiled = Pattern(pattern)
    assert [text for text in yes if not compiled.fullmatch(text)] == []
    assert [text for text in no if compiled.fullmatch(text)] == []


@pytest.mark.parametrize(
    ("pattern", "at", "advice"),
    [
        (r"\d+", 0, "[0-9]"),
        (r"a\D", 1, "[^0-9]"),
        (r"\w", 0, "[A-Za-z0-9_]"),
        (r"[\w]", 1, "[A-Za-z0-9_]"),
        (r"\s", 0, r"[ \t\r\n]"),
        (r"\p{L}", 0, "as a class"),
        (r"\bword", 0, "leave it out"),
        (r"(a)\1", 3, "refer back"),
        (r"a\/b", 1, "follow a backslash"),
        (r"\x41", 0, "the character itself"),
        ("\\", 0, "follow a backslash"),
        ("^a+", 0, "whole text"),
        ("a+$", 2, "[$]"),
        ("(?:a)", 0, "plain `( )`"),
        ("a(?=b)", 1, "looks ahead"),
        ("a+?", 2, "lazy"),
        ("a**", 2, "follows another"),
        ("a{2}{3}", 4, "follows another"),
        ("*a", 0, r"\*"),
        ("(+)", 1, r"\+"),
        ("a|{2}", 2, r"\{"),
        ("a{,5}", 2, "{0,5}"),
        ("a{2", 1, "never closed"),
        ("a{5,2}", 1, "smaller number first"),
        ("a{-1}", 2, "{2}"),
        ("a{1001}", 2, "at most 1000"),
        ("a{99999999999999999999}", 2, "at most 1000"),
        ("[b-a]", 3, "ends before it begins"),
        ("[]", 0, "empty"),
        ("[^]", 0, "empty"),
        ("[a", 0, "never closed"),
        ("[a-", 0, "never closed"),
        ("[a-c-e]", 4, r"\-"),
        ("[[:alpha:]]", 1, r"\["),
        ("(a", 0, "never closed"),
        ("a)", 1, r"\)"),
        ("a]", 1, r"\]"),
        ("a}", 1, r"\}"),
    ],
)
def test_what_is_refused(pattern: str, at: int, advice: str) -> None:
    """What is not I-Regexp, or means something else than its author thinks, is refused with the place and what to write."""
    with pytest.raises(PatternError) as refused:
        Pattern(pattern)
    assert refused.value.at == at
    assert advice in refused.value.reason
    assert str(refused.value).startswith(refused.value.reason)


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("(a+)+b", "a" * 50_000, False),
        ("(a|a)*b", "a" * 50_000, False),
        ("(a*)*(a*)*(a*)*b", "a" * 50_000, False),
        ("(.*,){11}P", "1,2,3,4,5,6,7,8,9,10,11,12,13" * 1_000, False),
        ("((a{10}){10}){10}", "a" * 1_000, True),
        ("(" * 32 + "a?" + ")*" * 32, "a" * 50_000, True),
        (".{0,999}x", "é" * 999 + "x", True),
        (".*".join("abcdefghijklmnopqrstuvwxyz"), "abcdefghijklmnopqrstuvwxy" * 2_000, False),
        ("[^x]*", "".join(map(chr, range(0x4E00, 0x9E00))), True),
    ],
)
def test_bombs_that_only_tick(pattern: str, text: str, matches: bool) -> None:
    """Where trying one way after another takes for ever, or longer than the universe has, each character is one step."""
    assert Pattern(pattern).fullmatch(text) is matches


@pytest.mark.parametrize(
    "pattern",
    [
        "((a{100}){100}){100}",
        "(a{1000}){1000}" * 60,
        "a{500}b{501}",
        "(a|b)*a(a|b){30}",
        "(((a?){10}){10}){10}",
        "(" * 33 + ")" * 33,
        "(" * 1_000,
        "a" * 1_001,
        "[" + "".join(chr(0x4E00 + 2 * number) for number in range(1_100)) + "]",
    ],
)
def test_bombs_that_are_not_made(pattern: str) -> None:
    """What would need more positions, states or nesting than the bounds is refused before it is built."""
    with pytest.raises(PatternError, match="expected"):
        Pattern(pattern)


def test_alternatives_cost_as_little_as_a_class() -> None:
    """Many single characters as alternatives are one state, however many they are."""
    characters = [chr(0x4E00 + 2 * number) for number in range(400)]
    pattern = Pattern(f"({'|'.join(characters)})+")
    assert pattern.fullmatch("".join(characters))
    assert not pattern.fullmatch("".join(characters) + "\u4e01")


def test_equality_is_about_the_text() -> None:
    """Patterns can be compared and hashed, as parts of types are."""
    assert Pattern("a+") == Pattern("a+")
    assert Pattern("a+") != Pattern("aa*")
    assert hash(Pattern("a+")) == hash(Pattern("a+"))
    assert repr(Pattern("a+")) == "Pattern('a+')"


CHARACTERS = "abc-é"


def counted(part: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    counts = st.sampled_from(["?", "*", "+", "{0}", "{1}", "{2}", "{0,}", "{2,}", "{0,1}", "{1,3}", "{0,2}"])
    return st.builds("({}){}".format, part, counts)


PATTERNS = st.recursive(
    st.sampled_from(["", ".", "[ab]", "[^ab]", "[a-c]", "[^a-z]", "[-b]", r"\-", "é", "a", "b", "c"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda branches: f"({'|'.join(branches)})"),
        counted(inner),
    ),
    max_leaves=8,
)


@given(PATTERNS, st.lists(st.text(CHARACTERS, max_size=8), max_size=8))
def test_as_re_has_it(pattern: str, texts: list[str]) -> None:
    """Where both languages have a pattern, ours and Python's agree on every text."""
    compiled = Pattern(pattern)
    assert [compiled.fullmatch(text) for text in texts] == [bool(re.fullmatch(pattern, text)) for text in texts]


@given(st.text(r"ab0,{}[]()|*+?.^$\-nd", max_size=30), st.text("ab0-", max_size=10))
def test_any_text_as_a_pattern(pattern: str, text: str) -> None:
    """Any text is a pattern or is refused, with a place in it."""
    at = 0
    try:
        Pattern(pattern).fullmatch(text)
    except PatternError as refused:
        at = refused.at
    assert 0 <= at <= len(pattern)
