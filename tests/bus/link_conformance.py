"""What every link must do, whatever carries it: a class of tests that an implementation's test file inherits.

    class TestMyLink(LinkConformance):
        @pytest.fixture
        async def mesh(self) -> AsyncGenerator[Mesh]: ...

A `Mesh` is the network under test. Nothing here assumes that a message arrives at once, only that it does in `PATIENCE`
seconds; that something does *not* arrive is shown by what was sent after it and did.
"""

import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

import anyio
import pytest

from desk.bus.errors import DeadlineExceeded, NoReceiver, Overloaded, ResponderFailed
from desk.bus.link import (
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    SERVING,
    WAITING,
    Link,
    LinkDown,
    LinkMessage,
    Messages,
    PeerLost,
    Unsendable,
)
from desk.bus.link_buffer import NodeChange
from desk.bus.subjects import SubjectError

PATIENCE = 20.0
"""Seconds after which a test that hangs fails."""

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Mesh(Protocol):
    """The network under test."""

    async def join(self, name: str) -> Link:
        """A link for a new node; closed when the mesh is."""
        ...

    async def cut(self, name: str) -> None:
        """Let a node lose the network, without its doing."""
        ...


async def echo(message: LinkMessage) -> bytes:
    return message.payload


async def payloads(messages: Messages, count: int) -> list[bytes]:
    return [(await anext(messages)).payload for _ in range(count)]


async def until(condition: Callable[[], bool]) -> None:
    """Return when it has become true."""
    while not condition():  # noqa: ASYNC110, the link under test tells no event of ours
        await anyio.sleep(0.001)


async def joined(mesh: Mesh, *names: str) -> list[Link]:
    """Links of these nodes, which know of each other."""
    links = [await mesh.join(name) for name in names]
    for link in links:
        async with link.presence() as presence:
            await until(lambda there=presence: len(there.nodes) >= len(names) - 1)
    return links


class Stuck:
    """A function that begins, and never answers unless it is let go."""

    def __init__(self) -> None:
        self.begun: list[bytes] = []
        self.cancelled = 0
        self.go_on = anyio.Event()

    async def __call__(self, message: LinkMessage) -> bytes:
        self.begun.append(message.payload)
        try:
            await self.go_on.wait()
        except BaseException:
            self.cancelled += 1
            raise
        return message.payload


async def outcome(awaitable: Awaitable[object], into: list[object]) -> None:
    """Add what it returns or raises."""
    try:
        into.append(await awaitable)
    except Exception as error:
        into.append(error)


class LinkConformance:
    """See the module's docstring."""

    # -- publish and subscribe

    async def test_an_event_goes_to_the_other_nodes_that_listen(self, mesh: Mesh) -> None:
        """Subject, payload and headers arrive as they were sent, with the sender's name; the sender hears nothing of it."""
        with anyio.fail_after(PATIENCE):
            a, b, c = await joined(mesh, "a", "b", "c")
            async with a.subscribe("**") as own, b.subscribe("weather.*") as one, c.subscribe("weather.changed") as two:
                await a.publish("weather.changed", b"\x00\xff", {"traceparent": PARENT, "empty": ""})
                for messages in (one, two):
                    got = await anext(messages)
                    assert (got.subject, got.payload, got.sender) == ("weather.changed", b"\x00\xff", "a")
                    assert dict(got.headers) == {"traceparent": PARENT, "empty": ""}
                    assert got.deadline is None
                await b.publish("weather.changed", b"from b")
                assert (await anext(own)).payload == b"from b"

    async def test_nobody_need_listen(self, mesh: Mesh) -> None:
        """An event without subscribers, on a network without other nodes, is no error; an empty payload is one."""
        (a,) = await joined(mesh, "a")
        with anyio.fail_after(PATIENCE):
            await a.publish("weather.changed", b"")

    @pytest.mark.parametrize(
        ("pattern", "subjects", "heard"),
        [
            ("w.x", ["w", "w.x", "w.y", "w.x.y"], ["w.x"]),
            ("w.*", ["w", "w.x", "w.y", "w.x.y"], ["w.x", "w.y"]),
            ("*.x", ["x", "w.x", "v.x", "w.y"], ["w.x", "v.x"]),
            ("w.**", ["w", "w.x", "w.x.y", "v.x"], ["w.x", "w.x.y"]),
            ("*.*.**", ["w.x", "w.x.y", "w.x.y.z"], ["w.x.y", "w.x.y.z"]),
            ("**", ["w", "w.x-y_1", "sys.x"], ["w", "w.x-y_1", "sys.x"]),
        ],
    )
    async def test_patterns_are_those_of_the_bus(
        self, mesh: Mesh, pattern: str, subjects: list[str], heard: list[str]
    ) -> None:
        """`*` is one word, a last `**` one or more, whatever wildcards the engine has."""
        with anyio.fail_after(PATIENCE):
            a, b = await joined(mesh, "a", "b")
            async with b.subscribe(pattern) as messages, b.subscribe("end.*") as end:
                for subject in subjects:
                    await a.publish(subject, subject.encode())
                await a.publish("end.of-it", b"")
                await anext(end)
                await until(lambda: len(messages) >= len(heard))
                assert [(await anext(messages)).subject for _ in heard] == heard
                assert len(messages) == (1 if pattern == "**" else 0)

    @pytest.mark.parametrize(
        "subject", ["", "A.b", "a..b", "a.*", "a.>", "**", "a b", "a\r\nPUB x", "ä", "x" * 256, "a." * 16 + "a"]
    )
    async def test_what_is_no_subject_goes_nowhere(self, mesh: Mesh, subject: str) -> None:
        """`SubjectError` from every verb, and the link goes on."""
        with anyio.fail_after(PATIENCE):
            a, b = await joined(mesh, "a", "b")
            async with b.subscribe("**") as messages:
                with pytest.raises(SubjectError):
                    await a.publish(subject, b"")
                with pytest.raises(SubjectError):
                    await a.request(subject, b"", deadline=PATIENCE)
                with pytest.raises(SubjectError):
                    async with a.subscribe("a.b", group=subject or "a.b"):
                        pass
                await a.publish("a.b", b"good")
                assert await payloads(messages, 1) == [b"good"]

    @pytest.mark.parametrize("pattern", ["", "a.**.b", "a.>", "a.*b", "A", "a\n", "x" * 256])
    async def test_what_is_no_pattern_is_refused(self, mesh: Mesh, pattern: str) -> None:
        """`SubjectError`, from those who listen and those who serve."""
        (a,) = await joined(mesh, "a")
        with anyio.fail_after(PATIENCE):
            with pytest.raises(SubjectError):
                async with a.subscribe(pattern):
                    pass
            with pytest.raises(SubjectError):
                await a.serve(pattern, echo)

    async def test_after_leaving_nothing_arrives(self, mesh: Mesh) -> None:
        """What had arrived can still be read; then the iteration ends, and what is published later is another's."""
        with anyio.fail_after(PATIENCE):
            a, b = await joined(mesh, "a", "b")
            async with b.subscribe("x.*") as other:
                async with b.subscribe("x.*") as messages:
                    await a.publish("x.y", b"1")
                    await until(lambda: len(messages) == 1)
                await a.publish("x.y", b"2")
                assert await payloads(other, 2) == [b"1", b"2"]
                assert [message.payload async for message in messages] == [b"1"]

    async def test_order_is_kept_per_publisher_and_subject(self, mesh: Mesh) -> None:
        """Two nodes publish at the same time on two subjects each: each of the four series arrives as it was sent."""
        count = 100

        async def publish(link: Link, subject: str) -> None:
            for number in range(count):
                await link.publish(subject, str(number).encode())

        with anyio.fail_after(PATIENCE):
            a, b, c = await joined(mesh, "a", "b", "c")
            async with c.subscribe("n.*", capacity=10_000) as messages, anyio.create_task_group() as tasks:
                for link in (a, b):
                    for subject in ("n.one", "n.two"):
                        tasks.start_soon(publish, link, subject)
                series: dict[tuple[str, str], list[int]] = {}
                for _ in range(4 * count):
                    message = await anext(messages)
                    series.setdefault((message.sender, message.subject), []).append(int(message.payload))
        assert len(series) == 4
        assert all(numbers == list(range(count)) for numbers in series.values())

    async def test_a_slow_reader_loses_what_does_not_fit_and_can_tell(self, mesh: Mesh) -> None:
        """It keeps the first `capacity` messages in order and counts the others; a faster one gets all, nobody waits."""
        with anyio.fail_after(PATIENCE):
            a, b = await joined(mesh, "a", "b")
            async with b.subscribe("n.*", capacity=10) as slow, b.subscribe("n.*", capacity=1_000) as fast:
                for number in range(100):
                    await a.publish("n.x", str(number).encode())
                assert await payloads(fast, 100) == [str(number).encode() for number in range(100)]
                await until(lambda: slow.dropped == 90)
                assert await payloads(slow, 10) == [str(number).encode() for number in range(10)]
                await a.publish("n.x", b"again")
                assert await payloads(slow, 1) == [b"again"]
                assert fast.dropped == 0

    async def test_a_cancelled_reader_loses_nothing(self, mesh: Mesh) -> None:
        """Whoever stops waiting and asks again gets what came meanwhile."""
        with anyio.fail_after(PATIENCE):
            a, b = await joined(mesh, "a", "b")
            async with b.subscribe("n.*") as messages:
                with anyio.move_on_after(0.01):
                    await anext(messages)
                await a.publish("n.x", b"1")
                assert await payloads(messages, 1) == [b"1"]

    async def test_a_cancelled_publisher_has_sent_all_or_nothing(self, mesh: Mesh) -> None:
        """Nothing arrives twice or in parts, and the link goes on."""
        with anyio.fail_after(PATIENCE):
            a, b = await joined(mesh, "a", "b")
            async with b.subscribe("n.*") as messages:
                with anyio.CancelScope() as scope:
                    scope.cancel()
                    await a.publish("n.x", b"perhaps")
                await a.publish("n.x", b"surely")
                seen = [(await anext(messages)).payload]
                if seen == [b"perhaps"]:
                    seen = await payloads(messages, 1)
                assert seen == [b"surely"]

    # -- groups

    async def test_one_of_a_group_gets_each_message(self, mesh: Mesh) -> None:
        """All messages are handled, each once; if the link says that it balances, by all members. Others get every one."""
        count, seen = 200, dict[str, list[int]]()
        done = anyio.Event()

        async def read(link: Link, ready: anyio.Event) -> None:
            async with link.subscribe("job.*", group="workers", capacity=1_000) as messages:
                ready.set()
                async for message in messages:
                    seen.setdefault(link.name, []).append(int(message.payload))
                    if sum(map(len, seen.values())) == count:
                        done.set()

        with anyio.fail_after(PATIENCE):
            a, b, c, d = await joined(mesh, "a", "b", "c", "d")
            async with d.subscribe("job.*", capacity=1_000) as alone, anyio.create_task_group() as tasks:
                for link in (b, c):
                    ready = anyio.Event()
                    tasks.start_soon(read, link, ready)
                    await ready.wait()
                for number in range(count):
                    await a.publish("job.x", str(number).encode())
                await done.wait()
                assert await payloads(alone, count) == [str(number).encode() for number in range(count)]
                tasks.cancel_scope.cancel()
        assert sorted(number for numbers in seen.values() for number in numbers) == list(range(count))
        assert all(numbers == sorted(numbers) for numbers in seen.values())
        if a.balanced:
            assert min(len(seen.get(name, [])) for name in ("b", "c")) > count // 10

    async def test_two_groups_get_each_message_once_each(self, mesh: Mesh) -> None:
        """Groups do not know of each other."""
        with anyio.fail_after(PATIENCE):
            a, b, c = await joined(mesh, "a", "b", "c")
            async with (
                b.subscribe("job.*", group="one") as one,
                c.subscribe("job.*", group="two") as two,
            ):
                for number in range(10):
                    await a.publish("job.x", bytes([number]))
                expected = [bytes([number]) for number in range(10)]
                assert await payloads(one, 10) == expected
                assert await payloads(two, 10) == expected

    async def test_when_a_member_leaves_the_others_go_on(self, mesh: Mesh) -> None:
        """A node that closes, or is cut off, gets nothing more once the others see it gone."""
        with anyio.fail_after(PATIENCE):
            a, b, c, d = await joined(mesh, "a", "b", "c", "d")
            async with (
                b.subscribe("job.*", group="workers"),
                c.subscribe("job.*", group="workers"),
                d.subscribe("job.*", group="workers") as messages,
                a.presence() as presence,
            ):
                await b.close()
                await mesh.cut("c")
                await until(lambda: presence.nodes == {"d"})
                for number in range(10):
                    await a.publish("job.x", bytes([number]))
                assert await payloads(messages, 10) == [bytes([number]) for number in range(10)]

    # -- requests

    async def test_a_request_is_answered(self, mesh: Mesh) -> None:
        """The function gets subject, payload, headers, sender and deadline; its bytes are the answer."""
        got: list[LinkMessage] = []

        async def double(message: LinkMessage) -> bytes:
            got.append(message)
            return message.payload * 2

        with anyio.fail_after(PATIENCE):
            a, b = await joined(mesh, "a", "b")
            async with anyio.create_task_group() as tasks:
                await tasks.start(b.serve, "lamp.*", double)
                assert await a.request("lamp.on", b"x", {"traceparent": PARENT}, deadline=PATIENCE) == b"xx"
                assert await a.request("lamp.on", b"", deadline=PATIENCE) == b""
                tasks.cancel_scope.cancel()
        assert (got[0].subject, got[0].payload, got[0].sender) == ("lamp.on", b"x", "a")
        assert dict(got[0].headers) == {"traceparent": PARENT}
        assert got[0].deadline is not None
        assert 0 < got[0].deadline - time.monotonic() <= PATIENCE + 1

    async def test_nobody_answers(self, mesh: Mesh) -> None:
        """`NoReceiver`, long before the deadline: nobody serves it, only oneself does, or the one who did has stopped."""
        with anyio.fail_after(PATIENCE):
            a, b = await joined(mesh, "a", "b")
            async with anyio.create_task_group() as tasks:
                await tasks.start(a.serve, "lamp.on", echo)
                await tasks.start(b.serve, "lamp.off", echo)
                for subject in ("lamp.on", "lamp", "lamp.off.all"):
                    with pytest.raises(NoReceiver):
                        await a.request(subject, b"", deadline=math.inf)
                assert await a.request("lamp.off", b"x", deadline=PATIENCE) == b"x"
                tasks.cancel_scope.cancel()
            await anyio.sleep(0.01)
            with pytest.raises(NoReceiver):
                await a.request("lamp.off", b"", deadline=math.inf)

    async def test_a_server_may_say_that_it_does_not_answer(self, mesh: Mesh) -> None:
        """`NoReceiver` raised by the function is `NoReceiver` for the requester: nothing was carried out."""

        async def not_me(message: LinkMessage) -> bytes:
            raise NoReceiver(f"nobody answers {message.subject} here")

        with anyio.fail_after(PATIENCE):
            a, b = await joined(mesh, "a", "b")
            async with anyio.create_task_group() as tasks:
                await tasks.start(b.serve, "**", not_me)
                with pytest.raises(NoReceiver):
                    await a.request("lamp.on", b"", deadline=math.inf)
                tasks.cancel_scope.cancel()

    async def test_one_server_is_asked_once(self, mesh: Mesh) -> None:
        """However many serve a subject, by whatever pattern; if the link says that it balances, all of them have a share."""
        served: list[str] = []

        def server(name: str) -> Callable[[LinkMessage], Awaitable[bytes]]:
            async def serve(message: LinkMessage) -> bytes:
                served.append(name)
                return message.payload

            return serve

        with anyio.fail_after(PATIENCE):
            a, b, c = await joined(mesh, "a", "b", "c")
            async with anyio.create_task_group() as tasks:
                await tasks.start(b.serve, "lamp.*", server("b"))
                await tasks.start(c.serve, "lamp.on", server("c"))
                for number in range(100):
                    assert await a.request("lamp.on", bytes([number]), deadline=PATIENCE) == bytes([number])
                tasks.cancel_scope.cancel()
        assert len(served) == 100
        if a.balanced:
            assert min(served.count("b"), served.count("c")) > 10

    @pytest.mark.parametrize("deadline", [0.05, 0.0, -1.0, math.nan])
    async def test_the_deadline_ends_the_wait(self, mesh: Mesh, deadline: float) -> None:
        """`DeadlineExceeded`; the function is cancelled then, too, if it had begun."""
        stuck = Stuck()
        with anyio.fail_after(PATIENCE):
            a, b = await joined(mesh, "a", "b")
            async with anyio.create_task_group() as tasks:
                await tasks.start(b.serve, "lamp.on", stuck)
                with pytest.raises(DeadlineExceeded):
                    await a.request("lamp.on", b"", deadline=deadline)
                await until(lambda: stuck.cancelled == len(stuck.begun))
                stuck.go_on.set()
                assert await a.request("lamp.on", b"next", deadline=PATIENCE) == b"next"
                tasks.cancel_scope.cancel()

    async def test_a_function_that_fails_tells_only_that_it_did(
        self, mesh: Mesh, caplog: pytest.LogCaptureFixture
    ) -> None:
        """`ResponderFailed` without what it raised, which is in the log of its own node; it serves on."""

        async def fail(message: LinkMessage) -> bytes:
            if message.payload == b"type":
                return "no bytes"  # type: ignore[return-value]
            if message.payload == b"size":
                return bytes(b.max_payload + 1)
            raise RuntimeError("the secret word is swordfish")

        with anyio.fail_after(PATIENCE):
            a, b = await joined(mesh, "a", "b")
            async with anyio.create_task_group() as tasks:
                await tasks.start(b.serve, "lamp.on", fail)
                for payload in (b"raise", b"type", b"size", b"raise"):
                    with pytest.raises(ResponderFailed) as caught:
                        await a.request("lamp.on", payload, deadline=PATIENCE)
                    assert "swordfish" not in str(caught.value)
                tasks.cancel_scope.cancel()
        assert "swordfish" in caplog.text

    async def test_requests_are_worked_on_together_and_bounded(self, mesh: Mesh) -> None:
        """`SERVING` at once, `WAITING` wait, and one more is `Overloaded`; those who waited are answered in the end."""
        stuck, outcomes = Stuck(), list[object]()
        with anyio.fail_after(PATIENCE):
            a, b = await joined(mesh, "a", "b")
            async with anyio.create_task_group() as servers:
                await servers.start(b.serve, "lamp.on", stuck)
                async with anyio.create_task_group() as tasks:
                    for _ in range(SERVING):
                        tasks.start_soon(outcome, a.request("lamp.on", b"", deadline=math.inf), outcomes)
                    await until(lambda: len(stuck.begun) == SERVING)
                    for _ in range(WAITING + 20):
                        tasks.start_soon(outcome, a.request("lamp.on", b"", deadline=math.inf), outcomes)
                    await until(lambda: len(outcomes) >= 10)
                    assert len(stuck.begun) == SERVING
                    stuck.go_on.set()
                servers.cancel_scope.cancel()
        refused = [each for each in outcomes if isinstance(each, Overloaded)]
        assert 10 <= len(refused) <= 20
        assert outcomes.count(b"") == SERVING + WAITING + 20 - len(refused) == len(stuck.begun)

    async def test_a_cancelled_requester_disturbs_nobody(self, mesh: Mesh) -> None:
        """The function that had begun goes on, its answer is dropped, and the next request is answered."""
        stuck = Stuck()
        with anyio.fail_after(PATIENCE):
            a, b = await joined(mesh, "a", "b")
            async with anyio.create_task_group() as tasks:
                await tasks.start(b.serve, "lamp.on", stuck)
                async with anyio.create_task_group() as requests:
                    requests.start_soon(outcome, a.request("lamp.on", b"1", deadline=math.inf), [])
                    await until(lambda: stuck.begun == [b"1"])
                    requests.cancel_scope.cancel()
                assert stuck.cancelled == 0
                stuck.go_on.set()
                assert await a.request("lamp.on", b"2", deadline=PATIENCE) == b"2"
                assert stuck.cancelled == 0
                tasks.cancel_scope.cancel()

    # -- loss and close

    @pytest.mark.parametrize("how", ["cut the server", "close the server", "stop serving", "cut us", "close us"])
    async def test_a_peer_lost_in_flight_is_known_at_once(self, mesh: Mesh, how: str) -> None:
        """`PeerLost`, not a wait for the deadline, for those being worked on and those waiting; what ran there is cancelled."""
        stuck, outcomes = Stuck(), list[object]()

        async def serve(task_status: anyio.abc.TaskStatus[None]) -> None:
            try:
                await b.serve("lamp.on", stuck, task_status=task_status)
            except LinkDown:
                assert how == "cut the server"
            else:
                assert how == "close the server"

        with anyio.fail_after(PATIENCE):
            a, b = await joined(mesh, "a", "b")
            async with anyio.create_task_group() as servers:
                await servers.start(serve)
                async with anyio.create_task_group() as tasks:
                    for _ in range(SERVING + 10):
                        tasks.start_soon(outcome, a.request("lamp.on", b"", deadline=math.inf), outcomes)
                    await until(lambda: len(stuck.begun) == SERVING)
                    await anyio.sleep(0.01)
                    match how:
                        case "cut the server":
                            await mesh.cut("b")
                        case "close the server":
                            await b.close()
                        case "stop serving":
                            servers.cancel_scope.cancel()
                        case "cut us":
                            await mesh.cut("a")
                        case _:
                            await a.close()
                assert [type(each) for each in outcomes] == [PeerLost] * (SERVING + 10)
                if how.endswith("server"):
                    await until(lambda: stuck.cancelled == SERVING)
                servers.cancel_scope.cancel()

    @pytest.mark.parametrize("lost", [False, True])
    async def test_every_wait_ends_with_the_link(self, mesh: Mesh, lost: bool) -> None:
        """Closed: iterations end and `serve` returns. Lost: they raise `LinkDown`. What had arrived is read first."""
        read: list[object] = []
        ends: list[object] = []

        async def collect(iterator: AsyncIterator[object]) -> None:
            async for each in iterator:
                read.append(each)  # noqa: PERF401 - also what comes before an error counts

        with anyio.fail_after(PATIENCE):
            a, b = await joined(mesh, "a", "b")
            async with b.subscribe("n.*") as messages, b.subscribe("n.*") as late, b.presence() as presence:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(outcome, b.serve("lamp.on", echo), ends)
                    tasks.start_soon(outcome, collect(messages), ends)
                    tasks.start_soon(outcome, collect(presence), ends)
                    await a.publish("n.x", b"1")
                    await until(lambda: len(read) == len(late) == 1)
                    await (mesh.cut("b") if lost else b.close())
                await outcome(collect(late), ends)
        assert [type(each) for each in ends] == [LinkDown if lost else type(None)] * 4
        assert [each.payload for each in read if isinstance(each, LinkMessage)] == [b"1", b"1"]

    @pytest.mark.parametrize("lost", [False, True])
    async def test_a_link_that_is_down_says_so(self, mesh: Mesh, lost: bool) -> None:
        """`LinkDown` from every verb, at once; closing it again does nothing."""
        with anyio.fail_after(PATIENCE):
            a, b = await joined(mesh, "a", "b")
            async with b.presence() as presence:
                if lost:
                    await mesh.cut("a")
                else:
                    await a.close()
                assert await anext(presence) == NodeChange("a", there=False)
            with pytest.raises(LinkDown):
                await a.publish("n.x", b"")
            with pytest.raises(LinkDown):
                await a.request("n.x", b"", deadline=math.inf)
            with pytest.raises(LinkDown):
                await a.serve("n.x", echo)
            with pytest.raises(LinkDown):
                async with a.subscribe("n.*"):
                    pass
            with pytest.raises(LinkDown):
                async with a.presence():
                    pass
            await a.close()
            await a.close()

    # -- presence

    async def test_nodes_are_seen_coming_and_going(self, mesh: Mesh) -> None:
        """`nodes` at the moment, and every change since; oneself is not among them."""
        with anyio.fail_after(PATIENCE):
            a, b = await joined(mesh, "a", "b")
            async with a.presence() as presence:
                assert presence.nodes == {"b"}
                await mesh.join("c")
                assert await anext(presence) == NodeChange("c", there=True)
                assert presence.nodes == {"b", "c"}
                await mesh.cut("c")
                assert await anext(presence) == NodeChange("c", there=False)
                await b.close()
                assert await anext(presence) == NodeChange("b", there=False)
                assert presence.nodes == frozenset()

    async def test_a_node_that_came_back_was_away(self, mesh: Mesh) -> None:
        """However late one looks: its going and its coming are both told, since what it was asked is lost."""
        with anyio.fail_after(PATIENCE):
            a, b = await joined(mesh, "a", "b")
            async with a.presence() as presence:
                await b.close()
                await until(lambda: presence.nodes == frozenset())
                await mesh.join("b")
                await until(lambda: presence.nodes == {"b"})
                assert await anext(presence) == NodeChange("b", there=False)
                assert await anext(presence) == NodeChange("b", there=True)

    # -- hostile input

    async def test_what_is_too_large_is_refused_before_it_is_sent(self, mesh: Mesh) -> None:
        """A payload of `max_payload` bytes arrives, one more is `Unsendable`, and the link goes on."""
        with anyio.fail_after(PATIENCE):
            a, b = await joined(mesh, "a", "b")
            async with b.subscribe("n.*") as messages, anyio.create_task_group() as tasks:
                await tasks.start(b.serve, "n.x", echo)
                largest = bytes(a.max_payload)
                with pytest.raises(Unsendable):
                    await a.publish("n.x", largest + b"x")
                with pytest.raises(Unsendable):
                    await a.request("n.x", largest + b"x", deadline=math.inf)
                await a.publish("n.x", largest)
                assert await payloads(messages, 1) == [largest]
                assert await a.request("n.x", largest, deadline=PATIENCE) == largest
                tasks.cancel_scope.cancel()

    @pytest.mark.parametrize("payload", ["text", None, bytearray(b"x"), memoryview(b"x"), 10**9])
    async def test_what_is_no_bytes_is_refused(self, mesh: Mesh, payload: object) -> None:
        """`Unsendable`: what could change after it was sent is no payload."""
        (a,) = await joined(mesh, "a")
        with anyio.fail_after(PATIENCE), pytest.raises(Unsendable):
            await a.publish("n.x", payload)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        "headers",
        [
            {"": "x"},
            {"Upper": "x"},
            {"a:b": "x"},
            {"x" * 65: "x"},
            {"a\r\nb": "x"},
            {"a": "x\r\ninjected: y"},
            {"a": "\x00"},
            {"a": "ü"},
            {"a": "\ud800"},
            {"a": 1},
            {1: "a"},
            {"a": None},
            {"tracestate": "x" * (MAX_HEADER_BYTES + 1)},
            {f"h{number}": "" for number in range(MAX_HEADERS + 1)},
            {f"h{number}": "x" * 1_000 for number in range(10)},
        ],
    )
    async def test_headers_are_few_short_and_plain(self, mesh: Mesh, headers: dict[str, str]) -> None:
        """`Unsendable` for names and values that could be read as something else at the far end, and for too many."""
        (a,) = await joined(mesh, "a")
        with anyio.fail_after(PATIENCE):
            with pytest.raises(Unsendable):
                await a.publish("n.x", b"", headers)
            with pytest.raises(Unsendable):
                await a.request("n.x", b"", headers, deadline=math.inf)

    async def test_headers_at_the_bounds_arrive(self, mesh: Mesh) -> None:
        """As many and as long as allowed, every printable character; what the sender does to its own later changes nothing."""
        printable = "".join(map(chr, range(0x20, 0x7F)))
        headers = {f"h{number}": printable for number in range(MAX_HEADERS - 1)}
        headers["rest"] = "x" * (MAX_HEADER_BYTES - 4 - sum(len(name) + len(value) for name, value in headers.items()))
        with anyio.fail_after(PATIENCE):
            a, b = await joined(mesh, "a", "b")
            async with b.subscribe("n.*") as messages:
                expected = dict(headers)
                await a.publish("n.x", b"", headers)
                headers.clear()
                got = await anext(messages)
                assert dict(got.headers) == expected
                with pytest.raises(TypeError):
                    got.headers["h0"] = "changed"  # type: ignore[index]

    @pytest.mark.parametrize(
        "garbage",
        ["", "00-0-0-0", PARENT.upper(), "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "ff" + PARENT[2:], PARENT * 9],
    )
    async def test_headers_mean_nothing_to_the_link(self, mesh: Mesh, garbage: str) -> None:
        """A traceparent that is none is carried like any text; what it is worth is for the reader to say."""
        with anyio.fail_after(PATIENCE):
            a, b = await joined(mesh, "a", "b")
            async with b.subscribe("n.*") as messages:
                await a.publish("n.x", b"", {"traceparent": garbage})
                assert (await anext(messages)).headers["traceparent"] == garbage
