"""The FastAPI example takes modules from people: what it tells before anything runs, what it refuses, what its page shows."""

import base64
import hashlib
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
from extensions import ECHO, relay
from toolbox import extension

from desk.bus import codec
from desk.capabilities.permissions import parse_atom
from desk.capabilities.system_atoms import WORDS as SYSTEM
from desk.examples import embed_fastapi
from desk.examples.embed_fastapi import MAX_UPLOAD, WAITING
from desk.examples.embed_fastapi_page import in_words

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

WASM = {"content-type": "application/wasm"}
FETCHING = 'network: ["api.example.com", "b.example.com:80"]'


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example uses a host's defaults: keep its compiled modules out of the home directory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("DESK_DATA_DIR", str(tmp_path / "data"))


@asynccontextmanager
async def serving() -> AsyncGenerator[httpx.AsyncClient]:
    """The app, started and stopped as a server does it, and a client of it."""
    app = embed_fastapi.app
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client,
    ):
        yield client


async def uploaded(client: httpx.AsyncClient, wasm: bytes, status: int = 200) -> dict[str, Any]:
    """What the app answers to a module."""
    answer = await client.post("/extensions", content=wasm, headers=WASM)
    assert answer.status_code == status, answer.text
    return answer.json()


async def accepted(client: httpx.AsyncClient, wasm: bytes, permissions: object = "requested") -> dict[str, Any]:
    """An extension that was uploaded and started."""
    told = await uploaded(client, wasm)
    decision = {"digest": told["digest"], "permissions": permissions}
    answer = await client.post(f"/extensions/{told['name']}/grants", json=decision)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def names(client: httpx.AsyncClient) -> tuple[set[str], set[str]]:
    """Those that run beside the widget, and those that wait."""
    told = (await client.get("/extensions")).json()
    return {each["name"] for each in told["running"]} - {"weather-widget"}, set(told["waiting"])


# -- in good order


async def test_an_upload_is_described_and_does_not_run() -> None:
    """Exports, each permission with its reason, and a digest; it waits."""
    wasm = relay("fetching", FETCHING, 'description: "Fetches.", reasons: {"network": "to fetch the forecast"}')
    async with serving() as client:
        told = await uploaded(client, wasm)
        assert await names(client) == (set(), {"fetching"})
        assert (await client.post("/extensions/fetching/calls/handled", json=[])).status_code == 404
    assert (told["accepted"], told["reasons"], told["description"]) == (True, [], "Fetches.")
    assert told["digest"] == hashlib.sha256(wasm).hexdigest()
    assert told["exports"]["tell"] == "(string, bytes) -> i32"
    assert told["permissions"] == [
        {"section": "network", "text": text, "reason": "to fetch the forecast"}
        for text in ("connect:api.example.com:443", "connect:b.example.com:80")
    ]


async def test_what_is_accepted_is_granted_and_no_more() -> None:
    """A part of what is asked for can be ticked: the rest is denied, and the audit says so."""
    async with serving() as client:
        started = await accepted(client, relay("fetching", FETCHING), {"network": ["b.example.com:80"]})
        assert started["granted"] == [{"section": "network", "text": "connect:b.example.com:80"}]
        assert await names(client) == ({"fetching"}, set())
        question = base64.b64encode(codec.encode({"method": "GET", "url": "https://api.example.com/"})).decode()
        assert (
            await client.post("/extensions/fetching/calls/ask", json=["cap.network.http", question])
        ).status_code == 422
        host = embed_fastapi.app.state.host
        await host.call("fetching", "ask", "cap.network.http", base64.b64decode(question))
        (record,) = (await client.get("/extensions/fetching/audit")).json()
        assert (record["permission"], record["allowed"]) == ("network connect:api.example.com:443", False)
        assert "not granted" in record["reason"]
        assert (await client.get("/extensions/weather-widget/audit")).json() != []
        assert (await client.get("/extensions/nobody/audit")).json() == []


async def test_what_is_accepted_can_keep_state() -> None:
    """The host has a place for it: the folder that `DESK_DATA_DIR` names."""
    async with serving() as client:
        await accepted(client, relay("keeping"))
        host = embed_fastapi.app.state.host
        put = codec.encode({"namespace": "own", "key": "a", "value": b"kept"})
        await host.call("keeping", "ask", "cap.state.put", put)
        get = codec.encode({"namespace": "own", "key": "a"})
        assert b"kept" in await host.call("keeping", "ask", "cap.state.get", get)


async def test_without_a_folder_what_is_kept_goes_with_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    """A temporary folder is made, and removed."""
    monkeypatch.delenv("DESK_DATA_DIR")
    with TemporaryDirectory() as temporary:
        monkeypatch.setattr("tempfile.tempdir", temporary)
        async with serving():
            assert os.listdir(temporary) != []
        assert os.listdir(temporary) == []


async def test_settings_are_described() -> None:
    """Which must be given, what the others are if nobody says so; and without one that must be, nothing starts."""
    config = 'config: {"city": (type: string, default: "Oslo", help: "where"), "key": (type: string, secret: true)}'
    async with serving() as client:
        told = await uploaded(client, relay("set", more=config))
        assert told["config"] == {
            "city": {"type": "string", "secret": False, "help": "where", "required": False, "default": "Oslo"},
            "key": {"type": "string", "secret": True, "help": "", "required": True},
        }
        answer = await client.post("/extensions/set/grants", json={"digest": told["digest"]})
        assert answer.status_code == 422
        assert "config.key" in answer.text
        page = (await client.get("/")).text
    assert re.search(r'key \* <input type="password" data-setting="key" [^>]* required>', page)
    assert re.search(r'city <input type="text" data-setting="city" [^>]*"off"></label>', page)
    assert "where; string; default: &quot;Oslo&quot;" in page


async def test_calls_have_json_on_both_sides() -> None:
    """Numbers come back as they are; a wrong argument is our caller's doing, a trap the extension's, and it goes on."""
    async with serving() as client:
        await accepted(client, ECHO)
        calls = "/extensions/echo/calls"
        assert (await client.post(f"{calls}/add", json=[2, 3])).json() == 5
        assert (await client.post(f"{calls}/add", json=[2, "x"])).status_code == 422
        assert (await client.post(f"{calls}/add", json=[2])).status_code == 422
        assert (await client.post(f"{calls}/add", json={"a": 2})).status_code == 422
        assert (await client.post(f"{calls}/trap", json=[])).status_code == 502
        assert (await client.post(f"{calls}/dance", json=[])).status_code == 404
        assert (await client.post(f"{calls}/add", json=[20, 3])).json() == 23


async def test_bytes_are_no_page() -> None:
    """What a guest returns as bytes, no browser makes a page of: type and header say so."""
    page = extension(
        '(name: "page", api_version: "0.1", exports: {"get": (params: [], ret: bytes)})',
        '(func (export "get") (call $reply (i32.const 0) (i32.const 9))) (data (i32.const 0) "<script/>")',
    )
    async with serving() as client:
        await accepted(client, page)
        answer = await client.post("/extensions/page/calls/get", json=[])
    assert answer.content == b"<script/>"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_it_can_be_removed_and_forgotten() -> None:
    """What runs is stopped first, what waits is forgotten then, and what is neither is not found."""
    async with serving() as client:
        await accepted(client, ECHO)
        await uploaded(client, ECHO)
        assert await names(client) == ({"echo"}, {"echo"})
        assert (await client.delete("/extensions/echo")).status_code == 204
        assert await names(client) == (set(), {"echo"})
        assert (await client.delete("/extensions/echo")).status_code == 204
        assert await names(client) == (set(), set())
        assert (await client.delete("/extensions/echo")).status_code == 404


# -- what is refused


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not wasm"),
        (b"MZ-no-wasm", "not wasm"),
        (b"\0asm\x0d\0\1\0", "component"),
        (b"\0asm\1\0\0\0", "no manifest"),
        (extension('(name: "x", api_version: "9")', ""), "this host speaks"),
        (extension('(name: "x", api_version: "0.1", exports: {"f": ()})', ""), "f"),
        (extension('(name: "x", api_version: "0.1", permissions: {network: ["*.com"]})', ""), "network"),
    ],
)
async def test_what_no_host_would_run_is_refused_with_reasons(body: bytes, why: str) -> None:
    """422 with every reason; nothing waits."""
    async with serving() as client:
        told = await uploaded(client, body, 422)
        assert await names(client) == (set(), set())
    assert told["accepted"] is False
    assert why in " ".join(told["reasons"])
    assert ("llvm-objcopy --add-section=desk:manifest=" in told.get("hint", "")) == (why == "no manifest")


async def test_a_body_that_is_too_large_is_not_read_to_its_end() -> None:
    """413 as soon as it is over the limit, with and without a length in the header."""
    sent: list[int] = []

    async def endless() -> AsyncIterator[bytes]:
        for number in range(MAX_UPLOAD // 65_536 + 100):
            sent.append(number)
            yield bytes(65_536)

    async with serving() as client:
        assert (await client.post("/extensions", content=bytes(MAX_UPLOAD + 1), headers=WASM)).status_code == 413
        assert (await client.post("/extensions", content=endless(), headers=WASM)).status_code == 413
        assert (await client.get("/extensions")).status_code == 200


@pytest.mark.parametrize(
    "kind", ["text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", ""]
)
async def test_a_form_of_another_site_cannot_upload(kind: str) -> None:
    """The types that a browser sends to other sites without asking them are refused."""
    async with serving() as client:
        answer = await client.post("/extensions", content=ECHO, headers={"content-type": kind})
        assert answer.status_code == 415
        assert await names(client) == (set(), set())


async def test_what_was_shown_is_what_is_started() -> None:
    """An acceptance names the module by its digest: one that came since under the same name is not started by it."""
    async with serving() as client:
        shown = await uploaded(client, relay("twin"))
        await uploaded(client, relay("twin", FETCHING))
        decision = {"digest": shown["digest"], "permissions": "requested"}
        answer = await client.post("/extensions/twin/grants", json=decision)
        assert answer.status_code == 409
        assert await names(client) == (set(), {"twin"})
        unknown = await client.post("/extensions/nobody/grants", json=decision)
        assert unknown.status_code == 404


async def test_nonsense_for_grants_starts_nothing() -> None:
    """Unknown sections and permissions that are none are 422; what the manifest does not ask for is of no use, and said."""
    async with serving() as client:
        told = await uploaded(client, relay("twin", FETCHING))
        for permissions in ({"netwrok": ["a.example.com"]}, {"network": ["http://a/"]}, {"network": "x"}, "all", [1]):
            decision = {"digest": told["digest"], "permissions": permissions}
            assert (await client.post("/extensions/twin/grants", json=decision)).status_code == 422
        assert await names(client) == (set(), {"twin"})
        decision = {"digest": told["digest"], "permissions": {"network": ["*:443"]}}
        assert (await client.post("/extensions/twin/grants", json=decision)).status_code == 201
        again = await uploaded(client, relay("twin", FETCHING))
        decision = {"digest": again["digest"], "permissions": {}}
        assert (await client.post("/extensions/twin/grants", json=decision)).status_code == 409


async def test_uploads_do_not_fill_the_memory() -> None:
    """So many wait; the oldest makes room."""
    async with serving() as client:
        for number in range(WAITING + 3):
            await uploaded(client, relay(f"x{number}"))
        assert await names(client) == (set(), {f"x{number}" for number in range(3, WAITING + 3)})


# -- the page


class Seen(HTMLParser):
    """What a browser would see: the tags, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One more tag; none has a handler or comes from elsewhere."""
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes.add(name)
            assert not name.startswith("on")
            assert name not in ("src", "href"), value

    def handle_data(self, data: str) -> None:
        """Text as it is shown."""
        self.text += data


async def test_the_page_shows_what_it_asks_for_and_why() -> None:
    """A box for each permission, not ticked, with words and the author's reason; a form for calls once it runs."""
    async with serving() as client:
        wasm = relay("fetching", FETCHING, 'reasons: {"network": "to fetch the forecast"}')
        await uploaded(client, wasm)
        waiting = Seen((await client.get("/")).text)
        await client.post(
            "/extensions/fetching/grants", json={"digest": hashlib.sha256(wasm).hexdigest(), "permissions": "requested"}
        )
        running = Seen((await client.get("/")).text)
    words = "connect to api.example.com, port 443 (network connect:api.example.com:443) to fetch the forecast"
    assert words in waiting.text
    assert "checked" not in waiting.attributes
    assert "tell(string, bytes) -> i32" in running.text
    assert "May do: network connect:api.example.com:443" in running.text


async def test_an_update_is_marked() -> None:
    """A module that waits under the name of one that runs takes its place only once that is removed."""
    async with serving() as client:
        await accepted(client, relay("twin", FETCHING))
        assert "An update" not in (await client.get("/")).text
        told = await uploaded(client, relay("twin", FETCHING, 'version: "2.0.0"'))
        page = Seen((await client.get("/")).text).text
        assert "An update: twin (no version) runs. Remove that first, then start this one" in page
        decision = {"digest": told["digest"], "permissions": "requested"}
        assert (await client.post("/extensions/twin/grants", json=decision)).status_code == 409
        await client.delete("/extensions/twin")
        assert "An update" not in (await client.get("/")).text
        assert (await client.post("/extensions/twin/grants", json=decision)).status_code == 201


WORDS = {
    ("network", "pages.example.com:8080"): "connect to pages.example.com, port 8080",
    ("network", "*"): "connect to any host, port 443",
    ("network", "10.0.0.0/8:*"): "connect to 10.0.0.0/8, any port",
    ("network", "[2001:db8::1]:80,443"): "connect to [2001:db8::1], ports 80,443",
    ("network", "udp:ntp.example.com:123"): "exchange datagrams with ntp.example.com, port 123",
    ("network", "listen:127.0.0.1:8000-8999"): "wait for connections at 127.0.0.1, ports 8000-8999",
    ("network", "resolve:a.example.com"): "look up the addresses of a.example.com",
    ("filesystem", "read:/srv/x"): "read files below /srv/x",
    ("filesystem", "readwrite:@data"): "read and write files of its own, @data",
    ("state", "readwrite:own"): "keep state of its own",
    ("state", "read:shared"): "read entries of the shared state shared",
    ("state", "write:shared/a*"): "write entries a* of the shared state shared",
    ("state", "write:shared/a/b"): "write the entry a/b of the shared state shared",
    ("env", "HOME"): "read the environment variable HOME",
    ("env", "APP_*"): "read the environment variables APP_*",
    ("bus", "publish:news.*"): "publish events news.*",
    ("bus", "subscribe:**"): "hear events **",
    ("call", "weather-widget/card"): "call card of weather-widget",
    ("call", "weather-widget/*"): "call all exports of weather-widget",
    ("clock", "wall"): "know the time",
    ("clock", "monotonic:coarse"): "measure time, roughly",
    ("random", "secure"): "have random numbers that nobody can guess",
    ("system", "clipboard:read"): "read the clipboard",
    ("nn", "infer:*"): "",
    ("gpu", "full"): "",
}


@pytest.mark.parametrize(("asked", "words"), WORDS.items())
async def test_permissions_in_words(asked: tuple[str, str], words: str) -> None:
    """What they mean, for people who do not read the grammar; nothing rather than something wrong."""
    atom = parse_atom(*asked)
    assert in_words(atom.section, atom.text) == words


async def test_every_service_of_the_desktop_has_words() -> None:
    """But those that nothing serves."""
    for text in SYSTEM:
        assert (in_words("system", text) != "") == parse_atom("system", text).served, text


async def test_what_a_manifest_says_is_never_obeyed_by_the_page() -> None:
    """Tags, quotes and invisible characters of a description and a reason are shown as what they are."""
    hostile = "</p><script>alert(1)</script><img src=x onerror=alert(2)>\\\"' \u200b&amp;"
    wasm = relay("evil", FETCHING, f'description: "{hostile}", reasons: {{"network": "{hostile}"}}')
    async with serving() as client:
        plain = (await client.get("/")).text
        await uploaded(client, wasm)
        page = (await client.get("/")).text
        seen = Seen(page)
        assert seen.tags.count("script") == Seen(plain).tags.count("script") == 1
        assert "img" not in seen.tags
        assert seen.text.count("</p><script>alert(1)</script><img src=x onerror=alert(2)>\"' \\u200b&amp;") == 3
        assert "\u200b" not in page
        await accepted(client, wasm)
        assert Seen((await client.get("/")).text).tags.count("script") == 1


async def test_text_that_reads_backwards_is_refused_and_the_answer_spells_it_out() -> None:
    """A bidirectional override in a manifest is a reason against it, and is itself not repeated."""
    wasm = relay("evil", FETCHING, 'description: "gnp\u202e.exe"')
    async with serving() as client:
        answer = await client.post("/extensions", content=wasm, headers=WASM)
        assert answer.status_code == 422
        assert "\\u202e" in " ".join(answer.json()["reasons"])
        assert "\u202e" not in answer.text
        assert "\u202e" not in (await client.get("/")).text


async def test_the_browser_is_told_to_run_our_script_alone() -> None:
    """The policy has the hashes of the script and the style that are on the page, and permits nothing else."""
    async with serving() as client:
        answer = await client.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    for tag in ("script", "style"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", answer.text, re.S)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
