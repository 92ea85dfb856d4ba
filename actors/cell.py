"""The cell: the runtime's side of one actor. It takes messages from the mailbox, one at a time, and has the guest handle them.

A turn is: take an envelope; open its `process` span; make sure there is a live instance; run the export on a fiber under the
actor's limits, carrying what the guest asks for to its facet; settle the reply. A request is always answered, with the
checked result or with a typed error. An event that could not be handled goes to the dead letters.

Let it crash: after a trap, an exit or a kill the instance is gone, with all the guest's state, and the next message
starts a fresh one. An error value (`fail`) or a bad reply costs nothing.
"""

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import anyio

from desk.actors.abi import Outgoing
from desk.actors.engine.engine import Engine, Program
from desk.actors.engine.instance import Instance
from desk.actors.engine.pump import drive
from desk.actors.errors import BadReply, Exited, ExtensionError, GuestFailed, Trapped
from desk.actors.guest import Guest
from desk.actors.limits import Limits
from desk.actors.manifest import Manifest
from desk.bus import codec
from desk.bus.bus import Bus, Service, Subscription
from desk.bus.envelope import Envelope, Origin
from desk.bus.errors import DeskError, Unavailable
from desk.bus.mailbox import Mailbox
from desk.bus.subjects import Pattern
from desk.bus.types import InvalidValue, Signature
from desk.capabilities.codes import Code
from desk.capabilities.facet import Facet, answer_error
from desk.traces import names
from desk.traces.tracing import Span, Tracing

log = logging.getLogger("desk.actors")

_LEVELS = (logging.DEBUG - 5, logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)
"""The guest's log levels 0 to 4."""

_SPAN_EVENTS = 32
"""Log lines of one turn that also become events of its span: more would drown the trace."""


@dataclass(frozen=True, slots=True)
class CellStatistics:
    """A snapshot. `handled` counts turns that ended well, `failed` those that did not; `instances` those made so far."""

    handled: int
    failed: int
    instances: int
    queued: int


class Cell:
    """See the module's docstring. `start` once, then run `run` as a task; `stop` from anywhere ends it."""

    def __init__(
        self,
        manifest: Manifest,
        program: Program,
        engine: Engine,
        limits: Limits,
        facet: Facet,
        bus: Bus,
        tracing: Tracing,
    ) -> None:
        self.manifest = manifest
        self.name = manifest.name
        self.limits = limits
        self.facet = facet
        self._program = program
        self._engine = engine
        self._bus = bus
        self._tracing = tracing
        self._log = logging.getLogger(f"desk.ext.{self.name}")
        self._mailbox = Mailbox(self.name, limits.mailbox)
        self._services: list[Service] = []
        self._subscriptions: list[Subscription] = []
        self._handlers = tuple((Pattern(pattern), export) for pattern, export in manifest.subscribes.items())
        self._instance: Instance | None = None
        self._guest = Guest(limits)
        self._handled = self._failed = self._instances = 0
        self.stopped = anyio.Event()

    def __repr__(self) -> str:
        """Like `<Cell echo: 41 handled, 0 failed, 1 instances, 0 queued>`."""
        s = self.statistics()
        return f"<Cell {self.name}: {s.handled} handled, {s.failed} failed, {s.instances} instances, {s.queued} queued>"

    def statistics(self) -> CellStatistics:
        """What it has done so far."""
        return CellStatistics(self._handled, self._failed, self._instances, self._mailbox.statistics().queued)

    # -- life

    async def start(self, span: Span, subscribes: Iterable[str]) -> None:
        """Make the first instance, then be reachable, and listen to those patterns of the manifest that are granted.

        Raises `ExtensionError` if the guest fails to start, and is not reachable then.
        """
        await self._ready(span)
        prefix = f"ext.{self.name}."
        for export, signature in self.manifest.exports.items():
            self._services.append(self._bus.serve(prefix + export, signature, self._mailbox))
        for pattern in subscribes:
            self._subscriptions.append(self._bus.subscribe(pattern, mailbox=self._mailbox))

    async def run(self) -> None:
        """Take turns until stopped; then the instance is gone, and what was left in the mailbox is told or buried."""
        try:
            while True:
                try:
                    envelope = await self._mailbox.take()
                except Unavailable:
                    return
                await self._turn(envelope)
        finally:
            self.stop()
            if self._instance is not None:
                self._instance.kill()
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
        if self._is_pointless(envelope):
            return
        with self._tracing.span(names.PROCESS, envelope.subject, parent=envelope.traceparent) as span:
            span.set(names.EXTENSION, self.name)
            span.set(names.MESSAGE_ID, str(envelope.id))
            try:
                if envelope.reply is not None:
                    envelope.reply.answer(await self._answer(envelope, span))
                else:
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

    def _is_pointless(self, envelope: Envelope) -> bool:
        """Whether nobody wants the answer any more: then the guest is not asked at all."""
        remaining = envelope.origin.remaining()
        abandoned = envelope.reply is not None and envelope.reply.settled
        if abandoned or remaining == 0.0:
            self._bus.bury(envelope, self.name, "took the message after its deadline")
            return True
        return False

    async def _answer(self, envelope: Envelope, span: Span) -> object:
        assert type(envelope.payload) is tuple  # the bus lowered the arguments
        export = envelope.subject.rpartition(".")[2]
        return await self._call(export, envelope.payload, envelope, span)

    async def _handle(self, envelope: Envelope, span: Span) -> None:
        assert type(envelope.payload) is bytes  # an event is one CBOR item
        value = codec.decode(envelope.payload, max_size=len(envelope.payload))
        for pattern, export in self._handlers:
            if pattern.matches(envelope.subject):
                parts = self.manifest.exports[export].lower_args((value,))
                await self._call(export, parts, envelope, span)

    # -- one call of the guest

    async def _call(self, export: str, parts: Sequence[int | float | bytes], envelope: Envelope, span: Span) -> object:
        span.set(names.EXPORT, export)
        deadline = time.monotonic() + self.limits.wall_ms / 1000
        instance = await self._ready(span)
        origin = Origin(
            sender=self.name,
            chain=(*envelope.origin.chain, self.name),
            hops=envelope.origin.hops + 1,
            traceparent=span.traceparent or envelope.traceparent,
            deadline=deadline if envelope.origin.deadline is None else min(deadline, envelope.origin.deadline),
        )
        self._guest.begin(lambda: _describe(envelope, deadline))
        signature = self.manifest.exports[export]
        try:
            await self._run(
                instance, export, signature.wasm_params, signature.wasm_results, parts, origin, deadline, span
            )
            return self._outcome(signature, instance.result())
        except ExtensionError as error:
            error.extension, error.export = self.name, export
            raise

    async def _run(
        self,
        instance: Instance,
        export: str,
        params: Sequence[str],
        results: Sequence[str],
        parts: Sequence[int | float | bytes],
        origin: Origin,
        deadline: float,
        span: Span,
    ) -> None:
        function = instance.export(export, params, results[0] if results else None)
        assert function is not None, export  # admission has looked
        instance.start(function, self._guest.flatten(parts))

        async def serve(outgoing: Outgoing) -> int:
            self._write_log(span)
            return await self._serve(outgoing, origin)

        try:
            await drive(instance, serve, deadline, "wall_ms")
        except Trapped:
            if self._guest.exit_status is not None:
                raise Exited(self._guest.exit_status) from None
            raise
        finally:
            self._write_log(span)

    async def _serve(self, outgoing: Outgoing, origin: Origin) -> int:
        """Carry out what the guest waits for; the result goes back as the host function's."""
        guest = self._guest
        if outgoing.kind == "publish":
            if outgoing.refused is not None:
                return -outgoing.refused
            return await self.facet.publish(outgoing.subject, outgoing.payload, origin)
        if outgoing.refused is Code.NOT_YET:
            return Code.NOT_YET
        if outgoing.refused is not None:
            return guest.give(answer_error(outgoing.refused, f"see the limits: {outgoing.refused.name.lower()}"))
        return guest.give(await self.facet.request(outgoing.subject, outgoing.payload, origin))

    def _outcome(self, signature: Signature, raw: int | float | None) -> object:
        """The checked result of the call that has just returned."""
        guest = self._guest
        if guest.replies > 1:
            raise BadReply(f"answered {guest.replies} times; `reply` or `fail` is called once")
        if guest.failure is not None:
            raise GuestFailed(*guest.failure)
        result = signature.result
        if result is None or result.flat is not None:
            if guest.replies:
                raise BadReply(f"called `reply`, but its result ({result or 'none'}) is not given that way")
            return None if result is None or raw is None else self._lift(signature, raw)
        if not guest.replies:
            raise BadReply(f"returned without calling `reply`; its result is {result}")
        if guest.reply is None:
            raise BadReply(f"its reply is larger than the limit of {self.limits.reply:,} bytes")
        return self._lift(signature, guest.reply)

    def _lift(self, signature: Signature, raw: int | float | bytes) -> object:
        try:
            return signature.lift_result(raw, max_size=self.limits.reply)
        except InvalidValue as error:
            raise BadReply(f"its result is not of the declared type: {error}") from error

    def _write_log(self, span: Span) -> None:
        for number, (level, line) in enumerate(self._guest.take_lines()):
            self._log.log(_LEVELS[level], "%s", _printable(line))
            if number < _SPAN_EVENTS:
                span.event("log", {"level": level, "message": line})

    # -- instances

    async def _ready(self, span: Span) -> Instance:
        """The live instance; a new one, started, if there is none or it died."""
        if self._instance is not None and self._instance.state == "idle":
            return self._instance
        deadline = time.monotonic() + self.limits.start_ms / 1000
        with self._tracing.span(names.INSTANTIATE, self.name, parent=span.traceparent) as made:
            guest = self._guest = Guest(self.limits)
            instance = Instance(self._engine, self._program, self.limits)
            instance.guest = guest
            self._instance = instance
            self._instances += 1
            nobody = Origin(self.name, (self.name,), 1, made.traceparent, deadline)
            try:
                await drive(instance, self._not_yet, deadline, "start_ms")
                guest.memory = instance.memory()
                await self._hook(instance, "_initialize", nobody, deadline, made)
                guest.begin(lambda: codec.encode({}))
                await self._hook(instance, "desk_start", nobody, deadline, made)
            except ExtensionError as error:
                error.extension, error.export = self.name, error.export or "start"
                raise
        return instance

    async def _hook(self, instance: Instance, name: str, origin: Origin, deadline: float, span: Span) -> None:
        if instance.export(name, (), None) is not None:
            await self._run(instance, name, (), (), (), origin, deadline, span)

    async def _not_yet(self, request: Any) -> int:
        del request
        return Code.NOT_YET


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


def _printable(line: str) -> str:
    """A guest's text without what a terminal would obey: control and bidi characters become visible escapes."""
    if line.isascii() and line.isprintable():
        return line
    return "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode() for c in line)
