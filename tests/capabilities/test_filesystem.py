"""Files: what an extension can do with those that it was granted, and with its own."""

import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from extensions import relay
from granted_files import OPENERS, Files, nothing_left_open
from members import asking
from toolbox import files_left

from desk.bus import codec
from desk.capabilities.codes import CapabilityError, Code, PermissionDenied
from desk.capabilities.filesystem_atoms import FilesystemAtom
from desk.capabilities.providers import filesystem, portable_open, reading, writing
from desk.capabilities.providers.beneath import Open, best_open
from desk.capabilities.providers.filesystem import Filesystem
from desk.host import Host

pytestmark = pytest.mark.anyio

PATIENCE = 30.0
"""Seconds after which a test that hangs fails."""


@pytest.fixture(params=OPENERS)
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    return Files(tmp_path, request.param)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """This process can write no file larger than so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# -- reading


async def test_a_file_is_read(files: Files) -> None:
    """Whole or in part, with the size of the whole; behind its end there is nothing."""
    content = os.urandom(200_000)
    (files.inside / "file").write_bytes(content)
    assert await files.ask("read", "file") == {"data": content, "size": 200_000}
    assert await files.read("file", offset=199_990) == content[-10:]
    assert await files.read("file", offset=10, length=20) == content[10:30]
    assert await files.read("file", offset=1 << 40) == b""
    assert await files.read("file", length=0) == b""


async def test_a_read_has_a_usual_and_a_greatest_length(files: Files) -> None:
    """1 MiB unless it says otherwise, and never more than 8 MiB."""
    with (files.inside / "file").open("wb") as file:
        file.truncate(9 << 20)
    assert len(await files.read("file")) == 1 << 20
    assert len(await files.read("file", length=8 << 20)) == 8 << 20
    assert (await files.refused("read", "file", length=(8 << 20) + 1))[0] is Code.INVALID


async def test_what_is_not_there_is_unknown(files: Files) -> None:
    """A name without a file, and the names below; what is below a file is nonsense."""
    (files.inside / "file").touch()
    for operation in ("read", "stat", "list", "watch", "remove"):
        assert (await files.refused(operation, "nothing"))[0] is Code.UNKNOWN
        assert (await files.refused(operation, "nothing/more"))[0] is Code.UNKNOWN
        assert (await files.refused(operation, "file/more"))[0] is Code.INVALID


async def test_stat_says_what_a_name_stands_for(files: Files) -> None:
    """Kind, size of files, and whole seconds. A link is a link, whatever it leads to."""
    (files.inside / "file").write_bytes(b"12345")
    os.utime(files.inside / "file", ns=(0, 1_700_000_000_999_999_999))
    (files.inside / "link").symlink_to(files.outside)
    os.mkfifo(files.inside / "fifo")
    assert await files.ask("stat", "file") == {"kind": "file", "size": 5, "modified": 1_700_000_000}
    assert (await files.ask("stat", files.inside))["kind"] == "directory"
    assert (await files.ask("stat", "link"))["kind"] == "link"
    assert (await files.ask("stat", "fifo"))["kind"] == "other"


async def test_a_directory_is_listed_by_the_page(files: Files) -> None:
    """In the order of code points; the last name of one page is where the next begins."""
    names = sorted(["b", "a", "Z", "ä", "a b", "z" * 255])
    for name in names:
        (files.inside / name).touch()
    (files.inside / "dir").mkdir()
    names = sorted([*names, "dir"])
    whole = await files.ask("list", files.inside)
    assert [each["name"] for each in whole["entries"]] == names
    assert (whole["more"], whole["skipped"]) == (False, 0)
    assert {"name": "dir", "kind": "directory"} in whole["entries"]
    found: list[str] = []
    while True:
        page = await files.ask("list", files.inside, most=2, after=found[-1] if found else "")
        found += [each["name"] for each in page["entries"]]
        if not page["more"]:
            break
    assert found == names


async def test_names_that_cannot_be_said_are_only_counted(files: Files) -> None:
    """No path of a request could have them in it."""
    for name in (b"\xff\xfe", b"a*b", b"a\\b", b"line\nbreak", "e\u0301".encode(), "\u202e".encode(), b"plain"):
        (files.inside / os.fsdecode(name)).touch()
    listing = await files.ask("list", files.inside)
    assert [each["name"] for each in listing["entries"]] == ["plain"]
    assert listing["skipped"] == 6


async def test_a_directory_of_any_size_is_bounded(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a number of names nothing is listed, so that nobody has to read them all."""
    monkeypatch.setattr(reading, "MAX_SCANNED", 5)
    for number in range(5):
        (files.inside / str(number)).touch()
    assert len((await files.ask("list", files.inside))["entries"]) == 5
    (files.inside / "5").touch()
    assert (await files.refused("list", files.inside))[0] is Code.TOO_LARGE


# -- writing


async def test_four_ways_to_write(files: Files) -> None:
    """A new file, another content, more at the end, other bytes inside. The answer is the size."""
    assert await files.ask("write", "file", data=b"one", mode="create") == 3
    assert await files.ask("write", "file", data=b"three") == 5
    assert await files.ask("write", "file", data=b"!", mode="append") == 6
    assert await files.ask("write", "file", data=b"T", mode="update") == 6
    assert await files.ask("write", "file", data=b"?!", mode="update", offset=5) == 7
    assert (files.inside / "file").read_bytes() == b"Three?!"
    assert await files.ask("write", "other", data=b"", mode="append") == 0
    assert sorted(os.listdir(files.inside)) == ["file", "other"]


async def test_what_does_not_fit_the_way_is_refused(files: Files) -> None:
    """Creating what is there, updating what is not, an offset where it means nothing. Nothing is changed."""
    (files.inside / "file").write_bytes(b"kept")
    (files.inside / "dir").mkdir()
    assert (await files.refused("write", "file", data=b"x", mode="create"))[0] is Code.INVALID
    assert (await files.refused("write", "new", data=b"x", mode="update"))[0] is Code.UNKNOWN
    for mode in ("create", "replace", "append"):
        assert (await files.refused("write", "file", data=b"x", mode=mode, offset=1))[0] is Code.INVALID
    for mode in ("create", "replace", "append", "update"):
        assert (await files.refused("write", "dir", data=b"x", mode=mode))[0] is Code.INVALID
        assert (await files.refused("write", files.inside, data=b"x", mode=mode))[0] is Code.INVALID
    assert sorted(os.listdir(files.inside)) == ["dir", "file"]
    assert (files.inside / "file").read_bytes() == b"kept"


async def test_replacing_is_all_or_nothing(files: Files) -> None:
    """Who has the old file open reads on in it; the new one has the old one's mode; a replacement that fails leaves the old."""
    path = files.inside / "file"
    path.write_bytes(b"old")
    path.chmod(0o640)
    with path.open("rb") as reader:
        await files.ask("write", "file", data=b"new", durable=True)
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    with files_of_at_most(8192):
        assert (await files.refused("write", "file", data=bytes(100_000)))[0] is Code.TOO_LARGE
        assert (await files.refused("write", "fresh", data=bytes(100_000), mode="create"))[0] is Code.TOO_LARGE
    assert path.read_bytes() == b"new"
    assert os.listdir(files.inside) == ["file"]


@pytest.mark.parametrize("mode", ["create", "replace", "append"])
async def test_large_and_durable_writes(files: Files, mode: str) -> None:
    """They are done in a thread, and are the same."""
    data = os.urandom(300_000)
    assert await files.ask("write", "large", data=data, mode=mode) == len(data)
    assert await files.ask("write", "durable", data=b"kept", mode=mode, durable=True) == 4
    assert (files.inside / "large").read_bytes() == data
    assert (files.inside / "durable").read_bytes() == b"kept"


async def test_new_files_cannot_be_executed(files: Files) -> None:
    """What is an extension's own is nobody else's; elsewhere it is as the process would make it."""
    before = os.umask(0o022)
    try:
        await files.ask("write", "file", data=b"#!/bin/sh")
        await files.ask("write", "@data/file", data=b"#!/bin/sh")
        await files.ask("make_directory", "@data/dir")
        await files.ask("make_directory", "dir")
    finally:
        os.umask(before)
    modes = [files.inside / "file", files.own() / "file", files.own() / "dir", files.inside / "dir"]
    assert [stat.S_IMODE(each.stat().st_mode) for each in modes] == [0o644, 0o600, 0o700, 0o755]


async def test_directories_are_made_and_removed(files: Files) -> None:
    """One at a time, in one that there is; only empty ones go, and never the granted directory itself."""
    await files.ask("make_directory", "dir")
    await files.ask("make_directory", "dir/below")
    assert (await files.refused("make_directory", "dir"))[0] is Code.INVALID
    assert (await files.refused("make_directory", "no/where"))[0] is Code.UNKNOWN
    assert (await files.refused("remove", "dir"))[0] is Code.INVALID
    assert (await files.refused("remove", files.inside))[0] is Code.INVALID
    await files.ask("remove", "dir/below")
    await files.ask("remove", "dir")
    assert os.listdir(files.inside) == []


async def test_a_link_is_removed_and_not_what_it_leads_to(files: Files) -> None:
    """Also one that leads out."""
    (files.inside / "link").symlink_to(files.outside / "secret")
    await files.ask("remove", "link")
    assert (files.outside / "secret").exists()
    assert os.listdir(files.inside) == []


async def test_a_file_is_renamed(files: Files) -> None:
    """Within a grant and from one into another, over another file; not a directory."""
    (files.inside / "a").write_bytes(b"a")
    (files.inside / "b").write_bytes(b"b")
    (files.inside / "dir").mkdir()
    await files.ask("rename", "a", to=files.inside / "b")
    assert (files.inside / "b").read_bytes() == b"a"
    await files.ask("rename", "b", to="@data/c")
    assert (files.own() / "c").read_bytes() == b"a"
    await files.ask("rename", "@data/c", to=files.inside / "dir" / "d")
    assert (files.inside / "dir" / "d").read_bytes() == b"a"
    await files.ask("rename", "dir/d", to=files.inside / "dir" / "d")
    assert (await files.refused("rename", "dir", to=files.inside / "e"))[0] is Code.INVALID
    assert (await files.refused("rename", "dir/d", to=files.inside / "dir"))[0] is Code.INVALID
    assert (await files.refused("rename", "none", to=files.inside / "e"))[0] is Code.UNKNOWN


# -- grants


async def test_a_grant_of_one_file(files: Files) -> None:
    """It is this name and nothing beside, also before it exists."""
    member = files.member("one", f"readwrite:{files.inside}/only")
    assert (await files.refused("read", "only", by=member))[0] is Code.UNKNOWN
    await files.ask("write", "only", data=b"1", by=member)
    await files.ask("write", "only", data=b"2", mode="append", by=member)
    assert await files.ask("read", "only", by=member) == {"data": b"12", "size": 2}
    (files.inside / "beside").touch()
    assert (await files.refused("read", "beside", by=member))[0] is Code.DENIED
    assert (await files.refused("list", files.inside, by=member))[0] is Code.DENIED
    await files.ask("remove", "only", by=member)
    await files.ask("make_directory", "only", by=member)
    await files.ask("write", "only/below", data=b"3", by=member)


async def test_what_was_granted_is_what_was_opened(files: Files) -> None:
    """A granted directory that is renamed away stays the granted one, whatever takes its name (case 85)."""
    (files.inside / "file").write_bytes(b"granted")
    assert await files.read("file") == b"granted"
    (files.outside / "file").write_bytes(b"another")
    moved = files.inside.rename(files.inside.with_name("moved"))
    files.inside.symlink_to(files.outside)
    assert await files.read("file") == b"granted"
    await files.ask("write", "new", data=b"x")
    assert (moved / "new").exists()
    assert not (files.outside / "new").exists()


async def test_a_granted_directory_that_was_removed_is_looked_up_again(files: Files) -> None:
    """A directory that was made anew under the granted name is the granted one."""
    assert await files.ask("stat", files.inside)
    files.inside.rmdir()
    assert (await files.refused("read", "file"))[0] is Code.UNKNOWN
    files.inside.mkdir()
    (files.inside / "file").write_bytes(b"again")
    assert await files.read("file") == b"again"


async def test_a_revoked_grant_closes_its_directory(files: Files) -> None:
    """The next request is denied, and nothing stays open."""
    with nothing_left_open(files):
        await files.ask("stat", files.inside)
        files.a.grants.revoke([FilesystemAtom.parse(f"readwrite:{files.inside}")])
        assert (await files.refused("stat", files.inside))[0] is Code.DENIED


async def test_many_grants_keep_few_directories_open(files: Files) -> None:
    """The one that was not used for the longest time is closed, and opened when it is needed again."""
    paths = [files.inside / str(number) for number in range(100)]
    for path in paths:
        path.mkdir()
        (path / "file").write_bytes(path.name.encode())
    member = files.member("many", *(f"read:{path}" for path in paths))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(2):
        for path in paths:
            assert await files.read(path / "file", by=member) == path.name.encode()
    assert len(os.listdir("/proc/self/fd")) - before <= 64


async def test_nothing_stays_open(files: Files) -> None:
    """Whatever was asked, and refused: what is open in the end is what was before."""
    (files.inside / "link").symlink_to(files.outside)
    os.mkfifo(files.inside / "fifo")
    (files.inside / "hard").hardlink_to(files.outside / "secret")
    with nothing_left_open(files):
        for operation in ("read", "stat", "list", "watch", "remove", "make_directory"):
            for path in ("link/secret", "fifo", "hard", "none", "no/ne", "@data/none", "link", files.inside):
                try:
                    await files.ask(operation, path)
                except CapabilityError:
                    pass
        for mode in ("create", "replace", "append", "update"):
            for path in ("link", "link/secret", "fifo", "hard", "new/er", f"new{mode}", "@data/x"):
                try:
                    await files.ask("write", path, data=b"x" * 100_000, mode=mode)
                except CapabilityError:
                    pass


# -- the extension's own


async def test_own_files(files: Files) -> None:
    """Below the host's directory, closed to others; each extension has its own under the same name."""
    b = files.member("b", "readwrite:@data", "readwrite:@cache")
    await files.ask("write", "@data/file", data=b"of a")
    await files.ask("write", "@data/file", data=b"of b", by=b)
    assert await files.read("@data/file") == b"of a"
    assert files.own(extension="b").joinpath("file").read_bytes() == b"of b"
    assert stat.S_IMODE(files.own().stat().st_mode) == 0o700
    assert stat.S_IMODE((files.data / "extensions" / "a").stat().st_mode) == 0o700
    assert (await files.refused("read", "@cache/x"))[0] is Code.DENIED
    assert (await files.ask("list", "@cache", by=b))["entries"] == []


async def test_tmp_is_emptied(files: Files) -> None:
    """Before a host first uses it, with all that is in it, and not again; the rest is kept."""
    (files.own("tmp") / "deep" / "er").mkdir(parents=True)
    (files.own("tmp") / "deep" / "er" / "file").touch()
    (files.own("tmp") / "link").symlink_to(files.outside)
    files.own().mkdir()
    (files.own() / "file").touch()
    assert (await files.ask("list", "@tmp"))["entries"] == []
    assert (files.outside / "secret").exists()
    assert (files.own() / "file").exists()
    await files.ask("write", "@tmp/file", data=b"x")
    files.a.resources.close_all()
    assert len((await files.ask("list", "@tmp"))["entries"]) == 1


async def test_a_host_without_a_directory(tmp_path: Path) -> None:
    """It says so, and serves what else was granted; there is no `@package` anywhere."""
    (tmp_path / "x").mkdir()
    files = Files(tmp_path / "x", best_open())
    member = files.member("b", "readwrite:@data", "read:@package", f"read:{files.outside}")
    assert (await files.refused("read", "@package/x", by=member))[0] is Code.UNAVAILABLE
    files.world = asking(Filesystem())
    member = files.member("b", "readwrite:@data", "read:@package", f"read:{files.outside}")
    for operation, request in (("read", {}), ("write", {"data": b""}), ("stat", {})):
        code, message = await files.refused(operation, "@data/x", by=member, **request)
        assert (code, "data_dir" in message) == (Code.UNAVAILABLE, True)
    assert await files.read(files.outside / "secret", by=member) == b"secret"


# -- on behalf of others, and through a guest


async def test_a_deputy_needs_the_right_of_both(files: Files) -> None:
    """A file is reached only if the caller may, too; one's own files are one's own affair."""
    files.member("caller")
    (files.inside / "file").write_bytes(b"x")
    with pytest.raises(CapabilityError, match="on behalf of caller"):
        await files.world.ask(files.a, "filesystem.read", behalf=("caller",), path=files.said("file"))
    await files.world.ask(files.a, "filesystem.write", behalf=("caller",), path="@data/x", data=b"x")


@pytest.mark.parametrize("readable", ["box", "mine"])
async def test_a_deputy_does_not_make_a_file_readable(files: Files, readable: str) -> None:
    """Who may read only one of two places gets nothing moved between them, also not by one who reads neither."""
    box, mine = files.inside / "box", files.inside / "mine"
    for each in (box, mine):
        each.mkdir()
    (box / "file").write_bytes(b"x")
    caller = files.member("caller", f"write:{box}", f"write:{mine}", f"read:{files.inside / readable}")
    deputy = files.member("deputy", f"write:{box}", f"write:{mine}")
    request = {"path": f"{box}/file", "to": f"{mine}/file"}
    for member, behalf in ((caller, ()), (deputy, ("caller",))):
        with pytest.raises(PermissionDenied):
            await files.world.ask(member, "filesystem.rename", behalf=behalf, **request)
    assert await files.world.ask(deputy, "filesystem.rename", **request) is None


async def test_without_file_descriptors_requests_are_refused_and_lose_none(files: Files) -> None:
    """However many are left: a request is answered or refused with a reason, and nothing stays open."""
    (files.inside / "file").write_bytes(bytes(100_000))
    (files.inside / "dir").mkdir()
    requests: list[tuple[str, Path | str, dict[str, object]]] = [
        ("read", "file", {"length": 100_000}),
        ("stat", "file", {}),
        ("list", files.inside, {}),
        ("watch", "dir", {}),
        ("write", "file", {"data": b"x", "durable": True}),
        ("write", "@data/file", {"data": b"x", "mode": "append", "durable": True}),
        ("write", "@data/file", {"data": bytes(100_000)}),
        ("rename", "@data/file", {"to": "@tmp/file"}),
        ("remove", "@tmp/file", {}),
    ]
    refused: list[Code] = []
    with nothing_left_open(files):
        await files.ask("list", "@data")  # and the threads are there
        for spare in range(8):
            for operation, path, more in requests:
                files.a.resources.close_all()
                with files_left(spare):
                    try:
                        await files.ask(operation, path, **more)
                    except CapabilityError as error:
                        refused.append(error.guest_code)
    assert len(refused) > len(requests)
    assert set(refused) <= {Code.OVERLOADED, Code.UNKNOWN}


async def test_through_a_guest(tmp_path: Path) -> None:
    """The whole way: a guest writes a file, reads it, watches, and is denied what is not its own."""
    (tmp_path / "shared").mkdir()
    kept = Filesystem(tmp_path / "host")
    permissions = {"filesystem": [f"readwrite:{tmp_path}/shared", "readwrite:@data"]}
    texts = ", ".join(f'"{each}"' for each in permissions["filesystem"])
    with anyio.fail_after(PATIENCE):
        async with Host(providers=kept.operations()) as host:
            await host.load(relay("keeper", f"filesystem: [{texts}]"), grants=permissions)

            async def ask(operation: str, **request: object) -> Any:
                payload = codec.encode(request)
                return codec.decode(await host.call("keeper", "ask", f"cap.filesystem.{operation}", payload))

            for path in ("@data/file", f"{tmp_path}/shared/file"):
                assert await ask("write", path=path, data=b"x" * 4096) == {"ok": 4096}
                assert await ask("read", path=path) == {"ok": {"data": b"x" * 4096, "size": 4096}}
            watch = (await ask("watch", path=f"{tmp_path}/shared"))["ok"]
            (tmp_path / "shared" / "new").touch()
            changes = await ask("changes", watch=watch)
            assert {"name": "new", "what": "created"} in changes["ok"]["changes"]
            denied = await ask("read", path="/etc/passwd")
            assert denied["error"]["code"] == Code.DENIED
            assert (await ask("read", path="/proc/self/mem"))["error"]["code"] == Code.INVALID


def test_the_limits_are_as_documented() -> None:
    """What docs/capabilities/filesystem.md says."""
    assert (filesystem.MAX_READ, filesystem.DIRECT, filesystem.WATCHES, filesystem.MAX_WATCHES) == (
        8 << 20,
        64 << 10,
        8,
        64,
    )
    assert (writing.MAX_FILE, reading.MAX_SCANNED) == (1 << 30, 100_000)


def test_without_openat2_there_is_another_way() -> None:
    """A system has one of the two."""
    chosen: Open = best_open()
    assert chosen is portable_open.open_beneath or chosen.__module__.endswith("openat2")
