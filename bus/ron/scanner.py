"""A place in a RON text that moves forward over space, comments and names.

The reader has no separate pass that makes tokens, because in RON what a character means depends on what stands around
it (`b'a'` and `b`, `r#"..."#` and `r#type`, `1.` and `1..2`). It moves this place instead. Nothing here goes back over
what it has passed, so reading takes time linear in the text.
"""

import re
import unicodedata
from typing import NamedTuple

from desk.bus.ron.hints import of_character
from desk.bus.ron.text import Pos, RonError, shown

_SPACES = " \t\n\r\x0b\x0c\x85\u200e\u200f\u2028\u2029"
_SPACE = re.compile(f"[{_SPACES}]*")
_SPACE_OR_COMMENT = frozenset(_SPACES + "/")
_BLOCK_COMMENT_MARK = re.compile(r"/\*|\*/")
_ASCII_NAME = re.compile(r"[0-9A-Za-z_]*")
_ASCII_RAW_NAME = re.compile(r"[0-9A-Za-z_.+\-]*")
_LITERAL_LIKE_A_NAME = re.compile(r"""b["']|br["#]|r"|r#["#]""")

_NEWER_XID_CONTINUE = "\u200c\u200d\u30fb\uff65"
"""Characters that Unicode 15.1 added to XID_Continue, for Pythons with older tables (3.11 has 14.0)."""


class Name(NamedTuple):
    """A name in the text. A raw one (`r#type`) is never a keyword."""

    text: str
    raw: bool


class Scanner:
    """`text`, and `at`: the offset of the next character to read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    @property
    def ended(self) -> bool:
        return self.at >= len(self.text)

    @property
    def next(self) -> str:
        """The next character, "" at the end."""
        return self.text[self.at : self.at + 1]

    def looking_at(self, token: str) -> bool:
        return self.text.startswith(token, self.at)

    def take(self, token: str) -> bool:
        """Moves over `token` if it is next, and says whether it was."""
        if not self.text.startswith(token, self.at):
            return False
        self.at += len(token)
        return True

    def need(self, token: str) -> None:
        """Moves over `token`, which must be next, and the space around it."""
        self.skip_space()
        if not self.take(token):
            raise self.unexpected(shown(token))
        self.skip_space()

    def take_all(self, pattern: re.Pattern[str]) -> str:
        """Moves over what `pattern` matches here, which may be nothing."""
        match = pattern.match(self.text, self.at)
        if match is None:
            return ""
        self.at = match.end()
        return match.group()

    @property
    def in_name(self) -> bool:
        """Whether the next character would go on a name or number that ends here."""
        return not self.ended and _continues_name(self.text[self.at])

    # What is wrong here.

    def error(self, problem: str, *, expected: str, at: int | None = None, hint: str = "") -> RonError:
        """The error to raise about offset `at`, by default about the next character."""
        pos = Pos.of(self.text, self.at if at is None else at)
        return RonError(problem, expected=expected, text=self.text, pos=pos, hint=hint)

    def unexpected(self, expected: str, at: int | None = None, hint: str = "") -> RonError:
        """The error to raise when what stands at `at` (by default next) cannot stand there."""
        at = self.at if at is None else at
        if at >= len(self.text):
            return self.error("the text ends here", expected=expected, at=at)
        found = self.text[at : self._name_end(at, _ASCII_NAME)] or self.text[at]
        problem = f"unexpected {shown(found)}"
        if not found.isprintable():
            code, name = ord(found[0]), unicodedata.name(found[0], "a character without a name")
            problem = f"unexpected U+{code:04X} ({name})"
        return self.error(problem, expected=expected, at=at, hint=hint or of_character(found[0]))

    # What may stand between and around values.

    def skip_space(self) -> None:
        """Moves over white space and comments; `/* */` nest, `//` ends at a line feed only."""
        while self.text[self.at : self.at + 1] in _SPACE_OR_COMMENT:  # most often there is none
            space = _SPACE.match(self.text, self.at)
            start = self.at = space.end() if space else self.at
            if self.take("//"):
                line_feed = self.text.find("\n", self.at)
                self.at = len(self.text) if line_feed < 0 else line_feed
            elif self.take("/*"):
                self._skip_block_comment(start)
            elif self.take("/"):
                raise self.unexpected("`//` or `/*`, which begin a comment", at=start + 1)

    def _skip_block_comment(self, start: int) -> None:
        depth = 1
        for mark in _BLOCK_COMMENT_MARK.finditer(self.text, self.at):
            depth += 1 if mark.group() == "/*" else -1
            if depth == 0:
                self.at = mark.end()
                return
        raise self.error("this comment is never closed", expected=f"{depth} more `*/`", at=start)

    def name(self) -> Name | None:
        """Moves over a name and returns it; None, and no move, if none is next.

        A name is XID_Start or `_`, then XID_Continue (UAX 31), and is taken as it stands: no normalisation. Behind
        `r#` it is one or more of XID_Continue and `.+-`.
        """
        start = self.at
        if not self.text[start : start + 1].isidentifier() or _LITERAL_LIKE_A_NAME.match(self.text, start):
            return None
        if self.text.startswith("r#", start):
            end = self._name_end(start + 2, _ASCII_RAW_NAME)
            if end == start + 2:
                return None
            self.at = end
            return Name(self.text[start + 2 : end], raw=True)
        self.at = self._name_end(start, _ASCII_NAME)
        return Name(self.text[start : self.at], raw=False)

    def refuse_rest_of_name(self, start: int) -> None:
        """Raises if the name from `start` to here goes on with a character that only a raw name may have.

        Nothing could follow that character either way; this only gives a common slip (`hot-reload: true`) its answer.
        """
        if not self.ended and self.next in ".+-":
            whole = self.text[start : self._name_end(start, _ASCII_RAW_NAME)]
            expected = f"{shown('r#' + whole)} if this is one name"
            raise self.error(f"a name cannot have {shown(self.next)} in it", expected=expected)

    def _name_end(self, at: int, ascii_part: re.Pattern[str]) -> int:
        """Where the characters end that may go on a name, from offset `at` on."""
        while match := ascii_part.match(self.text, at):
            at = match.end()
            if at == len(self.text) or self.text[at].isascii() or not _continues_name(self.text[at]):
                break
            at += 1
        return at


def _continues_name(character: str) -> bool:
    return ("_" + character).isidentifier() or character in _NEWER_XID_CONTINUE
