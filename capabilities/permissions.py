"""Permissions as manifests and operators write them, read into values that can be compared.

    permissions: { network: ["api.weather.com"], filesystem: ["read:/var/cache/weather"], gpu: "limited:webgl1" }

There are no deny rules here. What is not covered is denied, so "is this set within that one?" has an answer, and an
update that asks for more can be told from one that does not. An unknown section, verb or value is an error: a
permission that nobody checks must not look granted.

Each section's grammar stands in the file of its atoms. The sections in `LATER` are part of the grammar but nothing
acts on them yet: a manifest may carry them, they permit nothing, and `PermissionSet.later` names them so that whoever
installs the extension can be told.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from desk.bus.types.base import describe
from desk.capabilities.atoms import Atom
from desk.capabilities.filesystem_atoms import FilesystemAtom
from desk.capabilities.message_atoms import BusAtom, CallAtom
from desk.capabilities.network_atoms import NetworkAtom, collapsed
from desk.capabilities.syntax import PermissionSyntaxError, check_text, unknown_word

__all__ = [
    "LATER",
    "SECTIONS",
    "Atom",
    "BusAtom",
    "CallAtom",
    "FilesystemAtom",
    "NetworkAtom",
    "PermissionSet",
    "PermissionSyntaxError",
    "parse_atom",
]

_T = TypeVar("_T")

_PARSERS: dict[str, Callable[[str], Atom]] = {
    kind.section: kind.parse for kind in (NetworkAtom, FilesystemAtom, BusAtom, CallAtom)
}

SECTIONS = frozenset(_PARSERS)
"""Sections that are enforced."""

LATER = frozenset({"env", "clock", "random", "state", "nn", "gpu", "system"})
"""Sections that are known and accepted, but not yet acted upon."""

MAX_PER_SECTION = 128
"""Permissions in one section: nobody reviews more, and comparing them is quadratic."""


def parse_atom(section: str, text: str) -> Atom:
    """Read one permission of an enforced section; raise `PermissionSyntaxError`."""
    if section not in _PARSERS:
        raise unknown_word("section", section, SECTIONS)
    return _located(_PARSERS[section], section, text)


@dataclass(frozen=True, slots=True)
class PermissionSet:
    """Some permissions, in the order written and without repetitions. Empty by default: permits nothing."""

    atoms: tuple[Atom, ...] = ()
    later: tuple[str, ...] = ()
    """Names of sections that were accepted but permit nothing, because nothing acts on them yet."""
    _normal: tuple[Atom, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "atoms", tuple(dict.fromkeys(self.atoms)))
        object.__setattr__(self, "_normal", _normal(self.atoms))

    @classmethod
    def parse(cls, sections: Mapping[str, str | Sequence[str]]) -> "PermissionSet":
        """Read the `permissions` of a manifest or of an operator's grant, section name to texts.

        Enforced sections are lists; the others may also be one text, a level. Raises `PermissionSyntaxError`.
        """
        atoms: list[Atom] = []
        later: list[str] = []
        for section, value in sections.items():
            if section in _PARSERS:
                atoms += [_located(_PARSERS[section], section, text) for text in _texts(section, value)]
            elif section in LATER:
                for text in [value] if isinstance(value, str) else _texts(section, value):
                    _located(check_text, section, text)
                later.append(section)
            else:
                raise unknown_word("section", section, SECTIONS | LATER)
        return cls(tuple(atoms), tuple(later))

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
        for mine in self._normal:
            if mine.covers(atom):
                return mine
        return None

    def covers(self, atom: Atom) -> bool:
        """Say whether these permissions, taken together, permit all that `atom` does."""
        return any(mine.covers(atom) for mine in self._normal)

    def asks_more(self, other: "PermissionSet") -> tuple[Atom, ...]:
        """Return what this set permits beyond `other`, reduced to the new part; empty if this is within `other`.

        This is the question an update raises. A verb or a port that is new is named alone; of an address block, it is
        the whole block. Never empty wrongly.
        """
        beyond = (mine.minus(other._normal) for mine in self._normal)
        return tuple(atom for atom in beyond if atom is not None)


def _texts(section: str, value: str | Sequence[str]) -> Sequence[str]:
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


def _located(read: Callable[[str], _T], section: str, text: str) -> _T:
    try:
        return read(text)
    except PermissionSyntaxError as error:
        error.section = section
        error.text = text if type(text) is str else None
        raise


def _normal(atoms: Iterable[Atom]) -> tuple[Atom, ...]:
    """Return what `atoms` come to: neighbouring blocks merged, rights on one thing joined, covered atoms dropped.

    Every atom covered by several together is then covered by one, but for address blocks with different ports.
    """
    merged = collapsed(atoms)
    joined = [atom.joined(merged) for atom in merged]
    kept: list[Atom] = []
    for atom in dict.fromkeys(joined):
        if not any(other.covers(atom) for other in kept):
            kept = [other for other in kept if not atom.covers(other)]
            kept.append(atom)
    return tuple(kept)
