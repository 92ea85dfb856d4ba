"""Which sections of permissions a host knows, and how each is read.

`STANDARD` has those of `desk` itself. An app that brings capabilities of its own extends it by their sections: manifests may
then ask for them, operators grant them, and nothing else changes.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import TypeAlias

from desk.capabilities.atoms import Atom
from desk.capabilities.env_atoms import EnvAtom
from desk.capabilities.filesystem_atoms import FilesystemAtom
from desk.capabilities.level_atoms import ClockAtom, GpuAtom, LevelAtom, RandomAtom
from desk.capabilities.message_atoms import BusAtom, CallAtom
from desk.capabilities.network_atoms import NetworkAtom
from desk.capabilities.nn_atoms import NnAtom
from desk.capabilities.ports import ALL_PORTS
from desk.capabilities.state_atoms import StateAtom
from desk.capabilities.syntax import PermissionSyntaxError, unknown_word
from desk.capabilities.system_atoms import SystemAtom

Parse: TypeAlias = Callable[[str], Atom]
"""Reads one permission of a section; raises `PermissionSyntaxError`."""

_SECTION = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Section name to how its permissions are read."""

    parsers: Mapping[str, Parse]
    levels: frozenset[str] = frozenset()
    """The sections that may be written as one text, a level, instead of a list."""

    def __iter__(self) -> Iterator[str]:
        """The names of all sections."""
        return iter(self.parsers)

    def __contains__(self, section: object) -> bool:
        return section in self.parsers

    def extended(self, parsers: Mapping[str, Parse]) -> "Vocabulary":
        """These sections and more. Raises `ValueError` for a name that is taken, or is not 1 to 64 of a-z 0-9 _, a-z first."""
        for section in parsers:
            if section in self.parsers:
                raise ValueError(f"there is a section {section!r} of permissions already; expected another name")
            if _SECTION.fullmatch(section) is None:
                raise ValueError(f"{section!r} is no name for a section of permissions; expected a-z 0-9 _, a-z first")
        return Vocabulary(MappingProxyType({**self.parsers, **parsers}), self.levels)

    @property
    def forbidding(self) -> "Vocabulary":
        """The same for what is forbidden or taken away: a host without ports is every port of it there, not 443 alone."""
        network = {NetworkAtom.section: partial(NetworkAtom.parse, unsaid=ALL_PORTS)}
        return replace(self, parsers=MappingProxyType({**self.parsers, **network}))

    def parse(self, section: str, text: str) -> Atom:
        """Read one permission; raise `PermissionSyntaxError`, which names section and text."""
        if section not in self.parsers:
            raise unknown_word("section", section, self)
        try:
            return self.parsers[section](text)
        except PermissionSyntaxError as error:
            error.section = section
            error.text = text if type(text) is str else None
            raise


_KINDS = (
    *(NetworkAtom, FilesystemAtom, EnvAtom, ClockAtom, RandomAtom, StateAtom),
    *(BusAtom, CallAtom, NnAtom, GpuAtom, SystemAtom),
)

STANDARD = Vocabulary(
    MappingProxyType({kind.section: kind.parse for kind in _KINDS}),
    frozenset(kind.section for kind in _KINDS if issubclass(kind, LevelAtom)),
)
"""The sections that every host knows."""
