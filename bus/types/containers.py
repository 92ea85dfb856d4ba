"""The types made of other types: list, option, tuple and record. Wire: arrays and maps; raw: CBOR."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Never, TypeAlias, cast

from desk.bus.cbor_items import MAX_ITEMS
from desk.bus.codec import path_step
from desk.bus.types.base import Compound, InvalidValue, Type, TypeSyntaxError, describe, did_you_mean, room
from desk.bus.types.choices import check_names
from desk.bus.types.lengths import check_lengths, spelled_lengths


@dataclass(frozen=True, slots=True)
class ListOf(Compound):
    """Values of one type, `shortest` to `longest` of them."""

    item: Type
    shortest: int = 0
    longest: int | None = None
    _limited: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.measure(levels=1)
        object.__setattr__(self, "_limited", check_lengths(self.shortest, self.longest))

    def __str__(self) -> str:
        lengths = spelled_lengths(self.shortest, self.longest)
        return f"list({self.item}, {lengths})" if lengths else f"list({self.item})"

    def parts(self) -> tuple[Type, ...]:
        return (self.item,)

    def to_wire(self, value: object) -> list[object]:
        return self._convert(value, self.item.to_wire)

    def from_wire(self, value: object) -> list[object]:
        return self._convert(value, self.item.from_wire)

    def _convert(self, value: object, convert: Callable[[object], object]) -> list[object]:
        items = _sequence(self, value)
        if self._limited and (len(items) < self.shortest or (self.longest is not None and len(items) > self.longest)):
            raise self.mismatch(value)
        if self.item.all_plain(items):
            return list(items)
        converted: list[object] = []
        try:
            converted.extend(map(convert, items))  # one by one: those before a faulty one are in
        except InvalidValue as error:
            error.path = path_step(len(converted)) + error.path
            raise
        return converted


@dataclass(frozen=True, slots=True)
class OptionOf(Compound):
    """A value of one type, or none. Of an option it cannot be: there is only one None."""

    item: Type

    def __post_init__(self) -> None:
        if isinstance(self.item.bare, OptionOf):
            raise TypeSyntaxError(f"an option of an option; write {self.item}")
        self.measure(levels=0)

    def __str__(self) -> str:
        return f"option({self.item})"

    def parts(self) -> tuple[Type, ...]:
        return (self.item,)

    def to_wire(self, value: object) -> object:
        return None if value is None else self.item.to_wire(value)

    def from_wire(self, value: object) -> object:
        return None if value is None else self.item.from_wire(value)


@dataclass(frozen=True, slots=True)
class TupleOf(Compound):
    """So many values, each of its own type."""

    items: tuple[Type, ...]

    def __post_init__(self) -> None:
        if not self.items:
            raise TypeSyntaxError("a tuple type needs at least one type")
        self.measure(levels=1)

    def __str__(self) -> str:
        return f"tuple({', '.join(map(str, self.items))})"

    def parts(self) -> tuple[Type, ...]:
        return self.items

    def to_wire(self, value: object) -> tuple[object, ...]:
        return self._convert(value, [item.to_wire for item in self.items])

    def from_wire(self, value: object) -> tuple[object, ...]:
        return self._convert(value, [item.from_wire for item in self.items])

    def _convert(self, value: object, converters: Sequence[Callable[[object], object]]) -> tuple[object, ...]:
        items = _sequence(self, value)
        if len(items) != len(converters):
            raise self.mismatch(value)
        converted: list[object] = []
        try:
            for item, convert in zip(items, converters, strict=True):
                converted.append(convert(item))
        except InvalidValue as error:
            error.path = path_step(len(converted)) + error.path
            raise
        return tuple(converted)


_Plan: TypeAlias = tuple[tuple[str, Callable[[object], object], bool], ...]


@dataclass(frozen=True, slots=True)
class Record(Compound):
    """Named values, each of its own type. Those of an option type may be missing."""

    fields: tuple[tuple[str, Type], ...]
    _outward: _Plan = field(init=False, repr=False, compare=False)
    _inward: _Plan = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.measure(levels=1)
        check_names("field", (name for name, _ in self.fields))
        outward = ((name, item.to_wire, isinstance(item.bare, OptionOf)) for name, item in self.fields)
        inward = ((name, item.from_wire, isinstance(item.bare, OptionOf)) for name, item in self.fields)
        object.__setattr__(self, "_outward", tuple(outward))
        object.__setattr__(self, "_inward", tuple(inward))

    def __str__(self) -> str:
        return f"({', '.join(f'{name}: {item}' for name, item in self.fields)})"

    def parts(self) -> tuple[Type, ...]:
        return tuple(item for _, item in self.fields)

    def to_wire(self, value: object) -> dict[str, object]:
        return self._convert(value, self._outward)

    def from_wire(self, value: object) -> dict[str, object]:
        return self._convert(value, self._inward)

    def _convert(self, value: object, plan: _Plan) -> dict[str, object]:
        if type(value) is not dict:
            raise self.mismatch(value)
        given = cast("dict[object, object]", value)
        converted: dict[str, object] = {}
        absent = 0
        for name, convert, optional in plan:
            if name in given:
                try:
                    converted[name] = convert(given[name])
                except InvalidValue as error:
                    error.path = path_step(name) + error.path
                    raise
            elif optional:
                converted[name] = None
                absent += 1
            else:
                raise InvalidValue(path_step(name), str(dict(self.fields)[name]), "nothing: the field is missing")
        if absent:
            room.left -= absent
            if room.left < 0:
                raise InvalidValue("", f"records that leave out {MAX_ITEMS:,} fields in all, at most", "more")
        if len(given) + absent != len(converted):
            self._refuse_unknown(given)
        return converted

    def _refuse_unknown(self, given: dict[object, object]) -> Never:
        names = dict(self.fields)
        unknown = next(key for key in given if key not in names)
        if type(unknown) is not str:
            raise InvalidValue("", f"only names as keys of {self}", describe(unknown))
        raise InvalidValue(path_step(unknown), f"no such field{did_you_mean(unknown, names)}", describe(given[unknown]))


def _sequence(declared: Type, value: object) -> Sequence[object]:
    if type(value) is list or type(value) is tuple:
        return cast("Sequence[object]", value)
    raise declared.mismatch(value)
