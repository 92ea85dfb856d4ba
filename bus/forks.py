"""After `os.fork()` the child has a copy of everything but the threads: of buses, too, whose event loop it does not run.

Whoever used such a copy would wait for ever, or take from sockets and pipes that are the parent's. So what lives in an event
loop or needs threads registers here, and is told in the child, once, before any other code runs there:

    forbid_after_fork(self, Bus.forbid)

    def forbid(self, why: str) -> None:
        self._refusal = why     # and everything raises `BusClosed` with it

`subprocess`, and `multiprocessing` with the start methods "spawn" and "forkserver", begin with a new interpreter, and need none
of this.
"""

import os
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

AFTER_FORK = (
    "belongs to process {parent}, of which this one ({child}) is a forked copy without its event loop and threads: "
    "make a new one here, or start the process with subprocess, or multiprocessing's 'spawn'"
)

T = TypeVar("T")

_live: WeakKeyDictionary[Any, Callable[[Any, str], object]] = WeakKeyDictionary()
_process = os.getpid()


def forbid_after_fork(thing: T, forbid: Callable[[T, str], object]) -> None:
    """In every child that is forked while `thing` is alive, call `forbid(thing, why)`; `why` follows on "this bus …".

    `forbid` is a plain function, best a method of its class, that sets a flag: it must take no lock, which a thread that
    the child does not have may hold, and not raise. `thing` is hashed by identity, and is not kept alive by this.
    """
    _live[thing] = forbid


def _after_fork() -> None:
    global _process
    parent, _process = _process, os.getpid()
    why = AFTER_FORK.format(parent=parent, child=_process)
    for thing, forbid in list(_live.items()):
        forbid(thing, why)


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)
