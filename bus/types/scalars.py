"""The types that are one word and made of no others; here also truth values, and the two that hold whatever a format can say.

What is lowered to what is in the table of `desk.bus.types`. Numbers are in `numbers`, text and bytes in `texts`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from desk.bus import json_text
from desk.bus.codec import CodecError
from desk.bus.types.base import Flat, InvalidValue, Raw, Type, describe
from desk.bus.types.numbers import INTEGER_RANGES, Float, Integer
from desk.bus.types.texts import Bytes, Char, String

_BOOL_ONLY: frozenset[type] = frozenset({bool})


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
I8, I16, I32, I64, U8, U16, U32, U64 = (
    Integer(name, low, high, wide=name in ("i64", "u64")) for name, (low, high) in INTEGER_RANGES.items()
)
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
