"""Driving one fiber call to its end: poll, and between polls do what the guest waits for.

    done                      the call is over
    suspended in a request    `serve` does it in the event loop, then the guest goes on
    its slice is over         everyone else gets a turn, then the guest its next slice

Two limits hold for all of it. The *wall* deadline is for whoever waits: it also cuts short what `serve` waits for. The *CPU*
budget is for everyone else: processor time spent inside the guest, beyond the first slice. The ticker makes a guest that
only computes yield once a tick, so a kill is about a tick late; with many of them, one turn of all.

The *gate* gives hungry guests one slice for each turn of the event loop, in the order in which they ask: a hundred endless
loops delay the loop by one slice, not by a hundred. Requests that are answered at once need no turn of the loop, but a guest
that makes them all the time uses up its slice like any other.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from desk.actors.engine.hostcalls import Suspension
from desk.actors.engine.instance import Instance
from desk.actors.engine.ticker import TICK
from desk.actors.errors import Killed

Serve = Callable[[Any], Awaitable[int]]
"""Carries out what a suspending host function prepared, and returns its result."""


class Budget:
    """What one call may use: wall time until `deadline` (on `time.monotonic()`'s clock), and `cpu` seconds inside the guest."""

    __slots__ = ("cpu", "deadline", "wall_limit")

    def __init__(self, deadline: float, cpu: float, wall_limit: str = "wall_ms") -> None:
        self.deadline = deadline
        self.cpu = cpu
        self.wall_limit = wall_limit

    def spend(self, cpu: float) -> float:
        """Count `cpu` seconds, and return the time now. Raises `Killed` if there is nothing left."""
        now = time.monotonic()
        self.cpu -= cpu
        if self.cpu < 0:
            raise Killed("cpu_ms", "it computed longer than one message may")
        if now > self.deadline:
            raise Killed(self.wall_limit, "it was still at work at the end of its wall time")
        return now


async def drive(instance: Instance, serve: Serve, budget: Budget, gate: anyio.Lock, began: float) -> None:
    """Poll until the call is over. The first poll was done by the caller, who began it at `began`, and was not the last.

    Raises `Trapped` or `Killed`; then, and when cancelled, the instance is dead.
    """
    try:
        done, spent, resumed = False, 0.0, began
        while not done:
            now = budget.spend(spent)
            hungry = instance.suspension is None
            if instance.suspension is not None:
                await _answer(instance, instance.suspension, serve, budget)
                now = time.monotonic()
            if hungry or now - resumed > TICK:
                async with gate:
                    resumed = time.monotonic()
                    done, spent = _poll(instance)
            else:
                done, spent = _poll(instance)
    except BaseException:
        instance.kill()
        raise


def _poll(instance: Instance) -> tuple[bool, float]:
    """Whether the call is over, and the processor time that this took, in seconds."""
    began = time.thread_time()
    done = instance.poll()
    return done, time.thread_time() - began


async def _answer(instance: Instance, suspension: Suspension, serve: Serve, budget: Budget) -> None:
    with anyio.move_on_after(max(0.0, budget.deadline - time.monotonic())) as scope:
        suspension.resume(await serve(suspension.request))
    if scope.cancelled_caught:
        where = suspension.function.name
        raise Killed(budget.wall_limit, f"it was still waiting in `{where}` at the end of its wall time")
    instance.refresh_deadline()
