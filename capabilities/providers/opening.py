"""The time in which something is done on the network, and how it may end early.

Two kinds of waiting, each with a time limit beside the caller's own deadline:

* `Opening`: what is being opened, or lives for one request only. It has its place among the extension's resources from the
  beginning, so that what is opened while a permission is taken away is as closed as what was open before.
* `using`: for something that is open and has a handle.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol, TypeVar

import anyio

from desk.capabilities.atoms import Atom
from desk.capabilities.codes import CapabilityError, Code, PermissionDenied
from desk.capabilities.provider import Use
from desk.capabilities.resources import Resource


class Closable(Resource, Protocol):
    """A resource that can tell whether it is closed."""

    @property
    def closed(self) -> bool:
        """Whether it is."""
        ...


_R = TypeVar("_R", bound=Resource)
_S = TypeVar("_S", bound=Closable)


class Opening:
    """Something of a `Use` that takes time. `with opening.within(...)` around all of it; `hold` what must be closed with it."""

    def __init__(self, use: Use, atoms: tuple[Atom, ...]) -> None:
        """Raises `CapabilityError(OVERLOADED)` if there is no room for one more resource."""
        self._use = use
        self._atoms = atoms
        self._scope = anyio.CancelScope()
        self._held: Resource | None = None
        self._over = False
        self._revoked = False
        self._handle = use.resources.add(self, atoms, use.origin.principals)

    @contextmanager
    def within(self, seconds: float, what: str) -> Generator[None]:
        """Do it, and close what is held unless it was kept.

        Raises `CapabilityError(DEADLINE)`, which says that there was no `what`, and `PermissionDenied` if a permission for it
        was taken away meanwhile.
        """
        self._scope.deadline = anyio.current_time() + seconds
        try:
            with self._scope:
                yield
            self._check()
            if self._scope.cancelled_caught:
                raise CapabilityError(Code.DEADLINE, f"no {what} within {seconds} s")
        except Exception:
            self._check()  # what else went wrong then is its consequence
            raise
        finally:
            self._end()

    def hold(self, resource: _R) -> _R:
        """Close `resource` when this ends, however it does."""
        if self._revoked:
            resource.close()
        self._held = resource
        return resource

    def keep(self) -> int:
        """Leave what is held open when this ends, and return its handle. Raises `PermissionDenied` as `within` does."""
        self._check()
        assert self._held is not None, "nothing to keep"
        resource, self._held = self._held, None
        self._end()
        return self._use.resources.add(resource, self._atoms, self._use.origin.principals)

    def close(self) -> None:
        """A permission is gone, or the extension is."""
        if not self._over:
            self._revoked = True
            self._scope.cancel()
            if self._held is not None:
                self._held.close()

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self._use.resources.close(self._handle)
            if self._held is not None:
                self._held.close()

    def _check(self) -> None:
        if self._revoked:
            raise taken_away()


@contextmanager
def using(use: Use, handle: int, kind: type[_S], seconds: float, what: str) -> Generator[_S]:
    """Wait for something that is open.

    Raises `CapabilityError`: `UNKNOWN` if there is no such handle; `DEADLINE`, which says that there was no `what`; `OVERLOADED`
    if somebody waits for it already; `UNAVAILABLE` if it broke; `PermissionDenied` if it was closed meanwhile.
    """
    resource = use.resources.get(handle, kind)
    try:
        with anyio.fail_after(seconds):
            yield resource
    except TimeoutError:
        raise CapabilityError(Code.DEADLINE, f"no {what} within {seconds} s") from None
    except anyio.ClosedResourceError:
        raise taken_away() from None
    except anyio.BusyResourceError:
        raise CapabilityError(Code.OVERLOADED, "somebody else waits for the same already") from None
    except anyio.BrokenResourceError:
        raise CapabilityError(Code.UNAVAILABLE, "the connection broke") from None
    finally:
        if resource.closed:  # by what was given up halfway
            use.resources.close(handle)


def taken_away() -> PermissionDenied:
    """What whoever waited for it gets."""
    return PermissionDenied("it was closed: a permission that it was opened under was taken away")
