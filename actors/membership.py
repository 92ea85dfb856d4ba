"""What an actor is on the bus: the subjects it answers, the events it handles, and the types it declares for them.

Everything comes and goes with the actor, and everything that is granted only: a pattern that is not granted is not listened to,
and the type of a subject that it may not publish to binds nobody.
"""

from collections.abc import Sequence

from desk.actors.manifest import Manifest
from desk.bus.bus import Bus
from desk.bus.envelope import Envelope
from desk.bus.mailbox import Mailbox, Overflow
from desk.bus.responder import Service
from desk.bus.subjects import Pattern
from desk.bus.subscription import Subscription

_ROUTES_KEPT = 256


class Membership:
    """See the module's docstring. `declare`, then `join`; `leave` once."""

    def __init__(self, manifest: Manifest, bus: Bus, mailbox: Mailbox) -> None:
        self.subjects = {export: f"ext.{manifest.name}.{export}" for export in manifest.exports}
        """Where requests to each of its exports go."""
        self._manifest = manifest
        self._bus = bus
        self._mailbox = mailbox
        self._services: list[Service] = []
        self._subscriptions: list[Subscription] = []
        self._handlers: tuple[tuple[Pattern, str], ...] = ()
        """The patterns that it listens to, and the export for each."""
        self._routes: dict[str, tuple[str, ...]] = {}
        """The handlers of an event by its subject, for as many subjects as are kept."""

    async def declare(self, subscribes: Sequence[str], publishes: Sequence[str]) -> tuple[str, ...]:
        """Say what its events are and how it reads those of others; sentences on those that it will not be able to read.

        Large types take milliseconds each, so others have their turns between them. Raises `ConflictingTypes`.
        """
        manifest, notices = self._manifest, list[str]()
        for subject in publishes:
            await self._bus.pace.breathe()
            self._bus.declare(subject, manifest.publishes[subject], by=manifest.name)
        for pattern in subscribes:
            await self._bus.pace.breathe()
            (type_,) = manifest.exports[manifest.subscribes[pattern]].params
            notices += self._bus.listens(pattern, type_, by=manifest.name)
        self._handlers = tuple((Pattern(pattern), manifest.subscribes[pattern]) for pattern in subscribes)
        return tuple(notices)

    def join(self) -> None:
        """Answer and listen from here on. Raises `ValueError` if somebody answers one of the subjects already."""
        for export, signature in self._manifest.exports.items():
            self._services.append(self._bus.serve(self.subjects[export], signature, self._mailbox))
        for pattern, _ in self._handlers:
            overflow = self._manifest.overflow.get(pattern.text, Overflow.WAIT)
            self._subscriptions.append(self._bus.subscribe(pattern.text, mailbox=self._mailbox, overflow=overflow))

    def leave(self) -> None:
        """Answer and listen no more, and bind nobody to its types. Not twice: another may have its name by then."""
        for service in self._services:
            self._bus.withdraw(service)
        for subscription in self._subscriptions:
            subscription.cancel()
        self._bus.retract(self._manifest.name)

    def exports_for(self, envelope: Envelope) -> tuple[str, ...]:
        """The exports that a message is for: one for a request, every handler that matches for an event."""
        subject = envelope.subject
        if envelope.reply is not None:
            return (subject.rpartition(".")[2],)
        exports = self._routes.get(subject)
        if exports is None:
            exports = tuple([export for pattern, export in self._handlers if pattern.matches(subject)])
            if len(self._routes) >= _ROUTES_KEPT:
                self._routes.clear()
            self._routes[subject] = exports
        return exports
