"""One grant: a permission that was given, by whom and why, for how long, and how often it was used.

A grant is live until it is revoked or its lease is over. A lease has up to three ends: a time, a number of uses, and a number of
bytes. A use is one request. The bytes are those of requests and answers; the request that goes over the budget is still
answered, and the next is denied.

    all_day = Grant(NetworkAtom.parse("*.example.com"))
    briefly = all_day.derive(NetworkAtom.parse("api.example.com"), seconds=60, uses=10)

What is derived from a grant is never wider, never lives longer, and its uses and bytes count against all that it comes from;
`revoke` reaches everything that was derived. So whoever holds a grant can hand on a part of it, and take it back.
"""

import time
from collections.abc import Callable, Container, Iterable, Iterator
from enum import StrEnum
from typing import Literal, Protocol

from desk.capabilities.atoms import Atom
from desk.capabilities.codes import PermissionDenied
from desk.capabilities.syntax import escaped

End = Literal["revoked", "narrowed", "expired", "used up"]
"""Why a grant is over."""


class Scope(StrEnum):
    """How long a grant was meant to last when it was given."""

    ONCE = "once"
    """For one request."""
    SESSION = "session"
    """Until the extension is removed."""
    ALWAYS = "always"
    """Also when it is loaded again: whoever gives it so remembers it, a grant itself does not."""


_WIDER = (Scope.ONCE, Scope.SESSION, Scope.ALWAYS)


class Owner(Protocol):
    """Whoever decides by a grant, and is to be told when it is over."""

    def notice(self) -> None:
        """Some of its grants may be over."""
        ...


class Grant:
    """See the module's docstring. Its lease counts down; all else of it stays as it was given."""

    __slots__ = (
        "_children",
        "_clock",
        "asked",
        "atom",
        "by",
        "bytes_left",
        "ended",
        "expires",
        "last_used",
        "leased",
        "owner",
        "parent",
        "reason",
        "scope",
        "since",
        "text",
        "used",
        "uses_left",
    )

    def __init__(
        self,
        atom: Atom,
        *,
        scope: Scope = Scope.SESSION,
        seconds: float | None = None,
        uses: int | None = None,
        size: int | None = None,
        by: str = "operator",
        reason: str = "",
        parent: "Grant | None" = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`seconds`, `uses` and `size` (bytes) limit it; `Scope.ONCE` is one use. `clock` tells seconds, as `time.monotonic`.

        Raises `ValueError` for limits that are not above zero.
        """
        for limit in (seconds, uses, size):
            if limit is not None and not limit > 0:
                raise ValueError(f"a grant is limited to seconds, uses or bytes above zero, not {limit!r:.40}")
        self.atom = atom
        self.scope = scope
        self.since = time.time()
        """When it was given, in seconds since the epoch."""
        self.by = by
        """Who gave it."""
        self.reason = reason
        """What for."""
        self.text = f"{atom} ({scope.value}, by {escaped(by)})"
        """As the audit names it, in printable ASCII."""
        self.expires = None if seconds is None else clock() + seconds
        """When it ends, on the clock that it was given with, in seconds; None: never."""
        self.uses_left = 1 if scope is Scope.ONCE else uses
        """Requests that it still allows; None: any number. Those that it comes from may allow fewer."""
        self.bytes_left = size
        """Bytes that it still allows; None: any number."""
        self.used = 0
        """Requests that rested on it."""
        self.last_used: float | None = None
        """When one did last, in seconds since the epoch."""
        self.parent = parent
        """What it was derived from."""
        self.ended: End | None = None
        """Why it is over, if somebody has noticed: `live` also looks at the lease."""
        self.owner: Owner | None = None
        """Who decides by it."""
        self.asked = False
        """Whether the manifest of its owner asks for all that it permits. The owner's to say."""
        self._clock = clock
        self._children: dict[Grant, None] = {}
        if parent is not None:
            if parent.expires is not None and (self.expires is None or self.expires > parent.expires):
                self.expires = parent.expires
            parent._children[self] = None
        self.leased = (
            self.expires is not None
            or self.uses_left is not None
            or self.bytes_left is not None
            or (parent is not None and parent.leased)
        )
        """Whether it may end otherwise than by being revoked."""

    def __repr__(self) -> str:
        """Like `<Grant network connect:a.example:443, once, 1 use left>`, `<Grant clock wall, session, revoked>`."""
        said = [self.scope.value]
        if self.uses_left is not None:
            said.append(f"{self.uses_left} use{'' if self.uses_left == 1 else 's'} left")
        if self.bytes_left is not None:
            said.append(f"{self.bytes_left:,} bytes left")
        if self.expires is not None:
            said.append(f"{max(0.0, self.expires - self._clock()):.0f} s left")
        if self.ended is not None:
            said.append(self.ended)
        return f"<Grant {self.atom}, {', '.join(said)}>"

    @property
    def live(self) -> bool:
        """Whether it allows the next request."""
        return self.ended is None and (not self.leased or self.over is None)

    @property
    def over(self) -> End | None:
        """Why it is over, whether that was noticed or not; None if it is live."""
        if self.ended is not None:
            return self.ended
        if self.expires is not None and self.expires <= self._clock():
            return "expired"
        grant: Grant | None = self
        while grant is not None:
            if grant.uses_left == 0 or grant.bytes_left == 0:
                return "used up"
            grant = grant.parent
        return None

    @property
    def derived(self) -> "tuple[Grant, ...]":
        """What was derived from it directly, as long as that or something derived from it is not over."""
        return tuple(self._children)

    def derive(
        self,
        atom: Atom | None = None,
        *,
        scope: Scope = Scope.ALWAYS,
        seconds: float | None = None,
        uses: int | None = None,
        size: int | None = None,
        by: str = "operator",
        reason: str = "",
    ) -> "Grant":
        """A grant of `atom`, by default the same, that ends with this one at the latest, and has its scope at the widest.

        Raises `PermissionDenied` if this does not cover `atom`, or is over; `ValueError` as a new grant does.
        """
        atom = self.atom if atom is None else atom
        if not self.atom.covers(atom):
            raise PermissionDenied(f"{atom} is more than {self.atom}, from which it was to be derived")
        over = self.over
        if over is not None:
            raise PermissionDenied(f"nothing can be derived from {self.atom}: it is {over}")
        narrower = min(scope, self.scope, key=_WIDER.index)
        return Grant(
            atom,
            scope=narrower,
            seconds=seconds,
            uses=uses,
            size=size,
            by=by,
            reason=reason,
            parent=self,
            clock=self._clock,
        )

    def revoke(self) -> None:
        """End it, and everything that was derived from it, at once. Idempotent."""
        end([self], "revoked")

    def _lineage(self) -> "Iterator[Grant]":
        """This, and all that it comes from."""
        grant: Grant | None = self
        while grant is not None:
            yield grant
            grant = grant.parent

    def _end(self, why: End, spare: Container["Grant"]) -> "list[Grant]":
        """End it, and what was derived from it; return what was not over before."""
        found = [self]
        for grant in found:
            found += [child for child in grant._children if child not in spare]
        over = [grant for grant in found if grant.ended is None]
        for grant in over:
            grant.ended = why
        for grant in reversed(found):  # whoever comes from it is still to be reached through it
            grant._children = {child: None for child in grant._children if child in spare or child._children}
        self._leave()
        return over

    def _leave(self) -> None:
        """Let its parent forget it, and theirs those that are over, if nobody descends from them."""
        grant: Grant | None = self
        while grant is not None and grant.ended is not None and not grant._children:
            if grant.parent is not None:
                grant.parent._children.pop(grant, None)
            grant = grant.parent


def end(grants: Iterable[Grant], why: End, spare: Container[Grant] = ()) -> tuple[Grant, ...]:
    """End them, with everything that was derived from them but for `spare` and what comes from that; then tell each owner, once.

    Returns those that were not over before.
    """
    over = [each for grant in grants for each in grant._end(why, spare)]  # pyright: ignore[reportPrivateUsage]
    for owner in dict.fromkeys(grant.owner for grant in over):
        if owner is not None:
            owner.notice()
    return tuple(over)


def spend(grants: Iterable[Grant]) -> None:
    """Count one request that rests on them all. A lease that is used up thereby ends with the request, not before."""
    now = time.time()
    for grant in _lineages(grants):
        grant.used += 1
        grant.last_used = now
        if grant.uses_left:
            grant.uses_left -= 1


def charge(grants: Iterable[Grant], size: int) -> None:
    """Count `size` bytes that went either way in a request that rested on them all, and notice what is over by now."""
    grants = [grant for grant in grants if grant.leased]
    if not grants:
        return
    for grant in _lineages(grants):
        if grant.bytes_left is not None:
            grant.bytes_left = max(0, grant.bytes_left - size)
    for owner in {grant.owner: None for grant in grants if not grant.live}:
        if owner is not None:
            owner.notice()


def _lineages(grants: Iterable[Grant]) -> Iterable[Grant]:
    """All of them and what they come from, each once: what two parts of a request rest on is used once."""
    grants = tuple(grants)
    if len(grants) == 1 and grants[0].parent is None:  # most are
        return grants
    return {each: None for grant in grants for each in grant._lineage()}  # pyright: ignore[reportPrivateUsage]
