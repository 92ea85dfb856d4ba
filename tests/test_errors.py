"""The errors of the whole project: one tree, drawn once, and true."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from typing import get_args

import pytest

from desk.bus.errors import DeskError, Doing, Retry

ROOMS = ("traces", "bus", "capabilities", "actors", "host", "testing", "cli")
LINE = re.compile(r"([│ ]*)[├└]── (\w+) +([a-z]+), ([a-z ]+?)  +([a-z_.]+)")


def all_errors(root: type[DeskError] = DeskError) -> Iterator[type[DeskError]]:
    for room in ROOMS:
        package = importlib.import_module(f"desk.{room}")
        for module in pkgutil.walk_packages(package.__path__, f"desk.{room}."):
            importlib.import_module(module.name)
    for error in root.__subclasses__():
        if error.__module__.startswith("desk."):
            yield error
            yield from all_errors(error)


ERRORS = sorted(set(all_errors()), key=lambda error: error.__name__)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    """Every error stands there below its parent, with its `doing`, its `retry` and its module; and nothing else does."""
    drawn: list[tuple[str, str, str, str, str]] = []
    above: list[str] = []
    for line in (inspect.getdoc(DeskError) or "").splitlines():
        if (found := LINE.fullmatch(line)) is not None:
            depth = len(found[1]) // 4
            above[depth:] = [found[2]]
            drawn.append(((above[depth - 1] if depth else "DeskError"), *found.groups()[1:]))  # type: ignore[arg-type]
    real = [(e.__mro__[1].__name__, e.__name__, e.doing, e.retry, e.__module__.removeprefix("desk.")) for e in ERRORS]
    assert sorted(drawn) == sorted(real)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_each_says_whose_doing_it_was(error: type[DeskError]) -> None:
    """Itself or its parent, and in the words there are; never by the defaults of the root alone."""
    assert error.doing in get_args(Doing)
    assert error.retry in get_args(Retry)
    assert any("doing" in vars(each) for each in error.__mro__ if each is not DeskError and issubclass(each, DeskError))


def test_names_are_unique() -> None:
    """Two errors of one name would be confused in every log."""
    assert len({error.__name__ for error in ERRORS}) == len(ERRORS)
