"""Subjects say where a message goes; patterns say who listens.

A subject is one to sixteen words joined by dots: `weather.changed`, `ext.weather-widget.render`. A pattern may put `*`
in place of a word, which stands for exactly one word, and may end in `**`, which stands for one word or more. So `**`
alone is every subject, and `weather.**` is everything below `weather`, but not `weather` itself.

A subject is a pattern without wildcards, which is why one comparison answers both questions asked here: does this
pattern match that subject, and does it cover that pattern, that is, match all it matches? `covers` never says yes
wrongly. It says no wrongly in one corner: a sixteen-word pattern ending in `**` has room for one word only, and a `*`
in its place would match the same.

The first words in `RESERVED` belong to the host: guests never publish there. The rule is enforced where guests are
(`desk.capabilities`); the bus only names it. The words have no upper case, so that no two subjects look alike.
"""

import re
from dataclasses import dataclass, field

from desk.bus.errors import DeskError

MAX_LENGTH = 255
"""Characters in a subject or pattern: what fits in one length byte, and in every link protocol we know of."""

MAX_WORDS = 16
"""Words in a subject or pattern: bounds the work of a comparison."""

RESERVED = frozenset({"sys", "ext", "cap"})
"""First words on which only the host publishes: its own events, calls of extensions, calls of capabilities."""

_WORD = re.compile(r"[a-z0-9_-]+")
_SUBJECT = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_EXPECTED_WORD = "each word is one or more of a-z 0-9 _ -, and words are joined by single dots"


class SubjectError(DeskError):
    """A text is no subject, or no pattern. The one who wrote it is to blame; the message shows the place, escaped."""

    doing = "caller"
    retry = "never"


def check_subject(text: str) -> str:
    """Return `text` if it is a subject; raise `SubjectError` if not. Wildcards are not allowed."""
    _check_size(text, "subject")
    if _SUBJECT.fullmatch(text) is None or text.count(".") >= MAX_WORDS:
        _check_words(text.split("."), text, "subject")
    return text


def check_pattern(text: str) -> str:
    """Return `text` if it is a pattern (every subject is one); raise `SubjectError` if not."""
    return Pattern(text).text


def is_reserved(text: str) -> bool:
    """Say whether a subject or pattern begins with a word that belongs to the host. A leading wildcard does not."""
    return text.partition(".")[0] in RESERVED


def matches(pattern: str, subject: str) -> bool:
    """Say whether `pattern` matches `subject`; raise `SubjectError` if either is malformed.

    To ask one pattern about many subjects, keep a `Pattern`.
    """
    return Pattern(pattern).matches(check_subject(subject))


def covers(wide: str, narrow: str) -> bool:
    """Say whether `wide` matches every subject that `narrow` matches; raise `SubjectError` if either is malformed."""
    return Pattern(wide).covers(Pattern(narrow))


@dataclass(frozen=True, slots=True)
class Pattern:
    """A checked pattern, ready to be compared. Equal when the text is equal. `Pattern(text)` raises `SubjectError`."""

    text: str
    words: tuple[str, ...] = field(init=False, repr=False, compare=False)
    literal: bool = field(init=False, repr=False, compare=False)
    """No wildcard in it: the pattern is a subject."""
    endless: bool = field(init=False, repr=False, compare=False)
    """Ends in `**`."""
    _head: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_size(self.text, "pattern")
        words = tuple(self.text.split("."))
        endless = words[-1] == "**"
        head = words[:-1] if endless else words
        _check_words([word for word in head if word != "*"], self.text, "pattern", count=len(words))
        object.__setattr__(self, "words", words)
        object.__setattr__(self, "literal", "*" not in self.text)
        object.__setattr__(self, "endless", endless)
        object.__setattr__(self, "_head", head)

    def __str__(self) -> str:
        return self.text

    def matches(self, subject: str) -> bool:
        """Say whether the pattern matches. `subject` has been through `check_subject`: this does not look again."""
        return subject == self.text if self.literal else self._fits(subject.split("."))

    def covers(self, other: "Pattern") -> bool:
        """Say whether this pattern matches every subject that `other` matches."""
        return (self.endless or not other.endless) and self._fits(other.words)

    def meet(self, other: "Pattern") -> "Pattern | None":
        """Return the pattern that matches what both match; None if there is no such subject."""
        short, long = (self, other) if len(self.words) <= len(other.words) else (other, self)
        if len(short.words) < len(long.words) and not short.endless:
            return None
        if long.endless and not short.endless:
            short, long = long, short  # as many words: what is endless is looked at by its head
        words: list[str] = list(long.words)
        for place, word in enumerate(short._head):
            if words[place] == "*":
                words[place] = word
            elif word not in ("*", words[place]):
                return None
        try:
            return Pattern(".".join(words))
        except SubjectError:  # longer than a subject may be
            return None

    def _fits(self, words: "list[str] | tuple[str, ...]") -> bool:
        # A `**` among `words` is last, and lies beyond our head whenever we are endless ourselves, the only
        # case in which `covers` asks about one: so it is never compared with our `*`.
        short_by = len(self.words) - len(words)
        if short_by > 0 or (short_by < 0 and not self.endless):
            return False
        return all(mine in ("*", theirs) for mine, theirs in zip(self._head, words, strict=False))


def _check_size(text: str, kind: str) -> None:
    if type(text) is not str:
        raise SubjectError(f"a {kind} is text, not {type(text).__name__}")
    if len(text) > MAX_LENGTH:
        raise SubjectError(f"{kind} {text[:40]!a}... has {len(text)} characters; at most {MAX_LENGTH} are allowed")


def _check_words(words: list[str], text: str, kind: str, count: int | None = None) -> None:
    count = len(words) if count is None else count
    if count > MAX_WORDS:
        raise SubjectError(f"{kind} {text!a} has {count} words; at most {MAX_WORDS} are allowed")
    for word in words:
        if _WORD.fullmatch(word) is not None:
            continue
        if word == "**" and kind == "pattern":
            raise SubjectError(f"pattern {text!a} has ** before its end; ** may only be the last word")
        if word in ("*", "**"):
            raise SubjectError(f"subject {text!a} has a wildcard; only patterns may have one")
        raise SubjectError(f"{kind} {text!a} has the bad word {word!a}; {_EXPECTED_WORD}")
