"""Delivery that never gets in the way: against real sockets, with the real exporter."""

import logging
import socket
import threading
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)

from desk.traces import names
from desk.traces.delivery import Closer, QuietExporter
from desk.traces.tracing import Tracing

SDK_LOG = logging.getLogger(trace_exporter.__name__)
OURS = "desk.traces"


class Scripted(SpanExporter):
    """An exporter whose results are given: what it would be an accident to meet with a real collector."""

    def __init__(self, results: Sequence[SpanExportResult | Exception]) -> None:
        self._results = iter(results)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        SDK_LOG.error("Failed to export: the wire is cut\n\x1b[31m")
        result = next(self._results)
        if isinstance(result, Exception):
            raise result
        return result


def one_span(tracing: Tracing) -> None:
    with tracing.span(names.LOAD, "x"):
        pass


def tracing_into(exporter: SpanExporter) -> Tracing:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Tracing(provider)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port where connections are taken and never answered."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_an_outage_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """However many exports fail, there is one warning, with the exporter's own reason; the next outage has its own."""
    bad, good = SpanExportResult.FAILURE, SpanExportResult.SUCCESS
    exporter = QuietExporter(Scripted([bad, bad, OSError("gone"), good, OSError("gone"), bad]), "there", SDK_LOG)
    tracing = tracing_into(exporter)
    with caplog.at_level(logging.INFO):
        for _ in range(6):
            one_span(tracing)
    assert [(record.name, record.levelname) for record in caplog.records] == [
        (OURS, "WARNING"),
        (OURS, "INFO"),
        (OURS, "WARNING"),
    ]
    first = caplog.records[0].getMessage()
    assert "there" in first
    assert "the wire is cut\\n\\x1b[31m" in first
    assert "\n" not in first
    exporter.shutdown()


def test_other_users_of_the_exporter_keep_their_log(caplog: pytest.LogCaptureFixture) -> None:
    """What the SDK logs outside our exports, or in another thread meanwhile, stays in the log."""
    during, after = threading.Event(), threading.Event()

    class Slow(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            during.set()
            after.wait()
            SDK_LOG.error("ours")
            return SpanExportResult.SUCCESS

    exporter = QuietExporter(Slow(), "there", SDK_LOG)
    thread = threading.Thread(target=exporter.export, args=[[]])
    thread.start()
    during.wait()
    SDK_LOG.error("theirs, meanwhile")
    after.set()
    thread.join()
    SDK_LOG.error("theirs, afterwards")
    exporter.shutdown()
    assert [record.getMessage() for record in caplog.records] == ["theirs, meanwhile", "theirs, afterwards"]


def test_a_collector_that_is_not_there_is_one_line(closed_port: int, caplog: pytest.LogCaptureFixture) -> None:
    """With the real exporter and a refused connection: one warning that names the place and the reason."""
    exporter = trace_exporter.OTLPSpanExporter(f"http://127.0.0.1:{closed_port}/v1/traces", timeout=0.2)
    tracing = tracing_into(QuietExporter(exporter, f"http://127.0.0.1:{closed_port}", SDK_LOG))
    one_span(tracing)
    one_span(tracing)
    (record,) = caplog.records
    assert record.name == OURS
    assert f"http://127.0.0.1:{closed_port}" in record.getMessage()
    assert record.exc_info is None


def test_a_collector_that_never_answers_does_not_hold_us_up(silent_port: int, caplog: pytest.LogCaptureFixture) -> None:
    """`shutdown` gives up after its few seconds, says False, and leaves no traceback behind."""
    exporter = trace_exporter.OTLPSpanExporter(f"http://127.0.0.1:{silent_port}/v1/traces", timeout=2)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(QuietExporter(exporter, "there", SDK_LOG)))
    tracing = Tracing(provider, Closer(provider.shutdown, "there", seconds=0.1).close)
    one_span(tracing)
    assert tracing.shutdown() is False
    assert [record.exc_info for record in caplog.records] == [None]
    for thread in threading.enumerate():  # it goes on by itself: let it come to its end before the socket closes
        if thread.name == "desk-traces-close":
            thread.join()


def test_closing_runs_shutdown_once() -> None:
    """Closing twice shuts down once and both say it is done."""
    calls: list[int] = []
    closer = Closer(lambda: calls.append(1), "there")
    assert closer.close()
    assert closer.close()
    assert calls == [1]


def test_a_shutdown_that_raises_is_not_a_delivery(caplog: pytest.LogCaptureFixture) -> None:
    """A provider that fails to shut down is reported as undelivered, in one line and without a traceback."""

    def broken() -> None:
        raise RuntimeError("the exporter's fault")

    assert Closer(broken, "there").close() is False
    assert [(record.name, record.exc_info) for record in caplog.records] == [(OURS, None)]
