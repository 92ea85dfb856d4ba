"""RON, the notation of manifests: `from desk.bus import ron`, then `ron.parse(text)`. See `reader`."""

from desk.bus.ron.nodes import (
    Bool,
    Bytes,
    Char,
    Field,
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
)
from desk.bus.ron.reader import DEFAULT_LIMITS, RonLimits, parse, parse_bytes, parse_fields
from desk.bus.ron.text import Pos, RonError, excerpt

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
