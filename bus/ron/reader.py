"""A reader for RON, the notation of manifests: the whole value grammar of ron-rs 0.12.2, read as an attack.

`parse` turns a text into nodes that know where they stood (`nodes`), or raises a `RonError` that shows the place.
It differs from ron-rs on purpose, always by refusing more:

* a struct field or a map key given twice (ron-rs silently takes the last);
* an integer beyond 128 bits (ron-rs makes a float of it);
* every extension but `implicit_some` (with it ron-rs also reads `Some 1`, by accident: refused);
* more bytes or values than `RonLimits` allows;
* a name with a letter that is newer than the Unicode tables of the Python that runs this.

What a struct name or a bare word means is for the reader of the nodes to say. So is `implicit_some`: a value that
stands where an option is wanted looks the same with and without it.

How it reads: containers that are not closed yet stand on a list of our own, so nesting can never exhaust Python's
stack. What comes next in one is taken with one pattern if it is plain (`plain`), or else in the steps that are here,
in `containers` and in `literals`. Nothing is looked at more than a few times, so time and memory are linear in
the text.
"""

from dataclasses import dataclass
from typing import Final

from desk.bus.ron.attributes import skip_attributes
from desk.bus.ron.containers import Open, OpenDocument, OpenFields, OpenList, OpenMap, OpenSome, OpenStruct, OpenTuple
from desk.bus.ron.keys import Keys
from desk.bus.ron.literals import NUMBER_START, SPECIAL_FLOATS, byte_string, char, number_or_range, string
from desk.bus.ron.nodes import (
    Bool,
    Ident,
    Int,
    Node,
    NoneValue,
    Str,
    Struct,
    Tuple,
)
from desk.bus.ron.scanner import Name, Scanner
from desk.bus.ron.text import Pos, RonError


@dataclass(frozen=True, slots=True)
class RonLimits:
    """How much of a text is read before it is refused."""

    size: int = 65_536
    """Bytes of the text as UTF-8, checked before anything else. A manifest by hand is two or three thousand."""

    depth: int = 64
    """Lists, maps, tuples and structs within each other; a `Some` counts half, `()` nothing. This is the limit of ron-rs."""

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
        self._keys = Keys()

    def read_document(self) -> Node:
        skip_attributes(self._scan)
        return self._read(OpenDocument(self._scan, self._scan.at))

    def read_fields(self) -> Struct:
        skip_attributes(self._scan)
        fields = self._read(OpenFields(self._scan, self._scan.at))
        assert isinstance(fields, Struct)
        return fields

    def _read(self, container: Open) -> Node:
        """Reads on to the end of `container`, and of all that begins in it."""
        self._enter(container)
        around: list[Open] = []
        while True:
            begun = self._next(container)
            if begun is None:
                self._depth -= container.weight
                node = container.finish()
                if not around:
                    return node
                container = around.pop()
                container.add(node)
            elif isinstance(begun, Open):
                self._enter(begun)
                around.append(container)
                container = begun
            else:
                container.add(begun)

    def _enter(self, container: Open) -> None:
        self._depth += container.weight
        if self._depth > 2 * self._limits.depth:
            problem, expected = "nested too deeply", f"at most {self._limits.depth} values within each other"
            raise self._scan.error(problem, expected=expected, at=container.at)

    def _next(self, container: Open) -> Node | Open | None:
        """What comes next in `container`: a value that has nothing in it, the beginning of one that has, or its end."""
        scan = self._scan
        element = container.plain.match(scan.text, scan.at)
        if element is None or self._count + container.values_each > self._limits.nodes:
            return self._value(container) if container.advance() else None
        scan.at = element.end()
        kind = element.lastgroup or ""
        if kind == "closer":
            return None
        self._count += container.values_each
        container.take_key(element)
        return self._plain_value(kind, element[kind], element.start(kind))

    def _plain_value(self, kind: str, written: str, at: int) -> Node | Open:
        match kind:
            case "string":
                return Str(written[1:-1], text=self._scan.text, at=at)
            case "name":
                return Ident(written, text=self._scan.text, at=at)
            case "integer":
                return Int(int(written), text=self._scan.text, at=at)
            case _:
                return self._opened(written, at)

    def _opened(self, opener: str, at: int) -> Open:
        match opener:
            case "[":
                return OpenList(self._scan, at)
            case "{":
                return OpenMap(self._scan, at, self._keys)
            case _:
                return OpenStruct(self._scan, at)

    # Values, in steps.

    def _value(self, container: Open) -> Node | Open:
        """Reads a value that has nothing in it, or the beginning of one that has."""
        scan = self._scan
        at = scan.at
        self._count += 1
        if self._count > self._limits.nodes:
            raise scan.error("too many values", expected=f"at most {self._limits.nodes} in a text")
        if (name := scan.name()) is not None:
            return self._named(name, at)
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
            case "[" | "{":
                scan.take(character)
                return self._opened(character, at)
            case "(":
                if scan.take("()"):  # a unit to ron-rs, which adds no depth
                    return Tuple(None, (), text=scan.text, at=at)
                return self._parenthesis(None, at)
            case _:
                raise container.stray(container.wanted)

    def _named(self, name: Name, at: int) -> Node | Open:
        """What begins with a name: a keyword, a struct, a tuple, or only the name."""
        scan = self._scan
        keyword = "" if name.raw else name.text
        if keyword in ("true", "false"):
            return Bool(keyword == "true", text=scan.text, at=at)
        if keyword == "None":
            return NoneValue(text=scan.text, at=at)
        if keyword in SPECIAL_FLOATS:
            scan.at = at
            return number_or_range(scan)
        if keyword == "Some":
            scan.need("(")
            return OpenSome(scan, at)
        if not name.raw:
            scan.refuse_rest_of_name(at)
        scan.skip_space()
        if scan.looking_at("("):
            return self._parenthesis(name.text, at)
        return Ident(name.text, text=scan.text, at=at)

    def _parenthesis(self, name: str | None, at: int) -> Open:
        """A struct or a tuple: it is a struct if a name and a colon come first."""
        scan = self._scan
        scan.need("(")
        inside = scan.at
        is_struct = False
        if scan.name() is not None:
            scan.skip_space()
            is_struct = scan.looking_at(":")
        scan.at = inside
        return OpenStruct(scan, at, name) if is_struct else OpenTuple(scan, at, name)
