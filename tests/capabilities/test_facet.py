"""Broker and facet: what a guest asks for is held against its grants, written down, and only then done."""

import logging
import time
from dataclasses import dataclass, field

import anyio
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from desk.bus import codec, ron
from desk.bus.bus import Bus
from desk.bus.envelope import MAX_HOPS, Envelope, Origin
from desk.bus.errors import Unavailable
from desk.bus.mailbox import Mailbox
from desk.bus.types import ANY, I32, Signature, parse_type
from desk.bus.types.base import Type
from desk.capabilities.atoms import Atom
from desk.capabilities.audit import KEPT, Audit, AuditRecord, AuditSink
from desk.capabilities.broker import Broker
from desk.capabilities.codes import CapabilityError, Code, PermissionDenied
from desk.capabilities.facet import Facet, answer_error
from desk.capabilities.filesystem_atoms import FilesystemAtom
from desk.capabilities.grants import Grants
from desk.capabilities.permissions import PermissionSet
from desk.capabilities.provider import Member, Provider, Use
from desk.traces import names
from desk.traces.context import parse_traceparent
from desk.traces.recorder import SpanRecorder, record_in_memory
from desk.traces.tracing import Tracing

pytestmark = pytest.mark.anyio

PATIENCE = 10.0
"""Seconds after which a test that hangs fails. Nothing here takes that long."""

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
GUEST = Origin("widget", ("widget",), 1, PARENT)


class Thermometer:
    """A capability that measures rooms. It needs to read the file of that name, and some rooms are special."""

    name = "thermometer"
    request_type: Type = parse_type(ron.parse("(room: string)"))
    response_type: Type = parse_type(ron.parse("(celsius: f64)"))

    def __init__(self) -> None:
        self.measured: list[str] = []

    def needs(self, request: object, use: Use) -> tuple[Atom, ...]:
        """The file of the room, read by the parser that reads manifests."""
        return (FilesystemAtom.parse(f"read:/rooms/{_room(request)}"),)

    async def perform(self, request: object, use: Use) -> object:
        """Measure."""
        room = _room(request)
        self.measured.append(room)
        match room:
            case "kitchen":
                return {"celsius": 21.5}
            case "cellar":
                raise CapabilityError(Code.UNAVAILABLE, "the cellar is flooded \x1b[31m" + "!" * 5_000)
            case "attic":
                raise ZeroDivisionError("a secret of the host")
            case "shed":
                raise ExceptionGroup("tasks", [OSError("a secret of the host")])
            case "cave":
                return {"celsius": object()}
            case _:
                await anyio.sleep_forever()
                return None


def _room(request: object) -> str:
    assert isinstance(request, dict)
    room = request["room"]
    assert isinstance(room, str)
    return room


@dataclass
class World:
    """A bus, a broker with one provider, and what they left behind."""

    bus: Bus
    audit: Audit
    tracing: Tracing
    recorder: SpanRecorder
    thermometer: Thermometer = field(default_factory=Thermometer)

    def facet(
        self,
        asked: dict[str, list[str]] | None = None,
        granted: dict[str, list[str]] | None = None,
        publishes: dict[str, Type] | None = None,
    ) -> Facet:
        """A facet with these permissions; granted is what was asked for unless it is given."""
        requested = PermissionSet.parse(asked or {})
        given = requested if granted is None else PermissionSet.parse(granted)
        providers: list[Provider] = [self.thermometer]
        for subject, type_ in (publishes or {}).items():
            self.bus.declare(subject, type_, by="declared")
        return Facet(self.bus, Broker(providers, self.audit, self.tracing), Member("widget", Grants(requested, given)))

    @property
    def records(self) -> list[AuditRecord]:
        return list(self.audit.records)


def world(sink: AuditSink | None = None) -> World:
    tracing, recorder = record_in_memory()
    return World(Bus(tracing), Audit(sink), tracing, recorder)


ROOMS = {"filesystem": ["read:/rooms"]}


async def ask(facet: Facet, subject: str, value: object, origin: Origin = GUEST) -> dict[str, object]:
    """One request of a guest, and its answer decoded, which is `{ok}` or `{error}`."""
    payload = value if isinstance(value, bytes) else codec.encode(value)
    with anyio.fail_after(PATIENCE):
        answer = codec.decode(await facet.request(subject.encode(), payload, origin), max_size=1 << 24)
    assert isinstance(answer, dict)
    assert len(answer) == 1
    return dict(answer)


async def ask_error(facet: Facet, subject: str, value: object, origin: Origin = GUEST) -> tuple[Code, str]:
    """One request that is answered with an error: its code and message."""
    error = (await ask(facet, subject, value, origin))["error"]
    assert isinstance(error, dict)
    assert set(error) == {"code", "message"}
    assert isinstance(error["code"], int)
    return Code(error["code"]), str(error["message"])


# -- capabilities


async def test_what_is_granted_is_done() -> None:
    """The provider acts once, and the guest gets `{ok: what it returned}`."""
    here = world()
    assert await ask(here.facet(ROOMS), "cap.thermometer", {"room": "kitchen"}) == {"ok": {"celsius": 21.5}}
    assert here.thermometer.measured == ["kitchen"]


@pytest.mark.parametrize(
    ("asked", "granted", "why"),
    [
        ({}, {}, "the manifest does not ask for it"),
        ({}, ROOMS, "the manifest does not ask for it"),
        (ROOMS, {}, "it is not granted"),
        (ROOMS, {"filesystem": ["read:/rooms/cellar"]}, "it is not granted"),
        ({"filesystem": ["write:/rooms"]}, {"filesystem": ["write:/rooms"]}, "the manifest does not ask for it"),
    ],
)
async def test_what_is_not_granted_is_denied_and_not_done(
    asked: dict[str, list[str]], granted: dict[str, list[str]], why: str
) -> None:
    """Asking and granting are both needed; the message says which is missing and the line to add."""
    here = world()
    code, message = await ask_error(here.facet(asked, granted), "cap.thermometer", {"room": "kitchen"})
    assert code is Code.DENIED
    assert why in message
    assert 'filesystem: ["read:/rooms/kitchen"]' in message
    assert here.thermometer.measured == []


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        codec.encode({"room": "kitchen"}) + b"\x00",
        codec.encode({}),
        codec.encode({"room": 7}),
        codec.encode({"room": "kitchen", "and": 1}),
        codec.encode(["kitchen"]),
        codec.encode({"room": "../etc"}),
        codec.encode({"room": "a\x00b"}),
    ],
)
async def test_a_malformed_request_is_invalid_and_not_done(payload: bytes) -> None:
    """No CBOR, trailing bytes, another type, or a permission that cannot be written: `invalid`, whatever is granted."""
    here = world()
    code, message = await ask_error(here.facet(ROOMS), "cap.thermometer", payload)
    assert code is Code.INVALID
    assert message
    assert here.thermometer.measured == []


@pytest.mark.parametrize("subject", ["cap.telepathy", "cap", "cap.thermometer.x", "weather.changed", "sys.actor"])
async def test_what_there_is_not_is_unknown(subject: str) -> None:
    """An unknown capability, and a subject that guests do not ask: `unknown`."""
    code, _ = await ask_error(world().facet(ROOMS), subject, {})
    assert code is Code.UNKNOWN


async def test_an_unknown_capability_is_answered_with_the_known_ones() -> None:
    """The message lists what this host has."""
    _, message = await ask_error(world().facet(), "cap.telepathy", {})
    assert message == "there is no capability 'telepathy'; this host has: thermometer"


@pytest.mark.parametrize("subject", [b"", b"CAP.thermometer", b"cap..thermometer", b"cap.*", b"\xff\xfe", b"a" * 300])
async def test_a_bad_subject_is_invalid(subject: bytes) -> None:
    """Not ASCII, not a subject, a pattern, too long: `invalid` for requests, and negated for events."""
    facet = world().facet(ROOMS)
    answer = codec.decode(await facet.request(subject, codec.encode({}), GUEST))
    assert isinstance(answer, dict)
    assert isinstance(answer["error"], dict)
    assert answer["error"]["code"] == Code.INVALID
    assert await facet.publish(subject, codec.encode({}), GUEST) == -Code.INVALID


async def test_a_providers_refusal_reaches_the_guest_bounded() -> None:
    """Code and message of a `CapabilityError` are the answer; the message is cut to what an answer may have."""
    code, message = await ask_error(world().facet(ROOMS), "cap.thermometer", {"room": "cellar"})
    assert code is Code.UNAVAILABLE
    assert message.startswith("the cellar is flooded")
    assert len(message) == 1024


@pytest.mark.parametrize("room", ["attic", "shed", "cave"])
async def test_the_hosts_own_mistake_is_internal_and_logged(room: str, caplog: pytest.LogCaptureFixture) -> None:
    """A provider that raises or returns what it should not: the guest learns `internal` and no more, the log has the rest."""
    here = world()
    with caplog.at_level(logging.ERROR, "desk.capabilities"):
        code, message = await ask_error(here.facet(ROOMS), "cap.thermometer", {"room": room})
    assert code is Code.INTERNAL
    assert "secret" not in message
    (record,) = caplog.records
    assert record.exc_info is not None
    assert "widget" in record.getMessage()


class Camera:
    """A capability whose answers are large."""

    name = "camera"
    request_type: Type = parse_type(ron.parse("(room: string)"))
    response_type: Type = parse_type(ron.parse("(body: bytes)"))

    def needs(self, request: object, use: Use) -> tuple[Atom, ...]:
        """The file of the room."""
        return (FilesystemAtom.parse(f"read:/rooms/{_room(request)}"),)

    async def perform(self, request: object, use: Use) -> object:
        """Take a picture."""
        return {"body": bytes(3 << 20)}


async def test_an_answer_may_be_larger_than_a_request() -> None:
    """An answer of 3 MiB is checked and sent: the default bound of one message, 1 MiB, is none for answers."""
    here = world()
    requested = PermissionSet.parse(ROOMS)
    facet = Facet(
        here.bus, Broker([Camera()], here.audit, here.tracing), Member("widget", Grants(requested, requested))
    )
    assert await ask(facet, "cap.camera", {"room": "kitchen"}) == {"ok": {"body": bytes(3 << 20)}}


async def test_a_capability_can_be_cancelled() -> None:
    """The one thing that passes through a facet is cancellation: the deadline is the caller's business."""
    facet = world().facet(ROOMS)
    with anyio.move_on_after(0.01) as scope:
        await facet.request(b"cap.thermometer", codec.encode({"room": "elsewhere"}), GUEST)
    assert scope.cancelled_caught


async def test_an_error_is_always_a_message() -> None:
    """Text that CBOR has no form for is replaced, not raised."""
    answer = codec.decode(answer_error(Code.FAILED, "lone \ud800 surrogate"))
    assert answer == {"error": {"code": 10, "message": "lone ? surrogate"}}


async def test_a_broker_knows_its_capabilities() -> None:
    """They are listed by name; without any, the message about an unknown one says so."""
    tracing = Tracing.off()
    assert Broker([Thermometer()], Audit(), tracing).capabilities == ("thermometer",)
    nothing = Broker([], Audit(), tracing)
    with pytest.raises(CapabilityError, match="this host has: none"):
        await nothing.perform("x", {}, Use(Member("widget", Grants(PermissionSet())), GUEST))


# -- the audit


async def test_every_decision_is_written_down() -> None:
    """One record for each, in order: who, on whose behalf, what, whether and why, and in which trace."""
    here = world()
    facet = here.facet(ROOMS, {"filesystem": ["read:/rooms/kitchen"]})
    origin = Origin("widget", ("app", "widget"), 2, PARENT)
    before = time.time()
    await ask(facet, "cap.thermometer", {"room": "kitchen"}, origin)
    await ask(facet, "cap.thermometer", {"room": "cellar"}, origin)
    await ask(facet, "ext.other.f", [], origin)
    await facet.publish(b"news.local", codec.encode(1), origin)
    assert [(record.permission, record.allowed) for record in here.records] == [
        ("filesystem read:/rooms/kitchen", True),
        ("filesystem read:/rooms/cellar", False),
        ("call other/f", False),
        ("bus publish:news.local", False),
    ]
    for record in here.records:
        assert (record.extension, record.chain) == ("widget", ("app", "widget"))
        assert before <= record.time <= time.time()
        assert record.permission in record.reason
        assert (record.traceparent or "").split("-")[1] == PARENT.split("-")[1]
    assert "granted by filesystem read:/rooms/kitchen" in here.records[0].reason
    assert (here.audit.allowed, here.audit.denied) == (1, 3)
    assert repr(here.audit) == "<Audit: 1 allowed, 3 denied>"


async def test_a_denial_is_also_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """What was allowed is not; the line says who was denied what."""
    here = world()
    facet = here.facet(ROOMS, {"filesystem": ["read:/rooms/kitchen"]})
    with caplog.at_level(logging.INFO, "desk.audit"):
        await ask(facet, "cap.thermometer", {"room": "kitchen"})
        await ask(facet, "cap.thermometer", {"room": "cellar"})
    (record,) = [record for record in caplog.records if record.name == "desk.audit"]
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("widget DENIED: filesystem read:/rooms/cellar: ")


async def test_the_apps_sink_gets_every_record_and_the_audit_forgets_the_oldest() -> None:
    """`KEPT` records are remembered, the counts go on, and a sink sees all of them."""
    seen: list[AuditRecord] = []
    audit = Audit(seen.append)
    for number in range(KEPT + 5):
        audit(AuditRecord(float(number), "widget", (), "bus publish:a", number % 2 == 0, "why", None))
    assert len(seen) == KEPT + 5
    assert [record.time for record in audit.records] == [float(number) for number in range(5, KEPT + 5)]
    assert audit.allowed + audit.denied == KEPT + 5


async def test_what_cannot_be_audited_is_not_done(caplog: pytest.LogCaptureFixture) -> None:
    """If the app's sink fails, the guest gets `internal` and the provider is not called."""

    def full(record: AuditRecord) -> None:
        raise OSError(f"no space left for {record.extension}")

    here = world(full)
    with caplog.at_level(logging.ERROR, "desk.capabilities"):
        code, _ = await ask_error(here.facet(ROOMS), "cap.thermometer", {"room": "kitchen"})
    assert code is Code.INTERNAL
    assert here.thermometer.measured == []


async def test_authorise_raises_the_denial() -> None:
    """Python code that asks the broker itself gets `PermissionDenied` with the same text, or nothing."""
    here = world()
    broker = Broker([], here.audit, here.tracing)
    atom = FilesystemAtom.parse("read:/rooms")
    asked = PermissionSet((atom,))
    use = Use(Member("widget", Grants(asked, asked)), GUEST)
    decision = await broker.authorise(atom, use, "x")
    assert decision.allowed
    assert use.decisions == [decision]
    with pytest.raises(PermissionDenied, match="it is not granted") as caught:
        await broker.authorise(atom, Use(Member("widget", Grants(asked)), GUEST), "x")
    assert caught.value.guest_code is Code.DENIED
    assert str(caught.value) == here.records[-1].reason


# -- events


async def test_a_guest_publishes_under_its_own_name() -> None:
    """The number of receivers is the result; the event carries the sender and the guest's bytes as they are."""
    here = world()
    facet = here.facet({"bus": ["publish:news.*"]})
    with here.bus.subscribe("news.**") as events, here.bus.subscribe("news.local") as more:
        payload = codec.encode({"b": 1, "a": [2.0]})
        assert await facet.publish(b"news.local", payload, GUEST) == 2
        envelope = await events.mailbox.take()
        assert envelope.payload == payload
        assert envelope.origin.sender == "widget"
        assert await more.mailbox.take() is envelope
        assert await facet.publish(b"news.world", payload, GUEST) == 1
        assert await facet.publish(b"weather.changed", payload, GUEST) == -Code.DENIED


async def test_nobody_waits_for_an_event() -> None:
    """Chain and deadline of the guest's call end with it: who handles the event may call anyone, and has its own time."""
    here = world()
    with here.bus.subscribe("news.*") as events:
        facet = here.facet({"bus": ["publish:news.*"]})
        origin = Origin("widget", ("app", "widget"), 3, PARENT, time.monotonic() + 5)
        assert await facet.publish(b"news.local", codec.encode(1), origin) == 1
        sent = (await events.mailbox.take()).origin
    assert (sent.sender, sent.chain, sent.hops) == ("widget", (), 3)
    assert sent.deadline is None


@pytest.mark.parametrize("subject", ["sys.actor.trapped", "ext.other.f", "cap.thermometer", "sys"])
async def test_reserved_subjects_are_the_hosts(subject: str) -> None:
    """However wide the grant, a guest publishes nothing that looks like the host's own."""
    here = world()
    with here.bus.subscribe("**") as events:
        facet = here.facet({"bus": ["publish:**"]})
        assert await facet.publish(subject.encode(), codec.encode(1), GUEST) == -Code.INVALID
        assert events.mailbox.statistics().accepted == 0


@pytest.mark.parametrize(
    ("value", "fits"),
    [({"celsius": 21.5}, True), ({"celsius": 21}, True), ({"celsius": "21"}, False), ({}, False), (21.5, False)],
)
async def test_a_declared_event_is_of_its_type(value: object, fits: bool) -> None:
    """`publishes` binds the guest to its word: anything else is `invalid`, and nobody gets it."""
    here = world()
    with here.bus.subscribe("**") as events:
        weather = parse_type(ron.parse("(celsius: f64)"))
        facet = here.facet({"bus": ["publish:**"]}, publishes={"weather.changed": weather})
        result = await facet.publish(b"weather.changed", codec.encode(value), GUEST)
        assert result == (1 if fits else -Code.INVALID)
        assert events.mailbox.statistics().accepted == (1 if fits else 0)
        assert await facet.publish(b"weather.other", codec.encode(value), GUEST) == 1


@pytest.mark.parametrize("payload", [b"", b"\xff", b"\x01\x02", b"\xc0\x60", b"\x9f\xff"])
async def test_what_is_no_cbor_of_ours_never_gets_onto_the_bus(payload: bytes) -> None:
    """Nothing, no CBOR, two items, a tag, an open length: `invalid`, and nobody gets it."""
    here = world()
    with here.bus.subscribe("**") as events:
        assert await here.facet({"bus": ["publish:**"]}).publish(b"a.b", payload, GUEST) == -Code.INVALID
        assert events.mailbox.statistics().accepted == 0


async def test_an_event_is_bounded_as_it_is_and_not_as_it_would_be() -> None:
    """Half-floats of 390 KB that are declared as f64, which would take 1.2 MB, are published as the guest wrote them."""
    here = world()
    declared = {"news.local": parse_type(ron.parse("list(f64)"))}
    facet = here.facet({"bus": ["publish:news.*"]}, publishes=declared)
    payload = b"\x9a" + (130_000).to_bytes(4, "big") + b"\xf9\x3c\x00" * 130_000
    with here.bus.subscribe("news.local") as events:
        assert await facet.publish(b"news.local", payload, GUEST) == 1
        envelope = await events.mailbox.take()
    assert envelope is not None
    assert envelope.payload == payload


async def test_refused_publications_do_not_flood_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The first few of an extension are lines, later ones are counted, each extension by itself; the guest gets every code."""
    here = world()
    noisy, quiet = here.facet({}), here.facet({})
    with caplog.at_level(logging.INFO, "desk.capabilities"):
        for _ in range(500):
            assert await noisy.publish(b"a.b", codec.encode(1), GUEST) == -Code.DENIED
        assert await quiet.publish(b"a.b", codec.encode(1), Origin("quiet")) == -Code.DENIED
    lines = [record.getMessage() for record in caplog.records if record.name == "desk.capabilities"]
    assert 11 <= len(lines) <= 30
    assert all("was refused: " in line or "were not logged" in line for line in lines)
    assert lines[-1].startswith("a publication of quiet was refused: ")


async def test_a_publication_that_fails_in_the_host_is_internal(caplog: pytest.LogCaptureFixture) -> None:
    """The guest gets the code, the log has the error."""

    def full(record: AuditRecord) -> None:
        raise OSError(f"no space left for {record.extension}")

    facet = world(full).facet({"bus": ["publish:**"]})
    with caplog.at_level(logging.ERROR, "desk.capabilities"):
        assert await facet.publish(b"a.b", codec.encode(1), GUEST) == -Code.INTERNAL
    assert "no space left" in caplog.text


async def test_a_loop_of_events_ends() -> None:
    """A guest that reacts to too long a chain of messages gets `hops`, for events and calls alike."""
    here = world()
    here.bus.serve("ext.other.f", Signature(()), Mailbox("other"))
    facet = here.facet({"bus": ["publish:**"], "call": ["other/*"]})
    origin = Origin("widget", ("widget",), MAX_HOPS + 1)
    assert await facet.publish(b"a.b", codec.encode(1), origin) == -Code.HOPS
    code, message = await ask_error(facet, "ext.other.f", [], origin)
    assert code is Code.HOPS
    assert "the last sender is widget" in message


# -- calls of other extensions


async def answer(mailbox: Mailbox, value: object) -> None:
    """Settle every request with `value`, or with the error it is, until the box closes."""
    while True:
        try:
            envelope = await mailbox.take()
        except Unavailable:
            return
        assert envelope.reply is not None
        if isinstance(value, Exception):
            envelope.reply.fail(value)
        else:
            envelope.reply.answer(value)


async def call(here: World, facet: Facet, signature: Signature, arguments: object, result: object) -> dict[str, object]:
    """Call `ext.other.f`, which answers with `result`."""
    mailbox = Mailbox("other")
    service = here.bus.serve("ext.other.f", signature, mailbox)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(answer, mailbox, result)
        answered = await ask(facet, "ext.other.f", arguments)
        mailbox.close()
    here.bus.withdraw(service)
    return answered


async def test_a_granted_call_is_typed_both_ways() -> None:
    """The arguments are an array, checked against the other's declaration; its result is the answer."""
    here = world()
    facet = here.facet({"call": ["other/f"]})
    signature = Signature((I32, I32), result=I32)
    assert await call(here, facet, signature, [1, 2], 3) == {"ok": 3}
    for wrong in ([1], ["1", 2], {"a": 1}, 7, None):
        error = (await call(here, facet, signature, wrong, 3))["error"]
        assert isinstance(error, dict)
        assert error["code"] == Code.INVALID, wrong


async def test_a_good_result_that_cannot_be_sent_on_is_not_the_callers_mistake() -> None:
    """A result as deep as messages may be is one level too deep in `{ok: …}`: whatever the answer, it is not `invalid`."""
    deep: object = 1
    for _ in range(codec.MAX_DEPTH):
        deep = [deep]
    codec.encode(deep)
    here = world()
    answered = await call(here, here.facet({"call": ["other/*"]}), Signature((), result=ANY), [], deep)
    error = answered.get("error")
    assert not isinstance(error, dict) or error["code"] != Code.INVALID, error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Unavailable("other has been stopped"), Code.UNAVAILABLE),
        (CapabilityError(Code.FAILED, "no such city"), Code.FAILED),
        (CapabilityError(Code.TRAPPED, "trapped"), Code.TRAPPED),
        (ZeroDivisionError("a secret"), Code.INTERNAL),
    ],
)
async def test_the_others_failure_is_a_code(error: Exception, code: Code) -> None:
    """Stopped, failed, crashed, or the host's own mistake: the guest can tell them apart, and goes on."""
    here = world()
    answered = (await call(here, here.facet({"call": ["other/*"]}), Signature(()), [], error))["error"]
    assert isinstance(answered, dict)
    assert answered["code"] == code
    assert "secret" not in str(answered["message"])


async def test_a_call_without_a_grant_does_not_tell_who_is_there() -> None:
    """Denied is denied, whether the other exists or not; with a grant, the absence is `unknown`."""
    here = world()
    assert (await ask_error(here.facet(), "ext.nobody.f", []))[0] is Code.DENIED
    assert (await ask_error(here.facet({"call": ["nobody/*"]}), "ext.nobody.f", []))[0] is Code.UNKNOWN


@pytest.mark.parametrize("subject", ["ext", "ext.other", "ext.other.f.g", "ext._other.f"])
async def test_a_call_names_an_extension_and_an_export(subject: str) -> None:
    """Anything else is `invalid`."""
    assert (await ask_error(world().facet({"call": ["other/*"]}), subject, []))[0] is Code.INVALID


async def test_calling_someone_who_waits_is_a_deadlock_at_once() -> None:
    """An extension of the chain, the guest itself included, is not called; the message shows the circle."""
    here = world()
    mailbox = Mailbox("a")
    here.bus.serve("ext.a.f", Signature(()), mailbox)
    here.bus.serve("ext.b.f", Signature(()), mailbox)
    facet = here.facet({"call": ["a/*", "b/*"]})
    origin = Origin("b", ("a", "b"), 2)
    code, message = await ask_error(facet, "ext.a.f", [], origin)
    assert code is Code.DEADLOCK
    assert "a -> b -> a" in message
    assert (await ask_error(facet, "ext.b.f", [], origin))[0] is Code.DEADLOCK
    assert mailbox.statistics().accepted == 0


async def test_what_reading_takes_is_counted_for_the_guest() -> None:
    """Processor time, to be charged to the call; and nothing is read of what the guest may not send."""
    here = world()
    facet = here.facet({"bus": ["publish:news.*"]})
    many = codec.encode([[]] * 10_000)
    assert await facet.publish(b"news.local", many, GUEST) == 0
    assert facet.take_spent() > 0
    assert facet.take_spent() == 0
    assert await facet.publish(b"other.news", many, GUEST) == -Code.DENIED
    await ask_error(facet, "ext.other.f", [[]] * 10_000, GUEST)
    assert facet.take_spent() == 0


async def test_a_call_inherits_the_deadline_of_the_turn() -> None:
    """A guest's call ends when its own turn would: `deadline`, and what was asked carries that time."""
    here = world()
    mailbox = Mailbox("other")
    here.bus.serve("ext.other.f", Signature(()), mailbox)
    until = time.monotonic() + 0.02
    code, _ = await ask_error(
        here.facet({"call": ["other/*"]}), "ext.other.f", [], Origin("widget", ("widget",), 1, None, until)
    )
    assert code is Code.DEADLINE
    envelope: Envelope = await mailbox.take()
    assert (envelope.origin, envelope.deadline) == (Origin("widget", ("widget",), 1, None, until), until)


# -- spans


def named(recorder: SpanRecorder, name: str) -> ReadableSpan:
    (span,) = [span for span in recorder.spans if span.name == name]
    return span


def facts(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


async def test_decision_and_act_are_spans_below_the_guests() -> None:
    """`decide` and `call` both hang below the turn that asked, and the audit names the span of the decision."""
    here = world()
    await ask(here.facet(ROOMS), "cap.thermometer", {"room": "kitchen"})
    decide, act = named(here.recorder, "decide thermometer"), named(here.recorder, "call thermometer")
    for span in (decide, act):
        assert span.parent is not None
        assert f"{span.parent.span_id:016x}" == PARENT.split("-")[2]
        assert facts(span)[names.EXTENSION] == "widget"
        assert span.status.status_code is StatusCode.UNSET
    assert facts(decide)[names.ALLOWED] is True
    place = parse_traceparent(here.records[0].traceparent or "")
    own = decide.get_span_context()
    assert place is not None
    assert own is not None
    assert place.span_id == own.span_id


async def test_a_denial_is_a_failed_decision_and_no_act() -> None:
    """The span says `denied` and why; there is none of the provider."""
    here = world()
    await ask(here.facet(), "cap.thermometer", {"room": "kitchen"})
    (span,) = here.recorder.spans
    assert (span.name, span.status.status_code) == ("decide thermometer", StatusCode.ERROR)
    assert facts(span)[names.ALLOWED] is False
    assert facts(span)[names.ERROR_TYPE] == "denied"
    assert "the manifest does not ask for it" in (span.status.description or "")


async def test_a_failed_act_is_a_failed_span() -> None:
    """What the provider raised is the span's error."""
    here = world()
    await ask(here.facet(ROOMS), "cap.thermometer", {"room": "cellar"})
    span = named(here.recorder, "call thermometer")
    assert span.status.status_code is StatusCode.ERROR
    assert facts(span)[names.ERROR_TYPE] == "desk.CapabilityError"


async def test_publishing_and_calling_are_decided_in_the_trace() -> None:
    """`decide publish` and `decide call` stand beside the `publish` and `request` they allowed."""
    here = world()
    facet = here.facet({"bus": ["publish:**"], "call": ["other/*"]})
    await facet.publish(b"a.b", codec.encode(1), GUEST)
    await call(here, facet, Signature(()), [], None)
    assert [span.name for span in here.recorder.spans] == [
        "decide publish",
        "publish a.b",
        "decide call",
        "request ext.other.f",
    ]
    assert {span.parent and f"{span.parent.span_id:016x}" for span in here.recorder.spans} == {PARENT.split("-")[2]}
