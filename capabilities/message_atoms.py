"""Message permissions: which subjects may be published on or listened to, and which extensions may be called.

    bus  = ( "publish" | "subscribe" ) ":" pattern ;              see desk.bus.subjects
    call = extension-id "/" ( export | "*" ) ;

Nobody but the host publishes on `sys`, `ext` and `cap`, so that what is heard there can be believed. A permission to
do so cannot be written, and a request to do so is malformed, whatever wide pattern (`publish:**`) was granted.
Calling is not publishing: `call` permits requests on `ext.EXTENSION.EXPORT`.
"""

import re
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from desk.bus.subjects import RESERVED, Pattern, SubjectError, is_reserved
from desk.capabilities.atoms import Atom
from desk.capabilities.syntax import PermissionSyntaxError, check_text, found, shown, unknown_word

BusVerb = Literal["publish", "subscribe"]

_VERBS: tuple[BusVerb, ...] = ("publish", "subscribe")
_EXTENSION = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
# An export is one word of the subject it is called on, `ext.EXTENSION.EXPORT`, which has 255 characters at most.
_EXPORT = re.compile(r"[a-z0-9_-]{1,128}")
_ALL_EXPORTS = "*"
_DOTTED = re.compile(
    r"(?:ext\.)?([a-z0-9][a-z0-9-]{0,63})\.([a-z0-9_-]{1,128}|\*)"
)  # as subjects are written, by mistake


@dataclass(frozen=True, slots=True)
class BusAtom(Atom):
    """The right to publish or subscribe within a pattern of subjects."""

    section: ClassVar[str] = "bus"

    verb: BusVerb
    pattern: Pattern

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the grammar above; raise `PermissionSyntaxError`."""
        check_text(text)
        verb, colon, pattern = text.partition(":")
        if not colon:
            raise PermissionSyntaxError(f"no verb before {shown(text)}", "publish:PATTERN or subscribe:PATTERN")
        if verb not in _VERBS:
            raise unknown_word("verb", verb, _VERBS)
        return cls._checked(verb, pattern)

    @classmethod
    def publish(cls, subject: str) -> Self:
        """A request to publish on one subject. Raises `PermissionSyntaxError`, as all requests do."""
        atom = cls._checked("publish", subject)
        if not atom.pattern.literal:
            raise PermissionSyntaxError(f"cannot publish on the pattern {shown(subject)}", "one subject")
        return atom

    @classmethod
    def subscribe(cls, pattern: str) -> Self:
        """A request to listen to all subjects of a pattern."""
        return cls._checked("subscribe", pattern)

    @classmethod
    def _checked(cls, verb: BusVerb, text: str) -> Self:
        try:
            pattern = Pattern(text)
        except SubjectError as error:
            raise PermissionSyntaxError(str(error), "a subject or pattern such as weather.changed, weather.*") from None
        if verb == "publish" and is_reserved(text):
            reserved = ", ".join(sorted(RESERVED))
            raise PermissionSyntaxError(
                f"only the host publishes on {shown(text)}", f"a first word other than {reserved}"
            )
        return cls(verb, pattern)

    @property
    def text(self) -> str:
        return f"{self.verb}:{self.pattern}"

    def covers(self, other: Atom) -> bool:
        return isinstance(other, BusAtom) and self.verb == other.verb and self.pattern.covers(other.pattern)

    def near(self, other: Atom) -> bool:
        return isinstance(other, BusAtom) and self.pattern.covers(other.pattern)

    def meet(self, other: Atom) -> Atom | None:
        if not isinstance(other, BusAtom) or self.verb != other.verb:
            return None
        pattern = self.pattern.meet(other.pattern)
        return None if pattern is None else BusAtom(self.verb, pattern)


@dataclass(frozen=True, slots=True)
class CallAtom(Atom):
    """The right to call one export of an extension, or all of them (`*`)."""

    section: ClassVar[str] = "call"

    extension: str
    export: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the grammar above; raise `PermissionSyntaxError`."""
        check_text(text)
        extension, slash, export = text.partition("/")
        if not slash:
            dotted = _DOTTED.fullmatch(text)
            nearest = f"{dotted[1]}/{dotted[2]}" if dotted else None
            expected = "EXTENSION/EXPORT, or EXTENSION/* for all"
            raise PermissionSyntaxError(f"no export in {shown(text)}", expected, nearest=nearest)
        return cls._checked(extension, export)

    @classmethod
    def to(cls, extension: str, export: str) -> Self:
        """A request to call one export. Raises `PermissionSyntaxError`, as all requests do."""
        if export == _ALL_EXPORTS:
            raise PermissionSyntaxError('cannot call "*"', "one export")
        return cls._checked(extension, export)

    @classmethod
    def _checked(cls, extension: str, export: str) -> Self:
        if type(extension) is not str or _EXTENSION.fullmatch(extension) is None:
            raise PermissionSyntaxError(f"bad extension name {found(extension)}", "1 to 64 of a-z 0-9 -, not - first")
        if type(export) is not str or (export != _ALL_EXPORTS and _EXPORT.fullmatch(export) is None):
            raise PermissionSyntaxError(f"bad export name {found(export)}", "1 to 128 of a-z 0-9 _ -, or *")
        return cls(extension, export)

    @property
    def text(self) -> str:
        return f"{self.extension}/{self.export}"

    def covers(self, other: Atom) -> bool:
        return (
            isinstance(other, CallAtom)
            and self.extension == other.extension
            and self.export in (_ALL_EXPORTS, other.export)
        )

    def near(self, other: Atom) -> bool:
        return isinstance(other, CallAtom) and self.extension == other.extension
