"""RON, the notation of manifests: `from desk.bus import ron`.

text → nodes     `ron.parse`, `ron.parse_bytes`, `ron.parse_fields`; a `RonError` shows the place (`reader`)
nodes → text     `ron.dump` (`writer`)
Python ↔ nodes   `ron.of`, `ron.to_python` (`python`)
"""

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
from desk.bus.ron.python import of, to_python
from desk.bus.ron.reader import DEFAULT_LIMITS, RonLimits, parse, parse_bytes, parse_fields
from desk.bus.ron.text import Pos, RonError, excerpt
from desk.bus.ron.writer import dump

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
    "dump",
    "excerpt",
    "of",
    "parse",
    "parse_bytes",
    "parse_fields",
    "to_python",
]
