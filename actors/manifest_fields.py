"""What may stand in each field of a manifest: one reader a field, joined by `read_fields` at the end.

A reader is handed the field's place and returns the checked value. Those of fields with types are in `manifest_types` and
`manifest_config`, those of events and timers in `manifest_handlers`, that of `reasons` in `manifest_reasons`. Everything is
bounded, and nothing is ignored: what is known but not acted upon yet is named in `NOT_YET`, everything else is an error.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypedDict, cast

from desk.actors.engine.profiles import PROFILES
from desk.actors.limits import MIB, QUANTITY, Quantity
from desk.actors.manifest_config import Setting, read_config
from desk.actors.manifest_handlers import read_subscribes, read_timers
from desk.actors.manifest_place import EXTENSION_NAME, Place
from desk.actors.manifest_reasons import read_reasons
from desk.actors.manifest_types import read_exports, read_named_types, read_publishes
from desk.bus import ron
from desk.bus.mailbox import Overflow
from desk.bus.ron.text import shown
from desk.bus.types import Signature, Type
from desk.capabilities.permissions import PermissionSet, PermissionSyntaxError
from desk.capabilities.vocabulary import Vocabulary

API_VERSIONS = ("0.1",)
"""The guest ABIs that this host speaks."""

NOT_YET = ("hot_reload",)
"""Fields that are accepted, but that nothing acts on yet: `Manifest.notices` says so."""

MAX_DESCRIPTION = 1_000

_APPS_OWN = "an app may have sections of its own: only a host with that capability knows them"

_NUMBER = r"(?:0|[1-9][0-9]{0,8})"
_VERSION = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-[0-9A-Za-z.-]{{1,64}})?")

_QUANTITY = re.compile(r"([1-9][0-9]{0,11}) ?([A-Za-z]{1,3})")
_UNITS: Mapping[Quantity, tuple[str, Mapping[str, int], int]] = {
    "bytes": ('as in "16MiB"', {"B": 1, "KiB": 1024, "MiB": MIB, "GiB": 1024 * MIB}, 4096 * MIB),
    "milliseconds": ('as in "500ms"', {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}, 24 * 60 * 60_000),
    "count": ("without a unit", {}, 10**15),
}
"""For each quantity, how it is written, its units in the smallest, and the highest number that makes sense in that."""


class ManifestFields(TypedDict, total=False):
    """The fields that a text has, read."""

    name: str
    api_version: str
    version: str
    description: str
    exports: Mapping[str, Signature]
    as_self: frozenset[str]
    permissions: PermissionSet
    reasons: Mapping[str, str]
    types: Mapping[str, Type]
    subscribes: Mapping[str, str]
    overflow: Mapping[str, Overflow]
    publishes: Mapping[str, Type]
    timers: Mapping[str, float]
    config: Mapping[str, Setting]
    limits: Mapping[str, int]
    profile: str
    hot_reload: bool


def _read_name(place: Place) -> str:
    name = place.string('a name, as in "weather-widget"', 64)
    if EXTENSION_NAME.fullmatch(name) is None:
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
    return place.text(MAX_DESCRIPTION)


def _read_permissions(place: Place, vocabulary: Vocabulary) -> PermissionSet:
    known = sorted(vocabulary)
    sections: dict[str, str | list[str]] = {}
    places: dict[tuple[str | None, str | None], Place] = {}
    for section, key, value in place.entries('a map, as in {network: ["api.weather.com"]}', len(known) + 1):
        if section not in known:
            error = key.unknown("permission section", section, known)
            raise key.error(f"{error.problem}; {_APPS_OWN}")
        places[section, None] = value
        if isinstance(value.node, ron.Str) and section in vocabulary.levels:
            sections[section] = value.node.value
            places[section, value.node.value] = value
            continue
        expected = (
            "a level, or a list of them"
            if section in vocabulary.levels
            else f'a list of strings, as in {section}: ["..."]'
        )
        texts: list[str] = []
        for item in value.items(expected, 1_000):
            texts.append(item.string("a permission as a string", 1_000))
            places[section, texts[-1]] = item
        sections[section] = texts
    try:
        return PermissionSet.parse(sections, vocabulary)
    except PermissionSyntaxError as error:
        where = places.get((error.section, error.text)) or places.get((error.section, None)) or place
        hint = "" if error.nearest is None else f"; did you mean `{error.nearest}`?"
        raise where.error(f"{error.problem}; expected {error.expected}{hint}") from None


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


_READERS: Mapping[str, Callable[[Place], object]] = {
    "name": _read_name,
    "api_version": _read_api_version,
    "version": _read_version,
    "description": _read_description,
    "reasons": read_reasons,
    "timers": read_timers,
    "limits": _read_limits,
    "profile": _read_profile,
    "hot_reload": Place.boolean,
}
_READERS_OF_TYPES: Mapping[str, Callable[[Place, Mapping[str, Type]], object]] = {
    "config": read_config,
    "publishes": read_publishes,
}
_NO_TYPES: Mapping[str, Type] = MappingProxyType({})

KNOWN = dict.fromkeys((*_READERS, "types", *_READERS_OF_TYPES, "exports", "subscribes", "permissions"))
"""All fields that a manifest may have, as keys."""


def read_fields(fields: Mapping[str, Place], vocabulary: Vocabulary) -> ManifestFields:
    """Read each of the `fields`, all of them `KNOWN`, by itself. Raises `ManifestError`."""
    types = read_named_types(fields["types"]) if "types" in fields else _NO_TYPES
    values: dict[str, object] = {}
    for name, place in fields.items():
        if name == "types":
            values[name] = types
        elif name == "exports":
            values["exports"], values["as_self"] = read_exports(place, types)
        elif name == "subscribes":
            values["subscribes"], values["overflow"] = read_subscribes(place)
        elif name == "permissions":
            values["permissions"] = _read_permissions(place, vocabulary)
        elif name in _READERS_OF_TYPES:
            values[name] = _READERS_OF_TYPES[name](place, types)
        else:
            values[name] = _READERS[name](place)
    return cast("ManifestFields", values)
