"""Listening: a pattern, the mailbox that its events go to, and the events as Python code gets them.

    async with bus.subscribe("weather.*") as events:
        async for event in events: ...

or, for a function that handles them one by one and whose failures end nothing:

    async with bus.subscribe("weather.*") as events:
        await events.each(show)
"""

import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from desk.bus.dead_letters import Cause
from desk.bus.envelope import Envelope, Origin
from desk.bus.errors import DeskError, Unavailable
from desk.bus.exchange import told
from desk.bus.mailbox import Mailbox, Overflow
from desk.bus.subjects import Pattern

log = logging.getLogger("desk.bus")


class Event:
    """What a Python subscriber gets. Equal when it says the same."""

    __slots__ = ("_envelope", "value")

    def __init__(self, envelope: Envelope, value: object) -> None:
        self._envelope = envelope
        self.value = value
        """Of the type declared for the subject, or an object of the class registered for it; anything if none is declared."""

    def __repr__(self) -> str:
        """Like `<Event 12 weather.changed from weather-station: {'celsius': 21}>`."""
        return f"<Event {self.id} {self.subject} from {self.sender or 'the app'}: {self.value!r}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Event) and self._facts() == other._facts()

    __hash__ = None  # pyright: ignore[reportAssignmentType] - its value may be anything

    def _facts(self) -> tuple[object, ...]:
        return self.id, self.subject, self.value, self.sender, self.traceparent

    @property
    def id(self) -> int:
        """Unique on its bus, rising in the order of publishing."""
        return self._envelope.id

    @property
    def subject(self) -> str:
        """Where it was published."""
        return self._envelope.subject

    @property
    def sender(self) -> str:
        """Name of the extension that published it; empty for the app itself."""
        return self._envelope.origin.sender

    @property
    def traceparent(self) -> str | None:
        """The span of its publishing, in W3C Trace Context form."""
        return self._envelope.traceparent

    @property
    def onward(self) -> Origin:
        """For what is published because of this event: `bus.publish(subject, value, origin=event.onward)` belongs to the same
        trace, and a loop of such events ends in `TooManyHops` instead of going on for ever."""
        return self._envelope.onward()


@dataclass(frozen=True, slots=True)
class SubscriptionStatistics:
    """A snapshot. Of the events that matched, `delivered` are in the mailbox or were; `dropped` and `refused` ones are not."""

    pattern: str
    receiver: str
    delivered: int
    dropped: int
    """Dropped by the overflow policies `drop_oldest` and `drop_newest`."""
    refused: int
    """In the dead letters: policy `refuse`, or no room within the publisher's deadline."""
    queued: int
    """In its mailbox now, or waiting to be put there."""


class Office(Protocol):
    """What a subscription needs of the bus it belongs to."""

    def unsubscribe(self, subscription: "Subscription") -> None:
        """Give it no more events."""

    def read(self, envelope: Envelope) -> object:
        """The event's value."""
        ...

    def bury(self, envelope: Envelope, receiver: str, cause: Cause, reason: str) -> None:
        """It was not handled."""


class Subscription:
    """A pattern and the mailbox that its events go to. Iterate over it inside `async with`, or `with`; one task at a time."""

    __slots__ = (
        "_office",
        "_shared",
        "cancelled",
        "delivered",
        "dropped",
        "group",
        "mailbox",
        "number",
        "overflow",
        "pattern",
        "refused",
    )

    def __init__(
        self,
        pattern: Pattern,
        mailbox: Mailbox,
        office: Office,
        overflow: Overflow,
        group: str | None,
        number: int,
        *,
        shared: bool,
    ) -> None:
        self.pattern = pattern
        self.mailbox = mailbox
        self.overflow = overflow
        self.group = group
        self.number = number
        """In the order of subscribing, which is the order of delivery."""
        self._office = office
        self._shared = shared
        self.cancelled = False
        self.delivered = self.dropped = self.refused = 0

    def __repr__(self) -> str:
        """Like `<Subscription weather.*, 41 delivered, 0 dropped, to <Mailbox …>>`."""
        ended = "cancelled, " if self.cancelled else ""
        return (
            f"<Subscription {self.pattern}, {ended}{self.delivered} delivered, {self.dropped + self.refused} dropped, "
            f"to {self.mailbox!r}>"
        )

    def statistics(self) -> SubscriptionStatistics:
        """What became of the events that matched."""
        queued = self.mailbox.queued
        return SubscriptionStatistics(
            self.pattern.text, self.mailbox.name, self.delivered, self.dropped, self.refused, queued
        )

    def cancel(self) -> None:
        """Take no more events; those that are in the mailbox can still be read. Idempotent."""
        self._office.unsubscribe(self)

    def close(self) -> None:
        """Take no more events, end the iteration, and let publishers that wait for room go on. What `with` does at its end.

        Events that were not taken go with it; but those of a group, which are nobody else's, are dead letters. A mailbox that was
        given to it stays open: others have it, too. Idempotent.
        """
        self.cancel()
        if self._shared:
            return
        for envelope in self.mailbox.close():
            if self.group is not None:
                self._office.bury(envelope, self.mailbox.name, Cause.STOPPED, "was stopped before it took the message")

    def __aiter__(self) -> Self:
        """The subscription itself: it is its own iterator."""
        return self

    async def __anext__(self) -> Event:
        """The next event, waiting for it; the end when the subscription was closed. What cannot be read is a dead letter."""
        while True:
            envelope = await self._take()
            if envelope is None:
                raise StopAsyncIteration
            event = self._event(envelope)
            if event is not None:
                return event

    async def each(self, handle: Callable[[Event], Awaitable[object] | object]) -> None:
        """Call `handle`, plain or async, with one event after the other, until the subscription is closed.

        If it raises, the event is a dead letter, the log has the error, and the next event is handled.
        """
        while (envelope := await self._take()) is not None:
            event = self._event(envelope)
            if event is None:
                continue
            try:
                result = handle(event)
                if inspect.isawaitable(result):
                    await result
            except Exception as error:
                log.exception("a subscriber of %s failed on %s", self.pattern, event.subject)
                self._bury(envelope, error)

    async def _take(self) -> Envelope | None:
        try:
            return await self.mailbox.take()
        except Unavailable:
            return None

    def _event(self, envelope: Envelope) -> Event | None:
        try:
            value = self._office.read(envelope)
        except DeskError as error:
            self._bury(envelope, error)
            return None
        return Event(envelope, value)

    def _bury(self, envelope: Envelope, error: Exception) -> None:
        self._office.bury(envelope, self.mailbox.name, Cause.FAILED, f"failed: {told(error)}")

    def __enter__(self) -> Self:
        """The subscription, which is open already."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close it."""
        self.close()

    async def __aenter__(self) -> Self:
        """The same as `with`."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()
