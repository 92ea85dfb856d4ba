"""What the bus knows of each subject: who gets its events, its retained value, and its counts.

One look into a dict finds all of it for an event. Who listens is found in the tree of patterns when it is asked for the first
time, or again after somebody came or went. Anybody may make up subjects, so what is known is bounded: beyond `SUBJECTS_KEPT`
all that has nothing but counts is forgotten, and found again when it is needed.
"""

from dataclasses import dataclass
from operator import attrgetter

from desk.bus.envelope import Envelope, Priority
from desk.bus.errors import Overloaded
from desk.bus.pattern_index import PatternIndex
from desk.bus.subjects import check_subject
from desk.bus.subscription import Subscription

SUBJECTS_KEPT = 10_000
"""Subjects whose receivers and counts are remembered."""

RETAINED_KEPT, RETAINED_BYTES_KEPT = 1_000, 16 << 20
"""Subjects with a retained value, and bytes of those values."""


_NUMBER = attrgetter("number")


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

    __slots__ = ("delivered", "dropped", "groups", "name", "priority", "published", "retained", "singles", "version")

    def __init__(self, name: str) -> None:
        self.name = name
        self.priority = Priority.CONTROL if name.startswith("sys.") else Priority.DATA
        """Of its events, unless their publisher says otherwise."""
        self.version = -1
        self.singles: tuple[Subscription, ...] = ()
        self.groups: tuple[tuple[Subscription, ...], ...] = ()
        self.retained: Envelope | None = None
        self.published = self.delivered = self.dropped = 0

    def receivers(self) -> tuple[Subscription, ...]:
        """Who gets the next event: all, and one of each group."""
        if not self.groups:
            return self.singles
        return (*self.singles, *[self._one_of(group) for group in self.groups])

    def instead_of(self, left: list[Subscription]) -> tuple[Subscription, ...]:
        """Who gets an event when those it was for have left: of the group of each, another, if there is one."""
        names = {each.group for each in left if each.group is not None}
        found = [self._one_of(group) for group in self.groups if group[0].group in names]
        return tuple(each for each in found if not each.mailbox.closed)

    def _one_of(self, group: tuple[Subscription, ...]) -> Subscription:
        """The one with the least to do; of several, the one whose turn it is."""
        turn, count = self.published, len(group)
        inturn = (group[(turn + offset) % count] for offset in range(count))
        return min(inturn, key=lambda member: (member.mailbox.closed, member.mailbox.queued))


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
        try:
            subject = self._subjects.get(name)
        except TypeError:  # it comes from untyped code, too
            subject = None
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
        """The retained values of which a new subscription is a receiver, in the order in which they were published.

        It is none if its mailbox has the value by another subscription, or its group by another member.
        """
        found = [
            each.retained
            for each in self._retained.values()
            if each.retained is not None and subscription.pattern.matches(each.name)
        ]
        if found:
            mailbox, group = subscription.mailbox, subscription.group
            with_it = [
                other.pattern
                for other in self.subscriptions.values()
                if other is not subscription
                and (other.group == group if group is not None else other.group is None and other.mailbox is mailbox)
            ]
            found = [each for each in found if not any(pattern.matches(each.subject) for pattern in with_it)]
        return sorted(found, key=lambda envelope: envelope.id)

    def _new(self, name: str) -> Subject:
        if len(self._subjects) >= SUBJECTS_KEPT:
            self._subjects = dict(self._retained)
        subject = self._subjects[name] = Subject(name)
        return subject

    def _resolve(self, subject: Subject) -> None:
        singles: dict[int, Subscription] = {}
        groups: dict[str, list[Subscription]] = {}
        for subscription in sorted(self._patterns.find(subject.name), key=_NUMBER):
            if subscription.group is None:
                singles.setdefault(id(subscription.mailbox), subscription)  # one mailbox gets an event once
            else:
                groups.setdefault(subscription.group, []).append(subscription)
        subject.singles = tuple(singles.values())
        subject.groups = tuple(map(tuple, groups.values()))
        subject.version = self._version
