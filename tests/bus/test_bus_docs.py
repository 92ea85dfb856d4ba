"""docs/bus.md: every program in it runs on both event loops, and prints what stands below it."""

import logging
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import ModuleType

import anyio
import pytest
from toolbox import ROOT

PAGE = (ROOT / "docs" / "bus.md").read_text()
PROGRAM = re.compile(r"^```python\n(.*?)^```\n\n^```text\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
VERBS = (
    *("publish", "subscribe", "forget", "declare", "respond", "request", "retry", "dead_letters"),
    *("every", "tap", "subjects", "subscriptions", "portal", "drain"),
)


def programs() -> list[tuple[str, str, str]]:
    """Each program's section, its text, and what it prints."""
    found: list[tuple[str, str, str]] = []
    for section in PAGE.split("\n## ")[1:]:
        title = section.partition("\n")[0]
        found += [(title, program, printed) for program, printed in PROGRAM.findall(section)]
    return found


NAMES = [f"{number} {title}" for number, (title, _, _) in enumerate(programs())]


def test_all_programs_are_found() -> None:
    """Each fenced program is followed by what it prints, each section has one, and each verb of a bus is in one."""
    assert len(programs()) == PAGE.count("```python") == PAGE.count("```text")
    assert {title for title, _, _ in programs()} == set(re.findall("^## (.*)$", PAGE, re.MULTILINE))
    code = "\n".join(program for _, program, _ in programs())
    assert [verb for verb in VERBS if f".{verb}" not in code] == []


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
@pytest.mark.parametrize(("program", "printed"), [each[1:] for each in programs()], ids=NAMES)
def test_a_program_prints_what_the_page_says(
    program: str, printed: str, backend: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the letter."""
    module = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    monkeypatch.setattr(anyio, "run", partial(anyio.run, backend=backend))
    try:
        exec(compile(program, "docs/bus.md", "exec"), module.__dict__)
    finally:
        logging.disable(logging.NOTSET)  # one of them shows no log
    assert capsys.readouterr().out == printed


def test_a_program_is_complete(tmp_path: Path) -> None:
    """As a file, run by Python alone."""
    _, program, printed = programs()[0]
    (tmp_path / "program.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "-W", "error", "program.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == (printed, "")
