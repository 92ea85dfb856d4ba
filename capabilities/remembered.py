"""What was granted for always: kept in one small file, in the manifest's grammar.

    Remembered(grants: {"weather-widget": {network: ["connect:api.weather.com:443"]}})

It is kept by permission, not by version of the manifest: it counts for whatever is loaded under the name, as far as the
manifest asks for it then. An update that asks for more gets no more by it, one that asks for less gets less, and one that only
corrects a word keeps what it had. Whoever lets somebody else's module be loaded under a name lets it have what the name has.

The file is replaced as a whole, so it is never half written, and it is on the disk before a call returns: a call takes the
time of the disk, and is rare, since a person is behind each. One host at a time has a data directory, and this file in it.
"""

import errno
import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from desk.bus import ron
from desk.capabilities.atoms import Atom
from desk.capabilities.grants import Grants
from desk.capabilities.permissions import PermissionSet
from desk.capabilities.policy_file import PolicyError, read_fields, texts
from desk.capabilities.syntax import PermissionSyntaxError
from desk.capabilities.vocabulary import STANDARD, Vocabulary

log = logging.getLogger("desk.capabilities")

MOST: Final = 128
"""Permissions that are kept for one extension; beyond that, the oldest is forgotten."""

_ROOT = "Remembered"

_Text = tuple[str, str]  # a section and the text of a permission


class Remembered:
    """See the module's docstring."""

    def __init__(self, path: Path, vocabulary: Vocabulary = STANDARD) -> None:
        """Read the file, if there is one. Raises `PolicyError` for one that cannot be understood, and `OSError`."""
        self._path = path
        self._vocabulary = vocabulary
        self._kept: Mapping[str, tuple[_Text, ...]] = {}
        with suppress(FileNotFoundError):
            self._kept = _read(path, vocabulary)

    def __repr__(self) -> str:
        """Like `<Remembered: 3 permissions of 2 extensions>`."""
        return f"<Remembered: {sum(map(len, self._kept.values()))} permissions of {len(self._kept)} extensions>"

    def __contains__(self, extension: object) -> bool:
        return extension in self._kept

    def granted(self, extension: str, requested: PermissionSet) -> PermissionSet:
        """What is remembered for an extension, as far as its manifest asks for it.

        What cannot be read, because the app has no such capability any more, grants nothing. It is kept until something is
        taken from the extension.
        """
        atoms = (self._atom(each) for each in self._kept.get(extension, ()))
        return PermissionSet(tuple(atom for atom in atoms if atom is not None and requested.covers(atom)))

    def add(self, extension: str, atoms: Iterable[Atom]) -> None:
        """Keep `atoms`, too. Raises `OSError`; nothing has changed then."""
        more = ((atom.section, atom.text) for atom in atoms)
        self._replace(extension, (*self._kept.get(extension, ()), *more))

    def forget(self, extension: str, atoms: Iterable[Atom] | None = None, *, section: str | None = None) -> None:
        """Forget what `atoms` permit, or all of a `section`, or all of an extension. Raises `OSError`; nothing has changed then.

        What permits more than that is narrowed where the rest can be said, and else forgotten as a whole.
        """
        if atoms is None:
            kept = self._kept.get(extension, ())
            self._replace(extension, tuple(each for each in kept if section is not None and each[0] != section))
        else:
            self._change(extension, lambda grants: grants.revoke(atoms))

    def narrow(self, extension: str, atoms: Iterable[Atom]) -> None:
        """Keep only what lies within `atoms`. Raises `OSError`; nothing has changed then."""
        self._change(extension, lambda grants: grants.narrow(atoms))

    def _change(self, extension: str, change: Callable[[Grants], object]) -> None:
        """Change what is kept as live grants are changed, so that the two never differ."""
        atoms = [atom for each in self._kept.get(extension, ()) if (atom := self._atom(each)) is not None]
        grants = Grants(PermissionSet(), PermissionSet(tuple(atoms)))
        change(grants)
        self._replace(extension, tuple((atom.section, atom.text) for atom in grants.granted))

    def _atom(self, kept: _Text) -> Atom | None:
        try:
            return self._vocabulary.parse(*kept)
        except PermissionSyntaxError as error:
            log.warning("remembered in %s, but of no use: %s", self._path, error)
            return None

    def _replace(self, extension: str, texts: tuple[_Text, ...]) -> None:
        newest = tuple(dict.fromkeys(texts))[-MOST:]
        kept = {name: texts for name, texts in {**self._kept, extension: newest}.items() if texts}
        if kept != self._kept:
            _write(self._path, kept, self._vocabulary)
            self._kept = kept


def _read(path: Path, vocabulary: Vocabulary) -> Mapping[str, tuple[_Text, ...]]:
    grants = read_fields(path, _ROOT, ("grants",)).get("grants")
    kept: dict[str, tuple[_Text, ...]] = {}
    for name, key, sections in () if grants is None else grants.entries("a map of extensions"):
        found: list[_Text] = []
        for section, _, value in sections.entries("permissions by section"):
            written = texts(value, section, level=section in vocabulary.levels)
            found += [(section, each.string("a permission as a string")) for each in written]
        kept[key.extension(name)] = tuple(found)
    return kept


def _write(path: Path, kept: Mapping[str, tuple[_Text, ...]], vocabulary: Vocabulary) -> None:
    """Replace the file, durably. Raises `OSError`, also for what could not be read again: then it stays as it is."""
    grants: dict[str, dict[str, list[str]]] = {}
    for name, found in kept.items():
        sections = grants.setdefault(name, {})
        for section, text in found:
            sections.setdefault(section, []).append(text)
    node = ron.Struct(_ROOT, (ron.Field("grants", ron.of(grants)),))
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(f"{ron.dump(node)}\n")
            file.flush()
            os.fsync(file.fileno())
        _read(Path(temporary), vocabulary)
        os.replace(temporary, path)
    except BaseException as error:
        os.unlink(temporary)
        if isinstance(error, PolicyError):
            raise OSError(errno.EFBIG, "there is more to remember than the file can hold", str(path)) from None
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
