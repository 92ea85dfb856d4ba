"""A member with granted directories on a real disk, for tests of the capability `filesystem`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from members import Asking, asking

from desk.capabilities.codes import CapabilityError, Code
from desk.capabilities.provider import Member
from desk.capabilities.providers import openat2, portable_open
from desk.capabilities.providers.beneath import Open
from desk.capabilities.providers.filesystem import Filesystem

OPENERS = [
    pytest.param(
        openat2.open_beneath,
        id="openat2",
        marks=pytest.mark.skipif(not openat2.supported(), reason="this system has no openat2"),
    ),
    pytest.param(portable_open.open_beneath, id="portable"),
]
"""The two ways to open what lies beneath a directory: each test of what is refused runs over both."""


class Files:
    """`inside` is granted to the member `a`, to read and write; `outside` is not, and has a secret. `data` is the host's."""

    def __init__(self, tmp_path: Path, open_: Open, **more: Any) -> None:
        self.inside, self.outside, self.data = tmp_path / "inside", tmp_path / "outside", tmp_path / "host"
        for each in (self.inside, self.outside):
            each.mkdir()
        (self.outside / "secret").write_bytes(b"secret")
        self.filesystem = Filesystem(self.data, open_=open_, **more)
        self.world: Asking = asking(self.filesystem)
        self.a: Member = self.member("a", f"readwrite:{self.inside}", "readwrite:@data", "readwrite:@tmp")

    def member(self, name: str, *permissions: str, **more: Any) -> Member:
        """One with these filesystem permissions."""
        return self.world.member(name, {"filesystem": list(permissions)}, **more)

    async def ask(self, operation: str, path: Path | str, *, by: Member | None = None, **request: object) -> Any:
        """What `filesystem.OPERATION` answers. A relative path is one inside."""
        request = {name: self.said(value) if isinstance(value, Path) else value for name, value in request.items()}
        return await self.world.ask(by or self.a, f"filesystem.{operation}", path=self.said(path), **request)

    async def read(self, path: Path | str, **request: Any) -> bytes:
        """The bytes that are read."""
        return (await self.ask("read", path, **request))["data"]

    async def refused(self, operation: str, path: Path | str, **request: Any) -> tuple[Code, str]:
        """The code and the message of a request that is answered with an error."""
        with pytest.raises(CapabilityError) as caught:
            await self.ask(operation, path, **request)
        return caught.value.guest_code, str(caught.value)

    def said(self, path: Path | str) -> str:
        """The path as a request has it."""
        text = str(path)
        return text if text.startswith(("/", "@")) else f"{self.inside}/{text}"

    def own(self, root: str = "data", extension: str = "a") -> Path:
        """Where an extension's own files are."""
        return self.data / "extensions" / extension / root


def open_files() -> set[tuple[str, str]]:
    """The file descriptors of this process and what they lead to, without those of the machinery around."""
    found: set[tuple[str, str]] = set()
    for each in os.listdir("/proc/self/fd"):
        try:
            found.add((each, os.readlink(f"/proc/self/fd/{each}")))
        except OSError:
            continue
    return {(number, target) for number, target in found if target.startswith("/") or "inotify" in target}


@contextmanager
def nothing_left_open(files: Files) -> Iterator[None]:
    """What the body opens is closed in the end: by what it does, and by the extension's leaving."""
    before = open_files()
    yield
    for member in files.world.members.values():
        files.world.broker.leave(member)
    assert {target for _, target in open_files() - before if not target.startswith("/proc")} == set()
