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

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple, TypeAlias

from desk.bus import codec
from desk.bus.cbor_items import MAX_ITEMS
from desk.bus.codec import MAX_SIZE, CodecError
from desk.bus.errors import DeskError
from desk.bus.ron.text import Pos
from desk.bus.types.extent import ONE, Extent, TooLarge, around
from desk.bus.types.wording import cut
from desk.bus.types.wording import describe as describe  # both also for who makes errors of their own
from desk.bus.types.wording import did_you_mean as did_you_mean

Flat: TypeAlias = Literal["i32", "i64", "f32", "f64"]
"""A number type of WebAssembly."""

Lowered: TypeAlias = int | float | bytes
"""One lowered value: a number for a flat type, else the bytes of a payload."""

Raw: TypeAlias = Lowered | bytearray | memoryview
"""What `lift` takes: as `Lowered`; the bytes may still lie in a buffer, and numbers may be signed or not."""


MAX_MATCHED = 1 << 18
"""Characters of one message that are held against patterns, at some 30 ns each."""


class _Room(threading.local):
    """What may still be done for the message that this thread converts, beyond looking at each item once."""

    left = 0
    """How many missing fields of records may be filled in. One byte of a message can be a record that leaves out thousands, so
    they are bounded as the items that are there."""
    matched = MAX_MATCHED
    """How many characters may be held against patterns."""

    def enter(self) -> None:
        """A message begins."""
        self.left, self.matched = MAX_ITEMS, MAX_MATCHED


room = _Room()


class InvalidValue(DeskError):
    """A value is not of the type that was declared for it.

    `path` says where (`params[1].tmax`), `expected` the type or rule, `got` the value itself, cut to a few words. `where`
    says whose type it was, if it is known: `weather-widget.render`.
    """

    doing = "caller"
    retry = "never"

    def __init__(self, path: str, expected: str, got: str) -> None:
        super().__init__(path, expected, got)
        self.path = path
        self.expected = cut(expected, 120)
        self.got = cut(got, 200)
        self.where = ""

    def __str__(self) -> str:
        where = f"{cut(self.where, 160)}: " if self.where else ""
        return f"{where}{cut(self.path, 160)}: expected {self.expected}, got {self.got}"


class TypeSyntaxError(DeskError):
    """What was written is not a type. `pos` says where it was written, if it was."""

    doing = "author"
    retry = "never"

    def __init__(self, message: str, pos: Pos | None = None) -> None:
        super().__init__(message, pos)
        self.message = message
        self.pos = pos

    def __str__(self) -> str:
        return f"line {self.pos.line}, column {self.pos.column}: {self.message}" if self.pos else self.message


class Quick(NamedTuple):
    """How to be quick about the values of a type that need no conversion, as nearly all do."""

    holds: Callable[[object], bool]
    """Whether a value is one of these."""
    says_all: bool
    """Whether that leaves the codec nothing to look for: no part of the type is `any` or `json`."""


class Type(ABC):
    """A type. `str()` gives its syntax in a manifest."""

    __slots__ = ("_quick",)

    quicken: ClassVar[Callable[["Type"], Quick | None]]
    """`desk.bus.types.quick.quicken`, which knows all types and so cannot be imported here: the package puts it in its place."""
    _quick: Quick | None

    @property
    def quick(self) -> Quick | None:
        """Made when it is first asked for, and not when a manifest is loaded."""
        try:
            return self._quick
        except AttributeError:
            quick = Type.quicken(self)
            object.__setattr__(self, "_quick", quick)
            return quick

    @property
    def flat(self) -> Flat | None:
        """The number type it is lowered to; None if it is lowered to a payload, a pair (handle, length)."""
        return None

    @property
    def bare(self) -> "Type":
        """The type itself: what a name from a manifest stands for, and every other type as it is."""
        return self

    @property
    def extent(self) -> Extent:
        """How large it is. Known when it was made."""
        return ONE

    @property
    def depth(self) -> int:
        """How many arrays and maps its wire form may have inside each other, at most `codec.MAX_DEPTH`; not those in `any`."""
        return self.extent.depth

    @property
    def size(self) -> int:
        """How many types it consists of, names expanded, at most `MAX_TYPE_SIZE`; each name of an enum is one too."""
        return self.extent.size

    def parts(self) -> tuple["Type", ...]:
        """The types it is made of, in order; those in these are not among them."""
        return ()

    def all_plain(self, values: Sequence[object]) -> bool:
        """Whether all `values` are of this type and the same on the wire, if that is quick to say: for long lists."""
        return False

    def check(self, value: object, path: str = "value") -> None:
        """Raise `InvalidValue` if `value` is not of this type, or no message can carry it. Of any size, and not encoded."""
        room.enter()
        try:
            codec.check(self.to_wire(value))
        except (InvalidValue, CodecError) as error:
            raise self._at(path, error)  # noqa: B904 - it is that error, or says itself what its cause is

    def lower(self, value: object, path: str = "value", *, max_size: int = MAX_SIZE) -> Lowered:
        """`value` as the number, or the payload of at most `max_size` bytes, that a guest gets."""
        try:
            return self.to_raw(value, max_size)
        except (InvalidValue, CodecError) as error:
            raise self._at(path, error)  # noqa: B904 - it is that error, or says itself what its cause is

    def lift(self, raw: Raw, path: str = "value", *, max_size: int = MAX_SIZE) -> object:
        """The value in the number, or the payload of at most `max_size` bytes, that a guest gave."""
        try:
            return self.from_raw(raw, max_size)
        except (InvalidValue, CodecError) as error:
            raise self._at(path, error)  # noqa: B904 - it is that error, or says itself what its cause is

    def encode(self, value: object, path: str = "value", *, max_size: int = MAX_SIZE) -> bytes:
        """`value` as one CBOR item, as events carry it; also of a type whose values a guest gets in another form."""
        try:
            return self.to_item(value, max_size)
        except (InvalidValue, CodecError) as error:
            raise self._at(path, error)  # noqa: B904 - it is that error, or says itself what its cause is

    def decode(self, item: bytes, path: str = "value", *, max_size: int = MAX_SIZE) -> object:
        """The value in one CBOR item of at most `max_size` bytes."""
        try:
            return self.from_item(item, max_size)
        except (InvalidValue, CodecError) as error:
            raise self._at(path, error)  # noqa: B904 - it is that error, or says itself what its cause is

    def _at(self, path: str, error: InvalidValue | CodecError) -> InvalidValue:
        """The error, as one about the value at `path`.

        What the codec refuses is about a part that is `any`: parts of a declared type were checked before.
        """
        if isinstance(error, InvalidValue):
            error.path = path + error.path
            return error
        expected = "any" if error.path and self.depth > 0 else str(self)
        invalid = InvalidValue(path + error.path, expected, error.reason)
        invalid.__cause__ = error
        return invalid

    @abstractmethod
    def to_wire(self, value: object) -> object:
        """`value` as a part of a CBOR message, for `codec.encode`; raises `InvalidValue` with a relative path."""

    @abstractmethod
    def from_wire(self, value: object) -> object:
        """The value in a part of a CBOR message; raises `InvalidValue` with a relative path."""

    def to_raw(self, value: object, max_size: int) -> Lowered:
        """As `lower`, with a relative path, and with `CodecError` for what no message has a form for."""
        return self.to_item(value, max_size)

    def from_raw(self, raw: Raw, max_size: int) -> object:
        """As `lift`, with a relative path, and with `CodecError` for bytes that are no message."""
        return self.from_item(raw, max_size)

    def to_item(self, value: object, max_size: int) -> bytes:
        """As `encode`, with a relative path, and with `CodecError`."""
        quick = self.quick
        room.matched = MAX_MATCHED
        if quick is not None and quick.holds(value):
            if not quick.says_all:
                return codec.encode(value, max_size=max_size)
            try:
                return codec.encode_unchecked(value, max_size=max_size)
            except CodecError:  # the slow way has better words for it
                pass
        room.enter()
        return codec.encode(self.to_wire(value), max_size=max_size)

    def from_item(self, raw: Raw, max_size: int) -> object:
        """As `decode`, with a relative path, and with `CodecError`."""
        quick = self.quick
        decode = codec.decode_unchecked if quick is not None and quick.says_all else codec.decode
        value = decode(self.payload(raw, max_size), max_size=max_size)
        room.matched = MAX_MATCHED
        if quick is not None:
            if quick.holds(value):
                return value
            if quick.says_all:
                codec.check_decoded(value)
        room.enter()
        return self.from_wire(value)

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


@dataclass(frozen=True, slots=True)
class Compound(Type):
    """A type that is made of others, or of words. It is measured before anything else is made of it."""

    _extent: Extent = field(init=False, repr=False, compare=False)

    @property
    def extent(self) -> Extent:
        return self._extent

    def measure(self, levels: int, words: int = 0) -> None:
        """Note how large its parts and `words` are, whose wire form has `levels` around it. Raises `TypeSyntaxError`."""
        try:
            extent = around([part.extent for part in self.parts()], levels, words)
        except TooLarge as error:
            raise TypeSyntaxError(str(error)) from None
        object.__setattr__(self, "_extent", extent)
