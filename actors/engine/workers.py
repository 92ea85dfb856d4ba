"""Threads for guests that compute for long: the event loop is free meanwhile, and several cores compute at once.

A guest runs without Python's lock, so threads help here. A hop there and back costs about 0.1 ms, which is why only those
go that have used up some slices in the event loop, or did so in their last call. A worker runs one slice after another,
and comes back when the call is over, when the guest asks for something, and when a limit, a cancellation or its share says so.

*Shares.* If more guests want to compute than there are workers, each gets `share` slices in its turn, in the order in which
they came. A guest with twice the share of another gets twice the processor time. A call that has not had a slice yet does not
stand in that line: it gets one first, since many calls need no more.
"""

import os
import threading
import time

import anyio
import anyio.from_thread
import anyio.to_thread

from desk.actors.engine.budget import Budget
from desk.actors.engine.instance import Instance

MOST = 8
"""Workers of a host at most: more would only compete with the embedding app's own threads."""


class Workers:
    """A few threads, for one host. Use it from its event loop only."""

    def __init__(self, count: int | None = None) -> None:
        self.count = count or min(MOST, _cores())
        self._line = anyio.CapacityLimiter(self.count)
        self._newcomers = anyio.CapacityLimiter(self.count)
        self.guests = 0
        """Guests that are here, at work or waiting."""

    @property
    def crowded(self) -> bool:
        """Whether some guest waits for a worker."""
        return self.guests > self.count

    async def run(self, instance: Instance, budget: Budget, share: int) -> bool:
        """Run slices of a call in progress. True: the call is over; False: the guest asks for something, or had its share.

        Raises `Trapped` and `Killed`. When it returns, raises or is cancelled, no thread touches the instance any more.
        """
        line, slices = (self._line, share) if instance.slices else (self._newcomers, 1)
        job = _Job(self, instance, budget, slices)
        self.guests += 1
        try:
            with anyio.move_on_after(max(0.0, budget.deadline - time.monotonic())):
                return await anyio.to_thread.run_sync(job.run, limiter=line)
            budget.spend(0.0)  # its wall time ended while it waited: this raises
            return False
        finally:
            job.stop()
            self.guests -= 1


class _Job:
    __slots__ = ("_budget", "_instance", "_lock", "_slices", "_stopped", "_workers")

    def __init__(self, workers: Workers, instance: Instance, budget: Budget, slices: int) -> None:
        self._workers = workers
        self._instance = instance
        self._budget = budget
        self._slices = slices
        self._stopped = False
        self._lock = threading.Lock()

    def run(self) -> bool:
        """In a worker thread."""
        with self._lock:
            slices = 0
            if not self._stopped:  # then the instance may be gone
                self._instance.refresh_deadline()  # ticks went by while it waited for this thread
            while not self._stopped:
                began = time.thread_time()
                if self._instance.poll():
                    return True
                self._budget.spend(time.thread_time() - began)
                slices += 1
                if self._instance.suspension is not None or self._instance.chatty:
                    break
                if slices >= self._slices and self._workers.crowded:
                    break
                anyio.from_thread.check_cancelled()
        return False

    def stop(self) -> None:
        """See to it that the thread is out, and stays out.

        Usually it is: a cancelled task waits for its thread. Not so on asyncio if the task was cancelled by other means than
        anyio's; then this blocks until the slice is over.
        """
        self._stopped = True
        with self._lock:
            pass


def _cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
