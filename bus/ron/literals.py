"""Numbers, ranges, strings and chars: how RON writes a single value.

Each function is called with the scanner at the first character of its literal and leaves it behind the last. The rules
are those of ron-rs 0.12.2 (src/parse.rs), also where its docs/grammar.md says something else: an underscore may follow
any digit, `e` and the exponent's sign, but not begin a number or follow its point; no space stands around `..`; `\\u`
needs its braces.
"""

import math
import re
import struct
from types import MappingProxyType
from typing import Final, Literal

from desk.bus.ron.hints import NO_SPACE_IN_RANGE
from desk.bus.ron.nodes import Bytes, Char, Float, Int, Range, Str
from desk.bus.ron.scanner import Scanner
from desk.bus.ron.text import RonError, shown

SPECIAL_FLOATS: Final = MappingProxyType(
    {
        "inf": (math.inf, None),
        "inff32": (math.inf, "f32"),
        "inff64": (math.inf, "f64"),
        "NaN": (math.nan, None),
        "NaNf32": (math.nan, "f32"),
        "NaNf64": (math.nan, "f64"),
    }
)
"""The floats that look like names: value and suffix."""

NUMBER_START: Final = frozenset("0123456789+-.")

_SIGN = re.compile(r"[+-]?")
_BASE_PREFIX = re.compile(r"(?:0[box])?")
_INTEGER_RUN = re.compile(r"[0-9A-Fa-f_]*")
_INTEGER_SUFFIX = re.compile(r"(?:[iu](?:8|16|32|64|128))?")
_FLOAT_RUN = re.compile(r"[0-9eE.+\-_]*")
_FLOAT_SUFFIX = re.compile(r"(?:f32|f64)?")
_FLOAT = re.compile(r"(?:[0-9][0-9_]*(?:\.(?:[0-9][0-9_]*)?)?|\.[0-9][0-9_]*)(?:[eE]_*[+-]?_*[0-9][0-9_]*)?")

_BASES = MappingProxyType(
    {
        "0b": (2, frozenset("01_"), 128),
        "0o": (8, frozenset("01234567_"), 43),
        "0x": (16, frozenset("0123456789abcdefABCDEF_"), 32),
        "": (10, frozenset("0123456789_"), 39),
    }
)
"""Prefix: base, what may be written in it, and how many digits 128 bits need (so no huge integer is ever built)."""

INTEGER_RANGES = MappingProxyType(
    {f"i{bits}": (-(1 << bits - 1), (1 << bits - 1) - 1) for bits in (8, 16, 32, 64, 128)}
    | {f"u{bits}": (0, (1 << bits) - 1) for bits in (8, 16, 32, 64, 128)}
)

_STRING_STOP = re.compile(r'["\\]')
_RAW_STRING_STOP = re.compile(r'"#*')
_HASHES = re.compile(r"#*")
_TWO_HEX = re.compile(r"[0-9A-Fa-f]{2}")
_BRACED_HEX = re.compile(r"\{([0-9A-Fa-f]{1,6})\}")
_ESCAPES = MappingProxyType({"'": "'", '"': '"', "\\": "\\", "n": "\n", "r": "\r", "t": "\t", "0": "\0"})
_AN_ESCAPE = {
    "byte": r"one of \n \r \t \0 \\ \' \" \x41",
    "char": r"one of \n \r \t \0 \\ \' \" \x41 \u{1F980}, and no \x above 7f",
    "string": r"\\ for a backslash, or one of \n \r \t \0 \\ \' \" \x41 \u{1F980}, and UTF-8 from \x80 on",
    "byte string": r"one of \n \r \t \0 \\ \' \" \xff \u{1F980}",
}

_QUOTE_TEXT = "a text, such as a version or a size with a unit, stands between quotes"

_Quoted = Literal["string", "char", "byte string", "byte"]


def number_or_range(scan: Scanner) -> Int | Float | Range:
    """A number, or a range: it begins with a number or with its dots."""
    at = scan.at
    start = None if scan.looking_at("..") else number(scan)
    if scan.take("..="):
        if scan.next == " ":
            raise scan.unexpected("a number", hint=NO_SPACE_IN_RANGE)
        return Range(start, number(scan), inclusive=True, text=scan.text, at=at)
    if start is None or scan.looking_at(".."):
        scan.take("..")
        # After a start, but not alone, the dots may have a byte literal: ron-rs reads `b'a'..b'z'` and not `..b'z'`.
        has_end = scan.next in NUMBER_START or (start is not None and scan.looking_at("b'"))
        end = number(scan) if has_end else None
        return Range(start, end, inclusive=False, text=scan.text, at=at)
    return start


def number(scan: Scanner) -> Int | Float:
    """An integer, a byte literal (`b'a'`) or a float."""
    start = scan.at
    if scan.take("b'"):
        return Int(_byte(scan, start), "u8", text=scan.text, at=start)
    sign = scan.take_all(_SIGN)
    at = scan.at
    if (name := scan.name()) is not None:
        if name.raw or name.text not in SPECIAL_FLOATS:
            raise scan.unexpected("a number", at)
        value, suffix = SPECIAL_FLOATS[name.text]
        return Float(-value if sign == "-" else value, suffix, text=scan.text, at=start)

    prefix = scan.take_all(_BASE_PREFIX)
    float_run = _peek(scan, _FLOAT_RUN).partition("..")[0]
    integer_run = _peek(scan, _INTEGER_RUN)
    is_float = not prefix and (
        len(float_run) > len(integer_run)
        or "e" in float_run.lower()
        or scan.text.startswith(("f32", "f64"), at + len(float_run))
    )
    if is_float:
        scan.at += len(float_run)
        value, suffix = _float(scan, float_run, at)
        result = Float(-value if sign == "-" else value, suffix, text=scan.text, at=start)
    else:
        scan.at += len(integer_run)
        value, suffix = _integer(scan, sign, prefix, integer_run, start)
        result = Int(value, suffix, text=scan.text, at=start)
    if scan.in_name:
        expected = "the end of the number, or one of its suffixes: i8 to i128, u8 to u128, f32, f64"
        raise scan.unexpected(expected, hint=_QUOTE_TEXT)
    return result


def _peek(scan: Scanner, run: re.Pattern[str]) -> str:
    match = run.match(scan.text, scan.at)
    return match.group() if match else ""


def _float(scan: Scanner, run: str, start: int) -> tuple[float, str | None]:
    """The value and suffix of an unsigned float whose digits are `run`; the scanner stands behind them."""
    if _FLOAT.fullmatch(run) is None:
        expected = "a float such as 1.5, .5, 1_000. or 2e-3"
        raise scan.error(f"{shown(run)} is not a number", expected=expected, at=start, hint=_QUOTE_TEXT)
    value = float(run.replace("_", ""))
    suffix = scan.take_all(_FLOAT_SUFFIX) or None
    return (rounded_to_32_bits(value) if suffix == "f32" else value), suffix


def rounded_to_32_bits(value: float) -> float:
    """The nearest number that a 32-bit float can be, infinite beyond the largest."""
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.inf


def _integer(scan: Scanner, sign: str, prefix: str, run: str, start: int) -> tuple[int, str | None]:
    """The value and suffix of an integer whose digits are `run`; the scanner stands behind them."""
    base, allowed, most_digits = _BASES[prefix]
    digits_at = scan.at - len(run)
    a_digit = f"a digit of base {base}"
    if not run or run.startswith("_"):
        raise scan.unexpected(a_digit, digits_at)
    for offset, character in enumerate(run):
        if character not in allowed:
            problem = f"{shown(character)} in a number of base {base}"
            raise scan.error(problem, expected=a_digit, at=digits_at + offset)

    suffix = scan.take_all(_INTEGER_SUFFIX) or None
    size = suffix or ("i128" if sign == "-" else "u128")
    low, high = INTEGER_RANGES[size]
    digits = run.replace("_", "").lstrip("0")
    if len(digits) <= most_digits:
        value = int(digits or "0", base) * (-1 if sign == "-" else 1)
        if low <= value <= high:
            return value, suffix
    written = shown(scan.text[start : scan.at])
    raise scan.error(f"{written} is out of range", expected=f"{low} to {high}, the range of {size}", at=start)


def char(scan: Scanner) -> Char:
    """`'a'`, with escapes; `'''` is the apostrophe."""
    start = scan.at
    scan.take("'")
    if scan.looking_at("\\"):
        value = _escape(scan, "char").decode()
    else:
        value = scan.next
        scan.at += len(value)
    if not value or not scan.take("'"):
        expected = "one character between apostrophes"
        raise scan.error(
            "this is not one character", expected=expected, at=start, hint="a string stands between double quotes"
        )
    return Char(value, text=scan.text, at=start)


def _byte(scan: Scanner, start: int) -> int:
    """The content of a byte literal and its closing apostrophe."""
    if scan.looking_at("\\"):
        value = _escape(scan, "byte")[0]
    else:
        character = scan.next
        value = ord(character) if character and character.isascii() else -1
        scan.at += len(character)
    if value < 0 or not scan.take("'"):
        raise scan.error("this is not a byte", expected="one ASCII character or an escape, such as b'a'", at=start)
    return value


def string(scan: Scanner) -> Str:
    """`"text"` with escapes, or `r#"text"#` without."""
    start = scan.at
    value = _raw(scan, start) if scan.take("r") else _quoted(scan, "string", start).decode()
    return Str(value, text=scan.text, at=start)


def byte_string(scan: Scanner) -> Bytes:
    """`b"text"` with escapes, or `br#"text"#` without; other characters than ASCII stand for their UTF-8."""
    start = scan.at
    scan.take("b")
    value = _raw(scan, start).encode() if scan.take("r") else _quoted(scan, "byte string", start)
    return Bytes(value, text=scan.text, at=start)


def _quoted(scan: Scanner, form: _Quoted, start: int) -> bytes:
    """What stands between the quotes, as UTF-8; only in a byte string it may be anything else."""
    if not scan.take('"'):
        raise scan.unexpected(f'`"`, which begins a {form}')
    parts: list[bytes] = []
    while stop := _STRING_STOP.search(scan.text, scan.at):
        parts.append(scan.text[scan.at : stop.start()].encode())
        scan.at = stop.start()
        if scan.take('"'):
            return b"".join(parts)
        parts.append(_escape(scan, form))
    raise scan.error(f"this {form} is never closed", expected='`"` after it', at=start)


def _raw(scan: Scanner, start: int) -> str:
    hashes = len(scan.take_all(_HASHES))
    if not scan.take('"'):
        raise scan.unexpected('`"`, which begins a raw string')
    content = scan.at
    for stop in _RAW_STRING_STOP.finditer(scan.text, content):
        if len(stop.group()) > hashes:
            scan.at = stop.start() + 1 + hashes
            return scan.text[content : stop.start()]
    closing = shown('"' + "#" * hashes)
    raise scan.error("this raw string is never closed", expected=f"{closing} after it", at=start)


def _escape(scan: Scanner, form: _Quoted) -> bytes:
    """What the escape that is next stands for, as UTF-8 (in bytes, `\\xff` is that byte)."""
    start = scan.at
    scan.take("\\")
    if scan.take("x"):
        value = _hex_byte(scan, start, form)
        if form in ("byte", "byte string"):
            return value
        # In a string up to four \x in a row are the UTF-8 of one character.
        while not _is_utf8(value):
            if form == "char" or len(value) == 4 or not scan.take("\\x"):
                raise _bad_escape(scan, start, form)
            value += _hex_byte(scan, start, form)
        return value
    if form != "byte" and scan.take("u"):
        digits = _BRACED_HEX.match(scan.text, scan.at)
        code = int(digits[1], 16) if digits else -1
        if digits is None or code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            raise _bad_escape(scan, start, form)
        scan.at = digits.end()
        return chr(code).encode()
    letter = scan.next
    if letter not in _ESCAPES:
        raise _bad_escape(scan, start, form)
    scan.at += 1
    return _ESCAPES[letter].encode()


def _hex_byte(scan: Scanner, start: int, form: _Quoted) -> bytes:
    if not (digits := _peek(scan, _TWO_HEX)):
        raise _bad_escape(scan, start, form)
    scan.at += 2
    return bytes.fromhex(digits)


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _bad_escape(scan: Scanner, start: int, form: _Quoted) -> RonError:
    return scan.error(f"this is not an escape in a {form}", expected=_AN_ESCAPE[form], at=start)
