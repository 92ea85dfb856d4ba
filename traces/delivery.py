"""Gets spans out of the process without ever getting in its way.

The SDK's exporters are written for servers with log files: when the collector is away they log every attempt, and at
exit they may block for half a minute. At a terminal that is noise over the user's work. So an exporter is wrapped
(`QuietExporter`): one line when spans stop arriving, nothing more until they arrive again. And the provider is closed
by a thread that waits for the word (`Closer`), so that whoever closes it can stop waiting.
"""

import atexit
import logging
import threading
from collections.abc import Callable, Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

log = logging.getLogger("desk.traces")

CLOSE_SECONDS = 3.0
"""How long `Closer.close` waits for the last spans to be delivered. The SDK would wait 30 s."""
_REASON_LIMIT = 300


class QuietExporter(SpanExporter):
    """Passes spans to `inner` and turns everything it has to say into at most one warning for each outage.

    `place` names where the spans go, for the warning. `logger` is where `inner` complains; what it says there *while
    exporting for us* is kept from the log and used as the reason. What it says for anyone else is not touched.
    """

    def __init__(self, inner: SpanExporter, place: str, logger: logging.Logger) -> None:
        self._inner = inner
        self._place = place
        self._logger = logger
        self._complaints = _Complaints()
        self._arriving = True
        logger.addFilter(self._complaints)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self._complaints as reasons:
            try:
                result = self._inner.export(spans)
            except Exception as error:
                result = SpanExportResult.FAILURE
                reasons.append(f"{type(error).__name__}: {error}")
        arrived = result is SpanExportResult.SUCCESS
        if self._arriving and not arrived:
            reason = ascii(reasons[0] if reasons else "no reason given")[1:-1][:_REASON_LIMIT]
            log.warning(
                "Traces do not arrive at %s (%s). The program goes on without them and tries again silently; "
                "OTEL_TRACES_EXPORTER=none turns tracing off.",
                self._place,
                reason,
            )
        elif arrived and not self._arriving:
            log.info("Traces arrive at %s again.", self._place)
        self._arriving = arrived
        return result

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)

    def shutdown(self) -> None:
        with self._complaints:
            self._inner.shutdown()
        self._logger.removeFilter(self._complaints)


class _Complaints(logging.Filter):
    """Collects what is logged by the current thread inside a `with` of it; lets everything else pass."""

    def __init__(self) -> None:
        super().__init__()
        self._local = threading.local()

    def __enter__(self) -> list[str]:
        self._local.reasons = reasons = list[str]()
        return reasons

    def __exit__(self, *exc_info: object) -> None:
        self._local.reasons = None

    def filter(self, record: logging.LogRecord) -> bool:
        reasons: list[str] | None = getattr(self._local, "reasons", None)
        if reasons is None:
            return True
        reasons.append(record.getMessage())
        return False


class Closer:
    """Runs `shutdown` once, on `close()` or when the interpreter exits, and waits for it for a few seconds only.

    `place` names where the spans go, for the warning. The thread is started beforehand, because a Python that is
    exiting (3.12 and later) starts no new ones.
    """

    def __init__(self, shutdown: Callable[[], object], place: str, seconds: float = CLOSE_SECONDS) -> None:
        self._shutdown = shutdown
        self._place = place
        self._seconds = seconds
        self._asked = threading.Event()
        self._ended = threading.Event()
        self._clean = False
        self._thread = threading.Thread(target=self._run, name="desk-traces-close", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def close(self) -> bool:
        """True if `shutdown` came to a good end in time. If it did not, it goes on by itself for as long as it can."""
        atexit.unregister(self.close)
        self._asked.set()
        if not self._thread.is_alive() and not self._ended.is_set():  # a forked child inherits no threads
            self._run()
        if not self._ended.wait(self._seconds):
            log.warning("The last traces did not reach %s within %g s; they are lost.", self._place, self._seconds)
        return self._clean

    def _run(self) -> None:
        self._asked.wait()
        try:
            self._shutdown()
            self._clean = True
        except Exception as error:
            log.warning("Tracing could not be shut down: %s: %s", type(error).__name__, error)
        finally:
            self._ended.set()
