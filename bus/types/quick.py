"""Validation compiled: for each type a Python function, written for it, that says whether a value may pass as it is.

Nearly every message is exactly of its type and needs no conversion. To know that quickly is worth a function of its own:
for `(city: string, tmax: option(f64))` it reads

    def check(x):
        if not (type(x) is dict and all_text(map(type, x)) and tuple(x) == ('city', 'tmax')): return False
        [v0, v1] = x.values()
        return type(v0) is str and (v1 is None or type(v1) is float)

Yes means: `to_wire` and `from_wire` would make an equal value of the same types, so none needs to be made; lone surrogates
in text are left to the encoder. No means nothing: `to_wire` or `from_wire` converts what can be converted (a missing
optional field, fields in another order, a whole number for a float) or says what is wrong. So there are no words for errors here.

What is written depends on a type's shape alone. Numbers, sets and functions are bound to names that are made up here; of
what somebody else wrote only the names of fields enter the text, as Python's `repr`.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, TypeAlias, cast

from desk.bus.types.base import InvalidValue, Quick, Type
from desk.bus.types.choices import EnumOf, VariantOf
from desk.bus.types.containers import ListOf, OptionOf, Record
from desk.bus.types.numbers import Float, Integer
from desk.bus.types.scalars import Any_, Bool, Json
from desk.bus.types.texts import Bytes, Char, String

Checker: TypeAlias = Callable[[object], bool]

MAX_PARTS: Final = 128
"""A type that consists of more types (`Type.size`) gets no function: to compile it would take several milliseconds, at once."""


def quicken(declared: Type) -> Quick | None:
    """What `Type.lift` and `Type.lower` need in order to be quick about a type; None if they cannot be."""
    check = checker(declared)
    return None if check is None else Quick(check, _says_all(declared))


def checker(declared: Type) -> Checker | None:
    """A function that says True only if a value is exactly of the type and the same on the wire.

    None for a type whose values are always converted (f32, tuples, and what cannot be without them), and for one that is
    too large. Types that are equal share one function.
    """
    return None if declared.size > MAX_PARTS else _compiled(declared.bare)


@lru_cache(maxsize=1024)
def _compiled(declared: Type) -> Checker | None:
    """Found by what the type is, for each manifest that is loaded makes types of its own."""
    source = _Source()
    match declared:
        case ListOf():
            lines = _list(source, declared)
        case Record():
            lines = _record(source, declared)
        case VariantOf():
            lines = _variant(source, declared)
        case _:
            test = _test(source, declared, "x")
            lines = None if test is None else [f"return {test}"]
    return source.function(lines) if lines else None


def _says_all(declared: Type) -> bool:
    """Whether it leaves nothing to the sender: no `any` and no `json`."""
    return not isinstance(declared, (Any_, Json)) and all(map(_says_all, declared.parts()))


_KNOWN: Final[tuple[Any, ...]] = (type, len, map, min, max, bool, int, float, str, bytes, list, tuple, dict)
"""All that a function can name but for what is bound for it."""


class _Source:
    """The text of one function, and the objects that it uses, by names of ours."""

    def __init__(self) -> None:
        self._bound: dict[str, object] = {"__builtins__": {}} | {each.__name__: each for each in _KNOWN}

    def bind(self, value: object) -> str:
        """The name for `value` in the function."""
        name = f"c{len(self._bound)}"
        self._bound[name] = value
        return name

    def all_of(self, kind: type, values: str) -> str:
        """An expression: whether `values` are all of one Python type, at the speed of C."""
        return f"{self.bind(frozenset({kind}).issuperset)}(map(type, {values}))"

    def function(self, lines: list[str]) -> Checker:
        """The function of `x` that has these lines."""
        text = "\n    ".join(["def check(x):", *lines])
        exec(compile(text, "<desk.bus.types.quick>", "exec"), self._bound)
        return cast("Checker", self._bound["check"])


def _test(source: _Source, declared: Type, v: str) -> str | None:
    """An expression: whether the variable `v` holds a value of the type. None if it never does as it is."""
    match declared.bare:
        case ListOf() | Record() | VariantOf():
            check = checker(declared)
            return None if check is None else f"{source.bind(check)}({v})"
        case OptionOf(item):
            test = _test(source, item, v)
            return None if test is None else f"({v} is None or {test})"
        case Bool():
            return f"type({v}) is bool"
        case Integer(low=low, high=high):
            return f"type({v}) is int and {source.bind(low)} <= {v} <= {source.bind(high)}"
        case Float(64, low, high):
            return f"type({v}) is float" + _bounds(source, low, high, v)
        case String(pattern=str()) | Json():
            return f"{source.bind(_taken_by(declared))}({v})"
        case String(shortest, longest):
            return f"type({v}) is str" + _bounds(source, shortest or None, longest, f"len({v})")
        case Bytes(shortest, longest):
            return f"type({v}) is bytes" + _bounds(source, shortest or None, longest, f"len({v})")
        case EnumOf(names):
            return f"type({v}) is str and {v} in {source.bind(frozenset(names))}"
        case Char():
            first, last = source.bind("\ud800"), source.bind("\udfff")
            return f"type({v}) is str and len({v}) == 1 and not {first} <= {v} <= {last}"
        case Any_():
            return "True"
        case _:
            return None


def _bounds(source: _Source, low: float | None, high: float | None, what: str) -> str:
    """The rest of an expression: and it is within the bounds that there are. NaN is within none."""
    return ("" if low is None else f" and {what} >= {source.bind(low)}") + (
        "" if high is None else f" and {what} <= {source.bind(high)}"
    )


def _list(source: _Source, declared: ListOf) -> list[str] | None:
    lines = [
        f"if not (type(x) is list{_bounds(source, declared.shortest or None, declared.longest, 'len(x)')}): return False"
    ]
    match declared.item.bare:  # those that need no loop in Python
        case Bool():
            return [*lines, f"return {source.all_of(bool, 'x')}"]
        case Integer(low=low, high=high):
            within = f"(not x or {source.bind(low)} <= min(x) and max(x) <= {source.bind(high)})"
            return [*lines, f"return {source.all_of(int, 'x')} and {within}"]
        case Float(64, None, None):
            return [*lines, f"return {source.all_of(float, 'x')}"]
        case String(0, None, None):
            return [*lines, f"return {source.all_of(str, 'x')}"]
        case Bytes(0, None):
            return [*lines, f"return {source.all_of(bytes, 'x')}"]
        case EnumOf(names):
            return [*lines, f"return {source.all_of(str, 'x')} and {source.bind(frozenset(names).issuperset)}(x)"]
        case _:
            test = _test(source, declared.item, "v")
            return (
                None if test is None else [*lines, "for v in x:", f"    if not ({test}): return False", "return True"]
            )


def _record(source: _Source, declared: Record) -> list[str] | None:
    """All keys are text, and the fields in their order: conversion would put them in order, too."""
    names, variables = tuple(name for name, _ in declared.fields), [f"v{at}" for at in range(len(declared.fields))]
    tests = [_test(source, item, v) for (_, item), v in zip(declared.fields, variables, strict=True)]
    if None in tests:
        return None
    return [
        f"if not (type(x) is dict and {source.all_of(str, 'x')} and tuple(x) == {names!r}): return False",
        f"[{', '.join(variables)}] = x.values()",
        f"return {' and '.join(filter(None, tests))}",
    ]


def _variant(source: _Source, declared: VariantOf) -> list[str] | None:
    """Cases are looked up, since there may be hundreds. One that is always converted is as one that there is not."""
    alone = frozenset(name for name, item in declared.cases if item is None)
    checks = {name: check for name, item in declared.cases if item is not None and (check := checker(item))}
    if not alone and not checks:
        return None
    cases = source.bind(checks)
    return [
        f"if type(x) is str: return x in {source.bind(alone)}",
        "if type(x) is not dict or len(x) != 1: return False",
        "[(name, v)] = x.items()",
        f"return type(name) is str and name in {cases} and {cases}[name](v)",
    ]


def _taken_by(declared: Type) -> Checker:
    """For a type that has no short expression and converts nothing."""

    def check(value: object) -> bool:
        try:
            declared.from_wire(value)
        except InvalidValue:
            return False
        return True

    return check
