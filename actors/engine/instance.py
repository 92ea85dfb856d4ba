"""One instance of a program in a store of its own, and the one fiber call that may be alive in it.

The store owns everything of the guest: memory, tables, stack. It is freed as a whole, so "let it crash" is cheap. A call is
a *future* of wasmtime's: `start` makes it, each `poll` runs the guest until it returns, traps, suspends in a host function,
or a tick passes. The table below is the whole life; wasmtime does not check it, and breaking it aborts the process (polling a
finished future, freeing a store before its future), so `Instance` does.

    state      start    poll -> inside   -> pending   -> done        kill
    idle       running  -                -            -              dead
    running    -        polling          -            -              dead
    polling    -        -                running      idle or dead   -
    dead       -        -                -            -              dead

What is marked `-` raises `RuntimeError`, as does a call of another instance's export.

A trap leaves the guest's memory half changed: the instance is dead, and the actor makes a new one.
"""

import ctypes
import struct
import time
from collections.abc import Sequence
from typing import Any, Literal

from desk.actors.engine import capi, traps
from desk.actors.engine.capacity import ANY, Capacity
from desk.actors.engine.engine import Engine, Program
from desk.actors.engine.hostcalls import Polled, current, room
from desk.actors.engine.memory import Memory
from desk.actors.limits import MAX_TABLES, Limits

State = Literal["idle", "running", "polling", "dead"]

_CODES = {"i32": "<I", "i64": "<Q", "f32": "<f", "f64": "<d"}
"""How `struct` calls the numbers of wasm; integers are unsigned on our side."""

_ARRAYS: dict[str, Any] = {
    "i32": ctypes.c_uint32,
    "i64": ctypes.c_uint64,
    "f32": ctypes.c_float,
    "f64": ctypes.c_double,
}

SLICE = 2
"""Ticks until the deadline of a slice: this one, of which some is over, and a whole one."""

CHAT = 0.003
"""Seconds from the first large copy of a slice to its end, if another one comes then: no tick might."""

_PAYLOAD = 8
"""Where in a `wasmtime_val_t` the number is; the kind is in byte 0."""


class Export:
    """An exported function, with an array of arguments prepared for it: their kinds are set once, their numbers each call."""

    __slots__ = ("_function", "_pack", "_slots", "_values", "arguments", "count", "pointer", "result", "store_id")

    def __init__(self, function: capi.Func, params: Sequence[str], result: str | None) -> None:
        self._function = function  # keeps the pointer below alive
        self.pointer = ctypes.addressof(function)
        self.store_id: int = function.store_id
        self.count = len(params)
        self._values = bytearray(capi.VAL_SIZE * max(1, self.count))
        self.arguments = ctypes.addressof((ctypes.c_char * len(self._values)).from_buffer(self._values))
        self._slots: list[tuple[Any, int]] = []
        for index, param in enumerate(params):
            self._values[capi.VAL_SIZE * index] = capi.VAL_KINDS[param]
            array = _ARRAYS[param] * (len(self._values) // ctypes.sizeof(_ARRAYS[param]))
            place = (capi.VAL_SIZE * index + _PAYLOAD) // ctypes.sizeof(_ARRAYS[param])
            self._slots.append((array.from_buffer(self._values), place))
        # The usual case, i32 only: kind 0 is what padding writes, and the low half of a signed 64-bit number is the i32.
        only_i32 = all(param == "i32" for param in params)
        self._pack = struct.Struct("<" + "8xq16x" * self.count).pack_into if only_i32 else None
        self.result = struct.Struct(_CODES[result]) if result else None

    def prepare(self, arguments: Sequence[int | float]) -> None:
        """Put the numbers in their places, integers modulo 2**32 or 2**64. Raises if their count is wrong."""
        if self._pack is not None:
            self._pack(self._values, 0, *arguments)
            return
        for (array, place), argument in zip(self._slots, arguments, strict=True):
            array[place] = argument


class Instance(Polled):
    """See the module's docstring.

    `guest` is what host functions get as their first argument. Make it, `start` nothing, and `poll` until done: the first
    future is the instantiation itself.
    """

    # What `kill` needs is there from the beginning: making an instance may fail half way.
    state: State = "dead"
    _capacity = ANY
    _store = 0
    _future = 0
    _memories: Sequence[Memory] = ()

    def __init__(self, engine: Engine, program: Program, limits: Limits, capacity: Capacity = ANY) -> None:
        self._capacity = capacity
        capacity.claim(self)
        self.ticker = engine.ticker
        self._program = program  # the compiled code must outlive the store
        self._store = capi.store_new(engine.pointer, None, None)
        self._context: int = capi.store_context(self._store)
        capi.store_limiter(self._store, limits.memory, limits.table_elements, 1, MAX_TABLES, 1)
        capi.epoch_yield(self._context, 1)
        self._fuel = limits.fuel if program.profile.fuel else 0
        self.fuel = 0
        """What the call used that came to an end last, well or not; 0 where the profile does not count it."""
        if self._fuel:
            capi.set_fuel(self._context, self._fuel)
        self._exports: dict[str, Export] = {}
        # Where a future writes its trap or its error; both null until one ends badly, and then the instance is dead.
        self._outcome = (ctypes.c_void_p * 2)()
        self._trap_pointer = ctypes.addressof(self._outcome)
        self._error_pointer = self._trap_pointer + ctypes.sizeof(ctypes.c_void_p)
        self._armed_at = 0
        self._result = ctypes.create_string_buffer(capi.VAL_SIZE)
        self._result_pointer = ctypes.addressof(self._result)
        self._export: Export | None = None
        self.chatty = False
        """Whether its last slice was spent with copying, and cut short for it."""
        self.until = 0.0
        self.polls = 0
        self.slices = 0
        """How many slices the call in progress, or the last one, has used up."""
        self._store_id = 0
        self._struct = capi.Instance()
        self._future = capi.instantiate(
            capi.address(program.pre),
            self._context,
            ctypes.addressof(self._struct),
            self._trap_pointer,
            self._error_pointer,
        )
        self.state = "running"
        self.refresh_deadline()

    # -- after instantiation

    def memory(self, name: str = "memory") -> Memory:
        """The exported memory. Admission has made sure that it is there."""
        extern = self._lookup(name)
        assert extern is not None, name
        assert extern.kind & 0xFF == capi.EXTERN_MEMORY, name
        memory = Memory(self._context, capi.Memory.from_buffer_copy(extern.of))
        self._memories = (*self._memories, memory)
        return memory

    def export(self, name: str, params: Sequence[str], result: str | None) -> Export | None:
        """The exported function, whose type admission has checked to be `params -> result`; None if there is none."""
        export = self._exports.get(name)
        if export is None:
            extern = self._lookup(name)
            if extern is None or extern.kind & 0xFF != capi.EXTERN_FUNC:
                return None
            export = self._exports[name] = Export(capi.Func.from_buffer_copy(extern.of), params, result)
            self._store_id = export.store_id
        return export

    def _lookup(self, name: str) -> capi.Extern | None:
        extern = capi.Extern()
        encoded = name.encode()
        found = capi.export_get(
            self._context, ctypes.addressof(self._struct), encoded, len(encoded), ctypes.addressof(extern)
        )
        return extern if found else None

    # -- a call

    def start(self, export: Export, arguments: Sequence[int | float]) -> None:
        """Begin a call; nothing runs before the first `poll`. Integers are taken modulo 2**32 or 2**64."""
        if self.state != "idle":
            raise RuntimeError(f"an instance runs one call at a time, this one is {self.state}")
        if export.store_id != self._store_id:
            raise RuntimeError("an instance runs its own exports, this one is of another")
        export.prepare(arguments)
        self.slices = self.fuel = 0
        if self._fuel:
            capi.set_fuel(self._context, self._fuel)
        self._export = export
        self.state = "running"
        self._future = capi.call_async(
            self._context,
            export.pointer,
            export.arguments,
            export.count,
            self._result_pointer,
            1 if export.result else 0,
            self._trap_pointer,
            self._error_pointer,
        )
        if self.ticker.ticks != self._armed_at:
            self.refresh_deadline()

    def refresh_deadline(self) -> None:
        """Give the guest a whole tick, and the rest of this one: a short call is not cut by a tick that happens to come.

        A deadline left from before the last tick would yield at the first check.
        """
        self._armed_at = self.ticker.ticks
        capi.set_epoch_deadline(self._context, SLICE)

    def poll(self) -> bool:
        """Run the guest for one slice, in any thread. True when the call is over; then ask `result`.

        False: if `suspension` is set the guest waits for its answer, else its slice is over and it wants another.
        Raises `Trapped`, and the instance is dead.
        """
        if self.state != "running":
            raise RuntimeError(f"nothing to poll: this instance is {self.state}")
        room()
        ticker, thread = self.ticker, current.thread
        outer = thread.polled
        self.state = "polling"
        thread.polled = self
        self.polls += 1
        self.chatty = False
        self.until = 0.0
        ticker.polling.add(self)
        try:
            if ticker.parked:
                ticker.unpark()
            done: bool = capi.future_poll(self._future)
        finally:
            ticker.polling.discard(self)
            thread.polled = outer  # not nobody: a finalizer that ran in a callback may have polled another instance
            self.state = "dead"  # what interrupts us here leaves it to be freed: it may be over, and not to be polled
        if self.interrupt is not None:
            self.kill()
            raise self.interrupt
        if not done:
            self.state = "running"
            if self.suspension is None:
                self.slices += 1
            return False
        if self._fuel:
            self.fuel = self._fuel - capi.get_fuel(self._context)
        future, self._future = self._future, 0
        capi.future_free(future)
        trap, error = self._outcome
        if trap or error:
            self.kill()
            raise traps.from_trap(trap) if trap else traps.from_error(error or 0, self.fault)
        self.state = "idle"
        return True

    def copied(self) -> None:
        """From a callback: end the slice at the next check, if it has lasted long.

        A guest that has megabytes copied all the time takes Python's lock at once again whenever it gave it up, and the
        ticker does not get it. So this is its tick; all that run now get another slice. A nearer deadline would not do: the
        guest's code has it in a register, and looks it up again only when it has passed.
        """
        now = time.monotonic()
        self.until = self.until or now + CHAT
        if now >= self.until and not self.chatty:
            self.chatty = True
            for _ in range(SLICE):
                self.ticker.tick()

    def result(self) -> int | float | None:
        """The wasm result of the call that `poll` has finished, integers unsigned; None for an export without one."""
        export = self._export
        if export is None or export.result is None:
            return None
        value: int | float = export.result.unpack_from(self._result, 8)[0]
        return value

    def kill(self) -> None:
        """Free everything, whatever the guest was doing, but not from its own callback. Idempotent.

        The future goes before its store, always.
        """
        if self.state == "polling":
            raise RuntimeError("an instance cannot be freed while its guest runs")
        self.state = "dead"
        self.suspension = None
        for memory in self._memories:
            memory.close()
        future, self._future = self._future, 0  # before it is freed: what interrupts us here must not free it twice
        if future:
            capi.future_delete(future)
        store, self._store = self._store, 0
        if store:
            capi.store_delete(store)
        self._capacity.release(self)

    def __del__(self) -> None:
        """The last resort of a lost instance. Freeing from the collector is safe: nothing of it can be running."""
        self.kill()
