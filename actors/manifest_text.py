"""A manifest written down again: canonical RON, which reads back as an equal manifest.

Exports, subjects and permissions keep the author's order, and permissions are in their canonical form. What the reader of a
manifest drops is not there: comments, and sections of permissions without any.
"""

from collections.abc import Mapping

from desk.actors.engine.profiles import SMALL
from desk.actors.limits import QUANTITY
from desk.actors.manifest import Manifest
from desk.actors.manifest_config import MISSING, Setting
from desk.bus import ron
from desk.bus.types import Named, Type
from desk.capabilities.permissions import PermissionSet

_BYTES = {"GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10}
_INTERVALS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_LARGE = ron.RonLimits(size=1 << 24, nodes=1 << 20)  # the text of a type is ours


def manifest_ron(manifest: Manifest) -> str:
    """`manifest` as RON, without a line feed at the end. `parse_manifest` of it is an equal manifest."""
    fields: dict[str, ron.Node | None] = {
        "name": ron.Str(manifest.name),
        "api_version": ron.Str(manifest.api_version),
        "version": ron.of(manifest.version) if manifest.version is not None else None,
        "description": ron.of(manifest.description) if manifest.description else None,
        "types": _map({name: _type(_meant(type_)) for name, type_ in manifest.types.items()}),
        "exports": _map({name: _export(manifest, name) for name in manifest.exports}),
        "subscribes": _map({pattern: _handler(manifest, pattern) for pattern in manifest.subscribes}),
        "timers": _map({name: ron.Str(f"every {_interval(seconds)}") for name, seconds in manifest.timers.items()}),
        "publishes": _map({subject: _type(type_) for subject, type_ in manifest.publishes.items()}),
        "permissions": _names(_permissions(manifest.permissions)),
        "reasons": _map({name: ron.Str(reason) for name, reason in manifest.reasons.items()}),
        "config": _map({name: _setting(setting) for name, setting in manifest.config.items()}),
        "limits": _names({name: _limit(name, value) for name, value in manifest.limits.items()}),
        "profile": ron.Str(manifest.profile) if manifest.profile != SMALL.name else None,
        "hot_reload": ron.Bool(manifest.hot_reload) if manifest.hot_reload is not None else None,
    }
    return ron.dump(_struct({name: node for name, node in fields.items() if node is not None}, "ExtensionManifest"))


def _meant(type_: Type) -> Type:
    """What a named type stands for."""
    return type_.type if isinstance(type_, Named) else type_


def _type(type_: Type) -> ron.Node:
    return ron.parse(str(type_), limits=_LARGE)


def _export(manifest: Manifest, name: str) -> ron.Node:
    signature = manifest.exports[name]
    types = tuple([_type(param) for param in signature.params])
    named = dict(zip(signature.names, types, strict=True)) if signature.names else {}
    fields: dict[str, ron.Node] = {"params": _struct(named) if named else ron.List(types)}
    if signature.result is not None:
        fields["ret"] = _type(signature.result)
    if name in manifest.as_self:
        fields["as_self"] = ron.Bool(value=True)
    return _struct(fields)


def _handler(manifest: Manifest, pattern: str) -> ron.Node:
    export = ron.Str(manifest.subscribes[pattern])
    if pattern not in manifest.overflow:
        return export
    return _struct({"export": export, "overflow": ron.Ident(manifest.overflow[pattern].value)})


def _setting(setting: Setting) -> ron.Node:
    fields = {"type": _type(setting.type)}
    if setting.default is not MISSING:
        fields["default"] = ron.of(setting.default)
    if setting.secret:
        fields["secret"] = ron.Bool(value=True)
    if setting.help:
        fields["help"] = ron.Str(setting.help)
    return _struct(fields)


def _permissions(permissions: PermissionSet) -> Mapping[str, ron.Node]:
    sections: dict[str, list[object]] = {}
    for atom in permissions:
        sections.setdefault(atom.section, []).append(atom.text)
    return {name: ron.of(texts) for name, texts in sections.items()}


def _limit(name: str, value: int) -> ron.Node:
    """A number, or for bytes a text with the largest unit that leaves nothing over."""
    units = _BYTES if QUANTITY[name] == "bytes" else {}
    return next(
        (ron.Str(f"{value // size}{unit}") for unit, size in units.items() if value % size == 0), ron.Int(value)
    )


def _interval(seconds: float) -> str:
    milliseconds = round(seconds * 1_000)
    return next(f"{milliseconds // size}{unit}" for unit, size in _INTERVALS.items() if milliseconds % size == 0)


def _map(entries: Mapping[str, ron.Node]) -> ron.Node | None:
    """A map with texts as keys; None for an empty one, which is left out."""
    return ron.Map(tuple([(ron.Str(key), value) for key, value in entries.items()])) if entries else None


def _names(entries: Mapping[str, ron.Node]) -> ron.Node | None:
    """A map with names as keys; None for an empty one."""
    return ron.Map(tuple([(ron.Ident(key), value) for key, value in entries.items()])) if entries else None


def _struct(fields: Mapping[str, ron.Node], name: str | None = None) -> ron.Node:
    return ron.Struct(name, tuple([ron.Field(key, value) for key, value in fields.items()]))
