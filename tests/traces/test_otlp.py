"""From `Tracing.span` to a real OTLP receiver that is not ours, over loopback."""

import socket
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import pytest
from test_context import GOOD, SPAN, TRACE

from desk.traces import names
from desk.traces.configure import configure_from_environment

oteltap = pytest.importorskip("oteltap", reason="oteltap, the OTLP receiver, has wheels for x86-64 only")

if TYPE_CHECKING:
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]  # the receiver is asyncio's


class PermissionDenied(Exception):
    """Stands for an error of a room of ours."""


PermissionDenied.__module__ = "desk.capabilities.errors"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def denied() -> None:
    tracing = configure_from_environment()
    with tracing.span(names.PUBLISH, "weather.changed", parent=GOOD, attributes={names.MESSAGE_ID: "m1"}) as publish:
        parent = publish.traceparent
    try:
        with tracing.span(
            names.PROCESS, "weather.changed", parent=parent, attributes={names.EXTENSION: "weather-widget"}
        ) as process:
            with tracing.span(names.DECIDE, "network.http", parent=process.traceparent):
                pass
            with tracing.span(names.CALL, "network.http", parent=process.traceparent):
                raise PermissionDenied("é: not granted \ud800")
    except PermissionDenied:
        pass
    assert tracing.shutdown()


async def test_a_trace_arrives_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names, kinds, parents, attributes, status and exception are at the receiver as they were recorded."""
    port = free_port()
    monkeypatch.delenv("OTEL_SDK_DISABLED", raising=False)
    monkeypatch.delenv("OTEL_TRACES_EXPORTER", raising=False)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    settings = oteltap.OtelTapHttpProtobufReceiverSettings(http_port=port)
    received: dict[str, Span] = {}
    async with oteltap.OtelTapHttpProtobufReceiver(settings) as receiver:

        async def collect() -> None:
            async for span in receiver.stream_traces():
                received[span.name] = span
                if len(received) == 4:
                    return

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(collect)
                await anyio.to_thread.run_sync(denied)

    publish, process = received["publish weather.changed"], received["process weather.changed"]
    decide, call = received["decide network.http"], received["call network.http"]
    assert {span.trace_id.hex() for span in received.values()} == {TRACE}
    assert publish.parent_span_id.hex() == SPAN
    assert process.parent_span_id == publish.span_id
    assert decide.parent_span_id == call.parent_span_id == process.span_id
    kinds = type(publish)
    assert [span.kind for span in (publish, process, decide, call)] == [
        kinds.SPAN_KIND_PRODUCER,
        kinds.SPAN_KIND_CONSUMER,
        kinds.SPAN_KIND_INTERNAL,
        kinds.SPAN_KIND_CLIENT,
    ]
    attributes = {pair.key: pair.value.string_value for pair in publish.attributes}
    assert attributes == {
        "messaging.system": "desk",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": "weather.changed",
        "messaging.message.id": "m1",
    }
    status_error = 2  # STATUS_CODE_ERROR of the protocol
    assert [span.status.code for span in (publish, process, decide, call)] == [0, status_error, 0, status_error]
    assert call.status.message == "é: not granted ?"
    assert {pair.key: pair.value.string_value for pair in call.attributes}["error.type"] == "desk.PermissionDenied"
    assert [event.name for event in call.events] == ["exception"]
