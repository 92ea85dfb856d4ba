"""What can be answered at once is answered where the question came up: to hand it to another task costs more than most answers.

A coroutine is begun by hand, in code that is not async, and runs until its end or until it says `await apart()`: it says so
before it waits, or takes hold of what belongs to a task (a cancel scope, a lock). From there on it goes on in any task.

    begun = Begun(answer())
    begun.result if begun.over else await begun         the latter in whatever task

In a coroutine that a task runs anyway `apart` does nothing.
"""

import threading
from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any, Final, Generic, TypeVar, cast

_T = TypeVar("_T")
_APART: Final = object()


class _Thread(threading.local):
    by_hand = False


_thread = _Thread()


@coroutine
def apart() -> Generator[object, None, None]:
    """Return in a task. Anything may have happened meanwhile, and the caller may be cancelled here."""
    if _thread.by_hand:
        yield _APART


class Begun(Generic[_T]):
    """A coroutine that runs as far as it does not wait; see the module's docstring. What it raises, its beginning raises."""

    __slots__ = ("_coroutine", "over", "result")

    def __init__(self, coroutine: Coroutine[Any, Any, _T]) -> None:
        self.over = False
        self.result = cast("_T", None)
        """What it returned, if it is `over`."""
        self._coroutine = coroutine
        before, _thread.by_hand = _thread.by_hand, True
        try:
            if coroutine.send(None) is not _APART:
                coroutine.throw(RuntimeError("this waits, and has not said `await apart()` before"))
        except StopIteration as end:
            self.over, self.result = True, end.value
        finally:
            _thread.by_hand = before

    def __await__(self) -> Generator[Any, Any, _T]:
        """The rest of it."""
        return self._coroutine.__await__()
