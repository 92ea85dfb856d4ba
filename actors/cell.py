"""The cell: the runtime's side of one actor. It takes messages from the mailbox, one at a time, and has the guest handle them.

A turn is: take an envelope; open its `process` span; let the runner call the export; settle the reply. A request is
always answered, with the checked result or with a typed error. An event that could not be handled goes to the dead
letters. What nobody waits for any more is not begun.
"""

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType

import anyio

from desk.actors.engine.pump import Budget
from desk.actors.limits import Limits
from desk.actors.manifest import Manifest
from desk.actors.runner import Call, Runner, Turn
from desk.bus import codec
from desk.bus.bus import MAX_ARGUMENT, Bus, Service
from desk.bus.envelope import APP, Envelope
from desk.bus.errors import DeskError, Unavailable
from desk.bus.mailbox import Mailbox
from desk.bus.subjects import Pattern
from desk.bus.subscription import Subscription
from desk.traces import names
from desk.traces.tracing import Span, Tracing

log = logging.getLogger("desk.actors")

_NO_SPAN = Span()


@dataclass(frozen=True, slots=True)
class CellStatistics:
    """A snapshot. `handled` counts turns that ended well, `failed` those that did not; `instances` those made so far."""

    handled: int
    failed: int
    instances: int
    queued: int


class Cell:
    """See the module's docstring. `start` once, then run `run` as a task; `stop` from anywhere ends it."""

    def __init__(self, manifest: Manifest, runner: Runner, limits: Limits, bus: Bus, tracing: Tracing) -> None:
        self.manifest = manifest
        self.name = manifest.name
        self.stopped = anyio.Event()
        """Set when the actor is gone."""
        self._runner = runner
        self._limits = limits
        self._bus = bus
        self._tracing = tracing
        self._mailbox = Mailbox(self.name, limits.mailbox)
        self._services: list[Service] = []
        self._subscriptions: list[Subscription] = []
        self._handlers = tuple((Pattern(pattern), export) for pattern, export in manifest.subscribes.items())
        self.busy = False
        """A turn is in progress, on this actor's task or on a sender's."""
        self.unfinished: tuple[Envelope, Call] | None = None
        """A turn begun on a sender's task, for `run` to go on with."""
        self._handled = self._failed = 0

    def __repr__(self) -> str:
        """Like `<Cell echo: 41 handled, 0 failed, 1 instances, 0 queued>`."""
        s = self.statistics()
        return f"<Cell {self.name}: {s.handled} handled, {s.failed} failed, {s.instances} instances, {s.queued} queued>"

    def statistics(self) -> CellStatistics:
        """What it has done so far."""
        queued = self._mailbox.statistics().queued
        return CellStatistics(self._handled, self._failed, self._runner.instances, queued)

    # -- life

    async def start(self, span: Span, subscribes: Iterable[str]) -> None:
        """Make the first instance, then be reachable, and listen to those patterns of the manifest that are granted.

        Raises `ExtensionError` if the guest fails to start, and is not reachable then.
        """
        await self._runner.ready(span, APP)
        for export, signature in self.manifest.exports.items():
            self._services.append(self._bus.serve(f"ext.{self.name}.{export}", signature, self._mailbox))
        for pattern in subscribes:
            self._subscriptions.append(self._bus.subscribe(pattern, mailbox=self._mailbox))
        self._mailbox.on_idle = self._take_at_once

    async def run(self) -> None:
        """Take turns until stopped; then the instance is gone, and what was left in the mailbox is told or buried."""
        try:
            while True:
                envelope = await self._mailbox.take()
                await (self._turn(envelope) if envelope is not None else self._go_on())
        except Unavailable:
            return  # the mailbox is closed, and empty
        finally:
            self.stop()
            if self.unfinished is not None:
                self.abandon(self.unfinished[0])
            self._runner.close()
            self.stopped.set()

    def stop(self) -> None:
        """Take no more messages. The turn in progress goes on, within its limits. Idempotent."""
        for service in self._services:
            self._bus.withdraw(service)
        for subscription in self._subscriptions:
            subscription.cancel()
        for envelope in self._mailbox.close():
            self._bus.bury(envelope, self.name, "was stopped before it took the message")

    # -- one message, on the actor's own task

    async def _turn(self, envelope: Envelope) -> None:
        """Handle one message. Raises nothing but cancellation: a message must never end its actor."""
        if _is_pointless(envelope):
            self._bus.bury(envelope, self.name, "took the message when nobody waited any more")
            return
        with self._tracing.span(names.PROCESS, envelope.subject, parent=envelope.traceparent) as span:
            span.set(names.EXTENSION, self.name)
            span.set(names.MESSAGE_ID, str(envelope.id))
            with _Handling(self, envelope, span):
                result: object = None
                for export in self._exports_for(envelope):
                    span.set(names.EXPORT, export)
                    await self._runner.ready(span, envelope.origin)
                    call = self._begin(export, envelope, span)
                    if not call.step():
                        await call.finish()
                    result = call.outcome()
                self.settle(envelope, result)

    # -- one message, on the sender's task

    def _take_at_once(self, envelope: Envelope) -> bool:
        """Take the turn here and now, if the actor is idle; what is not over within its first slice goes on in `run`.

        Order, one message at a time, limits and outcome are those of `_turn`. Not while spans are recorded: a span is
        opened and closed in one task. Not without a live instance: making one takes more than a slice.
        """
        if self.busy or self._tracing.on or not self._runner.live or _is_pointless(envelope):
            return False
        exports = self._exports_for(envelope)
        if len(exports) != 1:
            return False
        with _Handling(self, envelope, _NO_SPAN):
            call = self._begin(exports[0], envelope, _NO_SPAN)
            if call.step():
                self.settle(envelope, call.outcome())
            else:
                self.unfinished = (envelope, call)
                self._mailbox.wake()
        return True

    async def _go_on(self) -> None:
        """Finish what `_take_at_once` has begun."""
        assert self.unfinished is not None
        envelope, call = self.unfinished
        self.unfinished = None
        with _Handling(self, envelope, _NO_SPAN):
            await call.finish()
            self.settle(envelope, call.outcome())

    # -- what both ways share

    def _exports_for(self, envelope: Envelope) -> tuple[str, ...]:
        """The exports that the message is for: one for a request, every handler that matches for an event."""
        if envelope.reply is not None:
            return (envelope.subject.rpartition(".")[2],)
        return tuple(export for pattern, export in self._handlers if pattern.matches(envelope.subject))

    def _begin(self, export: str, envelope: Envelope, span: Span) -> Call:
        signature, payload = self.manifest.exports[export], envelope.payload
        if isinstance(payload, tuple):  # a request: the bus has lowered the arguments
            arguments = payload
        else:  # an event: one CBOR item, of the type that the handler takes
            value = codec.decode(payload, max_size=len(payload))
            arguments = signature.lower_args((value,), max_size=MAX_ARGUMENT)
        budget = Budget(self._limits)
        turn = Turn(self.name, envelope.origin, span.traceparent or envelope.traceparent, budget, span)
        return self._runner.begin(export, signature, arguments, turn, lambda: _describe(envelope, budget.deadline))

    def settle(self, envelope: Envelope, result: object) -> None:
        """The message is handled; if it was a request, this is the answer."""
        self._handled += 1
        if envelope.reply is not None:
            envelope.reply.answer(result)

    def fail(self, envelope: Envelope, error: Exception) -> None:
        """The message could not be handled."""
        self._failed += 1
        if not isinstance(error, DeskError):
            log.error("a turn of %s failed in the host", self.name, exc_info=error)
        self._bus.bury(envelope, self.name, f"failed: {error}", error)

    def abandon(self, envelope: Envelope) -> None:
        """The actor ends while it handles the message."""
        self._bus.bury(envelope, self.name, "was stopped while it handled the message")


class _Handling:
    """While a message is handled: the actor is busy. However it ends, somebody is told, and nothing but cancellation leaves."""

    __slots__ = ("_cell", "_envelope", "_span")

    def __init__(self, cell: Cell, envelope: Envelope, span: Span) -> None:
        self._cell = cell
        self._envelope = envelope
        self._span = span

    def __enter__(self) -> None:
        self._cell.busy = True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> bool:
        self._cell.busy = self._cell.unfinished is not None
        if error is None:
            return False
        if not isinstance(error, Exception):
            self._cell.abandon(self._envelope)
            return False
        self._span.fail(type(error).__name__, str(error))
        self._cell.fail(self._envelope, error)
        return True


def _is_pointless(envelope: Envelope) -> bool:
    """Whether nobody wants the answer any more: then the guest is not asked at all."""
    deadline, reply = envelope.origin.deadline, envelope.reply
    return (deadline is not None and deadline <= time.monotonic()) or (reply is not None and reply.settled)


def _describe(envelope: Envelope, deadline: float) -> bytes:
    """What `context()` tells the guest."""
    return codec.encode(
        {
            "subject": envelope.subject,
            "sender": envelope.origin.sender,
            "id": envelope.id,
            "attempt": envelope.attempt,
            "deadline_ms": max(0, int((deadline - time.monotonic()) * 1000)),
            "config": {},
        }
    )
