"""A coroutine that is begun by hand runs until its end, or until it says `apart`; from there on any task can go on with it."""

import pytest

from desk.capabilities.at_once import Begun, apart

pytestmark = pytest.mark.anyio


async def two_parts(done: list[str]) -> str:
    """Something before, and something after it may have to wait."""
    done.append("first")
    try:
        await apart()
        done.append("second")
    finally:
        done.append("over")
    return "result"


async def test_it_goes_on_where_it_is_awaited() -> None:
    """And nothing of it is done twice."""
    done: list[str] = []
    begun = Begun(two_parts(done))
    assert (begun.over, done) == (False, ["first"])
    assert await begun == "result"
    assert done == ["first", "second", "over"]


async def test_apart_is_nothing_to_a_task() -> None:
    """Whoever awaits it from the beginning does not notice."""
    done: list[str] = []
    assert await two_parts(done) == "result"
    assert done == ["first", "second", "over"]


def test_what_is_never_gone_on_with_is_ended() -> None:
    """Its `finally` runs, as soon as nobody has it any more."""
    done: list[str] = []
    Begun(two_parts(done))
    assert done == ["first", "over"]


def test_what_it_raises_its_beginning_raises() -> None:
    """And what is begun later is begun by hand as ever."""

    async def fails() -> None:
        raise KeyError("name")

    async def result() -> int:
        return 1

    with pytest.raises(KeyError, match="name"):
        Begun(fails())
    begun = Begun(result())
    assert (begun.over, begun.result) == (True, 1)
