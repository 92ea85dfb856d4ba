"""Where a call begins is learnt from the one before."""

from unittest.mock import Mock

import pytest

from desk.actors.forecast import CUT, LATE, SOON, Forecast


def after(*calls: tuple[int, float | None]) -> str:
    """What is expected after these calls: slices used up, and the seconds of the first slice in the event loop."""
    forecast = Forecast()
    for slices, first in calls:
        forecast.learn(slices, first)
    return forecast.expected


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ((), "new"),
        (((0, 0.0001),), "quick"),
        (((CUT, 0.0001),), "quick"),  # cut by chance
        (((CUT + 1, 0.0001),), "long"),
        (((0, SOON),) * LATE, "quick"),
        (((0, SOON),) * (LATE + 1), "long"),  # over before a tick came, but too late for the event loop
        (((0, SOON),) * LATE + ((0, 0.0001),) + ((0, SOON),) * LATE, "quick"),
        (((0, None),), "quick"),
        (((1, None),), "long"),
        (((5, 0.1), (0, None)), "quick"),
        (((5, 0.1), (1, None), (1, None)), "long"),
        (((0, 0.0001), (9, 0.001)), "long"),
    ],
)
def test_the_last_call_decides(calls: tuple[tuple[int, float | None], ...], expected: str) -> None:
    """Long is what used up slices or took long; in a worker thread, what used up any."""
    assert after(*calls) == expected


@pytest.mark.parametrize(
    ("expected", "computing", "here"),
    [
        ("new", 0, True),
        ("new", 1, False),
        ("quick", 0, True),
        ("quick", 9, True),
        ("long", 0, False),
        ("long", 9, False),
    ],
)
def test_where_the_next_one_begins(expected: str, computing: int, here: bool) -> None:
    """The quick in the event loop, the long in a thread, the new in the event loop if nobody computes."""
    forecast = Forecast()
    forecast.expected = expected  # type: ignore[assignment]
    assert forecast.begins_here(Mock(computing=computing)) is here
