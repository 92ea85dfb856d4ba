"""What is compared with what, and what we promise: one table.

`ratio` is always our time divided by the peer's time, so below 1 we are faster. A goal without a unit is for the ratio, one
with a unit for our own number. Rows without a goal are there to be watched: they say where the time goes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from benchmarks import floors
from benchmarks.alone import EXPERIMENTS, Found, measure_alone
from benchmarks.bus_field import CROWD, bus_entries
from benchmarks.bus_ours import REQUESTS
from benchmarks.bus_peers import EVENTS, ROUND_TRIPS
from benchmarks.contestants import Extism, Field, field
from benchmarks.echo import exchanges
from benchmarks.goals import Goal, Row
from benchmarks.measure import Entry, interleave
from benchmarks.plan import LOOPS, Plan

SIZES = {"64 B": 64, "4 KiB": 4096}

THREE_TIMES = Goal(0.33)
FASTER = Goal(1.0, relation="<")
NO_SLOWER = Goal(1.0)
WITHIN_THREE = Goal(3.0)
HALF_AS_MANY_AGAIN = Goal(2 / 3)
"""1.5 times as many a second."""
NO_DEARER = Goal(1.2)
ROUND_TRIP = Goal(1.3)
"""Beside every peer that is right, and so beside the cheapest."""
TYPED = Goal(1.5)
MATCHED = Goal(5, "µs", "<")
LATE = Goal(102, "ms")
"""For a kill among a hundred: 2 ticks of a millisecond, and one scheduling turn, in which each of the others has a slice."""
REMEMBERED = Goal(1, "µs", "<")
DECIDED = Goal(15, "µs", "<")
ASKED = {"state.get": Goal(150, "µs", "<"), "filesystem.read, 4 KiB": Goal(200, "µs", "<")}
BEYOND = Goal(12, "ms")
"""For processor time: 2 ticks, and a turn of its own at a worker, 10 ticks (`Limits.share`)."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One row before it is measured. `ours` and `peer` are names of contestants."""

    group: str
    ours: str
    peer: str | None = None
    goal: Goal | None = None
    metric: str = "us per call"

    @property
    def topic(self) -> str:
        """What `--only` takes."""
        return topic_of(self.group)


def topic_of(key: str) -> str:
    """The first word of a group, or of the key of a figure."""
    return key.partition(":")[0].partition(" ")[0]


def _echo(size: str, engine: Goal) -> Iterable[Comparison]:
    group = f"echo {size}"
    yield Comparison(group, "engine alone", "extism", engine)
    yield Comparison(group, "engine alone", "wasmtime-py")
    for loop in LOOPS:
        yield Comparison(group, f"host.call ({loop})", "extism", NO_SLOWER)
    for loop in LOOPS:
        yield Comparison(group, f"host.call ({loop})", "engine alone", WITHIN_THREE)


def _on_each_loop(
    group: str, ours: str, peer: str | None = None, goal: Goal | None = None, metric: str = "us per call"
) -> Iterable[Comparison]:
    """The same row for each event loop, each beside its own peer."""
    for loop in LOOPS:
        yield Comparison(group, f"{ours} ({loop})", f"{peer} ({loop})" if peer else None, goal, metric)


def _bus() -> Iterable[Comparison]:
    for loop in LOOPS:
        for count in (1, CROWD):
            for peer in EVENTS[loop]:
                ours, theirs = f"publish to {count} ({loop})", f"{peer}, send to {count} ({loop})"
                yield Comparison("bus", ours, theirs, metric="us per event")
    for loop in LOOPS:
        for ours in REQUESTS:
            for peer in ROUND_TRIPS[loop]:
                yield Comparison("bus", f"{ours} ({loop})", f"{peer} ({loop})", ROUND_TRIP)
        for peer in ROUND_TRIPS[loop]:
            yield Comparison("bus", f"ask a task ({loop})", f"{peer}, no deadline ({loop})")
    yield Comparison("bus", "find who listens, 10,000 patterns", goal=MATCHED)
    yield Comparison("bus", "find who listens, on the bus", goal=MATCHED)
    yield Comparison("bus", "decode a message of a type", "decode a message", TYPED)


_SMALLEST = "extism, its smallest call"

COMPARISONS = (
    *_echo("64 B", THREE_TIMES),
    *_echo("4 KiB", FASTER),
    *(
        Comparison("events", f"publish to one ({loop})", _SMALLEST, HALF_AS_MANY_AGAIN, "us per event")
        for loop in LOOPS
    ),
    *(Comparison("events", f"publish to a busy one ({loop})", _SMALLEST, metric="us per event") for loop in LOOPS),
    Comparison("events", "engine alone, its smallest call", _SMALLEST),
    *_on_each_loop("crowd", "call one, many", "call one, ten", NO_DEARER),
    *_on_each_loop("crowd", "publish to one, many", "publish to one, ten", NO_DEARER, "us per event"),
    *_on_each_loop("crowd", "call all in turn, many", "call all in turn, ten"),
    *_on_each_loop("crowd", "load one of many", metric="ms"),
    *_on_each_loop("fairness", "loop delay with nobody else, median", metric="ms"),
    *_on_each_loop("fairness", "loop delay, median", goal=Goal(5, "ms"), metric="ms"),
    *_on_each_loop("fairness", "loop delay, p99", goal=Goal(20, "ms"), metric="ms"),
    *_on_each_loop("fairness", "loop delay, worst", metric="ms"),
    *_on_each_loop("fairness", "answer of a good one, median", metric="ms"),
    *_on_each_loop("fairness", "answer of a good one, p99", metric="ms"),
    *_on_each_loop("fairness", "answer of a good one, worst", goal=Goal(50, "ms"), metric="ms"),
    *_on_each_loop("fairness", "wall_ms: killed late by, median", metric="ms"),
    *_on_each_loop("fairness", "wall_ms: killed late by, worst", goal=LATE, metric="ms"),
    *_on_each_loop("fairness", "cpu_ms: used beyond it, all together, mean", goal=BEYOND, metric="ms"),
    *_on_each_loop("fairness", "cpu_ms: used beyond it, one at a time, worst", goal=BEYOND, metric="ms"),
    Comparison("start", "make an instance"),
    Comparison("start", "load a cached module"),
    *_on_each_loop("start", "host.remove and host.load, cached"),
    *_on_each_loop("start", "load and first call, mean of many", goal=Goal(1, "ms"), metric="ms"),
    *_on_each_loop("start", "memory, each of many", goal=Goal(64, "KB"), metric="KB"),
    *_on_each_loop("start", "page tables, each of many", metric="KB"),
    *_on_each_loop("capabilities", "decide, 25 grants, remembered", goal=REMEMBERED),
    *_on_each_loop("capabilities", "decide, 25 grants, for the first time", goal=DECIDED),
    *_on_each_loop("capabilities", "nothing"),
    *chain.from_iterable(_on_each_loop("capabilities", name, goal=goal) for name, goal in ASKED.items()),
    *_on_each_loop("capabilities", "network.http", "the same client", ROUND_TRIP),
    *_on_each_loop("capabilities", "network.http", "httpcore"),
    *_on_each_loop("scaling", "work of two guests, in the time of one", goal=Goal(1.7, "times", ">="), metric="times"),
    *_on_each_loop("scaling", "work of two bare threads, in the time of one", metric="times"),
    *_bus(),
    *_on_each_loop("tracing", "host.call, spans recorded", "host.call, spans off"),
    Comparison("floors", "call C from Python"),
    *_on_each_loop("floors", "a checkpoint of the event loop"),
    *_on_each_loop("floors", "wake a task, and be woken by it"),
)

TOPICS = tuple(dict.fromkeys(comparison.topic for comparison in COMPARISONS))


def entries(contestants: Field, plan: Plan) -> dict[str, Entry]:
    """All that is timed by the call, by "group: contestant"."""
    calls, events, few = plan.calls, plan.events, max(1, plan.calls // 10)
    engine, extism = contestants.engine, contestants.extism
    found = {
        f"echo {label}: {name}": Entry(partial(batch, exchanges(size)), calls)
        for label, size in SIZES.items()
        for name, batch in contestants.batches().items()
    }
    if isinstance(extism, Extism):
        found[f"events: {_SMALLEST}"] = Entry(extism.ticks, events)
    found["events: engine alone, its smallest call"] = Entry(engine.ticks, events)
    found["start: make an instance"] = Entry(engine.instances, few)
    found["start: load a cached module"] = Entry(engine.cached_loads, few)
    found["floors: call C from Python"] = Entry(floors.ctypes_calls, calls)
    for loop, host in contestants.hosts.items():
        small = exchanges(64)
        found[f"events: publish to one ({loop})"] = Entry(host.events, events)
        found[f"events: publish to a busy one ({loop})"] = Entry(host.waiting_events, events)
        found[f"start: host.remove and host.load, cached ({loop})"] = Entry(host.reloads, max(1, few // 4), warm_up=0)
        found[f"tracing: host.call, spans off ({loop})"] = Entry(partial(host.batch, small), few)
        found[f"tracing: host.call, spans recorded ({loop})"] = Entry(
            partial(contestants.traced[loop].batch, small), few
        )
        found[f"floors: a checkpoint of the event loop ({loop})"] = Entry(
            partial(host.portal.call, floors.checkpoints), calls
        )
        found[f"floors: wake a task, and be woken by it ({loop})"] = Entry(
            partial(host.portal.call, floors.handovers), calls
        )
    return found


def measure(topics: Sequence[str], plan: Plan, scratch: Path) -> list[Row]:
    """Measure what the rows of `topics` need, and put the results side by side. Raises `NoCompiler`, `WrongAnswer`."""
    wanted = [comparison for comparison in COMPARISONS if comparison.topic in topics]
    found = Found({}, {}, {})
    if any(topic not in {*EXPERIMENTS, "bus"} or topic == "start" for topic in topics):
        with field(scratch / "modules") as contestants:
            found = timed(contestants, topics, plan)
    if "bus" in topics:
        with bus_entries(plan) as mine:
            found.figures.update(interleave(mine, plan.rounds))
    alone = measure_alone(topics, plan, scratch)
    together = Found(found.figures | alone.figures, found.notes | alone.notes, found.failures | alone.failures)
    return [compare(comparison, together) for comparison in wanted]


def timed(contestants: Field, topics: Sequence[str], plan: Plan) -> Found:
    """What is timed by the call, everyone in turn."""
    mine = {key: entry for key, entry in entries(contestants, plan).items() if topic_of(key) in topics}
    missing = {} if isinstance(contestants.extism, Extism) else {"extism": contestants.extism}
    return Found(interleave(mine, plan.rounds), {}, missing)


def compare(comparison: Comparison, found: Found) -> Row:
    """One row from what was found; for what was not, the reason."""
    group, name, peer_name = comparison.group, comparison.ours, comparison.peer
    key = f"{group}: {name}"
    row = partial(Row, group, name, peer_name, comparison.metric, goal=comparison.goal)
    ours, note = found.figures.get(key), found.notes.get(key)
    if ours is None:
        return row(None, note=note or _reason(key, found))
    if peer_name is None:
        return row(ours.median, note=note)
    peer = found.figures.get(f"{group}: {peer_name}")
    if peer is None:
        return row(ours.median, note=_reason(f"{group}: {peer_name}", found))
    return row(
        ours.median, peer=peer.median, ratio=ours.median / peer.median, best_ratio=ours.best / peer.best, note=note
    )


def _reason(key: str, found: Found) -> str:
    """Why a key is not among the figures: its peer is missing, or the experiment on its event loop ended before."""
    topic, _, name = key.partition(": ")
    for what in (name.partition(",")[0], f"{topic} {name[name.rfind('(') :]}"):
        if what in found.failures:
            return found.failures[what]
    return "not measured"
