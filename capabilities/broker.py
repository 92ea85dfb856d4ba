"""The broker: holds what a guest wants to do against its grants, records the decision, and only then lets it be done.

There is one way in for each kind of effect, and both end in `authorise`: `perform` for the capabilities of providers, and
`authorise` itself for what the bus does (publishing, calling another extension). A denial is `PermissionDenied`, whose text
spells out what is missing; the facet makes it a normal answer. Nothing here touches a guest, a socket or a file.
"""

import time
from collections.abc import Iterable

from desk.bus.envelope import Origin
from desk.bus.types import InvalidValue
from desk.capabilities.atoms import Atom
from desk.capabilities.audit import AuditRecord, AuditSink
from desk.capabilities.codes import CapabilityError, Code, PermissionDenied
from desk.capabilities.grants import Grants
from desk.capabilities.provider import Provider
from desk.capabilities.syntax import PermissionSyntaxError
from desk.traces import names
from desk.traces.tracing import Tracing


class Broker:
    """Shared by all facets of a host; it knows the providers, and each call brings the grants it is decided by."""

    def __init__(self, providers: Iterable[Provider], audit: AuditSink, tracing: Tracing) -> None:
        self._providers = {provider.name: provider for provider in providers}
        self._audit = audit
        self._tracing = tracing

    @property
    def capabilities(self) -> tuple[str, ...]:
        """The names of all capabilities there are."""
        return tuple(sorted(self._providers))

    def authorise(self, atom: Atom, grants: Grants, origin: Origin, what: str) -> None:
        """Return if `grants` allow `atom`; raise `PermissionDenied` if not. Either way it is audited and traced.

        `what` names the capability in the trace: `network.http`, `publish`, `call`.
        """
        decision = grants.decide(atom)
        with self._tracing.span(names.DECIDE, what, parent=origin.traceparent) as span:
            span.set(names.EXTENSION, origin.sender)
            span.set(names.ALLOWED, decision.allowed)
            self._audit(
                AuditRecord(
                    time.time(),
                    origin.sender,
                    origin.chain,
                    str(atom),
                    decision.allowed,
                    decision.explanation,
                    span.traceparent,
                )
            )
            if not decision.allowed:
                span.fail("denied", decision.explanation)
                raise PermissionDenied(decision.explanation)

    async def perform(self, capability: str, request: object, grants: Grants, origin: Origin) -> object:
        """Carry out one capability request of `origin.sender`. Raises `CapabilityError`: `PermissionDenied` is one."""
        provider = self._providers.get(capability)
        if provider is None:
            known = ", ".join(self.capabilities) or "none"
            raise CapabilityError(Code.UNKNOWN, f"there is no capability {capability!r}; this host has: {known}")
        try:
            provider.request_type.check(request, "request")
            atom = provider.needs(request)
        except (InvalidValue, PermissionSyntaxError) as error:
            raise CapabilityError(Code.INVALID, f"{capability}: {error}") from error
        self.authorise(atom, grants, origin, capability)
        with self._tracing.span(names.CALL, capability, parent=origin.traceparent) as span:
            span.set(names.EXTENSION, origin.sender)
            result = await provider.perform(request)
            try:
                provider.response_type.check(result, capability)
            except InvalidValue as error:
                raise RuntimeError(f"the provider of {capability} broke its own type") from error
            return result
