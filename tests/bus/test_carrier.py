"""A bus and a link joined: what goes out, what comes in, and that nothing goes round for ever."""

import math
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest

from desk.bus import codec
from desk.bus.bus import Bus
from desk.bus.carrier import Carrier, CarrierStatistics, carry
from desk.bus.envelope import MAX_HOPS, Origin
from desk.bus.link import LinkDown
from desk.bus.local_link import LocalLink, LocalNetwork
from desk.bus.subjects import SubjectError
from desk.bus.subscription import Event
from desk.traces import names
from desk.traces.recorder import record_in_memory

pytestmark = pytest.mark.anyio

PATIENCE = 10.0
"""Seconds after which a test that hangs fails."""

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Node:
    """A bus that is joined to a network."""

    def __init__(self, link: LocalLink, bus: Bus, carrier: Carrier) -> None:
        self.link = link
        self.bus = bus
        self.carrier = carrier


@asynccontextmanager
async def node(network: LocalNetwork, name: str, out: list[str], into: list[str]) -> AsyncGenerator[Node]:
    bus, link = Bus(), network.join(name)
    async with link, carry(bus, link, out=out, into=into) as carrier:
        yield Node(link, bus, carrier)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - several tasks of two buses have a part in it
        await anyio.sleep(0.001)


async def test_events_go_from_bus_to_bus() -> None:
    """With value, a sender that names the node, and one hop more; the receiving bus's own events stay where they are."""
    network = LocalNetwork()
    with anyio.fail_after(PATIENCE):
        async with node(network, "a", ["weather.**"], []) as a, node(network, "b", [], ["weather.*", "**"]) as b:
            with b.bus.subscribe("**") as events:
                await a.bus.publish("news.today", "stays")
                await a.bus.publish("weather.changed", {"celsius": 21}, origin=Origin("station", hops=2))
                first = await anext(events)
                await a.bus.publish("weather.x.y", [1])
                second = await anext(events)
                assert (first.subject, first.value, first.sender) == ("weather.changed", {"celsius": 21}, "a:station")
                assert first.onward.hops == 4
                assert (second.subject, second.value, second.sender) == ("weather.x.y", [1], "a:")
                await b.bus.publish("weather.changed", 1)
                await anext(events)
                await anyio.wait_all_tasks_blocked()
                assert events.mailbox.statistics().queued == 0
            await until(lambda: b.carrier.statistics().received == 2)
            assert a.carrier.statistics() == CarrierStatistics(sent=2, received=0, dropped=0, refused=0)
            assert b.carrier.statistics() == CarrierStatistics(sent=0, received=2, dropped=0, refused=0)
            assert repr(b.carrier) == "<Carrier of b: 0 sent, 2 received, 0 dropped, 0 refused>"


async def test_nothing_goes_round() -> None:
    """Three nodes that carry everything both ways: each event reaches each bus once, also over a second network."""
    one, two = LocalNetwork(), LocalNetwork()
    everything = (["x.*"], ["x.*"])
    with anyio.fail_after(PATIENCE):
        async with (
            node(one, "a", *everything) as a,
            node(one, "b", *everything) as b,
            node(one, "c", *everything) as c,
            # a and b are neighbours twice, which makes a circle of the two networks
            two.join("a") as second_a,
            two.join("b") as second_b,
            carry(a.bus, second_a, out=["x.*"], into=["x.*"]),
            carry(b.bus, second_b, out=["x.*"], into=["x.*"]),
            anyio.create_task_group() as tasks,
        ):
            counts: dict[str, list[str]] = {"a": [], "b": [], "c": []}

            def count(name: str) -> Callable[[Event], None]:
                return lambda event: counts[name].append(event.sender)

            for each in (a, b, c):
                tasks.start_soon(each.bus.subscribe("x.*").each, count(each.link.name))
            await c.bus.publish("x.y", 1)
            await until(lambda: all(counts.values()))
            for _ in range(20):
                await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    assert counts["c"] == [""]
    # by the first network, and from the neighbour that passed it on over the second
    assert sorted(counts["a"]) == ["b:c:", "c:"]
    assert sorted(counts["b"]) == ["a:c:", "c:"]


async def test_answers_across_nodes_end() -> None:
    """Two receivers that publish because of each other's events do so `MAX_HOPS` times, not for ever."""
    network, published = LocalNetwork(), list[str]()

    async def answer(bus: Bus, listens: str, says: str) -> None:
        async def handle(event: Event) -> None:
            await bus.publish(says, None, origin=event.onward)
            published.append(says)

        await bus.subscribe(listens).each(handle)

    with anyio.fail_after(PATIENCE):
        async with (
            node(network, "a", ["ping"], ["pong"]) as a,
            node(network, "b", ["pong"], ["ping"]) as b,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(answer, a.bus, "pong", "ping")
            tasks.start_soon(answer, b.bus, "ping", "pong")
            await anyio.wait_all_tasks_blocked()
            await a.bus.publish("ping", None)
            await until(lambda: a.carrier.statistics().refused + b.carrier.statistics().refused == 1)
            tasks.cancel_scope.cancel()
    assert 0 < len(published) <= MAX_HOPS


@pytest.mark.parametrize(
    ("pattern", "carried"), [("**", False), ("*.actor", False), ("sys.**", True), ("sys.actor", True)]
)
@pytest.mark.parametrize("way", ["out", "into"])
async def test_the_hosts_own_subjects_are_carried_only_by_name(pattern: str, carried: bool, way: str) -> None:
    """A wildcard for the first word does not take `sys`, `ext`, `cap`, in either direction."""
    network = LocalNetwork()
    out, into = ([pattern], ["sys.*", "end"]) if way == "out" else (["sys.*", "end"], [pattern, "end"])
    with anyio.fail_after(PATIENCE):
        async with node(network, "a", [*out, "end"], []) as a, node(network, "b", [], into) as b:
            with b.bus.subscribe("**") as events:
                await a.bus.publish("sys.actor", 1)
                await a.bus.publish("end", 2)
                got: list[str] = []
                while "end" not in got or (carried and "sys.actor" not in got):
                    got.append((await anext(events)).subject)
    assert ("sys.actor" in got) is carried


@pytest.mark.parametrize(
    ("payload", "headers", "reason"),
    [
        (b"", {}, "no bytes at all"),
        (b"\xff", {}, "refused"),
        (codec.encode(1) * 2, {}, "end"),
        (b"\x81" * 100, {}, "refused"),
        (b"\x5b\x7f" + b"\xff" * 7, {}, "refused"),
        (codec.encode("x"), {}, "expected"),
        (codec.encode(1), {"hops": "-1"}, "no number of hops"),
        (codec.encode(1), {"hops": ""}, "no number of hops"),
        (codec.encode(1), {"hops": "9" * 8_000}, "no number of hops"),
        (codec.encode(1), {"hops": str(MAX_HOPS)}, "at most"),
        (codec.encode(1), {"hops": "99"}, "at most"),
        (codec.encode(1), {"sender": "b:station"}, "has been here before"),
        (codec.encode(1), {"sender": "c:b:"}, "has been here before"),
        (codec.encode(1), {"sender": "A b"}, "no sender"),
        (codec.encode(1), {"sender": ":"}, "no sender"),
        (codec.encode(1), {"sender": "x:" * 9}, "no sender"),
        (codec.encode(1), {"sender": "x" * 8_000}, "no sender"),
    ],
    ids=range(17),
)
async def test_what_another_node_should_not_have_sent_is_refused(
    payload: bytes, headers: dict[str, str], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing of it reaches the bus; it is counted and logged, and the next event comes in."""
    network = LocalNetwork()
    with anyio.fail_after(PATIENCE):
        async with network.join("a") as a, node(network, "b", [], ["x.*"]) as b:
            b.bus.declare("x.y", "u8", by="the app")
            with b.bus.subscribe("**") as events:
                await a.publish("x.y", payload, headers)
                await a.publish("x.y", codec.encode(7))
                assert (await anext(events)).value == 7
            await until(lambda: b.carrier.statistics() == CarrierStatistics(0, 1, 0, 1))
    assert "an event from node a is refused" in caplog.text
    assert reason in caplog.text


async def test_a_flood_of_refusals_is_a_short_log(caplog: pytest.LogCaptureFixture) -> None:
    """Each is counted, few are logged."""
    network = LocalNetwork()
    with anyio.fail_after(PATIENCE):
        async with network.join("a") as a, node(network, "b", [], ["x.*"]) as b:
            for _ in range(100):
                await a.publish("x.y", b"")
            await until(lambda: b.carrier.statistics().refused == 100)
    assert len(caplog.records) < 20


@pytest.mark.parametrize(
    ("sent", "continued"),
    [
        (PARENT, True),
        ("", False),
        (PARENT[:-1], False),
        (PARENT.upper(), False),
        (f"00-{'0' * 32}-{'0' * 16}-01", False),
        ("x" * 8_000, False),
        (None, False),
    ],
)
async def test_a_trace_goes_on_only_from_a_traceparent(sent: str | None, continued: bool) -> None:
    """Anything else begins a trace of its own, and not one below the span in which the carrier was opened."""
    headers = {} if sent is None else {"traceparent": sent}
    tracing, _ = record_in_memory()
    network, bus = LocalNetwork(), Bus(tracing)
    with anyio.fail_after(PATIENCE):
        async with network.join("a") as a, network.join("b") as b:
            with tracing.span(names.PROCESS, "the app") as span:
                carrier = await carry(bus, b, into=["x.*"]).__aenter__()
                opened_in = span.traceparent
            with bus.subscribe("x.*") as events:
                await a.publish("x.y", codec.encode(1), headers)
                got = await anext(events)
            await carrier.__aexit__()
    assert opened_in is not None
    assert got.traceparent is not None
    trace = got.traceparent.split("-")[1]
    assert (trace == PARENT.split("-")[1]) is continued
    assert trace != opened_in.split("-")[1]


async def test_a_link_that_is_down_slows_nobody() -> None:
    """Events are dropped and counted, the bus goes on, and leaving is as always."""
    network = LocalNetwork()
    with anyio.fail_after(PATIENCE):
        async with node(network, "a", ["x.*"], ["x.*"]) as a:
            network.cut("a")
            for number in range(1_000):
                await a.bus.publish("x.y", number)
            await until(lambda: a.carrier.statistics().dropped == 1_000)
            assert a.carrier.statistics().sent == 0
        with pytest.raises(LinkDown):
            async with carry(a.bus, a.link, into=["x.*"]):
                pass


async def test_a_slow_bus_drops_what_the_link_has_no_room_for() -> None:
    """A subscriber that does not read delays what comes in; the link's buffer is bounded, and what is lost is counted."""
    network = LocalNetwork()
    with anyio.fail_after(PATIENCE):
        async with network.join("a") as a, node(network, "b", [], ["x.*"]) as b:
            with b.bus.subscribe("x.*", capacity=1):
                for _ in range(1_000):
                    await a.publish("x.y", codec.encode(None))
                await until(lambda: b.carrier.statistics().dropped > 600)


async def test_what_is_too_large_for_the_link_stays() -> None:
    """It is counted as refused, and the next event goes out."""
    network = LocalNetwork(max_payload=100)
    with anyio.fail_after(PATIENCE):
        async with node(network, "a", ["x.*"], []) as a, node(network, "b", [], ["x.*"]) as b:
            with b.bus.subscribe("x.*") as events:
                await a.bus.publish("x.y", bytes(200))
                await a.bus.publish("x.y", "small")
                assert (await anext(events)).value == "small"
            await until(lambda: a.carrier.statistics() == CarrierStatistics(1, 0, 0, 1))


async def test_after_leaving_nothing_is_carried() -> None:
    """The bus and the link know nothing of the carrier any more; an error inside it is the app's own."""
    network, bus = LocalNetwork(), Bus()
    with anyio.fail_after(PATIENCE):
        async with network.join("a") as link:
            with pytest.raises(KeyError):
                async with carry(bus, link, out=["x.*", "x.**"], into=["x.*"]):
                    raise KeyError("mine")
            assert bus.statistics().subscriptions == 0
            assert network.listening == []
            assert await bus.publish("x.y", math.inf) == 0


async def test_what_is_carried_is_patterns() -> None:
    """`SubjectError` for what is none, `TypeError` for a text where a list is meant, `ValueError` for too many."""
    network, bus = LocalNetwork(), Bus()
    async with network.join("a") as link:
        with pytest.raises(SubjectError):
            carry(bus, link, out=["x.**.y"])
        with pytest.raises(TypeError, match="expected a list of patterns"):
            carry(bus, link, into="weather.**")
        with pytest.raises(ValueError, match="at most 64"):
            carry(bus, link, into=[f"x.n{number}" for number in range(65)])
