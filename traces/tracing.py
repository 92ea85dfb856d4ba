"""The one place where spans are recorded.

    with tracing.span(names.PROCESS, envelope.subject, parent=envelope.traceparent) as span:
        span.set(names.EXTENSION, "weather-widget")
        ...                                   # children: parent=span.traceparent

Between tasks a trace travels as text in the envelope, never through context variables: an actor's task was started
long before the message was sent and knows nothing of its sender. Inside the `with` the span is also OpenTelemetry's
current span, so that what a provider uses (an instrumented HTTP client, say) hangs below it by itself.

Two rules hold for a `with` of these: enter and leave it in the same task (or `detach` it in one and `attach` it in another),
and do not `yield` inside it. A generator would leave its span behind as the current span of whoever iterates.

What comes from an extension ends up in attributes, so it is bounded here, and made encodable: one lone surrogate or
one integer beyond 64 bits would otherwise cost the whole batch of spans it is exported with.
"""

import traceback
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self, cast

from opentelemetry import context as otel
from opentelemetry import trace

from desk.traces import names
from desk.traces.context import format_traceparent, parse_traceparent

Value = str | bool | int | float

TEXT_LIMIT = 1024
"""Characters of one attribute or description; the rest is cut off, with an ellipsis."""
STACK_LIMIT = 8192
"""Characters of one stack trace, counted from its end, where the cause is."""


class Span:
    """One act while it goes on. This base class records nothing: it is what a `Tracing` that is off hands out."""

    __slots__ = ()

    @property
    def traceparent(self) -> str | None:
        """The W3C traceparent for whatever is done because of this act; None if nothing is traced."""
        return None

    def set(self, key: str, value: Value) -> None:
        """Say something about the act. The keys stand in `names`."""

    def event(self, name: str, attributes: Mapping[str, Value] | None = None) -> None:
        """Note that something happened at this moment."""

    def fail(self, error_type: str, description: str = "") -> None:
        """The act failed, though no exception leaves the `with`. `error_type` is one of few: a class, a code."""

    def detach(self) -> None:
        """Inside the `with`: this task goes no further with the act. Another one may `attach`, and leave the `with` for it."""

    def attach(self) -> None:
        """The act goes on in this task."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        pass


_NOTHING = Span()


class Tracing:
    """Records spans with an OpenTelemetry provider, or nothing at all.

    The provider stays its owner's: `shutdown` calls `close` and nothing else, so a provider that the embedding app has
    set up is left alone.
    """

    __slots__ = ("_close", "_tracer", "on")

    def __init__(self, provider: trace.TracerProvider | None, close: Callable[[], bool] | None = None) -> None:
        self._tracer = None if provider is None else provider.get_tracer("desk")
        self._close = close
        self.on = provider is not None
        """Whether anything is recorded. For whoever would otherwise compute what nobody reads."""

    @classmethod
    def off(cls) -> Self:
        """Tracing that costs nothing: `span()` hands out one shared object that does nothing."""
        return cls(None)

    def span(
        self,
        act: names.Act,
        target: str,
        *,
        parent: str | None = None,
        attributes: Mapping[str, Value] | None = None,
    ) -> Span:
        """A context manager around one act; the span starts when it is entered.

        `parent` is a W3C traceparent; one that cannot be read starts a new trace. With None the parent is the current
        span of the embedding app, if it has one. An exception that leaves the `with` makes the span an error; a
        cancellation does not.
        """
        if self._tracer is None:
            return _NOTHING
        return _RecordedSpan(self._tracer, act, target, parent, attributes)

    def shutdown(self) -> bool:
        """Deliver what was recorded and stop; False if some of it could not be delivered. Blocks, for a few seconds
        at most: in an async app run it in a thread. Does nothing when tracing is off, borrowed, or shut down already.
        """
        close, self._close = self._close, None
        return True if close is None else close()


class _RecordedSpan(Span):
    __slots__ = ("_act", "_attributes", "_failed", "_parent", "_span", "_target", "_token", "_tracer")

    def __init__(
        self,
        tracer: trace.Tracer,
        act: names.Act,
        target: str,
        parent: str | None,
        attributes: Mapping[str, Value] | None,
    ) -> None:
        self._tracer = tracer
        self._act = act
        self._target = target
        self._parent = parent
        self._attributes = attributes
        self._failed = False
        self._span: trace.Span = trace.INVALID_SPAN

    @property
    def traceparent(self) -> str | None:
        return format_traceparent(self._span.get_span_context())

    def set(self, key: str, value: Value) -> None:
        self._span.set_attribute(key, _clean(value))

    def event(self, name: str, attributes: Mapping[str, Value] | None = None) -> None:
        self._span.add_event(_text(name), {key: _clean(value) for key, value in (attributes or {}).items()})

    def fail(self, error_type: str, description: str = "") -> None:
        self._failed = True
        self._span.set_attribute(names.ERROR_TYPE, _text(error_type))
        self._span.set_status(trace.StatusCode.ERROR, _text(description) or None)

    def __enter__(self) -> Self:
        target = _text(self._target)
        attributes: dict[str, Value] = {**self._act.fixed, self._act.target: target}
        for key, value in (self._attributes or {}).items():
            attributes[key] = _clean(value)
        self._span = self._tracer.start_span(
            self._act.name(target), _context_of(self._parent), self._act.kind, attributes, record_exception=False
        )
        self.attach()
        return self

    def detach(self) -> None:
        otel.detach(self._token)

    def attach(self) -> None:
        self._token = otel.attach(trace.set_span_in_context(self._span))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.detach()
        if error is not None and self._span.is_recording():
            self._record(error)
        self._span.end()

    def _record(self, error: BaseException) -> None:
        if not _is_failure(error):
            self._span.set_attribute(names.CANCELLED, True)
            return
        cause = _unwrapped(error)
        error_type, message = _type_name(cause), _message_of(cause)
        stack = "".join(traceback.format_exception(error))[-STACK_LIMIT:]
        self._span.add_event(
            "exception",
            {
                "exception.type": error_type,
                "exception.message": _text(message),
                "exception.stacktrace": _encodable(stack),
            },
        )
        if not self._failed:
            self.fail(error_type, message)


def _context_of(parent: str | None) -> otel.Context | None:
    if parent is None:
        return None
    place = parse_traceparent(parent)
    return trace.set_span_in_context(trace.INVALID_SPAN if place is None else trace.NonRecordingSpan(place))


def _unwrapped(error: BaseException) -> BaseException:
    """The error itself, where a task group has only wrapped it: `ExceptionGroup` says nothing about the cause."""
    while len(inner := _members(error)) == 1:
        error = inner[0]
    return error


def _is_failure(error: BaseException) -> bool:
    """False for cancellation and for leaving the program: those are `BaseException`, alone or in a group."""
    return isinstance(error, Exception) or any(_is_failure(inner) for inner in _members(error))


def _members(error: BaseException) -> Sequence[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        return ()
    return cast("BaseExceptionGroup[BaseException]", error).exceptions


def _type_name(error: BaseException) -> str:
    """`TimeoutError`, `httpcore.ConnectError`, `desk.PermissionDenied`: ours without the room, which may change."""
    module, name = type(error).__module__, type(error).__qualname__
    if module == "builtins":
        return name
    return f"desk.{name}" if module.startswith("desk.") else f"{module}.{name}"


def _message_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(this exception cannot be printed)"


def _clean(value: Value) -> Value:
    if isinstance(value, str):
        return _text(value)
    if type(value) is int and not -(1 << 63) <= value < 1 << 63:
        return _text(hex(value))
    return value


def _text(text: str) -> str:
    return _encodable(text if len(text) <= TEXT_LIMIT else text[: TEXT_LIMIT - 1] + "…")


def _encodable(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
