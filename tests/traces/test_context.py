"""Reading and writing `traceparent`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext, TraceFlags, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from desk.traces.context import LONGEST, format_traceparent, parse_traceparent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"

MALFORMED = {
    "empty": "",
    "one character short": GOOD[:-1],
    "one character long": GOOD + "0",
    "more fields than version 00 has": GOOD + "-00",
    "trailing dash": GOOD + "-",
    "trailing newline": GOOD + "\n",
    "leading space": " " + GOOD,
    "carriage return": GOOD + "\r",
    "zero trace id": f"00-{'0' * 32}-{SPAN}-01",
    "zero span id": f"00-{TRACE}-{'0' * 16}-01",
    "upper case trace id": f"00-{TRACE.upper()}-{SPAN}-01",
    "upper case flags": f"00-{TRACE}-{SPAN}-0A",
    "not hexadecimal": GOOD.replace("4bf9", "4bg9"),
    "digits of another script": GOOD.replace("4736", "٤٧٣٦"),
    "wrong separators": GOOD.replace("-", "_"),
    "short trace id, long span id": f"00-{TRACE[:-1]}-{SPAN}0-01",
    "forbidden version": "ff" + GOOD[2:],
    "future version, too short": "01" + GOOD[2:-1],
    "future version, no dash after the flags": "01" + GOOD[2:] + "x",
    "future version, zero trace id": f"01-{'0' * 32}-{SPAN}-01",
    "future version, newline": "01" + GOOD[2:] + "-a\nb",
    "future version, endless": "01" + GOOD[2:] + "-" + "a" * LONGEST,
    "bytes in disguise": str(GOOD.encode()),
}


def test_the_example_of_the_recommendation() -> None:
    """A traceparent is taken apart into trace, parent and flags; it came from elsewhere."""
    place = parse_traceparent(GOOD)
    assert place is not None
    assert (place.trace_id, place.span_id) == (int(TRACE, 16), int(SPAN, 16))
    assert place.trace_flags.sampled
    assert place.is_remote


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_not_a_traceparent_is_no_parent(text: str) -> None:
    """A malformed traceparent is refused as a whole, silently."""
    assert parse_traceparent(text) is None


@pytest.mark.parametrize("more", ["", "-", "-what-comes-later"])
def test_a_later_version_is_read_as_far_as_we_know_it(more: str) -> None:
    """Of a version we do not know we take ids and the sampled flag, as the recommendation asks, and no other flag."""
    place = parse_traceparent(f"cc-{TRACE}-{SPAN}-ff{more}")
    assert place is not None
    assert format_traceparent(place) == GOOD


@pytest.mark.parametrize(("flags", "passed_on"), [("00", "00"), ("01", "01"), ("03", "03"), ("ff", "03"), ("fc", "00")])
def test_unknown_flags_are_not_passed_on(flags: str, passed_on: str) -> None:
    """Only the flags sampled and random-trace-id survive reading and writing."""
    place = parse_traceparent(f"{GOOD[:-2]}{flags}")
    assert place is not None
    assert format_traceparent(place) == f"{GOOD[:-2]}{passed_on}"


def test_outside_every_trace_there_is_no_traceparent() -> None:
    """An invalid span context has no written form."""
    assert format_traceparent(INVALID_SPAN_CONTEXT) is None


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans())
def test_what_is_written_is_read_back(trace_id: int, span_id: int, sampled: bool) -> None:
    """Reading is the inverse of writing."""
    place = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(sampled))
    text = format_traceparent(place)
    assert text is not None
    assert len(text) == 55
    assert parse_traceparent(text) == place


@given(st.text(max_size=80) | st.text(alphabet="0123456789abcdef-AFf", min_size=50, max_size=60))
def test_reading_never_fails(text: str) -> None:
    """Any text is a traceparent or is not; nothing is raised."""
    parse_traceparent(text)


@given(st.integers(0, 54), st.sampled_from("0123456789abcdefABCDEFg-_٣"), st.sampled_from(["", "-", "-00", "0", "x"]))
def test_we_agree_with_opentelemetry(position: int, character: str, suffix: str) -> None:
    """One changed character anywhere is judged as OpenTelemetry's own propagator judges it."""
    text = GOOD[:position] + character + GOOD[position + 1 :] + suffix
    theirs = get_current_span(TraceContextTextMapPropagator().extract({"traceparent": text})).get_span_context()
    ours = parse_traceparent(text)
    if ours is None:
        assert not theirs.is_valid
    else:
        assert (ours.trace_id, ours.span_id) == (theirs.trace_id, theirs.span_id)
