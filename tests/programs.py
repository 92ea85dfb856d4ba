"""Programs that tests run in processes of their own, because what they ask is how a *process* ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from toolbox import ROOT

PATIENCE = 10.0
"""Seconds until a program that should have ended counts as hanging: generous, the machine may be busy."""

BUSY_HOST = '''
import asyncio, faulthandler, gc, json, os, signal, sys, threading, time
import anyio, trio
from toolbox import extension
from desk.actors.errors import Killed, Trapped
from desk.actors.limits import Limits
from desk.host import Host
from desk.traces.tracing import Tracing

BUSY = extension(
    """(name: "busy", api_version: "0.1", exports: {
        "spin": (params: []), "chat": (params: []), "tell": (params: []), "short": (params: []),
        "count": (params: [], ret: i32), "trap": (params: []), "far": (params: [], ret: i32),
    }, permissions: {bus: ["publish:news"]})""",
    """
    (global $count (mut i32) (i32.const 0))
    (func $work (local $left i32)
      (local.set $left (i32.const 20000))
      (loop (local.set $left (i32.sub (local.get $left) (i32.const 1))) (br_if 0 (local.get $left))))
    (func (export "spin") (loop (br 0)))
    (func (export "chat") (loop (call $work) (call $drop (i32.const 99)) (br 0)))
    (func (export "tell")
      (loop (call $work) (drop (call $publish (i32.const 0) (i32.const 4) (i32.const 4) (i32.const 1))) (br 0)))
    (func (export "short"))
    (func (export "count") (result i32)
      (global.set $count (i32.add (global.get $count) (i32.const 1))) (global.get $count))
    (func (export "trap") (unreachable))
    (func (export "far") (result i32) (i32.load (i32.const -64)))
    (data (i32.const 0) "news\\\\01")
    """,
)

def make_host(**more):
    return Host(tracing=Tracing.off(), limits=Limits(wall_ms=600_000), **more)

def run(backend, main, *args):
    return trio.run(main, *args) if backend == "trio" else asyncio.run(main(*args))
'''
"""Begins a program with a host. `spin` computes, `chat` calls a host function all the time, `tell` one that suspends."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: its exit status, or minus the number of the signal that ended it."""

    status: int
    out: str
    err: str

    def __str__(self) -> str:
        """All of it, for a failing assertion."""
        return f"status {self.status}\n{self.out}\n{self.err[-4000:]}"


@contextmanager
def program(tmp_path: Path, text: str, *arguments: str, **environment: str) -> Generator[subprocess.Popen[str]]:
    """The program in a process of its own, with what it prints to be read; killed at the end if it is still there."""
    script = tmp_path / "program.py"
    script.write_text(text)
    path = [str(ROOT / "tests"), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    process = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", str(script), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path), "XDG_CACHE_HOME": str(tmp_path), **environment},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Wait for its end; fail with all that it said if it hangs. What it printed, and what it said on stderr."""
    try:
        return process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # faulthandler prints where it is
        out, err = process.communicate()
        pytest.fail(f"still running after {PATIENCE} s\n{out}\n{err[-4000:]}")


def ended(tmp_path: Path, text: str, *arguments: str, **environment: str) -> Ended:
    """How the program ended, whichever way that was."""
    with program(tmp_path, text, *arguments, **environment) as process:
        out, err = finish(process)
    return Ended(process.returncode, out, err)


def ran(tmp_path: Path, text: str, *arguments: str, **environment: str) -> str:
    """What the program printed; it must end with status 0."""
    end = ended(tmp_path, text, *arguments, **environment)
    assert end.status == 0, end
    return end.out
