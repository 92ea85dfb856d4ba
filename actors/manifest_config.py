"""What can be set about an extension by whoever runs it: the field `config`, and the values that are given for it.

    config: {
        "city": (type: string(1..=80), default: "Seattle", help: "where to look"),
        "station": (type: option(u32)),
        "api_key": (type: string, secret: true),
    },

What has no default must be given, but for an `option`, which is `None` then. A secret has none: what stands in a manifest is
none. Its value goes to the extension alone, and is not in any error here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final, Literal

from desk.actors.manifest_place import Place
from desk.actors.manifest_types import read_type
from desk.bus import codec, ron
from desk.bus.codec import CodecError
from desk.bus.types import MAX_TYPE_SIZE, InvalidValue, OptionOf, Type
from desk.bus.types.base import did_you_mean
from desk.capabilities.secrets import Secret

MAX_SETTINGS = 64
MAX_HELP = 200

MAX_GIVEN = 64 << 10
"""Bytes of all values together, as messages have them: `context()` tells them with each, and secrets are looked for in each log
line."""

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_FIELDS = ("type", "default", "secret", "help")


class _Missing(Enum):
    MISSING = "MISSING"


MISSING: Final = _Missing.MISSING
"""The default of what has none."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One entry of `config`."""

    type: Type
    default: object | Literal[_Missing.MISSING] = MISSING
    """What it is if nobody says so; of the type, and `MISSING` if it must be given."""
    secret: bool = False
    """Whether nobody but the extension is to see its value."""
    help: str = ""
    """A line for whoever sets it."""


def read_config(place: Place, types: Mapping[str, Type]) -> Mapping[str, Setting]:
    """The field `config`: what may be set, by name."""
    config: dict[str, Setting] = {}
    size = 0
    for name, key, value in place.entries('a map, as in {"city": (type: string, default: "Oslo")}', MAX_SETTINGS):
        if _NAME.fullmatch(name) is None:
            raise key.error("expected the name of a setting: 1 to 64 of a-z 0-9 _ -, a letter first")
        config[name] = _read_setting(value, types)
        size += config[name].type.size
        if size > MAX_TYPE_SIZE:
            raise value.error(f"expected types that consist of at most {MAX_TYPE_SIZE:,} in all, found more")
    return MappingProxyType(config)


def _read_setting(place: Place, types: Mapping[str, Type]) -> Setting:
    said = place.fields('an entry, as in (type: string, default: "Oslo", help: "where to look")', _FIELDS)
    if "type" not in said:
        raise place.error("the field `type` is missing; expected type: string, or another type")
    type_ = read_type(said["type"], types)
    secret = "secret" in said and said["secret"].boolean()
    if secret and "default" in said:
        raise said["default"].error("a secret has no default: everyone can read a manifest; leave it out")
    default = _read_default(said["default"], type_) if "default" in said else MISSING
    if default is MISSING and isinstance(type_.bare, OptionOf):
        default = None
    return Setting(type_, default, secret, said["help"].line(MAX_HELP) if "help" in said else "")


def _read_default(place: Place, type_: Type) -> object:
    try:
        value = ron.to_python(place.node)
        type_.check(value, "default")
    except (InvalidValue, ValueError) as error:
        raise place.error(str(error)) from None
    return value


def settings(config: Mapping[str, Setting], given: Mapping[str, object]) -> dict[str, object]:
    """The value of each setting in `config`: the one `given`, or else its default; those that are secret as `Secret`.

    Raises `InvalidValue`, whose path is `config.NAME`, for a name that `config` does not have, for a value of another type,
    for one that is missing, and for more than `MAX_GIVEN`. What it says of a secret is its type, never its value.
    """
    for name in given:
        if name not in config:
            known = ", ".join(config) or "none: the manifest has no `config`"
            raise InvalidValue(
                f"config.{name}", f"one of {known}", f"an unknown setting{did_you_mean(str(name), config)}"
            )
    found = {name: _value(f"config.{name}", each, given.get(name, each.default)) for name, each in config.items()}
    left = MAX_GIVEN
    for name, value in found.items():
        size = _size(value.reveal() if isinstance(value, Secret) else value, left)
        if size is None:
            raise InvalidValue(f"config.{name}", f"at most {MAX_GIVEN:,} bytes in all settings together", "more")
        left -= size
    return found


def _size(value: object, most: int) -> int | None:
    """Bytes of a value in a message; None if there are more than `most`."""
    try:
        return len(codec.encode(value, max_size=most))
    except CodecError:
        return None


def _value(path: str, setting: Setting, value: object) -> object:
    if value is MISSING:
        raise InvalidValue(path, f"{setting.type}; it has no default", "nothing")
    try:
        setting.type.check(value, path)
    except InvalidValue as error:
        wrong = error
    else:
        return Secret(value) if setting.secret else value
    # Out of the `except`, for an error keeps the one that was being handled, and that one shows the value.
    raise InvalidValue(path, str(setting.type), "another value, which is secret") if setting.secret else wrong
