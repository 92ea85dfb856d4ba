"""The line of text that carries a trace from one place to another: `traceparent` of W3C Trace Context.

    00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
    version, trace id (16 bytes), id of the span that is the parent (8 bytes), flags (01: sampled)

The text may come from a guest, a socket or another program, so reading it never fails: what is not a traceparent is
no parent, and the span begins a new trace (https://www.w3.org/TR/trace-context/, section 3.2.2.4).
"""

import re

from opentelemetry.trace import SpanContext, TraceFlags, format_span_id, format_trace_id

LONGEST = 512
"""Characters we look at. Version 00 has 55; a later version may append fields."""

_FIELDS = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_KNOWN_FLAGS = 0x03
"""sampled and random-trace-id; all others are not to be passed on."""


def parse_traceparent(text: str) -> SpanContext | None:
    """The place in a trace that `text` names, or None if it is not a valid traceparent.

    As the recommendation asks, a version newer than 00 is read as if it were 00 if it begins like one, so that a
    trace survives a neighbour that is ahead of us. Version ff and ids of zeros are never valid.
    """
    if len(text) > LONGEST:
        return None
    match = _FIELDS.fullmatch(text)
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more is not None):
        return None
    known = _KNOWN_FLAGS if version == "00" else TraceFlags.SAMPLED
    place = SpanContext(
        trace_id=int(trace_id, 16),
        span_id=int(span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(int(flags, 16) & known),
    )
    return place if place.is_valid else None


def format_traceparent(place: SpanContext) -> str | None:
    """The traceparent that makes the next span a child of `place`; None if `place` is in no trace."""
    if not place.is_valid:
        return None
    flags = place.trace_flags & _KNOWN_FLAGS
    return f"00-{format_trace_id(place.trace_id)}-{format_span_id(place.span_id)}-{flags:02x}"
