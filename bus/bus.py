"""The bus: events go to everyone who listens, requests to the one who answers.

    await bus.publish("weather.changed", {"celsius": 21})            # to all subscribers, however many
    async with bus.subscribe("weather.*") as events:                 # one bounded mailbox each
        async for event in events: ...
    await bus.request("ext.weather-widget.render", 640, 480)         # one answer, or a typed error

A payload is checked and encoded once, by the sender. It is then put into each receiver's mailbox, waiting for room: an
accepted message is handled, or in the dead letters with the reason. Nothing here knows who may send what: guests hold a
facet (`desk.capabilities`), never the bus. `Origin` says on whose behalf something is sent.

A bus belongs to one event loop (trio or asyncio); it starts no tasks of its own.
"""

import itertools
import time
from collections import deque
from dataclasses import dataclass

import anyio

from desk.bus import codec
from desk.bus.envelope import APP, MAX_HOPS, DeadLetter, Envelope, Origin, Reply
from desk.bus.errors import DeadlineExceeded, NoReceiver, TooManyHops, Unavailable
from desk.bus.mailbox import DEFAULT_CAPACITY, Mailbox
from desk.bus.pace import Pace
from desk.bus.subjects import Pattern, check_subject
from desk.bus.subscription import Subscription
from desk.bus.types import InvalidValue, Signature
from desk.traces import names
from desk.traces.tracing import Tracing

DEFAULT_DEADLINE = 30.0
"""Seconds a request waits for its answer if the caller says nothing. Longer than the wall limit of a well-behaved actor."""

MAX_ARGUMENT = 16 << 20
"""Bytes of one argument of a request. What a *guest* may send is limited more, by its actor."""

DEAD_LETTERS_KEPT, DEAD_BYTES_KEPT = 1_000, 16 << 20
"""The oldest dead letters are forgotten beyond so many, or so many bytes of payload; `statistics().dead` goes on counting."""

REASON_KEPT = 4_096
"""Characters of a dead letter's reason: a guest may have had a say in it."""

_ROUTES_CACHED = 4_096
"""Subjects whose subscribers are remembered. Forgotten all at once: they are cheap to find again."""


@dataclass(frozen=True, slots=True)
class BusStatistics:
    """A snapshot: how many messages were published and requested, deliveries made, letters dead; and who listens."""

    published: int
    requested: int
    delivered: int
    dead: int
    subscriptions: int
    services: int


@dataclass(frozen=True, slots=True)
class Service:
    """Who answers requests to one subject, and how its arguments and result look."""

    subject: str
    signature: Signature
    mailbox: Mailbox


class Bus:
    """See the module's docstring."""

    def __init__(self, tracing: Tracing | None = None) -> None:
        self._tracing = tracing or Tracing.off()
        self.pace = Pace()
        """For all who send and all who handle: senders that never have to wait give others a turn, and may be cancelled."""
        self._subscriptions: list[Subscription] = []
        self._services: dict[str, Service] = {}
        self._routes: dict[str, tuple[Subscription, ...]] = {}
        self._ids = itertools.count(1)
        self._published = self._requested = self._delivered = self._dead = 0
        self.dead_letters: deque[DeadLetter] = deque()
        self._dead_bytes = 0

    def __repr__(self) -> str:
        """Like `<Bus: 3 subscriptions, 7 services, 1461 published, 12 requested, 0 dead>`."""
        return (
            f"<Bus: {len(self._subscriptions)} subscriptions, {len(self._services)} services, "
            f"{self._published} published, {self._requested} requested, {self._dead} dead>"
        )

    def statistics(self) -> BusStatistics:
        """Counts since the start, and who listens now."""
        return BusStatistics(
            self._published, self._requested, self._delivered, self._dead, len(self._subscriptions), len(self._services)
        )

    # -- events

    def subscribe(
        self, pattern: str, *, capacity: int = DEFAULT_CAPACITY, mailbox: Mailbox | None = None
    ) -> Subscription:
        """Listen to all subjects that match `pattern`; `*` is one word, a last `**` is one or more.

        A subscriber that falls `capacity` events behind slows publishers down. `mailbox` shares one among several
        subscriptions. Raises `SubjectError` for a bad pattern.
        """
        subscription = Subscription(
            Pattern(pattern), mailbox or Mailbox(f"subscriber of {pattern}", capacity), self._unsubscribe
        )
        self._subscriptions.append(subscription)
        self._routes.clear()
        return subscription

    def _unsubscribe(self, subscription: Subscription) -> None:
        if not subscription.cancelled:
            subscription.cancelled = True
            self._subscriptions.remove(subscription)
            self._routes.clear()

    async def publish(self, subject: str, value: object, *, origin: Origin = APP) -> int:
        """Give `value` to every subscriber, waiting while one's mailbox is full; returns how many took it.

        Raises `SubjectError`, `CodecError` (the value has no form on the bus), `TooManyHops`. A mailbox that accepts two
        patterns of one subscriber matching the same event gets it once.
        """
        if subject not in self._routes:  # there are only checked ones
            check_subject(subject)
        return await self.publish_encoded(subject, codec.encode(value), origin=origin)

    async def publish_encoded(self, subject: str, payload: bytes, *, origin: Origin) -> int:
        """`publish` for a payload that is one checked CBOR item, and a checked subject."""
        if origin.hops > MAX_HOPS:
            raise _too_many_hops(origin, subject)
        self._published += 1
        envelope = Envelope(next(self._ids), subject, payload, origin, origin.traceparent)
        if not self._tracing.on:
            return await self._deliver(envelope)
        with self._tracing.span(names.PUBLISH, subject, parent=origin.traceparent) as span:
            span.set(names.MESSAGE_ID, str(envelope.id))
            receivers = await self._deliver(envelope._replace(traceparent=span.traceparent))
            span.set(names.RECEIVERS, receivers)
        return receivers

    async def _deliver(self, envelope: Envelope) -> int:
        """To each mailbox of the route, one after the other; how many took it."""
        receivers = 0
        for subscription in self._route(envelope.subject):
            if time.monotonic() >= self.pace.until:
                await self.pace.breathe()
            if subscription.cancelled:
                continue
            try:
                mailbox = subscription.mailbox
                self._delivered += 1  # before it is handled, as it counts for a mailbox
                if not mailbox.offer(envelope):
                    self._delivered -= 1
                    await mailbox.put(envelope, self._count_delivery)
                receivers += 1
            except Unavailable:
                continue  # stopped while we waited: as if it had not been there
        return receivers

    def _route(self, subject: str) -> tuple[Subscription, ...]:
        route = self._routes.get(subject)
        if route is None:
            by_mailbox = {
                id(subscription.mailbox): subscription
                for subscription in self._subscriptions
                if subscription.pattern.matches(subject)
            }
            if len(self._routes) >= _ROUTES_CACHED:
                self._routes.clear()
            route = self._routes[subject] = tuple(by_mailbox.values())
        return route

    # -- requests

    def serve(self, subject: str, signature: Signature, mailbox: Mailbox) -> Service:
        """Let requests to `subject` go to `mailbox`. Raises `ValueError` if someone answers it already."""
        if check_subject(subject) in self._services:
            raise ValueError(f"{subject} is answered by {self._services[subject].mailbox.name} already")
        service = self._services[subject] = Service(subject, signature, mailbox)
        return service

    def withdraw(self, service: Service) -> None:
        """Take no more requests for it. Idempotent."""
        if self._services.get(service.subject) is service:
            del self._services[service.subject]

    def service(self, subject: str) -> Service:
        """Who answers this subject; raises `NoReceiver`."""
        try:
            return self._services[subject]
        except KeyError:
            raise NoReceiver(f"nobody answers {check_subject(subject)}") from None

    async def request(
        self, subject: str, *args: object, deadline: float | None = DEFAULT_DEADLINE, origin: Origin = APP
    ) -> object:
        """Ask whoever answers `subject`, and wait at most `deadline` seconds (None: for ever).

        Returns the result, checked against the declared type. Raises `InvalidValue` (an argument is not of the declared
        type; the receiver was not asked), `NoReceiver`, `Unavailable`, `DeadlineExceeded`, `TooManyHops`, or the
        receiver's own error. Cancelling the caller abandons the answer; the receiver is not interrupted.
        """
        service = self.service(subject)
        if time.monotonic() >= self.pace.until:
            await self.pace.breathe()
        try:
            payload = service.signature.lower_args(args, max_size=MAX_ARGUMENT)
        except InvalidValue as error:
            error.where = subject.removeprefix("ext.")  # as its users call it: extension.export
            raise
        if origin.hops > MAX_HOPS:
            raise _too_many_hops(origin, subject)
        began, limit = time.monotonic(), origin.deadline
        if deadline is not None:
            limit = began + deadline if limit is None else min(began + deadline, limit)
        with self._tracing.span(names.REQUEST, subject, parent=origin.traceparent) as span:
            self._requested += 1
            reply = Reply()
            traceparent = span.traceparent or origin.traceparent
            envelope = Envelope(next(self._ids), subject, payload, origin, traceparent, reply, limit)
            if self._tracing.on:
                span.set(names.MESSAGE_ID, str(envelope.id))
            self._delivered += 1  # before it is handled, as it counts for a mailbox
            taken = (limit is None or limit > began) and service.mailbox.offer(envelope)
            if not taken:
                self._delivered -= 1
            elif reply.settled:  # the receiver was idle, and has answered already
                return reply.result()
            given = float("inf") if limit is None else max(0.0, limit - began)
            with anyio.move_on_after(given):
                return await self._ask(service.mailbox, envelope, reply, taken=taken)
            raise DeadlineExceeded(f"no answer from {subject} within {round(given, 3):g} s")

    async def _ask(self, mailbox: Mailbox, envelope: Envelope, reply: Reply, *, taken: bool) -> object:
        """Put the envelope, unless it has been taken already, and wait for the answer."""
        try:
            if not taken:
                await mailbox.put(envelope, self._count_delivery)
            await reply.wait()
        except BaseException:
            reply.abandon()
            if reply.error is not None:  # it failed, and at the same moment the one to be told was cancelled
                self._keep(envelope, mailbox.name, f"failed: {reply.error}")
            raise
        return reply.result()

    def _count_delivery(self) -> None:
        self._delivered += 1

    # -- letters nobody could take

    def bury(self, envelope: Envelope, receiver: str, reason: str, error: Exception | None = None) -> None:
        """An accepted envelope was not handled: its requester is told, or if nobody waits it goes to the dead letters."""
        if envelope.reply is None or not envelope.reply.fail(error or Unavailable(f"{receiver} {reason}")):
            self._keep(envelope, receiver, reason)

    def _keep(self, envelope: Envelope, receiver: str, reason: str) -> None:
        self._dead += 1
        self.dead_letters.append(DeadLetter(envelope, receiver, reason[:REASON_KEPT]))
        self._dead_bytes += envelope.size
        while len(self.dead_letters) > DEAD_LETTERS_KEPT or self._dead_bytes > DEAD_BYTES_KEPT:
            self._dead_bytes -= self.dead_letters.popleft().envelope.size


def _too_many_hops(origin: Origin, subject: str) -> TooManyHops:
    return TooManyHops(
        f"a message to {subject} would be the {origin.hops}th that one message has caused; at most {MAX_HOPS} may be. "
        f"Most likely extensions answer each other in a loop (the last sender is {origin.sender!r})"
    )
