"""Enough of WASI preview 1 for a C program that prints: stdio becomes log lines, and there is nothing else to reach.

Only the functions below exist; a module that imports another is refused at admission by its name. The environment and the
arguments are empty, the clocks tick in milliseconds (finer ones are a permission, and come with it), randomness is secure;
but in the profile `deterministic` clocks and randomness come from a seed (`actors/sources.py`).
Every function answers an errno; a pointer outside memory is a trap, as in wasmtime.

Source: WASI snapshot preview 1, `wasi_snapshot_preview1.witx`. Numbers in errnos are WASI's own, not the system's.
"""

import struct

from desk.actors.engine.hostcalls import GuestFault, HostFunction
from desk.actors.guest import Guest
from desk.actors.sources import MONOTONIC, REALTIME

MODULE = "wasi_snapshot_preview1"

SUCCESS, BADF, INVAL, SPIPE = 0, 8, 28, 70

MAX_IOVECS = 1_024
"""Buffers looked at in one `fd_write`; a short count is a legal answer."""

MAX_WRITE = 64 * 1024
"""Bytes taken by one `fd_write`; a short count is a legal answer."""

MAX_RANDOM = 64 * 1024
"""Bytes of randomness in one call; nobody needs more at once."""

TICK_NS = 1_000_000
"""The clocks' resolution in nanoseconds: too coarse to time a cache with."""

_STDIO = (0, 1, 2)
_CLOCKS = (REALTIME, MONOTONIC)
_RIGHT_READ, _RIGHT_WRITE = 1 << 1, 1 << 6


def _fd_write(guest: Guest, fd: int, iovecs: int, count: int, written: int) -> int:
    if fd not in (1, 2):
        return BADF
    table = guest.memory.read(iovecs, 8 * min(count, MAX_IOVECS))
    data = bytearray()
    for pointer, length in struct.iter_unpack("<II", table):
        data += guest.memory.read(pointer, min(length, MAX_WRITE - len(data)))
        if len(data) == MAX_WRITE:
            break
    guest.memory.write(written, struct.pack("<I", len(data)))
    guest.write(fd, bytes(data))
    return SUCCESS


def _fd_close(guest: Guest, fd: int) -> int:
    del guest
    return SUCCESS if fd in _STDIO else BADF


def _fd_seek(guest: Guest, fd: int, offset: int, whence: int, position: int) -> int:
    del guest, offset, whence, position
    return SPIPE if fd in _STDIO else BADF


def _fd_fdstat_get(guest: Guest, fd: int, out: int) -> int:
    if fd not in _STDIO:
        return BADF
    rights = _RIGHT_READ if fd == 0 else _RIGHT_WRITE
    guest.memory.write(out, struct.pack("<BxHxxxxQQ", 0, 0, rights, 0))  # file type 0: unknown, so not a terminal
    return SUCCESS


def _proc_exit(guest: Guest, status: int) -> None:
    guest.exit_status = status
    raise GuestFault(f"proc_exit({status})")


def _clock_time_get(guest: Guest, clock: int, precision: int, out: int) -> int:
    del precision
    if clock not in _CLOCKS:
        return INVAL
    now = guest.sources.time_ns(clock)
    guest.memory.write(out, struct.pack("<Q", now // TICK_NS * TICK_NS))
    return SUCCESS


def _clock_res_get(guest: Guest, clock: int, out: int) -> int:
    if clock not in _CLOCKS:
        return INVAL
    guest.memory.write(out, struct.pack("<Q", TICK_NS))
    return SUCCESS


def _random_get(guest: Guest, pointer: int, length: int) -> int:
    if length > MAX_RANDOM:
        return INVAL
    guest.memory.write(pointer, guest.sources.random(length))
    return SUCCESS


def _empty_sizes(guest: Guest, count: int, size: int) -> int:
    guest.memory.write(count, bytes(4))
    guest.memory.write(size, bytes(4))
    return SUCCESS


def _empty(guest: Guest, pointers: int, strings: int) -> int:
    del guest, pointers, strings
    return SUCCESS


def _sched_yield(guest: Guest) -> int:
    del guest
    return SUCCESS  # the ticker preempts anyway


FUNCTIONS = (
    HostFunction(MODULE, "fd_write", ("i32", "i32", "i32", "i32"), "i32", _fd_write),
    HostFunction(MODULE, "fd_close", ("i32",), "i32", _fd_close),
    HostFunction(MODULE, "fd_seek", ("i32", "i64", "i32", "i32"), "i32", _fd_seek),
    HostFunction(MODULE, "fd_fdstat_get", ("i32", "i32"), "i32", _fd_fdstat_get),
    HostFunction(MODULE, "proc_exit", ("i32",), None, _proc_exit),
    HostFunction(MODULE, "clock_time_get", ("i32", "i64", "i32"), "i32", _clock_time_get),
    HostFunction(MODULE, "clock_res_get", ("i32", "i32"), "i32", _clock_res_get),
    HostFunction(MODULE, "random_get", ("i32", "i32"), "i32", _random_get),
    HostFunction(MODULE, "environ_sizes_get", ("i32", "i32"), "i32", _empty_sizes),
    HostFunction(MODULE, "environ_get", ("i32", "i32"), "i32", _empty),
    HostFunction(MODULE, "args_sizes_get", ("i32", "i32"), "i32", _empty_sizes),
    HostFunction(MODULE, "args_get", ("i32", "i32"), "i32", _empty),
    HostFunction(MODULE, "sched_yield", (), "i32", _sched_yield),
)
