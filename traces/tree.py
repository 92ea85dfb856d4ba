"""Finished spans as a tree of text, for people at a terminal.

    trace 4bf92f3577b34da6a3ce929d0e0e4736 · 4 spans · 1 error · 8.31 ms
    request ext.weather-widget.render              8.31 ms
    └─ process ext.weather-widget.render           8.02 ms
       ├─ decide network.http                      41 µs
       └─ decide network.http                      38 µs  ✗ desk.PermissionDenied: connect:evil.test:80 is not granted

Spans are data from elsewhere: parents may be missing or form a circle, names and descriptions may try to repaint the
terminal. So the walk needs no trust (no recursion, every span once), every bound is a number below, and whatever
could move the cursor or reverse the line is shown as an escape.
"""

import textwrap
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Final

from opentelemetry.trace import StatusCode, format_trace_id

from desk.traces import names

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

DEFAULT_WIDTH: Final = 100
DEFAULT_ROWS: Final = 200
FOLD: Final = 5
"""From so many siblings of one name on, one row stands for them all."""
DEEPEST: Final = 24
"""Levels that are shown; what is deeper is counted."""
_NAME_LIMIT: Final = 64
_DESCRIPTION_LIMIT: Final = 300


@dataclass(frozen=True, slots=True)
class _Marks:
    branch: str
    last: str
    line: str
    blank: str
    error: str
    times: str
    micro: str
    more: str
    dot: str


_BOX: Final = _Marks("├─ ", "└─ ", "│  ", "   ", "✗", "×", "µs", "…", "·")
_ASCII: Final = _Marks("|- ", "`- ", "|  ", "   ", "!", "x", "us", "...", "-")


@dataclass(slots=True)
class _Node:
    span: "ReadableSpan"
    children: "list[_Node]" = field(default_factory=lambda: list[_Node]())
    spans: int = 1
    """Itself and all below."""
    hidden_errors: int = 0
    """Errors below it, not counting its own."""

    @property
    def start(self) -> int:
        return self.span.start_time or 0

    @property
    def duration(self) -> int:
        """Nanoseconds."""
        return max(0, (self.span.end_time or self.start) - self.start)

    @property
    def failed(self) -> bool:
        return self.span.status.status_code is StatusCode.ERROR

    def attribute(self, key: str) -> str:
        value = (self.span.attributes or {}).get(key, "")
        return value if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True)
class _Row:
    label: str
    time: str
    note: str
    under: str
    """What stands before a second line of the note."""


def render_tree(
    spans: "Iterable[ReadableSpan]",
    *,
    ascii: bool = False,
    width: int = DEFAULT_WIDTH,
    max_rows: int = DEFAULT_ROWS,
) -> str:
    """The spans as text, one block for each trace, oldest first; without a newline at the end.

    `ascii` draws with ASCII only, for terminals and files that take nothing else. Lines are kept within `width`
    columns where that is possible, and at most `max_rows` spans are shown. Text from extensions is escaped.
    """
    marks = _ASCII if ascii else _BOX
    blocks: list[str] = []
    left = max_rows
    for roots in _traces(spans):
        if left <= 0:
            blocks.append(f"{marks.more} further traces are not shown")
            break
        rows = list(_rows(roots, marks))
        lines = [_headline(roots, marks), *_lay_out(rows[:left], width, marks)]
        if len(rows) > left:
            lines.append(f"{marks.more} {len(rows) - left} more rows")
        left -= len(rows)
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


# From spans to trees


def _traces(spans: "Iterable[ReadableSpan]") -> list[list[_Node]]:
    """The root nodes of every trace. A span whose parent is not here is a root."""
    traces: dict[int, dict[int, _Node]] = {}
    for span in spans:
        if (place := span.get_span_context()) is not None:
            traces.setdefault(place.trace_id, {})[place.span_id] = _Node(span)
    forests = [roots for nodes in traces.values() if (roots := _link(nodes))]
    return sorted(forests, key=lambda roots: roots[0].start)


def _link(nodes: dict[int, _Node]) -> list[_Node]:
    roots: list[_Node] = []
    for node in nodes.values():
        parent = None if node.span.parent is None else nodes.get(node.span.parent.span_id)
        (roots if parent is None else parent.children).append(node)
    roots.sort(key=lambda node: node.start)
    order = list(roots)
    for node in order:  # grows while we walk: parents stand before their children
        node.children.sort(key=lambda child: child.start)
        order.extend(node.children)
    for node in reversed(order):
        node.spans += sum(child.spans for child in node.children)
        node.hidden_errors = sum(child.hidden_errors + child.failed for child in node.children)
    return roots


# From trees to rows


def _rows(roots: Sequence[_Node], marks: _Marks) -> Iterator[_Row]:
    """Depth first, siblings in the order in which they began, many of one name in one row."""
    stack: list[tuple[list[_Node], str, str, int]] = [(group, "", "", 0) for group in reversed(_folded(roots))]
    while stack:
        group, lead, under, depth = stack.pop()
        first = group[0]
        inner = _folded(first.children) if len(group) == 1 else []
        yield _Row(
            lead + _label(group, marks),
            _duration(round(median(node.duration for node in group)), marks),
            _note(group, marks),
            under + (marks.line if inner else marks.blank),
        )
        if depth == DEEPEST and inner:
            yield _Row(f"{under}{marks.last}{marks.more} {first.spans - 1} deeper", "", "", "")
            continue
        for index in reversed(range(len(inner))):
            is_last = index == len(inner) - 1
            branch, below = (marks.last, marks.blank) if is_last else (marks.branch, marks.line)
            stack.append((inner[index], under + branch, under + below, depth + 1))


def _folded(siblings: Sequence[_Node]) -> list[list[_Node]]:
    """Siblings in groups: those that look alike together if there are many of them, all others alone.

    A success that hides an error below it never looks like another: an error is not to be folded away.
    """
    alike: dict[object, list[_Node]] = {}
    for node in siblings:
        hides = not node.failed and node.hidden_errors > 0
        outcome = id(node) if hides else (node.failed, node.attribute(names.ERROR_TYPE))
        alike.setdefault((node.span.name, node.attribute(names.EXTENSION), outcome), []).append(node)
    groups = [
        group
        for members in alike.values()
        for group in ([members] if len(members) >= FOLD else [[node] for node in members])
    ]
    return sorted(groups, key=lambda group: group[0].start)


def _label(group: Sequence[_Node], marks: _Marks) -> str:
    name = _shown(group[0].span.name, _NAME_LIMIT, marks)
    extension = group[0].attribute(names.EXTENSION)
    if extension and extension not in group[0].span.name:
        name += f" ({_shown(extension, _NAME_LIMIT, marks)})"
    return f"{name} {marks.times} {len(group)}, median" if len(group) > 1 else name


def _note(group: Sequence[_Node], marks: _Marks) -> str:
    node = group[0]
    if not node.failed:
        return "(cancelled)" if (node.span.attributes or {}).get(names.CANCELLED) is True else ""
    description = node.span.status.description or ""
    if any(child.failed and child.span.status.description == description for child in node.children):
        description = ""  # it is told where it happened, once
    kind = _shown(node.attribute(names.ERROR_TYPE) or "error", _NAME_LIMIT, marks)
    told = f"{marks.error} {kind}"
    return f"{told}: {_shown(description, _DESCRIPTION_LIMIT, marks)}" if description else told


def _headline(roots: Sequence[_Node], marks: _Marks) -> str:
    place = roots[0].span.get_span_context()
    count = sum(root.spans for root in roots)
    errors = sum(root.hidden_errors + root.failed for root in roots)
    length = max(root.start + root.duration for root in roots) - roots[0].start
    parts = [
        f"trace {format_trace_id(place.trace_id if place else 0)}",
        f"{count} span{'s' * (count != 1)}",
        *([f"{errors} error{'s' * (errors != 1)}"] if errors else []),
        _duration(length, marks),
    ]
    return f" {marks.dot} ".join(parts)


# From rows to lines


def _lay_out(rows: Sequence[_Row], width: int, marks: _Marks) -> Iterator[str]:
    label_width = max((len(row.label) for row in rows), default=0)
    time_width = max((len(row.time) for row in rows), default=0)
    for row in rows:
        line = f"{row.label:<{label_width}}  {row.time:>{time_width}}"
        if not row.note:
            yield line.rstrip()
        elif len(line) + 2 + len(row.note) <= width:
            yield f"{line}  {row.note}"
        else:
            kind, _, description = row.note.partition(": ")
            yield f"{line}  {kind}"
            room = max(24, width - len(row.under))
            for part in textwrap.wrap(description, room, max_lines=4, placeholder=f" {marks.more}"):
                yield row.under + part


def _duration(nanoseconds: int, marks: _Marks) -> str:
    """Three figures and a unit."""
    for limit, unit, divisor in ((1_000, "ns", 1), (1_000_000, marks.micro, 1_000), (1_000_000_000, "ms", 1_000_000)):
        if nanoseconds < limit:
            return f"{_three(nanoseconds / divisor)} {unit}"
    return f"{_three(nanoseconds / 1_000_000_000)} s"


def _three(value: float) -> str:
    if value >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that are not shown as they are: control, format (bidi, zero width), surrogates, unassigned,
line and paragraph separators."""


def _shown(text: str, limit: int, marks: _Marks) -> str:
    """`text` safe to print, in one line, at most `limit` characters."""
    plain = "".join(_character(character, marks) for character in text[: limit + 1])
    return plain if len(plain) <= limit else plain[: limit - len(marks.more)] + marks.more


def _character(character: str, marks: _Marks) -> str:
    safe = character.isascii() if marks is _ASCII else True
    if safe and unicodedata.category(character) not in _UNSAFE:
        return character
    return character.encode("ascii", "backslashreplace").decode() if not character.isascii() else ascii(character)[1:-1]
