"""What a RON text says, as values: one small class for each kind of value, each knowing where it stood.

Nodes compare by what they say. Where a value stood (`pos`) and the suffix a number was written with are not part of it:
`parse("1") == parse(" 0x1u8")`. Every node has `kind`, its name in messages to people ("a list", "a string").
"""

from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from desk.bus.ron_text import Pos


@dataclass(frozen=True, slots=True)
class _Placed:
    pos: Pos = field(compare=False, repr=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Bool(_Placed):
    kind: ClassVar[str] = "a bool"
    value: bool


@dataclass(frozen=True, slots=True)
class Int(_Placed):
    """An integer, in the range of its suffix or, without one, of i128 (signed) or u128. `b'a'` has the suffix u8."""

    kind: ClassVar[str] = "an integer"
    value: int
    suffix: str | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Float(_Placed):
    """A float, also infinite or NaN; rounded to 32 bits when the suffix is f32."""

    kind: ClassVar[str] = "a float"
    value: float
    suffix: str | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Str(_Placed):
    kind: ClassVar[str] = "a string"
    value: str


@dataclass(frozen=True, slots=True)
class Char(_Placed):
    kind: ClassVar[str] = "a char"
    value: str


@dataclass(frozen=True, slots=True)
class Bytes(_Placed):
    kind: ClassVar[str] = "a byte string"
    value: bytes


@dataclass(frozen=True, slots=True)
class Ident(_Placed):
    """A bare name as a value: a unit struct, a variant without content, a word such as `i32`. `r#` is taken off."""

    kind: ClassVar[str] = "a name"
    name: str


@dataclass(frozen=True, slots=True)
class NoneValue(_Placed):
    """`None`."""

    kind: ClassVar[str] = "None"


@dataclass(frozen=True, slots=True)
class Range(_Placed):
    """`start..end`, `start..=end` (inclusive), and the forms with one or both ends left out."""

    kind: ClassVar[str] = "a range"
    start: Int | Float | None
    end: Int | Float | None
    inclusive: bool


@dataclass(frozen=True, slots=True)
class Some(_Placed):
    kind: ClassVar[str] = "Some"
    value: "Node"


@dataclass(frozen=True, slots=True)
class List(_Placed):
    kind: ClassVar[str] = "a list"
    items: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Map(_Placed):
    """`{key: value}` in the order of the text; no key twice."""

    kind: ClassVar[str] = "a map"
    entries: "tuple[tuple[Node, Node], ...]"


@dataclass(frozen=True, slots=True)
class Tuple(_Placed):
    """`(a, b)` or `Name(a, b)`. `()` is a tuple without name and items."""

    kind: ClassVar[str] = "a tuple"
    name: str | None
    items: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Field(_Placed):
    """One `name: value` of a struct; `pos` is where the name begins."""

    name: str
    value: "Node"


@dataclass(frozen=True, slots=True)
class Struct(_Placed):
    """`(f: v)` or `Name(f: v)` in the order of the text; no field twice."""

    kind: ClassVar[str] = "a struct"
    name: str | None
    fields: tuple[Field, ...]


Leaf: TypeAlias = Bool | Int | Float | Str | Char | Bytes | Ident | NoneValue | Range
Node: TypeAlias = Leaf | Some | List | Map | Tuple | Struct
