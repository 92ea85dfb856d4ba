"""What nobody can go below: the smallest steps that every way is made of.

They are no part of our code. A `host.call` that needs two task switches cannot be faster than two of them.
"""

import ctypes
import time

import anyio
import anyio.lowlevel

_libc = ctypes.CDLL(None)
_libc.abs.argtypes = [ctypes.c_int]
_libc.abs.restype = ctypes.c_int


def ctypes_calls(calls: int) -> int:
    """Calls of C from Python, with one number each way; a guest call is four of them at least."""
    absolute = _libc.abs
    start = time.perf_counter_ns()
    for _ in range(calls):
        absolute(1)
    return time.perf_counter_ns() - start


async def checkpoints(calls: int) -> int:
    """Let everyone else run, and go on."""
    start = time.perf_counter_ns()
    for _ in range(calls):
        await anyio.lowlevel.checkpoint()
    return time.perf_counter_ns() - start


async def handovers(calls: int) -> int:
    """Wake another task, and wait for it to wake this one: what a message through a mailbox has in it."""
    there, back, elapsed = anyio.Event(), anyio.Event(), 0

    async def other() -> None:
        nonlocal there
        for _ in range(calls):
            await there.wait()
            there = anyio.Event()
            back.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        await anyio.lowlevel.checkpoint()
        start = time.perf_counter_ns()
        for _ in range(calls):
            there.set()
            await back.wait()
            back = anyio.Event()
        elapsed = time.perf_counter_ns() - start
    return elapsed  # not inside of the `with`, for all that a type checker knows it may swallow what is raised  # noqa: RET504
