"""The bounded queue of one receiver.

`put` waits while the box is full, in order of arrival: that is the back-pressure which slows a publisher down to its
slowest subscriber, instead of filling memory. Full is a number of envelopes or of bytes of their payloads, whichever comes
first. A small envelope does not overtake a large one that waits. One that is larger than the whole box goes in when the box
is empty: it would wait for ever otherwise, and how large a message may be is not for the receiver's mailbox to say.

`take` waits while it is empty; there is one taker. Both are safe to cancel: an envelope is either taken or still in the box,
and a cancelled `put` has either put its envelope or not at all.

An idle receiver may also take an envelope *at once*, on the sender's task (`on_idle`): a hop through the box and back costs
more than most calls. Order is not changed by it: that way is closed as long as anything is in the box.

A deque and an event, because a round trip through anyio's memory object streams costs three times as much.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import anyio

from desk.bus.envelope import Envelope
from desk.bus.errors import Unavailable

DEFAULT_CAPACITY = 256
"""Envelopes. Small enough that a stuck receiver is noticed early, large enough to take a burst without waiting."""

DEFAULT_BYTES = 16 << 20
"""Bytes of payload. As many as one argument of a request may have."""


@dataclass(frozen=True, slots=True)
class MailboxStatistics:
    """A snapshot; `peak` helps to choose a capacity from a real run."""

    queued: int
    queued_bytes: int
    waiting: int
    accepted: int
    peak: int


class _Putting:
    """One who waits to put: until there is room (then it is accepted), or the box closes."""

    __slots__ = ("accepted", "envelope", "over", "size", "tell")

    def __init__(self, envelope: Envelope, size: int, tell: Callable[[], object]) -> None:
        self.envelope = envelope
        self.size = size
        self.tell = tell
        self.over = anyio.Event()
        self.accepted = False


class Mailbox:
    """See the module's docstring. `name` is the receiver's, for errors and statistics."""

    def __init__(self, name: str, capacity: int = DEFAULT_CAPACITY, max_bytes: int = DEFAULT_BYTES) -> None:
        if capacity < 1:
            raise ValueError(f"a mailbox holds at least 1 envelope, not {capacity}")
        if max_bytes < 1:
            raise ValueError(f"a mailbox holds at least 1 byte, not {max_bytes}")
        self.name = name
        self.capacity = capacity
        self.max_bytes = max_bytes
        self._queue: deque[tuple[Envelope, int]] = deque()  # with their sizes
        self._bytes = 0
        self._putting: deque[_Putting] = deque()
        self._arrival: anyio.Event | None = None
        self._woken = False
        self.on_idle: Callable[[Envelope], bool] | None = None
        """Asked first, while the box is empty; True: it has taken the envelope, and must not be idle until it is done."""
        self._closed = False
        self._accepted = 0
        self._peak = 0

    def __repr__(self) -> str:
        """Like `<Mailbox weather-widget: 3 of 256, 1,200 bytes, 0 waiting, 41 accepted>`."""
        state = "closed, " if self._closed else ""
        return (
            f"<Mailbox {self.name}: {state}{len(self._queue)} of {self.capacity}, {self._bytes:,} bytes, "
            f"{len(self._putting)} waiting, {self._accepted} accepted>"
        )

    def statistics(self) -> MailboxStatistics:
        """How full it is, how many wait to put, how many it has accepted, and the most it has held."""
        return MailboxStatistics(len(self._queue), self._bytes, len(self._putting), self._accepted, self._peak)

    async def put(self, envelope: Envelope, tell: Callable[[], object] = bool) -> None:
        """Wait for room, then put. Raises `Unavailable` if the box is, or gets, closed.

        `tell` is called when it is in the box: one who is cancelled just then would not know.
        """
        payload = envelope.payload
        size = len(payload) if type(payload) is bytes else envelope.size
        if not self._putting and not self._closed and self._has_room(size):
            self._accept(envelope, size)
            tell()
            return
        self._check_open()
        putting = _Putting(envelope, size, tell)
        self._putting.append(putting)
        try:
            await putting.over.wait()
        finally:
            if putting in self._putting:  # cancelled while still waiting
                self._putting.remove(putting)
                self._admit()  # if it was the first, those behind it may be smaller
        if not putting.accepted:  # the box may have closed since it was, which is then not the putter's business
            self._check_open()

    def offer(self, envelope: Envelope) -> bool:
        """Let an idle receiver take it at once; False if it did not, and it must be `put`. Never waits."""
        if self.on_idle is None or self._queue or self._closed:
            return False
        self._accepted += 1  # before it is handled, and also if an interrupt ends that
        if self.on_idle(envelope):
            return True
        self._accepted -= 1
        return False

    def wake(self) -> None:
        """Let the taker's `take` return None: there is something else for it to do."""
        self._woken = True
        if self._arrival is not None:
            self._arrival.set()

    async def take(self) -> Envelope | None:
        """The oldest envelope, waiting for one; None after `wake`. Raises `Unavailable` once the box is closed and empty."""
        while not self._queue or self._woken:
            if self._woken:
                self._woken = False
                return None
            self._check_open()
            self._arrival = anyio.Event()
            await self._arrival.wait()
        envelope, size = self._queue.popleft()
        self._bytes -= size
        if self._putting:
            self._admit()
        return envelope

    def close(self) -> list[Envelope]:
        """Refuse all further envelopes and give back those that were accepted and not taken. Idempotent."""
        self._closed = True
        left = [envelope for envelope, _ in self._queue]
        self._queue.clear()
        self._bytes = 0
        for putting in self._putting:
            putting.over.set()
        self._putting.clear()
        if self._arrival is not None:
            self._arrival.set()
        return left

    def _has_room(self, size: int) -> bool:
        queued = len(self._queue)
        return not queued or (queued < self.capacity and self._bytes + size <= self.max_bytes)

    def _admit(self) -> None:
        """Accept those who wait to put, in order, up to the first that has no room."""
        while self._putting and self._has_room(self._putting[0].size):
            putting = self._putting.popleft()
            self._accept(putting.envelope, putting.size)
            putting.accepted = True
            putting.tell()
            putting.over.set()

    def _accept(self, envelope: Envelope, size: int) -> None:
        self._queue.append((envelope, size))
        self._bytes += size
        self._accepted += 1
        self._peak = max(self._peak, len(self._queue))
        if self._arrival is not None:
            self._arrival.set()
            self._arrival = None

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable(f"{self.name} has been stopped")
