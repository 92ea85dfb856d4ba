"""The types of numbers: whole and floating point, all of them or a range.

A range is part of the type, and both its bounds belong to it. A bound that the type itself has need not be written:
`u8(0..=255)` is `u8`.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, cast

from desk.bus.types.base import Flat, InvalidValue, Raw, Type, TypeSyntaxError, describe
from desk.bus.types.spelling import spelled_range

_F32 = struct.Struct("<f")
_INT_ONLY: frozenset[type] = frozenset({int})
_FLOAT_ONLY: frozenset[type] = frozenset({float})


@dataclass(frozen=True, slots=True)
class Integer(Type):
    """Whole numbers from `low` to `high`, which are among those of the word `name`; `wide` ones are lowered to i64, the others to
    i32.

    A lowered number is the value itself; wasm's integers have no sign, so `lift` takes the signed as well as the
    unsigned reading of the bits.
    """

    name: str
    low: int
    high: int
    wide: bool
    _signed: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.name not in INTEGER_RANGES or self.wide != (self.name in ("i64", "u64")):
            raise TypeSyntaxError(
                f"no whole numbers are called {describe(self.name)}; expected {', '.join(INTEGER_RANGES)}"
            )
        least, most = INTEGER_RANGES[self.name]
        if type(self.low) is not int or type(self.high) is not int:
            raise TypeSyntaxError(f"{self.name} has whole numbers as bounds")
        if self.low < least or self.high > most:
            raise TypeSyntaxError(f"{self.name} has numbers from {least} to {most} only")
        if self.low > self.high:
            raise TypeSyntaxError(f"no number is in the range {self.low}..={self.high}")
        object.__setattr__(self, "_signed", least < 0)

    def __str__(self) -> str:
        least, most = INTEGER_RANGES[self.name]
        narrower = spelled_range(None if self.low == least else self.low, None if self.high == most else self.high)
        return f"{self.name}({narrower})" if narrower else self.name

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
        if self._signed:
            if raw >> (bits - 1) == 1:
                raw -= 1 << bits
        elif raw >> (bits - 1) == -1:
            raw += 1 << bits
        return self.to_wire(raw)

    def mismatch(self, value: object) -> InvalidValue:
        return InvalidValue("", f"{self.name} ({self.low} to {self.high})", describe(value))


INTEGER_RANGES: Final[Mapping[str, tuple[int, int]]] = {
    f"{sign}{bits}": (-(1 << bits - 1), (1 << bits - 1) - 1) if sign == "i" else (0, (1 << bits) - 1)
    for sign in "iu"
    for bits in (8, 16, 32, 64)
}
"""The lowest and the highest number of each word."""


@dataclass(frozen=True, slots=True)
class Float(Type):
    """Floating point numbers of `bits` 32 or 64. Whole numbers are taken, and become floats.

    With a bound, `low` or `high` or both, NaN is refused, for it is in no range; `f64(-inf..=inf)` is all but NaN. The
    bounds of 32 bits are rounded as the values are, so that `f32(0.0..=0.1)` takes 0.1.
    """

    bits: Literal[32, 64]
    low: float | None = None
    high: float | None = None
    _ranged: bool = field(init=False, repr=False, compare=False)
    _least: float = field(init=False, repr=False, compare=False)
    _most: float = field(init=False, repr=False, compare=False)
    _as_it_is: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.bits not in (32, 64):
            raise TypeSyntaxError(f"no floats have {describe(self.bits)} bits; expected f32 or f64")
        low, high = self._bound(self.low), self._bound(self.high)
        if low is not None and high is not None and low > high:
            raise TypeSyntaxError(f"no number is in the range {low}..={high}")
        ranged = low is not None or high is not None
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)
        object.__setattr__(self, "_ranged", ranged)
        object.__setattr__(self, "_least", -math.inf if low is None else low)
        object.__setattr__(self, "_most", math.inf if high is None else high)
        object.__setattr__(self, "_as_it_is", self.bits == 64 and not ranged)

    def _bound(self, bound: float | None) -> float | None:
        """A bound as it is compared and printed: a float of these bits, and no negative zero."""
        if bound is None:
            return None
        if type(bound) is not float and type(bound) is not int:
            raise TypeSyntaxError(f"{self.flat} has numbers as bounds")
        try:
            number = float(bound) if self.bits == 64 else cast("float", _F32.unpack(_F32.pack(bound))[0])
        except (OverflowError, struct.error):
            raise TypeSyntaxError(f"the bound {describe(bound)} is beyond {self.flat}") from None
        if number != bound and (type(bound) is int or math.isnan(bound)):
            raise TypeSyntaxError(f"{self.flat} has no number {bound}, so it cannot be a bound")
        return number + 0.0

    def __str__(self) -> str:
        return f"{self.flat}({spelled_range(self.low, self.high)})" if self._ranged else self.flat

    @property
    def flat(self) -> Literal["f32", "f64"]:
        return "f32" if self.bits == 32 else "f64"

    def all_plain(self, values: Sequence[object]) -> bool:
        return self._as_it_is and _FLOAT_ONLY.issuperset(map(type, values))

    def to_wire(self, value: object) -> float:
        if type(value) is float:
            if self._as_it_is:
                return value
        elif type(value) is not int:
            raise self.mismatch(value)
        try:
            number: float = _F32.unpack(_F32.pack(value))[0] if self.bits == 32 else float(value)
        except (OverflowError, struct.error):  # the latter for whole numbers beyond 64 bits as well
            raise self.mismatch(value) from None
        if self._ranged and not self._least <= number <= self._most:
            raise self.mismatch(value)
        return number

    from_wire = to_wire

    def to_raw(self, value: object, max_size: int) -> float:
        return self.to_wire(value)

    def from_raw(self, raw: Raw, max_size: int) -> float:
        return self.to_wire(raw)
