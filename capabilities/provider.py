"""What it takes to be a capability: a name, two types, one pure question and one act.

The broker checks a guest's payload against `request_type`, asks `needs` which permission that request takes, holds it
against the grants, and only then calls `perform`. `needs` must name the *object* that `perform` will use, from the same
parser that reads manifests: what was checked is what is done.
"""

from typing import Protocol

from desk.bus.types import Type
from desk.capabilities.permissions import Atom


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

    def needs(self, request: object) -> Atom:
        """The permission this (type-checked) request takes. Pure. Raises `CapabilityError(INVALID)` for nonsense."""
        ...

    async def perform(self, request: object) -> object:
        """Do it. Raises `CapabilityError`. May be cancelled: the message's deadline is the caller's business."""
        ...
