"""Subjects and patterns: what is one, what matches, and what covers."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.bus.errors import DeskError
from desk.bus.subjects import (
    MAX_LENGTH,
    MAX_WORDS,
    Pattern,
    SubjectError,
    check_pattern,
    check_subject,
    covers,
    is_reserved,
    matches,
)

ALPHABET = ("a", "b")
SUBJECTS = [".".join(words) for size in (1, 2, 3, 4) for words in itertools.product((*ALPHABET, "c"), repeat=size)]
PATTERNS = [
    ".".join(words)
    for size in (1, 2, 3)
    for head in itertools.product((*ALPHABET, "*"), repeat=size - 1)
    for last in (*ALPHABET, "*", "**")
    for words in [(*head, last)]
]


@pytest.mark.parametrize(
    "subject",
    [
        "a",
        "weather.changed",
        "ext.weather-widget.render",
        "cap.network.http",
        "sys.actor.trapped",
        "_.-.0",
        ".".join("a" * MAX_WORDS),
        "a" * MAX_LENGTH,
    ],
)
def test_subjects(subject: str) -> None:
    """A subject is words of a-z 0-9 _ - joined by dots, and is a pattern that matches itself."""
    assert check_subject(subject) == subject
    assert check_pattern(subject) == subject
    assert matches(subject, subject)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        ".a",
        "a.",
        "a..b",
        "A",
        "a b",
        "a.b\n",
        "a\x00b",
        "a/b",
        "a.é",
        "a.１",
        "ſ",
        "\ud800",
        "a>",
        "a.b*",
        "***",
        "a.***",
        ".".join("a" * (MAX_WORDS + 1)),
        "a" * (MAX_LENGTH + 1),
        "." * 100_000,
    ],
)
def test_neither_subject_nor_pattern(text: str) -> None:
    """Everything else is refused, with a short printable message."""
    for check in (check_subject, check_pattern):
        with pytest.raises(SubjectError) as caught:
            check(text)
        assert str(caught.value).isascii()
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 1000
    assert issubclass(SubjectError, DeskError)


@pytest.mark.parametrize("value", [None, 1, b"a", ["a"]])
def test_only_text(value: object) -> None:
    """A value that is not text is refused like a malformed text."""
    with pytest.raises(SubjectError, match="is text, not"):
        check_subject(value)  # type: ignore[arg-type]
    with pytest.raises(SubjectError, match="is text, not"):
        Pattern(value)  # type: ignore[arg-type]


def test_wildcards_are_for_patterns() -> None:
    """A wildcard is no part of a subject, and `**` is only the end of a pattern."""
    for wildcard in ("*", "**", "a.*", "*.a", "a.**"):
        check_pattern(wildcard)
        with pytest.raises(SubjectError, match="wildcard"):
            check_subject(wildcard)
    with pytest.raises(SubjectError, match="only be the last"):
        check_pattern("a.**.b")
    with pytest.raises(SubjectError, match=f"at most {MAX_WORDS}"):
        check_pattern(".".join("*" * (MAX_WORDS + 1)))


@pytest.mark.parametrize(
    ("pattern", "subject", "answer"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.c", False),
        ("a.b", "a", False),
        ("a", "a.b", False),
        ("*", "a", True),
        ("*", "a.b", False),
        ("a.*", "a.b", True),
        ("a.*", "a", False),
        ("*.b", "a.b", True),
        ("a.*.c", "a.b.c", True),
        ("a.**", "a.b", True),
        ("a.**", "a.b.c.d", True),
        ("a.**", "a", False),
        ("a.**", "ab.c", False),
        ("**", "sys.audit", True),
        ("*.**", "a", False),
        ("*.**", "a.b", True),
    ],
)
def test_matching(pattern: str, subject: str, answer: bool) -> None:
    """`*` is exactly one word, `**` one or more."""
    assert matches(pattern, subject) is answer


def test_covers_is_containment() -> None:
    """One pattern covers another exactly when it matches all that the other matches (by enumeration)."""
    matched = {text: {subject for subject in SUBJECTS if Pattern(text).matches(subject)} for text in PATTERNS}
    for wide, narrow in itertools.product(PATTERNS, repeat=2):
        assert covers(wide, narrow) is (matched[narrow] <= matched[wide]), (wide, narrow)


words = st.sampled_from(["a", "b", "*"])
patterns = st.tuples(st.lists(words, max_size=5), st.sampled_from(["a", "b", "*", "**"])).map(
    lambda parts: ".".join([*parts[0], parts[1]])
)


@given(patterns, patterns, patterns)
def test_covers_is_an_order(a: str, b: str, c: str) -> None:
    """Covering is reflexive and transitive, and both ways only between equals."""
    assert covers(a, a)
    assert not (covers(a, b) and covers(b, c)) or covers(a, c)
    assert not (covers(a, b) and covers(b, a)) or a == b


@given(st.text(max_size=20) | st.text("ab.*", max_size=12))
def test_a_pattern_without_wildcards_is_a_subject(text: str) -> None:
    """The two checks agree on every text without `*`."""
    try:
        pattern = Pattern(text)
    except SubjectError:
        with pytest.raises(SubjectError):
            check_subject(text)
    else:
        assert pattern.literal is ("*" not in text)
        if pattern.literal:
            assert check_subject(text) == text


def test_pattern_is_a_value() -> None:
    """Patterns are equal when their texts are, and show it."""
    assert Pattern("a.*") == Pattern("a.*") != Pattern("a.**")
    assert len({Pattern("a.*"), Pattern("a.*")}) == 1
    assert str(Pattern("a.*")) == "a.*"


@pytest.mark.parametrize(
    ("text", "answer"),
    [("sys.audit", True), ("ext", True), ("cap.**", True), ("system.x", False), ("a.sys", False), ("**", False)],
)
def test_reserved(text: str, answer: bool) -> None:
    """The first word decides whether a subject belongs to the host."""
    assert is_reserved(text) is answer


def test_meet_is_what_both_match() -> None:
    """For every two patterns, exactly the subjects that both match; None if there are none."""
    wide = [pattern for pattern in PATTERNS if "b" not in pattern]
    for mine, theirs in itertools.product(map(Pattern, wide), map(Pattern, PATTERNS)):
        met = mine.meet(theirs)
        both = {subject for subject in SUBJECTS if mine.matches(subject) and theirs.matches(subject)}
        assert {subject for subject in SUBJECTS if met is not None and met.matches(subject)} == both, (mine, theirs)
        assert met == theirs.meet(mine)


def test_what_meets_beyond_the_longest_subject_meets_nowhere() -> None:
    """Two patterns whose meeting would be longer than a subject may be match nothing together."""
    words = [".".join("a" * 38 if place % 2 == odd else "*" for place in range(12)) for odd in (0, 1)]
    assert Pattern(words[0]).meet(Pattern(words[1])) is None
