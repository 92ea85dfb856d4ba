"""What README.md shows of embedding and operating is true: its programs run, its manifest is one, its commands are read."""

import dataclasses
import re
import shlex
import textwrap
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import pytest
from toolbox import ROOT

from desk.actors.manifest import parse_fragment
from desk.cli.main import main
from desk.cli.run import Grant
from desk.host import Host, Limits, Policy

README = (ROOT / "README.md").read_text("utf-8")
ASKING = README.partition("\n## Asking for more\n")[2].partition("\n## ")[0]
EMBEDDING = README.partition("\n## Embedding\n")[2].partition("\n## ")[0]


def blocks(section: str, language: str) -> list[str]:
    """What stands between the fences of that language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.M | re.S)


def test_the_manifest_is_one() -> None:
    """Every field of it is read, and nothing in it is left for later."""
    (text,) = blocks(ASKING, "ron")
    fields = parse_fragment(text)
    assert {"permissions", "reasons", "config", "timers", "subscribes"} <= set(fields)
    assert all(atom.served for atom in fields["permissions"])


@pytest.mark.anyio
async def test_the_programs_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block of the section on embedding, beside a module of that name; both in one host's life."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "widget.wasm").write_bytes((ROOT / "examples/weather-widget/weather-widget.wasm").read_bytes())
    first, second = blocks(EMBEDDING, "python")
    second = f"async with Host() as host:\n{textwrap.indent(second, '    ')}"
    program = f"async def run():\n{textwrap.indent(first + second, '    ')}"
    names: dict[str, object] = {
        "Host": Host,
        "Limits": Limits,
        "Policy": Policy,
        "dataclasses": dataclasses,
        "time": time,
    }
    printed: list[str] = []
    names["print"] = lambda *words: printed.append(" ".join(map(str, words)))
    exec(compile(program, "README.md", "exec"), names)
    run = cast("Callable[[], Awaitable[None]]", names["run"])
    await run()
    assert printed[0].startswith("2 <Event")
    assert "'days': 1" in printed[1]
    assert "granted by" in printed[2]
    assert printed[3] == "0 denied"
    assert "subscribe:weather.observed" in (tmp_path / "audit.jsonl").read_text()


def test_the_commands_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    """Every `desk run` line has options that there are, and grants that are permissions."""
    (text,) = blocks(ASKING, "sh")
    for line in text.splitlines():
        program, command, _, *options = shlex.split(line, comments=True)
        assert (program, command) == (".venv/bin/desk", "run")
        for grant in (options[at + 1] for at, option in enumerate(options) if option == "--grant"):
            Grant.parse(grant)
        assert main(["run", str(ROOT / "no such folder"), *options]) == 2
        assert "No such file" in capsys.readouterr().err
