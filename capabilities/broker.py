"""The broker: holds what a guest wants to do against its grants, records the decision, and only then lets it be done.

There is one way in for each kind of effect, and both end in `authorise`: `perform` for the capabilities of providers, and
`authorise` itself for what the bus does (publishing, calling another extension). A denial is `PermissionDenied`, whose text
spells out what is missing; the facet makes it a normal answer. Nothing here touches a guest, a socket or a file.

A request is made on behalf of all its `principals`: the extension itself, and those that called it. Each of them must be
allowed what it takes, so nobody gets another to do what it may not do itself (the confused deputy). An export whose manifest
says `as_self` begins a list of its own, and what belongs to an extension (its own files, its own state) is its own affair.
"""

import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

from desk.bus.envelope import Origin
from desk.bus.types import InvalidValue
from desk.capabilities.atoms import Atom
from desk.capabilities.audit import AuditRecord, AuditSink
from desk.capabilities.codes import CapabilityError, Code, PermissionDenied
from desk.capabilities.grants import Decision
from desk.capabilities.message_atoms import CallAtom
from desk.capabilities.provider import Member, Provider, Use
from desk.capabilities.syntax import PermissionSyntaxError
from desk.traces import names
from desk.traces.tracing import Tracing

Ask = Callable[[Member, Decision], Awaitable[bool]]
"""Asks a person about a request that lacks only a grant; True if there may be one now."""


class Broker:
    """Shared by all facets of a host: it knows the providers, and the extensions that are loaded."""

    def __init__(
        self, providers: Iterable[Provider], audit: AuditSink, tracing: Tracing, ask: Ask | None = None
    ) -> None:
        self._providers = {provider.name: provider for provider in providers}
        self._audit = audit
        self._tracing = tracing
        self._ask = ask
        self._members: dict[str, Member] = {}

    @property
    def capabilities(self) -> tuple[str, ...]:
        """The names of all capabilities there are."""
        return tuple(sorted(self._providers))

    # -- who there is

    def join(self, member: Member) -> None:
        """From here on its rights count, and a change of them closes what was opened under those that are gone."""
        self._members[member.name] = member
        member.grants.on_change = self._close_forbidden

    def leave(self, member: Member) -> None:
        """It has no rights any more, and nothing open. Idempotent."""
        if self._members.get(member.name) is member:
            del self._members[member.name]
        member.grants.on_change = None
        member.resources.close_all()
        self._close_forbidden()

    def _close_forbidden(self) -> None:
        for member in self._members.values():
            if len(member.resources):
                member.resources.keep(lambda atom, principals, mine=member: self._allowed(atom, principals, mine))

    def _allowed(self, atom: Atom, principals: tuple[str, ...], member: Member) -> bool:
        return member.grants.decide(atom).allowed and self._lacking(atom, principals, member) is None

    def _lacking(self, atom: Atom, principals: tuple[str, ...], member: Member) -> tuple[str, Decision | None] | None:
        """The first other principal that is not allowed `atom`, and what its own decision is if it is still there."""
        if atom.own:
            return None
        for name in principals:
            if name != member.name and not (
                isinstance(atom, CallAtom) and atom.extension == name
            ):  # itself, it may call
                other = self._members.get(name)
                decision = None if other is None else other.grants.decide(atom)
                if decision is None or not decision.allowed:
                    return name, decision
        return None

    # -- deciding

    async def authorise(self, atom: Atom, use: Use, what: str) -> Decision:
        """Return if `use` may have `atom`; raise `PermissionDenied` if not. Either way it is audited and traced.

        `what` names the capability in the trace: `network.http`, `publish`, `call`.
        """
        decision = self._decide(atom, use)
        if decision.missing == "grant" and self._ask is not None and await self._ask(use.member, decision):
            decision = self._decide(atom, use)
        with self._tracing.span(names.DECIDE, what, parent=use.origin.traceparent) as span:
            span.set(names.EXTENSION, use.extension)
            span.set(names.ALLOWED, decision.allowed)
            self._audit(record_of(decision, use.origin, span.traceparent))
            if not decision.allowed:
                span.fail("denied", decision.explanation)
                raise PermissionDenied(decision.explanation)
        decision.spend()
        use.decisions.append(decision)
        return decision

    def _decide(self, atom: Atom, use: Use) -> Decision:
        decision = use.member.grants.decide(atom)
        if not decision.allowed or len(use.origin.principals) < 2:
            return decision
        lacking = self._lacking(atom, use.origin.principals, use.member)
        if lacking is None:
            return decision
        name, its = lacking
        why = its.explanation if its is not None else f"{name} is not loaded any more"
        reason = f"{atom}: {use.extension} may, but asks on behalf of {name}, which may not ({why})"
        return replace(decision, allowed=False, by=None, missing="principal", explanation=reason)

    async def perform(self, capability: str, request: object, use: Use) -> object:
        """Carry out one capability request. Raises `CapabilityError`: `PermissionDenied` is one."""
        provider = self._providers.get(capability)
        if provider is None:
            known = ", ".join(self.capabilities) or "none"
            raise CapabilityError(Code.UNKNOWN, f"there is no capability {capability!r}; this host has: {known}")
        try:
            provider.request_type.check(request, "request")
            atoms = provider.needs(request, use)
        except (InvalidValue, PermissionSyntaxError) as error:
            raise CapabilityError(Code.INVALID, f"{capability}: {error}") from error
        for atom in atoms:
            await self.authorise(atom, use, capability)
        with self._tracing.span(names.CALL, capability, parent=use.origin.traceparent) as span:
            span.set(names.EXTENSION, use.extension)
            result = await provider.perform(request, use)
            try:
                provider.response_type.check(result, capability)
            except InvalidValue as error:
                raise RuntimeError(f"the provider of {capability} broke its own type") from error
            return result


def record_of(decision: Decision, origin: Origin, traceparent: str | None) -> AuditRecord:
    """What the audit keeps of a decision."""
    return AuditRecord(
        time.time(),
        origin.sender,
        origin.chain,
        str(decision.atom),
        decision.allowed,
        decision.explanation,
        traceparent,
    )
