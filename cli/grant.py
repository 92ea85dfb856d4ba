"""One `--grant` of the command line: a permission, for one extension or for all that ask for it; and why it was of no use."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from desk.actors.manifest import Manifest
from desk.capabilities.permissions import Atom, parse_atom
from desk.capabilities.syntax import PermissionSyntaxError


@dataclass(frozen=True, slots=True)
class Grant:
    """One `--grant`. `extension` is None if it is for all."""

    extension: str | None
    atom: Atom

    @classmethod
    def parse(cls, text: str) -> "Grant":
        """Read `[NAME=]SECTION:TEXT`. Raises `PermissionSyntaxError`."""
        name, equals, rest = text.partition("=")
        if not equals or ":" in name:  # the sign is the permission's own, as in a path
            name, rest = "", text
        section, colon, permission = rest.partition(":")
        if not colon:
            raise PermissionSyntaxError(
                f"no SECTION: in {rest[:80]!r}", "[NAME=]SECTION:TEXT, as in network:api.weather.com:80"
            )
        return cls(name or None, parse_atom(section, permission))

    def concerns(self, manifest: Manifest) -> bool:
        """Whether it gives that extension anything."""
        if self.extension not in (None, manifest.name):
            return False
        return any(self.atom.meet(asked) is not None for asked in manifest.requested)

    def useless(self, running: Mapping[str, Manifest], refused: Collection[str]) -> str | None:
        """Why it gives nothing to those that run, by name; None if it gives something. `refused` are the names of the others."""
        if any(self.concerns(manifest) for manifest in running.values()):
            return None
        if self.extension is None:
            return "no extension that runs asks for it"
        if self.extension not in running:
            return f"{self.extension} {missing(self.extension, refused)}"
        asked = [atom.text for atom in running[self.extension].requested if atom.section == self.atom.section]
        return f"it asks for {', '.join(asked) or f'nothing in {self.atom.section}'}"

    def __str__(self) -> str:
        return f"{self.extension}={self.atom}" if self.extension else str(self.atom)


def missing(extension: str, refused: Collection[str]) -> str:
    """What an extension is that the command line names and that does not run."""
    return "was refused" if extension in refused else "is not here"
