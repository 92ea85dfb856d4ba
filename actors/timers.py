"""The timers of one actor: the exports that its manifest has called every so often.

    timers = Timers(manifest, partial(Ticks, clock), partial(host.call, name, deadline=None), bury)
    tasks.start_soon(timers.run)                            # until it is cancelled

Each timer is a task that calls the export and waits for the end of the call, so that no two ticks of one timer are handled
at once, and none piles up in the mailbox: what comes due meanwhile is part of the next tick, as its `missed`. That needs a
call that ends only when the guest does; the actor's own limits see to it that it will.

A tick that fails is reported, and the timer goes on: its next tick may find a fresh instance.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import anyio

from desk.actors.manifest import Manifest
from desk.actors.manifest_handlers import tick_argument
from desk.bus.errors import DeskError
from desk.bus.ron.text import printable
from desk.bus.timers import Tick
from desk.traces.log_rate import LogRate

log = logging.getLogger("desk.actors")

_LINES_A_SECOND, _LINES_AT_ONCE = 0.1, 5
_SHOWN = 500  # characters of an error, in which a guest may have had a say


@dataclass(frozen=True, slots=True)
class TimerStatistics:
    """A snapshot of what came due so far, of all timers of an actor: each tick is in one of these, or is being handled."""

    handled: int
    failed: int
    """Those that were reported."""
    missed: int
    """Those for which there was no time, and that the next tick stood for."""


class Timers:
    """See the module's docstring."""

    def __init__(
        self,
        manifest: Manifest,
        every: Callable[[float], AsyncIterator[Tick]],
        call: Callable[..., Awaitable[object]],
        failed: Callable[[str, Tick, Exception], None],
    ) -> None:
        """`every` makes a timer from seconds; `call(export, *arguments)` has the guest called, and raises if that fails.

        `failed` is told which tick of which export failed, and why. So is the log, but not of every one of a flood.
        """
        self._manifest = manifest
        self._every = every
        self._call = call
        self._tell = failed
        self._lines = LogRate(_LINES_A_SECOND, _LINES_AT_ONCE)
        self._handled = self._failed = self._missed = 0

    def __repr__(self) -> str:
        """Like `<Timers of clock: 2, 17 ticks handled, 0 failed, 3 missed>`."""
        counts = f"{self._handled} ticks handled, {self._failed} failed, {self._missed} missed"
        return f"<Timers of {self._manifest.name}: {len(self._manifest.timers)}, {counts}>"

    def statistics(self) -> TimerStatistics:
        """What came due so far."""
        return TimerStatistics(self._handled, self._failed, self._missed)

    async def run(self) -> None:
        """Call the exports when their time comes, from now on and until cancelled. Returns at once if there is no timer."""
        async with anyio.create_task_group() as tasks:
            for export, seconds in self._manifest.timers.items():
                name = f"timer {self._manifest.name}.{export}"
                tasks.start_soon(self._run, export, self._every(seconds), name=name)  # its first interval begins here

    async def _run(self, export: str, ticks: AsyncIterator[Tick]) -> None:
        takes_it = bool(self._manifest.exports[export].params)
        async for tick in ticks:
            self._missed += tick.missed
            try:
                await self._call(export, *((tick_argument(tick.number, tick.missed),) if takes_it else ()))
                self._handled += 1
            except Exception as error:  # also a mistake of the host's own: it must not end other timers
                self._failed += 1
                self._tell(export, tick, error)
                self._log(export, tick, error)

    def _log(self, export: str, tick: Tick, error: Exception) -> None:
        if not self._lines.take():
            self._lines.dropped += 1
            return
        where, trace = f"{self._manifest.name}.{export}", None if isinstance(error, DeskError) else error
        log.warning("tick %d of %s failed: %s", tick.number, where, printable(str(error)[:_SHOWN]), exc_info=trace)
        if dropped := self._lines.take_note():
            log.warning("%d ticks of %s failed that the log was not told of", dropped, self._manifest.name)
