"""Filesystem permissions: which part of the tree may be read or written.

    filesystem = ( "read" | "write" | "readwrite" ) ":" path ;
    path       = ( "/" seg | root ) { "/" seg } ;                 the path itself and everything below; no globs
    root       = "@data" | "@cache" | "@config" | "@tmp" | "@package" ;
    seg        = characters except "/" "\\" "*" ;                 not empty, not "." or ".."

The roots are places of the extension's own, the same on every device. `/`, `/proc`, `/sys` and `/dev` are refused, in
any case, with all below them: through them a file permission becomes a permission for something else. Comparison is
by whole segments: `/srv/a` does not cover `/srv/ab`. `read` and `write` are separate rights, neither implies the other.

These are names, not files. A name may lead elsewhere (symbolic links, renames between check and use), so a provider
opens each grant once and resolves beneath it; it never opens the string.
"""

from dataclasses import dataclass
from typing import ClassVar, Self

from desk.capabilities.atoms import Atom
from desk.capabilities.rights_atom import NAMES, VERBS, RightsAtom
from desk.capabilities.syntax import PermissionSyntaxError, check_text, shown, unknown_word

ROOTS = ("@data", "@cache", "@config", "@tmp", "@package")

_REFUSED = ("proc", "sys", "dev")
_EXPECTED = "an absolute path such as /var/cache/weather, or one below " + ", ".join(ROOTS)


@dataclass(frozen=True, slots=True)
class FilesystemAtom(RightsAtom):
    """The rights `verbs`, out of "read" and "write", on `path` and everything below it."""

    section: ClassVar[str] = "filesystem"

    path: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the grammar above; raise `PermissionSyntaxError`."""
        check_text(text)
        verb, colon, path = text.partition(":")
        if not colon:
            raise PermissionSyntaxError(f"no verb before {shown(text)}", "read:PATH, write:PATH or readwrite:PATH")
        if verb not in VERBS:
            raise unknown_word("verb", verb, VERBS)
        _check_path(path)
        return cls(VERBS[verb], path)

    @classmethod
    def read(cls, path: str) -> Self:
        """A request to read one file or directory. Raises `PermissionSyntaxError`, as all requests do."""
        return cls._request("read", path)

    @classmethod
    def write(cls, path: str) -> Self:
        """A request to change one file or directory: create, truncate, rename (both ends), link and chmod, too."""
        return cls._request("write", path)

    @classmethod
    def readwrite(cls, path: str) -> Self:
        """A request to open one file for both."""
        return cls._request("readwrite", path)

    @classmethod
    def _request(cls, verb: str, path: str) -> Self:
        if type(path) is not str:
            raise PermissionSyntaxError(f"a path cannot be {type(path).__name__}", "text")
        return cls.parse(f"{verb}:{path}")

    @property
    def served(self) -> bool:
        return self._root != "@package"

    @property
    def own(self) -> bool:
        return self._root in ROOTS

    @property
    def text(self) -> str:
        return f"{NAMES[self.verbs]}:{self.path}"

    @property
    def _root(self) -> str:
        return self.path.partition("/")[0]

    def covers(self, other: Atom) -> bool:
        # A request is held against every grant, and most of them are elsewhere.
        if type(other) is not FilesystemAtom or not other.path.startswith(self.path):
            return False
        return self.reaches(other) and other.verbs <= self.verbs

    def reaches(self, other: Atom) -> bool:
        if type(other) is not FilesystemAtom:
            return False
        return other.path.startswith(self.path) and other.path[len(self.path) : len(self.path) + 1] in ("", "/")


def _check_path(path: str) -> None:
    root, *below = path.split("/")
    if root == "" and below:
        if below[0].casefold() in _REFUSED:
            raise PermissionSyntaxError(f"{shown(path)} is not for extensions", "a path outside /proc, /sys and /dev")
        if below == [""]:
            raise PermissionSyntaxError('"/" is too wide', _EXPECTED)
    elif root.startswith("@") and root not in ROOTS:
        raise unknown_word("root", root, ROOTS)
    elif root not in ROOTS:
        raise PermissionSyntaxError(f"{shown(path)} is not an absolute path", _EXPECTED)
    for segment in below:
        if segment in ("", ".", ".."):
            raise PermissionSyntaxError(f"bad segment {shown(segment)} in {shown(path)}", "names joined by single /")
        for character in "\\*":
            if character in segment:
                raise PermissionSyntaxError(f"{shown(character)} in {shown(path)}", "a path without globs or \\")
