"""Requests: to the one who answers, and to nobody else; one answer, or a typed error.

What becomes of a request whose receiver does not answer depends on where the receiver is:

    nobody answers this subject          `NoReceiver`, at once
    it was stopped                       `Unavailable`, at once
    it is being restarted, or busy       the request waits in its mailbox; the replacement answers it, or `DeadlineExceeded`
                                         comes when the requester's deadline has passed
    its mailbox is full                  the request waits for room, at most until the deadline
"""

import time
from collections import OrderedDict
from collections.abc import Coroutine, Sequence
from threading import get_ident
from typing import Any

from desk.bus.dead_letters import Cause, DeadLetter
from desk.bus.envelope import APP, Envelope, Origin, Reply, current_origin
from desk.bus.errors import NoReceiver, Unavailable
from desk.bus.exchange import DEFAULT_DEADLINE, Exchange, latest, seconds_until, told, too_late, within
from desk.bus.mailbox import Mailbox
from desk.bus.responder import MAX_ARGUMENT, Responder, Service
from desk.bus.subjects import check_subject
from desk.bus.tap import Act, brief
from desk.bus.types.base import InvalidValue, did_you_mean
from desk.traces import names

_STOPPED_KEPT = 4_096
"""Subjects that are remembered to have been answered, so that their requesters learn that it has been stopped."""


class Requests:
    """See the module's docstring; the half of the bus that is about requests."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.services: dict[str, Service | Responder] = {}
        self._stopped: OrderedDict[str, str] = OrderedDict()
        self.requested = 0

    # -- answering

    def add(self, service: Service | Responder) -> None:
        """Let it answer its subject. Raises `ValueError` if someone answers it already."""
        subject = check_subject(service.subject)
        self._exchange.check(APP, subject)
        if subject in self.services:
            raise ValueError(f"{subject} is answered by {self.services[subject].name} already")
        self.services[subject] = service
        self._stopped.pop(subject, None)

    def withdraw(self, service: Service | Responder) -> None:
        """Give it no more requests. Idempotent."""
        if self.services.get(service.subject) is service:
            del self.services[service.subject]
            if isinstance(service, Responder):
                service.withdrawn = True
            self._stopped[service.subject] = service.name
            if len(self._stopped) > _STOPPED_KEPT:
                self._stopped.popitem(last=False)

    def find(self, subject: str) -> Service | Responder:
        """Who answers this subject; raises `NoReceiver`, or `Unavailable` if it was stopped."""
        try:
            return self.services[subject]
        except KeyError:
            if subject in self._stopped:
                raise Unavailable(f"{self._stopped[subject]} has been stopped, and answers {subject} no more") from None
            near = did_you_mean(check_subject(subject), self.services)
            raise NoReceiver(f"nobody answers {subject}{near}") from None
        except TypeError:  # it comes from untyped code, too
            check_subject(subject)
            raise

    # -- asking

    async def request(self, subject: str, args: Sequence[object], deadline: float | None, origin: Origin) -> object:
        """See `Bus.request`."""
        exchange = self._exchange
        if origin is APP:
            origin = current_origin()
        if exchange.refusal or origin.hops or get_ident() != exchange.thread:
            exchange.check(origin, subject)
        if time.monotonic() >= exchange.pace.until:
            await exchange.pace.breathe()
        service = self.find(subject)  # after others had a turn, in which it may have been replaced
        try:
            payload = service.signature.lower_args(args, max_size=MAX_ARGUMENT)
        except InvalidValue as error:
            error.where = subject.removeprefix("ext.")  # as its users call it: extension.export
            raise
        began = time.monotonic()
        limit = latest(began, deadline, origin.deadline)
        if not exchange.tracing.on:
            envelope = Envelope(next(exchange.ids), subject, payload, origin, origin.traceparent, Reply(), limit)
            return await self._send(service, envelope, began)
        with exchange.tracing.span(names.REQUEST, subject, parent=origin.traceparent) as span:
            traceparent = span.traceparent or origin.traceparent
            envelope = Envelope(next(exchange.ids), subject, payload, origin, traceparent, Reply(), limit)
            span.set(names.MESSAGE_ID, str(envelope.id))
            return await self._send(service, envelope, began)

    def _send(self, service: Service | Responder, envelope: Envelope, began: float) -> Coroutine[Any, Any, object]:
        """Have it answered, and let the taps see that."""
        self.requested += 1
        service.requested += 1
        return (self._watched if self._exchange.taps else self._ask)(service, envelope, began)

    async def _watched(self, service: Service | Responder, envelope: Envelope, began: float) -> object:
        self._exchange.show(Act.REQUEST, envelope)
        try:
            result = await self._ask(service, envelope, began)
        except Exception as error:
            self._exchange.show(Act.FAILURE, envelope, told(error))
            raise
        self._exchange.show(Act.ANSWER, envelope, brief(result))
        return result

    async def _ask(self, service: Service | Responder, envelope: Envelope, began: float) -> object:
        reply, limit = envelope.reply, envelope.deadline
        assert reply is not None
        if isinstance(service, Responder):
            return await service.answer(envelope, self._exchange, began)
        exchange, mailbox = self._exchange, service.mailbox
        taken = False
        if limit is None or limit > began:
            exchange.delivered += 1  # before it is handled, as it counts for a mailbox
            taken = mailbox.offer(envelope) or mailbox.accept(envelope)
            if not taken:
                exchange.delivered -= 1
            elif reply.settled:  # the receiver was idle, and has answered already
                return reply.result()
        in_time = False
        try:
            if not taken:
                await within(envelope, began, mailbox.put(envelope, exchange.count_delivery))
            in_time = await reply.wait(seconds_until(limit))
        finally:
            if not in_time:
                self._abandon(envelope, reply, mailbox)
        if not in_time:
            raise too_late(envelope, began)
        return reply.result()

    def _abandon(self, envelope: Envelope, reply: Reply, mailbox: Mailbox) -> None:
        """Nobody waits for the answer any more."""
        reply.abandon()
        if reply.error is not None:  # it failed, and at the same moment the one to be told was cancelled
            self._exchange.keep(envelope, mailbox.name, f"failed: {told(reply.error)}", Cause.FAILED)

    # -- again

    async def redeliver(self, letter: DeadLetter) -> object:
        """Ask once more what a dead letter asked; returns the answer, or raises as `request` does."""
        self._exchange.check(APP, letter.envelope.subject)
        await self._exchange.pace.breathe()
        now = time.monotonic()
        envelope = letter.envelope._replace(
            reply=Reply(), deadline=now + DEFAULT_DEADLINE, attempt=letter.envelope.attempt + 1
        )
        return await self._send(self.find(envelope.subject), envelope, now)
