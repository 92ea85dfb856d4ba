"""Embed a host in a FastAPI app: the host lives as long as the app, on its own asyncio loop, without a thread between.

The app uses one extension itself, for its weather, and lets people bring others: upload a module, see what it asks for and why,
decide what of that it gets, run it, call it, read what it was denied. Nothing of a module runs before somebody has accepted it.

Run it from the root of the repository, after `make test` (which puts FastAPI into `.venv`, and uv into `.tools` if you
have none), with a server of your choice, and open http://localhost:8000/ in a browser:

    PATH="$PATH:.tools/bin" uv pip install uvicorn
    DESK_DATA_DIR=data .venv/bin/uvicorn desk.examples.embed_fastapi:app

`data` is where extensions keep their files and state; without `DESK_DATA_DIR`, all of it goes when the app stops.

There is no login here. Whoever reaches this app decides what code it runs: put it behind yours.
"""

import hashlib
import os
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel

from desk.actors.admission import Admission
from desk.actors.errors import ExtensionError, GuestFailed
from desk.bus.errors import DeadlineExceeded, DeskError
from desk.bus.types import InvalidValue
from desk.examples.embed_fastapi_answers import described, plain, running
from desk.examples.embed_fastapi_page import HEADERS, page
from desk.host import Code, Host
from desk.host.errors import AlreadyLoaded, NotLoaded

WIDGET = Path(__file__).parent / "weather-widget" / "weather-widget.wasm"

MAX_UPLOAD = 4 << 20
"""Bytes of an uploaded module."""

HOW_TO_EMBED = "llvm-objcopy --add-section=desk:manifest=manifest.ron extension.wasm"
"""What puts a manifest into a module: a browser uploads one file."""

WAITING = 16
"""Modules that wait for somebody to accept them; the oldest makes room for a new one."""

SHOWN = 100
"""Decisions that the audit of an extension shows, the last ones."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A module that waits, and what admission says of it."""

    wasm: bytes
    digest: str
    admission: Admission


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    """Start the host with the app, and stop it with the app; what extensions keep without `$DESK_DATA_DIR` goes, too."""
    with tempfile.TemporaryDirectory() as temporary:
        async with Host(data_dir=os.environ.get("DESK_DATA_DIR") or temporary) as host:
            await host.load(WIDGET, grants={"bus": ["subscribe:weather.observed"]})
            app.state.host = host
            app.state.uploads = {}
            yield


app = FastAPI(lifespan=lifespan)


def host_of(request: Request) -> Host:
    """The host, which lives as long as the app."""
    return request.app.state.host


def uploads_of(request: Request) -> dict[str, Upload]:
    """The modules that wait, by the name of the extension, the oldest first."""
    return request.app.state.uploads


# -- the app's own weather


class Observation(BaseModel):
    """One day of weather, in metric units."""

    date: str
    precipitation: float
    temp_max: float
    temp_min: float
    wind: float
    weather: str


@app.post("/observations", status_code=202)
async def observe(observation: Observation, request: Request) -> dict[str, int]:
    """Publish one observation; says how many extensions took it."""
    return {"receivers": await host_of(request).publish("weather.observed", observation.model_dump())}


@app.get("/statistics")
async def statistics(request: Request) -> object:
    """The months, as the extension has counted them."""
    return await host_of(request).call("weather-widget", "statistics", deadline=2.0)


@app.get("/card.png")
async def card(request: Request, width: int = 960, height: int = 540) -> Response:
    """The card, drawn by the extension."""
    png = await host_of(request).call("weather-widget", "card", width, height, deadline=5.0)
    assert isinstance(png, bytes)
    return Response(png, media_type="image/png")


# -- extensions that people bring


class Acceptance(BaseModel):
    """What somebody decided after reading what a module asks for."""

    digest: str
    """Of the module that was shown: another one of the same name may have come since."""
    permissions: dict[str, list[str]] | Literal["requested"] = {}
    config: dict[str, object] = {}


@app.post("/extensions")
async def upload(request: Request) -> JSONResponse:
    """Take a module (the body, `application/wasm`), and answer what it is and asks for: 422 if no host would run it.

    The media type is no formality: a page of another site cannot send it from a browser without being asked.
    """
    if request.headers.get("content-type") != "application/wasm":
        raise HTTPException(415, "the body is the module itself, as application/wasm")
    wasm = await body_of(request)
    admission = await host_of(request).inspect(wasm)
    digest = hashlib.sha256(wasm).hexdigest()
    answer = {"accepted": admission.accepted, "reasons": list(admission.reasons), "digest": digest}
    if any(reason.startswith("no manifest") for reason in admission.reasons):
        answer["hint"] = f"put the manifest into the module: {HOW_TO_EMBED}"
    if admission.manifest is None or not admission.accepted:
        return JSONResponse(answer, status_code=422)
    uploads = uploads_of(request)
    uploads.pop(admission.manifest.name, None)
    uploads[admission.manifest.name] = Upload(wasm, digest, admission)
    while len(uploads) > WAITING:
        del uploads[next(iter(uploads))]
    return JSONResponse({**answer, **described(admission.manifest), "notices": list(admission.notices)})


async def body_of(request: Request) -> bytes:
    """The body, which is refused as soon as it is too large, whatever its headers say."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_UPLOAD:
            raise HTTPException(413, f"a module has at most {MAX_UPLOAD:,} bytes here")
    return bytes(body)


@app.post("/extensions/{name}/grants", status_code=201)
async def accept(name: str, acceptance: Acceptance, request: Request) -> dict[str, object]:
    """Start a module that waits, with all it asks for or a part of that: 409 if one of its name runs, which is removed first."""
    waiting = uploads_of(request).get(name)
    if waiting is None:
        raise NotLoaded(f"no module of the name {name!r} waits for anybody; upload it first")
    if waiting.digest != acceptance.digest:
        raise HTTPException(409, "another module of this name was uploaded since; read what it asks for")
    extension = await host_of(request).load(waiting.wasm, grants=acceptance.permissions, config=acceptance.config)
    if uploads_of(request).get(name) is waiting:
        del uploads_of(request)[name]
    return running(extension)


@app.get("/extensions")
async def extensions(request: Request) -> dict[str, object]:
    """Those that run, and those that wait."""
    waiting = {
        name: {"digest": each.digest, **described(manifest)}
        for name, each in uploads_of(request).items()
        if (manifest := each.admission.manifest)
    }
    return {"running": [running(each) for each in host_of(request).extensions()], "waiting": waiting}


@app.delete("/extensions/{name}", status_code=204)
async def remove(name: str, request: Request) -> None:
    """Stop an extension; or forget a module that waits, if none of that name runs."""
    if name in (each.name for each in host_of(request).extensions()) or uploads_of(request).pop(name, None) is None:
        await host_of(request).remove(name)


@app.post("/extensions/{name}/calls/{export}")
async def call(name: str, export: str, arguments: list[object], request: Request) -> Response:
    """Call an export with a JSON array of arguments; bytes come back as they are, all else as JSON."""
    result = await host_of(request).call(name, export, *arguments, deadline=10.0)
    if isinstance(result, bytes):  # whatever they are, no browser is to make a page of them
        return Response(result, media_type="application/octet-stream", headers={"X-Content-Type-Options": "nosniff"})
    return JSONResponse(plain(result))


@app.get("/extensions/{name}/audit")
async def audit(name: str, request: Request) -> list[dict[str, object]]:
    """What the extension was allowed and denied, the last decisions."""
    records = [each for each in host_of(request).audit.records if each.extension == name]
    return [
        {"time": each.time, "permission": each.permission, "allowed": each.allowed, "reason": each.reason}
        for each in records[-SHOWN:]
    ]


@app.get("/")
async def index(request: Request) -> HTMLResponse:
    """All of this with a mouse."""
    return HTMLResponse(page(await extensions(request)), headers=HEADERS)


# -- whose doing it was


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


@app.exception_handler(DeskError)
async def other(request: Request, error: Exception) -> JSONResponse:
    """All else says whose doing it was."""
    del request
    assert isinstance(error, DeskError)
    match error:
        case NotLoaded():
            status = 404
        case AlreadyLoaded():
            status = 409
        case DeadlineExceeded():
            status = 504
        case _:
            status = 422 if error.doing in ("caller", "author") else 503
    return JSONResponse({"detail": str(error)}, status_code=status)
