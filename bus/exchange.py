"""What events and requests share: the pace, the trace, the numbering, the dead letters, who watches, and whether it is open."""

import itertools
import math
import time
from collections.abc import Awaitable, Iterator
from threading import get_ident
from typing import TypeVar

import anyio

from desk.bus.dead_letters import Cause, DeadLetters
from desk.bus.envelope import MAX_HOPS, Envelope, Origin
from desk.bus.errors import BusClosed, DeadlineExceeded, TooManyHops, Unavailable, WrongThread
from desk.bus.pace import Pace
from desk.bus.tap import Act, Tap
from desk.traces.tracing import Tracing

T = TypeVar("T")

DEFAULT_DEADLINE = 30.0
"""Seconds a request waits for its answer, and an event for room in a full mailbox, if the caller says nothing."""

_FOR_EVER = 1e12
"""Seconds; more are not told from it, since no clock counts that far."""

_CLOSING = "is shutting down: only what running messages cause is carried out"
_CLOSED = "is shut down"


class Exchange:
    """See the module's docstring; the bus's own, not for its users."""

    def __init__(self, tracing: Tracing) -> None:
        self.tracing = tracing
        self.pace = Pace()
        self.ids: Iterator[int] = itertools.count(1)
        self.letters = DeadLetters()
        self.taps: tuple[Tap, ...] = ()
        self.refusal = ""
        """Why new messages are refused; empty while the bus is open."""
        self.thread = 0
        """Whose event loop the bus lives in; 0 until it is used for the first time."""
        self.delivered = 0

    # -- open or not

    def close(self, *, wholly: bool) -> None:
        """Refuse all further messages, or all but those that others cause. What was refused before stays refused."""
        if self.refusal in ("", _CLOSING):
            self.refusal = _CLOSED if wholly else _CLOSING

    def forbid(self, why: str) -> None:
        """Refuse everything, for good: this is not the process that the bus belongs to."""
        self.refusal = why

    def check(self, origin: Origin, subject: str) -> None:
        """Raise `BusClosed` if a message of that origin is refused, `TooManyHops`, or `WrongThread`.

        For who sends often: only if something of it is unusual. (`refusal`, `origin.hops`, `thread`)
        """
        if self.refusal and not (self.refusal is _CLOSING and origin.hops):
            raise BusClosed(f"this bus {self.refusal}")
        if origin.hops > MAX_HOPS:
            raise TooManyHops(
                f"a message to {subject} would be the {origin.hops}th that one message has caused; at most {MAX_HOPS} may be. "
                f"Most likely receivers answer each other in a loop (the last sender is {origin.sender or 'the app'})"
            )
        thread = get_ident()
        if thread != self.thread:
            if self.thread:
                raise WrongThread(
                    "this bus lives in the event loop of another thread; from here, use a portal of it: `bus.portal()`"
                )
            self.thread = thread

    def count_delivery(self) -> None:
        """One more message is in a mailbox."""
        self.delivered += 1

    # -- watching

    def show(self, act: Act, envelope: Envelope, detail: str = "") -> None:
        """Let every tap see it. Ask whether there are `taps` first: most of the time there are none."""
        for tap in self.taps:
            tap.show(act, envelope, detail)

    # -- letters nobody could take

    def bury(self, envelope: Envelope, receiver: str, reason: str, error: Exception | None, cause: Cause) -> None:
        """An accepted envelope was not handled: its requester is told, or if nobody waits it goes to the dead letters."""
        if envelope.reply is None or not envelope.reply.fail(error or Unavailable(f"{receiver} {reason}")):
            self.keep(envelope, receiver, reason, cause)

    def keep(self, envelope: Envelope, receiver: str, reason: str, cause: Cause) -> None:
        """One more dead letter."""
        self.letters.add(envelope, receiver, cause, reason)
        if self.taps:
            self.show(Act.DEAD, envelope, reason)


def latest(now: float, deadline: float | None, inherited: float | None) -> float | None:
    """The moment a `deadline` in seconds from now means, or an earlier one that was inherited. Raises `ValueError`."""
    if deadline is None:
        return inherited
    # It comes from untyped code, too.
    if type(deadline) not in (float, int) or not deadline >= 0:  # NaN is not, either
        raise ValueError(
            f"a deadline is a number of seconds from now, 0 or more, or None for no deadline; not {deadline!r:.40}"
        )
    limit = now + min(deadline, _FOR_EVER)
    return limit if inherited is None else min(limit, inherited)


def told(error: Exception) -> str:
    """The error's name and what it says, for others; it may come from anybody's code, which may fail at that, too."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return f"{type(error).__name__}, which fails to say why"


async def within(request: Envelope, began: float, answering: Awaitable[T]) -> T:
    """The answer, waited for until the request's deadline. Raises `DeadlineExceeded`."""
    limit = request.deadline
    with anyio.move_on_after(seconds_until(limit)):
        return await answering
    raise too_late(request, began)


def too_late(request: Envelope, began: float) -> DeadlineExceeded:
    """The error of a request whose deadline has passed."""
    seconds = round(seconds_until(request.deadline, began), 3)
    return DeadlineExceeded(f"no answer from {request.subject} within {seconds:g} s")


def seconds_until(limit: float | None, now: float | None = None) -> float:
    """How long until then; infinite for None, 0 if it is past."""
    if limit is None:
        return math.inf
    return max(0.0, limit - (time.monotonic() if now is None else now))
