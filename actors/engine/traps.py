"""From wasmtime's two ways to end a call badly to our one error, with the wasm backtrace.

A *trap* is wasm's own (a bad access, `unreachable`, the stack); it has a code. An *error* is everything else that ends
a call: above all what a host function of ours refused, such as a pointer outside memory. One error is not the guest's at all:
when the system has no memory for its instance.
"""

import ctypes
import errno

from desk.actors.engine import capi
from desk.actors.errors import Frame, TooManyInstances, Trapped

MAX_FRAMES = 32
"""Frames kept of a backtrace: a runaway recursion has thousands, all alike."""

_NO_MEMORY = f"(os error {errno.ENOMEM})"
"""How Rust ends the text of an error of the system's. Only making an instance allocates anything that can fail in this way."""


def from_trap(pointer: int) -> Trapped:
    """Take ownership of a `wasm_trap_t*`."""
    trap = capi.take_trap(pointer)
    vector = capi.Frames()
    capi.trap_trace(pointer, ctypes.addressof(vector))
    code = trap.trap_code
    return Trapped(code.name.lower() if code else "host_error", _last_cause(trap.message), _take_frames(vector))


def from_error(pointer: int) -> Trapped | TooManyInstances:
    """Take ownership of a `wasmtime_error_t*` that ended a call, or an instantiation."""
    error = capi.take_error(pointer)
    vector = capi.Frames()
    capi.error_trace(pointer, ctypes.addressof(vector))
    cause, frames = _last_cause(str(error)), _take_frames(vector)
    if cause.endswith(_NO_MEMORY):
        return TooManyInstances(
            f"the system has no memory for another instance: {cause}. Each takes 4 GiB of addresses (not of memory), which a "
            f"limit of the process (ulimit -v) may forbid, and some memory maps (sysctl vm.max_map_count)"
        )
    return Trapped("host_error", cause, frames)


def _last_cause(text: str) -> str:
    """The point of wasmtime's message: it prints `error while executing…`, the backtrace, then `Caused by:` and causes."""
    cause = text.rsplit("Caused by:", 1)[-1].strip().splitlines()[-1]
    return cause.strip().removeprefix("0: ").removeprefix("1: ").removeprefix("wasm trap: ")


def _take_frames(vector: capi.Frames) -> tuple[Frame, ...]:
    frames: list[Frame] = []
    for frame in vector.data[: min(vector.size, MAX_FRAMES)]:
        name = capi.frame_function_name(frame)
        if name:
            function = ctypes.string_at(name.contents.data, name.contents.size).decode("utf-8", "replace")
        else:
            function = f"function[{capi.frame_function_index(frame)}]"
        frames.append(Frame(function, capi.frame_module_offset(frame)))
    capi.frames_delete(ctypes.addressof(vector))
    return tuple(frames)
