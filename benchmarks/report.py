"""The rows for people: an aligned table, with colour on a terminal only. `--json` is for machines."""

from collections.abc import Sequence

from benchmarks.goals import Row
from benchmarks.plan import Plan
from desk.cli.terminal import Terminal

_HEAD = ("", "ours", "peer", "ratio", "best", "goal", "")
_STYLES = {"met": "green", "missed": "red"}


def print_table(rows: Sequence[Row], plan: Plan, terminal: Terminal) -> None:
    """Write all rows, grouped."""
    terminal.line(
        f"{plan.rounds} interleaved rounds. A time in µs is the wall time of one call: the mean of a batch of calls,"
    )
    terminal.line(
        "the median of the rounds. ratio: our time / the peer's, below 1 is faster; best: that of the best rounds."
    )
    body = [_cells(row) for row in rows]
    widths = [max(len(line[column]) for line in [_HEAD, *body]) for column in range(len(_HEAD))]
    terminal.line()
    terminal.line(terminal.style(_aligned(_HEAD, widths), "dim"))
    group = ""
    for row, cells in zip(rows, body, strict=True):
        if row.group != group:
            group = row.group
            terminal.line(terminal.style(group, "bold"))
        line = _aligned(cells, widths)
        verdict, said = _verdict(row), cells[-1]
        if verdict:
            line = line.removesuffix(said) + terminal.style(verdict, _STYLES[verdict]) + said.removeprefix(verdict)
        terminal.line(line)


def _verdict(row: Row) -> str:
    return {True: "met", False: "missed", None: ""}[row.met]


def _cells(row: Row) -> tuple[str, ...]:
    return (
        f"  {row.label}",
        _number(row.ours, row.metric),
        _number(row.peer, row.metric),
        "" if row.ratio is None else f"{row.ratio:.2f}",
        "" if row.best_ratio is None else f"{row.best_ratio:.2f}",
        "" if row.goal is None else str(row.goal),
        "  ".join(filter(None, (_verdict(row), row.note))),
    )


def _number(number: float | None, metric: str) -> str:
    """With its unit, the first word of `metric`."""
    if number is None:
        return ""
    unit = metric.partition(" ")[0].replace("us", "µs")
    if unit == "times":
        return f"{number:.2f} {unit}"
    return f"{number:,.0f} {unit}" if number >= 100 else f"{number:.{2 if number < 1 else 1}f} {unit}"


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *numbers = (
        cell.ljust(width) if column in (0, len(widths) - 1) else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join([first, *numbers]).rstrip()
