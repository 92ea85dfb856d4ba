"""Spans: parents, attributes, ends, and what is current meanwhile."""

from collections import deque

import anyio
import anyio.to_thread
import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode
from test_context import GOOD, MALFORMED

from desk.traces import names
from desk.traces.recorder import SpanRecorder, record_in_memory
from desk.traces.tracing import TEXT_LIMIT, Span, Tracing, Value

pytestmark = pytest.mark.anyio


def by_name(recorder: SpanRecorder) -> dict[str, ReadableSpan]:
    return {span.name: span for span in recorder.spans}


def id_of(span: ReadableSpan) -> int:
    place = span.get_span_context()
    assert place is not None
    return place.span_id


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


# Off


def test_off_hands_out_one_object_that_does_nothing() -> None:
    """Tracing that is off has no traceparent, swallows no exception and makes no objects."""
    tracing = Tracing.off()
    first = tracing.span(names.PUBLISH, "a", parent=GOOD, attributes={names.MESSAGE_ID: "1"})
    with first as span:
        span.set(names.EXTENSION, "x")
        span.event("moment")
        span.fail("some.Error", "why")
        assert span.traceparent is None
        assert not trace.get_current_span().get_span_context().is_valid
    with pytest.raises(ZeroDivisionError), first:
        raise ZeroDivisionError
    assert tracing.span(names.PROCESS, "b") is first
    assert tracing.shutdown()


# One span


def test_a_span_says_what_was_done_to_what() -> None:
    """Name, kind, the act's own attributes, the target and the caller's attributes are all on the span."""
    tracing, recorder = record_in_memory()
    attributes: dict[str, Value] = {names.MESSAGE_ID: "m1", names.QUEUE_WAIT: 0.5}
    with tracing.span(names.PROCESS, "weather.changed", attributes=attributes) as span:
        span.set(names.EXTENSION, "weather-widget")
        span.event("restored", {"bytes": 7})
    (done,) = recorder.spans
    assert (done.name, done.kind) == ("process weather.changed", SpanKind.CONSUMER)
    assert dict(done.attributes or {}) == {
        "messaging.system": "desk",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "weather.changed",
        "messaging.message.id": "m1",
        "desk.queue.wait_ms": 0.5,
        "desk.extension": "weather-widget",
    }
    assert [(event.name, dict(event.attributes or {})) for event in done.events] == [("restored", {"bytes": 7})]
    assert done.status.status_code is StatusCode.UNSET


def test_a_traceparent_makes_a_child() -> None:
    """The parent given as text is the parent, whatever span is current; the span's own traceparent names the span."""
    tracing, recorder = record_in_memory()
    with tracing.span(names.LOAD, "other"), tracing.span(names.PROCESS, "s", parent=GOOD) as span:
        text = span.traceparent
    done = by_name(recorder)["process s"]
    assert done.parent is not None
    assert f"00-{done.parent.trace_id:032x}-{done.parent.span_id:016x}-01" == GOOD
    assert text is not None
    assert text.startswith(f"00-{done.parent.trace_id:032x}-{id_of(done):016x}-")


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_traceparent_starts_a_new_trace(text: str) -> None:
    """An unreadable parent is no parent: not the sender's, and not whatever span happens to be current either."""
    tracing, recorder = record_in_memory()
    with tracing.span(names.LOAD, "other"), tracing.span(names.PROCESS, "s", parent=text):
        pass
    spans = by_name(recorder)
    assert spans["process s"].parent is None
    contexts = [span.get_span_context() for span in spans.values()]
    assert len({place.trace_id for place in contexts if place}) == 2


def test_without_a_parent_the_current_span_of_the_app_is_it() -> None:
    """An embedding app that is inside a span of its own sees our spans below it."""
    recorder, provider = SpanRecorder(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(recorder)
    app = provider.get_tracer("app")
    with app.start_as_current_span("GET /"), Tracing(provider).span(names.REQUEST, "ext.a.b"):
        pass
    spans = by_name(recorder)
    assert parent_of(spans["request ext.a.b"]) == id_of(spans["GET /"])


def test_an_unsampled_trace_stays_unsampled() -> None:
    """A span that is not recorded still passes the trace on, marked as not sampled, and can be used like any other."""
    tracing = Tracing(TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False))
    with tracing.span(names.PUBLISH, "s", parent=GOOD) as span:
        span.set(names.EXTENSION, "x")
        span.fail("some.Error")
        assert span.traceparent is not None
        assert span.traceparent.split("-")[1] == GOOD.split("-")[1]
        assert span.traceparent.endswith("0")
    with pytest.raises(ValueError, match="boom"), tracing.span(names.PUBLISH, "s"):
        raise ValueError("boom")


# How it ends


class PermissionDenied(Exception):
    """Stands for an error of a room of ours."""


PermissionDenied.__module__ = "desk.capabilities.errors"


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "error_type", "description"),
    [
        (PermissionDenied("no"), "desk.PermissionDenied", "no"),
        (TimeoutError(), "TimeoutError", None),
        (anyio.ClosedResourceError(), "anyio.ClosedResourceError", None),
        (ExceptionGroup("tasks", [ExceptionGroup("inner", [PermissionDenied("no")])]), "desk.PermissionDenied", "no"),
        (ExceptionGroup("both", [ValueError(), KeyError()]), "ExceptionGroup", "both (2 sub-exceptions)"),
        (BaseExceptionGroup("x", [KeyboardInterrupt(), ValueError("v")]), "BaseExceptionGroup", "x (2 sub-exceptions)"),
        (Unprintable(), "test_tracing.Unprintable", "(this exception cannot be printed)"),
    ],
)
def test_an_exception_makes_the_span_an_error(error: BaseException, error_type: str, description: str | None) -> None:
    """Status, error.type, description and the exception itself are recorded; a group of one counts as its member."""
    tracing, recorder = record_in_memory()
    with pytest.raises(type(error)), tracing.span(names.CALL, "network.http"):
        raise error
    (done,) = recorder.spans
    assert (done.status.status_code, done.status.description) == (StatusCode.ERROR, description)
    assert (done.attributes or {})["error.type"] == error_type
    (event,) = done.events
    assert event.name == "exception"
    assert (event.attributes or {})["exception.type"] == error_type
    assert "test_an_exception_makes" in str((event.attributes or {})["exception.stacktrace"])


def test_the_first_verdict_stands() -> None:
    """What was said with `fail` is not overwritten by the exception that follows from it."""
    tracing, recorder = record_in_memory()

    def act() -> None:
        with tracing.span(names.DECIDE, "network.http") as span:
            span.fail("desk.PermissionDenied", "not granted")
            raise ValueError("secondary")

    with pytest.raises(ValueError, match="secondary"):
        act()
    (done,) = recorder.spans
    assert (done.attributes or {})["error.type"] == "desk.PermissionDenied"
    assert done.status.description == "not granted"
    assert [event.name for event in done.events] == ["exception"]


async def test_cancellation_is_not_an_error() -> None:
    """A cancelled act says so, without an error status and without an exception."""
    tracing, recorder = record_in_memory()
    with anyio.CancelScope() as scope:
        scope.cancel()
        with tracing.span(names.CALL, "network.http"):
            await anyio.sleep_forever()
    (done,) = recorder.spans
    assert done.status.status_code is StatusCode.UNSET
    assert (done.attributes or {})[names.CANCELLED] is True
    assert not done.events
    assert not trace.get_current_span().get_span_context().is_valid


def test_nothing_an_extension_says_can_spoil_a_batch() -> None:
    """Lone surrogates, huge numbers and endless text are made encodable and bounded before they are recorded."""
    tracing, recorder = record_in_memory()
    hostile = "\ud800" + "a" * 1_000_000

    def act() -> None:
        with tracing.span(names.PROCESS, hostile, attributes={names.EXTENSION: hostile, "n": 1 << 64}) as span:
            span.set("big", 1 << 70_000)
            span.set("small", -(1 << 63))
            span.event(hostile, {"text": hostile, "number": -(1 << 64)})
            span.fail(hostile, hostile)
            raise PermissionDenied(hostile)

    with pytest.raises(PermissionDenied):
        act()
    (done,) = recorder.spans
    assert encode_spans([done]).SerializeToString()
    texts = [done.name, done.status.description, *(done.attributes or {}).values()]
    texts += [value for event in done.events for value in (event.name, *(event.attributes or {}).values())]
    assert max(len(text) for text in texts if isinstance(text, str)) <= 8 * TEXT_LIMIT
    assert (done.attributes or {})["n"] == "0x10000000000000000"
    assert (done.attributes or {})["small"] == -(1 << 63)


def test_shutdown_closes_once() -> None:
    """`shutdown` hands on what `close` said, and a second one does nothing."""
    calls: list[str] = []

    def close() -> bool:
        calls.append("closed")
        return False

    tracing = Tracing(None, close)
    assert not tracing.shutdown()
    assert tracing.shutdown()
    assert calls == ["closed"]


# Across tasks


class Mail:
    """A queue between two tasks: what a mailbox does, without the bus."""

    def __init__(self) -> None:
        self._letters: deque[tuple[str, str | None]] = deque()
        self._arrived = anyio.Event()

    def put(self, subject: str, traceparent: str | None) -> None:
        self._letters.append((subject, traceparent))
        self._arrived.set()

    async def take(self) -> tuple[str, str | None]:
        while not self._letters:
            self._arrived = anyio.Event()
            await self._arrived.wait()
        return self._letters.popleft()


async def test_a_trace_crosses_tasks_in_the_envelope() -> None:
    """Two senders interleave with one receiver that was there before them: every child is under its own parent."""
    tracing, recorder = record_in_memory()
    mail = Mail()

    async def receiver() -> None:
        for _ in range(6):
            subject, parent = await mail.take()
            with tracing.span(names.PROCESS, subject, parent=parent):
                await anyio.lowlevel.checkpoint()
                with tracing.span(names.DECIDE, subject):
                    await anyio.lowlevel.checkpoint()

    async def sender(who: str) -> None:
        with tracing.span(names.LOAD, who):
            for number in range(3):
                with tracing.span(names.PUBLISH, f"{who}.{number}") as span:
                    mail.put(f"{who}.{number}", span.traceparent)
                    await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(receiver)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(sender, "a")
        tasks.start_soon(sender, "b")

    spans = by_name(recorder)
    assert len(spans) == 2 + 3 * 6
    for who in "ab":
        assert spans[f"load {who}"].parent is None
        for number in range(3):
            subject = f"{who}.{number}"
            assert parent_of(spans[f"publish {subject}"]) == id_of(spans[f"load {who}"])
            assert parent_of(spans[f"process {subject}"]) == id_of(spans[f"publish {subject}"])
            assert parent_of(spans[f"decide {subject}"]) == id_of(spans[f"process {subject}"])
    assert not trace.get_current_span().get_span_context().is_valid


async def test_what_a_provider_uses_nests_below_its_span() -> None:
    """An instrumented library finds our span as the current one: in the task, in its children and in threads."""
    recorder, provider = SpanRecorder(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(recorder)
    library, tracing = provider.get_tracer("library"), Tracing(provider)

    def instrumented(name: str) -> None:
        library.start_span(name).end()

    async def child() -> None:
        instrumented("in a child task")

    with tracing.span(names.CALL, "network.http", parent=GOOD):
        await anyio.lowlevel.checkpoint()
        instrumented("in the task")
        await anyio.to_thread.run_sync(instrumented, "in a thread")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(child)
    instrumented("afterwards")

    spans = by_name(recorder)
    for name in ("in the task", "in a thread", "in a child task"):
        assert parent_of(spans[name]) == id_of(spans["call network.http"])
    assert spans["afterwards"].parent is None


def test_the_no_op_and_the_recorded_span_have_one_face() -> None:
    """Whoever writes against `Span` needs not know whether tracing is on."""
    tracing, _ = record_in_memory()
    assert isinstance(tracing.span(names.LOAD, "x"), Span)
    assert isinstance(Tracing.off().span(names.LOAD, "x"), Span)
