"""A type with a name of its own, which a manifest gives it in `types: {"reading": (city: string, tmax: f64)}`.

The name is for people: in errors, documents and printed types it stands for what would be long. Everything else is
asked of the type that it stands for.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from desk.bus.types.base import Compound, Flat, Lowered, Raw, Type, TypeSyntaxError, describe
from desk.bus.types.scalars import WORDS
from desk.bus.types.spelling import spelled_name

MAKERS: Final = ("list", "option", "tuple", "enum", "variant", "result")
"""The words that make a type of others, or of names."""

_NAME = re.compile("[a-z][a-z0-9_-]{0,63}")


def check_type_name(name: str) -> None:
    """Raise `TypeSyntaxError` if no type can be given this name."""
    if type(name) is not str or not _NAME.fullmatch(name):
        raise TypeSyntaxError(f"{describe(name)} is no type name; expected 1 to 64 of a-z 0-9 _ -, a letter first")
    if name in WORDS or name in MAKERS or (spelled_name(name) != name and "-" not in name):
        raise TypeSyntaxError(f"{name!r} has a meaning already, so it cannot be the name of a type")


@dataclass(frozen=True, slots=True)
class Named(Compound):
    """`type` under a name. Two are equal if both name and type are."""

    name: str
    type: Type

    def __post_init__(self) -> None:
        check_type_name(self.name)
        self.measure(levels=0)

    def __str__(self) -> str:
        return spelled_name(self.name)

    @property
    def bare(self) -> Type:
        return self.type.bare

    @property
    def flat(self) -> Flat | None:
        return self.type.flat

    def parts(self) -> tuple[Type, ...]:
        return (self.type,)

    def all_plain(self, values: Sequence[object]) -> bool:
        return self.type.all_plain(values)

    def to_wire(self, value: object) -> object:
        return self.type.to_wire(value)

    def from_wire(self, value: object) -> object:
        return self.type.from_wire(value)

    def to_raw(self, value: object, max_size: int) -> Lowered:
        return self.type.to_raw(value, max_size)

    def from_raw(self, raw: Raw, max_size: int) -> object:
        return self.type.from_raw(raw, max_size)
