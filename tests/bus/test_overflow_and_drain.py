"""What becomes of an event: overflow, groups, priorities, retained values, dead letters, and the order of an end."""

from collections.abc import Callable

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.bus.bus import Bus
from desk.bus.dead_letters import Cause
from desk.bus.envelope import APP, MAX_HOPS, Envelope, Origin, Priority
from desk.bus.errors import BusClosed, Overloaded, TooManyHops, Unavailable
from desk.bus.mailbox import CONTROL_CAPACITY, Mailbox, Overflow
from desk.bus.pattern_index import PatternIndex
from desk.bus.subject_table import RETAINED_KEPT, SUBJECTS_KEPT
from desk.bus.subjects import Pattern, matches
from desk.bus.subscription import Event, Subscription
from desk.bus.types import I32, Signature

pytestmark = pytest.mark.anyio

PATIENCE = 10.0
"""Seconds after which a test that hangs fails."""


async def waiting(subscription: Subscription) -> list[object]:
    """The values in a subscription's mailbox, taken out."""
    values: list[object] = []
    while subscription.mailbox.statistics().queued:
        values.append((await anext(subscription)).value)
    return values


# -- overflow


async def test_drop_oldest_keeps_the_latest() -> None:
    """A full mailbox loses its oldest events, and counts them; the publisher never waits."""
    bus = Bus()
    with bus.subscribe("a.b", capacity=2, overflow="drop_oldest") as latest:
        assert [await bus.publish("a.b", number) for number in range(5)] == [1] * 5
        assert (latest.statistics().delivered, latest.statistics().dropped) == (5, 3)
        assert await waiting(latest) == [3, 4]
    assert bus.subjects()[0].dropped == 3
    assert not bus.dead_letters


async def test_drop_newest_keeps_the_first() -> None:
    """A full mailbox takes no more, and counts what it did not take; `publish` does not count it as a receiver."""
    bus = Bus()
    with bus.subscribe("a.b", capacity=2, overflow=Overflow.DROP_NEWEST) as first:
        assert [await bus.publish("a.b", number) for number in range(5)] == [1, 1, 0, 0, 0]
        assert (first.statistics().delivered, first.statistics().dropped) == (2, 3)
        assert await waiting(first) == [0, 1]
    assert not bus.dead_letters


async def test_refuse_makes_dead_letters_that_can_be_retried() -> None:
    """What a full mailbox refuses is in the dead letters with the reason, and gets there when it is retried."""
    bus = Bus()
    with bus.subscribe("a.b", capacity=1, overflow="refuse") as picky:
        assert [await bus.publish("a.b", number) for number in range(3)] == [1, 0, 0]
        assert [letter.cause for letter in bus.dead_letters] == [Cause.FULL, Cause.FULL]
        assert "its mailbox is full" in bus.dead_letters[0].reason
        assert picky.statistics().refused == 2
        assert await waiting(picky) == [0]
        letter = bus.dead_letters[0]
        await bus.retry(letter)
        assert await waiting(picky) == [1]
        assert (len(bus.dead_letters), bus.dead_letters.total) == (1, 2)
        with pytest.raises(ValueError, match="retried already"):
            await bus.retry(letter)
    with pytest.raises(Unavailable, match=r"does not listen to a\.b any more"):
        await bus.retry(bus.dead_letters[0])
    assert len(bus.dead_letters) == 1, "it stays a dead letter"


async def test_an_unknown_policy_is_refused() -> None:
    """With `ValueError`, before anything is subscribed."""
    bus = Bus()
    with pytest.raises(ValueError, match="drop_some"):
        bus.subscribe("a.b", overflow="drop_some")
    assert bus.statistics().subscriptions == 0


async def test_drop_oldest_never_drops_a_request() -> None:
    """In a mailbox that events share with requests, only events make room; if there are none, the new event is dropped."""
    bus = Bus()
    box = Mailbox("both", 2)
    bus.serve("calc.add", Signature((I32,)), box)
    bus.subscribe("a.b", mailbox=box, overflow="drop_oldest")
    async with anyio.create_task_group() as tasks:
        for number in range(2):
            tasks.start_soon(bus.request, "calc.add", number)
        await anyio.wait_all_tasks_blocked()
        assert await bus.publish("a.b", "x") == 0
        assert box.statistics().displaced == 0
        for _ in range(2):
            envelope = await box.take()
            assert envelope is not None
            assert envelope.reply is not None
            envelope.reply.answer(None)


async def test_a_publisher_waits_until_its_deadline_and_no_longer() -> None:
    """A subscriber that never returns: after the deadline its event is a dead letter, and the others have theirs."""
    bus = Bus()
    with anyio.fail_after(PATIENCE), bus.subscribe("a.b", capacity=1) as stuck, bus.subscribe("a.b") as good:
        await bus.publish("a.b", 1)
        assert await bus.publish("a.b", 2, deadline=0.01) == 1
        assert await waiting(good) == [1, 2]
        assert stuck.statistics().refused == 1
    assert "had no room for it within 0.01 s" in bus.dead_letters[0].reason


async def test_a_publisher_that_is_cancelled_leaves_nothing_half_done() -> None:
    """Who had room has the event, who had none does not, and no trace of the publisher is left in any mailbox."""
    bus = Bus()
    with bus.subscribe("a.b", capacity=1) as stuck, bus.subscribe("a.b") as good:
        await bus.publish("a.b", 1)
        with anyio.move_on_after(0.01):
            await bus.publish("a.b", 2)
        assert await waiting(good) == [1, 2]
        assert await waiting(stuck) == [1]
        assert stuck.mailbox.statistics().waiting == 0
    assert not bus.dead_letters


async def test_two_slow_subscribers_are_waited_for_at_the_same_time() -> None:
    """A publisher stands in both lines; whoever has room first gets the event first."""
    bus = Bus()
    with anyio.fail_after(PATIENCE), bus.subscribe("a.b", capacity=1) as one, bus.subscribe("a.b", capacity=1) as two:
        await bus.publish("a.b", 1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bus.publish, "a.b", 2)
            await anyio.wait_all_tasks_blocked()
            assert [(await anext(two)).value, (await anext(two)).value] == [1, 2]
            assert one.mailbox.statistics().waiting == 1
            assert [(await anext(one)).value, (await anext(one)).value] == [1, 2]


# -- groups


async def test_one_of_a_group_gets_each_event() -> None:
    """Of several subscriptions of one group each event goes to one; others, and other groups, get all."""
    bus = Bus()
    with (
        bus.subscribe("jobs.*", group="workers") as one,
        bus.subscribe("jobs.*", group="workers") as two,
        bus.subscribe("jobs.*", group="auditors") as audit,
        bus.subscribe("jobs.*") as all_of_them,
    ):
        assert {await bus.publish("jobs.new", number) for number in range(10)} == {3}
        first, second = await waiting(one), await waiting(two)
        assert sorted([*first, *second], key=str) == list(range(10))
        assert len(first) == len(second) == 5
        assert await waiting(audit) == await waiting(all_of_them) == list(range(10))


async def test_a_busy_member_of_a_group_is_passed_over() -> None:
    """The one with the least to do gets the next event."""
    bus = Bus()
    with bus.subscribe("jobs.a", group="workers") as idle, bus.subscribe("jobs.*", group="workers") as busy:
        for number in range(3):
            await bus.publish("jobs.b", number)
        for number in range(3):
            await bus.publish("jobs.a", number)
        assert (idle.statistics().delivered, busy.statistics().delivered) == (3, 3)


# -- priorities


async def test_what_is_urgent_comes_first() -> None:
    """The host's own events and what is sent as control are taken before data, each in its order."""
    bus = Bus()
    with bus.subscribe("**") as events:
        await bus.publish("a.b", 1)
        await bus.publish("sys.actor.trapped", 2)
        await bus.publish("a.b", 3)
        await bus.publish("a.b", 4, priority=Priority.CONTROL)
        assert await waiting(events) == [2, 4, 1, 3]


async def test_a_flood_of_data_does_not_keep_control_out() -> None:
    """Control has room of its own; and is bounded, too."""
    box = Mailbox("receiver", 1)
    assert box.accept(Envelope(1, "a.b", b"", APP, None))
    urgent = Envelope(2, "a.b", b"", APP, None, priority=Priority.CONTROL)
    assert all(box.accept(urgent) for _ in range(CONTROL_CAPACITY))
    assert not box.accept(urgent)


# -- retained values


async def test_late_subscribers_get_the_retained_value() -> None:
    """The last retained value of each subject that matches comes first, in the order of publishing, until it is forgotten."""
    bus = Bus()
    for subject, value in (("room.b", 1), ("room.a", 2), ("room.b", 3), ("other", 4)):
        await bus.publish(subject, value, retain=True)
    await bus.publish("room.c", 5)
    with bus.subscribe("room.*") as late:
        await bus.publish("room.a", 6)
        assert await waiting(late) == [2, 3, 6]
    bus.forget("room.a")
    with bus.subscribe("room.*") as later:
        assert await waiting(later) == [3]
    assert [each.subject for each in bus.subjects() if each.retained] == ["other", "room.b"]


async def test_retained_values_are_bounded() -> None:
    """In number and in bytes; one more is `Overloaded`, is not published, and those that are there stay."""
    bus = Bus()
    for number in range(RETAINED_KEPT):
        await bus.publish(f"n{number}", number, retain=True)
    with bus.subscribe("**", capacity=2 * RETAINED_KEPT) as events:
        with pytest.raises(Overloaded, match="cannot be retained"):
            await bus.publish("one.more", 1, retain=True)
        assert len(await waiting(events)) == RETAINED_KEPT
    await bus.publish("n1", "again", retain=True)


async def test_retained_values_are_bounded_in_bytes() -> None:
    """Sixteen values of a million bytes are kept, a seventeenth is refused, and replacing one is not one more."""
    bus = Bus()
    for number in range(16):
        await bus.publish(f"n{number}", bytes(1_000_000), retain=True)
    with pytest.raises(Overloaded, match="cannot be retained"):
        await bus.publish("one.more", bytes(1_000_000), retain=True)
    await bus.publish("n3", bytes(1_000_000), retain=True)


async def test_the_table_of_subjects_is_bounded() -> None:
    """A million subjects cost no memory that stays; retained values and routes survive the forgetting."""
    bus = Bus()
    await bus.publish("kept", 1, retain=True)
    with bus.subscribe("n.*", overflow="drop_newest", capacity=1) as events:
        for number in range(3 * SUBJECTS_KEPT):
            await bus.publish(f"n.s{number}", None)
        assert len(bus.subjects()) <= SUBJECTS_KEPT
        assert events.statistics().delivered + events.statistics().dropped == 3 * SUBJECTS_KEPT
    with bus.subscribe("kept") as late:
        assert await waiting(late) == [1]


# -- patterns

words = st.sampled_from(["a", "b", "c"])
subjects = st.lists(words, min_size=1, max_size=4).map(".".join)
patterns = st.tuples(st.lists(st.one_of(words, st.just("*")), min_size=0, max_size=4), st.booleans()).map(
    lambda made: ".".join([*made[0], *(["**"] if made[1] or not made[0] else [])])
)


@given(st.lists(patterns, max_size=12), st.lists(subjects, max_size=6), st.sets(st.integers(0, 11)))
def test_the_index_finds_what_each_pattern_matches(known: list[str], asked: list[str], removed: set[int]) -> None:
    """It finds exactly those that match when asked one by one, also after some were removed."""
    index = PatternIndex[int]()
    for number, pattern in enumerate(known):
        index.add(Pattern(pattern), number)
    for number in removed:
        if number < len(known):
            index.remove(Pattern(known[number]), number)
    for subject in asked:
        expected = [n for n, pattern in enumerate(known) if n not in removed and matches(pattern, subject)]
        assert sorted(index.find(subject)) == expected


def test_an_empty_index_keeps_nothing() -> None:
    """What was removed leaves no branches behind."""
    index = PatternIndex[int]()
    for number in range(100):
        index.add(Pattern(f"a.b{number}.*"), number)
        index.remove(Pattern(f"a.b{number}.*"), number)
    assert index.find("a.b1.c") == []
    assert not index._root.below  # pyright: ignore[reportPrivateUsage]


async def test_a_pattern_bomb_is_only_many_patterns() -> None:
    """All 4,096 patterns of twelve words that are `a` or `*` match one subject; an event comes once through each."""
    bus = Bus()
    box = Mailbox("all", 5_000)
    for number in range(1 << 12):
        bus.subscribe(".".join("*" if number >> bit & 1 else "a" for bit in range(12)), mailbox=box)
    assert await bus.publish(".".join("a" * 12), 1) == 1, "one mailbox gets it once"


# -- dead letters and loops


async def test_a_subscriber_that_raises_ends_nothing() -> None:
    """`each`: the event it failed on is a dead letter with the error, and the next one is handled."""
    bus = Bus()
    seen: list[object] = []

    def handle(event: Event) -> None:
        seen.append(event.value)
        if event.value == 1:
            raise LookupError("no such thing")

    with bus.subscribe("a.b") as events:
        for number in range(3):
            await bus.publish("a.b", number)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(events.each, handle)
            while len(seen) < 3:
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
    assert seen == [0, 1, 2]
    (letter,) = bus.dead_letters
    assert (letter.cause, letter.reason) == (Cause.FAILED, "failed: LookupError: no such thing")
    assert "no such thing" in repr(letter)


async def test_a_subscriber_may_leave_while_it_handles() -> None:
    """It gets no further event, its iteration ends, and the publisher does not notice."""
    bus = Bus()
    events = bus.subscribe("a.b")
    for number in range(3):
        await bus.publish("a.b", number)
    seen: list[object] = []
    async for event in events:
        seen.append(event.value)
        with events:
            pass  # leaving it twice is no error, either
    assert seen == [0]
    assert await bus.publish("a.b", 3) == 0


async def test_a_subscriber_that_answers_itself_ends() -> None:
    """A loop of events that belong together (`event.onward`) ends after `MAX_HOPS` with `TooManyHops`."""
    bus = Bus()
    with bus.subscribe("a.b") as events:
        await bus.publish("a.b", 0)
        for number in range(MAX_HOPS):
            event = await anext(events)
            await bus.publish("a.b", number + 1, origin=event.onward)
        last = await anext(events)
        assert last.value == MAX_HOPS
        with pytest.raises(TooManyHops):
            await bus.publish("a.b", 0, origin=last.onward)


# -- the end


@pytest.fixture
def bus() -> Bus:
    return Bus()


async def test_drain_lets_everything_be_handled(bus: Bus) -> None:
    """What is in mailboxes is handled, what that causes is carried out, new messages are refused, and iteration ends."""
    seen: list[object] = []

    async def handle(events: Subscription) -> None:
        async for event in events:
            await anyio.sleep(0.001)
            seen.append(event.value)
            if event.subject == "a.first":
                await bus.publish("a.second", event.value, origin=event.onward)

    with anyio.fail_after(PATIENCE), bus.subscribe("a.*") as events:
        for number in range(5):
            await bus.publish("a.first", number)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(handle, events)
            report = await bus.drain()
    assert sorted(map(str, seen)) == sorted("0011223344")
    assert (report.left, report.unfinished) == ((), ())
    for act in (lambda: bus.publish("a.b", 1), lambda: bus.request("a.b")):
        with pytest.raises(BusClosed, match="is shut down"):
            await act()
    with pytest.raises(BusClosed):
        bus.subscribe("a.b")


async def test_drain_reports_what_was_left(bus: Bus) -> None:
    """After the deadline: the messages nobody took are dead letters and in the report, with who was still at work."""
    release = anyio.Event()

    async def dawdle(event: Event) -> None:
        await release.wait()

    with anyio.fail_after(PATIENCE), bus.subscribe("a.b") as events:
        for number in range(3):
            await bus.publish("a.b", number)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(events.each, dawdle)
            await anyio.wait_all_tasks_blocked()
            report = await bus.drain(0.05)
            release.set()
    assert [letter.cause for letter in report.left] == [Cause.STOPPED] * 2
    assert report.unfinished == ("subscriber of a.b",)
    assert "left: 2 messages (subscriber of a.b: 2); still at work: subscriber of a.b" in str(report)
    assert tuple(bus.dead_letters) == report.left


# -- watching


async def test_a_tap_sees_everything_and_loses_the_oldest(bus: Bus) -> None:
    """Publications, requests, answers, failures and dead letters; beyond its capacity the oldest are gone, and counted."""

    def answer(number: int) -> int:
        if number < 0:
            raise LookupError("negative")
        return -number

    bus.respond("calc.negate", answer)
    with bus.tap() as all_of_it, bus.tap("a.*", capacity=2) as some:
        with bus.subscribe("a.b", capacity=1, overflow="refuse"):
            for number in range(2):
                await bus.publish("a.b", number)
        await bus.request("calc.negate", 7)
        with pytest.raises(Exception, match="negative"):
            await bus.request("calc.negate", -7)
        assert list(map(str, all_of_it.sights())) == [
            "event 1 a.b 0 from the app",
            "event 2 a.b 1 from the app",
            "dead letter to event 2 a.b 1 from the app: refused it: its mailbox is full",
            "request 3 calc.negate (7) from the app",
            "answer to request 3 calc.negate (7) from the app: -7",
            "request 4 calc.negate (-7) from the app",
            "failure to request 4 calc.negate (-7) from the app: ResponderFailed: calc.negate failed: LookupError: negative",
        ]
        assert some.missed == 1
        assert str(await anext(some)).startswith("event 2")
        some.sights()
    await bus.publish("a.b", 3)
    assert all_of_it.sights() == []
    with pytest.raises(StopAsyncIteration):
        await anext(some)


async def test_a_tap_is_waited_on_until_it_is_closed(bus: Bus) -> None:
    """`async for` over a tap waits for sights and ends when it is closed."""
    tap = bus.tap()
    seen: list[str] = []

    async def watch() -> None:
        seen.extend([sight.envelope.subject async for sight in tap])

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await anyio.wait_all_tasks_blocked()
            await bus.publish("a.b", 1)
            await anyio.wait_all_tasks_blocked()
            tap.close()
    assert seen == ["a.b"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Envelope(7, "a.b", b"\xa1axI\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7", APP, None), "bytes"),
        (lambda: Envelope(7, "a.b", b"\x01", Origin("echo"), None, attempt=2), "1 from echo, attempt 2"),
        (lambda: Envelope(7, "a.b", bytes(1_000), APP, None), "1,000 bytes"),
    ],
    ids=["garbage", "retried", "large"],
)
def test_an_envelope_says_what_is_in_it(make: Callable[[], Envelope], said: str) -> None:
    """Its `repr` has id, subject, value and sender; large payloads only their size, and what cannot be read as bytes."""
    text = repr(make())
    assert text.startswith("<event 7 a.b ")
    assert said in text or "b'" in text
    assert len(text) < 400
