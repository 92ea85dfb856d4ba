"""One decision: a request held against what the manifest asks for, what is granted, and the operator's rules.

A denial is read by two people with different means of ending it, so it says which of the two was missing, and gives
the line to add. The line is made from the parsed request, escaped to ASCII: it cannot read other than it works.
"""

from collections.abc import Iterable, Mapping, Reversible, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal, Protocol

from desk.capabilities.addresses import IPAddress
from desk.capabilities.atoms import Atom
from desk.capabilities.grant import End, Grant, spend
from desk.capabilities.network_atoms import NetworkAtom
from desk.capabilities.permissions import PermissionSet
from desk.capabilities.syntax import escaped, quoted

_NAMED = 3  # permissions that a denial names because they are near
_SHOWN = 120  # characters of each: a guest gets the first thousand of all, and the fix must be among them

_ENDED: Mapping[End, str] = {
    "expired": "has expired",
    "used up": "is used up",
    "revoked": "was taken away",
    "narrowed": "was taken away",
}


class Rules(Protocol):
    """What the operator's policy says of one extension, whatever is granted. It does not change."""

    @property
    def observe(self) -> bool:
        """Whether what lacks a grant or a request in the manifest is let through, and only noted."""
        ...

    def forbids(self, atom: Atom) -> str | None:
        """The rule that refuses all or part of `atom`, as a text for people; None if there is none."""
        ...

    def denies(self, atom: Atom) -> str | None:
        """The rule that forbids something in `atom`, whether that could be granted or not; None if there is none."""
        ...

    def denies_address(self, atom: NetworkAtom, address: IPAddress) -> str | None:
        """The rule that refuses `atom` when its name stands for `address`, as a text for people; None if there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one request, with its reason."""

    allowed: bool
    atom: Atom
    """The request."""
    by: Atom | None
    """The permission that allows it, or None."""
    missing: Literal["request", "grant", "principal", "rule"] | None
    """What a denial lacks: the manifest's request (the operator may not have granted it, either), the grant, the right of
    another on whose behalf it was asked; or that there is a rule against it."""
    explanation: str
    """One line for people, in printable ASCII."""
    fix: str
    """What to add to the manifest's or the operator's `permissions` for it to be granted; empty if it is, or that is no help."""
    grants: tuple[Grant, ...] = field(default=(), compare=False)
    """The grants that it rests on."""
    rule: str = ""
    """The operator's rule that refuses it."""
    observed: bool = False
    """Whether it is allowed only because the operator observes, and does not yet enforce."""
    what: str = field(default="", compare=False)
    """The request in canonical form, printable ASCII: made once, and kept in the audit of each request."""

    def spend(self) -> None:
        """Count one use of it, for grants that allow only so many."""
        spend(self.grants)


def decide(
    atom: Atom,
    requested: PermissionSet,
    mine: Sequence[Grant],
    rules: Rules | None,
    ended: Reversible[tuple[Atom, End]] = (),
) -> Decision:
    """Decide the request `atom` by the grants `mine`, all of them live. They are taken in their order.

    `ended` is what was granted before, the latest last, and why it is over: only for the explanation.
    """
    what = str(atom)
    rule = None if rules is None else rules.forbids(atom)
    if rule is not None:
        reason = f"{what}: refused by a rule of the operator"  # which, is not for a guest to know: `rule` has it
        return Decision(False, atom, None, "rule", reason, "", rule=rule, what=what)
    grants = _resting_on(atom, mine)
    # If the manifest asks for all of what was granted, it asks for this part of it.
    asked = (grants is not None and all(grant.asked for grant in grants)) or requested.covers(atom)
    if asked and grants is not None:
        by = _joined(atom, grants)
        return Decision(True, atom, by, None, f"{what}: granted by {by}", "", grants, what=what)
    line = f"{atom.section}: [{quoted(atom.text)}]"
    if not asked:
        near = _near(requested, atom, "it asks for")
        lacks = f"the manifest does not ask for it; add `{line}` to its permissions{near}"
    else:
        near = _near((grant.atom for grant in mine), atom, "granted is")
        was = next(
            (f": what was granted for it {_ENDED[why]}" for past, why in reversed(ended) if past.covers(atom)), ""
        )
        lacks = f"the manifest asks for it, but it is not granted{was}; grant it with `{line}`{near}"
    if rules is not None and rules.observe:
        reason = f"{what}: let through by observing only: {lacks}"
        return Decision(True, atom, atom, None, reason, line, observed=True, what=what)
    return Decision(False, atom, None, "grant" if asked else "request", f"{what}: {lacks}", line, what=what)


def _resting_on(atom: Atom, mine: Sequence[Grant]) -> tuple[Grant, ...] | None:
    """The first grant that allows `atom`, or else those that do so together; None if it is not allowed."""
    for grant in mine:
        if grant.atom.covers(atom):
            return (grant,)
    parts, atoms = atom.parts(), [grant.atom for grant in mine]
    if any(part.minus(atoms) is not None for part in parts):
        return None
    found: dict[Grant, None] = {}
    for part in parts:
        left: Atom | None = part
        for grant in mine:
            rest = None if left is None else left.minus((grant.atom,))
            if rest != left:
                found[grant] = None
            left = rest
        if left is not None:
            return None
    return tuple(found)


def _joined(atom: Atom, grants: tuple[Grant, ...]) -> Atom:
    """The permission that covers `atom`: of one grant, or what several come to."""
    if len(grants) == 1:
        return grants[0].atom
    mine = [grant.atom for grant in grants]
    return next((each for each in [each.joined(mine) for each in mine] if each.covers(atom)), atom)


def _near(mine: Iterable[Atom], atom: Atom, says: str) -> str:
    """What there is for the same thing: the right host and another port is the mistake that people make."""
    near = [escaped(each.text)[:_SHOWN] for each in islice((each for each in mine if each.near(atom)), _NAMED + 1)]
    more = ", ..." if len(near) > _NAMED else ""
    return f" ({says} {', '.join(near[:_NAMED])}{more})" if near else ""
