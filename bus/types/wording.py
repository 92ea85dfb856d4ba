"""Words for values in errors: what somebody gave, and what they may have meant. Short, whatever it is."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sized

_CONTAINERS: Mapping[type, str] = {list: "list", tuple: "tuple", dict: "map", set: "set"}


def describe(value: object) -> str:
    """A value in a few words, whatever it is and however large: `'warm' (string)`, `a list of 3`."""
    if value is None:
        return "none"
    if type(value) is bool:
        return f"{value} (bool)"
    if type(value) is int:
        return f"{value} (integer)" if value.bit_length() <= 128 else f"an integer of {value.bit_length()} bits"
    if type(value) is float:
        return f"{value} (float)"
    if type(value) is str:
        return f"{value!r} (string)" if len(value) <= 40 else f"{value[:40]!r}… (string of {len(value)} characters)"
    if isinstance(value, (bytes, bytearray)):
        return f"{len(value)} bytes"
    if isinstance(value, memoryview):
        return f"{value.nbytes} bytes"
    if isinstance(value, Sized) and type(value) in _CONTAINERS:
        return f"a {_CONTAINERS[type(value)]} of {len(value)}"
    return f"a value of type {type(value).__name__}"


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """` (did you mean 'list'?)` with the choice nearest to `word`, or nothing if none is near. Looks at the first choices only:
    a comparison takes up to 0.1 ms, and a guest may be wrong about a name as often as it likes."""
    near = difflib.get_close_matches(word[:64].lower(), _first(choices, 1_024), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _first(words: Iterable[str], characters: int) -> Iterator[str]:
    """The first of the words, of not more than so many characters in all."""
    for word in words:
        characters -= len(word)
        if characters < 0:
            return
        yield word


def cut(text: str, limit: int) -> str:
    """The beginning of a text that is longer than that."""
    return text if len(text) <= limit else text[:limit] + "…"
