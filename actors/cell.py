"""The cell: the runtime's side of one actor. It takes messages from the mailbox, one at a time, and has the guest handle them.

A turn is: take an envelope; open its `process` span; let the runner call the export; settle the reply. A request is
always answered, with the checked result or with a typed error. An event that could not be handled goes to the dead
letters. What nobody waits for any more is not begun.
"""

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass

import anyio

from desk.actors.engine.pump import Budget
from desk.actors.limits import Limits
from desk.actors.manifest import Manifest
from desk.actors.runner import Runner, Turn
from desk.bus import codec
from desk.bus.bus import Bus, Service, Subscription
from desk.bus.envelope import Envelope, Origin
from desk.bus.errors import DeskError, Unavailable
from desk.bus.mailbox import Mailbox
from desk.bus.subjects import Pattern
from desk.traces import names
from desk.traces.tracing import Span, Tracing

log = logging.getLogger("desk.actors")


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
        await self._runner.ready(span)
        for export, signature in self.manifest.exports.items():
            self._services.append(self._bus.serve(f"ext.{self.name}.{export}", signature, self._mailbox))
        for pattern in subscribes:
            self._subscriptions.append(self._bus.subscribe(pattern, mailbox=self._mailbox))

    async def run(self) -> None:
        """Take turns until stopped; then the instance is gone, and what was left in the mailbox is told or buried."""
        try:
            while True:
                await self._turn(await self._mailbox.take())
        except Unavailable:
            return  # the mailbox is closed, and empty
        finally:
            self.stop()
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

    # -- one message

    async def _turn(self, envelope: Envelope) -> None:
        """Handle one message. Raises nothing but cancellation: a message must never end its actor."""
        if _is_pointless(envelope):
            self._bus.bury(envelope, self.name, "took the message when nobody waited any more")
            return
        with self._tracing.span(names.PROCESS, envelope.subject, parent=envelope.traceparent) as span:
            span.set(names.EXTENSION, self.name)
            span.set(names.MESSAGE_ID, str(envelope.id))
            try:
                await self._handle(envelope, span)
                self._handled += 1
            except Exception as error:
                self._failed += 1
                span.fail(type(error).__name__, str(error))
                if not isinstance(error, DeskError):
                    log.exception("a turn of %s failed in the host", self.name)
                self._bus.bury(envelope, self.name, f"failed: {error}", error)
            except BaseException:
                self._bus.bury(envelope, self.name, "was stopped while it handled the message")
                raise

    async def _handle(self, envelope: Envelope, span: Span) -> None:
        payload = envelope.payload
        if envelope.reply is not None:
            assert isinstance(payload, tuple)  # a request: the bus has lowered the arguments
            envelope.reply.answer(await self._call(envelope.subject.rpartition(".")[2], payload, envelope, span))
            return
        assert isinstance(payload, bytes)  # an event: one CBOR item
        value = codec.decode(payload, max_size=len(payload))
        for pattern, export in self._handlers:
            if pattern.matches(envelope.subject):
                arguments = self.manifest.exports[export].lower_args((value,))
                await self._call(export, arguments, envelope, span)

    async def _call(
        self, export: str, arguments: tuple[int | float | bytes, ...], envelope: Envelope, span: Span
    ) -> object:
        span.set(names.EXPORT, export)
        caused_by = envelope.origin
        deadline = time.monotonic() + self._limits.wall_ms / 1000
        origin = Origin(
            sender=self.name,
            chain=(*caused_by.chain, self.name),
            hops=caused_by.hops + 1,
            traceparent=span.traceparent or envelope.traceparent,
            deadline=deadline if caused_by.deadline is None else min(deadline, caused_by.deadline),
        )
        await self._runner.ready(span)
        call = self._runner.begin(
            export,
            self.manifest.exports[export],
            arguments,
            Turn(origin, Budget(deadline, self._limits.cpu_ms / 1000), span),
            lambda: _describe(envelope, deadline),
        )
        if not call.step():
            await call.finish()
        return call.outcome()


def _is_pointless(envelope: Envelope) -> bool:
    """Whether nobody wants the answer any more: then the guest is not asked at all."""
    return envelope.origin.remaining() == 0.0 or (envelope.reply is not None and envelope.reply.settled)


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
