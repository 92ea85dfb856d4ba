"""What has changed from one type to another, for people to read: one line for each change.

    ~ .tmax: f64 -> option(f64)         the type of a part, or a name or length that belongs to it
    + .unit: enum(C, F)                 a field, case or item that only the second has
    - .shape.circle: f64                one that only the first has
    + .colour.red                       a name of an enum, or a case that holds nothing
    ~ reading.tmax: f64 -> f32          inside a named type, wherever that is used

A path goes down from the whole type, through fields and cases (`.name`), items of a tuple (`[0]`) and of a list (`[]`);
an option is no step. Inside a type that both call by the same name it starts from this name, so that what changed there
is said once. Whether the change does any harm is asked of `desk.bus.types.compatible`.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from desk.bus.codec import path_step
from desk.bus.types.base import Compound, Type
from desk.bus.types.choices import EnumOf, ResultOf, VariantOf
from desk.bus.types.containers import ListOf, OptionOf, Record, TupleOf
from desk.bus.types.lengths import spelled_lengths
from desk.bus.types.named import Named

_LONGEST: Final = 400
"""Characters of a type in a line; a longer one is cut."""


def difference(old: Type, new: Type) -> str:
    """The changes from `old` to `new`, a line each; empty if the two are equal."""
    return "\n".join(_Differences().between(old, new, ""))


class _Differences:
    """One run. What a named type stands for is compared once, so time is linear in the size of the types."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, int, int]] = set()

    def between(self, old: Type, new: Type, path: str) -> Iterator[str]:
        match old, new:
            case Named(), Named() if old.name == new.name:
                pair = (old.name, id(old.type), id(new.type))
                if pair not in self._seen:
                    self._seen.add(pair)
                    yield from self.between(old.type, new.type, old.name)
            case (Named(), _) | (_, Named()):
                yield _changed(path, str(old), str(new))
                yield from self.between(old.bare, new.bare, path)
            case ListOf(), ListOf():
                if (old.shortest, old.longest) != (new.shortest, new.longest):
                    yield _changed(path, _length(old), _length(new))
                yield from self.between(old.item, new.item, f"{path}[]")
            case OptionOf(), OptionOf() if type(old.item) is type(new.item) and isinstance(old.item, Compound):
                yield from self.between(old.item, new.item, path)
            case TupleOf(), TupleOf():
                yield from self.parts(_numbered(old.items), _numbered(new.items), path)
            case Record(), Record():
                yield from self.parts(_named(old.fields), _named(new.fields), path)
            case EnumOf(), EnumOf():
                yield from self.parts(_words(old.names), _words(new.names), path)
            case VariantOf(), VariantOf():
                if type(old) is not type(new):
                    yield _changed(
                        path, *("result" if isinstance(each, ResultOf) else "variant" for each in (old, new))
                    )
                yield from self.parts(_named(old.cases), _named(new.cases), path)
            case _:
                if old != new:
                    yield _changed(path, str(old), str(new))

    def parts(self, old: dict[str, Type | None], new: dict[str, Type | None], path: str) -> Iterator[str]:
        """The lines for parts by their steps; one without a type is only a word."""
        for step, item in old.items():
            if step not in new:
                yield _only("-", path + step, item)
            elif item is not None and (other := new[step]) is not None:
                yield from self.between(item, other, path + step)
            elif item is not new[step]:
                yield _changed(path + step, _or_nothing(item), _or_nothing(new[step]))
        for step, item in new.items():
            if step not in old:
                yield _only("+", path + step, item)
        before, after = [step for step in old if step in new], [step for step in new if step in old]
        if before != after:
            yield _changed(path, f"the order {' '.join(before)}", f"the order {' '.join(after)}")


def _named(parts: Iterable[tuple[str, Type | None]]) -> dict[str, Type | None]:
    return {path_step(name): item for name, item in parts}


def _numbered(items: Iterable[Type]) -> dict[str, Type | None]:
    return {path_step(index): item for index, item in enumerate(items)}


def _words(names: Iterable[str]) -> dict[str, Type | None]:
    return {path_step(name): None for name in names}


def _changed(path: str, old: str, new: str) -> str:
    return f"~ {path or 'value'}: {_cut(old)} -> {_cut(new)}"


def _only(sign: str, path: str, item: Type | None) -> str:
    return f"{sign} {path}" if item is None else f"{sign} {path}: {_cut(str(item))}"


def _length(declared: ListOf) -> str:
    return f"{spelled_lengths(declared.shortest, declared.longest) or 'any number of'} items"


def _or_nothing(item: Type | None) -> str:
    return "()" if item is None else str(item)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
