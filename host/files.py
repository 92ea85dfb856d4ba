"""Reading an extension from disk: the module, and the manifest that may lie beside it. Bounded before anything is read.

And the place on disk where compiled modules are kept.
"""

import os
from pathlib import Path
from typing import BinaryIO

from desk.actors.admission import MAX_WASM
from desk.actors.manifest import MANIFEST_LIMITS
from desk.host.errors import UnreadableModule

MANIFEST_FILE = "manifest.ron"
"""The name of a manifest beside a module."""


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


def default_cache_dir() -> Path:
    """Where compiled modules are kept: `$XDG_CACHE_HOME/desk/modules`, or below `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "desk" / "modules"
