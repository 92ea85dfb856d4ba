"""The types of single values: numbers, characters, text, bytes, and the two that hold whatever a format can say.

Their words in a manifest are in `WORDS`. What is lowered to what is in the table of `desk.bus.types`.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast

from desk.bus import json_text
from desk.bus.codec import CodecError
from desk.bus.types.base import Flat, InvalidValue, Raw, Type, describe

_F32 = struct.Struct("<f")
_BOOL_ONLY: frozenset[type] = frozenset({bool})
_INT_ONLY: frozenset[type] = frozenset({int})
_STR_ONLY: frozenset[type] = frozenset({str})
_FLOAT_ONLY: frozenset[type] = frozenset({float})
_BYTES_ONLY: frozenset[type] = frozenset({bytes})


@dataclass(frozen=True, slots=True)
class Bool(Type):
    """Truth values; 0 and 1 are not taken for them."""

    def __str__(self) -> str:
        return "bool"

    @property
    def flat(self) -> Flat:
        return "i32"

    def all_plain(self, values: Sequence[object]) -> bool:
        return _BOOL_ONLY.issuperset(map(type, values))

    def to_wire(self, value: object) -> bool:
        if type(value) is bool:
            return value
        raise self.mismatch(value)

    from_wire = to_wire

    def to_raw(self, value: object, max_size: int) -> int:
        return int(self.to_wire(value))

    def from_raw(self, raw: Raw, max_size: int) -> bool:
        if type(raw) is int and raw in (0, 1):
            return raw == 1
        raise InvalidValue("", "bool (0 or 1)", describe(raw))


@dataclass(frozen=True, slots=True)
class Integer(Type):
    """Whole numbers from `low` to `high`; `wide` ones are lowered to i64, the others to i32.

    A lowered number is the value itself; wasm's integers have no sign, so `lift` takes the signed as well as the
    unsigned reading of the bits.
    """

    name: str
    low: int
    high: int
    wide: bool

    def __str__(self) -> str:
        return self.name

    @property
    def flat(self) -> Flat:
        return "i64" if self.wide else "i32"

    def all_plain(self, values: Sequence[object]) -> bool:
        if not values or not _INT_ONLY.issuperset(map(type, values)):
            return False
        numbers = cast("Sequence[int]", values)
        return self.low <= min(numbers) and max(numbers) <= self.high

    def to_wire(self, value: object) -> int:
        if type(value) is int and self.low <= value <= self.high:
            return value
        raise self.mismatch(value)

    from_wire = to_wire

    def to_raw(self, value: object, max_size: int) -> int:
        if type(value) is int and self.low <= value <= self.high:
            return value
        raise self.mismatch(value)

    def from_raw(self, raw: Raw, max_size: int) -> int:
        if type(raw) is not int:
            raise self.mismatch(raw)
        bits = 64 if self.wide else 32
        if self.low < 0:
            if raw >> (bits - 1) == 1:
                raw -= 1 << bits
        elif raw >> (bits - 1) == -1:
            raw += 1 << bits
        return self.to_wire(raw)

    def mismatch(self, value: object) -> InvalidValue:
        return InvalidValue("", f"{self.name} ({self.low} to {self.high})", describe(value))


@dataclass(frozen=True, slots=True)
class Float(Type):
    """Floating point numbers of `bits` 32 or 64. Whole numbers are taken, and become floats."""

    bits: Literal[32, 64]

    def __str__(self) -> str:
        return "f32" if self.bits == 32 else "f64"

    @property
    def flat(self) -> Flat:
        return "f32" if self.bits == 32 else "f64"

    def all_plain(self, values: Sequence[object]) -> bool:
        return self.bits == 64 and _FLOAT_ONLY.issuperset(map(type, values))

    def to_wire(self, value: object) -> float:
        if type(value) is not float and type(value) is not int:
            raise self.mismatch(value)
        try:
            number = float(value)
            return number if self.bits == 64 else _F32.unpack(_F32.pack(number))[0]
        except OverflowError:
            raise self.mismatch(value) from None

    from_wire = to_wire

    def to_raw(self, value: object, max_size: int) -> float:
        return self.to_wire(value)

    def from_raw(self, raw: Raw, max_size: int) -> float:
        return self.to_wire(raw)


@dataclass(frozen=True, slots=True)
class Char(Type):
    """One character: any Unicode code point but the surrogates."""

    def __str__(self) -> str:
        return "char"

    @property
    def flat(self) -> Flat:
        return "i32"

    def to_wire(self, value: object) -> str:
        if type(value) is str and len(value) == 1 and not "\ud800" <= value <= "\udfff":
            return value
        raise InvalidValue("", "char (one character)", describe(value))

    from_wire = to_wire

    def to_raw(self, value: object, max_size: int) -> int:
        return ord(self.to_wire(value))

    def from_raw(self, raw: Raw, max_size: int) -> str:
        if type(raw) is int and 0 <= raw <= 0x10FFFF and not 0xD800 <= raw <= 0xDFFF:
            return chr(raw)
        raise InvalidValue("", "char (a code point)", describe(raw))


@dataclass(frozen=True, slots=True)
class String(Type):
    """Text that UTF-8 can carry, which is all but lone surrogates."""

    def __str__(self) -> str:
        return "string"

    def all_plain(self, values: Sequence[object]) -> bool:
        return _STR_ONLY.issuperset(map(type, values)) and all(map(str.isascii, cast("Sequence[str]", values)))

    def to_wire(self, value: object) -> str:
        if type(value) is not str:
            raise self.mismatch(value)
        if not value.isascii():
            _utf8(value)
        return value

    def from_wire(self, value: object) -> str:
        if type(value) is str:
            return value
        raise self.mismatch(value)

    def to_raw(self, value: object, max_size: int) -> bytes:
        if type(value) is not str:
            raise self.mismatch(value)
        return bytes(self.payload(_utf8(value), max_size))

    def from_raw(self, raw: Raw, max_size: int) -> str:
        try:
            return str(self.payload(raw, max_size), "utf-8")
        except UnicodeDecodeError as error:
            raise InvalidValue("", "string in UTF-8", f"bytes that are not, at byte {error.start}") from None


@dataclass(frozen=True, slots=True)
class Bytes(Type):
    """Bytes, as they are."""

    def __str__(self) -> str:
        return "bytes"

    def all_plain(self, values: Sequence[object]) -> bool:
        return _BYTES_ONLY.issuperset(map(type, values))

    def to_wire(self, value: object) -> bytes:
        if type(value) is bytes:
            return value
        if isinstance(value, (bytearray, memoryview)):
            return bytes(cast("bytearray | memoryview", value))
        raise self.mismatch(value)

    from_wire = to_wire

    def to_raw(self, value: object, max_size: int) -> bytes:
        if type(value) is bytes and len(value) <= max_size:  # the usual case, without a copy
            return value
        return bytes(self.payload(self.to_wire(value), max_size))

    def from_raw(self, raw: Raw, max_size: int) -> bytes:
        if type(raw) is bytes and len(raw) <= max_size:
            return raw
        return bytes(self.payload(raw, max_size))


@dataclass(frozen=True, slots=True)
class Json(Type):
    """Whatever JSON has a form for; inside a CBOR message it is CBOR like the rest."""

    def __str__(self) -> str:
        return "json"

    def to_wire(self, value: object) -> object:
        try:
            json_text.check(value)
        except CodecError as error:
            raise InvalidValue(error.path, "json", error.reason) from None
        return value

    from_wire = to_wire

    def to_raw(self, value: object, max_size: int) -> bytes:
        return bytes(self.payload(json_text.dump(value), max_size))

    def from_raw(self, raw: Raw, max_size: int) -> object:
        return json_text.parse(self.payload(raw, max_size))


@dataclass(frozen=True, slots=True)
class Any_(Type):  # noqa: N801 - `Any` would be read as that of typing
    """Whatever the CBOR profile has a form for. It is checked with the whole message, by the codec."""

    def __str__(self) -> str:
        return "any"

    def to_wire(self, value: object) -> object:
        return value

    from_wire = to_wire


BOOL: Final = Bool()
I8: Final = Integer("i8", -(1 << 7), (1 << 7) - 1, wide=False)
I16: Final = Integer("i16", -(1 << 15), (1 << 15) - 1, wide=False)
I32: Final = Integer("i32", -(1 << 31), (1 << 31) - 1, wide=False)
I64: Final = Integer("i64", -(1 << 63), (1 << 63) - 1, wide=True)
U8: Final = Integer("u8", 0, (1 << 8) - 1, wide=False)
U16: Final = Integer("u16", 0, (1 << 16) - 1, wide=False)
U32: Final = Integer("u32", 0, (1 << 32) - 1, wide=False)
U64: Final = Integer("u64", 0, (1 << 64) - 1, wide=True)
F32: Final = Float(32)
F64: Final = Float(64)
CHAR: Final = Char()
STRING: Final = String()
BYTES: Final = Bytes()
JSON: Final = Json()
ANY: Final = Any_()

WORDS: Final[Mapping[str, Type]] = {
    str(each): each for each in (BOOL, I8, I16, I32, I64, U8, U16, U32, U64, F32, F64, CHAR, STRING, BYTES, JSON, ANY)
}
"""The types that are one word."""


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidValue("", "string without lone surrogates", describe(text)) from None
