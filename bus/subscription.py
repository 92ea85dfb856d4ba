"""Listening: a pattern, the mailbox that its events go to, and the events as Python code gets them.

async with bus.subscribe("weather.*") as events:
    async for event in events: ...
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from desk.bus import codec
from desk.bus.errors import Unavailable
from desk.bus.mailbox import Mailbox
from desk.bus.subjects import Pattern


@dataclass(frozen=True, slots=True)
class Event:
    """What a Python subscriber gets."""

    id: int
    subject: str
    value: object
    sender: str
    """Name of the extension that published it; empty for the app itself."""
    traceparent: str | None


class Subscription:
    """A pattern and the mailbox that its events go to. Iterate over it inside `async with`, or `with`; one task at a time."""

    def __init__(self, pattern: Pattern, mailbox: Mailbox, cancel: Callable[["Subscription"], None]) -> None:
        self.pattern = pattern
        self.mailbox = mailbox
        self._cancel = cancel
        self.cancelled = False

    def __repr__(self) -> str:
        """Like `<Subscription weather.* to <Mailbox …>>`."""
        return f"<Subscription {self.pattern} to {self.mailbox!r}>"

    def cancel(self) -> None:
        """Take no more events. The mailbox stays as it is. Idempotent."""
        self._cancel(self)

    def __aiter__(self) -> Self:
        """The subscription itself: it is its own iterator."""
        return self

    async def __anext__(self) -> Event:
        """The next event, waiting for it; the end when the subscription was closed."""
        try:
            envelope = await self.mailbox.take()
        except Unavailable:
            raise StopAsyncIteration from None
        assert envelope is not None  # nobody wakes it
        assert type(envelope.payload) is bytes  # requests are never put into a subscription's mailbox
        value = codec.decode(envelope.payload, max_size=len(envelope.payload))
        return Event(envelope.id, envelope.subject, value, envelope.origin.sender, envelope.traceparent)

    def __enter__(self) -> Self:
        """The subscription, which is open already."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Take no more events, and let publishers that wait for room go on."""
        self.cancel()
        self.mailbox.close()

    async def __aenter__(self) -> Self:
        """The same as `with`."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        """The same as `with`."""
        self.__exit__()
