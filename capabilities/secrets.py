"""Settings that nobody but the extension is to see: passwords, keys, tokens.

A `Secret` hides its value from everything that shows values without being asked: logs, tracebacks, spans, `repr`, copies on
disk. Only `reveal` gives it out, and only the capability `config.get` calls that, for the extension whose setting it is.

From there on it is in the guest's hands, and a guest may log it by mistake. `redactor` takes it out of what the guest says
before a person reads it. That is a net for accidents: a guest that means harm can spell a secret in a way that nobody finds.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Never, cast

HIDDEN = "***"
"""What stands where a secret was."""

SHORTEST = 4
"""Characters of a secret that is looked for in texts: shorter ones stand in many words."""


class Secret:
    """A value that is only given out by `reveal`. It cannot be pickled; a copy of it is itself."""

    __slots__ = ("_value",)

    def __init__(self, value: object) -> None:
        self._value = value

    def reveal(self) -> object:
        """The value."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    def __str__(self) -> str:
        return HIDDEN

    def __format__(self, form: str) -> str:
        return HIDDEN

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self

    def __getstate__(self) -> Never:
        raise TypeError("a Secret is not written down; reveal() gives its value")

    def __reduce_ex__(self, protocol: object) -> Never:
        raise TypeError("a Secret is not written down; reveal() gives its value")


def public(config: Mapping[str, object]) -> dict[str, object]:
    """The settings without those that are secret."""
    return {name: value for name, value in config.items() if not isinstance(value, Secret)}


def redactor(config: Mapping[str, object]) -> Callable[[str], str]:
    """A function that puts `***` for each secret of `config` in a text: those of text and bytes, also inside lists and maps.

    It finds them as they are, from four characters on; not encoded, cut or spelled otherwise.
    """
    found = {text for value in config.values() if isinstance(value, Secret) for text in _texts(value.reveal())}
    if not found:
        return str
    # The longest first: one may begin as another does.
    anyone = re.compile("|".join(map(re.escape, sorted(found, key=len, reverse=True))))
    return lambda text: anyone.sub(HIDDEN, text)


def _texts(value: object) -> Iterator[str]:
    """The texts in a value that are long enough."""
    left = [value]
    while left:
        each = left.pop()
        if isinstance(each, bytes | bytearray):
            each = each.decode("utf-8", "replace")
        if isinstance(each, str):
            if len(each) >= SHORTEST:
                yield each
        elif isinstance(each, list | tuple):
            left += cast("list[object]", each)
        elif isinstance(each, Mapping):
            left += cast("Mapping[object, object]", each).values()
