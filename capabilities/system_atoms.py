"""Permissions for the desktop around the host, each a word of its own.

    system = "notify" | "clipboard:read" | "clipboard:write" | "open-url" | "locale" | "theme"
           | "power:status" | "screenshot" ;

None includes another: reading the clipboard is no part of writing it. There is no word for all of them.
"""

from dataclasses import dataclass
from typing import ClassVar, Self

from desk.capabilities.atoms import Atom
from desk.capabilities.syntax import check_text, unknown_word

_SERVED = ("notify", "clipboard:read", "clipboard:write", "open-url", "locale", "theme")

WORDS = (*_SERVED, "power:status", "screenshot")
"""All that can be asked for."""


@dataclass(frozen=True, slots=True)
class SystemAtom(Atom):
    """The right to one service of the desktop."""

    section: ClassVar[str] = "system"

    word: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one of the words; raise `PermissionSyntaxError`."""
        check_text(text)
        if text not in WORDS:
            raise unknown_word("service", text, WORDS)
        return cls(text)

    @classmethod
    def to(cls, word: str) -> Self:
        """A request for one service. Raises `PermissionSyntaxError`, as all requests do."""
        return cls.parse(word)

    @property
    def served(self) -> bool:
        return self.word in _SERVED

    @property
    def text(self) -> str:
        return self.word

    def covers(self, other: Atom) -> bool:
        return self == other
