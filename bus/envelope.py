"""One message with its metadata, and the answer to one.

Two kinds of message share the envelope. An *event* carries one CBOR item, encoded once however many subscribe. A
*request* carries its arguments lowered by the receiver's declared signature (numbers, or the bytes of one argument each),
so that a guest gets them without another look; and it carries a `Reply`, which is settled once.

`Origin` is what a message inherits from the one whose handling caused it: who sends, who is waiting for it, how many
messages it descends from, which span it belongs to, and until when an answer is of use.
"""

import math
import time
from collections.abc import Coroutine
from contextvars import ContextVar
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

from desk.bus.codec import CodecError, decode
from desk.bus.wakeup import Wakeup

MAX_HOPS = 8
"""Messages that one message may descend from. A real chain of extensions is two or three long; a loop is endless."""

_SHOWN = 256
"""Bytes of a payload that a `repr` reads, and characters that it shows."""


class Priority(IntEnum):
    """Which of two messages to one receiver is taken first."""

    CONTROL = 0
    """About the receiver's life: the host's own events (`sys.…`), and what the app says is urgent. Never from a guest."""
    DATA = 1


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a message comes from. The default is the embedding app itself, with nobody waiting and no deadline."""

    sender: str = ""
    """Name of the sending extension; empty for the app. Set by the host, never read from a guest."""
    chain: tuple[str, ...] = ()
    """The extensions that wait for this message to be answered, outermost first. Opaque to the bus."""
    hops: int = 0
    """How many messages this one descends from."""
    traceparent: str | None = None
    """The sender's span, in W3C Trace Context form; None: the current span of the embedding app, if it has one."""
    deadline: float | None = None
    """When the one it is sent for has no more use of an answer, on `time.monotonic()`'s clock, in seconds."""
    principals: tuple[str, ...] = ()
    """The extensions whose rights it takes, outermost first: the sender, and those of `chain` on whose behalf it acts."""


APP = Origin()


class Answering:
    """That the app's own code answers a request (`Bus.respond`): what it sends meanwhile inherits `origin`."""

    __slots__ = ("by", "origin", "outer", "over")

    def __init__(self, origin: Origin, by: object = None) -> None:
        self.origin = origin
        self.by = by
        """Who answers."""
        self.outer = CURRENT.get()
        """The one that waits for this: at most `MAX_HOPS` of them are inside each other."""
        self.over = False
        """Set at the end. Tasks that it has started may live on, but not on its deadline and hops."""


CURRENT: ContextVar[Answering | None] = ContextVar("desk.bus.answering", default=None)


def current_origin() -> Origin:
    """What the app's own code sends from, here and now."""
    answering = CURRENT.get()
    return APP if answering is None or answering.over else answering.origin


class Reply:
    """The place where one request's answer arrives. Settled once: a late or second answer is refused, not an error."""

    __slots__ = ("_event", "error", "settled", "value")

    def __init__(self) -> None:
        self._event: Wakeup | None = None
        self.settled = False
        self.value: object = None
        self.error: Exception | None = None

    def __repr__(self) -> str:
        """Like `<Reply: waited for>`, `<Reply: 42>`, `<Reply: Unavailable('…')>`."""
        if not self.settled:
            return "<Reply: waited for>"
        return f"<Reply: {_cut(repr(self.value if self.error is None else self.error))}>"

    def answer(self, value: object) -> bool:
        """Give the result. False if it was settled (or abandoned) before."""
        return self._settle(value, None)

    def fail(self, error: Exception) -> bool:
        """Let the requester's call raise `error`. False if it was settled (or abandoned) before."""
        return self._settle(None, error)

    def _settle(self, value: object, error: Exception | None) -> bool:
        if self.settled:
            return False
        self.settled = True
        self.value, self.error = value, error
        if self._event is not None:
            self._event.set()
        return True

    def abandon(self) -> None:
        """Nobody wants the answer any more."""
        self.settled = True

    def wait(self, seconds: float = math.inf) -> Coroutine[Any, Any, bool]:
        """Return when it is settled, True: then ask for the `result`. Or when the time is over, False."""
        wakeup = self._event = Wakeup()
        wakeup.woken = self.settled
        return wakeup.wait(seconds)

    def result(self) -> object:
        """The result that is there, or the error raised."""
        if self.error is not None:
            raise self.error
        return self.value


class Envelope(NamedTuple):
    """One message on its way. Immutable: subscribers of one event share it. A tuple, since one is made for each message."""

    id: int
    """Unique on this bus, rising in the order of sending."""
    subject: str
    payload: bytes | tuple[int | float | bytes, ...]
    """An event's CBOR item, or a request's lowered arguments."""
    origin: Origin
    traceparent: str | None
    """The span of the publish or request, parent of the span that processes it."""
    reply: Reply | None = None
    """Where a request wants its answer; None for an event."""
    deadline: float | None = None
    """When an answer is of no more use, on `time.monotonic()`'s clock, in seconds; None: it never is."""
    attempt: int = 1
    """1, and one more each time it was retried from the dead letters."""
    priority: Priority = Priority.DATA

    def __repr__(self) -> str:
        """Like `<event 12 weather.changed {'celsius': 21} from weather-station>`; large payloads only by their size."""
        kind = "event" if self.reply is None else "request"
        again = f", attempt {self.attempt}" if self.attempt > 1 else ""
        return f"<{kind} {self.id} {self.subject} {_shown(self.payload)} from {self.origin.sender or 'the app'}{again}>"

    @property
    def size(self) -> int:
        """Bytes of payload."""
        if isinstance(self.payload, bytes):
            return len(self.payload)
        size = 0
        for part in self.payload:
            if isinstance(part, bytes):
                size += len(part)
        return size

    def unwanted(self) -> bool:
        """Whether nobody has use for an answer any more: then the receiver need not begin."""
        return (self.deadline is not None and self.deadline <= time.monotonic()) or (
            self.reply is not None and self.reply.settled
        )

    def onward(self, sender: str = "") -> Origin:
        """The origin of an event that is sent because of this message. Nobody waits for it: the chain and deadline end here."""
        return Origin(sender, (), self.origin.hops + 1, self.traceparent)


def _shown(payload: bytes | tuple[int | float | bytes, ...]) -> str:
    if isinstance(payload, tuple):
        return f"({', '.join(_shown(part) if isinstance(part, bytes) else str(part) for part in payload)})"
    if len(payload) > _SHOWN:
        return f"{len(payload):,} bytes"
    try:
        return _cut(repr(decode(payload)))
    except CodecError:  # a string, or what a guest made of it
        return _cut(repr(payload))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
