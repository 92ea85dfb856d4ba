"""The compiler's own process: wasm on stdin, machine code on stdout. `compile_process.py` starts it, and may kill it.

What it says is `HEADER`, the kind of answer and its length, and the answer: the machine code (`MADE`), the reason in UTF-8 why
wasmtime does not take the bytes (`REFUSED`), or nothing (`OUT_OF_MEMORY`). Less than that is an accident, of which the exit
status and stderr may tell. The status alone would not do: an app that ignores SIGCHLD never gets to know it.

The process limits itself before it looks at the bytes. Memory is limited by `RLIMIT_DATA`, which counts what can be written
to: address space that is only reserved (by malloc, for each thread, 64 MiB) costs nothing. The time is limited by the parent;
the alarm only ends a process whose parent is gone, or so busy that it does not look.
"""

import os
import signal
import struct
import sys

import wasmtime

from desk.actors.engine.configuration import configuration, one_line
from desk.actors.engine.profiles import PROFILES, Profile

HEADER = struct.Struct("<BQ")
MADE, REFUSED, OUT_OF_MEMORY = range(3)

_NICENESS = 5
"""The compiler uses all cores. It gets a third of what a process of ordinary priority does, when that wants it."""


def main() -> None:
    """Compile, and end the process. `sys.argv` has the memory in bytes, the time in seconds, and the profile's name."""
    _confine(int(sys.argv[1]), float(sys.argv[2]))
    try:
        kind, answer = _compile(sys.stdin.buffer.read(), PROFILES[sys.argv[3]])
    except MemoryError:
        kind, answer = OUT_OF_MEMORY, b""
    sys.stdout.buffer.write(HEADER.pack(kind, len(answer)))
    sys.stdout.buffer.write(answer)
    sys.stdout.flush()
    os._exit(0)  # tearing the interpreter down would take longer than compiling a small module


def _confine(memory: int, seconds: float) -> None:
    if sys.platform != "win32":
        import resource

        os.nice(_NICENESS)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _compile(wasm: bytes, profile: Profile) -> tuple[int, bytes | bytearray]:
    try:
        return MADE, wasmtime.Module(wasmtime.Engine(configuration(profile)), wasm).serialize()
    except wasmtime.WasmtimeError as error:
        return REFUSED, one_line(error).encode()
