"""Events: to everyone who listens, each with a bounded mailbox and a say in what becomes of an event when that is full.

Everyone who has room gets an event before anyone is waited for; then the publisher waits for all who want to be waited for
at the same time, at most until its deadline. So one slow subscriber delays the publisher, and its next event, but never the
other receivers of this one.
"""

import time

import anyio

from desk.bus import codec
from desk.bus.dead_letters import Cause, DeadLetter
from desk.bus.declarations import Declarations
from desk.bus.envelope import APP, CURRENT, Envelope, Origin, Priority
from desk.bus.errors import Unavailable
from desk.bus.exchange import Exchange, latest, seconds_until
from desk.bus.mailbox import Mailbox, Overflow, Putting
from desk.bus.subject_table import Subject, SubjectTable
from desk.bus.subjects import Pattern
from desk.bus.subscription import Subscription
from desk.bus.tap import Act
from desk.traces import names


class Events:
    """See the module's docstring; the half of the bus that is about events."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.table = SubjectTable()
        self.declarations = Declarations()
        self.published = 0
        self._numbers = 0

    # -- listening

    def subscribe(
        self, pattern: str, capacity: int, overflow: Overflow, group: str | None, mailbox: Mailbox | None
    ) -> Subscription:
        """See `Bus.subscribe`."""
        self._exchange.check(APP)
        box = mailbox or Mailbox(f"subscriber of {pattern}", capacity)
        self._numbers += 1
        subscription = Subscription(Pattern(pattern), box, self, Overflow(overflow), group, self._numbers)
        self.table.add(subscription)
        for envelope in self.table.retained_for(subscription):
            if box.accept(envelope):
                subscription.delivered += 1
                self._exchange.delivered += 1
            else:
                subscription.dropped += 1
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Let it get no more events. Idempotent."""
        if not subscription.cancelled:
            subscription.cancelled = True
            self.table.remove(subscription)

    def read(self, envelope: Envelope) -> object:
        """An event's value, as the app gets it."""
        assert type(envelope.payload) is bytes  # requests are never put into a subscription's mailbox
        declared = self.declarations.get(envelope.subject)
        if declared is None:
            return codec.decode(envelope.payload, max_size=len(envelope.payload))
        return declared.decode(envelope.payload)

    def bury(self, envelope: Envelope, receiver: str, cause: Cause, reason: str) -> None:
        """A subscriber could not handle it."""
        self._exchange.keep(envelope, receiver, reason, cause)

    # -- publishing

    async def publish(
        self,
        subject: str,
        value: object,
        origin: Origin,
        deadline: float | None,
        priority: Priority | None,
        retain: bool,
    ) -> int:
        """See `Bus.publish`."""
        known = self.table.get(subject)
        declared = self.declarations.get(subject)
        payload = codec.encode(value) if declared is None else declared.encode(subject, value)
        return await self.publish_encoded(known, payload, origin, deadline, priority, retain)

    async def publish_encoded(
        self,
        subject: Subject,
        payload: bytes,
        origin: Origin,
        deadline: float | None,
        priority: Priority | None = None,
        retain: bool = False,
    ) -> int:
        """`publish` for a payload that is one CBOR item, and has been checked."""
        exchange = self._exchange
        if origin is APP:
            origin = CURRENT.get()
        if exchange.refusal or origin.hops:
            exchange.check(origin)
        if priority is None:
            priority = Priority.CONTROL if subject.name.startswith("sys.") else Priority.DATA
        envelope = Envelope(
            next(exchange.ids), subject.name, payload, origin, origin.traceparent, None, None, 1, priority
        )
        if retain:
            self.table.retain(subject, envelope)
        self.published += 1
        subject.published += 1
        if not exchange.tracing.on:
            if exchange.taps:
                exchange.show(Act.PUBLISH, envelope)
            return await self._deliver(subject, envelope, deadline)
        with exchange.tracing.span(names.PUBLISH, subject.name, parent=origin.traceparent) as span:
            span.set(names.MESSAGE_ID, str(envelope.id))
            envelope = envelope._replace(traceparent=span.traceparent)
            if exchange.taps:
                exchange.show(Act.PUBLISH, envelope)
            receivers = await self._deliver(subject, envelope, deadline)
            span.set(names.RECEIVERS, receivers)
        return receivers

    async def _deliver(self, subject: Subject, envelope: Envelope, deadline: float | None) -> int:
        """To each mailbox of its receivers; how many took it."""
        exchange = self._exchange
        pace, taken = exchange.pace, 0
        waiting: list[tuple[Subscription, Putting]] | None = None
        for subscription in subject.receivers():
            if time.monotonic() >= pace.until:
                await pace.breathe()
            if subscription.cancelled:
                continue
            mailbox = subscription.mailbox
            exchange.delivered += 1  # before it is handled, as it counts for a mailbox
            if mailbox.offer(envelope) or mailbox.accept(envelope):
                subscription.delivered += 1
                taken += 1
                continue
            exchange.delivered -= 1
            if mailbox.closed:
                continue
            if subscription.overflow is Overflow.WAIT:
                waiting = waiting or []
                waiting.append((subscription, mailbox.line_up(envelope)))
            else:
                taken += self._overflow(subject, subscription, envelope)
        if waiting:
            taken += await self._wait(subject, envelope, waiting, deadline)
        subject.delivered += taken
        return taken

    def _overflow(self, subject: Subject, subscription: Subscription, envelope: Envelope) -> int:
        """What becomes of an event for a full mailbox whose owner does not want to be waited for; 1 if it is in."""
        mailbox = subscription.mailbox
        if subscription.overflow is Overflow.REFUSE:
            subject.dropped += 1
            self._refuse(subscription, envelope, "refused it: its mailbox is full")
            return 0
        if subscription.overflow is Overflow.DROP_NEWEST:
            dropped, taken = 1, 0
        else:
            accepted = mailbox.statistics().accepted
            dropped = mailbox.displace(envelope)
            taken = mailbox.statistics().accepted - accepted
        subject.dropped += dropped
        subscription.dropped += dropped
        subscription.delivered += taken
        self._exchange.delivered += taken
        return taken

    async def _wait(
        self,
        subject: Subject,
        envelope: Envelope,
        waiting: list[tuple[Subscription, Putting]],
        deadline: float | None,
    ) -> int:
        """Wait for room in all these mailboxes at once; those that have none by the deadline get it as a dead letter."""
        taken, expired = 0, False
        began = time.monotonic()
        try:
            with anyio.move_on_after(seconds_until(latest(began, deadline, None), began)) as scope:
                for _, putting in waiting:
                    await putting.over.wait()
            expired = scope.cancelled_caught
        finally:  # also for a publisher that was cancelled: who has it by then has it, the others do not
            for subscription, putting in waiting:
                putting.leave()
                if putting.accepted:
                    taken += 1
                    subscription.delivered += 1
                    self._exchange.delivered += 1
                elif expired and not subscription.mailbox.closed:
                    subject.dropped += 1
                    self._refuse(subscription, envelope, f"had no room for it within {deadline:g} s")
        return taken

    def _refuse(self, subscription: Subscription, envelope: Envelope, reason: str) -> None:
        subscription.refused += 1
        self._exchange.keep(envelope, subscription.mailbox.name, reason, Cause.FULL)

    # -- again

    async def redeliver(self, letter: DeadLetter) -> None:
        """Give a dead letter to its receiver once more, waiting for room. Raises `Unavailable` if that listens no more."""
        envelope = letter.envelope._replace(attempt=letter.envelope.attempt + 1)
        subject = self.table.get(envelope.subject)
        for subscription in (*subject.singles, *(member for group in subject.groups for member in group)):
            if subscription.mailbox.name == letter.receiver:
                if not subscription.mailbox.offer(envelope):
                    await subscription.mailbox.put(envelope)
                subscription.delivered += 1
                self._exchange.count_delivery()
                return
        raise Unavailable(f"{letter.receiver} does not listen to {envelope.subject} any more")
