"""Manifests are read whole and strictly: every field has a meaning or is an error that shows the place."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toolbox import ROOT

import desk.actors.manifest
from desk.actors.engine.profiles import PROFILES
from desk.actors.limits import MIB, Limits
from desk.actors.manifest import Manifest, ManifestError, parse_fragment, parse_manifest
from desk.actors.manifest_config import Setting, settings
from desk.actors.manifest_fields import KNOWN
from desk.actors.manifest_types import MAX_PATTERNS
from desk.bus.mailbox import Overflow
from desk.bus.types import I32, STRING, WORDS, InvalidValue, parse_type_text
from desk.bus.types.named import MAKERS
from desk.capabilities.permissions import STANDARD, FilesystemAtom, PermissionSet

# The two snippets of the product's owner as they stand.
SEED_MANIFEST = """// manifest.ron
ExtensionManifest (
    name: "weather-widget",
    api_version: "0.1",
    exports: {
        "render": (params: [i32, i32], ret: i32),
        "update": (params: [json], ret: bool)
    },
    permissions: {
        network: ["api.weather.com"],
        filesystem: ["read:/var/cache/weather"]
    }
)
"""
SEED_PERMISSIONS = """permissions: {
    network: [
        "connect:api.github.com:443",
        "listen:127.0.0.1:3000"
    ],
    gpu: "limited:webgl1",
    system: [
        "notify",
        "clipboard:read"
    ]
}
"""
FULL = """ExtensionManifest(
    name: "weather-widget",
    api_version: "0.1",
    version: "1.2.3-rc.1",
    description: "Draws the weather.\\nخوش آمدید",
    exports: {
        render: (params: (width: i32, height: i32), ret: i32),
        "on-observed": (params: [reading]),
        tick: (as_self: true),
    },
    subscribes: {"weather.*": "on-observed", "radar.**": (export: "on-observed", overflow: drop_oldest)},
    timers: {tick: "every 5m"},
    publishes: {"weather.summary": list(string), "weather.record": reading},
    types: {reading: (city: place, tmax: option(f64)), "place": string(1..=80)},
    permissions: {network: ["api.weather.com"], bus: ["publish:other.**"]},
    reasons: {"api.weather.com": "to fetch", bus: "to tell others", "subscribe:weather.*": "to listen"},
    config: {city: (type: place, default: "Oslo", help: "where"), "api-key": (secret: true, type: string)},
    limits: {memory: "16MiB", wall_ms: "2 s", mailbox: 10},
    profile: "image",
    hot_reload: true,
)"""


def manifest(fields: str) -> Manifest:
    """A manifest of these fields, and those that are required."""
    return parse_manifest(f'(name: "a", api_version: "0.1", {fields})')


def refused(source: str | bytes) -> ManifestError:
    """The error that `source` raises, which is shown to people: bounded and visible."""
    with pytest.raises(ManifestError) as caught:
        parse_manifest(source)
    assert len(str(caught.value)) < 1_500
    assert str(caught.value).replace("\n", "").isprintable()
    return caught.value


def test_the_manifest_of_the_seed() -> None:
    """The first snippet of the seed is a manifest."""
    seed = parse_manifest(SEED_MANIFEST)
    assert (seed.name, seed.api_version) == ("weather-widget", "0.1")
    assert seed.notices == ()
    assert {name: str(each) for name, each in seed.exports.items()} == {
        "render": "(i32, i32) -> i32",
        "update": "(json) -> bool",
    }
    assert [str(atom) for atom in seed.requested] == [
        "network connect:api.weather.com:443",
        "filesystem read:/var/cache/weather",
    ]


def test_the_permissions_of_the_seed() -> None:
    """The second snippet of the seed, a bare field, is read as that field, and what nothing serves is noticed."""
    permissions = parse_fragment(SEED_PERMISSIONS).get("permissions")
    assert permissions is not None
    assert [str(atom) for atom in permissions] == [
        "network connect:api.github.com:443",
        "network listen:127.0.0.1:3000",
        "gpu limited:webgl1",
        "system notify",
        "system clipboard:read",
    ]
    notices = manifest(SEED_PERMISSIONS).notices
    assert [re.findall("`(.*?)`", notice) for notice in notices] == [["permissions.gpu", "limited:webgl1"]]


def test_every_field() -> None:
    """All fields with a meaning are read, from text as from bytes."""
    full = parse_manifest(FULL)
    assert full == parse_manifest(FULL.encode())
    assert full.version == "1.2.3-rc.1"
    assert full.exports["render"].names == ("width", "height")
    assert full.exports["on-observed"].result is None
    assert full.exports["tick"].params == ()
    assert full.subscribes == {"weather.*": "on-observed", "radar.**": "on-observed"}
    assert full.overflow == {"radar.**": "drop_oldest"}
    assert full.timers == {"tick": 300.0}
    assert str(full.publishes["weather.summary"]) == "list(string)"
    assert list(full.types) == ["reading", "place"]
    assert full.limits == {"memory": 16 * MIB, "wall_ms": 2_000, "mailbox": 10}
    assert full.as_self == {"tick"}
    assert full.reasons == {
        "connect:api.weather.com:443": "to fetch",
        "bus": "to tell others",
        "subscribe:weather.*": "to listen",
    }
    assert full.config["city"].default == "Oslo"
    assert full.config["city"].help == "where"
    assert full.config["api-key"] == Setting(STRING, secret=True)
    assert full.profile == "image"
    assert full.hot_reload is True


def test_events_ask_for_their_permissions() -> None:
    """`subscribes` and `publishes` are requests for the permission to do so, beside those of `permissions`."""
    full = parse_manifest(FULL)
    assert [str(atom) for atom in full.requested if atom.section == "bus"] == [
        "bus publish:other.**",
        "bus subscribe:weather.*",
        "bus subscribe:radar.**",
        "bus publish:weather.summary",
        "bus publish:weather.record",
    ]
    assert [str(atom) for atom in full.permissions if atom.section == "bus"] == ["bus publish:other.**"]


def test_to_dict_is_json() -> None:
    """A manifest can be printed as JSON, with types and permissions in the manifest's own syntax."""
    shown = json.loads(json.dumps(parse_manifest(FULL).to_dict()))
    assert shown["exports"]["on-observed"] == {"params": ["reading"], "names": None, "ret": None, "as_self": False}
    assert shown["exports"]["tick"]["as_self"] is True
    assert shown["reasons"]["connect:api.weather.com:443"] == "to fetch"
    assert shown["config"] == {
        "city": {"type": "place", "default": '"Oslo"', "secret": False, "help": "where"},
        "api-key": {"type": "string", "default": None, "secret": True, "help": ""},
    }
    assert shown["types"] == {"reading": "(city: place, tmax: option(f64))", "place": "string(1..=80)"}
    assert shown["requested"]["network"] == ["connect:api.weather.com:443"]
    assert shown["publishes"] == {"weather.summary": "list(string)", "weather.record": "reading"}
    assert shown["subscribes"] == {"weather.*": "on-observed", "radar.**": "on-observed"}
    assert shown["overflow"] == {"radar.**": "drop_oldest"}
    assert shown["timers"] == {"tick": 300.0}
    assert shown["profile"] == "image"


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_is_named(name: str) -> None:
    """Every profile that an engine can have may be asked for; who asks for none gets `small`."""
    assert manifest(f'profile: "{name}"').profile == name
    assert manifest("").profile == "small"


def test_what_is_not_acted_upon_is_noticed() -> None:
    """Known fields that nothing acts on yet are accepted, and each is named."""
    assert manifest("config: {}, types: {}, timers: {}, reasons: {}") == manifest("")
    assert manifest("config: {}, reasons: {}").notices == ()
    assert parse_manifest(FULL).notices == ("`hot_reload` is accepted, but nothing acts on it yet",)


@pytest.mark.parametrize(
    "types",
    ["types: {reading: (city: place), place: string}", 'types: {"place": string, "reading": (city: place)}'],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_named_type_is_used_anywhere(types: str, first: bool) -> None:
    """In parameters with and without names, results, events and other types; in any order of types and of fields."""
    exports = 'exports: {"a": (params: [reading], ret: list(reading)), "b": (params: (at: place))}'
    rest = f'{exports}, publishes: {{"c.d": option(reading)}}'
    read = manifest(f"{types}, {rest}" if first else f"{rest}, {types}")
    assert {name: str(each) for name, each in read.exports.items()} == {
        "a": "(reading) -> list(reading)",
        "b": "(at: place)",
    }
    read.exports["a"].params[0].check({"city": "Oslo"})
    with pytest.raises(InvalidValue, match="city"):
        read.publishes["c.d"].check({"city": 1})


def test_manifests_differ_by_types_timers_and_policies() -> None:
    """Two manifests are equal only if they say the same there, too."""
    exports = "exports: {on: (params: [any]), tick: ()}"
    variants = [
        exports,
        f"{exports}, types: {{a: i32}}",
        f"{exports}, types: {{a: i64}}",
        f'{exports}, timers: {{tick: "every 1s"}}',
        f'{exports}, timers: {{tick: "every 2s"}}',
        f'{exports}, subscribes: {{"a": "on"}}',
        f'{exports}, subscribes: {{"a": (export: "on", overflow: wait)}}',
        f'{exports}, subscribes: {{"a": (export: "on", overflow: refuse)}}',
    ]
    read = [manifest(each) for each in variants]
    dicts = [each.to_dict() for each in read]
    for index in range(len(read)):
        assert [read[index] == other for other in read] == [index == at for at in range(len(read))]
        assert dicts.count(dicts[index]) == 1


@pytest.mark.parametrize("policy", Overflow)
def test_a_policy_is_a_name_or_a_string(policy: Overflow) -> None:
    """Each policy of a mailbox can be asked for; who says only the export has none in `overflow`."""
    for written in (policy.value, f'"{policy.value}"'):
        said = manifest(
            f'exports: {{on: (params: [any])}}, subscribes: {{"a": (overflow: {written}, export: "on"), "b": (export: "on")}}'
        )
        assert said.subscribes == {"a": "on", "b": "on"}
        assert said.overflow == {"a": policy}
        assert said.overflow["a"] is policy


@pytest.mark.parametrize(
    "params",
    [
        "",
        "params: []",
        "params: [(number: u64, missed: u64)]",
        "params: (tick: (missed: u64, number: u64))",
        "params: [any]",
        "params: [json]",
        "params: [option(beat)]",
        "params: [(number: u64, missed: u64, note: option(string))]",
    ],
)
def test_a_timer_calls_what_takes_a_tick(params: str) -> None:
    """Nothing, or one parameter that accepts number and missed, whatever it is called."""
    types = "types: {beat: (number: u64(1..), missed: u64)}"
    assert manifest(f'{types}, exports: {{t: ({params})}}, timers: {{t: "every 49d"}}').timers == {"t": 49 * 86_400.0}


@pytest.mark.parametrize(
    "params",
    [
        "params: [i32]",
        "params: [string]",
        "params: [bytes]",
        "params: [(number: u64, missed: u64), any]",
        "params: (number: u64, missed: u64)",
        "params: [(number: u64)]",
        "params: [(number: u64, missed: u64, more: u64)]",
        "params: [(number: u32, missed: u64)]",
        "params: [(number: u64, missed: i64)]",
        "params: [(number: u64(1..=10), missed: u64)]",
        "params: [(number: u64, missed: u64(1..))]",
        "params: [tuple(u64, u64)]",
        "params: [list(u64)]",
    ],
)
def test_a_timer_calls_nothing_else(params: str) -> None:
    """What could not take every tick there can be is refused before it ever comes to one."""
    error = refused(f'(name: "a", api_version: "0.1", exports: {{t: ({params})}}, timers: {{t: "every 1s"}})')
    assert error.field == "timers.t"
    assert "expected no parameters, or one for the tick: (params: [(number: u64, missed: u64)])" in error.problem


def test_an_extension_has_few_timers() -> None:
    """Sixteen, and not a million (case 40)."""

    def timers(count: int) -> str:
        exports = ", ".join(f"t{n}: ()" for n in range(min(count, 256)))
        entries = ", ".join(f't{n}: "every 1s"' for n in range(count))
        return f'(name: "a", api_version: "0.1", exports: {{{exports}}}, timers: {{{entries}}})'

    assert len(parse_manifest(timers(16)).timers) == 16
    assert "at most 16 entries, found 17" in refused(timers(17)).problem
    assert "at most 16 entries, found 2000" in refused(timers(2_000)).problem
    assert "too large" in refused(timers(1_000_000)).problem


@pytest.mark.parametrize(("section", "hint"), [("notes", "expected `bus`"), ("netwrok", "did you mean `network`?")])
def test_a_section_of_an_app_may_be_meant(section: str, hint: str) -> None:
    """Whoever reads a manifest without its app learns that the section may be the app's own, after what is known here."""
    with pytest.raises(ManifestError, match=f"unknown permission section `{section}`; {re.escape(hint)}") as caught:
        parse_manifest(f'(name: "a", api_version: "0.1", permissions: {{{section}: ["read:x"]}})')
    assert caught.value.problem.endswith(
        "; an app may have sections of its own: only a host with that capability knows them"
    )


def test_permissions_that_no_capability_needs_are_noticed() -> None:
    """Models and graphics are named, three of each section at most; what is enforced is not."""
    texts = ["infer:a", "infer:b@gpu", "infer:*", "infer:c"]
    written = ", ".join(f'"{text}"' for text in texts)
    more = (
        'filesystem: ["write:/a", "read:@package"], bus: ["publish:a"], system: ["theme", "screenshot"], clock: "wall"'
    )
    assert manifest(f"permissions: {{nn: [{written}], {more}}}").notices == (
        "`permissions.nn` is accepted with `infer:a@cpu`, `infer:b@gpu`, `infer:*@cpu` and 1 more, "
        "but nothing acts on that yet: it permits nothing",
        "`permissions.filesystem` is accepted with `read:@package`, but nothing acts on that yet: it permits nothing",
        "`permissions.system` is accepted with `screenshot`, but nothing acts on that yet: it permits nothing",
    )


def test_every_limit_may_be_asked_for() -> None:
    """Each limit of an actor can be set in a manifest."""
    keys = Limits.names()
    for name in keys:
        assert manifest(f"limits: {{{name}: 7}}").limits == {name: 7}


@pytest.mark.parametrize(
    ("fields", "field", "problem"),
    [
        ("permisions: {}", "", "unknown field `permisions`; did you mean `permissions`?"),
        ("zzz: 1", "", "expected `name`, `api_version`"),
        ('exports: {"r": (params: [i33])}', "exports.r.params[0]", "did you mean 'i32'?"),
        ('exports: {"r": (params: (w: list(i33)))}', "exports.r.params.w", "did you mean 'i32'?"),
        ('exports: {"r": (ret: strin)}', "exports.r.ret", "did you mean 'string'?"),
        ('exports: {"r": (parms: [i32])}', "exports.r", "unknown field `parms`; did you mean `params`?"),
        ('exports: {"r": (params: i32)}', "exports.r.params", "expected a list of types"),
        ('exports: {"r": (params: (W: i32))}', "exports.r.params", "a parameter name"),
        ('exports: {"r": i32}', "exports.r", "expected an entry, as in (params: [i32], ret: i32), found a name"),
        ("exports: []", "exports", "found a list"),
        ('exports: {"Render": ()}', "exports.Render", "a letter first"),
        ('exports: {"": ()}', "exports[``]", "a letter first"),
        ('exports: {"a.b": ()}', "exports[`a.b`]", "a letter first"),
        (f'exports: {{"{"a" * 65}": ()}}', f"exports[`{'a' * 40}…`]", "1 to 64"),
        ("exports: {1: ()}", "exports", "as key, found an integer"),
        ('exports: {a: (), "a": ()}', "exports", "`a` stands here twice"),
        ("exports: {memory: ()}", "exports.memory", "`memory` is reserved"),
        ("exports: {desk_start: ()}", "exports.desk_start", "`desk_start` is reserved"),
        ("exports: {_start: ()}", "exports._start", "a letter first"),
        ("exports: {_initialize: ()}", "exports._initialize", "a letter first"),
        ("permissions: {netwrk: []}", "permissions.netwrk", "did you mean `network`?"),
        ('permissions: {network: ["ok.com", "conect:a.com"]}', "permissions.network[1]", "did you mean `connect`?"),
        ("permissions: {network: [1]}", "permissions.network[0]", "found an integer"),
        (
            'permissions: {network: "a.com"}',
            "permissions.network",
            'expected a list of strings, as in network: ["..."], found a string',
        ),
        ('permissions: {call: ["a.b"]}', "permissions.call[0]", "did you mean `a/b`?"),
        ("permissions: {gpu: 3}", "permissions.gpu", "expected a level, or a list of them, found an integer"),
        ('permissions: {clock: "wal"}', "permissions.clock", "did you mean `wall`?"),
        ('permissions: {random: ["secure", "sure"]}', "permissions.random[1]", "unknown level"),
        ('permissions: {system: "notify"}', "permissions.system", "expected a list of strings"),
        ('permissions: {env: ["LD_PRELOAD"]}', "permissions.env[0]", "is not for extensions"),
        ('permissions: {nn: ["a"]}', "permissions.nn[0]", "no verb before"),
        ('permissions: {state: ["raed:a"]}', "permissions.state[0]", "did you mean `read`?"),
        ('permissions: {bus: ["publish:sys.x"]}', "permissions.bus[0]", "only the host publishes"),
        ('subscribes: {"a.b": "on"}', "subscribes[`a.b`]", "unknown export `on`; expected none"),
        ('exports: {on_it: (params: [any])}, subscribes: {"a": "onit"}', "subscribes.a", "did you mean `on_it`?"),
        ('exports: {on: ()}, subscribes: {"a": "on"}', "subscribes.a", "takes 0 parameters; expected one"),
        ('subscribes: {"cap.network": "on"}', "subscribes[`cap.network`]", "not events"),
        ('subscribes: {"ext.a.b": "on"}', "subscribes[`ext.a.b`]", "not events"),
        ('subscribes: {"a..b": "on"}', "subscribes[`a..b`]", "bad word"),
        ('publishes: {"sys.a": i32}', "publishes[`sys.a`]", "only the host publishes there"),
        ('publishes: {"a.*": i32}', "publishes[`a.*`]", "wildcard"),
        ('publishes: {"a": no_type}', "publishes.a", "no type is called"),
        ("types: ()", "types", "expected a map, as in"),
        ("types: {a: i33}", "types.a", "did you mean 'i32'?"),
        ("types: {a: b, bb: i32}", "types.a", "did you mean 'bb'?"),
        ("types: {a: (x: list(a))}", "types.a", "made of itself"),
        ("types: {a: b, b: c, c: option(b)}", "types.c", "made of itself"),
        ("types: {i32: i64}", "types.i32", "has a meaning already"),
        ("types: {list: i64}", "types.list", "has a meaning already"),
        ("types: {A: i64}", "types.A", "a letter first"),
        ('types: {"": i64}', "types[``]", "a letter first"),
        ('types: {"a.b": i64}', "types[`a.b`]", "a letter first"),
        ('types: {a: i32, "a": i64}', "types", "`a` stands here twice"),
        ("types: {a: u8(300..)}", "types.a", "no number is in the range"),
        ('types: {reading: i32}, exports: {"r": (params: [readin])}', "exports.r.params[0]", "did you mean 'reading'?"),
        ('types: {reading: i32}, publishes: {"r": list(readin)}', "publishes.r", "did you mean 'reading'?"),
        ("exports: {a: (as_self: 1)}", "exports.a.as_self", "expected true or false"),
        ("exports: {a: (as_sef: true)}", "exports.a", "did you mean `as_self`?"),
        ("reasons: []", "reasons", "expected a map, as in"),
        ("reasons: {network: 1}", "reasons.network", "expected a text, found an integer"),
        ('reasons: {network: "x"}', "reasons.network", "unknown section or permission that is asked for"),
        ('permissions: {network: []}, reasons: {network: "x"}', "reasons.network", "that is asked for `network`"),
        ('permissions: {network: ["a.com"]}, reasons: {netwrk: "x"}', "reasons.netwrk", "did you mean `network`?"),
        (
            'permissions: {network: ["a.com"]}, reasons: {"b.com": "x"}',
            "reasons[`b.com`]",
            "expected `network`, `connect:a.com:443`",
        ),
        (
            'permissions: {network: ["a.com"]}, reasons: {"a.com": "x", "A.com:443": "y"}',
            "reasons[`A.com:443`]",
            "a second reason for `connect:a.com:443`",
        ),
        ('reasons: {"a\\u{202e}": "x"}', "reasons[`a\\u202e`]", "unknown section"),
        (
            f'permissions: {{clock: "wall"}}, reasons: {{clock: "{"x" * 201}"}}',
            "reasons.clock",
            "at most 200 characters",
        ),
        ('permissions: {clock: "wall"}, reasons: {clock: "a\\nb"}', "reasons.clock", "expected one line"),
        (
            'permissions: {clock: "wall"}, reasons: {clock: "a\\u{202e}b"}',
            "reasons.clock",
            "without control characters",
        ),
        ('config: {"a": [1, 2.5]}', "config.a", "expected an entry, as in (type: string"),
        ("config: {a: (default: 1)}", "config.a", "the field `type` is missing"),
        ("config: {a: (type: i33)}", "config.a.type", "did you mean 'i32'?"),
        ("config: {a: (type: i32, defalt: 1)}", "config.a", "did you mean `default`?"),
        (
            'config: {a: (type: i32, default: "x")}',
            "config.a.default",
            "default: expected i32 (-2147483648 to 2147483647), got 'x' (string)",
        ),
        ("config: {a: (type: u8(..=9), default: 10)}", "config.a.default", "got 10"),
        ("config: {a: (type: any, default: 1..2)}", "config.a.default", "is not a plain value"),
        ("config: {a: (type: any, default: {1: 2})}", "config.a.default", "expected any"),
        ('config: {a: (type: string, secret: true, default: "x")}', "config.a.default", "a secret has no default"),
        ("config: {a: (type: string, secret: 1)}", "config.a.secret", "expected true or false"),
        (f'config: {{a: (type: i32, help: "{"x" * 201}")}}', "config.a.help", "at most 200 characters"),
        ("config: {A: (type: i32)}", "config.A", "a letter first"),
        ('config: {"a.b": (type: i32)}', "config[`a.b`]", "a letter first"),
        ('config: {a: (type: i32), "a": (type: i32)}', "config", "`a` stands here twice"),
        ("timers: []", "timers", "expected a map, as in"),
        ("timers: {t: 5}", "timers.t", "an interval as a string, as in"),
        ('timers: {t: "every 5m"}', "timers.t", "unknown export `t`; expected none"),
        ('exports: {on_tick: ()}, timers: {ontick: "every 5m"}', "timers.ontick", "did you mean `on_tick`?"),
        ('exports: {t: ()}, timers: {t: "5m"}', "timers.t", 'did you mean "every 5m"?'),
        ('exports: {t: ()}, timers: {t: "every 5 m"}', "timers.t", 'as in "every 5m"'),
        ('exports: {t: ()}, timers: {t: "every -1s"}', "timers.t", "expected one whole number and a unit"),
        ('exports: {t: ()}, timers: {t: "every 1e9s"}', "timers.t", "expected one whole number and a unit"),
        ('exports: {t: ()}, timers: {t: "every ٥m"}', "timers.t", "expected one whole number and a unit"),
        ('exports: {t: ()}, timers: {t: "every 5\\u{202e}m"}', "timers.t", "found `every 5\\u202em`"),
        ('exports: {t: ()}, timers: {t: "every 366d"}', "timers.t", "100ms to 365d"),
        ('exports: {t: ()}, timers: {t: "every 99ms"}', "timers.t", "100ms to 365d"),
        (f'exports: {{t: ()}}, timers: {{t: "every {"9" * 60}s"}}', "timers.t", "at most 64 characters"),
        ('exports: {t: ()}, timers: {t: "every 5m", "t": "every 5m"}', "timers", "`t` stands here twice"),
        ('subscribes: {"a": 1}', "subscribes.a", "expected the name of an export, or as in (export:"),
        ('subscribes: {"a": ()}', "subscribes.a", "the field `export` is missing"),
        ('subscribes: {"a": (overflow: wait)}', "subscribes.a", "the field `export` is missing"),
        ('subscribes: {"a": (export: on)}', "subscribes.a.export", "as a string, found a name"),
        ('subscribes: {"a": (export: "on")}', "subscribes.a.export", "unknown export `on`; expected none"),
        ('subscribes: {"a": (exprt: "on")}', "subscribes.a", "unknown field `exprt`; did you mean `export`?"),
        (
            'subscribes: {"a": (export: "on", overflow: drop_oldst)}',
            "subscribes.a.overflow",
            "unknown overflow policy `drop_oldst`; did you mean `drop_oldest`?",
        ),
        ('subscribes: {"a": (export: "on", overflow: "")}', "subscribes.a.overflow", "expected `wait`, `drop_oldest`"),
        ('subscribes: {"a": (export: "on", overflow: 1)}', "subscribes.a.overflow", "a policy, as in drop_oldest"),
        ("limits: {memry: 1}", "limits.memry", "unknown limit `memry`; did you mean `memory`?"),
        ('limits: {memory: "16MB"}', "limits.memory", 'as in "16MiB" (B, KiB, MiB, GiB), found `16MB`'),
        ('limits: {mailbox: "1KiB"}', "limits.mailbox", "without a unit"),
        ('limits: {wall_ms: "1KiB"}', "limits.wall_ms", 'as in "500ms"'),
        ('limits: {wall_ms: "٥ms"}', "limits.wall_ms", 'as in "500ms"'),
        ("limits: {wall_ms: 1.5}", "limits.wall_ms", "found a float"),
        ("limits: {wall_ms: true}", "limits.wall_ms", "found a bool"),
        ("limits: {wall_ms: 0}", "limits.wall_ms", "expected 1 to"),
        ("limits: {memory: -1}", "limits.memory", "expected 1 to"),
        ('limits: {memory: "99999999999GiB"}', "limits.memory", "expected 1 to 4294967296"),
        ('profile: "imgae"', "profile", "unknown profile `imgae`; did you mean `image`?"),
        ('profile: ""', "profile", "unknown profile"),
        ("profile: image", "profile", 'as a string, as in "small", found a name'),
        ("profile: 1", "profile", "found an integer"),
        (f'profile: "{"x" * 65}"', "profile", "at most 64 characters"),
        ('version: "1.2"', "version", 'as in "1.2.3"'),
        ('version: "1.2.3\\n"', "version", 'as in "1.2.3"'),
        ('description: "\\u{202e}x"', "description", "without control characters, found `\\u202e`"),
        (f'description: "{"x" * 1001}"', "description", "at most 1000 characters"),
        ("hot_reload: 1", "hot_reload", "expected true or false, found an integer"),
        ('name: "b"', "", "already given"),
    ],
)
def test_a_bad_field(fields: str, field: str, problem: str) -> None:
    """The error names the field, says what was expected, and points at the place."""
    error = refused(f'(name: "a", api_version: "0.1", {fields})')
    assert error.field == field
    assert problem in error.problem
    assert error.line == 1
    assert error.column > 32
    assert error.excerpt.endswith("^")


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("", "expected a value"),
        ("3", "expected ExtensionManifest(name: ..., api_version: ..., ...), found an integer"),
        ("ExtensionManifest", "found a name"),
        ('Extension(name: "a")', "unknown struct `Extension`; did you mean `ExtensionManifest`?"),
        ("()", "the field `name` is missing"),
        ('(name: "a")', 'the field `api_version` is missing; expected api_version: "0.1"'),
        ('(name: "a", api_version: "0.2")', 'this host speaks "0.1", not `0.2`'),
        ('(name: "a", api_version: 0.1)', "as a string"),
        ('(name: "A", api_version: "0.1")', "expected 1 to 64 of a-z 0-9 -, not - first, found `A`"),
        ('(name: "../a", api_version: "0.1")', "expected 1 to 64"),
        (b"\xff\xfe(\0)\0", "not UTF-8"),
        (b"\xef\xbb\xbf()", "U+FEFF"),
        ("(" * 60_000, "nested"),
        ("(" + "a" * 65_536, "too large"),
        ("/*" * 30_000, "comment"),
        ("[" + "1," * 20_000 + "]", "values"),
        ("#![enable(unwrap_newtypes)] ()", "unwrap_newtypes"),
    ],
)
def test_a_bad_document(source: str | bytes, problem: str) -> None:
    """What is no manifest at all, or too large for one, is refused (case 90)."""
    assert problem in refused(source).problem


def test_counts_are_bounded() -> None:
    """There is a highest number of everything that a manifest can repeat."""
    exports = ", ".join(f'"e{index}": ()' for index in range(257))
    assert "at most 256 entries" in refused(f'(name: "a", api_version: "0.1", exports: {{{exports}}})').problem
    params = ", ".join(["i32"] * 65)
    assert "at most 64" in refused(f'(name: "a", api_version: "0.1", exports: {{a: (params: [{params}])}})').problem
    named = ", ".join(f"p{index}: i32" for index in range(65))
    assert "at most 64" in refused(f'(name: "a", api_version: "0.1", exports: {{a: (params: ({named}))}})').problem
    subjects = ", ".join(f'"s{index}": i32' for index in range(65))
    assert "at most 64" in refused(f'(name: "a", api_version: "0.1", publishes: {{{subjects}}})').problem
    pair = f'"r": tuple({", ".join(["u8"] * 2_100)})'
    large = refused(f'(name: "a", api_version: "0.1", types: {{{pair}}}, publishes: {{"s": r, "t": r}})')
    assert "at most 4,096 in all" in large.problem
    assert large.field == "publishes.t"


def test_the_error_shows_the_line() -> None:
    """`str(error)` is for people: place, field, problem, and the line with a caret."""
    error = refused('(\n  name: "a",\n  api_version: "0.1",\n  permisions: {},\n)')
    assert str(error) == (
        "manifest of a, line 4, column 3: unknown field `permisions`; did you mean `permissions`?\n"
        "4 |   permisions: {},\n"
        "  |   ^"
    )


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ('(name: "a-1", api_version: "0.1", version: 1)', "a-1"),
        ('(zzz: 1, name: "a")', "a"),
        ('(exports: {"r": (params: (w: i33))}, name: "a")', "a"),
        ('(api_version: "0.2")', ""),
        ('(name: "A")', ""),
        ("(name: 1)", ""),
        (f'(name: "{"a" * 65}")', ""),
        ('(name: "\\u{202e}a")', ""),
        ('(name: "a"', ""),
        ("[1]", ""),
    ],
)
def test_an_error_names_the_extension(source: str, name: str) -> None:
    """If the manifest says the name, and it is one; a text that is not RON has none."""
    error = refused(source)
    assert error.name == name
    assert str(error).startswith(f"manifest of {name}, line 1" if name else "manifest, line 1")


def test_a_fragment_is_as_strict() -> None:
    """Fields without the struct around them are checked one by one; none is required."""
    assert parse_fragment("") == {}
    assert parse_fragment('name: "a", limits: {memory: 1}') == {"name": "a", "limits": {"memory": 1}}
    for text in ("permisions: {}", "limits: {memory: 0}", "(permissions: {})", "permissions: {"):
        with pytest.raises(ManifestError):
            parse_fragment(text)


_WORDS = [
    *"(){}[],:-1\n",
    '"',
    '"a"',
    "name",
    "exports",
    "params",
    "ret",
    "i32",
    "list",
    "network",
    "/*",
    "//",
    "..",
    "true",
]
_PHRASES = [
    "permissions: {",
    'filesystem: ["read:/a"]',
    "limits: {",
    'memory: "1MiB"',
    'subscribes: {"a":',
    'timers: {"a": "every 1s"}',
    "types: {a:",
    '(export: "a", overflow:',
    "Some",
    "\u202e",
]


@given(st.lists(st.sampled_from(_WORDS + _PHRASES), max_size=30).map(" ".join) | st.text(max_size=50))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text, alone or among fields, raises anything but `ManifestError`."""
    for source in (
        text,
        f'(name: "a", api_version: "0.1", {text})',
        f'(name: "a", api_version: "0.1", exports: {text})',
    ):
        try:
            parse_manifest(source)
        except ManifestError as error:
            str(error)


@given(st.binary(max_size=50), st.integers(0, len(FULL)))
def test_any_bytes_are_read_or_refused(noise: bytes, at: int) -> None:
    """No bytes in the middle of a manifest raise anything but `ManifestError`."""
    try:
        parse_manifest(FULL.encode()[:at] + noise + FULL.encode()[at:])
    except ManifestError as error:
        str(error)


def test_the_page_about_manifests_is_true() -> None:
    """The example in `docs/manifest.md` is a manifest without notices; the tables have every field and section of permissions."""
    page = (ROOT / "docs" / "manifest.md").read_text("utf-8")
    example = page.partition("```ron\n")[2].partition("```")[0]
    read = parse_manifest(example)
    assert read.notices == ()
    assert read.timers == {"on_tick": 300.0, "on_hour": 3_600.0}
    assert read.overflow == {"radar.**": Overflow.DROP_OLDEST}
    assert read.as_self == {"locate"}
    assert read.reason(FilesystemAtom.read("/srv/maps/north.png")) == "to draw the map behind it"
    assert settings(read.config, {"api_key": "k" * 32})["city"] == "Seattle"
    fields, _, rest = page.partition("**Types**")
    types, _, rest = rest.partition("**Events.**")
    rest, _, permissions = rest.partition("**Permissions.**")
    first_column = [line.split("|")[1] for line in (fields + rest).splitlines() if line.startswith("| `")]
    named = [word for cell in first_column for word in re.findall("`(.*?)`", cell)]
    assert sorted(named) == sorted((*KNOWN, *Overflow))
    rows = [line.split("|") for line in permissions.splitlines() if line.startswith("| `")]
    sections = {row[1].strip(" `"): re.findall('`"(.*?)"`', row[3]) for row in rows}
    assert list(sections) == list(STANDARD)
    assert all(sections.values())
    assert PermissionSet.parse(sections).asks_more(PermissionSet()) != ()
    spans = re.findall("`([^`]*)`", types)
    written = [span for span in spans if re.fullmatch(r"[a-z0-9]+(\(.*\))?|\(.*:.*\)", span) and span != "types"]
    named_in_types = {"T": I32, "U": I32, "E": I32}
    words = {str(parse_type_text(text, named_in_types)).partition("(")[0] for text in written}
    assert words >= {*WORDS, *MAKERS, ""}


def test_the_example_of_the_module_is_a_manifest() -> None:
    """The one in the docstring of `desk.actors.manifest`, too."""
    text = desk.actors.manifest.__doc__ or ""
    assert parse_manifest(text[text.index("    ExtensionManifest(") : text.index("\n    )\n") + 6]).timers == {
        "on_tick": 300.0
    }


def test_patterns_are_counted_before_the_first_is_made() -> None:
    """Each takes milliseconds to make: more than `MAX_PATTERNS` are refused, wherever they stand, by a walk that makes none."""

    def manifest(count: int) -> str:
        fields = ", ".join(f'f{number}: option(string(1..=9, "[a-{"abc"[number % 3]}]+"))' for number in range(count))
        return f'(name: "a", api_version: "0.1", exports: {{"f": (params: [({fields})])}})'

    assert parse_manifest(manifest(MAX_PATTERNS)).exports["f"].params[0].size > MAX_PATTERNS
    with pytest.raises(ManifestError, match="at most 32 patterns"):
        parse_manifest(manifest(MAX_PATTERNS + 1))
