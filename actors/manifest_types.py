"""Where types stand in a manifest: `types` gives them names, `exports` and `publishes` use them.

    types: {"reading": (city: string(1..=80), tmax: f64)},
    exports: {"on_observed": (params: [reading]), "coldest": (params: [list(reading)], ret: reading)},
    publishes: {"weather.record": reading},

A name may be used before it is given, in any order of the fields, so `types` is read first. See `desk.bus.types` for what
a type can be.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

from desk.actors.manifest_place import Place
from desk.bus import ron
from desk.bus.ron.nodes import inside
from desk.bus.ron.text import shown
from desk.bus.subjects import RESERVED, SubjectError, check_subject, is_reserved
from desk.bus.types import MAX_NAMES, MAX_TYPE_SIZE, Signature, Type, TypeSyntaxError, parse_type, read_types

MAX_EXPORTS = 256
MAX_PARAMS = 64
MAX_PATTERNS = 32
"""Regular expressions in types, the same one counted as often as it is written. Making one may take ten milliseconds."""

MAX_SUBJECTS = 64
"""In `publishes`, and patterns in `subscribes`."""

_EXPORT = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_EXPORT_FIELDS = ("params", "ret", "as_self")
_PARAM = re.compile(r"[a-z_][a-z0-9_]{0,63}")
_RESERVED_EXPORTS = frozenset({"memory"})
_RESERVED_PREFIX = "desk_"  # hooks: those of today, and of later versions of the ABI
_RESERVED_WORDS = ", ".join(sorted(RESERVED))


def check_patterns(place: Place) -> None:
    """Refuse a manifest with too many patterns before the first is made."""
    count, todo = 0, [place.node]
    while todo:
        node = todo.pop()
        if isinstance(node, ron.Tuple) and node.name == "string" and any(isinstance(x, ron.Str) for x in node.items):
            count += 1
        if count > MAX_PATTERNS:
            raise place.error(f"expected at most {MAX_PATTERNS} patterns in types, found more", node.pos)
        todo += inside(node)


def read_named_types(place: Place) -> Mapping[str, Type]:
    """The field `types`: a type for each name."""
    entries = list(place.entries('a map, as in {"reading": (city: string, tmax: f64)}', MAX_NAMES))
    try:
        return MappingProxyType(read_types({name: value.node for name, _, value in entries}))
    except TypeSyntaxError as error:
        pos = error.pos or place.node.pos
        around = [
            value for _, key, value in entries if (key.node.pos.line, key.node.pos.column) <= (pos.line, pos.column)
        ]
        raise (around[-1] if around else place).error(error.message, pos) from None


def read_exports(place: Place, types: Mapping[str, Type]) -> tuple[Mapping[str, Signature], frozenset[str]]:
    """The field `exports`: what each takes and gives; and those that act with the extension's own rights alone."""
    exports: dict[str, Signature] = {}
    as_self: set[str] = set()
    for name, key, value in place.entries('a map, as in {"render": (params: [i32, i32], ret: i32)}', MAX_EXPORTS):
        if _EXPORT.fullmatch(name) is None:
            raise key.error("expected an export name: 1 to 64 of a-z 0-9 _ -, a letter first")
        if name in _RESERVED_EXPORTS or name.startswith(_RESERVED_PREFIX):
            raise key.error(f"{shown(name)} is reserved: memory and the hooks ({_RESERVED_PREFIX}...) are not declared")
        fields = value.fields("an entry, as in (params: [i32], ret: i32)", _EXPORT_FIELDS)
        exports[name] = _read_signature(fields, types)
        if "as_self" in fields and fields["as_self"].boolean():
            as_self.add(name)
    return MappingProxyType(exports), frozenset(as_self)


def _read_signature(fields: Mapping[str, Place], types: Mapping[str, Type]) -> Signature:
    params: tuple[Type, ...] = ()
    names: tuple[str, ...] | None = None
    if (given := fields.get("params")) is not None:
        if isinstance(given.node, ron.Struct) and given.node.name is None:
            named = given.fields("parameters", _param_names(given, given.node))
            names, places = tuple(named), list(named.values())
        else:
            places = given.items("a list of types, as in [i32, json], or named ones, as in (width: i32)", MAX_PARAMS)
        params = tuple([read_type(param, types) for param in places])
    result = read_type(fields["ret"], types) if "ret" in fields else None
    return Signature(params, names, result)


def _param_names(place: Place, struct: ron.Struct) -> tuple[str, ...]:
    for index, field in enumerate(struct.fields):
        if index == MAX_PARAMS:
            raise place.error(f"expected at most {MAX_PARAMS} parameters, found {len(struct.fields)}", field.pos)
        if _PARAM.fullmatch(field.name) is None:
            raise place.error(f"expected a parameter name of a-z 0-9 _, found {shown(field.name)}", field.pos)
    return tuple(field.name for field in struct.fields)


def read_publishes(place: Place, types: Mapping[str, Type]) -> Mapping[str, Type]:
    """The field `publishes`: the type of the events on each subject."""
    publishes: dict[str, Type] = {}
    size = 0  # each is held against what every other extension says of the subject
    for text, key, value in place.entries('a map, as in {"weather.summary": string}', MAX_SUBJECTS):
        try:
            check_subject(text)
        except SubjectError as error:
            raise key.error(str(error)) from None
        if is_reserved(text):
            raise key.error(f"only the host publishes there; expected a first word other than {_RESERVED_WORDS}")
        publishes[text] = read_type(value, types)
        size += publishes[text].size
        if size > MAX_TYPE_SIZE:
            raise value.error(f"expected types that consist of at most {MAX_TYPE_SIZE:,} in all, found more")
    return MappingProxyType(publishes)


def read_type(place: Place, types: Mapping[str, Type]) -> Type:
    """The type that stands at `place`."""
    try:
        return parse_type(place.node, types)
    except TypeSyntaxError as error:
        raise place.error(error.message, error.pos) from None
