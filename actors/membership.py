"""What an actor is on the bus: the subjects it answers, the events it handles, and the types it declares for them.

Everything comes and goes with the actor, and everything that is granted only: a pattern that is not granted is not listened to,
and the type of a subject that it may not publish to binds nobody.
"""

from collections.abc import Collection, Sequence

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
        self._subscriptions: dict[str, Subscription] = {}
        """By pattern; those that it listens to."""
        self._published: set[str] = set()
        """The subjects whose type it has declared."""
        self._handlers: tuple[tuple[Pattern, str], ...] = ()
        """The same patterns, and the export for each."""
        self._routes: dict[str, tuple[str, ...]] = {}
        """The handlers of an event by its subject, for as many subjects as are kept."""

    async def declare(self, subscribes: Sequence[str], publishes: Sequence[str]) -> tuple[str, ...]:
        """Say what its events are and how it reads those of others; sentences on those that it will not be able to read.

        Large types take milliseconds each, so others have their turns between them. Raises `ConflictingTypes`.
        """
        notices = list[str]()
        for subject in publishes:
            await self._bus.pace.breathe()
            self.publish(subject)
        for pattern in subscribes:
            await self._bus.pace.breathe()
            notices += self._read(pattern)
        return tuple(notices)

    def _read(self, pattern: str) -> tuple[str, ...]:
        (type_,) = self._manifest.exports[self._manifest.subscribes[pattern]].params
        return self._bus.listens(pattern, type_, by=self._manifest.name)

    def join(self, subscribes: Sequence[str]) -> None:
        """Answer and listen from here on. Raises `ValueError` if somebody answers one of the subjects already."""
        for export, signature in self._manifest.exports.items():
            self._services.append(self._bus.serve(self.subjects[export], signature, self._mailbox))
        self._listen_to(subscribes)

    @property
    def heard(self) -> Collection[str]:
        """The patterns that it listens to."""
        return self._subscriptions.keys()

    @property
    def published(self) -> Collection[str]:
        """The subjects whose type it has declared."""
        return self._published

    def confine(self, subscribes: Collection[str], publishes: Collection[str]) -> None:
        """Listen to no pattern but these, and declare the type of no subject but these."""
        self._listen_to([pattern for pattern in self._subscriptions if pattern in subscribes])
        self._published.intersection_update(publishes)
        self._bus.retract(self._manifest.name, publishes=self._published, subscribes=self._subscriptions)

    def listen(self, pattern: str) -> None:
        """Listen to this pattern of the manifest, too. Raises `ConflictingTypes` if it could not read what is published there."""
        self._read(pattern)
        self._listen_to([*self._subscriptions, pattern])

    def publish(self, subject: str) -> None:
        """Declare the type that the manifest has for this subject. Raises `ConflictingTypes`."""
        self._bus.declare(subject, self._manifest.publishes[subject], by=self._manifest.name)
        self._published.add(subject)

    def _listen_to(self, patterns: Sequence[str]) -> None:
        for pattern in [each for each in self._subscriptions if each not in patterns]:
            self._subscriptions.pop(pattern).cancel()
        for pattern in patterns:
            if pattern not in self._subscriptions:
                overflow = self._manifest.overflow.get(pattern, Overflow.WAIT)
                subscription = self._bus.subscribe(pattern, mailbox=self._mailbox, overflow=overflow)
                self._subscriptions[pattern] = subscription
        handlers = self._manifest.subscribes.items()  # in the order of the manifest
        self._handlers = tuple((Pattern(pattern), export) for pattern, export in handlers if pattern in patterns)
        self._routes.clear()

    def leave(self) -> None:
        """Answer and listen no more, and bind nobody to its types. Not twice: another may have its name by then."""
        for service in self._services:
            self._bus.withdraw(service)
        self._listen_to(())
        self._bus.retract(self._manifest.name)

    def exports_for(self, envelope: Envelope) -> tuple[str, ...]:
        """The exports that a message is for: one for a request, every handler that matches for an event.

        None for an event that it may not listen to any more.
        """
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
