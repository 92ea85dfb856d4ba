"""The pages in docs/capabilities say what guests may ask for: every operation, with the types of its request and its answer."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from extensions import relay
from toolbox import ROOT

from desk.bus import codec
from desk.capabilities.codes import Code
from desk.capabilities.provider import Provider
from desk.capabilities.providers.standard import Standard
from desk.capabilities.syntax import PermissionSyntaxError
from desk.host import Host

PAGES = "\n".join(page.read_text("utf-8") for page in sorted((ROOT / "docs" / "capabilities").glob("*.md")))


def providers() -> list[Provider]:
    standard = Standard()
    standard.close()
    return sorted(standard.providers, key=lambda each: each.name)


def test_every_family_is_there() -> None:
    """A host has these families of capabilities, without any option."""
    assert {each.name.partition(".")[0] for each in providers()} == {
        "network",
        "filesystem",
        "state",
        "env",
        "clock",
        "random",
        "config",
        "system",
    }


@pytest.mark.parametrize("provider", providers(), ids=lambda each: each.name)
def test_a_page_says_what_it_takes_and_gives(provider: Provider) -> None:
    """Its name, the type of its request and that of its answer stand in a page, in backquotes, as a manifest would write them."""
    for text in (provider.name, str(provider.request_type), str(provider.response_type)):
        assert f"`{text}`" in PAGES, text


@pytest.mark.anyio
async def test_the_page_on_ones_own_capability_is_right(tmp_path: Path) -> None:
    """Its program gives a host whose guests read what they were granted, and are told what they were not."""
    page = (ROOT / "docs" / "capabilities" / "own.md").read_text("utf-8")
    made: dict[str, Any] = {}
    exec(page.split("```python\n")[1].split("```")[0], made)
    host: Host = made["host"]()
    host._options = replace(host._options, cache_dir=tmp_path / "modules")  # pyright: ignore[reportPrivateUsage]
    async with host:
        guest = relay("reader", 'notes: ["read:shopping"]')
        await host.load(guest, grants={"notes": ["read:*"]})

        async def find(topic: str) -> Any:
            payload = codec.encode({"topic": topic, "most": 1})
            answer = await host.call("reader", "ask", "cap.notes.find", payload)
            assert isinstance(answer, bytes)
            return codec.decode(answer)

        assert await find("shopping") == {"ok": ["milk"]}
        assert (await find("diary"))["error"]["code"] == Code.DENIED
        with pytest.raises(PermissionSyntaxError, match="read:TOPIC"):
            host.grants.give("reader", {"notes": ["reed:shopping"]})
