"""How long a text, a byte string or a list may be, as part of its type: from `shortest` to `longest`, both included."""

from desk.bus.types.base import TypeSyntaxError
from desk.bus.types.spelling import spelled_range

MAX_LENGTH = (1 << 32) - 1
"""The highest length that a type may speak of. Messages end much earlier."""


def check_lengths(shortest: int, longest: int | None) -> bool:
    """Whether they leave any length out. Raises `TypeSyntaxError` if they are no lengths, or leave out all."""
    if longest is None and type(shortest) is int and shortest == 0:  # nearly always
        return False
    for length in (shortest, longest):
        if length is not None and (type(length) is not int or not 0 <= length <= MAX_LENGTH):
            raise TypeSyntaxError(f"a length is a whole number from 0 to {MAX_LENGTH}")
    if longest is not None and longest < shortest:
        raise TypeSyntaxError(f"no length is in the range {shortest}..={longest}")
    return shortest > 0 or longest is not None


def spelled_lengths(shortest: int, longest: int | None) -> str:
    """The range in a manifest; nothing if it leaves no length out."""
    return spelled_range(shortest or None, longest)
