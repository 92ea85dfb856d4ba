"""The operator decides: deny rules and the ceiling hold whatever is granted, and reach whatever could get around them."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.bus.subjects import Pattern
from desk.capabilities.atoms import Atom
from desk.capabilities.capability import Capability, operation
from desk.capabilities.decision import Decision
from desk.capabilities.filesystem_atoms import FilesystemAtom
from desk.capabilities.grants import Grants
from desk.capabilities.message_atoms import BusAtom, CallAtom
from desk.capabilities.network_atoms import NetworkAtom
from desk.capabilities.permissions import PermissionSet, parse_atom
from desk.capabilities.policy import Policy
from desk.capabilities.reach import reaches
from desk.capabilities.syntax import PermissionSyntaxError
from desk.capabilities.vocabulary import STANDARD

EVERYTHING = PermissionSet.parse(
    {
        "network": ["*:*", "0.0.0.0/0:*", "[2000::/3]:*", "udp:*:*", "resolve:evil.example"],
        "filesystem": ["readwrite:/srv", "readwrite:@data"],
        "bus": ["publish:**", "subscribe:**"],
        "call": ["maps/*"],
        "clock": "wall",
        "random": "secure",
        "env": ["APP_*"],
        "state": ["readwrite:shared"],
        "system": ["notify", "open-url"],
    }
)


@dataclass(frozen=True)
class Manifest:
    """As much of one as a policy looks at."""

    name: str
    requested: PermissionSet

    def reason(self, atom: Atom) -> str:
        return ""


def decided(policy: Policy, request: Atom, granted: PermissionSet = EVERYTHING) -> Decision:
    """The decision about a request of an extension that asks for everything."""
    return Grants(EVERYTHING, granted, policy.rules("widget")).decide(request)


@pytest.mark.parametrize(
    ("section", "rule", "request_", "refused"),
    [
        # addresses: a block, its members, and IPv6 that leads to them; never a name
        ("network", "10.0.0.0/8:*", "connect:10.1.2.3:80", True),
        ("network", "10.0.0.0/8:*", "connect:11.1.2.3:80", False),
        ("network", "10.0.0.0/8:80", "connect:10.1.2.3:81", False),
        ("network", "10.0.0.0/8:*", "udp:10.1.2.3:53", False),
        ("network", "10.0.0.0/8:*", "connect:[64:ff9b::a01:203]:80", True),
        ("network", "10.0.0.0/8:*", "connect:[2002:a01:203::1]:80", True),
        ("network", "10.0.0.0/8:*", "connect:intern.example:80", False),
        ("network", "*:*", "connect:10.1.2.3:80", False),
        ("network", "[2001:db8::/32]:*", "connect:[2001:db8::7]:443", True),
        # names, and looking them up
        ("network", "*.evil.example:*", "connect:a.b.evil.example:443", True),
        ("network", "*.evil.example:*", "connect:evil.example:443", False),
        ("network", "*:25", "connect:mail.example:25", True),
        ("network", "*:25", "resolve:mail.example", False),
        ("network", "*:*", "resolve:mail.example", True),
        ("network", "resolve:evil.example", "connect:evil.example:443", True),
        ("network", "resolve:evil.example", "udp:evil.example:53", True),
        ("network", "resolve:evil.example", "listen:127.0.0.1:8080", False),
        # paths: below, in other letters, above for writing only
        ("filesystem", "read:/srv/secret", "read:/srv/secret/key", True),
        ("filesystem", "read:/srv/secret", "read:/SRV/Secret/key", True),
        ("filesystem", "read:/srv/secret", "readwrite:/srv/secret/key", True),
        ("filesystem", "read:/srv/secret", "write:/srv/secret/key", False),
        ("filesystem", "write:/etc", "readwrite:/etc/x", True),
        ("filesystem", "read:/srv/secret", "read:/srv", False),
        ("filesystem", "read:/srv/secret", "write:/srv", True),
        ("filesystem", "write:/srv/a/b/c", "readwrite:/srv/a", True),
        ("filesystem", "read:/srv/secret", "read:/srv/secrets", False),
        ("filesystem", "read:/srv/secret", "write:/srv/secrets", False),
        ("filesystem", "write:@data/keep", "write:@data", True),
        # levels: the one named and those above
        ("clock", "wall", "wall:coarse", False),
        ("clock", "monotonic", "monotonic:coarse", False),
        ("clock", "monotonic", "monotonic", True),
        ("clock", "monotonic", "wall", True),
        ("random", "secure", "seeded", False),
        # patterns that have a subject in common
        ("bus", "subscribe:sys.**", "subscribe:**", True),
        ("bus", "subscribe:sys.**", "subscribe:*.started", True),
        ("bus", "subscribe:sys.**", "subscribe:*", False),
        ("bus", "subscribe:sys.**", "subscribe:weather.**", False),
        ("bus", "subscribe:a.*.c", "subscribe:a.b.**", True),
        ("bus", "publish:alerts.**", "publish:alerts.fire", True),
        ("bus", "subscribe:alerts.**", "publish:alerts.fire", False),
        # the rest
        ("call", "maps/*", "maps/draw", True),
        ("call", "maps/erase", "maps/draw", False),
        ("env", "APP_*", "APP_TOKEN", True),
        ("env", "APP_T*", "APP_HOME", False),
        ("state", "readwrite:shared/a", "read:shared/*", True),
        ("state", "read:shared/ab*", "read:shared/a*", True),
        ("state", "write:shared/ab*", "read:shared/abc", False),
        ("system", "open-url", "open-url", True),
        ("system", "open-url", "notify", False),
    ],
)
def test_a_deny_rule_reaches(section: str, rule: str, request_: str, refused: bool) -> None:
    """What a rule refuses: all that it has anything in common with, and no more than it has to."""
    assert reaches(parse_atom(section, rule), parse_atom(section, request_)) is refused
    denies = Policy(deny={section: [rule]}).rules("widget").denies(parse_atom(section, request_))
    assert denies == (f"deny {parse_atom(section, rule)}" if refused else None)


@pytest.mark.parametrize("host", ["evil.example", "*.evil.example", "*", "10.0.0.0/8", "[2001:db8::1]"])
def test_to_forbid_a_host_is_to_forbid_every_port_of_it(host: str) -> None:
    """Not 443 alone, as in a grant or in the ceiling; with ports, it is those."""
    for verb in ("", "connect:"):
        assert list(Policy(deny={"network": [f"{verb}{host}"]}).deny) == [parse_atom("network", f"{host}:*")]
    assert list(Policy(deny={"network": [f"{host}:443"]}).deny) == [parse_atom("network", f"{host}:443")]
    policy = Policy(ceiling={"network": [host]}, grants={"widget": {"network": [host]}})
    assert policy.ceiling == policy.grants["widget"] == PermissionSet((parse_atom("network", f"{host}:443"),))
    for verb in ("listen", "udp"):
        with pytest.raises(PermissionSyntaxError, match="without ports"):
            Policy(deny={"network": [f"{verb}:192.0.2.1"]})


_WORDS = ("a", "b", "*")
_PATTERNS = [
    Pattern(".".join(words))
    for length in (1, 2, 3)
    for head in product(_WORDS, repeat=length - 1)
    for words in ((*head, last) for last in (*_WORDS, "**"))
]
_SUBJECTS = [".".join(words) for length in range(1, 6) for words in product("ab", repeat=length)]


@given(st.sampled_from(_PATTERNS), st.sampled_from(_PATTERNS))
def test_patterns_meet_if_they_have_a_subject_in_common(one: Pattern, other: Pattern) -> None:
    """Neither less nor more: against all subjects of two words, as long as five."""
    common = any(one.matches(subject) and other.matches(subject) for subject in _SUBJECTS)
    assert reaches(BusAtom("subscribe", one), BusAtom("subscribe", other)) is common


_REQUESTS = st.one_of(
    st.builds(
        NetworkAtom.connect,
        st.sampled_from(["evil.example", "api.evil.example", "10.1.2.3", "10.9.9.9", "2001:db8::1"]),
        st.sampled_from([25, 80, 443]),
    ),
    st.builds(
        FilesystemAtom.readwrite,
        st.sampled_from(["/srv", "/srv/a", "/srv/a/b", "/srv/ab", "@data", "@data/x"]),
    ),
    st.builds(BusAtom.subscribe, st.sampled_from(["**", "a.**", "a.b", "*.b", "c"])),
    st.builds(BusAtom.publish, st.sampled_from(["a.b", "c"])),
    st.builds(CallAtom.to, st.just("maps"), st.sampled_from(["draw", "erase"])),
    st.sampled_from([parse_atom("clock", level) for level in ("monotonic", "wall:coarse", "wall")]),
)
_PERMISSIONS = st.one_of(
    _REQUESTS,
    st.sampled_from(
        [
            *(
                parse_atom("network", text)
                for text in ("*:*", "*.evil.example:25,443", "10.0.0.0/8:*", "10.1.0.0/16:80")
            ),
            *(
                parse_atom("filesystem", text)
                for text in ("read:/srv/a", "write:/srv", "readwrite:/srv/a/b", "read:@data")
            ),
            *(parse_atom("bus", text) for text in ("publish:**", "subscribe:a.**", "subscribe:*")),
            parse_atom("call", "maps/*"),
        ]
    ),
)
_SETS = st.lists(_PERMISSIONS, max_size=6).map(lambda atoms: PermissionSet(tuple(atoms)))


@given(deny=_SETS, granted=_SETS, ceiling=st.none() | _SETS, observe=st.booleans(), request_=_REQUESTS)
def test_deny_always_wins(
    deny: PermissionSet, granted: PermissionSet, ceiling: PermissionSet | None, observe: bool, request_: Atom
) -> None:
    """Whatever is granted and observed: what a rule covers any part of is refused, by the rule; so is what covers a rule."""
    policy = Policy(deny=deny, ceiling=ceiling, observe=observe)
    decision = decided(policy, request_, PermissionSet((*granted, *EVERYTHING)))
    for rule in deny:
        parts = [part for part in request_.parts() if part.section != "clock"]
        if rule.covers(request_) or any(rule.covers(part) for part in parts):
            if request_.section == "clock" and not request_.covers(rule):
                continue  # a level below the one that is forbidden
            assert not decision.allowed
            assert decision.missing == "rule"
            assert decision.rule
    if decision.allowed:
        assert policy.rules("widget").forbids(request_) is None


@given(granted=_SETS, ceiling=_SETS, request_=_REQUESTS)
def test_a_ceiling_and_grants_are_an_intersection(
    granted: PermissionSet, ceiling: PermissionSet, request_: Atom
) -> None:
    """Allowed is exactly what is granted and lies below the ceiling."""
    decision = decided(Policy(ceiling=ceiling), request_, granted)
    assert decision.allowed is (granted.covers(request_) and ceiling.covers(request_))
    assert decision.missing == (None if decision.allowed else "grant" if ceiling.covers(request_) else "rule")


def test_no_ceiling_is_none_and_an_empty_one_is_everything() -> None:
    """Without one all grants count; `{}` permits nothing, and the reason is said."""
    request = NetworkAtom.connect("a.example", 443)
    assert decided(Policy(), request).allowed
    decision = decided(Policy(ceiling={}), request)
    assert (decision.allowed, decision.missing) == (False, "rule")
    assert decision.rule == "ceiling, which has no network that covers it"


def test_observing_lets_through_what_is_not_granted_but_nothing_forbidden() -> None:
    """For those named, or all; a deny rule and the ceiling hold for them as for the others."""
    request = NetworkAtom.connect("a.example", 443)
    policy = Policy(deny={"network": ["b.example:*"]}, observe={"widget"})
    observed = Grants(PermissionSet(), PermissionSet(), policy.rules("widget"))
    assert observed.decide(request).observed
    assert observed.decide(NetworkAtom.connect("b.example", 443)).missing == "rule"
    assert not Grants(PermissionSet(), PermissionSet(), policy.rules("other")).decide(request).allowed
    assert Policy(observe=True).rules("other").observe


@pytest.mark.parametrize(
    ("address", "refused"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("64:ff9b::10.1.2.3", True),
        ("2002:a01:203::1", True),
        ("2001:0:a01:203::1", True),
        ("203.0.113.9", False),
        ("fe80::1%eth0", False),
    ],
)
def test_a_name_is_held_against_the_rules_again_when_it_is_looked_up(address: str, refused: bool) -> None:
    """A rule for a block of addresses holds for names that stand for one of them, in whatever spelling DNS gives it."""
    rules = Policy(deny={"network": ["10.0.0.0/8:*"]}, ceiling={"network": ["*:443"]}).rules("widget")
    request = NetworkAtom.connect("a.example", 443)
    assert rules.forbids(request) is None
    rule = rules.denies_address(request, ip_address(address))
    assert rule == ("deny network connect:10.0.0.0/8:*" if refused else None)
    assert (
        Policy(deny={"network": ["10.0.0.0/8:80"]}).rules("w").denies_address(request, ip_address("10.1.2.3")) is None
    )


def test_the_rule_is_for_the_operator_only() -> None:
    """What a guest is told does not say what else is forbidden: only that it may not have this."""
    decision = decided(Policy(deny={"filesystem": ["read:/srv/private/plans"]}), FilesystemAtom.write("/srv"))
    assert decision.rule == "deny filesystem read:/srv/private/plans"
    assert "plans" not in decision.explanation


def test_who_is_granted_what_when_it_is_loaded() -> None:
    """What `grants` says, or else `decide`, or else nothing."""
    asked: list[str] = []
    requested = PermissionSet.parse({"network": ["a.example"], "call": ["maps/draw"]})

    def decide(manifest: object) -> Mapping[str, list[str]] | str | None:
        assert isinstance(manifest, Manifest)
        asked.append(manifest.name)
        return {"trusted": "requested", "half": {"network": ["a.example"]}}.get(manifest.name)

    policy = Policy(grants={"named": {"call": ["maps/draw"]}, "full": "requested"}, decide=decide)  # pyright: ignore[reportArgumentType]
    given = {
        name: policy.granted(Manifest(name, requested)) for name in ("named", "full", "trusted", "half", "unknown")
    }
    assert given == {
        "named": PermissionSet.parse({"call": ["maps/draw"]}),
        "full": requested,
        "trusted": requested,
        "half": PermissionSet.parse({"network": ["a.example"]}),
        "unknown": PermissionSet(),
    }
    assert asked == ["trusted", "half", "unknown"]
    assert Policy().granted(Manifest("unknown", requested)) == PermissionSet()


@pytest.mark.parametrize("answer", [True, "all", 7, ["network"]])
def test_a_decision_that_is_none_is_an_error(answer: object) -> None:
    """What `decide` returns is permissions, "requested" or None; anything else is not taken for a yes."""
    policy = Policy(decide=lambda manifest: answer)  # pyright: ignore[reportArgumentType, reportUnknownLambdaType]
    with pytest.raises(TypeError, match=r"decide\(widget\).*expected permissions by section"):
        policy.granted(Manifest("widget", EVERYTHING))


def test_a_policy_that_makes_no_sense_is_an_error() -> None:
    """Unknown sections, what is no mapping, a name in place of names, and rules that could not forbid anything."""
    with pytest.raises(PermissionSyntaxError, match="netwrok"):
        Policy(deny={"netwrok": ["a.example"]})
    with pytest.raises(PermissionSyntaxError):
        Policy(grants={"widget": {"network": ["http://a.example"]}})
    with pytest.raises(TypeError, match="deny is"):
        Policy(deny=["network"])  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="observe"):
        Policy(observe="widget")
    with pytest.raises(ValueError, match="'Kit!' is no name of an extension; expected 1 to 64 of a-z 0-9 -"):
        Policy(grants={"Kit!": "requested"})
    with pytest.raises(ValueError, match="'Kit!' is no name"):
        Policy(observe={"Kit!"})
    for section, text in (("clock", "none"), ("state", "readwrite:own")):
        with pytest.raises(PermissionSyntaxError, match="takes no permission"):
            Policy(deny={section: [text]})


def test_an_app_has_rules_for_its_own_capabilities() -> None:
    """Those it registers can be named in a policy, too."""

    class Notes(Capability):
        name = "notes"

        def covers(self, mine: str, wanted: str) -> bool:
            return mine == "all"

        @operation(needs="{topic}")
        async def find(self, topic: str) -> str:
            return topic

    notes = Notes()
    with pytest.raises(PermissionSyntaxError):
        Policy(deny={"notes": ["diary"]})
    policy = Policy(deny={"notes": ["diary"]}, capabilities=[notes])
    rules = policy.rules("widget")
    assert rules.forbids(notes.permission("shopping")) is None
    assert rules.forbids(notes.permission("diary")) == "deny notes diary"
    assert rules.forbids(notes.permission("all")) == "deny notes diary"


def test_a_policy_says_what_it_is() -> None:
    """Its repr counts what it holds."""
    policy = Policy(deny={"network": ["a.example", "b.example"]}, ceiling={}, grants={"x": "requested"}, observe=True)
    assert repr(policy) == "<Policy: 2 deny rules, grants for 1 extensions, a ceiling, observes>"
    assert set(STANDARD) >= {atom.section for atom in policy.deny}
