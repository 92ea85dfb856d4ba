"""The log of denials tells all once and cannot be flooded, the sinks get every decision, and the lines on disk read back."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.bus.envelope import Origin
from desk.capabilities.atoms import Atom
from desk.capabilities.audit import KEPT, WARNED, WINDOW, Audit, AuditRecord
from desk.capabilities.audit_lines import (
    LONGEST,
    SHOWN,
    UNREADABLE,
    Gap,
    gap_line,
    parse_line,
    read_audit,
    record_line,
)
from desk.capabilities.audit_rates import SOURCES, AuditRates
from desk.capabilities.broker import record_of
from desk.capabilities.filesystem_atoms import FilesystemAtom
from desk.capabilities.grants import Grants
from desk.capabilities.message_atoms import BusAtom
from desk.capabilities.permissions import PermissionSet


@pytest.fixture(autouse=True)
def _all_levels(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG, "desk.audit"):
        yield


def denial(permission: str, *, time: float = 0.0, extension: str = "widget") -> AuditRecord:
    """A record of something that was denied."""
    return AuditRecord(time, extension, (extension,), permission, False, f"{permission}: not granted", None)


def as_json(value: object) -> bytes:
    """A line of somebody else's."""
    return json.dumps(value).encode() + b"\n"


def lines(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    """What was logged at a level."""
    return [record.getMessage() for record in caplog.records if record.levelno == level]


def test_the_first_denial_warns_and_repetitions_do_not(caplog: pytest.LogCaptureFixture) -> None:
    """A guest that asks for the same thing in a loop is one warning; each denial is counted, recorded and sunk."""
    seen: list[AuditRecord] = []
    audit = Audit(seen.append)
    for number in range(2 * KEPT):
        audit(denial("bus publish:a", time=number / KEPT))
    assert lines(caplog, logging.WARNING) == ["widget DENIED: bus publish:a: not granted"]
    assert len(lines(caplog, logging.DEBUG)) == 2 * KEPT - 1
    assert (audit.denied, len(audit.records), len(seen)) == (2 * KEPT, KEPT, 2 * KEPT)


def test_ever_new_denials_do_not_flood_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """After `WARNED` different ones the log says that there are more, and is quiet for that extension only."""
    audit = Audit()
    for number in range(1000):
        audit(denial(f"network connect:a.example:{number}"))
    warnings = lines(caplog, logging.WARNING)
    assert len(warnings) == WARNED + 1
    assert f":{WARNED - 1}: " in warnings[-2]
    assert warnings[-1] == f"widget was denied {WARNED} different things; more within a minute are debug lines"
    audit(denial("bus publish:a", extension="other"))
    assert lines(caplog, logging.WARNING)[-1].startswith("other DENIED")


@pytest.mark.parametrize("later", [WINDOW, -1.0])
def test_what_is_denied_again_a_minute_later_warns_again(later: float, caplog: pytest.LogCaptureFixture) -> None:
    """An operator who looks at the log now sees what is wrong now; a clock that was set back does not silence it."""
    audit = Audit()
    for time in (0.0, WINDOW - 1, later):
        audit(denial("bus publish:a", time=time))
    assert len(lines(caplog, logging.WARNING)) == 2


def test_what_is_remembered_of_warnings_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """However many extensions come and go, each is heard."""
    audit = Audit()
    for number in range(3000):
        audit(denial("bus publish:a", extension=f"e{number}"))
    assert len(lines(caplog, logging.WARNING)) == 3000


def test_what_is_allowed_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """It is recorded and counted."""
    audit = Audit()
    audit(AuditRecord(0.0, "widget", (), "bus publish:a", True, "granted", None))
    assert (caplog.records, audit.allowed, len(audit.records)) == ([], 1, 1)


def test_what_is_only_observed_is_counted_apart_and_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """It was allowed, so it counts as that; the operator who lets rules be watched sees what they would deny."""
    audit = Audit()
    record = denial("bus publish:a")._replace(allowed=True, observed=True)
    audit(record)
    assert (audit.allowed, audit.denied, audit.observed) == (1, 0, 1)
    assert (record.denied, record.outcome) == (True, "observed")
    assert lines(caplog, logging.WARNING) == ["widget observed: bus publish:a: not granted"]


def test_every_sink_gets_every_record() -> None:
    """In the order in which they were given; who joins later gets what comes later; None is none."""
    first: list[AuditRecord] = []
    second: list[AuditRecord] = []
    audit = Audit(first.append, None)
    audit(denial("bus publish:a"))
    audit.sinks.append(second.append)
    audit(denial("bus publish:b"))
    assert [each.permission for each in first] == ["bus publish:a", "bus publish:b"]
    assert [each.permission for each in second] == ["bus publish:b"]


TIME = st.floats(0, 253402300799)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)
RECORDS = st.builds(
    AuditRecord,
    TIME,
    TEXTS,
    st.lists(TEXTS, max_size=3).map(tuple),
    TEXTS,
    st.booleans(),
    TEXTS,
    st.none() | TEXTS,
    st.lists(TEXTS, max_size=3).map(tuple),
    TEXTS,
    TEXTS,
    st.sampled_from([None, "request", "grant", "principal", "rule"]),
    st.booleans(),
    st.integers(0, 9),
)
GAPS = st.builds(Gap, TIME, TEXTS, st.booleans(), st.integers(1, 1 << 40), st.sampled_from(["rate", "queue", "disk"]))


@given(RECORDS | GAPS)
def test_a_line_reads_back_as_what_was_written(entry: AuditRecord | Gap) -> None:
    """Whatever texts it has, the line is one line of visible ASCII; no text in it can make another line of it."""
    line = record_line(entry) if isinstance(entry, AuditRecord) else gap_line(entry)
    assert line.endswith(b"\n")
    assert all(32 <= byte < 127 for byte in line[:-1])
    assert parse_line(line) == entry


def test_a_line_is_bounded() -> None:
    """Reasons and rules are cut, so that a line is one that the reader takes."""
    record = denial("x" * 6_000)._replace(reason="\u202e" * 100_000, rule="r" * 100_000)
    line = record_line(record)
    assert len(line) < LONGEST / 2
    read = parse_line(line)
    assert isinstance(read, AuditRecord)
    assert (read.reason, len(read.permission)) == ("\u202e" * SHOWN + "...", 6_000)


@given(st.binary(max_size=300) | st.recursive(st.none() | st.booleans() | TEXTS, st.lists, max_leaves=5).map(as_json))
def test_what_is_no_line_of_ours_is_told_as_one_that_cannot_be_read(line: bytes) -> None:
    """Any bytes, and any JSON."""
    assert parse_line(line) is UNREADABLE


@pytest.mark.parametrize(
    "change",
    [
        {"time": "1"},
        {"time": -1},
        {"time": 1e300},
        {"time": 10**400},
        {"extension": None},
        {"chain": ["a", 1]},
        {"allowed": 1},
        {"missing": "nothing"},
        {"hops": -1},
        {"surprise": 1},
        {"dropped": 1},
    ],
    ids=str,
)
def test_a_record_that_somebody_changed_cannot_be_read(change: dict[str, object]) -> None:
    """Each field is of its type, and there is none beside them."""
    fields = json.loads(record_line(denial("bus publish:a")))
    assert parse_line(as_json(fields)) == denial("bus publish:a")
    assert parse_line(as_json({**fields, **change})) is UNREADABLE


@pytest.mark.parametrize(
    "line", [b"[" * 50_000, b'{"time": NaN}', b'{"time": ' + b"9" * 5_000 + b"}", b'"dropped"', b"1"]
)
def test_hostile_json_is_a_line_that_cannot_be_read(line: bytes) -> None:
    """Depth, numbers that are none, numbers that take long."""
    assert parse_line(line + b"\n") is UNREADABLE


def test_reading_survives_torn_and_endless_lines(tmp_path: Path) -> None:
    """A line without an end is told if others follow, and left out at the end of the file: it is being written just then."""
    good = record_line(denial("bus publish:a"))
    file = tmp_path / "audit.jsonl"
    file.write_bytes(good + good[:30] + b"\n" + good + b"x" * (3 * LONGEST + 7) + b"\n" + good + good[:-1])
    assert list(read_audit(file)) == [parse_line(good), UNREADABLE, parse_line(good), UNREADABLE, parse_line(good)]
    file.write_bytes(b"x" * (2 * LONGEST))
    assert list(read_audit(file)) == [UNREADABLE]
    file.write_bytes(b"")
    assert list(read_audit(file)) == []


def test_rates_tell_extensions_and_outcomes_apart() -> None:
    """Neither does a flood of what is allowed hide a denial, nor one extension another. What is kept is bounded."""
    now = 0.0
    rates = AuditRates(10, 3, lambda: now)
    allowed = denial("bus publish:a")._replace(allowed=True)
    assert [rates.take(allowed) for _ in range(5)] == [True, True, True, False, False]
    assert rates.take(denial("bus publish:a"))
    assert rates.take(allowed._replace(extension="other"))
    now = 0.1
    assert [rates.take(allowed) for _ in range(2)] == [True, False]
    for number in range(3 * SOURCES):
        assert rates.take(allowed._replace(extension=f"e{number}"))


class Forbidding:
    """An operator's rules that refuse one thing, and may observe the rest."""

    def __init__(self, observe: bool) -> None:
        self.observe = observe

    def forbids(self, atom: Atom) -> str | None:
        """Refuses b."""
        return "publish:b \u202e" if atom.text == "publish:b" else None

    def denies(self, atom: Atom) -> str | None:
        """The same."""
        return self.forbids(atom)

    def denies_address(self, atom: object, address: object) -> str | None:
        """None."""


@pytest.mark.parametrize("observe", [False, True])
def test_a_record_says_what_a_decision_rests_on(observe: bool) -> None:
    """The grant with its scope and who gave it, the rule, or what is missing; for whom it was asked; all of it plain ASCII."""
    asked = PermissionSet.parse({"bus": ["publish:*"]})
    grants = Grants(asked, PermissionSet.parse({"bus": ["publish:a"]}), Forbidding(observe))
    origin = Origin("widget", ("app", "other", "widget"), 2, None, None, ("other", "widget"))

    def record(text: str) -> AuditRecord:
        return record_of(grants.decide(BusAtom.publish(text)), origin, "00-trace")

    granted, forbidden, missing = record("a"), record("b"), record("c")
    assert (granted.extension, granted.chain, granted.principals) == ("widget", origin.chain, ("other", "widget"))
    assert (granted.traceparent, granted.hops) == ("00-trace", 2)
    assert (granted.permission, granted.outcome) == ("bus publish:a", "allowed")
    assert (granted.by, granted.rule, granted.missing) == ("bus publish:a (session, by operator)", "", None)
    assert (forbidden.outcome, forbidden.by, forbidden.missing) == ("DENIED", "", "rule")
    assert forbidden.rule == "publish:b \\u{202e}"
    assert (missing.outcome, missing.by) == (("observed" if observe else "DENIED"), "")
    assert missing.missing == (None if observe else "grant")
    for each in (granted, forbidden, missing):
        assert parse_line(record_line(each)) == each


def test_what_a_guest_asks_for_is_shown_in_ascii() -> None:
    """Letters that look like others, quotes and backslashes of a request are escaped, wherever the record has them."""
    nothing = Grants(PermissionSet())
    record = record_of(nothing.decide(FilesystemAtom.parse('read:/srv/p\u0430y"\u00e9')), Origin("widget"), None)
    assert record.permission == 'filesystem read:/srv/p\\u{430}y\\"\\u{e9}'
    for text in (record.permission, record.reason, record.by, record.rule, str(record)):
        assert text.isascii()
        assert text.isprintable() or not text
