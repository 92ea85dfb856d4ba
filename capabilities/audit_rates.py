"""How many records of one extension are passed on to where they cost room: a bucket for each extension and outcome.

What was allowed and what was denied are limited apart from each other, so that an extension cannot hide the one in a flood of
the other, and each extension by itself, so that it cannot hide those of others.
"""

import time
from collections.abc import Callable

from desk.capabilities.audit import AuditRecord
from desk.traces.log_rate import LogRate

RATE = 100.0
"""Records a second, of one extension and outcome."""

BURST = 1_000
"""Records that may come at once after a silence."""

SOURCES = 2_000
"""Buckets that are kept. Beyond that all are forgotten, which is: full."""


class AuditRates:
    """See the module's docstring."""

    def __init__(self, rate: float = RATE, burst: int = BURST, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds."""
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._sources: dict[tuple[str, bool], LogRate] = {}

    def take(self, record: AuditRecord) -> bool:
        """Whether this record may be passed on; then it counts as such."""
        key = record.extension, record.denied
        source = self._sources.get(key)
        if source is None:
            if len(self._sources) >= SOURCES:
                self._sources.clear()
            source = self._sources[key] = LogRate(self._rate, self._burst, self._clock)
        return source.take()
