"""The bus for code that is not async: from any thread, without an event loop of its own.

    async with bus.portal() as portal:              # in the bus's event loop
        await anyio.to_thread.run_sync(work, portal)

    def work(portal: Portal) -> None:               # in any thread, at any time until the portal is closed
        portal.publish("weather.changed", {"celsius": 21})
        image = portal.request("ext.weather-widget.render", 640, 480)
        with portal.subscribe("weather.*") as events:
            event = events.take(timeout=1.0)        # or TimeoutError
            for event in events: ...

Results and errors are the bus's own, tracebacks included; what is sent inherits trace and origin from the thread's context. A
thread that waits is never left waiting: when the portal closes it gets `PortalClosed`, and an interrupt (ctrl-C) abandons
what it waited for.
"""

import math
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, Self

import anyio

from desk.bus.exchange import DEFAULT_DEADLINE
from desk.bus.mailbox import DEFAULT_CAPACITY, Overflow
from desk.bus.subscription import Event, Subscription
from desk.bus.thread_calls import PortalClosed, ThreadCalls


class BusVerbs(Protocol):
    """What a portal needs of the bus."""

    def publish(
        self, subject: str, value: object, *, deadline: float | None = ..., retain: bool = ...
    ) -> Awaitable[int]:
        """See `Bus.publish`."""
        ...

    def request(self, subject: str, *args: object, deadline: float | None = ...) -> Awaitable[object]:
        """See `Bus.request`."""
        ...

    def subscribe(
        self, pattern: str, *, capacity: int = ..., overflow: Overflow | str = ..., group: str | None = ...
    ) -> Subscription:
        """See `Bus.subscribe`."""
        ...


class Portal:
    """See the module's docstring. Open it in the event loop, close it there; everything else is for other threads.

    Every verb raises, beside the bus's errors, `PortalClosed`, and `WrongThread` in the event loop's own thread.
    """

    def __init__(self, bus: BusVerbs) -> None:
        self._bus = bus
        self._calls = ThreadCalls()
        self._subscriptions: set[Subscription] = set()

    def __repr__(self) -> str:
        """Like `<Portal: 1 subscriptions, <ThreadCalls, open: 2 calls>>`."""
        return f"<Portal: {len(self._subscriptions)} subscriptions, {self._calls!r}>"

    async def __aenter__(self) -> Self:
        """Let threads in."""
        await self._calls.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Let nobody in any more: all who wait get `PortalClosed`, and their subscriptions are closed."""
        try:
            await self._calls.__aexit__()
        finally:
            for subscription in tuple(self._subscriptions):
                self._end(subscription)

    def _end(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)
        subscription.__exit__()

    def publish(
        self, subject: str, value: object, *, deadline: float | None = DEFAULT_DEADLINE, retain: bool = False
    ) -> int:
        """As `Bus.publish`; the thread waits until every receiver has it."""
        return self._calls.call(lambda: self._bus.publish(subject, value, deadline=deadline, retain=retain))

    def request(self, subject: str, *args: object, deadline: float | None = DEFAULT_DEADLINE) -> object:
        """As `Bus.request`; the thread waits for the answer."""
        return self._calls.call(lambda: self._bus.request(subject, *args, deadline=deadline))

    def subscribe(
        self,
        pattern: str,
        *,
        capacity: int = DEFAULT_CAPACITY,
        overflow: Overflow | str = Overflow.WAIT,
        group: str | None = None,
    ) -> "ThreadSubscription":
        """As `Bus.subscribe`: for `with`, and to iterate over in a thread."""

        async def subscribe() -> Subscription:
            subscription = self._bus.subscribe(pattern, capacity=capacity, overflow=overflow, group=group)
            self._subscriptions.add(subscription)
            return subscription

        async def end() -> None:
            self._end(subscription)

        subscription = self._calls.call(subscribe)
        return ThreadSubscription(self._calls, subscription, end)


class ThreadSubscription:
    """A subscription that a thread reads: iterate over it inside `with`, or `take`. Several threads take turns."""

    def __init__(self, calls: ThreadCalls, subscription: Subscription, end: Callable[[], Awaitable[None]]) -> None:
        self._calls = calls
        self._subscription = subscription
        self._end = end
        self._turn = threading.Lock()

    def __repr__(self) -> str:
        """Like `<ThreadSubscription of <Subscription …>>`."""
        return f"<ThreadSubscription of {self._subscription!r}>"

    def take(self, timeout: float | None = None) -> Event | None:
        """The next event, waiting at most `timeout` seconds for it (None: for ever); None when the subscription is closed.

        Raises `TimeoutError`, and `PortalClosed`. An event that comes later is there for the next one to take.
        """
        until = None if timeout is None else time.monotonic() + timeout

        async def take() -> Event | None:
            with anyio.move_on_after(math.inf if until is None else until - time.monotonic()):
                return await anext(self._subscription, None)
            raise TimeoutError(f"no event within {timeout:g} s")

        self._calls.check()
        if not self._turn.acquire(timeout=-1 if timeout is None else min(max(timeout, 0), threading.TIMEOUT_MAX)):
            raise TimeoutError(f"another thread took its time: no event within {timeout:g} s")
        try:
            return self._calls.call(take)
        finally:
            self._turn.release()

    def close(self) -> None:
        """Get no more events, and let publishers that wait for room go on. Idempotent."""
        try:
            self._calls.call(self._end)
        except PortalClosed:
            pass  # the portal has done it

    def __iter__(self) -> Self:
        """The subscription itself: it is its own iterator."""
        return self

    def __next__(self) -> Event:
        """The next event, however long it takes. Only closing the subscription ends this; a closing portal is an error."""
        event = self.take()
        if event is None:
            raise StopIteration
        return event

    def __enter__(self) -> Self:
        """The subscription, which is open already."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close it."""
        self.close()
