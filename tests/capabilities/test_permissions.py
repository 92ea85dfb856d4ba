"""The permission grammar: what is one, what it covers, and what never gets through."""

import itertools
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.bus.errors import DeskError
from desk.bus.subjects import Pattern
from desk.capabilities.capability import Capability
from desk.capabilities.env_atoms import EnvAtom
from desk.capabilities.hosts import Addresses, Name
from desk.capabilities.level_atoms import ClockAtom, GpuAtom, RandomAtom
from desk.capabilities.network_atoms import NetworkVerb
from desk.capabilities.nn_atoms import NnAtom
from desk.capabilities.permissions import (
    MAX_PER_SECTION,
    STANDARD,
    BusAtom,
    CallAtom,
    FilesystemAtom,
    NetworkAtom,
    PermissionSet,
    PermissionSyntaxError,
    parse_atom,
)
from desk.capabilities.ports import Ports
from desk.capabilities.state_atoms import MAX_KEY, StateAtom, check_key
from desk.capabilities.syntax import escaped, quoted
from desk.capabilities.system_atoms import WORDS, SystemAtom

ACCEPTED = {
    "network": {
        "api.weather.com": "connect:api.weather.com:443",
        "API.Weather.COM": "connect:api.weather.com:443",
        "connect:api.github.com:443": "connect:api.github.com:443",
        "localhost:8080": "connect:localhost:8080",
        "listen:127.0.0.1:3000": "listen:127.0.0.1:3000",
        "listen:[::1]:3000-3010": "listen:[::1]:3000-3010",
        "*": "connect:*:443",
        "connect:*:*": "connect:*:*",
        "*.weather.com": "connect:*.weather.com:443",
        "*.weather.com:80,443": "connect:*.weather.com:80,443",
        "connect:a.example:8000-8080,1,8081,1-3": "connect:a.example:1-3,8000-8081",
        "connect:a.example:1-65535": "connect:a.example:*",
        "10.0.0.0/8:5432": "connect:10.0.0.0/8:5432",
        "192.0.2.7/32": "connect:192.0.2.7:443",
        "0.0.0.0/0:1": "connect:0.0.0.0/0:1",
        "[2001:DB8:0:0::1]": "connect:[2001:db8::1]:443",
        "[2001:db8::/32]:80": "connect:[2001:db8::/32]:80",
        "[64:ff9b::192.0.2.1]:80": "connect:[64:ff9b::c000:201]:80",
        "xn--fa-hia.de": "connect:xn--fa-hia.de:443",
        "r3---sn-x.example.com": "connect:r3---sn-x.example.com:443",
        "3com.example": "connect:3com.example:443",
        "udp:ntp.example.org:123": "udp:ntp.example.org:123",
        "udp:*:53": "udp:*:53",
        "resolve:api.weather.com": "resolve:api.weather.com",
        "resolve:*.weather.com": "resolve:*.weather.com",
        "connect": "connect:connect:443",
        "a." * 126 + "a": "connect:" + "a." * 126 + "a:443",
        "a" * 63 + ".example": "connect:" + "a" * 63 + ".example:443",
    },
    "filesystem": {
        text: text
        for text in (
            "read:/var/cache/weather",
            "write:/a",
            "readwrite:/a/b",
            "read:@data",
            "readwrite:@cache/tiles/0",
            "write:@config",
            "read:@tmp",
            "read:@package/assets",
            "read:/home/caf\u00e9/My Files",
            "read:/procs",
            "read:/home/proc",
            "read:/srv/@data",
            "read:/a:b",
            "read:/...",
            "read:/" + "a" * 506,
        )
    },
    "bus": {
        text: text
        for text in (
            "publish:weather.changed",
            "subscribe:weather.*",
            "subscribe:weather.**",
            "subscribe:**",
            "publish:**",
            "subscribe:sys.actor.*",
            "publish:system.x",
        )
    },
    "call": {
        text: text for text in ("weather-widget/render", "weather-widget/*", "0/_x-1", "a" * 64 + "/" + "b" * 128)
    },
    "env": {
        "HOME": "read:HOME",
        "read:HOME": "read:HOME",
        "_x1": "read:_x1",
        "APP_*": "read:APP_*",
        "L*": "read:L*",
        "LD*": "read:LD*",
        "P*": "read:P*",
        "LDAP_URL": "read:LDAP_URL",
        "MY_PYTHONPATH": "read:MY_PYTHONPATH",
        "read": "read:read",
        "a" * 255 + "*": "read:" + "a" * 255 + "*",
    },
    "clock": {text: text for text in ("none", "monotonic:coarse", "monotonic", "wall:coarse", "wall")},
    "random": {text: text for text in ("none", "seeded", "secure")},
    "gpu": {text: text for text in ("none", "limited:webgl1", "limited:webgl2", "limited:webgpu", "full")},
    "state": {
        "read:stations": "read:stations",
        "read:stations/*": "read:stations",
        "write:a-1/north": "write:a-1/north",
        "readwrite:a/north/*": "readwrite:a/north/*",
        "readwrite:a/no*": "readwrite:a/no*",
        "read:own": "read:own",
        "read:a/...": "read:a/...",
        "read:a/..b": "read:a/..b",
        "read:a/.*": "read:a/.*",
        "read:a/caf\u00e9 1:2": "read:a/caf\u00e9 1:2",
        "readwrite:" + "a" * 64 + "/" + "k" * 256: "readwrite:" + "a" * 64 + "/" + "k" * 256,
    },
    "nn": {
        "infer:clouds": "infer:clouds@cpu",
        "infer:clouds@cpu": "infer:clouds@cpu",
        "infer:clouds@gpu": "infer:clouds@gpu",
        "infer:*": "infer:*@cpu",
        "infer:*@gpu": "infer:*@gpu",
        "infer:Llama-3.2_1B": "infer:Llama-3.2_1B@cpu",
    },
    "system": {text: text for text in WORDS},
}

LOOPBACK_IN_DISGUISE = [
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0x7f.0x0.0x0.0x1",
    "0X7F000001",
    "0177.0.0.1",
    "0127.0.0.1",
    "127.1",
    "127.0.1",
    "127.0.0.01",
    "0",
    "0x",
    "127。0。0。1",
    "１２７.0.0.1",
    "①②⑦.0.0.1",
    "١٢٧.0.0.1",
    "local\u00adhost",
    "ⓛocalhost",
    "loca\u200dlhost",
    "127.0.0.1\x00.example.com",
    "example.com\x00",
    "127.0.0.1.",
    "127.0.0.1\n",
    " 127.0.0.1",
    "+127.0.0.1",
    "1_27.0.0.1",
    "127.0.0.1.5",
    "256.0.0.1",
    "a.1",
    "a.0x1f",
    "%31.example",
    "localhost.",
    "example..com",
    ".example.com",
    "-a.example",
    "a-.example",
    "a_b.example",
    "faß.de",
    "\u212aelvin.example",
    "user@example.com",
    "example.com/",
    "example.com#",
    "a" * 64 + ".example",
    "a." * 126 + "aa",
]

REJECTED = {
    "network": [
        *LOOPBACK_IN_DISGUISE,
        *(f"connect:{host}:443" for host in LOOPBACK_IN_DISGUISE),
        "",
        ":",
        ":443",
        "connect:",
        "connect::443",
        "https://api.weather.com",
        "conect:api.weather.com:443",
        "CONNECT:api.weather.com:443",
        "*.com",
        "*.",
        "**.example.com",
        "*a.example.com",
        "a.*.example.com",
        "api.*",
        "*.127.0.0.1",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "10.0.0.0/08",
        "10.0.0.0/",
        "10.0.0.0/-1",
        "10.0.0.0/255.0.0.0",
        "example.com/8",
        "::1",
        "connect:::1:443",
        "[::1",
        "[]",
        "[::1]443",
        "[::1]]:443",
        "[127.0.0.1]",
        "[example.com]",
        "[*]",
        "[fe80::1%eth0]",
        "[fe80::1%25eth0]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::FFFF:0:0/96]",
        "[::ffff:0:0/97]",
        "[2001:db8::1/32]",
        "[2001:db8::/129]",
        "[2001:db8::/032]",
        "[1:2:3:4:5:6:7:8:9]",
        "[１::1]",
        *(f"connect:a.example:{ports}" for ports in ("", "0", "00", "080", "65536", "99999999", "-1", "1-", "-")),
        *(f"connect:a.example:{ports}" for ports in ("2-1", "80,", ",80", "80, 443", "+80", "８０", "8_0", "80-")),
        *(f"connect:a.example:{ports}" for ports in ("*,80", "1-2-3", "0x50", "1e3", "80.0", "80:81", "http", "80\n")),
        "a.example:" + ",".join(str(port) for port in range(10001, 10170, 2)),
        "listen:127.0.0.1",
        "listen:127.0.0.1:80",
        "listen:127.0.0.1:1023-2000",
        "listen:127.0.0.1:*",
        "listen:127.0.0.0/8:3000",
        "listen:localhost:3000",
        "listen:*:3000",
        "udp:ntp.example.org",
        "resolve:*",
        "resolve:127.0.0.1",
        "resolve:[::1]",
        "resolve:a.example:53",
        "resolve:",
    ],
    "filesystem": [
        "",
        "read",
        "read:",
        "/var/cache",
        "rw:/a",
        "Read:/a",
        "read,write:/a",
        "read:/",
        "read://",
        "read:/a/",
        "read:/a//b",
        "read:/./a",
        "read:/a/..",
        "read:/a/../../etc/passwd",
        "read:..",
        "read:a",
        "read:~/x",
        "read:./a",
        "read:C:\\x",
        "read:/a\\b",
        "read:/a/*",
        "read:/a*b",
        "read:/proc",
        "read:/proc/self/root/etc",
        "read:/PROC/self",
        "read:/sys/kernel",
        "write:/dev/sda",
        "read:@data/",
        "read:@data/../x",
        "read:@dta",
        "read:@Data",
        "read:@datax",
        "read:@",
        "read: /a",
        "read:/a\x00b",
        "read:/a\nb",
        "read:/a\x7f",
        "read:/a\x85",
        "read:/a\u202eb",
        "read:/a\u2066b",
        "read:/a\u200bb",
        "read:/a\u2028b",
        "read:/cafe\u0301",
        "read:/\u212b",
        "read:/\ud800",
        "read:/" + "a" * 507,
    ],
    "bus": [
        "",
        "publish",
        "publish:",
        "weather.changed",
        "listen:weather.changed",
        "publish:Weather",
        "publish:a..b",
        "subscribe:a.**.b",
        "subscribe:a.b*",
        "subscribe:***",
        "subscribe:a.>",
        "publish:sys.audit",
        "publish:sys.**",
        "publish:ext.weather-widget.render",
        "publish:cap.*",
        "publish:sys",
        "publish:" + "a." * 16 + "a",
        "publish:" + "a" * 256,
    ],
    "call": [
        "",
        "weather-widget",
        "weather-widget/",
        "/render",
        "*/render",
        "*/*",
        "weather-widget/ren*",
        "weather-widget/**",
        "weather-widget/a/b",
        "weather-widget/a.b",
        "Weather/render",
        "-a/render",
        "a" * 65 + "/render",
        "weather/" + "b" * 129,
        "weather_widget/render",
        "weather/rénder",
    ],
    "env": [
        "",
        "*",
        "read:*",
        "read:",
        "write:HOME",
        "Read:HOME",
        "read:read:HOME",
        "HOME:",
        "1A",
        "A B",
        "A-B",
        "A=B",
        "A*B",
        "A**",
        "*A",
        "A\x00",
        "A\n",
        "\u00c9T\u00c9",
        "\uff21",
        "a" * 256,
        *("LD_PRELOAD", "LD_LIBRARY_PATH", "LD_", "LD_*", "LD_P*", "ld_preload", "Ld_*", "read:LD_AUDIT"),
        *("DYLD_INSERT_LIBRARIES", "DYLD_*", "dyld_x"),
        *("PYTHON", "PYTHON*", "PYTHONPATH", "PYTHONSTARTUP", "PythonPath", "PYTHONP*"),
    ],
    "clock": ["", "Wall", "wall:fine", "coarse", "wall ", "*", "monotonic:", "none,wall", "wall\n"],
    "random": ["", "insecure", "seeded:1", "secure*", "SECURE"],
    "gpu": ["", "limited", "limited:", "limited:webgl", "limited:webgl3", "webgl1", "full*", "*"],
    "state": [
        "",
        "read",
        "read:",
        "read:/a",
        "stations",
        "rw:a",
        "read:A",
        "read:-a",
        "read:a_b",
        "read:a.b",
        "read:*",
        "read:*/a",
        "read:a*",
        "read:" + "a" * 65,
        "read:a/",
        "read:a//",
        "read:a//b",
        "read:a/../x",
        "read:a/..",
        "read:a/.",
        "read:a/./*",
        "read:a/../*",
        "read:a/b/",
        "read:a//*",
        "read:a/**",
        "read:a/*b",
        "read:a/b*c*",
        "read:a/b\x00",
        "read:a/b\u202e",
        "read:a/cafe\u0301",
        "read:a/" + "k" * 257,
    ],
    "nn": [
        "",
        "infer",
        "infer:",
        "clouds",
        "train:clouds",
        "infer:clouds@",
        "infer:clouds@tpu",
        "infer:clouds@GPU",
        "infer:clouds@cpu@gpu",
        "infer:@gpu",
        "infer:a*",
        "infer:**",
        "infer:a/b",
        "infer:../a",
        "infer:.a",
        "infer:" + "a" * 129,
    ],
    "system": [
        "",
        "*",
        "Notify",
        "clipboard",
        "clipboard:*",
        "clipboard:readwrite",
        "notify,theme",
        "open_url",
        "power",
    ],
}


def cases(table: dict[str, dict[str, str]]) -> list[tuple[str, str, str]]:
    return [(section, text, canonical) for section, texts in table.items() for text, canonical in texts.items()]


@pytest.mark.parametrize(("section", "text", "canonical"), cases(ACCEPTED))
def test_accepted(section: str, text: str, canonical: str) -> None:
    """A permission reads into an atom with one canonical spelling, which reads back as the same atom."""
    atom = parse_atom(section, text)
    assert atom.text == canonical
    assert str(atom) == f"{section} {escaped(canonical)}"
    assert parse_atom(section, canonical) == atom
    assert atom.covers(atom)


@pytest.mark.parametrize(
    ("section", "text"), [(section, text) for section, texts in REJECTED.items() for text in texts]
)
def test_rejected(section: str, text: str) -> None:
    """Everything else is an error that says where, what was expected, and can safely be printed."""
    with pytest.raises(PermissionSyntaxError) as caught:
        parse_atom(section, text)
    error = caught.value
    assert error.section == section
    assert error.text == text
    assert error.expected in str(error)
    assert str(error).startswith(section)
    assert str(error).isascii()
    assert str(error).isprintable()
    assert len(str(error)) < 2000
    assert isinstance(error, DeskError)


@pytest.mark.parametrize("text", ["weather-widget.render", "ext.weather-widget.render"])
def test_a_call_written_as_a_subject_is_recognised(text: str) -> None:
    """Whoever writes a dot where the slash belongs, or the whole subject, is told what was meant."""
    with pytest.raises(PermissionSyntaxError, match=r'did you mean "weather-widget/render"\?$') as caught:
        parse_atom("call", text)
    assert parse_atom("call", str(caught.value.nearest)) == CallAtom.to("weather-widget", "render")


@pytest.mark.parametrize("text", ["a", "a.b.c", "A.b", "a.", ".b", "ext.a", "a.b/"])
def test_what_is_no_subject_of_a_call_gets_no_suggestion(text: str) -> None:
    """A suggestion is only made where it would be right."""
    with pytest.raises(PermissionSyntaxError) as caught:
        parse_atom("call", text)
    assert caught.value.nearest is None or parse_atom("call", caught.value.nearest)


@pytest.mark.parametrize(
    ("value", "found"),
    [("a.example", "a string"), ({"a.example": 1}, "a map of 1"), (3, "3 (integer)"), (None, "none")],
)
def test_a_section_that_is_no_list_is_told_in_plain_words(value: object, found: str) -> None:
    """The error speaks of strings, lists and maps, as a manifest does, and not of Python's types."""
    with pytest.raises(PermissionSyntaxError) as caught:
        PermissionSet.parse({"network": value})  # type: ignore[dict-item]
    assert (
        str(caught.value) == f'network: {found} instead of a list; expected a list of strings, as in network: ["..."]'
    )


@pytest.mark.parametrize(
    ("section", "served"),
    [
        (
            "network",
            {
                "connect:a.example": True,
                "udp:a.example:1": True,
                "listen:[::1]:3000": True,
                "resolve:a.example": True,
            },
        ),
        ("filesystem", {"read:/a": True, "readwrite:@data": True, "read:@package/a": False}),
        ("env", {"HOME": True}),
        ("clock", {"wall": True, "none": True}),
        ("random", {"secure": True}),
        ("state", {"read:own": True, "write:a": True}),
        ("nn", {"infer:*@gpu": False}),
        ("gpu", {"full": False}),
        ("system", {word: word not in ("power:status", "screenshot") for word in WORDS}),
        ("bus", {"publish:a": True, "subscribe:a": True}),
        ("call", {"a/b": True}),
    ],
)
def test_it_is_known_which_permissions_a_capability_needs(section: str, served: dict[str, bool]) -> None:
    """Those that have a grammar, but no provider in this version, say so."""
    assert {text: parse_atom(section, text).served for text in served} == served


@pytest.mark.parametrize("host", [*LOOPBACK_IN_DISGUISE, "", "*", "*.example.com", "10.0.0.0/8", "[2001:db8::/32]"])
def test_requests_are_parsed_by_the_same_rules(host: str) -> None:
    """No host that a manifest could not name can be requested, and neither can a set of hosts."""
    for request in (NetworkAtom.connect, NetworkAtom.udp):
        with pytest.raises(PermissionSyntaxError):
            request(host, 443)
    with pytest.raises(PermissionSyntaxError):
        NetworkAtom.resolve(host)


@pytest.mark.parametrize(
    "host", ["a.example:80", "[::1]:80", "::ffff:127.0.0.1", "[::1", "::1]", "fe80::1%lo", "::1/128x"]
)
def test_a_requested_host_has_no_port_or_other_trimmings(host: str) -> None:
    """What is requested as a host is a host only."""
    with pytest.raises(PermissionSyntaxError):
        NetworkAtom.connect(host, 443)


@pytest.mark.parametrize("port", [0, -1, 65536, 10**50, True, 443.0, "443", None])
def test_a_requested_port_is_an_integer_in_range(port: int) -> None:
    """Whatever equals a port but is no integer is refused, and so is every number that is no port."""
    with pytest.raises(PermissionSyntaxError):
        NetworkAtom.connect("a.example", port)


@pytest.mark.parametrize("value", [None, 1, b"a.example", ["a.example"]])
def test_requests_and_permissions_are_text(value: object) -> None:
    """A value of another type is a malformed permission, not a crash."""
    requests = [
        lambda: NetworkAtom.connect(value, 443),  # type: ignore[arg-type]
        lambda: FilesystemAtom.read(value),  # type: ignore[arg-type]
        lambda: BusAtom.publish(value),  # type: ignore[arg-type]
        lambda: CallAtom.to(value, "render"),  # type: ignore[arg-type]
        lambda: CallAtom.to("weather", value),  # type: ignore[arg-type]
        lambda: EnvAtom.read(value),  # type: ignore[arg-type]
        lambda: ClockAtom.at(value),  # type: ignore[arg-type]
        lambda: StateAtom.read(value, "key"),  # type: ignore[arg-type]
        lambda: StateAtom.write("a", value),  # type: ignore[arg-type]
        lambda: StateAtom.list("a", value),  # type: ignore[arg-type]
        lambda: NnAtom.infer(value, "cpu"),  # type: ignore[arg-type]
        lambda: NnAtom.infer("a", value),  # type: ignore[arg-type]
        lambda: SystemAtom.to(value),  # type: ignore[arg-type]
        *(lambda section=section: parse_atom(section, value) for section in STANDARD),  # type: ignore[arg-type]
    ]
    for request in requests:
        with pytest.raises(PermissionSyntaxError):
            request()


def test_requests_are_canonical() -> None:
    """A request made from its parts equals the permission that names exactly it."""
    assert NetworkAtom.connect("API.weather.com", 443) == parse_atom("network", "api.weather.com")
    assert NetworkAtom.connect("::1", 80) == NetworkAtom.connect("[0::1]", 80) == parse_atom("network", "[::1]:80")
    assert NetworkAtom.listen("127.0.0.1", 3000) == parse_atom("network", "listen:127.0.0.1:3000")
    assert NetworkAtom.udp("192.0.2.1", 53) == parse_atom("network", "udp:192.0.2.1:53")
    assert NetworkAtom.resolve("A.example") == parse_atom("network", "resolve:a.example")
    assert FilesystemAtom.read("/a/b") == parse_atom("filesystem", "read:/a/b")
    assert FilesystemAtom.write("@data/b") == parse_atom("filesystem", "write:@data/b")
    assert FilesystemAtom.readwrite("/a") == parse_atom("filesystem", "readwrite:/a")
    assert BusAtom.publish("a.b") == parse_atom("bus", "publish:a.b")
    assert BusAtom.subscribe("a.*") == parse_atom("bus", "subscribe:a.*")
    assert CallAtom.to("weather", "render") == parse_atom("call", "weather/render")
    assert EnvAtom.read("HOME") == parse_atom("env", "HOME")
    assert ClockAtom.at("wall:coarse") == parse_atom("clock", "wall:coarse")
    assert RandomAtom.at("secure") == parse_atom("random", "secure")
    assert GpuAtom.at("full") == parse_atom("gpu", "full")
    assert StateAtom.read("a", "b/c") == parse_atom("state", "read:a/b/c")
    assert StateAtom.write("a", "b") == parse_atom("state", "write:a/b")
    assert StateAtom.readwrite("a", "b") == parse_atom("state", "readwrite:a/b")
    assert StateAtom.list("a", "b/") == parse_atom("state", "read:a/b/*")
    assert StateAtom.list("a", "") == parse_atom("state", "read:a")
    assert NnAtom.infer("clouds", "gpu") == parse_atom("nn", "infer:clouds@gpu")
    assert SystemAtom.to("notify") == parse_atom("system", "notify")


def test_the_atom_holds_what_is_to_be_used() -> None:
    """A provider finds the checked host in the atom: a name, or an address as a value."""
    name = NetworkAtom.connect("API.weather.com", 443).host
    assert isinstance(name, Name)
    assert name.name == "api.weather.com"
    address = NetworkAtom.connect("::1", 443).host
    assert isinstance(address, Addresses)
    assert str(address.address) == "::1"


def test_requests_are_concrete() -> None:
    """A wildcard is not published on or called, nor is a low port listened on."""
    for request in (
        lambda: BusAtom.publish("a.*"),
        lambda: BusAtom.publish("sys.audit"),
        lambda: CallAtom.to("weather", "*"),
        lambda: NetworkAtom.listen("127.0.0.1", 80),
        lambda: NetworkAtom.listen("localhost", 8000),
        lambda: FilesystemAtom.read("/proc/self/environ"),
        lambda: EnvAtom.read("APP_*"),
        lambda: EnvAtom.read("PYTHONPATH"),
        lambda: EnvAtom.read("read:HOME"),
        lambda: ClockAtom.at("none"),
        lambda: RandomAtom.at("none"),
        lambda: StateAtom.read("a", ""),
        lambda: StateAtom.read("a", "b*"),
        lambda: StateAtom.write("a", "../x"),
        lambda: StateAtom.write("a/b", "c"),
        lambda: StateAtom.list("a", "../"),
        lambda: StateAtom.list("a", "b*"),
        lambda: NnAtom.infer("*", "cpu"),
    ):
        with pytest.raises(PermissionSyntaxError):
            request()


@pytest.mark.parametrize(
    ("section", "text", "nearest"),
    [
        ("network", "conect:api.weather.com:443", "connect"),
        ("network", "Listn:127.0.0.1:3000", "listen"),
        ("filesystem", "raed:/a", "read"),
        ("filesystem", "read:@dta", "@data"),
        ("bus", "publsh:a", "publish"),
        ("netwrok", "api.weather.com", "network"),
        ("env", "red:HOME", "read"),
        ("clock", "wal", "wall"),
        ("random", "secured", "secure"),
        ("gpu", "limited:webgl", "limited:webgl2"),
        ("state", "raed:a", "read"),
        ("nn", "infr:a", "infer"),
        ("system", "notfy", "notify"),
    ],
)
def test_the_nearest_word_is_offered(section: str, text: str, nearest: str) -> None:
    """A misspelt word is answered with the one that was probably meant."""
    with pytest.raises(PermissionSyntaxError) as caught:
        parse_atom(section, text)
    assert caught.value.nearest == nearest
    assert f'did you mean "{nearest}"?' in str(caught.value)


def test_an_error_in_full() -> None:
    """The message reads: where, what is wrong, what was expected, what was probably meant."""
    with pytest.raises(PermissionSyntaxError) as caught:
        parse_atom("filesystem", "raed:/a")
    assert str(caught.value) == (
        'filesystem "raed:/a": unknown verb "raed"; expected read, readwrite or write; did you mean "read"?'
    )


COVERS = [
    ("network", "a.example", "a.example:443", True),
    ("network", "a.example", "a.example:80", False),
    ("network", "a.example:*", "a.example:80", True),
    ("network", "a.example:1-10,20", "a.example:2-3,20", True),
    ("network", "a.example:1-10,20", "a.example:10-11", False),
    ("network", "a.example", "b.a.example", False),
    ("network", "*.a.example", "a.example", False),
    ("network", "*.a.example", "b.a.example", True),
    ("network", "*.a.example", "c.b.a.example", True),
    ("network", "*.a.example", "*.b.a.example", True),
    ("network", "*.b.a.example", "*.a.example", False),
    ("network", "*.a.example", "ba.example", False),
    ("network", "*.a.example", "evil-a.example", False),
    ("network", "*.a.example", "a.example.evil.example", False),
    ("network", "*", "*.a.example", True),
    ("network", "*", "a", True),
    ("network", "*", "*", True),
    ("network", "*.a.example", "*", False),
    ("network", "*:*", "127.0.0.1:80", False),
    ("network", "*:*", "10.0.0.0/8:80", False),
    ("network", "*:*", "[::1]:80", False),
    ("network", "10.0.0.0/8", "10.1.2.3", True),
    ("network", "10.0.0.0/8", "10.1.0.0/16", True),
    ("network", "10.1.0.0/16", "10.0.0.0/8", False),
    ("network", "10.0.0.0/8", "11.0.0.1", False),
    ("network", "0.0.0.0/0", "a.example", False),
    ("network", "0.0.0.0/0", "[::1]", False),
    ("network", "[::/0]", "1.2.3.4", False),
    ("network", "[::/0]", "[2001:db8::/32]", True),
    ("network", "udp:a.example:443", "a.example", False),
    ("network", "a.example:3000", "listen:127.0.0.1:3000", False),
    ("network", "127.0.0.1:3000", "listen:127.0.0.1:3000", False),
    ("network", "listen:127.0.0.1:3000-3010", "listen:127.0.0.1:3005", True),
    ("network", "listen:127.0.0.1:3000", "listen:0.0.0.0:3000", False),
    ("network", "a.example:80", "resolve:a.example", True),
    ("network", "udp:*.example.org:53", "resolve:a.example.org", True),
    ("network", "*", "resolve:a.example", True),
    ("network", "resolve:*.example.org", "resolve:a.example.org", True),
    ("network", "resolve:a.example", "a.example", False),
    ("network", "0.0.0.0/0:*", "resolve:a.example", False),
    ("filesystem", "read:/srv/a", "read:/srv/a", True),
    ("filesystem", "read:/srv/a", "read:/srv/a/b/c", True),
    ("filesystem", "read:/srv/a", "read:/srv/ab", False),
    ("filesystem", "read:/srv/a", "read:/srv", False),
    ("filesystem", "read:/srv/a", "write:/srv/a", False),
    ("filesystem", "write:/srv/a", "read:/srv/a", False),
    ("filesystem", "readwrite:/srv/a", "read:/srv/a", True),
    ("filesystem", "readwrite:/srv/a", "write:/srv/a", True),
    ("filesystem", "read:/srv/a", "readwrite:/srv/a", False),
    ("filesystem", "read:/srv", "read:/SRV/a", False),
    ("filesystem", "read:@data", "read:@data/x", True),
    ("filesystem", "read:@data", "read:/data/x", False),
    ("filesystem", "read:@data", "read:@cache", False),
    ("filesystem", "read:/srv", "read:/srv/@data", True),
    ("bus", "publish:weather.**", "publish:weather.a.b", True),
    ("bus", "publish:weather.**", "publish:weather", False),
    ("bus", "publish:weather.*", "subscribe:weather.a", False),
    ("bus", "subscribe:weather.*", "subscribe:weather.**", False),
    ("bus", "subscribe:**", "subscribe:sys.audit", True),
    ("call", "weather/*", "weather/render", True),
    ("call", "weather/*", "weather/*", True),
    ("call", "weather/render", "weather/*", False),
    ("call", "weather/render", "weather/update", False),
    ("call", "weather/*", "other/render", False),
    ("env", "APP_*", "APP_X", True),
    ("env", "APP_*", "APP_", True),
    ("env", "APP_*", "APP_X*", True),
    ("env", "APP_X*", "APP_*", False),
    ("env", "APP_X", "APP_X*", False),
    ("env", "APP_X", "APP_XY", False),
    ("env", "APP_*", "app_x", False),
    ("clock", "wall", "monotonic:coarse", True),
    ("clock", "wall:coarse", "monotonic", True),
    ("clock", "monotonic", "wall:coarse", False),
    ("clock", "monotonic:coarse", "monotonic", False),
    ("clock", "monotonic:coarse", "none", True),
    ("clock", "none", "monotonic:coarse", False),
    ("random", "secure", "seeded", True),
    ("random", "seeded", "secure", False),
    ("gpu", "full", "limited:webgpu", True),
    ("gpu", "limited:webgl1", "limited:webgl2", False),
    ("state", "read:a", "read:a/b/c", True),
    ("state", "read:a", "read:ab", False),
    ("state", "read:a/b*", "read:a/bc", True),
    ("state", "read:a/b*", "read:a/b", True),
    ("state", "read:a/b*", "read:a/bc*", True),
    ("state", "read:a/b*", "read:a", False),
    ("state", "read:a/b", "read:a/b*", False),
    ("state", "read:a/b", "read:a/bc", False),
    ("state", "read:a/b/*", "read:a/b", False),
    ("state", "read:a", "write:a/b", False),
    ("state", "write:a", "read:a/b", False),
    ("state", "readwrite:a", "write:a/b", True),
    ("state", "write:a", "readwrite:a/b", False),
    ("nn", "infer:*", "infer:a", True),
    ("nn", "infer:*", "infer:a@gpu", False),
    ("nn", "infer:a@gpu", "infer:a", True),
    ("nn", "infer:a@gpu", "infer:*", False),
    ("nn", "infer:a", "infer:b", False),
    ("system", "clipboard:write", "clipboard:read", False),
    ("system", "notify", "notify", True),
]


@pytest.mark.parametrize(("section", "wide", "narrow", "answer"), COVERS)
def test_covers(section: str, wide: str, narrow: str, answer: bool) -> None:
    """One permission covers another if whoever holds the first may do all the second permits."""
    assert parse_atom(section, wide).covers(parse_atom(section, narrow)) is answer


def test_sections_do_not_cover_each_other() -> None:
    """No permission covers one of another section, also where both are levels."""
    texts = {"network": "*:*", "filesystem": "readwrite:/a", "bus": "publish:**", "call": "a/*", "env": "a*"}
    texts |= {"clock": "wall", "random": "secure", "gpu": "full", "state": "readwrite:a", "nn": "infer:*"}
    texts |= {"system": "notify"}
    assert set(texts) == set(STANDARD)
    atoms = [parse_atom(section, text) for section, text in texts.items()]
    for one, other in itertools.permutations(atoms, 2):
        assert not one.covers(other)
        assert not one.near(other)
    assert not parse_atom("clock", "wall").covers(parse_atom("random", "none"))


def test_of_levels_the_highest_is_left() -> None:
    """Several levels of a section come to the highest, `none` to nothing, whether it stands alone or not."""
    levels = PermissionSet.parse({"clock": ["none", "wall:coarse", "monotonic"], "random": "none", "gpu": ["none"]})
    assert [str(atom) for atom in levels.normalise()] == ["clock wall:coarse"]
    assert [str(atom) for atom in levels.asks_more(PermissionSet())] == ["clock wall:coarse"]
    assert PermissionSet().covers(RandomAtom("none"))
    assert not PermissionSet.parse({"random": "none"}).covers(RandomAtom.at("seeded"))
    old = PermissionSet.parse({"clock": "monotonic"})
    assert [str(atom) for atom in levels.asks_more(old)] == ["clock wall:coarse"]
    assert old.asks_more(levels) == ()


def test_what_is_the_extensions_own() -> None:
    """Its roots and its state are; nothing else is."""
    own = {"filesystem": ["read:@data", "write:@tmp/a", "read:@package"], "state": ["read:own", "write:own/a*"]}
    others = {"filesystem": ["read:/srv/@data", "write:/data"], "state": ["read:owner", "read:a/own"], "env": ["own"]}
    assert all(atom.own for atom in PermissionSet.parse(own))
    assert not any(atom.own for atom in PermissionSet.parse(others))


def test_reading_and_writing_at_once_has_two_parts() -> None:
    """A rule against writing finds it in what reads, too; everything else is its own part."""
    for section, text in (("filesystem", "readwrite:/a"), ("state", "readwrite:a/b*")):
        verbs = [part.text.partition(":")[0] for part in parse_atom(section, text).parts()]
        assert verbs == ["read", "write"]
    for section, text in (("filesystem", "read:/a"), ("network", "a.example"), ("clock", "wall"), ("nn", "infer:*")):
        atom = parse_atom(section, text)
        assert atom.parts() == (atom,)
    assert ClockAtom("none").parts() == ()


@pytest.mark.parametrize(
    "key", ["", "..", "a/../b", "a//b", "/a", "a/", "a*", "a\x00", "e\u0301", "k" * (MAX_KEY + 1), None]
)
def test_a_bad_key(key: str) -> None:
    """Keys are no paths, but one that could be read as a way out of a prefix is refused all the same (case 75)."""
    with pytest.raises(PermissionSyntaxError):
        check_key(key)


def test_the_vocabulary_of_an_app() -> None:
    """A section of the app's own is read, compared and normalised beside the others; a name is taken once."""
    notes = Notes()
    more = STANDARD.extended({"notes": notes.permission})
    assert [*more] == [*STANDARD, "notes"]
    written = {"notes": ["read:*", "read:shopping"], "network": ["a.example"], "clock": "wall"}
    permissions = PermissionSet.parse(written, more)
    wanted = parse_atom("notes", "read:birthdays", more)
    assert permissions.covers(wanted)
    assert str(permissions.covering(wanted)) == "notes read:*"
    assert [str(atom) for atom in permissions.asks_more(PermissionSet.parse({"clock": "wall"}))] == [
        "notes read:*",
        "network connect:a.example:443",
    ]
    with pytest.raises(PermissionSyntaxError, match="unknown section") as caught:
        PermissionSet.parse(written)
    assert "network" in caught.value.expected
    with pytest.raises(PermissionSyntaxError, match=r'^notes "ride:x": no verb'):
        PermissionSet.parse({"notes": ["ride:x"]}, more)
    with pytest.raises(PermissionSyntaxError, match="a string instead of a list"):
        PermissionSet.parse({"notes": "read:x"}, more)
    for name in ("notes", "network", "Notes", "", "1a", "a-b", "a" * 65):
        with pytest.raises(ValueError, match="section"):
            more.extended({name: notes.permission})


class Notes(Capability):
    """What an app may bring."""

    name = "notes"

    def parse(self, text: str) -> str:
        """`read:TOPIC`."""
        if not text.startswith("read:"):
            raise PermissionSyntaxError("no verb", "read:TOPIC")
        return text

    def covers(self, mine: str, wanted: str) -> bool:
        """`*` is all topics."""
        return mine in (wanted, "read:*")


def test_seed_examples() -> None:
    """Every permission of the founding page is accepted."""
    first = PermissionSet.parse({"network": ["api.weather.com"], "filesystem": ["read:/var/cache/weather"]})
    assert [str(atom) for atom in first] == [
        "network connect:api.weather.com:443",
        "filesystem read:/var/cache/weather",
    ]
    second = PermissionSet.parse(
        {
            "network": ["connect:api.github.com:443", "listen:127.0.0.1:3000"],
            "gpu": "limited:webgl1",
            "system": ["notify", "clipboard:read"],
        }
    )
    assert [str(atom) for atom in second.atoms] == [
        "network connect:api.github.com:443",
        "network listen:127.0.0.1:3000",
        "gpu limited:webgl1",
        "system notify",
        "system clipboard:read",
    ]


def test_a_level_is_a_text_or_a_list() -> None:
    """So it is for the sections whose permissions are levels, and for no other."""
    for section, level in (("clock", "wall"), ("random", "secure"), ("gpu", "full")):
        assert PermissionSet.parse({section: level}) == PermissionSet.parse({section: [level]})
    for section in set(STANDARD) - {"clock", "random", "gpu"}:
        with pytest.raises(PermissionSyntaxError, match="a string instead of a list"):
            PermissionSet.parse({section: "notify"})


@pytest.mark.parametrize(
    "sections",
    [
        {"netwrk": ["a.example"]},
        {"Network": ["a.example"]},
        {"network": "a.example"},
        {"network": None},
        {"network": {"a.example": 1}},
        {"network": [1]},
        {"network": [["a.example"]]},
        {"network": ["a.example"] * (MAX_PER_SECTION + 1)},
        {"gpu": 1},
        {"gpu": ""},
        {"gpu": ["full"] * (MAX_PER_SECTION + 1)},
        {"gpu": "x" * 513},
        {"system": "notify"},
        {"system": ["a\x00b"]},
        {"system": [None]},
        {"": []},
        {"x" * 100_000: []},
    ],
)
def test_malformed_sets(sections: dict[str, list[str]]) -> None:
    """A set with an unknown section, a value of the wrong shape or too many permissions is refused as a whole."""
    with pytest.raises(PermissionSyntaxError) as caught:
        PermissionSet.parse(sections)
    assert len(str(caught.value)) < 1000


def test_a_set_keeps_the_written_order_without_repetitions() -> None:
    """The same permission, written twice or in two spellings, is held once."""
    permissions = PermissionSet.parse({"network": ["b.example", "a.example", "B.example:443"]})
    assert [atom.text for atom in permissions] == ["connect:b.example:443", "connect:a.example:443"]
    assert permissions == PermissionSet((NetworkAtom.connect("b.example", 443), NetworkAtom.connect("a.example", 443)))
    assert not PermissionSet().covers(NetworkAtom.connect("a.example", 443))


@pytest.mark.parametrize(
    ("section", "texts", "asked", "by"),
    [
        ("filesystem", ["read:/a", "write:/a"], "readwrite:/a/b", "readwrite:/a"),
        ("filesystem", ["read:/a", "write:/a/b"], "readwrite:/a/b/c", "readwrite:/a/b"),
        ("filesystem", ["read:/a", "write:/a/b"], "readwrite:/a", None),
        ("network", ["a.example:80", "a.example:443"], "a.example:80,443", "connect:a.example:80,443"),
        ("network", ["*.example.org:80", "a.example.org:443"], "a.example.org:80,443", "connect:a.example.org:80,443"),
        ("network", ["a.example:1-10", "a.example:11-20"], "a.example:5-15", "connect:a.example:1-20"),
        ("network", ["10.0.0.0/25:1", "10.0.0.128/25:1"], "10.0.0.0/24:1", "connect:10.0.0.0/24:1"),
        ("network", ["10.0.0.0/25:1", "10.0.0.128/25:2"], "10.0.0.0/24:1", None),
        ("network", ["a.example:80", "udp:a.example:443"], "a.example:80,443", None),
    ],
)
def test_several_permissions_together(section: str, texts: list[str], asked: str, by: str | None) -> None:
    """Rights on the same thing add up, and the answer names what they come to."""
    found = PermissionSet.parse({section: texts}).covering(parse_atom(section, asked))
    assert (None if found is None else found.text) == by


def test_an_update_asks_for_exactly_what_is_new() -> None:
    """The question to the operator names the new host, verb or port, not what was granted before."""
    old = PermissionSet.parse({"network": ["api.weather.com"], "filesystem": ["read:/var/cache/weather"]})
    new = PermissionSet.parse(
        {
            "network": ["api.weather.com:80,443", "*.weather.com:443"],
            "filesystem": ["readwrite:/var/cache/weather"],
            "call": ["maps/*"],
        }
    )
    assert [atom.text for atom in new.asks_more(old)] == [
        "connect:api.weather.com:80",
        "connect:*.weather.com:443",
        "write:/var/cache/weather",
        "maps/*",
    ]
    assert old.asks_more(new) == ()


def test_what_is_shown_is_ascii_that_reads_back_in_ron() -> None:
    """Text for people has every quote, backslash and non-ASCII character escaped, as RON escapes them."""
    assert escaped('a"\\\n\u202e\u00e9~') == 'a\\"\\\\\\u{a}\\u{202e}\\u{e9}~'
    assert quoted("caf\u00e9") == '"caf\\u{e9}"'


@given(st.sets(st.integers(1, 60)), st.sets(st.integers(1, 60)))
def test_ports_are_sets(one: set[int], other: set[int]) -> None:
    """Sets of ports behave as sets of integers do."""
    a, b = (Ports().union(Ports.one(port) for port in numbers) for numbers in (one, other))
    assert _numbers(a) == one
    assert _numbers(a.union([b])) == one | other
    assert _numbers(a.minus(b)) == one - other
    assert a.covers(b) is (other <= one)
    assert bool(a) is bool(one)
    assert not a or Ports.parse(a.text) == a


def _numbers(ports: Ports) -> set[int]:
    return {port for first, last in ports.ranges() for port in range(first, last + 1)}


def test_atoms_are_values() -> None:
    """Atoms can be keys, and cannot be changed."""
    atom = BusAtom("publish", Pattern("a"))
    assert {atom: 1}[BusAtom.publish("a")] == 1
    with pytest.raises(AttributeError):
        atom.verb = "subscribe"  # type: ignore[misc]
    assert repr(NetworkAtom.parse("connect:*:2-65535").ports) == "Ports('2-65535')"
    assert set(get_args(NetworkVerb)) == {"connect", "listen", "udp", "resolve"}
