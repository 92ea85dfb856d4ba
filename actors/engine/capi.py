"""The part of wasmtime's C API that the engine calls by itself, with its own prototypes and checked layouts.

wasmtime-py wraps neither fibers (`*_async`) nor their polling, and its `Func.__call__` costs ten times a fiber call.
So configuration, compilation and linking go through wasmtime-py's classes, and the hot path goes through the functions
below. `dll["name"]` gives function objects of our own: wasmtime-py's prototypes are never touched.

Pointers are `c_void_p` everywhere: plain integers, no ctypes objects on the hot path. A wrong layout here would be
memory corruption, hence the asserts, the version pin, and the self-test in `selftest.py`.

Source: wasmtime's `include/wasmtime/{async,func,store,linker,memory,extern,val}.h`, version 50.
"""

import ctypes
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, c_bool, c_char_p, c_int64, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p
from importlib.metadata import version
from typing import Any, cast

import wasmtime
from wasmtime import _ffi as ffi  # pyright: ignore[reportPrivateUsage]

from desk.actors.errors import EngineUnusable

TESTED = "50.0."
"""wasmtime promises no stable C ABI between minors, and we rely on one: the tested minor is pinned."""

if not version("wasmtime").startswith(TESTED):
    raise EngineUnusable(
        f"wasmtime {version('wasmtime')} is installed, but the engine is tested with {TESTED}x only; "
        f"install it with: pip install 'wasmtime=={TESTED}*'"
    )

Function = Callable[..., Any]


class Func(ctypes.Structure):
    """`wasmtime_func_t`: names a function within its store."""

    _fields_ = (("store_id", c_uint64), ("private", c_void_p))


class Memory(ctypes.Structure):
    """`wasmtime_memory_t`: names a memory within its store."""

    _fields_ = (("store_id", c_uint64), ("private1", c_uint64), ("private2", c_uint64))


class Extern(ctypes.Structure):
    """`wasmtime_extern_t`: a kind, and the union of what it may be in the last 24 bytes."""

    _fields_ = (("kind", c_uint64), ("of", c_uint8 * 24))


class Instance(ctypes.Structure):
    """`wasmtime_instance_t`: names an instance within its store."""

    _fields_ = (("store_id", c_uint64), ("private", c_size_t))


class Bytes(ctypes.Structure):
    """`wasm_byte_vec_t`."""

    _fields_ = (("size", c_size_t), ("data", c_void_p))


class Frames(ctypes.Structure):
    """`wasm_frame_vec_t`: an array of `wasm_frame_t*` that owns them."""

    _fields_ = (("size", c_size_t), ("data", POINTER(c_void_p)))


VAL_SIZE = 32
"""`sizeof(wasmtime_val_t)`: the kind in byte 0, the payload at 8."""

VAL_KINDS = {"i32": 0, "i64": 1, "f32": 2, "f64": 3}
EXTERN_FUNC = 0
EXTERN_MEMORY = 3

_LAYOUTS = (
    (ffi.wasmtime_func_t, 16, ctypes.sizeof(Func)),
    (ffi.wasmtime_memory_t, 24, ctypes.sizeof(Memory)),
    (ffi.wasmtime_instance_t, 16, ctypes.sizeof(Instance)),
    (ffi.wasmtime_extern_t, 32, ctypes.sizeof(Extern)),
    (ffi.wasmtime_val_t, VAL_SIZE, VAL_SIZE),
    (ffi.wasmtime_val_raw_t, 16, 16),
    (ffi.wasmtime_async_continuation_t, 24, 24),
)
for _type, _expected, _ours in _LAYOUTS:
    if not ctypes.sizeof(_type) == _expected == _ours:
        raise EngineUnusable(
            f"wasmtime's {_type.__name__} is {ctypes.sizeof(_type)} bytes here, tested with {_expected}"
        )


_library = cast(ctypes.CDLL, cast(Any, ffi).dll)
_brief_library = ctypes.PyDLL(_library._name, handle=_library._handle)  # pyright: ignore[reportPrivateUsage]


def _prototype(name: str, result: Any, *arguments: Any) -> Function:
    """A function object of our own for `name`, releasing the GIL while it runs: the ticker thread needs it then."""
    return _typed(_library, name, result, arguments)


def _brief(name: str, result: Any, *arguments: Any) -> Function:
    """The same for a function that returns at once and runs no guest code: it keeps the GIL, which saves a quarter."""
    return _typed(_brief_library, name, result, arguments)


def _typed(library: ctypes.CDLL, name: str, result: Any, arguments: tuple[Any, ...]) -> Function:
    try:
        function: Any = library[name]
    except AttributeError:
        raise EngineUnusable(f"wasmtime {version('wasmtime')} has no `{name}` here; {TESTED}x on Linux has") from None
    function.restype = result
    function.argtypes = arguments
    return function


# Stores. `context` is the pointer nearly everything takes; it lives as long as its store.
store_new = _prototype("wasmtime_store_new", c_void_p, c_void_p, c_void_p, c_void_p)
store_delete = _prototype("wasmtime_store_delete", None, c_void_p)
store_context = _brief("wasmtime_store_context", c_void_p, c_void_p)
store_limiter = _brief("wasmtime_store_limiter", None, c_void_p, c_int64, c_int64, c_int64, c_int64, c_int64)
set_epoch_deadline = _brief("wasmtime_context_set_epoch_deadline", None, c_void_p, c_uint64)
# The header says that this one returns an error; the library returns nothing, and reading it crashes.
epoch_yield = _brief("wasmtime_context_epoch_deadline_async_yield_and_update", None, c_void_p, c_uint64)
# Fuel, in stores of engines whose profile has it; in any other both return an error. A new store has none.
_set_fuel = _brief("wasmtime_context_set_fuel", c_void_p, c_void_p, c_uint64)
_get_fuel = _brief("wasmtime_context_get_fuel", c_void_p, c_void_p, POINTER(c_uint64))
increment_epoch = _prototype("wasmtime_engine_increment_epoch", None, c_void_p)

# Instances and what they export.
instantiate = _prototype(
    "wasmtime_instance_pre_instantiate_async", c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p
)
_image_range = _brief("wasmtime_module_image_range", None, c_void_p, POINTER(c_void_p), POINTER(c_void_p))
export_get = _brief("wasmtime_instance_export_get", c_bool, c_void_p, c_void_p, c_char_p, c_size_t, c_void_p)
memory_data = _brief("wasmtime_memory_data", c_void_p, c_void_p, c_void_p)
memory_data_size = _brief("wasmtime_memory_data_size", c_size_t, c_void_p, c_void_p)

# Fibers. A future is polled until it says True, once, and is deleted before its store.
call_async = _brief(
    "wasmtime_func_call_async",
    *(c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t, c_void_p, c_void_p),
)
future_poll = _prototype("wasmtime_call_future_poll", c_bool, c_void_p)
future_delete = _prototype("wasmtime_call_future_delete", None, c_void_p)  # of one that may have to be unwound
future_free = _brief("wasmtime_call_future_delete", None, c_void_p)  # of one that is done

# Host functions: `sync` ones get raw 16-byte slots, `suspending` ones get values and a continuation.
SyncCallback = CFUNCTYPE(c_size_t, c_void_p, c_void_p, c_void_p, c_size_t)
Continuation = CFUNCTYPE(c_bool, c_void_p)
SuspendingCallback = CFUNCTYPE(None, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t, c_void_p, c_void_p)
define_sync = _prototype(
    "wasmtime_linker_define_func_unchecked",
    *(c_void_p, c_void_p, c_char_p, c_size_t, c_char_p, c_size_t, c_void_p, SyncCallback, c_void_p, c_void_p),
)
define_suspending = _prototype(
    "wasmtime_linker_define_async_func",
    *(c_void_p, c_void_p, c_char_p, c_size_t, c_char_p, c_size_t, c_void_p, SuspendingCallback, c_void_p, c_void_p),
)

# Traps and their backtraces.
trap_new = _prototype("wasmtime_trap_new", c_size_t, c_char_p, c_size_t)
trap_trace = _prototype("wasm_trap_trace", None, c_void_p, c_void_p)
error_trace = _prototype("wasmtime_error_wasm_trace", None, c_void_p, c_void_p)
frames_delete = _prototype("wasm_frame_vec_delete", None, c_void_p)
frame_function_name = _prototype("wasmtime_frame_func_name", POINTER(Bytes), c_void_p)
frame_function_index = _prototype("wasm_frame_func_index", c_uint32, c_void_p)
frame_module_offset = _prototype("wasm_frame_module_offset", c_size_t, c_void_p)


def address(of: Any) -> int:
    """The pointer value of one of wasmtime-py's managed objects."""
    return cast(int, ctypes.cast(of.ptr(), c_void_p).value)


def take_error(pointer: int) -> wasmtime.WasmtimeError:
    """Take ownership of a `wasmtime_error_t*`."""
    return wasmtime.WasmtimeError._from_ptr(  # pyright: ignore[reportPrivateUsage]
        ctypes.cast(pointer, POINTER(ffi.wasmtime_error_t))
    )


def take_trap(pointer: int) -> wasmtime.Trap:
    """Take ownership of a `wasm_trap_t*`."""
    return wasmtime.Trap._from_ptr(  # pyright: ignore[reportPrivateUsage]
        ctypes.cast(pointer, POINTER(ffi.wasm_trap_t))
    )


def image_size(module: wasmtime.Module) -> int:
    """Bytes of a module's machine code and data."""
    start, end = c_void_p(), c_void_p()
    _image_range(address(module), ctypes.byref(start), ctypes.byref(end))
    return (end.value or 0) - (start.value or 0)


def check(error: int | None) -> None:
    """Raise what a C function returned as `wasmtime_error_t*`; for set-up calls that only a mistake of ours makes fail."""
    if error:
        raise take_error(error)


def set_fuel(context: int, fuel: int) -> None:
    """Give a store so much fuel, whatever it had; `fuel` from 0 to 2**64 - 1. Not while its guest runs."""
    check(_set_fuel(context, fuel))


def get_fuel(context: int) -> int:
    """How much fuel a store has left; 0 after `out_of_fuel`."""
    left = c_uint64()
    check(_get_fuel(context, left))
    return left.value
