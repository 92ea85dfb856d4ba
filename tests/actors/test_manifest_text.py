"""Manifests written down again: what `manifest_ron` gives is a manifest, and an equal one."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.actors.manifest import Manifest, parse_manifest
from desk.actors.manifest_text import manifest_ron
from desk.bus.mailbox import Overflow
from desk.bus.types import Named, Signature, Type
from desk.capabilities.capability import Capability
from desk.capabilities.vocabulary import STANDARD
from desk.testing.drawn_types import types

ROOT = Path(__file__).parents[2]

WHOLE = """\
ExtensionManifest(
    name: "weather-widget",
    api_version: "0.1",
    version: "1.2.3-rc.1",
    description: "Draws \\"cards\\".\\nA \\\\ and a \\u{a0} are in this text, too.",
    types: {
        "reading": (city: string(1..=80), tmax: f64(-90.0..=60.0), kind: kind),
        "kind": enum(r#true, rain),
    },
    exports: {
        "render": (params: (width: u32(1..=4096), height: u32(1..=4096)), ret: bytes(..=1048576)),
        "on_observed": (params: [reading]),
        "on_radar": (params: [any]),
        "on_tick": (params: []),
        "find": (params: [string("[a-z\\\\-]+"), list(option(reading), 1..=10)], ret: result(reading, ())),
        "tuple": (params: [tuple(i8, u64), variant(circle: f64, empty: ())], ret: char),
        "locate": (params: [string], ret: bool, as_self: true),
    },
    subscribes: {
        "weather.observed": "on_observed",
        "weather.**": (export: "on_radar", overflow: drop_oldest),
    },
    timers: {"on_tick": "every 90s"},
    publishes: {"weather.record": reading},
    permissions: {
        network: ["connect:*.example.org:8080-8090", "connect:[2001:db8::1]:443"],
        filesystem: ["read:/var/cache/weather"],
        bus: ["publish:alerts.*"],
        call: ["geocoder/locate"],
        clock: ["wall:coarse"],
        state: ["readwrite:stations/north/*"],
        nn: ["infer:clouds@gpu"],
    },
    reasons: {"network": "to fetch \\"it\\"", "call": "", "read:/var/cache/weather": "to draw"},
    config: {
        "city": (type: string, default: "Oslo", help: "where"),
        "limits": (type: list(tuple(i8, option(f64))), default: [(1, 2.5), (2, None)]),
        "reading": (type: reading, default: {"city": "Oslo", "tmax": 1.0, "kind": "rain"}),
        "shape": (type: option(variant(circle: f64, empty: ())), default: None),
        "blob": (type: bytes, default: b"\\xff"),
        "api_key": (type: string, secret: true),
    },
    limits: {memory: "16MiB", wall_ms: 500, request: 1001},
    profile: "image",
    hot_reload: true,
)"""


def test_a_whole_manifest() -> None:
    """Every field that means something is there, in the form an author would write, and reads back as it was."""
    manifest = parse_manifest(WHOLE)
    text = manifest_ron(manifest)
    assert parse_manifest(text) == manifest
    assert manifest_ron(parse_manifest(text)) == text
    for line in (
        'version: "1.2.3-rc.1",',
        '"kind": enum(r#true, rain),',
        '"on_observed": (params: [reading]),',
        '"weather.**": (export: "on_radar", overflow: drop_oldest),',
        'timers: {"on_tick": "every 90s"},',
        'publishes: {"weather.record": reading},',
        'call: ["geocoder/locate"],',
        '"locate": (params: [string], ret: bool, as_self: true),',
        'reasons: {"network": "to fetch \\"it\\"", "call": "", "read:/var/cache/weather": "to draw"},',
        '"city": (type: string, default: "Oslo", help: "where"),',
        '"api_key": (type: string, secret: true),',
        'limits: {memory: "16MiB", wall_ms: 500, request: 1001},',
        'profile: "image",',
        "hot_reload: true,",
    ):
        assert f" {line}\n" in text


def test_the_smallest_manifest() -> None:
    """What is not said is left out."""
    manifest = parse_manifest('(name: "a", api_version: "0.1")')
    assert manifest_ron(manifest) == 'ExtensionManifest(name: "a", api_version: "0.1")'


@pytest.mark.parametrize(
    "fields",
    [
        "exports: {}",
        "permissions: {}",
        'permissions: {gpu: "limited:webgl1", network: ["api.weather.com"], nn: ["infer:a", "infer:b@gpu"], clock: "none"}',
        'limits: {memory: 65537, wall_ms: "2s"}',
        'exports: {"f": ()}, timers: {"f": "every 36500ms"}',
        'exports: {"f": ()}, timers: {"f": "every 48h"}',
        'exports: {"f": (params: [any])}, subscribes: {"a.*": (export: "f"), "b": (export: "f", overflow: "refuse")}',
        'exports: {"f": (params: [any])}, subscribes: {"a.*": (export: "f", overflow: wait)}',
        'profile: "small", hot_reload: false, description: ""',
        'permissions: {network: ["a.com"]}, reasons: {"A.com": "to look"}',
        "config: {a: (type: (at: enum(red, green)), default: (at: red)), b: (type: option(i32)), c: (type: char, default: 'x')}",
    ],
)
def test_forms_of_one_thing(fields: str) -> None:
    """However something was said, its one form says the same."""
    manifest = parse_manifest(f'(name: "a", api_version: "0.1", {fields})')
    assert parse_manifest(manifest_ron(manifest)) == manifest


class Notes(Capability):
    """What one of the examples asks for, and its app brings."""

    name = "notes"


@pytest.mark.parametrize("file", sorted(ROOT.glob("examples/**/manifest.ron")), ids=lambda file: file.parent.name)
def test_the_manifests_of_the_examples(file: Path) -> None:
    """They come back as they are, too, in lines that a page can hold."""
    vocabulary = STANDARD.extended({"notes": Notes().permission})
    manifest = parse_manifest(file.read_bytes(), vocabulary)
    text = manifest_ron(manifest)
    assert parse_manifest(text, vocabulary) == manifest
    assert max(map(len, text.splitlines())) <= 100


def test_a_manifest_made_by_hand() -> None:
    """What no text was read for has a text as well."""
    assert parse_manifest(manifest_ron(Manifest("a", "0.1"))) == Manifest("a", "0.1")


@given(st.lists(types(max_depth=2), min_size=1, max_size=4), st.sampled_from([*Overflow, None]), st.booleans())
def test_any_types(drawn: list[Type], overflow: Overflow | None, with_names: bool) -> None:
    """Whatever types an extension declares, in its exports and events and under names, they come back."""
    named = {f"type-{number}": Named(f"type-{number}", each) for number, each in enumerate(drawn)}
    used = tuple(named.values())
    params = tuple(f"p{number}" for number in range(len(used))) if with_names else None
    manifest = Manifest(
        "a",
        "0.1",
        types=named,
        exports={"f": Signature(used, params, drawn[0]), "g": Signature((used[0],), None, None)},
        subscribes={"a.*": "g"},
        overflow={} if overflow is None else {"a.*": overflow},
        publishes={"b": used[-1]},
    )
    assert parse_manifest(manifest_ron(manifest)) == manifest
