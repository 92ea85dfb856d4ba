"""What whoever runs an extension may set, and why the extension asks for what it asks for: `config` and `reasons`."""

import traceback
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.actors.manifest import Manifest, ManifestError, parse_manifest
from desk.actors.manifest_config import MAX_GIVEN, MISSING, Setting, settings
from desk.actors.manifest_text import manifest_ron
from desk.bus.types import InvalidValue, Type, parse_type_text
from desk.capabilities.network_atoms import NetworkAtom
from desk.capabilities.permissions import BusAtom, FilesystemAtom, parse_atom
from desk.capabilities.secrets import Secret
from desk.testing.drawn_types import types
from desk.testing.values import values_of

CONFIG = """config: {
    "city": (type: place, default: "Oslo"),
    "days": (type: u8(1..=14), default: 7),
    "station": (type: option(u32)),
    "units": (type: enum(metric, imperial), default: metric),
    "box": (type: (west: f64, east: f64), default: (west: -1.5, east: 2.0)),
    "api_key": (type: string(8..), secret: true, help: "ask the office"),
    "token": (type: option(string), secret: true),
}, types: {place: string(1..=80)}"""
KEY = "hunter2-hunter2"


def manifest(fields: str) -> Manifest:
    """A manifest of these fields, and those that are required."""
    return parse_manifest(f'(name: "a", api_version: "0.1", {fields})')


# -- config


def test_what_is_not_given_has_its_default() -> None:
    """Of an option that is None; what is secret comes as `Secret`, also where it was left out."""
    config = manifest(CONFIG).config
    found = settings(config, {"api_key": KEY, "days": 3})
    api_key, token = found.pop("api_key"), found.pop("token")
    assert found == {
        "city": "Oslo",
        "days": 3,
        "station": None,
        "units": "metric",
        "box": {"west": -1.5, "east": 2.0},
    }
    assert isinstance(api_key, Secret)
    assert api_key.reveal() == KEY
    assert isinstance(token, Secret)
    assert token.reveal() is None
    assert settings({}, {}) == {}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "config.api_key: expected string(8..); it has no default, got nothing"),
        ({"api_key": KEY, "citi": 1}, "config.citi: expected one of city, days"),
        ({"api_key": KEY, "citi": 1}, "got an unknown setting (did you mean 'city'?)"),
        ({"api_key": KEY, "days": 15}, "config.days: expected u8 (1 to 14), got 15 (integer)"),
        ({"api_key": KEY, "city": ""}, "config.city: expected"),
        ({"api_key": KEY, "box": {"west": 1.0}}, "config.box"),
        ({"api_key": KEY, "units": "imperal"}, "config.units"),
        ({"api_key": KEY, "station": "x"}, "config.station"),
    ],
)
def test_a_bad_value_is_named(given: Mapping[str, object], said: str) -> None:
    """The error has the name of the setting, what was expected, and what is there."""
    with pytest.raises(InvalidValue) as caught:
        settings(manifest(CONFIG).config, given)
    assert said in str(caught.value)


def test_settings_for_an_extension_without_any() -> None:
    """Are one mistake more than there is a name for."""
    with pytest.raises(InvalidValue, match="the manifest has no `config`"):
        settings({}, {"city": "Oslo"})


@pytest.mark.parametrize("value", [KEY.encode(), 4711_4711, [KEY], {"a": KEY}, "hunter2"])
def test_an_error_about_a_secret_does_not_show_it(value: object) -> None:
    """Neither in its text, nor in the errors behind it that a traceback or a debugger finds."""
    with pytest.raises(InvalidValue, match="another value, which is secret") as caught:
        settings(manifest(CONFIG).config, {"api_key": value})
    assert caught.value.__cause__ is caught.value.__context__ is None
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert "hunter2" not in shown
    assert "4711" not in shown


@given(types(max_depth=2).flatmap(lambda type_: st.tuples(st.just(type_), values_of(type_))))
def test_whatever_is_of_the_type_is_taken(drawn: tuple[Type, object]) -> None:
    """And is what the extension gets."""
    type_, value = drawn
    assert settings({"a": Setting(type_)}, {"a": value})["a"] is value
    assert Setting(type_).default is MISSING


def test_sizes_of_config_are_bounded() -> None:
    """There are 64 settings at most, of 4,096 types in all."""

    def refused(entries: str) -> str:
        with pytest.raises(ManifestError) as caught:
            manifest(f"config: {{{entries}}}, types: {{r: tuple({', '.join(['u8'] * 2_100)})}}")
        return caught.value.problem

    assert "at most 64 entries" in refused(", ".join(f"s{number}: (type: i32)" for number in range(65)))
    assert "at most 4,096 in all" in refused("a: (type: r), b: (type: r)")


@pytest.mark.parametrize("secret", [False, True])
def test_all_values_together_are_bounded(secret: bool) -> None:
    """The last that does not fit is named; of what it is, nothing is said."""
    config = {name: Setting(parse_type_text("string"), secret=secret) for name in "ab"}
    half = "x" * (MAX_GIVEN // 2 - 8)
    assert settings(config, {"a": half, "b": half}).keys() == {"a", "b"}
    with pytest.raises(
        InvalidValue, match=r"config\.b: expected at most 65,536 bytes in all settings together, got more$"
    ):
        settings(config, {"a": half, "b": half + "x" * 16})


# -- reasons

REASONS = manifest(
    """exports: {on: (params: [any])}, subscribes: {"weather.*": "on"},
    permissions: {network: ["A.example", "*.b.example"], filesystem: ["write:/srv/maps", "read:/srv"], clock: "wall"},
    reasons: {network: "to fetch", "a.example:443": "to ask a", "write:/srv/maps": "to draw", "subscribe:weather.*": "to hear"}"""
)


def test_the_reason_for_a_request() -> None:
    """Is that of the permission that covers it, or else of its section; a request that nobody explained has none."""
    assert REASONS.reason(NetworkAtom.connect("a.example", 443)) == "to ask a"
    assert REASONS.reason(NetworkAtom.connect("x.b.example", 443)) == "to fetch"
    assert REASONS.reason(NetworkAtom.connect("c.example", 1)) == "to fetch"
    assert REASONS.reason(FilesystemAtom.write("/srv/maps/north.png")) == "to draw"
    assert REASONS.reason(FilesystemAtom.read("/srv/maps/north.png")) == ""
    assert REASONS.reason(BusAtom.subscribe("weather.*")) == "to hear"
    assert REASONS.reason(parse_atom("clock", "wall")) == ""
    assert manifest("").reason(parse_atom("clock", "wall")) == ""


def test_reasons_are_kept_in_canonical_form() -> None:
    """So they survive being written down, and two manifests that say the same are equal."""
    assert set(REASONS.reasons) == {"network", "connect:a.example:443", "write:/srv/maps", "subscribe:weather.*"}
    assert parse_manifest(manifest_ron(REASONS)) == REASONS


def test_many_reasons_are_read_in_time() -> None:
    """Each is held against the permissions that are asked for, of which there may be as many as a manifest can hold."""
    names = [f"h{number}.example" for number in range(120)]
    written = ", ".join(f'"{name}"' for name in names)
    reasons = ", ".join(f'"{name}": "because"' for name in names[:64])
    more = 'env: ["A"], clock: "wall", state: ["read:a"], nn: ["infer:a"], system: ["notify"], call: ["a/b"]'
    assert len(manifest(f"permissions: {{network: [{written}], {more}}}, reasons: {{{reasons}}}").reasons) == 64
    with pytest.raises(ManifestError, match="at most 64 entries"):
        manifest(f"permissions: {{network: [{written}]}}, reasons: {{{reasons}, network: 'x'}}".replace("'", '"'))
