"""How instances of an app's classes become plain values and back: one small function for each part that changes.

Each function here makes a conversion from those of its parts, where None stands for a part that stays as it is. A
conversion looks only at what it takes apart and raises `InvalidValue`, with a path relative to its value, if that is not
what it should be; the type of the message checks the rest. `desk.bus.types.natural` puts conversions together.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from operator import attrgetter
from typing import Any, TypeAlias, cast

from desk.bus.codec import path_step
from desk.bus.types.base import InvalidValue, Type
from desk.bus.types.wording import describe

Conversion: TypeAlias = Callable[[Any], object]


def of_option(convert: Conversion | None) -> Conversion | None:
    """None stays None, both ways."""
    return convert and (lambda value: None if value is None else convert(value))


def of_list(declared: Type, convert: Conversion | None) -> Conversion | None:
    """Each item alike, both ways."""
    if convert is None:
        return None

    def each(value: object) -> list[object]:
        items = _sequence(declared, value)
        converted: list[object] = []
        try:
            converted.extend(map(convert, items))  # one by one: those before a faulty one are in
        except InvalidValue as error:
            error.path = path_step(len(converted)) + error.path
            raise
        return converted

    return each


def of_tuple(declared: Type, converts: Sequence[Conversion | None]) -> Conversion | None:
    """Each item by its own conversion, both ways."""
    if not any(converts):
        return None

    def every(value: object) -> tuple[object, ...]:
        items = _sequence(declared, value)
        if len(items) != len(converts):
            raise declared.mismatch(value)
        converted: list[object] = []
        try:
            for item, convert in zip(items, converts, strict=True):
                converted.append(convert(item) if convert else item)
        except InvalidValue as error:
            error.path = path_step(len(converted)) + error.path
            raise
        return tuple(converted)

    return every


def from_enum(cls: type[Enum]) -> Conversion:
    """A member to its text."""
    texts = {member: member.value for member in cls}

    def text(value: object) -> object:
        if type(value) is cls:
            return texts[value]
        raise _no_instance(cls, value)

    return text


def to_enum(cls: type[Enum]) -> Conversion:
    """A text to the member that has it."""
    members = {member.value: member for member in cls}

    def member(value: object) -> Enum:
        if type(value) is str and value in members:
            return members[value]
        raise _no_instance(cls, value)

    return member


def from_fields(cls: type, names: Sequence[str], converts: Mapping[str, Conversion]) -> Conversion:
    """An instance of `cls` itself, for a subclass may mean something else, to a dict of its fields."""
    if not names:
        get: Callable[[object], tuple[object, ...]] = lambda _: ()  # noqa: E731 - one of three
    elif len(names) == 1:
        only = names[0]
        get = lambda value: (getattr(value, only),)  # noqa: E731
    else:
        get = attrgetter(*names)

    def fields(value: object) -> dict[str, object]:
        if type(value) is not cls:
            raise _no_instance(cls, value)
        try:
            plain: dict[str, object] = dict(zip(names, get(value), strict=True))
        except AttributeError as error:
            raise InvalidValue(path_step(str(error.name)), f"a field of {cls.__name__}", "nothing") from None
        return _converted(plain, converts)

    return fields


def to_fields(cls: type, converts: Mapping[str, Conversion]) -> Conversion:
    """A dict to an instance of `cls`, which is what its constructor makes of the fields."""

    def instance(value: object) -> object:
        if type(value) is not dict:
            raise _no_instance(cls, value)
        plain = cast("dict[str, object]", value)
        if converts:
            plain = _converted(plain.copy(), converts)
        return _made(cls, plain)

    return instance


def _made(cls: type, fields: Mapping[str, object]) -> object:
    """What the constructor makes, which may have rules of its own, and run into anything while it looks at strange values."""
    try:
        return cls(**fields)
    except Exception as error:
        raise InvalidValue("", f"fields of {cls.__name__}", f"what it refuses: {error}") from error


def _converted(plain: dict[str, object], converts: Mapping[str, Conversion]) -> dict[str, object]:
    for name, convert in converts.items():
        if name not in plain:
            raise InvalidValue(path_step(name), "a field", "nothing: the field is missing")
        try:
            plain[name] = convert(plain[name])
        except InvalidValue as error:
            error.path = path_step(name) + error.path
            raise
    return plain


def from_case(declared: Type, cases: Mapping[type, tuple[str, Conversion | None]]) -> Conversion:
    """An instance of one of several classes to its case; a class whose conversion is None holds nothing."""

    def case(value: object) -> object:
        if type(value) not in cases:
            raise declared.mismatch(value)
        name, convert = cases[type(value)]
        if convert is None:
            return name
        try:
            return {name: convert(value)}
        except InvalidValue as error:
            error.path = path_step(name) + error.path
            raise

    return case


def to_case(declared: Type, empty: Mapping[str, type], holding: Mapping[str, Conversion]) -> Conversion:
    """A case to an instance of its class: one of `empty`, which hold nothing, or what the case is `holding`."""

    def instance(value: object) -> object:
        if type(value) is str and value in empty:
            return _made(empty[value], {})
        if type(value) is dict and len(cast("dict[object, object]", value)) == 1:
            [(name, held)] = cast("dict[object, object]", value).items()
            if type(name) is str and name in holding:
                try:
                    return holding[name](held)
                except InvalidValue as error:
                    error.path = path_step(name) + error.path
                    raise
        raise declared.mismatch(cast("object", value))

    return instance


def _sequence(declared: Type, value: object) -> Sequence[object]:
    if type(value) is list or type(value) is tuple:
        return cast("Sequence[object]", value)
    raise declared.mismatch(value)


def _no_instance(cls: type, value: object) -> InvalidValue:
    return InvalidValue("", cls.__name__, describe(value))
