"""The table of span names is complete, and the only one."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.semconv._incubating.attributes import (  # pyright: ignore[reportMissingTypeStubs]
    messaging_attributes as semconv,
)
from opentelemetry.semconv.attributes import error_attributes
from opentelemetry.trace import SpanKind

from desk.traces import names

ROOT = Path(__file__).parents[2]
ROOMS = ("traces", "bus", "capabilities", "actors", "host", "testing", "cli", "examples")


def calls_of(*methods: str) -> Iterator[tuple[Path, ast.Call]]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in methods:
                    yield path, node


def test_span_names_stand_in_the_table_only() -> None:
    """No call of `.span(` in the traced rooms spells a name itself: it passes an act of `names`."""
    spelled = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path, call in calls_of("span")
        if not call.args or isinstance(call.args[0], ast.Constant | ast.JoinedStr | ast.BinOp)
    ]
    assert spelled == []


def test_spans_are_started_in_one_place() -> None:
    """Only `traces/tracing.py` starts OpenTelemetry spans, so recording can be made cheap by changing one file."""
    places = {str(path.relative_to(ROOT)) for path, _ in calls_of("start_span", "start_as_current_span", "get_tracer")}
    assert places == {"traces/tracing.py"}


def test_every_act_is_in_acts() -> None:
    """`ACTS` lists every act of the module, each with a verb of its own."""
    declared = {value for value in vars(names).values() if isinstance(value, names.Act)}
    assert set(names.ACTS) == declared
    assert len({act.verb for act in names.ACTS}) == len(names.ACTS)


@pytest.mark.parametrize(
    ("act", "name", "kind"),
    [
        (names.PUBLISH, "publish x", SpanKind.PRODUCER),
        (names.PROCESS, "process x", SpanKind.CONSUMER),
        (names.REQUEST, "request x", SpanKind.CLIENT),
        (names.DECIDE, "decide x", SpanKind.INTERNAL),
        (names.CALL, "call x", SpanKind.CLIENT),
        (names.LOAD, "load x", SpanKind.INTERNAL),
        (names.COMPILE, "compile x", SpanKind.INTERNAL),
        (names.INSTANTIATE, "instantiate x", SpanKind.INTERNAL),
    ],
)
def test_names_and_kinds(act: names.Act, name: str, kind: SpanKind) -> None:
    """Names and kinds are part of what people build dashboards on: a change here is a change for them."""
    assert (act.name("x"), act.kind) == (name, kind)


def test_conventional_words_are_those_of_the_conventions() -> None:
    """Attributes that are not `desk.*` are spelled as in the OpenTelemetry semantic conventions."""
    assert names.SUBJECT == semconv.MESSAGING_DESTINATION_NAME
    assert names.MESSAGE_ID == semconv.MESSAGING_MESSAGE_ID
    assert names.MESSAGE_SIZE == semconv.MESSAGING_MESSAGE_BODY_SIZE
    assert names.ERROR_TYPE == error_attributes.ERROR_TYPE
    types = {value.value for value in semconv.MessagingOperationTypeValues}
    for act in (names.PUBLISH, names.PROCESS, names.REQUEST):
        assert act.fixed[semconv.MESSAGING_SYSTEM] == "desk"
        assert act.fixed[semconv.MESSAGING_OPERATION_NAME] == act.verb
        assert act.fixed[semconv.MESSAGING_OPERATION_TYPE] in types
