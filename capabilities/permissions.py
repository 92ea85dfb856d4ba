"""Permissions as manifests and operators write them, read into values that can be compared.

    permissions: { network: ["api.weather.com"], filesystem: ["read:/var/cache/weather"], clock: "wall:coarse" }

There are no deny rules here. What is not covered is denied, so "is this set within that one?" has an answer, and an
update that asks for more can be told from one that does not. An unknown section, verb or value is an error: a
permission that nobody checks must not look granted.

Each section's grammar stands in the file of its atoms; `vocabulary` has which sections there are. What no capability
serves (`Atom.served`) may be asked for and granted, to no avail: whoever installs the extension is told.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from desk.bus.types.base import describe
from desk.capabilities.atoms import Atom
from desk.capabilities.filesystem_atoms import FilesystemAtom
from desk.capabilities.message_atoms import BusAtom, CallAtom
from desk.capabilities.network_atoms import NetworkAtom, collapsed
from desk.capabilities.syntax import PermissionSyntaxError, unknown_word
from desk.capabilities.vocabulary import STANDARD, Vocabulary

__all__ = [
    "STANDARD",
    "Atom",
    "BusAtom",
    "CallAtom",
    "FilesystemAtom",
    "NetworkAtom",
    "PermissionSet",
    "PermissionSyntaxError",
    "Vocabulary",
    "parse_atom",
]

MAX_PER_SECTION = 128
"""Permissions in one section: nobody reviews more, and comparing them is quadratic."""


def parse_atom(section: str, text: str, vocabulary: Vocabulary = STANDARD) -> Atom:
    """Read one permission; raise `PermissionSyntaxError`."""
    return vocabulary.parse(section, text)


@dataclass(frozen=True, slots=True)
class PermissionSet:
    """Some permissions, in the order written and without repetitions. Empty by default: permits nothing."""

    atoms: tuple[Atom, ...] = ()
    _normal: Mapping[str, tuple[Atom, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "atoms", tuple(dict.fromkeys(self.atoms)))
        object.__setattr__(self, "_normal", _normal(self.atoms))

    @classmethod
    def parse(cls, sections: Mapping[str, str | Sequence[str]], vocabulary: Vocabulary = STANDARD) -> "PermissionSet":
        """Read the `permissions` of a manifest or of an operator's grant, section name to texts.

        A section is a list of texts, or one text if its permissions are levels. Raises `PermissionSyntaxError`.
        """
        atoms: list[Atom] = []
        for section, value in sections.items():
            if section not in vocabulary:
                raise unknown_word("section", section, vocabulary)
            atoms += [vocabulary.parse(section, text) for text in _texts(section, value, vocabulary)]
        return cls(tuple(atoms))

    def __iter__(self) -> Iterator[Atom]:
        return iter(self.atoms)

    def covering(self, atom: Atom) -> Atom | None:
        """Return the permission that covers `atom`, or None.

        It is one of `atoms` if one of them is enough, and otherwise what several of them come to together: `read:/a`
        and `write:/a` cover `readwrite:/a/b` as `readwrite:/a`.
        """
        for mine in self.atoms:
            if mine.covers(atom):
                return mine
        for mine in self._normal.get(atom.section, ()):
            if mine.covers(atom):
                return mine
        return None

    def covers(self, atom: Atom) -> bool:
        """Say whether these permissions, taken together, permit all that `atom` does."""
        for mine in self._normal.get(atom.section, ()):
            if mine.covers(atom):
                return True
        return not atom.parts()

    def asks_more(self, other: "PermissionSet") -> tuple[Atom, ...]:
        """Return what this set permits beyond `other`, reduced to the new part; empty if this is within `other`.

        This is the question an update raises. A verb or a port that is new is named alone; of an address block, it is
        the whole block. Never empty wrongly.
        """
        beyond = (
            mine.minus(other._normal.get(section, ())) for section, atoms in self._normal.items() for mine in atoms
        )
        return tuple(atom for atom in beyond if atom is not None)

    def normalise(self) -> "PermissionSet":
        """Return the same permissions in as few atoms as they come to: what to show, or to keep, of several grants."""
        return PermissionSet(tuple(atom for atoms in self._normal.values() for atom in atoms))


def _texts(section: str, value: str | Sequence[str], vocabulary: Vocabulary) -> Sequence[str]:
    if isinstance(value, str) and section in vocabulary.levels:
        return (value,)
    error = None
    if not isinstance(value, list | tuple):
        found = "a string" if isinstance(value, str) else describe(value)
        error = PermissionSyntaxError(f"{found} instead of a list", f'a list of strings, as in {section}: ["..."]')
    elif len(value) > MAX_PER_SECTION:
        error = PermissionSyntaxError(f"{len(value)} permissions", f"at most {MAX_PER_SECTION} in a section")
    if error is not None:
        error.section = section
        raise error
    return value


def _normal(atoms: Iterable[Atom]) -> Mapping[str, tuple[Atom, ...]]:
    """Return what `atoms` come to, by section: neighbouring blocks merged, rights on one thing joined, the rest dropped.

    Dropped is what another covers, so of levels only the highest is left, and what permits nothing. Every atom covered
    by several together is then covered by one, but for address blocks with different ports.
    """
    sections: dict[str, list[Atom]] = {}
    for atom in atoms:
        if atom.parts():
            sections.setdefault(atom.section, []).append(atom)
    return {section: _widest(collapsed(some)) for section, some in sections.items()}


def _widest(atoms: Sequence[Atom]) -> tuple[Atom, ...]:
    kept: list[Atom] = []
    for atom in dict.fromkeys(atom.joined(atoms) for atom in atoms):
        if not any(other.covers(atom) for other in kept):
            kept = [other for other in kept if not atom.covers(other)]
            kept.append(atom)
    return tuple(kept)
