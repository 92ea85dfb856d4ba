"""What one reads from a link: messages that arrived, and nodes that came and went.

The engine's side puts in (`offer`, `came`, `went`, `end`), never waits and never fails; one task reads. Both are bounded:
messages by their number and bytes, presence by the number of nodes, since of each only the last state is kept.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

import anyio

from desk.bus.errors import BusError
from desk.bus.mailbox import DEFAULT_BYTES

T = TypeVar("T")


class _Reading(Generic[T]):
    """An iterator over what is there, which waits for more until it is ended."""

    def __init__(self) -> None:
        self._arrival: anyio.Event | None = None
        self._ended = False
        self._error: BusError | None = None

    def end(self, error: BusError | None = None) -> None:
        """Nothing more will come: what is there can be read, and then the iteration ends, or raises `error`. Idempotent."""
        if not self._ended:
            self._ended, self._error = True, error
            self._wake()

    def __aiter__(self) -> Self:
        """Itself: it is its own iterator."""
        return self

    async def __anext__(self) -> T:
        """The next one, waiting for it. Safe to cancel: it is returned, or still there."""
        while True:
            found = self._next()
            if found is not None:
                return found
            if self._error is not None:
                raise self._error.with_traceback(None)  # else it grows each time
            if self._ended:
                raise StopAsyncIteration
            self._arrival = anyio.Event()
            await self._arrival.wait()

    def _next(self) -> T | None:
        raise NotImplementedError

    def _wake(self) -> None:
        if self._arrival is not None:
            self._arrival.set()
            self._arrival = None


class Buffer(_Reading[T]):
    """A bounded queue that drops what does not fit. `capacity` is a number of messages, `max_bytes` one of their payloads' bytes.

    A message that alone is larger than `max_bytes` fits into an empty buffer: it would never come otherwise.
    """

    def __init__(self, capacity: int, max_bytes: int = DEFAULT_BYTES) -> None:
        super().__init__()
        if capacity < 1:
            raise ValueError(f"a buffer holds at least 1 message, not {capacity}")
        self.capacity = capacity
        self.max_bytes = max_bytes
        self.dropped = 0
        """Messages that found no room."""
        self._queue: deque[tuple[T, int]] = deque()
        self._bytes = 0

    def __repr__(self) -> str:
        """Like `<Buffer: 3 of 256, 1,200 bytes, 0 dropped>`."""
        return f"<Buffer: {len(self)} of {self.capacity}, {self._bytes:,} bytes, {self.dropped} dropped>"

    def __len__(self) -> int:
        """How many wait to be read."""
        return len(self._queue)

    def offer(self, item: T, size: int) -> bool:
        """Put it in, if there is room; `size` is its payload's, in bytes. False if not, or if the buffer has ended."""
        if self._ended:
            return False
        if self._queue and (len(self._queue) >= self.capacity or self._bytes + size > self.max_bytes):
            self.dropped += 1
            return False
        self._queue.append((item, size))
        self._bytes += size
        self._wake()
        return True

    def _next(self) -> T | None:
        if not self._queue:
            return None
        item, size = self._queue.popleft()
        self._bytes -= size
        return item


@dataclass(frozen=True, slots=True)
class NodeChange:
    """A node came (`there`), or went."""

    node: str
    there: bool


class Presence(_Reading[NodeChange]):
    """The other nodes: who is there at this moment (`nodes`), and by iterating over it, each coming and going since."""

    def __init__(self) -> None:
        super().__init__()
        self._there: dict[str, object] = {}  # name -> its incarnation, one object for each time it came
        self._told: dict[str, object] = {}  # the same, as far as the reader knows
        self._changed: dict[str, None] = {}  # names whose two states may differ, in the order of their changes

    def __repr__(self) -> str:
        """Like `<Presence: cellar, kitchen>`."""
        return f"<Presence: {', '.join(sorted(self._there)) or 'nobody'}>"

    @property
    def nodes(self) -> frozenset[str]:
        """Who is there at this moment, whether or not the reader has been told yet."""
        return frozenset(self._there)

    def begin(self, nodes: Iterable[str]) -> None:
        """Who is there to begin with: the reader sees them in `nodes`, and is told of what changes from then on."""
        for node in nodes:
            self._there[node] = self._told[node] = object()

    def came(self, node: str) -> None:
        """A node came, anew if it was there already."""
        self._there[node] = object()
        self._note(node)

    def went(self, node: str) -> None:
        """A node went."""
        if self._there.pop(node, None) is not None:
            self._note(node)

    def _note(self, node: str) -> None:
        self._changed[node] = None
        self._wake()

    def _next(self) -> NodeChange | None:
        while self._changed:
            node = next(iter(self._changed))
            there, told = self._there.get(node), self._told.get(node)
            if told is not None and told is not there:
                del self._told[node]  # and, if it has come back, that is told next
                return NodeChange(node, there=False)
            del self._changed[node]
            if there is not None and told is None:
                self._told[node] = there
                return NodeChange(node, there=True)
        return None
