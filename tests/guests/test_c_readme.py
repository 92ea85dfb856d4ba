"""The examples of `guests/c/README.md`, word for word: they compile and do what it says, and one explains what it may not do."""

import os
import re
import sys
from pathlib import Path

import anyio
import pytest
from loopback import Pages, serving
from toolbox import ROOT, build_c

from desk.actors.errors import GuestFailed
from desk.capabilities.addresses import AddressMap
from desk.capabilities.codes import Code
from desk.host import Host
from desk.traces.tracing import Tracing

pytestmark = pytest.mark.anyio

README = (ROOT / "guests" / "c" / "README.md").read_text()
HEADER = (ROOT / "guests" / "c" / "desk.h").read_text()
FREESTANDING = ("--target=wasm32", "-nostdlib", "-std=c99", "-Wl,--no-entry")


def section(title: str) -> str:
    """What stands under a heading."""
    return README.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def blocks(title: str) -> dict[str, str]:
    """The code under a heading, by its language."""
    return dict(re.findall(r"^```(\w+)\n(.*?)^```$", section(title), re.M | re.S))


BLOCKS = blocks("Fetch and publish")
DIARY = "Files, state, sockets, clocks"


def environment(folder: Path) -> dict[str, str]:
    """What a program of the README runs with: no traces, its compiled modules out of the home directory."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return inherited | {"XDG_CACHE_HOME": str(folder), "PYTHONUTF8": "1"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the module is built, with its manifest and the program beside it."""
    folder = tmp_path_factory.mktemp("headline")
    (folder / "headline.c").write_text(BLOCKS["c"])
    (folder / "manifest.ron").write_text(BLOCKS["ron"])
    build_c(folder / "headline.c", folder / "headline.wasm", *FREESTANDING)
    return folder


async def test_the_program_hears_the_headline(folder: Path) -> None:
    """`try.py` prints how many heard the event, and the event with what the server says; the server sees the real name."""
    pages = Pages({"/headline.txt": "Schöne Aussichten".encode()})
    async with serving(pages) as port:
        assert BLOCKS["python"].count("8080") == 1
        (folder / "try.py").write_text(BLOCKS["python"].replace("8080", str(port)))
        with anyio.fail_after(60):
            done = await anyio.run_process([sys.executable, "try.py"], cwd=folder, env=environment(folder))
    heard, event = done.stdout.decode().splitlines()
    assert heard == "1 heard it"
    assert event == "<Event 2 news.headline from headline: 'Schöne Aussichten'>"
    assert pages.asked == [("/headline.txt", "news.example.com")]


@pytest.mark.parametrize(
    ("grants", "code", "why"),
    [
        ({}, Code.DENIED, 'not granted; grant it with `network: ["connect:news.example.com:80"]`'),
        ({"network": ["news.example.com"]}, Code.DENIED, "(granted is connect:news.example.com:443)"),
        ({"network": ["news.example.com:80"]}, Code.DENIED, "could not be published"),
        ({"network": ["*:80"], "bus": ["publish:news.*"]}, Code.UNAVAILABLE, "has no headline"),
    ],
)
async def test_it_says_why_it_could_not(folder: Path, grants: dict[str, list[str]], code: Code, why: str) -> None:
    """Not granted, granted for another port, not allowed to publish, not found: a code, and words that help."""
    page = {} if code is Code.UNAVAILABLE else {"/headline.txt": b"x"}
    async with serving(Pages(page)) as port:
        addresses = AddressMap({"news.example.com": ("127.0.0.1", port)})
        async with Host(addresses=addresses, cache_dir=folder / "cache", tracing=Tracing.off()) as host:
            await host.load(folder / "headline.wasm", grants=grants)
            with pytest.raises(GuestFailed) as caught:
                await host.call("headline", "refresh")
    assert caught.value.code == code
    assert why in caught.value.message


async def test_the_first_thousand_bytes_of_an_answer_tell_why(folder: Path) -> None:
    """A denial fits into the buffer that `desk.h` recommends, even for the longest host name there is."""
    host_name = ".".join(["a" * 60, "b" * 60, "c" * 60, "d" * 60, "example"])
    source = (
        (folder / "headline.c").read_text().replace("page[4096]", "page[1100]").replace("news.example.com", host_name)
    )
    (folder / "long.c").write_text(source)
    wasm = build_c(folder / "long.c", folder / "long.wasm", *FREESTANDING)
    async with Host(cache_dir=folder / "cache", tracing=Tracing.off()) as host:
        await host.load(wasm, manifest=BLOCKS["ron"])
        with pytest.raises(GuestFailed) as caught:
            await host.call("headline", "refresh")
    assert caught.value.code == Code.DENIED
    assert f'add `network: ["connect:{host_name}:80"]` to its permissions' in caught.value.message


async def test_the_diary_goes_on_counting(tmp_path: Path) -> None:
    """Each run of the program adds two numbered lines to what is there."""
    code = blocks(DIARY)
    for name, language in (("diary.c", "c"), ("manifest.ron", "ron"), ("try.py", "python")):
        (tmp_path / name).write_text(code[language])
    build_c(tmp_path / "diary.c", tmp_path / "diary.wasm", *FREESTANDING)
    for run in range(2):
        with anyio.fail_after(60):
            done = await anyio.run_process([sys.executable, "try.py"], cwd=tmp_path, env=environment(tmp_path))
        numbers = [str(1 + 2 * run), str(2 + 2 * run)]
        assert done.stdout.decode().splitlines() == [*numbers, *["Rain.", "Sun, at last."] * (run + 1), ""]


def test_the_table_has_the_functions_of_the_header() -> None:
    """Those of the section *Questions* and `desk_http_get` are in the table, with the parameters that it gives, and no others."""
    questions = HEADER.split("/* ---- Questions", 1)[1].split("/* ---- Without libc", 1)[0]
    declared = dict(re.findall(r"^static inline [\w ]+?[ *](desk_\w*[a-z])\((.*?)\) \{", questions, re.M))
    table = "\n".join(re.findall(r"^\| (`.*?) \|", section(DIARY), re.M))
    told = dict(re.findall(r"`(desk_\w+)\((.*?)\)`", table))
    fields = re.search(r"^`(desk_with)_(text)`((?: `_\w+`)+)$", table, re.M)
    assert fields
    named = {f"{fields[1]}_{kind}" for kind in (fields[2], *re.findall(r"`_(\w+)`", fields[3]))}
    assert set(told) | named == set(declared)
    for name, arguments in told.items():
        assert len(arguments.split(", ")) == len(declared[name].split(", ")), name
