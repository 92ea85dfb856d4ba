"""Compiled modules on disk: compiling costs about 2.5 s per MB of wasm, loading back 0.1 ms.

A file's name is the hash of the wasm bytes, the wasmtime version, the machine and our configuration, so a stale file is never
found. wasmtime checks version and configuration once more, and finds a file that was cut or is something else. What it cannot
find is a *forged* file: native code that would run in this process.

Forging is made impossible, not detected, and for other users of the machine: the directory must belong to us and be closed to
others (mode 0700), or the cache is refused; and a file must be a regular one (no link), belong to us and be writable by
nobody else, or it is compiled again and replaced. The second check holds also if somebody exchanges the directory later,
which takes a parent directory that is writable by others. Against a process of the same user nothing helps, and a signature
would not either: it could read the key, or write to our memory. Files in use are mapped: they are only ever replaced or
deleted as a whole, since whoever changes one in place changes the code that runs.
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
        if not _belongs_to_us(status) or stat.S_IMODE(status.st_mode) & 0o077:
            raise PermissionError(
                f"the module cache {directory} must belong to you and be closed to others, because compiled code in it runs "
                f"without a sandbox; chmod 700 it, or choose another cache directory"
            )
        self._directory = directory

    def load(self, engine: wasmtime.Engine, wasm: bytes) -> wasmtime.Module | None:
        """The compiled module for these bytes, or None if it is not there or not readable by this wasmtime."""
        path = self._path(wasm)
        if not _ours(path):
            return None
        try:
            return wasmtime.Module.deserialize_file(engine, str(path))
        except wasmtime.WasmtimeError:
            return None

    def store(self, wasm: bytes, compiled: bytes | bytearray) -> None:
        """Keep it; other processes see the whole file or none."""
        try:
            handle, temporary = tempfile.mkstemp(dir=self._directory)
        except OSError:
            return
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(compiled)
            os.replace(temporary, self._path(wasm))
        except OSError:
            os.unlink(temporary)

    def _path(self, wasm: bytes) -> Path:
        return self._directory / f"{hashlib.sha256(_FINGERPRINT + wasm).hexdigest()}.cwasm"


def _ours(path: Path) -> bool:
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and _belongs_to_us(status) and not stat.S_IMODE(status.st_mode) & 0o022


def _belongs_to_us(status: os.stat_result) -> bool:
    return not hasattr(os, "getuid") or status.st_uid == os.getuid()
