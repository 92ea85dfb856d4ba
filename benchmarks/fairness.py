"""What a hundred endless loops do to everybody else, and whether each is stopped when it should be.

All loops are called at the same moment. While all of them run, a heartbeat sleeps for a millisecond at a time: what it sleeps
longer is the *delay* of the event loop. Another extension, which does nothing wrong, is called every 10 milliseconds; its
answer counts from when the call was *due*, so a delay of the loop is part of it.

After that window the loops reach the end of their wall time, one every 10 milliseconds: `late` is from there to when the
caller has the error in hand. Then a hundred loops with little processor time: it cannot be seen from outside when each had
used it up, but what the process has burnt in all, divided by them, is what each got, and the host's work for it. For loops
that run one at a time this is measured for each.
"""

import itertools
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from statistics import median

import anyio

from benchmarks.echo import exchanges, manifest
from benchmarks.measure import Figure, WrongAnswer, percentile
from benchmarks.plan import Finding, Setup
from desk.actors.errors import Killed
from desk.actors.limits import Limits
from desk.host import Host
from desk.traces.tracing import Tracing

BEAT = 0.001
"""Seconds that the heartbeat sleeps."""
PAUSE = 0.01
"""Seconds between calls of the good one, and between the kills."""
CPU_MS = 20
"""Processor time that each of the loops gets which end by it."""
CALM = 0.3
"""Seconds of heartbeat with nobody else: what the timers of loop and machine add by themselves."""

_AMPLE = 600_000


def run(setup: Setup) -> Iterator[Finding]:
    """The whole story, on one event loop."""
    yield from anyio.run(_measure, setup, backend=setup.backend)


async def _measure(setup: Setup) -> list[Finding]:
    limits = Limits(wall_ms=_AMPLE, cpu_ms=_AMPLE)
    async with Host(providers=(), tracing=Tracing.off(), cache_dir=setup.cache, limits=limits) as host:
        crowd = _Crowd(host, setup)
        await crowd.load()
        return [*await crowd.under_load(), *await crowd.out_of_cpu()]


class _Crowd:
    def __init__(self, host: Host, setup: Setup) -> None:
        self._host = host
        self._wasm = setup.wasm
        self._plan = setup.plan
        self._progress = setup.progress
        self._late: list[float] = []

    async def load(self) -> None:
        """The good one, which has answered before, and two kinds of endless loops, which nobody knows yet."""
        await self._load("good")
        payload, _ = exchanges(64)[0]
        await self._host.call("good", "echo", payload)
        for number in range(self._plan.loops):
            await self._load(f"loop-{number}", f"wall_ms: {self._wall_ms(number)}")
            await self._load(f"eater-{number}", f"cpu_ms: {CPU_MS}")

    async def _load(self, name: str, limits: str = "") -> None:
        await self._host.load(self._wasm, manifest=manifest(name, limits), grants="requested")

    def _wall_ms(self, number: int) -> int:
        return round((self._plan.window + number * PAUSE) * 1000)

    # -- while all of them run

    async def under_load(self) -> Iterator[Finding]:
        """Delays, answers, and how late each kill is."""
        calm: list[float] = []
        delays: list[float] = []
        answers: list[float] = []
        await _heartbeat(time.monotonic() + min(CALM, self._plan.window), calm)
        self._progress(f"{self._plan.loops} endless loops for {self._plan.window:g} s")
        end = time.monotonic() + self._plan.window
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_heartbeat, end, delays)
            tasks.start_soon(self._ask, end, answers)
            for number in range(self._plan.loops):
                tasks.start_soon(self._spin, number)
        note = f"{len(delays):,} beats"
        return iter(
            (
                Finding("loop delay with nobody else, median", Figure.of(median(calm))),
                Finding("loop delay, median", Figure.of(median(delays)), note),
                Finding("loop delay, p99", Figure.of(percentile(delays, 99)), note),
                Finding("loop delay, worst", Figure.of(max(delays)), note),
                Finding("answer of a good one, median", Figure.of(median(answers)), f"{len(answers):,} calls"),
                Finding("answer of a good one, p99", Figure.of(percentile(answers, 99))),
                Finding("answer of a good one, worst", Figure.of(max(answers))),
                Finding("wall_ms: killed late by, median", Figure.of(median(self._late)), f"{len(self._late)} loops"),
                Finding("wall_ms: killed late by, worst", Figure.of(max(self._late))),
            )
        )

    async def _ask(self, end: float, answers: list[float]) -> None:
        due = time.monotonic()
        for payload, expected in itertools.cycle(exchanges(64)):
            due += PAUSE
            if due > end:
                return
            await anyio.sleep(max(0.0, due - time.monotonic()))
            if await self._host.call("good", "echo", payload) != expected:
                raise WrongAnswer("the good extension gave other bytes than expected")
            answers.append((time.monotonic() - due) * 1000)

    async def _spin(self, number: int) -> None:
        taken = await until_killed(partial(self._host.call, f"loop-{number}", "spin", deadline=None), "wall_ms")
        self._late.append(taken * 1000 - self._wall_ms(number))

    # -- until their processor time is used up

    async def out_of_cpu(self) -> Iterator[Finding]:
        """How much each of them got beyond what it should: together, and one at a time."""
        self._progress(f"{self._plan.loops} endless loops until each has had its {CPU_MS} ms of processor time")
        loops = self._plan.loops
        before = time.process_time()
        async with anyio.create_task_group() as tasks:
            for number in range(loops):
                tasks.start_soon(self._eat, number)
        together = (time.process_time() - before) * 1000 / loops - CPU_MS
        alone: list[float] = []
        for _ in range(self._plan.repeats):
            before = time.process_time()
            await self._eat(0)
            alone.append((time.process_time() - before) * 1000 - CPU_MS)
        return iter(
            (
                Finding("cpu_ms: used beyond it, all together, mean", Figure.of(together), f"{loops} loops"),
                Finding("cpu_ms: used beyond it, one at a time, worst", Figure.of(max(alone)), f"{len(alone)} loops"),
            )
        )

    async def _eat(self, number: int) -> None:
        await until_killed(partial(self._host.call, f"eater-{number}", "spin", deadline=None), "cpu_ms")


async def _heartbeat(end: float, delays: list[float]) -> None:
    """Append the delay of each beat in milliseconds, until `end` (`time.monotonic()`)."""
    while (start := time.monotonic()) < end:
        await anyio.sleep(BEAT)
        delays.append((time.monotonic() - start - BEAT) * 1000)


async def until_killed(call: Callable[[], Awaitable[object]], limit: str) -> float:
    """Seconds until the call ends as it must."""
    start = time.monotonic()
    try:
        await call()
    except Killed as error:
        if error.limit == limit:
            return time.monotonic() - start
        raise WrongAnswer(f"an endless loop was killed by {error.limit}, not by {limit}") from error
    raise WrongAnswer("an endless loop ended by itself")
