"""The in-process network keeps the link's contract, and what it promises beyond that."""

from collections.abc import AsyncGenerator

import anyio
import pytest
from link_conformance import PATIENCE, LinkConformance, Mesh

from desk.bus.link import Link, LinkMessage, check_node
from desk.bus.link_buffer import Buffer, NodeChange, Presence
from desk.bus.local_link import LocalNetwork

pytestmark = pytest.mark.anyio


class LocalMesh:
    """A `LocalNetwork` as the conformance tests want one."""

    def __init__(self) -> None:
        self.network = LocalNetwork(max_payload=100_000)

    async def join(self, name: str) -> Link:
        return self.network.join(name)

    async def cut(self, name: str) -> None:
        self.network.cut(name)


class TestLocalLink(LinkConformance):
    """`LocalNetwork`, on trio and asyncio."""

    @pytest.fixture
    async def mesh(self) -> AsyncGenerator[Mesh]:
        mesh = LocalMesh()
        yield mesh
        for node in list(mesh.network.nodes.values()):
            await node.close()


# -- the local network


async def test_a_name_belongs_to_one_node() -> None:
    """A second node of the same name is refused while the first is there; afterwards the name is free."""
    network = LocalNetwork()
    async with network.join("a"):
        with pytest.raises(ValueError, match="there is a node a already"):
            network.join("a")
    assert repr(network) == "<LocalNetwork: nobody>"
    network.join("a")
    network.cut("a")
    assert repr(network.join("a")) == "<LocalLink a>"
    with pytest.raises(KeyError):
        network.cut("b")


@pytest.mark.parametrize("name", ["", "A", "a.b", "a b", "*", "x" * 65, "a\n", "ä"])
async def test_a_node_has_one_word_for_a_name(name: str) -> None:
    """`ValueError`: names become parts of subjects and of senders."""
    with pytest.raises(ValueError, match="no name of a node"):
        LocalNetwork().join(name)
    assert check_node("kitchen_2-b") == "kitchen_2-b"


async def test_leaving_leaves_nothing_behind() -> None:
    """After the `async with`, and after a serve has ended, the network knows nothing of it."""
    network = LocalNetwork()

    async def echo(message: LinkMessage) -> bytes:
        return message.payload

    with anyio.fail_after(PATIENCE):
        async with network.join("a") as a, network.join("b"):
            async with a.subscribe("x.*"), a.presence(), anyio.create_task_group() as tasks:
                await tasks.start(a.serve, "x.y", echo)
                tasks.cancel_scope.cancel()
            assert (network.listening, network.serving) == ([], [])
        assert network.nodes == {}


async def test_an_error_inside_a_link_is_the_apps_own() -> None:
    """It goes on as it is, in no exception group."""
    with pytest.raises(KeyError):
        async with LocalNetwork().join("a") as a, a.subscribe("x.*"), a.presence():
            raise KeyError("mine")


# -- what one reads from


async def test_a_buffer_is_bounded_by_bytes_too() -> None:
    """What does not fit is dropped and counted; one that is too large alone fits an empty buffer, since it never would later."""
    buffer = Buffer[str](10, max_bytes=100)
    assert buffer.offer("large", 1_000)
    assert not buffer.offer("small", 1)
    assert await anext(buffer) == "large"
    assert buffer.offer("60", 60)
    assert not buffer.offer("50", 50)
    assert buffer.offer("40", 40)
    assert repr(buffer) == "<Buffer: 2 of 10, 100 bytes, 2 dropped>"
    buffer.end()
    assert not buffer.offer("late", 1)
    assert buffer.dropped == 2
    assert [item async for item in buffer] == ["60", "40"]
    with pytest.raises(ValueError, match="at least 1 message"):
        Buffer[str](0)


async def test_presence_is_bounded_by_the_nodes() -> None:
    """A node that comes and goes a thousand times while nobody looks is told of once; who is there is always right."""
    presence = Presence()
    presence.begin(["a", "b"])
    for _ in range(1_000):
        presence.went("a")
        presence.came("a")
        presence.came("c")
        presence.went("c")
    presence.went("nobody")
    presence.went("b")
    assert presence.nodes == {"a"}
    assert repr(presence) == "<Presence: a>"
    presence.end()
    assert [change async for change in presence] == [
        NodeChange("a", there=False),
        NodeChange("a", there=True),
        NodeChange("b", there=False),
    ]
