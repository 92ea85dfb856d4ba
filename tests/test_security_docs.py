"""`docs/security.md` promises nothing that no test shows: every test that it names is there."""

import re

import pytest
from toolbox import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith(("| promise ", "| --- "))
]


def test_every_promise_says_how_it_is_kept_and_what_shows_it() -> None:
    """Three cells in each row, and in the last one nothing but tests."""
    assert len(ROWS) > 15
    for row in ROWS:
        assert len(row) == 3, row
        assert all(row), row
        assert re.fullmatch(r"`[^`]+`(, `[^`]+`)*", row[2]), row[2]


@pytest.mark.parametrize("name", sorted({name for row in ROWS for name in re.findall(r"`([^`]+)`", row[-1])}))
def test_the_test_is_there(name: str) -> None:
    """Under the very name that stands on the page."""
    file, _, test = name.partition("::")
    assert re.search(rf"^(async )?def {test}\(", (ROOT / "tests" / file).read_text("utf-8"), re.M), name
