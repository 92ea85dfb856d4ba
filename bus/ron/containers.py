"""Containers on the way to being nodes: what each holds so far, what may come next in it, and how it ends.

The reader (`ron`) moves through all of them the same way: elements with commas between, then the closer. Here stands
what is particular to each: a struct's elements begin with a name, a map's have two values, `Some` has just one element.
"""

import re

from desk.bus.ron import hints
from desk.bus.ron.keys import Keys
from desk.bus.ron.nodes import Field, Ident, List, Map, Node, Some, Str, Struct, Tuple
from desk.bus.ron.plain import ENTRIES, FIELDS, ITEMS, NEVER
from desk.bus.ron.scanner import Scanner
from desk.bus.ron.text import Pos, RonError, shown


class Open:
    """A container whose end was not read yet: what all have in common.

    `kind` is its name in messages, `closer` what ends it ("": the end of the text), `weight` what it adds to the depth.
    """

    kind = "a container"
    closer = ""
    weight = 2
    patterns = NEVER
    values_each = 1  # in an element

    def __init__(self, scan: Scanner, at: int, name: str | None = None) -> None:
        self.scan = scan
        self.at = at
        self.name = name
        self.nodes: list[Node] = []
        self.plain = self.patterns.first  # matches what comes next in it, if that is plain

    @property
    def shown_closer(self) -> str:
        return shown(self.closer) if self.closer else "the end of the text"

    @property
    def wanted(self) -> str:
        """What is missing where no value begins."""
        return "a value"

    def advance(self) -> bool:
        """From behind the opener or a value, moves to where the next value begins, or over the closer (False)."""
        comma = self.over_comma()
        if self.scan.take(self.closer) if self.closer else self.scan.ended:
            return False
        if self.nodes and not comma:
            raise self.unseparated()
        return True

    def over_comma(self) -> bool:
        """Moves over space, and a comma if a value stands before it; says whether there was one."""
        self.scan.skip_space()
        comma = bool(self.nodes) and self.scan.take(",")
        if comma:
            self.scan.skip_space()
        return comma

    def unseparated(self) -> RonError:
        """The error to raise where neither a comma nor the closer is behind a value."""
        return self.stray(f"`,` or {self.shown_closer}", self.after_last() or hints.instead_of_comma(self.scan.next))

    def after_last(self) -> str:
        """What to do about what stands next, behind the last value."""
        return hints.after(self.nodes[-1], self.scan.text, self.scan.at)

    def stray(self, expected: str, hint: str = "") -> RonError:
        """The error to raise where there is neither what was `expected` nor the closer."""
        begin = f"{self.kind} that begins at {Pos.of(self.scan.text, self.at)}"
        if self.scan.ended and self.closer:
            return self.scan.error(f"the text ends inside {begin}", expected=expected)
        if self.closer and self.scan.next in {")", "]", "}"} - {self.closer}:
            hint = f"this is in {begin}"
        return self.scan.unexpected(expected, hint=hint)

    def take_key(self, element: re.Match[str]) -> None:
        """Takes what a plain `element` has before its value."""

    def add(self, node: Node) -> None:
        """Takes the value that was read."""
        self.nodes.append(node)
        self.plain = self.patterns.later

    def finish(self) -> Node:
        """The whole container."""
        raise NotImplementedError


class OpenDocument(Open):
    """The text, which has one value and no closer."""

    weight = 0

    def advance(self) -> bool:
        self.scan.skip_space()
        if self.nodes and not self.scan.ended:
            raise self.stray("the end of the text, which holds one value", self.after_last())
        return not self.nodes

    def after_last(self) -> str:
        if self.scan.next == ":":
            return "fields stand between parentheses: (name: value)"
        return super().after_last()

    def finish(self) -> Node:
        return self.nodes[0]


class OpenSome(Open):
    """Holds one value, no more and no less; a comma may follow it."""

    kind = Some.kind
    closer = ")"
    weight = 1

    def advance(self) -> bool:
        comma = self.over_comma()
        if not self.nodes:
            return True
        if not self.scan.take(self.closer):
            raise self.stray(self.shown_closer if comma else f"`,` or {self.shown_closer}")
        return False

    def finish(self) -> Node:
        return Some(self.nodes[0], text=self.scan.text, at=self.at)


class OpenList(Open):
    kind = List.kind
    closer = "]"
    patterns = ITEMS

    @property
    def wanted(self) -> str:
        return f"a value or {self.shown_closer}"

    def finish(self) -> Node:
        return List(tuple(self.nodes), text=self.scan.text, at=self.at)


class OpenTuple(Open):
    kind = Tuple.kind
    closer = ")"

    def unseparated(self) -> RonError:
        if len(self.nodes) == 1 and isinstance(self.nodes[0], Ident):  # which may have been meant as a field's name
            return self.stray(f"`:`, `,` or {self.shown_closer}", self.after_last())
        return super().unseparated()

    def after_last(self) -> str:
        if self.scan.next == ":":
            return hints.instead_of_colon(self.nodes[-1])
        return super().after_last()

    @property
    def wanted(self) -> str:
        return f"a value or {self.shown_closer}"

    def finish(self) -> Node:
        return Tuple(self.name, tuple(self.nodes), text=self.scan.text, at=self.at)


class OpenMap(Open):
    """Its nodes are key, value, key, value."""

    kind = Map.kind
    closer = "}"
    patterns = ENTRIES
    values_each = 2

    def __init__(self, scan: Scanner, at: int, keys: Keys) -> None:
        super().__init__(scan, at)
        self._keys = keys
        self._first: dict[object, int] = {}

    @property
    def wanted(self) -> str:
        return "a value" if self._has_key else f"a key or {self.shown_closer}"

    @property
    def _has_key(self) -> bool:
        """Whether a key was read whose value was not."""
        return len(self.nodes) % 2 == 1

    def advance(self) -> bool:
        if not self._has_key:
            return super().advance()
        self.scan.need(":")
        return True

    def take_key(self, element: re.Match[str]) -> None:
        if written := element["string_key"]:
            self.add(Str(written[1:-1], text=self.scan.text, at=element.start("string_key")))
        else:
            self.add(Ident(element["name_key"], text=self.scan.text, at=element.start("name_key")))

    def add(self, node: Node) -> None:
        super().add(node)
        if self._has_key:
            self.plain = NEVER.first
            at = self._first.setdefault(self._keys.same(node), node.at)
            if at != node.at:
                raise _twice(self.scan, "this key", at, node.at)

    def finish(self) -> Node:
        entries = tuple(zip(self.nodes[::2], self.nodes[1::2], strict=True))
        return Map(entries, text=self.scan.text, at=self.at)


class OpenStruct(Open):
    kind = Struct.kind
    closer = ")"
    patterns = FIELDS

    def __init__(self, scan: Scanner, at: int, name: str | None = None) -> None:
        super().__init__(scan, at, name)
        self._names: dict[str, int] = {}

    def advance(self) -> bool:
        return super().advance() and self._advance_over_name()

    def _advance_over_name(self) -> bool:
        start = self.scan.at
        name = self.scan.name()
        if name is None:
            quoted = self.scan.next in ('"', "'")
            hint = "names of fields have no quotes" if quoted else ""
            raise self.stray(f"a field's name or {self.shown_closer}", hint)
        if not name.raw:
            self.scan.refuse_rest_of_name(start)
        self._take_name(name.text, start)
        self.scan.need(":")
        return True

    def take_key(self, element: re.Match[str]) -> None:
        self._take_name(element["field"], element.start("field"))

    def _take_name(self, name: str, at: int) -> None:
        first = self._names.setdefault(name, at)
        if first != at:
            raise _twice(self.scan, f"the field {shown(name)}", first, at)

    def finish(self) -> Node:
        text = self.scan.text
        named = zip(self._names.items(), self.nodes, strict=True)
        fields = tuple([Field(name, node, text=text, at=at) for (name, at), node in named])
        return Struct(self.name, fields, text=text, at=self.at)


class OpenFields(OpenStruct):
    """The fields of `parse_fields`: they end with the text."""

    kind = "the fields"
    closer = ""
    patterns = NEVER


def _twice(scan: Scanner, what: str, first: int, at: int) -> RonError:
    place = Pos.of(scan.text, first)
    return scan.error(f"{what} is already given at {place}", expected="each only once", at=at)
