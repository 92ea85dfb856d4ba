"""A source that logs has a steady rate and a burst, and what is left out is counted and told, as rarely as anything else."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from desk.traces.log_rate import LogRate


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


def taken(rate: LogRate, tries: int) -> int:
    """How many of so many lines may be written."""
    return sum(rate.take() for _ in range(tries))


def test_a_burst_and_then_the_rate() -> None:
    """After a silence as many as the burst, then as many as the rate gives, and never more than the burst at once."""
    clock = Clock()
    rate = LogRate(2, 5, clock)
    assert taken(rate, 20) == 5
    clock.now += 1.5
    assert taken(rate, 20) == 3
    clock.now += 0.25
    assert taken(rate, 20) == 0
    clock.now += 0.25
    assert taken(rate, 20) == 1
    clock.now += 3_600
    assert taken(rate, 20) == 5


def test_a_clock_that_goes_back_gives_nothing() -> None:
    """Nor does it take anything."""
    clock = Clock()
    rate = LogRate(1, 3, clock)
    assert taken(rate, 2) == 2
    clock.now -= 100
    assert taken(rate, 5) == 1
    clock.now += 2
    assert taken(rate, 5) == 2


def test_what_was_dropped_is_told_once_by_a_line_like_any_other() -> None:
    """While there is no line for it, the count goes on."""
    clock = Clock()
    rate = LogRate(1, 2, clock)
    assert rate.take_note() == 0
    assert taken(rate, 2) == 2
    rate.dropped += 3
    assert rate.take_note() == 0
    rate.dropped += 1
    clock.now += 1
    assert (rate.take_note(), rate.take()) == (4, False)
    clock.now += 1
    assert (rate.take_note(), rate.take()) == (0, True)


@given(
    steps=st.lists(st.one_of(st.sampled_from(["line", "note"]), st.floats(0, 5)), max_size=60),
    lines=st.integers(1, 20),
    burst=st.integers(1, 10),
)
def test_no_way_to_spread_them_gives_more(steps: list[str | float], lines: int, burst: int) -> None:
    """In any stretch of time there are at most `burst + rate * seconds` lines, notes included; and each line is accounted for."""
    clock = Clock()
    rate = LogRate(lines, burst, clock)
    written: list[float] = []
    tried = plain = told = 0
    for step in steps:
        if isinstance(step, float):
            clock.now += step
        elif step == "note":
            note = rate.take_note()
            told += note
            written += [clock.now] if note else []
        else:
            tried += 1
            if rate.take():
                plain += 1
                written.append(clock.now)
            else:
                rate.dropped += 1
    assert tried == plain + told + rate.dropped
    for first, begin in enumerate(written):
        for last in range(first, len(written)):
            assert last - first + 1 <= burst + lines * (written[last] - begin) + 1e-6
