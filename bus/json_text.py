"""JSON (RFC 8259) read and written strictly, for the type `json`.

A JSON text reads as one Python value or not at all: Python's reader takes NaN and Infinity, keeps the last of two equal
keys, turns 1e999 into infinity, builds whole numbers of any length and strings that UTF-8 cannot carry. A value that
went through here can also be sent as CBOR: whole numbers keep to its 64 bits, and there are at most as many items.

Errors are `CodecError`, as for CBOR.
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any, Never

from desk.bus.cbor_items import CONTAINER_WEIGHT, MAX_ITEMS, STRING_WEIGHT
from desk.bus.codec import (
    BEYOND_64_BITS,
    LONE_SURROGATE,
    TOO_MANY_ITEMS,
    CodecError,
    Value,
    instead_of,
    path_step,
)

MAX_DEPTH = 64
"""How many arrays and objects may stand inside each other. Both json's C code and we recurse, so it stays small."""

_INT_LOW, _INT_HIGH = -(1 << 64), (1 << 64) - 1
_INT_DIGITS = len(str(_INT_LOW))
_PLAIN: frozenset[type] = frozenset({type(None), bool, str})
_TOO_DEEP = f"more than {MAX_DEPTH} arrays and objects inside each other"


def check(value: object) -> None:
    """Raise `CodecError` unless `value` is null, bool, int, finite float, str, list, tuple or dict with str keys."""
    kind = type(value)
    if kind not in _PLAIN:
        _LOOK.get(kind, _refuse)(value, MAX_DEPTH)


def dump(value: object) -> bytes:
    """`value` as compact JSON text in UTF-8; a tuple is an array. Raises `CodecError` where `parse` would."""
    check(value)
    data = _write(value)
    _check_items(data)
    return data


def parse(data: bytes | bytearray | memoryview) -> Value:
    """The one value of a JSON text in UTF-8, without byte order mark. Bound its size before. Raises `CodecError`."""
    whole = bytes(data)  # no copy if it is bytes already
    try:
        text = str(whole, "utf-8")
    except UnicodeDecodeError as error:
        raise CodecError(f"JSON text that is not UTF-8 at byte {error.start}") from None
    _check_items(whole)
    if whole.count(b"[") + whole.count(b"{") > MAX_DEPTH and _depth(whole) > MAX_DEPTH:
        raise CodecError(_TOO_DEEP)
    try:
        value: Value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise CodecError(f"not JSON: {error}") from None
    if _SURROGATE_ESCAPE.search(text):
        _write(value)  # a pair of escapes has become one character, a lone one has no UTF-8
    return value


def _write(value: object) -> bytes:
    try:
        return _ENCODER.encode(value).encode("utf-8")
    except UnicodeEncodeError:
        raise CodecError(LONE_SURROGATE) from None


def _check_object(value: dict[object, object], room: int) -> None:
    if room == 0:
        raise CodecError(_TOO_DEEP)
    for key, item in value.items():
        if type(key) is not str:
            raise CodecError(f"a key of type {type(key).__name__}, expected text")
        kind = type(item)
        if kind not in _PLAIN:
            try:
                _LOOK.get(kind, _refuse)(item, room - 1)
            except CodecError as error:
                error.path = path_step(key) + error.path
                raise


def _check_array(value: Sequence[object], room: int) -> None:
    if room == 0:
        raise CodecError(_TOO_DEEP)
    for index, item in enumerate(value):
        kind = type(item)
        if kind not in _PLAIN:
            try:
                _LOOK.get(kind, _refuse)(item, room - 1)
            except CodecError as error:
                error.path = path_step(index) + error.path
                raise


def _check_int(value: int, _room: int) -> None:
    if not _INT_LOW <= value <= _INT_HIGH:
        raise CodecError(BEYOND_64_BITS)


def _check_float(value: float, _room: int) -> None:
    if not math.isfinite(value):
        raise CodecError(f"{value}, which JSON has no form for; send None or text")


def _refuse(value: object, _room: int) -> Never:
    raise CodecError(f"a value of type {type(value).__name__}, which JSON has no form for; {instead_of(value)}")


_LOOK: Mapping[type, Callable[[Any, int], None]] = {
    dict: _check_object,
    list: _check_array,
    tuple: _check_array,
    int: _check_int,
    float: _check_float,
}


# What json's reader asks us about as it goes.


def _read_int(text: str) -> int:
    if len(text) <= _INT_DIGITS and _INT_LOW <= (value := int(text)) <= _INT_HIGH:
        return value
    raise CodecError(BEYOND_64_BITS)


def _read_float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise CodecError("a number beyond the range of floats")
    return value


def _read_constant(word: str) -> Never:
    raise CodecError(f"{word}, which JSON has no form for")


def _read_object(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise CodecError("an object with the same key twice")
    return value


_ENCODER = json.JSONEncoder(ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":"))
_DECODER = json.JSONDecoder(
    object_pairs_hook=_read_object, parse_int=_read_int, parse_float=_read_float, parse_constant=_read_constant
)
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


# How many items there are and how deep, before one is built: linear and at C speed. Exact as far as the text is
# well-formed, and a reader goes no further than that.

_PUNCTUATION = b",:[{"
_ALL_BUT_PUNCTUATION = bytes(set(range(256)) - set(_PUNCTUATION))
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_WHITESPACE = b" \t\r\n"
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


def _check_items(data: bytes) -> None:
    """Raise if there are more than `MAX_ITEMS` items, counted and weighed as in CBOR: values, arrays, objects and their keys.

    Before each item but the first is one of `_PUNCTUATION`, but not every one of these has an item after it: some are
    inside strings, so that honest text may look as if it had too many, and some begin an empty array or object.
    """
    if len(data) * CONTAINER_WEIGHT <= MAX_ITEMS or _weight(data, quotes=2) <= MAX_ITEMS:
        return
    outside = _outside_strings(data).translate(None, _WHITESPACE)
    if _weight(outside, quotes=1) - outside.count(b"[]") - outside.count(b"{}") > MAX_ITEMS:
        raise CodecError(TOO_MANY_ITEMS)


def _weight(data: bytes, *, quotes: int) -> int:
    """What the items weigh if something follows each `_PUNCTUATION`, and each string has so many quotes."""
    items = 1 + len(data.translate(None, _ALL_BUT_PUNCTUATION))
    strings = data.count(b'"') // quotes
    containers = data.count(b"[") + data.count(b"{")
    return items + (STRING_WEIGHT - 1) * strings + (CONTAINER_WEIGHT - 1) * containers


def _depth(data: bytes) -> int:
    """How deep the text nests, without recursion and before anything recurses into it."""
    brackets = _outside_strings(data).translate(None, _ALL_BUT_BRACKETS)
    return max(accumulate(map(_STEP.__getitem__, brackets)), default=0)


def _outside_strings(data: bytes) -> bytes:
    """The text with a lone `"` for each string. Raises `CodecError` for more strings than there may be items."""
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    if data.count(b'"') // 2 * STRING_WEIGHT > MAX_ITEMS:  # or there would be as many pieces
        raise CodecError(TOO_MANY_ITEMS)
    return b'"'.join(data.split(b'"')[::2])
