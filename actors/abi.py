"""The guest ABI, version 0.1, on the host's side: the functions of module `desk@0.1`. Frozen; `docs/abi.md` explains it.

The guest pulls both ways: the host never allocates in a guest and never calls back into one, so a slow or hostile
allocator of its own runs under the ordinary deadline. A bad pointer is a trap; anything else is answered with a value.

`request` and `publish` suspend the guest. Their functions here are the first half: they copy an `Outgoing` out of its memory,
which the cell then carries to the facet. `guests/all_imports.wat` and `guests/c/desk.h` say the same; a test compares them.
"""

from dataclasses import dataclass

from desk.actors.engine.hostcalls import HostFunction
from desk.actors.guest import Guest
from desk.bus.subjects import MAX_LENGTH
from desk.capabilities.codes import Code

VERSION = "0.1"
MODULE = f"desk@{VERSION}"

FAIL_MESSAGE = 4096
"""Bytes kept of the message of `fail`."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request or publication that a guest waits for. `refused` is set, and `why` says it, if it must not be carried out."""

    kind: str
    subject: bytes
    payload: bytes
    refused: Code | None = None
    why: str = ""

    @property
    def may_be_brief(self) -> bool:
        """Whether it may be carried out without waiting: a capability may, what goes over the bus to others is not tried."""
        return self.kind == "request" and self.subject.startswith(b"cap.")


def _read(guest: Guest, handle: int, offset: int, pointer: int, capacity: int) -> int:
    if not guest.ready:
        return -Code.NOT_YET
    payload = guest.payloads.get(handle)
    if payload is None:
        return -Code.UNKNOWN
    part = payload[offset : offset + capacity]
    guest.memory.write(pointer, part)
    return len(part)


def _drop(guest: Guest, handle: int) -> None:
    guest.drop(handle)


def _reply(guest: Guest, pointer: int, length: int) -> None:
    if not guest.ready:
        return
    guest.replies += 1
    if length <= guest.limits.reply:
        guest.reply = guest.memory.read(pointer, length)


def _fail(guest: Guest, code: int, pointer: int, length: int) -> None:
    if not guest.ready:
        return
    guest.replies += 1
    message = guest.memory.read(pointer, min(length, FAIL_MESSAGE)).decode("utf-8", "replace")
    signed = code - (1 << 32) if code >> 31 else code
    guest.failure = (signed, message)


def _log(guest: Guest, level: int, pointer: int, length: int) -> None:
    text = guest.memory.read(pointer, min(length, guest.limits.log_line))
    guest.log(min(level, 4), text, length)


def _context(guest: Guest) -> int:
    return guest.describe() if guest.ready else Code.NOT_YET


def _refusal(guest: Guest, subject: int, payload: int) -> tuple[Code, str] | None:
    """Why a message with so many bytes of subject and payload may not be sent; None, and it counts as sent, if it may."""
    limits = guest.limits
    if not guest.ready:
        return Code.NOT_YET, "only `log` works before `_initialize` is over"
    guest.requests += 1  # refused ones, too: to ask on is no way around the limit
    if guest.requests > limits.requests:
        return Code.OVERLOADED, f"one message may make {limits.requests:,} requests and publications (limit requests)"
    if payload > limits.request:
        return Code.TOO_LARGE, f"{payload:,} bytes in one payload; {limits.request:,} are allowed (limit request)"
    if subject > MAX_LENGTH:
        return Code.INVALID, f"a subject of {subject:,} bytes; {MAX_LENGTH} are allowed"
    if guest.sent + payload > limits.sent:
        sent = f"{guest.sent:,} bytes are sent, and {payload:,} more do not fit"
        return Code.OVERLOADED, f"{sent}; one message may send {limits.sent:,} (limit sent)"
    guest.sent += payload
    return None


def _outgoing(kind: str, guest: Guest, subject: int, subject_length: int, pointer: int, length: int) -> Outgoing:
    refusal = _refusal(guest, subject_length, length)
    if refusal is not None:
        return Outgoing(kind, b"", b"", *refusal)
    return Outgoing(kind, guest.memory.read(subject, subject_length), guest.memory.read(pointer, length))


def _request(guest: Guest, subject: int, subject_length: int, pointer: int, length: int) -> Outgoing:
    return _outgoing("request", guest, subject, subject_length, pointer, length)


def _publish(guest: Guest, subject: int, subject_length: int, pointer: int, length: int) -> Outgoing:
    return _outgoing("publish", guest, subject, subject_length, pointer, length)


FUNCTIONS = (
    HostFunction(MODULE, "read", ("i32", "i32", "i32", "i32"), "i32", _read),
    HostFunction(MODULE, "drop", ("i32",), None, _drop),
    HostFunction(MODULE, "reply", ("i32", "i32"), None, _reply),
    HostFunction(MODULE, "fail", ("i32", "i32", "i32"), None, _fail),
    HostFunction(MODULE, "log", ("i32", "i32", "i32"), None, _log),
    HostFunction(MODULE, "context", (), "i64", _context),
    HostFunction(MODULE, "request", ("i32", "i32", "i32", "i32"), "i64", _request, suspends=True),
    HostFunction(MODULE, "publish", ("i32", "i32", "i32", "i32"), "i32", _publish, suspends=True),
)
