"""The broker: holds what a guest wants to do against its grants, records the decision, and only then lets it be done.

There is one way in for each kind of effect, and both end in `authorise`: `perform` for the capabilities of providers, and
`authorise` itself for what the bus does (publishing, calling another extension). A denial is `PermissionDenied`, whose text
spells out what is missing; the facet makes it a normal answer. Nothing here touches a guest, a socket or a file.

A request is made on behalf of all its `principals`: the extension itself, and those that called it. Each of them must be
allowed what it takes, so nobody gets another to do what it may not do itself (the confused deputy). An export whose manifest
says `as_self` begins a list of its own, and what belongs to an extension (its own files, its own state) is its own affair.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from desk.bus.envelope import Origin
from desk.bus.types import InvalidValue
from desk.bus.wakeup import Wakeup
from desk.capabilities.at_once import apart
from desk.capabilities.atoms import Atom
from desk.capabilities.audit import AuditRecord, AuditSink
from desk.capabilities.codes import CapabilityError, Code, PermissionDenied
from desk.capabilities.grant import spend
from desk.capabilities.grants import Decision
from desk.capabilities.message_atoms import CallAtom
from desk.capabilities.provider import DENIAL, Member, Provider, Use
from desk.capabilities.syntax import PermissionSyntaxError, escaped
from desk.traces import names
from desk.traces.tracing import Tracing

log = logging.getLogger("desk.capabilities")

Ask = Callable[[Use, Decision], Awaitable[bool]]
"""Asks a person about a request that lacks only a grant; True if there may be one now."""


class Broker:
    """Shared by all facets of a host: it knows the providers, and the extensions that are loaded."""

    def __init__(
        self, providers: Iterable[Provider], audit: AuditSink, tracing: Tracing, ask: Ask | None = None
    ) -> None:
        """Raises `ValueError` for two providers of one name."""
        self._providers: dict[str, Provider] = {}
        for provider in providers:
            if self._providers.setdefault(provider.name, provider) is not provider:
                raise ValueError(f"there are two capabilities {provider.name!r}; expected one")
        self._audit = audit
        self._tracing = tracing
        self._ask = ask
        self._members: dict[str, Member] = {}
        # Those that a change concerns: all have to be looked at then, and thousands may be loaded.
        self._holding: dict[Member, None] = {}  # have something open
        self._leasing: dict[Member, None] = {}  # have a grant that ends by time
        self._changes = 0  # of what anybody is allowed
        self._closing = False
        self.change = Wakeup()
        """Set when something that ends by time may end at another; whoever waits for it puts another one."""

    @property
    def members(self) -> Mapping[str, Member]:
        """The extensions that are loaded, by name."""
        return MappingProxyType(self._members)

    @property
    def leasing(self) -> tuple[Member, ...]:
        """Those that have a grant which ends by time."""
        return tuple(self._leasing)

    @property
    def capabilities(self) -> tuple[str, ...]:
        """The names of all capabilities there are."""
        return tuple(sorted(self._providers))

    # -- who there is

    def join(self, member: Member) -> None:
        """From here on its rights count, and a change of them closes what was opened under those that are gone."""
        self._members[member.name] = member
        member.grants.on_change = lambda: self._changed(member)
        member.resources.on_open = lambda: self._holding.setdefault(member)
        self._mind_leases(member)

    def leave(self, member: Member) -> None:
        """It has no rights any more, and nothing open. Idempotent."""
        if self._members.get(member.name) is member:
            del self._members[member.name]
        member.grants.on_change = None
        member.on_change = None
        member.grants.close()
        member.resources.end()
        self._holding.pop(member, None)
        self._changed(member)

    def _changed(self, member: Member) -> None:
        self._changes += 1
        self._mind_leases(member)
        self._close_forbidden()
        if member.on_change is not None:
            member.on_change()

    def _mind_leases(self, member: Member) -> None:
        if member.grants.next_end() is not None:
            self._leasing[member] = None
        elif member in self._leasing:
            del self._leasing[member]
        else:
            return
        self.change.set()

    def _close_forbidden(self) -> None:
        if self._closing:  # and to decide, a lease was found to be over: whoever is at it begins again
            return
        self._closing, seen = True, -1
        try:
            while seen != self._changes:
                seen = self._changes
                for member in tuple(self._holding):
                    member.resources.keep(lambda atom, principals, mine=member: self._allowed(atom, principals, mine))
                    if member.resources.empty:
                        self._holding.pop(member, None)
        finally:
            self._closing = False

    def _allowed(self, atom: Atom, principals: tuple[str, ...], member: Member) -> bool:
        try:
            others = self._others(atom, principals, member)
            return member.grants.decide(atom).allowed and all(its is not None and its.allowed for _, its in others)
        except (
            Exception
        ):  # of an app's `covers`; what cannot be decided is not allowed, and the others are closed as well
            log.exception("it cannot be decided whether %s may still have %s", member.name, atom)
            return False

    def _others(self, atom: Atom, principals: tuple[str, ...], member: Member) -> Iterator[tuple[str, Decision | None]]:
        """The other principals, which must be allowed `atom`, too, and what their own decision is if they are still there."""
        if atom.own:
            return
        for name in principals:
            # Itself, it may call.
            if name != member.name and not (isinstance(atom, CallAtom) and atom.extension == name):
                other = self._members.get(name)
                yield name, None if other is None else other.grants.decide(atom)

    # -- deciding

    async def authorise(self, atom: Atom, use: Use, what: str) -> Decision:
        """Return if `use` may have `atom`; raise `PermissionDenied` if not. Either way it is audited and traced.

        `what` names the capability in the trace: `network.http`, `publish`, `call`.
        """
        await self._ask_for((atom,), use)
        self.settle((atom,), use, what)
        return use.decisions[-1]

    async def _ask_for(self, atoms: Iterable[Atom], use: Use) -> None:
        """Have a person asked for what lacks only a grant. That may take long, and all else may change meanwhile."""
        if self._ask is None:
            return
        for atom in atoms:
            if self._decide(atom, use).allowed:
                continue
            await apart()
            decision = self._decide(atom, use)
            # Nobody is asked in the name of one extension for what another could not have by its answer.
            others = self._others(atom, use.origin.principals, use.member)
            alone = all(its is not None and its.allowed for _, its in others)
            if decision.missing != "grant" or not alone or not await self._ask(use, decision):
                return

    def settle(self, atoms: Iterable[Atom], use: Use, what: str) -> None:
        """Decide all of them at one moment, and count the use; it is one, also of a grant that several rest on.

        Raises `PermissionDenied` if one is denied; then none is used.
        """
        decisions = [self._decide(atom, use) for atom in atoms]
        for decision in decisions:
            with self._tracing.span(names.DECIDE, what, parent=use.origin.traceparent) as span:
                span.set(names.EXTENSION, use.extension)
                span.set(names.ALLOWED, decision.allowed)
                self._audit(record_of(decision, use.origin, span.traceparent))
                if not decision.allowed:
                    span.fail("denied", decision.explanation)
                    raise PermissionDenied(decision.explanation)
        if decisions:
            spend(grant for decision in decisions for grant in decision.grants)
            use.decisions += decisions

    def _admits(self, atom: Atom, use: Use) -> bool:
        """See `Use.admits`."""
        decision = self._decide(atom, use)
        if decision.allowed:
            self._audit(record_of(decision, use.origin, use.origin.traceparent))
            decision.spend()
            use.decisions.append(decision)
        return decision.allowed

    def _decide(self, atom: Atom, use: Use) -> Decision:
        decision = use.member.grants.decide(atom)
        if not decision.allowed or len(use.origin.principals) < 2:
            return decision
        for name, its in self._others(atom, use.origin.principals, use.member):
            if its is None or not its.allowed:
                why = its.explanation if its is not None else f"{name} is not loaded any more"
                reason = f"{atom}: {use.extension} may, but asks on behalf of {name}, which may not ({why})"
                return replace(decision, allowed=False, by=None, missing="principal", explanation=reason, grants=())
            if its.grants or its.observed:
                # It rests on their grants, too: they are used, and a lease of theirs ends it.
                seen = its if its.observed else decision
                decision = replace(
                    decision,
                    grants=decision.grants + its.grants,
                    observed=seen.observed,
                    explanation=seen.explanation,
                )
        return decision

    async def perform(self, capability: str, request: object, use: Use) -> object:
        """Carry out one capability request. Raises `CapabilityError`: `PermissionDenied` is one."""
        provider = self._providers.get(capability)
        if provider is None:
            known = ", ".join(self.capabilities) or "none"
            raise CapabilityError(Code.UNKNOWN, f"there is no capability {capability!r}; this host has: {known}")
        if not getattr(provider, "at_once", False):
            await apart()
        try:
            provider.request_type.check(request, "request")
            atoms = provider.needs(request, use)
        except (InvalidValue, PermissionSyntaxError) as error:
            raise CapabilityError(Code.INVALID, f"{capability}: {error}") from error
        try:
            await self._ask_for(atoms, use)
            self.settle(atoms, use, capability)
        except PermissionDenied:
            instead = getattr(provider, "denied", DENIAL)
            if instead is DENIAL:
                raise
            return instead
        with self._tracing.span(names.CALL, capability, parent=use.origin.traceparent) as span:
            span.set(names.EXTENSION, use.extension)
            use.admits = lambda atom: self._admits(atom, use)
            changes = self._changes
            try:
                result = await provider.perform(request, use)
            except CapabilityError as error:
                if error.guest_code is Code.DENIED:
                    span.fail("denied", str(error))
                    self._note_refusal(error, use, span.traceparent)
                raise
            finally:
                if self._changes != changes:  # what it has just opened may be forbidden by now
                    self._close_forbidden()
            try:
                quick = provider.response_type.quick
                if quick is None or not quick.holds(result):  # (of what that does not look at, the codec says more)
                    provider.response_type.check(result, capability)
            except InvalidValue as error:
                raise RuntimeError(f"the provider of {capability} broke its own type") from error
            return result

    def _note_refusal(self, error: CapabilityError, use: Use, traceparent: str | None) -> None:
        """What was allowed has led to something that is not, a name to an address, a path to a link: audited, too."""
        if not use.decisions:  # it took no permission
            return
        refused = replace(
            use.decisions[0],
            allowed=False,
            by=None,
            grants=(),
            missing="rule",
            explanation=str(error),
            rule=error.rule if isinstance(error, PermissionDenied) else "",
        )
        self._audit(record_of(refused, use.origin, traceparent))


def record_of(decision: Decision, origin: Origin, traceparent: str | None) -> AuditRecord:
    """What the audit keeps of a decision."""
    return AuditRecord(
        time.time(),
        origin.sender,
        origin.chain,
        decision.what or str(decision.atom),
        decision.allowed,
        decision.explanation,
        traceparent,
        origin.principals,
        "; ".join([each.text for each in decision.grants]),
        decision.rule and escaped(decision.rule),
        decision.missing,
        decision.observed,
        origin.hops,
    )
