"""The benchmark measures what it says: everyone does the same work, and the verdicts follow from the numbers. No timing here."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from toolbox import require_clang

from benchmarks.__main__ import main
from benchmarks.alone import EXPERIMENTS, Found
from benchmarks.contestants import Field, field
from benchmarks.echo import answer, burnt, exchanges
from benchmarks.goals import GOAL_MISSED, GOALS_MET, NOT_MEASURED, Goal, Row, exit_code
from benchmarks.measure import Entry, Figure, WrongAnswer, check_heard, interleave, percentile, timed
from benchmarks.peers import Extism
from benchmarks.plan import QUICK, STANDARD
from benchmarks.report import print_table
from benchmarks.rows import COMPARISONS, FASTER, THREE_TIMES, TOPICS, Comparison, compare, measure
from desk.cli.terminal import Terminal

KEYS = {"bench", "metric", "ours", "peer", "ratio", "best_ratio", "goal", "met", "note"}
CONTESTANTS = ["engine alone", "host.call (trio)", "host.call (asyncio)", "wasmtime-py", "extism"]
TIMED = [topic for topic in TOPICS if topic not in EXPERIMENTS]


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


@pytest.mark.parametrize("name", CONTESTANTS)
@pytest.mark.parametrize("size", [8, 64, 4096, 65536])
def test_everyone_gives_the_same_bytes(everyone: Field, name: str, size: int) -> None:
    """Each contestant gives the right answer to each payload, more than once, in a batch that takes some time."""
    batches = everyone.batches()
    if name not in batches:
        pytest.skip("needs the group `bench`: uv run --group bench pytest")
    assert batches[name](exchanges(size), 20) > 0


@pytest.mark.parametrize("name", CONTESTANTS)
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


def test_the_end_of_the_computing_is_known_without_doing_it(everyone: Field) -> None:
    """`burnt` is what the steps of the generator give, one after the other, and what the guest gives."""
    x, ends = 1, [1]
    for _ in range(20):
        x = (x * 1_664_525 + 1_013_904_223) % (1 << 32)
        ends.append(x)
    assert [burnt(steps) for steps in range(21)] == ends
    assert everyone.wasmtime_py.burn(12_345) % (1 << 32) == burnt(12_345)


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_every_event_is_counted_by_the_guest(everyone: Field, backend: str) -> None:
    """Idle or busy, more events than the mailbox holds or fewer: a batch ends when the guest has counted each."""
    host = everyone.hosts[backend]
    assert host.events(300) > 0
    assert host.waiting_events(450) > 0
    assert host.waiting_events(1) > 0
    assert everyone.engine.ticks(7) > 0
    if isinstance(everyone.extism, Extism):
        assert everyone.extism.ticks(7) > 0
        assert everyone.extism.ticks(1) > 0
    with pytest.raises(WrongAnswer, match="299 of 300"):
        check_heard(299, 300)


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
    assert times == {"a": Figure(median=2.0, best=2.0), "b": Figure(median=5.0, best=5.0)}


def test_the_median_does_not_see_a_disturbance() -> None:
    """One slow round of three changes neither the median nor the best."""
    costs = iter([3000, 900_000, 2000])
    assert interleave({"a": Entry(lambda calls: next(costs) * calls, 10, warm_up=0)}, 3) == {"a": Figure(3.0, 2.0)}


def test_a_percentile_is_a_value_that_was_measured() -> None:
    """The smallest that so many do not exceed; of one value, that."""
    values = [float(value) for value in range(100, 0, -1)]
    assert (percentile(values, 50), percentile(values, 99), percentile(values, 100)) == (50, 99, 100)
    assert percentile([7.0], 99) == 7


# -- the rows


def test_every_row_has_a_number(capfd: pytest.CaptureFixture[str]) -> None:
    """`--json` prints nothing but the rows, each with all keys, in the order of the table; what could be measured was."""
    require_clang()
    assert main(["--json", "--quick"]) in (GOALS_MET, GOAL_MISSED, NOT_MEASURED)
    found = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert len(found) == len(COMPARISONS)
    assert found[0]["bench"] == "echo 64 B: engine alone / extism"
    assert found[0]["goal"] == "<= 0.33"
    for row, comparison in zip(found, COMPARISONS, strict=True):
        assert row.keys() == KEYS
        assert row["ours"] is not None, row
        assert row["bench"].startswith(f"{comparison.group}: ")
        if comparison.peer is None:
            assert row["ratio"] is None
        elif "peer missing" not in (row["note"] or ""):
            assert row["peer"] > 0
            assert row["ratio"] == pytest.approx(row["ours"] / row["peer"], abs=0.01)


def test_the_standard_plan_is_what_was_promised() -> None:
    """50,000 events, 10,000 actors, 100 loops, 1,000 extensions; every goal of issue 3 has its row on both event loops."""
    assert STANDARD.events * STANDARD.rounds == 50_000
    assert (STANDARD.actors, STANDARD.loops, STANDARD.extensions) == (10_000, 100, 1_000)
    goals = {(each.group, each.ours, each.peer): str(each.goal) for each in COMPARISONS if each.goal}
    for loop in ("trio", "asyncio"):
        call = f"host.call ({loop})"
        for size in ("64 B", "4 KiB"):
            assert goals[f"echo {size}", call, "extism"] == "<= 1.00"
            assert goals[f"echo {size}", call, "engine alone"] == "<= 3.00"
        assert goals["events", f"publish to one ({loop})", "extism, its smallest call"] == "<= 0.67"
        for what in ("call one", "publish to one"):
            assert goals["crowd", f"{what}, many ({loop})", f"{what}, ten ({loop})"] == "<= 1.20"
        assert goals["fairness", f"loop delay, median ({loop})", None] == "<= 5 ms"
        assert goals["fairness", f"loop delay, p99 ({loop})", None] == "<= 20 ms"
        assert goals["fairness", f"answer of a good one, worst ({loop})", None] == "<= 50 ms"
        assert goals["start", f"load and first call, mean of many ({loop})", None] == "<= 1 ms"
        assert goals["start", f"memory, each of many ({loop})", None] == "<= 64 KB"
        assert goals["scaling", f"work of two guests, in the time of one ({loop})", None] == ">= 1.7 times"


@pytest.mark.parametrize(
    ("ours", "peer", "three_times", "faster"), [(3.3, 10, True, True), (3.4, 10, False, True), (10, 10, False, False)]
)
def test_a_ratio_is_our_time_over_the_peers(ours: float, peer: float, three_times: bool, faster: bool) -> None:
    """Below 1 we are faster; "three times" is 0.33 at most, "faster" is less than 1."""
    found = Found({"g: we": Figure(ours, 1), "g: they": Figure(peer, 2)}, {}, {})
    row = compare(Comparison("g", "we", "they", THREE_TIMES), found)
    assert (row.ratio, row.best_ratio, row.met) == (ours / peer, 0.5, three_times)
    assert compare(Comparison("g", "we", "they", FASTER), found).met is faster
    assert compare(Comparison("g", "we", "they"), found).met is None


@pytest.mark.parametrize(
    ("goal", "text", "good", "bad"),
    [
        (Goal(20, "ms"), "<= 20 ms", 20, 20.1),
        (Goal(1.7, "times", ">="), ">= 1.7 times", 1.7, 1.69),
        (Goal(64, "KB", "<"), "< 64 KB", 63.9, 64),
    ],
)
def test_a_goal_with_a_unit_is_about_our_own_number(goal: Goal, text: str, good: float, bad: float) -> None:
    """Whatever the peer has, and whether there is one."""
    assert str(goal) == text
    assert Row("g", "we", None, "ms", good, goal=goal).met is True
    assert Row("g", "we", "they", "ms", bad, 1e9, bad / 1e9, goal=goal).met is False
    assert Row("g", "we", None, "ms", None, goal=goal).met is None


def test_what_was_not_found_has_the_reason() -> None:
    """A note for that very row, or why its experiment on its event loop has nothing to say; another loop's is no reason."""
    found = Found({}, {"scaling: work (trio)": "needs two cores"}, {"fairness (trio)": "signal 6", "extism": "missing"})
    goal = Goal(5, "ms")
    rows = [
        compare(Comparison("scaling", "work (trio)", goal=goal), found),
        compare(Comparison("fairness", "loop delay, p99 (trio)", goal=goal), found),
        compare(Comparison("fairness", "loop delay, p99 (asyncio)", goal=goal), found),
    ]
    assert [row.note for row in rows] == ["needs two cores", "signal 6", "not measured"]
    assert exit_code(rows) == NOT_MEASURED


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


def test_only_some_groups(capfd: pytest.CaptureFixture[str]) -> None:
    """`--only` measures and prints the rows of those groups; one that does not exist is named with those that do."""
    require_clang()
    main(["--quick", "--json", "--only", "floors", "--only", "crowd", "--actors", "12"])
    found = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert {row["bench"].partition(":")[0] for row in found} == {"floors", "crowd"}
    assert {row["note"] for row in found if row["bench"].startswith("crowd")} == {"12 actors"}
    with pytest.raises(SystemExit):
        main(["--only", "speed"])
    assert "fairness" in capfd.readouterr().err
    with pytest.raises(SystemExit):
        main(["--actors", "0"])


def test_a_missing_peer_is_said_in_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without Extism all else is measured, its rows say what installs it, and the exit code is 2."""
    require_clang()
    monkeypatch.setitem(sys.modules, "extism", None)
    found = measure(TIMED, QUICK, tmp_path)
    theirs = [row for row in found if (row.peer_name or "").startswith("extism")]
    assert {row.note for row in theirs} == {"peer missing: pip install extism"}
    assert {row.note for row in found if row not in theirs} == {None}
    assert exit_code(row for row in theirs) == NOT_MEASURED
    print_table(found, QUICK, Terminal())
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.endswith("peer missing: pip install extism") for line in lines) == len(theirs) == 11


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
            Row("fairness", "we, at last", None, "ms", 56_789.0, goal=Goal(5, "ms"), note="100 loops"),
            Row("crowd", "many (trio)", "ten (trio)", "us per call", None, note="its process ended with signal 6"),
        ],
        STANDARD,
        Terminal(),
    )
    *_, head, group, first, second, other, alone, _, nothing = capsys.readouterr().out.splitlines()
    assert (group, other) == ("echo", "fairness")
    assert first.split() == ["we", "/", "they", "4.7", "µs", "20.0", "µs", "0.23", "0.30", "<=", "0.33", "met"]
    assert second.endswith("< 1.00  missed")
    assert alone.split() == ["we,", "at", "last", "56,789", "ms", "<=", "5", "ms", "missed", "100", "loops"]
    assert nothing.split() == ["many", "/", "ten", "(trio)", "its", "process", "ended", "with", "signal", "6"]
    assert first.index("µs") == second.index("µs") == head.index("ours") + 2
    assert "\x1b" not in first
