"""The pages in docs/capabilities say what guests may ask for: every operation, with the types of its request and its answer."""

import pytest
from toolbox import ROOT

from desk.capabilities.provider import Provider
from desk.capabilities.providers.standard import Standard

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
