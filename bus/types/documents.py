"""What documents made from types have in common: the named types are defined in them once, under names of their own."""

from collections.abc import Iterator

from desk.bus.types.base import Type


class Definitions:
    """The types that a document defines by name, in the order in which they were first spoken of.

    Two that are called the same (by two extensions) are kept apart by `_` at the end of the second's name, and so are a
    type and a word that means something in the document's language.
    """

    def __init__(self, reserved: frozenset[str] = frozenset()) -> None:
        self._reserved = reserved
        self._names: dict[tuple[str, Type], str] = {}
        self._taken: set[str] = set()
        self._undefined: list[tuple[str, Type]] = []

    def name(self, wanted: str, declared: Type) -> str:
        """The name under which `declared`, which people call `wanted`, is or will be defined."""
        if (wanted, declared) not in self._names:
            name = wanted
            while name in self._taken or name in self._reserved:
                name += "_"
            self._taken.add(name)
            self._names[wanted, declared] = name
            self._undefined.append((name, declared))
        return self._names[wanted, declared]

    def undefined(self) -> Iterator[tuple[str, Type]]:
        """What is to be defined, each with its name. Defining one may add others; these come, too."""
        at = 0
        while at < len(self._undefined):
            yield self._undefined[at]
            at += 1
