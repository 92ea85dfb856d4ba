"""Joins a bus and a link: some local events go out to other nodes, some of theirs come in.

    async with carry(bus, link, out=["weather.**"], into=["news.**"]) as carrier:
        ...
        carrier.statistics()     # 1461 sent, 12 received, 0 dropped, 0 refused

An event from node `kitchen` comes in with the sender `kitchen:weather-station`, one hop further from its cause than it was,
and in the same trace. It does not go out again over the link that it came in by, nor come in where its sender says that it
has been: so events that cross in circles end, and what extensions answer to each other across nodes ends with `TooManyHops`.

The subjects of the host (`sys`, `ext`, `cap`) are carried only by a pattern that names that first word. What comes in
is checked like any event: subject, payload, the type declared for the subject. Who may publish on the other side is for the
other side's grants to say: a link joins nodes whose operators trust each other's.

Where two ways lead from one node to another, an event comes by each. That a value is retained, and its priority, are not carried.

Events only. A request is encoded by its receiver's declared signature, which other nodes do not know of.
"""

import logging
import re
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Self

import anyio

from desk.bus import codec
from desk.bus.bus import Bus
from desk.bus.envelope import MAX_HOPS, Envelope, Origin
from desk.bus.errors import BusClosed, DeskError, TooManyHops, Unavailable
from desk.bus.link import Link, LinkDown, LinkMessage, Messages
from desk.bus.mailbox import Mailbox, Overflow
from desk.bus.subjects import Pattern, check_subject, is_reserved
from desk.traces.context import parse_traceparent
from desk.traces.log_rate import LogRate

log = logging.getLogger("desk.bus.link")

MAX_PATTERNS = 64
"""Patterns for each direction. An inbound event is held against all of them."""

_SENDER = re.compile(r"(?:[a-z0-9_-]{1,64}:){0,8}[a-z0-9_-]{0,64}")
_HOPS = re.compile(r"[0-9]{1,2}")
_LOGGED = (0.1, 10)  # refusals in the log, a second and at once; all of them are counted


@dataclass(frozen=True, slots=True)
class CarrierStatistics:
    """A snapshot. `dropped` were events that the link or the bus was too slow for, or while the link was down."""

    sent: int
    received: int
    """Inbound events that the bus has taken."""
    dropped: int
    refused: int
    """Those that no node should have sent: malformed, of a wrong type, not asked for, gone in a circle, too large."""


@dataclass(frozen=True, slots=True)
class _Carried(Origin):
    """The origin of an event that came in."""

    link: Link | None = None


class Carrier:
    """See the module's docstring; `carry` makes one."""

    def __init__(self, bus: Bus, link: Link, out: Iterable[str], into: Iterable[str]) -> None:
        self._bus = bus
        self._link = link
        self._out = _patterns(out)
        self._into = _patterns(into)
        self._mailbox = Mailbox(f"link of {link.name}")
        self._stack = AsyncExitStack()
        self._inboxes: list[Messages] = []
        self._logged = LogRate(*_LOGGED)
        self._sent = self._received = self._dropped = self._refused = 0

    def __repr__(self) -> str:
        """Like `<Carrier of kitchen: 1461 sent, 12 received, 0 dropped, 0 refused>`."""
        s = self.statistics()
        return (
            f"<Carrier of {self._link.name}: {s.sent} sent, {s.received} received, "
            f"{s.dropped} dropped, {s.refused} refused>"
        )

    def statistics(self) -> CarrierStatistics:
        """What became of the events so far."""
        inbound = sum(messages.dropped for messages in self._inboxes)
        outbound = self._mailbox.statistics().displaced
        return CarrierStatistics(self._sent, self._received, self._dropped + inbound + outbound, self._refused)

    async def __aenter__(self) -> Self:
        """From here on, events are carried. Raises `LinkDown`, `BusClosed`."""
        async with AsyncExitStack() as stack:
            for pattern in self._into:
                self._inboxes.append(await stack.enter_async_context(self._link.subscribe(pattern.text)))
            for pattern in self._out:
                subscription = self._bus.subscribe(pattern.text, overflow=Overflow.DROP_OLDEST, mailbox=self._mailbox)
                stack.callback(subscription.cancel)
            tasks = await stack.enter_async_context(anyio.create_task_group())
            stack.callback(tasks.cancel_scope.cancel)
            tasks.start_soon(self._send_all)
            for number, messages in enumerate(self._inboxes):
                tasks.start_soon(self._take_in_all, number, messages)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Carry nothing more."""
        await self._stack.aclose()  # an error is the app's own: it goes on as it is, not in the group of our tasks
        self._mailbox.close()

    # -- out

    async def _send_all(self) -> None:
        while True:
            try:
                envelope = await self._mailbox.take()
            except Unavailable:  # the bus was drained
                return
            if envelope is not None and _is_carried(envelope.subject, self._out):
                await self._send(envelope)

    async def _send(self, envelope: Envelope) -> None:
        origin = envelope.origin
        if isinstance(origin, _Carried) and origin.link is self._link:
            return  # the others have it already
        assert type(envelope.payload) is bytes  # requests are never put into a subscription's mailbox
        headers = {"sender": origin.sender, "hops": str(origin.hops)}
        if envelope.traceparent:
            headers["traceparent"] = envelope.traceparent
        try:
            await self._link.publish(envelope.subject, envelope.payload, headers)
        except LinkDown:
            self._dropped += 1
        except DeskError as error:
            self._refuse(f"event {envelope.subject} is not sent: {error}")
        else:
            self._sent += 1

    # -- in

    async def _take_in_all(self, number: int, messages: Messages) -> None:
        earlier = self._into[:number]
        try:
            async for message in messages:
                try:
                    # What several patterns match arrives for each of them: it is the first one's.
                    if not any(pattern.matches(check_subject(message.subject)) for pattern in earlier):
                        await self._take_in(message)
                except BusClosed:
                    self._dropped += 1
                except DeskError as error:
                    self._refuse(f"an event from node {message.sender} is refused: {error}")
        except LinkDown as error:
            log.warning("no more events come in: %s", error)

    async def _take_in(self, message: LinkMessage) -> None:
        subject = check_subject(message.subject)
        if not _is_carried(subject, self._into):
            raise NotCarried(f"{subject} is not carried in here")
        origin = origin_of(message, self._link)
        value = codec.decode(message.payload, max_size=self._link.max_payload)
        await self._bus.publish(subject, value, origin=origin)
        self._received += 1

    def _refuse(self, what: str) -> None:
        self._refused += 1
        if self._logged.take():
            log.warning("%s (%d refused so far)", what, self._refused)


class NotCarried(DeskError):
    """What another node sent is no event for this one."""

    doing = "outside"
    retry = "never"


def carry(bus: Bus, link: Link, *, out: Iterable[str] = (), into: Iterable[str] = ()) -> Carrier:
    """Carry events between a bus and a link, inside `async with`: those that match `out` to the other nodes, `into` from them.

    Raises `SubjectError` for what is no pattern, `ValueError` for more than `MAX_PATTERNS`.
    """
    return Carrier(bus, link, out, into)


def origin_of(message: LinkMessage, link: Link) -> Origin:
    """The origin of an event that came in, out of headers that anybody may have written. Raises `NotCarried`, `TooManyHops`.

    A header that is missing says nothing: then the event has no cause but its node. A traceparent that cannot be read is none.
    """
    sender = message.headers.get("sender", "")
    if _SENDER.fullmatch(sender) is None:
        raise NotCarried(f"{sender!a:.80} is no sender")
    sender = f"{message.sender}:{sender}"
    if link.name in sender.split(":")[:-1]:
        raise NotCarried(f"an event of {sender} has been here before")
    hops = message.headers.get("hops", "0")
    if _HOPS.fullmatch(hops) is None:
        raise NotCarried(f"{hops!a:.80} is no number of hops")
    if int(hops) + 1 > MAX_HOPS:
        raise TooManyHops(f"it has gone over {int(hops) + 1} nodes and receivers; at most {MAX_HOPS} may be")
    traceparent = message.headers.get("traceparent", "")
    if parse_traceparent(traceparent) is None:
        traceparent = ""  # begins a trace; None would be the span in which the app happened to start the carrier
    return _Carried(sender, (), int(hops) + 1, traceparent, link=link)


def _patterns(texts: Iterable[str]) -> tuple[Pattern, ...]:
    if isinstance(texts, str):
        raise TypeError(f"expected a list of patterns, like [{texts!r}], not a text")
    patterns = tuple(Pattern(text) for text in texts)
    if len(patterns) > MAX_PATTERNS:
        raise ValueError(f"{len(patterns)} patterns; at most {MAX_PATTERNS} are allowed")
    return patterns


def _is_carried(subject: str, patterns: tuple[Pattern, ...]) -> bool:
    """Whether a pattern takes it: one that names the first word, if that is the host's."""
    reserved = is_reserved(subject)
    return any(pattern.matches(subject) and (not reserved or is_reserved(pattern.text)) for pattern in patterns)
