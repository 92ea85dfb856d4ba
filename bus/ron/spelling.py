"""How a single value or a name is written: the way back from what `literals` and `scanner` read.

Everything that is not plainly visible is written as an escape: what reads the same is the same. A value that no text
stands for, such as half of a surrogate pair or 300 as a u8, raises `ValueError`: it can only have been made by hand.
"""

import math

from desk.bus.ron.literals import INTEGER_RANGES, SPECIAL_FLOATS, rounded_to_32_bits
from desk.bus.ron.nodes import Bool, Bytes, Char, Float, Ident, Int, Leaf, NoneValue, Range, Str
from desk.bus.ron.scanner import Name, Scanner

_KEYWORDS = frozenset({"true", "false", "None", "Some", *SPECIAL_FLOATS})
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0", "\\": "\\\\"}


def spelled(leaf: Leaf) -> str:
    """A value that has nothing in it. Raises `ValueError` for one that no text stands for."""
    match leaf:
        case Bool(value):
            return "true" if value else "false"
        case Int():
            return _integer(leaf)
        case Float():
            return _float(leaf)
        case Str(value):
            return _quoted('"', value)
        case Char(value):
            if len(value) != 1:
                raise ValueError(f"a char has one character, not {len(value)}")
            return _quoted("'", value)
        case Bytes(value):
            return "b" + '"' + "".join(map(_byte, value)) + '"'
        case Ident(name):
            return spelled_name(name)
        case NoneValue():
            return "None"
        case Range():
            return _range(leaf)


def spelled_name(name: str) -> str:
    """The name of a struct, or one that is a value: raw where it would be a keyword, or is none without `r#`."""
    return f"r#{name}" if name in _KEYWORDS else spelled_field(name)


def spelled_field(name: str) -> str:
    """The name of a field, which no keyword can be mistaken for."""
    for text, raw in ((name, False), (f"r#{name}", True)):
        scan = Scanner(text)
        if scan.name() == Name(name, raw) and scan.ended:
            return text
    raise ValueError(f"{name[:80]!r} is not a name in RON; expected letters, digits and `_.+-`")


def _integer(node: Int) -> str:
    size = node.suffix or ("i128" if node.value < 0 else "u128")
    low, high = INTEGER_RANGES[size]
    if not low <= node.value <= high:
        raise ValueError(f"an integer is out of range; expected {low} to {high}, the range of {size}")
    return f"{node.value}{node.suffix or ''}"


def _float(node: Float) -> str:
    value, suffix = node.value, node.suffix or ""
    if math.isnan(value):
        return ("-NaN" if math.copysign(1, value) < 0 else "NaN") + suffix
    if suffix == "f32" and rounded_to_32_bits(value) != value:
        raise ValueError(f"{value} has no form in 32 bits, which its suffix asks for")
    return f"{value!r}{suffix}"  # Python's shortest form is one of RON's, also for the infinite ones


def _range(node: Range) -> str:
    start = "" if node.start is None else spelled(node.start)
    if node.end is None:
        if node.inclusive:
            raise ValueError("a range that includes its end has one")
        return f"{start}.."
    end = spelled(node.end)
    if end[0] in "iN":  # behind `..`, only a sign tells an infinite end from the next value
        end = f"+{end}"
    return f"{start}{'..=' if node.inclusive else '..'}{end}"


def _quoted(quote: str, text: str) -> str:
    if text.isascii() and text.isprintable() and "\\" not in text and quote not in text:
        return f"{quote}{text}{quote}"
    return quote + "".join(_character(each, quote) for each in text) + quote


def _character(character: str, quote: str) -> str:
    if character == quote:
        return f"\\{quote}"
    if character in _ESCAPES:
        return _ESCAPES[character]
    if "\ud800" <= character <= "\udfff":
        raise ValueError(f"half of a surrogate pair, U+{ord(character):04X}, is not text")
    return character if character.isprintable() else f"\\u{{{ord(character):x}}}"


def _byte(byte: int) -> str:
    character = chr(byte)
    if character == '"':
        return '\\"'
    if character in _ESCAPES:
        return _ESCAPES[character]
    return character if " " <= character <= "~" else f"\\x{byte:02x}"
