"""What one extension may do: what its manifest asked for *and* its operator granted.

Asking is a promise to the reader of the manifest, granting is the operator's decision, and neither is enough alone: a
generous operator does not widen what was promised, and asking gives nothing. `Grants.decide` is the one place where a
request is held against both. It acts on nothing; the broker records the decision and calls the provider.

A denial is read by two people with different means of ending it, so it says which of the two was missing, and gives
the line to add. The line is made from the parsed request, escaped to ASCII: it cannot read other than it works.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from desk.capabilities.atoms import Atom
from desk.capabilities.permissions import PermissionSet
from desk.capabilities.syntax import escaped, quoted

_NAMED = 3  # permissions that a denial names because they are near
_SHOWN = 120  # characters of each: a guest gets the first thousand of all, and the fix must be among them

REMEMBERED = 1024
"""Decisions kept per extension: a guest that asks for ever new things must not fill the memory."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one request, with its reason."""

    allowed: bool
    atom: Atom
    """The request."""
    by: Atom | None
    """The grant that allows it, or None."""
    missing: Literal["request", "grant", "principal"] | None
    """What a denial lacks: the manifest's request (the operator may not have granted it, either), or the grant."""
    explanation: str
    """One line for people, in printable ASCII."""
    fix: str
    """What to add to the manifest's or the operator's `permissions` to allow it; empty if it is allowed."""

    def spend(self) -> None:
        """Count one use of it, for grants that allow only so many."""

    def charge(self, size: int) -> None:
        """Count `size` bytes that went either way because of it."""


@dataclass(slots=True, eq=False)
class Grants:
    """What was asked for and what was given. Remembers recent decisions."""

    requested: PermissionSet
    granted: PermissionSet
    on_change: Callable[[], None] | None = field(default=None, init=False)
    _decided: dict[Atom, Decision] = field(init=False, repr=False, compare=False, default_factory=dict[Atom, Decision])

    def decide(self, atom: Atom) -> Decision:
        """Say whether the request `atom` is allowed, and why. The same answer for the same request, always."""
        decision = self._decided.get(atom)
        if decision is None:
            decision = _decide(self.requested, self.granted, atom)
            if len(self._decided) >= REMEMBERED:
                self._decided.clear()
            self._decided[atom] = decision
        return decision


def _decide(requested: PermissionSet, granted: PermissionSet, atom: Atom) -> Decision:
    by = granted.covering(atom) if requested.covers(atom) else None
    what = str(atom)
    if by is not None:
        return Decision(True, atom, by, None, f"{what}: granted by {by}", "")
    line = f"{atom.section}: [{quoted(atom.text)}]"
    if not requested.covers(atom):
        near = _near(requested, atom, "it asks for")
        reason = f"{what}: the manifest does not ask for it; add `{line}` to its permissions{near}"
        return Decision(False, atom, None, "request", reason, line)
    near = _near(granted, atom, "granted is")
    reason = f"{what}: the manifest asks for it, but it is not granted; grant it with `{line}`{near}"
    return Decision(False, atom, None, "grant", reason, line)


def _near(mine: PermissionSet, atom: Atom, says: str) -> str:
    """What there is for the same thing: the right host and another port is the mistake that people make."""
    near = [escaped(each.text)[:_SHOWN] for each in mine if each.near(atom)]
    more = ", ..." if len(near) > _NAMED else ""
    return f" ({says} {', '.join(near[:_NAMED])}{more})" if near else ""
