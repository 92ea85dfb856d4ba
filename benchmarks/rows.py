"""What is compared with what, and what we promise: one table.

`ratio` is always our time divided by the peer's time, so below 1 we are faster. Rows without a peer, and rows without a goal, are
there to be watched.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from benchmarks.contestants import Extism, Field
from benchmarks.echo import exchanges
from benchmarks.measure import Entry, Times, interleave

SIZES = {"64 B": 64, "4 KiB": 4096}


@dataclass(frozen=True, slots=True)
class Goal:
    """What a ratio must be: at most `limit`, or less than it if `strict`."""

    limit: float
    strict: bool = False

    def __str__(self) -> str:
        """As the table prints it, `<= 0.33`."""
        return f"{'<' if self.strict else '<='} {self.limit:.2f}"

    def met(self, ratio: float) -> bool:
        """Whether `ratio` is good enough."""
        return ratio < self.limit if self.strict else ratio <= self.limit


@dataclass(frozen=True, slots=True)
class Comparison:
    """One row before it is measured. `ours` and `peer` are names of contestants, `goal` is for their ratio."""

    group: str
    ours: str
    peer: str | None = None
    goal: Goal | None = None
    per_second: bool = False


THREE_TIMES = Goal(0.33)
FASTER = Goal(1.0, strict=True)

COMPARISONS = (
    Comparison("echo 64 B", "engine alone", "extism", THREE_TIMES),
    Comparison("echo 64 B", "engine alone", "wasmtime-py"),
    Comparison("echo 64 B", "host.call (trio)", "extism"),
    Comparison("echo 64 B", "host.call (asyncio)", "extism"),
    Comparison("echo 4 KiB", "engine alone", "extism", FASTER),
    Comparison("echo 4 KiB", "engine alone", "wasmtime-py"),
    Comparison("echo 4 KiB", "host.call (trio)", "extism"),
    Comparison("echo 4 KiB", "host.call (asyncio)", "extism"),
    Comparison("events", "publish to one extension (trio)", per_second=True),
    Comparison("start", "make an instance"),
    Comparison("start", "load a cached module"),
    Comparison("start", "host.remove and host.load, cached (trio)"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the result. Times are in microseconds a call, rates in events a second, as `metric` says."""

    group: str
    name: str
    peer_name: str | None
    metric: str
    ours: float
    peer: float | None = None
    ratio: float | None = None
    best_ratio: float | None = None
    goal: Goal | None = None
    note: str | None = None

    @property
    def met(self) -> bool | None:
        """Whether the goal was met; None without a goal, or if it could not be measured."""
        return None if self.goal is None or self.ratio is None else self.goal.met(self.ratio)

    def as_json(self) -> dict[str, object]:
        """What `--json` prints of it."""
        return {
            "bench": f"{self.group}: {self.name}" + (f" / {self.peer_name}" if self.peer_name else ""),
            "metric": self.metric,
            "ours": round(self.ours, 3),
            "peer": None if self.peer is None else round(self.peer, 3),
            "ratio": None if self.ratio is None else round(self.ratio, 4),
            "best_ratio": None if self.best_ratio is None else round(self.best_ratio, 4),
            "goal": None if self.goal is None else str(self.goal),
            "met": self.met,
            "note": self.note,
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured. The standard plan takes about 20 seconds."""

    rounds: int
    calls: int


STANDARD = Plan(rounds=100, calls=200)
QUICK = Plan(rounds=2, calls=10)


def entries(field: Field, calls: int) -> dict[str, Entry]:
    """All that is timed, by "group: contestant"."""
    found = {
        f"echo {label}: {name}": Entry(partial(batch, exchanges(size)), calls)
        for label, size in SIZES.items()
        for name, batch in field.batches().items()
    }
    few = max(1, calls // 10)
    found["events: publish to one extension (trio)"] = Entry(field.trio.events, calls)
    found["start: make an instance"] = Entry(field.engine.instances, few)
    found["start: load a cached module"] = Entry(field.engine.cached_loads, few)
    found["start: host.remove and host.load, cached (trio)"] = Entry(field.trio.reloads, max(1, few // 4), warm_up=0)
    return found


def measure(field: Field, plan: Plan) -> list[Row]:
    """Time everyone, and put the results side by side."""
    times = interleave(entries(field, plan.calls), plan.rounds)
    missing = {} if isinstance(field.extism, Extism) else {"extism": field.extism}
    return [compare(comparison, times, missing) for comparison in COMPARISONS]


def compare(comparison: Comparison, times: Mapping[str, Times], missing: Mapping[str, str]) -> Row:
    """One row from what was timed; `missing` says why a peer was not."""
    group, name, peer_name = comparison.group, comparison.ours, comparison.peer
    ours = times[f"{group}: {name}"]
    if comparison.per_second:
        return Row(group, name, None, "events/s", 1e6 / ours.median)
    metric = "us per call"
    if peer_name is None:
        return Row(group, name, None, metric, ours.median)
    peer = times.get(f"{group}: {peer_name}")
    if peer is None:
        return Row(group, name, peer_name, metric, ours.median, goal=comparison.goal, note=missing[peer_name])
    ratio, best = ours.median / peer.median, ours.best / peer.best
    return Row(group, name, peer_name, metric, ours.median, peer.median, ratio, best, comparison.goal)


GOALS_MET, GOAL_MISSED, NOT_MEASURED = 0, 1, 2


def exit_code(rows: Iterable[Row]) -> int:
    """0 if all goals were met, 1 if one was missed, 2 if one could not be measured."""
    goals = [row.met for row in rows if row.goal is not None]
    return GOAL_MISSED if False in goals else NOT_MEASURED if None in goals else GOALS_MET
