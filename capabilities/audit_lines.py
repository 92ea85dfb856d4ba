"""The audit as text: one JSON object a line, ASCII only, written and read.

    {"time": 1760000000.25, "extension": "widget", "chain": ["widget"], …, "allowed": false, "reason": "…", …}
    {"time": 1760000001.0, "extension": "widget", "denied": true, "dropped": 12345, "why": "rate"}

The first is a decision, with the fields of `AuditRecord`; the second says that there were decisions which were not written. A
reader has to expect anything: a file that was cut off in the middle of a line by a full disk, and one that somebody has made
up. So lines are bounded, and what is none of the two is told as a `Gap`, too.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

from desk.bus.types.base import InvalidValue
from desk.bus.types.syntax import parse_type_text
from desk.capabilities.audit import AuditRecord

LONGEST = 64 * 1024
"""Bytes of a line, with its end. Records have at most a quarter of it: texts beyond `SHOWN` characters are cut."""

SHOWN = 2_048
"""Characters of a reason and of a rule that are written. The permission is written whole."""

Why = Literal["rate", "queue", "disk", "unreadable"]
"""Why there is a gap: too many of one extension, too many of all, a disk that took no more, a line that is none."""

_TIME = "f64(0.0..=253402300799.0)"  # up to the year 9999, which is as far as it can be shown
_RECORD = parse_type_text(
    f"(time: {_TIME}, extension: string, chain: list(string), permission: string, allowed: bool, reason: string, "
    "traceparent: option(string), principals: list(string), by: string, rule: string, "
    "missing: option(enum(request, grant, principal, rule)), observed: bool, hops: u32)"
)
_GAP = parse_type_text(
    f"(time: {_TIME}, extension: string, denied: bool, dropped: u64(1..), why: enum(rate, queue, disk))"
)


class Gap(NamedTuple):
    """Decisions that were made, and are not in the file."""

    time: float
    """When it was written, in seconds since the epoch; for a line that cannot be read, 0."""
    extension: str
    """Whose they were; empty if it is not known."""
    denied: bool
    """Whether it is the denied ones (and those only observed) that are counted; else the allowed ones."""
    dropped: int
    """How many."""
    why: Why

    def __str__(self) -> str:
        """One line for people."""
        if self.why == "unreadable":
            return "a line that cannot be read"
        what = "denials" if self.denied else "allowed requests"
        reason = {"rate": "too many at once", "queue": "too many of all extensions at once", "disk": "no room to write"}
        return f"{self.dropped:,} more {what} of {self.extension or 'others'} were not written ({reason[self.why]})"


UNREADABLE = Gap(0.0, "", denied=False, dropped=1, why="unreadable")


def record_line(record: AuditRecord) -> bytes:
    """A decision as a line, with its end."""
    return _line(record._replace(reason=_cut(record.reason), rule=_cut(record.rule))._asdict())


def gap_line(gap: Gap) -> bytes:
    """A gap as a line, with its end."""
    return _line(gap._asdict())


def _line(fields: Mapping[str, object]) -> bytes:
    return json.dumps(fields, ensure_ascii=True).encode("ascii") + b"\n"


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def read_audit(path: Path | str) -> Iterator[AuditRecord | Gap]:
    """The decisions of one file, in the order in which they were made, and the gaps between them.

    A last line without an end is left out: it was being written when somebody pulled the plug, or is so now. Raises `OSError`.
    """
    with open(path, "rb") as file:
        yield from _read(file)


def _read(file: BinaryIO) -> Iterator[AuditRecord | Gap]:
    while line := file.readline(LONGEST):
        if line.endswith(b"\n"):
            yield parse_line(line)
        elif len(line) == LONGEST:
            yield UNREADABLE
            while (line := file.readline(LONGEST)) and not line.endswith(b"\n"):
                pass


def parse_line(line: bytes) -> AuditRecord | Gap:
    """What one line says; `UNREADABLE` if it is none of ours."""
    if len(line) > LONGEST or not line.isascii():
        return UNREADABLE
    try:
        fields: Any = json.loads(line)
        if "dropped" in fields:
            _GAP.check(fields, "line")
            return Gap(**fields)
        _RECORD.check(fields, "line")
        record = AuditRecord(**fields)
        return record._replace(chain=tuple(record.chain), principals=tuple(record.principals))
    except (ValueError, TypeError, RecursionError, InvalidValue):
        return UNREADABLE
