"""What one extension has open: sockets, watches, streams. The guest knows each by a number, its handle.

Handles mean something in this table only, and are never used twice: the number of another extension, one that was closed or a
guess is `unknown`. Each resource remembers the permissions that it was opened under, and is closed when one of them is gone: by a
revoke, the end of a lease, or because somebody on whose behalf it was opened has lost it.

A resource outlives calls and a reload of the code, but not its instance: a guest that traps has forgotten its handles.

Beside them a provider may keep what it has opened for its own use under a permission, such as a granted directory: it has a key
in place of a handle, counts for nobody, and is closed like the others, or when it was not used for the longest time.
"""

import itertools
import logging
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Protocol, TypeVar, cast

from desk.capabilities.atoms import Atom
from desk.capabilities.codes import CapabilityError, Code

log = logging.getLogger("desk.capabilities")

MOST = 64
"""Resources of one extension at one time, unless said otherwise."""

KEPT = 64
"""Things that providers keep open for one extension."""


class Resource(Protocol):
    """Something that is open."""

    def close(self) -> None:
        """Close it now, without waiting; whoever waits for it meanwhile is woken with an error. Idempotent."""
        ...


_R = TypeVar("_R", bound=Resource)
_K = TypeVar("_K", bound=Hashable)


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
        self._kept: dict[Hashable, _Open] = {}  # the one that was used last is the last
        self.on_open: Callable[[], object] = lambda: None
        """Called before something is opened, or kept open."""
        self._numbers = itertools.count(1)
        self._ended = False

    def __len__(self) -> int:
        return len(self._open)

    def __repr__(self) -> str:
        """Like `<Resources: 2 of 64: TcpStream, Watch>`."""
        kinds = ", ".join(type(each.resource).__name__ for each in self._open.values())
        return f"<Resources: {len(self)} of {self.most}: {kinds or 'none'}>"

    @property
    def empty(self) -> bool:
        """Whether nothing is open, and nothing kept."""
        return not (self._open or self._kept)

    def check_room(self) -> None:
        """Raise `CapabilityError(OVERLOADED)` if there is no room for one more: before it is opened."""
        if len(self._open) >= self.most:
            raise CapabilityError(
                Code.OVERLOADED, f"{self.most} resources are open, which is the limit (resources); close one first"
            )

    def add(self, resource: Resource, atoms: tuple[Atom, ...], principals: tuple[str, ...]) -> int:
        """Keep it, and return its handle. `principals` are those on whose behalf it was opened, `Origin.principals`.

        Raises `CapabilityError(OVERLOADED)` if there is no room, `UNAVAILABLE` if the extension is gone; it is closed then.
        """
        try:
            self._check_there()
            self.check_room()
        except CapabilityError:
            resource.close()
            raise
        self.on_open()
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

    def kept(self, key: Hashable, atoms: tuple[Atom, ...], principals: tuple[str, ...], make: Callable[[], _R]) -> _R:
        """What is open under `key`, or else what `make` opens, kept for the next time. It may be closed at any later time.

        Raises `CapabilityError(UNAVAILABLE)` if the extension is gone, and what `make` does.
        """
        self._check_there()
        found = self._kept.pop(key, None)
        if found is None:
            self.on_open()
            found = _Open(make(), atoms, principals)
        self._kept[key] = found
        if len(self._kept) > KEPT:
            self.drop(next(iter(self._kept)))
        return cast("_R", found.resource)  # a key is one provider's, and stands for one kind

    def drop(self, key: Hashable) -> None:
        """Close what is kept under `key`, if anything is."""
        found = self._kept.pop(key, None)
        if found is not None:
            _close(found.resource)

    def close(self, handle: int) -> None:
        """Close one. Nothing happens if there is no such handle."""
        found = self._open.pop(handle, None)
        if found is not None:
            _close(found.resource)

    def keep(self, allowed: Callable[[Atom, tuple[str, ...]], bool]) -> None:
        """Close all whose permissions are not `allowed` for all their principals."""
        for handle in _forbidden(self._open, allowed):
            self.close(handle)
        for key in _forbidden(self._kept, allowed):
            self.drop(key)

    def end(self) -> None:
        """Close all, and whatever a request that is still under way opens: the extension is gone. Idempotent."""
        self._ended = True
        self.close_all()

    def _check_there(self) -> None:
        if self._ended:
            raise CapabilityError(Code.UNAVAILABLE, "the extension was stopped")

    def close_all(self) -> None:
        """Close all: the instance is gone."""
        for handle in list(self._open):
            self.close(handle)
        for key in list(self._kept):
            self.drop(key)


def _forbidden(open_: dict[_K, _Open], allowed: Callable[[Atom, tuple[str, ...]], bool]) -> list[_K]:
    return [key for key, each in open_.items() if not all(allowed(atom, each.principals) for atom in each.atoms)]


def _close(resource: Resource) -> None:
    try:
        resource.close()
    except Exception:  # the others must be closed all the same
        log.exception("a resource could not be closed: %r", resource)
