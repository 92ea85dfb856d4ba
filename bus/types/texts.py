"""The types of text and bytes: one character, a string, a byte string; of any length, or within bounds.

Lengths of text are counted in characters, which are Unicode code points, and those of bytes in bytes.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import cast

from desk.bus.ron.nodes import Str
from desk.bus.ron.spelling import spelled
from desk.bus.types.base import MAX_MATCHED, Flat, InvalidValue, Raw, Type, TypeSyntaxError, describe, room
from desk.bus.types.lengths import check_lengths, spelled_lengths
from desk.bus.types.patterns import Pattern, PatternError

_SURROGATE = re.compile("[\ud800-\udfff]")
_STR_ONLY: frozenset[type] = frozenset({str})
_BYTES_ONLY: frozenset[type] = frozenset({bytes})


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
    """Text that UTF-8 can carry, which is all but lone surrogates: of `shortest` to `longest` characters, the whole of it
    in the language of `pattern` (`desk.bus.types.patterns`)."""

    shortest: int = 0
    longest: int | None = None
    pattern: str | None = None
    _limited: bool = field(init=False, repr=False, compare=False)
    _matches: Callable[[str], bool] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        limited = check_lengths(self.shortest, self.longest)
        if self.pattern is not None and (type(self.pattern) is not str or _SURROGATE.search(self.pattern)):
            raise TypeSyntaxError("a pattern is a text that UTF-8 can carry")
        object.__setattr__(self, "_limited", limited or self.pattern is not None)
        object.__setattr__(self, "_matches", None if self.pattern is None else _matcher(self.pattern))

    def __str__(self) -> str:
        if not self._limited:
            return "string"
        lengths = spelled_lengths(self.shortest, self.longest)
        pattern = "" if self.pattern is None else spelled(Str(self.pattern))
        return f"string({lengths}{', ' if lengths and pattern else ''}{pattern})"

    def all_plain(self, values: Sequence[object]) -> bool:
        if self._limited or not _STR_ONLY.issuperset(map(type, values)):
            return False
        return all(map(str.isascii, cast("Sequence[str]", values)))

    def to_wire(self, value: object) -> str:
        if type(value) is not str:
            raise self.mismatch(value)
        if self._limited:
            self._check(value)
        if not value.isascii():
            _utf8(value)
        return value

    def from_wire(self, value: object) -> str:
        if type(value) is not str:
            raise self.mismatch(value)
        if self._limited:
            self._check(value)
        return value

    def to_raw(self, value: object, max_size: int) -> bytes:
        if type(value) is not str:
            raise self.mismatch(value)
        if self._limited:
            room.enter()
            self._check(value)
        return bytes(self.payload(_utf8(value), max_size))

    def from_raw(self, raw: Raw, max_size: int) -> str:
        try:
            text = str(self.payload(raw, max_size), "utf-8")
        except UnicodeDecodeError as error:
            raise InvalidValue("", "string in UTF-8", f"bytes that are not, at byte {error.start}") from None
        if self._limited:
            room.enter()
            self._check(text)
        return text

    def _check(self, text: str) -> None:
        """The length first: what is too long is not looked at."""
        if len(text) < self.shortest or (self.longest is not None and len(text) > self.longest):
            raise self.mismatch(text)
        if self._matches is not None:
            room.matched -= len(text)
            if room.matched < 0:
                raise InvalidValue("", f"at most {MAX_MATCHED:,} characters in all where patterns are", "more")
            if not self._matches(text):
                raise self.mismatch(text)


@dataclass(frozen=True, slots=True)
class Bytes(Type):
    """Bytes as they are, `shortest` to `longest` of them."""

    shortest: int = 0
    longest: int | None = None
    _limited: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_limited", check_lengths(self.shortest, self.longest))

    def __str__(self) -> str:
        return f"bytes({spelled_lengths(self.shortest, self.longest)})" if self._limited else "bytes"

    def all_plain(self, values: Sequence[object]) -> bool:
        return not self._limited and _BYTES_ONLY.issuperset(map(type, values))

    def to_wire(self, value: object) -> bytes:
        if type(value) is bytes:
            return self._checked(value) if self._limited else value
        if isinstance(value, (bytearray, memoryview)):
            return self._checked(bytes(cast("bytearray | memoryview", value)))
        raise self.mismatch(value)

    from_wire = to_wire

    def to_raw(self, value: object, max_size: int) -> bytes:
        if type(value) is bytes and len(value) <= max_size and not self._limited:  # the usual case, without a copy
            return value
        return bytes(self.payload(self.to_wire(value), max_size))

    def from_raw(self, raw: Raw, max_size: int) -> bytes:
        if type(raw) is bytes and len(raw) <= max_size and not self._limited:
            return raw
        return self._checked(bytes(self.payload(raw, max_size)))

    def _checked(self, value: bytes) -> bytes:
        if len(value) < self.shortest or (self.longest is not None and len(value) > self.longest):
            raise self.mismatch(value)
        return value


@lru_cache(maxsize=128)
def _matcher(pattern: str) -> Callable[[str], bool]:
    """Made once for all types that have it: the tables of a pattern take milliseconds to make, and up to a megabyte."""
    try:
        return Pattern(pattern).fullmatch
    except PatternError as error:
        raise TypeSyntaxError(str(error)) from None


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidValue("", "string without lone surrogates", describe(text)) from None
