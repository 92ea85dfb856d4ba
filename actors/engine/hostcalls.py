"""How a guest reaches the host: two static trampolines' worth of ctypes, made once per host function.

A host function is a value, `HostFunction`: its name, its wasm type, and the Python function behind it. There are two
kinds, and the rule for both is that *no user code runs on the fiber*: the stack there is small, a Python exception that
escapes would be lost, and a deep recursion would abort the process.

* a **sync** function copies bytes, within a limit, and returns: `read`, `reply`, `log`, the clock. It runs on the fiber.
* a **suspending** function runs in two halves: `prepare` copies the request out of the guest's memory, on the fiber; then
  the fiber stays suspended while the event loop does the work, and `Suspension.resume` gives the answer.

A callback cannot be told whose it is, so whoever polls says so in a per-thread variable, `current`.

A callback must not raise. What goes wrong becomes a trap of the guest with the exception's text; a `BaseException` that is
not an `Exception` (Ctrl-C arriving in a callback) is kept and raised again right after the poll.
"""

import ctypes
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import wasmtime

from desk.actors.engine import capi

MASK32, MASK64 = (1 << 32) - 1, (1 << 64) - 1
_TYPES: dict[str, Callable[[], wasmtime.ValType]] = {
    "i32": wasmtime.ValType.i32,
    "i64": wasmtime.ValType.i64,
    "f32": wasmtime.ValType.f32,
    "f64": wasmtime.ValType.f64,
}


class GuestFault(Exception):
    """The guest handed a host function something no value can answer, such as a pointer outside memory: it traps."""


@dataclass(frozen=True, slots=True)
class HostFunction:
    """One import that the host offers.

    `function(guest, *arguments)` gets i32 and i64 arguments as unsigned integers. A sync function returns its result (an
    int, or None if it has none). For a suspending one it is the first half: what it returns is handed to the loop.
    """

    module: str
    name: str
    params: tuple[str, ...]
    result: str | None
    function: Callable[..., Any]
    suspends: bool = False


class Suspension:
    """A guest waiting in a suspending host function. Answer it once, with `resume`, then poll again."""

    __slots__ = ("_results", "answered", "function", "request")

    def __init__(self, function: HostFunction, request: Any, results: int) -> None:
        self.function = function
        self.request = request
        self.answered = False
        self._results = results

    def resume(self, value: int) -> None:
        """Let the guest go on, with `value` as the function's result (unsigned; i32 and i64 only), if it has one."""
        if self.function.result is not None:  # else there is no room for one
            kind = capi.VAL_KINDS[self.function.result]
            ctypes.memmove(self._results, struct.pack("<QQ", kind, value & MASK64), 16)
        self.answered = True


class Polled:
    """What is being polled, as its callbacks see it: an instance is one."""

    guest: Any = None
    """What host functions get as their first argument."""
    suspension: Suspension | None = None
    """Set while the guest waits in a suspending host function."""
    interrupt: BaseException | None = None
    """What could not be raised in a callback, and is to be raised after the poll."""
    fault: str | None = None
    """What a host function refused, for which the guest traps."""

    def copied(self) -> None:
        """A host function has copied much, and held Python's lock meanwhile."""


class _Thread:
    __slots__ = ("polled",)

    def __init__(self) -> None:
        self.polled = Polled()


class _Current(threading.local):
    def __init__(self) -> None:
        self.thread = _Thread()


current = _Current()
"""`current.thread.polled` is whose callbacks run in this thread: whoever polls sets it before, and restores it after."""


def room() -> None:
    """Raise `RecursionError` now if a callback could not begin and end, because the calls are nested near Python's limit.

    In the callback it would be too late: ctypes would drop it, and the guest would go on with a result that nobody gave;
    or, without a continuation, wasmtime aborts. A callback needs four calls, one inside the other, to end in a trap.
    """
    _room3()


def _room3() -> None:
    _room2()


def _room2() -> None:
    _room1()


def _room1() -> None:
    pass


def define(linker: wasmtime.Linker, functions: tuple[HostFunction, ...]) -> None:
    """Put `functions` into `linker`. Function types belong to one engine, so they are made here each time."""
    for function in functions:
        result = [_TYPES[function.result]()] if function.result else []
        type_ = wasmtime.FuncType([_TYPES[param]() for param in function.params], result)
        module, name = function.module.encode(), function.name.encode()
        names = (module, len(module), name, len(name))
        definer = capi.define_suspending if function.suspends else capi.define_sync
        capi.check(definer(capi.address(linker), *names, capi.address(type_), _callback(function), None, None))


def new_trap(message: str) -> int:
    """A `wasm_trap_t*`, for wasmtime to own."""
    text = message.encode("utf-8", "replace")
    return capi.trap_new(text, len(text))


_callbacks: dict[HostFunction, Any] = {}
"""ctypes callbacks by function, for ever: a linker or store may call them as long as the process lives."""


def _callback(function: HostFunction) -> Any:
    if function not in _callbacks:
        _callbacks[function] = _suspending(function) if function.suspends else _sync(function)
    return _callbacks[function]


def _sync(host: HostFunction) -> Any:
    function, here = host.function, current
    slots, arguments = _slots(host.params, 16)  # `wasmtime_val_raw_t`: the number itself
    give = struct.Struct({"i32": "<I", "i64": "<Q"}[host.result]).pack_into if host.result else None
    mask = MASK32 if host.result == "i32" else MASK64

    def callback(env: Any, caller: Any, raw: int, count: Any) -> int:
        try:
            try:
                memory = slots.from_address(raw)
                value = function(here.thread.polled.guest, *arguments(memory))
                if give is not None:
                    give(memory, 0, value & mask)
                return 0
            except GuestFault as fault:
                here.thread.polled.fault = str(fault)
                return new_trap(str(fault))
        except BaseException as error:
            here.thread.polled.interrupt = here.thread.polled.interrupt or error
            return capi.trap_new(*_OURS)

    return capi.SyncCallback(callback)


def _suspending(host: HostFunction) -> Any:
    prepare, here = host.function, current
    slots, arguments = _slots(host.params, capi.VAL_SIZE, 8)  # `wasmtime_val_t`: the number after its kind
    place, pointer = (ctypes.c_char * len(_CONTINUATION)).from_address, ctypes.c_void_p.from_address

    def callback(env: Any, caller: Any, args: int, n: Any, results: int, m: Any, trap: int, continuation: int) -> None:
        # First: without a continuation, whatever else goes wrong, wasmtime aborts the process.
        place(continuation).raw = _CONTINUATION
        try:
            try:
                polled = here.thread.polled
                request = prepare(polled.guest, *arguments(slots.from_address(args)))
                polled.suspension = Suspension(host, request, results)
            except GuestFault as fault:
                here.thread.polled.fault = str(fault)
                pointer(trap).value = new_trap(str(fault))
        except BaseException as error:
            here.thread.polled.interrupt = here.thread.polled.interrupt or error
            pointer(trap).value = capi.trap_new(*_OURS)

    return capi.SuspendingCallback(callback)


def _slots(params: tuple[str, ...], size: int, offset: int = 0) -> tuple[Any, Callable[[Any], tuple[int, ...]]]:
    """The array of argument slots as a ctypes type, and what unpacks all of its numbers at once, unsigned.

    A slot is `size` bytes with the number at `offset`. Room for one slot is always there: results go into the first.
    """
    numbers = {"i32": "I4x", "i64": "Q"}
    layout = struct.Struct("<" + "".join(f"{offset}x{numbers[param]}{size - offset - 8}x" for param in params))
    return ctypes.c_char * (size * max(1, len(params))), layout.unpack_from


def _continuation(env: Any) -> bool:
    """Polled while the guest is suspended: it may go on once the suspension is answered (or was never made: a trap)."""
    polled = current.thread.polled
    if polled.suspension is None or polled.suspension.answered:
        polled.suspension = None
        return True
    return False


_continue = capi.Continuation(_continuation)
_CONTINUATION = struct.pack("@PPP", ctypes.cast(_continue, ctypes.c_void_p).value, 0, 0)
"""`wasmtime_async_continuation_t`: the callback, its environment, its finalizer."""
_OURS = (b"host error", 10)
"""What the guest's trap says if it ends by no fault of its own: nobody reads it, since the error itself is raised."""
