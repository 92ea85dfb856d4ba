"""Driving one fiber call to its end: poll, and between polls do what the guest waits for.

    done                      the call is over
    suspended in a request    `serve` does it in the event loop, then the guest goes on
    its slice is over         everyone else gets a turn, then the guest its next slice

The wall deadline holds for all of it. It cuts short what `serve` waits for, and kills a guest that only computes: the ticker
makes it yield at least once a tick, so a kill is at most about a tick late. However this ends, no future is left behind.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel

from desk.actors.engine.hostcalls import Suspension
from desk.actors.engine.instance import Instance
from desk.actors.errors import Killed

Serve = Callable[[Any], Awaitable[int]]
"""Carries out what a suspending host function prepared, and returns its result."""


async def drive(instance: Instance, serve: Serve, deadline: float, limit: str) -> None:
    """Poll `instance` until its call is over. `deadline` is on `time.monotonic()`'s clock; `limit` names it in `Killed`.

    Raises `Trapped` or `Killed`; then, and when cancelled, the instance is dead.
    """
    try:
        while not instance.poll():
            if instance.suspension is not None:
                await _answer(instance, instance.suspension, serve, deadline, limit)
            elif time.monotonic() > deadline:
                raise Killed(limit, "it computed past its wall time")
            else:
                await anyio.lowlevel.checkpoint()
    except BaseException:
        instance.kill()
        raise


async def _answer(instance: Instance, suspension: Suspension, serve: Serve, deadline: float, limit: str) -> None:
    with anyio.move_on_after(max(0.0, deadline - time.monotonic())) as scope:
        suspension.resume(await serve(suspension.request))
    if scope.cancelled_caught:
        raise Killed(limit, f"it was still waiting in `{suspension.function.name}` at the end of its wall time")
    instance.refresh_deadline()
