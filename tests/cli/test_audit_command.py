"""`desk audit FILE`, as a person or a script meets it."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from desk.capabilities.audit import AuditRecord
from desk.capabilities.audit_file import AuditFile
from desk.capabilities.audit_lines import Gap, gap_line, record_line
from desk.cli.main import main

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ALLOWED = AuditRecord(
    1_760_000_000.25, "widget", ("app", "widget"), "bus publish:a", True, "bus publish:a: granted by it", TRACE, ("app", "widget")
)  # fmt: skip
DENIED = AuditRecord(1_760_000_001.0, "other", ("other",), "bus publish:b", False, "bus publish:b: not granted", None)
OBSERVED = DENIED._replace(allowed=True, observed=True)
RULED = DENIED._replace(reason="bus publish:b: refused by a rule of the operator", rule="deny bus publish:b")
GAP = Gap(1_760_000_002.0, "widget", True, 12_345, "rate")


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "PYTHONUTF8", "PYTHONIOENCODING"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Five lines, and one that is being written."""
    path = tmp_path / "audit.jsonl"
    lines = [record_line(ALLOWED), record_line(DENIED), record_line(OBSERVED), record_line(RULED), gap_line(GAP)]
    path.write_bytes(b"".join(lines) + lines[0][:50])
    return str(path)


def test_it_prints_a_line_for_each_decision(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """When, how it was decided, who asked on whose behalf, why, and the trace to look at; without colour, this is no terminal."""
    assert main(["audit", file]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"2025-10-09 08:53:20.250Z  allowed   widget for app: bus publish:a: granted by it  trace {TRACE}",
        "2025-10-09 08:53:21.000Z  DENIED    other: bus publish:b: not granted",
        "2025-10-09 08:53:21.000Z  observed  other: bus publish:b: not granted",
        "2025-10-09 08:53:21.000Z  DENIED    other: bus publish:b: refused by a rule of the operator (deny bus publish:b)",
        "2025-10-09 08:53:22.000Z  ...       12,345 more denials of widget were not written (too many at once)",
    ]


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["--extension", "widget"], [ALLOWED, GAP]),
        (["--denied"], [DENIED, OBSERVED, RULED, GAP]),
        (["--denied", "--extension", "other"], [DENIED, OBSERVED, RULED]),
        (["--extension", "nobody"], []),
    ],
)
def test_it_shows_what_is_asked_for_as_json(
    file: str, options: list[str], shown: list[AuditRecord | Gap], capsys: pytest.CaptureFixture[str]
) -> None:
    """One extension, only what was denied or would have been, both; the objects are those of the file."""
    assert main(["audit", file, "--json", *options]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [json.loads(json.dumps(each._asdict())) for each in shown]


def test_no_text_of_a_file_is_obeyed_by_a_terminal(tmp_path: Path) -> None:
    """On a terminal there is colour, and of what a guest or a forger wrote not one character that moves, hides or reorders."""
    evil = "\x1b[2J\x1b]0;title\x07\r\b\n\u202e\u2066\u200b\u0085\u2028\x9b31m\U000e0041"
    path = tmp_path / "audit.jsonl"
    record = AuditRecord(0.0, evil, (evil, "x"), evil, False, evil, evil, (evil, "x"), evil, evil)
    path.write_bytes(record_line(record) + gap_line(GAP._replace(extension=evil)) + b"{\x1b[2J}\n")
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "PYTHONUTF8": "1"}
    subprocess.run(
        [sys.executable, "-m", "desk.cli.main", "audit", str(path)],
        stdout=follower,
        stderr=follower,
        env=environment,
        check=True,
        timeout=60,
    )
    os.close(follower)
    shown = os.read(leader, 65_536).decode()
    os.close(leader)
    assert "\x1b[31mDENIED  \x1b[0m" in shown
    for code in ("31", "33", "2", "0"):
        shown = shown.replace(f"\x1b[{code}m", "")
    assert all(character.isprintable() for character in shown.replace("\r\n", ""))
    assert shown.count("\r\n") == 3
    assert "\\x1b[2J" in shown
    assert "\\u202e" in shown


def test_json_is_ascii_whatever_is_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Scripts whose output goes to a terminal in the end are as safe."""
    path = tmp_path / "audit.jsonl"
    path.write_bytes(record_line(DENIED._replace(reason="\x1b[2J\u202e")))
    assert main(["audit", str(path), "--json"]) == 0
    out = capsys.readouterr().out
    assert all(" " <= character <= "~" for character in out.rstrip("\n"))
    assert json.loads(out)["reason"] == "\x1b[2J\u202e"


def test_lines_that_are_none_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are left out, and the others are shown."""
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"torn\n" + record_line(DENIED) + b"[" * 40_000 + b"\n")
    assert main(["audit", str(path)]) == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 1
    assert captured.err == "desk: 2 lines that are none of an audit were left out\n"


def test_one_line_that_is_none_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence is about one."""
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"torn\n")
    assert main(["audit", str(path)]) == 0
    assert capsys.readouterr() == ("", "desk: 1 line that is none of an audit was left out\n")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--extension", "nob\x1b[2Jody"], "nothing of nob\\x1b[2Jody was decided in "),
        (["--extension", "widget", "--denied"], "nothing of widget was denied in "),
        (["--denied"], "nothing was denied in "),
    ],
)
def test_that_there_is_nothing_is_said(
    tmp_path: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name that is misspelt must not look like one that did nothing; it is no error, and no line of the output."""
    path = tmp_path / "audit.jsonl"
    path.write_bytes(record_line(ALLOWED))
    assert main(["audit", str(path), *options]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"desk: {said}")
    assert "\x1b" not in captured.err


def test_what_is_being_written_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A host need not stop for it."""
    path = tmp_path / "audit.jsonl"
    with AuditFile(path):
        assert main(["audit", str(path)]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("name", "reason"), [("missing\x1b[2J", "No such file or directory"), ("", "Is a directory")])
def test_a_file_that_cannot_be_read_is_wrong_usage(
    tmp_path: Path, name: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and one line that says why, escaped as well."""
    assert main(["audit", str(tmp_path / name)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert reason in captured.err
    assert "\x1b" not in captured.err
