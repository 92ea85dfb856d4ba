"""The host as an app uses it: load, call, publish, remove; and everything a guest can do wrong, seen from outside."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from extensions import ECHO, relay

from desk.actors.errors import BadReply, GuestFailed, Killed, Refused, Trapped
from desk.actors.limits import Limits
from desk.bus import codec
from desk.bus.errors import Unavailable
from desk.bus.types import InvalidValue
from desk.host import Host
from desk.host.errors import AlreadyLoaded, NotLoaded, UnreadableModule
from desk.traces import names
from desk.traces.recorder import record_in_memory
from desk.traces.tracing import Tracing

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One compile cache for all tests here."""
    return tmp_path_factory.mktemp("modules")


@asynccontextmanager
async def hosting(cache: Path, limits: Limits | None = None, tracing: Tracing | None = None) -> AsyncIterator[Host]:
    """A host without traces, unless asked for."""
    async with Host(cache_dir=cache / "modules", limits=limits, tracing=tracing or Tracing.off()) as host:
        yield host


# -- calls


async def test_values_pass_through_a_guest_unchanged(cache: Path) -> None:
    """Flat numbers and payloads of every size come back as they went in."""
    async with hosting(cache) as host:
        await host.load(ECHO)
        assert await host.call("echo", "add", 2, -5) == -3
        for size in (0, 1, 64, 4096, 100_000):
            payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
            assert await host.call("echo", "echo", payload) == payload


@pytest.mark.parametrize(
    ("export", "arguments", "named"),
    [
        ("add", (1,), "params"),
        ("add", (1, "two"), r"params\[1\]"),
        ("add", (1, True), r"params\[1\]"),
        ("add", (2**31, 0), r"params\[0\]"),
        ("echo", ("text",), r"params\[0\]"),
    ],
)
async def test_a_wrong_argument_is_named_before_the_guest_runs(
    cache: Path, export: str, arguments: tuple[object, ...], named: str
) -> None:
    """The caller gets `InvalidValue` with the parameter's place; the guest was not called."""
    async with hosting(cache) as host:
        await host.load(ECHO)
        with pytest.raises(InvalidValue, match=named):
            await host.call("echo", export, *arguments)
        assert host.extensions()[0].statistics.handled == 0


async def test_an_unknown_name_is_answered_with_the_known_ones(cache: Path) -> None:
    """A misspelt extension or export raises `NotLoaded`, listing what there is."""
    async with hosting(cache) as host:
        await host.load(ECHO)
        with pytest.raises(NotLoaded, match="loaded: echo"):
            await host.call("ecko", "add", 1, 2)
        with pytest.raises(NotLoaded, match="it has: add, count"):
            await host.call("echo", "ad", 1, 2)


async def test_the_context_tells_the_guest_of_its_message(cache: Path) -> None:
    """Subject, sender, attempt and the time that is left."""
    async with hosting(cache) as host:
        await host.load(ECHO)
        context = await host.call("echo", "who")
        assert isinstance(context, dict)
        assert context["subject"] == "ext.echo.who"
        assert context["sender"] == ""
        assert context["attempt"] == 1
        assert 0 < context["deadline_ms"] <= Limits().wall_ms


# -- the guest's doing


async def test_a_trap_is_typed_and_the_next_call_gets_a_fresh_instance(cache: Path) -> None:
    """The caller learns who trapped and how; the guest's state is gone, its extension is not."""
    async with hosting(cache) as host:
        await host.load(ECHO)
        assert await host.call("echo", "count") == 1
        with pytest.raises(Trapped, match=r"^echo\.trap: trapped \(unreachable\)") as caught:
            await host.call("echo", "trap")
        assert caught.value.frames
        assert await host.call("echo", "count") == 1
        assert host.extensions()[0].statistics.instances == 2


async def test_a_pointer_outside_memory_fails_that_call_only(cache: Path) -> None:
    """The host notices nothing but a trap."""
    async with hosting(cache) as host:
        await host.load(ECHO)
        with pytest.raises(Trapped, match="outside the guest's memory"):
            await host.call("echo", "far")
        assert await host.call("echo", "add", 1, 1) == 2


async def test_an_endless_loop_is_killed_while_others_answer(cache: Path) -> None:
    """The wall limit ends it; meanwhile another extension answers, and afterwards this one does again."""
    async with hosting(cache, Limits(wall_ms=300)) as host:
        await host.load(ECHO)
        await host.load(relay("other"))
        answers = 0

        async def ask() -> None:
            nonlocal answers
            while True:
                await host.call("other", "handled")
                answers += 1

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            with pytest.raises(Killed, match="wall_ms"):
                await host.call("echo", "spin")
            tasks.cancel_scope.cancel()
        assert answers > 0
        assert await host.call("echo", "add", 1, 1) == 2


async def test_an_error_value_keeps_the_instance(cache: Path) -> None:
    """`fail` reaches the caller with its code and message, and the guest's state stays."""
    async with hosting(cache) as host:
        await host.load(ECHO)
        assert await host.call("echo", "count") == 1
        with pytest.raises(GuestFailed, match="no such city") as caught:
            await host.call("echo", "fail", "no such city")
        assert caught.value.code == -7
        assert await host.call("echo", "count") == 2


@pytest.mark.parametrize(
    ("export", "arguments", "reason"),
    [
        ("twice", (b"x",), "answered 2 times"),
        ("silent", (), "without calling `reply`"),
        ("flat_reply", (), "not given that way"),
        ("list", (b"\x9f\xff",), "declared type"),
        ("list", (b"\x82\x01\x61x",), "declared type"),
        ("list", (b"\x81\x01\x00",), "declared type"),
    ],
)
async def test_a_bad_reply_fails_that_call_only(
    cache: Path, export: str, arguments: tuple[object, ...], reason: str
) -> None:
    """None, two, on the wrong road, outside the CBOR profile, of another type, with trailing bytes: `BadReply`."""
    async with hosting(cache) as host:
        await host.load(ECHO)
        with pytest.raises(BadReply, match=reason):
            await host.call("echo", export, *arguments)
        assert await host.call("echo", "add", 1, 1) == 2
        assert host.extensions()[0].statistics.instances == 1


async def test_a_reply_over_the_limit_is_a_bad_reply(cache: Path) -> None:
    """It is not even copied out of the guest."""
    async with hosting(cache, Limits(reply=1000)) as host:
        await host.load(ECHO)
        assert await host.call("echo", "echo", bytes(1000)) == bytes(1000)
        with pytest.raises(BadReply, match="larger than the limit of 1,000 bytes"):
            await host.call("echo", "echo", bytes(1001))


async def test_log_lines_go_to_logging_with_harmless_text(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each line is a record of `desk.ext.NAME`; what a terminal would obey is escaped, what is too long is cut."""
    with caplog.at_level(logging.DEBUG, "desk.ext.echo"):
        async with hosting(cache, Limits(log_line=20)) as host:
            await host.load(ECHO)
            await host.call("echo", "say", 3, b"red: \x1b[31m")
            await host.call("echo", "say", 99, b"x" * 50)
    assert [(r.levelname, r.getMessage()) for r in caplog.records if r.name == "desk.ext.echo"] == [
        ("WARNING", "red: \\x1b[31m"),
        ("ERROR", "x" * 20 + "… (30 more bytes)"),
    ]


# -- callers


async def test_a_caller_that_gives_up_abandons_only_its_answer(cache: Path) -> None:
    """Cancelling a call does not disturb the actor, whose state is not the caller's to destroy."""
    async with hosting(cache, Limits(wall_ms=200)) as host:
        await host.load(ECHO)
        with anyio.move_on_after(0.01):
            await host.call("echo", "spin")
        assert await host.call("echo", "count") == 1


async def test_one_extension_takes_one_message_at_a_time(cache: Path) -> None:
    """Many callers at once are served one after the other: each sees a count of its own, none is lost."""
    async with hosting(cache) as host:
        await host.load(ECHO)
        counts: list[int] = []

        async def call() -> None:
            count = await host.call("echo", "count")
            assert isinstance(count, int)
            counts.append(count)

        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(call)
        assert sorted(counts) == list(range(1, 51))


# -- loading and removing


async def test_a_module_is_loaded_from_a_file_with_its_manifest_beside(cache: Path, tmp_path: Path) -> None:
    """A path works as well as bytes; `manifest.ron` in the same directory is found."""
    (tmp_path / "echo.wasm").write_bytes(ECHO)
    async with hosting(cache) as host:
        loaded = await host.load(tmp_path / "echo.wasm")
        assert loaded.name == "echo"
        with pytest.raises(AlreadyLoaded, match="echo"):
            await host.load(ECHO)
        with pytest.raises(UnreadableModule, match="is not a file"):
            await host.load(tmp_path)
    assert host.extensions() == ()


async def test_what_may_not_run_is_refused_and_leaves_no_trace(cache: Path) -> None:
    """Garbage, a truncated module and one without manifest are `Refused` with reasons; the host goes on."""
    async with hosting(cache) as host:
        for wasm in (b"", b"not wasm", ECHO[: len(ECHO) // 2], ECHO.replace(b"desk:manifest", b"something-els")):
            with pytest.raises(Refused) as caught:
                await host.load(wasm)
            assert caught.value.reasons
        assert host.extensions() == ()
        await host.load(ECHO)


async def test_a_removed_extension_answers_nobody(cache: Path) -> None:
    """Waiting callers get `Unavailable`, later ones `NotLoaded`; the name is free again."""
    async with hosting(cache, Limits(wall_ms=300)) as host:
        await host.load(ECHO)
        outcomes: list[type[BaseException]] = []

        async def call(export: str) -> None:
            try:
                await host.call("echo", export)
            except Exception as error:
                outcomes.append(type(error))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call, "spin")
            await anyio.sleep(0.02)
            tasks.start_soon(call, "count")
            await anyio.sleep(0.02)
            await host.remove("echo")
        assert sorted(outcome.__name__ for outcome in outcomes) == ["Killed", "Unavailable"]
        with pytest.raises(NotLoaded):
            await host.call("echo", "count")
        await host.load(ECHO)
        assert await host.call("echo", "count") == 1


async def test_closing_the_host_ends_calls_in_flight(cache: Path) -> None:
    """Whoever still waits when the host closes is told so, and nothing hangs."""
    outcome: list[BaseException] = []

    async def call(host: Host) -> None:
        try:
            await host.call("echo", "spin")
        except Unavailable as error:
            outcome.append(error)

    async with anyio.create_task_group() as tasks, hosting(cache, Limits(wall_ms=60_000)) as host:
        await host.load(ECHO)
        tasks.start_soon(call, host)
        await anyio.sleep(0.02)
    assert len(outcome) == 1


# -- events and requests


async def test_events_reach_extensions_and_python_alike(cache: Path) -> None:
    """A published event is handled by the extension that subscribes, and seen by a Python subscriber."""
    listener = relay("listener", more='subscribes: {"weather.*": "on_event"}')
    async with hosting(cache) as host:
        await host.load(listener, grants={"bus": ["subscribe:weather.**"]})
        async with host.subscribe("weather.changed") as events:
            assert await host.publish("weather.changed", {"celsius": 21}) == 2
            assert await host.publish("traffic.changed", {}) == 0
            event = await anext(events)
        assert (event.subject, event.value, event.sender) == ("weather.changed", {"celsius": 21}, "")
        assert await host.call("listener", "handled") == 1


async def test_listening_without_a_grant_is_a_notice_not_a_secret(cache: Path) -> None:
    """The extension loads, hears nothing, and both the notice and the audit say what is missing."""
    async with hosting(cache) as host:
        loaded = await host.load(relay("deaf", more='subscribes: {"weather.*": "on_event"}'))
        assert "subscribe:weather.*" in loaded.notices[0]
        assert await host.publish("weather.changed", 1) == 0
        assert host.audit.denied == 1


async def test_a_guest_publishes_what_it_was_granted(cache: Path) -> None:
    """With the atom it reaches subscribers under its own name; without, the answer is `denied`, and the audit knows."""
    async with hosting(cache) as host:
        talker = relay("talker", 'bus: ["publish:news.*"]')
        await host.load(talker, grants={"bus": ["publish:news.local"]})
        async with host.subscribe("news.**") as events:
            assert await host.call("talker", "tell", "news.local", codec.encode("hello")) == 1
            event = await anext(events)
            assert (event.value, event.sender) == ("hello", "talker")
        assert await host.call("talker", "tell", "news.world", codec.encode("hello")) == -2
        assert await host.call("talker", "tell", "sys.actor.trapped", codec.encode("lie")) == -1
        assert "not granted" in host.audit.records[-1].reason
        assert await host.call("talker", "tell", "news.local", b"\xff") == -1
        assert await host.call("talker", "tell", "news.world", b"\xff") == -2  # what it may not say, nobody reads


async def ask(host: Host, name: str, subject: str, value: object) -> dict[str, object]:
    """Let a relay make a request, and decode what it was answered."""
    raw = await host.call(name, "ask", subject, value if isinstance(value, bytes) else codec.encode(value))
    assert isinstance(raw, bytes)
    answer = codec.decode(raw)
    assert isinstance(answer, dict)
    return dict(answer)


@pytest.mark.parametrize(
    ("subject", "value", "code"),
    [
        ("cap.network.http", {"method": "GET", "url": "http://evil.example/"}, 2),
        ("cap.network.http", {"method": "GET"}, 1),
        ("cap.network.http", {"method": "GET", "url": "http://2130706433/"}, 1),
        ("cap.network.http", b"\xff", 1),
        ("cap.network.http", b"\x01\x02", 1),
        ("cap.telepathy", {}, 3),
        ("ext.nobody.f", [], 2),
        ("weather.changed", {}, 3),
        ("NOT A SUBJECT", {}, 1),
    ],
)
async def test_what_a_guest_may_not_do_is_a_normal_answer(cache: Path, subject: str, value: object, code: int) -> None:
    """Denied, malformed, unknown: the guest gets a code and a message, and goes on."""
    async with hosting(cache) as host:
        await host.load(relay("asker"))
        answer = await ask(host, "asker", subject, value)
        error = answer["error"]
        assert isinstance(error, dict)
        assert error["code"] == code, error
        assert error["message"]


async def test_a_denial_spells_out_the_missing_permission(cache: Path) -> None:
    """The text says whether manifest or operator is missing, and the line to add."""
    request = {"method": "GET", "url": "http://api.example.com/"}
    async with hosting(cache) as host:
        await host.load(relay("unasked"))
        await host.load(relay("ungranted", 'network: ["api.example.com:80"]'))
        unasked = await ask(host, "unasked", "cap.network.http", request)
        ungranted = await ask(host, "ungranted", "cap.network.http", request)
        assert "the manifest does not ask for it" in str(unasked)
        assert "it is not granted" in str(ungranted)
        assert all('network: ["connect:api.example.com:80"]' in str(answer) for answer in (unasked, ungranted))
        assert [record.allowed for record in host.audit.records] == [False, False]


async def test_one_extension_calls_another_with_a_grant(cache: Path) -> None:
    """The call passes through typed; a wrong argument, a failure and a crash of the other come back as codes."""
    async with hosting(cache) as host:
        await host.load(ECHO)
        await host.load(relay("caller", 'call: ["echo/*"]'), grants="requested")
        assert await ask(host, "caller", "ext.echo.add", [2, 3]) == {"ok": 5}
        for export, arguments, code in (
            ("add", ["x", 1], 1),
            ("fail", ["no"], 10),
            ("trap", [], 11),
            ("nothing", [], 3),
        ):
            answer = await ask(host, "caller", f"ext.echo.{export}", arguments)
            assert isinstance(answer["error"], dict)
            assert answer["error"]["code"] == code, answer


async def test_calling_back_is_a_deadlock_at_once(cache: Path) -> None:
    """A asks B to ask A: B gets the code `deadlock`, nobody hangs."""
    async with hosting(cache) as host:
        for name, other in (("a", "b"), ("b", "a")):
            await host.load(relay(name, f'call: ["{other}/*"]'), grants="requested")
        inner = codec.encode([])
        answer = await ask(host, "a", "ext.b.ask", ["ext.a.handled", inner])
        assert isinstance(answer["ok"], bytes)
        assert "waiting for this very call (a -> b -> a)" in str(codec.decode(answer["ok"]))


# -- spans


async def test_spans_have_the_right_parents_across_actors(cache: Path) -> None:
    """A call of one extension that calls another is one trace: request, process, decide, request, process."""
    tracing, recorder = record_in_memory()
    async with hosting(cache, tracing=tracing) as host:
        await host.load(ECHO)
        await host.load(relay("caller", 'call: ["echo/*"]'), grants="requested")
        recorder.clear()
        await ask(host, "caller", "ext.echo.add", [2, 3])
    spans = {span.name: span for span in recorder.spans}

    def parent_of(name: str) -> str | None:
        parent = spans[name].parent
        return None if parent is None else next(s.name for s in recorder.spans if s.context.span_id == parent.span_id)

    assert parent_of("request ext.caller.ask") is None
    assert parent_of("process ext.caller.ask") == "request ext.caller.ask"
    assert parent_of("decide call") == "process ext.caller.ask"
    assert parent_of("request ext.echo.add") == "process ext.caller.ask"
    assert parent_of("process ext.echo.add") == "request ext.echo.add"
    assert len({span.context.trace_id for span in recorder.spans}) == 1
    attributes = spans["process ext.echo.add"].attributes
    assert attributes is not None
    assert attributes[names.EXTENSION] == "echo"


async def test_loading_is_traced_down_to_the_instance(cache: Path) -> None:
    """Compile and instantiate hang below load."""
    tracing, recorder = record_in_memory()
    async with hosting(cache, tracing=tracing) as host:
        await host.load(ECHO)
    load = next(span for span in recorder.spans if span.name == "load echo")
    below = [span.name for span in recorder.spans if span.parent and span.parent.span_id == load.context.span_id]
    assert below == ["compile echo", "instantiate echo"]
