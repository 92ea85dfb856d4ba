"""Compiled modules on disk: compiling costs about 2.5 s per MB of wasm, loading back 0.1 ms.

A file's name is made of the digest of the wasm bytes and of the engine's fingerprint: wasmtime's version, the machine, and every
setting of the configuration. So a stale file is never found, nor one of another profile. wasmtime checks most of that once more
(not whether NaNs are canonical, which only the name keeps apart), and finds a file that was cut or is something else. What it
cannot find is a *forged* file: native code that would run in this process.

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

from desk.actors.engine.configuration import settings
from desk.actors.engine.profiles import Profile


def digest(wasm: bytes) -> str:
    """What wasm bytes are known by: their SHA-256, in hex. 0.6 ms for each MB."""
    return hashlib.sha256(wasm).hexdigest()


def fingerprint(profile: Profile) -> str:
    """What machine code depends on, other than the wasm. Taken from the settings themselves, so none can be forgotten."""
    facts = (version("wasmtime"), platform.machine(), sorted(settings(profile).items()))
    return f"{profile.name}-{hashlib.sha256(repr(facts).encode()).hexdigest()[:16]}"


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

    def load(self, engine: wasmtime.Engine, key: str) -> wasmtime.Module | None:
        """The compiled module of this key, or None if it is not there or not readable by this wasmtime.

        A key is the digest of the wasm and the fingerprint of the engine: `f"{digest(wasm)}-{fingerprint(profile)}"`.
        """
        path = self._path(key)
        if not _ours(path):
            return None
        try:
            return wasmtime.Module.deserialize_file(engine, path)
        except wasmtime.WasmtimeError:
            return None

    def store(self, key: str, compiled: bytes | bytearray) -> None:
        """Keep it; other processes see the whole file or none."""
        try:
            handle, temporary = tempfile.mkstemp(dir=self._directory)
        except OSError:
            return
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(compiled)
            os.replace(temporary, self._path(key))
        except OSError:
            os.unlink(temporary)

    def _path(self, key: str) -> str:
        return f"{self._directory}/{key}.cwasm"


def _ours(path: str) -> bool:
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and _belongs_to_us(status) and not stat.S_IMODE(status.st_mode) & 0o022


def _belongs_to_us(status: os.stat_result) -> bool:
    return not hasattr(os, "getuid") or status.st_uid == os.getuid()
