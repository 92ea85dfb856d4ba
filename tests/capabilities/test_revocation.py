"""Rights that end while they are used: what was opened is closed, and nobody acts on behalf of one that may not.

The capability here opens real pairs of sockets, so that "closed" is what the other end sees.
"""

import socket
from collections.abc import Generator, Mapping
from typing import Any

import anyio
import pytest
from members import asking

from desk.bus import codec
from desk.bus.bus import Bus
from desk.bus.envelope import Origin
from desk.capabilities.atoms import Atom
from desk.capabilities.audit import Audit
from desk.capabilities.broker import Broker
from desk.capabilities.capability import Capability, operation
from desk.capabilities.codes import CapabilityError, Code, PermissionDenied
from desk.capabilities.facet import Facet
from desk.capabilities.filesystem_atoms import FilesystemAtom
from desk.capabilities.grant import Scope
from desk.capabilities.grants import Decision, Grants
from desk.capabilities.network_atoms import NetworkAtom
from desk.capabilities.permissions import PermissionSet
from desk.capabilities.provider import Member, Use
from desk.traces.tracing import Tracing

pytestmark = pytest.mark.anyio

PATIENCE = 10.0
"""Seconds after which a test that hangs fails."""

ADA = NetworkAtom.connect("ada.example", 443)
NETWORK = {"network": ["*:443"]}
"""What `ADA` takes, and more."""


class Line:
    """One end of a pair of sockets."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end

    def close(self) -> None:
        """Wake who waits for it."""
        if self.end.fileno() >= 0:
            anyio.notify_closing(self.end)
            self.end.close()


def _of_host(capability: Any, request: Mapping[str, Any], use: Use) -> tuple[Atom, ...]:
    return (NetworkAtom.connect(request["host"], 443),)


def _of_handle(capability: Any, request: Mapping[str, Any], use: Use) -> tuple[Atom, ...]:
    return use.resources.atoms(request["handle"])


def _of_paths(capability: Any, request: Mapping[str, Any], use: Use) -> tuple[Atom, ...]:
    return tuple(FilesystemAtom.parse(f"write:{path}") for path in request["paths"])


class Phone(Capability):
    """Lines that are sockets, and files that are only names."""

    name = "phone"

    def __init__(self) -> None:
        self.others: dict[tuple[str, int], socket.socket] = {}
        self.ends: list[socket.socket] = []
        self.touched: list[str] = []
        self.ringing: anyio.Event | None = None
        self.picked_up: anyio.Event | None = None

    @operation(needs=_of_host)
    async def dial(self, host: str, use: Use) -> int:
        """Open a line; its handle."""
        mine, other = socket.socketpair()
        other.setblocking(False)
        self.ends += [mine, other]
        if self.ringing is not None and self.picked_up is not None:
            self.ringing.set()
            await self.picked_up.wait()
        atoms = tuple(decision.atom for decision in use.decisions)
        handle = use.resources.add(Line(mine), atoms, use.origin.principals)
        self.others[use.extension, handle] = other
        return handle

    @operation(needs=_of_handle)
    async def listen(self, handle: int, use: Use) -> bytes:
        """Wait for a word."""
        line = use.resources.get(handle, Line)
        try:
            await anyio.wait_readable(line.end)
        except anyio.ClosedResourceError:
            raise CapabilityError(Code.UNAVAILABLE, "the line is dead") from None
        return line.end.recv(100)

    @operation(needs=_of_paths)
    async def touch(self, paths: list[str]) -> None:
        """Take several permissions at once."""
        self.touched += paths

    def other(self, member: Member, handle: int) -> socket.socket:
        """The far end."""
        return self.others[member.name, handle]

    def dead(self, member: Member, handle: int) -> bool:
        """Whether the far end sees that this one is closed."""
        try:
            return self.other(member, handle).recv(1) == b""
        except BlockingIOError:
            return False


@pytest.fixture
def phone() -> Generator[Phone]:
    """Phones, and nothing open after the test."""
    phone = Phone()
    yield phone
    for end in phone.ends:
        end.close()


async def denied(asked: Any) -> str:
    """Why a request was denied."""
    with pytest.raises(PermissionDenied) as caught:
        await asked
    return str(caught.value)


# -- what is open


async def test_what_was_opened_under_a_revoked_grant_is_closed(phone: Phone) -> None:
    """At once, whoever waits for it is woken with an answer, and what was opened under another grant stays."""
    world = asking(phone)
    guest = world.member("guest", {"network": ["ada.example", "bob.example"]})
    ada, bob = [await world.ask(guest, "phone.dial", host=f"{name}.example") for name in ("ada", "bob")]
    heard: list[str] = []

    async def listen() -> None:
        try:
            await world.ask(guest, "phone.listen", handle=ada)
        except CapabilityError as error:
            heard.append(str(error))

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            await anyio.wait_all_tasks_blocked()
            guest.grants.revoke([ADA])
            assert phone.dead(guest, ada)
    assert heard == ["the line is dead"]
    with pytest.raises(CapabilityError, match="there is no Line") as caught:
        await world.ask(guest, "phone.listen", handle=ada)
    assert caught.value.guest_code is Code.UNKNOWN
    assert "ada.example" in await denied(world.ask(guest, "phone.dial", host="ada.example"))
    phone.other(guest, bob).send(b"still here")
    assert await world.ask(guest, "phone.listen", handle=bob) == b"still here"


@pytest.mark.parametrize("how", ["revoked at its root", "narrowed", "expired", "unloaded"])
async def test_every_end_of_a_grant_closes(phone: Phone, how: str) -> None:
    """Also that of what it was derived from, of somebody else."""
    now = 0.0
    world = asking(phone)
    giver = Member("giver", Grants(PermissionSet.parse(NETWORK), clock=lambda: now))
    guest = Member("guest", Grants(PermissionSet.parse(NETWORK), clock=lambda: now))
    for member in (giver, guest):
        world.broker.join(member)
    (root,) = giver.grants.give(PermissionSet.parse(NETWORK), seconds=60)
    guest.grants.take([root.derive(ADA)])
    handle = await world.ask(guest, "phone.dial", host="ada.example")
    match how:
        case "revoked at its root":
            root.revoke()
        case "narrowed":
            guest.grants.narrow([NetworkAtom.connect("bob.example", 443)])
        case "expired":
            now = guest.grants.next_end() or 0.0
            guest.grants.expire()
        case _:
            world.broker.leave(giver)
    assert phone.dead(guest, handle)
    assert not guest.grants.decide(ADA).allowed


async def test_what_is_narrowed_but_still_allowed_stays_open(phone: Phone) -> None:
    """There is no moment at which it is not allowed."""
    world = asking(phone)
    guest = world.member("guest", NETWORK)
    handle = await world.ask(guest, "phone.dial", host="ada.example")
    assert len(guest.grants.narrow([ADA]).left) == 1
    assert not phone.dead(guest, handle)


async def test_a_grant_revoked_between_check_and_use(phone: Phone) -> None:
    """Case 73: what the request opens after the revocation is closed as soon as it is there."""
    world = asking(phone)
    guest = world.member("guest", NETWORK)
    phone.ringing, phone.picked_up = anyio.Event(), anyio.Event()
    handles: list[int] = []

    async def dial() -> None:
        handles.append(await world.ask(guest, "phone.dial", host="ada.example"))

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(dial)
            await phone.ringing.wait()
            guest.grants.revoke([ADA])
            phone.picked_up.set()
    assert phone.dead(guest, handles[0])
    assert len(guest.resources) == 0


async def test_a_grant_revoked_while_a_person_is_asked(phone: Phone) -> None:
    """Case 73 again: all permissions of a request are held at the same moment, the last before it is carried out."""
    paths = PermissionSet.parse({"filesystem": ["write:/a", "write:/b"]})
    guest = Member("guest", Grants(paths, PermissionSet(paths.atoms[:1])))

    async def ask(use: Use, decision: Decision) -> bool:
        guest.grants.give([decision.atom])
        guest.grants.revoke(paths.atoms[:1])
        return True

    broker = Broker(phone.operations(), Audit(), Tracing.off(), ask)
    broker.join(guest)
    use = Use(guest, Origin("guest", ("guest",), 1, principals=("guest",)))
    assert "write:/a" in await denied(broker.perform("phone.touch", {"paths": ["/a", "/b"]}, use))
    assert phone.touched == []
    assert use.decisions == []


# -- leases


async def test_a_request_is_one_use(phone: Phone) -> None:
    """However many permissions it takes that rest on one grant; and one that is denied is none."""
    world = asking(phone)
    guest = world.member("guest", {"filesystem": ["write:/a", "write:/b"]})
    guest.grants.revoke(guest.grants.granted)
    (grant,) = guest.grants.give([FilesystemAtom.parse("write:/a")], scope=Scope.ONCE)
    assert "write:/b" in await denied(world.ask(guest, "phone.touch", paths=["/a", "/b"]))
    assert grant.uses_left == 1
    await world.ask(guest, "phone.touch", paths=["/a/x", "/a/y"])
    assert phone.touched == ["/a/x", "/a/y"]
    assert "write:/a/x" in await denied(world.ask(guest, "phone.touch", paths=["/a/x"]))


async def test_bytes_are_those_of_requests_and_answers(phone: Phone) -> None:
    """What goes over the budget is still answered, be it with an error; the next is denied; one that is denied costs nothing."""
    guest = Member("guest", Grants(PermissionSet.parse(NETWORK)))
    (grant,) = guest.grants.give([ADA], size=20)
    facet = Facet(Bus(Tracing.off()), Broker(phone.operations(), Audit(), Tracing.off()), guest)
    origin = Origin("guest", ("guest",), 1, principals=("guest",))

    async def dial(host: str) -> dict[str, Any]:
        payload = codec.encode({"host": host})
        answer: Any = codec.decode(await facet.request(b"cap.phone.dial", payload, origin))
        return answer

    assert (await dial("bob.example"))["error"]["code"] == Code.DENIED
    assert grant.bytes_left == 20
    handle = (await dial("ada.example"))["ok"]
    assert grant.ended == "used up"
    assert phone.dead(guest, handle)
    assert (await dial("ada.example"))["error"]["code"] == Code.DENIED


async def test_what_was_sent_counts_if_nobody_waits_for_the_answer(phone: Phone) -> None:
    """A guest cannot have its budget spared by being out of time, or by making the host fail."""
    phone.ringing, phone.picked_up = anyio.Event(), anyio.Event()
    guest = Member("guest", Grants(PermissionSet.parse(NETWORK)))
    (grant,) = guest.grants.give([ADA], size=1_000)
    facet = Facet(Bus(Tracing.off()), Broker(phone.operations(), Audit(), Tracing.off()), guest)
    payload = codec.encode({"host": "ada.example"})
    with anyio.move_on_after(0.01):
        await facet.request(b"cap.phone.dial", payload, Origin("guest", ("guest",), 1, principals=("guest",)))
    assert grant.bytes_left == 1_000 - len(payload)


# -- on whose behalf


async def test_a_confused_deputy(phone: Phone) -> None:
    """Case 72: who may not connect does not get another to do it; the denial names it and what it lacks."""
    world = asking(phone)
    world.member("a")
    deputy = world.member("b", NETWORK)
    why = await denied(world.ask(deputy, "phone.dial", behalf=("a",), host="ada.example"))
    assert why.startswith("network connect:ada.example:443: b may, but asks on behalf of a, which may not (")
    assert 'add `network: ["connect:ada.example:443"]` to its permissions' in why
    (record,) = world.audit.records
    assert (record.allowed, record.extension, record.missing) == (False, "b", "principal")
    assert await world.ask(deputy, "phone.dial", host="ada.example") == 1


async def test_all_along_the_chain_must_be_allowed(phone: Phone) -> None:
    """One in the middle is enough to deny; the rights of all together are those that all have."""
    world = asking(phone)
    members = {name: world.member(name, NETWORK) for name in ("a", "b", "c")}
    assert await world.ask(members["c"], "phone.dial", behalf=("a", "b"), host="ada.example") == 1
    members["b"].grants.revoke([ADA])
    assert "on behalf of b" in await denied(
        world.ask(members["c"], "phone.dial", behalf=("a", "b"), host="ada.example")
    )


async def test_what_belongs_to_the_extension_itself_is_its_own_affair(phone: Phone) -> None:
    """Its own files are nobody else's, so nobody else could have a right to them."""
    world = asking(phone)
    world.member("a")
    deputy = world.member("b", {"filesystem": ["write:@data", "write:/srv"]})
    await world.ask(deputy, "phone.touch", behalf=("a",), paths=["@data/x"])
    assert "on behalf of a" in await denied(
        world.ask(deputy, "phone.touch", behalf=("a",), paths=["@data/x", "/srv/x"])
    )
    assert phone.touched == ["@data/x"]


async def test_nobody_acts_on_behalf_of_one_that_is_gone(phone: Phone) -> None:
    """Who is unloaded has no rights, and what was opened on its behalf is closed."""
    world = asking(phone)
    caller, deputy = world.member("a", NETWORK), world.member("b", NETWORK)
    handle = await world.ask(deputy, "phone.dial", behalf=("a",), host="ada.example")
    world.broker.leave(caller)
    assert phone.dead(deputy, handle)
    why = await denied(world.ask(deputy, "phone.dial", behalf=("a",), host="ada.example"))
    assert "a is not loaded any more" in why


async def test_a_callers_right_revoked_closes_what_was_opened_on_its_behalf(phone: Phone) -> None:
    """And nothing that the other opened for itself."""
    world = asking(phone)
    caller, deputy = world.member("a", NETWORK), world.member("b", NETWORK)
    on_behalf = await world.ask(deputy, "phone.dial", behalf=("a",), host="ada.example")
    its_own = await world.ask(deputy, "phone.dial", host="ada.example")
    caller.grants.revoke([ADA])
    assert phone.dead(deputy, on_behalf)
    assert not phone.dead(deputy, its_own)


async def test_a_handle_is_used_with_the_rights_of_who_asks(phone: Phone) -> None:
    """What the deputy opened for itself, it does not lend to one that may not have it."""
    world = asking(phone)
    world.member("a")
    deputy = world.member("b", NETWORK)
    handle = await world.ask(deputy, "phone.dial", host="ada.example")
    assert "on behalf of a" in await denied(world.ask(deputy, "phone.listen", behalf=("a",), handle=handle))


async def test_the_leases_of_all_are_used(phone: Phone) -> None:
    """What an extension was given once, it does not get twice by asking through another."""
    world = asking(phone)
    caller, deputy = world.member("a", NETWORK), world.member("b", NETWORK)
    caller.grants.revoke(caller.grants.granted)
    (once,) = caller.grants.give([ADA], scope=Scope.ONCE)
    await world.ask(deputy, "phone.dial", behalf=("a",), host="ada.example")
    assert (once.used, once.uses_left) == (1, 0)
    assert "on behalf of a" in await denied(world.ask(deputy, "phone.dial", behalf=("a",), host="ada.example"))
    assert await world.ask(deputy, "phone.dial", host="ada.example")


def test_what_is_opened_for_one_that_is_gone_is_closed() -> None:
    """A request that is still under way when its extension leaves can leave nothing open behind it."""
    mine, theirs = socket.socketpair()
    broker = Broker((), Audit(), Tracing.off())
    member = Member("gone", Grants(PermissionSet()))
    broker.join(member)
    broker.leave(member)
    with theirs:
        with pytest.raises(CapabilityError, match="was stopped"):
            member.resources.add(mine, (ADA,), ("gone",))
        assert mine.fileno() < 0
        with pytest.raises(CapabilityError, match="was stopped"):
            member.resources.kept("key", (ADA,), ("gone",), lambda: pytest.fail("it was opened"))
    assert member.resources.empty
