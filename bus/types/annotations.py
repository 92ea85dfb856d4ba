"""What the annotations of an app's class say: the type of its instances, and how these become plain values and back.

The table is in `desk.bus.types.natural`. Each function here reads one kind of annotation, and asks for those inside of it.
`wanted` is the type that the annotation must fit, if one is declared; `where` the field it stands in, for errors; `outer` the
classes around it. All of them raise `TypeError` for what has no type or does not fit.
"""

import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping
from enum import Enum
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    Never,
    TypeAlias,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from desk.bus.types import conversions
from desk.bus.types.base import Type, TypeSyntaxError
from desk.bus.types.choices import EnumOf, VariantOf
from desk.bus.types.containers import ListOf, OptionOf, Record, TupleOf
from desk.bus.types.conversions import Conversion
from desk.bus.types.numbers import Float, Integer
from desk.bus.types.scalars import ANY, BOOL, BYTES, F64, I64, STRING, Bool
from desk.bus.types.texts import Bytes, Char, String


class Way(NamedTuple):
    """A type, and the conversions to and from its plain values; None where an object is the plain value."""

    type: Type
    outward: Conversion | None = None
    inward: Conversion | None = None


def way(annotation: Any, wanted: Type | None, where: str, outer: tuple[type, ...]) -> Way:
    """The way that an annotation describes."""
    if get_origin(annotation) is Annotated:
        annotation, *notes = get_args(annotation)
        for note in notes:
            if isinstance(note, Type):
                if wanted is not None and wanted.bare != note.bare:
                    raise _misfit(where, note, wanted)
                wanted = wanted or note
    try:
        found = _find(annotation)(annotation, _bare(wanted), where, outer)
    except TypeSyntaxError as error:  # no name for a field, too deep, too large
        raise TypeError(f"{where}: {shown(annotation)} has no type: {error}") from None
    return found._replace(type=wanted) if wanted else found


def _find(annotation: Any) -> "_Find":
    origin = get_origin(annotation)
    if origin is not None:
        return _GENERIC.get(origin, _nothing)
    if has_fields(annotation):
        return _fields
    if isinstance(annotation, type):
        return _word if annotation in _WORDS else _enum if issubclass(annotation, Enum) else _nothing
    return _nothing


_WORDS: Mapping[type, tuple[Type, tuple[type[Type], ...]]] = {
    bool: (BOOL, (Bool,)),
    int: (I64, (Integer,)),
    float: (F64, (Float,)),
    str: (STRING, (String, Char, EnumOf)),
    bytes: (BYTES, (Bytes,)),
    object: (ANY, (Type,)),
}
"""For each class whose instances go as they are: its type, and the types whose values it can hold."""


def _word(annotation: Any, wanted: Type | None, where: str, _outer: tuple[type, ...]) -> Way:
    usual, fitting = _WORDS[annotation]
    if wanted is not None and not isinstance(wanted, fitting):
        raise _misfit(where, annotation, wanted)
    return Way(wanted or usual)


def _literal(annotation: Any, wanted: Type | None, where: str, _outer: tuple[type, ...]) -> Way:
    return Way(_names(annotation, get_args(annotation), wanted, where))


def _enum(annotation: Any, wanted: Type | None, where: str, _outer: tuple[type, ...]) -> Way:
    texts = tuple([member.value for member in annotation])
    declared = _names(annotation, texts, wanted, where)
    return Way(declared, conversions.from_enum(annotation), conversions.to_enum(annotation))


def _names(annotation: Any, texts: tuple[object, ...], wanted: Type | None, where: str) -> Type:
    names = tuple([text for text in texts if type(text) is str])
    if len(names) != len(texts):
        raise TypeError(f"{where}: {shown(annotation)} has no type: its values should be texts, every one")
    if wanted is None:
        return EnumOf(names)
    if isinstance(wanted, EnumOf) and set(wanted.names) == set(names):
        return wanted
    raise _misfit(where, annotation, wanted)


def _list(annotation: Any, wanted: Type | None, where: str, outer: tuple[type, ...]) -> Way:
    if wanted is not None and not isinstance(wanted, ListOf):
        raise _misfit(where, annotation, wanted)
    item = way(get_args(annotation)[0], wanted and wanted.item, where, outer)
    declared = wanted or ListOf(item.type)
    return Way(declared, conversions.of_list(declared, item.outward), conversions.of_list(declared, item.inward))


def _tuple(annotation: Any, wanted: Type | None, where: str, outer: tuple[type, ...]) -> Way:
    arguments = get_args(annotation)
    if not arguments or ... in arguments:
        _nothing(annotation, wanted, where, outer)
    if wanted is not None and not (isinstance(wanted, TupleOf) and len(wanted.items) == len(arguments)):
        raise _misfit(where, annotation, wanted)
    wants = wanted.items if wanted else (None,) * len(arguments)
    items = [way(argument, want, where, outer) for argument, want in zip(arguments, wants, strict=True)]
    declared = wanted or TupleOf(tuple([item.type for item in items]))
    outward, inward = ([item.outward for item in items], [item.inward for item in items])
    return Way(declared, conversions.of_tuple(declared, outward), conversions.of_tuple(declared, inward))


def _union(annotation: Any, wanted: Type | None, where: str, outer: tuple[type, ...]) -> Way:
    members = get_args(annotation)
    some = tuple([member for member in members if member is not NoneType])
    if len(some) == len(members):
        return _cases(annotation, some, wanted, where, outer)
    if wanted is not None and not isinstance(wanted, OptionOf):
        raise _misfit(where, annotation, wanted)
    want = _bare(wanted.item) if wanted else None
    item = way(some[0], want, where, outer) if len(some) == 1 else _cases(annotation, some, want, where, outer)
    return Way(wanted or OptionOf(item.type), conversions.of_option(item.outward), conversions.of_option(item.inward))


def _cases(annotation: Any, classes: tuple[Any, ...], wanted: Type | None, where: str, outer: tuple[type, ...]) -> Way:
    if not all(map(has_fields, classes)):
        raise TypeError(f"{where}: {shown(annotation)} has no type: a union is of dataclasses or structs, and None")
    names = {_snake(cls.__name__): cls for cls in classes}
    if len(names) != len(classes):
        raise TypeError(f"{where}: {shown(annotation)} has no type: two of its classes are called alike")
    wants: dict[str, Type | None] = dict.fromkeys(names)
    if wanted is not None:
        if not isinstance(wanted, VariantOf) or {name for name, _ in wanted.cases} != set(names):
            raise _misfit(where, annotation, wanted)
        wants = dict(wanted.cases)
        for name, want in wants.items():
            if (want is None) == bool(_field_names(names[name])):
                raise _misfit(f"{where}.{name}", names[name], want or "()")
    ways = {
        name: _fields(cls, _bare(wants[name]), f"{where}.{name}", outer)
        for name, cls in names.items()
        if _field_names(cls)
    }
    declared = wanted or VariantOf(tuple([(name, ways[name].type if name in ways else None) for name in names]))
    outward = {cls: (name, ways[name].outward if name in ways else None) for name, cls in names.items()}
    inward = {name: way.inward for name, way in ways.items() if way.inward}
    empty = {name: cls for name, cls in names.items() if name not in ways}
    return Way(declared, conversions.from_case(declared, outward), conversions.to_case(declared, empty, inward))


def _fields(annotation: Any, wanted: Type | None, where: str, outer: tuple[type, ...]) -> Way:
    names = _field_names(annotation)
    if annotation in outer:
        raise TypeError(f"{where}: {shown(annotation)} is inside of itself, and types are finite")
    wants: dict[str, Type | None] = dict.fromkeys(names)
    if wanted is not None:
        if not isinstance(wanted, Record):
            raise _misfit(where, annotation, wanted)
        wants = dict(wanted.fields)
        if different := sorted(wants.keys() ^ set(names)):
            which = "lacks" if different[0] in wants else "should not have"
            raise TypeError(f"{where}: {shown(annotation)} {which} the field {different[0]!r}, to fit {wanted}")
    hints = _annotations(annotation, names, where)
    ways = {name: way(hints[name], want, f"{where}.{name}", (*outer, annotation)) for name, want in wants.items()}
    declared = wanted or Record(tuple([(name, way.type) for name, way in ways.items()]))
    outward = {name: way.outward for name, way in ways.items() if way.outward}
    inward = {name: way.inward for name, way in ways.items() if way.inward}
    return Way(
        declared,
        conversions.from_fields(annotation, tuple(ways), outward),
        conversions.to_fields(annotation, inward),
    )


def _nothing(annotation: Any, _wanted: Type | None, where: str, _outer: tuple[type, ...]) -> Never:
    name = getattr(get_origin(annotation) or annotation, "__name__", "")
    raise TypeError(f"{where}: {shown(annotation)} has no type; write {_INSTEAD.get(name, _INSTEAD[''])}")


_Find: TypeAlias = Callable[[Any, Type | None, str, tuple[type, ...]], Way]
_GENERIC: Mapping[Any, _Find] = {list: _list, tuple: _tuple, Union: _union, UnionType: _union, Literal: _literal}
_INSTEAD: Mapping[str, str] = {
    **dict.fromkeys(("list", "set", "frozenset", "Sequence", "Iterable"), "list[T]"),
    "tuple": "tuple[T, U], or list[T] for any number",
    **dict.fromkeys(("dict", "Mapping"), "a dataclass, or Annotated[object, JSON]"),
    **dict.fromkeys(("datetime", "date", "time", "timedelta"), "str or float"),
    **dict.fromkeys(("Decimal", "Fraction", "UUID", "Path"), "str"),
    "": "bool, int, float, str, bytes, list[T], tuple[T, U], T | None, Literal, an Enum of texts, or a dataclass",
}
"""By the name of a class that has no type: what to write."""


# What classes say of themselves.


def has_fields(cls: object) -> bool:
    """Whether it is a dataclass or a struct."""
    return isinstance(cls, type) and ("__dataclass_fields__" in dir(cls) or "__struct_fields__" in dir(cls))


def _field_names(cls: Any) -> tuple[str, ...]:
    if dataclasses.is_dataclass(cls):
        return tuple([field.name for field in dataclasses.fields(cls)])
    return tuple(cls.__struct_fields__)


def _annotations(cls: Any, names: tuple[str, ...], where: str) -> Mapping[str, Any]:
    """Those of the fields `names`, which the constructor must take by name."""
    try:
        hints = get_type_hints(cls, include_extras=True)
    except (NameError, AttributeError) as error:
        raise TypeError(f"{where}: {error}; an annotation can name what its module has") from None
    for name in names:
        if name not in hints:
            raise TypeError(f"{where}.{name}: no annotation")
    try:
        inspect.signature(cls).bind(**dict.fromkeys(names))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{where}: the constructor of {shown(cls)} should take its fields by name: {error}") from None
    return {name: hints[name] for name in names}


def _snake(name: str) -> str:
    return re.sub("(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def shown(annotation: Any) -> str:
    """As a person wrote it, about."""
    return annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else str(annotation)


def _bare(wanted: Type | None) -> Type | None:
    return wanted and wanted.bare


def _misfit(where: str, annotation: Any, wanted: Type | str) -> TypeError:
    return TypeError(f"{where}: {shown(annotation)} does not fit {wanted}")
