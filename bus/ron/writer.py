"""A writer for RON: `dump` gives the text of a node, in one form only.

What fits into the rest of a line of `WIDTH` columns stands there; what does not has one element on each line, and a comma
behind each. A container with nothing but one other container in it shares its brackets' lines:

    exports: {
        "render": (params: [u32, u32], ret: bytes),
    },
    subscribes: list((
        city: string,
        ...

Values that are not written out yet stand on a list of our own, so nesting can never exhaust Python's stack. Time and
memory are linear in the text.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

from desk.bus.ron.keys import Keys
from desk.bus.ron.nodes import List, Map, Node, Some, Struct, Tuple, inside
from desk.bus.ron.spelling import spelled, spelled_field, spelled_name

WIDTH: Final = 100
"""Columns of a line. A single value that is longer has a longer line."""

_DEEPEST: Final = WIDTH // 2  # columns of indentation: without a bound, these alone would be quadratic in the depth

_Element: TypeAlias = Sequence["str | Node"]
"""What stands between two commas: labels and values."""


class _Shape(NamedTuple):
    """A container, taken apart."""

    opener: str
    elements: Sequence[_Element]
    closer: str


def dump(node: Node, *, indent: int = 4) -> str:
    """The text of `node`, without a line feed at the end. `indent`: columns for each level, 0 or more.

    Reading it gives an equal node (NaN apart, which equals nothing), suffixes of numbers included, under limits that are
    as large. Comments, places, and how a number or string was written are not in a node, and so not in the text. Raises
    `ValueError` for a node that no text stands for, which reading never gives: a name with a space in it, a struct
    without fields, one that has a field twice.
    """
    writer = _Writer(node, indent)
    return "".join(writer.pieces())


class _Writer:
    def __init__(self, root: Node, indent: int) -> None:
        self._root = root
        self._indent = indent
        self._leaves: dict[int, str] = {}  # these by the id of the node
        self._shapes: dict[int, _Shape] = {}
        self._widths: dict[int, int] = {}  # of containers, on one line
        self._measure()

    def _measure(self) -> None:
        """Takes everything apart, and measures it from the inside out."""
        nodes = [self._root]
        keys = Keys()
        for node in nodes:  # which grows meanwhile
            nodes += inside(node)
        for node in reversed(nodes):
            shape = _shape(node, keys)
            if shape is None:
                assert not isinstance(node, (Some, List, Map, Tuple, Struct))
                self._leaves[id(node)] = spelled(node)
            else:
                self._shapes[id(node)] = shape
                parts = [part for element in shape.elements for part in element]
                commas = 2 * max(len(shape.elements) - 1, 0)
                self._widths[id(node)] = len(shape.opener) + sum(map(self._width, parts)) + commas + len(shape.closer)

    def _width(self, part: str | Node) -> int:
        if isinstance(part, str):
            return len(part)
        leaf = self._leaves.get(id(part))
        return self._widths[id(part)] if leaf is None else len(leaf)

    def pieces(self) -> Iterator[str]:
        column = 0
        todo: list[tuple[str | Node, int]] = [(self._root, 0)]  # each with its level, or -1 inside of a line
        while todo:
            part, level = todo.pop()
            piece = part if isinstance(part, str) else self._leaves.get(id(part))
            if piece is None:
                shape = self._shapes[id(part)]
                fits = column + self._width(part) < WIDTH  # with the comma behind it
                in_line = level < 0 or fits or not shape.elements
                todo += reversed([*(self._in_line(shape) if in_line else self._in_lines(shape, level))])
            else:
                column = len(piece) - 1 if piece.startswith("\n") else column + len(piece)
                yield piece

    def _in_line(self, shape: _Shape) -> Iterator[tuple[str | Node, int]]:
        yield shape.opener, -1
        for number, element in enumerate(shape.elements):
            if number:
                yield ", ", -1
            for part in element:
                yield part, -1
        yield shape.closer, -1

    def _in_lines(self, shape: _Shape, level: int) -> Iterator[tuple[str | Node, int]]:
        only = shape.elements[0][0] if len(shape.elements) == 1 and len(shape.elements[0]) == 1 else None
        yield shape.opener, level
        if id(only) in self._shapes:
            assert only is not None
            yield only, level
        else:
            for element in shape.elements:
                yield self._new_line(level + 1), level
                for part in element:
                    yield part, level + 1
                yield ",", level
            yield self._new_line(level), level
        yield shape.closer, level

    def _new_line(self, level: int) -> str:
        return "\n" + " " * min(level * self._indent, _DEEPEST)


def _shape(node: Node, keys: Keys) -> _Shape | None:
    """`node` taken apart; None if it has nothing in it."""
    match node:
        case Some(value):
            return _Shape("Some(", [[value]], ")")
        case List(items):
            return _Shape("[", [[item] for item in items], "]")
        case Tuple(name, items):
            return _Shape(_opener(name), [[item] for item in items], ")")
        case Struct(name, fields):
            if not fields or len({field.name for field in fields}) < len(fields):
                raise ValueError("a struct has at least one field, and each only once")
            return _Shape(_opener(name), [[f"{spelled_field(field.name)}: ", field.value] for field in fields], ")")
        case Map(entries):
            if len({keys.same(key) for key, _ in entries}) < len(entries):
                raise ValueError("a map has each key only once")
            return _Shape("{", [[key, ": ", value] for key, value in entries], "}")
        case _:
            return None


def _opener(name: str | None) -> str:
    return "(" if name is None else f"{spelled_name(name)}("
