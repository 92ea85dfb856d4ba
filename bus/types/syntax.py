"""How a type is written in a manifest: `i32`, `list(string)`, `(city: string, tmax: option(f64))`.

    type     a word, as in `WORDS`, or a name that the manifest's `types` gave to a type
             u8(range)    f64(range)                        and so the other numbers
             string(range)    string("pattern")    string(range, "pattern")    bytes(range)
             list(type)    list(type, range)    option(type)    tuple(type, type, ...)
             (name: type, name: type, ...)                  a record
             enum(name, name, ...)
             variant(name: type, name: (), ...)             () for a case that holds nothing
             result(type, type)                             () for nothing
    range    1..=10    1..    ..=10                         and of whole numbers 1..11 and ..11

`parse_type` reads what the RON reader made of it; `str(type)` prints it back. `read_types` is in `declared`.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, TypeAlias

from desk.bus import ron
from desk.bus.types.base import Type, TypeSyntaxError, did_you_mean
from desk.bus.types.choices import EnumOf, ResultOf, VariantOf
from desk.bus.types.containers import ListOf, OptionOf, Record, TupleOf
from desk.bus.types.extent import MAX_HEIGHT
from desk.bus.types.named import MAKERS
from desk.bus.types.numbers import Float, Integer
from desk.bus.types.scalars import BYTES, STRING, WORDS
from desk.bus.types.texts import Bytes, String

NO_NAMES: Final[Mapping[str, Type]] = MappingProxyType({})

_RECORD = "a record (name: type, ...), or json for any names"
_INSTEAD: Mapping[str, str] = {
    **dict.fromkeys(("int", "integer", "long", "isize"), "i32 or i64"),
    **dict.fromkeys(("uint", "usize"), "u32 or u64"),
    **dict.fromkeys(("float", "double", "real"), "f64 or f32"),
    **dict.fromkeys(("number", "num"), "f64, or i32 or i64 for whole numbers"),
    **dict.fromkeys(("str", "text"), "string"),
    **dict.fromkeys(("boolean", "Boolean"), "bool"),
    **dict.fromkeys(("map", "dict", "object", "hashmap", "struct", "record"), _RECORD),
    **dict.fromkeys(("array", "vec", "Vec", "sequence", "set"), "list(type)"),
    **dict.fromkeys(("optional", "nullable", "null", "none"), "option(type)"),
    **dict.fromkeys(("union", "oneof"), "variant(name: type, ...)"),
    **dict.fromkeys(("byte", "uint8"), "u8"),
    **dict.fromkeys(("binary", "blob", "buffer", "bytearray"), "bytes"),
    **dict.fromkeys(("unit", "void"), "nothing at all, or () in result and variant"),
    **dict.fromkeys(("object_", "value", "unknown"), "any or json"),
}
"""Words for types in other languages: what to write here."""

_WRITTEN: Mapping[type[ron.Node], str] = {
    ron.Str: "; types are written without quotes, as in string or list(i32)",
    ron.List: "; a list type is written list(i32)",
    ron.Map: "; a record type is written (name: string)",
    ron.Some: "; an option type is written option(i32)",
    ron.NoneValue: "; an option type is written option(i32)",
}
"""What people write who mean a type, by what it is in RON: how it is written."""

_Inner: TypeAlias = Callable[[ron.Node], Type]


def parse_type(node: ron.Node, names: Mapping[str, Type] = NO_NAMES) -> Type:
    """The type that a RON value names; `names` are those that were defined. Raises `TypeSyntaxError`, with the place."""
    return _parse(node, names, MAX_HEIGHT)


def parse_type_text(text: str, names: Mapping[str, Type] = NO_NAMES) -> Type:
    """The type written as `text`: `parse_type_text("list(u8)")`. Raises `TypeSyntaxError`, also for what is not RON."""
    try:
        node = ron.parse(text)
    except ron.RonError as error:
        raise TypeSyntaxError(error.message, error.pos) from error
    return parse_type(node, names)


def unknown_word(word: str, names: Mapping[str, object]) -> TypeSyntaxError:
    """The error for a word that is no type, and is none of `names`."""
    if word in _INSTEAD:
        return TypeSyntaxError(f"no type is called {word!r}; write {_INSTEAD[word]}")
    return TypeSyntaxError(f"no type is called {word[:64]!r}{did_you_mean(word, (*WORDS, *MAKERS, *names))}")


def is_nothing(node: ron.Node) -> bool:
    """Whether it is `()`, which stands in variants and results for a case that holds nothing."""
    return isinstance(node, ron.Tuple) and node.name is None and not node.items


def _parse(node: ron.Node, names: Mapping[str, Type], room: int) -> Type:
    """`room` bounds the recursion, also for nodes that no reader of RON bounded."""
    if type(node) is ron.Ident and (known := WORDS.get(node.name)) is not None:  # most of them
        return known
    if room == 0:
        raise TypeSyntaxError(f"a type of more than {MAX_HEIGHT} types inside each other", node.pos)
    try:
        match node:
            case ron.Ident(name=word):
                return _word(word, names)
            case ron.Tuple(name=str(word), items=items):
                return _made(word, items, names, lambda inner: _parse(inner, names, room - 1))
            case ron.Tuple():
                raise TypeSyntaxError(
                    "expected a type; a tuple type is written tuple(i32, string), a record (name: string)"
                )
            case ron.Struct(name=None, fields=fields):
                return Record(tuple([(field.name, _parse(field.value, names, room - 1)) for field in fields]))
            case ron.Struct(name="variant", fields=fields):
                cases = [
                    (field.name, None if is_nothing(field.value) else _parse(field.value, names, room - 1))
                    for field in fields
                ]
                return VariantOf(tuple(cases))
            case ron.Struct(name=str(word)):
                example = _EXAMPLES.get(word, f"{word}(1..=10)" if word in WORDS else "")
                hint = f"; {word} is written {example}" if example else ""
                raise TypeSyntaxError(f"a record type has no name of its own: (name: string){hint}")
            case _:
                raise TypeSyntaxError(f"expected a type, got {node.kind}{_WRITTEN.get(type(node), '')}")
    except TypeSyntaxError as error:
        if error.pos is None:  # from the type itself, which does not know where it was written
            error.pos = node.pos
        raise


def _word(word: str, names: Mapping[str, Type]) -> Type:
    if word in names:
        return names[word]
    if word in MAKERS:
        raise TypeSyntaxError(f"{word} of what? Write for example {_EXAMPLES[word]}")
    raise unknown_word(word, names)


def _made(word: str, items: Sequence[ron.Node], names: Mapping[str, Type], inner: _Inner) -> Type:
    if word in _MAKE:
        return _MAKE[word](items, inner)
    declared = WORDS.get(word)
    if isinstance(declared, Integer):
        low, high = _whole(_only(items, word, "1..=10"))
        return Integer(
            word, declared.low if low is None else low, declared.high if high is None else high, declared.wide
        )
    if isinstance(declared, Float):
        low, high = _floating(_only(items, word, "0.0..=1.0"))
        return Float(declared.bits, low, high)
    if declared is BYTES:
        return Bytes(*_lengths(_only(items, word, "1..=80")))
    if declared is STRING:
        return _string(items)
    if declared is not None or word in names:
        raise TypeSyntaxError(f"{word} is a type by itself, without parentheses")
    raise unknown_word(word, names)


def _list(items: Sequence[ron.Node], inner: _Inner) -> Type:
    if len(items) == 2 and isinstance(items[1], ron.Range):
        return ListOf(inner(items[0]), *_lengths(items[1]))
    if len(items) != 1:
        raise TypeSyntaxError(f"list is of one type, got {len(items)}; lengths are written list(i32, 1..=10)")
    return ListOf(inner(items[0]))


def _option(items: Sequence[ron.Node], inner: _Inner) -> Type:
    if len(items) != 1:
        raise TypeSyntaxError(f"option is of one type, got {len(items)}")
    return OptionOf(inner(items[0]))


def _tuple(items: Sequence[ron.Node], inner: _Inner) -> Type:
    return TupleOf(tuple(map(inner, items)))


def _result(items: Sequence[ron.Node], inner: _Inner) -> Type:
    if len(items) != 2:
        raise TypeSyntaxError(f"result is of two types, got {len(items)}; () stands for nothing: result((), string)")
    ok, error = (None if is_nothing(item) else inner(item) for item in items)
    return ResultOf(ok, error)


def _enum(items: Sequence[ron.Node], _inner: _Inner) -> Type:
    names: list[str] = []
    for item in items:
        if not isinstance(item, ron.Ident):
            raise TypeSyntaxError(
                f"expected a name, as in {_EXAMPLES['enum']}, got {item.kind}; true and the like are written r#true",
                item.pos,
            )
        names.append(item.name)
    return EnumOf(tuple(names))


def _variant(_items: Sequence[ron.Node], _inner: _Inner) -> Type:
    raise TypeSyntaxError(f"the cases of a variant have names, as in {_EXAMPLES['variant']}")


_MAKE: Mapping[str, Callable[[Sequence[ron.Node], _Inner], Type]] = {
    "list": _list,
    "option": _option,
    "tuple": _tuple,
    "enum": _enum,
    "variant": _variant,
    "result": _result,
}
_EXAMPLES: Mapping[str, str] = {
    **{word: f"{word}(i32)" for word in ("list", "option", "tuple")},
    "enum": "enum(red, green)",
    "variant": "variant(circle: f64, empty: ())",
    "result": "result(i32, string)",
}


def _string(items: Sequence[ron.Node]) -> Type:
    match items:
        case [ron.Range() as lengths]:
            return String(*_lengths(lengths))
        case [ron.Str(value=pattern)]:
            return String(pattern=pattern)
        case [ron.Range() as lengths, ron.Str(value=pattern)]:
            return String(*_lengths(lengths), pattern)
        case _:
            raise TypeSyntaxError('string takes a range of lengths, a pattern, or both: string(1..=80, "[a-z]+")')


def _only(items: Sequence[ron.Node], word: str, example: str) -> ron.Range:
    if len(items) == 1 and isinstance(items[0], ron.Range):
        return items[0]
    got = items[0].kind if len(items) == 1 else f"{len(items)} values"
    raise TypeSyntaxError(f"{word} takes a range, as in {word}({example}), got {got}")


def _whole(written: ron.Range) -> tuple[int | None, int | None]:
    """The lowest and the highest number in a range; None for an end that was left open."""
    start, end = written.start, written.end
    if isinstance(start, ron.Float) or isinstance(end, ron.Float):
        raise TypeSyntaxError("expected a range of whole numbers, as in 1..=10", written.pos)
    low = None if start is None else start.value
    if end is None:
        return low, None
    if not written.inclusive and low is not None and end.value <= low:
        raise TypeSyntaxError(f"nothing is in the range {low}..{end.value}", written.pos)
    return low, end.value if written.inclusive else end.value - 1


def _lengths(written: ron.Range) -> tuple[int, int | None]:
    low, high = _whole(written)
    return low or 0, high


def _floating(written: ron.Range) -> tuple[float | None, float | None]:
    if written.end is not None and not written.inclusive:
        raise TypeSyntaxError("a range of floats has its end in it: write 0.0..=1.0", written.pos)
    return (
        None if written.start is None else written.start.value,
        None if written.end is None else written.end.value,
    )
