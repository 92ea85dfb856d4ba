"""From wasmtime's two ways to end a call badly to our one error, with the wasm backtrace.

A *trap* is wasm's own (a bad access, `unreachable`, the stack); it has a code. An *error* is everything else that ends
a call: above all what a host function of ours refused, such as a pointer outside memory. One error is not the guest's at all:
when the system has no memory for its instance.

wasmtime is never asked for the text of either if there is a backtrace: it would write the whole of it, with every name
demangled, and a name of a hundred bytes can be the mangled form of one that fills the memory. Names in a backtrace are the
guest's own words: cut, and made fit for a terminal.
"""

import ctypes
import errno

from desk.actors.engine import capi
from desk.actors.errors import Frame, TooManyInstances, Trapped
from desk.bus.ron.text import printable

MAX_FRAMES = 32
"""Frames kept of a backtrace: a runaway recursion has thousands, all alike."""

MAX_NAME = 200
"""Bytes kept of a function's name."""

_NO_MEMORY = f"(os error {errno.ENOMEM})"
"""How Rust ends the text of an error of the system's. Only making an instance allocates anything that can fail in this way."""

_MESSAGES = {
    "stack_overflow": "call stack exhausted",
    "memory_out_of_bounds": "out of bounds memory access",
    "table_out_of_bounds": "undefined element: out of bounds table access",
    "indirect_call_to_null": "uninitialized element",
    "bad_signature": "indirect call type mismatch",
    "integer_overflow": "integer overflow",
    "integer_division_by_zero": "integer divide by zero",
    "bad_conversion_to_integer": "invalid conversion to integer",
    "unreachable": "wasm `unreachable` instruction executed",
    "out_of_fuel": "all fuel consumed by WebAssembly",
}
"""What wasmtime says of each trap that a core module can end with."""


def from_trap(pointer: int) -> Trapped:
    """Take ownership of a `wasm_trap_t*`."""
    trap = capi.take_trap(pointer)
    vector = capi.Frames()
    capi.trap_trace(pointer, ctypes.addressof(vector))
    code = trap.trap_code.name.lower() if trap.trap_code else "host_error"
    return Trapped(code, _MESSAGES.get(code, code.replace("_", " ")), _take_frames(vector))


def from_error(pointer: int, fault: str | None) -> Trapped | TooManyInstances:
    """Take ownership of a `wasmtime_error_t*` that ended a call, or an instantiation. `fault`: what a host function refused."""
    error = capi.take_error(pointer)
    vector = capi.Frames()
    capi.error_trace(pointer, ctypes.addressof(vector))
    frames = _take_frames(vector)
    if fault is not None or frames:
        return Trapped("host_error", fault or "a host function failed", frames)
    cause = str(error).strip().splitlines()[-1].strip()
    if cause.endswith(_NO_MEMORY):
        return TooManyInstances(
            f"the system has no memory for another instance: {cause}. Each takes 4 GiB of addresses (not of memory), which a "
            f"limit of the process (ulimit -v) may forbid, and some memory maps (sysctl vm.max_map_count)"
        )
    return Trapped("host_error", cause, frames)


def _take_frames(vector: capi.Frames) -> tuple[Frame, ...]:
    frames: list[Frame] = []
    for frame in vector.data[: min(vector.size, MAX_FRAMES)]:
        name = capi.frame_function_name(frame)
        if name:
            size = min(name.contents.size, MAX_NAME)
            function = printable(ctypes.string_at(name.contents.data, size).decode("utf-8", "replace"))
        else:
            function = f"function[{capi.frame_function_index(frame)}]"
        frames.append(Frame(function, capi.frame_module_offset(frame)))
    capi.frames_delete(ctypes.addressof(vector))
    return tuple(frames)
