"""What a RON text says, as values: one small class for each kind of value, each knowing where it stood.

Nodes compare by what they say. Where a value stood (`pos`) and the suffix a number was written with are not part of it:
`parse("1") == parse(" 0x1u8")`. Every node has `kind`, its name in messages to people ("a list", "a string").

There are thousands of them in a large text, and most are read once and dropped. So a node costs as little as it can: it
keeps the text and its offset, and works out line and column when it is asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias, TypeVar, dataclass_transform

from desk.bus.ron.text import Pos

_Class = TypeVar("_Class")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def _node(cls: type[_Class]) -> type[_Class]:
    """A dataclass that nobody changes. The type checker sees to it: at run time it would make a node cost three times as much."""
    return dataclass(slots=True, unsafe_hash=True)(cls)


@_node
class _Placed:
    """What stood in `text` at offset `at`; without them, a value that was never written."""

    text: str = field(default="", compare=False, repr=False, kw_only=True)
    at: int = field(default=0, compare=False, repr=False, kw_only=True)

    @property
    def pos(self) -> Pos:
        """Where it begins. Takes time linear in the text before it."""
        return Pos.of(self.text, self.at)


@_node
class Bool(_Placed):
    kind: ClassVar[str] = "a bool"
    value: bool


@_node
class Int(_Placed):
    """An integer, in the range of its suffix or, without one, of i128 (signed) or u128. `b'a'` has the suffix u8."""

    kind: ClassVar[str] = "an integer"
    value: int
    suffix: str | None = field(default=None, compare=False, repr=False)


@_node
class Float(_Placed):
    """A float, also infinite or NaN; rounded to 32 bits when the suffix is f32."""

    kind: ClassVar[str] = "a float"
    value: float
    suffix: str | None = field(default=None, compare=False, repr=False)


@_node
class Str(_Placed):
    kind: ClassVar[str] = "a string"
    value: str


@_node
class Char(_Placed):
    kind: ClassVar[str] = "a char"
    value: str


@_node
class Bytes(_Placed):
    kind: ClassVar[str] = "a byte string"
    value: bytes


@_node
class Ident(_Placed):
    """A bare name as a value: a unit struct, a variant without content, a word such as `i32`. `r#` is taken off."""

    kind: ClassVar[str] = "a name"
    name: str


@_node
class NoneValue(_Placed):
    """`None`."""

    kind: ClassVar[str] = "None"


@_node
class Range(_Placed):
    """`start..end`, `start..=end` (inclusive), and the forms with one or both ends left out."""

    kind: ClassVar[str] = "a range"
    start: Int | Float | None
    end: Int | Float | None
    inclusive: bool


@_node
class Some(_Placed):
    kind: ClassVar[str] = "Some"
    value: "Node"


@_node
class List(_Placed):
    kind: ClassVar[str] = "a list"
    items: "tuple[Node, ...]"


@_node
class Map(_Placed):
    """`{key: value}` in the order of the text; no key twice."""

    kind: ClassVar[str] = "a map"
    entries: "tuple[tuple[Node, Node], ...]"


@_node
class Tuple(_Placed):
    """`(a, b)` or `Name(a, b)`. `()` is a tuple without name and items."""

    kind: ClassVar[str] = "a tuple"
    name: str | None
    items: "tuple[Node, ...]"


@_node
class Field(_Placed):
    """One `name: value` of a struct; `pos` is where the name begins."""

    name: str
    value: "Node"


@_node
class Struct(_Placed):
    """`(f: v)` or `Name(f: v)` in the order of the text; no field twice."""

    kind: ClassVar[str] = "a struct"
    name: str | None
    fields: tuple[Field, ...]


Leaf: TypeAlias = Bool | Int | Float | Str | Char | Bytes | Ident | NoneValue | Range
Node: TypeAlias = Leaf | Some | List | Map | Tuple | Struct


def inside(node: Node) -> Sequence[Node]:
    """The values right inside `node`, in the order of the text; of a map key, value, key, value."""
    match node:
        case List(items) | Tuple(_, items):
            return items
        case Map(entries):
            return [part for entry in entries for part in entry]
        case Struct(_, fields):
            return [field.value for field in fields]
        case Some(value):
            return [value]
        case _:
            return ()
