"""Threads for what may take long: a few for all guests, so that a disk that does not answer keeps these and no others."""

from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

from desk.capabilities.at_once import apart

MOST = 8
"""Threads at one time."""

_T = TypeVar("_T")
_limiter: RunVar[anyio.CapacityLimiter] = RunVar("desk_provider_threads")


async def in_thread(work: Callable[[], _T]) -> _T:
    """Call `work` in a thread and return its result. A cancelled caller waits for its end: nobody else may close what it uses."""
    await apart()
    try:
        limiter = _limiter.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(MOST)
        _limiter.set(limiter)
    return await anyio.to_thread.run_sync(work, limiter=limiter)
