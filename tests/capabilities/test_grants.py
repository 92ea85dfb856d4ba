"""Grants: allowed is what was asked for and given, and a denial says which of the two is missing."""

import gc
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.capabilities.grants import REMEMBERED, Decision, Grants
from desk.capabilities.permissions import BusAtom, CallAtom, FilesystemAtom, NetworkAtom, PermissionSet

MANIFEST = PermissionSet.parse(
    {
        "network": ["api.weather.com", "*.tiles.example.org:443"],
        "filesystem": ["read:@data", "write:@data"],
        "bus": ["publish:weather.*"],
    }
)
OPERATOR = PermissionSet.parse({"network": ["*:443"], "filesystem": ["readwrite:@data"], "call": ["maps/*"]})
GRANTS = Grants(MANIFEST, OPERATOR)


def test_allowed_is_asked_for_and_granted() -> None:
    """A request that both sides cover is allowed, by the operator's grant."""
    request = NetworkAtom.connect("api.weather.com", 443)
    assert GRANTS.decide(request) == Decision(
        allowed=True,
        atom=request,
        by=NetworkAtom.parse("*:443"),
        missing=None,
        explanation="network connect:api.weather.com:443: granted by network connect:*:443",
        fix="",
    )
    assert GRANTS.decide(FilesystemAtom.readwrite("@data/x")).allowed


def test_a_generous_operator_does_not_widen_the_manifest() -> None:
    """What the manifest does not ask for is denied even if granted, and the line for the manifest is given."""
    decision = GRANTS.decide(NetworkAtom.connect("evil.example", 443))
    assert not decision.allowed
    assert decision.by is None
    assert decision.missing == "request"
    assert decision.fix == 'network: ["connect:evil.example:443"]'
    assert decision.explanation == (
        "network connect:evil.example:443: the manifest does not ask for it; "
        'add `network: ["connect:evil.example:443"]` to its permissions'
    )
    assert GRANTS.decide(CallAtom.to("maps", "draw")).missing == "request"


def test_asking_alone_gives_nothing() -> None:
    """What the operator did not grant is denied although asked for, and the line for the grant is given."""
    decision = GRANTS.decide(BusAtom.publish("weather.changed"))
    assert not decision.allowed
    assert decision.missing == "grant"
    assert decision.fix == 'bus: ["publish:weather.changed"]'
    assert decision.explanation == (
        "bus publish:weather.changed: the manifest asks for it, but it is not granted; "
        'grant it with `bus: ["publish:weather.changed"]`'
    )


@pytest.mark.parametrize(
    ("mine", "request_", "near"),
    [
        (
            {"network": ["news.example.com"]},
            NetworkAtom.connect("news.example.com", 80),
            "connect:news.example.com:443",
        ),
        ({"network": ["*.example.com:1-9"]}, NetworkAtom.connect("news.example.com", 80), "connect:*.example.com:1-9"),
        ({"network": ["10.0.0.0/8:1"]}, NetworkAtom.connect("10.0.0.1", 80), "connect:10.0.0.0/8:1"),
        ({"network": ["udp:a.example:80"]}, NetworkAtom.connect("a.example", 80), "udp:a.example:80"),
        ({"bus": ["subscribe:weather.*"]}, BusAtom.publish("weather.changed"), "subscribe:weather.*"),
        ({"call": ["maps/draw", "other/draw"]}, CallAtom.to("maps", "drew"), "maps/draw"),
    ],
)
def test_what_is_near_is_named(
    mine: dict[str, list[str]], request_: NetworkAtom | BusAtom | CallAtom, near: str
) -> None:
    """A denial says what there is for the same host, subject or extension, on the side that lacks the permission."""
    written = PermissionSet.parse(mine)
    denied = Grants(written, PermissionSet()).decide(request_)
    assert denied.explanation.endswith(f"add `{denied.fix}` to its permissions (it asks for {near})")
    asked = PermissionSet((request_,))
    denied = Grants(asked, written).decide(request_)
    assert denied.explanation.endswith(f"grant it with `{denied.fix}` (granted is {near})")


def test_what_is_not_near_is_not_named() -> None:
    """Another host, a path or a subject of its own says nothing about a request."""
    for request_ in (NetworkAtom.connect("b.example", 443), FilesystemAtom.write("/x"), BusAtom.publish("x.y")):
        mine = PermissionSet.parse({"network": ["a.example"], "filesystem": ["read:/x"], "bus": ["subscribe:x.z"]})
        assert not Grants(mine, mine).decide(request_).explanation.endswith(")")


def test_few_of_many_near_permissions_are_named() -> None:
    """Three, each cut: the line to add comes first, and is within the thousand characters that a guest is told."""
    host = ".".join(["a" * 60] * 4)
    mine = PermissionSet.parse({"network": [f"{host}:{port}" for port in range(1, 100, 2)] + [f"udp:{host}:1-65535"]})
    explanation = Grants(mine, mine).decide(NetworkAtom.connect(host, 2)).explanation
    assert explanation.count("connect:") == 5
    assert explanation.endswith(", ...)")
    assert len(explanation) < 1_100
    assert "to its permissions" in explanation[:1024]


def test_nothing_is_allowed_by_default() -> None:
    """Two empty sets allow nothing."""
    assert not Grants(PermissionSet(), PermissionSet()).decide(NetworkAtom.connect("a.example", 443)).allowed


def test_a_name_never_allows_an_address() -> None:
    """A grant of all names is none for a literal address: the provider asks for it separately."""
    wide = PermissionSet.parse({"network": ["*:*"]})
    assert not Grants(wide, wide).decide(NetworkAtom.connect("169.254.169.254", 80)).allowed


def test_explanations_are_escaped() -> None:
    """Whatever a guest puts into a path, people see printable ASCII."""
    decision = GRANTS.decide(FilesystemAtom.read('/caf\u00e9/"; rm `x` \u05d0'))
    assert decision.explanation.isascii()
    assert decision.explanation.isprintable()
    assert decision.fix == 'filesystem: ["read:/caf\\u{e9}/\\"; rm `x` \\u{5d0}"]'


@pytest.mark.parametrize(
    "request_",
    [
        NetworkAtom.connect("::1", 8080),
        NetworkAtom.resolve("a.example"),
        FilesystemAtom.write('/caf\u00e9/"x"'),
        BusAtom.subscribe("a.**"),
        CallAtom.to("maps", "draw"),
    ],
)
def test_the_fix_fixes(request_: NetworkAtom | FilesystemAtom | BusAtom | CallAtom) -> None:
    """Adding the suggested lines, read as RON, to the manifest and to the grants allows the request."""
    decision = Grants(PermissionSet(), PermissionSet()).decide(request_)
    line = re.fullmatch(r'([a-z]+): \["(.*)"\]', decision.fix)
    assert line is not None
    text = re.sub(r"\\u\{([0-9a-f]+)\}|\\(.)", lambda found: found[2] or chr(int(found[1], 16)), line[2])
    fixed = PermissionSet.parse({line[1]: [text]})
    assert Grants(fixed, PermissionSet()).decide(request_).missing == "grant"
    assert Grants(fixed, fixed).decide(request_).allowed


@given(
    st.lists(st.sampled_from(["x.example", "*.x.example", "*:443", "x.example:80"]), max_size=3),
    st.lists(st.sampled_from(["x.example", "*.x.example", "*:443", "x.example:80"]), max_size=3),
    st.sampled_from(["x.example", "a.x.example", "y.example"]),
    st.sampled_from([80, 443]),
)
def test_a_decision_is_the_meeting_of_both(asked: list[str], given_: list[str], host: str, port: int) -> None:
    """Allowed exactly if both sets cover the request, and the same again when asked again."""
    requested, granted = (PermissionSet.parse({"network": texts}) for texts in (asked, given_))
    grants = Grants(requested, granted)
    request = NetworkAtom.connect(host, port)
    decision = grants.decide(request)
    assert decision.allowed is (requested.covers(request) and granted.covers(request))
    assert decision.allowed is (decision.missing is None) is (decision.fix == "")
    assert decision.by is None or decision.by.covers(request)
    assert grants.decide(request) is decision
    assert Grants(requested, granted).decide(request) == decision


def test_a_flood_of_requests_is_not_remembered() -> None:
    """However many different things a guest asks for, answers stay right and the memory bounded."""
    grants = Grants(MANIFEST, OPERATOR)
    allowed = NetworkAtom.connect("api.weather.com", 443)
    for port in range(1, 3 * REMEMBERED):
        assert not grants.decide(NetworkAtom.connect("evil.example", port)).allowed
        assert grants.decide(allowed).allowed
    mine = [known for known in gc.get_objects() if isinstance(known, Decision) and "evil" in known.fix]
    assert 0 < len(mine) <= REMEMBERED
