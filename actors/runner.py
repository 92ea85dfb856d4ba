"""The runner: keeps one live instance of an extension and calls its exports, under the actor's limits.

A call is: lower the arguments into the guest's payloads, run the fiber to its end, carry what the guest asks for to its
facet meanwhile (`asking.py`), write what it logged, and judge the outcome. What comes back is checked against the declared type.

Most calls are over within their first slice, with what they ask for if that can be answered at once. That much, `Call.step`,
needs no event loop; what is not over then, `Call.finish` drives to its end.

Let it crash: after a trap, an exit or a kill the instance is gone, with all the guest's state, and the next call makes a
fresh one. An error value (`fail`) or a bad reply costs nothing.
"""

import time
from collections.abc import Callable, Sequence
from contextvars import copy_context

import anyio
import anyio.lowlevel

from desk.actors.asking import Asking
from desk.actors.engine.capacity import ANY, Capacity
from desk.actors.engine.engine import Engine, Program
from desk.actors.engine.instance import Instance
from desk.actors.engine.pump import Pump
from desk.actors.engine.ticker import TICK
from desk.actors.errors import Exited, ExtensionError, Killed, Trapped
from desk.actors.forecast import Forecast
from desk.actors.guest import Guest, log_rate_of
from desk.actors.limits import Limits
from desk.actors.sources import Seeded
from desk.actors.turn import Turn
from desk.actors.verdict import judge
from desk.actors.voice import Voice
from desk.bus import codec
from desk.bus.envelope import Origin
from desk.bus.types import Signature
from desk.capabilities.facet import Facet
from desk.capabilities.secrets import public
from desk.traces import names
from desk.traces.tracing import Span, Tracing

LARGE = 1 << 20
"""Bytes of a program, code and data: an instance of a larger one is made in a worker thread."""

_HOOK = Signature(())
"""The type of `_initialize` and `desk_start`."""


class Runner:
    """See the module's docstring. One call at a time; the cell sees to that."""

    def __init__(
        self,
        name: str,
        program: Program,
        engine: Engine,
        limits: Limits,
        facet: Facet,
        tracing: Tracing,
        pump: Pump,
        seed: int = 0,
        capacity: Capacity = ANY,
    ) -> None:
        """`seed` is for the clock and the randomness of the profile `deterministic`: a fresh instance begins with it again.

        `capacity` has room for its instance, or says that there is none.
        """
        self.name = name
        self.limits = limits
        self.facet = facet
        self.pump = pump
        self.instances = 0
        """How many it has made so far."""
        self.forecast = Forecast()
        self.fuel = 0
        """What all calls have used so far that came to an end, well or not; 0 where the profile does not count it."""
        self.voice = Voice(name, facet.member.config)
        """Its log."""
        self.profile = program.profile
        self.config = public(facet.member.config)
        """The settings that the guest is told with each message: those that are not secret."""
        self.at_once = not tracing.on  # a span cannot go on in another task on its own
        """Whether what can be answered at once is answered in the task that has begun the call."""
        self.context = copy_context()
        """The context variables of its own task. What is done for the guest in another sees the same."""
        self._program = program
        self._engine = engine
        self._tracing = tracing
        self._seed = seed
        self._capacity = capacity
        self._rate = log_rate_of(limits)
        self._instance: Instance | None = None
        self._guest = Guest(limits)

    @property
    def live(self) -> bool:
        """Whether there is an instance that can be called without more ado."""
        return self._instance is not None and self._instance.state == "idle"

    @property
    def begins_here(self) -> bool:
        """Whether the first slice of its next call is for the event loop."""
        return self.forecast.begins_here(self.pump)

    def begin(
        self,
        export: str,
        signature: Signature,
        arguments: Sequence[int | float | bytes],
        turn: Turn,
        describe: Callable[[], bytes],
    ) -> "Call":
        """A call of the live instance, with lowered arguments; `step` runs it. `describe` gives the CBOR of `context()`."""
        assert self._instance is not None
        self._guest.begin(describe)
        return Call(self, self._instance, self._guest, export, signature, arguments, turn)

    async def ready(self, span: Span, cause: Origin) -> None:
        """Make a new instance, and start it, if there is none or it died. Raises `ExtensionError` if it cannot start.

        `cause` is the origin of the message that needs it: what the guest does in `desk_start`, it does because of that.
        """
        if self.live:
            return
        self.facet.forget()
        with self._tracing.span(names.INSTANTIATE, self.name, parent=span.traceparent) as made:
            turn = Turn(self.name, cause, None, made.traceparent, made, self.limits, starting=True)
            self._guest = Guest(self.limits, self._rate, Seeded(self._seed) if self.profile.seeded else None)
            self._instance = Instance(self._engine, self._program, self.limits, self._capacity)
            self._instance.guest = self._guest
            self.instances += 1
            try:
                await self._start(self._instance, self._guest, turn)
            except ExtensionError as error:
                self._instance.kill()
                error.extension, error.export = self.name, error.export or "(instantiation)"
                raise

    async def _start(self, instance: Instance, guest: Guest, turn: Turn) -> None:
        """Instantiate, then run the guest's own start-up. Until `_initialize` is over, imports other than `log` say "not yet"."""
        if self._program.size > LARGE:  # copying its initial data takes longer than a slice
            while not await self.pump.workers.run(instance, turn.budget, self.limits.share):
                pass
        else:
            await self.pump.pace.breathe()
            while not instance.poll():
                await anyio.lowlevel.checkpoint()
        guest.memory = instance.memory()
        for hook in ("_initialize", "desk_start"):
            if hook == "desk_start":
                guest.begin(lambda: codec.encode({}))
            if instance.export(hook, (), None) is not None:
                call = Call(self, instance, guest, hook, _HOOK, (), turn)
                await call.run()
                call.outcome()

    def close(self) -> None:
        """Free the instance, whatever it was doing, and all that it had open."""
        if self._instance is not None:
            self._instance.kill()
        self.facet.close()


class Call:
    """One call in progress: `step` once; if it was not the end, `finish`; then ask for the `outcome`.

    Each of them raises `ExtensionError` for what the guest does. After a trap, a kill or a cancellation the instance is dead.
    """

    __slots__ = ("_asks", "_export", "_first", "_guest", "_instance", "_runner", "_signature", "_turn")

    def __init__(
        self,
        runner: Runner,
        instance: Instance,
        guest: Guest,
        export: str,
        signature: Signature,
        arguments: Sequence[int | float | bytes],
        turn: Turn,
    ) -> None:
        self._runner = runner
        self._instance = instance
        self._guest = guest
        self._export = export
        self._signature = signature
        self._turn = turn
        self._asks: Asking | None = None
        self._first: float | None = None  # seconds of the first slice, if that was in the event loop
        results = signature.wasm_results
        function = instance.export(export, signature.wasm_params, results[0] if results else None)
        assert function is not None, export  # admission has looked
        instance.start(function, guest.flatten(arguments))

    async def run(self) -> None:
        """All of it, in the actor's own task, beginning where such a call is to begin."""
        if self._runner.begins_here:
            await self._runner.pump.pace.breathe()
            self._instance.refresh_deadline()
            if self.step():
                return
        await self.finish()

    def step(self) -> bool:
        """Run the first slice here and now; True if the call is over."""
        began = time.monotonic()
        try:
            if self._instance.poll():
                return True
            if self._instance.suspension is None or not self._runner.at_once:
                return False
            return self._asking.at_once(self._instance, began + TICK)
        except Trapped as error:
            raise self._named(error) from None
        except BaseException:
            self._instance.kill()
            raise
        finally:
            self._first = time.monotonic() - began

    @property
    def _asking(self) -> Asking:
        """Made when it asks for something: most calls do not."""
        if self._asks is None:
            runner = self._runner
            self._asks = Asking(runner.facet, runner.voice, self._guest, self._turn, runner.context)
        return self._asks

    async def finish(self) -> None:
        """Run the rest, or all of it, whatever it takes within the budget."""
        turn = self._turn
        began = None if self._first is None else time.monotonic() - self._first
        try:
            await self._runner.pump.drive(self._instance, self._asking, turn.budget, turn.limits.share, began)
        except ExtensionError as error:
            raise self._named(error) from None

    def outcome(self) -> object:
        """The checked result of a call that is over."""
        if self._guest.has_lines:
            self._runner.voice.write(self._guest, self._turn)
        if self._guest.failure is not None:
            code, message = self._guest.failure
            self._guest.failure = code, self._runner.voice.redact(message)
        try:
            result = judge(self._guest, self._signature, self._instance.result())
        except ExtensionError as error:
            raise self._named(error) from error.__cause__
        self._over()
        return result

    def _named(self, error: ExtensionError) -> ExtensionError:
        """The error with the names of extension and export; a trap after `proc_exit` is an exit, one without fuel a kill."""
        self._runner.voice.write(self._guest, self._turn)
        self._over()
        if isinstance(error, Trapped) and self._guest.exit_status is not None:
            error = Exited(self._guest.exit_status)
        elif isinstance(error, Trapped) and error.code == "out_of_fuel":
            error = Killed("fuel", f"it used more fuel than one message may (fuel = {self._runner.limits.fuel:,})")
        error.extension, error.export = self._runner.name, self._export
        return error

    def _over(self) -> None:
        """What is to be learnt from it for the next call."""
        if not self._runner.live:
            self._runner.facet.forget()
        if not self._turn.starting:  # how it starts says nothing of what it does then
            self._runner.forecast.learn(self._instance.slices, self._first)
        self._runner.fuel += self._instance.fuel
