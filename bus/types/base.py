"""What all types have in common: three shapes of a value, the way between them, and the errors on that way.

    value   what Python code holds                      {"tmax": 21.5, "unit": "C"}
    wire    the same as a part of a CBOR message        a map of a float and a text
    raw     the same as an argument or result of wasm   that map in CBOR; a flat type's number

`lower` goes from value to raw and `lift` from raw to value. Both check: what is not exactly of the type raises
`InvalidValue`, whichever side made it. Whose doing it was is known to the caller, who was lowering for somebody or
lifting what a guest gave.

A concrete type says how it goes to the wire and back (`to_wire`, `from_wire`), and if its raw form is not CBOR how it
goes there (`to_raw`, `from_raw`). Inside these a path is relative to the value at hand; each level puts its own step
before it while an error passes through, so that a value without faults pays nothing for paths.
"""

import difflib
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Literal, TypeAlias

from desk.bus import codec
from desk.bus.cbor_items import MAX_ITEMS
from desk.bus.codec import MAX_SIZE, CodecError
from desk.bus.errors import DeskError
from desk.bus.ron.text import Pos

Flat: TypeAlias = Literal["i32", "i64", "f32", "f64"]
"""A number type of WebAssembly."""

Lowered: TypeAlias = int | float | bytes
"""One lowered value: a number for a flat type, else the bytes of a payload."""

Raw: TypeAlias = Lowered | bytearray | memoryview
"""What `lift` takes: as `Lowered`; the bytes may still lie in a buffer, and numbers may be signed or not."""


class _Room(threading.local):
    left = 0


room = _Room()
"""How many missing fields of records may still be filled in, in the message that this thread converts. One byte of a message can
be a record that leaves out thousands, so they are bounded as the items that are there."""


_CONTAINERS: Mapping[type, str] = {list: "list", tuple: "tuple", dict: "map", set: "set"}


class InvalidValue(DeskError):
    """A value is not of the type that was declared for it.

    `path` says where (`params[1].tmax`), `expected` the type or rule, `got` the value itself, cut to a few words. `where`
    says whose type it was, if it is known: `weather-widget.render`.
    """

    def __init__(self, path: str, expected: str, got: str) -> None:
        super().__init__(path, expected, got)
        self.path = path
        self.expected = _cut(expected, 120)
        self.got = _cut(got, 200)
        self.where = ""

    def __str__(self) -> str:
        where = f"{_cut(self.where, 160)}: " if self.where else ""
        return f"{where}{_cut(self.path, 160)}: expected {self.expected}, got {self.got}"


class TypeSyntaxError(DeskError):
    """What was written is not a type. `pos` says where it was written, if it was."""

    def __init__(self, message: str, pos: Pos | None = None) -> None:
        super().__init__(message, pos)
        self.message = message
        self.pos = pos

    def __str__(self) -> str:
        return f"line {self.pos.line}, column {self.pos.column}: {self.message}" if self.pos else self.message


class Type(ABC):
    """A type. `str()` gives its syntax in a manifest."""

    __slots__ = ()

    @property
    def flat(self) -> Flat | None:
        """The number type it is lowered to; None if it is lowered to a payload, a pair (handle, length)."""
        return None

    @property
    def depth(self) -> int:
        """How many arrays and maps its wire form always has inside each other, at most `codec.MAX_DEPTH`."""
        return 0

    def all_plain(self, values: Sequence[object]) -> bool:
        """Whether all `values` are of this type and the same on the wire, if that is quick to say: for long lists."""
        return False

    def check(self, value: object, path: str = "value") -> None:
        """Raise `InvalidValue` if `value` is not of this type, or no message can carry it. Of any size, and not encoded."""
        room.left = MAX_ITEMS
        try:
            codec.check(self.to_wire(value))
        except InvalidValue as error:
            error.path = path + error.path
            raise
        except CodecError as error:
            raise self._invalid(path, error) from error

    def lower(self, value: object, path: str = "value", *, max_size: int = MAX_SIZE) -> Lowered:
        """`value` as the number, or the payload of at most `max_size` bytes, that a guest gets."""
        try:
            return self.to_raw(value, max_size)
        except InvalidValue as error:
            error.path = path + error.path
            raise
        except CodecError as error:
            raise self._invalid(path, error) from error

    def lift(self, raw: Raw, path: str = "value", *, max_size: int = MAX_SIZE) -> object:
        """The value in the number, or the payload of at most `max_size` bytes, that a guest gave."""
        try:
            return self.from_raw(raw, max_size)
        except InvalidValue as error:
            error.path = path + error.path
            raise
        except CodecError as error:
            raise self._invalid(path, error) from error

    def _invalid(self, path: str, error: CodecError) -> InvalidValue:
        """A refusal by the codec. Parts of a declared type were checked before, so it is about a part that is `any`."""
        expected = "any" if error.path and self.depth > 0 else str(self)
        return InvalidValue(path + error.path, expected, error.reason)

    @abstractmethod
    def to_wire(self, value: object) -> object:
        """`value` as a part of a CBOR message, for `codec.encode`; raises `InvalidValue` with a relative path."""

    @abstractmethod
    def from_wire(self, value: object) -> object:
        """The value in a part of a CBOR message; raises `InvalidValue` with a relative path."""

    def to_raw(self, value: object, max_size: int) -> Lowered:
        """As `lower`, with a relative path, and with `CodecError` for what no message has a form for."""
        room.left = MAX_ITEMS
        return codec.encode(self.to_wire(value), max_size=max_size)

    def from_raw(self, raw: Raw, max_size: int) -> object:
        """As `lift`, with a relative path, and with `CodecError` for bytes that are no message."""
        room.left = MAX_ITEMS
        return self.from_wire(codec.decode(self.payload(raw, max_size), max_size=max_size))

    def payload(self, raw: Raw, max_size: int) -> bytes | bytearray | memoryview:
        """`raw` if it is bytes, and no more than `max_size` of them."""
        if isinstance(raw, (int, float)):
            raise self.mismatch(raw)
        size = raw.nbytes if isinstance(raw, memoryview) else len(raw)
        if size > max_size:
            raise InvalidValue("", f"at most {max_size} bytes", f"{size} bytes")
        return raw

    def mismatch(self, value: object) -> InvalidValue:
        """The error that says `value` is not of this type."""
        return InvalidValue("", str(self), describe(value))


def describe(value: object) -> str:
    """A value in a few words, whatever it is and however large: `'warm' (string)`, `a list of 3`."""
    if value is None:
        return "none"
    if type(value) is bool:
        return f"{value} (bool)"
    if type(value) is int:
        return f"{value} (integer)" if value.bit_length() <= 128 else f"an integer of {value.bit_length()} bits"
    if type(value) is float:
        return f"{value} (float)"
    if type(value) is str:
        return f"{value!r} (string)" if len(value) <= 40 else f"{value[:40]!r}… (string of {len(value)} characters)"
    if isinstance(value, (bytes, bytearray)):
        return f"{len(value)} bytes"
    if isinstance(value, memoryview):
        return f"{value.nbytes} bytes"
    if isinstance(value, Sized) and type(value) in _CONTAINERS:
        return f"a {_CONTAINERS[type(value)]} of {len(value)}"
    return f"a value of type {type(value).__name__}"


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """` (did you mean 'list'?)` with the choice nearest to `word`, or nothing if none is near."""
    near = difflib.get_close_matches(word[:64].lower(), choices, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit] + "…"
