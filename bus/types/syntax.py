"""How a type is written in a manifest: `i32`, `list(string)`, `(city: string, tmax: option(f64))`.

    type     a word, as in `WORDS`
             list(type)    option(type)    tuple(type, type, ...)
             (name: type, name: type, ...)        a record

`parse_type` reads what the RON reader made of it; `str(type)` prints it back.
"""

from collections.abc import Callable, Mapping

from desk.bus import ron
from desk.bus.types.base import Type, TypeSyntaxError, did_you_mean
from desk.bus.types.containers import ListOf, OptionOf, Record, TupleOf
from desk.bus.types.scalars import WORDS

_OF_ONE: Mapping[str, Callable[[Type], Type]] = {"list": ListOf, "option": OptionOf}
_MAKERS = (*_OF_ONE, "tuple")
_NAMES = (*WORDS, *_MAKERS)


def parse_type(node: ron.Node) -> Type:
    """The type that a RON value names. Raises `TypeSyntaxError`, with the place, if it names none."""
    try:
        return _parse(node)
    except TypeSyntaxError as error:
        if error.pos is None:  # from the type itself, which does not know where it was written
            error.pos = node.pos
        raise


def _parse(node: ron.Node) -> Type:
    match node:
        case ron.Ident(name=word):
            return _word(word)
        case ron.Tuple(name=str(word), items=items):
            return _made(word, tuple(map(parse_type, items)) if word in _MAKERS else (), len(items))
        case ron.Tuple():
            raise TypeSyntaxError(
                "expected a type; a tuple type is written tuple(i32, string), a record (name: string)"
            )
        case ron.Struct(name=None, fields=fields):
            return Record(tuple((field.name, parse_type(field.value)) for field in fields))
        case ron.Struct():
            raise TypeSyntaxError("a record type has no name of its own: (name: string)")
        case _:
            raise TypeSyntaxError(f"expected a type, got {node.kind}")


def _word(word: str) -> Type:
    if word in WORDS:
        return WORDS[word]
    if word in _MAKERS:
        raise TypeSyntaxError(f"{word} of what? Write for example {word}(i32)")
    raise TypeSyntaxError(f"no type is called {word[:64]!r}{did_you_mean(word, _NAMES)}")


def _made(word: str, items: tuple[Type, ...], given: int) -> Type:
    if word in _OF_ONE:
        if given != 1:
            raise TypeSyntaxError(f"{word} is of one type, got {given}")
        return _OF_ONE[word](items[0])
    if word == "tuple":
        return TupleOf(items)
    if word in WORDS:
        raise TypeSyntaxError(f"{word} is a type by itself, without parentheses")
    raise TypeSyntaxError(f"no type is called {word[:64]!r}{did_you_mean(word, _NAMES)}")
