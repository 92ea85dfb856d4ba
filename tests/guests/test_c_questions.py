"""What `guests/c/desk.h` offers for asking capabilities: a guest in C uses each function on a real host."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Annotated, Any

import pytest
from toolbox import ROOT, build_c

from desk.actors.errors import GuestFailed
from desk.actors.limits import MIB
from desk.actors.wasm import with_custom_section
from desk.bus.types.scalars import U64
from desk.capabilities.capability import Capability, operation
from desk.capabilities.codes import Code
from desk.host import Host
from desk.traces.tracing import Tracing

pytestmark = pytest.mark.anyio

GUEST = Path(__file__).parent / "c" / "questions.c"
FREESTANDING = ("--target=wasm32", "-nostdlib", "-Wl,--no-entry")
SECRET = "correct horse"


class Mirror(Capability):
    """Gives back what it was asked, or takes anything and counts how often."""

    name = "mirror"
    taken = 0

    @operation(needs=None)
    async def look(
        self,
        text: str,
        cut: str,
        raw: bytes,
        empty: bytes,
        count: Annotated[int, U64],
        change: int,
        part: float,
        yes: bool,
        none: str | None,
        tags: list[str],
    ) -> object:
        """All of its fields."""
        return {name: value for name, value in locals().items() if name != "self"}

    @operation(needs=None)
    async def take(self) -> object:
        """Whatever it is asked."""
        self.taken += 1
        return "taken"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the module is built and its compiled code is kept."""
    return tmp_path_factory.mktemp("questions")


@pytest.fixture(scope="module")
def guest(directory: Path) -> bytes:
    """The compiled guest, with its manifest."""
    wasm = build_c(GUEST, directory / "questions.wasm", *FREESTANDING)
    return with_custom_section(wasm, "desk:manifest", GUEST.with_suffix(".ron").read_bytes())


@pytest.fixture
def mirror() -> Mirror:
    """The capability of the test's own."""
    return Mirror()


@pytest.fixture
async def host(directory: Path, guest: bytes, mirror: Mirror, tmp_path: Path) -> AsyncGenerator[Host]:
    """A host with a data directory; the guest has its files."""
    data = tmp_path / "data"
    async with Host(data_dir=data, cache_dir=directory / "cache", capabilities=[mirror], tracing=Tracing.off()) as host:
        await host.load(guest, grants="requested", config={"key": SECRET})
        yield host


async def failure(host: Host, export: str, *arguments: object) -> tuple[int, str]:
    """Code and message with which a call fails."""
    with pytest.raises(GuestFailed) as caught:
        await host.call("questions", export, *arguments)
    return caught.value.code, caught.value.message


# -- the one-liners


async def test_state_is_kept_found_and_forgotten(host: Host) -> None:
    """A value comes back as it was, an empty one is not a missing one, and delete says whether there was one."""

    async def call(export: str, *arguments: object) -> object:
        return await host.call("questions", export, *arguments)

    assert await call("get", "k") is None
    for value in (b"\0\xff", b"", bytes(7000)):
        await call("put", "k", value)
        assert await call("get", "k") == value
    assert await call("get", "other") is None
    assert await call("forget", "k") is True
    assert await call("forget", "k") is False
    assert await call("get", "k") is None


async def test_a_file_is_written_and_read(host: Host, tmp_path: Path) -> None:
    """The bytes are in the file, and come back; a second write replaces them."""
    for data in (b"one\0two", b"", b"three"):
        await host.call("questions", "write", "@data/a.txt", data)
        assert (tmp_path / "data/extensions/questions/data/a.txt").read_bytes() == data
        assert await host.call("questions", "read", "@data/a.txt", 4096) == data


async def test_a_file_is_read_as_a_whole_or_not_at_all(host: Host, tmp_path: Path) -> None:
    """Whatever the buffer, nobody is given the first part of a file, also of one that is larger than an answer can be."""
    data = bytes(range(250)) * 4
    await host.call("questions", "write", "@data/a", data)
    for cap in (20, 30, 999, 1000, 1010):
        assert (await failure(host, "read", "@data/a", cap))[0] == Code.TOO_LARGE
    assert await host.call("questions", "read", "@data/a", 1100) == data

    with (tmp_path / "data/extensions/questions/data/a").open("wb") as file:
        file.truncate(8 * MIB)
        assert await host.call("questions", "read", "@data/a", 9 * MIB) == bytes(8 * MIB)
        file.truncate(8 * MIB + 1)
        told = (Code.TOO_LARGE, "the file does not fit into the buffer for it")
        assert await failure(host, "read", "@data/a", 9 * MIB) == told


async def test_a_setting_is_found(host: Host) -> None:
    """The default, a secret, and errors for what is no text and for what there is not."""
    assert await host.call("questions", "setting", "city") == "Århus"
    assert await host.call("questions", "setting", "key") == SECRET
    assert await failure(host, "setting", "days") == (Code.INVALID, "the setting is not a text")
    assert (await failure(host, "setting", "nothing"))[0] == Code.UNKNOWN


# -- questions of one's own


@pytest.mark.parametrize("change", [0, -1, -(1 << 63), (1 << 63) - 1])
async def test_a_field_of_every_kind_arrives(host: Host, change: int) -> None:
    """The capability sees each field as it was put, also one of several items."""
    asked: dict[str, Any] = {
        "text": "grüß",
        "cut": "abc",
        "raw": b"\0\xff",
        "empty": b"",
        "count": (1 << 64) - 1,
        "change": change,
        "part": -0.125,
        "yes": change < 0,
        "none": None,
        "tags": ["a", "b"],
    }
    told = (asked["count"], change, asked["part"], asked["yes"])
    assert await host.call("questions", "every_kind", *told) == asked


async def test_an_answer_is_passed_on_as_it_came(host: Host) -> None:
    """`desk_reply_answer` gives a record of the host's to the caller, whatever is in it."""
    await host.call("questions", "write", "@data/a", b"")
    listing = await host.call("questions", "list", "@data")
    assert listing == {"entries": [{"name": "a", "kind": "file"}], "more": False, "skipped": 0}


async def test_an_error_is_passed_on(host: Host) -> None:
    """`desk_failed` and `desk_reply_answer` fail the call with the host's code and words; the instance goes on."""
    assert (await failure(host, "read", "@data/none", 4096))[0] == Code.UNKNOWN
    host.grants.revoke("questions", {"filesystem": ["readwrite:@data"]})
    for export, arguments in (("read", ("@data/a", 4096)), ("write", ("@data/a", b"")), ("list", ("@data",))):
        code, message = await failure(host, export, *arguments)
        assert code == Code.DENIED
        assert "grant it with `filesystem: " in message
    assert (await failure(host, "get", "x" * 513))[0] == Code.INVALID
    assert host.extensions()[0].statistics.instances == 1


# -- mistakes


async def test_too_many_fields_are_told_and_not_sent(host: Host, mirror: Mirror) -> None:
    """23 fields arrive, one more is `too_large` before anything is sent, and so are many more."""
    for count in (0, 1, 23):
        await host.call("questions", "fields", count)
    assert mirror.taken == 3
    for count in (24, 32, 256, 279, 600):
        assert await failure(host, "fields", count) == (
            Code.TOO_LARGE,
            "the question is larger than its buffer or 23 fields",
        )
    assert mirror.taken == 3


async def test_a_question_that_does_not_fit_is_told_and_not_sent(host: Host, mirror: Mirror) -> None:
    """It takes 17 bytes; with fewer nothing is sent, and nothing is written behind the buffer."""
    for cap in range(17):
        assert (await failure(host, "room", cap))[0] == Code.TOO_LARGE
    assert mirror.taken == 0
    assert await host.call("questions", "room", 17) == "taken"
    assert mirror.taken == 1


async def test_a_field_from_the_question_s_own_buffer_is_refused(host: Host, mirror: Mirror) -> None:
    """What an earlier answer left there would be overwritten: an error, not a file full of something else."""
    wrong = (Code.INVALID, "a field lies in the buffer of its question")
    await host.call("questions", "write", "@data/a", b"text")
    assert await failure(host, "copy", "@data/a", "@data/b") == wrong
    for start, length in ((1000, 1), (999, 2), (1999, 1), (1999, 500), (500, 2000), (1200, 3)):
        assert await failure(host, "overlapping", start, length) == wrong
    assert mirror.taken == 0
    for start, length in ((990, 10), (2000, 10), (1000, 0), (1500, 0)):
        await host.call("questions", "overlapping", start, length)
    assert mirror.taken == 4


async def test_a_question_is_sent_once(host: Host, mirror: Mirror) -> None:
    """Its place has the answer then: the second time is `invalid`."""
    assert await host.call("questions", "again") == (0, Code.INVALID)
    assert mirror.taken == 1


# -- languages


@pytest.mark.parametrize(
    "language", [("-xc", "-std=c99", "-pedantic"), ("-xc++", "-std=c++11"), ("-xc++", "-std=c++20")]
)
def test_the_header_compiles_as(tmp_path: Path, language: tuple[str, ...]) -> None:
    """A file that includes it is C99 and C++ without a warning."""
    source = tmp_path / "header.c"
    source.write_text((ROOT / "examples" / "notebook" / "notebook.c").read_text())
    build_c(source, tmp_path / "header.wasm", *FREESTANDING, *language)
