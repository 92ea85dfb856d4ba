"""What "a time" is here: the median over rounds, and in every round everyone takes a turn.

The machine is shared and its speed drifts, so two numbers can be compared only if they were taken side by side. A round runs
one batch of every entry, in an order that is rotated from round to round. A batch is wall time (`perf_counter_ns`) over
hundreds of calls, after a few unmeasured ones that warm caches and wake sleeping threads; divided by the calls, it
counts what only some calls pay, such as waking a thread (Extism does, in about every other call), which a median of single
calls would show either in full or not at all. A disturbance from outside spoils some batches; the median over the rounds
does not see them. The best round is kept too: it is what a contestant can do when everything goes its way.

Every answer is compared with what it must be: `WrongAnswer` ends the benchmark.
"""

import itertools
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Self, TypeVar

from benchmarks.echo import Exchange

T = TypeVar("T")

WARM_UP = 5
"""Unmeasured calls before each batch."""


class WrongAnswer(Exception):
    """A contestant gave other bytes than it must: its time means nothing."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to be timed: `batch(calls)` -> nanoseconds for all of them."""

    batch: Callable[[int], int]
    calls: int
    warm_up: int = WARM_UP


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of the result: the median of the rounds, and the best round. Times of calls are in microseconds a call."""

    median: float
    best: float

    @classmethod
    def of(cls, value: float) -> Self:
        """A figure that was measured once."""
        return cls(value, value)


def interleave(entries: Mapping[str, Entry], rounds: int) -> dict[str, Figure]:
    """Time all entries, in turn, `rounds` times."""
    names = list(entries)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            entry = entries[name]
            if entry.warm_up:
                entry.batch(entry.warm_up)
            taken[name].append(entry.batch(entry.calls) / entry.calls / 1000)
    return {name: Figure(median(times), min(times)) for name, times in taken.items()}


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of `values` that at least `percent` of them do not exceed: one that was really measured."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def timed(call: Callable[[bytes], bytes | bytearray], exchanges: Sequence[Exchange], calls: int) -> int:
    """Nanoseconds that `calls` calls take, each answer checked."""
    start = time.perf_counter_ns()
    for payload, expected in itertools.islice(itertools.cycle(exchanges), calls):
        if call(payload) != expected:
            raise WrongAnswer(f"{call} gave other bytes than expected for {len(payload)} bytes")
    return time.perf_counter_ns() - start


async def timed_async(call: Callable[[T], Awaitable[object]], exchanges: Sequence[tuple[T, object]], calls: int) -> int:
    """`timed` within an event loop, for payloads of any kind."""
    start = time.perf_counter_ns()
    for payload, expected in itertools.islice(itertools.cycle(exchanges), calls):
        if await call(payload) != expected:
            asked = f"{len(payload)} bytes" if isinstance(payload, bytes) else f"{payload!r:.80}"
            raise WrongAnswer(f"{call} gave something else than expected for {asked}")
    return time.perf_counter_ns() - start


def check_heard(heard: int, expected: int) -> None:
    """The guest has counted every event, or the time is worth nothing."""
    if heard != expected:
        raise WrongAnswer(f"the guest counted {heard:,} of {expected:,} events")
