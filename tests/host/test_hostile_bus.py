"""Guests that attack others over the bus: cases 62 to 72 of the project's list of hostile cases, one test each.

The promise: the attacker is told a code (D), or its instance is stopped (K); the host is unharmed, and an extension beside it
that is asked all the time answers all the time. Where a guest has no way to say what the attack needs (it names no sender, no
request, no trace), the test shows where its bytes end up instead: in a payload, as a value that means nothing to the host.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from extensions import ECHO, relay
from ledger import Ledger
from toolbox import extension

from desk.actors.errors import BadReply, Killed, Refused
from desk.actors.limits import KIB, Limits
from desk.bus import codec
from desk.bus.dead_letters import Cause
from desk.bus.envelope import MAX_HOPS, Origin
from desk.bus.errors import DeadlineExceeded
from desk.capabilities.codes import Code
from desk.capabilities.provider import Use
from desk.host import Host
from desk.traces.context import parse_traceparent
from desk.traces.recorder import record_in_memory
from desk.traces.tracing import Tracing

pytestmark = pytest.mark.anyio

PATIENCE = 60.0
"""Seconds until a test that hangs fails."""

GOOD = extension(
    '(name: "good", api_version: "0.1", exports: {"answer": (params: [], ret: i32)})',
    '(func (export "answer") (result i32) (i32.const 42))',
)

FLOOD = extension(
    """(name: "flood", api_version: "0.1", exports: {"flood": (params: [i32], ret: i32), "code": (params: [], ret: i32)},
        publishes: {"news": bytes})""",
    """
    (global $code (mut i32) (i32.const 0))
    (func (export "flood") (param $left i32) (result i32) (local $sent i32)
      (loop
        (global.set $code (call $publish (i32.const 0) (i32.const 4) (i32.const 16) (i32.const 1003)))
        (if (i32.gt_s (global.get $code) (i32.const 0)) (then (local.set $sent (i32.add (local.get $sent) (i32.const 1)))))
        (br_if 0 (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
      (local.get $sent))
    (func (export "code") (result i32) (global.get $code))
    (data (i32.const 0) "news") (data (i32.const 16) "\\59\\03\\e8")
    """,
)
"""Publishes so many events of 1,003 bytes, and returns how many were taken. `code` is what it was told last."""


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One compile cache for all tests here."""
    return tmp_path_factory.mktemp("modules")


@asynccontextmanager
async def hosting(cache: Path, *attackers: bytes, **more: Any) -> AsyncGenerator[Host]:
    """A host with the attackers, who are granted all they ask for, and a good extension that always answers."""
    answers = 0
    more.setdefault("tracing", Tracing.off())

    async def ask() -> None:
        nonlocal answers
        while True:
            assert await host.call("good", "answer") == 42
            answers += 1
            await anyio.lowlevel.checkpoint()

    with anyio.fail_after(PATIENCE):
        async with Host(cache_dir=cache, **more) as host, anyio.create_task_group() as tasks:
            await host.load(GOOD)
            for attacker in attackers:
                await host.load(attacker, grants="requested")
            tasks.start_soon(ask)
            yield host
            before = answers
            while answers < before + 3:
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()


async def tell(host: Host, name: str, subject: str, value: object) -> int:
    """Have a relay publish; the number of receivers, or a negated code."""
    told = await host.call(name, "tell", subject, codec.encode(value))
    assert isinstance(told, int)
    return told


async def ask(host: Host, name: str, subject: str, *args: object) -> dict[str, Any]:
    """Have a relay request; its answer, which is `{ok}` or `{error}`."""
    raw = await host.call(name, "ask", subject, codec.encode(list(args)))
    assert isinstance(raw, bytes)
    answer: Any = codec.decode(raw)
    return answer


async def asked_code(host: Host, name: str, subject: str, *args: object) -> Code:
    """The code of the error that a relay's request is answered with."""
    return Code((await ask(host, name, subject, *args))["error"]["code"])


async def settled(host: Host, count: int, *names: str) -> None:
    """Return when these extensions have handled so many events, all together, and a moment later no more."""
    for _ in range(3):
        while sum([int(str(await host.call(name, "handled"))) for name in names]) < count:
            await anyio.lowlevel.checkpoint()
    assert sum([int(str(await host.call(name, "handled"))) for name in names]) == count


# -- floods


async def test_62_a_flood_is_bounded_by_what_one_message_may_send(cache: Path) -> None:
    """D: beyond `limits.sent` it is told `overloaded`, and publishes no more; its next message may send again."""
    async with hosting(cache, FLOOD, limits=Limits(sent=16 * KIB)) as host, host.subscribe("news") as news:
        for times in (1, 2):
            assert await host.call("flood", "flood", 100) == 16
            assert await host.call("flood", "code") == -Code.OVERLOADED
            assert news.mailbox.statistics().accepted == 16 * times


async def test_62_a_flood_waits_for_its_slowest_reader(cache: Path) -> None:
    """D, then K: nothing is buffered beyond the mailbox; who floods is told `overloaded` in time, or stopped if it goes on."""
    async with hosting(cache, FLOOD, limits=Limits(wall_ms=300)) as host, host.subscribe("news", capacity=5) as news:
        assert await host.call("flood", "flood", 6) == 5
        assert await host.call("flood", "code") == -Code.OVERLOADED
        with pytest.raises(Killed):
            await host.call("flood", "flood", 1_000_000)
        statistics = news.mailbox.statistics()
        assert (statistics.queued, statistics.queued_bytes, statistics.waiting) == (5, 5 * 1_003, 0)
        assert host.bus.dead_letters.total == 0


def stuck(overflow: str) -> bytes:
    """Listens to `news`, and never returns from it."""
    return extension(
        f"""(name: "stuck", api_version: "0.1", exports: {{"on_event": (params: [any])}},
            subscribes: {{"news": (export: "on_event", overflow: {overflow})}})""",
        '(func (export "on_event") (param i32 i32) (loop (br 0)))',
    )


STUCK = Limits(wall_ms=400, mailbox=2)


async def failures(host: Host, name: str, count: int) -> None:
    """Return when so many turns of an extension have failed."""
    while not any(each.name == name and each.statistics.failed == count for each in host.extensions()):  # noqa: ASYNC110
        await anyio.sleep(0.01)


async def test_63_a_subscriber_that_never_returns_is_stopped_for_each_event(cache: Path) -> None:
    """K, each time: its publisher waits for room and no longer than it says; what was not handled is a dead letter."""
    async with hosting(cache, stuck("wait"), limits=STUCK) as host, host.subscribe("news") as news:
        assert [await host.bus.publish("news", number, deadline=0.01) for number in range(5)] == [2, 2, 2, 1, 1]
        assert news.mailbox.queued == 5, "others have all of it"
        assert [letter.cause for letter in host.bus.dead_letters] == [Cause.FULL] * 2
        await failures(host, "stuck", 3)
        reasons = [letter.reason for letter in host.bus.dead_letters if letter.cause is Cause.FAILED]
        assert len(reasons) == 3
        assert all("stuck.on_event: killed" in reason for reason in reasons), reasons


async def test_63_a_subscriber_that_never_returns_loses_the_oldest_if_it_says_so(cache: Path) -> None:
    """With `drop_oldest` in its manifest nobody waits for it; what it loses is counted, and it gets the latest."""
    async with hosting(cache, stuck("drop_oldest"), limits=STUCK) as host:
        with anyio.fail_after(PATIENCE):
            assert [await host.publish("news", number) for number in range(50)] == [1] * 50
        (listening,) = host.bus.subscriptions()
        assert (listening.delivered, listening.dropped, listening.queued) == (50, 47, 2)
        statistics = host.extensions()[1].statistics
        assert (statistics.accepted, statistics.dropped, statistics.queued, statistics.busy) == (50, 47, 2, 1)
        await failures(host, "stuck", 3)
        assert [codec.decode(bytes_of(letter.envelope.payload)) for letter in host.bus.dead_letters] == [0, 48, 49]


def bytes_of(payload: object) -> bytes:
    """An event's payload."""
    assert isinstance(payload, bytes)
    return payload


# -- loops


def answering(name: str, hears: str, says: str) -> bytes:
    """Publishes `says` whenever it hears `hears`, and counts the latter."""
    return extension(
        f"""(name: "{name}", api_version: "0.1",
            exports: {{"on_event": (params: [any]), "handled": (params: [], ret: i32), "code": (params: [], ret: i32)}},
            subscribes: {{"{hears}": "on_event"}}, publishes: {{"{says}": any}})""",
        f"""
        (global $handled (mut i32) (i32.const 0)) (global $code (mut i32) (i32.const 0))
        (func (export "on_event") (param i32 i32)
          (global.set $handled (i32.add (global.get $handled) (i32.const 1)))
          (global.set $code (call $publish (i32.const 0) (i32.const {len(says)}) (i32.const 64) (i32.const 1))))
        (func (export "handled") (result i32) (global.get $handled))
        (func (export "code") (result i32) (global.get $code))
        (data (i32.const 0) "{says}") (data (i32.const 64) "\\f6")
        """,
    )


async def test_64_a_subscriber_that_publishes_on_its_own_subject_runs_out_of_hops(cache: Path) -> None:
    """D: the ninth event that one event causes is refused with `hops`; another event begins anew."""
    async with hosting(cache, answering("echoing", "round", "round")) as host:
        for times in (1, 2):
            await host.publish("round", None)
            await settled(host, times * (MAX_HOPS + 1), "echoing")
            assert await host.call("echoing", "code") == -Code.HOPS
            assert host.bus.statistics().published == times * (MAX_HOPS + 1)


async def test_65_two_that_answer_each_other_run_out_of_hops(cache: Path) -> None:
    """D: all hops are counted, whoever makes them."""
    async with hosting(cache, answering("ping", "pong", "ping"), answering("pong", "ping", "pong")) as host:
        await host.publish("ping", None)
        await settled(host, MAX_HOPS + 1, "ping", "pong")
        assert sorted([await host.call(name, "handled") for name in ("ping", "pong")], key=str) == [4, 5]
        assert await host.call("pong", "code") == -Code.HOPS
        assert host.bus.statistics().published == MAX_HOPS + 1


# -- what is not theirs


@pytest.mark.parametrize("granted", [None, {"bus": ["subscribe:news.*"]}, {"bus": ["publish:**"]}])
async def test_66_listening_to_everything_needs_a_grant_for_everything(cache: Path, granted: Any) -> None:
    """D: without it, it is loaded and hears nothing at all, and the audit and the operator are told."""
    async with hosting(cache) as host:
        loaded = await host.load(relay("spy", more='subscribes: {"**": "on_event"}'), grants=granted)
        assert loaded.notices[0].startswith("does not listen to **: ")
        assert [await host.publish(subject, 1) for subject in ("news.local", "a", "sys.actor.stopped")] == [0, 0, 0]
        assert await host.call("spy", "handled") == 0
        assert [(r.permission, r.allowed) for r in host.audit.records] == [("bus subscribe:**", False)]


@pytest.mark.parametrize("pattern", ["ext.**", "cap.network.http", "ext.good.answer"])
async def test_66_requests_to_others_cannot_be_listened_to(cache: Path, pattern: str) -> None:
    """R: they are no events, and a manifest that asks for that is refused."""
    async with hosting(cache) as host:
        with pytest.raises(Refused, match="are not events"):
            await host.load(relay("spy", more=f'subscribes: {{"{pattern}": "on_event"}}'), grants="requested")
        assert [each.name for each in host.extensions()] == ["good"]


RESERVED = ["sys.actor.stopped", "sys.audit", "ext.good.answer", "cap.network.http", "sys", "ext", "cap"]


async def test_67_nobody_publishes_what_only_the_host_says(cache: Path) -> None:
    """D: whatever is granted, subjects of the host's are refused, and nobody hears anything."""
    liar = relay("liar", 'bus: ["publish:**", "publish:*.*.*"]')
    async with hosting(cache, liar) as host, host.subscribe("**") as everything:
        assert [await tell(host, "liar", subject, 1) for subject in RESERVED] == [-Code.INVALID] * len(RESERVED)
        assert everything.mailbox.statistics().accepted == 0
        assert await tell(host, "liar", "news", 1) == 1
        for subject in RESERVED:
            for manifest in (f'publishes: {{"{subject}": i32}}', f'permissions: {{bus: ["publish:{subject}"]}}'):
                with pytest.raises(Refused, match="only the host publishes"):
                    await host.load(extension(f'(name: "other", api_version: "0.1", {manifest})', ""))


async def test_67_nobody_publishes_on_a_subject_of_another_without_a_grant(cache: Path) -> None:
    """D: without a grant `denied`; with one, only what the subject is declared to carry (`invalid`)."""
    station = extension('(name: "station", api_version: "0.1", publishes: {"weather.now": (celsius: i32)})', "")
    thieves = relay("stranger", 'bus: ["publish:news"]'), relay("rival", 'bus: ["publish:weather.*"]')
    async with hosting(cache, station, *thieves) as host, host.subscribe("weather.now") as weather:
        assert await tell(host, "stranger", "weather.now", {"celsius": 99}) == -Code.DENIED
        assert await tell(host, "rival", "weather.now", "hot") == -Code.INVALID
        assert await tell(host, "rival", "weather.now", {"celsius": 99, "src": "station"}) == -Code.INVALID
        assert weather.mailbox.statistics().accepted == 0
        assert await tell(host, "rival", "weather.now", {"celsius": 21}) == 1
        assert (await anext(weather)).sender == "rival", "and everybody sees whose it is"


# -- what they cannot say


FORGED: dict[str, object] = {
    "src": "good",
    "sender": "good",
    "instance": 1,
    "id": 1,
    "origin": {"sender": "", "hops": 0},
    "chain": [],
}


async def test_68_who_sends_is_not_for_the_sender_to_say(cache: Path) -> None:
    """A guest has no field for it: what it writes is a value in the payload, and the host says who it was."""
    liar = relay("liar", 'bus: ["publish:news"], call: ["echo/*"]')
    async with hosting(cache, ECHO, liar) as host, host.subscribe("news") as news:
        assert await tell(host, "liar", "news", FORGED) == 1
        event = await anext(news)
        assert (event.sender, event.value) == ("liar", FORGED)
        answer = await ask(host, "liar", "ext.echo.who")
        assert answer["ok"]["sender"] == "liar"
        assert await asked_code(host, "liar", "ext.echo.who", FORGED) == Code.INVALID, (
            "there is no parameter for it either"
        )


async def test_69_a_reply_goes_to_who_asked_and_only_once(cache: Path) -> None:
    """A guest replies to the message it handles, and has no word for another: duplicates are `BadReply`, for its own caller."""
    async with hosting(cache, ECHO, relay("liar", 'bus: ["publish:**"]')) as host:
        answers: dict[int, object] = {}

        async def one(number: int) -> None:
            forged = codec.encode({"reply_to": number + 1, "id": number + 1, "ok": 13})
            answers[number] = codec.decode(bytes_of(await host.call("echo", "echo", forged)))

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(one, number)
        assert answers == {number: {"reply_to": number + 1, "id": number + 1, "ok": 13} for number in range(20)}
        with pytest.raises(BadReply, match="answered 2 times"):
            await host.call("echo", "twice", b"x")
        # And no event is an answer, wherever it goes.
        assert await tell(host, "liar", "ext.good.answer", {"ok": 13}) == -Code.INVALID
        assert await host.call("good", "answer") == 42


async def test_69_a_late_reply_is_ignored_and_counted(cache: Path) -> None:
    """Its caller was told that the deadline has passed; the actor has handled one more, and the next caller gets its own."""
    late = extension(
        """(name: "late", api_version: "0.1", exports: {"late": (params: [u32], ret: u32)},
            permissions: {filesystem: ["read:/ledger"]})""",
        """
        (func (export "late") (param i32) (result i32)
          (drop (call $request (i32.const 0) (i32.const 10) (i32.const 32) (i32.const 1))) (local.get 0))
        (data (i32.const 0) "cap.ledger") (data (i32.const 32) "\\01")
        """,
    )
    gate = anyio.Event()

    class Gate(Ledger):
        async def perform(self, request: object, use: Use) -> object:
            await gate.wait()
            return await super().perform(request, use)

    async with hosting(cache, late, providers=[Gate()]) as host:
        with pytest.raises(DeadlineExceeded):
            await host.call("late", "late", 1, deadline=0.01)
        gate.set()
        assert await host.call("late", "late", 2) == 2
        statistics = host.extensions()[1].statistics
        assert (statistics.handled, statistics.failed, statistics.dropped) == (2, 0, 0)


async def test_70_the_host_numbers_messages(cache: Path) -> None:
    """The same bytes sent again, with a number in them, are another message with a number of its own, which rises."""
    async with hosting(cache, ECHO, relay("again", 'bus: ["publish:news"], call: ["echo/*"]')) as host:
        async with host.subscribe("news") as news:
            for _ in range(3):
                assert await tell(host, "again", "news", {"id": 7}) == 1
            events = [await anext(news) for _ in range(3)]
        ids = [event.id for event in events]
        assert ids == sorted(set(ids))
        assert [event.value for event in events] == [{"id": 7}] * 3
        asked = [(await ask(host, "again", "ext.echo.who"))["ok"]["id"] for _ in range(3)]
        assert asked == sorted(set(asked))
        assert asked[0] > ids[-1]


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
GARBAGE = {
    "short": f"00-{TRACE}-00f067aa0ba902b",
    "long": f"00-{TRACE}-00f067aa0ba902b7-01-more",
    "zero trace": f"00-{'0' * 32}-00f067aa0ba902b7-01",
    "zero span": f"00-{TRACE}-{'0' * 16}-01",
    "upper case": f"00-{TRACE.upper()}-00F067AA0BA902B7-01",
    "newline": f"00-{TRACE}-00f067aa0ba902b7-01\n",
    "version": f"ff-{TRACE}-00f067aa0ba902b7-01",
    "ten kilobytes": f"cc-{TRACE}-00f067aa0ba902b7-01-{'x' * 10_240}",
    "empty": "",
    "emoji": "🙂" * 14,
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=list(GARBAGE))
async def test_71_garbage_for_a_traceparent_begins_a_trace_of_its_own(cache: Path, garbage: str) -> None:
    """From outside of the process it reaches the bus as an origin; from a guest not at all: there it is a value."""
    tracing, recorder = record_in_memory()
    async with hosting(cache, relay("liar", 'bus: ["publish:news"]'), tracing=tracing) as host:
        async with host.subscribe("**") as events:
            assert await host.bus.publish("outside", 1, origin=Origin(traceparent=garbage)) == 1
            outside = await anext(events)
            assert await tell(host, "liar", "news", {"traceparent": garbage, "tracestate": "x" * 1_024}) == 1
            inside = await anext(events)
        place = parse_traceparent(outside.traceparent or "")
        assert place is not None
        assert f"{place.trace_id:032x}" != TRACE
        (span,) = [each for each in recorder.spans if each.name == "publish outside"]
        assert span.parent is None

        within = parse_traceparent(inside.traceparent or "")
        assert within is not None
        (called,) = [each.get_span_context() for each in recorder.spans if each.name == "process ext.liar.tell"]
        assert called is not None
        assert within.trace_id == called.trace_id, "it belongs to the call in which it was sent"


# -- on whose behalf


def asker(name: str, export: str, asks: str, permissions: str) -> bytes:
    """Its one export asks for `asks`, with 1 (or with no argument), and returns the code it gets, 0 if that went well."""
    argument = '"\\01"' if asks.startswith("cap.") else '"\\80"'
    return extension(
        f"""(name: "{name}", api_version: "0.1", exports: {{"{export}": (params: [], ret: i32)}},
            permissions: {{{permissions}}})""",
        f"""
        (func (export "{export}") (result i32) (local $pair i64)
          (local.set $pair (call $request (i32.const 0) (i32.const {len(asks)}) (i32.const 64) (i32.const 1)))
          (drop (call $read (i32.wrap_i64 (i64.shr_u (local.get $pair) (i64.const 32)))
            (i32.const 0) (i32.const 128) (i32.const 64)))
          ;; {{"ok": …}} is a1 62 …, {{"error": {{"code": N, …}}}} a1 65 "error" a2 64 "code" N
          (if (result i32) (i32.eq (i32.load8_u (i32.const 129)) (i32.const 0x65))
            (then (i32.load8_u (i32.const 141))) (else (i32.const 0))))
        (data (i32.const 0) "{asks}") (data (i32.const 64) {argument})
        """,
    )


async def test_72_a_deputy_acts_for_another_with_the_rights_of_both_and_the_audit_says_for_whom(cache: Path) -> None:
    """Who may ask the deputy gets through it only what it may do itself; each decision names the chain."""
    may_read = 'filesystem: ["read:/ledger"]'
    deputy = asker("deputy", "fetch", "cap.ledger", may_read)
    greedy = asker("greedy", "take", "cap.ledger", "")
    sly = asker("sly", "take", "ext.deputy.fetch", 'call: ["deputy/fetch"]')
    barred = asker("barred", "take", "ext.deputy.fetch", "")
    entitled = asker("entitled", "take", "ext.deputy.fetch", f'call: ["deputy/fetch"], {may_read}')
    ledger = Ledger()
    async with hosting(cache, deputy, greedy, sly, barred, entitled, providers=[ledger]) as host:
        before = len(host.audit.records)
        assert await host.call("greedy", "take") == Code.DENIED
        assert await host.call("barred", "take") == Code.DENIED
        assert await host.call("sly", "take") == 0  # the deputy has answered: it was denied
        assert ledger.asked == []
        assert await host.call("entitled", "take") == 0
        assert ledger.asked == [1]
        assert [(r.extension, r.chain, r.permission, r.allowed) for r in list(host.audit.records)[before:]] == [
            ("greedy", ("greedy",), "filesystem read:/ledger", False),
            ("barred", ("barred",), "call deputy/fetch", False),
            ("sly", ("sly",), "call deputy/fetch", True),
            ("deputy", ("sly", "deputy"), "filesystem read:/ledger", False),
            ("entitled", ("entitled",), "call deputy/fetch", True),
            ("deputy", ("entitled", "deputy"), "filesystem read:/ledger", True),
        ]
