"""What extensions may do, changed while they run: the app's `host.grants`.

    host.grants.list("weather-widget")                                            # each with who gave it, and what is left of it
    host.grants.give("weather-widget", {"network": ["api.weather.com"]}, seconds=3600)
    host.grants.revoke("weather-widget", {"network": ["api.weather.com"]})        # every port of it
    host.grants.revoke("weather-widget", section="network")                       # all of one section; without it, everything
    host.grants.explain("weather-widget", "network", "api.weather.com")           # what a request would be answered, and why

A change takes effect at the next request, and when the call returns, whatever was opened under a right that is gone is closed.
What is given for always is remembered if the host has a data directory, and what is taken away is forgotten there, too.
"""

import logging
from collections.abc import Mapping

from desk.capabilities.decision import Decision
from desk.capabilities.grant import Grant, Scope
from desk.capabilities.grants import Taken
from desk.capabilities.permissions import parse_atom
from desk.capabilities.policy import Given, Permissions, read_permissions
from desk.capabilities.provider import Member
from desk.capabilities.remembered import Remembered
from desk.capabilities.syntax import unknown_word
from desk.capabilities.vocabulary import STANDARD, Vocabulary
from desk.host.errors import NotLoaded
from desk.host.granting import useless

log = logging.getLogger("desk.host")


class Rights:
    """See the module's docstring. Permissions are in the manifest's grammar; raises `PermissionSyntaxError` for bad ones."""

    def __init__(
        self,
        members: Mapping[str, Member],
        vocabulary: Vocabulary = STANDARD,
        remembered: Remembered | None = None,
    ) -> None:
        """`members` is the broker's, which changes as extensions come and go."""
        self._members = members
        self._vocabulary = vocabulary
        self._remembered = remembered

    def list(self, name: str) -> tuple[Grant, ...]:
        """What an extension was granted, as far as it is live. Raises `NotLoaded`."""
        return self._member(name).grants.records()

    def give(
        self,
        name: str,
        permissions: Given,
        *,
        scope: Scope | str = Scope.SESSION,
        seconds: float | None = None,
        uses: int | None = None,
        size: int | None = None,
        by: str = "operator",
        reason: str = "",
    ) -> tuple[Grant, ...]:
        """Grant more to an extension: permissions, or `"requested"`, all that its manifest asks for.

        What the manifest does not ask for gives nothing, and a line in the log.

        `scope` is "once", "session" (until it is removed) or "always". `seconds`, `uses` (requests) and `size` (bytes in and
        out) end each of the grants. `by` and `reason` are for those who list them.

        Raises `NotLoaded`; `ValueError` for another scope, limits that are not above zero, and for always with limits, which
        would not be remembered; `CapabilityError` for too many grants; `OSError` if it cannot be remembered. Nothing is
        granted then.
        """
        grants, scope = self._member(name).grants, Scope(scope)
        if permissions == "requested":
            more = grants.requested
        else:
            more = read_permissions(permissions, self._vocabulary, 'permissions, if not "requested",')
        if scope is Scope.ALWAYS and not (seconds is uses is size is None):
            raise ValueError('what is granted for always has no limits; expected scope="session" with them')
        given = grants.give(more, scope=scope, seconds=seconds, uses=uses, size=size, by=by, reason=reason)
        if scope is Scope.ALWAYS and self._remembered is not None:
            try:
                self._remembered.add(name, more)
            except OSError:
                for grant in given:
                    grant.revoke()
                raise
        for notice in useless(grants.requested, more):
            log.warning("%s %s", name, notice)
        return given

    def revoke(self, name: str, what: Permissions | Grant | None = None, *, section: str | None = None) -> Taken:
        """Take away permissions, or one of the grants that `list` shows, or all of one section, or all that an extension has.

        A host without ports is every port of it, as in a deny rule. Of a wider grant stays what can be said as a permission, or
        else nothing: never more than asked. What is remembered is forgotten, also of an extension that is not loaded.

        Raises `NotLoaded` for one of which nothing is known, `PermissionSyntaxError` for an unknown section, `ValueError` for a
        grant of another, `TypeError` for both `what` and `section`, or what is no permissions at all; `OSError` if it cannot be
        forgotten: then it has it when it is loaded again.
        """
        if what is not None and section is not None:
            raise TypeError("expected what to revoke or a section, not both")
        if section is not None and section not in self._vocabulary:
            raise unknown_word("section", section, self._vocabulary)
        member = self._known(name)
        if isinstance(what, Grant):
            grants = self._member(name).grants
            if what.owner is not grants:
                raise ValueError(f"{what!r} is not {name}'s; expected one of those that list({name!r}) shows")
            gone = (what.atom,)
            taken = grants.revoke(what)
        else:
            said = "what is to be revoked (left out, it is everything)"
            gone = None if what is None else read_permissions(what, self._vocabulary.forbidding, said).atoms
            taken = Taken((), ())
            if member is not None:
                taken = member.grants.revoke_all(section) if gone is None else member.grants.revoke(gone)
        if self._remembered is not None:
            self._remembered.forget(name, gone, section=section)
        return taken

    def narrow(self, name: str, permissions: Permissions) -> Taken:
        """Take away all that is not within `permissions`, in all sections: one that is left out is taken away as a whole.

        A host without ports is port 443, as in a grant. Raises as `revoke` does.
        """
        within = read_permissions(permissions, self._vocabulary, "what is to be kept")
        member = self._known(name)
        taken = Taken((), ()) if member is None else member.grants.narrow(within)
        if self._remembered is not None:
            self._remembered.narrow(name, within)
        return taken

    def explain(self, name: str, section: str, text: str) -> Decision:
        """What a request would be answered, and why; nobody is asked, and nothing is used up or recorded.

        `decision.grants` are those that it rests on, `missing` and `fix` what it lacks, `rule` the operator's rule that
        refuses it. A call by way of another extension needs that one's rights as well. Raises `NotLoaded`.
        """
        return self._member(name).grants.decide(parse_atom(section, text, self._vocabulary))

    def _member(self, name: str) -> Member:
        member = self._members.get(name)
        if member is None:
            known = ", ".join(sorted(self._members)) or "none"
            raise NotLoaded(f"there is no extension {name!r}; loaded: {known}")
        return member

    def _known(self, name: str) -> Member | None:
        """The member, or None for one that is not loaded, but of which something is remembered. Raises `NotLoaded`."""
        remembered = self._remembered is not None and name in self._remembered
        return self._members.get(name) if remembered else self._member(name)
