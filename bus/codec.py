"""One strict profile of CBOR, so that bytes mean one value or nothing.

CBOR (RFC 8949) lets a sender say far more than a message needs: tags that build cycles, shared strings that grow to
gigabytes, regular expressions and big numbers; keys of any kind, given twice; lengths left open; bytes after the end.
Each of these has been an attack on some decoder, so the profile has none of them. It has

    null, false, true
    whole numbers    -2^64 .. 2^64-1, what fits the heads of major types 0 and 1
    floats           of 16, 32 or 64 bits, NaN and the infinities included
    text             valid UTF-8
    byte strings
    arrays and maps  at most `MAX_DEPTH` inside each other; map keys are text and differ from each other

with definite lengths, as one item that fills its input, of no more than `MAX_ITEMS` items in all by weight, within a size
known beforehand. `encode` refuses what `decode` would refuse, so what one side sends the other can read. Lengths and floats
longer than they need be and maps in any order are read (RFC 8949 §4.1 calls them well-formed) unless a reader asks for
deterministic bytes, as it has to before it compares, hashes or signs them.

cbor2 does the work. What its strictest options still let through is caught here: bytes after the end, byte strings as
keys, the other simple values and `undefined`, an empty container one level too deep.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BytesIO
from typing import Any, Never, TypeAlias, cast

import cbor2

from desk.bus.cbor_items import CONTAINER_WEIGHT, MAX_ITEMS, STRING_WEIGHT, count_items, has_too_many_items
from desk.bus.errors import DeskError

MAX_DEPTH = 16
"""How many arrays and maps may stand inside each other; a lone `[]` is one. Our own messages need about six."""

MAX_SIZE = 1 << 20
"""Default bound of one message, in bytes."""

TOO_MANY_ITEMS = (
    f"more than {MAX_ITEMS:,} items, where a text counts {STRING_WEIGHT} and an array or map {CONTAINER_WEIGHT}; "
    "a long series of numbers goes as bytes"
)
LONE_SURROGATE = "text with a lone surrogate, which UTF-8 has no form for"
BEYOND_64_BITS = "a whole number beyond 64 bits; send it as text"

Value: TypeAlias = "bool | int | float | str | bytes | list[Value] | dict[str, Value] | None"
"""What `decode` returns."""

_SCALARS: frozenset[type] = frozenset({type(None), bool, int, float, str, bytes})
_ENCODED_AS_THEY_ARE: frozenset[type] = _SCALARS | {bytearray}
_ENCODED_UNLESS_BIG: frozenset[type] = _ENCODED_AS_THEY_ARE - {int}
_INT_ONLY: frozenset[type] = frozenset({int})
_CHECKED_UNSEEN: frozenset[type] = _ENCODED_UNLESS_BIG - {str}
_PLAIN_TYPES: frozenset[type] = _SCALARS | {list, tuple, dict}
_INT_LOW, _INT_HIGH = -(1 << 64), (1 << 64) - 1
_REASON_LIMIT = 160
_PATH_LIMIT = 120
_KEY_LIMIT = 40
_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]{0,63}")


class CodecError(DeskError):
    """Bytes that are not one item of the profile, or a value the profile has no form for.

    `reason` says what is wrong, `path` where: `.body.tags[3]`; empty at the top, or if the bytes made no value at all.
    """

    doing = "caller"
    retry = "never"

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(reason, path)
        self.reason = reason if len(reason) <= _REASON_LIMIT else reason[:_REASON_LIMIT] + "…"
        self.path = path

    def __str__(self) -> str:
        return f"at {self.path[:_PATH_LIMIT]}: {self.reason}" if self.path else self.reason


def decode(data: bytes | bytearray | memoryview, *, max_size: int = MAX_SIZE, deterministic: bool = False) -> Value:
    """The one value that `data`, of at most `max_size` bytes, stands for. Raises `CodecError` if it stands for none.

    If it has to be `deterministic`, also for any other bytes than those that `encode` makes of the value when asked for
    deterministic ones.
    """
    value = decode_unchecked(data, max_size=max_size)
    if type(value) not in _SCALARS:
        _check(value, MAX_DEPTH, _SCALARS)
    if deterministic:
        given, right = bytes(data), _write(value, canonical=True)
        if given != right:
            agreed = next(at for at, (mine, theirs) in enumerate(zip(right, given, strict=False)) if mine != theirs)
            raise CodecError(
                f"not deterministic: from byte {agreed} on RFC 8949 §4.2.1 has a shorter form or another order"
            )
    return value


def encode(value: object, *, max_size: int = MAX_SIZE, deterministic: bool = False) -> bytes:
    """`value` as CBOR, at most `max_size` bytes of it.

    Takes the types of `Value` themselves (a subclass may mean something else), a `tuple` as an array and a `bytearray`
    as a byte string. Raises `CodecError` for all that `decode` would refuse. `deterministic` bytes are the same for the
    same value, as what is signed has to be: the core deterministic encoding of RFC 8949 §4.2.1, for all NaN the same
    three bytes; it takes four times as long.
    """
    _check(value, MAX_DEPTH, _ENCODED_AS_THEY_ARE)
    data = _write(value, canonical=deterministic)
    if 0xC2 in data or 0xC3 in data:  # the tags of whole numbers beyond 64 bits, or part of something else
        _check(value, MAX_DEPTH, _ENCODED_UNLESS_BIG)
    return _bounded(data, max_size)


def decode_unchecked(data: bytes | bytearray | memoryview, *, max_size: int = MAX_SIZE) -> Value:
    """As `decode`, for a caller who looks at all of the value: what `check_decoded` says about it is still to be asked."""
    size = data.nbytes if type(data) is memoryview else len(data)
    if size > max_size:
        raise CodecError(f"{size} bytes of CBOR, at most {max_size} are allowed")
    if size == 0:
        raise CodecError("no bytes at all, expected one CBOR item")
    whole = bytes(data)  # no copy if it is bytes already
    if has_too_many_items(whole):
        raise CodecError(TOO_MANY_ITEMS)
    stream = BytesIO(whole)
    try:
        value: Value = cbor2.load(
            stream,
            semantic_decoders=_NO_TAGS,
            max_depth=MAX_DEPTH,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            strict_hashable_types=True,
        )
    except Exception as error:  # cbor2 promises CBORDecodeError, but bytes from a guest are not the place to rely on it
        raise CodecError(_explain(error)) from None
    if stream.tell() != size:
        raise CodecError(f"{size - stream.tell()} bytes after the end of the item")
    return value


def check_decoded(value: Value) -> None:
    """Raise `CodecError` for what cbor2 reads though the profile has no form for it."""
    _check(value, MAX_DEPTH, _SCALARS)


def encode_unchecked(value: object, *, max_size: int = MAX_SIZE) -> bytes:
    """As `encode`, of a value that is known to be in the profile, but for lone surrogates in text."""
    return _bounded(_write(value, canonical=False), max_size)


def _write(value: object, *, canonical: bool) -> bytes:
    """What cbor2 calls canonical has shorter keys first: among keys that are all text the order of RFC 8949 §4.2.1."""
    try:
        return cbor2.dumps(value, canonical=True) if canonical else cbor2.dumps(value)
    except UnicodeEncodeError:
        raise CodecError(LONE_SURROGATE) from None


def _bounded(data: bytes, max_size: int) -> bytes:
    if len(data) > max_size:
        raise CodecError(f"{len(data)} bytes of CBOR, at most {max_size} are allowed")
    if has_too_many_items(data):
        raise CodecError(TOO_MANY_ITEMS)
    return data


def check(value: object) -> None:
    """Raise `CodecError` where `encode` would whatever the size, without making the bytes."""
    _check(value, MAX_DEPTH, _CHECKED_UNSEEN)
    if count_items(value) > MAX_ITEMS:
        raise CodecError(TOO_MANY_ITEMS)


def instead_of(value: object) -> str:
    """What to send instead of a value that has no form in a message: `send a list`."""
    for base in type(value).__mro__:
        if base in _PLAIN_TYPES and base is not type(value):
            return f"send a plain {base.__name__}"
        if base.__name__ in _INSTEAD:
            return f"send {_INSTEAD[base.__name__]}"
    return "send text, numbers, lists and dicts"


def path_step(key: str | int) -> str:
    """How a path goes one step down: `.name`, `[3]`, or `['an odd key']`, cut when long."""
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if _NAME.fullmatch(key) else f"[{key[:_KEY_LIMIT]!r}]"


def _check(value: object, room: int, plain: frozenset[type]) -> None:
    """Raise unless `value` is in the profile, with `room` for so many levels. Values of `plain` types need no look."""
    kind = type(value)
    if kind not in plain:
        _LOOK.get(kind, _refuse)(value, room, plain)


def _check_map(value: dict[object, object], room: int, plain: frozenset[type]) -> None:
    if room == 0:
        raise CodecError(_TOO_DEEP)
    for key, item in value.items():
        if type(key) is not str:
            raise CodecError(f"a map key of type {type(key).__name__}, expected text")
        kind = type(item)
        if kind not in plain:
            try:
                _LOOK.get(kind, _refuse)(item, room - 1, plain)
            except CodecError as error:
                error.path = path_step(key) + error.path
                raise
    if str not in plain:
        _check_text("".join(cast("dict[str, object]", value)), room, plain)


def _check_array(value: Sequence[object], room: int, plain: frozenset[type]) -> None:
    if room == 0:
        raise CodecError(_TOO_DEEP)
    if plain.issuperset(map(type, value)):  # most arrays, in half the time of the loop below
        return
    if _INT_ONLY.issuperset(map(type, value)):
        numbers = cast("Sequence[int]", value)
        if min(numbers) >= _INT_LOW and max(numbers) <= _INT_HIGH:
            return
    for index, item in enumerate(value):
        kind = type(item)
        if kind not in plain:
            try:
                _LOOK.get(kind, _refuse)(item, room - 1, plain)
            except CodecError as error:
                error.path = path_step(index) + error.path
                raise


def _check_int(value: int, _room: int, _plain: frozenset[type]) -> None:
    if not _INT_LOW <= value <= _INT_HIGH:
        raise CodecError(BEYOND_64_BITS)


def _check_text(value: str, _room: int, _plain: frozenset[type]) -> None:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise CodecError(LONE_SURROGATE) from None


def _refuse(value: object, _room: int, _plain: frozenset[type]) -> Never:
    if value is cbor2.undefined or type(value) is cbor2.CBORSimpleValue:
        raise CodecError("a simple value other than false, true and null")
    raise CodecError(f"a value of type {type(value).__name__}, which messages have no form for; {instead_of(value)}")


_TOO_DEEP = f"more than {MAX_DEPTH} arrays and maps inside each other"
_LOOK: Mapping[type, Callable[[Any, int, frozenset[type]], None]] = {
    dict: _check_map,
    list: _check_array,
    tuple: _check_array,
    int: _check_int,
    str: _check_text,
}

_INSTEAD: Mapping[str, str] = {
    **dict.fromkeys(("set", "frozenset", "range", "generator", "deque", "dict_keys", "dict_values"), "a list"),
    **dict.fromkeys(("array", "ndarray"), "a list or bytes"),
    **dict.fromkeys(("datetime", "date", "time", "timedelta"), "text or a number"),
    **dict.fromkeys(("Decimal", "Fraction"), "text or a float"),
    **dict.fromkeys(("UUID", "PurePath"), "text"),
    "Enum": "its value",
    "complex": "a list of two floats",
    "memoryview": "bytes",
    "bytes": "text, such as base64",  # which only JSON refuses
    "bytearray": "text, such as base64",
}
"""By the name of a type, which need not be imported: what to send instead of its values."""


def _explain(error: Exception) -> str:
    """The reason in an error that came out of cbor2; if that was our own refusal of a tag, the words we used."""
    if isinstance(error.__cause__, CodecError):
        return error.__cause__.reason
    return f"not well-formed: {error}"


class _NoTags(Mapping[int, Never]):
    """Asked by cbor2 how to read a tag, before it reads what the tag holds: for any number, known or not, refuses."""

    def __getitem__(self, number: int) -> Never:
        raise CodecError(f"tag {number}; messages carry no tags")

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[int]:
        return iter(())


_NO_TAGS = _NoTags()
