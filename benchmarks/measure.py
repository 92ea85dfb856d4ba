"""What "a time" is here: the median over rounds, and in every round everyone takes a turn.

The machine is shared and its speed drifts, so two numbers can be compared only if they were taken side by side. A round runs
one batch of every entry, in an order that is rotated from round to round. A batch is wall time (`perf_counter_ns`) over
hundreds of calls, after a few unmeasured ones that warm caches and wake sleeping threads; divided by the calls, it
counts what only some calls pay, such as waking a thread (Extism does, in about every other call), which a median of single
calls would show either in full or not at all. A disturbance from outside spoils some batches; the median over the rounds
does not see them. The best round is kept too: it is what a contestant can do when everything goes its way.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

WARM_UP = 5
"""Unmeasured calls before each batch."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to be timed: `batch(calls)` -> nanoseconds for all of them."""

    batch: Callable[[int], int]
    calls: int
    warm_up: int = WARM_UP


@dataclass(frozen=True, slots=True)
class Times:
    """Microseconds a call: the median of the rounds, and the best round."""

    median: float
    best: float


def interleave(entries: Mapping[str, Entry], rounds: int) -> dict[str, Times]:
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
    return {name: Times(median(times), min(times)) for name, times in taken.items()}
