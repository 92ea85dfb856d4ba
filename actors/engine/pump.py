"""Driving one fiber call to its end: poll, and between polls do what the guest waits for.

    done                      the call is over
    suspended in a request    the `Server` does it in the event loop, then the guest goes on
    its slice is over         everyone else gets a turn, then the guest its next slice

Two limits hold for all of it. The *wall* deadline is for whoever waits for the guest. What the guest itself waits for is cut
short a little before, and answered as too late: a slow peer is no reason to kill the one who asked it. The *CPU*
budget is for everyone else: processor time spent inside the guest, beyond the first slice. The ticker makes a guest that
only computes yield once a tick, so a kill is about a tick late; with many of them, one turn of all.

The *gate* gives hungry guests one slice for each turn of the event loop, in the order in which they ask: a hundred endless
loops delay the loop by one slice, not by a hundred. Requests that are answered at once need no turn of the loop, but a guest
that makes them all the time uses up its slice like any other.
"""

import time
from typing import Any, Protocol

import anyio

from desk.actors.engine.hostcalls import Suspension
from desk.actors.engine.instance import Instance
from desk.actors.engine.ticker import TICK
from desk.actors.errors import Killed
from desk.actors.limits import Limits

_LAST_WORD = (0.1, 0.05)
"""What is left of the wall time when waiting ends: this share of it, or this many seconds if that is more, but at most half."""


class Server(Protocol):
    """Carries out what a suspending host function prepared; what it returns goes to the guest as the function's result."""

    async def serve(self, request: Any, /) -> int:
        """Do it. May be cancelled."""
        ...

    def too_late(self, request: Any, /) -> int:
        """The result if it was not done in time."""
        ...


class Budget:
    """What one call may use, from now on: wall time until `deadline` (`time.monotonic()`), and processor time in the guest."""

    __slots__ = ("_limits", "_seconds", "_spent", "_wall", "deadline")

    def __init__(self, limits: Limits, *, starting: bool = False) -> None:
        self._limits = limits
        self._wall = "start_ms" if starting else "wall_ms"
        self._seconds = (limits.start_ms if starting else limits.wall_ms) / 1000
        self._spent = 0.0
        self.deadline = time.monotonic() + self._seconds

    @property
    def wait_until(self) -> float:
        """When waiting ends, so that the guest can still say something about it."""
        share, least = _LAST_WORD
        return self.deadline - min(self._seconds / 2, max(least, share * self._seconds))

    def spend(self, cpu: float) -> float:
        """Count `cpu` seconds, and return the time now. Raises `Killed` if there is nothing left."""
        now = time.monotonic()
        self._spent += cpu
        if self._wall == "wall_ms" and self._spent * 1000 > self._limits.cpu_ms:
            raise self._killed("cpu_ms", "it computed longer than one message may")
        if now > self.deadline:
            raise self._killed(self._wall, "it was still at work at the end of its wall time")
        return now

    def _killed(self, limit: str, detail: str) -> Killed:
        return Killed(limit, f"{detail} ({limit} = {getattr(self._limits, limit):,})")


async def drive(instance: Instance, server: Server, budget: Budget, gate: anyio.Lock, began: float) -> None:
    """Poll until the call is over. The first poll was done by the caller, who began it at `began`, and was not the last.

    Raises `Trapped` or `Killed`; then, and when cancelled, the instance is dead.
    """
    try:
        done, spent, resumed = False, 0.0, began
        while not done:
            now = budget.spend(spent)
            hungry = instance.suspension is None
            if instance.suspension is not None:
                await _answer(instance, instance.suspension, server, budget)
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


async def _answer(instance: Instance, suspension: Suspension, server: Server, budget: Budget) -> None:
    result = None
    with anyio.move_on_after(max(0.0, budget.wait_until - time.monotonic())):
        result = await server.serve(suspension.request)
    suspension.resume(server.too_late(suspension.request) if result is None else result)
    instance.refresh_deadline()
