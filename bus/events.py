"""Events: to everyone who listens, each with a bounded mailbox and a say in what becomes of an event when that is full.

Everyone who has room gets an event before anyone is waited for; then the publisher waits for all who want to be waited for
at the same time, at most until its deadline. So one slow subscriber delays the publisher, and its next event, but never the
other receivers of this one.
"""

import time
from functools import partial
from threading import get_ident

import anyio

from desk.bus import codec
from desk.bus.dead_letters import Cause, DeadLetter
from desk.bus.declarations import Declarations
from desk.bus.envelope import APP, Envelope, Origin, Priority, current_origin
from desk.bus.errors import Unavailable
from desk.bus.exchange import DEFAULT_DEADLINE, Exchange, latest, seconds_until
from desk.bus.mailbox import Mailbox, Overflow, Putting
from desk.bus.subject_table import Subject, SubjectTable
from desk.bus.subjects import Pattern
from desk.bus.subscription import Subscription
from desk.bus.tap import Act
from desk.bus.types.wording import did_you_mean
from desk.traces import names


class Events:
    """See the module's docstring; the half of the bus that is about events."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.table = SubjectTable()
        self.declarations = Declarations()
        self.published = 0
        self._numbers = 0
        self._names: set[str] = set()

    # -- listening

    def subscribe(
        self, pattern: str, capacity: int, overflow: Overflow | str, group: str | None, mailbox: Mailbox | None
    ) -> Subscription:
        """See `Bus.subscribe`."""
        self._exchange.check(APP, pattern)
        if group is not None and not (type(group) is str and group):  # it comes from untyped code, too
            raise ValueError(f"a group is a name, not {group!r:.40}")
        made, policy, number = Pattern(pattern), _policy(overflow), self._numbers + 1
        name = f"subscriber of {pattern}"
        if group is not None:  # a dead letter is retried by the name of its receiver, here with any of them
            name = f"group {group} on {pattern}"
        elif name in self._names:
            name += f" (#{number})"
        box = mailbox or Mailbox(name, capacity)
        subscription = Subscription(made, box, self, policy, group, number, shared=mailbox is not None)
        self._numbers = number
        self._names.add(box.name)
        self.table.add(subscription)
        for envelope in self.table.retained_for(subscription):
            subject = self.table.get(envelope.subject)
            if box.accept(envelope):
                self._count(subject, subscription)
            elif policy is Overflow.WAIT:  # which nobody does here
                self._refuse(subscription, envelope, "had no room for the retained value")
            else:
                self._overflow(subject, subscription, envelope)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Let it get no more events. Idempotent."""
        if not subscription.cancelled:
            subscription.cancelled = True
            self._names.discard(subscription.mailbox.name)
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
        self._exchange.bury(envelope, receiver, reason, None, cause)

    # -- publishing

    async def publish(
        self,
        name: str,
        value: object,
        payload: bytes | None,
        origin: Origin,
        deadline: float | None,
        priority: Priority | None,
        retain: bool,
    ) -> int:
        """See `Bus.publish`. `payload` takes the place of `value`: it is one CBOR item, and has been checked."""
        exchange, subject = self._exchange, self.table.get(name)
        if payload is None:
            declared = self.declarations.get(name)
            payload = codec.encode(value) if declared is None else declared.encode(name, value)
        if origin is APP:
            origin = current_origin()
        if exchange.refusal or origin.hops or get_ident() != exchange.thread:
            exchange.check(origin, subject.name)
        # (A plain number as priority would be in neither lane of a mailbox.)
        priority = subject.priority if priority is None else Priority(priority)
        if deadline is not DEFAULT_DEADLINE:
            latest(0.0, deadline, None)  # a bad one is refused also if nobody has to wait
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
        pace, taken, receivers = exchange.pace, 0, subject.receivers()
        began: float | None = None
        if not receivers and time.monotonic() >= pace.until:
            await pace.breathe()  # also one to whom nobody listens gives others their turns
        while receivers:
            waiting: list[tuple[Subscription, Putting]] = []
            left: list[Subscription] = []
            try:
                for subscription in receivers:
                    if time.monotonic() >= pace.until:
                        await pace.breathe()
                    mailbox = subscription.mailbox
                    if subscription.cancelled or mailbox.closed:
                        left.append(subscription)
                        continue
                    exchange.delivered += 1  # before it is handled, as it counts for a mailbox
                    subscription.delivered += 1
                    subject.delivered += 1
                    if mailbox.offer(envelope) or mailbox.accept(envelope):
                        taken += 1
                        continue
                    exchange.delivered -= 1
                    subscription.delivered -= 1
                    subject.delivered -= 1
                    if subscription.overflow is Overflow.WAIT:
                        tell = partial(self._count, subject, subscription)
                        waiting.append((subscription, mailbox.line_up(envelope, tell)))
                    else:
                        taken += self._overflow(subject, subscription, envelope)
                if waiting:
                    began = began or time.monotonic()
                    with anyio.move_on_after(seconds_until(latest(began, deadline, None))):
                        for _, putting in waiting:
                            await putting.over.wait()
            finally:  # also for a publisher that was cancelled: who has it by then has it, the others do not
                for _, putting in waiting:
                    putting.leave()
            for subscription, putting in waiting:
                if putting.accepted:
                    taken += 1
                elif subscription.mailbox.closed:
                    left.append(subscription)
                else:
                    subject.dropped += 1
                    self._refuse(subscription, envelope, f"had no room for it within {deadline:g} s")
            receivers = self.table.get(subject.name).instead_of(left) if left else ()
        return taken

    def _count(self, subject: Subject, subscription: Subscription) -> None:
        """One more is in a mailbox."""
        subscription.delivered += 1
        subject.delivered += 1
        self._exchange.delivered += 1

    def _overflow(self, subject: Subject, subscription: Subscription, envelope: Envelope) -> int:
        """What becomes of an event for a full mailbox whose owner does not want to be waited for; 1 if it is in."""
        mailbox = subscription.mailbox
        if subscription.overflow is Overflow.REFUSE:
            subject.dropped += 1
            self._refuse(subscription, envelope, "refused it: its mailbox is full")
            return 0
        gone, taken = (0, False) if subscription.overflow is Overflow.DROP_NEWEST else mailbox.displace(envelope)
        dropped = gone + (not taken)
        subject.dropped += dropped
        subscription.dropped += dropped
        if taken:
            self._count(subject, subscription)
        return int(taken)

    def _refuse(self, subscription: Subscription, envelope: Envelope, reason: str) -> None:
        subscription.refused += 1
        self._exchange.keep(envelope, subscription.mailbox.name, reason, Cause.FULL)

    # -- again

    async def redeliver(self, letter: DeadLetter) -> None:
        """Give a dead letter to its receiver once more, waiting for room. Raises `Unavailable` if that listens no more."""
        self._exchange.check(APP, letter.envelope.subject)
        await self._exchange.pace.breathe()
        envelope = letter.envelope._replace(attempt=letter.envelope.attempt + 1)
        subject = self.table.get(envelope.subject)
        for subscription in (*subject.singles, *(member for group in subject.groups for member in group)):
            if subscription.mailbox.name == letter.receiver:
                if not subscription.mailbox.offer(envelope):
                    await subscription.mailbox.put(envelope)
                self._count(subject, subscription)
                return
        raise Unavailable(f"{letter.receiver} does not listen to {envelope.subject} any more")


def _policy(name: str) -> Overflow:
    """The policy of that name. Raises `ValueError` that says which there are."""
    try:
        return Overflow(name)
    except ValueError:
        raise ValueError(
            f"there is no overflow policy {name!r:.40}{did_you_mean(str(name), Overflow)}; expected one of {', '.join(Overflow)}"
        ) from None
