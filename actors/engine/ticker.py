"""The ticker: a thread that moves the engine's epoch while guest code runs, and sleeps when none does.

Compiled guest code compares the epoch with its deadline at loop heads and function entries; each tick makes a running
guest yield, so a poll lasts at most about one tick. The ticker is lazy: `running` counts polls in progress, and after
`PARK_AFTER` ticks without any the thread waits for the next `start` (idle cost 0.03 % of a core instead of 2.3 %).

It must not outlive its engine: `stop` joins it before the engine may go, at the latest when the interpreter exits.

A forked child has no ticker thread, and none of the threads that wasmtime compiles with: there a guest would run, and a
compilation wait, for ever. `refuse_after_fork` says so instead.
"""

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable

from desk.actors.errors import EngineUnusable

TICK = 0.001
"""Seconds between epochs: the longest slice a guest gets, and the precision of a kill."""

PARK_AFTER = 20
"""Idle ticks before the thread parks: shorter would park and wake it between the calls of a busy second."""


_tickers: "weakref.WeakSet[Ticker]" = weakref.WeakSet()
_made = _forked = False


def _after_fork() -> None:
    global _forked
    _forked = _forked or _made
    for ticker in _tickers:
        ticker.parked = True  # so that the next poll asks for the thread


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def refuse_after_fork() -> None:
    """Raise `EngineUnusable` in a child that was forked from a process with an engine."""
    if _forked:
        raise EngineUnusable(
            "this process was forked from one that had an engine, whose threads it lacks: a guest could not be stopped "
            "here; start such children with `spawn` or `forkserver` (multiprocessing.set_start_method), or as programs"
        )


class Ticker:
    """Calls `increment` every `TICK` seconds while at least one poll is running."""

    def __init__(self, increment: Callable[[], None]) -> None:
        global _made
        _made = True
        _tickers.add(self)
        self._increment = increment
        self._wake = threading.Event()
        self._stopping = False
        self.parked = True
        """Whether the thread waits for `unpark`."""
        self._thread: threading.Thread | None = None
        atexit.register(self.stop)
        self.running = 0
        """Polls in progress. Whoever polls counts itself in, unparks the thread if it is parked, and counts itself out."""
        self.ticks = 0
        """Ticks so far: if it has not changed, a deadline of one tick is still ahead."""

    def stop(self) -> None:
        """End the thread, and wait for it. Idempotent."""
        atexit.unregister(self.stop)
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self.parked = True

    def unpark(self) -> None:
        """Let the thread tick again; it is started by the first who asks. Raises `EngineUnusable` in a forked child,
        and after `stop`: without a ticker nothing would stop a guest.
        """
        refuse_after_fork()
        if self._stopping:
            raise EngineUnusable("this engine is closed; nothing may run on it any more")
        self.parked = False
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="desk-ticker", daemon=True)
            self._thread.start()
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait()
            self._wake.clear()
            idle = 0
            while idle < PARK_AFTER and not self._stopping:
                time.sleep(TICK)
                self.ticks += 1
                self._increment()
                idle = 0 if self.running else idle + 1
            self.parked = True
            if self.running:  # a poll began between the last look and parking, and saw us still ticking
                self.parked = False
                self._wake.set()
