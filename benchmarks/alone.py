"""Experiments, each in a process of its own: nothing that was measured before is left in it, and if it dies the others live.

The parent writes the guests into a folder and starts `python -m benchmarks.alone JSON`; the child prints a line of JSON
for everything it has found, at once, so what was found before a crash is kept. What it says to people goes to stderr.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import capabilities, crowd, fairness, scaling, start
from benchmarks.echo import build
from benchmarks.measure import Figure, WrongAnswer
from benchmarks.plan import LOOPS, Experiment, Finding, Plan, Setup

EXPERIMENTS: Mapping[str, Experiment] = {
    "start": start.run,
    "capabilities": capabilities.run,
    "scaling": scaling.run,
    "fairness": fairness.run,
    "crowd": crowd.run,
}
"""By topic. Those that leave something behind come last: the processes of a plan that is not isolated run several."""

PATIENCE = 120.0
"""Seconds until a child is killed: an engine under test may hang."""


@dataclass(frozen=True, slots=True)
class Found:
    """What all children found: figures by the key of their row, notes by that key, and why there is nothing by topic and loop."""

    figures: dict[str, Figure]
    notes: dict[str, str]
    failures: dict[str, str]


def measure_alone(topics: Sequence[str], plan: Plan, scratch: Path, backends: Sequence[str] = LOOPS) -> Found:
    """Run the experiments of `topics` on each event loop. Raises `NoCompiler`, and `WrongAnswer` if a child did."""
    found = Found({}, {}, {})
    topics = [topic for topic in EXPERIMENTS if topic in topics]
    if not topics:
        return found
    for peer in ("desk", "raw"):
        (scratch / f"{peer}.wasm").write_bytes(build(peer))
    (scratch / "modules").mkdir(mode=0o700, exist_ok=True)
    for backend in backends:
        for together in [[topic] for topic in topics] if plan.isolated else [topics]:
            run_child(found, backend, together, plan, scratch)
    return found


def run_child(found: Found, backend: str, topics: Sequence[str], plan: Plan, scratch: Path) -> None:
    """Run experiments in one child, and add what it says. Raises `WrongAnswer` if it did."""
    order = {"backend": backend, "topics": topics, "plan": asdict(plan), "scratch": str(scratch)}
    command = [sys.executable, "-m", "benchmarks.alone", json.dumps(order)]
    root = str(Path(__file__).parent.parent)
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, cwd=root, timeout=PATIENCE, check=False)
        output, why = done.stdout, _ending(done.returncode)
    except subprocess.TimeoutExpired as error:
        output, why = error.stdout or b"", f"its process was killed after {PATIENCE:g} s"
    for line in output.splitlines():
        if not line.endswith(b"}"):
            continue  # it was killed while it wrote
        said: dict[str, Any] = json.loads(line)
        if "wrong" in said:
            raise WrongAnswer(said["wrong"])
        key = f"{said['topic']}: {said['name']} ({backend})"
        if said["figure"]:
            found.figures[key] = Figure(**said["figure"])
        if said["note"]:
            found.notes[key] = said["note"]
    for topic in topics:
        found.failures[f"{topic} ({backend})"] = why


def _ending(code: int) -> str:
    if code == 0:
        return "cannot be measured on this system"
    return f"its process ended with {f'exit code {code}' if code > 0 else f'signal {-code}'}; see above"


# -- in the child


def main(order: Mapping[str, Any]) -> int:
    """Run the experiments, and print what they find."""
    scratch = Path(order["scratch"])
    for topic in order["topics"]:
        setup = Setup(
            backend=order["backend"],
            plan=Plan(**order["plan"]),
            wasm=(scratch / "desk.wasm").read_bytes(),
            raw=(scratch / "raw.wasm").read_bytes(),
            cache=scratch / "modules",
            progress=_Progress(f"{topic} ({order['backend']})"),
        )
        try:
            _report(topic, EXPERIMENTS[topic](setup))
        except* WrongAnswer as group:  # of one task of several, perhaps
            print(json.dumps({"wrong": f"{topic} ({order['backend']}): {_leaf(group)}"}), flush=True)
            sys.exit(1)
    return 0


def _report(topic: str, findings: Iterator[Finding]) -> None:
    for finding in findings:
        print(json.dumps({"topic": topic, **asdict(finding)}), flush=True)


def _leaf(group: BaseExceptionGroup[Exception]) -> Exception:
    first: Exception | BaseExceptionGroup[Exception] = group.exceptions[0]
    return _leaf(first) if isinstance(first, BaseExceptionGroup) else first


class _Progress:
    """Lines on stderr, each with what it is about."""

    def __init__(self, about: str) -> None:
        self._about = about

    def __call__(self, text: str) -> None:
        print(f"{self._about}: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
