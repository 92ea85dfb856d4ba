"""State: what an extension may store, where, and what it is told where it may not."""

import sqlite3
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from extensions import relay
from members import Asking, asking

from desk.bus import codec
from desk.capabilities.codes import CapabilityError, Code, PermissionDenied
from desk.capabilities.provider import Member
from desk.capabilities.providers import state, state_entries
from desk.capabilities.providers.state import MAX_VALUE, State
from desk.capabilities.state_atoms import StateAtom
from desk.host import Host

pytestmark = pytest.mark.anyio

PATIENCE = 30.0
"""Seconds after which a test that hangs fails."""


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[State]:
    here = State(tmp_path)
    yield here
    here.close()


@pytest.fixture
def world(kept: State) -> Asking:
    return asking(kept)


async def refused(world: Asking, member: Member, capability: str, **request: object) -> tuple[Code, str]:
    """The code and the message of a request that is answered with an error."""
    with pytest.raises(CapabilityError) as error:
        await world.ask(member, capability, **request)
    return error.value.guest_code, str(error.value)


def files_in(directory: Path) -> set[str]:
    return {each.relative_to(directory).as_posix() for each in directory.rglob("*") if each.is_file()}


async def keys(world: Asking, member: Member, **request: object) -> list[str]:
    return [each["key"] for each in await world.ask(member, "state.list", **request)]


async def test_what_is_put_is_got(world: Asking) -> None:
    """A value is what was put last; what was never put, or is deleted, is none. The empty value is a value."""
    a = world.member("a")
    assert await world.ask(a, "state.get", key="x") is None
    for value in (b"1", b"", bytes(range(256))):
        await world.ask(a, "state.put", key="x", value=value)
        assert await world.ask(a, "state.get", key="x") == value
    assert await world.ask(a, "state.delete", key="x") is True
    assert await world.ask(a, "state.delete", key="x") is False
    assert await world.ask(a, "state.get", key="x") is None


@pytest.mark.parametrize("size", [64 << 10, (64 << 10) + 1, MAX_VALUE])
async def test_a_large_value_is_got_like_a_small_one(world: Asking, size: int) -> None:
    """Whether a value is read on the event loop or in a thread cannot be seen."""
    a = world.member("a")
    await world.ask(a, "state.put", key="x", value=b"v" * size)
    assert await world.ask(a, "state.get", key="x") == b"v" * size
    assert await world.ask(a, "state.list") == [{"key": "x", "size": size}]


async def test_what_one_keeps_another_does_not_see(world: Asking, tmp_path: Path) -> None:
    """Each extension has a file of its own, in its own directory; to say `own` means the same as to say nothing."""
    a, b = world.member("a"), world.member("b")
    await world.ask(a, "state.put", key="x", value=b"a's", namespace="own")
    assert await world.ask(b, "state.get", key="x") is None
    assert await world.ask(a, "state.get", key="x") == b"a's"
    assert (tmp_path / "extensions" / "a" / "state.sqlite").is_file()
    assert not list(world.audit.records)


async def test_own_state_is_ones_own_whoever_called(world: Asking) -> None:
    """A caller that has no state of its own has no say in what its callee keeps."""
    a = world.member("a")
    world.member("caller")
    await world.ask(a, "state.put", behalf=("caller",), key="x", value=b"1")
    assert await world.ask(a, "state.get", behalf=("caller",), key="x") == b"1"


# -- keys (case 75 of security.md)


@pytest.mark.parametrize(
    "key",
    [
        "../x",
        "/etc/passwd",
        "..",
        ".",
        "a/../../b",
        "C:\\x",
        "con",
        "a:b",
        "%",
        "_",
        "*",
        "'; DROP TABLE entries; --",
        "ключ",
    ],
)
async def test_a_key_is_a_name_and_never_a_path(world: Asking, tmp_path: Path, key: str) -> None:
    """Whatever a key looks like, it is stored under that name in the one file, and nothing appears beside it."""
    a = world.member("a")
    await world.ask(a, "state.put", key=key, value=b"v")
    assert await world.ask(a, "state.get", key=key) == b"v"
    assert await keys(world, a) == [key]
    files = files_in(tmp_path)
    own = "extensions/a/state.sqlite"
    assert files <= {own, f"{own}-wal", f"{own}-shm"}


@pytest.mark.parametrize(
    "key", ["", "k" * 513, "a\x00b", "a\nb", "\x7f", "\x85", unicodedata.normalize("NFD", "é"), 7, b"x", None]
)
@pytest.mark.parametrize("operation", ["get", "put", "delete", "swap"])
async def test_what_is_no_key_is_invalid(world: Asking, operation: str, key: object) -> None:
    """Empty, too long, with a control character, not composed, or no text."""
    more: dict[str, object] = {"put": {"value": b"v"}, "swap": {"expected": None, "value": b"v"}}.get(operation, {})
    code, _ = await refused(world, world.member("a"), f"state.{operation}", key=key, **more)
    assert code is Code.INVALID


async def test_a_prefix_is_what_it_says_and_no_pattern(world: Asking) -> None:
    """The keys that begin so, in the order of code points: no character of a prefix stands for another."""
    a = world.member("a")
    names = ["a", "a%", "a%b", "a_", "ab", "a*", "a\U0010ffff", "aé", "b", "A", "ab/c"]
    for name in names:
        await world.ask(a, "state.put", key=name, value=b"")
    assert await keys(world, a) == sorted(names)
    for prefix in ["", "a", "a%", "a_", "a*", "ab", "a\U0010ffff", "c", "[a-z]", "'"]:
        assert await keys(world, a, prefix=prefix) == sorted(name for name in names if name.startswith(prefix))


async def test_a_long_list_comes_in_pages(world: Asking) -> None:
    """`after` is the last key of the page before, whether it is still there or not; a page has at most `most` keys."""
    a = world.member("a")
    names = [f"k{number:03}" for number in range(25)]
    async with anyio.create_task_group() as tasks:
        for name in names:
            tasks.start_soon(lambda name=name: world.ask(a, "state.put", key=name, value=name.encode()))
    found: list[str] = []
    while page := await keys(world, a, most=10, after=found[-1] if found else ""):
        assert len(page) <= 10
        await world.ask(a, "state.delete", key=page[-1])
        found += page
    assert found == names
    for most in (0, 1_001, -1):
        assert (await refused(world, a, "state.list", most=most))[0] is Code.INVALID


# -- how much


async def test_a_value_has_a_bound(world: Asking) -> None:
    """A value above 1 MiB is too large, and what was there before is still there."""
    a = world.member("a")
    await world.ask(a, "state.put", key="x", value=b"old")
    assert (await refused(world, a, "state.put", key="x", value=bytes(MAX_VALUE + 1)))[0] is Code.TOO_LARGE
    request = {"key": "x", "expected": b"old", "value": bytes(MAX_VALUE + 1)}
    assert (await refused(world, a, "state.swap", **request))[0] is Code.TOO_LARGE
    assert await world.ask(a, "state.get", key="x") == b"old"


async def test_all_that_is_stored_has_a_bound(world: Asking) -> None:
    """Keys and values together: what goes beyond `storage` is refused, what makes room is not, and then there is room."""
    a = world.member("a", storage=100)
    await world.ask(a, "state.put", key="x", value=bytes(50))
    await world.ask(a, "state.put", key="y", value=bytes(48))
    code, message = await refused(world, a, "state.put", key="z", value=b"")
    assert (code, "100" in message) == (Code.OVERLOADED, True)
    assert (await refused(world, a, "state.put", key="x", value=bytes(51)))[0] is Code.OVERLOADED
    assert (await refused(world, a, "state.swap", key="z", expected=None, value=b""))[0] is Code.OVERLOADED
    await world.ask(a, "state.put", key="x", value=bytes(49))
    await world.ask(a, "state.put", key="z", value=b"")
    assert await world.ask(a, "state.swap", key="y", expected=bytes(48), value=None) is True
    await world.ask(a, "state.put", key="w", value=bytes(47))
    less = world.member("a", storage=1)
    await world.ask(less, "state.put", key="w", value=bytes(46))
    assert (await refused(world, less, "state.put", key="w", value=bytes(47)))[0] is Code.OVERLOADED


async def test_keys_have_a_bound(world: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many keys and no more; an old one may be written still."""
    monkeypatch.setattr(state_entries, "MAX_KEYS", 3)
    a = world.member("a")
    for key in "xyz":
        await world.ask(a, "state.put", key=key, value=b"")
    assert (await refused(world, a, "state.put", key="w", value=b""))[0] is Code.OVERLOADED
    await world.ask(a, "state.put", key="x", value=b"1")
    await world.ask(a, "state.delete", key="y")
    await world.ask(a, "state.put", key="w", value=b"")


# -- shared namespaces


SHARED = {"state": ["read:notes", "write:notes/draft-*"]}


async def test_a_shared_namespace_takes_permissions(world: Asking, tmp_path: Path) -> None:
    """Reading, writing and listing are held against key and prefix; who was granted neither is denied, and told what to add."""
    a, b, stranger = world.member("a", SHARED), world.member("b", SHARED), world.member("c")
    await world.ask(a, "state.put", key="draft-1", value=b"v", namespace="notes")
    assert await world.ask(b, "state.get", key="draft-1", namespace="notes") == b"v"
    assert await keys(world, b, namespace="notes") == ["draft-1"]
    assert (tmp_path / "state" / "notes.sqlite").is_file()
    assert await keys(world, a) == []
    for operation, request in {
        "put": {"key": "final", "value": b""},
        "delete": {"key": "final"},
        "swap": {"key": "final", "expected": None, "value": b""},
    }.items():
        code, message = await refused(world, a, f"state.{operation}", namespace="notes", **request)
        assert (code, "notes/final" in message) == (Code.DENIED, True)
    for request in (
        {"operation": "get", "key": "draft-1"},
        {"operation": "list"},
        {"operation": "list", "prefix": "draft"},
    ):
        code, _ = await refused(world, stranger, f"state.{request.pop('operation')}", namespace="notes", **request)
        assert code is Code.DENIED
    assert [record.allowed for record in world.audit.records].count(False) == 6


async def test_listing_needs_all_that_it_would_show(world: Asking) -> None:
    """The right to some keys lists those, and not a wider prefix; a single key lists nothing."""
    some = world.member("some", {"state": ["readwrite:notes/a*", "read:notes/b"]})
    for key in ("a1", "a2"):
        await world.ask(some, "state.put", key=key, value=b"", namespace="notes")
    assert await keys(world, some, prefix="a", namespace="notes") == ["a1", "a2"]
    assert await keys(world, some, prefix="a1", namespace="notes") == ["a1"]
    for prefix in ("", "b"):
        with pytest.raises(PermissionDenied):
            await keys(world, some, prefix=prefix, namespace="notes")


async def test_to_swap_is_to_read_and_to_write(world: Asking) -> None:
    """Whether a swap succeeds says what was there: so the right to write is not enough."""
    await world.ask(
        world.member("a", {"state": ["readwrite:n/x"]}), "state.swap", key="x", expected=None, value=b"1", namespace="n"
    )
    request: dict[str, Any] = {"key": "x", "expected": b"1", "value": b"2", "namespace": "n"}
    for text in ("read:n/x", "write:n/x"):
        assert (await refused(world, world.member("b", {"state": [text]}), "state.swap", **request))[0] is Code.DENIED
    assert await world.ask(world.member("c", {"state": ["readwrite:n/x"]}), "state.swap", **request) is True


@pytest.mark.parametrize("namespace", ["", "..", "../own", "a/b", "Notes", "a.b", "ä", "n" * 65, "own/x", "a\x00"])
async def test_a_namespace_is_a_word(world: Asking, tmp_path: Path, namespace: str) -> None:
    """Nothing else becomes the name of a file."""
    a = world.member("a", {"state": ["readwrite:notes"]})
    assert (await refused(world, a, "state.put", key="x", value=b"", namespace=namespace))[0] is Code.INVALID
    assert files_in(tmp_path) == set()


async def test_a_chain_of_callers_shares_its_rights(world: Asking) -> None:
    """Shared state is read on behalf of callers only if each of them may."""
    b = world.member("b", {"state": ["read:notes"]})
    world.member("a")
    with pytest.raises(PermissionDenied):
        await world.ask(b, "state.get", behalf=("a",), key="x", namespace="notes")


def test_permissions_are_those_of_manifests() -> None:
    """The capability reads permissions with the parser that manifests are read with."""
    assert State(None).permission("read:notes/draft-*") == StateAtom.parse("read:notes/draft-*")


# -- where it cannot be


async def test_without_a_directory_nothing_is_kept() -> None:
    """It is unavailable, and the answer says what the app has to give."""
    world = asking(State(None))
    code, message = await refused(world, world.member("a"), "state.put", key="x", value=b"")
    assert (code, "data_dir" in message) == (Code.UNAVAILABLE, True)


@pytest.mark.parametrize("broken", [b"this is no database" * 400, None, "newer"])
async def test_a_broken_file_is_left_alone(
    world: Asking, tmp_path: Path, caplog: pytest.LogCaptureFixture, broken: bytes | str | None
) -> None:
    """Unavailable, each time; the log of the host says which file, and the guest does not hear of paths. It is not deleted."""
    path = tmp_path / "extensions" / "a" / "state.sqlite"
    path.parent.mkdir(parents=True)
    if isinstance(broken, bytes):
        path.write_bytes(broken)
    elif broken is None:
        path.mkdir()
    else:
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version = 99")
        connection.close()
    before = path.read_bytes() if path.is_file() else None
    a = world.member("a")
    for _ in range(5):
        code, message = await refused(world, a, "state.get", key="x")
        assert (code, str(tmp_path) in message) == (Code.UNAVAILABLE, False)
        assert (await refused(world, a, "state.put", key="x", value=b""))[0] is Code.UNAVAILABLE
    assert (path.read_bytes() if path.is_file() else None) == before
    assert path.exists()
    lines = [record.getMessage() for record in caplog.records if "state.sqlite" in record.getMessage()]
    assert 1 <= len(lines) <= 4
    await world.ask(world.member("b"), "state.put", key="x", value=b"")


async def test_a_file_that_breaks_later_is_left_alone(world: Asking, kept: State, tmp_path: Path) -> None:
    """Pages that were overwritten are noticed when they are read, and what cannot be read is unavailable."""
    a = world.member("a")
    for number in range(50):
        await world.ask(a, "state.put", key=f"k{number}", value=bytes(5_000))
    kept.close()
    path = tmp_path / "extensions" / "a" / "state.sqlite"
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xa5" * (len(data) - 4096))
    for request in ({"key": "k7"}, {"key": "k8"}):
        assert (await refused(world, a, "state.get", **request))[0] is Code.UNAVAILABLE
    assert path.stat().st_size == len(data)


# -- a guest


async def test_a_guest_keeps_what_it_is_told(tmp_path: Path) -> None:
    """Through the whole way, from the guest's request to the file: also after the host was closed and opened again."""
    with anyio.fail_after(PATIENCE):
        for attempt in range(2):
            kept = State(tmp_path / "data")
            async with Host(providers=kept.operations()) as host:
                await host.load(relay("keeper"))

                async def ask(capability: str, host: Host = host, **request: object) -> object:
                    return codec.decode(await host.call("keeper", "ask", f"cap.{capability}", codec.encode(request)))

                if attempt == 0:
                    assert await ask("state.put", key="../x", value=b"kept") == {"ok": None}
                assert await ask("state.get", key="../x") == {"ok": b"kept"}
                large: Any = await ask("state.put", key="x", value=b"", namespace="notes")
                assert large["error"]["code"] == Code.DENIED
            kept.close()


def test_the_limits_are_as_documented() -> None:
    """What docs/capabilities/state.md says."""
    assert (state.MAX_KEY, state.MAX_VALUE, state_entries.MAX_KEYS, state.MOST_LISTED) == (512, 1 << 20, 100_000, 1_000)
