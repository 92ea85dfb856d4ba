"""What tests share: extensions made from wasm text or from C, by the real assembler and the real compiler."""

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import wasmtime

from desk.actors.wasm import with_custom_section

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"

IMPORTS = """
  (import "desk@0.1" "read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "desk@0.1" "drop" (func $drop (param i32)))
  (import "desk@0.1" "reply" (func $reply (param i32 i32)))
  (import "desk@0.1" "fail" (func $fail (param i32 i32 i32)))
  (import "desk@0.1" "log" (func $log (param i32 i32 i32)))
  (import "desk@0.1" "context" (func $context (result i64)))
  (import "desk@0.1" "request" (func $request (param i32 i32 i32 i32) (result i64)))
  (import "desk@0.1" "publish" (func $publish (param i32 i32 i32 i32) (result i32)))
"""
"""All functions of the ABI under their own names, for modules written as text."""


def extension(manifest: str, functions: str, *, memory: str = "1") -> bytes:
    """A module with the whole ABI imported, `functions` in wasm text, and `manifest` (RON) inside."""
    text = f'(module {IMPORTS} (memory (export "memory") {memory}) {functions})'
    return with_custom_section(bytes(wasmtime.wat2wasm(text)), "desk:manifest", manifest.encode())


@contextmanager
def files_left(spare: int) -> Iterator[None]:
    """This process can open so many more files, sockets included."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    with ExitStack() as stack:
        number = -1
        while number <= highest:  # the gaps below are free, too
            number = os.open(os.devnull, os.O_RDONLY)
            stack.callback(os.close, number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (number + 1 + spare, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def build_c(source: Path, output: Path, *flags: str) -> bytes:
    """Compile one C guest with Debian's clang against `guests/c/desk.h`; skips the test where there is no compiler."""
    require_clang()
    command = [
        *("clang", "--target=wasm32-wasi", "-mexec-model=reactor", "-Os", "-Wall", "-Wextra", "-Werror"),
        *("-Wl,-z,stack-size=65536", "-Wl,--stack-first", f"-I{ROOT / 'guests' / 'c'}"),
        *flags,
        *("-o", str(output), str(source)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return output.read_bytes()


def require_clang() -> None:
    """Skip, and say what installs it, unless clang can build for wasm; in CI a missing compiler is a failure."""
    if shutil.which("clang") and shutil.which("wasm-ld") and Path("/usr/lib/wasm32-wasi/libc.a").exists():
        return
    advice = "needs clang for wasm: apt-get install clang lld llvm wasi-libc libclang-rt-dev-wasm32"
    if os.environ.get("DESK_REQUIRE_COMPILERS"):
        pytest.fail(advice)
    pytest.skip(advice)
