"""What is the host's own stays so, whatever is granted; what lies beside it can be granted."""

from pathlib import Path
from typing import Any

import pytest
from extensions import relay

from desk.bus import codec
from desk.capabilities.codes import Code
from desk.host import Host
from desk.traces.tracing import Tracing

pytestmark = pytest.mark.anyio


async def test_the_audit_file_is_nobodys_and_its_folder_may_be_granted(tmp_path: Path) -> None:
    """A guest that may read and write the folder of the audit file gets what is in it, but for that file and its older ones."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "page").write_bytes(b"hello")
    audit = folder / "audit.jsonl"
    guest = relay("guest", f'filesystem: ["readwrite:{folder}"]')

    async def ask(operation: str, **request: object) -> Any:
        answer = await host.call("guest", "ask", f"cap.filesystem.{operation}", codec.encode(request))
        assert isinstance(answer, bytes)
        return codec.decode(answer)

    async with Host(cache_dir=tmp_path / "modules", tracing=Tracing.off(), audit=audit) as host:
        await host.load(guest, grants="requested")
        assert (await ask("read", path=f"{folder}/page"))["ok"]["data"] == b"hello"
        for name in ("audit.jsonl", "audit.jsonl.1", "audit.jsonl.4", "AUDIT.jsonl"):
            denied = [
                await ask("read", path=f"{folder}/{name}"),
                await ask("write", path=f"{folder}/{name}", data=b""),
                await ask("remove", path=f"{folder}/{name}"),
            ]
            assert {answer["error"]["code"] for answer in denied} == {Code.DENIED}, denied
    assert audit.read_text().count("\n") >= 13
