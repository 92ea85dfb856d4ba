"""What extensions may do, changed while they run: the app's `host.grants`.

    host.grants.list("weather-widget")                                            # each with who gave it, and what is left of it
    host.grants.give("weather-widget", {"network": ["api.weather.com"]}, seconds=3600)
    host.grants.revoke("weather-widget", {"network": ["api.weather.com"]})
    host.grants.explain("weather-widget", "network", "api.weather.com")           # what a request would be answered, and why

A change takes effect at the next request, and when the call returns, whatever was opened under a right that is gone is closed.
What is given for always is remembered if the host has a data directory, and what is taken away is forgotten there, too.
"""

from collections.abc import Mapping

from desk.capabilities.decision import Decision
from desk.capabilities.grant import Grant, Scope
from desk.capabilities.grants import Taken
from desk.capabilities.permissions import PermissionSet, parse_atom
from desk.capabilities.policy import Permissions, read_permissions
from desk.capabilities.provider import Member
from desk.capabilities.remembered import Remembered
from desk.capabilities.vocabulary import STANDARD, Vocabulary
from desk.host.errors import NotLoaded


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
        permissions: Permissions,
        *,
        scope: Scope | str = Scope.SESSION,
        seconds: float | None = None,
        uses: int | None = None,
        size: int | None = None,
        by: str = "operator",
        reason: str = "",
    ) -> tuple[Grant, ...]:
        """Grant more to an extension; what its manifest does not ask for gives nothing.

        `scope` is "once", "session" (until it is removed) or "always". `seconds`, `uses` (requests) and `size` (bytes in and
        out) end each of the grants. `by` and `reason` are for those who list them.

        Raises `NotLoaded`; `ValueError` for another scope, limits that are not above zero, and for always with limits, which
        would not be remembered; `CapabilityError` for too many grants; `OSError` if it cannot be remembered. Nothing is
        granted then.
        """
        grants, scope = self._member(name).grants, Scope(scope)
        atoms = self._read(permissions).atoms
        if scope is Scope.ALWAYS and not (seconds is uses is size is None):
            raise ValueError('what is granted for always has no limits; expected scope="session" with them')
        given = grants.give(atoms, scope=scope, seconds=seconds, uses=uses, size=size, by=by, reason=reason)
        if scope is Scope.ALWAYS and self._remembered is not None:
            try:
                self._remembered.add(name, atoms)
            except OSError:
                for grant in given:
                    grant.revoke()
                raise
        return given

    def revoke(self, name: str, what: Permissions | Grant | None = None) -> Taken:
        """Take away permissions, or one of the grants that `list` shows, or all that an extension has.

        Of a wider grant stays what can be said as a permission, or else nothing: never more than asked. What is remembered
        is forgotten, also of an extension that is not loaded. Raises `NotLoaded` for one of which nothing is known,
        `ValueError` for a grant of another, `OSError` if it cannot be forgotten: then it has it when it is loaded again.
        """
        member = self._known(name)
        if isinstance(what, Grant):
            grants = self._member(name).grants
            if what.owner is not grants:
                raise ValueError(f"{what!r} is not {name}'s; expected one of those that list({name!r}) shows")
            gone = (what.atom,)
            taken = grants.revoke(what)
        else:
            gone = None if what is None else self._read(what).atoms
            taken = Taken((), ())
            if member is not None:
                taken = member.grants.narrow(()) if gone is None else member.grants.revoke(gone)
        if self._remembered is not None:
            self._remembered.forget(name, gone)
        return taken

    def narrow(self, name: str, permissions: Permissions) -> Taken:
        """Take away all that is not within `permissions`. Raises as `revoke` does."""
        within, member = self._read(permissions), self._known(name)
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

    def _read(self, permissions: Permissions) -> PermissionSet:
        return read_permissions(permissions, self._vocabulary, "permissions")

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
