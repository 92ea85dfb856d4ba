"""The bus: events go to everyone who listens, requests to the one who answers.

    await bus.publish("weather.changed", {"celsius": 21})            # to all subscribers, however many
    async with bus.subscribe("weather.*") as events:                 # one bounded mailbox each
        async for event in events: ...
    await bus.request("ext.weather-widget.render", 640, 480)         # one answer, or a typed error
    with bus.respond("calc.add", add): ...                           # a Python function that answers

A payload is checked and encoded once, by the sender. It is then put into each receiver's mailbox, waiting for room: an
accepted message is handled, or in the dead letters with the reason. Nothing here knows who may send what: guests hold a
facet (`desk.capabilities`), never the bus. `Origin` says on whose behalf something is sent.

A bus belongs to one event loop (trio or asyncio) of one process; it starts no tasks of its own. This file is what one can
say to a bus; how a message finds its receivers is in `events` and in `requests`.
"""

from collections.abc import Collection, Coroutine, Mapping, Sequence
from typing import Any, cast

from desk.bus.clock import Clock, SystemClock
from desk.bus.dead_letters import Cause, DeadLetter, DeadLetters
from desk.bus.drain import Drained, drain
from desk.bus.envelope import APP, Envelope, Origin, Priority, Reply
from desk.bus.events import Events
from desk.bus.exchange import DEFAULT_DEADLINE, Exchange
from desk.bus.forks import forbid_after_fork
from desk.bus.mailbox import DEFAULT_CAPACITY, Mailbox, Overflow
from desk.bus.portal import Portal
from desk.bus.requests import Requests
from desk.bus.responder import AT_ONCE, Function, Responder, Service
from desk.bus.statistics import BusStatistics
from desk.bus.subject_table import SubjectStatistics
from desk.bus.subjects import Pattern
from desk.bus.subscription import Subscription, SubscriptionStatistics
from desk.bus.tap import TAP_CAPACITY, Tap
from desk.bus.timers import Ticks, parse_interval
from desk.bus.types.base import Type
from desk.bus.types.natural import Natural
from desk.bus.types.signature import Signature
from desk.bus.types.syntax import parse_type_text
from desk.traces.tracing import Tracing


class Bus:
    """See the module's docstring."""

    def __init__(self, tracing: Tracing | None = None, clock: Clock | None = None) -> None:
        """`clock` is for timers (`every`), so that tests can jump."""
        self._exchange = Exchange(tracing or Tracing.off())
        self._events = Events(self._exchange)
        self._requests = Requests(self._exchange)
        self._clock = clock or SystemClock()
        forbid_after_fork(self, Bus._forbid)
        self.pace = self._exchange.pace
        """For all who send and all who handle: senders that never have to wait give others a turn, and may be cancelled."""

    def __repr__(self) -> str:
        """Like `<Bus: 3 subscriptions, 7 services, 1461 published, 12 requested, 0 dead>`."""
        s = self.statistics()
        return (
            f"<Bus: {s.subscriptions} subscriptions, {s.services} services, "
            f"{s.published} published, {s.requested} requested, {s.dead} dead>"
        )

    def _forbid(self, why: str) -> None:
        self._exchange.forbid(why)

    # -- events

    def subscribe(
        self,
        pattern: str,
        *,
        capacity: int = DEFAULT_CAPACITY,
        overflow: Overflow | str = Overflow.WAIT,
        group: str | None = None,
        mailbox: Mailbox | None = None,
    ) -> Subscription:
        """Listen to all subjects that match `pattern`; `*` is one word, a last `**` is one or more.

        A subscriber that falls `capacity` events behind slows publishers down, unless `overflow` says to lose events
        instead. Of all subscriptions with the same `group` that match, only one gets each event. `mailbox` shares one among
        several subscriptions. Retained values that match come first. Raises `SubjectError` for a bad pattern, `BusClosed`.
        """
        return self._events.subscribe(pattern, capacity, overflow, group, mailbox)

    def publish(
        self,
        subject: str,
        value: object,
        *,
        origin: Origin = APP,
        deadline: float | None = DEFAULT_DEADLINE,
        priority: Priority | None = None,
        retain: bool = False,
    ) -> Coroutine[Any, Any, int]:
        """Give `value` to every subscriber; returns how many took it.

        Waits while a mailbox is full whose owner wants to be waited for, at most `deadline` seconds (None: for ever); after
        that the event is a dead letter for that subscriber. If it is cancelled, those have it whose turn it was and who had
        room. `retain` keeps the value for those who subscribe later. `priority` is `DATA`, or `CONTROL` for the host's own
        `sys.…`.

        Raises `SubjectError`, `CodecError` (the value has no form on the bus), `InvalidValue` (it is not of the type declared
        for the subject), `TooManyHops`, `Overloaded` (too much is retained), `BusClosed`. A mailbox that accepts two patterns
        of one subscriber matching the same event gets it once.
        """
        return self._events.publish(subject, value, None, origin, deadline, priority, retain)

    def publish_encoded(
        self, subject: str, payload: bytes, *, origin: Origin, deadline: float | None = DEFAULT_DEADLINE
    ) -> Coroutine[Any, Any, int]:
        """`publish` for a payload that is one checked CBOR item, of the type declared for the subject if there is one."""
        return self._events.publish(subject, None, payload, origin, deadline, None, retain=False)

    def forget(self, subject: str) -> None:
        """Retain its value no more."""
        table = self._events.table
        table.retain(table.get(subject), None)

    def declare(self, subject: str, type_: Type | type | str, *, by: str = "") -> None:
        """Say what events of `subject` are: a type, its text (`"(city: string)"`), or one of the app's own classes.

        From then on they are checked, whoever publishes. With a class (a dataclass, or a msgspec-style struct) the app may
        publish its objects, and gets them from its subscriptions. `by` is who says so; empty for the app. Who is alone with a
        subject may declare it anew. Raises `ConflictingTypes` if someone else declared it otherwise, `TypeSyntaxError`,
        `SubjectError`, `TypeError` for a class that has no type.
        """
        natural: Natural[object] | None = None
        if isinstance(type_, str):
            type_ = parse_type_text(type_)
        elif not isinstance(type_, Type):
            natural = cast("Natural[object]", Natural(type_))
            type_ = natural.type
        self._events.declarations.declare(subject, type_, by, natural)

    def declared(self, subject: str) -> Type | None:
        """The type of its events, if someone declared one."""
        declared = self._events.declarations.get(subject)
        return declared.type if declared else None

    def declarations(self) -> Mapping[str, Type]:
        """All declared subjects, and their types: for documents (`desk.bus.types.cddl`)."""
        return self._events.declarations.types()

    def listens(self, pattern: str, type_: Type, *, by: str) -> tuple[str, ...]:
        """Note that events of these subjects are read as `type_`; returns a sentence on each declared one that cannot be.

        Raises `ConflictingTypes` if `pattern` is a declared subject, and is not readable so.
        """
        return self._events.declarations.listen(Pattern(pattern), type_, by)

    def retract(self, by: str, *, publishes: Collection[str] = (), subscribes: Collection[str] = ()) -> None:
        """Forget all that `by` declared and listens to, but for the subjects and patterns that are named."""
        self._events.declarations.withdraw(by, publishes, subscribes)

    # -- requests

    def respond(
        self, subject: str, function: Function, signature: Signature | str | None = None, *, at_once: int = AT_ONCE
    ) -> Responder:
        """Let a Python function, plain or async, answer requests to `subject`, until the result's `with` is left.

        It runs on the requester's task, at most `at_once` at a time. `signature` is what it takes and gives, as text
        (`"(i32, i32) -> i32"`); without one, its annotations say it. Its errors reach the requester: a `DeskError` as it is,
        any other as `ResponderFailed`. Raises `ValueError` if someone answers already, `TypeSyntaxError`, `TypeError` for
        annotations without a type.
        """
        responder = Responder(subject, function, signature, at_once, self._requests.withdraw)
        self._requests.add(responder)
        return responder

    def serve(self, subject: str, signature: Signature, mailbox: Mailbox) -> Service:
        """Let requests to `subject` go to `mailbox`. Raises `ValueError` if someone answers it already."""
        service = Service(subject, signature, mailbox)
        self._requests.add(service)
        return service

    def withdraw(self, service: Service | Responder) -> None:
        """Take no more requests for it: those that come get `Unavailable`. Idempotent."""
        self._requests.withdraw(service)

    def service(self, subject: str) -> Service | Responder:
        """Who answers this subject; raises `NoReceiver`, or `Unavailable` if it was stopped."""
        return self._requests.find(subject)

    def request(
        self, subject: str, *args: object, deadline: float | None = DEFAULT_DEADLINE, origin: Origin = APP
    ) -> Coroutine[Any, Any, object]:
        """Ask whoever answers `subject`, and wait at most `deadline` seconds (None: for ever).

        Returns the result, checked against the declared type. Raises `InvalidValue` (an argument is not of the declared
        type; the receiver was not asked), `NoReceiver`, `Unavailable`, `DeadlineExceeded`, `TooManyHops`, `Overloaded`,
        `BusClosed`, or the receiver's own error. Cancelling the caller abandons the answer; an actor is not interrupted by it,
        a Python function is.
        """
        return self._requests.request(subject, args, deadline, origin)

    # -- letters nobody could take

    @property
    def dead_letters(self) -> DeadLetters:
        """The messages that were not handled, oldest first, each with its receiver and the reason."""
        return self._exchange.letters

    def bury(
        self,
        envelope: Envelope,
        receiver: str,
        reason: str,
        error: Exception | None = None,
        cause: Cause = Cause.FAILED,
    ) -> None:
        """An accepted envelope was not handled: its requester is told, or if nobody waits it goes to the dead letters."""
        self._exchange.bury(envelope, receiver, reason, error, cause)

    def bury_request(self, subject: str, args: Sequence[object], receiver: str, reason: str) -> None:
        """A request failed whose sender has no use for the error: it is a dead letter, and can be retried as one."""
        payload = self.service(subject).signature.lower_args(args)
        envelope = Envelope(next(self._exchange.ids), subject, payload, APP, None, Reply())
        self._exchange.keep(envelope, receiver, reason, Cause.FAILED)

    async def retry(self, letter: DeadLetter) -> object:
        """Send a dead letter again to its receiver, and only to that; returns the answer if it is a request.

        Raises `ValueError` if it is not among the dead letters, `Unavailable` if its receiver is gone (it stays a dead
        letter then), or as `request` does.
        """
        letters = self.dead_letters
        if not letters.remove(letter):
            raise ValueError(f"not among the dead letters, or retried already: {letter!r}")
        try:
            if letter.envelope.reply is None:
                return await self._events.redeliver(letter)
            return await self._requests.redeliver(letter)
        except BaseException:
            letters.restore(letter)
            raise

    # -- observation

    def statistics(self) -> BusStatistics:
        """Counts since the start, and who listens."""
        exchange, events, requests = self._exchange, self._events, self._requests
        return BusStatistics(
            events.published,
            requests.requested,
            exchange.delivered,
            exchange.letters.total,
            len(events.table.subscriptions),
            len(requests.services),
        )

    def subjects(self) -> tuple[SubjectStatistics, ...]:
        """The subjects that events were published to, as far as they are remembered."""
        return self._events.table.known()

    def subscriptions(self) -> tuple[SubscriptionStatistics, ...]:
        """What each subscription got and lost, in the order of subscribing."""
        return tuple(each.statistics() for each in self._events.table.subscriptions.values())

    def heard(self, subject: str) -> bool:
        """Whether anybody would get an event of `subject`, for who need not make it otherwise. Raises `SubjectError`."""
        known = self._events.table.get(subject)
        return bool(known.singles or known.groups)

    def tap(self, pattern: str = "**", *, capacity: int = TAP_CAPACITY) -> Tap:
        """See everything that goes over the bus, without slowing it down: `with bus.tap() as seen`."""
        tap = Tap(Pattern(pattern), capacity, self._untap)
        self._exchange.taps += (tap,)
        return tap

    def _untap(self, tap: Tap) -> None:
        self._exchange.taps = tuple(each for each in self._exchange.taps if each is not tap)

    # -- time, and the end

    def every(self, interval: str | float) -> Ticks:
        """Ticks every so often, as in `async for tick in bus.every("5m")`, or in seconds; see `Ticks`. Raises `TimerError`."""
        return Ticks(self._clock, parse_interval(interval) if isinstance(interval, str) else interval)

    async def drain(self, deadline: float = 5.0) -> Drained:
        """Come to rest: refuse new messages, let those that are there be handled for `deadline` seconds, close all mailboxes.

        What running messages cause is carried out meanwhile. What is left is in the dead letters, and in the report.
        """
        return await drain(self._exchange, self._events, self._requests, deadline)

    def portal(self) -> Portal:
        """The bus for code that is not async, from any thread: `async with bus.portal() as portal`; see `Portal`."""
        return Portal(self)
