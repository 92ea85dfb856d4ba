"""Environment permissions: which variables may be read.

    env  = [ "read:" ] name [ "*" ] ;            with *, all names that begin so
    name = letter or "_", then letters, digits and "_" ;       ASCII, at most 255

What tells a dynamic linker or Python what to load (`LD_...`, `DYLD_...`, `PYTHON...`, in any case) is refused, written as
well as asked for. So is the bare `*`. A wider prefix such as `L*` can be written, but reaches none of the refused names: a
request for one of those is malformed, whatever was granted.
"""

import re
from dataclasses import dataclass
from typing import ClassVar, Self

from desk.capabilities.atoms import Atom
from desk.capabilities.syntax import PermissionSyntaxError, check_text, found, shown, unknown_word

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_REFUSED = ("LD_", "DYLD_", "PYTHON")
_EXPECTED = "a name of letters, digits and _, such as HOME, or a prefix of names, such as APP_*"


@dataclass(frozen=True, slots=True)
class EnvAtom(Atom):
    """The right to read one variable or, if `below`, all whose names begin with `name`."""

    section: ClassVar[str] = "env"

    name: str
    below: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the grammar above; raise `PermissionSyntaxError`."""
        check_text(text)
        verb, colon, name = text.rpartition(":")
        if colon and verb != "read":
            raise unknown_word("verb", verb, ["read"])
        below = name.endswith("*")
        return cls(_checked(name.removesuffix("*")), below)

    @classmethod
    def read(cls, name: str) -> Self:
        """A request to read one variable. Raises `PermissionSyntaxError`, as all requests do."""
        return cls(_checked(name))

    @property
    def text(self) -> str:
        return f"read:{self.name}*" if self.below else f"read:{self.name}"

    def covers(self, other: Atom) -> bool:
        if not isinstance(other, EnvAtom):
            return False
        return other.name.startswith(self.name) if self.below else self == other


def _checked(name: str) -> str:
    if type(name) is not str or _NAME.fullmatch(name) is None:
        raise PermissionSyntaxError(f"bad name {found(name)}", _EXPECTED)
    for prefix in _REFUSED:
        if name.upper().startswith(prefix):
            raise PermissionSyntaxError(f"{shown(name)} is not for extensions", f"a name that {prefix}* does not cover")
    return name
