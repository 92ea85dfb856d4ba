"""A bus against a model of it: whatever people do, in whatever order, both say the same.

The model is lists: of what is in each mailbox, of who stands in line for it, of what is dead. After each step every event that
was accepted is in a mailbox, taken, displaced and counted, or a dead letter; what a listener gets is in order; all counts add
up; and nobody stands in a line who should not.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desk.bus import codec
from desk.bus.bus import Bus
from desk.bus.envelope import Envelope, Priority
from desk.bus.errors import Unavailable
from desk.bus.mailbox import Mailbox
from desk.bus.subjects import matches
from desk.bus.subscription import Subscription
from desk.bus.types import I32, Signature

SUBJECTS = ("a", "a.b", "a.c", "b.c")
PATTERNS = ("a", "a.b", "a.*", "*.c", "a.**", "**")
PATIENCE = 30.0
"""Seconds until one example that hangs fails."""


async def settled() -> None:
    """Return when everybody has done what can be done: many turns, since asyncio has nobody who could tell."""
    for _ in range(15):
        await anyio.lowlevel.checkpoint()


@dataclass(eq=False)
class Listener:
    """What the model knows of one subscription."""

    real: Subscription
    pattern: str
    overflow: str
    capacity: int
    group: str | None
    urgent: list[int] = field(default_factory=list[int])
    box: list[int] = field(default_factory=list[int])
    line: list[int] = field(default_factory=list[int])
    """Events whose publishers wait."""
    delivered: int = 0
    taken: int = 0
    displaced: int = 0
    dropped: int = 0
    refused: int = 0

    def accept(self, value: int, *, urgent: bool = False) -> bool:
        """Put it, if there is room."""
        if urgent:
            self.urgent.append(value)
        elif len(self.box) < self.capacity and not self.line:
            self.box.append(value)
        else:
            return False
        self.delivered += 1
        return True

    def check(self) -> None:
        """Hold the real one against this."""
        s, box = self.real.statistics(), self.real.mailbox.statistics()
        assert (s.delivered, s.dropped, s.refused) == (self.delivered, self.dropped, self.refused)
        assert (box.queued, box.waiting, box.displaced) == (
            len(self.urgent) + len(self.box),
            len(self.line),
            self.displaced,
        )
        assert s.delivered == self.taken + box.queued + box.displaced


@dataclass
class World:
    """A real bus and what should be true of it."""

    tasks: anyio.abc.TaskGroup
    bus: Bus = field(default_factory=Bus)
    listeners: list[Listener] = field(default_factory=list[Listener])
    gone: list[Listener] = field(default_factory=list[Listener])
    retained: dict[str, tuple[int, bool]] = field(default_factory=dict[str, tuple[int, bool]])
    """The latest by subject, in the order of publishing, and whether it was urgent."""
    dead: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    """Cause and value."""
    waiting: dict[int, anyio.CancelScope] = field(default_factory=dict[int, anyio.CancelScope])
    """The publishers that wait, by their event."""
    published: int = 0
    service: Mailbox = field(default_factory=lambda: Mailbox("service", 2))
    asked: list[int] = field(default_factory=list[int])
    """Requests that are not over, in order: those in the mailbox, and those that wait for room."""
    askers: dict[int, anyio.CancelScope] = field(default_factory=dict[int, anyio.CancelScope])
    answers: dict[int, object] = field(default_factory=dict[int, object])
    told: list[int] = field(default_factory=list[int])
    """Requests that ended with `Unavailable`."""
    requested: int = 0
    in_service: int = 0

    # -- what one can do

    def subscribe(self, pattern: str, overflow: str, capacity: int, group: str | None) -> None:
        """Listen; retained values come at once, but one of a group has them already."""
        if group is not None and overflow == "wait":
            overflow = "refuse"
        real = self.bus.subscribe(pattern, overflow=overflow, capacity=capacity, group=group)
        new = Listener(real, pattern, overflow, capacity, group)
        others = [each for each in self.listeners if group is not None and each.group == group]
        for subject, (value, urgent) in self.retained.items():
            if matches(pattern, subject) and not any(matches(other.pattern, subject) for other in others):
                self.put(new, value, urgent=urgent, waits=False)
        self.listeners.append(new)

    async def publish(self, subject: str, *, waits: bool, retain: bool, urgent: bool) -> None:
        """Publish the next number; one who `waits` does so in a task, others have no time for that."""
        self.published += 1
        value = self.published
        if retain:
            self.retained.pop(subject, None)  # the latest is last
            self.retained[subject] = value, urgent
        hearing = [each for each in self.listeners if matches(each.pattern, subject)]
        grouped = [each for each in hearing if each.group is not None]
        before = {id(each): self.touched(each) for each in grouped}
        queued = {id(each): each.real.mailbox.queued for each in grouped}
        priority = Priority.CONTROL if urgent else None
        if waits:
            self.tasks.start_soon(self.wait, subject, value, retain, priority)
            await settled()
        else:
            await self.bus.publish(subject, value, deadline=0, retain=retain, priority=priority)
        for each in hearing:
            if each.group is None:
                self.put(each, value, urgent=urgent, waits=waits)
        for group in {each.group for each in grouped}:
            members = [each for each in grouped if each.group == group]
            chosen = [each for each in members if self.touched(each) != before[id(each)]]
            assert len(chosen) == 1, "one of the group"
            assert queued[id(chosen[0])] == min(queued[id(each)] for each in members), "the one with the least to do"
            self.put(chosen[0], value, urgent=urgent, waits=waits)

    async def wait(self, subject: str, value: int, retain: bool, priority: Priority | None) -> None:
        """A publisher with time, in its own task."""
        with anyio.CancelScope() as self.waiting[value]:
            await self.bus.publish(subject, value, deadline=None, retain=retain, priority=priority)
        del self.waiting[value]

    def touched(self, listener: Listener) -> tuple[int, int]:
        """What changes when a listener gets an event, or loses one."""
        s = listener.real.statistics()
        return s.delivered, s.dropped + s.refused

    def put(self, listener: Listener, value: int, *, urgent: bool, waits: bool) -> None:
        """What becomes of an event at one listener."""
        if listener.accept(value, urgent=urgent):
            return
        if listener.overflow == "wait" and waits:
            listener.line.append(value)
        elif listener.overflow in ("wait", "refuse"):
            listener.refused += 1
            self.dead.append(("full", value))
        else:
            listener.dropped += 1
            if listener.overflow == "drop_oldest":
                listener.displaced += 1
                listener.box[:] = [*listener.box[1:], value]
                listener.delivered += 1

    async def take(self, listener: Listener) -> None:
        """The next event is the one the model says."""
        lane = listener.urgent or listener.box
        if lane:
            assert (await anext(listener.real)).value == lane.pop(0)
            listener.taken += 1
            while listener.line and len(listener.box) < listener.capacity:
                listener.box.append(listener.line.pop(0))
                listener.delivered += 1

    def cancel(self, which: int) -> None:
        """One publisher waits no longer: who has its event has it, nobody else gets it."""
        value = sorted(self.waiting)[which % len(self.waiting)]
        self.waiting[value].cancel()
        for listener in self.listeners:
            if value in listener.line:
                listener.line.remove(value)

    def close(self, listener: Listener) -> None:
        """It listens no more; what a group's member had is dead."""
        with listener.real:
            pass
        if listener.group is not None:
            self.dead += [("stopped", value) for value in (*listener.urgent, *listener.box)]
        self.forget(listener)

    def forget(self, listener: Listener) -> None:
        """It has left."""
        self.listeners.remove(listener)
        self.gone.append(listener)

    def ask(self) -> None:
        """Somebody asks the service."""
        self.requested += 1
        value = self.requested
        self.asked.append(value)

        async def asking() -> None:
            with anyio.CancelScope() as self.askers[value]:
                try:
                    self.answers[value] = await self.bus.request("twice", value, deadline=None)
                except Unavailable:
                    self.told.append(value)
            del self.askers[value]

        self.tasks.start_soon(asking)

    async def answer(self) -> None:
        """The service takes the oldest request, and answers it unless nobody waits any more."""
        if not self.service.statistics().queued:
            return
        envelope = await self.service.take()
        assert envelope is not None
        assert envelope.reply is not None
        assert isinstance(envelope.payload, tuple)
        self.in_service += 1
        value = int(envelope.payload[0])
        if envelope.unwanted():
            assert value not in self.askers
        else:
            assert value == self.asked.pop(0)
            envelope.reply.answer(2 * value)

    def give_up(self, which: int) -> None:
        """One of those who ask goes away."""
        value = sorted(self.askers)[which % len(self.askers)]
        self.askers[value].cancel()
        self.asked.remove(value)

    # -- what is always true

    def check(self) -> None:
        """Hold the bus against the model."""
        for listener in self.listeners:
            listener.check()
        letters = [(letter.cause.value, value_of(letter.envelope)) for letter in self.bus.dead_letters]
        assert letters == self.dead
        statistics = self.bus.statistics()
        known = (*self.listeners, *self.gone)
        service = self.service.statistics()
        assert statistics.published == self.published == sum(each.published for each in self.bus.subjects())
        assert statistics.delivered == sum(each.delivered for each in known) + service.accepted
        assert sum(each.delivered for each in self.bus.subjects()) == sum(each.delivered for each in known)
        assert service.accepted == self.in_service + service.queued
        assert (statistics.requested, statistics.dead) == (self.requested, len(self.dead))
        assert statistics.subscriptions == len(self.listeners)
        assert set(self.askers) == set(self.asked)
        assert set(self.waiting) == {value for listener in self.listeners for value in listener.line}
        assert {each.subject: each.retained for each in self.bus.subjects() if each.retained} == dict.fromkeys(
            self.retained, True
        )
        assert self.answers == {value: 2 * value for value in self.answers}

    async def end(self) -> None:
        """Drain with no time: what is in mailboxes or in line is dead, who waits is told, and nothing is left in any line."""
        report = await self.bus.drain(0)
        left = [value for each in self.listeners for value in (*each.urgent, *each.box, *each.line)]
        assert sorted(value_of(letter.envelope) for letter in report.left if letter.envelope.reply is None) == sorted(
            left
        )
        await settled()
        assert not self.waiting
        assert not self.askers
        assert sorted(self.told) == self.asked
        for each in (*self.listeners, *self.gone):
            s = each.real.mailbox.statistics()
            assert (s.queued, s.waiting) == (0, 0)


def value_of(envelope: Envelope) -> int:
    """An event's number."""
    assert type(envelope.payload) is bytes
    value = codec.decode(envelope.payload)
    assert isinstance(value, int)
    return value


Step = tuple[Any, ...]
numbers = st.integers(0, 7)
subscribing = st.tuples(
    st.just("subscribe"),
    st.sampled_from(PATTERNS),
    st.sampled_from(["wait", "wait", "drop_oldest", "drop_newest", "refuse"]),
    st.integers(1, 3),
    st.sampled_from([None, None, "g", "h"]),
)
publishing = st.tuples(
    st.just("publish"),
    st.sampled_from(SUBJECTS),
    st.booleans(),
    st.integers(0, 4).map(lambda n: n == 0),
    st.integers(0, 5).map(lambda n: n == 0),
)
others = st.tuples(st.sampled_from(["take", "take", "cancel", "close", "ask", "answer", "give up"]), numbers)
walks = st.tuples(
    st.lists(subscribing, min_size=1, max_size=4),
    st.lists(st.one_of(publishing, publishing, others, subscribing), max_size=40),
)


def chosen(world: World, which: int) -> Listener:
    """One of those who listen."""
    return world.listeners[which % len(world.listeners)]


async def take_step(world: World, step: Step) -> None:
    """Do one thing to both."""
    act, *more = step
    if act == "subscribe":
        world.subscribe(*more)
    elif act == "publish":
        await world.publish(more[0], waits=more[1], retain=more[2], urgent=more[3])
    elif act == "take" and world.listeners:
        await world.take(chosen(world, more[0]))
    elif act == "close" and world.listeners:
        world.close(chosen(world, more[0]))
    elif act == "cancel" and world.waiting:
        world.cancel(more[0])
    elif act == "ask":
        world.ask()
    elif act == "answer":
        await world.answer()
    elif act == "give up" and world.askers:
        world.give_up(more[0])


async def walk(steps: list[Step]) -> None:
    """All steps, with a look at everything after each."""
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            world = World(tasks)
            world.bus.serve("twice", Signature((I32,), None, I32), world.service)
            for step in steps:
                await take_step(world, step)
                await settled()
                world.check()
            await world.end()


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
@given(walks)
@settings(max_examples=300, deadline=None)
def test_the_bus_does_what_the_model_says(backend: str, steps: tuple[list[Step], list[Step]]) -> None:
    """Any walk through everything one can do: see the docstring of the module."""
    run: Callable[..., object] = anyio.run
    run(walk, [*steps[0], *steps[1]], backend=backend)
