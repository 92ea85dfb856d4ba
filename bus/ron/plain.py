"""The short way through a RON text: one pattern for a whole plain element of a container.

An element is what stands between two commas, and nearly all elements of nearly all texts are plain, such as these, each
with the comma before it:

    , "render": (       an entry of a map, up to where the container that is its value begins
    , ret: i32          a field of a struct
    , 42                an item of a list
    ]                   no further element, but the end

In a plain element names are ASCII, strings have no escapes, integers are decimal, short and unsigned, and comments are
those that end with the line. What is not plain, or not right, the patterns do not match. The reader (`ron`) then takes
the same element in small steps; these are the whole grammar, and alone say what is wrong. So a pattern must not match
anything that the steps would refuse or read otherwise, but it may leave to them whatever it likes.

Nothing in a pattern can go back over what it has matched, so an element takes time linear in its length.
"""

import re
from typing import Final, NamedTuple

_SPACE = r"[ \t\r\n]*+(?://[^\n]*+[ \t\r\n]*+)*+"
_NAME = r"[A-Za-z_][0-9A-Za-z_]*+"
_WORD = rf"(?!(?:true|false|None|Some|(?:inf|NaN)(?:f32|f64)?)\b){_NAME}"
_STRING = r'"[^"\\]*+"'
_END = rf"(?={_SPACE}[,\])}}])"
_FIELD = rf"(?P<field>{_NAME}){_SPACE}:{_SPACE}"
_KEY = rf"(?:(?P<string_key>{_STRING})|(?P<name_key>{_WORD})){_SPACE}:{_SPACE}"
_LEAF = rf"(?:(?P<string>{_STRING})|(?P<name>{_WORD})|(?P<integer>0|[1-9][0-9]{{0,17}})){_END}"
_OPENER = rf"(?P<opener>[\[{{]|\((?={_SPACE}{_NAME}{_SPACE}:))"  # a parenthesis is that of a struct if a name and a colon follow
_VALUE = rf"(?:{_LEAF}|{_OPENER})"


class Plain(NamedTuple):
    """The patterns for the elements of one kind of container. Of their groups, the last one to match tells what it is."""

    first: re.Pattern[str]
    later: re.Pattern[str]


def _plain(element: str, closer: str) -> Plain:
    element = rf"(?:{element}|(?P<closer>{re.escape(closer)}))"
    return Plain(
        re.compile(_SPACE + element),
        re.compile(rf"{_SPACE}(?:,{_SPACE}|(?={re.escape(closer)})){element}"),
    )


NEVER: Final = Plain(re.compile(r"(?!)"), re.compile(r"(?!)"))
"""For containers whose elements are always read in steps, because few texts have any."""

ITEMS: Final = _plain(_VALUE, "]")
FIELDS: Final = _plain(_FIELD + _VALUE, ")")
ENTRIES: Final = _plain(_KEY + _VALUE, "}")
