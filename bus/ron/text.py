"""A text as something to point at: places in it, the caret under a place, and the error its reader raises.

Everything people get to see of a RON text passes through here, and the text may come from an attacker or from a broken
disk. So what is shown is bounded in length, and every character that could move the cursor, hide or reorder what stands
beside it is written as an escape.
"""

import unicodedata
from dataclasses import dataclass
from typing import Self

from desk.bus.errors import DeskError

_SHOWN_OF_A_LINE = 76
"""Code points of a line that an excerpt shows, around the caret: with the gutter it fits a terminal of 80 columns."""

_SHOWN_OF_A_NAME = 40
"""Code points of a name or number that a message repeats: enough to find it again."""


@dataclass(frozen=True, slots=True, order=True)
class Pos:
    """A place in a text. Both count from 1; a column is one code point wide, and only a line feed ends a line."""

    line: int
    column: int

    @classmethod
    def of(cls, text: str, at: int) -> Self:
        """The place of offset `at` in `text`. It counts the lines before, so it is asked for only when somebody will read it."""
        return cls(text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


class RonError(DeskError):
    """A text is not RON as we read it, or is more than the limits allow. The doing of whoever wrote the text.

    `message` is one line without the place, `expected` what could have stood there instead, `hint` what to do about it if
    that is not plain ("" if it is), `pos` the place (also as `line` and `column`), `excerpt` the line with a caret.
    `str(error)` has all of it. None of them holds more of the text than a line's worth.
    """

    doing = "author"
    retry = "never"

    def __init__(self, problem: str, *, expected: str, text: str, pos: Pos, hint: str = "") -> None:
        self.message = f"{problem}; expected {expected}" + (f" ({hint})" if hint else "")
        self.expected = expected
        self.hint = hint
        self.pos = pos
        self.excerpt = excerpt(text, pos)
        super().__init__(f"{pos}: {self.message}\n{self.excerpt}")

    @property
    def line(self) -> int:
        return self.pos.line

    @property
    def column(self) -> int:
        return self.pos.column


def excerpt(text: str, pos: Pos) -> str:
    """The line of `text` that holds `pos` and a caret under the place: two lines, without a line feed at the end.

    For errors about a text that was read before, such as a manifest's. A long line is cut on both sides (`…`); a place
    outside the text shows the nearest place inside it.
    """
    start, line = 0, 1
    while line < pos.line and (line_feed := text.find("\n", start)) >= 0:
        start, line = line_feed + 1, line + 1
    end = text.find("\n", start)
    if end < 0:
        end = len(text)
    at = min(start + max(pos.column, 1) - 1, end)
    left = max(start, at - _SHOWN_OF_A_LINE // 2)
    right = min(end, left + _SHOWN_OF_A_LINE)

    before = ("…" if left > start else "") + printable(text[left:at])
    after = printable(text[at:right].removesuffix("\r")) + ("…" if right < end else "")
    number = str(line)
    top = f"{number} | {before}{after}".rstrip()
    return f"{top}\n{' ' * len(number)} | {' ' * _columns(before)}^"


def shown(fragment: str) -> str:
    """`fragment` for use inside a message: between backticks, escaped, and cut when it is long."""
    cut = len(fragment) > _SHOWN_OF_A_NAME
    return f"`{printable(fragment[:_SHOWN_OF_A_NAME])}{'…' if cut else ''}`"


def printable(text: str) -> str:
    """`text` with every character that is not plainly visible written as an escape, in at most 10 characters each."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _columns(text: str) -> int:
    """How many columns of a terminal `text` takes."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
