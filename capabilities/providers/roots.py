"""The directories that everything else is beneath: one for each granted path, and four of each extension's own.

A granted path is the operator's word, and looked up as any program would, links included. That happens once: what it leads to is
opened and kept, whatever is done to the name later. If there is no directory of that name (the grant is of a single file, or of
what is yet to be made), the directory that it is in is opened, and the name belongs to what is looked up beneath.

The host's own directories are nobody's: a grant that lies in one opens nothing, and one that contains them stops at their door.
"""

import os
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from desk.capabilities.atoms import Atom
from desk.capabilities.codes import CapabilityError, Code, PermissionDenied
from desk.capabilities.decision import Rules
from desk.capabilities.filesystem_atoms import FilesystemAtom
from desk.capabilities.providers.beneath import PASSING
from desk.capabilities.providers.kernel_files import is_of_kernel
from desk.capabilities.syntax import PermissionSyntaxError, shown

_DIRECTORY = PASSING | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(slots=True, eq=False)
class Root:
    """An open directory: a resource that closes it."""

    directory: int
    """Its file descriptor."""
    device: int
    leaf: str = ""
    """The name of what was granted in the directory; empty if it is the directory itself."""
    doors: tuple[tuple[str, ...], ...] = ()
    """Where the host's own directories are beneath it: their names, folded."""
    elsewhere: str = ""
    """Its path without links, if the granted one leads through some."""

    def close(self) -> None:
        """Close it. Idempotent."""
        directory, self.directory = self.directory, -1
        if directory >= 0:
            os.close(directory)

    def gone(self) -> bool:
        """Whether the directory was removed, so that nothing can be in it any more."""
        return os.fstat(self.directory).st_nlink == 0

    def beneath(self, rest: str) -> str:
        """The path beneath the directory for what is `rest` beneath the granted path."""
        return f"{self.leaf}/{rest}" if self.leaf and rest else self.leaf or rest

    def check(self, path: str, wanted: Atom, rules: Rules | None) -> None:
        """Raise `PermissionDenied` if `path`, of which `wanted` was decided, leads into a directory of the host's own, or if a
        rule forbids the name that it has without links."""
        assert isinstance(wanted, FilesystemAtom), "every operation needs such a permission"
        names = _folded(path) if self.doors else ()
        if any(names[: len(door)] == door for door in self.doors):
            raise PermissionDenied(f"{shown(wanted.path)} is the host's own, and not for extensions")
        if not self.elsewhere or rules is None:
            return
        rule = rules.denies(replace(wanted, path="/".join(filter(None, (self.elsewhere, path)))))
        if rule is not None:
            raise PermissionDenied(f"{shown(wanted.path)} leads to what a rule of the operator refuses", rule=rule)


def open_granted(path: str, private: Iterable[Path]) -> Root:
    """Open what a grant speaks of. Raises `OSError`; `PermissionDenied` if it is the host's or the kernel's."""
    leaf = ""
    try:
        directory = os.open(path, _DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        path, _, leaf = path.rpartition("/")
        directory = os.open(path or "/", _DIRECTORY)
    root = Root(directory, os.fstat(directory).st_dev, leaf)
    try:
        real = os.path.realpath(path or "/")
        if not os.path.samestat(os.stat(real), os.fstat(directory)):
            raise CapabilityError(Code.UNAVAILABLE, "what was granted is being renamed; try again")
        _check_place(os.path.join(real, leaf), directory)
        root.doors = tuple(_doors(real, leaf, private))
        root.elsewhere = "" if real == path else real
    except BaseException:
        root.close()
        raise
    return root


def open_own(parent: int, names: Sequence[str]) -> Root:
    """Open the directory `names` beneath `parent`, making each that is missing, closed to others. Raises `OSError`."""
    here = os.dup(parent)
    for name in names:
        try:
            try:
                os.mkdir(name, 0o700, dir_fd=here)
            except FileExistsError:
                pass
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
        finally:
            os.close(here)
        here = below
    return Root(here, os.fstat(here).st_dev)


def _check_place(real: str, directory: int) -> None:
    """Refuse what the grammar refuses, wherever a link has led: `/` as a whole, `/proc`, `/sys`, `/dev`."""
    try:
        FilesystemAtom.read("/" + real.split("/")[1])
    except PermissionSyntaxError:
        raise PermissionDenied("what was granted leads to a place that is not for extensions") from None
    if is_of_kernel(directory):
        raise PermissionDenied("what was granted belongs to the operating system, and is not for extensions")


def _doors(real: str, leaf: str, private: Iterable[Path]) -> Iterable[tuple[str, ...]]:
    """The host's own directories beneath `real`, folded. Raises `PermissionDenied` if what is granted lies in one of them."""
    here = _folded(real)
    granted = (*here, *_folded(leaf))
    for each in private:
        its = _folded(os.path.realpath(each))
        if granted[: len(its)] == its:
            raise PermissionDenied("what was granted is the host's own")
        if its[: len(here)] == here:
            yield its[len(here) :]


def _folded(path: str) -> tuple[str, ...]:
    """Its names, as a file system that ignores case and composition compares them."""
    return tuple(unicodedata.normalize("NFC", name.casefold()) for name in path.split("/") if name)
