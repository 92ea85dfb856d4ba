"""Can a reader of one type read all that a writer of another sends?

Asked when an extension is replaced, whose callers go on as they did, and when two declare the same subject. It is about
the wire form, and about what `from_wire` takes: an integer type reads those with a narrower range, `f64` reads integers
that a float holds exactly, an enum is read by one of more names, a record by one whose further fields are options. Where
it finds no problem there is none, except in a message so large that the reader's own bounds on a whole message
(`MAX_ITEMS`) are met, because the reader fills in fields that were left out.

It says no, although all would go well, to

* what would be read as something a little different: `f64` as `f32`, large integers as floats;
* a pattern that is not the same text, whatever the two stand for, and lengths or an enum's names that only a pattern says;
* a `list` of a fixed length read as a `tuple`, a record of one field as a `variant`, and the other way round;
* a type of which there is no value, as `string(9..=9, "a")`, and parts that are of such a type.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from desk.bus.codec import path_step
from desk.bus.types.base import InvalidValue, Type
from desk.bus.types.choices import EnumOf, VariantOf
from desk.bus.types.containers import ListOf, OptionOf, Record, TupleOf
from desk.bus.types.numbers import Float, Integer
from desk.bus.types.scalars import Any_, Bool, Json
from desk.bus.types.signature import Signature
from desk.bus.types.texts import Bytes, Char, String

MAX_PROBLEMS: Final = 64
"""Problems that are reported at once; further ones are not looked for."""

_EXACT: Final = {32: 1 << 24, 64: 1 << 53}
"""By the bits of a float: up to here, and down to minus this, it holds every integer."""

_OTHER_KIND = "they are of different kinds"
_OTHER_LENGTH = "it may be shorter or longer than what is read"
_WIDER = "its range is wider than what is read"
_SHOWN: Final = 120
"""Characters of a type in a printed problem."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One way in which a reader may refuse what a writer sends; printed, it is one line.

    `path` says where: `.tags[].name`, where `[]` is any item of a list; empty if it is the whole value. `writer` and
    `reader` are the types there, None where one side has nothing.
    """

    path: str
    writer: Type | None
    reader: Type | None
    why: str

    def __str__(self) -> str:
        if self.writer is None and self.reader is None:
            return f"{self.path or 'value'}: {self.why}"
        return f"{self.path or 'value'}: {_shown(self.writer)} -> {_shown(self.reader)}: {self.why}"


def problems(writer: Type, reader: Type) -> tuple[Problem, ...]:
    """Why a reader of the type `reader` cannot read all that a writer of `writer` sends: at most `MAX_PROBLEMS`, or none."""
    return tuple(islice(_Comparison().types(writer, reader, ""), MAX_PROBLEMS))


def signature_problems(old: Signature, new: Signature) -> tuple[Problem, ...]:
    """Why those who call an export as `old` cannot go on when it has become `new`: its arguments, or what they get back.

    The names of parameters do not matter, for arguments are passed by position.
    """
    return tuple(islice(_Comparison().signatures(old, new), MAX_PROBLEMS))


class _Comparison:
    """One run. Each part of a writer is looked at once, whatever the reader is like, so time is linear in its size.

    A part of the reader may stand against many of the writer (all items of a tuple against those of one list); what
    has to be known of it is therefore made once.
    """

    def __init__(self) -> None:
        self._fields: dict[int, tuple[dict[str, Type], frozenset[str]]] = {}
        self._cases: dict[int, dict[str, Type | None]] = {}

    def signatures(self, old: Signature, new: Signature) -> Iterator[Problem]:
        if len(old.params) != len(new.params):
            yield Problem("params", None, None, f"{len(old.params)} are given, {len(new.params)} are taken")
        else:
            for index, (given, taken) in enumerate(zip(old.params, new.params, strict=True)):
                yield from self.types(given, taken, f"params[{index}]")
        if old.result is not None and new.result is not None:
            yield from self.types(new.result, old.result, "result")
        elif old.result is not new.result:
            yield Problem("result", new.result, old.result, "there is a result on one side only")

    def types(self, writer: Type, reader: Type, path: str) -> Iterator[Problem]:
        sent, read = writer.bare, reader.bare
        if isinstance(sent, OptionOf):
            if not isinstance(read, OptionOf | Any_ | Json):
                yield Problem(path, writer, reader, "none may be sent")
            sent = sent.item.bare
        if isinstance(read, OptionOf):
            read = read.item.bare
        match sent, read:
            case _, Any_():
                pass
            case _, Json():
                yield from _without_json(sent, path, reader)
            case ListOf(), ListOf():
                if not _within(sent.shortest, sent.longest, read.shortest, read.longest):
                    yield Problem(path, writer, reader, _OTHER_LENGTH)
                if sent.longest != 0:
                    yield from self.types(sent.item, read.item, f"{path}[]")
            case TupleOf(), ListOf():
                if not _within(len(sent.items), len(sent.items), read.shortest, read.longest):
                    yield Problem(path, writer, reader, _OTHER_LENGTH)
                for index, item in enumerate(sent.items):
                    yield from self.types(item, read.item, path + path_step(index))
            case TupleOf(), TupleOf() if len(sent.items) == len(read.items):
                for index, (item, other) in enumerate(zip(sent.items, read.items, strict=True)):
                    yield from self.types(item, other, path + path_step(index))
            case TupleOf(), TupleOf():
                yield Problem(path, writer, reader, _OTHER_LENGTH)
            case Record(), Record():
                yield from self.records(sent, read, path)
            case EnumOf() | VariantOf(), EnumOf() | VariantOf():
                yield from self.cases(sent, read, path)
            case _:
                if why := _why_not(sent, read):
                    yield Problem(path, writer, reader, why)

    def records(self, sent: Record, read: Record, path: str) -> Iterator[Problem]:
        if id(read) not in self._fields:
            needed = frozenset(name for name, item in read.fields if not _is_option(item))
            self._fields[id(read)] = dict(read.fields), needed
        taken, needed = self._fields[id(read)]
        for name, item in sent.fields:
            at = path + path_step(name)
            if name not in taken:
                yield Problem(at, item, None, "the reader refuses fields that it does not know")
                continue
            yield from self.types(item, taken[name], at)
            if _is_option(item) and isinstance(taken[name].bare, Any_ | Json):
                yield Problem(at, item, taken[name], "it may be left out")
        for name in sorted(needed.difference(name for name, _ in sent.fields)):
            yield Problem(path + path_step(name), None, taken[name], "only a field of an option type may be missing")

    def cases(self, sent: EnumOf | VariantOf, read: EnumOf | VariantOf, path: str) -> Iterator[Problem]:
        """An enum is a variant whose cases hold nothing; on the wire such a case is a text, and any other a map."""
        if id(read) not in self._cases:
            self._cases[id(read)] = _cases(read)
        taken = self._cases[id(read)]
        for name, held in _cases(sent).items():
            at = path + path_step(name)
            if name not in taken:
                yield Problem(at, sent, read, "the reader does not know this case")
            elif held is not None and (other := taken[name]) is not None:
                yield from self.types(held, other, at)
            elif held is not taken[name]:
                yield Problem(at, held, taken[name], "this case holds a value on one side only")


def _why_not(sent: Type, read: Type) -> str | None:
    """What is wrong between two types of single values, if anything is."""
    match sent, read:
        case Bool(), Bool():
            return None
        case Integer(), Integer():
            return None if _within(sent.low, sent.high, read.low, read.high) else _WIDER
        case Integer(), Float():
            if not -_EXACT[read.bits] <= sent.low <= sent.high <= _EXACT[read.bits]:
                return "a float does not hold all these integers exactly"
            return None if _within(sent.low, sent.high, read.low, read.high) else _WIDER
        case Float(), Float():
            if sent.bits > read.bits:
                return "it would be rounded"
            if (read.low, read.high) == (None, None):
                return None
            if (sent.low, sent.high) == (None, None):
                return "it may be NaN, which is in no range"
            return None if _within(*_range(sent), *_range(read)) else _WIDER
        case EnumOf() | VariantOf(), Char() | String():
            if any(held is not None for held in _cases(sent).values()):
                return _OTHER_KIND
            unread = [name for name in _cases(sent) if not _takes(read, name)]
            return f"{', '.join(unread[:3])}{', …' if unread[3:] else ''} would not be read" if unread else None
        case Char() | String(), Char() | String():
            return _text_problem(_as_string(sent), _as_string(read))
        case Bytes(), Bytes():
            return None if _within(sent.shortest, sent.longest, read.shortest, read.longest) else _OTHER_LENGTH
        case Any_(), _:
            return "it may be anything"
        case Json(), _:
            return "it may be anything JSON has a form for"
        case _:
            return _OTHER_KIND


def _text_problem(sent: String, read: String) -> str | None:
    if not _within(sent.shortest, sent.longest, read.shortest, read.longest):
        return _OTHER_LENGTH
    if read.pattern is not None and read.pattern != sent.pattern:
        return "it may not match the pattern"
    return None


def _without_json(sent: Type, path: str, reader: Type) -> Iterator[Problem]:
    """The parts of `sent` that JSON has no form for, or not for each value."""
    match sent.bare:
        case Bytes():
            yield Problem(path, sent, reader, "JSON has no form for bytes")
        case Any_():
            yield Problem(path, sent, reader, "it may be what JSON has no form for")
        case Float(low=low, high=high):
            if low is None or high is None or math.isinf(low) or math.isinf(high):
                yield Problem(path, sent, reader, "JSON has no form for NaN and the infinities")
        case Record(fields=fields) | VariantOf(cases=fields):
            for name, item in fields:
                if item is not None:
                    yield from _without_json(item, path + path_step(name), reader)
        case TupleOf(items=items):
            for index, item in enumerate(items):
                yield from _without_json(item, path + path_step(index), reader)
        case ListOf(item=item, longest=longest):
            if longest != 0:
                yield from _without_json(item, f"{path}[]", reader)
        case OptionOf(item=item):
            yield from _without_json(item, path, reader)
        case _:
            pass


def _within(low: float | None, high: float | None, least: float | None, most: float | None) -> bool:
    """Whether all from `low` to `high` is from `least` to `most`; None is the infinity on its side."""
    return (least is None or (low is not None and low >= least)) and (
        most is None or (high is not None and high <= most)
    )


def _is_option(declared: Type) -> bool:
    return isinstance(declared.bare, OptionOf)


def _range(declared: Float) -> tuple[float, float]:
    return -math.inf if declared.low is None else declared.low, math.inf if declared.high is None else declared.high


def _as_string(declared: Char | String) -> String:
    return String(1, 1) if isinstance(declared, Char) else declared


def _cases(declared: EnumOf | VariantOf) -> dict[str, Type | None]:
    return dict(declared.cases) if isinstance(declared, VariantOf) else dict.fromkeys(declared.names)


def _takes(read: Type, text: str) -> bool:
    try:
        read.from_wire(text)
    except InvalidValue:
        return False
    return True


def _shown(declared: Type | None) -> str:
    text = "nothing" if declared is None else str(declared)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
