"""One compilation in a process of its own, which can be killed: started, fed, waited for, and never left behind.

A child for every module, also for small ones: there is no size below which compiling is quick. 50 KB of nested loops over
many locals take wasmtime 46 seconds and 770 MB, 64 KB of indirect calls 5 seconds and 460 MB, 1.6 KB of declared locals 0.4
seconds; and what runs in a thread cannot be stopped. The child costs 60 to 90 ms, once for each module: then the cache has it.

It is a fresh interpreter (`sys.executable`) and not a fork, since compiling hangs in a fork of a process that uses wasmtime. It
takes neither `PYTHON*` variables nor the working directory into account (`-I`), but gets this process's `sys.path`: what could
be imported here is what it imports. Bytes go through pipes, so that no file of a killed compilation is left anywhere.
"""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterable, Callable
from functools import partial
from typing import TypeAlias

import anyio
from anyio.abc import ByteSendStream, Process

from desk.actors.engine.compile_child import HEADER, MADE, OUT_OF_MEMORY, REFUSED
from desk.actors.engine.profiles import Profile
from desk.actors.errors import CompileFailed, Refused
from desk.bus.errors import DeskError

Failure: TypeAlias = Callable[[str], DeskError]
"""Why there is no machine code: makes the error for the extension of that name."""

_MAIN = "import sys; sys.path[:] = sys.argv[4:]; from desk.actors.engine.compile_child import main; main()"

_GRACE = 2.0
"""Seconds after which a child ends itself, if the parent has not killed it by then."""

_NO_MEMORY = b"memory allocation of"
"""What Rust prints when an allocation fails, before it aborts the process."""


def command(profile: Profile, memory: int, seconds: float) -> list[str]:
    """The command line of a child that compiles for engines of that profile, limits itself to so many bytes, and ends itself
    after so many seconds.
    """
    path = (entry for entry in sys.path if os.path.isabs(entry))
    return [sys.executable, "-I", "-c", _MAIN, str(memory), str(seconds), profile.name, *path]


async def compile_in_child(
    wasm: bytes, profile: Profile, *, compile_ms: int, compile_memory: int
) -> bytearray | Failure:
    """The machine code for `wasm` in engines of that profile, or why there is none.

    When this returns or is cancelled, the child is gone.
    """
    seconds = compile_ms / 1000
    output, errors = bytearray(), bytearray()
    with anyio.CancelScope(shield=True) as scope:  # at first: asyncio would lose a process whose start is cancelled
        try:
            # A session of its own: Ctrl-C is for the host, which kills its children.
            process = await anyio.open_process(
                command(profile, compile_memory, seconds + _GRACE), stdin=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            return _failed(f"the compiler's process ({sys.executable}) could not be started: {error}")
        try:
            scope.deadline = anyio.current_time() + seconds
            scope.shield = False
            assert process.stdin
            assert process.stdout
            assert process.stderr
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_drain, process.stdout, output)
                tasks.start_soon(_drain, process.stderr, errors)
                await _feed(process.stdin, wasm)
            status = await process.wait()
        finally:
            with anyio.CancelScope(shield=True):
                if process.returncode is None:
                    _kill(process)
                await process.aclose()
        kind = _kind(output)
        if kind == MADE:
            return output
        if kind == REFUSED:
            return partial(Refused, reasons=[output.decode(errors="replace")])
        if kind == OUT_OF_MEMORY or (status == -signal.SIGABRT and _NO_MEMORY in errors):
            return _failed(f"compiling it takes more than {compile_memory:,} bytes of memory", "compile_memory")
        if status != -signal.SIGALRM:
            return _ended(status, errors)
    return _failed(f"compiling it takes more than {compile_ms:,} ms", "compile_ms")


async def _feed(stdin: ByteSendStream, wasm: bytes) -> None:
    try:
        await stdin.send(wasm)
        await stdin.aclose()
    except (anyio.BrokenResourceError, OSError):
        pass  # it ended before it read everything; its exit status says why


async def _drain(stream: AsyncIterable[bytes], into: bytearray) -> None:
    async for chunk in stream:
        into += chunk


def _kill(process: Process) -> None:
    try:
        process.kill()
    except ProcessLookupError:
        pass


def _kind(output: bytearray) -> int | None:
    """What kind of answer it is, if it is whole; leaves the answer itself in `output`."""
    if len(output) < HEADER.size:
        return None
    kind, length = HEADER.unpack_from(output)
    del output[: HEADER.size]
    return kind if len(output) == length else None


def _ended(status: int, errors: bytearray) -> Failure:
    if status < 0:
        return _failed(f"the compiler was killed by signal {-status} ({_signal_name(-status)})")
    last = errors.decode(errors="replace").strip().rpartition("\n")[2][:300]
    return _failed(f"the compiler ended with status {status}: {last or 'it said nothing'}")


def _failed(detail: str, limit: str | None = None) -> Failure:
    return partial(CompileFailed, detail=detail, limit=limit)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
