"""Advice for common slips: what people write who know JSON, TOML, Python or Rust better than RON.

An error always says what was found and what was expected. Where that leaves a reader wondering, a hint says what to do:
`unexpected `=`; expected `:` (a colon stands between a name and its value)`. Hints never decide anything.
"""

import unicodedata
from types import MappingProxyType

from desk.bus.ron.nodes import Float, Ident, Int, Node, Range, Str
from desk.bus.ron.text import Pos, shown

_PLAIN_QUOTES = 'a string stands between plain quotes: "..."'
_OF_CHARACTER = MappingProxyType(
    {
        "=": "a colon stands between a name and its value",
        ";": "a comma stands between values",
        "#": "a comment begins with `//`",
        "\ufeff": "this is a byte order mark: save the text as UTF-8 without one",
    }
    | dict.fromkeys("`‘’‚‛“”„‟«»", _PLAIN_QUOTES)
)
_LIKE = frozenset("()[]{}:,;=\"'.+-_/")  # what other scripts have characters for that look the same

NO_SPACE_IN_RANGE = "no space stands around `..`"


def of_character(character: str) -> str:
    """What to do about a character that cannot stand where it does; "" if there is nothing to say."""
    if hint := _OF_CHARACTER.get(character):
        return hint
    if character.isascii():
        return ""
    if unicodedata.category(character) in ("Zs", "Cf"):
        return "it cannot be seen, and is not white space in RON: type a plain space, or nothing"
    like = unicodedata.normalize("NFKC", character)
    return f"it only looks like {shown(like)}" if like in _LIKE else ""


def after(last: Node, text: str, at: int) -> str:
    """What to do where neither a comma nor the end of a container follows the value `last`, but what stands at `at`."""
    found = text[at : at + 1]
    number = isinstance(last, (Int, Float))
    if (number and text.startswith("..", at)) or (
        isinstance(last, Range) and last.end is None and found in "0123456789+-."
    ):
        return NO_SPACE_IN_RANGE
    if isinstance(last, Str) and "\n" in text[last.at : at].rstrip():
        return (
            f"the string that begins at {Pos.of(text, last.at)} goes on to another line: is its closing quote missing?"
        )
    if isinstance(last, Ident) and found == "{":
        return f"the fields of a struct stand between parentheses: {last.name[:40]}(name: value)"
    return of_character(found)


def instead_of_comma(found: str) -> str:
    """What to do where a comma was expected, and `found` stands there."""
    begins_value = found.isalnum() or found in ("_", '"', "'", "(", "[", "{", "+", "-")
    return "is a comma missing before it?" if begins_value else ""


def instead_of_colon(last: Node) -> str:
    """What to do about a colon behind `last`, which is in a tuple."""
    if isinstance(last, Str):
        return "names of fields have no quotes; a map stands between `{` and `}`"
    return "in a struct every value has a name, in a tuple none"
