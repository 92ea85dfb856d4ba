"""Tracing from the standard environment variables."""

import os
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider

from desk.traces import names
from desk.traces.configure import configure_from_environment
from desk.traces.errors import TracingMisconfigured
from desk.traces.recorder import SpanRecorder
from desk.traces.tracing import Tracing

GONE = "http://127.0.0.1:9"
"""A URL that is only configured, never used."""


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever `OTEL_*` the developer has set does not reach these tests."""
    for variable in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(variable)


@pytest.fixture
def tracing() -> Iterator[list[Tracing]]:
    """What a test puts in here is shut down after it."""
    opened: list[Tracing] = []
    yield opened
    for each in opened:
        each.shutdown()


def is_on(tracing: Tracing) -> bool:
    with tracing.span(names.LOAD, "x") as span:
        return span.traceparent is not None


OFF = {
    "nothing set": {},
    "empty counts as not set": {"OTEL_TRACES_EXPORTER": "", "OTEL_EXPORTER_OTLP_ENDPOINT": " "},
    "disabled": {"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": GONE},
    "disabled, whatever else is wrong": {"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "zipkin"},
    "no exporter": {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": GONE},
    "an endpoint for another signal": {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": GONE},
}


@pytest.mark.parametrize("variables", OFF.values(), ids=OFF.keys())
def test_off_unless_asked_for(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a word to the contrary nothing is traced."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert not is_on(configure_from_environment())


ON = {
    "endpoint": {"OTEL_EXPORTER_OTLP_ENDPOINT": GONE},
    "traces endpoint": {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{GONE}/v1/traces"},
    "exporter alone": {"OTEL_TRACES_EXPORTER": "otlp"},
    "console": {"OTEL_TRACES_EXPORTER": "console"},
    "both": {"OTEL_TRACES_EXPORTER": "otlp, console"},
    "protocol spelled out": {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
    "protocol for traces wins": {
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
    },
    "protocol is no matter to the console": {
        "OTEL_TRACES_EXPORTER": "console",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    },
}


@pytest.mark.parametrize("variables", ON.values(), ids=ON.keys())
def test_on_when_asked_for(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, tracing: list[Tracing]) -> None:
    """An exporter or an endpoint turns tracing on. (The sampler drops the spans: nothing is sent anywhere.)"""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    tracing.append(configure_from_environment())
    assert is_on(tracing[0])
    assert tracing[0].shutdown()


WRONG = {
    "exporter": ({"OTEL_TRACES_EXPORTER": "zipkin"}, ["OTEL_TRACES_EXPORTER", "'zipkin'", "otlp, console, none"]),
    "none and more": ({"OTEL_TRACES_EXPORTER": "none,otlp"}, ["none,otlp", "Leave one"]),
    "grpc": (
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        ["OTEL_EXPORTER_OTLP_PROTOCOL='grpc'", "http/protobuf", "4318"],
    ),
    "json": (
        {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"},
        ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL='http/json'"],
    ),
    "endpoint without a scheme": (
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "localhost:4318"},
        ["OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318"],
    ),
    "endpoint with a broken port": (
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:abc"},
        ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"],
    ),
    "batch larger than the queue": (
        {"OTEL_TRACES_EXPORTER": "console", "OTEL_BSP_MAX_QUEUE_SIZE": "1", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2"},
        ["OTEL_*", "max_export_batch_size"],
    ),
    "limit that is no number": (
        {"OTEL_TRACES_EXPORTER": "console", "OTEL_SPAN_EVENT_COUNT_LIMIT": "many"},
        ["OTEL_SPAN_EVENT_COUNT_LIMIT", "many"],
    ),
}


@pytest.mark.parametrize(("variables", "said"), WRONG.values(), ids=WRONG.keys())
def test_what_we_cannot_do_is_said(variables: dict[str, str], said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong value is an error that names the variable and what to do, before anything has started."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TracingMisconfigured) as caught:
        configure_from_environment()
    for word in said:
        assert word in str(caught.value)


def test_a_password_in_the_endpoint_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The complaint about an endpoint names the variable and keeps its value to itself."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://me:secret@host")
    with pytest.raises(TracingMisconfigured) as caught:
        configure_from_environment()
    assert "secret" not in str(caught.value)


def test_the_provider_of_the_app_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider the app has set is used whatever the environment says, and stays open when we shut down."""
    recorder, provider = SpanRecorder(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(recorder)
    monkeypatch.setattr("opentelemetry.trace._TRACER_PROVIDER", provider)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    tracing = configure_from_environment()
    assert is_on(tracing)
    assert tracing.shutdown()
    assert is_on(tracing)
    assert len(recorder.spans) == 2


@pytest.mark.parametrize(
    ("variables", "service"),
    [
        ({}, '"service.name": "desk"'),
        ({"OTEL_SERVICE_NAME": "shop"}, '"service.name": "shop"'),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=shop,team=a"}, '"service.name": "shop"'),
        ({"OTEL_RESOURCE_ATTRIBUTES": "team=a"}, '"team": "a"'),
    ],
)
def test_the_console_shows_finished_spans_at_shutdown(
    variables: dict[str, str],
    service: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tracing: list[Tracing],
) -> None:
    """The console exporter writes the last spans during `shutdown`, under the service's name (desk if it has none)."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    tracing.append(configure_from_environment())
    with tracing[0].span(names.LOAD, "weather-widget"):
        pass
    assert tracing[0].shutdown()
    shown = capsys.readouterr()
    assert '"name": "load weather-widget"' in shown.out
    assert service in shown.out
    assert shown.err == ""
