"""The facet: the narrowed bus that one extension holds. It forwards what the extension's grants allow.

A guest names a subject, and its first word decides what that means:

    request cap.NAME              a capability: the broker decides, a provider acts
    request ext.NAME.EXPORT       a call of another extension: needs `call: ["NAME/EXPORT"]`
    publish SUBJECT               an event: needs `bus: ["publish:SUBJECT"]`

Whatever happens, the guest gets a normal answer: `{ok: value}` or `{error: {code, message}}`. Only the host's own bugs are
more than that, and of those the guest learns nothing but `internal`.

`Origin` is who asks on whose behalf. The cell makes it; nothing in it comes from the guest.
"""

import logging
import time
from typing import cast

from desk.bus import codec
from desk.bus.bus import Bus
from desk.bus.codec import CodecError
from desk.bus.envelope import Origin
from desk.bus.errors import (
    BusError,
    DeadlineExceeded,
    DeskError,
    NoReceiver,
    Overloaded,
    TooManyHops,
    Unavailable,
    WouldDeadlock,
)
from desk.bus.subjects import SubjectError, check_subject
from desk.bus.types.base import InvalidValue, describe
from desk.capabilities.broker import Broker
from desk.capabilities.codes import Answerable, CapabilityError, Code
from desk.capabilities.message_atoms import BusAtom, CallAtom
from desk.capabilities.provider import Member, Use
from desk.capabilities.syntax import PermissionSyntaxError
from desk.traces.log_rate import LogRate

log = logging.getLogger("desk.capabilities")

_CODES: tuple[tuple[type[Exception], Code], ...] = (
    (CodecError, Code.INVALID),
    (InvalidValue, Code.INVALID),
    (SubjectError, Code.INVALID),
    (PermissionSyntaxError, Code.INVALID),
    (NoReceiver, Code.UNKNOWN),
    (Unavailable, Code.UNAVAILABLE),
    (DeadlineExceeded, Code.DEADLINE),
    (WouldDeadlock, Code.DEADLOCK),
    (TooManyHops, Code.HOPS),
    (Overloaded, Code.OVERLOADED),
    (BusError, Code.UNAVAILABLE),
)
"""How errors on this side look to a guest; the first match counts."""


def code_of(error: Exception) -> Code:
    """The code a guest gets for `error`."""
    if isinstance(error, Answerable):
        return error.guest_code
    return next((code for kind, code in _CODES if isinstance(error, kind)), Code.INTERNAL)


def answer_ok(value: object) -> bytes:
    """`{ok: value}` as CBOR; raises `CodecError` if the value has no form there, or is too large."""
    return codec.encode({"ok": value}, max_size=ANSWER_SIZE)


def answer_error(code: Code, message: str) -> bytes:
    """`{error: {code, message}}` as CBOR."""
    text = message[:1024].encode("utf-8", "replace").decode()
    return codec.encode({"error": {"code": int(code), "message": text}})


ANSWER_SIZE = 16 << 20
"""Bytes of one answer; a provider's own limits are lower."""

_REFUSALS = (1.0, 10)
"""Refused publications of one extension in the log: so many lines a second, and so many at once."""


_SMALL = 256
"""Bytes that are read in some microseconds, whatever they are."""


class Facet:
    """One extension's way out."""

    def __init__(self, bus: Bus, broker: Broker, member: Member) -> None:
        self._bus = bus
        self._broker = broker
        self._refusals = LogRate(*_REFUSALS)
        self._spent = 0.0
        self.member = member
        broker.join(member)

    def forget(self) -> None:
        """The guest has lost its memory, and with it the handles of what it had open."""
        self.member.resources.close_all()

    def close(self) -> None:
        """The extension is gone: it has no rights, and nothing open. Idempotent."""
        self._broker.leave(self.member)

    async def request(self, subject: bytes, payload: bytes, origin: Origin) -> bytes:
        """Carry out what the guest `origin.sender` asks for, and return its answer. Raises nothing but cancellation."""
        use, answer = Use(self.member, origin), b""
        try:
            answer = await self._answer(subject, payload, use)
            return answer
        finally:  # also of one that was cancelled: what it has sent, it has sent
            use.charge(len(payload) + len(answer))

    async def _answer(self, subject: bytes, payload: bytes, use: Use) -> bytes:
        sender = use.extension
        try:
            name = _subject(subject)
            kind, _, rest = name.partition(".")
            if kind == "cap":
                result = await self._broker.perform(rest, self._read(payload), use)
            elif kind == "ext":
                result = await self._call(name, rest, payload, use)
            else:
                raise CapabilityError(
                    Code.UNKNOWN, f"nobody answers {name}; a guest may ask cap.CAPABILITY and ext.EXTENSION.EXPORT"
                )
        except DeskError as error:
            return answer_error(code_of(error), str(error))
        except Exception:
            log.exception("a request of %s to %r failed in the host", sender, subject)
            return answer_error(Code.INTERNAL, "the host failed; its log says more")
        try:
            return answer_ok(result)
        except CodecError as error:
            if kind == "ext":  # legal there, but not inside of an answer
                return answer_error(Code.TOO_LARGE, f"the result of {name} does not fit into an answer: {error}")
            log.exception("a request of %s to %r was answered with what cannot be sent", sender, subject)
            return answer_error(Code.INTERNAL, "the host failed; its log says more")

    async def _call(self, subject: str, target: str, payload: bytes, use: Use) -> object:
        extension, _, export = target.partition(".")
        origin = use.origin
        await self._broker.authorise(CallAtom.to(extension, export), use, "call")
        if extension in origin.chain:
            waiting = " -> ".join(origin.chain)
            raise WouldDeadlock(f"{extension} is waiting for this very call ({waiting} -> {extension})")
        value = self._read(payload)
        if type(value) is not list:
            raise InvalidValue("arguments", "an array of the arguments", describe(value))
        return await self._bus.request(subject, *cast(list[object], value), deadline=None, origin=origin)

    async def publish(self, subject: bytes, payload: bytes, origin: Origin) -> int:
        """Publish for the guest; returns the number of receivers, or a negated code. Raises nothing but cancellation."""
        try:
            name = _subject(subject)
            use = Use(self.member, origin)
            await self._broker.authorise(BusAtom.publish(name), use, "publish")
            # Nothing outside the profile gets onto the bus, nor what is declared otherwise.
            self._read(payload, event=name)
            use.charge(len(payload))
            # Nobody waits for an event: the chain of callers and their deadline end here.
            onward = Origin(origin.sender, (), origin.hops, origin.traceparent)
            return await self._bus.publish_encoded(name, payload, origin=onward)
        except DeskError as error:
            self._log_refusal(origin.sender, error)
            return -code_of(error)
        except Exception:
            log.exception("a publication of %s to %r failed in the host", origin.sender, subject)
            return -Code.INTERNAL

    def _read(self, payload: bytes, event: str = "") -> object:
        """The value of a payload, or of one that is an `event`, of the type declared for it. What reading took is counted,
        but for what takes less time than to look at the clock.

        Raises `CodecError`, `InvalidValue`.
        """
        declared = self._bus.declared(event) if event else None
        if declared is None and len(payload) <= _SMALL:
            return codec.decode(payload)
        began = time.thread_time()
        try:
            if declared is None:
                return codec.decode(payload, max_size=len(payload))
            return declared.decode(payload, event, max_size=len(payload))
        finally:
            self._spent += time.thread_time() - began

    def take_spent(self) -> float:
        """Seconds of processor time that reading has taken since the last time, on behalf of the guest."""
        spent, self._spent = self._spent, 0.0
        return spent

    def _log_refusal(self, sender: str, error: DeskError) -> None:
        """The guest gets only a code, so its author finds the reason in the log; but not once for each turn of a loop."""
        rate = self._refusals
        dropped = rate.take_note()
        if dropped:
            log.info("%s more refused publications of %s were not logged", f"{dropped:,}", sender)
        if rate.take():
            log.info("a publication of %s was refused: %s", sender, error)
        else:
            rate.dropped += 1


def _subject(raw: bytes) -> str:
    try:
        return check_subject(raw.decode("ascii"))
    except UnicodeDecodeError:
        raise SubjectError(f"subject {raw[:40]!r} is not ASCII") from None
