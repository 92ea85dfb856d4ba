"""The profile `deterministic`, through a whole host: the same input gives the same output, fuel, requests and events.

The guest is C, compiled here: floats that go wild, NaN, the time, random numbers, requests, events, and what `context()` says. A
second host runs it while another guest takes every slice it can get, and answers its requests later: the guest is
interrupted at other places and goes on in worker threads, and must not be able to tell.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from ledger import Ledger
from toolbox import build_c, extension

from desk.actors.errors import Killed
from desk.actors.limits import Limits
from desk.actors.wasm import with_custom_section
from desk.host import Host
from desk.traces.tracing import Tracing

pytestmark = pytest.mark.anyio

SOURCE = """
#include <math.h>
#include <time.h>
#include <unistd.h>
#include "desk.h"

static double x = 0.25;
static uint8_t out[512];

DESK_EXPORT("step") void step(uint32_t turns) {
    desk_writer w = desk_writer_to(out, sizeof out), number;
    uint8_t random[8], word[8];
    struct timespec now;
    double wild, nan;
    uint64_t bits, context = desk_context(), answer;
    uint32_t i, asked;
    static uint8_t said[256];

    for (i = 0; i < turns; i++) x = 3.99 * x * (1.0 - x);      /* chaotic: one bit of difference becomes all */
    wild = x / 3.0 + sqrt(x) * 1e-7;
    nan = (x - x) / (x - x);
    getentropy(random, sizeof random);
    clock_gettime(CLOCK_REALTIME, &now);
    asked = (uint32_t)(x * 4294967295.0) ^ random[0] ^ (uint32_t)now.tv_nsec;
    number = desk_writer_to(word, sizeof word);
    desk_put_uint(&number, asked);
    answer = desk_request("cap.ledger", 10, word, number.len);
    desk_publish("oracle.said", 11, word, number.len);
    desk_read_all(DESK_HANDLE(context), DESK_LENGTH(context), said, sizeof said);

    desk_put_array(&w, 6);
    desk_put_float(&w, wild);
    __builtin_memcpy(&bits, &nan, sizeof bits);
    desk_put_uint(&w, bits);
    desk_put_bytes(&w, random, sizeof random);
    desk_put_uint(&w, (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000);
    desk_put_uint(&w, DESK_LENGTH(answer));
    desk_put_bytes(&w, said, DESK_LENGTH(context));
    desk_reply(out, w.len);
}
"""

MANIFEST = """(name: "oracle", api_version: "0.1", profile: "deterministic",
    exports: {"step": (params: [u32], ret: any)}, publishes: {"oracle.said": u32},
    permissions: {filesystem: ["read:/ledger"]},
)"""

NOISE = extension(
    '(name: "noise", api_version: "0.1", exports: {"spin": (params: []), "nop": (params: [])})',
    '(func (export "spin") (loop (br 0))) (func (export "nop"))',
)

TURNS = (1, 50_000_000, 7, 3_000_000)
"""What the guest is asked: two of them take it many slices."""


@dataclass(frozen=True)
class Run:
    """All that can be seen of the guest from outside."""

    answers: Sequence[object]
    requests: Sequence[int]
    events: Sequence[object]
    fuel: int


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The guest, compiled."""
    folder = tmp_path_factory.mktemp("oracle")
    (folder / "oracle.c").write_text(SOURCE)
    wasm = build_c(folder / "oracle.c", folder / "oracle.wasm", "-lm")
    return with_custom_section(wasm, "desk:manifest", MANIFEST.encode())


async def ran(wasm: bytes, cache: Path, *, seed: int = 0, disturbed: bool = False) -> Run:
    """One run in a host of its own."""
    ledger = Ledger(turns=40 if disturbed else 1)
    limits = Limits(wall_ms=60_000, cpu_ms=60_000)
    async with Host(cache_dir=cache, tracing=Tracing.off(), limits=limits, providers=[ledger]) as host:
        await host.load(NOISE)
        await host.load(wasm, grants="requested", seed=seed)
        answers: list[object] = []
        events: list[object] = []
        async with anyio.create_task_group() as tasks, host.subscribe("oracle.*") as heard:
            tasks.start_soon(host.call, "noise", "spin" if disturbed else "nop")
            await anyio.sleep(0.02)
            for turns in TURNS:
                answers.append(await host.call("oracle", "step", turns, deadline=None))
                events.append((await anext(heard)).value)
            tasks.cancel_scope.cancel()
        statistics = next(each for each in host.extensions() if each.name == "oracle").statistics
        return Run(answers, ledger.asked, events, statistics.fuel)


async def test_the_same_input_gives_the_same_output_fuel_requests_and_events(oracle: bytes, tmp_path: Path) -> None:
    """Whatever else happens in the host, and however late it is answered."""
    calm = await ran(oracle, tmp_path / "cache")
    assert await ran(oracle, tmp_path / "cache", disturbed=True) == calm
    assert calm.fuel > sum(TURNS)
    assert calm.requests == calm.events
    assert len(set(calm.requests)) == len(TURNS)


async def test_fuel_is_counted_once(tmp_path: Path) -> None:
    """A call that was killed by another limit has come to no end: it adds nothing, and not what the one before it used."""
    limits = Limits(cpu_ms=20)
    async with Host(cache_dir=tmp_path / "cache", tracing=Tracing.off(), limits=limits) as host:
        await host.load(NOISE, profile="deterministic")
        await host.call("noise", "nop")
        before = host.extensions()[0].statistics.fuel
        assert before > 0
        with pytest.raises(Killed):
            await host.call("noise", "spin")
        assert host.extensions()[0].statistics.fuel == before


async def test_another_seed_gives_another_run(oracle: bytes, tmp_path: Path) -> None:
    """The seed is what differs: randomness, and with it what is asked and said."""
    one, other = await ran(oracle, tmp_path / "cache", seed=1), await ran(oracle, tmp_path / "cache", seed=2)
    assert one.requests != other.requests
    assert one != other
