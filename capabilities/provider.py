"""What it takes to be a capability: a name, two types, one pure question and one act.

The broker checks a guest's payload against `request_type`, asks `needs` which permissions that request takes, holds them
against the grants, and only then calls `perform`. `needs` must name the *objects* that `perform` will use, from the same
parser that reads manifests: what was checked is what is done.

`Member` is one loaded extension as capabilities see it, `Use` is one request of it. Nothing in either comes from the guest.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Protocol

from desk.bus.envelope import Origin
from desk.bus.types import Type
from desk.capabilities.grant import charge
from desk.capabilities.grants import Decision, Grants
from desk.capabilities.permissions import Atom
from desk.capabilities.resources import Resources

STORAGE = 64 << 20
"""Bytes that an extension may keep, unless said otherwise."""

DENIAL: Final = object()
"""What a denied request is answered with, unless its capability says otherwise: that it is denied, and why."""


@dataclass(slots=True, eq=False, weakref_slot=True)
class Member:
    """One loaded extension: what it may do, and what it has open."""

    name: str
    grants: Grants
    resources: Resources = field(default_factory=Resources)
    storage: int = STORAGE
    """Bytes that it may keep on disk: what lies below its own roots, and its state, each."""
    config: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    """The values of its manifest's `config`, checked; those that are secret as `Secret`."""
    on_change: Callable[[], None] | None = None
    """Called when it may do something no more, or something more."""
    seed: int = 0
    """What its seeded random numbers are made from."""
    reason: Callable[[Atom], str] = lambda _: ""
    """What its manifest says why it asks for a permission, its author's words; empty if it does not say."""


@dataclass(slots=True, eq=False)
class Use:
    """One request of an extension: who asks, on whose behalf, and what it was allowed."""

    member: Member
    origin: Origin
    decisions: list[Decision] = field(default_factory=list[Decision])
    """One for each permission that was asked for so far, all of them allowed; in the order of `needs` when `perform` runs."""
    admits: Callable[[Atom], bool] = lambda _: False
    """Whether it may have one more permission, which others bring up while `perform` runs: whoever sends it something. If so,
    that is a use of it. If not, that is not the extension's doing: nobody is asked, and nothing is noted. The broker's."""

    @property
    def extension(self) -> str:
        """Its name."""
        return self.member.name

    @property
    def resources(self) -> Resources:
        """What it has open."""
        return self.member.resources

    def charge(self, size: int) -> None:
        """Count `size` bytes that went either way, for grants that allow only so many."""
        charge([grant for decision in self.decisions for grant in decision.grants], size)


class Provider(Protocol):
    """Carries out one capability. Instances are shared by all extensions of a host.

    It may have an attribute `denied`: what the guest is answered, as if all was well, where its permissions do not suffice.
    Audit and trace have the denial all the same. Without it, the guest is told what is missing. And `at_once`: if that is True,
    `perform` says `await apart()` before it waits, and else it is not begun but in the actor's own task (`at_once.py`).
    """

    @property
    def name(self) -> str:
        """Like `network.http`; guests send requests to `cap.network.http`."""
        ...

    @property
    def request_type(self) -> Type:
        """The type of a request's payload."""
        ...

    @property
    def response_type(self) -> Type:
        """The type of the answer."""
        ...

    def needs(self, request: object, use: Use) -> tuple[Atom, ...]:
        """The permissions that this (type-checked) request takes; none for what is anybody's.

        Changes nothing. Raises `CapabilityError(INVALID)` for nonsense, `UNKNOWN` for a handle that there is not.
        """
        ...

    async def perform(self, request: object, use: Use) -> object:
        """Do it. Raises `CapabilityError`. May be cancelled: the message's deadline is the caller's business."""
        ...
