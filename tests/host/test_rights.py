"""Rights change while an extension runs: at the next request, for what is open, and for when it is loaded again."""

import socket
from dataclasses import dataclass
from pathlib import Path

import pytest

from desk.bus.envelope import Origin
from desk.capabilities.audit import Audit
from desk.capabilities.broker import Broker
from desk.capabilities.codes import PermissionDenied
from desk.capabilities.grant import Scope
from desk.capabilities.grants import Grants
from desk.capabilities.network_atoms import NetworkAtom
from desk.capabilities.permissions import PermissionSet
from desk.capabilities.policy import Policy
from desk.capabilities.provider import Member, Use
from desk.capabilities.remembered import Remembered
from desk.capabilities.syntax import PermissionSyntaxError
from desk.host.errors import NotLoaded
from desk.host.rights import Rights
from desk.traces.tracing import Tracing

pytestmark = pytest.mark.anyio

ASKED = PermissionSet.parse({"network": ["*:*"], "filesystem": ["readwrite:/srv"], "clock": "wall"})
API = NetworkAtom.connect("api.example", 443)
EVIL = NetworkAtom.connect("evil.example", 443)


@dataclass
class World:
    """An extension that is loaded, and the rights of its host."""

    rights: Rights
    broker: Broker
    member: Member
    path: Path

    async def may(self, atom: NetworkAtom = API) -> bool:
        """Whether it may connect."""
        use = Use(self.member, Origin("widget", ("widget",), principals=("widget",)))
        try:
            await self.broker.authorise(atom, use, "test")
        except PermissionDenied:
            return False
        return True

    def remembered(self) -> list[str]:
        """What the file has for it."""
        return [str(atom) for atom in Remembered(self.path).granted("widget", ASKED)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """One extension, which was granted nothing."""
    broker = Broker((), Audit(), Tracing(None))
    policy = Policy(deny={"network": ["evil.example:*"]})
    member = Member("widget", Grants(ASKED, PermissionSet(), policy.rules("widget")))
    broker.join(member)
    path = tmp_path / "grants.ron"
    return World(Rights(broker.members, remembered=Remembered(path)), broker, member, path)


async def test_what_is_given_counts_at_the_next_request(world: World) -> None:
    """And what is taken away does no more; the list shows it with who gave it and why."""
    assert not await world.may()
    world.rights.give("widget", {"network": ["api.example"]}, reason="for today")
    assert await world.may()
    (grant,) = world.rights.list("widget")
    assert (grant.atom, grant.by, grant.reason, grant.scope, grant.used) == (API, "operator", "for today", "session", 1)
    taken = world.rights.revoke("widget", {"network": ["api.example"]})
    assert taken.ended == (grant,)
    assert not await world.may()
    assert world.rights.list("widget") == ()


async def test_what_was_opened_is_closed_before_revoke_returns(world: World) -> None:
    """A socket of a right that is gone is closed; one of a right that stays is not."""
    world.rights.give("widget", {"network": ["api.example", "other.example"]})
    ours, theirs = socket.socketpair()
    kept, others = socket.socketpair()
    world.member.resources.add(ours, (API,), ("widget",))
    world.member.resources.add(kept, (NetworkAtom.connect("other.example", 443),), ("widget",))
    world.rights.revoke("widget", {"network": ["api.example"]})
    assert ours.fileno() == -1
    assert theirs.recv(1) == b""
    assert kept.fileno() != -1
    world.rights.narrow("widget", {"clock": "wall"})
    assert kept.fileno() == -1
    theirs.close()
    others.close()


async def test_one_grant_or_all_of_them(world: World) -> None:
    """`revoke` takes permissions, a grant of the list, or nothing: then all are gone."""
    first, second = world.rights.give("widget", {"network": ["api.example", "other.example"]})
    world.rights.revoke("widget", first)
    assert world.rights.list("widget") == (second,)
    world.rights.revoke("widget")
    assert world.rights.list("widget") == ()


async def test_more_is_never_left_than_asked(world: World) -> None:
    """A host of a wider grant cannot be taken out of it, so the grant goes; a verb can."""
    world.rights.give("widget", {"network": ["*:443"], "filesystem": ["readwrite:/srv"]})
    world.rights.revoke("widget", {"network": ["api.example"], "filesystem": ["write:/srv"]})
    assert [str(grant.atom) for grant in world.rights.list("widget")] == ["filesystem read:/srv"]


async def test_for_a_while(world: World) -> None:
    """A lease ends by itself: here after two requests."""
    world.rights.give("widget", {"network": ["api.example"]}, uses=2)
    assert [await world.may() for _ in range(3)] == [True, True, False]


async def test_a_deny_rule_holds_whatever_is_given(world: World) -> None:
    """The explanation says which, and asking for it uses nothing up."""
    world.rights.give("widget", {"network": ["evil.example"]})
    assert not await world.may(EVIL)
    decision = world.rights.explain("widget", "network", "evil.example")
    assert (decision.missing, decision.rule) == ("rule", "deny network connect:evil.example:*")
    assert world.rights.explain("widget", "network", "api.example").missing == "grant"
    assert world.rights.explain("widget", "network", "api.example").fix == 'network: ["connect:api.example:443"]'
    assert world.rights.explain("widget", "env", "HOME").missing == "request"
    world.rights.give("widget", {"network": ["api.example"]}, uses=1)
    assert world.rights.explain("widget", "network", "api.example").allowed
    assert await world.may()


async def test_always_is_remembered_until_it_is_revoked(world: World) -> None:
    """What is given for a session is not; narrowing and revoking reach the file, too."""
    world.rights.give("widget", {"clock": "wall"})
    world.rights.give("widget", {"network": ["api.example:80,443"]}, scope="always")
    assert world.remembered() == ["network connect:api.example:80,443"]
    world.rights.revoke("widget", {"network": ["api.example:443"]})
    assert world.remembered() == ["network connect:api.example:80"]
    world.rights.narrow("widget", {"clock": "wall"})
    assert world.remembered() == []
    assert [str(grant.atom) for grant in world.rights.list("widget")] == ["clock wall"]


async def test_a_grant_of_the_list_is_forgotten_too(world: World) -> None:
    """A grant that was given for always, revoked by itself."""
    (grant,) = world.rights.give("widget", {"network": ["api.example"]}, scope=Scope.ALWAYS)
    world.rights.revoke("widget", grant)
    assert world.remembered() == []
    with pytest.raises(ValueError, match="is not widget's"):
        world.rights.revoke("widget", Grants(ASKED).give([API])[0])


async def test_what_is_remembered_is_revoked_of_one_that_is_not_loaded(world: World) -> None:
    """It would have it when it is loaded again."""
    world.rights.give("widget", {"network": ["api.example"]}, scope="always")
    world.broker.leave(world.member)
    with pytest.raises(NotLoaded):
        world.rights.list("widget")
    world.rights.narrow("widget", {"network": ["api.example", "other.example"], "clock": "wall"})
    assert world.remembered() == ["network connect:api.example:443"]
    world.rights.revoke("widget")
    assert world.remembered() == []
    with pytest.raises(NotLoaded, match="no extension 'widget'"):
        world.rights.revoke("widget")


async def test_to_revoke_a_host_is_to_revoke_every_port_of_it(world: World) -> None:
    """Also of what is remembered; with ports it is those, and to give or keep a host is its port 443."""
    (given,) = world.rights.give("widget", {"network": ["api.example"]})
    assert given.atom == API
    world.rights.give("widget", {"network": ["api.example:80,8080"]}, scope="always")
    world.rights.revoke("widget", {"network": ["api.example:80"]})
    assert world.remembered() == ["network connect:api.example:8080"]
    world.rights.revoke("widget", {"network": ["api.example"]})
    assert (world.rights.list("widget"), world.remembered()) == ((), [])
    world.rights.give("widget", {"network": ["api.example:*"]})
    world.rights.narrow("widget", {"network": ["api.example"]})
    assert [grant.atom for grant in world.rights.list("widget")] == [API]


async def test_a_whole_section_is_revoked(world: World) -> None:
    """All that is granted and remembered of it, and nothing of others."""
    network = {"network": ["api.example:80", "10.0.0.0/8:5432", "udp:a.example:53", "resolve:b.example"]}
    world.rights.give("widget", network, scope="always")
    world.rights.give("widget", {"network": ["api.example"], "filesystem": ["read:/srv"]})
    world.rights.give("widget", {"clock": "wall"}, scope="always")
    taken = world.rights.revoke("widget", section="network")
    assert (len(taken.ended), taken.left) == (5, ())
    assert [str(grant.atom) for grant in world.rights.list("widget")] == ["filesystem read:/srv", "clock wall"]
    assert world.remembered() == ["clock wall"]
    assert not await world.may()
    world.broker.leave(world.member)
    world.rights.revoke("widget", section="clock")
    assert world.remembered() == []


async def test_all_that_the_manifest_asks_for_is_given(world: World) -> None:
    """In one word, as when it is loaded."""
    given = world.rights.give("widget", "requested", scope="always", by="ada")
    assert [grant.atom for grant in given] == list(ASKED)
    assert await world.may()
    assert world.remembered() == [str(atom) for atom in ASKED]


async def test_who_gives_what_is_not_asked_for_is_told(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """In the words that loading has for it; the grant is there, and of no use."""
    world.rights.give("widget", {"network": ["api.example"], "filesystem": ["read:/srv/x"]})
    assert caplog.messages == []
    (grant,) = world.rights.give("widget", {"env": ["HOME"]})
    assert grant in world.rights.list("widget")
    assert caplog.messages == [
        "widget is granted env read:HOME, but its manifest does not ask for it, so it gets nothing"
    ]


async def test_the_explanation_says_what_became_of_a_grant(world: World) -> None:
    """Of the last that would have been enough."""

    def said() -> str:
        return world.rights.explain("widget", "network", "api.example").explanation

    assert "it is not granted; grant it" in said()
    world.rights.give("widget", {"network": ["api.example"]}, uses=1)
    assert await world.may()
    assert "it is not granted: what was granted for it is used up; grant it" in said()
    world.rights.give("widget", {"network": ["*:443"]})
    world.rights.revoke("widget", section="network")
    assert "what was granted for it was taken away" in said()
    assert "it is not granted; grant it" in world.rights.explain("widget", "network", "api.example:80").explanation


async def test_what_cannot_be_remembered_is_not_given(world: World) -> None:
    """The operator is told, and nothing has changed."""
    world.path.mkdir()
    with pytest.raises(OSError, match="directory"):
        world.rights.give("widget", {"network": ["api.example"]}, scope="always")
    assert not await world.may()


async def test_mistakes_are_told(world: World) -> None:
    """Unknown extensions, permissions and scopes; limits that would not be kept."""
    with pytest.raises(NotLoaded, match="no extension 'wigdet'; loaded: widget"):
        world.rights.give("wigdet", {"network": ["api.example"]})
    with pytest.raises(PermissionSyntaxError, match="netwrok"):
        world.rights.give("widget", {"netwrok": ["api.example"]})
    with pytest.raises(ValueError, match="forever"):
        world.rights.give("widget", {"network": ["api.example"]}, scope="forever")
    with pytest.raises(ValueError, match="no limits"):
        world.rights.give("widget", {"network": ["api.example"]}, scope="always", seconds=60)
    with pytest.raises(PermissionSyntaxError, match='did you mean "network"'):
        world.rights.revoke("widget", section="netwrok")
    with pytest.raises(TypeError, match="not both"):
        world.rights.revoke("widget", {"network": ["api.example"]}, section="network")
    with pytest.raises(
        TypeError, match=r"left out, it is everything\) is 'requested'; expected permissions by section"
    ):
        world.rights.revoke("widget", "requested")  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="what is to be kept is 'requested'; expected permissions by section"):
        world.rights.narrow("widget", "requested")  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="permissions, if not \"requested\", is 'all'"):
        world.rights.give("widget", "all")  # pyright: ignore[reportArgumentType]
    assert world.rights.list("widget") == ()
