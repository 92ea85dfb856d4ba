"""The runner: keeps one live instance of an extension and calls its exports, under the actor's limits.

A call is: lower the arguments into the guest's payloads, drive the fiber to its end, carry what the guest asks for to its
facet meanwhile, write what it logged, and judge the outcome. What comes back is checked against the declared type.

Let it crash: after a trap, an exit or a kill the instance is gone, with all the guest's state, and the next call makes a
fresh one. An error value (`fail`) or a bad reply costs nothing.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from desk.actors.abi import Outgoing
from desk.actors.engine.engine import Engine, Program
from desk.actors.engine.instance import Instance
from desk.actors.engine.pump import drive
from desk.actors.errors import BadReply, Exited, ExtensionError, GuestFailed, Trapped
from desk.actors.guest import Guest
from desk.actors.limits import Limits
from desk.bus import codec
from desk.bus.envelope import Origin
from desk.bus.types import InvalidValue, Signature
from desk.capabilities.codes import Code
from desk.capabilities.facet import Facet, answer_error
from desk.traces import names
from desk.traces.tracing import Span, Tracing

_LEVELS = (logging.DEBUG - 5, logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)
"""The guest's log levels 0 to 4."""

_SPAN_EVENTS = 32
"""Log lines of one call that also become events of its span: more would drown the trace."""

_HOOK = Signature(())
"""The type of `_initialize` and `desk_start`."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one call runs under: who it is to others, until when (`time.monotonic()`) and by which limit, and its span."""

    origin: Origin
    deadline: float
    limit: str
    span: Span


class Runner:
    """See the module's docstring. One call at a time; the cell sees to that."""

    def __init__(
        self, name: str, program: Program, engine: Engine, limits: Limits, facet: Facet, tracing: Tracing
    ) -> None:
        self._name = name
        self._program = program
        self._engine = engine
        self._limits = limits
        self._facet = facet
        self._tracing = tracing
        self._log = logging.getLogger(f"desk.ext.{name}")
        self._instance: Instance | None = None
        self._guest = Guest(limits)
        self.instances = 0
        """How many it has made so far."""

    async def call(
        self,
        export: str,
        signature: Signature,
        parts: Sequence[int | float | bytes],
        turn: Turn,
        describe: Callable[[], bytes],
    ) -> object:
        """Call an export with lowered arguments and return its checked result. Raises `ExtensionError`.

        `describe` gives the CBOR of `context()`. Whoever is cancelled in here leaves no instance behind.
        """
        instance = await self.ready(turn.span)
        self._guest.begin(describe)
        try:
            await self._run(instance, export, signature, parts, turn)
            return self._outcome(signature, instance.result())
        except ExtensionError as error:
            error.extension, error.export = self._name, export
            raise

    async def ready(self, span: Span) -> Instance:
        """The live instance; a new one, started, if there is none or it died. Raises `ExtensionError` if it cannot start."""
        if self._instance is not None and self._instance.state == "idle":
            return self._instance
        with self._tracing.span(names.INSTANTIATE, self._name, parent=span.traceparent) as made:
            deadline = time.monotonic() + self._limits.start_ms / 1000
            turn = Turn(Origin(self._name, (self._name,), 1, made.traceparent, deadline), deadline, "start_ms", made)
            self._guest = Guest(self._limits)
            self._instance = Instance(self._engine, self._program, self._limits)
            self._instance.guest = self._guest
            self.instances += 1
            try:
                await self._start(self._instance, turn)
            except ExtensionError as error:
                self._instance.kill()
                error.extension, error.export = self._name, error.export or "start"
                raise
        return self._instance

    async def _start(self, instance: Instance, turn: Turn) -> None:
        """Instantiate and run the guest's own start-up; until `_initialize` is over, imports other than `log` say "not yet"."""
        guest = self._guest
        await drive(instance, self._serving(turn), turn.deadline, turn.limit)
        guest.memory = instance.memory()
        if instance.export("_initialize", (), None):
            await self._run(instance, "_initialize", _HOOK, (), turn)
        if instance.export("desk_start", (), None):
            guest.begin(lambda: codec.encode({}))
            await self._run(instance, "desk_start", _HOOK, (), turn)
            self._outcome(_HOOK, None)

    def close(self) -> None:
        """Free the instance, whatever it was doing."""
        if self._instance is not None:
            self._instance.kill()

    # -- one call

    async def _run(
        self, instance: Instance, export: str, signature: Signature, parts: Sequence[int | float | bytes], turn: Turn
    ) -> None:
        results = signature.wasm_results
        function = instance.export(export, signature.wasm_params, results[0] if results else None)
        assert function is not None, export  # admission has looked
        instance.start(function, self._guest.flatten(parts))
        try:
            await drive(instance, self._serving(turn), turn.deadline, turn.limit)
        except Trapped:
            if self._guest.exit_status is not None:
                raise Exited(self._guest.exit_status) from None
            raise
        finally:
            self._write_log(turn.span)

    def _serving(self, turn: Turn) -> Callable[[Outgoing], Awaitable[int]]:
        """What carries out the requests of one call; the result goes back to the guest as the host function's."""

        async def serve(outgoing: Outgoing) -> int:
            self._write_log(turn.span)
            if outgoing.kind == "publish":
                if outgoing.refused is not None:
                    return -outgoing.refused
                return await self._facet.publish(outgoing.subject, outgoing.payload, turn.origin)
            if outgoing.refused is Code.NOT_YET:
                return Code.NOT_YET
            if self._guest.full:
                return Code.OVERLOADED  # before anything is done, whose answer would be lost
            if outgoing.refused is not None:
                answer = answer_error(outgoing.refused, f"over a limit of the ABI: {outgoing.refused.name.lower()}")
            else:
                answer = await self._facet.request(outgoing.subject, outgoing.payload, turn.origin)
            return self._guest.give(answer)

        return serve

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
            return self._lift(signature, raw)
        if not guest.replies:
            raise BadReply(f"returned without calling `reply`; its result is {result}")
        if guest.reply is None:
            raise BadReply(f"its reply is larger than the limit of {self._limits.reply:,} bytes")
        return self._lift(signature, guest.reply)

    def _lift(self, signature: Signature, raw: int | float | bytes | None) -> object:
        try:
            return signature.lift_result(raw, max_size=self._limits.reply)
        except InvalidValue as error:
            raise BadReply(f"its result is not of the declared type: {error}") from error

    def _write_log(self, span: Span) -> None:
        for number, (level, line) in enumerate(self._guest.take_lines()):
            self._log.log(_LEVELS[level], "%s", _printable(line))
            if number < _SPAN_EVENTS:
                span.event("log", {"level": level, "message": line})


def _printable(line: str) -> str:
    """A guest's text without what a terminal would obey: control and bidi characters become visible escapes."""
    if line.isascii() and line.isprintable():
        return line
    return "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode() for c in line)
