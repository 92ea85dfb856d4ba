"""Types as JSON Schema (draft 2020-12): for forms, editors and services that speak JSON.

The schema is of a value in JSON as one would write it down: a record is an object, a list or tuple an array, a variant an
object of one property or a string, a char a string of one character. Bytes are a string in base64.

It is looser than the type where JSON has no way to say it: 1.0 passes for an integer, and in `any` and `json` everything
does. NaN and the infinities, which a float may be, are nothing in JSON.
"""

import math
from collections.abc import Iterable
from typing import Final, TypeAlias

from desk.bus.types.base import Type
from desk.bus.types.choices import EnumOf, VariantOf
from desk.bus.types.containers import ListOf, OptionOf, Record, TupleOf
from desk.bus.types.documents import Definitions, float_bounds
from desk.bus.types.named import Named
from desk.bus.types.numbers import Float, Integer
from desk.bus.types.scalars import Bool
from desk.bus.types.texts import Bytes, Char, String

Schema: TypeAlias = dict[str, object]
"""A JSON Schema, or a part of one, for `json.dumps`."""

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_BASE64: Final = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"


def json_schema(declared: Type) -> Schema:
    """The schema of `declared`, by itself a whole document; the named types in it are in its `$defs`."""
    definitions = Definitions()
    whole = {"$schema": _DIALECT, **_schema(declared, definitions)}
    defined = {name: _schema(held, definitions) for name, held in definitions.undefined()}
    return {**whole, "$defs": defined} if defined else whole


def _schema(declared: Type, definitions: Definitions) -> Schema:
    match declared:
        case Named(name=name, type=held):
            return {"$ref": f"#/$defs/{definitions.name(name, held)}"}
        case Bool():
            return {"type": "boolean"}
        case Integer(low=low, high=high):
            return {"type": "integer", "minimum": low, "maximum": high}
        case Float():
            low, high = float_bounds(declared)
            return {"type": "number", **_given(minimum=_finite(low), maximum=_finite(high))}
        case Char():
            return {"type": "string", "minLength": 1, "maxLength": 1}
        case String(shortest=shortest, longest=longest, pattern=pattern):
            whole = None if pattern is None else f"^(?:{_ecmascript(pattern)})$"
            return {"type": "string", **_given(minLength=shortest or None, maxLength=longest, pattern=whole)}
        case Bytes(shortest=shortest, longest=longest):
            lengths = _given(minLength=_base64(shortest) or None, maxLength=_base64(longest))
            return {"type": "string", "contentEncoding": "base64", "pattern": _BASE64, **lengths}
        case ListOf(item=item, shortest=shortest, longest=longest):
            lengths = _given(minItems=shortest or None, maxItems=longest)
            return {"type": "array", "items": _schema(item, definitions), **lengths}
        case TupleOf(items=items):
            each = [_schema(item, definitions) for item in items]
            return {"type": "array", "prefixItems": each, "items": False, "minItems": len(items)}
        case Record(fields=fields):
            return _object(fields, definitions)
        case OptionOf(item=item):
            return {"anyOf": [_schema(item, definitions), {"type": "null"}]}
        case EnumOf(names=names):
            return {"enum": list(names)}
        case VariantOf(cases=cases):
            words = [name for name, held in cases if held is None]
            objects = [_object([(name, held)], definitions, needed=True) for name, held in cases if held is not None]
            return {"oneOf": [*([{"enum": words}] if words else []), *objects]}
        case _:
            return {}


def _object(fields: Iterable[tuple[str, Type]], definitions: Definitions, *, needed: bool = False) -> Schema:
    """An object with these properties and no others; those of an option type may be missing, unless all are `needed`."""
    properties: Schema = {}
    required: list[str] = []
    for name, item in fields:
        properties[name] = _schema(item, definitions)
        if needed or not isinstance(item.bare, OptionOf):
            required.append(name)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _given(**keywords: object) -> Schema:
    """The keywords that say something."""
    return {keyword: value for keyword, value in keywords.items() if value is not None}


def _finite(bound: float | None) -> float | None:
    return None if bound is None or math.isinf(bound) else bound


def _base64(size: int | None) -> int | None:
    """The length of so many bytes in base64."""
    return None if size is None else (size + 2) // 3 * 4


def _ecmascript(pattern: str) -> str:
    r"""The pattern as ECMAScript with the flag `u` reads it, which JSON Schema asks for: RFC 9485 §5.3.

    There `.` excludes two more characters, `^` and `$` are anchors, and `\-` is an error outside a class.
    """
    written: list[str] = []
    characters = iter(pattern)
    in_class = False
    for character in characters:
        if character == "\\":
            escaped = next(characters)
            written.append("-" if escaped == "-" and not in_class else f"\\{escaped}")
        elif in_class:
            in_class = character != "]"
            written.append(character)
        else:
            in_class = character == "["
            written.append(_OUTSIDE.get(character, character))
    return "".join(written)


_OUTSIDE: Final = {".": r"[^\n\r]", "^": r"\^", "$": r"\$"}
"""Characters outside classes that mean something else in ECMAScript."""
