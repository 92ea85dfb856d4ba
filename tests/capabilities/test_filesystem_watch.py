"""Watches: what an extension is told of a directory, and when it stops being told."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from granted_files import OPENERS, Files, nothing_left_open
from toolbox import files_left

from desk.capabilities.codes import CapabilityError, Code
from desk.capabilities.filesystem_atoms import FilesystemAtom
from desk.capabilities.providers import filesystem, inotify, watch
from desk.capabilities.providers.inotify import InotifyWatch
from desk.capabilities.providers.watch import ComparingWatch, Watch

pytestmark = pytest.mark.anyio

PATIENCE = 20.0
"""Seconds after which a test that hangs fails."""

REMEMBERED = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text("ascii")) if inotify.supported() else 0

KINDS = [
    pytest.param(
        InotifyWatch,
        id="inotify",
        marks=pytest.mark.skipif(not inotify.supported(), reason="this system has no inotify"),
    ),
    pytest.param(ComparingWatch, id="comparing"),
]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Watch]:
    monkeypatch.setattr(watch, "_EVERY", 0.02)
    return request.param


@pytest.fixture
def files(kind: Callable[[int], Watch], tmp_path: Path) -> Files:
    return Files(tmp_path, OPENERS[1].values[0], watch=kind)  # type: ignore[arg-type]


async def start(files: Files, path: Path | str | None = None, **more: Any) -> int:
    return await files.ask("watch", files.inside if path is None else path, **more)


async def changes(files: Files, handle: int, **more: Any) -> list[tuple[str, str]]:
    with anyio.fail_after(PATIENCE):
        answer = await files.world.ask(more.pop("by", files.a), "filesystem.changes", watch=handle, **more)
    assert not answer["lost"]
    return [(each["name"], each["what"]) for each in answer["changes"]]


async def end_of(files: Files, handle: int, **more: Any) -> Code:
    """The code with which waiting for changes ends."""
    with anyio.fail_after(PATIENCE):
        while True:
            try:
                await files.world.ask(files.a, "filesystem.changes", watch=handle, **more)
            except CapabilityError as error:
                return error.guest_code


async def test_what_happens_is_told(files: Files) -> None:
    """Names that appear, change and disappear, since the last time; a rename is both."""
    (files.inside / "old").touch()
    handle = await start(files)
    assert await changes(files, handle, seconds=0.0) == []
    (files.inside / "new").write_bytes(b"x")
    assert ("new", "created") in await changes(files, handle)
    os.truncate(files.inside / "old", 5)
    assert ("old", "changed") in await changes(files, handle)
    (files.inside / "old").rename(files.inside / "older")
    told = await changes(files, handle)
    assert ("old", "removed") in told
    assert ("older", "created") in told
    (files.inside / "new").unlink()
    assert ("new", "removed") in await changes(files, handle)
    assert await changes(files, handle, seconds=0.05) == []


async def test_waiting_ends_with_the_change(files: Files) -> None:
    """Who waits is told as soon as something is done, by whomever: here by another extension."""
    handle = await start(files)
    other = files.member("other", f"write:{files.inside}")
    told: list[tuple[str, str]] = []

    async def wait() -> None:
        told.extend(await changes(files, handle))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        await files.ask("write", "file", data=b"x", mode="create", by=other)
    assert ("file", "created") in told


async def test_only_directories_are_watched_and_only_for_themselves(files: Files) -> None:
    """Not files, not links, not what is below a directory in it; names that cannot be said are not told."""
    (files.inside / "dir").mkdir()
    (files.inside / "file").touch()
    (files.inside / "link").symlink_to("dir")
    assert (await files.refused("watch", "file"))[0] is Code.INVALID
    assert (await files.refused("watch", "link"))[0] is Code.DENIED
    handle = await start(files)
    (files.inside / "dir" / "below").touch()
    (files.inside / "not*sayable").touch()
    (files.inside / "seen").touch()
    assert {name for name, _ in await changes(files, handle)} <= {"seen", "dir"}


async def test_a_watch_ends_when_it_is_closed(files: Files) -> None:
    """Whoever waits is woken; the handle is unknown afterwards, and nothing else is closed with it."""
    with nothing_left_open(files):
        one, other = await start(files), await start(files)

        async with anyio.create_task_group() as tasks:

            async def wait() -> None:
                assert await end_of(files, one) is Code.UNAVAILABLE

            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            await files.world.ask(files.a, "filesystem.close", watch=one)
        assert await end_of(files, one) is Code.UNKNOWN
        assert await changes(files, other, seconds=0.0) == []


@pytest.mark.parametrize("how", ["revoke", "leave", "trap"])
async def test_a_watch_ends_with_its_permission(files: Files, how: str) -> None:
    """A revoke, the extension's end, or the loss of its memory closes it and wakes who waits."""
    with nothing_left_open(files):
        handle = await start(files)
        async with anyio.create_task_group() as tasks:

            async def wait() -> None:
                assert await end_of(files, handle) is Code.UNAVAILABLE

            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            match how:
                case "revoke":
                    files.a.grants.revoke([FilesystemAtom.parse(f"read:{files.inside}")])
                case "leave":
                    files.world.broker.leave(files.a)
                case _:
                    files.a.resources.close_all()
        assert len(files.a.resources) == 0


async def test_a_watch_that_nobody_waits_for_any_more(files: Files) -> None:
    """Waiting can be given up, and the watch goes on; what happened meanwhile is told."""
    with nothing_left_open(files):
        handle = await start(files)
        with anyio.move_on_after(0.05):
            await changes(files, handle)
        (files.inside / "file").touch()
        assert ("file", "created") in await changes(files, handle)


@pytest.mark.parametrize("away", ["removed", "moved", "above"])
async def test_a_directory_that_is_no_longer_there_is_not_told_of(files: Files, away: str) -> None:
    """Whether it was removed, or moved out of the grant, itself or with the directory around it."""
    (files.inside / "a" / "dir").mkdir(parents=True)
    handle = await start(files, "a/dir")
    match away:
        case "removed":
            (files.inside / "a" / "dir").rmdir()
        case "moved":
            (files.inside / "a" / "dir").rename(files.outside / "dir")
        case _:
            (files.inside / "a").rename(files.outside / "a")
            (files.inside / "a" / "dir").mkdir(parents=True)
            (files.outside / "a" / "dir" / "file").touch()
    assert await end_of(files, handle, seconds=0.1) in (Code.UNAVAILABLE, Code.UNKNOWN)
    assert len(files.a.resources) == 0


async def test_one_waits_at_a_time(files: Files) -> None:
    """A second who waits for the same watch is told so, and the first waits on."""
    handle = await start(files)
    async with anyio.create_task_group() as tasks:

        async def wait() -> None:
            assert ("file", "created") in await changes(files, handle)

        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(CapabilityError) as caught:
            await files.world.ask(files.a, "filesystem.changes", watch=handle)
        assert caught.value.guest_code is Code.OVERLOADED
        (files.inside / "file").touch()


async def test_watches_are_few(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many for one extension, and so many for all; closing one makes room."""
    with nothing_left_open(files):
        handles = [await start(files) for _ in range(filesystem.WATCHES)]
        assert (await files.refused("watch", files.inside))[0] is Code.OVERLOADED
        await files.world.ask(files.a, "filesystem.close", watch=handles[0])
        await start(files)
        monkeypatch.setattr(filesystem, "MAX_WATCHES", filesystem.WATCHES)
        other = files.member("other", f"read:{files.inside}")
        assert (await files.refused("watch", files.inside, by=other))[0] is Code.OVERLOADED


async def test_a_handle_is_its_owners(files: Files) -> None:
    """Another extension's number, a guess and a closed one are unknown alike."""
    handle = await start(files)
    other = files.member("other", f"read:{files.inside}")
    for number in (handle, handle + 1, 0, -1, 1 << 40):
        for operation in ("changes", "close"):
            with pytest.raises(CapabilityError) as caught:
                await files.world.ask(other, f"filesystem.{operation}", watch=number)
            assert caught.value.guest_code is Code.UNKNOWN


@pytest.mark.skipif(not inotify.supported(), reason="this system has no inotify")
async def test_without_file_descriptors(files: Files) -> None:
    """Whoever asks for changes is told that too many files are open."""
    handle = await start(files)
    (files.inside / "file").touch()
    with files_left(0), pytest.raises(CapabilityError, match="too many files open") as caught:
        await changes(files, handle)
    assert caught.value.guest_code is Code.OVERLOADED


async def test_more_than_is_remembered_is_said_to_be_lost(tmp_path: Path) -> None:
    """The kernel keeps so many events; who reads too late learns that some are missing, and goes on."""
    files = Files(tmp_path, OPENERS[1].values[0], watch=InotifyWatch)  # type: ignore[arg-type]
    handle = await start(files)
    if REMEMBERED > 50_000:
        pytest.skip(f"this system remembers {REMEMBERED:,} events")
    one, other = files.inside / "one", files.inside / "other"
    one.touch()
    for _ in range(REMEMBERED // 4 + 100):  # four events each
        one.rename(other)
        other.rename(one)
    answer: dict[str, Any] = {}
    for _ in range(REMEMBERED):
        answer = await files.world.ask(files.a, "filesystem.changes", watch=handle, seconds=0.0)
        if answer["lost"]:
            break
    assert answer["lost"]
    (files.inside / "after").touch()
    assert ("after", "created") in await changes(files, handle)
