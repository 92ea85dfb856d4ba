"""Sockets of guests against real peers on loopback: what they send and take, how long they wait, and when they are closed."""

import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
import pytest
from extensions import relay
from loopback import SINK, closed_port, listening
from members import Asking, asking
from toolbox import files_left

from desk.bus import codec
from desk.capabilities.addresses import AddressMap, IPAddress
from desk.capabilities.codes import CapabilityError, Code
from desk.capabilities.permissions import PermissionSet
from desk.capabilities.policy import Policy
from desk.capabilities.provider import Member
from desk.capabilities.providers.network import Network
from desk.host import Host

pytestmark = pytest.mark.anyio

PATIENCE = 10.0
"""Seconds after which a test that hangs fails. Nothing here takes that long."""


@pytest.fixture(autouse=True)
async def in_time() -> AsyncGenerator[None]:
    with anyio.fail_after(PATIENCE):
        yield


async def echo(stream: anyio.abc.ByteStream) -> None:
    """Send back what comes, and end when it ends."""
    async for data in stream:
        await stream.send(data)


async def silent(stream: anyio.abc.ByteStream) -> None:
    """Take what comes, and say nothing until it ends."""
    async for _ in stream:
        pass


def guest(network: Network | None = None, *permissions: str) -> tuple[Asking, Member]:
    """A broker with the capability, and one extension that may do all on loopback, or what is given."""
    world = asking(Network() if network is None else network)
    usual = ("connect:127.0.0.1:*", "listen:127.0.0.1:1024-65535", "udp:127.0.0.1:*")
    return world, world.member("widget", {"network": permissions or usual})


async def refusal(code: Code, asked: Awaitable[object]) -> str:
    """The message with which it is refused."""
    with pytest.raises(CapabilityError) as caught:
        await asked
    assert caught.value.guest_code is code, caught.value
    message = str(caught.value)
    assert message.isascii()
    assert len(message) < 400
    return message


# --- TCP ------------------------------------------------------------------------------------------------------------


async def test_a_connection() -> None:
    """What is sent arrives, what comes back is received, and each end says for itself that it is done."""
    world, me = guest()
    async with listening(echo) as port:
        handle = await world.ask(me, "network.connect", host="127.0.0.1", port=port)
        await world.ask(me, "network.send", socket=handle, data=b"hello")
        assert await world.ask(me, "network.receive", socket=handle, most=2) == b"he"
        assert await world.ask(me, "network.receive", socket=handle) == b"llo"
        await world.ask(me, "network.end", socket=handle)
        assert await world.ask(me, "network.receive", socket=handle) is None
        assert await world.ask(me, "network.receive", socket=handle) is None
        await world.ask(me, "network.close", handle=handle)
    assert len(me.resources) == 0
    assert all(record.permission == f"network connect:127.0.0.1:{port}" for record in world.audit.records)
    assert len(world.audit.records) == 7  # every use, closing excepted


async def test_without_file_descriptors() -> None:
    """Nothing new is opened, and the guest is told why; who waits to be accepted waits on."""
    world, me = guest()
    port = closed_port()
    listener = await world.ask(me, "network.listen", address="127.0.0.1", port=port)
    with socket.create_connection(("127.0.0.1", port)):
        with files_left(0):
            for name, request in (
                ("accept", {"listener": listener}),
                ("connect", {"host": "127.0.0.1", "port": port}),
                ("listen", {"address": "127.0.0.1", "port": port}),
                ("open_datagrams", {}),
                ("http", {"method": "GET", "url": f"http://127.0.0.1:{port}/"}),
            ):
                assert "open files" in await refusal(Code.OVERLOADED, world.ask(me, f"network.{name}", **request))
        assert len(me.resources) == 1
        assert await world.ask(me, "network.accept", listener=listener)
    me.resources.close_all()


async def test_much_data() -> None:
    """A piece of the largest size arrives whole, though the other end reads when it likes."""
    world, me = guest()
    received = bytearray()

    async def slowly(stream: anyio.abc.ByteStream) -> None:
        async for data in stream:
            received.extend(data)
            await anyio.lowlevel.checkpoint()
        await stream.send(b"done")

    data = bytes(range(256)) * 4096
    async with listening(slowly) as port:
        handle = await world.ask(me, "network.connect", host="127.0.0.1", port=port)
        for _ in range(4):
            await world.ask(me, "network.send", socket=handle, data=data)
        await world.ask(me, "network.end", socket=handle)
        assert await world.ask(me, "network.receive", socket=handle) == b"done"
        me.resources.close_all()
    assert bytes(received) == data * 4


async def test_taking_connections() -> None:
    """Whoever connects is taken, one after the other, and can be talked with under the permission to listen."""
    world, me = guest(None, "listen:127.0.0.1:1024-65535")
    port = closed_port()
    listener = await world.ask(me, "network.listen", address="127.0.0.1", port=port)
    for number in range(3):
        async with await anyio.connect_tcp("127.0.0.1", port) as client:
            accepted = await world.ask(me, "network.accept", listener=listener)
            assert accepted["address"] == "127.0.0.1"
            assert accepted["port"] == client.extra(anyio.abc.SocketAttribute.local_port)
            await world.ask(me, "network.send", socket=accepted["socket"], data=b"%d" % number)
            assert await client.receive() == b"%d" % number
            await client.send(b"thanks")
            assert await world.ask(me, "network.receive", socket=accepted["socket"]) == b"thanks"
            await client.send_eof()
            assert await world.ask(me, "network.receive", socket=accepted["socket"]) is None
    await world.ask(me, "network.close", handle=listener)
    with pytest.raises(OSError):  # noqa: PT011 - the loops say it differently
        await anyio.connect_tcp("127.0.0.1", port)
    me.resources.close_all()


async def test_who_breaks_off() -> None:
    """A connection that the other end resets is UNAVAILABLE; a port where nobody listens is, too."""
    world, me = guest()

    async def reset(stream: anyio.abc.ByteStream) -> None:
        raw = stream.extra(anyio.abc.SocketAttribute.raw_socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        await anyio.aclose_forcefully(stream)

    async with listening(reset) as port:
        handle = await world.ask(me, "network.connect", host="127.0.0.1", port=port)
        message = await refusal(Code.UNAVAILABLE, world.ask(me, "network.receive", socket=handle))
        assert message == "the connection broke"
        await refusal(Code.UNKNOWN, world.ask(me, "network.receive", socket=handle))  # and not: that this was all
    assert len(me.resources) == 0
    asked = world.ask(me, "network.connect", host="127.0.0.1", port=closed_port())
    assert "refused" in await refusal(Code.UNAVAILABLE, asked)
    assert len(me.resources) == 0


# --- Datagrams ------------------------------------------------------------------------------------------------------


def answering(peer: socket.socket) -> int:
    """Send back the datagram that is there, to whoever it came from; returns that port."""
    data, sender = peer.recvfrom(65_507)
    peer.sendto(data, sender)
    return sender[1]


async def test_datagrams() -> None:
    """One goes to a host and port, and the answer comes with its sender; each can be as large as they get."""
    world, me = guest()
    with socket.socket(type=socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        request: dict[str, Any] = {"host": "127.0.0.1", "port": peer.getsockname()[1]}
        handle = await world.ask(me, "network.open_datagrams")
        for data in (b"", b"hello", bytes(65_507)):
            await world.ask(me, "network.send_to", socket=handle, data=data, **request)
            answering(peer)
            answer = await world.ask(me, "network.receive_from", socket=handle)
            assert answer == {"data": data, "address": "127.0.0.1", "port": request["port"], "dropped": 0}
        too_large = world.ask(me, "network.send_to", socket=handle, data=bytes(65_508), **request)
        await refusal(Code.INVALID, too_large)
        assert world.audit.records[-1].permission == f"network udp:127.0.0.1:{request['port']}"
    me.resources.close_all()


async def test_datagrams_of_others_are_dropped() -> None:
    """Whoever knows the port can send there, but the guest gets what comes from those it has a permission for."""
    with socket.socket(type=socket.SOCK_DGRAM) as friend, socket.socket(type=socket.SOCK_DGRAM) as other:
        friend.bind(("127.0.0.1", 0))
        port = closed_port(socket.SOCK_DGRAM)
        world, me = guest(None, f"listen:127.0.0.1:{port}", f"udp:127.0.0.1:{friend.getsockname()[1]}")
        handle = await world.ask(me, "network.open_datagrams", address="127.0.0.1", port=port)
        for _ in range(3):
            other.sendto(b"from a stranger", ("127.0.0.1", port))
        friend.sendto(b"from a friend", ("127.0.0.1", port))
        answer = await world.ask(me, "network.receive_from", socket=handle)
        assert (answer["data"], answer["dropped"]) == (b"from a friend", 3)
        permissions = [record.permission for record in world.audit.records]
        assert permissions[-1] == f"network udp:127.0.0.1:{friend.getsockname()[1]}"
        assert world.audit.denied == 0  # what others send is no doing of the extension
    me.resources.close_all()


async def test_answers_to_a_name() -> None:
    """What was sent to a name is answered under the permission for the name, whatever number it stands for."""
    with socket.socket(type=socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        port = peer.getsockname()[1]
        network = Network(address_map=AddressMap({"time.example.com": ("127.0.0.1", port)}))
        world, me = guest(network, "udp:time.example.com:123")
        handle = await world.ask(me, "network.open_datagrams")
        await world.ask(me, "network.send_to", socket=handle, host="time.example.com", port=123, data=b"when?")
        answering(peer)
        answer = await world.ask(me, "network.receive_from", socket=handle)
        assert (answer["data"], answer["port"]) == (b"when?", port)
    me.resources.close_all()


# --- Names ----------------------------------------------------------------------------------------------------------


async def test_resolve() -> None:
    """A name has its public addresses, without the others; or the one that the operator gave it."""

    async def dns(name: str) -> Sequence[IPAddress]:
        return [ip_address(text) for text in ("10.0.0.1", "::ffff:8.8.8.8", SINK)]

    network = Network(resolver=dns, address_map=AddressMap({"mapped.example.com": ("127.0.0.1", 80)}))
    world, me = guest(network, "resolve:api.example.com", "*.example.com:443")
    assert await world.ask(me, "network.resolve", name="api.example.com") == ["8.8.8.8", SINK]
    assert await world.ask(me, "network.resolve", name="mapped.example.com") == ["127.0.0.1"]
    await refusal(Code.DENIED, world.ask(me, "network.resolve", name="example.com"))
    await refusal(Code.INVALID, world.ask(me, "network.resolve", name="127.0.0.1"))


async def test_a_rule_of_the_operator_holds_after_the_look_up() -> None:
    """An address that a deny rule forbids is dropped from the answer for a name, and if none is left, that is a denial."""

    async def dns(name: str) -> Sequence[IPAddress]:
        return [ip_address("64:ff9b::808:808"), ip_address("8.8.8.8")]

    world, me = guest(Network(resolver=dns), "*:*", "udp:*:*")
    me.grants.rules = Policy(deny={"network": ["8.8.8.0/24:*", "udp:8.8.8.0/24:*"]}).rules("widget")
    url = "http://dns.example.com/"
    for asked in (
        world.ask(me, "network.connect", host="dns.example.com", port=53),
        world.ask(me, "network.http", method="GET", url=url),
        world.ask(me, "network.fetch", method="GET", url=url),
    ):
        assert "a rule of the operator" in await refusal(Code.DENIED, asked)
        assert not world.audit.records[-1].allowed
        assert world.audit.records[-1].rule == "deny network connect:8.8.8.0/24:*"
    handle = await world.ask(me, "network.open_datagrams")
    asked = world.ask(me, "network.send_to", socket=handle, host="dns.example.com", port=53, data=b"?")
    assert "a rule of the operator" in await refusal(Code.DENIED, asked)
    me.resources.close_all()


# --- Limits ---------------------------------------------------------------------------------------------------------


async def hangs(name: str) -> Sequence[IPAddress]:
    await anyio.sleep_forever()
    return []


Wait = Callable[[Asking, Member, int], Awaitable[Any]]


async def _open(world: Asking, me: Member, port: int) -> int:
    return await world.ask(me, "network.connect", host="127.0.0.1", port=port)


async def _receive(world: Asking, me: Member, port: int) -> None:
    await world.ask(me, "network.receive", socket=await _open(world, me, port))


async def _send(world: Asking, me: Member, port: int) -> None:
    handle = await _open(world, me, port)
    while True:
        await world.ask(me, "network.send", socket=handle, data=bytes(1 << 20))


async def _accept(world: Asking, me: Member, port: int) -> None:
    listener = await world.ask(me, "network.listen", address="127.0.0.1", port=closed_port())
    await world.ask(me, "network.accept", listener=listener)


async def _receive_from(world: Asking, me: Member, port: int) -> None:
    free = closed_port(socket.SOCK_DGRAM)
    handle = await world.ask(me, "network.open_datagrams", address="127.0.0.1", port=free)
    await world.ask(me, "network.receive_from", socket=handle)


async def _look_up(world: Asking, me: Member, port: int) -> None:
    await world.ask(me, "network.connect", host="slow.example.com", port=443)


async def _resolve(world: Asking, me: Member, port: int) -> None:
    await world.ask(me, "network.resolve", name="slow.example.com")


async def _http(world: Asking, me: Member, port: int) -> None:
    await world.ask(me, "network.http", method="GET", url=f"http://127.0.0.1:{port}/")


async def _https(world: Asking, me: Member, port: int) -> None:
    await world.ask(me, "network.http", method="GET", url=f"https://127.0.0.1:{port}/")


async def _fetch(world: Asking, me: Member, port: int) -> None:
    await world.ask(me, "network.fetch", method="GET", url=f"http://127.0.0.1:{port}/")


async def _write_body(world: Asking, me: Member, port: int) -> None:
    handle = await world.ask(me, "network.begin", method="POST", url=f"http://127.0.0.1:{port}/")
    while True:
        await world.ask(me, "network.write_body", request=handle, data=bytes(1 << 20))


async def _finish(world: Asking, me: Member, port: int) -> None:
    handle = await world.ask(me, "network.begin", method="POST", url=f"http://127.0.0.1:{port}/")
    await world.ask(me, "network.finish", request=handle)


DEAF = (_send, _write_body)  # the other end must not read
WAITS: tuple[Wait, ...] = (
    *(_receive, _accept, _receive_from, _look_up, _resolve, _http, _https, _fetch, _finish),
    *DEAF,
)


@asynccontextmanager
async def deaf() -> AsyncGenerator[int]:
    """A port where connections are taken by the system, and by nobody else: what is sent there fills its buffers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


ALL = ("connect:127.0.0.1:*", "listen:127.0.0.1:1024-65535", "udp:127.0.0.1:*", "*.example.com:*")


@pytest.mark.parametrize("wait", WAITS, ids=lambda wait: wait.__name__[1:])
async def test_every_wait_has_a_limit(wait: Wait) -> None:
    """Who does not answer, connect, read or shake hands gets the time limit, and the guest DEADLINE."""
    world, me = guest(Network(resolver=hangs, time_limit=0.1, connect_timeout=0.1), *ALL)
    async with deaf() if wait in DEAF else listening(silent) as port:
        assert "within 0.1 s" in await refusal(Code.DEADLINE, wait(world, me, port))
        me.resources.close_all()


@pytest.mark.parametrize("wait", WAITS, ids=lambda wait: wait.__name__[1:])
async def test_a_revoke_ends_every_wait(wait: Wait) -> None:
    """When the permission is taken away, whoever waits is told at once, the other end sees the end, and nothing is open."""
    ended = anyio.Event()

    async def watching(stream: anyio.abc.ByteStream) -> None:
        try:
            await silent(stream)
        finally:
            ended.set()

    world, me = guest(Network(resolver=hangs), *ALL)
    async with deaf() if wait in DEAF else listening(watching) as port, anyio.create_task_group() as tasks:

        async def waiting() -> None:
            assert "taken away" in await refusal(Code.DENIED, wait(world, me, port))

        tasks.start_soon(waiting)
        await anyio.sleep(0.1)
        assert len(me.resources) == 1 or wait in (_accept, _receive_from)
        me.grants.revoke(me.grants.granted.atoms)
        assert len(me.resources) == 0
        if wait not in (_accept, _receive_from, _look_up, _resolve, *DEAF):
            await ended.wait()


async def test_a_closed_handle_stays_closed() -> None:
    """After a revoke the handle is unknown, also when the permission is back; a new connection may be made then."""
    world, me = guest()
    everything = me.grants.granted.atoms
    async with listening(echo) as port:
        handle = await _open(world, me, port)
        me.grants.revoke(everything)
        await refusal(Code.UNKNOWN, world.ask(me, "network.receive", socket=handle))
        await refusal(Code.DENIED, _open(world, me, port))
        me.grants.give(everything)
        await refusal(Code.UNKNOWN, world.ask(me, "network.receive", socket=handle))
        assert await _open(world, me, port) != handle
        me.resources.close_all()


async def test_a_revoke_while_it_is_connecting() -> None:
    """A permission that is taken away after the decision and before there is a connection leaves none open."""
    world, me = guest()
    async with listening(silent) as port:
        network = Network(address_map=AddressMap({"api.example.com": ("127.0.0.1", port)}))
        world, me = guest(network, "api.example.com:80")
        async with anyio.create_task_group() as tasks:

            async def connecting() -> None:
                asked = world.ask(me, "network.connect", host="api.example.com", port=80)
                await refusal(Code.DENIED, asked)

            tasks.start_soon(connecting)
            while not len(me.resources):
                await anyio.lowlevel.checkpoint()
            me.grants.revoke(me.grants.granted.atoms)
    assert len(me.resources) == 0


async def test_a_listener_is_closed_by_a_revoke() -> None:
    """Afterwards nobody gets through to the port, and others may have it; connections that were taken are closed, too."""
    world, me = guest()
    port = closed_port()
    listener = await world.ask(me, "network.listen", address="127.0.0.1", port=port)
    async with await anyio.connect_tcp("127.0.0.1", port) as client:
        await world.ask(me, "network.accept", listener=listener)
        me.grants.revoke(PermissionSet.parse({"network": [f"listen:127.0.0.1:{port}"]}).atoms)
        with pytest.raises(anyio.EndOfStream):
            await client.receive()
    with pytest.raises(OSError):  # noqa: PT011 - the loops say it differently
        await anyio.connect_tcp("127.0.0.1", port)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
    assert len(me.resources) == 0


async def test_room_for_handles() -> None:
    """When all handles are taken, nothing is opened any more: nobody is even connected to."""
    world, me = guest()
    me.resources.most = 2
    seen: list[object] = []

    async def counting(stream: anyio.abc.ByteStream) -> None:
        seen.append(stream)
        await silent(stream)

    async with listening(counting) as port:
        for _ in range(2):
            await _open(world, me, port)
        url = f"http://127.0.0.1:{port}/"
        for asked in (
            _open(world, me, port),
            world.ask(me, "network.http", method="GET", url=url),
            world.ask(me, "network.listen", address="127.0.0.1", port=closed_port()),
            world.ask(me, "network.open_datagrams"),
        ):
            assert "limit (resources)" in await refusal(Code.OVERLOADED, asked)
        me.resources.close_all()
        await anyio.sleep(0.05)
    assert len(seen) == 2


async def test_handles_of_others() -> None:
    """A handle that is closed, guessed, another extension's or of another kind is unknown, and nothing happens to anything."""
    world, me = guest()
    other = world.member("other", {"network": ["connect:127.0.0.1:*", "listen:127.0.0.1:1024-65535"]})
    async with listening(echo) as port:
        mine = await _open(world, me, port)
        listener = await world.ask(other, "network.listen", address="127.0.0.1", port=closed_port())
        theirs = await _open(world, other, port)
        for wrong in (theirs, 0, 2**64 - 1):
            await refusal(Code.UNKNOWN, world.ask(me, "network.send", socket=wrong, data=b"x"))
        await refusal(Code.UNKNOWN, world.ask(me, "network.accept", listener=mine))
        await refusal(Code.UNKNOWN, world.ask(me, "network.receive_from", socket=mine))
        await refusal(Code.UNKNOWN, world.ask(me, "network.finish", request=mine))
        await refusal(Code.UNKNOWN, world.ask(me, "network.read_body", response=mine))
        await refusal(Code.UNKNOWN, world.ask(other, "network.receive", socket=listener))
        await world.ask(me, "network.close", handle=theirs)
        assert len(other.resources) == 2
        other.resources.close_all()
        me.resources.close_all()


async def test_what_is_out_of_bounds() -> None:
    """Sizes, ports and addresses outside of the types and the grammar are refused before anything is decided."""
    world, me = guest()
    wrong: tuple[tuple[str, dict[str, Any]], ...] = (
        ("receive", {"socket": 1, "most": 0}),
        ("receive", {"socket": 1, "most": (1 << 20) + 1}),
        ("send", {"socket": 1, "data": bytes((1 << 20) + 1)}),
        ("send", {"socket": -1, "data": b""}),
        ("connect", {"host": "127.0.0.1", "port": 0}),
        ("connect", {"host": "0.0.0.0", "port": 80}),
        ("connect", {"host": "::", "port": 80}),
        ("connect", {"host": "*", "port": 80}),
        ("listen", {"address": "localhost", "port": 8080}),
        ("open_datagrams", {"address": "127.0.0.1"}),
        ("open_datagrams", {"port": 8080}),
    )
    for operation, request in wrong:
        await refusal(Code.INVALID, world.ask(me, f"network.{operation}", **request))
    assert not world.audit.records


async def test_two_wait_for_the_same() -> None:
    """Whoever asks for what somebody waits for already is told so, and the first is not disturbed."""
    world, me = guest()
    async with listening(echo) as port, anyio.create_task_group() as tasks:
        handle = await _open(world, me, port)

        async def first() -> None:
            assert await world.ask(me, "network.receive", socket=handle) == b"for the first"

        tasks.start_soon(first)
        await anyio.wait_all_tasks_blocked()
        await anyio.sleep(0.05)
        await refusal(Code.OVERLOADED, world.ask(me, "network.receive", socket=handle))
        await world.ask(me, "network.send", socket=handle, data=b"for the first")
    me.resources.close_all()


async def test_a_piece_that_was_given_up_halfway() -> None:
    """If only a part could be sent, nobody knows which: the socket is closed, and its handle is unknown."""
    world, me = guest(Network(time_limit=0.1))
    async with deaf() as port:
        await refusal(Code.DEADLINE, _send(world, me, port))
        assert len(me.resources) == 0


# --- On whose behalf ------------------------------------------------------------------------------------------------


async def test_on_behalf_of_another() -> None:
    """What one opens on behalf of another takes the rights of both, at every use, and is closed when either loses them."""
    world, me = guest()
    caller = world.member("caller", {"network": ["connect:127.0.0.1:*"]})
    world.member("stranger", {})
    async with listening(echo) as port:
        request: dict[str, Any] = {"host": "127.0.0.1", "port": port}
        message = await refusal(Code.DENIED, world.ask(me, "network.connect", behalf=("stranger",), **request))
        assert "on behalf of stranger" in message
        handle = await world.ask(me, "network.connect", behalf=("caller",), **request)
        asked = world.ask(me, "network.send", behalf=("stranger",), socket=handle, data=b"x")
        await refusal(Code.DENIED, asked)
        await world.ask(me, "network.send", behalf=("caller",), socket=handle, data=b"x")
        mine = await _open(world, me, port)
        caller.grants.revoke(caller.grants.granted.atoms)
        await refusal(Code.UNKNOWN, world.ask(me, "network.receive", socket=handle))
        await world.ask(me, "network.send", socket=mine, data=b"still mine")
        assert world.audit.records[-1].principals == ("widget",)
    me.resources.close_all()


async def test_datagrams_on_behalf_of_another() -> None:
    """A datagram is passed on only if those on whose behalf it is received may have it, too."""
    with socket.socket(type=socket.SOCK_DGRAM) as peer:
        world, me = guest(Network(time_limit=0.1))
        world.member("stranger", {"network": ["listen:127.0.0.1:1024-65535"]})
        port = closed_port(socket.SOCK_DGRAM)
        handle = await world.ask(me, "network.open_datagrams", address="127.0.0.1", port=port)
        peer.sendto(b"secret", ("127.0.0.1", port))
        asked = world.ask(me, "network.receive_from", behalf=("stranger",), socket=handle)
        await refusal(Code.DEADLINE, asked)
        peer.sendto(b"mine", ("127.0.0.1", port))
        answer = await world.ask(me, "network.receive_from", socket=handle)
        assert (answer["data"], answer["dropped"]) == (b"mine", 1)
    me.resources.close_all()


# --- A real guest ---------------------------------------------------------------------------------------------------


async def test_a_guest_that_waits() -> None:
    """A wasm guest connects, talks, and waits for more; then its grant is revoked, and its wait is answered `denied`."""
    permissions = 'network: ["connect:127.0.0.1:*"]'
    async with listening(echo) as port, Host() as host:
        await host.load(relay("relay", permissions), grants="requested")

        async def ask(operation: str, **request: object) -> Any:
            answer = await host.call("relay", "ask", f"cap.network.{operation}", codec.encode(request))
            assert isinstance(answer, bytes)
            return codec.decode(answer)

        handle = (await ask("connect", host="127.0.0.1", port=port))["ok"]
        await ask("send", socket=handle, data=b"hello")
        assert await ask("receive", socket=handle) == {"ok": b"hello"}
        async with anyio.create_task_group() as tasks:

            async def waiting() -> None:
                assert (await ask("receive", socket=handle))["error"]["code"] == Code.DENIED

            tasks.start_soon(waiting)
            await anyio.sleep(0.1)
            host.grants.revoke("relay", {"network": ["connect:127.0.0.1:*"]})
        assert (await ask("receive", socket=handle))["error"]["code"] == Code.UNKNOWN
