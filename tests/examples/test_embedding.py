"""The two embedding examples do what they show: a host inside of a trio program, and inside of a FastAPI app."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio

from desk.actors.limits import Limits
from desk.examples import embed_fastapi, embed_trio
from desk.host import Host

pytestmark = pytest.mark.anyio

only_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])
"""FastAPI runs on asyncio."""

DAY = {
    "date": "2012-01-01",
    "precipitation": 0.5,
    "temp_max": 12.8,
    "temp_min": 5.0,
    "wind": 4.7,
    "weather": "drizzle",
}


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples use a host's defaults: keep its compiled modules out of the home directory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@asynccontextmanager
async def serving() -> AsyncGenerator[httpx.AsyncClient]:
    """The app, started and stopped as a server does it, and a client of it."""
    app = embed_fastapi.app
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            yield client


def test_the_trio_program_counts_three_days() -> None:
    """`trio.run(main)` returns the statistics of the days that it publishes."""
    statistics = trio.run(embed_trio.main)
    assert isinstance(statistics, list)
    assert len(statistics) == 1
    assert statistics[0] == pytest.approx(
        {
            "month": 1,
            "days": 3,
            "mean_max": (12.8 + 10.6 + 11.7) / 3,
            "mean_min": (5.0 + 2.8 + 7.2) / 3,
            "highest": 12.8,
            "lowest": 2.8,
            "precipitation": 0.3 + 0.6 + 0.9,
            "wet_days": 3,
        }
    )


@only_asyncio
async def test_the_app_counts_what_is_posted() -> None:
    """Observations are taken by one extension, and the statistics and the card show them."""
    async with serving() as client:
        assert (await client.get("/statistics")).json() == []
        empty = await client.get("/card.png")
        for number in (1, 2, 3):
            posted = await client.post("/observations", json={**DAY, "date": f"2012-02-0{number}"})
            assert (posted.status_code, posted.json()) == (202, {"receivers": 1})
        statistics = (await client.get("/statistics")).json()
        assert [(month["month"], month["days"], month["highest"]) for month in statistics] == [(2, 3, 12.8)]
        card = await client.get("/card.png", params={"width": 480, "height": 270})
        assert card.status_code == 200
        assert card.headers["content-type"] == "image/png"
        assert card.content[:8] == b"\x89PNG\r\n\x1a\n"
        assert (await client.get("/card.png")).content != empty.content


@only_asyncio
async def test_the_app_answers_for_each_kind_of_mistake() -> None:
    """422 for our caller's doing, whether the app, the host or the extension notices it; 502 for the extension's own."""
    async with serving() as client:
        wide = await client.get("/card.png", params={"width": 99_999_999_999})
        assert wide.status_code == 422
        assert "params[0]" in wide.json()["detail"]
        assert (await client.get("/card.png", params={"width": "wide"})).status_code == 422
        assert (await client.post("/observations", json={**DAY, "wind": "strong"})).status_code == 422
        refused = await client.get("/card.png", params={"width": 10})
        assert refused.status_code == 422
        assert refused.json()["detail"].startswith("a card is 200 to 2000 pixels wide")
        assert (await client.get("/statistics")).json() == []
        assert (await client.get("/card.png")).status_code == 200
        async with Host(limits=Limits(reply=100)) as host:
            await host.load(embed_fastapi.WIDGET)
            embed_fastapi.app.state.host, ours = host, embed_fastapi.app.state.host
            large = await client.get("/card.png")
            embed_fastapi.app.state.host = ours
        assert large.status_code == 502
        assert "weather-widget.card" in large.json()["detail"]
        assert (await client.get("/card.png")).status_code == 200


@only_asyncio
async def test_the_app_starts_again() -> None:
    """Each start of the app has a host of its own, which forgets with it."""
    for _ in range(2):
        async with serving() as client:
            assert (await client.get("/statistics")).json() == []
            assert (await client.post("/observations", json=DAY)).json() == {"receivers": 1}
            assert len((await client.get("/statistics")).json()) == 1
