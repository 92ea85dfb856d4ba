"""Extensions as capabilities see them, for tests of providers: a broker, members with permissions, and what they ask for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from desk.bus.envelope import Origin
from desk.capabilities.audit import Audit
from desk.capabilities.broker import Broker
from desk.capabilities.capability import Capability
from desk.capabilities.grants import Grants
from desk.capabilities.permissions import PermissionSet
from desk.capabilities.provider import Member, Use
from desk.traces.recorder import SpanRecorder, record_in_memory


@dataclass
class Asking:
    """A broker with some capabilities, and what it left behind."""

    broker: Broker
    audit: Audit
    recorder: SpanRecorder
    members: dict[str, Member] = field(default_factory=dict[str, Member])

    def member(self, name: str, permissions: Mapping[str, Sequence[str]] | None = None, **more: Any) -> Member:
        """One that asked for and was given `permissions`; the old one of that name is gone."""
        if name in self.members:
            self.broker.leave(self.members[name])
        asked = PermissionSet.parse(dict(permissions or {}))
        member = self.members[name] = Member(name, Grants(asked, asked), **more)
        self.broker.join(member)
        return member

    async def ask(self, member: Member, capability: str, *, behalf: tuple[str, ...] = (), **request: object) -> Any:
        """What the capability answers it. Raises `CapabilityError`. `behalf` are those that called it."""
        chain = (*behalf, member.name)
        use = Use(member, Origin(member.name, chain, 1, principals=chain))
        return await self.broker.perform(capability, request, use)


def asking(*capabilities: Capability) -> Asking:
    """A broker with these capabilities."""
    tracing, recorder = record_in_memory()
    audit = Audit()
    operations = [operation for each in capabilities for operation in each.operations()]
    return Asking(Broker(operations, audit, tracing), audit, recorder)
