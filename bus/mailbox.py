"""The bounded queue of one receiver.

Full is a number of envelopes or of bytes of their payloads, whichever comes first. What happens then is for the one who
puts to choose (`Overflow`): `line_up` and wait, in order of arrival, which is the back-pressure that slows a publisher down
to its slowest subscriber instead of filling memory; or make room by dropping what is older; or give up. A small envelope
does not overtake a large one that waits. One that is larger than the whole box goes in when the box is empty: it would
wait for ever otherwise, and how large a message may be is not for the receiver's mailbox to say.

`take` waits while the box is empty. What is urgent (`Priority.CONTROL`) is taken first, and has room and a line of its own,
so that a flood of data never delays it. All of this is safe to cancel: an envelope is either taken or still in
the box, and one who waited to put has either put it or not at all.

An idle receiver may also take an envelope *at once*, on the sender's task (`on_idle`): a hop through the box and back costs
more than most calls. Order is not changed by it: that way is closed as long as anything is in the box.

A deque and an event, because a round trip through anyio's memory object streams costs three times as much.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from desk.bus.envelope import Envelope, Priority
from desk.bus.errors import Unavailable
from desk.bus.wakeup import Wakeup

DEFAULT_CAPACITY = 256
"""Envelopes. Small enough that a stuck receiver is noticed early, large enough to take a burst without waiting."""

DEFAULT_BYTES = 16 << 20
"""Bytes of payload. As many as one argument of a request may have."""

CONTROL_CAPACITY = 256
"""Urgent envelopes, beside the capacity: bounded like everything else, and never reached by a host that works."""


class Overflow(StrEnum):
    """What becomes of an event when its subscriber's mailbox is full."""

    WAIT = "wait"
    """Its publisher waits for room."""
    DROP_OLDEST = "drop_oldest"
    """The oldest events in the box make room, and are counted: for values of which only the latest matters."""
    DROP_NEWEST = "drop_newest"
    """It is not put in, and counted."""
    REFUSE = "refuse"
    """It is not put in, and goes to the dead letters, from where it can be retried."""


@dataclass(frozen=True, slots=True)
class MailboxStatistics:
    """A snapshot; `peak` helps to choose a capacity from a real run."""

    queued: int
    queued_bytes: int
    waiting: int
    accepted: int
    peak: int
    displaced: int = 0
    """Of those accepted, how many made room for newer ones."""


class Putting:
    """One who waits in line: until `over` is set, because there was room (then it is `accepted`) or the box was closed."""

    __slots__ = ("_mailbox", "accepted", "envelope", "over", "size", "tell")

    def __init__(self, mailbox: "Mailbox", envelope: Envelope, tell: Callable[[], object]) -> None:
        self._mailbox = mailbox
        self.tell = tell
        self.envelope = envelope
        self.size = envelope.size
        self.over = Wakeup()
        self.accepted = False

    def leave(self) -> None:
        """Wait no longer. Idempotent; what was accepted stays so."""
        self._mailbox.leave_line(self)


class Mailbox:
    """See the module's docstring. `name` is the receiver's, for errors and statistics."""

    def __init__(self, name: str, capacity: int = DEFAULT_CAPACITY, max_bytes: int = DEFAULT_BYTES) -> None:
        for given, what in ((capacity, "envelope"), (max_bytes, "byte")):
            if type(given) is not int or given < 1:
                raise ValueError(f"a mailbox holds a whole number of {what}s, at least 1, not {given!r:.40}")
        self.name = name
        self.capacity = capacity
        self.max_bytes = max_bytes
        self._queue: deque[tuple[Envelope, int]] = deque()  # with their sizes
        self._control: deque[tuple[Envelope, int]] = deque()
        self._bytes = 0
        self._line: OrderedDict[Putting, None] = OrderedDict()  # a set that keeps the order: leaving it is no search
        self._control_line: OrderedDict[Putting, None] = OrderedDict()
        self._arrival: Wakeup | None = None
        self._taken = False
        self._woken = False
        self.on_idle: Callable[[Envelope], bool] | None = None
        """Asked first, while the box is empty; True: it has taken the envelope, and must not be idle until it is done."""
        self.closed = False
        self._accepted = self._peak = self._displaced = 0

    def __repr__(self) -> str:
        """Like `<Mailbox weather-widget: 3 of 256, 1,200 bytes, 0 waiting, 41 accepted>`."""
        state, s = "closed, " if self.closed else "", self.statistics()
        return (
            f"<Mailbox {self.name}: {state}{s.queued} of {self.capacity}, {s.queued_bytes:,} bytes, "
            f"{s.waiting} waiting, {s.accepted} accepted>"
        )

    @property
    def queued(self) -> int:
        """How many are in the box, or wait to be put into it."""
        return len(self._queue) + len(self._control) + len(self._line) + len(self._control_line)

    @property
    def idle(self) -> bool:
        """Whether nothing is in it or waits for it, and its taker is done with what it took: it asks for more."""
        return not (self.queued or self._woken or self._taken)

    def statistics(self) -> MailboxStatistics:
        """How full it is, how many wait to put, how many it has accepted, the most it has held, and how many it displaced."""
        queued, waiting = len(self._queue) + len(self._control), len(self._line) + len(self._control_line)
        return MailboxStatistics(queued, self._bytes, waiting, self._accepted, self._peak, self._displaced)

    # -- putting

    def offer(self, envelope: Envelope) -> bool:
        """Let an idle receiver take it at once; False if it did not, and it must be put. Never waits."""
        if self.on_idle is None or self._queue or self._control or self.closed:
            return False
        self._accepted += 1  # before it is handled, and also if an interrupt ends that
        if self.on_idle(envelope):
            return True
        self._accepted -= 1
        return False

    def accept(self, envelope: Envelope) -> bool:
        """Put it if there is room and nobody waits for room; False if not, or if the box is closed. Never waits."""
        if self.closed or (self._line and envelope.priority is Priority.DATA):
            return False  # (what is urgent stands in line only when there is no room for any)
        payload = envelope.payload
        size = len(payload) if type(payload) is bytes else envelope.size
        if not self._has_room(envelope, size):
            return False
        self._put(envelope, size)
        return True

    def line_up(self, envelope: Envelope, tell: Callable[[], object] = bool) -> Putting:
        """Wait for room in line: await `over`, then look whether it was `accepted`. Raises `Unavailable` if the box is closed.

        `tell` is called at the moment when it is in the box: the one who waits learns it later, or is cancelled just then.
        """
        self._check_open()
        putting = Putting(self, envelope, tell)
        self._line_for(envelope)[putting] = None
        return putting

    def leave_line(self, putting: Putting) -> None:
        """See `Putting.leave`."""
        line = self._line_for(putting.envelope)
        if putting in line:
            del line[putting]
            self._admit()  # if it was the first, those behind it may be smaller

    def lined_up(self) -> list[Envelope]:
        """Those that wait for room."""
        return [putting.envelope for putting in (*self._control_line, *self._line)]

    def displace(self, envelope: Envelope) -> tuple[int, bool]:
        """Put it in place of the oldest events; how many went, and whether it is in: not if nothing but requests is there."""
        size, gone = envelope.size, 0
        queue = self._queue if envelope.priority is Priority.DATA else self._control
        while not self._has_room(envelope, size):
            oldest = next((entry for entry in queue if entry[0].reply is None), None)
            if oldest is None:
                return gone, False
            queue.remove(oldest)
            self._bytes -= oldest[1]
            self._displaced += 1
            gone += 1
        self._put(envelope, size)
        return gone, True

    async def put(self, envelope: Envelope, tell: Callable[[], object] = bool) -> None:
        """Put it, waiting for room. Raises `Unavailable` if the box is, or gets, closed. `tell`: see `line_up`."""
        if self.accept(envelope):
            tell()
            return
        putting = self.line_up(envelope, tell)
        try:
            await putting.over.wait()
        finally:
            putting.leave()
        if not putting.accepted:  # the box may have closed since it was, which is then not the putter's business
            self._check_open()

    # -- taking

    def wake(self) -> None:
        """Let the taker's `take` return None: there is something else for it to do."""
        self._woken = True
        if self._arrival is not None:
            self._arrival.set()
            self._arrival = None

    async def take(self) -> Envelope | None:
        """The next envelope, waiting for one; None after `wake`. Raises `Unavailable` once the box is closed and empty."""
        self._taken = False
        while True:
            if self._woken:
                self._woken = False
                self._taken = True
                return None
            if self._control or self._queue:
                break
            self._check_open()
            if self._arrival is None:
                self._arrival = Wakeup()
            await self._arrival.wait()
        envelope, size = (self._control or self._queue).popleft()
        self._taken = True
        self._bytes -= size
        if self._line or self._control_line:
            self._admit()
        return envelope

    def close(self) -> list[Envelope]:
        """Refuse all further envelopes and give back those that were accepted and not taken. Idempotent."""
        self.closed = True
        left = [envelope for envelope, _ in (*self._control, *self._queue)]
        self._control.clear()
        self._queue.clear()
        self._bytes = 0
        for line in (self._control_line, self._line):
            for putting in line:
                putting.over.set()
            line.clear()
        if self._arrival is not None:
            self._arrival.set()
            self._arrival = None
        return left

    # -- inside

    def _has_room(self, envelope: Envelope, size: int) -> bool:
        if envelope.priority is Priority.CONTROL:
            return len(self._control) < CONTROL_CAPACITY
        queued = len(self._queue)
        return not queued or (queued < self.capacity and self._bytes + size <= self.max_bytes)

    def _line_for(self, envelope: Envelope) -> OrderedDict[Putting, None]:
        return self._line if envelope.priority is Priority.DATA else self._control_line

    def _admit(self) -> None:
        """Accept those who wait in each line, in order, up to the first that has no room."""
        for line in (self._control_line, self._line):
            while line:
                putting = next(iter(line))
                if not self._has_room(putting.envelope, putting.size):
                    break
                del line[putting]
                self._put(putting.envelope, putting.size)
                putting.accepted = True
                putting.tell()
                putting.over.set()

    def _put(self, envelope: Envelope, size: int) -> None:
        (self._queue if envelope.priority is Priority.DATA else self._control).append((envelope, size))
        self._bytes += size
        self._accepted += 1
        queued = len(self._queue) + len(self._control)
        if queued > self._peak:
            self._peak = queued
        if self._arrival is not None:
            self._arrival.set()
            self._arrival = None

    def _check_open(self) -> None:
        if self.closed:
            raise Unavailable(f"{self.name} has been stopped")
