"""What a row of the result is, what a goal is, and when all is well."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Goal:
    """What a number must be, beside `limit`. Without a unit it is about the ratio to a peer; with one, about our own number."""

    limit: float
    unit: str = ""
    relation: Literal["<=", "<", ">="] = "<="

    def __str__(self) -> str:
        """As the table prints it: `<= 0.33`, `<= 20 ms`, `>= 1.7 times`."""
        number = f"{self.limit:g} {self.unit}" if self.unit else f"{self.limit:.2f}"
        return f"{self.relation} {number}"

    def met(self, number: float) -> bool:
        """Whether `number` is good enough."""
        match self.relation:
            case "<=":
                return number <= self.limit
            case "<":
                return number < self.limit
            case ">=":
                return number >= self.limit


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the result; `metric` says what `ours` and `peer` are numbers of. `ours` is None if it was not measured."""

    group: str
    name: str
    peer_name: str | None
    metric: str
    ours: float | None
    peer: float | None = None
    ratio: float | None = None
    best_ratio: float | None = None
    goal: Goal | None = None
    note: str | None = None

    @property
    def label(self) -> str:
        """Both names; an event loop that they share is said once."""
        if self.peer_name is None:
            return self.name
        first, paren, loop = self.name.rpartition(" (")
        shared = paren and self.peer_name.endswith(paren + loop)
        return f"{first if shared else self.name} / {self.peer_name}"

    @property
    def met(self) -> bool | None:
        """Whether the goal was met; None without a goal, or if it could not be measured."""
        if self.goal is None:
            return None
        number = self.ours if self.goal.unit else self.ratio
        return None if number is None else self.goal.met(number)

    def as_json(self) -> dict[str, object]:
        """What `--json` prints of it."""
        return {
            "bench": f"{self.group}: {self.label}",
            "metric": self.metric,
            "ours": _rounded(self.ours, 3),
            "peer": _rounded(self.peer, 3),
            "ratio": _rounded(self.ratio, 4),
            "best_ratio": _rounded(self.best_ratio, 4),
            "goal": None if self.goal is None else str(self.goal),
            "met": self.met,
            "note": self.note,
        }


def _rounded(number: float | None, digits: int) -> float | None:
    return None if number is None else round(number, digits)


GOALS_MET, GOAL_MISSED, NOT_MEASURED = 0, 1, 2


def exit_code(rows: Iterable[Row]) -> int:
    """0 if all goals were met, 1 if one was missed, 2 if one could not be measured."""
    goals = [row.met for row in rows if row.goal is not None]
    return GOAL_MISSED if False in goals else NOT_MEASURED if None in goals else GOALS_MET
