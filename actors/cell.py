"""The cell: the runtime's side of one actor. It takes messages from the mailbox, one at a time, and has the guest handle them.

A turn is: take an envelope; open its `process` span; let the runner call the export; settle the reply. A request is
always answered, with the checked result or with a typed error. An event that could not be handled goes to the dead
letters. What nobody waits for any more is not begun.

There are two ways into a turn, and they differ only in the task that takes its first slice:

    run            the actor's own task takes the oldest message from the mailbox, and the next, without a task switch
                   between short turns, until a slice of the event loop is over (`Pace`)
    _take_at_once  the actor is idle and the mailbox empty: the sender's task has the message handled here and now; what
                   is not over within its first slice goes on in `run`
"""

import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import anyio

from desk.actors.cell_statistics import CellStatistics
from desk.actors.limits import Limits
from desk.actors.manifest import Manifest
from desk.actors.membership import Membership
from desk.actors.runner import Call, Runner
from desk.actors.turn import Turn
from desk.bus import codec
from desk.bus.bus import Bus
from desk.bus.dead_letters import Cause
from desk.bus.envelope import APP, Envelope
from desk.bus.errors import DeadlineExceeded, DeskError, Unavailable
from desk.bus.mailbox import Mailbox
from desk.bus.responder import MAX_ARGUMENT
from desk.bus.ron.text import printable
from desk.traces import names
from desk.traces.log_rate import LogRate
from desk.traces.tracing import Span, Tracing

log = logging.getLogger("desk.actors")

_NO_SPAN = Span()
_LOST = (0.1, 5)
"""Lines in the log about events that failed, a second and at once. Nobody waits for those; all of them are dead letters."""

_SHOWN = 500  # characters of an error, in which a guest may have had a say
_STOPPED = "was stopped while it handled the message"


class Cell:
    """See the module's docstring. `start` once, then run `run` as a task; `stop` from anywhere ends it."""

    def __init__(self, manifest: Manifest, runner: Runner, limits: Limits, bus: Bus, tracing: Tracing) -> None:
        self.manifest = manifest
        self.name = manifest.name
        self.stopped = anyio.Event()
        """Set when the actor is gone."""
        self.tracing = tracing
        self.current: _Handling | None = None
        """The turn in progress, on this actor's task or on a sender's."""
        self._runner = runner
        self._limits = limits
        self._bus = bus
        self._mailbox = Mailbox(self.name, limits.mailbox, limits.mailbox_bytes)
        self.membership = Membership(manifest, bus, self._mailbox)
        """What it is on the bus; to be changed until it is `stopping`."""
        self.subjects = self.membership.subjects
        """Where requests to each of its exports go."""
        self._lost = LogRate(*_LOST)
        self._unfinished: Call | None = None
        """The call of `current` if it was begun on a sender's task, and `run` is to go on with it."""
        self.stopping = anyio.Event()
        """Set when it takes no more messages."""
        self._handled = self._failed = self._dropped = 0

    def __repr__(self) -> str:
        """Like `<Cell echo: 41 handled, 0 failed, 1 instances, 0 queued>`."""
        s = self.statistics()
        return f"<Cell {self.name}: {s.handled} handled, {s.failed} failed, {s.instances} instances, {s.queued} queued>"

    def statistics(self) -> CellStatistics:
        """What it has done so far."""
        box, busy = self._mailbox.statistics(), int(self.current is not None)
        done = self._handled, self._failed, self._dropped + box.displaced
        return CellStatistics(box.accepted, *done, box.queued, busy, self._runner.instances, self._runner.fuel)

    # -- life

    async def start(self, span: Span, subscribes: Sequence[str], publishes: Sequence[str]) -> tuple[str, ...]:
        """Make the first instance, then be reachable, and listen; the patterns and subjects are those that are granted.

        Raises `ExtensionError` if the guest fails to start, `ConflictingTypes` if another extension says otherwise what the
        events are that it publishes or listens to; it is not reachable then. Returns what it should be told.
        """
        notices = await self.membership.declare(subscribes, publishes)
        await self._runner.ready(span, APP)
        self.membership.join(subscribes)
        self._mailbox.on_idle = self._take_at_once
        return notices

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
            if self.current is not None:
                self.current.abandon()
                self._unfinished = None
            self._runner.close()
            self.stopped.set()

    def stop(self) -> None:
        """Take no more messages. The turn in progress goes on, within its limits. Idempotent."""
        if self.stopping.is_set():  # another may have its name by now, and have declared something under it
            return
        self.stopping.set()
        self.membership.leave()
        for envelope in self._mailbox.close():
            self.drop(envelope, "was stopped before it took the message", Cause.STOPPED)

    # -- one message, on the actor's own task

    async def _turn(self, envelope: Envelope) -> None:
        """Handle one message. Raises nothing but cancellation: a message must never end its actor."""
        if envelope.unwanted():
            late = DeadlineExceeded(f"no answer from {envelope.subject} in time: other messages came first")
            self.drop(envelope, "took the message when nobody waited any more", Cause.LATE, late)
            return
        exports = self.membership.exports_for(envelope)
        if not exports:
            self.drop(envelope, "lost the right to listen before it took the message", Cause.STOPPED)
            return
        with _Handling(self, envelope) as turn:
            result: object = None
            for export in exports:
                await self._runner.ready(turn.span, envelope.origin)
                call = self._begin(export, envelope, turn.span)
                await call.run()
                result = call.outcome()
            self._settle(envelope, result)

    # -- one message, on the sender's task

    def _take_at_once(self, envelope: Envelope) -> bool:
        """Take the turn here and now, if the actor is idle; what is not over within its first slice goes on in `run`.

        Order, one message at a time, limits, spans and outcome are those of `_turn`. Not without a live instance: making
        one takes more than a slice.
        """
        runner = self._runner
        if self.current is not None or not runner.live or not runner.begins_here:
            return False
        exports = self.membership.exports_for(envelope)
        if len(exports) != 1:
            return False
        with _Handling(self, envelope) as turn:
            call = self._begin(exports[0], envelope, turn.span)
            if call.step():
                self._settle(envelope, call.outcome())
            else:
                turn.defer()
                self._unfinished = call
                self._mailbox.wake()
        return True

    async def _go_on(self) -> None:
        """Finish what `_take_at_once` has begun."""
        call, turn = self._unfinished, self.current
        self._unfinished = None
        assert call is not None
        assert turn is not None
        with turn:
            await call.finish()
            self._settle(turn.envelope, call.outcome())

    # -- what both ways share

    def _begin(self, export: str, envelope: Envelope, span: Span) -> Call:
        if self.tracing.on:
            span.set(names.EXPORT, export)
        signature, payload = self.manifest.exports[export], envelope.payload
        if isinstance(payload, tuple):  # a request: the bus has lowered the arguments
            arguments = payload
        else:  # an event: one CBOR item, of the type that the handler takes
            value = codec.decode(payload, max_size=len(payload))
            arguments = signature.lower_args((value,), max_size=MAX_ARGUMENT)
        traceparent = span.traceparent or envelope.traceparent
        seeded = self._runner.profile.seeded
        as_self = export in self.manifest.as_self
        turn = Turn(
            self.name, envelope.origin, envelope.deadline, traceparent, span, self._limits, seeded, False, as_self
        )
        return self._runner.begin(
            export, signature, arguments, turn, lambda: turn.describe(envelope, self._runner.config)
        )

    # -- how a message ends

    def _settle(self, envelope: Envelope, result: object) -> None:
        """It is handled; if it was a request, this is the answer."""
        self._handled += 1
        if envelope.reply is not None:
            envelope.reply.answer(result)

    def fail(self, envelope: Envelope, error: Exception) -> None:
        """It could not be handled."""
        self._failed += 1
        if not isinstance(error, DeskError):
            log.error("a turn of %s failed in the host", self.name, exc_info=error)
        elif envelope.reply is None and self._lost.take():
            log.warning("an event %s failed in %s: %s", envelope.subject, self.name, printable(str(error)[:_SHOWN]))
        self._bus.bury(envelope, self.name, f"failed: {error}", error)

    def drop(self, envelope: Envelope, reason: str, cause: Cause, error: DeskError | None = None) -> None:
        """It is not handled, or not to the end. If somebody still waits, it is told the error, or else `Unavailable`."""
        self._dropped += 1
        self._bus.bury(envelope, self.name, reason, error, cause)


class _Handling:
    """One message while it is handled, from `with` to its end, or to the end of a second `with` if the first was `defer`red.

    The actor is busy meanwhile. However it ends, somebody is told, and nothing but cancellation leaves.
    """

    __slots__ = ("_cell", "_deferred", "envelope", "span")

    def __init__(self, cell: Cell, envelope: Envelope) -> None:
        self._cell = cell
        self._deferred = False
        self.envelope = envelope
        self.span = _NO_SPAN

    def __enter__(self) -> Self:
        cell, envelope = self._cell, self.envelope
        if self._deferred:
            self._deferred = False
            self.span.attach()
            return self
        cell.current = self
        if cell.tracing.on:
            self.span = cell.tracing.span(names.PROCESS, envelope.subject, parent=envelope.traceparent)
            self.span.__enter__()
            self.span.set(names.EXTENSION, cell.name)
            self.span.set(names.MESSAGE_ID, str(envelope.id))
        return self

    def defer(self) -> None:
        """Let it be finished by another task, which enters it again."""
        self._deferred = True

    def abandon(self) -> None:
        """The actor ends before it was entered again."""
        with self:
            self._cell.drop(self.envelope, _STOPPED, Cause.STOPPED)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> bool:
        cell, envelope = self._cell, self.envelope
        if self._deferred:
            self.span.detach()
            return False
        cell.current = None
        if isinstance(error, Exception):
            self.span.fail(type(error).__name__, str(error))
            cell.fail(envelope, error)
            kind = error = tb = None
        elif error is not None:
            cell.drop(envelope, _STOPPED, Cause.STOPPED)
        self.span.__exit__(kind, error, tb)
        return kind is None
