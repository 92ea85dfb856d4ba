"""The work that every contestant does, from Python's side: building `echo.c`, and knowing the right answer.

`exchanges(size)` are payloads with the output that each must give; every single answer of a benchmark is compared. They
differ from each other, so an answer left over from the call before is noticed.
"""

import shutil
import struct
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
ADVICE = "needs clang for wasm; on Debian: apt-get install clang lld"
"""What to tell whoever has no compiler. No libc is needed: the guest is freestanding."""


def manifest(name: str, limits: str = "", permissions: str = "") -> str:
    """The manifest of our build of the guest; it listens to a subject of its own. `limits` is RON: `wall_ms: 500`."""
    return f"""(name: "{name}", api_version: "0.1",
    exports: {{
        "echo": (params: [bytes], ret: bytes),
        "on_tick": (params: [i32]),
        "heard": (params: [], ret: i32),
        "burn": (params: [u32], ret: u32),
        "spin": (params: []),
        "hold": (params: []),
        "ask": (params: [string, bytes], ret: any),
    }},
    subscribes: {{"bench.tick.{name}": "on_tick"}},
    publishes: {{"bench.hold": i32}},
    limits: {{{limits}}},
    permissions: {{{permissions}}},
)"""


_KEY = 0xA5A5_A5A5_A5A5_A5A5
_VARIANTS = 8

Exchange = tuple[bytes, bytes]
"""What goes in, and what must come out."""


class NoCompiler(Exception):
    """There is no clang that builds for wasm, or it failed; the text says what to do."""


def build(peer: str) -> bytes:
    """The guest for `peer`: "desk", "extism" or "raw". Raises `NoCompiler`."""
    if not shutil.which("clang") or not shutil.which("wasm-ld"):
        raise NoCompiler(f"the benchmark's guest is C: it {ADVICE}")
    command = [
        *("clang", "--target=wasm32", "-nostdlib", "-std=c99", "-O2", "-Wall", "-Wextra", "-Werror"),
        *(f"-DPEER_{peer.upper()}", f"-I{HERE.parent / 'guests' / 'c'}"),
        *("-Wl,--no-entry", "-Wl,--stack-first", "-Wl,-z,stack-size=65536"),
        *("-o", "-", str(HERE / "echo.c")),
    ]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise NoCompiler(f"clang could not build echo.c ({ADVICE}):\n{done.stderr.decode(errors='replace')}")
    return done.stdout


def exchanges(size: int) -> list[Exchange]:
    """Payloads of `size` bytes (a multiple of 8) and their answers."""
    payloads = [bytes((variant * 31 + at) % 251 for at in range(size)) for variant in range(_VARIANTS)]
    return [(payload, answer(payload)) for payload in payloads]


def answer(payload: bytes) -> bytes:
    """What `echo.c` makes of `payload`: every 64-bit word XORed with the key, and the sum of the words after them."""
    words = struct.unpack(f"<{len(payload) // 8}Q", payload)
    out = [word ^ _KEY for word in words]
    return struct.pack(f"<{len(out) + 1}Q", *out, sum(words) % (1 << 64))


def burnt(steps: int) -> int:
    """What `burn` makes of `steps`: x -> a*x + c, so many times, by squaring that map instead of taking the steps."""
    multiply, add, x = 1_664_525, 1_013_904_223, 1
    while steps:
        if steps & 1:
            x = (multiply * x + add) % (1 << 32)
        multiply, add = multiply * multiply % (1 << 32), (multiply + 1) * add % (1 << 32)
        steps >>= 1
    return x
