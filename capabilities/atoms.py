"""An atom is one permission: the smallest thing that can be asked for, granted, compared and shown.

The same kind of value is used three times: what a manifest asks for, what an operator grants, and what a guest wants
to do right now. A request is just a very narrow atom, so "may it?" and "does this update ask for more?" are the same
question, `covers`. Each section has a class of its own; this is what they share.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar, Self

from desk.capabilities.syntax import escaped


class Atom(ABC):
    """One permission, immutable, hashable, in canonical form: equal atoms permit the same."""

    __slots__ = ()

    section: ClassVar[str]
    """The field of the manifest's `permissions` this belongs to: `network`, `filesystem`, ..."""

    @property
    def served(self) -> bool:
        """Whether this version has a capability that needs it. If not, it may be asked for and granted, to no avail."""
        return True

    @property
    def own(self) -> bool:
        """Whether it is about what belongs to the extension itself, where nobody else could have rights: its own files."""
        return False

    def parts(self) -> tuple["Atom", ...]:
        """The smallest requests that this one consists of: what is read and written at once is read, and written.

        Whoever may do all of them may do this, and whoever is forbidden one of them may not. None, if it permits nothing.
        """
        return (self,)

    @property
    @abstractmethod
    def text(self) -> str:
        """The canonical string: what a manifest would say. It reads back as an equal atom."""

    @abstractmethod
    def covers(self, other: "Atom") -> bool:
        """Say whether whoever holds this may do everything `other` permits. Reflexive and transitive."""

    def near(self, other: "Atom") -> bool:
        """Say whether this speaks of the very thing that `other` does, whatever it permits there. Only good for a hint."""
        del other
        return False

    def joined(self, others: Iterable["Atom"]) -> Self:
        """Return this atom widened by what `others` permit on the very things it speaks of."""
        del others
        return self

    def minus(self, others: Iterable["Atom"]) -> Self | None:
        """Return what this permits beyond `others`, as an atom, or None if that is nothing."""
        return None if any(other.covers(self) for other in others) else self

    def meet(self, other: "Atom") -> "Atom | None":
        """Return what both this and `other` permit, as an atom; None if that is nothing."""
        if self.covers(other):
            return other
        return self if other.covers(self) else None

    def __str__(self) -> str:
        """Return section and text for people and logs, escaped to printable ASCII. To store or parse, use `text`."""
        return escaped(f"{self.section} {self.text}")
