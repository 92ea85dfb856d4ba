"""A reader for RON, the notation of manifests: the whole value grammar of ron-rs 0.12.2, read as an attack.

`parse` turns a text into nodes that know where they stood (`ron_nodes`), or raises a `RonError` that shows the place.
It differs from ron-rs on purpose, always by refusing more:

* a struct field or a map key given twice (ron-rs silently takes the last);
* an integer beyond 128 bits (ron-rs makes a float of it);
* every extension but `implicit_some` (with it ron-rs also reads `Some 1`, by accident: refused);
* more bytes or values than `RonLimits` allows;
* a name with a letter that is newer than the Unicode tables of the Python that runs this.

What a struct name or a bare word means is for the reader of the nodes to say. So is `implicit_some`: a value that
stands where an option is wanted looks the same with and without it.

How it reads: containers that are not closed yet stand on a list of our own, so nesting can never exhaust Python's
stack; the text is passed once, apart from one look ahead over a name behind `(`, which tells `(a: 1)` from `(a, 1)`;
keys are compared by small numbers that stand for equal values. So time and memory are linear in the text, but for a
binary search that finds each node's line.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, NamedTuple

from desk.bus.ron_attributes import skip_attributes
from desk.bus.ron_containers import Open, OpenFields, OpenList, OpenMap, OpenSome, OpenStruct, OpenTuple
from desk.bus.ron_literals import NUMBER_START, SPECIAL_FLOATS, byte_string, char, number_or_range, string
from desk.bus.ron_nodes import (
    Bool,
    Bytes,
    Char,
    Field,
    Float,
    Ident,
    Int,
    Leaf,
    List,
    Map,
    Node,
    NoneValue,
    Range,
    Some,
    Str,
    Struct,
    Tuple,
)
from desk.bus.ron_scanner import Name, Scanner
from desk.bus.ron_text import Pos, RonError, excerpt

__all__ = [
    "DEFAULT_LIMITS",
    "Bool",
    "Bytes",
    "Char",
    "Field",
    "Float",
    "Ident",
    "Int",
    "List",
    "Map",
    "Node",
    "NoneValue",
    "Pos",
    "Range",
    "RonError",
    "RonLimits",
    "Some",
    "Str",
    "Struct",
    "Tuple",
    "excerpt",
    "parse",
    "parse_bytes",
    "parse_fields",
]


@dataclass(frozen=True, slots=True)
class RonLimits:
    """How much of a text is read before it is refused."""

    size: int = 65_536
    """Bytes of the text as UTF-8, checked before anything else. A manifest by hand is two or three thousand."""

    depth: int = 64
    """Lists, maps, tuples and structs within each other; a `Some` counts half. This is the limit of ron-rs."""

    nodes: int = 10_000
    """Values, of any kind, in the whole text. A node takes a few hundred bytes of memory."""


DEFAULT_LIMITS: Final = RonLimits()


def parse(text: str, *, limits: RonLimits = DEFAULT_LIMITS) -> Node:
    """The one value that `text` holds. Raises `RonError`, and nothing else, for any text whatever."""
    return _Reader(text, limits).read_document()


def parse_bytes(data: bytes, *, limits: RonLimits = DEFAULT_LIMITS) -> Node:
    """`parse` for a file's content: UTF-8 without a byte order mark. Raises `RonError`."""
    if len(data) > limits.size:
        raise _too_large(data[:100].decode(errors="backslashreplace"), limits)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        scan = Scanner(data.decode(errors="backslashreplace"))
        problem, before = f"byte 0x{data[error.start]:02x} is not UTF-8 here", len(data[: error.start].decode())
        raise scan.error(problem, expected="a text in UTF-8", at=before) from None
    return parse(text, limits=limits)


def parse_fields(text: str, *, limits: RonLimits = DEFAULT_LIMITS) -> Struct:
    """The fields in `text`, `name: value, name: value`: what stands between the parentheses of a struct.

    An empty text has no fields. The struct has no name, and its place is where the first field begins. Raises
    `RonError`.
    """
    return _Reader(text, limits).read_fields()


def _too_large(text: str, limits: RonLimits) -> RonError:
    problem, expected = "the text is too large", f"at most {limits.size} bytes of UTF-8"
    return RonError(problem, expected=expected, text=text[:100], pos=Pos(1, 1))


class _Done(NamedTuple):
    """A value that was read to its end, and a number that it shares with the equal values of its text."""

    node: Node
    identity: int


class _Reader:
    """Reads one text, once."""

    def __init__(self, text: str, limits: RonLimits) -> None:
        # The number of characters is compared first: it costs nothing, and there are never more of them than bytes.
        if len(text) > limits.size:
            raise _too_large(text, limits)
        self._scan = Scanner(text)
        try:
            size = len(text.encode())
        except UnicodeEncodeError as error:
            raise self._scan.error("half of a surrogate pair", expected="Unicode text", at=error.start) from None
        if size > limits.size:
            raise _too_large(text, limits)
        self._limits = limits
        self._count = 0
        self._depth = 0
        self._open: list[Open] = []
        self._identities: dict[Hashable, int] = {}

    def read_document(self) -> Node:
        skip_attributes(self._scan)
        node = self._read(self._value())
        self._scan.skip_space()
        if not self._scan.ended:
            raise self._scan.unexpected("the end of the text, which holds one value")
        return node

    def read_fields(self) -> Struct:
        skip_attributes(self._scan)
        fields = self._read(OpenFields(self._scan.pos()))
        assert isinstance(fields, Struct)
        return fields

    def _read(self, begun: Leaf | Open) -> Node:
        """Reads on from `begun` to the end of that value."""
        while True:
            if isinstance(begun, Open):
                self._enter(begun)
                done = self._element_or_end(begun)
            else:
                done = self._done(begun, _identity(begun))
            while done is not None:
                if not self._open:
                    return done.node
                done = self._put(done, self._open[-1])
            begun = self._value()

    def _done(self, node: Node, key: Hashable) -> _Done:
        return _Done(node, self._identities.setdefault(key, len(self._identities)))

    # Containers.

    def _enter(self, container: Open) -> None:
        self._depth += container.weight
        if self._depth > 2 * self._limits.depth:
            problem, expected = "nested too deeply", f"at most {self._limits.depth} values within each other"
            raise RonError(problem, expected=expected, text=self._scan.text, pos=container.pos)
        self._open.append(container)

    def _element_or_end(self, container: Open) -> _Done | None:
        """Ends `container` if its closer is next; or else moves to where the first value of an element begins."""
        scan = self._scan
        scan.skip_space()
        if container.can_close and (scan.take(container.closer) if container.closer else scan.ended):
            self._open.pop()
            self._depth -= container.weight
            return self._done(*container.finish())
        if not container.can_begin:
            expected = container.shown_closer if container.comma else f"`,` or {container.shown_closer}"
            if scan.ended:
                problem = f"the text ends inside {container.kind} that begins at {container.pos}"
                raise scan.error(problem, expected=expected)
            raise scan.unexpected(expected)
        container.before_value(scan)
        return None

    def _put(self, done: _Done, container: Open) -> _Done | None:
        """Puts a value into the container around it, which may end with it."""
        container.add(*done)
        if not container.after_value(self._scan):
            return None
        self._scan.skip_space()
        container.comma = self._scan.take(",")
        return self._element_or_end(container)

    # Values.

    def _value(self) -> Leaf | Open:
        """Reads a value that has nothing in it, or the beginning of one that has."""
        scan = self._scan
        pos, start = scan.pos(), scan.at
        self._count += 1
        if self._count > self._limits.nodes:
            raise scan.error("too many values", expected=f"at most {self._limits.nodes} in a text")
        if (name := scan.name()) is not None:
            return self._named(name, pos, start)
        character = scan.next
        if character in NUMBER_START or scan.looking_at("b'"):
            return number_or_range(scan)
        match character:
            case '"' | "r":
                return string(scan)
            case "'":
                return char(scan)
            case "b":
                return byte_string(scan)
            case "[":
                scan.take("[")
                return OpenList(pos)
            case "{":
                scan.take("{")
                return OpenMap(pos)
            case "(":
                return self._parenthesis(None, pos)
            case _:
                raise scan.unexpected(self._open[-1].wanted if self._open else "a value")

    def _named(self, name: Name, pos: Pos, start: int) -> Leaf | Open:
        """What begins with a name: a keyword, a struct, a tuple, or only the name."""
        scan = self._scan
        keyword = "" if name.raw else name.text
        if keyword in ("true", "false"):
            return Bool(keyword == "true", pos=pos)
        if keyword == "None":
            return NoneValue(pos=pos)
        if keyword in SPECIAL_FLOATS:
            scan.at = start
            return number_or_range(scan)
        if keyword == "Some":
            scan.need("(")
            return OpenSome(pos)
        if not name.raw:
            scan.refuse_rest_of_name(start)
        scan.skip_space()
        if scan.looking_at("("):
            return self._parenthesis(name.text, pos)
        return Ident(name.text, pos=pos)

    def _parenthesis(self, name: str | None, pos: Pos) -> Open:
        """A struct or a tuple: it is a struct if a name and a colon come first."""
        scan = self._scan
        scan.need("(")
        inside = scan.at
        is_struct = False
        if scan.name() is not None:
            scan.skip_space()
            is_struct = scan.looking_at(":")
        scan.at = inside
        return OpenStruct(pos, name) if is_struct else OpenTuple(pos, name)


def _identity(leaf: Leaf) -> Hashable:
    """What makes it equal to others. `repr` tells a float from an integer, and 0.0 from -0.0; these two need no such care."""
    if isinstance(leaf, Ident):
        return "name", leaf.name
    if isinstance(leaf, Str):
        return "string", leaf.value
    return repr(leaf)
