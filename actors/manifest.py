"""The manifest: what an extension says of itself, and asks for. Written by its author in RON, read here.

    ExtensionManifest(
        name: "weather-widget",
        api_version: "0.1",
        types: {"reading": (city: string(1..=80), tmax: f64)},
        exports: {
            "render": (params: [i32, i32], ret: i32),
            "on_observed": (params: [reading]),
            "on_tick": (),
            "locate": (params: [string], ret: reading, as_self: true),
        },
        subscribes: {"weather.observed": "on_observed"},
        timers: {"on_tick": "every 5m"},
        publishes: {"weather.record": reading},
        permissions: {network: ["api.weather.com"], filesystem: ["read:/var/cache/weather"]},
        reasons: {network: "to fetch the forecast"},
        config: {"city": (type: string, default: "Seattle"), "api_key": (type: string, secret: true)},
        limits: {memory: "16MiB", wall_ms: 500},
        profile: "image",
    )

`name` and `api_version` are required, and the struct may leave out its name. An export takes the types in `params` (which
may be named: `(width: i32, height: i32)`) and gives `ret`, or nothing; `types` gives names to types that stand in several
places. Listening is a pattern of subjects and the export that takes the events, publishing a subject and the type of its
events; both ask for the permission to do so, it need not be said twice. A timer is an export that is called every so often.

What an extension does while it is called, it does on behalf of its caller, too, and both need the permission; an export that is
`as_self` answers for it alone. Reasons are for the person who decides about permissions, `config` is what whoever runs the
extension may set. Limits can only be lowered. The profile is `small`, or `image` for guests with megabytes of initial data, or
`deterministic` for those that do the same in every run; the operator may choose another.

A manifest is an attack until proven otherwise: its size, depth and every number in it are bounded, and what is not known
is an error, because an author who wrote it meant something by it. What is known, but not acted upon yet, is listed in
`Manifest.notices`. See `manifest_fields` for each field, `manifest_types` and `manifest_config` for those with types,
`manifest_handlers` for events and timers, and `manifest_reasons`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Never

from desk.actors.engine.profiles import SMALL
from desk.actors.manifest_config import MISSING, Setting
from desk.actors.manifest_fields import API_VERSIONS, KNOWN, NOT_YET, ManifestFields, read_fields
from desk.actors.manifest_handlers import check_handlers
from desk.actors.manifest_place import ManifestError, Place
from desk.actors.manifest_reasons import canonical_reasons, reason_for
from desk.actors.manifest_types import check_patterns
from desk.bus import ron
from desk.bus.mailbox import Overflow
from desk.bus.ron.text import shown
from desk.bus.types import Named, Signature, Type
from desk.capabilities.permissions import Atom, BusAtom, PermissionSet
from desk.capabilities.vocabulary import STANDARD, Vocabulary

__all__ = ["API_VERSIONS", "MANIFEST_LIMITS", "Manifest", "ManifestError", "parse_fragment", "parse_manifest"]

MANIFEST_LIMITS = ron.RonLimits(size=65_536, depth=32, nodes=10_000)

_ROOT = "ExtensionManifest"
_REQUIRED = ("name", "api_version")
_NOTHING = PermissionSet()
_EMPTY: Mapping[str, Never] = MappingProxyType({})
_NAMED = 3  # permissions that a notice names


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest that has been read and checked; `parse_manifest` makes it. Equal when it says the same."""

    name: str
    api_version: str
    version: str | None = None
    description: str = ""
    types: Mapping[str, Type] = field(default_factory=lambda: _EMPTY)
    """Name to the type it stands for, a `Named`."""
    exports: Mapping[str, Signature] = field(default_factory=lambda: _EMPTY)
    as_self: frozenset[str] = frozenset()
    """Exports that act with the extension's own rights alone, whoever calls them."""
    permissions: PermissionSet = _NOTHING
    """What `permissions` says, as written."""
    reasons: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    """Section, or canonical text of a permission, to why it is asked for; see `reason`."""
    subscribes: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    """Pattern of subjects to the export that takes the events."""
    overflow: Mapping[str, Overflow] = field(default_factory=lambda: _EMPTY)
    """Pattern of subjects to what becomes of an event that finds the mailbox full, where the manifest says it."""
    timers: Mapping[str, float] = field(default_factory=lambda: _EMPTY)
    """Export to the seconds between two calls of it."""
    publishes: Mapping[str, Type] = field(default_factory=lambda: _EMPTY)
    """Subject to the type of its events."""
    config: Mapping[str, Setting] = field(default_factory=lambda: _EMPTY)
    """What whoever runs it may set, by name; `manifest_config.settings` has the values."""
    limits: Mapping[str, int] = field(default_factory=lambda: _EMPTY)
    """Keys of `Limits`, in its units."""
    profile: str = SMALL.name
    """How its engine is configured: one of `PROFILES` in `engine/profiles.py`."""
    hot_reload: bool | None = None
    notices: tuple[str, ...] = field(default=(), compare=False)
    """Sentences about what was accepted, although nothing acts on it yet."""
    requested: PermissionSet = field(init=False, repr=False, compare=False)
    """All the extension asks for: `permissions`, and what `subscribes` and `publishes` need."""

    def __post_init__(self) -> None:
        implied: list[Atom] = [BusAtom.subscribe(pattern) for pattern in self.subscribes]
        implied += [BusAtom.publish(subject) for subject in self.publishes]
        mine = self.permissions
        object.__setattr__(self, "requested", PermissionSet((*mine.atoms, *implied)) if implied else mine)

    def reason(self, atom: Atom) -> str:
        """Why it asks for `atom`, in the words of its author; empty if the manifest does not say."""
        return reason_for(atom, self.reasons, self.requested)

    def to_dict(self) -> dict[str, object]:
        """The manifest as JSON has a form for it: types in the manifest's syntax, permissions in canonical form."""
        exports = {
            name: {
                "params": [str(param) for param in signature.params],
                "names": None if signature.names is None else list(signature.names),
                "ret": None if signature.result is None else str(signature.result),
                "as_self": name in self.as_self,
            }
            for name, signature in self.exports.items()
        }
        return {
            "name": self.name,
            "api_version": self.api_version,
            "version": self.version,
            "description": self.description,
            "types": {
                name: str(type_.type if isinstance(type_, Named) else type_) for name, type_ in self.types.items()
            },
            "exports": exports,
            "permissions": _texts(self.permissions),
            "requested": _texts(self.requested),
            "reasons": dict(self.reasons),
            "config": {name: _setting(each) for name, each in self.config.items()},
            "subscribes": dict(self.subscribes),
            "overflow": {pattern: policy.value for pattern, policy in self.overflow.items()},
            "timers": dict(self.timers),
            "publishes": {subject: str(type_) for subject, type_ in self.publishes.items()},
            "limits": dict(self.limits),
            "profile": self.profile,
            "hot_reload": self.hot_reload,
            "notices": list(self.notices),
        }


def _setting(setting: Setting) -> dict[str, object]:
    return {
        "type": str(setting.type),
        "default": None if setting.default is MISSING else ron.dump(ron.of(setting.default)),
        "secret": setting.secret,
        "help": setting.help,
    }


def _texts(permissions: PermissionSet) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    for atom in permissions:
        texts.setdefault(atom.section, []).append(atom.text)
    return texts


def parse_manifest(source: str | bytes, vocabulary: Vocabulary = STANDARD) -> Manifest:
    """Read a whole manifest, as text or as the bytes of its file; raise `ManifestError`.

    `vocabulary` has the sections that its permissions may have: those of `desk`, and of the app's own capabilities.
    """
    root = _read(source)
    place = Place(root)
    name = root.name if isinstance(root, (ron.Struct, ron.Tuple)) else None
    if name not in (None, _ROOT):
        raise place.unknown("struct", name, (_ROOT,))
    fields = place.fields(f"{_ROOT}(name: ..., api_version: ..., ...)", KNOWN)
    if "string" in root.text:  # or else there are no patterns; it is a walk over all of it
        check_patterns(place)
    values = read_fields(fields, vocabulary)
    for required in _REQUIRED:
        if required not in values:
            raise place.error(f"the field `{required}` is missing; expected {_example(required)}")
    manifest = Manifest(**values, notices=_notices(fields, values))
    check_handlers(manifest.exports, manifest.subscribes, manifest.timers, fields)
    if not manifest.reasons:
        return manifest
    reasons = canonical_reasons(fields["reasons"], manifest.reasons, manifest.requested, vocabulary)
    return replace(manifest, reasons=reasons)


def parse_fragment(text: str, vocabulary: Vocabulary = STANDARD) -> ManifestFields:
    """Read some fields of a manifest without the struct around them, as in `permissions: {gpu: "limited:webgl1"}`.

    For texts that hold a part of what a manifest may: a snippet of documentation, an operator's grants, a line that an
    author is about to add. None is required; what one field says of another is not checked. Raises `ManifestError`.
    """
    try:
        struct = ron.parse_fields(text, limits=MANIFEST_LIMITS)
    except ron.RonError as error:
        raise _of_ron(error) from None
    return read_fields(Place(struct).fields("fields", KNOWN), vocabulary)


def _read(source: str | bytes) -> ron.Node:
    try:
        if isinstance(source, str):
            return ron.parse(source, limits=MANIFEST_LIMITS)
        return ron.parse_bytes(source, limits=MANIFEST_LIMITS)
    except ron.RonError as error:
        raise _of_ron(error) from None


def _of_ron(error: ron.RonError) -> ManifestError:
    return ManifestError(error.message, field="", pos=error.pos, excerpt=error.excerpt)


def _example(required: str) -> str:
    return f'{required}: "{API_VERSIONS[-1]}"' if required == "api_version" else f'{required}: "weather-widget"'


def _notices(fields: Mapping[str, Place], values: ManifestFields) -> tuple[str, ...]:
    permissions = values.get("permissions", _NOTHING)
    unserved: dict[str, list[str]] = {}
    for atom in permissions:
        if not atom.served:
            unserved.setdefault(atom.section, []).append(shown(atom.text))
    return (
        *(f"`{name}` is accepted, but nothing acts on it yet" for name in fields if name in NOT_YET),
        *(
            f"`permissions.{section}` is accepted with {_few(texts)}, but nothing acts on that yet: it permits nothing"
            for section, texts in unserved.items()
        ),
    )


def _few(texts: Sequence[str]) -> str:
    return ", ".join(texts[:_NAMED]) + (f" and {len(texts) - _NAMED} more" if len(texts) > _NAMED else "")
