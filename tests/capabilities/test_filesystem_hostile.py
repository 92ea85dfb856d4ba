"""Files: what a guest, or somebody with an account on the same computer, tries in order to get at others (cases 84 to 88)."""

import os
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from granted_files import OPENERS, Files, nothing_left_open

from desk.capabilities.codes import CapabilityError, Code
from desk.capabilities.filesystem_atoms import FilesystemAtom
from desk.capabilities.providers import filesystem, kernel_files, writing
from desk.capabilities.providers.beneath import Open
from desk.capabilities.providers.quota import BLOCK

pytestmark = pytest.mark.anyio

RACES = 600
"""Attempts in each race: realpath-then-open loses one in a hundred and fifty."""

REFUSED = (Code.DENIED, Code.INVALID, Code.UNKNOWN, Code.UNAVAILABLE)
"""How a request ends that met a link, or something that had just been moved. All mean that nothing was opened."""


@pytest.fixture(params=OPENERS)
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    return Files(tmp_path, request.param)


# -- case 84: paths


@pytest.mark.parametrize(
    "path",
    [
        "{inside}/../outside/secret",
        "{inside}/./file",
        "{inside}//file",
        "{inside}/file/",
        "{inside}/file\0.txt",
        "{inside}/e\u0301",
        "{inside}/\u202efile",
        "{inside}/" + "n" * 4096,
        "{inside}/*",
        "{inside}\\file",
        "/proc/self/root/etc/passwd",
        "/PROC/self/environ",
        "/dev/stdin",
        "/sys/kernel",
        "/",
        "",
        "file",
        "./file",
        "~/file",
        "@data/../config/x",
        "@nothing/x",
        "@",
        "file:///etc/passwd",
        "\\\\?\\C:\\x",
    ],
)
async def test_case_84_what_is_no_path_is_refused_as_such(files: Files, path: str) -> None:
    """Before anything is decided, let alone looked up; in every operation, and at both ends of a rename."""
    path = path.format(inside=files.inside)
    for operation, more in (
        ("read", {}),
        ("stat", {}),
        ("list", {}),
        ("watch", {}),
        ("remove", {}),
        ("make_directory", {}),
    ):
        with pytest.raises(CapabilityError) as caught:
            await files.world.ask(files.a, f"filesystem.{operation}", path=path, **more)
        assert caught.value.guest_code is Code.INVALID
    for request in ({"path": path, "to": files.said("x")}, {"path": files.said("x"), "to": path}):
        with pytest.raises(CapabilityError) as caught:
            await files.world.ask(files.a, "filesystem.rename", **request)
        assert caught.value.guest_code is Code.INVALID
    assert not files.world.audit.records


@pytest.mark.parametrize("name", ["CON", "a:stream", "...", " ", "-rf", "~", "%2e%2e", "ﬀ", "$(id)"])
async def test_case_84_names_that_mean_something_elsewhere_mean_nothing_here(files: Files, name: str) -> None:
    """They are files of that very name in the granted directory."""
    await files.ask("write", name, data=b"x")
    assert os.listdir(files.inside) == [name]
    assert await files.read(name) == b"x"


async def test_case_84_a_name_longer_than_the_file_system_takes(files: Files) -> None:
    """The permission's grammar lets it pass, the file system does not, and nothing comes of it."""
    assert (await files.refused("write", "n" * 300, data=b"x"))[0] is Code.INVALID
    assert (await files.refused("read", "n" * 300))[0] is Code.INVALID


@pytest.mark.parametrize("open_", OPENERS)
def test_case_84_the_openers_do_not_trust_their_callers(tmp_path: Path, open_: Open) -> None:
    """`..` leads nowhere, an absolute path neither, and NUL does not cut a name short."""
    root = os.open(tmp_path, os.O_RDONLY)
    (tmp_path / "file").touch()
    try:
        for path in ("..", "../x", "file/..", "/etc/passwd"):
            with pytest.raises(OSError):  # noqa: PT011 - which error is the kernel's choice
                os.close(open_(root, path, os.O_RDONLY, 0))
        with pytest.raises(ValueError, match="NUL"):
            open_(root, "file\0more", os.O_RDONLY, 0)
    finally:
        os.close(root)


# -- case 85: other things under a name


@pytest.mark.parametrize("link", ["file", "dir", "magic", "absolute", "loop"])
async def test_case_85_no_link_is_followed(files: Files, link: str) -> None:
    """Not for reading and not for writing, at the end of a path or on its way, wherever it leads. It can be seen and removed."""
    (files.inside / "real").mkdir()
    (files.inside / "real" / "secret").write_bytes(b"inside")
    target = {
        "file": "real/secret",
        "dir": "real",
        "magic": "/proc/self/root",
        "absolute": files.outside,
        "loop": "link",
    }
    (files.inside / "link").symlink_to(target[link])
    for path in ("link", "link/secret"):
        for operation, more in (("read", {}), ("list", {}), ("watch", {})):
            code, message = await files.refused(operation, path, **more)
            assert code is Code.DENIED, (operation, path, message)
            assert "symbolic link" in message
        for mode in ("create", "replace", "append", "update"):
            code, _ = await files.refused("write", path, data=b"x", mode=mode)
            assert code is (Code.INVALID if mode == "create" and path == "link" else Code.DENIED)
    assert (await files.refused("stat", "link/secret"))[0] is Code.DENIED
    assert (await files.refused("remove", "link/secret"))[0] is Code.DENIED
    assert (await files.refused("make_directory", "link/new"))[0] is Code.DENIED
    assert (await files.refused("rename", "link/secret", to=files.inside / "x"))[0] is Code.DENIED
    assert (files.outside / "secret").read_bytes() == b"secret"
    assert (files.inside / "real" / "secret").read_bytes() == b"inside"


@contextmanager
def swapping(swap: Callable[[], None]) -> Iterator[None]:
    """Somebody who does `swap` all the time."""
    over = threading.Event()

    def attack() -> None:
        while not over.is_set():
            swap()

    attacker = threading.Thread(target=attack)
    attacker.start()
    try:
        yield
    finally:
        over.set()
        attacker.join()


def exchange(one: Path, other: Path, spare: Path) -> Callable[[], None]:
    """Exchanges two names, by renaming."""

    def swap() -> None:
        one.rename(spare)
        other.rename(one)
        spare.rename(other)

    return swap


async def test_case_85_a_link_swapped_during_a_read(files: Files) -> None:
    """A directory that turns into a link and back while it is read from: what is read was inside, or nothing is."""
    (files.inside / "dir").mkdir()
    (files.inside / "dir" / "secret").write_bytes(b"inside")
    (files.inside / "link").symlink_to(files.outside)
    answers: set[object] = set()
    with swapping(exchange(files.inside / "dir", files.inside / "link", files.inside / "spare")):
        for _ in range(RACES):
            try:
                answers.add(await files.read("dir/secret"))
            except CapabilityError as error:
                answers.add(error.guest_code)
    assert {each for each in answers if isinstance(each, bytes)} <= {b"inside"}
    assert answers <= {b"inside", *REFUSED}


@pytest.mark.parametrize("mode", ["create", "replace", "append", "update"])
async def test_case_85_a_link_swapped_during_a_write(files: Files, mode: str) -> None:
    """Whatever is hit, nothing outside is: not the file that is there, and no new one."""
    (files.inside / "dir").mkdir()
    (files.inside / "dir" / "secret").write_bytes(b"inside")
    (files.inside / "link").symlink_to(files.outside)
    (files.outside / "victim").write_bytes(b"secret")
    (files.inside / "file").write_bytes(b"inside")
    (files.inside / "leaf").symlink_to(files.outside / "victim")
    swap_directory = exchange(files.inside / "dir", files.inside / "link", files.inside / "spare")
    swap_file = exchange(files.inside / "file", files.inside / "leaf", files.inside / "other")

    def swap() -> None:
        swap_directory()
        try:
            swap_file()
        except FileNotFoundError:  # a replacement has replaced one of them
            for name in ("file", "leaf", "other"):
                (files.inside / name).unlink(missing_ok=True)
            (files.inside / "file").write_bytes(b"inside")
            (files.inside / "leaf").symlink_to(files.outside / "victim")

    with swapping(swap):
        for number in range(RACES // 5):
            for path in ("dir/secret", f"dir/new{number}", "file"):
                try:
                    await files.ask("write", path, data=b"overwritten", mode=mode)
                except CapabilityError:
                    pass
    assert sorted(os.listdir(files.outside)) == ["secret", "victim"]
    assert {(files.outside / name).read_bytes() for name in ("secret", "victim")} == {b"secret"}


async def test_case_85_a_directory_renamed_away_meanwhile(files: Files) -> None:
    """A directory on the way that moves out and in again: what is found was granted when it was opened, or nothing is."""
    (files.inside / "a" / "b").mkdir(parents=True)
    (files.inside / "a" / "b" / "secret").write_bytes(b"inside")
    away = files.outside / "away"

    def swap() -> None:
        (files.inside / "a").rename(away)
        away.rename(files.inside / "a")

    answers: set[object] = set()
    with swapping(swap):
        for _ in range(RACES):
            try:
                answers.add(await files.read("a/b/secret"))
            except CapabilityError as error:
                answers.add(error.guest_code)
    assert answers <= {b"inside", *REFUSED}


async def test_case_85_hard_links(files: Files) -> None:
    """A file with a second name is read and can lose this one, but is not written: it may be another grant's."""
    (files.inside / "hard").hardlink_to(files.outside / "secret")
    assert await files.read("hard") == b"secret"
    for mode in ("append", "update"):
        code, message = await files.refused("write", "hard", data=b"x", mode=mode)
        assert (code, "hard links" in message) == (Code.DENIED, True)
    await files.ask("write", "hard", data=b"mine", mode="replace")  # another file under this name
    assert (files.outside / "secret").read_bytes() == b"secret"
    assert await files.ask("write", "hard", data=b"!", mode="append") == 5


async def test_case_85_things_that_are_no_files(files: Files) -> None:
    """A FIFO without a writer, a socket, a device: refused at once, for reading and writing."""
    os.mkfifo(files.inside / "fifo")
    listener = socket.socket(socket.AF_UNIX)
    directory = os.getcwd()
    os.chdir(files.inside)  # the path of a socket must be short
    try:
        listener.bind("socket")
        listener.listen()
    finally:
        os.chdir(directory)
    names = ["fifo", "socket"]
    if os.geteuid() == 0:
        os.mknod(files.inside / "zero", 0o666 | 0o020000, os.makedev(1, 5))
        names.append("zero")
    with listener:
        for name in names:
            assert (await files.refused("read", name))[0] is Code.DENIED, name
            assert (await files.refused("remove", name))[0] is Code.DENIED, name
            assert (await files.refused("rename", name, to=files.inside / "x"))[0] is Code.INVALID
            for mode in ("replace", "append", "update"):
                assert (await files.refused("write", name, data=b"x", mode=mode))[0] is Code.DENIED, name
            reader = os.open(files.inside / "fifo", os.O_RDONLY | os.O_NONBLOCK)  # now a writer would be let in
            try:
                assert (await files.refused("write", "fifo", data=b"x", mode="update"))[0] is Code.DENIED
                assert os.read(reader, 1) == b""
            finally:
                os.close(reader)
    assert sorted(os.listdir(files.inside)) == sorted(names)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has these")
async def test_case_85_the_kernels_files_are_refused_wherever_they_are(files: Files) -> None:
    """A granted path that leads to `/proc` or to all of the computer grants nothing, and nor does what is mounted below one."""
    for name, target in (("proc", "/proc/self"), ("root", "/proc/self/root"), ("all", "/"), ("sys", "/sys/kernel")):
        (files.outside / name).symlink_to(target)
        member = files.member("b", f"readwrite:{files.outside}/{name}")
        for path in (f"{files.outside}/{name}/status", f"{files.outside}/{name}/etc/passwd"):
            assert (await files.refused("read", path, by=member))[0] in (Code.DENIED, Code.UNKNOWN), name
    for path, kernels in (("/proc/self/status", True), ("/sys/kernel", True), (files.inside, False)):
        file = os.open(path, os.O_RDONLY)
        try:
            assert kernel_files.is_of_kernel(file) is kernels
        finally:
            os.close(file)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="takes the right to mount")
async def test_case_85_a_mounted_proc(files: Files) -> None:
    """It is refused in the middle of a granted directory, too; another disk that is mounted there is a directory like others."""
    for kind, name in (("proc", "p"), ("tmpfs", "t")):
        (files.inside / name).mkdir()
        if not ran("mount", "-t", kind, kind, files.inside / name):
            pytest.skip("mounting is not allowed here")
    try:
        for operation in ("read", "stat"):
            assert (await files.refused(operation, "p/self/status"))[0] is Code.DENIED
        assert (await files.refused("read", "p/uptime"))[0] is Code.DENIED
        assert (await files.refused("list", "p"))[0] is Code.DENIED
        await files.ask("write", "t/file", data=b"x")
        (files.inside / "file").touch()
        code, message = await files.refused("rename", "file", to=files.inside / "t" / "y")
        assert (code, "another file system" in message) == (Code.INVALID, True)
    finally:
        for name in ("p", "t"):
            ran("umount", files.inside / name)


def ran(*command: str | Path) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


# -- case 86: reading must not change


async def test_case_86_reading_neither_creates_nor_truncates(files: Files) -> None:
    """With the right to read, nothing that reads changes anything, and nothing that writes is allowed."""
    member = files.member("reader", f"read:{files.inside}")
    (files.inside / "file").write_bytes(b"kept")
    for operation in ("read", "stat", "list", "watch"):
        assert (await files.refused(operation, "new", by=member))[0] is Code.UNKNOWN
    for mode in ("create", "replace", "append", "update"):
        for data in (b"", b"x"):
            assert (await files.refused("write", "file", data=data, mode=mode, by=member))[0] is Code.DENIED
            assert (await files.refused("write", "new", data=data, mode=mode, by=member))[0] is Code.DENIED
    assert (await files.refused("remove", "file", by=member))[0] is Code.DENIED
    assert (await files.refused("make_directory", "new", by=member))[0] is Code.DENIED
    assert {each.name: each.read_bytes() for each in files.inside.iterdir()} == {"file": b"kept"}


async def test_case_86_writing_does_not_tell(files: Files) -> None:
    """With the right to write alone, nothing is read, listed or looked at."""
    member = files.member("writer", f"write:{files.inside}")
    (files.inside / "file").write_bytes(b"kept")
    for operation in ("read", "stat", "list", "watch"):
        assert (await files.refused(operation, files.inside, by=member))[0] is Code.DENIED
        assert (await files.refused(operation, "file", by=member))[0] is Code.DENIED
    assert await files.ask("write", "file", data=b"x", mode="append", by=member) == 5


# -- case 87: from one grant into another


async def test_case_87_a_rename_takes_both_rights(files: Files) -> None:
    """Both ends are written; and the rights on both ends must be the same, so that no file gets other rights by another name."""
    drop, box, shelf = (files.inside / name for name in ("drop", "box", "shelf"))
    for each in (drop, box, shelf):
        each.mkdir()
        (each / "file").write_bytes(each.name.encode())
    member = files.member("b", f"write:{drop}", f"readwrite:{box}", f"read:{shelf}")
    for path, to in ((drop, box), (box, drop), (shelf, box), (box, shelf), (drop, shelf), (box, files.outside)):
        assert (await files.refused("rename", path / "file", to=to / "new", by=member))[0] is Code.DENIED
    await files.ask("rename", box / "file", to=box / "new", by=member)
    await files.ask("rename", drop / "file", to=drop / "new", by=member)
    assert [os.listdir(each) for each in (drop, box, shelf)] == [["new"], ["new"], ["file"]]


async def test_case_87_the_rights_are_those_of_all_grants(files: Files) -> None:
    """Also where one grant allows the writing of both ends, and another the reading of one."""
    (files.inside / "readable").mkdir()
    (files.inside / "blind").write_bytes(b"x")
    member = files.member("b", f"write:{files.inside}", f"read:{files.inside}/readable")
    code, _ = await files.refused("rename", "blind", to=files.inside / "readable" / "x", by=member)
    assert code is Code.DENIED
    assert (files.inside / "blind").exists()


async def test_case_87_nothing_makes_links(files: Files) -> None:
    """There is no operation that makes a link, hard or symbolic, changes a mode, or opens for others."""
    names = {each.name for each in files.filesystem.operations()}
    words = ("read", "write", "list", "stat", "remove", "rename", "make_directory", "watch", "changes", "close")
    assert names == {f"filesystem.{word}" for word in words}


async def test_case_87_a_directory_is_not_renamed(files: Files) -> None:
    """What is granted and forbidden inside of it would apply to other files then."""
    (files.inside / "dir").mkdir()
    assert (await files.refused("rename", "dir", to=files.inside / "other"))[0] is Code.INVALID


# -- case 88: too much


async def test_case_88_a_sparse_file_counts_as_its_size(files: Files) -> None:
    """One byte a terabyte behind the end is too much, for one's own files and for others; nothing is made larger."""
    terabyte = 1 << 40
    for path in ("@data/file", "file"):
        await files.ask("write", path, data=b"x")
        assert (await files.refused("write", path, data=b"x", mode="update", offset=terabyte))[0] is Code.TOO_LARGE
        assert await files.ask("read", path) == {"data": b"x", "size": 1}
    code, _ = await files.refused("write", "@data/file", data=b"x", mode="update", offset=files.a.storage)
    assert code is Code.OVERLOADED
    assert (await files.refused("write", "file", data=b"x", mode="update", offset=writing.MAX_FILE))[
        0
    ] is Code.TOO_LARGE
    assert (await files.refused("write", "file", data=b"x", mode="update", offset=1 << 63))[0] is Code.INVALID
    assert (await files.refused("write", "file", data=bytes(filesystem.MAX_READ + 1)))[0] is Code.INVALID


@pytest.mark.parametrize("mode", ["create", "append", "replace"])
async def test_case_88_own_files_have_a_quota(files: Files, mode: str) -> None:
    """Of all roots together, counted in blocks; what is removed or made smaller can be used again."""
    member = files.member("b", "readwrite:@data", "readwrite:@cache", storage=10 * BLOCK)
    for number in range(10):
        await files.ask("write", f"@{'data' if number % 2 else 'cache'}/{number}", data=b"x", mode=mode, by=member)
    for path, data in (("@data/new", b""), ("@cache/0", bytes(BLOCK + 1))):
        code, message = await files.refused("write", path, data=data, mode="append", by=member)
        assert (code, "storage" in message) == (Code.OVERLOADED, True)
    assert (await files.refused("make_directory", "@data/dir", by=member))[0] is Code.OVERLOADED
    await files.ask("write", "@cache/0", data=bytes(BLOCK - 1), mode="append", by=member)
    await files.ask("remove", "@cache/0", by=member)
    await files.ask("make_directory", "@data/dir", by=member)
    assert (await files.refused("write", "@cache/0", data=b"", mode=mode, by=member))[0] is Code.OVERLOADED


async def test_case_88_what_is_there_already_counts(files: Files) -> None:
    """Also what was written before the host was started, and what is moved in."""
    (files.own(extension="b") / "deep").mkdir(parents=True)
    (files.own(extension="b") / "deep" / "file").write_bytes(bytes(5 * BLOCK))
    (files.inside / "large").write_bytes(bytes(5 * BLOCK))
    member = files.member("b", "readwrite:@data", f"readwrite:{files.inside}", storage=10 * BLOCK)
    assert (await files.refused("rename", "large", to="@data/large", by=member))[0] is Code.OVERLOADED
    await files.ask("rename", "@data/deep/file", to=files.inside / "file", by=member)
    await files.ask("rename", "large", to="@data/large", by=member)


async def test_case_88_a_full_disk_is_an_answer(files: Files) -> None:
    """What the system refuses to write has a code, and what is counted afterwards is what is there."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    await files.ask("write", "@data/file", data=b"x")
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * BLOCK, hard))
    try:
        for mode in ("create", "replace", "append"):
            code, _ = await files.refused("write", f"@data/{mode}", data=bytes(8 * BLOCK), mode=mode)
            assert code is Code.TOO_LARGE
        assert (await files.refused("write", "@data/file", data=bytes(8 * BLOCK), mode="append"))[0] is Code.TOO_LARGE
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(files.own()) == ["file"]
    size = (files.own() / "file").stat().st_size
    files.member("a", "readwrite:@data", storage=size + BLOCK)
    await files.ask("write", "@data/other", data=b"x", by=files.world.members["a"])
    code, _ = await files.refused("write", "@data/third", data=b"x", by=files.world.members["a"])
    assert code is Code.OVERLOADED


# -- the host's own


@pytest.mark.parametrize("granted", ["above", "same", "below"])
async def test_no_grant_reaches_what_is_the_hosts(tmp_path: Path, granted: str) -> None:
    """The directory in which it keeps its grants, its audit and others' files is refused, whatever absolute path is granted."""
    cache = tmp_path / "cache"
    files = Files(tmp_path, OPENERS[1].values[0], private=[cache])  # type: ignore[arg-type]
    for secret in (files.data / "grants.ron", files.data / "extensions" / "b" / "data" / "x", cache / "code"):
        secret.parent.mkdir(parents=True, exist_ok=True)
        secret.write_bytes(b"secret")
    path = {"above": tmp_path, "same": files.data, "below": files.data / "extensions" / "b"}[granted]
    member = files.member("m", f"readwrite:{path}", f"readwrite:{cache}/new")
    for target in (files.data / "grants.ron", files.data / "extensions" / "b" / "data" / "x"):
        if str(target).startswith(str(path)):
            for operation, more in (("read", {}), ("stat", {}), ("write", {"data": b""}), ("remove", {})):
                assert (await files.refused(operation, target, by=member, **more))[0] is Code.DENIED
    assert (await files.refused("write", cache / "new", data=b"", by=member))[0] is Code.DENIED
    if granted == "above":
        assert (await files.refused("list", files.data, by=member))[0] is Code.DENIED
        assert (
            await files.refused(
                "list", str(files.data).upper().replace(str(tmp_path).upper(), str(tmp_path)), by=member
            )
        )[0] is Code.DENIED
        assert (await files.refused("read", cache / "code", by=member))[0] is Code.DENIED
        await files.ask("rename", tmp_path / "outside" / "secret", to=tmp_path / "moved", by=member)
        code, _ = await files.refused("rename", tmp_path / "moved", to=files.data / "grants.ron", by=member)
        assert code is Code.DENIED


async def test_a_root_of_ones_own_that_became_a_link(files: Files) -> None:
    """Somebody has put a link in its place: nothing is read or written through it."""
    files.own().parent.mkdir(parents=True)
    files.own().symlink_to(files.outside)
    assert (await files.refused("read", "@data/secret"))[0] is not Code.INTERNAL
    assert (await files.refused("write", "@data/secret", data=b"x"))[0] is not Code.INTERNAL
    assert (files.outside / "secret").read_bytes() == b"secret"


# -- revoking meanwhile, and what is said


async def test_a_grant_revoked_between_two_requests(files: Files) -> None:
    """Case 73: the next request is denied, whatever was open."""
    (files.inside / "file").write_bytes(b"x")
    assert await files.read("file") == b"x"
    files.a.grants.revoke([FilesystemAtom.parse(f"write:{files.inside}")])
    assert await files.read("file") == b"x"
    assert (await files.refused("write", "file", data=b"y"))[0] is Code.DENIED
    files.a.grants.revoke([FilesystemAtom.parse(f"read:{files.inside}")])
    assert (await files.refused("read", "file"))[0] is Code.DENIED


async def test_messages_say_only_what_was_said(files: Files, tmp_path: Path) -> None:
    """No path of the host's is in an answer about an extension's own files."""
    files.own("tmp").mkdir(parents=True)
    requests: list[tuple[str, dict[str, Any]]] = [
        ("read", {}),
        ("list", {}),
        ("write", {"data": b"x", "mode": "update"}),
        ("remove", {}),
        ("make_directory", {}),
    ]
    for operation, more in requests:
        for path in ("@data/no/thing", "@tmp/no/thing"):
            _, message = await files.refused(operation, path, **more)
            assert str(tmp_path) not in message
            assert path in message


async def test_every_decision_is_in_the_audit(files: Files) -> None:
    """Allowed or denied, both ends of a rename, with the path that was decided."""
    await files.ask("write", "a", data=b"x")
    await files.ask("rename", "a", to=files.inside / "b")
    await files.refused("read", "/etc/passwd")
    said = [(each.permission, each.allowed) for each in files.world.audit.records]
    inside = files.inside
    assert said == [
        (f"filesystem write:{inside}/a", True),
        (f"filesystem write:{inside}/a", True),
        (f"filesystem write:{inside}/b", True),
        (f"filesystem read:{inside}/a", True),
        (f"filesystem read:{inside}/b", True),
        ("filesystem read:/etc/passwd", False),
    ]


async def test_a_trap_closes_what_is_kept(files: Files) -> None:
    """When the guest has lost its memory, or is gone, no directory stays open; the next request opens it again."""
    with nothing_left_open(files):
        await files.ask("stat", files.inside)
        files.a.resources.close_all()
        await files.ask("stat", files.inside)
