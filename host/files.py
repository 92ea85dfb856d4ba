"""Reading an extension from disk: the module, and the manifest that may lie beside it. Bounded before anything is read.

And the places on disk: where compiled modules are kept, and what extensions store.
"""

import errno
import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from desk.actors.admission import MAX_WASM
from desk.actors.manifest import MANIFEST_LIMITS
from desk.host.errors import DataDirInUse, UnreadableModule

MANIFEST_FILE = "manifest.ron"
"""The name of a manifest beside a module."""

GRANTS_FILE = "grants.ron"
"""The name of the file, in a host's data directory, with what was granted for always."""


def read_extension(source: str | Path | bytes, manifest: str | bytes | Path | None) -> tuple[bytes, str | bytes | None]:
    """The bytes of a module (a file, or the bytes themselves) and its manifest: RON text, or a file. See `read_module`."""
    if isinstance(manifest, Path):
        manifest = read_manifest(manifest)
    elif isinstance(manifest, str) and manifest.endswith(".ron"):
        raise UnreadableModule(f"manifest= takes RON text; for a file give Path({manifest!r})")
    return (source, manifest) if isinstance(source, bytes) else read_module(Path(source), manifest)


def read_module(path: Path, manifest: str | bytes | None = None) -> tuple[bytes, str | bytes | None]:
    """The bytes of a module, and its manifest: the one given, or else `manifest.ron` from the same directory, if any.

    Raises `UnreadableModule` for what is not a regular file, is too large, or cannot be read.
    """
    wasm = _read(path, MAX_WASM, "module")
    beside = path.with_name(MANIFEST_FILE)
    if manifest is None and beside.is_file():
        manifest = _read(beside, MANIFEST_LIMITS.size, "manifest")
    return wasm, manifest


def read_manifest(path: Path) -> bytes:
    """The bytes of a manifest. Raises `UnreadableModule`, as `read_module` does."""
    return _read(path, MANIFEST_LIMITS.size, "manifest")


def _read(path: Path, limit: int, what: str) -> bytes:
    try:
        if not path.is_file():  # a FIFO would block for ever, a directory has no bytes
            raise UnreadableModule(
                f"{path} is not a file; expected a {what}" if path.exists() else f"there is no {path}"
            )
        with path.open("rb") as file:
            return _bounded(file, limit, path, what)
    except OSError as error:
        raise UnreadableModule(f"cannot read {path}: {error.strerror}") from error


def _bounded(file: BinaryIO, limit: int, path: Path, what: str) -> bytes:
    data = file.read(limit + 1)
    if len(data) > limit:
        raise UnreadableModule(f"{path} is larger than {limit:,} bytes, the most a {what} may have")
    return data


@contextmanager
def naming(argument: str, path: Path) -> Generator[None]:
    """Have an `OSError` from in here say which argument of the host it is about, as in `data_dir='x': Not a directory`."""
    try:
        yield
    except OSError as error:
        said = f"{argument}={str(path)!r}: {error.strerror or error}"
        raise (OSError(said) if error.errno is None else OSError(error.errno, said)) from error


def default_cache_dir() -> Path:
    """Where compiled modules are kept: `$XDG_CACHE_HOME/desk/modules`, or below `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "desk" / "modules"


def claim_data_dir(directory: Path) -> int:
    """Make the directory for what extensions store, for its owner only, and hold it until the descriptor returned is closed.

    Two hosts would not know of each other's quotas and grants. Raises `DataDirInUse`; `OSError` if it cannot be used.
    """
    if directory.exists() and not directory.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "Not a directory")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise DataDirInUse(f"another host uses {directory}; give each a data_dir of its own") from None
    return lock
