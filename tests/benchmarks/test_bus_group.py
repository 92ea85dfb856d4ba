"""The group `bus`: ours and the peers do the same work, a wrong answer is noticed, and it needs no guest. No timing here."""

import json
from collections.abc import Callable

import pytest
import trio

from benchmarks import bus_ours, bus_parts, bus_peers
from benchmarks.__main__ import main
from benchmarks.bus_field import bus_entries
from benchmarks.bus_work import VALUES, Audience, Contestant, asking
from benchmarks.goals import GOAL_MISSED, GOALS_MET
from benchmarks.measure import WrongAnswer
from benchmarks.plan import QUICK
from benchmarks.rows import COMPARISONS
from desk.bus import codec
from desk.bus.codec import Value
from desk.bus.subjects import Pattern

pytestmark = pytest.mark.anyio

ROWS = {f"{each.group}: {name}" for each in COMPARISONS for name in (each.ours, each.peer) if each.group == "bus"}


def test_everyone_who_takes_part_has_a_row_and_gives_the_right_answers() -> None:
    """Batches of a few calls, of one, and of more events than a queue holds: each compares all that comes out of it."""
    with bus_entries(QUICK) as entries:
        assert entries.keys() == ROWS - {"bus: None"}
        for entry in entries.values():
            assert entry.batch(1) > 0
            assert entry.batch(9) > 0
        for name, entry in entries.items():
            if "to 1 (" in name:
                assert entry.batch(1_000) > 0


async def test_a_wrong_answer_ends_the_benchmark() -> None:
    """An answer that is the one to another request, say."""

    async def ask(value: Value) -> Value:
        return VALUES[0]

    assert await asking(ask)(1) > 0
    with pytest.raises(WrongAnswer, match="something else than expected"):
        await asking(ask)(2)


async def test_an_event_that_is_not_the_next_ends_the_benchmark() -> None:
    """Each of several receivers hears each value once, in order, or it is said how many were not what was sent."""
    audience = Audience(2)
    first, second = audience.receiver(), audience.receiver()

    async def send(value: Value) -> None:
        first(value)
        second(value if value != VALUES[5] else VALUES[4])

    assert await audience.sending(send)(5) > 0
    with pytest.raises(WrongAnswer, match="of 2 events for 2, 1 were not"):
        await audience.sending(send)(2)


async def test_peers_answer_or_give_up(anyio_backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a deadline that is over at once they do; those that are patient do not look at it."""
    monkeypatch.setattr(bus_peers, "DEADLINE", 0)
    for round_trip in bus_peers.ROUND_TRIPS[anyio_backend].values():
        async with round_trip(patient=True) as batch:
            assert await batch(3) > 0
        async with round_trip(patient=False) as batch:
            with pytest.raises((TimeoutError, trio.TooSlowError)):
                await batch(1)


async def test_what_is_asked_of_ours_goes_over_the_bus() -> None:
    """Each of the three kinds."""
    contestants: list[Callable[[], Contestant]] = list(bus_ours.REQUESTS.values())
    assert len(contestants) == 3
    for contestant in contestants:
        async with contestant() as batch:
            assert await batch(20) > 0


def test_ten_thousand_patterns_of_which_three_match() -> None:
    """All are different, no subject comes twice, and asking each pattern by itself finds the same three."""
    texts = bus_parts.patterns()
    assert len(texts) == len(set(texts)) == 10_000
    subjects = bus_parts.fresh_subjects()
    fresh = subjects(1_500) + subjects(1_500)
    assert len(set(fresh)) == 3_000
    patterns = [Pattern(text) for text in texts]
    for subject in (fresh[0], fresh[-1]):
        station = subject.split(".")[1]
        found = [pattern.text for pattern in patterns if pattern.matches(subject)]
        assert found == [text.format(station) for text in bus_parts.MATCHES]


def test_the_message_is_what_it_is_said_to_be() -> None:
    """7 fields, one of them a record, 129 bytes; the goal is for the type beside the decoder."""
    message = bus_parts.MESSAGE
    assert isinstance(message, dict)
    assert (len(message), len(codec.encode(message))) == (7, 129)
    assert isinstance(message["body"], dict)


def test_the_goals_are_those_of_the_issue() -> None:
    """A round trip beside every peer that is right, on both event loops; who has no deadline is no goal."""
    goals = {(each.ours, each.peer): str(each.goal) for each in COMPARISONS if each.group == "bus" and each.goal}
    for loop, own in (("trio", "trio channel"), ("asyncio", "asyncio queue")):
        for ours in ("ask a function", "ask an async function", "ask a task"):
            for peer in ("anyio stream", own):
                assert goals.pop((f"{ours} ({loop})", f"{peer} ({loop})")) == "<= 1.30"
    assert goals.pop(("decode a message of a type", "decode a message")) == "<= 1.50"
    assert set(goals.values()) == {"< 5 µs"}
    assert len(goals) == 2


def test_no_compiler_is_needed(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Nor Extism: the group has no guest."""
    monkeypatch.setenv("PATH", "")
    assert main(["--quick", "--json", "--only", "bus"]) in (GOALS_MET, GOAL_MISSED)
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert {row["bench"].partition(":")[0] for row in rows} == {"bus"}
    assert all(row["ours"] > 0 and row["note"] is None for row in rows)
