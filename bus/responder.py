"""Who answers requests to a subject: an actor, through its mailbox, or a Python function, on the requester's own task.

    def add(a: int, b: int) -> int: ...
    with bus.respond("calc.add", add):
        ...                                        # meanwhile `await bus.request("calc.add", 1, 2)` gives 3

A function needs no task of its own: whoever asks runs it. So a request costs no task switch, and deadline and cancellation
reach it by themselves: when the requester gives up, the function is cancelled. What it may not do is share objects with its
requester: arguments and result pass through their wire form, as if an extension had been asked. Its errors are typed: a
`DeskError` goes to the requester as it is, any other becomes `ResponderFailed`.
"""

import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self, TypeAlias

from desk.bus.envelope import CURRENT, Answering, Envelope, Origin
from desk.bus.errors import DeskError, Overloaded, ResponderFailed, Unavailable, WouldDeadlock
from desk.bus.exchange import Exchange, told, within
from desk.bus.mailbox import Mailbox
from desk.bus.types.base import InvalidValue
from desk.bus.types.functions import Annotations, check_takes, parse_signature
from desk.bus.types.signature import Signature
from desk.bus.wakeup import Wakeup
from desk.traces import names

Function: TypeAlias = Callable[..., Awaitable[object] | object]
"""What answers: plain, or async."""

AT_ONCE = 64
"""Requests that one Python function answers at the same time, unless said otherwise."""

MAX_ARGUMENT = 16 << 20
"""Bytes of one argument of a request, or of its result. What a *guest* may send is limited more, by its actor."""

WAITING = 1_024
"""Requests that wait for their turn with it; the next is refused with `Overloaded`."""


class Service:
    """Who answers requests to one subject through a mailbox, and how its arguments and result look."""

    __slots__ = ("mailbox", "requested", "signature", "subject")

    def __init__(self, subject: str, signature: Signature, mailbox: Mailbox) -> None:
        self.subject = subject
        self.signature = signature
        self.mailbox = mailbox
        self.requested = 0

    def __repr__(self) -> str:
        """Like `<Service ext.calc.add(i32, i32) -> i32 of calc, 12 requested>`."""
        return f"<Service {self.subject}{self.signature} of {self.name}, {self.requested} requested>"

    @property
    def name(self) -> str:
        """The receiver's, for errors."""
        return self.mailbox.name


class Responder:
    """A Python function that answers requests to one subject. A context manager: leaving it withdraws it."""

    __slots__ = (
        "_annotations",
        "_at_once",
        "_function",
        "_line",
        "_withdraw",
        "active",
        "failed",
        "requested",
        "signature",
        "subject",
        "withdrawn",
    )

    def __init__(
        self,
        subject: str,
        function: Function,
        signature: Signature | str | None,
        at_once: int,
        withdraw: Callable[["Responder"], None],
    ) -> None:
        if type(at_once) is not int or at_once < 1:
            raise ValueError(f"a function answers at least 1 request at a time, not {at_once!r:.40}")
        self.subject = subject
        self._annotations = Annotations(function) if signature is None else None
        if self._annotations is not None:
            signature = self._annotations.signature
        elif isinstance(signature, str):
            signature = parse_signature(signature)
        assert signature is not None
        check_takes(function, len(signature.params))
        self.signature = signature
        self.requested = self.failed = self.active = 0
        self._function = function
        self._at_once = at_once
        self._line: deque[Wakeup] = deque()
        self._withdraw = withdraw
        self.withdrawn = False

    def __repr__(self) -> str:
        """Like `<Responder calc.add(i32, i32) -> i32, 12 requested, 0 failed, 1 active>`."""
        counts = f"{self.requested} requested, {self.failed} failed, {self.active} active"
        return f"<Responder {self.subject}{self.signature}, {counts}>"

    @property
    def name(self) -> str:
        """What errors call it."""
        return self.subject

    def withdraw(self) -> None:
        """Answer no more. What it is answering goes on; those who wait for their turn get `Unavailable`. Idempotent."""
        self._withdraw(self)

    async def answer(self, envelope: Envelope, exchange: Exchange, began: float) -> object:
        """The result for one request, or the error raised. A plain function holds the loop: no deadline interrupts it."""
        if self.active < self._at_once:
            self.active += 1
        else:
            self._refuse_circle()
            await within(envelope, began, self._turn())
        try:
            if self.withdrawn:
                raise Unavailable(f"{self.subject} has been stopped, and answers no more")
            if not exchange.tracing.on:
                return await self._call(envelope, envelope.traceparent, began)
            with exchange.tracing.span(names.PROCESS, self.subject, parent=envelope.traceparent) as span:
                span.set(names.MESSAGE_ID, str(envelope.id))
                return await self._call(envelope, span.traceparent, began)
        except Exception:
            self.failed += 1
            raise
        finally:
            self._end_turn()

    async def _call(self, envelope: Envelope, traceparent: str | None, began: float) -> object:
        origin, payload = envelope.origin, envelope.payload
        assert isinstance(payload, tuple)
        args: Sequence[object] = self.signature.lift_args(payload, max_size=MAX_ARGUMENT)
        inherited = Origin(
            origin.sender, origin.chain, origin.hops + 1, traceparent, envelope.deadline, origin.principals
        )
        answering = Answering(inherited, self)
        token = CURRENT.set(answering)
        try:
            if self._annotations is not None:
                args = self._annotations.natural_args(args)
            result = self._function(*args)
            if inspect.isawaitable(result):
                result = await within(envelope, began, result)
        except DeskError:
            raise
        except Exception as error:
            raise ResponderFailed(f"{self.subject} failed: {told(error)}") from error
        finally:
            answering.over = True
            CURRENT.reset(token)
        try:
            if self._annotations is not None:
                result = self._annotations.plain_result(result)
            lowered = self.signature.lower_result(result, max_size=MAX_ARGUMENT)
        except InvalidValue as error:
            raise ResponderFailed(f"{self.subject} gave what it does not promise: {error}") from error
        except Exception as error:  # an object of the app's, which does not let itself be read
            raise ResponderFailed(f"the result of {self.subject} cannot be read: {told(error)}") from error
        return self.signature.lift_result(lowered, max_size=MAX_ARGUMENT)

    def _refuse_circle(self) -> None:
        """Raise `WouldDeadlock` if all its turns are taken by requests that wait for this one."""
        mine, answering = 0, CURRENT.get()
        while answering is not None:
            mine += answering.by is self and not answering.over
            answering = answering.outer
        if mine >= self._at_once:
            raise WouldDeadlock(
                f"{self.subject} asks itself, and answers at most {self._at_once} at a time (`at_once`)"
            )

    async def _turn(self) -> None:
        """Wait until one who has a turn hands it on."""
        if len(self._line) >= WAITING:
            raise Overloaded(f"{self.subject} has {WAITING:,} requests waiting; try again later")
        turn = Wakeup()
        self._line.append(turn)
        try:
            await turn.wait()
        except BaseException:
            if turn.woken:  # it was handed over at the moment of the cancellation
                self._end_turn()
            else:
                self._line.remove(turn)
            raise

    def _end_turn(self) -> None:
        if self._line:
            self._line.popleft().set()
        else:
            self.active -= 1

    def __enter__(self) -> Self:
        """The responder, which answers already."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Withdraw it."""
        self.withdraw()
