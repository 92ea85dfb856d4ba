"""Driving one fiber call to its end: poll, and between polls do what the guest waits for.

    done                        the call is over
    suspended in a request      the `Server` does it in the event loop, then the guest goes on
    its slice is over           everyone else gets a turn, then the guest its next slice
    ... again, after `PATIENCE` more        the guest goes on in a worker thread (workers.py)

In the event loop, hungry guests get one slice for each turn of the loop, in the order in which they ask (`Pace.another`): a
hundred endless loops delay the loop by one slice, not by a hundred. Requests that are answered at once need no turn of the
loop, but a guest that makes them all the time uses up its slice like any other. A call that is expected to be long has its first
slice in a worker already.
"""

import time
from typing import Any, Protocol

import anyio

from desk.actors.engine.budget import Budget
from desk.actors.engine.hostcalls import Suspension
from desk.actors.engine.instance import Instance
from desk.actors.engine.ticker import TICK
from desk.actors.engine.workers import Workers
from desk.bus.pace import Pace

PATIENCE = 1
"""Slices in the event loop after the first: most calls are over by then, and the others are worth a hop to a thread. Not 0:
if the system takes the processor away in the middle of a short call, its slice is over before it has done anything."""


class Server(Protocol):
    """Carries out what a suspending host function prepared; what it returns goes to the guest as the function's result."""

    async def serve(self, request: Any, /) -> int:
        """Do it. May be cancelled."""
        ...

    def too_late(self, request: Any, /) -> int:
        """The result if it was not done in time."""
        ...


class Pump:
    """What calls are driven with: shared by all actors of a host."""

    __slots__ = ("pace", "workers")

    def __init__(self, pace: Pace, workers: Workers) -> None:
        self.pace = pace
        self.workers = workers

    @property
    def computing(self) -> int:
        """Guests that have used up a slice and want more, wherever."""
        return self.pace.hungry + self.workers.guests

    async def drive(self, instance: Instance, server: Server, budget: Budget, share: int, began: float | None) -> None:
        """Poll until the call is over. The first poll was done by the caller, who began it at `began`, and was not the last.

        If `began` is None the call was not polled yet, and is expected to be long. `share`: see workers.py. Raises `Trapped`
        or `Killed`; then, and when cancelled, the instance is dead.
        """
        resumed = began or 0.0
        slices = PATIENCE if began is None else 0
        done, spent = False, 0.0
        try:
            while not done:
                budget.spend(spent)
                spent = 0.0
                if instance.suspension is not None:
                    slices = 0
                    await _answer(instance.suspension, server, budget)
                    if time.monotonic() - resumed <= TICK:  # it has not used up its slice yet
                        done, spent = _poll(instance)
                        continue
                elif slices >= PATIENCE and not instance.chatty:  # copying needs Python's lock: no thread would help
                    done = await self.workers.run(instance, budget, share)
                    continue
                await self.pace.another()
                slices += 1
                resumed = time.monotonic()
                done, spent = _poll(instance)
        except BaseException:
            instance.kill()
            raise


def _poll(instance: Instance) -> tuple[bool, float]:
    """Whether the call is over, and the processor time that this took, in seconds."""
    instance.refresh_deadline()  # ticks went by while it waited
    began = time.thread_time()
    done = instance.poll()
    return done, time.thread_time() - began


async def _answer(suspension: Suspension, server: Server, budget: Budget) -> None:
    result = None
    with anyio.move_on_after(max(0.0, budget.wait_until - time.monotonic())):
        result = await server.serve(suspension.request)
    suspension.resume(server.too_late(suspension.request) if result is None else result)
