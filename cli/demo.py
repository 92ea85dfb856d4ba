"""`desk demo`: the whole path, on real data, in a few seconds.

The example extension `weather-widget` (C) is loaded with the grants a careful operator would give, hears four years of
daily weather of Seattle as events, is asked for its statistics, which are held against Python's own from the same file,
fetches a forecast over HTTP from a server that this demo runs as `api.weather.com`, is refused another host, and draws
a card. Then one call is shown as the tree of its spans.
"""

import csv
import json
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.resources import files
from math import isclose
from pathlib import Path
from typing import TypedDict, cast

import anyio
from anyio.abc import SocketStream, TaskStatus
from opentelemetry.sdk.trace import ReadableSpan

from desk.bus.ron.text import printable
from desk.capabilities.addresses import AddressMap
from desk.cli.exits import FAILED, OK, USAGE
from desk.cli.terminal import Terminal
from desk.host import Host
from desk.traces.recorder import record_in_memory
from desk.traces.tracing import Tracing
from desk.traces.tree import render_tree

NAME = "weather-widget"
FORECAST = {"summary": "Light rain, clearing towards the evening", "high": 12.5, "low": 7.0}
GRANTS = {
    "network": ["api.weather.com:80"],
    "bus": ["subscribe:weather.observed", "publish:weather.record"],
}


class Observation(TypedDict):
    """One day, in millimetres, degrees Celsius and metres a second."""

    date: str
    precipitation: float
    temp_max: float
    temp_min: float
    wind: float
    weather: str


@dataclass(slots=True)
class Results:
    """What the demo found out; `--json` prints it."""

    events: int = 0
    events_per_second: float = 0.0
    events_per_second_traced: float = 0.0
    records: int = 0
    figures: int = 0
    wrong_figures: int = 0
    forecast: str = ""
    denied: int = 0
    denial: str = ""
    card: str = ""
    card_bytes: int = 0
    spans: int = 0

    @property
    def good(self) -> bool:
        """Whether everything was as it must be."""
        return bool(
            self.figures and not self.wrong_figures and self.forecast == FORECAST["summary"] and self.denied == 1
        )


def run(card: str, *, as_json: bool) -> int:
    """Run the demo; 0 if every figure was right, the forecast came and the denial was one."""
    folder = Path(card).absolute().parent
    if not folder.is_dir():
        print(f"desk: cannot save {card}: there is no folder {folder}", file=sys.stderr)
        return USAGE
    logging.getLogger("desk").addHandler(logging.NullHandler())  # the denial is shown as a step of its own
    terminal = Terminal()
    results = anyio.run(_demo, Path(card), _Quiet() if as_json else terminal, backend="trio")
    if as_json:
        print(json.dumps(asdict(results)))
    return OK if results.good else FAILED


class _Quiet(Terminal):
    def line(self, text: str = "") -> None:
        del text


async def _demo(card: Path, out: Terminal) -> Results:
    widget = Path(str(files("desk.examples"))) / NAME
    observations = read_observations(widget / "seattle-weather.csv")
    results = Results(events=len(observations))
    tracing, recorder = record_in_memory(limit=20_000)
    async with anyio.create_task_group() as tasks:
        port = cast(int, await tasks.start(_serve_forecasts))
        addresses = AddressMap({"api.weather.com": ("127.0.0.1", port)})
        async with Host(addresses=addresses, tracing=tracing) as host:
            await _load(host, widget, out)
            results.events_per_second_traced = await _publish(host, observations)
            async with Host(tracing=Tracing.off()) as untraced:
                await untraced.load(widget / f"{NAME}.wasm", grants=GRANTS)
                results.events_per_second = await _publish(untraced, observations)
            results.records = sum(1 for record in host.audit.records if "publish:weather.record" in record.permission)
            _step(
                out,
                "events",
                f"{len(observations):,} days of Seattle, {observations[0]['date'][:4]} to {observations[-1]['date'][:4]}: "
                f"{results.events_per_second:,.0f} events/s ({results.events_per_second_traced:,.0f} with every step "
                f"traced); {results.records} new records published back",
            )
            await _check(host, observations, results, out)
            await _forecast(host, results, out)
            await _draw(host, card, results, out)
        results.spans = len(recorder.spans)
        tasks.cancel_scope.cancel()
    call = next(span for span in recorder.spans if span.name == f"request ext.{NAME}.forecast")
    trace = [span for span in recorder.spans if _trace_id(span) == _trace_id(call)]
    out.line()
    out.line(out.style(f"One call as a trace ({results.spans:,} spans were recorded in all)", "bold"))
    out.line(render_tree(trace, ascii=out.ascii))
    out.line()
    out.line("Next: README.md shows the first extension of your own; `desk ext inspect FILE.wasm` reads any.")
    return results


def _trace_id(span: ReadableSpan) -> int:
    return span.context.trace_id if span.context else 0


def _step(out: Terminal, name: str, text: str, how: str = "green") -> None:
    out.line(f"{out.style(f'{name:>9}', how)}  {text}")


async def _load(host: Host, widget: Path, out: Terminal) -> None:
    module = widget / f"{NAME}.wasm"
    began = time.perf_counter()
    extension = await host.load(module, grants=GRANTS)
    took = (time.perf_counter() - began) * 1000
    manifest = extension.manifest
    out.line(out.style(f"{NAME} {manifest.version}: {printable(manifest.description)}", "bold"))
    _step(out, "loaded", f"{module.stat().st_size / 1024:.0f} KiB of C compiled to wasm, ready in {took:.0f} ms")
    _step(out, "asks for", ", ".join(str(atom) for atom in manifest.requested))
    _step(out, "granted", ", ".join(str(atom) for atom in extension.granted))
    for notice in extension.notices:
        _step(out, "note", notice, "yellow")


async def _publish(host: Host, observations: Sequence[Observation]) -> float:
    """Publish all, wait until all are handled, and return events per second."""
    began = time.perf_counter()
    for observation in observations:
        await host.publish("weather.observed", observation)
    await host.call(NAME, "update", {"city": "Seattle"})  # queues up behind the events
    return len(observations) / (time.perf_counter() - began)


async def _check(host: Host, observations: Sequence[Observation], results: Results, out: Terminal) -> None:
    theirs = cast("list[dict[str, float]]", await host.call(NAME, "statistics"))
    ours = statistics(observations)
    differing = [
        f"month {mine['month']:.0f} {key}: {month.get(key)} instead of {value}"
        for mine, month in zip(ours, theirs, strict=True)
        for key, value in mine.items()
        if not isclose(month.get(key, float("nan")), value, rel_tol=1e-9, abs_tol=1e-9)
    ]
    results.figures = sum(len(month) for month in ours)
    results.wrong_figures = len(differing)
    if differing:
        _step(out, "WRONG", "; ".join(differing[:5]), "red")
    else:
        _step(out, "checked", f"all {results.figures} figures equal Python's, from the same file")


async def _forecast(host: Host, results: Results, out: Terminal) -> None:
    answer = cast("dict[str, object]", await host.call(NAME, "forecast", "seattle"))
    results.forecast = str(answer["summary"])
    results.denied = host.audit.denied
    results.denial = str(answer["telemetry"])
    _step(out, "forecast", f'"{printable(results.forecast)}", over HTTP from api.weather.com (this demo, on loopback)')
    _step(out, "denied", printable(results.denial), "yellow")


async def _draw(host: Host, card: Path, results: Results, out: Terminal) -> None:
    began = time.perf_counter()
    png = cast(bytes, await host.call(NAME, "card", 960, 540))
    took = (time.perf_counter() - began) * 1000
    await anyio.Path(card).write_bytes(png)
    results.card, results.card_bytes = str(card), len(png)
    _step(out, "drawn", f"{card}: 960 x 540, {len(png) / 1024:.0f} KiB, by the extension in {took:.0f} ms; have a look")


# -- the data, and the same figures once more


def read_observations(path: Path) -> list[Observation]:
    """The rows of the file, as events."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Observation(
                date=row["date"],
                precipitation=float(row["precipitation"]),
                temp_max=float(row["temp_max"]),
                temp_min=float(row["temp_min"]),
                wind=float(row["wind"]),
                weather=row["weather"],
            )
            for row in csv.DictReader(file)
        ]


def statistics(observations: Sequence[Observation]) -> list[dict[str, float]]:
    """What the extension's `statistics` must say, computed from the rows: one entry for each calendar month."""
    months: list[dict[str, float]] = []
    for number in range(1, 13):
        days = [row for row in observations if int(row["date"][5:7]) == number]
        highs, lows = [row["temp_max"] for row in days], [row["temp_min"] for row in days]
        months.append(
            {
                "month": number,
                "days": len(days),
                "mean_max": sum(highs) / len(days),
                "mean_min": sum(lows) / len(days),
                "highest": max(highs),
                "lowest": min(lows),
                "precipitation": sum(row["precipitation"] for row in days),
                "wet_days": sum(row["precipitation"] > 0 for row in days),
            }
        )
    return months


# -- the server that plays api.weather.com


async def _serve_forecasts(*, task_status: TaskStatus[int]) -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    async with listener:
        task_status.started(listener.extra(anyio.abc.SocketAttribute.local_port))
        await listener.serve(partial(_answer, json.dumps(FORECAST).encode()))


async def _answer(body: bytes, stream: SocketStream) -> None:
    async with stream:
        request = b""
        while b"\r\n\r\n" not in request and len(request) < 65_536:
            request += await stream.receive()
        status = b"200 OK" if request.startswith(b"GET /forecast/") else b"404 Not Found"
        head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        await stream.send(head % (status, len(body)) + body)
