"""Where the time and random numbers come from, and that seeded ones are what their description says."""

import hashlib
import time

from desk.actors.sources import MONOTONIC, REALTIME, SYSTEM, Seeded


def test_the_system_has_the_systems_clocks() -> None:
    """Each clock is the one of its name, in nanoseconds."""
    for clock, read in ((REALTIME, time.time_ns), (MONOTONIC, time.monotonic_ns)):
        before = read()
        assert before <= SYSTEM.time_ns(clock) <= read()


def test_the_systems_random_numbers_are_random() -> None:
    """As many bytes as asked for, others each time."""
    assert len(SYSTEM.random(32)) == 32
    assert SYSTEM.random(32) != SYSTEM.random(32)
    assert SYSTEM.random(0) == b""


def test_seeded_clocks_advance_with_each_reading() -> None:
    """Both are one time line: a reading of either is a step for both."""
    sources = Seeded(3)
    start, step = Seeded.START_NS, Seeded.STEP_NS
    assert [sources.time_ns(clock) for clock in (REALTIME, MONOTONIC, MONOTONIC, REALTIME)] == [
        start,
        2 * step,
        3 * step,
        start + 3 * step,
    ]


def test_seeded_random_numbers_can_be_worked_out() -> None:
    """They are what the description says, on every machine and in every version: the last two lines were written down once."""
    sources = Seeded(7)
    for request in range(3):
        text = f"desk seeded random 1: 7, {request}"
        assert sources.random(40) == hashlib.shake_256(text.encode()).digest(40)
    assert Seeded().random(8).hex() == "298ffd82c660cab6"
    assert Seeded(-1).random(8).hex() == "51b05c9524f699bc"


def test_another_seed_is_another_sequence() -> None:
    """And so is another request; time has no part in it."""
    first, again, other = Seeded(1), Seeded(1), Seeded(2)
    again.time_ns(REALTIME)
    answers = [first.random(16) for _ in range(100)]
    assert answers == [again.random(16) for _ in range(100)]
    assert len({*answers, *(other.random(16) for _ in range(100))}) == 200
