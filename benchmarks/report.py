"""The rows for people: an aligned table, with colour on a terminal only. `--json` is for machines."""

from collections.abc import Sequence

from benchmarks.rows import Plan, Row
from desk.cli.terminal import Terminal

_HEAD = ("", "ours", "peer", "ratio", "best", "goal", "")
_STYLES = {"met": "green", "missed": "red"}


def print_table(rows: Sequence[Row], plan: Plan, terminal: Terminal) -> None:
    """Write all rows, grouped."""
    terminal.line(
        f"{plan.rounds} interleaved rounds. A time is the wall time of one call: the mean of a batch of {plan.calls} calls,"
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
        verdict = cells[-1]
        if verdict in _STYLES:
            line = line.removesuffix(verdict) + terminal.style(verdict, _STYLES[verdict])
        terminal.line(line)


def _cells(row: Row) -> tuple[str, ...]:
    verdict = row.note or {True: "met", False: "missed", None: ""}[row.met]
    return (
        f"  {row.name}" + (f" / {row.peer_name}" if row.peer_name else ""),
        f"{row.ours:,.0f} /s" if row.metric.startswith("events/s") else _time(row.ours),
        "" if row.peer is None else _time(row.peer),
        "" if row.ratio is None else f"{row.ratio:.2f}",
        "" if row.best_ratio is None else f"{row.best_ratio:.2f}",
        "" if row.goal is None else str(row.goal),
        verdict,
    )


def _time(microseconds: float) -> str:
    return f"{microseconds:,.0f} µs" if microseconds >= 100 else f"{microseconds:.1f} µs"


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *numbers = (
        cell.ljust(width) if column in (0, len(widths) - 1) else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join([first, *numbers]).rstrip()
