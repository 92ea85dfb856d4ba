"""Tracing as the environment asks for it, with the variables every OpenTelemetry program understands.

What decides, from the top:

1. The embedding app has set a global tracer provider: spans go there. It stays the app's to flush and to close.
2. `OTEL_SDK_DISABLED=true` or `OTEL_TRACES_EXPORTER=none`: off.
3. `OTEL_TRACES_EXPORTER` (`otlp`, `console`, or both with a comma), or an OTLP endpoint in
   `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` or `OTEL_EXPORTER_OTLP_ENDPOINT`: spans are exported.
4. Otherwise: off. A program nobody watches pays nothing.

The variables behind those (service name, resource, sampler, headers, timeout, certificate, batch sizes, limits) are
read by the SDK itself: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/.
"""

import logging
import os
import sys
from urllib.parse import urlsplit

from opentelemetry import trace

from desk.traces.errors import TracingMisconfigured
from desk.traces.tracing import Tracing

PROTOCOL = "http/protobuf"
_EXPORTERS = ("otlp", "console", "none")


def configure_from_environment() -> Tracing:
    """Tracing as the `OTEL_*` environment variables say; see the top of this file.

    `shutdown()` of what is returned delivers the last spans; it also runs when the interpreter exits.
    Raises `TracingMisconfigured` if a variable has a value we cannot act on.
    """
    provider = trace.get_tracer_provider()
    if not isinstance(provider, trace.ProxyTracerProvider):
        return Tracing(provider)
    exporters = () if _variable("OTEL_SDK_DISABLED").lower() == "true" else _exporters()
    return _exporting(exporters) if exporters else Tracing.off()


def _exporters() -> tuple[str, ...]:
    asked = [name.strip() for name in _variable("OTEL_TRACES_EXPORTER").split(",") if name.strip()]
    for name in asked:
        if name not in _EXPORTERS:
            raise TracingMisconfigured(
                f"OTEL_TRACES_EXPORTER names {name!r}, which is not available here. "
                f"Use one of {', '.join(_EXPORTERS)}; most collectors (Jaeger, Tempo, ...) take otlp."
            )
    if "none" in asked:
        if len(asked) > 1:
            raise TracingMisconfigured(
                f"OTEL_TRACES_EXPORTER={','.join(asked)} says both none and something else. Leave one of them."
            )
        return ()
    if asked:
        return tuple(dict.fromkeys(asked))
    return ("otlp",) if _endpoint()[1] else ()


def _endpoint() -> tuple[str, str]:
    """The variable that names the OTLP endpoint, and its value ("" if none is set)."""
    return _first("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


def _exporting(exporters: tuple[str, ...]) -> Tracing:
    if "otlp" in exporters:
        _check_otlp()
    # Imported here: it takes a tenth of a second, which a program that does not trace need not spend.
    from opentelemetry.exporter.otlp.proto.http import trace_exporter
    from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace import export as sdk

    from desk.traces.delivery import Closer, QuietExporter

    places: list[str] = []
    service = OTELResourceDetector().detect().attributes.get(SERVICE_NAME) or "desk"
    try:
        provider = TracerProvider(resource=Resource.create({SERVICE_NAME: service}), shutdown_on_exit=False)
        for name in exporters:
            if name == "otlp":
                exporter, place = trace_exporter.OTLPSpanExporter(), _place()
            else:
                exporter, place = sdk.ConsoleSpanExporter(out=sys.stdout), "the console"
            places.append(place)
            logger = logging.getLogger(type(exporter).__module__)
            provider.add_span_processor(sdk.BatchSpanProcessor(QuietExporter(exporter, place, logger)))
    except (ValueError, OSError) as error:  # a limit or batch size that is not a number; a certificate that is no file
        raise TracingMisconfigured(f"an OTEL_* variable has a value OpenTelemetry does not take: {error}") from error
    return Tracing(provider, Closer(provider.shutdown, " and ".join(places)).close)


def _check_otlp() -> None:
    variable, protocol = _first("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol not in ("", PROTOCOL):
        raise TracingMisconfigured(
            f"{variable}={protocol!r} is not available here, only {PROTOCOL}. Unset it, and let the endpoint be the "
            "collector's HTTP port (4318 as a rule; 4317 is gRPC)."
        )
    variable, endpoint = _endpoint()
    try:
        parts = urlsplit(endpoint)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if endpoint and not usable:
        raise TracingMisconfigured(f"{variable} is not a URL like http://localhost:4318 (with http:// or https://).")


def _place() -> str:
    """Where spans go, without the name and password a URL may hold."""
    parts = urlsplit(_endpoint()[1] or "http://localhost:4318")
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")


def _first(*variables: str) -> tuple[str, str]:
    for variable in variables:
        if value := _variable(variable):
            return variable, value
    return variables[-1], ""


def _variable(name: str) -> str:
    """The variable's value; an empty one counts as not set, as the specification says."""
    return os.environ.get(name, "").strip()
