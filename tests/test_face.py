"""The face of the product: names that people import, a sentence on everything they can name, files one can read in one go."""

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import desk.host

ROOT = Path(__file__).parents[1]
ROOMS = ("traces", "bus", "capabilities", "actors", "host", "testing", "cli")

LONGEST = 300
"""Lines of a file: what one reads in one go."""

LONGER: dict[str, str] = {}
"""Files that are longer, each with the reason why it is one idea."""

EXPLAINED_ELSEWHERE = {
    "desk.bus.ron.nodes": "one small class for each kind of value, whose `kind` says which",
    "desk.bus.ron.containers": "the reader's own half-read containers, which share the methods of `Open`",
}
"""Modules whose classes need no docstring of their own, with the reason."""


def files() -> Iterator[Path]:
    for room in ROOMS:
        yield from sorted((ROOT / room).rglob("*.py"))


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(("desk", *(parts[:-1] if parts[-1] == "__init__" else parts)))


FILES = {module_name(file): file for file in files()}


def test_the_rooms_are_there() -> None:
    """Every room has files, so that what follows looks at something."""
    assert {name.split(".")[1] for name in FILES} == set(ROOMS)


def test_an_app_imports_from_one_place() -> None:
    """What an app needs by name `desk.host` re-exports (`import X as X`): these, and no others."""
    tree = ast.parse(FILES["desk.host"].read_text("utf-8"))
    exported = {
        alias.asname for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names if alias.asname
    }
    running = {"Host", "Extension", "Limits", "CompileLimits"}
    deciding = {"Policy", "Question"}
    extending = {"Capability", "operation", "CapabilityError", "Code", "PermissionSyntaxError"}
    assert exported == running | deciding | extending
    assert all(callable(getattr(desk.host, name)) for name in exported)


@pytest.mark.parametrize("name", FILES)
def test_what_a_module_says_it_exports_exists(name: str) -> None:
    """Every module can be imported, and each name in its `__all__` is there, once."""
    module = importlib.import_module(name)
    exported: list[str] = getattr(module, "__all__", [])
    assert [each for each in exported if not hasattr(module, each)] == []
    assert len(set(exported)) == len(exported)


@pytest.mark.parametrize("name", FILES)
def test_every_public_name_is_explained(name: str) -> None:
    """A module has a docstring, and so has each public class and function; a method may share its base's.

    Exempt are what begins with an underscore (dunder methods, too), nested functions, methods that are one `return`, and
    packages without code.
    """
    tree = ast.parse(FILES[name].read_text("utf-8"))
    if not tree.body:
        return
    assert ast.get_docstring(tree), f"{name} has no docstring"
    module = importlib.import_module(name)
    assert list(unexplained(tree, module, name)) == []


def unexplained(node: ast.Module | ast.ClassDef, owner: object, path: str) -> Iterator[str]:
    """The public classes and functions below `node` that nothing explains."""
    for child in node.body:
        if not isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or child.name.startswith("_"):
            continue
        value: object = inspect.getattr_static(owner, child.name)
        own = ast.get_docstring(child)
        inherited = isinstance(owner, type) and explained_by_a_base(owner, child.name)
        exempt = any(path.startswith(module) for module in EXPLAINED_ELSEWHERE)
        if not (own or inherited or exempt or (isinstance(node, ast.ClassDef) and is_one_return(child))):
            yield f"{path}.{child.name} (line {child.lineno})"
        if isinstance(child, ast.ClassDef):
            yield from unexplained(child, value, f"{path}.{child.name}")


def is_one_return(node: ast.stmt) -> bool:
    """Whether a method is so short that it says itself what it gives."""
    return not isinstance(node, ast.ClassDef) and [type(each) for each in getattr(node, "body", [])] == [ast.Return]


def explained_by_a_base(owner: type, name: str) -> bool:
    """Whether a class above `owner` says what its `name` is."""
    return any(inspect.getdoc(vars(base)[name]) for base in owner.__mro__[1:] if name in vars(base))


def test_modules_that_explain_themselves_otherwise_are_there() -> None:
    """An exemption whose module has gone is taken out."""
    assert set(EXPLAINED_ELSEWHERE) <= set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_in_one_go(name: str) -> None:
    """At most 300 lines, unless a reason is given; a reason that is no longer needed is taken out."""
    file = FILES[name]
    lines = len(file.read_text("utf-8").splitlines())
    place = str(file.relative_to(ROOT))
    assert (lines > LONGEST) == (place in LONGER), f"{place} has {lines} lines"
