"""Grants: allowed is what was asked for and given, and a denial says which of the two is missing."""

import gc
import ipaddress
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.capabilities.atoms import Atom
from desk.capabilities.codes import CapabilityError, Code, PermissionDenied
from desk.capabilities.grant import Grant, Scope, charge
from desk.capabilities.grants import MOST, REMEMBERED, Decision, Grants
from desk.capabilities.level_atoms import ClockAtom
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


# -- several grants for one request


def test_one_grant_for_each_part_of_a_request() -> None:
    """What is read and written at once is allowed by a grant for each, and rests on both; `by` is what they come to."""
    read, write = FilesystemAtom.parse("read:/a"), FilesystemAtom.parse("write:/a/b")
    grants = Grants(PermissionSet((read, write)), PermissionSet((read, write)))
    decision = grants.decide(FilesystemAtom.readwrite("/a/b/c"))
    assert decision.allowed
    assert decision.by == FilesystemAtom.readwrite("/a/b")
    assert [grant.atom for grant in decision.grants] == [read, write]
    assert not grants.decide(FilesystemAtom.readwrite("/a/c")).allowed


def test_what_is_enough_alone_is_taken_alone_and_without_a_lease() -> None:
    """A grant with a limit is not used up while another allows the same without."""
    atom = NetworkAtom.connect("a.example", 443)
    grants = Grants(PermissionSet((atom,)))
    (once,) = grants.give([atom], scope=Scope.ONCE)
    (wide,) = grants.give([NetworkAtom.parse("*:443")])
    decision = grants.decide(atom)
    assert decision.grants == (wide,)
    decision.spend()
    assert (once.uses_left, wide.used) == (1, 1)


# -- the operator's rules


class Rules:
    """No port 80, whoever grants it."""

    def __init__(self, *, observe: bool = False) -> None:
        self.observe = observe

    def forbids(self, atom: Atom) -> str | None:
        """Port 80."""
        return "network *:80 of `policy\u202e`" if atom.text.endswith(":80") else None

    def denies(self, atom: Atom) -> str | None:
        """The same."""
        return self.forbids(atom)

    def denies_address(self, atom: NetworkAtom, address: object) -> str | None:
        """None."""
        return None


WIDE = PermissionSet.parse({"network": ["*:*"]})


def test_a_rule_refuses_what_is_asked_for_and_granted() -> None:
    """The decision names the rule, for the operator; the guest is told that there is one, and no line to add."""
    decision = Grants(WIDE, WIDE, Rules()).decide(NetworkAtom.connect("a.example", 80))
    assert (decision.allowed, decision.missing, decision.fix, decision.grants) == (False, "rule", "", ())
    assert decision.rule == "network *:80 of `policy\u202e`"
    assert decision.explanation == "network connect:a.example:80: refused by a rule of the operator"
    assert Grants(WIDE, WIDE, Rules()).decide(NetworkAtom.connect("a.example", 81)).allowed


@pytest.mark.parametrize(
    ("asked", "lacks"), [(PermissionSet(), "the manifest does not ask for it"), (WIDE, "it is not granted")]
)
def test_observing_lets_through_what_lacks_a_grant(asked: PermissionSet, lacks: str) -> None:
    """By its own word, with what enforcement would say and the line to add; the rules still refuse."""
    request = NetworkAtom.connect("a.example", 443)
    decision = Grants(asked, PermissionSet(), Rules(observe=True)).decide(request)
    assert (decision.allowed, decision.observed, decision.by, decision.missing) == (True, True, request, None)
    assert lacks in decision.explanation
    assert decision.fix == 'network: ["connect:a.example:443"]'
    assert Grants(asked, PermissionSet(), Rules(observe=True)).decide(NetworkAtom.connect("a.example", 80)).rule
    assert not Grants(WIDE, WIDE, Rules(observe=True)).decide(request).observed


# -- leases


class Clock:
    """Seconds that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.now


HOST = NetworkAtom.connect("a.example", 443)


def leased(**lease: float) -> tuple[Grants, Grant, Clock, list[str]]:
    """One grant with a lease, its clock, and a list that gets longer with each change."""
    clock, changes = Clock(), list[str]()
    grants = Grants(WIDE, clock=clock)
    (grant,) = grants.give([HOST], **lease)  # pyright: ignore[reportArgumentType]
    grants.on_change = lambda: changes.append("changed")
    return grants, grant, clock, changes


def test_a_lease_by_time_ends_at_its_time() -> None:
    """Also what was decided before: the next request is denied, and whoever holds what it opened is told."""
    grants, grant, clock, changes = leased(seconds=10)
    assert grants.next_end() == 110
    assert grants.decide(HOST).allowed
    clock.now = 109.9
    assert grants.decide(HOST) is grants.decide(HOST)
    assert not changes
    clock.now = 110
    assert not grant.live
    assert grants.decide(HOST).missing == "grant"
    assert changes == ["changed"]
    assert grant.ended == "expired"
    assert "not granted: what was granted for it has expired; grant it" in grants.decide(HOST).explanation
    assert (grants.next_end(), grants.records(), list(grants.granted)) == (None, (), [])


def test_a_lease_is_over_without_anybody_asking() -> None:
    """`expire` at `next_end` tells; before, it does nothing."""
    grants, _, clock, changes = leased(seconds=10)
    grants.expire()
    assert not changes
    clock.now = grants.next_end() or 0
    grants.expire()
    grants.expire()
    assert changes == ["changed"]


def test_what_is_given_is_said() -> None:
    """So that whoever waits for the next end can wait for another, and what was refused can be tried again."""
    grants, _, _, changes = leased(seconds=10)
    grants.give([HOST, HOST], seconds=5)
    assert changes == ["changed"]
    assert grants.next_end() == 105
    grants.give([])
    assert changes == ["changed"]


def test_once_is_one_use_and_asking_is_none() -> None:
    """Deciding spends nothing; the request that spends the last is carried out, and the change is told after it."""
    grants, grant, _, changes = leased(uses=2)
    for left in (2, 1):
        for _ in range(3):
            assert grants.decide(HOST).allowed
        assert grant.uses_left == left
        grants.decide(HOST).spend()
        assert not changes
    assert not grants.decide(HOST).allowed
    assert changes == ["changed"]
    assert (grant.ended, grant.used) == ("used up", 2)
    (once,) = grants.give([HOST], scope=Scope.ONCE, uses=7)
    assert once.uses_left == 1


def test_the_request_over_the_byte_budget_is_the_last() -> None:
    """It is answered; when its bytes are counted, the grant is over, and that is told at once."""
    grants, grant, _, changes = leased(size=1_000)
    decision = grants.decide(HOST)
    decision.spend()
    charge(decision.grants, 999)
    assert grants.decide(HOST) is decision
    charge(decision.grants, 5_000)
    assert grant.bytes_left == 0
    assert changes == ["changed"]
    assert not grants.decide(HOST).allowed


def test_a_remembered_decision_counts_for_its_own_grants() -> None:
    """When a grant is replaced by another, what was decided by the first does not touch the second."""
    grants, first, _, _ = leased(uses=1)
    decision = grants.decide(HOST)
    decision.spend()
    (second,) = grants.give([HOST], uses=1)
    assert grants.decide(HOST).grants == (second,)
    charge(decision.grants, 10)
    assert (first.used, second.used, second.uses_left) == (1, 0, 1)


@pytest.mark.parametrize("lease", [{"seconds": 0}, {"seconds": float("nan")}, {"uses": 0}, {"size": -1}])
def test_a_lease_is_above_zero(lease: dict[str, float]) -> None:
    """Anything else is the operator's mistake."""
    with pytest.raises(ValueError, match="above zero"):
        leased(**lease)


def test_a_grant_says_who_why_and_how_often() -> None:
    """What a list of grants shows; its repr is one line."""
    grants = Grants(WIDE)
    (grant,) = grants.give([HOST], scope=Scope.ALWAYS, uses=2, size=5_000, by="ada", reason="the forecast")
    assert (grant.by, grant.reason, grant.scope, grant.used, grant.last_used) == (
        "ada",
        "the forecast",
        Scope.ALWAYS,
        0,
        None,
    )
    grants.decide(HOST).spend()
    assert grant.last_used is not None
    assert grant.last_used >= grant.since
    assert repr(grant) == "<Grant network connect:a.example:443, always, 1 use left, 5,000 bytes left>"
    assert repr(grants) == "<Grants: 1, 1 of them a lease; 1 permissions asked for>"


def test_there_is_a_limit_to_grants() -> None:
    """One operator's program that grants ever more does not slow down every request; nothing of what is too much is granted."""
    atoms = [NetworkAtom.connect("a.example", port) for port in range(1, MOST + 2)]
    grants = Grants(WIDE)
    with pytest.raises(CapabilityError, match="which is the limit") as caught:
        grants.give(atoms)
    assert caught.value.guest_code is Code.OVERLOADED
    assert grants.records() == ()
    grants.give(atoms[1:])
    with pytest.raises(CapabilityError):
        grants.give(atoms[:1])
    for grant in grants.give([BusAtom.publish("a.b")], scope=Scope.ONCE):
        grant.revoke()
    assert len(grants.records()) == MOST


# -- handing on and taking back


def test_nothing_wider_is_derived() -> None:
    """Nor anything that lives longer, is used more often, or is meant for longer."""
    grants, grant, clock, _ = leased(seconds=10, uses=2)
    with pytest.raises(PermissionDenied, match=r"is more than network connect:a.example:443"):
        grant.derive(NetworkAtom.parse("*:443"))
    derived = grant.derive(seconds=99, uses=99, scope=Scope.ALWAYS)
    assert (derived.expires, derived.scope) == (110, Scope.SESSION)
    other = Grants(WIDE, clock=clock)
    other.take([derived])
    other.decide(HOST).spend()
    grants.decide(HOST).spend()
    assert (grant.uses_left, derived.uses_left) == (0, 98)
    assert not other.decide(HOST).allowed
    with pytest.raises(PermissionDenied, match="it is used up"):
        grant.derive()


def test_revoking_reaches_everything_derived() -> None:
    """Through any number of hands, whoever decides by it; and nothing beside it."""
    first = Grants(WIDE)
    grant, beside = first.give([HOST, HOST])
    others: list[Grants] = []
    told: list[Grants] = []
    link = grant
    for _ in range(2_000):
        link = link.derive()
        others.append(Grants(WIDE))
        others[-1].take([link])
        others[-1].on_change = lambda mine=others[-1]: told.append(mine)
    assert others[-1].decide(HOST).allowed
    grant.revoke()
    grant.revoke()
    assert not any(other.decide(HOST).allowed for other in others)
    assert told == others
    assert link.ended == "revoked"
    assert first.decide(HOST).grants == (beside,)


def test_what_is_over_is_forgotten() -> None:
    """Whoever derives again and again from one grant does not fill the memory with what is over."""
    grants = Grants(WIDE, WIDE)
    (grant,) = grants.records()
    for _ in range(100):
        child = grant.derive(HOST)
        child.derive()
        child.revoke()
    assert grant.derived == ()


def test_what_was_narrowed_is_still_reached() -> None:
    """What is left of a grant comes from it: whoever holds the old one, or what that came from, takes it back with that."""
    for hold in ("the operator's", "the derived"):
        first, second = Grants(WIDE), Grants(WIDE)
        (root,) = first.give([NetworkAtom.parse("*.x.example:1-9")])
        derived = root.derive()
        second.take([derived])
        taken = second.revoke([NetworkAtom.parse("*.x.example:1-5")])
        assert second.decide(NetworkAtom.connect("a.x.example", 7)).allowed
        assert [grant.atom.text for grant in taken.left] == ["connect:*.x.example:6-9"]
        (root if hold == "the operator's" else derived).revoke()
        assert second.records() == ()
        assert root.derived == ()


def test_what_was_narrowed_together_is_still_reached() -> None:
    """Also if a grant and what was derived from it are narrowed at once, by the one extension that has both."""
    grants = Grants(WIDE)
    (root,) = grants.give([NetworkAtom.parse("x.example:1-9")])
    grants.take([root.derive()])
    assert len(grants.revoke([NetworkAtom.parse("x.example:1-5")]).left) == 2
    root.revoke()
    assert grants.records() == ()


@pytest.mark.parametrize(
    ("held", "taken", "left"),
    [
        ("filesystem readwrite:/a", "filesystem write:/a", ["read:/a"]),
        ("filesystem readwrite:/a", "filesystem write:/a/b", ["read:/a"]),
        ("filesystem read:/a", "filesystem write:/a", ["read:/a"]),
        ("filesystem read:/a", "filesystem read:/a/b", []),
        ("filesystem read:/a/b", "filesystem readwrite:/a", []),
        ("network connect:x.example:80-90", "network connect:x.example:85", ["connect:x.example:80-84,86-90"]),
        ("network connect:x.example:80-90", "network connect:*:85", ["connect:x.example:80-84,86-90"]),
        ("network connect:*.x.example:443", "network connect:a.x.example:443", []),
        ("network connect:*.x.example:443", "network connect:y.example:443", ["connect:*.x.example:443"]),
        ("network connect:x.example:443", "network udp:x.example:443", ["connect:x.example:443"]),
        ("network connect:x.example:443", "network resolve:x.example", []),
        ("network resolve:*.x.example", "network connect:a.x.example:443", []),
        ("network connect:10.0.0.0/8:80", "network connect:10.1.0.0/16:80", []),
        ("bus publish:a.*", "bus publish:*.b", []),
        ("bus publish:a.*", "bus publish:c.**", ["publish:a.*"]),
        ("clock wall", "clock monotonic:coarse", []),
        ("call maps/*", "call maps/draw", []),
        ("state readwrite:notes", "state write:notes/a*", ["read:notes"]),
        ("env read:APP_*", "env read:HOME", ["read:APP_*"]),
    ],
)
def test_revoking_leaves_what_can_be_said(held: str, taken: str, left: list[str]) -> None:
    """Nothing of what is revoked is allowed, and the answer says what became of the grant."""
    mine, theirs = (PermissionSet.parse({section: [text]}) for section, text in (held.split(), taken.split()))
    grants = Grants(mine, mine)
    (before,) = grants.records()
    answer = grants.revoke(theirs)
    assert [grant.atom.text for grant in grants.records()] == left
    if left == [before.atom.text]:
        assert answer == ((), ())
    else:
        assert answer.ended == (before,)
        assert answer.left == grants.records()
        assert all(grant.parent is before and grant.by == before.by for grant in answer.left)


@pytest.mark.parametrize(
    ("held", "kept", "left"),
    [
        ("filesystem readwrite:/a", "filesystem read:/a/b", ["read:/a/b"]),
        ("filesystem read:/a/b", "filesystem read:/a", ["read:/a/b"]),
        ("network connect:*:1-100", "network connect:*.x.example:50-200", ["connect:*.x.example:50-100"]),
        ("bus publish:a.*", "bus publish:*.b", ["publish:a.b"]),
        ("bus publish:a.**", "bus publish:*.b.*", ["publish:a.b.*"]),
        ("clock wall", "clock monotonic", ["monotonic"]),
        ("nn infer:*@cpu", "nn infer:small@gpu", ["infer:small@cpu"]),
        ("call maps/*", "bus publish:a", []),
    ],
)
def test_narrowing_keeps_what_both_permit(held: str, kept: str, left: list[str]) -> None:
    """And gives nothing that was not there."""
    mine, theirs = (PermissionSet.parse({section: [text]}) for section, text in (held.split(), kept.split()))
    grants = Grants(mine, mine)
    grants.narrow(theirs)
    assert [grant.atom.text for grant in grants.records()] == left


def test_what_is_left_of_a_lease_is_left() -> None:
    """Narrowing neither prolongs a grant nor gives back what was used; what remains of it is shared."""
    grants, _, _, changes = leased(seconds=10, uses=3)
    grants.decide(HOST).spend()
    (wide,) = grants.give([FilesystemAtom.parse("readwrite:/a")], seconds=20, uses=2)
    changes.clear()
    answer = grants.narrow([FilesystemAtom.parse("read:/a/b"), FilesystemAtom.parse("write:/a/c")])
    assert changes == ["changed"]
    assert {grant.expires for grant in answer.left} == {120}
    assert len(answer.left) == 2
    one, other = answer.left
    assert one.live
    for grant in answer.left:
        Decision(True, grant.atom, grant.atom, None, "", "", (grant,)).spend()
    assert (one.over, other.over, wide.used) == ("used up", "used up", 2)


def test_what_others_derived_stays_if_it_is_within_what_is_left() -> None:
    """And all else of theirs ends, and is in the answer."""
    first, second = Grants(WIDE), Grants(WIDE)
    (root,) = first.give([NetworkAtom.parse("x.example:1-9")])
    low, high = (root.derive(NetworkAtom.parse(f"x.example:{ports}")) for ports in ("1-3", "7-9"))
    second.take([low, high])
    answer = first.revoke([NetworkAtom.parse("x.example:1-5")])
    assert second.records() == (high,)
    assert set(answer.ended) == {root, low}
    root.revoke()
    assert second.records() == ()


def test_levels_go_with_what_they_include() -> None:
    """A grant of a level is one of those below: narrowed to the lower, the higher is denied."""
    levels = PermissionSet.parse({"clock": "wall"})
    grants = Grants(levels, levels)
    assert grants.decide(ClockAtom.at("wall")).allowed
    grants.narrow(PermissionSet.parse({"clock": "monotonic"}))
    assert not grants.decide(ClockAtom.at("wall")).allowed
    assert grants.decide(ClockAtom.at("monotonic:coarse")).allowed


def test_equal_hashes_cannot_be_chosen() -> None:
    """Ports and addresses that a guest picks do not end in one place of a table, however they are chosen."""
    ports = {hash(NetworkAtom.connect("a.example", port)) for port in range(1, 65_536, 61)}
    assert len(ports) > 1_000
    far = 2**61 - 1
    addresses = [f"[{ipaddress.IPv6Address((0x2001 << 112) + number * far)}]" for number in range(1_000)]
    assert len({hash(NetworkAtom.connect(address, 443)) for address in addresses}) > 900
