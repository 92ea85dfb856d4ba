"""The benchmark measures what it says: everyone does the same work, and the verdicts follow from the numbers. No timing here."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from toolbox import require_clang

from benchmarks import rows
from benchmarks.__main__ import main
from benchmarks.contestants import Extism, Field, WrongAnswer, field, timed
from benchmarks.echo import answer, exchanges
from benchmarks.measure import Entry, Times, interleave
from benchmarks.report import print_table
from benchmarks.rows import COMPARISONS, FASTER, THREE_TIMES, Comparison, Plan, Row, compare, exit_code, measure
from desk.cli.terminal import Terminal

KEYS = {"bench", "metric", "ours", "peer", "ratio", "best_ratio", "goal", "met", "note"}


@pytest.fixture(scope="module")
def everyone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    """All contestants at the start."""
    require_clang()
    with field(tmp_path_factory.mktemp("bench") / "modules") as contestants:
        yield contestants


# -- the work


def test_the_answer_depends_on_every_word() -> None:
    """Every word comes back XORed, and the sum of all, modulo 2**64, follows."""
    assert answer(b"") == bytes(8)
    assert answer(b"\xa5" * 8 + b"\x01" + bytes(7)) == bytes(8) + b"\xa4" + b"\xa5" * 7 + b"\xa6" + b"\xa5" * 7
    assert answer(b"\xff" * 16)[-8:] == b"\xfe" + b"\xff" * 7


@pytest.mark.parametrize("size", [8, 64, 4096])
def test_no_two_payloads_share_an_answer(size: int) -> None:
    """An answer left over from the call before is noticed."""
    found = exchanges(size)
    assert {len(payload) for payload, _ in found} == {size}
    assert len({output for _, output in found}) == len(found)


@pytest.mark.parametrize("name", ["engine alone", "host.call (trio)", "host.call (asyncio)", "wasmtime-py", "extism"])
@pytest.mark.parametrize("size", [8, 64, 4096, 65536])
def test_everyone_gives_the_same_bytes(everyone: Field, name: str, size: int) -> None:
    """Each contestant gives the right answer to each payload, more than once, in a batch that takes some time."""
    batches = everyone.batches()
    if name not in batches:
        pytest.skip("needs the group `bench`: uv run --group bench pytest")
    assert batches[name](exchanges(size), 20) > 0


@pytest.mark.parametrize("name", ["engine alone", "host.call (trio)", "host.call (asyncio)", "wasmtime-py", "extism"])
def test_wrong_bytes_end_the_benchmark(everyone: Field, name: str) -> None:
    """A contestant whose bytes are not the expected ones is not timed at all."""
    batches = everyone.batches()
    if name not in batches:
        pytest.skip("needs the group `bench`: uv run --group bench pytest")
    with pytest.raises(WrongAnswer, match="64 bytes"):
        batches[name]([(bytes(64), bytes(72))], 1)


def test_a_right_answer_of_another_type_counts() -> None:
    """wasmtime-py gives a bytearray: what is compared are the bytes."""
    assert timed(lambda payload: bytearray(answer(payload)), exchanges(64), 3) > 0


# -- how time is taken


def test_a_round_is_one_batch_of_everyone_in_an_order_that_rotates() -> None:
    """In every round each entry has one turn, the first of this round is the last of the next; warm-ups do not count."""
    turns: list[tuple[str, int]] = []

    def batch(name: str, cost: int, calls: int) -> int:
        turns.append((name, calls))
        return cost * calls

    entries = {
        "a": Entry(lambda calls: batch("a", 2000, calls), calls=10, warm_up=1),
        "b": Entry(lambda calls: batch("b", 5000, calls), calls=20, warm_up=0),
    }
    times = interleave(entries, rounds=2)
    assert turns == [("a", 1), ("a", 10), ("b", 20), ("b", 20), ("a", 1), ("a", 10)]
    assert times == {"a": Times(median=2.0, best=2.0), "b": Times(median=5.0, best=5.0)}


def test_the_median_does_not_see_a_disturbance() -> None:
    """One slow round of three changes neither the median nor the best."""
    costs = iter([3000, 900_000, 2000])
    assert interleave({"a": Entry(lambda calls: next(costs) * calls, 10, warm_up=0)}, 3) == {"a": Times(3.0, 2.0)}


# -- the rows


def test_every_row_is_measured(everyone: Field) -> None:
    """All comparisons yield a row, in order, with a positive number and a peer's unless there is none."""
    found = measure(everyone, Plan(rounds=1, calls=3))
    assert [(row.group, row.name, row.peer_name) for row in found] == [(c.group, c.ours, c.peer) for c in COMPARISONS]
    for row in found:
        assert row.ours > 0
        if row.peer_name is None:
            assert row.ratio is None
        elif row.note is None:
            assert row.peer is not None
            assert row.ratio == row.ours / row.peer


@pytest.mark.parametrize(
    ("ours", "peer", "three_times", "faster"), [(3.3, 10, True, True), (3.4, 10, False, True), (10, 10, False, False)]
)
def test_a_ratio_is_our_time_over_the_peers(ours: float, peer: float, three_times: bool, faster: bool) -> None:
    """Below 1 we are faster; "three times" is 0.33 at most, "faster" is less than 1."""
    times = {"g: we": Times(ours, 1), "g: they": Times(peer, 2)}
    row = compare(Comparison("g", "we", "they", THREE_TIMES), times, {})
    assert (row.ratio, row.best_ratio, row.met) == (ours / peer, 0.5, three_times)
    assert compare(Comparison("g", "we", "they", FASTER), times, {}).met is faster
    assert compare(Comparison("g", "we", "they"), times, {}).met is None


def test_the_exit_code_says_how_it_went() -> None:
    """0: all goals met; 1: one missed, whatever else; 2: one not measured."""
    met = Row("g", "we", "they", "us", 1, 10, 0.1, 0.1, THREE_TIMES)
    missed = Row("g", "we", "they", "us", 1, 1, 1.0, 1.0, THREE_TIMES)
    unknown = Row("g", "we", "they", "us", 1, goal=THREE_TIMES, note="peer missing")
    watched = Row("g", "we", None, "us", 1)
    assert exit_code([met, watched]) == 0
    assert exit_code([met, unknown, missed, watched]) == 1
    assert exit_code([met, unknown]) == 2


# -- the program


def test_json_is_one_object_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` prints nothing but the rows, every one with all keys."""
    require_clang()
    assert main(["--json", "--quick"]) in (rows.GOALS_MET, rows.GOAL_MISSED, rows.NOT_MEASURED)
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(found) == len(COMPARISONS)
    assert all(row.keys() == KEYS for row in found)
    assert found[0]["bench"] == "echo 64 B: engine alone / extism"
    assert found[0]["goal"] == "<= 0.33"


def test_a_missing_peer_is_said_in_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without Extism all else is measured, its rows say what installs it, and the exit code is 2."""
    require_clang()
    monkeypatch.setitem(sys.modules, "extism", None)
    with field(tmp_path / "modules") as contestants:
        assert not isinstance(contestants.extism, Extism)
        found = measure(contestants, Plan(rounds=1, calls=2))
    assert {row.note for row in found if row.peer_name == "extism"} == {"peer missing: pip install extism"}
    assert {row.note for row in found if row.peer_name != "extism"} == {None}
    assert exit_code(found) == 2
    print_table(found, rows.QUICK, Terminal())
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.endswith("peer missing: pip install extism") for line in lines) == 6


def test_without_a_compiler_it_says_what_installs_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and the packages by name."""
    monkeypatch.setenv("PATH", "")
    assert main(["--quick"]) == 2
    assert "apt-get install clang lld" in capsys.readouterr().err


def test_the_table_is_aligned_and_judges(capsys: pytest.CaptureFixture[str]) -> None:
    """Numbers end in the same column, groups are named once, goals are marked, and a pipe gets no colour."""
    print_table(
        [
            Row("echo", "we", "they", "us per call", 4.66, 20.0, 0.233, 0.3, THREE_TIMES),
            Row("echo", "we, the long way", "they", "us per call", 1234.5, 20.0, 61.7, 61.7, FASTER),
            Row("events", "we", None, "events/s", 56_789.0),
        ],
        rows.STANDARD,
        Terminal(),
    )
    *_, head, group, first, second, other, events = capsys.readouterr().out.splitlines()
    assert (group, other) == ("echo", "events")
    assert first.split() == ["we", "/", "they", "4.7", "µs", "20.0", "µs", "0.23", "0.30", "<=", "0.33", "met"]
    assert second.endswith("< 1.00  missed")
    assert events.split() == ["we", "56,789", "/s"]
    assert first.index("µs") == second.index("µs") == head.index("ours") + 2
    assert "\x1b" not in first
