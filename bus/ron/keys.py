"""Which keys of a map are the same: those that say the same, as `1` and `0x01u8`, or `(a: 1, b: 2)` and `(b: 2, a: 1)`.

Nearly all keys are strings, which are simply compared. Any other value may be a key too, however large, and so may a map
that has such keys itself. So equal values are given equal numbers, from the inside out, each value only once: time stays
linear in the text, and no nesting can exhaust Python's stack.
"""

from collections.abc import Hashable

from desk.bus.ron.nodes import Ident, List, Map, Node, Some, Str, Struct, Tuple, inside


class Keys:
    """Tells the keys of one text apart. The nodes it has seen must stay alive as long as it does."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._number_of: dict[int, int] = {}  # by the id of the node

    def same(self, key: Node) -> Hashable:
        """Something that is equal for equal keys only."""
        return key.value if isinstance(key, Str) else self._number(key)

    def _number(self, key: Node) -> int:
        todo: list[Node] = [key]
        while todo:
            node = todo[-1]
            unknown = [inner for inner in inside(node) if id(inner) not in self._number_of]
            todo += unknown
            if not unknown:
                todo.pop()
                self._number_of[id(node)] = self._numbers.setdefault(self._content(node), len(self._numbers))
        return self._number_of[id(key)]

    def _content(self, node: Node) -> Hashable:
        """What makes `node` equal to others, with numbers for the values in it."""
        inner = [self._number_of[id(each)] for each in inside(node)]
        match node:
            case Map():  # the order of entries and of fields makes no difference
                return Map, frozenset(zip(inner[::2], inner[1::2], strict=True))
            case Struct(name, fields):
                return Struct, name, frozenset(zip((field.name for field in fields), inner, strict=True))
            case Tuple(name):
                return Tuple, name, *inner
            case List() | Some():
                return type(node), *inner
            case Ident(name):
                return Ident, name
            case Str(value):
                return Str, value
            case _:
                return repr(node)  # tells a float from an integer, and 0.0 from -0.0
