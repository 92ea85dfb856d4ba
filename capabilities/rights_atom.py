"""What permissions have in common that are rights, to read and to write, on a place and all below it: files and entries.

`read` and `write` are separate rights, and neither implies the other. So what two such permissions have in common, or one has
beyond others, is said right by right; where the place of one lies in that of another is for each of them to know.
"""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Self

from desk.capabilities.atoms import Atom

VERBS: Mapping[str, frozenset[str]] = MappingProxyType(
    {"read": frozenset({"read"}), "write": frozenset({"write"}), "readwrite": frozenset({"read", "write"})}
)
"""How rights are written, and which they are."""

NAMES: Mapping[frozenset[str], str] = MappingProxyType({verbs: name for name, verbs in VERBS.items()})
"""Which rights there are, and how they are written."""


@dataclass(frozen=True, slots=True)
class RightsAtom(Atom):
    """The rights `verbs`, out of "read" and "write", on something."""

    verbs: frozenset[str]

    @abstractmethod
    def reaches(self, other: Atom) -> bool:
        """Say whether `other` is of this kind, and speaks of what lies in what this speaks of, whatever the rights."""

    def parts(self) -> tuple[Atom, ...]:
        return tuple(replace(self, verbs=frozenset({verb})) for verb in sorted(self.verbs))

    def covers(self, other: Atom) -> bool:
        return type(other) is type(self) and self.reaches(other) and other.verbs <= self.verbs

    def joined(self, others: Iterable[Atom]) -> Self:
        return replace(self, verbs=self.verbs | self._given(others))

    def minus(self, others: Iterable[Atom]) -> Self | None:
        left = self.verbs - self._given(others)
        return replace(self, verbs=left) if left else None

    def meet(self, other: Atom) -> Atom | None:
        if type(other) is not type(self) or not self.verbs & other.verbs:
            return None
        inner = other if self.reaches(other) else self
        return replace(inner, verbs=self.verbs & other.verbs) if other.reaches(inner) else None

    def _given(self, others: Iterable[Atom]) -> frozenset[str]:
        """Return the rights that `others` give on the whole of what this speaks of."""
        given = (other.verbs for other in others if type(other) is type(self) and other.reaches(self))
        return frozenset[str]().union(*given)
