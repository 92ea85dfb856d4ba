"""The types that a manifest gives names to, in any order: `{"place": (city: string), "reading": (at: place, tmax: f64)}`.

A name may be used before it is defined, but no type may be made of itself. So the names that each type uses are found
first, and the types are then made in an order in which those come before it. Nothing here recurses over names.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from desk.bus import ron
from desk.bus.types.base import Type, TypeSyntaxError
from desk.bus.types.named import MAKERS, Named, check_type_name
from desk.bus.types.scalars import WORDS
from desk.bus.types.syntax import parse_type, unknown_word

MAX_NAMES: Final = 256
"""Types that one manifest may give names to."""

_SHOWN_OF_A_CIRCLE = 4


def read_types(entries: Mapping[str, ron.Node]) -> dict[str, Type]:
    """The types that `entries` define, each as a `Named`, in the order of `entries`.

    Raises `TypeSyntaxError`, with its place, for what is no type, a word that is neither a type nor one of the entries, a
    name that cannot be given to a type, a type made of itself, or more than `MAX_NAMES` entries.
    """
    uses: dict[str, list[ron.Ident]] = {}
    for number, (name, node) in enumerate(entries.items()):
        if number == MAX_NAMES:
            raise TypeSyntaxError(f"at most {MAX_NAMES} types can be given names, got {len(entries)}", node.pos)
        try:
            check_type_name(name)
        except TypeSyntaxError as error:
            error.pos = node.pos
            raise
        uses[name] = [word for word in _words(node) if word.name not in WORDS]
        for word in uses[name]:
            if word.name not in entries and word.name not in MAKERS:
                error = unknown_word(word.name, entries)
                error.pos = word.pos
                raise error

    made: dict[str, Type] = {}
    for name in _in_order(uses):
        made[name] = Named(name, parse_type(entries[name], made))
    return {name: made[name] for name in entries}


def _words(node: ron.Node) -> Iterator[ron.Ident]:
    """The words in a written type that stand for types; in `enum(red, green)` none does."""
    todo: list[ron.Node] = [node]
    while todo:
        match todo.pop():
            case ron.Ident() as word:
                yield word
            case ron.Tuple(name="list" | "option" | "tuple" | "result", items=items):
                todo += reversed(items)
            case ron.Struct(name=None | "variant", fields=fields):
                todo += [field.value for field in reversed(fields)]
            case _:
                pass


def _in_order(uses: Mapping[str, list[ron.Ident]]) -> Iterator[str]:
    """The names, each after all that its type uses."""
    done: set[str] = set()
    for first in uses:
        open_: dict[str, Iterator[ron.Ident]] = {} if first in done else {first: iter(uses[first])}
        while open_:
            name = next(reversed(open_))
            word = next((word for word in open_[name] if word.name not in done and word.name in uses), None)
            if word is None:
                del open_[name]
                done.add(name)
                yield name
            elif word.name in open_:
                raise _circle([*open_][[*open_].index(word.name) :], word)
            else:
                open_[word.name] = iter(uses[word.name])


def _circle(names: list[str], word: ron.Ident) -> TypeSyntaxError:
    shown = names[:_SHOWN_OF_A_CIRCLE] + ["…"] * (len(names) > _SHOWN_OF_A_CIRCLE) + names[:1]
    return TypeSyntaxError(
        f"type {names[0]!r} is made of itself ({' -> '.join(shown)}); types do not recurse: use `json` or `any` there",
        word.pos,
    )
