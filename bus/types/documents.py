"""What documents made from types have in common: named types are defined once, under names of their own; and bounds of floats."""

from collections.abc import Iterator

from desk.bus.ron.literals import rounded_to_32_bits
from desk.bus.types.base import Type
from desk.bus.types.numbers import Float


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


def float_bounds(declared: Float) -> tuple[float | None, float | None]:
    """`low` and `high` for those who do not round what they compare.

    Of 0.9 in 32 bits, `f32(0.9..)`, two numbers are meant: 0.8999999761581421, which it is, and 0.9, as people write it.
    """
    low, high = declared.low, declared.high
    return (
        low if low is None or declared.bits == 64 else min(low, _shortest(low)),
        high if high is None or declared.bits == 64 else max(high, _shortest(high)),
    )


def _shortest(number: float) -> float:
    """The number of the fewest digits that is `number` in 32 bits, of which nine always tell two apart."""
    short = (float(f"{number:.{digits}g}") for digits in range(1, 9))
    return next((each for each in short if rounded_to_32_bits(each) == number), number)
