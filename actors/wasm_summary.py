"""What is known of a wasm module before it is compiled: its face, and how much there is behind it. Plain values.

Made by `desk.actors.wasm` from the bytes; asked by admission. Types are written as wasm tools write them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

PAGE = 65_536
"""Bytes in one page, the unit of memory sizes."""

Kind = Literal["function", "table", "memory", "global"]

_SHOWN = 16  # value types of one function that are shown; a type may have a thousand


@dataclass(frozen=True, slots=True)
class FuncType:
    """The type of a function, in wasm's value types."""

    params: tuple[str, ...]
    results: tuple[str, ...]

    def __str__(self) -> str:
        """As `(i32, i32) -> i32`, with `()` for no result."""
        results = self.results[0] if len(self.results) == 1 else _listed(self.results)
        return f"{_listed(self.params)} -> {results}"


@dataclass(frozen=True, slots=True)
class SpaceType:
    """The size of a memory, in pages of 64 KiB, or of a table, in elements."""

    minimum: int
    maximum: int | None
    shared: bool
    wide: bool
    """Addressed with 64 bits."""


@dataclass(frozen=True, slots=True)
class Import:
    """One thing the module wants from outside."""

    module: str
    name: str
    kind: Kind
    type: FuncType | SpaceType | None
    """None for a global."""


@dataclass(frozen=True, slots=True)
class Export:
    """One thing the module offers; `type` is given for functions."""

    name: str
    kind: Kind
    index: int
    type: FuncType | None


@dataclass(frozen=True, slots=True)
class CustomSection:
    """A section that wasm gives no meaning: its name, and where in the module it is."""

    name: str
    begin: int
    """Offset of the section itself, its id byte."""
    start: int
    """Offset of its contents, after the name."""
    end: int

    def contents(self, wasm: bytes | bytearray) -> bytes:
        """Cut the contents out of the bytes this was read from."""
        return bytes(wasm[self.start : self.end])


@dataclass(frozen=True, slots=True)
class ModuleSummary:
    """The face of a module, and how much there is behind it. `functions` and the other numbers leave imports out."""

    size: int
    imports: tuple[Import, ...]
    exports: Mapping[str, Export]
    memories: tuple[SpaceType, ...]
    tables: tuple[SpaceType, ...]
    start: int | None
    """Index of the function that wasm runs at instantiation."""
    custom: tuple[CustomSection, ...]
    types: int
    functions: int
    globals: int
    elements: int
    data_segments: int

    def custom_named(self, name: str) -> tuple[CustomSection, ...]:
        """All custom sections of that name, in order; wasm allows any number."""
        return tuple(section for section in self.custom if section.name == name)


def _listed(types: tuple[str, ...]) -> str:
    more = f", ... {len(types)} in all" if len(types) > _SHOWN else ""
    return f"({', '.join(types[:_SHOWN])}{more})"
