"""What subjects carry: declared by those who publish, held against those who listen.

A declared subject's events are checked whoever publishes them, the app or an extension. Several may declare the same subject if
each can read what the others send; otherwise the second is refused, with both names. So is a listener that names the subject and
could not read its events. (One that listens by a wildcard may get all kinds of things: it is told, not refused.)
"""

from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from types import MappingProxyType

from desk.bus.errors import ConflictingTypes
from desk.bus.subjects import Pattern, check_subject
from desk.bus.types.base import Type
from desk.bus.types.compatible import problems
from desk.bus.types.natural import Natural

_NAMED = 3  # problems that an error repeats, and notices of one pattern
_LOOKED_AT = 2_048  # types that are compared for the notices of one pattern; there could be millions


class Declared:
    """The type of one subject's events, and the class whose objects they are for the app, if it registered one."""

    __slots__ = ("by", "natural", "type")

    def __init__(self, type_: Type) -> None:
        self.type = type_
        self.natural: Natural[object] | None = None
        self.by: dict[str, Type] = {}
        """Who declared it, and how."""

    def __repr__(self) -> str:
        """Like `<Declared (city: string) by weather-station>`."""
        return f"<Declared {self.type} by {', '.join(self.by)}>"

    def encode(self, subject: str, value: object) -> bytes:
        """An event's payload. Raises `InvalidValue`."""
        if self.natural is not None and isinstance(value, self.natural.cls):
            value = self.natural.to_plain(value)
        return self.type.encode(value, subject)

    def decode(self, payload: bytes) -> object:
        """The value in an event's payload, for the app. Raises `InvalidValue`."""
        value = self.type.decode(payload, max_size=len(payload))
        return value if self.natural is None else self.natural.from_plain(value)


class Declarations:
    """All declared subjects, and the types of those who listen."""

    def __init__(self) -> None:
        self._declared: dict[str, Declared] = {}
        self._listeners: dict[tuple[str, str], tuple[Pattern, Type]] = {}
        """By name of the listener and pattern."""

    def get(self, subject: str) -> Declared | None:
        """How the subject is declared, if it is."""
        return self._declared.get(subject)

    def types(self) -> Mapping[str, Type]:
        """All declared subjects and their types."""
        return MappingProxyType({subject: declared.type for subject, declared in self._declared.items()})

    def declare(self, subject: str, type_: Type, by: str, natural: Natural[object] | None = None) -> Declared:
        """Let events of `subject` be of that type. Raises `ConflictingTypes`, and `SubjectError` for what is no subject."""
        declared = self._declared.get(check_subject(subject))
        if declared is not None:
            for other, theirs in declared.by.items():
                if other != by:
                    _check(subject, (by, type_), (other, theirs))
                    _check(subject, (other, theirs), (by, type_))
        for (listener, _), (pattern, theirs) in self._listeners.items():
            if pattern.literal and pattern.text == subject:
                _check(subject, (by, type_), (listener, theirs))
        if declared is None or declared.by.keys() == {by}:  # one who is alone with it may say it anew
            declared = self._declared[subject] = Declared(type_)
        declared.by[by] = type_
        declared.natural = natural or declared.natural
        return declared

    def listen(self, pattern: Pattern, type_: Type, by: str) -> tuple[str, ...]:
        """Note what somebody can read; returns sentences on some declared subjects that match a wildcard and that it cannot read.

        Raises `ConflictingTypes` if the pattern is a declared subject that it cannot read.
        """
        if pattern.literal:
            declared = self._declared.get(pattern.text)
            for other, theirs in declared.by.items() if declared else ():
                _check(pattern.text, (other, theirs), (by, type_))
        self._listeners[by, pattern.text] = pattern, type_
        return () if pattern.literal else tuple(islice(self._notices(pattern, type_, by), _NAMED))

    def _notices(self, pattern: Pattern, type_: Type, by: str) -> Iterator[str]:
        room = _LOOKED_AT
        for subject, declared in self._declared.items():
            for other, theirs in declared.by.items() if pattern.matches(subject) else ():
                room -= theirs.size
                if room < 0:
                    return
                try:
                    _check(subject, (other, theirs), (by, type_))
                except ConflictingTypes as conflict:
                    yield f"listens to {pattern}, but {conflict}"

    def withdraw(self, by: str, publishes: Collection[str] = (), subscribes: Collection[str] = ()) -> tuple[str, ...]:
        """Forget all that `by` declared and listens to, but for these; returns the subjects that nobody declares any more."""
        self._listeners = {
            (who, pattern): value
            for (who, pattern), value in self._listeners.items()
            if who != by or pattern in subscribes
        }
        bare = [
            subject
            for subject, each in self._declared.items()
            if subject not in publishes and each.by.pop(by, None) and not each.by
        ]
        for subject in bare:
            del self._declared[subject]
        return tuple(bare)


def _check(subject: str, writer: tuple[str, Type], reader: tuple[str, Type]) -> None:
    """Raise `ConflictingTypes` if the reader cannot read all that the writer may send."""
    if writer[1] != reader[1] and (found := problems(writer[1], reader[1])):
        more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        what = "; ".join(map(str, found[:_NAMED]))
        raise ConflictingTypes(
            f"{writer[0] or 'the app'} declares {subject} as {_short(writer[1])}, which {reader[0] or 'the app'} cannot read as "
            f"{_short(reader[1])}: {what}{more}"
        )


def _short(type_: Type) -> str:
    text = str(type_)
    return text if len(text) <= 120 else text[:120] + "…"
