"""The ticker: a thread that moves the engine's epoch while guest code runs for long, and sleeps when none does.

Compiled guest code compares the epoch with its deadline at loop heads and function entries; each tick makes a running
guest yield. A thread that wakes up takes Python's lock from the one that works, and a thousand times a second that doubles the
cost of a call of 15 µs. So the ticker only *looks* now and then, and ticks while it sees a poll that lasts:

    nobody polls                        look every `LOOK` seconds, and after `PARK_AFTER` such looks wait for `unpark`
    somebody polls                      look again after `TICK`
    the same poll, or the one after     tick, and look again after `TICK`

The first slice of an endless loop lasts `LOOK` and three ticks at most, all others a tick or two.

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
from typing import Protocol

from desk.actors.errors import EngineUnusable

TICK = 0.001
"""Seconds between epochs: the slice of a hungry guest after its first, and the precision of a kill."""

LOOK = 0.005
"""Seconds between two looks: what the first slice of a guest may take, beyond a tick or two."""

PARK_AFTER = 4
"""Looks without any poll before the thread parks: fewer would park and wake it between the calls of a busy second."""


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


class Polling(Protocol):
    """Who polls: an instance."""

    polls: int
    """How many polls it has begun so far."""


class Ticker:
    """Calls `increment` every `TICK` seconds while a poll lasts."""

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
        self.polling: set[Polling] = set()
        """Who polls now, in whatever thread: a set takes and gives up a member in one step."""
        self.ticks = 0
        """Ticks so far: if it has not changed, a deadline that was set since is still ahead."""

    def stop(self) -> None:
        """End the thread, and wait for it. Idempotent."""
        atexit.unregister(self.stop)
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self.parked = True

    def unpark(self) -> None:
        """Let the thread look again; it is started by the first who asks. Raises `EngineUnusable` in a forked child,
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

    def tick(self) -> None:
        """Move the epoch. Safe in any thread: if two count as one, it has still moved."""
        self.ticks += 1
        self._increment()

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait()
            self._wake.clear()
            self._watch()
            self.parked = True
            if self.polling:  # someone began between the last look and parking, and saw us awake
                self.parked = False
                self._wake.set()

    def _watch(self) -> None:
        """Look, and tick, until there has been nothing to see for a while."""
        seen: dict[int, int] = {}
        idle = 0
        while idle < PARK_AFTER and not self._stopping:
            time.sleep(TICK if seen or not idle else LOOK)
            now = {id(each): each.polls for each in tuple(self.polling)}
            if any(polls - seen.get(one, -2) <= 1 for one, polls in now.items()):
                self.tick()
            seen, idle = now, 0 if now else idle + 1
