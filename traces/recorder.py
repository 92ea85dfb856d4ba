"""Keeps finished spans in memory, for the terminal and for tests.

A recorder is an ordinary OpenTelemetry span processor, so it stands beside any exporter. It holds a bounded number of
spans and forgets the oldest first: it may run for as long as the program does.
"""

import threading
from collections import deque

from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from desk.traces.tracing import Tracing

DEFAULT_LIMIT = 10_000
"""Spans kept; about 3 KB each."""


class SpanRecorder(SpanProcessor):
    """The last `limit` finished spans, in the order in which they finished (children before their parents)."""

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        if limit < 1:
            raise ValueError(f"a SpanRecorder keeps at least 1 span, not {limit}")
        self._lock = threading.Lock()
        self._spans: deque[ReadableSpan] = deque(maxlen=limit)
        self._finished = 0

    def on_end(self, span: ReadableSpan) -> None:
        with self._lock:
            self._spans.append(span)
            self._finished += 1

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """The spans that are kept now, the oldest first."""
        with self._lock:
            return tuple(self._spans)

    @property
    def dropped(self) -> int:
        """How many finished spans are no longer here because newer ones took their place."""
        with self._lock:
            return self._finished - len(self._spans)

    def clear(self) -> None:
        """Forget all spans, and that any were dropped."""
        with self._lock:
            self._spans.clear()
            self._finished = 0


def record_in_memory(limit: int = DEFAULT_LIMIT) -> tuple[Tracing, SpanRecorder]:
    """Tracing that goes nowhere but into the recorder returned with it. Every span is recorded."""
    recorder = SpanRecorder(limit)
    provider = TracerProvider(
        sampler=ALWAYS_ON, resource=Resource.create({SERVICE_NAME: "desk"}), shutdown_on_exit=False
    )
    provider.add_span_processor(recorder)
    return Tracing(provider), recorder
