"""What may stand in each field of a manifest: one reader a field, in the order of the table `READERS` at the end.

A reader is handed the field's place and returns the checked value. Everything is bounded here, and nothing is ignored:
what is known but not acted upon yet is named in `NOT_YET`, everything else is an error.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypedDict

from desk.actors.engine.profiles import PROFILES
from desk.actors.limits import MIB, QUANTITY, Quantity
from desk.actors.manifest_place import Place
from desk.bus import ron
from desk.bus.ron.text import shown
from desk.bus.subjects import RESERVED, Pattern, SubjectError, check_subject, is_reserved
from desk.bus.types import Signature, Type, TypeSyntaxError, parse_type
from desk.capabilities.permissions import LATER, SECTIONS, PermissionSet, PermissionSyntaxError

API_VERSIONS = ("0.1",)
"""The guest ABIs that this host speaks."""

NOT_YET = ("config", "types", "timers", "reasons", "hot_reload")
"""Fields that are accepted, but that nothing acts on yet: `Manifest.notices` says so."""

MAX_EXPORTS = 256
MAX_PARAMS = 64
MAX_SUBJECTS = 64  # in `subscribes`, and in `publishes`
MAX_DESCRIPTION = 1_000

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_NUMBER = r"(?:0|[1-9][0-9]{0,8})"
_VERSION = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-[0-9A-Za-z.-]{{1,64}})?")
_EXPORT = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_PARAM = re.compile(r"[a-z_][a-z0-9_]{0,63}")
_RESERVED_EXPORTS = frozenset({"memory"})
_RESERVED_PREFIX = "desk_"  # hooks: those of today, and of later versions of the ABI
_REFUSED_IN_TEXT = frozenset({"Cc", "Cs", "Zl", "Zp"})
_BIDI = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})

_RESERVED_WORDS = ", ".join(sorted(RESERVED))
_QUANTITY = re.compile(r"([1-9][0-9]{0,11}) ?([A-Za-z]{1,3})")
_UNITS: Mapping[Quantity, tuple[str, Mapping[str, int], int]] = {
    "bytes": ('as in "16MiB"', {"B": 1, "KiB": 1024, "MiB": MIB, "GiB": 1024 * MIB}, 4096 * MIB),
    "milliseconds": ('as in "500ms"', {"ms": 1, "s": 1_000, "min": 60_000}, 24 * 60 * 60_000),
    "count": ("without a unit", {}, 10**15),
}
"""For each quantity, how it is written, its units in the smallest, and the highest number that makes sense in that."""


class ManifestFields(TypedDict, total=False):
    """The fields that a text has, read. Those of `NOT_YET` are left out, but for `hot_reload`."""

    name: str
    api_version: str
    version: str
    description: str
    exports: Mapping[str, Signature]
    permissions: PermissionSet
    subscribes: Mapping[str, str]
    publishes: Mapping[str, Type]
    limits: Mapping[str, int]
    profile: str
    hot_reload: bool


def _read_name(place: Place) -> str:
    name = place.string('a name, as in "weather-widget"', 64)
    if _NAME.fullmatch(name) is None:
        raise place.error(f"expected 1 to 64 of a-z 0-9 -, not - first, found {shown(name)}")
    return name


def _read_api_version(place: Place) -> str:
    spoken = ", ".join(f'"{version}"' for version in API_VERSIONS)
    version = place.string(f"a version of the guest ABI as a string, {spoken}", 64)
    if version not in API_VERSIONS:
        raise place.error(f"this host speaks {spoken}, not {shown(version)}")
    return version


def _read_version(place: Place) -> str:
    version = place.string('a version, as in "1.2.3"', 64)
    if _VERSION.fullmatch(version) is None:
        raise place.error(f'expected a version, as in "1.2.3" or "1.2.3-rc.1", found {shown(version)}')
    return version


def _read_description(place: Place) -> str:
    text = place.string("a text", MAX_DESCRIPTION)
    if text.isprintable():  # nearly always; nothing that is refused is
        return text
    for character in text:
        refused = unicodedata.category(character) in _REFUSED_IN_TEXT or unicodedata.bidirectional(character) in _BIDI
        if refused and character != "\n":
            raise place.error(f"expected a text without control characters, found {shown(character)}")
    return text


def _read_exports(place: Place) -> Mapping[str, Signature]:
    exports: dict[str, Signature] = {}
    for name, key, value in place.entries('a map, as in {"render": (params: [i32, i32], ret: i32)}', MAX_EXPORTS):
        if _EXPORT.fullmatch(name) is None:
            raise key.error("expected an export name: 1 to 64 of a-z 0-9 _ -, a letter first")
        if name in _RESERVED_EXPORTS or name.startswith(_RESERVED_PREFIX):
            raise key.error(f"{shown(name)} is reserved: memory and the hooks ({_RESERVED_PREFIX}...) are not declared")
        exports[name] = _read_signature(value)
    return MappingProxyType(exports)


def _read_signature(place: Place) -> Signature:
    fields = place.fields("an entry, as in (params: [i32], ret: i32)", ("params", "ret"))
    types: tuple[Type, ...] = ()
    names: tuple[str, ...] | None = None
    if (params := fields.get("params")) is not None:
        if isinstance(params.node, ron.Struct) and params.node.name is None:
            named = params.fields("parameters", _param_names(params, params.node))
            names, places = tuple(named), list(named.values())
        else:
            places = params.items("a list of types, as in [i32, json], or named ones, as in (width: i32)", MAX_PARAMS)
        types = tuple(_read_type(param) for param in places)
    result = _read_type(fields["ret"]) if "ret" in fields else None
    return Signature(types, names, result)


def _param_names(place: Place, struct: ron.Struct) -> tuple[str, ...]:
    for index, field in enumerate(struct.fields):
        if index == MAX_PARAMS:
            raise place.error(f"expected at most {MAX_PARAMS} parameters, found {len(struct.fields)}", field.pos)
        if _PARAM.fullmatch(field.name) is None:
            raise place.error(f"expected a parameter name of a-z 0-9 _, found {shown(field.name)}", field.pos)
    return tuple(field.name for field in struct.fields)


def _read_type(place: Place) -> Type:
    try:
        return parse_type(place.node)
    except TypeSyntaxError as error:
        raise place.error(error.message, error.pos) from None


def _read_permissions(place: Place) -> PermissionSet:
    known = sorted(SECTIONS | LATER)
    sections: dict[str, str | list[str]] = {}
    places: dict[tuple[str | None, str | None], Place] = {}
    for section, key, value in place.entries('a map, as in {network: ["api.weather.com"]}', len(known) + 1):
        if section not in known:
            raise key.unknown("permission section", section, known)
        places[section, None] = value
        if isinstance(value.node, ron.Str) and section in LATER:  # a level, as in gpu: "limited"
            sections[section] = value.node.value
            places[section, value.node.value] = value
            continue
        expected = (
            f'a list of strings, as in {section}: ["..."]' if section in SECTIONS else "a list of strings, or a string"
        )
        texts: list[str] = []
        for item in value.items(expected, 1_000):
            texts.append(item.string("a permission as a string", 1_000))
            places[section, texts[-1]] = item
        sections[section] = texts
    try:
        return PermissionSet.parse(sections)
    except PermissionSyntaxError as error:
        where = places.get((error.section, error.text)) or places.get((error.section, None)) or place
        hint = "" if error.nearest is None else f"; did you mean `{error.nearest}`?"
        raise where.error(f"{error.problem}; expected {error.expected}{hint}") from None


def _read_subscribes(place: Place) -> Mapping[str, str]:
    subscribes: dict[str, str] = {}
    for text, key, value in place.entries('a map, as in {"weather.observed": "on_observed"}', MAX_SUBJECTS):
        try:
            pattern = Pattern(text)
        except SubjectError as error:
            raise key.error(str(error)) from None
        if pattern.words[0] in RESERVED - {"sys"}:
            raise key.error("requests to extensions and capabilities are not events; expected another first word")
        subscribes[text] = value.string("the name of an export", 64)
    return MappingProxyType(subscribes)


def _read_publishes(place: Place) -> Mapping[str, Type]:
    publishes: dict[str, Type] = {}
    for text, key, value in place.entries('a map, as in {"weather.summary": string}', MAX_SUBJECTS):
        try:
            check_subject(text)
        except SubjectError as error:
            raise key.error(str(error)) from None
        if is_reserved(text):
            raise key.error(f"only the host publishes there; expected a first word other than {_RESERVED_WORDS}")
        publishes[text] = _read_type(value)
    return MappingProxyType(publishes)


def _read_limits(place: Place) -> Mapping[str, int]:
    limits: dict[str, int] = {}
    for name, key, value in place.entries('a map, as in {memory: "16MiB"}', len(QUANTITY) + 1):
        if name not in QUANTITY:
            raise key.unknown("limit", name, QUANTITY)
        limits[name] = _read_limit(value, *_UNITS[QUANTITY[name]])
    return MappingProxyType(limits)


def _read_limit(place: Place, example: str, units: Mapping[str, int], highest: int) -> int:
    expected = f"a whole number {example}" + (f" ({', '.join(units)})" if units else "")
    if isinstance(place.node, ron.Int):
        number = place.node.value
    elif isinstance(place.node, ron.Str):
        quantity = _QUANTITY.fullmatch(place.node.value)
        if quantity is None or quantity[2] not in units:
            raise place.error(f"expected {expected}, found {shown(place.node.value)}")
        number = int(quantity[1]) * units[quantity[2]]
    else:
        raise place.wrong_kind(expected)
    if not 1 <= number <= highest:
        raise place.error(f"expected 1 to {highest}, found {shown(str(number))}")
    return number


def _read_profile(place: Place) -> str:
    profile = place.string('a profile of the engine as a string, as in "small"', 64)
    if profile not in PROFILES:
        raise place.unknown("profile", profile, PROFILES)
    return profile


READERS: Mapping[str, Callable[[Place], object]] = {
    "name": _read_name,
    "api_version": _read_api_version,
    "version": _read_version,
    "description": _read_description,
    "exports": _read_exports,
    "permissions": _read_permissions,
    "subscribes": _read_subscribes,
    "publishes": _read_publishes,
    "limits": _read_limits,
    "profile": _read_profile,
    "hot_reload": Place.boolean,
}
"""The reader of each field that has a meaning; its keys are those of `ManifestFields`."""
