"""How much is measured; and for an experiment, what it is given and what it finds."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Figure

LOOPS = ("trio", "asyncio")
"""The event loops: whatever needs one is measured on each."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured. The standard plan takes two minutes at most."""

    rounds: int
    """Interleaved rounds of everything that is timed by the call."""
    calls: int
    """Calls of one batch."""
    events: int
    """Events of one batch; in all rounds together, 50,000."""
    actors: int
    """How many a crowd is."""
    loops: int
    """Endless loops that run at the same time."""
    window: float
    """Seconds during which all of them run; then one after the other is killed."""
    extensions: int
    """Extensions that are started from the cache."""
    work: float
    """Seconds of computing that one of two guests is given."""
    repeats: int
    """How often the two compute, and how many loops are killed one at a time."""
    isolated: bool
    """Each experiment in a process of its own; else all those of an event loop share one, which starts faster."""


STANDARD = Plan(
    rounds=100,
    calls=200,
    events=500,
    actors=10_000,
    loops=100,
    window=3.0,
    extensions=1_000,
    work=0.2,
    repeats=5,
    isolated=True,
)
QUICK = Plan(
    rounds=2,
    calls=10,
    events=10,
    actors=50,
    loops=5,
    window=0.2,
    extensions=20,
    work=0.02,
    repeats=2,
    isolated=False,
)


@dataclass(frozen=True, slots=True)
class Setup:
    """What an experiment is given. `wasm` is our build of the guest, `raw` that for a bare embedder."""

    backend: str
    plan: Plan
    wasm: bytes
    raw: bytes
    cache: Path
    progress: Callable[[str], None]
    """Says to whoever waits how far it is."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that an experiment found, in the unit of the row that shows it, or why it could not; `note` is for people."""

    name: str
    figure: Figure | None
    note: str | None = None


Experiment = Callable[[Setup], Iterator[Finding]]
