"""The log of denials tells everything once and cannot be flooded; the records and the sink get every decision."""

import logging
from collections.abc import Iterator

import pytest

from desk.capabilities.audit import KEPT, WARNED, WINDOW, Audit, AuditRecord


@pytest.fixture(autouse=True)
def _all_levels(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG, "desk.audit"):
        yield


def denial(permission: str, *, time: float = 0.0, extension: str = "widget") -> AuditRecord:
    """A record of something that was denied."""
    return AuditRecord(time, extension, (extension,), permission, False, f"{permission}: not granted", None)


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
