"""What the bus knows of each subject: who gets its events, its retained value, and its counts.

One look into a dict finds all of it for an event. Who listens is found in the tree of patterns when it is asked for the first
time, or again after somebody came or went. Anybody may make up subjects, so what is known is bounded: beyond `SUBJECTS_KEPT`
all that has nothing but counts is forgotten, and found again when it is needed.
"""

from dataclasses import dataclass

from desk.bus.envelope import Envelope
from desk.bus.errors import Overloaded
from desk.bus.pattern_index import PatternIndex
from desk.bus.subjects import check_subject
from desk.bus.subscription import Subscription

SUBJECTS_KEPT = 10_000
"""Subjects whose receivers and counts are remembered."""

RETAINED_KEPT, RETAINED_BYTES_KEPT = 1_000, 16 << 20
"""Subjects with a retained value, and bytes of those values."""


@dataclass(frozen=True, slots=True)
class SubjectStatistics:
    """A snapshot: events published to one subject and deliveries made of them, since the bus remembers it."""

    subject: str
    published: int
    delivered: int
    dropped: int
    """By the policies of its subscribers, and those refused."""
    subscribers: int
    retained: bool


class Subject:
    """One subject; see the module's docstring."""

    __slots__ = ("delivered", "dropped", "groups", "name", "published", "retained", "singles", "version")

    def __init__(self, name: str) -> None:
        self.name = name
        self.version = -1
        self.singles: tuple[Subscription, ...] = ()
        self.groups: tuple[tuple[Subscription, ...], ...] = ()
        self.retained: Envelope | None = None
        self.published = self.delivered = self.dropped = 0

    def receivers(self) -> tuple[Subscription, ...]:
        """Who gets the next event: all, and of each group the one with the least to do (of several, the one whose turn it is)."""
        if not self.groups:
            return self.singles
        turn = self.published
        chosen = [
            min(
                (group[(turn + offset) % len(group)] for offset in range(len(group))),
                key=lambda member: member.mailbox.queued,
            )
            for group in self.groups
        ]
        return (*self.singles, *chosen)


class SubjectTable:
    """All subjects that were used, and all subscriptions."""

    def __init__(self) -> None:
        self.subscriptions: dict[int, Subscription] = {}
        self._patterns = PatternIndex[Subscription]()
        self._subjects: dict[str, Subject] = {}
        self._version = 0
        self._retained: dict[str, Subject] = {}
        self._retained_bytes = 0

    def add(self, subscription: Subscription) -> None:
        """Let it get the events that match."""
        self.subscriptions[subscription.number] = subscription
        self._patterns.add(subscription.pattern, subscription)
        self._version += 1

    def remove(self, subscription: Subscription) -> None:
        """Let it get no more."""
        del self.subscriptions[subscription.number]
        self._patterns.remove(subscription.pattern, subscription)
        self._version += 1

    def get(self, name: str) -> Subject:
        """What is known of a subject, its receivers up to date. Raises `SubjectError` for what is none."""
        subject = self._subjects.get(name)
        if subject is None:
            subject = self._new(check_subject(name))
        if subject.version != self._version:
            self._resolve(subject)
        return subject

    def known(self) -> tuple[SubjectStatistics, ...]:
        """Those that are remembered, by name."""
        return tuple(
            SubjectStatistics(
                each.name,
                each.published,
                each.delivered,
                each.dropped,
                len(each.singles) + sum(map(len, each.groups)),
                each.retained is not None,
            )
            for each in map(self.get, sorted(self._subjects))
        )

    def retain(self, subject: Subject, envelope: Envelope | None) -> None:
        """Keep the last value for those who come later, or forget it. Raises `Overloaded` when too many are kept."""
        kept = self._retained_bytes - (subject.retained.size if subject.retained else 0)
        if envelope is not None:
            kept += envelope.size
            full = subject.retained is None and len(self._retained) >= RETAINED_KEPT
            if full or kept > RETAINED_BYTES_KEPT:
                raise Overloaded(
                    f"the value of {subject.name} cannot be retained: {len(self._retained):,} values of "
                    f"{self._retained_bytes:,} bytes are; at most {RETAINED_KEPT:,} of {RETAINED_BYTES_KEPT:,} may be"
                )
            self._retained[subject.name] = subject
        else:
            self._retained.pop(subject.name, None)
        self._retained_bytes = kept
        subject.retained = envelope

    def retained_for(self, subscription: Subscription) -> list[Envelope]:
        """The retained values that a subscription listens to, in the order in which they were published."""
        found = [
            subject.retained
            for subject in self._retained.values()
            if subject.retained is not None and subscription.pattern.matches(subject.name)
        ]
        return sorted(found, key=lambda envelope: envelope.id)

    def _new(self, name: str) -> Subject:
        if len(self._subjects) >= SUBJECTS_KEPT:
            self._subjects = dict(self._retained)
        subject = self._subjects[name] = Subject(name)
        return subject

    def _resolve(self, subject: Subject) -> None:
        singles: dict[int, Subscription] = {}
        groups: dict[str, list[Subscription]] = {}
        for subscription in sorted(self._patterns.find(subject.name), key=lambda found: found.number):
            if subscription.group is None:
                singles.setdefault(id(subscription.mailbox), subscription)  # one mailbox gets an event once
            else:
                groups.setdefault(subscription.group, []).append(subscription)
        subject.singles = tuple(singles.values())
        subject.groups = tuple(map(tuple, groups.values()))
        subject.version = self._version
