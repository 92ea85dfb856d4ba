"""Ctrl-C must not be raised while a guest runs: in a callback it would be lost, or abort the process.

Python raises a signal handler's exception at the next bytecode. While a fiber runs, that is the first one of a callback,
before any `try` of ours: ctypes prints the exception and drops it, and a suspending callback has not set its continuation
yet, for which wasmtime aborts. What to do depends on who handles SIGINT:

* trio's handler asks each frame whether it is protected, and if so interrupts the main task at its next checkpoint;
* asyncio's runner cancels the main task, which is what we want;
* Python's own handler raises anywhere. Ours takes its place as long as a host is open, and lets a poll end first.

Handlers of the app's own (for SIGALRM, say) that raise are not covered: let them set a flag, as asyncio's and trio's do.
"""

import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from desk.actors.engine.instance import Instance

_UNINTERRUPTED = (Instance.__init__, Instance.start, Instance.poll, Instance.kill)


@contextmanager
def deferred_interrupts(*tasks: Callable[..., Any]) -> Generator[None]:
    """Protect the engine for as long as the `with` lasts, and on trio also `tasks`, which run as tasks of their own."""
    trio = sys.modules.get("trio")  # where nobody imported it, it does not run, and importing it takes 0.1 s
    if trio is not None and trio.lowlevel.in_trio_run():
        for function in (*_UNINTERRUPTED, *tasks):
            trio.lowlevel.enable_ki_protection(function)
        yield
        return
    ours = threading.current_thread() is threading.main_thread() and _handler() is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        if ours and _handler() is _interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _handler() -> object:
    return signal.getsignal(signal.SIGINT)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Python's own handler, except that an instance in the middle of a poll is asked to raise it afterwards."""
    while frame is not None:
        if frame.f_code is Instance.poll.__code__ and frame.f_locals["self"].state == "polling":
            frame.f_locals["self"].interrupt = KeyboardInterrupt()
            return
        frame = frame.f_back
    signal.default_int_handler(number, frame)
