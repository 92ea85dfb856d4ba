"""What every permission string has in common: its bounds, its error, and how it is shown to people.

A permission is read by a person before it is granted, and compared by a machine afterwards. Both must see the same
thing, so a text with invisible or direction-changing characters, or in a form that another program may normalise
into something else, is refused before its grammar is looked at. What is shown is always escaped to ASCII, in the
escapes of RON: a suggested line can be pasted into a manifest (CVE-2021-43860 is what happens without this).
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable

from desk.bus.errors import DeskError

MAX_TEXT = 512
"""Characters in one permission string."""

_PLAIN = re.compile(r"[ !#-\[\]-~]*")
"""Text that is shown as it is: printable ASCII without quote and backslash."""

_SHOWN = 80  # characters of a bad text that an error repeats
_REFUSED_CATEGORIES = {
    "Cc": "a control character",
    "Cf": "an invisible or text-direction character",
    "Cs": "a lone surrogate",
    "Zl": "a line separator",
    "Zp": "a paragraph separator",
}


class PermissionSyntaxError(DeskError):
    """A text is no permission: the author of the manifest, the operator or a guest's request got it wrong.

    You do *not* get this for a well-formed request that nobody granted: that is a `Decision`.

    `problem` says what is wrong, `expected` what would be right, `nearest` the known word that is most like the one
    found, or None. `section` and `text` say where, once known.
    """

    doing = "author"
    retry = "never"

    def __init__(self, problem: str, expected: str, *, nearest: str | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.expected = expected
        self.nearest = nearest
        self.section: str | None = None
        self.text: str | None = None

    def __str__(self) -> str:
        where = "" if self.section is None else f"{escaped(self.section)[:_SHOWN]}: "
        if self.section is not None and self.text is not None:
            where = f"{escaped(self.section)[:_SHOWN]} {shown(self.text)}: "
        hint = "" if self.nearest is None else f"; did you mean {quoted(self.nearest)}?"
        return f"{where}{self.problem}; expected {self.expected}{hint}"


def unknown_word(kind: str, word: str, known: Iterable[str]) -> PermissionSyntaxError:
    """Build the error for a word that is none of the `known` ones."""
    words = sorted(known)
    close = difflib.get_close_matches(word[:_SHOWN].lower(), words, n=1)
    expected = " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
    return PermissionSyntaxError(f"unknown {kind} {shown(word)}", expected, nearest=close[0] if close else None)


def check_text(text: str) -> None:
    """Raise `PermissionSyntaxError` unless `text` is 1 to 512 visible characters in Unicode normal form C."""
    if type(text) is not str:
        raise PermissionSyntaxError(f"a permission cannot be {type(text).__name__}", "text")
    if not 0 < len(text) <= MAX_TEXT:
        raise PermissionSyntaxError(f"{len(text)} characters", f"1 to {MAX_TEXT} characters")
    if text.isascii() and text.isprintable():
        return
    for character in text:
        refused = _REFUSED_CATEGORIES.get(unicodedata.category(character))
        if refused is not None:
            raise PermissionSyntaxError(f"{refused}, {escaped(character)}", "visible characters")
    if not unicodedata.is_normalized("NFC", text):
        raise PermissionSyntaxError("not in Unicode normal form C", "composed characters (NFC)")


def escaped(text: str) -> str:
    r"""Return `text` in printable ASCII: quote, backslash and everything else escaped as RON does, as `\u{202e}`."""
    if _PLAIN.fullmatch(text):  # most are
        return text
    return "".join(_escape(character) for character in text)


def quoted(text: str) -> str:
    """Return `text` as a RON string literal in printable ASCII."""
    return f'"{escaped(text)}"'


def shown(text: str) -> str:
    """Return `text` quoted for an error message: like `quoted`, but never long."""
    return quoted(text) if len(text) <= _SHOWN else f"{quoted(text[:_SHOWN])}..."


def found(value: object) -> str:
    """Return what an error says of `value`, which may come from a guest and be no text at all."""
    return shown(value) if isinstance(value, str) else type(value).__name__


def _escape(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if " " <= character <= "~" else f"\\u{{{ord(character):x}}}"
