"""The work of the group `bus`: the values that are sent, what is done with each, and how its time is taken.

A value is encoded once by who sends it and decoded by each who receives it, with our strict codec, whoever carries it. What
comes out is compared with what went in; the values differ from each other, so one that is lost, late or twice is noticed.

A contestant is an async context manager, entered once on each event loop. It gives a `Batch`.
"""

import itertools
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

import anyio

from benchmarks.measure import WrongAnswer, timed_async
from desk.bus.codec import Value

VALUES: tuple[Value, ...] = tuple(
    {"city": "Bergen", "tmax": 11.5 + number, "unit": "C", "n": number} for number in range(8)
)

DEADLINE = 30.0
"""Seconds after which a sender gives up: the default of our bus, and set for the peers."""

CAPACITY = 256
"""Messages that wait for one receiver: the same."""

Batch: TypeAlias = Callable[[int], Awaitable[int]]
"""`await batch(calls)` -> nanoseconds."""

Contestant: TypeAlias = AbstractAsyncContextManager[Batch]


def asking(ask: Callable[[Value], Awaitable[object]]) -> Batch:
    """Round trips to somebody who gives back what it is given, one after the other."""
    exchanges = [(value, value) for value in VALUES]

    async def batch(calls: int) -> int:
        return await timed_async(ask, exchanges, calls)

    return batch


class Audience:
    """Receivers who compare what they get with what was sent: the same values, again and again."""

    def __init__(self, receivers: int) -> None:
        self._receivers = receivers
        self._values = itertools.cycle(VALUES)
        self._missing = self._wrong = 0
        self._all_heard = anyio.Event()

    def receiver(self) -> Callable[[object], None]:
        """What one of them does with each value."""
        expected = itertools.cycle(VALUES)

        def hear(value: object) -> None:
            self._wrong += value != next(expected)
            self._missing -= 1
            if not self._missing:
                self._all_heard.set()

        return hear

    def sending(self, send: Callable[[Value], Awaitable[object]]) -> Batch:
        """Values sent one after the other, as fast as that goes, until all receivers have heard the last."""

        async def batch(calls: int) -> int:
            self._missing, self._all_heard = calls * self._receivers, anyio.Event()
            start = time.perf_counter_ns()
            for value in itertools.islice(self._values, calls):
                await send(value)
            await self._all_heard.wait()
            elapsed = time.perf_counter_ns() - start
            if self._wrong or self._missing:
                raise WrongAnswer(f"of {calls} events for {self._receivers}, {self._wrong} were not what was sent")
            return elapsed

        return batch
