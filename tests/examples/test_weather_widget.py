"""examples/weather-widget: what its sources build, and that the ready-made module tells the truth about four real years."""

import csv
import json
import logging
import math
import struct
import subprocess
import zlib
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from loopback import Pages, serving
from toolbox import ROOT, require_clang

from desk.actors.admission import MANIFEST_SECTION
from desk.actors.errors import GuestFailed
from desk.actors.wasm import read_module
from desk.bus.types import InvalidValue
from desk.capabilities.addresses import AddressMap
from desk.host import Host
from desk.traces.tracing import Tracing

pytestmark = pytest.mark.anyio

WIDGET = ROOT / "examples" / "weather-widget"
READY = (WIDGET / "weather-widget.wasm").read_bytes()

Day = dict[str, object]
GRANTS = {"network": ["api.weather.com:80"], "bus": ["subscribe:weather.observed", "publish:weather.record"]}


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where compiled code is kept, for all tests here."""
    return tmp_path_factory.mktemp("widget")


@pytest.fixture(scope="session")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The module that `build.sh` makes of the sources."""
    require_clang()
    output = tmp_path_factory.mktemp("rebuilt") / "weather-widget.wasm"
    done = subprocess.run(["sh", WIDGET / "build.sh", output], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return output.read_bytes()


@asynccontextmanager
async def hosting(cache: Path, wasm: bytes = READY, addresses: AddressMap | None = None) -> AsyncGenerator[Host]:
    """A host without traces, the widget loaded with its grants."""
    async with Host(cache_dir=cache / "modules", addresses=addresses, tracing=Tracing.off()) as host:
        await host.load(wasm, grants=GRANTS)
        yield host


def observed() -> list[Day]:
    """The rows of the CSV file, as events."""
    numbers = ("precipitation", "temp_max", "temp_min", "wind")
    with (WIDGET / "seattle-weather.csv").open(newline="") as file:
        return [{**row, **{name: float(row[name]) for name in numbers}} for row in csv.DictReader(file)]


DAYS = observed()


async def card(host: Host, width: int, height: int) -> bytes:
    """The card of that size."""
    png = await host.call("weather-widget", "card", width, height)
    assert isinstance(png, bytes)
    return png


# -- the build


def test_the_sources_make_the_ready_module(rebuilt: bytes) -> None:
    """Rebuilt, it has the exports, imports, memory and manifest of the committed one."""
    ours, ready = read_module(rebuilt), read_module(READY)
    assert {name: (each.kind, each.type) for name, each in ours.exports.items()} == {
        name: (each.kind, each.type) for name, each in ready.exports.items()
    }
    assert {(each.module, each.name, each.type) for each in ours.imports} == {
        (each.module, each.name, each.type) for each in ready.imports
    }
    assert ours.memories == ready.memories
    manifest = (WIDGET / "manifest.ron").read_bytes()
    for module, wasm in ((ours, rebuilt), (ready, READY)):
        assert [section.contents(wasm) for section in module.custom_named(MANIFEST_SECTION)] == [manifest]


async def test_the_rebuilt_module_behaves_as_the_ready_one(cache: Path, rebuilt: bytes) -> None:
    """The same days make the same statistics, and the same pictures to the byte."""
    told: list[object] = []
    for wasm in (READY, rebuilt):
        async with hosting(cache, wasm) as host:
            for day in DAYS[100:500:7]:
                await host.publish("weather.observed", day)
            told.append(
                [
                    await host.call("weather-widget", "statistics"),
                    *[await card(host, width, height) for width, height in ((960, 540), (333, 222))],
                ]
            )
    assert told[0] == told[1]


# -- the figures


def expected_statistics(days: list[Day]) -> list[dict[str, float]]:
    """The figures of each month, computed here, from the file alone."""
    months: list[dict[str, float]] = []
    for month in range(1, 13):
        rows = [day for day in days if int(str(day["date"])[5:7]) == month]
        if not rows:
            continue
        high, low, rain = (
            [float(str(row[name])) for row in rows] for name in ("temp_max", "temp_min", "precipitation")
        )
        months.append(
            {
                "month": month,
                "days": len(rows),
                "mean_max": math.fsum(high) / len(rows),
                "mean_min": math.fsum(low) / len(rows),
                "highest": max(high),
                "lowest": min(low),
                "precipitation": math.fsum(rain),
                "wet_days": sum(amount > 0 for amount in rain),
            }
        )
    return months


async def test_four_years_of_seattle_are_counted_right(cache: Path) -> None:
    """All 1,461 days, published as events, make the figures that Python computes from the file."""
    assert len(DAYS) == 1461
    async with hosting(cache) as host:
        for day in DAYS:
            assert await host.publish("weather.observed", day) == 1
        statistics = await host.call("weather-widget", "statistics")
        assert isinstance(statistics, list)
        expected = expected_statistics(DAYS)
        assert len(statistics) == len(expected) == 12
        for ours, theirs in zip(expected, statistics, strict=True):
            assert theirs == pytest.approx(ours, rel=1e-12)
        counts = host.extensions()[0].statistics
        assert (counts.handled, counts.failed, counts.instances) == (1462, 0, 1)


async def test_a_day_told_twice_counts_once(cache: Path) -> None:
    """Events may come twice and in any order: the figures are the same."""
    async with hosting(cache) as host:
        for day in [*reversed(DAYS[:60]), *DAYS[:60]]:
            await host.publish("weather.observed", day)
        statistics = await host.call("weather-widget", "statistics")
        assert isinstance(statistics, list)
        for ours, theirs in zip(expected_statistics(DAYS[:60]), statistics, strict=True):
            assert theirs == pytest.approx(ours, rel=1e-12)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"date": "2015-02-29"}, "a day like"),
        ({"date": "yesterday"}, "a day like"),
        ({"temp_max": math.nan}, "cannot be a day's weather"),
        ({"temp_max": -5.0, "temp_min": 5.0}, "cannot be a day's weather"),
    ],
)
async def test_an_impossible_day_changes_nothing(cache: Path, change: Day, reason: str) -> None:
    """The extension fails with words, keeps its state, and counts nothing."""
    async with hosting(cache) as host:
        await host.publish("weather.observed", DAYS[0])
        before = await host.call("weather-widget", "statistics")
        with pytest.raises(GuestFailed, match=reason):
            await host.call("weather-widget", "on_observed", {**DAYS[1], **change})
        assert await host.call("weather-widget", "statistics") == before


def expected_records(days: list[Day]) -> Iterator[dict[str, object]]:
    """New extremes, once a year of days is known."""
    high, low = -math.inf, math.inf
    for number, day in enumerate(days):
        date = str(day["date"]).replace("/", "-")
        warmest, coldest = float(str(day["temp_max"])), float(str(day["temp_min"]))
        if warmest > high:
            high = warmest
            if number >= 365:
                yield {"date": date, "kind": "high", "value": high}
        if coldest < low:
            low = coldest
            if number >= 365:
                yield {"date": date, "kind": "low", "value": low}


async def test_new_records_are_heard(cache: Path) -> None:
    """A Python subscriber hears every record of the four years, in order, from the extension, and nothing else."""
    expected = list(expected_records(DAYS))
    assert len(expected) > 2
    async with hosting(cache) as host, host.subscribe("weather.record", capacity=len(expected) + 1) as events:
        for day in DAYS:
            await host.publish("weather.observed", day)
        await host.call("weather-widget", "statistics")  # queued up behind the days: all records are out
        end = {"date": "the end", "kind": "none", "value": 0.0}
        assert await host.publish("weather.record", end) == 1
        heard = [await anext(events) for _ in range(len(expected) + 1)]
        assert [event.value for event in heard] == [*expected, end]
        assert {event.sender for event in heard[:-1]} == {"weather-widget"}


# -- the card


def pixels(png: bytes) -> tuple[int, int, bytes]:
    """Width, height and unfiltered-yet rows of a PNG of 8-bit RGB; asserts everything that the format promises."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    chunks: list[tuple[bytes, bytes]] = []
    at = 8
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        data = png[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", png, at + 8 + length)[0] == zlib.crc32(kind + data)
        chunks.append((kind, data))
        at += 12 + length
    assert at == len(png)
    kinds = [kind for kind, _ in chunks]
    assert kinds[0] == b"IHDR"
    assert kinds[-1] == b"IEND"
    assert set(kinds[1:-1]) == {b"IDAT"}
    assert chunks[-1][1] == b""
    width, height, *rest = struct.unpack(">IIBBBBB", chunks[0][1])
    assert rest == [8, 2, 0, 0, 0]
    inflate = zlib.decompressobj()
    rows = inflate.decompress(b"".join(data for kind, data in chunks if kind == b"IDAT")) + inflate.flush()
    assert inflate.eof
    assert not inflate.unused_data
    return width, height, rows


@pytest.mark.parametrize(
    ("width", "height"), [(960, 540), (200, 120), (2000, 1500), (200, 1500), (2000, 120), (419, 269), (641, 333)]
)
async def test_the_card_is_a_png_of_the_asked_size(cache: Path, width: int, height: int) -> None:
    """Signature, header, checksums, and exactly `height` rows of `width` pixels; `render` says how large it is."""
    async with hosting(cache) as host:
        for days in ([], DAYS[1:400:3]):
            for day in days:
                await host.publish("weather.observed", day)
            png = await card(host, width, height)
            w, h, rows = pixels(png)
            assert (w, h, len(rows)) == (width, height, height * (1 + 3 * width))
            assert set(rows[:: 1 + 3 * width]) <= {0, 1, 2, 3, 4}  # each row begins with its filter
            assert len(set(rows)) > 10  # something is drawn
            assert await host.call("weather-widget", "render", width, height) == len(png)
            assert await card(host, width, height) == png


@pytest.mark.parametrize(
    "size", [(199, 120), (200, 119), (2001, 540), (960, 1501), (0, 0), (-960, 540), (2**31 - 1, 540)]
)
async def test_other_sizes_are_refused_with_words(cache: Path, size: tuple[int, int]) -> None:
    """`card` and `render` fail with the bounds; nothing traps."""
    async with hosting(cache) as host:
        for export in ("card", "render"):
            with pytest.raises(GuestFailed, match="200 to 2000 pixels wide and 120 to 1500 high"):
                await host.call("weather-widget", export, *size)
        with pytest.raises(InvalidValue):
            await host.call("weather-widget", "card", 2**31, 540)


async def test_settings_are_all_or_nothing(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Good settings change the card and are logged; bad ones change nothing at all."""
    with caplog.at_level(logging.INFO, "desk.ext.weather-widget"):
        async with hosting(cache) as host:
            cards = [await card(host, 960, 540)]
            bad: list[object] = [
                [],
                {"town": "x"},
                {"city": 1},
                {"city": "Oslo", "x": "y"},
                {"city": "x" * 65},
                {"city": ""},
            ]
            for settings in bad:
                assert await host.call("weather-widget", "update", settings) is False
            assert await card(host, 960, 540) == cards[0]
            assert await host.call("weather-widget", "update", {"city": "Zürich", "title": "Wetter"}) is True
            assert await card(host, 960, 540) != cards[0]
    assert [each.getMessage() for each in caplog.records if each.name == "desk.ext.weather-widget"] == [
        'settings: city "Zürich", title "Wetter"'
    ]


# -- the world outside


async def test_a_forecast_comes_by_http_and_telemetry_is_denied(cache: Path) -> None:
    """The granted server is asked under its name, its forecast gets onto the card; the beacon is refused, and on record."""
    forecast = json.dumps({"summary": "Leichter Regen", "high": 12.46, "low": -0.31}).encode()
    pages = Pages({"/forecast/Z%C3%BCrich": forecast})
    async with serving(pages) as port:
        addresses = AddressMap(dict.fromkeys(("api.weather.com", "telemetry.example.net"), ("127.0.0.1", port)))
        async with hosting(cache, addresses=addresses) as host:
            before = await card(host, 960, 540)
            answer = await host.call("weather-widget", "forecast", "Zürich")
            assert isinstance(answer, dict)
            assert (answer["ok"], answer["summary"]) == (True, "Leichter Regen")
            assert "the manifest does not ask for it" in str(answer["telemetry"])
            assert 'network: ["connect:telemetry.example.net:80"]' in str(answer["telemetry"])
            assert await card(host, 960, 540) != before
            assert pages.asked == [("/forecast/Z%C3%BCrich", "api.weather.com")]
            denied = [record for record in host.audit.records if not record.allowed]
            assert len(denied) == 1
            assert "telemetry.example.net" in str(denied[0])


@pytest.mark.parametrize(
    "body",
    [
        None,
        b"",
        b"[]",
        b'{"summary": "x"}',
        b'{"summary": "\xff", "high": 1, "low": 0}',
        b'{"summary": "x", "high": 1e9}',
    ],
)
async def test_a_strange_forecast_is_not_believed(cache: Path, body: bytes | None) -> None:
    """Whatever the server sends, the extension says that it is no forecast, and the card stays."""
    pages = Pages({} if body is None else {"/forecast/Oslo": body})
    async with serving(pages) as port:
        addresses = AddressMap({"api.weather.com": ("127.0.0.1", port)})
        async with hosting(cache, addresses=addresses) as host:
            before = await card(host, 960, 540)
            answer = await host.call("weather-widget", "forecast", "Oslo")
            assert isinstance(answer, dict)
            assert (answer["ok"], answer["summary"]) == (False, "the server's answer is no forecast")
            assert await card(host, 960, 540) == before


async def test_without_grants_it_hears_and_reaches_nothing(cache: Path) -> None:
    """The forecast is denied like the beacon, no day is heard, and the notices say what is missing."""
    async with Host(cache_dir=cache / "modules", tracing=Tracing.off()) as host:
        loaded = await host.load(READY)
        assert any("subscribe:weather.observed" in notice for notice in loaded.notices)
        assert await host.publish("weather.observed", DAYS[0]) == 0
        assert await host.call("weather-widget", "statistics") == []
        answer = await host.call("weather-widget", "forecast", "Oslo")
        assert isinstance(answer, dict)
        assert answer["ok"] is False
        assert 'network: ["connect:api.weather.com:80"]' in str(answer["summary"])
