"""How wasmtime is configured: the same in this process, which runs the code, and in the child that compiles it.

The configuration is fixed here, because a bad combination is not an error in wasmtime but an abort of the process:
`max_wasm_stack` must be below the fiber's stack size, for example. Compiled code is only accepted by an engine with the
configuration (and the `WASMTIME_*` environment variables) it was compiled with. What may differ from engine to engine is the
*profile* (profiles.py). The file imports nothing else but wasmtime, which is most of what it takes to start the compiler's
process.
"""

import wasmtime
from wasmtime import _ffi as ffi  # pyright: ignore[reportPrivateUsage]

from desk.actors.engine.profiles import Profile

WASM_STACK = 256 * 1024
"""Bytes of a fiber's stack that wasm frames may use; deeper recursion is a `stack_overflow` trap. About 8,000 small frames."""

FIBER_STACK = 8 * 1024 * 1024
"""Bytes of a fiber's whole stack. The difference is for Python: callbacks only copy, but the garbage collector may run
inside one, and with it any finalizer. What a thread of Python's own has is enough up to Python's recursion limit: the
hungriest recursion known (a sort in a sort's key) takes 2.4 MB of it, on Python 3.13 5 MB. Only touched pages cost memory."""

_OFF = (
    "wasm_threads",
    "shared_memory",
    "wasm_memory64",
    "wasm_multi_memory",
    "wasm_custom_page_sizes",
    "wasm_gc",
    "wasm_function_references",
    "wasm_exceptions",
    "wasm_component_model",
    "wasm_stack_switching",
    "wasm_wide_arithmetic",
)
"""Proposals that no guest toolchain we support needs: each is attack surface, or breaks "one 32-bit memory per instance"."""


def settings(profile: Profile) -> dict[str, bool | int]:
    """Everything that is set, under wasmtime's names. Machine code depends on it: the module cache has it in its keys."""
    return {
        "epoch_interruption": True,
        # Bounds and overflow checks in the code instead of SIGSEGV: a later `faulthandler.enable()` by the embedding app would
        # take that signal over, and then a guest's bad access would end the process. Costs 6-11 %.
        "signals_based_traps": False,
        "max_wasm_stack": WASM_STACK,
        "async_stack_size": FIBER_STACK,
        # The memory's base address must never change: `Memory` keeps it.
        "memory_reservation": 4 << 30,
        "memory_may_move": False,
        "memory_init_cow": profile.copy_on_write,
        "consume_fuel": profile.fuel,
        "cranelift_nan_canonicalization": profile.canonical_nan,
        "wasm_relaxed_simd": False,  # its results differ from processor to processor, which no profile wants
        **dict.fromkeys(_OFF, False),
    }


def configuration(profile: Profile) -> wasmtime.Config:
    """A new configuration, for one engine."""
    config = wasmtime.Config()
    for name, value in settings(profile).items():
        if name == "async_stack_size":  # the only one that wasmtime-py has no property for
            ffi.wasmtime_config_async_stack_size_set(config.ptr(), value)
        else:
            getattr(wasmtime.Config, name)  # a name that it does not know would be set, too, and do nothing
            setattr(config, name, value)
    return config


def one_line(error: Exception) -> str:
    """What wasmtime says, as one line of at most 500 characters."""
    return " ".join(str(error).split())[:500]
