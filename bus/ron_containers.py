"""Containers on the way to being nodes: what each holds so far, what may come next in it, and how it ends.

The reader (`ron`) moves through all of them the same way: elements with commas between, then the closer. Here stands
what is particular to each: a struct's elements begin with a name, a map's have two values, `Some` has just one element.
"""

from collections.abc import Hashable

from desk.bus.ron_nodes import Field, List, Map, Node, Some, Struct, Tuple
from desk.bus.ron_scanner import Scanner
from desk.bus.ron_text import Pos, RonError, shown


class Open:
    """A container whose end was not read yet: what all have in common.

    `kind` is its name in messages, `closer` what ends it ("": the end of the text), `weight` what it adds to the depth.
    """

    kind = "a container"
    closer = ""
    weight = 2

    def __init__(self, pos: Pos, name: str | None = None) -> None:
        self.pos = pos
        self.name = name
        self.nodes: list[Node] = []
        self.identities: list[int] = []
        self.comma = True  # no comma is missing before the first element

    @property
    def can_begin(self) -> bool:
        """Whether another element may begin here."""
        return self.comma

    @property
    def can_close(self) -> bool:
        return True

    @property
    def shown_closer(self) -> str:
        return shown(self.closer) if self.closer else "the end of the text"

    @property
    def wanted(self) -> str:
        """What is missing where no value begins."""
        return f"a value or {self.shown_closer}" if self.can_close else "a value"

    def add(self, node: Node, identity: int) -> None:
        self.nodes.append(node)
        self.identities.append(identity)

    def before_value(self, scan: Scanner) -> None:
        """Reads what an element has before its first value."""

    def after_value(self, scan: Scanner) -> bool:
        """Called when a value was added: reads on to the element's next one, or says that it was the last (True)."""
        return True

    def finish(self) -> tuple[Node, Hashable]:
        """The container, and what makes it equal to others."""
        raise NotImplementedError


class OpenList(Open):
    kind = List.kind
    closer = "]"

    def finish(self) -> tuple[Node, Hashable]:
        return List(tuple(self.nodes), pos=self.pos), ("list", *self.identities)


class OpenTuple(Open):
    kind = Tuple.kind
    closer = ")"

    def finish(self) -> tuple[Node, Hashable]:
        return Tuple(self.name, tuple(self.nodes), pos=self.pos), ("tuple", self.name, *self.identities)


class OpenSome(Open):
    """Holds one value, no more and no less; a comma may follow it."""

    kind = Some.kind
    closer = ")"
    weight = 1

    @property
    def can_begin(self) -> bool:
        return not self.nodes

    @property
    def can_close(self) -> bool:
        return bool(self.nodes)

    def finish(self) -> tuple[Node, Hashable]:
        return Some(self.nodes[0], pos=self.pos), ("some", *self.identities)


class OpenMap(Open):
    """Its nodes are key, value, key, value."""

    kind = Map.kind
    closer = "}"

    def __init__(self, pos: Pos) -> None:
        super().__init__(pos)
        self._keys: dict[int, Pos] = {}

    @property
    def wanted(self) -> str:
        return "a value" if len(self.nodes) % 2 else f"a key or {self.shown_closer}"

    def after_value(self, scan: Scanner) -> bool:
        if len(self.nodes) % 2 == 0:
            return True
        pos = self.nodes[-1].pos
        first = self._keys.setdefault(self.identities[-1], pos)
        if first is not pos:
            raise _twice(scan, "this key", first, pos)
        scan.need(":")
        return False

    def finish(self) -> tuple[Node, Hashable]:
        entries = tuple(zip(self.nodes[::2], self.nodes[1::2], strict=True))
        same = frozenset(zip(self.identities[::2], self.identities[1::2], strict=True))
        return Map(entries, pos=self.pos), ("map", same)


class OpenStruct(Open):
    kind = Struct.kind
    closer = ")"

    def __init__(self, pos: Pos, name: str | None = None) -> None:
        super().__init__(pos, name)
        self._fields: dict[str, Pos] = {}

    @property
    def wanted(self) -> str:
        return "a value"

    def before_value(self, scan: Scanner) -> None:
        pos, start = scan.pos(), scan.at
        name = scan.name()
        if name is None:
            raise scan.unexpected(f"a field's name or {self.shown_closer}")
        if not name.raw:
            scan.refuse_rest_of_name(start)
        first = self._fields.setdefault(name.text, pos)
        if first is not pos:
            raise _twice(scan, f"the field {shown(name.text)}", first, pos)
        scan.need(":")

    def finish(self) -> tuple[Node, Hashable]:
        named = zip(self._fields.items(), self.nodes, strict=True)
        fields = tuple(Field(name, node, pos=pos) for (name, pos), node in named)
        same = frozenset(zip(self._fields, self.identities, strict=True))
        return Struct(self.name, fields, pos=self.pos), ("struct", self.name, same)


class OpenFields(OpenStruct):
    """The fields of `parse_fields`: they end with the text."""

    kind = "the fields"
    closer = ""


def _twice(scan: Scanner, what: str, first: Pos, pos: Pos) -> RonError:
    return RonError(f"{what} is already given at {first}", expected="each only once", text=scan.text, pos=pos)
