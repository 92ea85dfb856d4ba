"""Nodes in one event loop, linked as nodes on a network are: for tests, and for a program with several buses.

    network = LocalNetwork()
    async with network.join("kitchen") as kitchen, network.join("cellar") as cellar:
        ...
        network.cut("cellar")    # as if its cable had been pulled

Everything goes through bounded queues, so that what works here does not rely on a receiver being fast. The network is what
the nodes share: it knows who listens and who serves, and finds receivers by looking at all of them.
"""

import itertools
import time
from collections.abc import AsyncGenerator, Generator, Iterable, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import anyio
import anyio.abc
from anyio import TASK_STATUS_IGNORED
from anyio.lowlevel import checkpoint

from desk.bus.errors import DeadlineExceeded, NoReceiver, Overloaded
from desk.bus.link import (
    NO_HEADERS,
    SERVING,
    WAITING,
    Function,
    Link,
    LinkDown,
    Messages,
    PeerLost,
    check_node,
    checked,
)
from desk.bus.link_buffer import Buffer, Presence
from desk.bus.local_call import Call, work
from desk.bus.mailbox import DEFAULT_CAPACITY
from desk.bus.subjects import Pattern, SubjectError, check_subject

MAX_PAYLOAD = 1 << 20
"""Bytes of one payload, by default: what NATS carries by default, so that what fits here fits there."""


@dataclass(eq=False, slots=True)
class _Listening:
    """One subscription of one node."""

    node: "LocalLink"
    pattern: Pattern
    group: str | None
    messages: Messages
    last: int = 0
    """When it was last chosen from its group."""


@dataclass(eq=False, slots=True)
class _Serving:
    """One `serve` of one node: the requests that wait, and those that are not settled."""

    node: "LocalLink"
    pattern: Pattern
    scope: anyio.CancelScope
    waiting: Buffer[Call] = field(default_factory=lambda: Buffer[Call](WAITING))
    calls: set[Call] = field(default_factory=set[Call])
    last: int = 0
    """When it was last chosen."""


class LocalNetwork:
    """See the module's docstring. It belongs to one event loop."""

    def __init__(self, *, max_payload: int = MAX_PAYLOAD) -> None:
        self.max_payload = max_payload
        self.nodes: dict[str, LocalLink] = {}
        self.listening: list[_Listening] = []
        self.serving: list[_Serving] = []
        self.turns = itertools.count(1)

    def __repr__(self) -> str:
        """Like `<LocalNetwork: cellar, kitchen>`."""
        return f"<LocalNetwork: {', '.join(sorted(self.nodes)) or 'nobody'}>"

    def join(self, name: str) -> "LocalLink":
        """A link for one more node. Raises `ValueError` if the name is taken, or is none. Close the link, or use `async with`."""
        if check_node(name) in self.nodes:
            raise ValueError(f"there is a node {name} already")
        link = LocalLink(self, name)
        for node in self.nodes.values():
            node.see(name, there=True)
        self.nodes[name] = link
        return link

    def cut(self, name: str) -> None:
        """Let a node lose the network, without a word, for ever; its name is free again. Raises `KeyError` if it is not there."""
        self.nodes[name].leave(lost=True)

    def receivers(self, subject: str, sender: "LocalLink") -> Iterable[_Listening]:
        """Who gets an event: all who listen to it alone, and one of each group, the one that has least to read."""
        groups: dict[str, list[_Listening]] = {}
        for each in self.listening:
            if each.node is sender or not each.pattern.matches(subject):
                continue
            if each.group is None:
                yield each
            else:
                groups.setdefault(each.group, []).append(each)
        for members in groups.values():
            chosen = min(members, key=lambda each: (len(each.messages), each.last))
            chosen.last = next(self.turns)
            yield chosen

    def server(self, subject: str, requester: "LocalLink") -> _Serving:
        """Who answers a request: of all who serve it, the one with least to do."""
        candidates = [each for each in self.serving if each.node is not requester and each.pattern.matches(subject)]
        if not candidates:
            raise NoReceiver(f"no other node serves {subject}")
        chosen = min(candidates, key=lambda each: (len(each.calls), each.last))
        chosen.last = next(self.turns)
        return chosen


class LocalLink(Link):
    """One node of a `LocalNetwork`. The verbs' contracts stand in `Link`."""

    balanced = True

    def __init__(self, network: LocalNetwork, name: str) -> None:
        self.name = name
        self.max_payload = network.max_payload
        self._network = network
        self._requests: set[Call] = set()
        self._watching: list[Presence] = []
        self._down: str | None = None
        self._lost = False

    def __repr__(self) -> str:
        """Like `<LocalLink kitchen>`."""
        return f"<LocalLink {self.name}{'' if self._down is None else ', down'}>"

    async def publish(self, subject: str, payload: bytes, headers: Mapping[str, str] = NO_HEADERS) -> None:
        message = checked(subject, payload, headers, self.name, max_payload=self.max_payload)
        await checkpoint()
        self._check_up()
        for each in self._network.receivers(subject, self):
            each.messages.offer(message, len(payload))

    @asynccontextmanager
    async def subscribe(
        self, pattern: str, *, group: str | None = None, capacity: int = DEFAULT_CAPACITY
    ) -> AsyncGenerator[Messages]:
        self._check_up()
        if group is not None and "." in check_subject(group):
            raise SubjectError(f"group {group!a} has several words; a group is one word")
        listening = _Listening(self, Pattern(pattern), group, Messages(capacity))
        self._network.listening.append(listening)
        try:
            yield listening.messages
        finally:
            listening.messages.end()
            self._network.listening = [each for each in self._network.listening if each is not listening]

    async def request(
        self, subject: str, payload: bytes, headers: Mapping[str, str] = NO_HEADERS, *, deadline: float
    ) -> bytes:
        until = time.monotonic() + deadline
        message = checked(subject, payload, headers, self.name, max_payload=self.max_payload, deadline=until)
        self._check_up()
        with anyio.move_on_after(deadline if deadline > 0 else 0):
            await checkpoint()
            self._check_up()
            return await self._ask(Call(message, until, self.max_payload))
        raise DeadlineExceeded(f"no answer to {subject} from another node within {deadline:g} s")

    async def _ask(self, call: Call) -> bytes:
        server = self._network.server(call.message.subject, self)
        if not server.waiting.offer(call, len(call.message.payload)):
            raise Overloaded(f"{WAITING} requests wait for {server.pattern} on node {server.node.name} already")
        server.calls.add(call)
        self._requests.add(call)
        try:
            await call.over.wait()
        finally:
            call.abandoned = True
            server.calls.discard(call)
            self._requests.discard(call)
        if call.error is not None:
            raise call.error
        assert call.answer is not None
        return call.answer

    async def serve(
        self, pattern: str, function: Function, *, task_status: anyio.abc.TaskStatus[None] = TASK_STATUS_IGNORED
    ) -> None:
        self._check_up()
        subjects, room = Pattern(pattern), anyio.Semaphore(SERVING)
        async with anyio.create_task_group() as tasks:
            serving = _Serving(self, subjects, tasks.cancel_scope)
            with self._answering(serving):
                task_status.started()
                async for call in serving.waiting:
                    await room.acquire()
                    tasks.start_soon(work, function, call, room)
        if self._lost:
            self._check_up()

    @contextmanager
    def _answering(self, serving: _Serving) -> Generator[None]:
        """Inside of it, requests may come; after it, none of them is left without an end."""
        self._network.serving.append(serving)
        try:
            yield
        finally:
            self._network.serving = [each for each in self._network.serving if each is not serving]
            for call in serving.calls:
                call.settle(None, PeerLost(f"node {self.name} stopped serving {call.message.subject}"))

    @asynccontextmanager
    async def presence(self) -> AsyncGenerator[Presence]:
        self._check_up()
        presence = Presence()
        presence.begin(name for name in self._network.nodes if name != self.name)
        self._watching.append(presence)
        try:
            yield presence
        finally:
            presence.end()
            self._watching = [each for each in self._watching if each is not presence]

    async def close(self) -> None:
        self.leave()

    def see(self, node: str, *, there: bool) -> None:
        """Another node came or went."""
        for presence in self._watching:
            if there:
                presence.came(node)
            else:
                presence.went(node)

    def leave(self, *, lost: bool = False) -> None:
        """Be no node any more; `lost`, if that was not meant."""
        if self._down is not None:
            return
        self._lost = lost
        self._down = f"the link of {self.name} " + ("has lost the network" if lost else "is closed")
        network = self._network
        del network.nodes[self.name]
        for node in network.nodes.values():
            node.see(self.name, there=False)
        for call in self._requests:
            call.settle(
                None, PeerLost(f"{self._down}, while a request to {call.message.subject} waited for its answer")
            )
        for serving in [each for each in network.serving if each.node is self]:
            for call in serving.calls:
                call.settle(None, PeerLost(f"node {self.name} was lost while it worked on {call.message.subject}"))
            serving.scope.cancel()
        for listening in [each for each in network.listening if each.node is self]:
            listening.messages.end(LinkDown(self._down) if lost else None)
        for presence in self._watching:
            presence.end(LinkDown(self._down) if lost else None)
        network.serving = [each for each in network.serving if each.node is not self]
        network.listening = [each for each in network.listening if each.node is not self]

    def _check_up(self) -> None:
        if self._down is not None:
            raise LinkDown(self._down)
