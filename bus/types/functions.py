"""The signature of a Python function: written as text, or read from its annotations.

    parse_signature("(i32, i32) -> i32")           also "(city: string) -> option(f64)", and "()" for nothing at all
    Annotations(function).signature                def add(a: Annotated[int, I32], b: int) -> Reading: ...

Annotations mean what they mean in `natural`: arguments and results may be objects of the app's own classes.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_type_hints

from desk.bus import ron
from desk.bus.types.annotations import way
from desk.bus.types.base import Type, TypeSyntaxError
from desk.bus.types.conversions import Conversion
from desk.bus.types.signature import Signature
from desk.bus.types.syntax import parse_type, parse_type_text

_KINDS = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def parse_signature(text: str, names: Mapping[str, Type] | None = None) -> Signature:
    """The signature that `text` says; raises `TypeSyntaxError`. `names` are types with a name, which it may use."""
    params, arrow, result = text, False, ""
    for at in (at for at in range(len(text)) if text.startswith("->", at)):
        params, arrow, result = text[:at], True, text[at + 2 :]
        if _parsed(params) is not None:  # or else it stands inside of a pattern
            break
    node = _parsed(params)
    names = names or {}
    match node:
        case ron.Tuple(name=None, items=items):
            types, labels = [parse_type(item, names) for item in items], None
        case ron.Struct(name=None, fields=fields):
            types, labels = [parse_type(field.value, names) for field in fields], tuple(field.name for field in fields)
        case _:
            raise TypeSyntaxError(f"expected a signature, as in (i32, string) -> bool, got {text[:80]!r}")
    return Signature(tuple(types), labels, parse_type_text(result, names) if arrow else None)


def _parsed(text: str) -> ron.Node | None:
    try:
        return ron.parse(text)
    except ron.RonError:
        return None


def check_takes(function: Callable[..., Any], count: int) -> None:
    """Raise `TypeError` for what is no function, or cannot be called with so many arguments, as far as Python can tell."""
    if not callable(function):  # it comes from untyped code, too
        raise TypeError(f"expected a function, not {function!r:.80}")
    try:
        signature = inspect.signature(function)
    except ValueError:  # some that are written in C do not say
        return
    try:
        signature.bind(*(None,) * count)
    except TypeError:
        name = getattr(function, "__qualname__", repr(function))
        raise TypeError(
            f"{name}{signature} cannot be called with {count} arguments, as its signature on the bus says"
        ) from None


class Annotations:
    """What a function's annotations say: its `signature`, and how its arguments and result become objects of the app.

    Raises `TypeError` for a parameter without an annotation, or with one that has no type; and if the result has none.
    """

    __slots__ = ("_inward", "_outward", "signature")

    def __init__(self, function: Callable[..., Any]) -> None:
        name = getattr(function, "__qualname__", repr(function))
        try:
            hints = get_type_hints(function, include_extras=True)
        except (NameError, AttributeError) as error:
            raise TypeError(f"{name}: {error}; an annotation can name what its module has") from None
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except ValueError:  # some that are written in C do not say
            raise TypeError(
                f"{name} does not say what it takes; write its signature beside it, as in () -> f64"
            ) from None
        for each in parameters:
            if each.kind not in _KINDS:
                raise TypeError(f"{name}: {each} cannot be given by a request; only plain parameters can")
            if each.name not in hints:
                raise TypeError(
                    f"{name}: {each.name} has no annotation; write one, or say the signature beside the function"
                )
        if "return" not in hints:
            raise TypeError(f"{name}: the result has no annotation; write `-> None` if there is none")
        ways = [way(hints[each.name], None, f"{name}({each.name})", ()) for each in parameters]
        back = None if hints["return"] is type(None) else way(hints["return"], None, f"{name} -> result", ())
        self.signature = Signature(
            tuple(each.type for each in ways),
            tuple(each.name for each in parameters) or None,
            back.type if back else None,
        )
        inward = [each.inward for each in ways]
        self._inward: Sequence[Conversion | None] = inward if any(inward) else ()
        self._outward = back.outward if back else None

    def natural_args(self, args: Sequence[object]) -> Sequence[object]:
        """Plain arguments as the function takes them."""
        if not self._inward:
            return args
        return [each if convert is None else convert(each) for each, convert in zip(args, self._inward, strict=True)]

    def plain_result(self, result: object) -> object:
        """What the function gave, as a plain value."""
        return result if self._outward is None else self._outward(result)
