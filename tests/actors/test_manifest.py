"""Manifests are read whole and strictly: every field has a meaning or is an error that shows the place."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.actors.engine.profiles import PROFILES
from desk.actors.limits import MIB, Limits
from desk.actors.manifest import Manifest, ManifestError, parse_fragment, parse_manifest

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
        "on-observed": (params: [(city: string, tmax: option(f64))]),
        tick: (),
    },
    subscribes: {"weather.*": "on-observed"},
    publishes: {"weather.summary": list(string)},
    permissions: {network: ["api.weather.com"], bus: ["publish:other.**"]},
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
    assert seed.notices == (
        "`permissions.filesystem` is accepted with `read:/var/cache/weather`, but nothing acts on that yet: it permits nothing",
    )
    assert {name: str(each) for name, each in seed.exports.items()} == {
        "render": "(i32, i32) -> i32",
        "update": "(json) -> bool",
    }
    assert [str(atom) for atom in seed.requested] == [
        "network connect:api.weather.com:443",
        "filesystem read:/var/cache/weather",
    ]


def test_the_permissions_of_the_seed() -> None:
    """The second snippet of the seed, a bare field, is read as that field, with the sections that come later."""
    permissions = parse_fragment(SEED_PERMISSIONS).get("permissions")
    assert permissions is not None
    assert [str(atom) for atom in permissions] == [
        "network connect:api.github.com:443",
        "network listen:127.0.0.1:3000",
    ]
    assert permissions.later == ("gpu", "system")
    notices = manifest(SEED_PERMISSIONS).notices
    assert [re.findall("`(.*?)`", notice) for notice in notices] == [
        ["permissions.gpu"],
        ["permissions.system"],
        ["permissions.network", "listen:127.0.0.1:3000"],
    ]


def test_every_field() -> None:
    """All fields with a meaning are read, from text as from bytes."""
    full = parse_manifest(FULL)
    assert full == parse_manifest(FULL.encode())
    assert full.version == "1.2.3-rc.1"
    assert full.exports["render"].names == ("width", "height")
    assert full.exports["on-observed"].result is None
    assert full.exports["tick"].params == ()
    assert full.subscribes == {"weather.*": "on-observed"}
    assert str(full.publishes["weather.summary"]) == "list(string)"
    assert full.limits == {"memory": 16 * MIB, "wall_ms": 2_000, "mailbox": 10}
    assert full.profile == "image"
    assert full.hot_reload is True


def test_events_ask_for_their_permissions() -> None:
    """`subscribes` and `publishes` are requests for the permission to do so, beside those of `permissions`."""
    full = parse_manifest(FULL)
    assert [str(atom) for atom in full.requested if atom.section == "bus"] == [
        "bus publish:other.**",
        "bus subscribe:weather.*",
        "bus publish:weather.summary",
    ]
    assert [str(atom) for atom in full.permissions if atom.section == "bus"] == ["bus publish:other.**"]


def test_to_dict_is_json() -> None:
    """A manifest can be printed as JSON, with types and permissions in the manifest's own syntax."""
    shown = json.loads(json.dumps(parse_manifest(FULL).to_dict()))
    assert shown["exports"]["on-observed"] == {
        "params": ["(city: string, tmax: option(f64))"],
        "names": None,
        "ret": None,
    }
    assert shown["requested"]["network"] == ["connect:api.weather.com:443"]
    assert shown["publishes"] == {"weather.summary": "list(string)"}
    assert shown["profile"] == "image"


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_is_named(name: str) -> None:
    """Every profile that an engine can have may be asked for; who asks for none gets `small`."""
    assert manifest(f'profile: "{name}"').profile == name
    assert manifest("").profile == "small"


def test_what_is_not_acted_upon_is_noticed() -> None:
    """Known fields that nothing acts on yet are accepted, and each is named."""
    notices = manifest('config: {"a": [1, 2.5]}, types: (), timers: {}, reasons: {}, hot_reload: false').notices
    assert [notice.split("`")[1] for notice in notices] == ["config", "types", "timers", "reasons", "hot_reload"]
    assert manifest("config: {}") == manifest("")


def test_permissions_that_no_capability_needs_are_noticed() -> None:
    """Files, listening, datagrams and look-ups are named, three of each section at most; what is enforced is not."""
    texts = ["a.example", "listen:127.0.0.1:3000", "udp:a.example:53", "resolve:a.example", "udp:b.example:53"]
    written = ", ".join(f'"{text}"' for text in texts)
    more = 'filesystem: ["write:/a"], bus: ["publish:a", "subscribe:a"], call: ["a/b"]'
    assert manifest(f"permissions: {{network: [{written}], {more}}}").notices == (
        "`permissions.network` is accepted with `listen:127.0.0.1:3000`, `udp:a.example:53`, `resolve:a.example` and 1 more, "
        "but nothing acts on that yet: it permits nothing",
        "`permissions.filesystem` is accepted with `write:/a`, but nothing acts on that yet: it permits nothing",
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
        ("permissions: {gpu: 3}", "permissions.gpu", "expected a list of strings, or a string, found an integer"),
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


def test_the_error_shows_the_line() -> None:
    """`str(error)` is for people: place, field, problem, and the line with a caret."""
    error = refused('(\n  name: "a",\n  api_version: "0.1",\n  permisions: {},\n)')
    assert str(error) == (
        "manifest, line 4, column 3: unknown field `permisions`; did you mean `permissions`?\n"
        "4 |   permisions: {},\n"
        "  |   ^"
    )


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
