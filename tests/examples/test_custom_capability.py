"""examples/custom_capability.py: an app's own table, behind an app's own permissions, with a guest in C."""

import re
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from extensions import relay
from toolbox import ROOT, require_clang

from desk.bus import codec
from desk.capabilities.codes import Code
from desk.capabilities.syntax import PermissionSyntaxError
from desk.examples import custom_capability
from desk.examples.custom_capability import Notes
from desk.host import Host
from desk.traces.tracing import Tracing

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example uses a host's defaults: keep its compiled modules out of the home directory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture
def table() -> Iterator[sqlite3.Connection]:
    """A table with a line for each of two topics."""
    table = sqlite3.connect(":memory:", isolation_level=None)
    table.execute("CREATE TABLE notes (topic TEXT, line TEXT)")
    table.executemany("INSERT INTO notes VALUES (?, ?)", [("shopping", "milk"), ("diary", "secret")])
    yield table
    table.close()


def test_the_program_says_what_may_be_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Refused without a grant, done with one, refused what the manifest does not ask for, refused after the revoke."""
    require_clang()
    built = subprocess.run(
        ["sh", ROOT / "examples" / "notebook" / "build.sh", tmp_path / "notebook.wasm"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    trio.run(custom_capability.main, tmp_path / "notebook.wasm")
    said = capsys.readouterr().out.splitlines()
    assert re.match(r"lines\('shopping',\): notes read:shopping: .* not granted; grant it with `notes: ", said[0])
    assert said[1] == "lines('shopping',): ['milk']"
    assert said[2] == "write('shopping', 'bread'): None"
    assert said[3] == "lines('shopping',): ['milk', 'bread']"
    assert re.match(r"lines\('diary',\): notes read:diary: the manifest does not ask for it", said[4])
    assert re.match(r"write\('shopping', 'caviar'\): notes write:shopping: .*not granted", said[5])
    assert len(said) == 6


@pytest.mark.parametrize(
    ("mine", "wanted", "covered"),
    [
        ("read:shopping", "read:shopping", True),
        ("read:*", "read:shopping", True),
        ("read:shopping", "read:*", False),
        ("read:*", "write:shopping", False),
        ("read:shop", "read:shopping", False),
    ],
)
def test_what_a_permission_covers(table: sqlite3.Connection, mine: str, wanted: str, covered: bool) -> None:
    """Its own topic, or with a star all topics, with its own verb."""
    notes = Notes(table)
    assert notes.permission(mine).covers(notes.permission(wanted)) is covered


@pytest.mark.parametrize("text", ["", "read", "read:", "shopping", "delete:shopping", "READ:shopping"])
def test_what_is_no_permission_is_refused(table: sqlite3.Connection, text: str) -> None:
    """It must not look granted."""
    with pytest.raises(PermissionSyntaxError):
        Notes(table).permission(text)


@pytest.mark.parametrize("topic", ["diary", "*", "shopping' OR '1'='1", "", "shop\u202eping", "shopping\x00"])
async def test_a_guest_reads_its_own_topic_and_no_other(table: sqlite3.Connection, topic: str) -> None:
    """Whatever it says for a topic, what was decided is what is looked up."""
    async with Host(capabilities=[Notes(table)], cache=False, tracing=Tracing.off()) as host:
        await host.inspect(relay("reader", 'notes: ["read:shopping"]'))
        await host.load(relay("reader", 'notes: ["read:*"]'), grants={"notes": ["read:shopping"]})
        answers: list[dict[str, object]] = []
        for each in ("shopping", topic):
            raw = await host.call("reader", "ask", "cap.notes.find", codec.encode({"topic": each}))
            assert isinstance(raw, bytes)
            answer = codec.decode(raw, max_size=len(raw))
            assert isinstance(answer, dict)
            answers.append(answer)
    assert answers[0] == {"ok": ["milk"]}
    error = answers[1]["error"]
    assert isinstance(error, dict)
    assert error["code"] in (Code.DENIED, Code.INVALID)
    assert "secret" not in str(answers[1])


async def test_a_topic_has_a_most(table: sqlite3.Connection) -> None:
    """What the capability raises, the guest is told: with its code."""
    table.executemany("INSERT INTO notes VALUES ('full', ?)", [(str(number),) for number in range(100)])
    async with Host(capabilities=[Notes(table)], cache=False, tracing=Tracing.off()) as host:
        await host.load(relay("writer", 'notes: ["write:full"]'), grants="requested")
        raw = await host.call("writer", "ask", "cap.notes.add", codec.encode({"topic": "full", "line": "x"}))
        assert isinstance(raw, bytes)
        answer = codec.decode(raw, max_size=len(raw))
    assert answer == {"error": {"code": Code.OVERLOADED, "message": "a topic has at most 100 lines"}}
    assert table.execute("SELECT count(*) FROM notes WHERE topic = 'full'").fetchone() == (100,)
