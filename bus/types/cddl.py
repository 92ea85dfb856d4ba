"""Types as CDDL (RFC 8610), the usual language for what CBOR may contain: for people, and for tools that generate code.

    weather = {"city": tstr .size (1..320), "days": [1*7 reading], ? "note": tstr / null}
    reading = {"tmax": f64, "unit": "C" / "F"}
    f64 = float / int

The document says of the wire form what a reader takes. It is looser than the reader where CDDL has no way to say it:

* `.size` counts bytes, of which a character of text has one to four, so lengths of text are bounds on that;
* infinite bounds of a float, NaN, and that an f32 has 32 bits;
* what goes for messages as a whole: no duplicate keys, no tags, at most so many items inside each other and in all.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from desk.bus.types.base import Type
from desk.bus.types.choices import EnumOf, VariantOf
from desk.bus.types.containers import ListOf, OptionOf, Record, TupleOf
from desk.bus.types.documents import Definitions, float_bounds
from desk.bus.types.lengths import MAX_LENGTH
from desk.bus.types.named import Named
from desk.bus.types.numbers import INTEGER_RANGES, Float, Integer
from desk.bus.types.scalars import Any_, Bool, Json
from desk.bus.types.texts import Bytes, Char, String

_WIDTH: Final = 100
_INDENT: Final = "  "
_LOWEST, _HIGHEST = -(1 << 64), (1 << 64) - 1

_WORDS: Final[Mapping[str, str]] = {
    **{name: f"{low}..{high}" for name, (low, high) in INTEGER_RANGES.items()},
    "f32": "float / int",
    "f64": "float / int",
    "char": r'tstr .regexp "[\\s\\S]"',
    "json": "null / bool / int / float / tstr / [* json] / {* tstr => json}",
}
"""Our words that CDDL has no word for, and what they are in it."""

_PRELUDE: Final = """
any uint nint int bstr bytes tstr text tdate time number biguint bignint bigint integer unsigned decfrac bigfloat eb64url
eb64legacy eb16 encoded-cbor uri b64url b64legacy regexp mime-message cbor-any float16 float32 float64 float16-32 float32-64
float false true bool nil null undefined
"""
"""The words that every CDDL document has (RFC 8610, appendix D)."""


def cddl(types: Mapping[str, Type]) -> str:
    """A document with a rule for each of `types`, in order, for the named types in them, and for our words it needs.

    The first rule is what a validator takes for the whole, unless told otherwise. A name that cannot be that of a rule
    has `_` for what CDDL does not allow in it.
    """
    rules = _Rules()
    for name, declared in types.items():
        rules.definitions.name(_rule_name(name), _without_name(name, declared))
    lines = [f"{name} = {rules.type(declared, '')}" for name, declared in rules.definitions.undefined()]
    lines += (f"{word} = {meaning}" for word, meaning in _WORDS.items() if word in rules.words)
    return "".join(f"{line}\n" for line in lines)


class _Rules:
    def __init__(self) -> None:
        self.definitions = Definitions(frozenset(_PRELUDE.split()).union(_WORDS))
        self.words: set[str] = set()

    def type(self, declared: Type, indent: str) -> str:
        """A type in CDDL, with `indent` before each of its lines but the first."""
        match declared:
            case Named(name=name, type=held):
                return self.definitions.name(_rule_name(name), held)
            case Bool():
                return "bool"
            case Integer(name=name, low=low, high=high):
                return self.word(name) if (low, high) == INTEGER_RANGES[name] else _bounded("int", low, high)
            case Float():
                low, high = float_bounds(declared)
                return self.word(declared.flat) if low is None and high is None else _floats(low, high)
            case Char():
                return self.word("char")
            case String(shortest=shortest, longest=longest, pattern=pattern):
                return _texts(shortest, longest, pattern)
            case Bytes(shortest=shortest, longest=longest):
                return "bstr" + _size(shortest, longest)
            case Json():
                return self.word("json")
            case ListOf(item=item, shortest=shortest, longest=longest):
                times = f"{shortest or ''}*{'' if longest is None else longest}"
                each = self.type(item, indent + _INDENT)
                if each[0].isdigit():  # some tools read `* 5` as "at most five times"
                    each = f"({each})"
                return _grouped("[", [f"{times} {each}"], "]", indent)
            case TupleOf(items=items):
                return _grouped("[", [self.type(item, indent + _INDENT) for item in items], "]", indent)
            case Record(fields=fields):
                return self.map(fields, indent)
            case OptionOf(item=item):
                return "any" if isinstance(item.bare, Any_) else f"{self.type(item, indent)} / null"
            case EnumOf(names=names):
                return _choice(map(_quoted, names), indent)
            case VariantOf(cases=cases):
                return _choice((self.case(name, held, indent + _INDENT) for name, held in cases), indent)
            case _:
                return "any"

    def word(self, word: str) -> str:
        """One of our words, to be defined at the end."""
        self.words.add(word)
        return word

    def case(self, name: str, held: Type | None, indent: str) -> str:
        """A case of a variant: its name, or a map of that to what it holds."""
        if held is None:
            return _quoted(name)
        return _grouped("{", [f"{_quoted(name)}: {self.type(held, indent + _INDENT)}"], "}", indent)

    def map(self, fields: Iterable[tuple[str, Type]], indent: str) -> str:
        """A map of these fields, their names in quotes: without, they could mean the rules of the same names."""
        entries = [
            f"{'? ' if isinstance(item.bare, OptionOf) else ''}{_quoted(name)}: {self.type(item, indent + _INDENT)}"
            for name, item in fields
        ]
        return _grouped("{", entries, "}", indent)


def _grouped(opening: str, entries: Sequence[str], closing: str, indent: str) -> str:
    """All entries on one line if there is room, else each on its own."""
    line = f"{opening}{', '.join(entries)}{closing}"
    if len(indent) + len(line) <= _WIDTH and "\n" not in line:
        return line
    return opening + "".join(f"\n{indent}{_INDENT}{entry}," for entry in entries) + f"\n{indent}{closing}"


def _choice(alternatives: Iterable[str], indent: str) -> str:
    each = list(alternatives)
    line = " / ".join(each)
    if len(indent) + len(line) <= _WIDTH and "\n" not in line:
        return line
    return f"\n{indent}{_INDENT}/ ".join(each)


def _floats(low: float | None, high: float | None) -> str:
    """The floats in a range, and the integers in it: a reader takes these, too."""
    least = None if low is None or math.isinf(low) else low
    most = None if high is None or math.isinf(high) else high
    floats = _bounded("float", *(None if bound is None else _float(bound) for bound in (least, most)))
    first = None if least is None or least <= _LOWEST else math.ceil(least)
    last = None if most is None or most >= _HIGHEST else math.floor(most)
    none = (
        low == math.inf
        or high == -math.inf
        or (_LOWEST if first is None else first) > (_HIGHEST if last is None else last)
    )
    return floats if none else f"{floats} / {_bounded('int', first, last)}"


def _bounded(word: str, low: object, high: object) -> str:
    """What `word` stands for, from `low` to `high`; None is no bound."""
    if low is None or high is None:
        return f"{word} .ge {low}" if low is not None else f"{word} .le {high}" if high is not None else word
    return f"{low}" if low == high else f"{low}..{high}"


def _float(number: float) -> str:
    """A float that cannot be taken for an integer."""
    text = repr(number)
    return text if "." in text else text.replace("e", ".0e")


def _texts(shortest: int, longest: int | None, pattern: str | None) -> str:
    sized = "tstr" + _size(shortest, None if longest is None else 4 * longest)
    if pattern is None:
        return sized
    matched = f"tstr .regexp {_quoted(pattern)}"
    return matched if sized == "tstr" else f"({sized}) .and ({matched})"


def _size(shortest: int, longest: int | None) -> str:
    if shortest == 0 and longest is None:
        return ""
    return f" .size ({shortest}..{MAX_LENGTH if longest is None else longest})"


def _quoted(text: str) -> str:
    """A text in CDDL, which has the escapes of JSON."""
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _rule_name(name: str) -> str:
    allowed = re.sub("[^A-Za-z0-9_.-]", "_", name)
    if not re.match("[A-Za-z_]", allowed):
        allowed = "_" + allowed
    return allowed + "_" if allowed[-1] in "-." else allowed


def _without_name(name: str, declared: Type) -> Type:
    """What `declared` stands for, if `name` is the name it has anyway."""
    return declared.type if isinstance(declared, Named) and declared.name == name else declared
