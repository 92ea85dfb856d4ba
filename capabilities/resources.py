"""What one extension has open: sockets, watches, streams. The guest knows each by a number, its handle.

Handles mean something in this table only, and are never used twice: the number of another extension, one that was closed or a
guess is `unknown`. Each resource remembers the permissions that it was opened under, and is closed when one of them is gone: by a
revoke, the end of a lease, or because somebody on whose behalf it was opened has lost it.

A resource outlives calls and a reload of the code, but not its instance: a guest that traps has forgotten its handles.
"""

import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from desk.capabilities.atoms import Atom
from desk.capabilities.codes import CapabilityError, Code

log = logging.getLogger("desk.capabilities")

MOST = 64
"""Resources of one extension at one time, unless said otherwise."""


class Resource(Protocol):
    """Something that is open."""

    def close(self) -> None:
        """Close it now, without waiting; whoever waits for it meanwhile is woken with an error. Idempotent."""
        ...


_R = TypeVar("_R", bound=Resource)


@dataclass(frozen=True, slots=True)
class _Open:
    resource: Resource
    atoms: tuple[Atom, ...]
    principals: tuple[str, ...]


class Resources:
    """See the module's docstring."""

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self._open: dict[int, _Open] = {}
        self._numbers = itertools.count(1)

    def __len__(self) -> int:
        return len(self._open)

    def __repr__(self) -> str:
        """Like `<Resources: 2 of 64: TcpStream, Watch>`."""
        kinds = ", ".join(type(each.resource).__name__ for each in self._open.values())
        return f"<Resources: {len(self)} of {self.most}: {kinds or 'none'}>"

    def check_room(self) -> None:
        """Raise `CapabilityError(OVERLOADED)` if there is no room for one more: before it is opened."""
        if len(self._open) >= self.most:
            raise CapabilityError(
                Code.OVERLOADED, f"{self.most} resources are open, which is the limit (resources); close one first"
            )

    def add(self, resource: Resource, atoms: tuple[Atom, ...], principals: tuple[str, ...]) -> int:
        """Keep it, and return its handle. `principals` are those on whose behalf it was opened, `Origin.principals`.

        Raises `CapabilityError(OVERLOADED)` if there is no room; it is closed then.
        """
        try:
            self.check_room()
        except CapabilityError:
            resource.close()
            raise
        handle = next(self._numbers)
        self._open[handle] = _Open(resource, atoms, principals)
        return handle

    def get(self, handle: int, kind: type[_R]) -> _R:
        """The resource of a handle. Raises `CapabilityError(UNKNOWN)` if there is none, or it is of another kind."""
        found = self._open.get(handle)
        if found is None or not isinstance(found.resource, kind):
            raise CapabilityError(
                Code.UNKNOWN, f"there is no {kind.__name__} with the handle {handle}; it may be closed"
            )
        return found.resource

    def atoms(self, handle: int) -> tuple[Atom, ...]:
        """The permissions that it was opened under, which whoever uses it needs, too. None for an unknown handle."""
        found = self._open.get(handle)
        return () if found is None else found.atoms

    def close(self, handle: int) -> None:
        """Close one. Nothing happens if there is no such handle."""
        found = self._open.pop(handle, None)
        if found is not None:
            _close(found.resource)

    def keep(self, allowed: Callable[[Atom, tuple[str, ...]], bool]) -> int:
        """Close all whose permissions are no longer `allowed` for all their principals; returns how many."""
        gone = [
            handle
            for handle, each in self._open.items()
            if not all(allowed(atom, each.principals) for atom in each.atoms)
        ]
        for handle in gone:
            self.close(handle)
        return len(gone)

    def close_all(self) -> None:
        """Close all: the instance is gone, or the extension is."""
        for handle in list(self._open):
            self.close(handle)


def _close(resource: Resource) -> None:
    try:
        resource.close()
    except Exception:  # the others must be closed all the same
        log.exception("a resource could not be closed: %r", resource)
