"""Embed a host in a FastAPI app: the host lives as long as the app, on its own asyncio loop, without a thread between.

Run it from the root of the repository, after `make test` (which puts FastAPI into `.venv`, and uv into `.tools` if you
have none), with a server of your choice:

    PATH="$PATH:.tools/bin" uv pip install uvicorn
    .venv/bin/uvicorn desk.examples.embed_fastapi:app
    curl localhost:8000/statistics
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from desk.actors.errors import ExtensionError, GuestFailed
from desk.bus.types import InvalidValue
from desk.capabilities.codes import Code
from desk.host import Host

WIDGET = Path(__file__).parent / "weather-widget" / "weather-widget.wasm"


class Observation(BaseModel):
    """One day of weather, in metric units."""

    date: str
    precipitation: float
    temp_max: float
    temp_min: float
    wind: float
    weather: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    """Start the host with the app, and stop it with the app."""
    async with Host() as host:
        await host.load(WIDGET, grants={"bus": ["subscribe:weather.observed"]})
        app.state.host = host
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/observations", status_code=202)
async def observe(observation: Observation, request: Request) -> dict[str, int]:
    """Publish one observation; says how many extensions took it."""
    host: Host = request.app.state.host
    return {"receivers": await host.publish("weather.observed", observation.model_dump())}


@app.get("/statistics")
async def statistics(request: Request) -> object:
    """The months, as the extension has counted them."""
    host: Host = request.app.state.host
    return await host.call("weather-widget", "statistics", deadline=2.0)


@app.get("/card.png")
async def card(request: Request, width: int = 960, height: int = 540) -> Response:
    """The card, drawn by the extension."""
    host: Host = request.app.state.host
    png = await host.call("weather-widget", "card", width, height, deadline=5.0)
    assert isinstance(png, bytes)
    return Response(png, media_type="image/png")


@app.exception_handler(InvalidValue)
async def unprocessable(request: Request, error: Exception) -> JSONResponse:
    """Our caller's doing: an argument does not fit the declared type."""
    del request
    return JSONResponse({"detail": str(error)}, status_code=422)


@app.exception_handler(GuestFailed)
async def failed(request: Request, error: Exception) -> JSONResponse:
    """The extension says whose doing it was: its code 1, `invalid`, is for what our caller asked of it."""
    assert isinstance(error, GuestFailed)
    if error.code == Code.INVALID:
        return JSONResponse({"detail": error.message}, status_code=422)
    return await bad_gateway(request, error)


@app.exception_handler(ExtensionError)
async def bad_gateway(request: Request, error: Exception) -> JSONResponse:
    """The extension's doing: it failed, crashed or took too long. The app and its other extensions go on."""
    del request
    return JSONResponse({"detail": str(error)}, status_code=502)
