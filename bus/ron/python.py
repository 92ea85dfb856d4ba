"""Between RON and plain Python values: `None`, bools, numbers, text, bytes, lists, tuples and dicts.

    of({"name": "geocoder", "sizes": [1, 2]})            {"name": "geocoder", "sizes": [1, 2]}
    to_python(parse('Extension(name: "geocoder")'))      {"name": "geocoder"}

On the way to Python all names but those of fields are lost, and `Some(1)` is 1; on the way to RON nothing is. Neither way
uses Python's stack, however deep a value is.
"""

from collections.abc import Iterable, Mapping
from typing import TypeAlias, cast

from desk.bus.ron.nodes import (
    Bool,
    Bytes,
    Char,
    Float,
    Ident,
    Int,
    List,
    Map,
    Node,
    NoneValue,
    Range,
    Some,
    Str,
    Struct,
    Tuple,
    inside,
)

_Container: TypeAlias = list[object] | tuple[object, ...] | dict[object, object]


def of(value: object) -> Node:
    """The node for a plain Python value: a list is a list, a tuple a tuple, a dict a map, whose keys are text.

    Raises `TypeError` for a value of any other type, `ValueError` for one that contains itself.
    """
    done: dict[int, Node] = {}
    begun: set[int] = set()
    todo = [value]
    while todo:
        at = id(todo[-1])
        if at in done:
            todo.pop()
        elif at in begun or not isinstance(todo[-1], (list, tuple, dict)):
            begun.discard(at)
            done[at] = _node(todo.pop(), done)
        else:
            begun.add(at)
            parts = _parts(cast("_Container", todo[-1]))
            if any(id(part) in begun for part in parts):
                raise ValueError("the value contains itself")
            todo += parts
    return done[id(value)]


def _parts(value: _Container) -> Iterable[object]:
    return value.values() if isinstance(value, dict) else value


def _node(value: object, done: Mapping[int, Node]) -> Node:
    """The node for `value`; what is in it is `done`."""
    match value:
        case None:
            return NoneValue()
        case bool():
            return Bool(value)
        case int():
            return Int(value)
        case float():
            return Float(value)
        case str():
            return Str(value)
        case bytes():
            return Bytes(value)
        case list():
            return List(tuple([done[id(item)] for item in cast("list[object]", value)]))
        case tuple():
            return Tuple(None, tuple([done[id(item)] for item in cast("tuple[object, ...]", value)]))
        case dict():
            entries = cast("dict[object, object]", value)
            return Map(tuple([(Str(_key(key)), done[id(item)]) for key, item in entries.items()]))
        case _:
            expected = "None, bool, int, float, str, bytes, list, tuple or dict"
            raise TypeError(f"a {type(value).__name__} is not a plain value; expected {expected}")


def _key(key: object) -> str:
    if isinstance(key, str):
        return key
    raise TypeError(f"a key is a {type(key).__name__}; expected str")


def to_python(node: Node) -> object:
    """The plain Python value of `node`: a struct is a dict by field, a tuple a tuple, a name or a char a str.

    Raises `ValueError` for a range, and for a map whose keys are not single values or are the same in Python (`1` and `1.0`).
    """
    nodes = [node]
    for each in nodes:  # which grows meanwhile
        nodes += inside(each)
    done: dict[int, object] = {}
    for each in reversed(nodes):
        done[id(each)] = _value(each, done)
    return done[id(node)]


def _value(node: Node, done: Mapping[int, object]) -> object:
    """The Python value of `node`; what is in it is `done`."""
    match node:
        case NoneValue():
            return None
        case Bool(value) | Int(value) | Float(value) | Str(value) | Char(value) | Bytes(value) | Ident(value):
            return value
        case Some(value):
            return done[id(value)]
        case List(items):
            return [done[id(item)] for item in items]
        case Tuple(_, items):
            return tuple([done[id(item)] for item in items])
        case Struct(_, fields):
            return {field.name: done[id(field.value)] for field in fields}
        case Map(entries):
            if any(isinstance(key, (Some, List, Map, Tuple, Struct)) for key, _ in entries):
                raise ValueError(f"a key of the map at {node.pos} is a container; expected a single value")
            values = {done[id(key)]: done[id(value)] for key, value in entries}
            if len(values) < len(entries):
                raise ValueError(f"two keys of the map at {node.pos} are the same in Python; expected keys of one type")
            return values
        case Range():
            raise ValueError(f"the range at {node.pos} is not a plain value; expected something else")
