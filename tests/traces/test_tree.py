"""Spans as a tree of text."""

import unicodedata
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, Status, StatusCode

from desk.traces import names
from desk.traces.tree import DEEPEST, FOLD, render_tree

TRACE = 0x4BF92F3577B34DA6A3CE929D0E0E4736
RESOURCE = Resource({})


def span(
    number: int,
    name: str,
    parent: int | None = None,
    *,
    start: int = 0,
    length: int = 1_000,
    error: str | None = None,
    attributes: Mapping[str, str | bool] | None = None,
    trace: int = TRACE,
) -> ReadableSpan:
    """A finished span; `start` and `length` in nanoseconds."""
    return ReadableSpan(
        name,
        context=SpanContext(trace, number, is_remote=False),
        parent=None if parent is None else SpanContext(trace, parent, is_remote=False),
        resource=RESOURCE,
        attributes=dict(attributes or {}) | ({names.ERROR_TYPE: "desk.Denied"} if error is not None else {}),
        status=Status(StatusCode.UNSET) if error is None else Status(StatusCode.ERROR, error),
        start_time=start,
        end_time=start + length,
    )


def test_a_small_trace() -> None:
    """Children are indented under their parents in the order in which they began; durations stand in a column."""
    spans = [
        span(4, "decide network.http", 2, start=50, length=38_000, error="connect:evil.test:80 is not granted"),
        span(3, "decide network.http", 2, start=40, length=41_250),
        span(5, "process seen", 3, start=45, length=1_500_000, attributes={names.EXTENSION: "audit"}),
        span(2, "process ext.w.r", 1, start=10, length=8_020_000, attributes={names.EXTENSION: "w"}),
        span(1, "request ext.w.r", length=8_310_000),
    ]
    assert render_tree(spans) == (
        "trace 4bf92f3577b34da6a3ce929d0e0e4736 · 5 spans · 1 error · 8.31 ms\n"
        "request ext.w.r                8.31 ms\n"
        "└─ process ext.w.r             8.02 ms\n"
        "   ├─ decide network.http      41.2 µs\n"
        "   │  └─ process seen (audit)  1.50 ms\n"
        "   └─ decide network.http        38 µs  ✗ desk.Denied: connect:evil.test:80 is not granted"
    )


def test_ascii_for_terminals_that_take_nothing_else() -> None:
    """With `ascii` every character is ASCII, those of names too."""
    spans = [span(1, "a", length=2_000), *(span(n, "é", 1) for n in range(2, 9)), span(9, "b", 1, error="ü")]
    assert render_tree(spans, ascii=True) == (
        "trace 4bf92f3577b34da6a3ce929d0e0e4736 - 9 spans - 1 error - 2 us\n"
        "a                    2 us\n"
        "|- \\xe9 x 7, median  1 us\n"
        "`- b                 1 us  ! desk.Denied: \\xfc"
    )


def test_no_spans_are_no_text() -> None:
    """Nothing recorded is nothing shown."""
    assert render_tree([]) == ""


def test_traces_are_blocks_of_their_own() -> None:
    """Traces are shown one after the other, the oldest first, and never mixed up, even with equal span ids."""
    text = render_tree([span(1, "later", start=9, trace=2), span(1, "earlier", start=5, trace=1)])
    first, second = text.split("\n\n")
    assert "earlier" in first
    assert "later" in second


def test_a_span_whose_parent_is_elsewhere_is_a_root() -> None:
    """A parent in another process is not here to be shown."""
    assert render_tree([span(2, "process x", 1)]).splitlines()[1].startswith("process x")


def test_a_description_too_long_for_its_line_goes_below() -> None:
    """Long explanations are wrapped under the span they belong to, with the tree's lines kept."""
    why = "the operator did not grant network connect:evil.test:443; add it to the grants"
    lines = render_tree([span(1, "a"), span(2, "b", 1, error=why), span(3, "c", 2)], width=60).splitlines()
    assert lines[2:] == [
        "└─ b     1 µs  ✗ desk.Denied",
        "   │  the operator did not grant network",
        "   │  connect:evil.test:443; add it to the grants",
        "   └─ c  1 µs",
    ]


def test_an_error_is_explained_once() -> None:
    """Where an error passes through several spans, its description stands at the innermost."""
    text = render_tree([span(1, "a", error="why"), span(2, "b", 1, error="why"), span(3, "c", 2, error="why")])
    assert text.count("why") == 1
    assert text.count("✗ desk.Denied") == 3


def test_a_cancelled_span_says_so() -> None:
    """Cancelled is neither a success nor an error."""
    assert "a  1 µs  (cancelled)" in render_tree([span(1, "a", attributes={names.CANCELLED: True})])


@pytest.mark.parametrize("count", [FOLD - 1, FOLD, 37])
def test_many_alike_are_one_row(count: int) -> None:
    """From FOLD siblings of one name on, one row shows how many there are and their median duration."""
    calls = [span(n, "call x", 1, start=n, length=n * 1_000_000) for n in range(2, count + 2)]
    text = render_tree([span(1, "root"), *calls])
    folded = f"└─ call x × {count}, median  "
    assert (folded in text) == (count >= FOLD)
    assert len(text.splitlines()) == 2 + (1 if count >= FOLD else count)
    assert f"{count + 1} spans" in text


def test_what_differs_is_not_folded_together() -> None:
    """Another name, another extension, a failure, or an error somewhere below keeps its own row."""
    spans = [span(1, "root")]
    spans += [span(n, "process x", 1) for n in range(10, 20)]
    spans += [span(20, "process x", 1, attributes={names.EXTENSION: "other"})]
    spans += [span(21, "process x", 1, error="broken")]
    spans += [span(22, "process x", 1), span(23, "hidden", 22, error="deep")]
    text = render_tree(spans)
    for row in ("process x × 10", "process x (other)", "desk.Denied: broken", "desk.Denied: deep"):
        assert row in text


def test_rows_are_bounded() -> None:
    """At most `max_rows` spans are shown over all traces, and what is left out is said."""
    spans = [span(n, f"s{n}", trace=trace) for trace in (1, 2, 3) for n in range(1, 31)]
    text = render_tree(spans, max_rows=40)
    assert sum(line.startswith("s") for line in text.splitlines()) == 40
    assert "… 20 more rows" in text
    assert text.endswith("… further traces are not shown")


def test_depth_is_bounded() -> None:
    """A chain of thousands neither exhausts the stack nor runs out of the terminal on the right."""
    text = render_tree([span(1, "s"), *(span(n, "s", n - 1) for n in range(2, 5_000))])
    assert text.endswith(f"… {4_999 - DEEPEST - 1} deeper")
    assert len(text.splitlines()) == 1 + DEEPEST + 2


def test_a_circle_of_parents_ends() -> None:
    """Spans that are each other's parents belong to no root: they are left out, and nothing hangs."""
    circle = [span(1, "a", 2), span(2, "b", 1), span(3, "self", 3)]
    assert render_tree(circle) == ""
    assert "c" in render_tree([*circle, span(4, "c")])


HOSTILE = st.text(
    alphabet=st.sampled_from("ab \x00\x07\x1b\x9b\r\n\t\x7f\u202e\u2066\u200b\u2028\u2029\ufeff\ud800\U000e0041é漢")
)


@given(HOSTILE, HOSTILE, HOSTILE)
def test_no_text_repaints_the_terminal(name: str, extension: str, error: str) -> None:
    """Whatever an extension calls itself or says, no control, bidi or invisible character reaches the terminal."""
    attributes = {names.EXTENSION: extension, names.ERROR_TYPE: error}
    spans = [span(1, name, error=error, attributes=attributes), span(2, name, 1, attributes=attributes)]
    text = render_tree(spans)
    text.encode()
    categories = {unicodedata.category(character) for character in text.replace("\n", "")}
    assert not categories & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    render_tree(spans, ascii=True).encode("ascii")


@given(st.lists(st.tuples(st.integers(0, 12), st.sampled_from("abc"), st.booleans()), max_size=40), st.integers(1, 50))
def test_any_forest_is_shown_within_bounds(forest: list[tuple[int, str, bool]], max_rows: int) -> None:
    """Any parents, names and outcomes give a text with at most the asked-for rows, and all errors counted."""
    spans = [
        span(number, name, parent if 0 < parent < number else None, error="" if failed else None)
        for number, (parent, name, failed) in enumerate(forest, start=1)
    ]
    lines = render_tree(spans, max_rows=max_rows).splitlines()
    assert len(lines) <= max_rows + 2
    if forest:
        assert f"{len(forest)} span" in lines[0]
        failures = sum(failed for _, _, failed in forest)
        assert (f"{failures} error" in lines[0]) == (failures > 0)
