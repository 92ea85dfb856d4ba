"""What it takes to be a capability: a name, two types, one pure question and one act.

The broker checks a guest's payload against `request_type`, asks `needs` which permissions that request takes, holds them
against the grants, and only then calls `perform`. `needs` must name the *objects* that `perform` will use, from the same
parser that reads manifests: what was checked is what is done.

`Member` is one loaded extension as capabilities see it, `Use` is one request of it. Nothing in either comes from the guest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from desk.bus.envelope import Origin
from desk.bus.types import Type
from desk.capabilities.grants import Decision, Grants
from desk.capabilities.permissions import Atom
from desk.capabilities.resources import Resources

STORAGE = 64 << 20
"""Bytes that an extension may keep, unless said otherwise."""


@dataclass(slots=True, eq=False)
class Member:
    """One loaded extension: what it may do, and what it has open."""

    name: str
    grants: Grants
    resources: Resources = field(default_factory=Resources)
    storage: int = STORAGE
    """Bytes that it may keep on disk: what lies below its own roots, and its state, each."""
    config: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    """The values of its manifest's `config`, checked; those that are secret as `Secret`."""


@dataclass(slots=True, eq=False)
class Use:
    """One request of an extension: who asks, on whose behalf, and what it was allowed."""

    member: Member
    origin: Origin
    decisions: list[Decision] = field(default_factory=list[Decision])
    """One for each permission that was asked for so far, all of them allowed; in the order of `needs` when `perform` runs."""

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
        for decision in self.decisions:
            decision.charge(size)


class Provider(Protocol):
    """Carries out one capability. Instances are shared by all extensions of a host."""

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
