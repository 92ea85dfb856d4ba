"""The programs of `docs/testing.md`, word for word, with the greeter of the README."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from toolbox import build_c

ROOT = Path(__file__).parents[2]
FREESTANDING = ("--target=wasm32", "-nostdlib", "-Wl,--no-entry", "-Wl,-z,stack-size=65536", "-Wl,--stack-first")
README = (ROOT / "README.md").read_text("utf-8")
PAGE = (ROOT / "docs" / "testing.md").read_text("utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.S)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the README's greeter in it, compiled."""
    folder = tmp_path_factory.mktemp("testing")
    (folder / "greeter").mkdir()
    section = README.partition("## Your first extension")[2]
    for name, language in (("greeter.c", "c"), ("manifest.ron", "ron")):
        (folder / "greeter" / name).write_text(section.partition(f"```{language}\n")[2].partition("```")[0])
    build_c(folder / "greeter" / "greeter.c", folder / "greeter" / "greeter.wasm", *FREESTANDING)
    return folder


def test_every_program_is_run() -> None:
    """Each stands before what it prints."""
    assert len(PROGRAMS) == PAGE.count("```python")


@pytest.mark.parametrize(("program", "printed"), PROGRAMS, ids=["property", "timer"])
def test_a_program_prints_what_the_page_says(program: str, printed: str, folder: Path) -> None:
    """In an interpreter of its own, beside the folder `greeter`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    environment |= {"XDG_CACHE_HOME": str(folder / "cache"), "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert (done.stdout, done.stderr) == (printed, "")
