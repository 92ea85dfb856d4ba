"""State permissions: which entries of the key-value store may be read or written.

    state     = ( "read" | "write" | "readwrite" ) ":" namespace [ "/" ( key | [ key-prefix ] "*" ) ] ;
    namespace = 1 to 64 of a-z 0-9 -, not - first ;           "own": the extension's own, which takes no permission
    key       = seg { "/" seg } ;                             seg: visible characters without "/" and "*", not "." or ".."

A namespace alone is all of its keys, `key*` all keys that begin so, a character at a time. A namespace other than `own` is
shared: those who were granted it see the same entries. `read` and `write` are separate rights, neither implies the other.
"""

import re
from dataclasses import dataclass
from typing import ClassVar, Self

from desk.capabilities.atoms import Atom
from desk.capabilities.rights_atom import NAMES, VERBS, RightsAtom
from desk.capabilities.syntax import PermissionSyntaxError, check_text, found, shown, unknown_word

OWN = "own"
"""The namespace that each extension has to itself."""

MAX_KEY = 256
"""Characters of a key."""

_NAMESPACE = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


@dataclass(frozen=True, slots=True)
class StateAtom(RightsAtom):
    """The rights `verbs`, out of "read" and "write", on one key or, if `below`, on all keys that begin with `key`."""

    section: ClassVar[str] = "state"

    namespace: str
    key: str = ""
    below: bool = True

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the grammar above; raise `PermissionSyntaxError`."""
        check_text(text)
        verb, colon, rest = text.partition(":")
        if not colon:
            expected = "read:NAMESPACE, write:NAMESPACE/KEY or readwrite:NAMESPACE/PREFIX*"
            raise PermissionSyntaxError(f"no verb before {shown(text)}", expected)
        if verb not in VERBS:
            raise unknown_word("verb", verb, VERBS)
        namespace, slash, key = rest.partition("/")
        below = not slash or key.endswith("*")
        return cls._checked(verb, namespace, key.removesuffix("*"), below)

    @classmethod
    def read(cls, namespace: str, key: str) -> Self:
        """A request to read one entry. Raises `PermissionSyntaxError`, as all requests do."""
        return cls._checked("read", namespace, key, below=False)

    @classmethod
    def write(cls, namespace: str, key: str) -> Self:
        """A request to write or delete one entry."""
        return cls._checked("write", namespace, key, below=False)

    @classmethod
    def readwrite(cls, namespace: str, key: str) -> Self:
        """A request to read and write one entry at once: compare and set."""
        return cls._checked("readwrite", namespace, key, below=False)

    @classmethod
    def list(cls, namespace: str, prefix: str) -> Self:
        """A request to read all entries whose keys begin with `prefix`, which may be empty."""
        return cls._checked("read", namespace, prefix, below=True)

    @classmethod
    def _checked(cls, verb: str, namespace: str, key: str, below: bool) -> Self:
        if type(namespace) is not str or _NAMESPACE.fullmatch(namespace) is None:
            raise PermissionSyntaxError(f"bad namespace {found(namespace)}", "1 to 64 of a-z 0-9 -, not - first")
        check_key(key, prefix=below)
        return cls(VERBS[verb], namespace, key, below)

    @property
    def own(self) -> bool:
        return self.namespace == OWN

    @property
    def text(self) -> str:
        where = f"{NAMES[self.verbs]}:{self.namespace}"
        if self.below:
            return f"{where}/{self.key}*" if self.key else where
        return f"{where}/{self.key}"

    def near(self, other: Atom) -> bool:
        return isinstance(other, StateAtom) and self.namespace == other.namespace

    def reaches(self, other: Atom) -> bool:
        if type(other) is not StateAtom or self.namespace != other.namespace:
            return False
        return other.key.startswith(self.key) if self.below else (self.key, False) == (other.key, other.below)


def check_key(key: str, *, prefix: bool = False) -> None:
    """Raise `PermissionSyntaxError` unless `key` is a key, or the beginning of one if `prefix`."""
    if prefix and key == "":
        return
    if type(key) is str and len(key) > MAX_KEY:
        raise PermissionSyntaxError(f"a key of {len(key)} characters", f"at most {MAX_KEY}")
    check_text(key)
    *segments, last = key.split("/")
    for segment in segments if prefix else (*segments, last):
        if segment in ("", ".", ".."):
            raise PermissionSyntaxError(f"bad segment {shown(segment)} in {shown(key)}", "names joined by single /")
    if "*" in key:
        raise PermissionSyntaxError(f"* in {shown(key)}", "a key, or a prefix with one * at its end")
