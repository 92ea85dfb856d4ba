"""Shared fixtures: behaviour tests run on both event loops."""

import pytest


@pytest.fixture(params=["trio", "asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Every test marked `anyio` runs once on trio and once on asyncio."""
    return request.param
