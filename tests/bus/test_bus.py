"""The bus: events to all who listen, requests to the one who answers, and an end to every wait."""

import asyncio
import time
from collections.abc import Callable
from operator import attrgetter

import anyio
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from desk.bus import codec
from desk.bus.bus import Bus
from desk.bus.codec import CodecError
from desk.bus.dead_letters import DEAD_BYTES_KEPT, DEAD_LETTERS_KEPT
from desk.bus.envelope import APP, MAX_HOPS, Envelope, Origin, Reply
from desk.bus.errors import DeadlineExceeded, NoReceiver, TooManyHops, Unavailable
from desk.bus.mailbox import Mailbox
from desk.bus.statistics import BusStatistics
from desk.bus.subjects import SubjectError
from desk.bus.types import I32, STRING, InvalidValue, Signature
from desk.traces import names
from desk.traces.context import parse_traceparent
from desk.traces.recorder import SpanRecorder, record_in_memory

pytestmark = pytest.mark.anyio

PATIENCE = 10.0
"""Seconds after which a test that hangs fails. Nothing here takes that long."""

ADD = Signature((I32, I32), result=I32)
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def answer(mailbox: Mailbox, how: Callable[[Envelope], object]) -> None:
    """Take requests until the box closes, and settle each with what `how` returns or raises."""
    while True:
        try:
            envelope = await mailbox.take()
        except Unavailable:
            return
        assert envelope.reply is not None
        try:
            result = how(envelope)
        except Exception as error:
            envelope.reply.fail(error)
        else:
            envelope.reply.answer(result)


def added(envelope: Envelope) -> int:
    first, second = envelope.payload
    assert isinstance(first, int)
    assert isinstance(second, int)
    return first + second


# -- events


async def test_an_event_goes_to_all_who_listen_and_to_nobody_else() -> None:
    """`publish` returns how many took it; each subscriber sees the subject, the value and the sender."""
    bus = Bus()
    with bus.subscribe("weather.*") as one, bus.subscribe("weather.changed") as two, bus.subscribe("news.**") as other:
        assert await bus.publish("weather.changed", {"celsius": 21}) == 2
        for subscription in (one, two):
            event = await anext(subscription)
            assert (event.id, event.subject, event.value, event.sender) == (1, "weather.changed", {"celsius": 21}, "")
            assert repr(event) == "<Event 1 weather.changed from the app: {'celsius': 21}>"
        assert other.mailbox.statistics().accepted == 0


async def test_nobody_need_listen() -> None:
    """An event without subscribers is published to nobody, and that is no error."""
    bus = Bus()
    assert await bus.publish("weather.changed", None) == 0
    assert bus.statistics() == BusStatistics(1, 0, 0, 0, 0, 0)


async def test_an_event_is_encoded_once_for_all() -> None:
    """All subscribers share one envelope with one payload, which is one CBOR item."""
    bus = Bus()
    subscriptions = [bus.subscribe("a.**") for _ in range(3)]
    await bus.publish("a.b", ["x", 1.5])
    envelopes = [await subscription.mailbox.take() for subscription in subscriptions]
    assert all(envelope is envelopes[0] for envelope in envelopes)
    assert envelopes[0].payload == codec.encode(["x", 1.5])
    assert envelopes[0].reply is None


async def test_one_mailbox_gets_an_event_once() -> None:
    """Two patterns of one subscriber that match the same subject do not make two events of it."""
    bus = Bus()
    mailbox = Mailbox("both")
    bus.subscribe("weather.*", mailbox=mailbox)
    narrow = bus.subscribe("weather.changed", mailbox=mailbox)
    assert await bus.publish("weather.changed", 1) == 1
    assert await bus.publish("weather.other", 2) == 1
    narrow.cancel()
    assert await bus.publish("weather.changed", 3) == 1
    assert [codec.decode(_bytes(await mailbox.take())) for _ in range(3)] == [1, 2, 3]


def _bytes(envelope: Envelope) -> bytes:
    assert isinstance(envelope.payload, bytes)
    return envelope.payload


async def test_events_keep_their_order() -> None:
    """What one publisher sends one after the other arrives so, whatever the subjects; ids rise on the way."""
    bus = Bus()
    with bus.subscribe("**") as events:
        for number in range(10):
            await bus.publish(f"a.n{number % 3}", number)
        seen = [await anext(events) for _ in range(10)]
    assert [event.value for event in seen] == list(range(10))
    assert [event.id for event in seen] == sorted({event.id for event in seen})


@pytest.mark.parametrize("subject", ["", "A.b", "a..b", "a.*", "**", "a b", "a\n", "x" * 256])
async def test_what_is_no_subject_is_refused(subject: str) -> None:
    """`SubjectError`, before anyone sees anything; a pattern is no subject."""
    bus = Bus()
    with bus.subscribe("**") as events:
        with pytest.raises(SubjectError):
            await bus.publish(subject, 1)
        with pytest.raises(SubjectError):
            await bus.request(subject)
        with pytest.raises(SubjectError):
            bus.serve(subject, ADD, Mailbox("x"))
        assert events.mailbox.statistics().accepted == 0
    with pytest.raises(SubjectError):
        bus.subscribe("a.**.b")


async def test_a_value_without_a_form_is_refused() -> None:
    """`CodecError`, before anyone sees anything."""
    bus = Bus()
    with bus.subscribe("**") as events:
        with pytest.raises(CodecError):
            await bus.publish("a.b", {1: "a key that is not text"})
        assert events.mailbox.statistics().accepted == 0
    assert bus.statistics().published == 0


async def test_a_full_subscriber_slows_its_publisher() -> None:
    """`publish` waits for room in the slowest mailbox, and goes on when something is taken; the others have the event."""
    bus = Bus()
    published: list[int] = []

    async def publish() -> None:
        for number in range(4):
            receivers = await bus.publish("a.b", number)
            published.append(receivers)

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            with bus.subscribe("a.b", capacity=2) as slow, bus.subscribe("a.b") as fast:
                tasks.start_soon(publish)
                await anyio.wait_all_tasks_blocked()
                assert published == [2, 2]
                assert (slow.mailbox.statistics().waiting, fast.mailbox.statistics().queued) == (1, 3)
                assert [(await anext(slow)).value for _ in range(4)] == [0, 1, 2, 3]
    assert published == [2, 2, 2, 2]


async def test_a_subscriber_that_leaves_lets_its_publisher_go_on() -> None:
    """Whoever waits for room there delivers to the others, and does not count the one who left."""
    bus = Bus()
    received: list[int] = []

    async def publish() -> None:
        received.append(await bus.publish("a.b", "second"))

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            leaving, other = bus.subscribe("a.b", capacity=1), bus.subscribe("a.*")
            async with leaving:
                await bus.publish("a.b", "first")
                tasks.start_soon(publish)
                await anyio.wait_all_tasks_blocked()
                assert leaving.mailbox.statistics().waiting == 1
                assert received == []
    assert received == [1]
    assert [(await anext(other)).value for _ in range(2)] == ["first", "second"]
    assert bus.statistics().subscriptions == 1


async def test_a_subscriber_that_left_gets_nothing_more() -> None:
    """After `cancel`, which may be called again, nothing arrives; what had arrived can still be taken."""
    bus = Bus()
    subscription = bus.subscribe("a.b")
    assert await bus.publish("a.b", 1) == 1
    subscription.cancel()
    subscription.cancel()
    assert await bus.publish("a.b", 2) == 0
    assert (await anext(subscription)).value == 1
    assert bus.statistics().subscriptions == 0


async def test_a_subscriber_that_left_gets_nothing_that_was_under_way_either() -> None:
    """Closed while a publisher waits for its room, and another's: the event does not come after that."""
    bus = Bus()
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            with bus.subscribe("a.b", capacity=1) as slow:
                with bus.subscribe("a.b", capacity=1) as leaving:
                    await bus.publish("a.b", 1)
                    tasks.start_soon(bus.publish, "a.b", 2)
                    await anyio.wait_all_tasks_blocked()
                assert [(await anext(slow)).value for _ in range(2)] == [1, 2]
                await anyio.wait_all_tasks_blocked()
    assert leaving.mailbox.statistics().accepted == 1


async def test_iteration_ends_when_the_subscription_is_closed() -> None:
    """`async for` in one task ends when another leaves the `with`: waiting or not, without an error."""
    bus = Bus()
    seen: list[object] = []

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            with bus.subscribe("a.b") as events:

                async def listen() -> None:
                    seen.extend([event.value async for event in events])
                    seen.append("end")

                tasks.start_soon(listen)
                await bus.publish("a.b", 1)
                await anyio.wait_all_tasks_blocked()
    assert seen == [1, "end"]


async def test_a_subscriber_may_leave_in_the_middle() -> None:
    """`break` inside the iteration leaves; the bus forgets the subscription and what it had queued."""
    bus = Bus()
    async with bus.subscribe("a.b") as events:
        for number in range(3):
            await bus.publish("a.b", number)
        async for event in events:
            assert event.value == 0
            break
    assert await bus.publish("a.b", 3) == 0
    with pytest.raises(StopAsyncIteration):
        await anext(events)


async def test_one_may_subscribe_while_another_event_is_under_way() -> None:
    """A new subscriber hears what is published from then on, also on a subject that was published before."""
    bus = Bus()
    assert await bus.publish("a.b", 1) == 0
    with bus.subscribe("a.b") as events:
        assert await bus.publish("a.b", 2) == 1
        assert (await anext(events)).value == 2


# -- requests


async def test_a_request_is_answered() -> None:
    """The arguments arrive lowered by the declared signature, and the result is what was answered."""
    bus = Bus()
    mailbox = Mailbox("calculator")
    bus.serve("ext.calc.add", ADD, mailbox)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer, mailbox, added)
            assert await bus.request("ext.calc.add", 40, 2) == 42
            assert await bus.request("ext.calc.add", 40, 3, deadline=None) == 43
            mailbox.close()
    assert bus.statistics() == BusStatistics(0, 2, 2, 0, 0, 1)


async def test_payload_arguments_are_encoded_once_by_the_sender() -> None:
    """A text arrives as its UTF-8, a number as it is."""
    bus = Bus()
    mailbox = Mailbox("greeter")
    bus.serve("ext.greeter.greet", Signature((STRING, I32)), mailbox)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer, mailbox, attrgetter("payload"))
            assert await bus.request("ext.greeter.greet", "Zoë", 7) == ("Zoë".encode(), 7)
            mailbox.close()


@pytest.mark.parametrize(("arguments", "path"), [((1,), "params"), ((1, "2"), "params[1]"), ((True, 1), "params[0]")])
async def test_a_wrong_argument_is_the_callers_doing(arguments: tuple[object, ...], path: str) -> None:
    """`InvalidValue` names it and whose argument it is, and the receiver is not asked."""
    bus = Bus()
    mailbox = Mailbox("calculator")
    bus.serve("ext.calc.add", ADD, mailbox)
    with pytest.raises(InvalidValue) as caught:
        await bus.request("ext.calc.add", *arguments)
    assert str(caught.value).startswith(f"calc.add: {path}: expected ")
    assert caught.value.path == path
    assert mailbox.statistics().accepted == 0


async def test_the_receivers_own_error_reaches_the_caller() -> None:
    """What the receiver fails with is raised, the very same object."""
    bus = Bus()
    mailbox = Mailbox("calculator")
    bus.serve("ext.calc.add", ADD, mailbox)
    mine = ZeroDivisionError("mine")

    def fail(_: Envelope) -> object:
        raise mine

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer, mailbox, fail)
            with pytest.raises(ZeroDivisionError) as caught:
                await bus.request("ext.calc.add", 1, 2)
            mailbox.close()
    assert caught.value is mine


@pytest.mark.parametrize("deadline", [None, 60.0])
async def test_the_receivers_own_timeout_is_not_the_deadlines(deadline: float | None) -> None:
    """A `TimeoutError` that the receiver failed with is raised as it is: the deadline had not passed."""
    bus = Bus()
    mailbox = Mailbox("calculator")
    bus.serve("ext.calc.add", ADD, mailbox)

    def fail(_: Envelope) -> object:
        raise TimeoutError("the receiver's own")

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer, mailbox, fail)
            with pytest.raises(TimeoutError, match="the receiver's own"):
                await bus.request("ext.calc.add", 1, 2, deadline=deadline)
            mailbox.close()


async def test_nobody_there_and_nobody_there_any_more_are_two_errors() -> None:
    """`NoReceiver` for a subject that nobody ever answered, `Unavailable` for one whose receiver has stopped."""
    bus = Bus()
    with pytest.raises(NoReceiver, match=r"nobody answers ext\.calc\.add"):
        await bus.request("ext.calc.add", 1, 2)
    mailbox = Mailbox("calculator")
    service = bus.serve("ext.calc.add", ADD, mailbox)
    assert bus.service("ext.calc.add") is service
    mailbox.close()
    with pytest.raises(Unavailable, match="calculator has been stopped"):
        await bus.request("ext.calc.add", 1, 2)
    bus.withdraw(service)
    bus.withdraw(service)
    with pytest.raises(Unavailable, match=r"calculator has been stopped, and answers ext\.calc\.add no more"):
        await bus.request("ext.calc.add", 1, 2)


async def test_one_subject_has_one_who_answers() -> None:
    """A second `serve` is refused with the name of the first; an old service cannot withdraw its successor."""
    bus = Bus()
    first = bus.serve("ext.calc.add", ADD, Mailbox("first"))
    with pytest.raises(ValueError, match="answered by first already"):
        bus.serve("ext.calc.add", ADD, Mailbox("second"))
    bus.withdraw(first)
    second = bus.serve("ext.calc.add", ADD, Mailbox("second"))
    bus.withdraw(first)
    assert bus.service("ext.calc.add") is second


async def test_a_receiver_that_stops_tells_those_who_wait_for_room() -> None:
    """A request that was waiting to be accepted gets `Unavailable`, one that was accepted what `bury` says."""
    bus = Bus()
    mailbox = Mailbox("calculator", 1)
    bus.serve("ext.calc.add", ADD, mailbox)
    outcomes: list[str] = []

    async def ask() -> None:
        try:
            await bus.request("ext.calc.add", 1, 2)
        except Unavailable as error:
            outcomes.append(str(error))

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(ask)
                await anyio.wait_all_tasks_blocked()
            for envelope in mailbox.close():
                bus.bury(envelope, "calculator", "was stopped before it took the message")
    assert sorted(outcomes) == ["calculator has been stopped", "calculator was stopped before it took the message"]
    assert bus.statistics().dead == 0


async def test_an_answer_counts_though_the_receiver_stops_right_after() -> None:
    """A request that waited for room, was accepted, taken and answered gets its answer, even if the box closes then."""
    bus = Bus()
    mailbox = Mailbox("calculator", 1)
    bus.serve("ext.calc.add", ADD, mailbox)
    answers: list[object] = []

    async def ask(first: int) -> None:
        answers.append(await bus.request("ext.calc.add", first, 0))

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            for first in (1, 2):
                tasks.start_soon(ask, first)
                await anyio.wait_all_tasks_blocked()
            for _ in range(2):
                envelope = await mailbox.take()
                assert envelope.reply is not None
                assert envelope.reply.answer(added(envelope))
            mailbox.close()
    assert sorted(map(str, answers)) == ["1", "2"]


# -- an end to every wait


async def test_without_an_answer_in_time_the_deadline_ends_the_wait() -> None:
    """`DeadlineExceeded`; the envelope stays with the receiver, whose late answer is refused without an error."""
    bus = Bus()
    mailbox = Mailbox("sleeper")
    bus.serve("ext.sleeper.sleep", Signature(()), mailbox)
    with pytest.raises(DeadlineExceeded, match=r"no answer from ext\.sleeper\.sleep within 0\.01 s"):
        await bus.request("ext.sleeper.sleep", deadline=0.01)
    envelope = await mailbox.take()
    assert envelope.reply is not None
    assert envelope.reply.settled
    assert not envelope.reply.answer("late")
    assert not envelope.reply.fail(ValueError("late"))


async def test_the_deadline_counts_the_wait_for_room_as_well() -> None:
    """A request that was never accepted ends in time, too, and is not delivered later."""
    bus = Bus()
    mailbox = Mailbox("sleeper", 1)
    bus.serve("ext.sleeper.sleep", Signature(()), mailbox)
    await mailbox.put(Envelope(0, "a.b", b"", APP, None))
    with pytest.raises(DeadlineExceeded):
        await bus.request("ext.sleeper.sleep", deadline=0.01)
    assert mailbox.statistics().accepted == 1
    assert mailbox.statistics().waiting == 0
    assert bus.statistics().delivered == 0


async def test_a_request_inherits_the_narrower_deadline() -> None:
    """Of the request's own deadline and the one of the message that caused it, the earlier holds, and travels on."""
    bus = Bus()
    mailbox = Mailbox("sleeper")
    bus.serve("ext.sleeper.sleep", Signature(()), mailbox)
    soon, late = time.monotonic() + 0.01, time.monotonic() + 1_000
    for deadline in (None, 1_000.0):
        with anyio.fail_after(PATIENCE):
            with pytest.raises(DeadlineExceeded):
                await bus.request("ext.sleeper.sleep", deadline=deadline, origin=Origin(deadline=soon))
        assert (await mailbox.take()).deadline == soon
    with pytest.raises(DeadlineExceeded):
        await bus.request("ext.sleeper.sleep", deadline=0.01, origin=Origin(deadline=late))
    passed_on = (await mailbox.take()).deadline
    assert passed_on is not None
    assert passed_on < late


@pytest.mark.parametrize("deadline", [None, 1_000.0])
async def test_an_exceeded_deadline_names_the_time_that_was_given(deadline: float | None) -> None:
    """If the origin's deadline was the narrower one, the message does not name another time, or none."""
    bus = Bus()
    bus.serve("ext.sleeper.sleep", Signature(()), Mailbox("sleeper"))
    with anyio.fail_after(PATIENCE), pytest.raises(DeadlineExceeded) as caught:
        await bus.request("ext.sleeper.sleep", deadline=deadline, origin=Origin(deadline=time.monotonic() + 0.02))
    assert "within 0 s" not in str(caught.value)
    assert "within 1000 s" not in str(caught.value)


@pytest.mark.parametrize("passed", [0.0, 0.001])
async def test_a_deadline_that_has_passed_ends_the_request_at_once(passed: float) -> None:
    """Also at the very beginning of the clock: no deadline is None, not zero."""
    bus = Bus()
    mailbox = Mailbox("sleeper")
    bus.serve("ext.sleeper.sleep", Signature(()), mailbox)
    with anyio.fail_after(1.0), pytest.raises(DeadlineExceeded):
        await bus.request("ext.sleeper.sleep", deadline=1_000.0, origin=Origin(deadline=passed))


async def test_a_cancelled_requester_abandons_its_answer() -> None:
    """The receiver still has the message and is not disturbed; its answer is refused, and burying it is a dead letter."""
    bus = Bus()
    mailbox = Mailbox("sleeper")
    bus.serve("ext.sleeper.sleep", Signature(()), mailbox)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bus.request, "ext.sleeper.sleep")
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    envelope = await mailbox.take()
    assert envelope.reply is not None
    assert not envelope.reply.answer("late")
    bus.bury(envelope, "sleeper", "woke up too late")
    assert [letter.reason for letter in bus.dead_letters] == ["woke up too late"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_requester_cancelled_the_moment_it_is_accepted_abandons_its_answer() -> None:
    """asyncio can cancel a task that is about to wake up: then, too, the answer is refused, and the letter not lost."""
    bus = Bus()
    mailbox = Mailbox("sleeper", 1)
    bus.serve("ext.sleeper.sleep", Signature(()), mailbox)
    await mailbox.put(Envelope(0, "a.b", b"", APP, None))
    requester = asyncio.ensure_future(bus.request("ext.sleeper.sleep"))
    await anyio.wait_all_tasks_blocked()
    await mailbox.take()  # now there is room, and the request is accepted
    requester.cancel()
    with pytest.raises(asyncio.CancelledError):
        await requester
    envelope = await mailbox.take()
    assert envelope.reply is not None
    assert envelope.reply.settled
    bus.bury(envelope, "sleeper", "was stopped")
    assert bus.statistics().dead == 1


async def test_a_reply_is_settled_once() -> None:
    """The first answer or failure counts, whoever waits by then; all later ones are refused."""
    reply = Reply()
    assert reply.answer(1)
    assert not reply.answer(2)
    assert not reply.fail(ValueError())
    await reply.wait()
    assert reply.result() == 1
    failed = Reply()
    assert failed.fail(ValueError("first"))
    with pytest.raises(ValueError, match="first"):
        failed.result()


async def test_a_message_that_descends_from_too_many_is_refused() -> None:
    """`MAX_HOPS` are fine, one more is `TooManyHops`, for events and requests, and nobody gets it."""
    bus = Bus()
    mailbox = Mailbox("sleeper")
    bus.serve("ext.sleeper.sleep", Signature(()), mailbox)
    last, beyond = Origin("a", hops=MAX_HOPS), Origin("a", hops=MAX_HOPS + 1)
    with bus.subscribe("**") as events:
        assert await bus.publish("a.b", 1, origin=last) == 1
        with pytest.raises(TooManyHops, match=r"a message to a\.b would be the 9th .*last sender is a\)"):
            await bus.publish("a.b", 1, origin=beyond)
        with pytest.raises(TooManyHops):
            await bus.request("ext.sleeper.sleep", origin=beyond)
        with pytest.raises(DeadlineExceeded):
            await bus.request("ext.sleeper.sleep", origin=last, deadline=0)
        assert events.mailbox.statistics().accepted == 1
    assert mailbox.statistics().accepted == 1


# -- letters nobody could take


async def test_what_nobody_could_take_is_a_dead_letter() -> None:
    """A buried event is kept with its receiver and the reason, and counted."""
    bus = Bus()
    with bus.subscribe("a.b") as events:
        await bus.publish("a.b", 1)
        envelope = await events.mailbox.take()
    bus.bury(envelope, "listener", "failed: it was too much")
    letter = bus.dead_letters[0]
    assert (letter.envelope, letter.receiver, letter.reason) == (envelope, "listener", "failed: it was too much")
    assert bus.statistics().dead == 1


async def test_burying_a_request_tells_the_requester() -> None:
    """Who waits gets the error given, or `Unavailable` with the reason; then it is no dead letter."""
    bus = Bus()
    mailbox = Mailbox("sleeper")
    bus.serve("ext.sleeper.sleep", Signature(()), mailbox)
    caught: list[Exception] = []

    async def ask() -> None:
        try:
            await bus.request("ext.sleeper.sleep")
        except Exception as error:
            caught.append(error)

    mine = ValueError("mine")
    with anyio.fail_after(PATIENCE):
        for error in (None, mine):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                bus.bury(await mailbox.take(), "sleeper", "was stopped", error)
    assert isinstance(caught[0], Unavailable)
    assert str(caught[0]) == "sleeper was stopped"
    assert caught[1] is mine
    assert not bus.dead_letters


# -- what it says of itself


async def test_statistics_count_what_was_delivered_also_by_a_cancelled_publisher() -> None:
    """`delivered` counts each mailbox that took a message, though its publisher gave up at a later one."""
    bus = Bus()
    with anyio.fail_after(PATIENCE), bus.subscribe("a.b") as first, bus.subscribe("a.b", capacity=1):
        await bus.publish("a.b", 1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bus.publish, "a.b", 2)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert first.mailbox.statistics().accepted == 2
        assert bus.statistics().delivered == 3


async def test_it_says_what_it_is() -> None:
    """`repr` of a bus and of a subscription have what one wants to know first."""
    bus = Bus()
    bus.serve("ext.calc.add", ADD, Mailbox("calculator"))
    with bus.subscribe("weather.*", capacity=5) as events:
        await bus.publish("weather.changed", 1)
        assert repr(bus) == "<Bus: 1 subscriptions, 1 services, 1 published, 0 requested, 0 dead>"
        assert repr(events) == (
            "<Subscription weather.*, 1 delivered, 0 dropped, to "
            "<Mailbox subscriber of weather.*: 1 of 5, 1 bytes, 0 waiting, 1 accepted>>"
        )


# -- spans


def only(recorder: SpanRecorder, name: str) -> ReadableSpan:
    (span,) = [span for span in recorder.spans if span.name == name]
    return span


def parent_id(span: ReadableSpan) -> str | None:
    return None if span.parent is None else f"{span.parent.span_id:016x}"


def own_id(span: ReadableSpan) -> str:
    place = span.get_span_context()
    assert place is not None
    return f"{place.span_id:016x}"


async def test_a_publication_is_a_span_below_its_origins() -> None:
    """The producer span hangs below the origin's, carries id and receivers, and is the parent in the envelope."""
    tracing, recorder = record_in_memory()
    bus = Bus(tracing)
    with bus.subscribe("a.b") as events:
        await bus.publish("a.b", 1, origin=Origin("a", traceparent=PARENT))
        event = await anext(events)
    span = only(recorder, "publish a.b")
    assert span.kind is SpanKind.PRODUCER
    assert parent_id(span) == PARENT.split("-")[2]
    assert span.attributes is not None
    assert (span.attributes[names.MESSAGE_ID], span.attributes[names.RECEIVERS]) == (str(event.id), 1)
    place = parse_traceparent(event.traceparent or "")
    assert place is not None
    assert f"{place.span_id:016x}" == own_id(span)


async def test_a_request_is_a_span_below_its_origins() -> None:
    """The client span hangs below the origin's, is the parent in the envelope and in the origin that travels on."""
    tracing, recorder = record_in_memory()
    bus = Bus(tracing)
    mailbox = Mailbox("calculator")
    bus.serve("ext.calc.add", ADD, mailbox)
    seen: list[Envelope] = []

    def note(envelope: Envelope) -> int:
        seen.append(envelope)
        return 0

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer, mailbox, note)
            await bus.request("ext.calc.add", 1, 2, origin=Origin("a", ("a",), 1, PARENT))
            mailbox.close()
    span = only(recorder, "request ext.calc.add")
    assert (span.kind, parent_id(span), span.status.status_code) == (
        SpanKind.CLIENT,
        PARENT.split("-")[2],
        StatusCode.UNSET,
    )
    (envelope,) = seen
    assert envelope.traceparent != envelope.origin.traceparent == PARENT
    assert (envelope.traceparent or "").split("-")[2] == own_id(span)
    assert (envelope.origin.sender, envelope.origin.chain, envelope.origin.hops) == ("a", ("a",), 1)


async def test_the_apps_own_span_is_the_parent_where_there_is_no_other() -> None:
    """Without an origin, what the app publishes hangs below the app's current span."""
    tracing, recorder = record_in_memory()
    bus = Bus(tracing)
    with tracing.span(names.LOAD, "app"):
        await bus.publish("a.b", 1)
    assert parent_id(only(recorder, "publish a.b")) == own_id(only(recorder, "load app"))
    assert not trace.get_current_span().get_span_context().is_valid


async def test_an_unanswered_request_is_a_failed_span() -> None:
    """The span of a request that ran out of time is an error of that type; a cancelled one is marked, and no error."""
    tracing, recorder = record_in_memory()
    bus = Bus(tracing)
    bus.serve("ext.sleeper.sleep", Signature(()), Mailbox("sleeper"))
    with pytest.raises(DeadlineExceeded):
        await bus.request("ext.sleeper.sleep", deadline=0)
    (late,) = recorder.spans
    assert late.status.status_code is StatusCode.ERROR
    assert late.attributes is not None
    assert late.attributes[names.ERROR_TYPE] == "desk.DeadlineExceeded"
    recorder.clear()
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bus.request, "ext.sleeper.sleep")
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    (cancelled,) = recorder.spans
    assert cancelled.status.status_code is StatusCode.UNSET
    assert cancelled.attributes is not None
    assert cancelled.attributes[names.CANCELLED] is True


async def test_without_tracing_the_origins_trace_still_travels() -> None:
    """A bus that records nothing passes the traceparent on, so that a trace survives it."""
    bus = Bus()
    with bus.subscribe("a.b") as events:
        await bus.publish("a.b", 1, origin=Origin(traceparent=PARENT))
        assert (await anext(events)).traceparent == PARENT


async def test_dead_letters_are_bounded_in_number_and_in_bytes() -> None:
    """The oldest are forgotten, the newest kept, and all counted."""
    bus = Bus()
    small = [Envelope(number, "x", b"\xf6", Origin(), None) for number in range(DEAD_LETTERS_KEPT + 5)]
    for envelope in small:
        bus.bury(envelope, "nobody", "for the test")
    assert len(bus.dead_letters) == DEAD_LETTERS_KEPT
    assert bus.dead_letters[-1].envelope is small[-1]
    for number in range(40):
        bus.bury(Envelope(number, "x", bytes(1 << 20), Origin(), None), "nobody", "for the test")
    assert sum(letter.envelope.size for letter in bus.dead_letters) <= DEAD_BYTES_KEPT
    assert len(bus.dead_letters) == DEAD_BYTES_KEPT >> 20
    assert bus.statistics().dead == DEAD_LETTERS_KEPT + 45
