"""What is measured in a process of its own: what it finds has rows, and what goes wrong there is said. No timing here."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import wasmtime
from toolbox import require_clang

from benchmarks import alone, crowd, scaling
from benchmarks.alone import EXPERIMENTS, Found, measure_alone, run_child
from benchmarks.echo import build
from benchmarks.fairness import until_killed
from benchmarks.measure import WrongAnswer
from benchmarks.plan import QUICK, Setup
from benchmarks.rows import COMPARISONS
from desk.actors.errors import Killed

ROWS = {f"{each.group}: {name}" for each in COMPARISONS for name in (each.ours, each.peer)}


def setup(progress: Callable[[str], None] = lambda text: None) -> Setup:
    """What an experiment is given that does not get far."""
    return Setup("trio", QUICK, b"", b"", Path(), progress)


def test_whatever_is_found_has_a_row(tmp_path: Path) -> None:
    """Each experiment finds something on each event loop, all of it is shown, and the next one has its own processes."""
    require_clang()
    found = measure_alone(tuple(EXPERIMENTS), QUICK, tmp_path)
    assert found.figures.keys() <= ROWS
    for topic, backend in itertools.product(EXPERIMENTS, ("trio", "asyncio")):
        assert any(key.startswith(f"{topic}: ") and key.endswith(f"({backend})") for key in found.figures)
    assert set(found.failures.values()) == {"cannot be measured on this system"}  # if it was not found


def test_a_child_that_dies_is_a_reason(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Its rows say how it ended; what it had said before is kept, and people see the rest."""
    require_clang()
    for peer in ("desk", "raw"):
        (tmp_path / f"{peer}.wasm").write_bytes(build(peer))
    (tmp_path / "modules").mkdir(mode=0o700)
    found = Found({}, {}, {})
    run_child(found, "trio", ["start", "no such"], QUICK, tmp_path)
    assert "start: load and first call, mean of many (trio)" in found.figures
    assert found.failures["no such (trio)"] == "its process ended with exit code 1; see above"
    assert "KeyError: 'no such'" in capfd.readouterr().err


def test_a_child_that_hangs_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `PATIENCE` seconds; the benchmark goes on."""
    monkeypatch.setattr(alone, "PATIENCE", 0.001)
    found = Found({}, {}, {})
    run_child(found, "asyncio", ["crowd"], QUICK, tmp_path)
    assert found == Found({}, {}, {"crowd (asyncio)": "its process was killed after 0.001 s"})


def test_a_wrong_answer_in_a_child_ends_the_benchmark(tmp_path: Path) -> None:
    """Here from a guest that computes nothing at all."""
    functions = "".join(f'(func (export "{name}") (result i32) i32.const 0)' for name in ("alloc", "free", "echo"))
    idle = (
        f'(module (memory (export "memory") 1) {functions} (func (export "burn") (param i32) (result i32) i32.const 0))'
    )
    (tmp_path / "raw.wasm").write_bytes(wasmtime.wat2wasm(idle))
    (tmp_path / "desk.wasm").write_bytes(b"")
    with pytest.raises(WrongAnswer, match=r"scaling \(trio\): the bare guest computed something else"):
        run_child(Found({}, {}, {}), "trio", ["scaling"], QUICK, tmp_path)


@pytest.mark.anyio
async def test_an_endless_loop_must_be_killed_by_its_own_limit() -> None:
    """Ending by itself, or by another limit, is a wrong answer."""

    async def killed() -> None:
        raise Killed("wall_ms", "it was still at work")

    async def over() -> None: ...

    assert await until_killed(killed, "wall_ms") >= 0
    with pytest.raises(WrongAnswer, match="by wall_ms, not by cpu_ms"):
        await until_killed(killed, "cpu_ms")
    with pytest.raises(WrongAnswer, match="by itself"):
        await until_killed(over, "wall_ms")


def test_a_crowd_that_does_not_fit_is_measured_as_it_is() -> None:
    """The rows say how large it was; people are told why."""

    class Full:
        names = ("one", "two")

        def grow(self, count: int, progress: Callable[[int], None]) -> None:
            raise MemoryError("no more maps")

    said: list[str] = []
    _, note = crowd.load(Full(), setup(said.append))  # type: ignore[arg-type]
    assert note == "only 2 of 50 actors could be loaded: MemoryError"
    assert said == ["no more than 2 actors: no more maps"]


def test_two_guests_need_two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one, nothing is measured, and the row says why."""
    monkeypatch.setattr(scaling, "cores", lambda: 1)
    [finding] = scaling.run(setup())
    assert finding.figure is None
    assert finding.note == "needs two cores: this process may use one"
