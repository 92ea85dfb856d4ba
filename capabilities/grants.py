"""What one extension may do: what its manifest asked for *and* its operator granted.

Asking is a promise to the reader of the manifest, granting is the operator's decision, and neither is enough alone: a
generous operator does not widen what was promised, and asking gives nothing. `Grants.decide` is the one place where a
request is held against both, and against the operator's rules (`decision.py`). It acts on nothing; the broker records the
decision and calls the provider.

Grants are given, narrowed and revoked while the extension runs, and end by themselves (`Grant`). The next request is decided by
what is live then: decisions are remembered, but none outlives a grant that it rests on.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from desk.capabilities.addresses import IPAddress
from desk.capabilities.atoms import Atom
from desk.capabilities.codes import CapabilityError, Code, PermissionDenied
from desk.capabilities.decision import Decision as Decision
from desk.capabilities.decision import Rules as Rules
from desk.capabilities.decision import decide
from desk.capabilities.grant import End, Grant, Scope, end
from desk.capabilities.network_atoms import NetworkAtom
from desk.capabilities.permissions import PermissionSet

_NOTHING = PermissionSet()

REMEMBERED = 256
"""Decisions kept per extension, some kilobytes each: a guest that asks for ever new things must not fill the memory."""

MOST = 512
"""Live grants of one extension in one section: a request may be compared with all of them."""

_ENDED = 32
"""Grants that are over and still known, to say so when something is denied."""


class Taken(NamedTuple):
    """What became of the grants that were revoked or narrowed."""

    ended: tuple[Grant, ...]
    """Those that are over, and those derived from them, which may be another extension's."""
    left: tuple[Grant, ...]
    """Those that took the place of some of them: what of a grant was not to be taken away, if it can be said as a permission."""


class Grants:
    """See the module's docstring."""

    def __init__(
        self,
        requested: PermissionSet,
        granted: PermissionSet = _NOTHING,
        rules: Rules | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`granted` is the operator's word from the beginning. `clock` tells seconds, for leases."""
        self.requested = requested
        self.rules = rules
        self.on_change: Callable[[], None] | None = None
        """Called when something is allowed no longer, or something more is."""
        self._clock = clock
        self._sections: dict[str, list[Grant]] = {}
        self._leases: list[Grant] = []
        self._ended: deque[tuple[Atom, End]] = deque(maxlen=_ENDED)
        self._decided: dict[Atom, Decision] = {}
        self._granted: PermissionSet | None = granted
        self._add(Grant(atom, clock=clock) for atom in granted)
        self._granted = granted

    def __repr__(self) -> str:
        """Like `<Grants: 3, 1 of them a lease; 5 permissions asked for>`."""
        count = sum(len(mine) for mine in self._sections.values())
        leases = len(self._leases)
        said = f"{leases} of them {'a lease' if leases == 1 else 'leases'}"
        return f"<Grants: {count}, {said}; {len(self.requested.atoms)} permissions asked for>"

    @property
    def granted(self) -> PermissionSet:
        """The permissions of all live grants."""
        self.expire()
        if self._granted is None:
            self._granted = PermissionSet(tuple(grant.atom for mine in self._sections.values() for grant in mine))
        return self._granted

    def records(self) -> tuple[Grant, ...]:
        """All live grants."""
        self.expire()
        return tuple(grant for mine in self._sections.values() for grant in mine)

    # -- deciding

    def decide(self, atom: Atom) -> Decision:
        """Say whether the request `atom` is allowed, and why. Nothing is used up by asking."""
        decision = self._decided.get(atom)
        if decision is not None:
            for grant in decision.grants:
                if not grant.live:
                    break
            else:
                return decision
        self.expire()
        decision = decide(atom, self.requested, self._sections.get(atom.section, ()), self.rules, self._ended)
        if len(self._decided) >= REMEMBERED:
            self._decided.clear()
        self._decided[atom] = decision
        return decision

    def denies_address(self, atom: NetworkAtom, address: IPAddress) -> str | None:
        """The operator's rule that refuses the request `atom` when its name stands for `address`; None if there is none."""
        return None if self.rules is None else self.rules.denies_address(atom, address)

    # -- giving and taking

    def give(
        self,
        atoms: Iterable[Atom],
        *,
        scope: Scope = Scope.SESSION,
        seconds: float | None = None,
        uses: int | None = None,
        size: int | None = None,
        by: str = "operator",
        reason: str = "",
    ) -> tuple[Grant, ...]:
        """Grant `atoms`, each with a lease of its own if there are limits. `seconds`, `uses` and `size` (bytes) as in `Grant`.

        Raises `CapabilityError(OVERLOADED)` over `MOST`, and `ValueError`; nothing is granted then.
        """
        given = [
            Grant(atom, scope=scope, seconds=seconds, uses=uses, size=size, by=by, reason=reason, clock=self._clock)
            for atom in atoms
        ]
        self.take(given)
        return tuple(given)

    def take(self, grants: Iterable[Grant]) -> None:
        """Take over grants that were derived from another extension's: they allow what this one's manifest asks for.

        Raises `CapabilityError(OVERLOADED)` over `MOST`, and takes none then.
        """
        grants = tuple(grants)
        self.expire()
        more: dict[str, int] = {}
        for grant in grants:
            section = grant.atom.section
            more[section] = more.get(section, len(self._sections.get(section, ()))) + 1
            if more[section] > MOST:
                raise CapabilityError(
                    Code.OVERLOADED, f"there are {MOST} grants of {section}, which is the limit; grant something wider"
                )
        self._add(grants)
        if grants and self.on_change is not None:
            self.on_change()

    def revoke(self, what: Iterable[Atom] | Grant) -> Taken:
        """Take away a grant, or all that is within `what`: afterwards no grant allows any of that.

        Of a wider grant stays what can be said as a permission: `readwrite:/a` without `write:/a` is `read:/a`. What cannot be
        (a path inside a tree, a host below `*.example.com`) goes as a whole. A look-up that another grant includes stays.
        """
        if isinstance(what, Grant):
            return Taken(end([what], "revoked"), ())
        atoms = tuple(what)
        return self._replace({grant: _outside(grant.atom, atoms) for grant in self.records()})

    def revoke_all(self, section: str | None = None) -> Taken:
        """Take away all grants, or those of one section."""
        return Taken(end([each for each in self.records() if section in (None, each.atom.section)], "revoked"), ())

    def narrow(self, atoms: Iterable[Atom]) -> Taken:
        """Take away all that is not within `atoms`, in all sections. Of a grant stays what it and they have in common."""
        within = PermissionSet(tuple(atoms)).normalise()
        return self._replace({grant: _inside(grant.atom, within) for grant in self.records()})

    def close(self) -> None:
        """Take away all: the extension is gone, asks for nothing, and what was derived from its grants goes with it."""
        self.requested = _NOTHING
        end(self.records(), "revoked")
        self._forget()

    def _replace(self, remains: dict[Grant, tuple[Atom, ...]]) -> Taken:
        changed = [grant for grant, atoms in remains.items() if atoms != (grant.atom,)]
        # Others' grants that come from one of these, and are within what is left of it, stay.
        spare = {
            child
            for grant in changed
            for child in grant.derived
            if any(rest.covers(child.atom) for rest in remains[grant])
        }
        # What is left is derived, so that it has what is left of the lease; and it is there before the others end, so that
        # what stays allowed is allowed at every moment.
        left: list[Grant] = []
        for grant in changed:
            for rest in remains[grant]:
                with suppress(PermissionDenied):  # its lease has just come to its end
                    left.append(grant.derive(rest, by=grant.by, reason=grant.reason))
        self._add(left)
        return Taken(end(changed, "narrowed", spare.union(left)), tuple(left))

    def _add(self, grants: Iterable[Grant]) -> None:
        for grant in grants:
            grant.owner = self
            grant.asked = self.requested.covers(grant.atom)
            mine = self._sections.setdefault(grant.atom.section, [])
            mine.append(grant)
            if grant.leased:
                self._leases.append(grant)
            if self._leases:
                mine.sort(key=lambda each: each.leased)  # what has no limit is used first
        self._forget()

    def _forget(self) -> None:
        self._decided.clear()
        self._granted = None

    # -- leases

    def next_end(self) -> float | None:
        """When the next lease is over, on the clock of leases, in seconds: call `expire` then. None if none ends by time."""
        return min((grant.expires for grant in self._leases if grant.expires is not None), default=None)

    def expire(self) -> None:
        """Notice leases that are over. Whoever asks for a decision does, too; this is for when nobody asks."""
        for grant in self._leases:
            if not grant.live:
                self.notice()
                return

    def notice(self) -> None:
        """Forget the grants that are over, and what was decided by them, and say so to `on_change`."""
        over = [grant for mine in self._sections.values() for grant in mine if not grant.live]
        if not over:
            return
        gone = set(over)
        for section, mine in self._sections.items():
            self._sections[section] = [grant for grant in mine if grant not in gone]
        self._leases = [grant for grant in self._leases if grant not in gone]
        self._forget()
        for grant in over:
            grant.owner = None
            why = grant.over or "expired"
            self._ended.append((grant.atom, why))
            if grant.ended is None:
                end([grant], why)  # and what was derived from it: other owners are told
        if self.on_change is not None:
            self.on_change()


def _outside(mine: Atom, atoms: Sequence[Atom]) -> tuple[Atom, ...]:
    """What of `mine` has nothing in common with `atoms`, as far as it can be said."""
    if all(mine.meet(atom) is None for atom in atoms):
        return (mine,)
    rest = [part.minus(atoms) for part in mine.parts()]
    clear = [part for part in rest if part is not None and all(part.meet(atom) is None for atom in atoms)]
    return PermissionSet(tuple(clear)).normalise().atoms


def _inside(mine: Atom, atoms: PermissionSet) -> tuple[Atom, ...]:
    """What `mine` and `atoms` have in common."""
    common = [mine.meet(atom) for atom in atoms]
    return PermissionSet(tuple(atom for atom in common if atom is not None)).normalise().atoms
