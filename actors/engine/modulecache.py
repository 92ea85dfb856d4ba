"""Compiled modules on disk: compiling costs about 2.5 s per MB of wasm, loading back 0.1 ms.

A file's name is the hash of the wasm bytes, the wasmtime version, the machine and our configuration, so a stale file is never
found. wasmtime checks version and configuration once more, but a *forged* file is native code that would run in this
process: the directory is a trust boundary. It must belong to us and be closed to others (mode 0700), or it is not used.
"""

import hashlib
import os
import platform
import stat
import tempfile
from importlib.metadata import version
from pathlib import Path

import wasmtime

_FINGERPRINT = f"desk-1 {version('wasmtime')} {platform.machine()}\n".encode()
"""Part of every key. Change the number in it with the engine's configuration."""


class ModuleCache:
    """A private directory of compiled modules. Any failure to read or write it only costs a compilation."""

    def __init__(self, directory: Path) -> None:
        """Raises `PermissionError` if others could write to `directory`: what is in it runs as native code."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = directory.stat()
        if hasattr(os, "getuid") and (status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077):
            raise PermissionError(
                f"the module cache {directory} must belong to you and be closed to others, because compiled code in it runs "
                f"without a sandbox; chmod 700 it, or choose another cache directory"
            )
        self._directory = directory

    def load(self, engine: wasmtime.Engine, wasm: bytes) -> wasmtime.Module | None:
        """The compiled module for these bytes, or None if it is not there or not readable by this wasmtime."""
        path = self._path(wasm)
        if not path.exists():
            return None
        try:
            return wasmtime.Module.deserialize_file(engine, str(path))
        except wasmtime.WasmtimeError:
            return None

    def store(self, wasm: bytes, compiled: bytes | bytearray) -> None:
        """Keep it; other processes see the whole file or none."""
        try:
            handle, temporary = tempfile.mkstemp(dir=self._directory)
            with os.fdopen(handle, "wb") as file:
                file.write(compiled)
            os.replace(temporary, self._path(wasm))
        except OSError:
            return

    def _path(self, wasm: bytes) -> Path:
        return self._directory / f"{hashlib.sha256(_FINGERPRINT + wasm).hexdigest()}.cwasm"
