"""The file behind state: durable before the reply, whole or not at all, and the same to all who look."""

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from members import Asking, asking

from desk.capabilities.codes import CapabilityError, Code
from desk.capabilities.providers import state as state_module
from desk.capabilities.providers.state import State
from desk.capabilities.providers.state_store import Store

pytestmark = pytest.mark.anyio

PATIENCE = 60.0
"""Seconds after which a test that hangs fails."""

_WRITER = """
import sys, itertools, anyio
sys.path[:0] = {path!r}
from members import asking
from desk.capabilities.providers.state import State
from pathlib import Path

async def main():
    world = asking(State(Path(sys.argv[1])))
    member = world.member("a")
    for number in itertools.count():
        await world.ask(member, "state.put", key=f"k{{number}}", value=b"v" * number)
        print(number, flush=True)

anyio.run(main, backend=sys.argv[2])
"""


async def test_what_was_answered_survives_a_kill(tmp_path: Path, anyio_backend_name: str) -> None:
    """A process that is killed right after a reply has lost nothing that it replied to."""
    program = _WRITER.format(path=[str(Path(__file__).parents[1])])
    command = [sys.executable, "-c", program, str(tmp_path), anyio_backend_name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: ASYNC220 - nothing else runs
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == 20:
                break
        process.send_signal(signal.SIGKILL)
        answered = 20 + len(process.stdout.read().split())
    assert process.returncode == -signal.SIGKILL
    kept = State(tmp_path)
    world = asking(kept)
    member = world.member("a")
    for number in range(answered + 1):
        assert await world.ask(member, "state.get", key=f"k{number}") == b"v" * number
    kept.close()


async def test_a_commit_waits_for_the_disk(tmp_path: Path) -> None:
    """The file is in the mode in which a commit has been written to the disk when it is over, and nobody else can read it."""
    path = tmp_path / "new" / "x.sqlite"
    store = Store(path, anyio.CapacityLimiter(1))
    modes = await store.do(
        lambda entries: (
            entries._connection.execute("PRAGMA synchronous").fetchone(),  # pyright: ignore[reportPrivateUsage]
            entries._connection.execute("PRAGMA journal_mode").fetchone(),  # pyright: ignore[reportPrivateUsage]
        )
    )
    assert modes == ((2,), ("wal",))
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert {each.stat().st_mode & 0o777 for each in (path, Path(f"{path}-wal"), Path(f"{path}-shm"))} == {0o600}
    store.close()


# -- against a model

KEYS = st.sampled_from(["a", "ab", "a%", "b", "../b", "é", "\U0001f600"])
VALUES = st.binary(max_size=4)
MAYBE = st.none() | VALUES
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, VALUES),
        st.tuples(st.just("get"), KEYS),
        st.tuples(st.just("delete"), KEYS),
        st.tuples(st.just("swap"), KEYS, MAYBE, MAYBE),
        st.tuples(st.just("list"), KEYS | st.just(""), KEYS | st.just(""), st.integers(1, 4)),
        st.tuples(st.just("reopen")),
    ),
    max_size=25,
)
QUOTA = 24


async def no_room(asking: Awaitable[object]) -> None:
    with pytest.raises(CapabilityError) as error:
        await asking
    assert error.value.guest_code is Code.OVERLOADED


@given(steps=STEPS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_it_is_a_dictionary_with_a_bound(steps: list[tuple[Any, ...]]) -> None:
    """Any sequence of operations answers as a dictionary would, also over a restart; what has no room changes nothing."""
    model: dict[str, bytes] = {}

    def fits(key: str, value: bytes) -> bool:
        after = {**model, key: value}
        grows = len(value) > len(model[key]) if key in model else True
        return not grows or sum(len(each.encode()) + len(after[each]) for each in after) <= QUOTA

    with tempfile.TemporaryDirectory() as directory:
        kept = State(Path(directory))
        world = asking(kept)
        member = world.member("a", storage=QUOTA)
        for name, *given_ in steps:
            match name, given_:
                case "put", [key, value]:
                    if fits(key, value):
                        await world.ask(member, "state.put", key=key, value=value)
                        model[key] = value
                    else:
                        await no_room(world.ask(member, "state.put", key=key, value=value))
                case "get", [key]:
                    assert await world.ask(member, "state.get", key=key) == model.get(key)
                case "delete", [key]:
                    assert await world.ask(member, "state.delete", key=key) == (model.pop(key, None) is not None)
                case "swap", [key, expected, value]:
                    same = model.get(key) == expected
                    swapping = world.ask(member, "state.swap", key=key, expected=expected, value=value)
                    if same and value is not None and not fits(key, value):
                        await no_room(swapping)
                        continue
                    assert await swapping == same
                    if same and value is None:
                        model.pop(key, None)
                    elif same:
                        model[key] = value
                case "list", [prefix, after, most]:
                    found = await world.ask(member, "state.list", prefix=prefix, after=after, most=most)
                    expected = sorted(key for key in model if key.startswith(prefix) and key > after)[:most]
                    assert found == [{"key": key, "size": len(model[key])} for key in expected]
                case _:
                    kept.close()
        kept.close()


# -- many at once


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Asking]:
    kept = State(tmp_path)
    yield asking(kept)
    kept.close()


SHARED = {"state": ["readwrite:shared"]}


async def test_of_many_that_swap_one_wins(world: Asking) -> None:
    """Extensions that all expect the same: exactly one succeeds."""
    members = [world.member(f"m{number}", SHARED) for number in range(20)]
    won: list[str] = []

    async def swap(name: str) -> None:
        request = {"key": "lock", "expected": None, "value": name.encode(), "namespace": "shared"}
        if await world.ask(world.members[name], "state.swap", **request):
            won.append(name)

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            for member in members:
                tasks.start_soon(swap, member.name)
    assert len(won) == 1
    assert await world.ask(members[0], "state.get", key="lock", namespace="shared") == won[0].encode()


async def test_no_increment_is_lost(world: Asking) -> None:
    """Many that read, add one and swap, until they succeed, have counted all of them."""
    members = [world.member(f"m{number}", SHARED) for number in range(5)]

    async def count(name: str) -> None:
        for _ in range(5):
            while True:
                old = await world.ask(world.members[name], "state.get", key="n", namespace="shared")
                new = str(int(old or b"0") + 1).encode()
                request = {"key": "n", "expected": old, "value": new, "namespace": "shared"}
                if await world.ask(world.members[name], "state.swap", **request):
                    break

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            for member in members:
                tasks.start_soon(count, member.name)
    assert await world.ask(members[0], "state.get", key="n", namespace="shared") == b"25"


async def test_a_get_after_an_answer_sees_it(world: Asking) -> None:
    """Whoever was answered finds what it put, whatever others are writing at that moment."""
    members = [world.member(f"m{number}", SHARED) for number in range(8)]

    async def write(name: str) -> None:
        for number in range(10):
            value = f"{number}".encode()
            await world.ask(world.members[name], "state.put", key=name, value=value, namespace="shared")
            assert await world.ask(world.members[name], "state.get", key=name, namespace="shared") == value

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            for member in members:
                tasks.start_soon(write, member.name)


async def test_the_loop_goes_on_while_the_disk_is_slow(world: Asking, tmp_path: Path) -> None:
    """Another process keeps the file to itself: whoever writes waits, reads are answered, and so is everyone else."""
    a, b = world.member("a"), world.member("b")
    await world.ask(a, "state.put", key="x", value=b"old")
    other = sqlite3.connect(tmp_path / "extensions" / "a" / "state.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    answered: list[str] = []

    async def put() -> None:
        await world.ask(a, "state.put", key="x", value=b"new")
        answered.append("a")

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(put)
            await anyio.sleep(0.05)
            assert await world.ask(a, "state.get", key="x") == b"old"
            await world.ask(b, "state.put", key="x", value=b"b's")
            assert answered == []
            other.execute("ROLLBACK")
    assert await world.ask(a, "state.get", key="x") == b"new"
    other.close()


async def test_whoever_is_cancelled_takes_nobody_along(world: Asking, tmp_path: Path) -> None:
    """Of those that wait for one file some are cancelled: the others are done, and the cancelled are done or not, as a whole."""
    members = [world.member(f"m{number}", SHARED) for number in range(12)]
    await world.ask(members[0], "state.put", key="x", value=b"", namespace="shared")
    other = sqlite3.connect(tmp_path / "state" / "shared.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    done: list[str] = []

    async def put(name: str, scope: anyio.CancelScope) -> None:
        with scope:
            await world.ask(world.members[name], "state.put", key=name, value=b"v", namespace="shared")
            done.append(name)

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            scopes = [anyio.CancelScope() for _ in members]
            for member, scope in zip(members, scopes, strict=True):
                tasks.start_soon(put, member.name, scope)
            await anyio.sleep(0.05)
            for scope in scopes[::2]:
                scope.cancel()
            await anyio.sleep(0.05)
            other.execute("ROLLBACK")
    other.close()
    assert {f"m{number}" for number in range(1, 12, 2)} <= set(done)
    stored = {each["key"] for each in await world.ask(members[0], "state.list", prefix="m", namespace="shared")}
    assert set(done) <= stored


async def test_another_process_may_make_the_file_at_the_same_time(tmp_path: Path) -> None:
    """One of the two waits for the other."""
    path = tmp_path / "extensions" / "a" / "state.sqlite"
    path.parent.mkdir(parents=True)
    kept = State(tmp_path)
    world = asking(kept)
    member = world.member("a")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(world.ask, member, "state.put", key="x", value=b"1"))
                await anyio.sleep(0.1)
                other.execute("ROLLBACK")
    assert await world.ask(member, "state.get", key="x") == b"1"
    kept.close()


async def test_files_do_not_stay_open_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many extensions only some have their file open; the others find what they had when they come again."""
    monkeypatch.setattr(state_module, "OPEN", 4)
    kept = State(tmp_path)
    world = asking(kept)
    members = [world.member(f"m{number}") for number in range(12)]

    async def put(name: str) -> None:
        await world.ask(world.members[name], "state.put", key="x", value=name.encode())

    with anyio.fail_after(PATIENCE):
        for member in members:
            await put(member.name)
        assert len(_opened(tmp_path)) <= 4
        for member in members:
            assert await world.ask(member, "state.get", key="x") == member.name.encode()
        assert len(_opened(tmp_path)) <= 4
        async with anyio.create_task_group() as tasks:
            for member in members:
                tasks.start_soon(put, member.name)
    kept.close()
    kept.close()
    assert _opened(tmp_path) == set()


async def test_a_file_that_is_no_longer_wanted_is_closed_by_one_who_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever makes it one too many closes another, and is done with that even if nobody waits for the answer."""
    monkeypatch.setattr(state_module, "OPEN", 1)
    kept = State(tmp_path)
    world = asking(kept)
    first, second = world.member("a"), world.member("b")
    await world.ask(first, "state.put", key="x", value=b"1")
    with anyio.CancelScope() as scope:
        get = Store.get

        async def get_and_cancel(store: Store, key: bytes) -> bytes | None:
            value = await get(store, key)
            scope.cancel()
            return value

        monkeypatch.setattr(Store, "get", get_and_cancel)
        await world.ask(second, "state.get", key="x")
    assert {Path(each).parent.name for each in _opened(tmp_path)} <= {"b"}
    kept.close()


def _opened(below: Path) -> set[str]:
    """The state files below a directory that this process has open, where the system can say so."""
    here = Path("/proc/self/fd")
    found = [os.readlink(each) for each in here.iterdir() if each.exists()] if here.exists() else []
    return {each for each in found if each.startswith(str(below)) and each.endswith(".sqlite")}
