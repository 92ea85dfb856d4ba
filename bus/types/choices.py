"""The types of which a value is one of several: enum, variant and result. Wire: a text, or a map of one entry; raw: CBOR.

A case that holds a value is a map of its name to the value, `{"circle": 2.0}`; one that holds nothing is its name alone,
`"empty"`. This is how serde writes Rust's enums, and many libraries after it.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias, cast

from desk.bus.codec import path_step
from desk.bus.types.base import Compound, InvalidValue, Type, TypeSyntaxError, describe, did_you_mean
from desk.bus.types.spelling import spelled_name

_STR_ONLY: frozenset[type] = frozenset({str})
_NAME: Final = re.compile("[A-Za-z_][A-Za-z0-9_]{0,63}")
_WORD: Final = re.compile("[A-Za-z_][A-Za-z0-9_-]{0,63}")


def check_names(kind: str, names: Iterable[str]) -> None:
    """Raise `TypeSyntaxError` unless all are names for a `kind`, of which there is at least one, and none is there twice."""
    seen: set[str] = set()
    form, also = (
        (_WORD, ", _ and -") if kind == "enum" else (_NAME, " and _")
    )  # only those are never names in a language
    for name in names:
        if type(name) is not str or not form.fullmatch(name):
            raise TypeSyntaxError(
                f"{describe(name)} is no {kind} name; expected ASCII letters, digits{also}, at most 64"
            )
        if name in seen:
            raise TypeSyntaxError(f"{kind} {name!r} is declared twice")
        seen.add(name)
    if not seen:
        raise TypeSyntaxError(_NEEDS_ONE[kind])


_NEEDS_ONE = {
    "field": "a record type needs at least one field",
    "enum": "an enum type needs at least one name",
    "case": "a variant type needs at least one case",
}


@dataclass(frozen=True, slots=True)
class EnumOf(Compound):
    """One of some names. Its value is the name, a str."""

    names: tuple[str, ...]
    _known: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.measure(levels=0, words=len(self.names))
        check_names("enum", self.names)
        object.__setattr__(self, "_known", frozenset(self.names))

    def __str__(self) -> str:
        return f"enum({', '.join(map(spelled_name, self.names))})"

    def all_plain(self, values: Sequence[object]) -> bool:
        return _STR_ONLY.issuperset(map(type, values)) and self._known.issuperset(values)

    def to_wire(self, value: object) -> str:
        if type(value) is str and value in self._known:
            return value
        raise self.mismatch(value)

    from_wire = to_wire

    def mismatch(self, value: object) -> InvalidValue:
        near = did_you_mean(value, self.names) if type(value) is str else ""
        return InvalidValue("", f"{self}", f"{describe(value)}{near}")


_Plan: TypeAlias = Mapping[str, Callable[[object], object] | None]


@dataclass(frozen=True, slots=True)
class VariantOf(Compound):
    """One of some cases, with the value that the case holds: `{"circle": 2.0}`, or `"empty"` where it is None, for nothing."""

    cases: tuple[tuple[str, Type | None], ...]
    _outward: _Plan = field(init=False, repr=False, compare=False)
    _inward: _Plan = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parts = self.parts()
        self.measure(levels=1 if parts else 0, words=len(self.cases) - len(parts))
        check_names("case", (name for name, _ in self.cases))
        object.__setattr__(
            self, "_outward", {name: None if item is None else item.to_wire for name, item in self.cases}
        )
        object.__setattr__(
            self, "_inward", {name: None if item is None else item.from_wire for name, item in self.cases}
        )

    def __str__(self) -> str:
        return f"variant({', '.join(f'{name}: {_or_nothing(item)}' for name, item in self.cases)})"

    def parts(self) -> tuple[Type, ...]:
        return tuple(item for _, item in self.cases if item is not None)

    def to_wire(self, value: object) -> object:
        return self._convert(value, self._outward)

    def from_wire(self, value: object) -> object:
        return self._convert(value, self._inward)

    def _convert(self, value: object, plan: _Plan) -> object:
        if type(value) is str:
            if value in plan and plan[value] is None:
                return value
            raise self._wrong(value)
        if type(value) is not dict:
            raise self.mismatch(value)
        given = cast("dict[object, object]", value)
        if len(given) != 1:
            raise self.mismatch(given)
        [(name, held)] = given.items()
        convert = plan.get(name) if type(name) is str else None
        if type(name) is not str or convert is None:
            raise self._wrong(name)
        try:
            return {name: convert(held)}
        except InvalidValue as error:
            error.path = path_step(name) + error.path
            raise

    def _wrong(self, name: object) -> InvalidValue:
        """The error for a value of a case that there is not, or that holds what it should not, or not what it should."""
        for case, item in self.cases:
            if case == name:
                form = f"{name!r}, a case that holds nothing" if item is None else f"{{{name!r}: {item}}}"
                return InvalidValue("", form, "a value in it" if item is None else f"{name!r} without a value")
        near = did_you_mean(name, [case for case, _ in self.cases]) if type(name) is str else ""
        return InvalidValue("", f"{self}", f"the case {describe(name)}{near}")


class ResultOf(VariantOf):
    """What came of it: `variant(ok: T, error: E)` with these two cases, of which either may hold nothing (None)."""

    __slots__ = ()

    def __init__(self, ok: Type | None, error: Type | None) -> None:
        VariantOf.__init__(self, (("ok", ok), ("error", error)))

    @property
    def ok(self) -> Type | None:
        """What it holds if it went well."""
        return self.cases[0][1]

    @property
    def error(self) -> Type | None:
        """What it holds if it did not."""
        return self.cases[1][1]

    def __repr__(self) -> str:
        return f"ResultOf({self.ok!r}, {self.error!r})"

    def __str__(self) -> str:
        return f"result({_or_nothing(self.ok)}, {_or_nothing(self.error)})"


def _or_nothing(item: Type | None) -> str:
    return "()" if item is None else str(item)
