"""Calls from any thread into one event loop: the thread waits for what a task of the loop does for it.

    async with ThreadCalls() as calls:                  # in the event loop
        ...
    calls.call(lambda: bus.request("clock.now"))        # in any other thread

Threads hand over callables, which one task here runs: what a thread schedules directly on a loop is in no task, and anyio
works only inside of one. Nothing that a thread does here waits for the loop but the call itself, and no call outlives the
`async with`: whoever still waits then gets `PortalClosed`.
"""

import contextvars
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, Generic, Self, TypeVar

import anyio
import anyio.abc

from desk.bus.errors import BusClosed, BusError, WrongThread
from desk.bus.forks import forbid_after_fork

T = TypeVar("T")

_CLOSED_WHILE = "the portal was closed while this thread waited; what it waited for is abandoned"


class PortalClosed(BusError):
    """The portal is closed, or was while the thread waited: then the message may have been delivered, and carried out."""

    doing = "host"
    retry = "if repeatable"


class _Call(Generic[T]):
    """One call of a thread, while it lasts. All but `future` is the event loop's."""

    __slots__ = ("_context", "_function", "_scope", "future")

    def __init__(self, function: Callable[[], Awaitable[T]]) -> None:
        self.future = Future[T]()
        self._function = function
        # What the task does is done in the thread's context: its trace, and whose message it is answering.
        self._context = contextvars.copy_context()
        self._scope: anyio.CancelScope | None = None

    def begin(self, tasks: anyio.abc.TaskGroup) -> None:
        """Make the call, in a task of its own."""
        scope = self._scope = anyio.CancelScope()
        self._context.run(lambda: tasks.start_soon(self._carry_out, scope))

    def abandon(self) -> None:
        """The thread waits for it no longer."""
        if self._scope is not None:
            self._scope.cancel()

    def fail(self, error: BaseException) -> None:
        """Let the thread's call raise `error`, unless it is over."""
        if not self.future.done():
            self.future.set_exception(error)

    async def _carry_out(self, scope: anyio.CancelScope) -> None:
        try:
            with scope:
                result = await self._function()
                if not self.future.done():
                    self.future.set_result(result)
        except Exception as error:
            self.fail(error)
        except BaseException:
            self.fail(PortalClosed(_CLOSED_WHILE))
            raise


class ThreadCalls:
    """See the module's docstring."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # for whether it is open, the calls, and what is handed over
        self._refusal = "is not open: use `async with` on it, in the event loop"
        self._forked = ""
        self._calls: set[_Call[Any]] = set()
        self._handed: deque[Callable[[], object]] = deque()
        self._arrival: anyio.Event | None = None
        self._thread = 0
        forbid_after_fork(self, ThreadCalls._forbid)

    def __repr__(self) -> str:
        """Like `<ThreadCalls, open: 2 calls>`."""
        return f"<ThreadCalls, {'closed' if self._refusal or self._forked else 'open'}: {len(self._calls)} calls>"

    def call(self, function: Callable[[], Awaitable[T]]) -> T:
        """In a thread: run `await function()` in the event loop, in a task of its own, and wait for its result or its error.

        Raises `PortalClosed`, `WrongThread`, and in a forked process `BusClosed`. An interrupt abandons the task.
        """
        self.check()
        call = _Call(function)
        try:
            with self._lock:
                if self._refusal:
                    raise PortalClosed(f"this portal {self._refusal}")
                self._calls.add(call)
                self._hand(partial(call.begin, self._tasks))
            return call.future.result()
        except BaseException:
            with self._lock:
                if not (self._refusal or call.future.done()):  # interrupted
                    self._hand(call.abandon)
            raise
        finally:
            with self._lock:
                self._calls.discard(call)

    def check(self) -> None:
        """Raise `WrongThread`, or `BusClosed` in a forked process: before a thread waits for anything, be it another thread."""
        if self._forked:
            raise BusClosed(f"this portal {self._forked}")
        if threading.get_ident() == self._thread:
            raise WrongThread("a portal is for other threads; in the event loop's own, use `await bus.…`")

    def _hand(self, function: Callable[[], object]) -> None:
        """Let the task here run it. With the lock held, and while open: so the loop is there to be woken."""
        self._handed.append(function)
        self._wake_soon()

    # -- in the event loop

    async def __aenter__(self) -> Self:
        """Let threads call."""
        self._thread = threading.get_ident()
        self._tasks = await anyio.create_task_group().__aenter__()
        self._wake_soon = partial(_call_soon(), self._wake)
        self._tasks.start_soon(self._run_handed)
        self._refusal = ""
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Let nobody call any more: all who wait get `PortalClosed`, and what they waited for is cancelled."""
        with self._lock:
            self._refusal = "is closed"
            calls, self._calls = self._calls, set()
        for call in calls:
            call.fail(PortalClosed(_CLOSED_WHILE))
        self._tasks.cancel_scope.cancel()
        # An error is the app's own: it goes on as it is, not in the group of our tasks.
        await self._tasks.__aexit__(None, None, None)

    async def _run_handed(self) -> None:
        while True:
            self._arrival = anyio.Event()
            while self._handed:
                self._handed.popleft()()
            await self._arrival.wait()

    def _wake(self) -> None:
        if self._arrival is not None:
            self._arrival.set()

    def _forbid(self, why: str) -> None:
        self._forked = why
        self._lock = threading.Lock()  # a thread that is not in this process may have held it


def _call_soon() -> Callable[[Callable[[], object]], object]:
    """How any thread can have a function called in this event loop. Neither loop is imported for the sake of asking."""
    if "trio" in sys.modules:
        import trio

        if trio.lowlevel.in_trio_run():
            return trio.lowlevel.current_trio_token().run_sync_soon
    import asyncio

    return asyncio.get_running_loop().call_soon_threadsafe
