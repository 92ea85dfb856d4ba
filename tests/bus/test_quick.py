"""Compiled validation: it says yes only to what needs no conversion, and nobody can tell whether it was asked."""

import copy
import math
import pickle
from collections import OrderedDict, UserString
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desk.bus import codec
from desk.bus.types import STRING, U8, InvalidValue, ListOf, OptionOf, Record, Type, parse_type_text
from desk.bus.types.quick import MAX_PARTS, checker
from desk.testing.drawn_types import types
from desk.testing.values import values_of

NAMES = {"unit": parse_type_text("enum(C, F)")}
TYPES = types(any_=True)


class Text(str):
    __slots__ = ()


class Whole(int):
    """A number that says it is in every range."""

    def __le__(self, _other: object) -> bool:
        return True

    __ge__ = __lt__ = __gt__ = __le__


class Chameleon:
    """What looks like a key, and like a text, but is neither."""

    __class__ = str  # type: ignore[assignment]

    def __init__(self, like: str) -> None:
        self.like = like

    def __hash__(self) -> int:
        return hash(self.like)

    def __eq__(self, other: object) -> bool:
        return other == self.like


def asked(text: str, value: object) -> bool:
    """What the function for a type says."""
    check = checker(parse_type_text(text, NAMES))
    assert check is not None
    return check(value)


# What it says.


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        ("bool", [True, False], [0, 1, None, "true"]),
        ("u8", [0, 255], [-1, 256, True, 1.0, "1", Whole(1), Whole(300), None]),
        ("i8(-3..=5)", [-3, 5], [-4, 6]),
        ("u64", [2**64 - 1], [2**64, -1]),
        ("f64", [0.0, -0.0, math.inf, math.nan], [0, True, "0"]),
        ("f64(0.0..=1.0)", [0.0, -0.0, 1.0], [-5e-324, 1.0000000000000002, math.nan, math.inf, 1]),
        ("f64(..=1.0)", [-math.inf, 1.0], [1.5, math.nan]),
        ("char", ["a", "\U0001f600", "\ud7ff", "\ue000"], ["", "ab", "\ud800", "\udfff", 97, Text("a")]),
        ("string", ["", "\x00", "e\u0301"], [b"", None, 1, Text("a"), UserString("a"), Chameleon("a")]),
        ("string(1..=2)", ["a", "\U0001f600\U0001f600"], ["", "abc"]),
        ('string("[a-z]+")', ["abc"], ["", "abc1", "abc\n", b"abc", Text("abc"), 1]),
        ('string(..=3, "[a-z]*")', ["", "abc"], ["abcd", "A"]),
        ("bytes", [b"", b"\xff"], [bytearray(b""), memoryview(b""), "", None]),
        ("bytes(1..=2)", [b"a"], [b"", b"abc"]),
        ("json", [None, [1, {"a": "b"}], 1.5], [math.nan, b"", {1: 2}, {1}]),
        ("any", [None, b"", [object()]], []),
        ("enum(C, F)", ["C", "F"], ["", "c", Text("C"), b"C", None, [], {}, Chameleon("C")]),
        ("unit", ["C"], ["K"]),
        ("option(u8)", [None, 3], [256, "3"]),
        ("option((a: u8))", [None, {"a": 3}], [{}, {"a": 300}]),
        ("list(bool)", [[], [True, False]], [[1], [True, None], (True,), None, {}]),
        ("list(u8)", [[], [0, 255]], [[0, 256], [-1, 0], [True], [1.0], (1,), [Whole(300)]]),
        ("list(u8, 1..=2)", [[1], [1, 2]], [[], [1, 2, 3]]),
        ("list(f64)", [[], [1.0, math.nan]], [[1]]),
        ("list(f64(..=0.0))", [[], [-1.0]], [[math.nan], [1.0], [-1.0, math.nan]]),
        ("list(string)", [["a", "é"]], [[b"a"], ["a", None], [Text("a")]]),
        ("list(string(1..=1))", [["a"]], [["a", ""]]),
        ("list(bytes)", [[b"a"]], [["a"], [bytearray(b"a")]]),
        ("list(bytes(1..))", [[b"a"]], [[b""]]),
        ("list(unit)", [["C", "F", "C"]], [["C", "K"], [["C"]], [Chameleon("C")]]),
        ("list(option(char))", [[None, "a"]], [[None, ""]]),
        ("list(list(u8))", [[[], [1]]], [[[], [256]], [[()]]]),
        ("list(any)", [[object()]], [()]),
        (
            "(a: u8, b: option(string))",
            [{"a": 1, "b": None}, {"a": 1, "b": "x"}],
            [{"b": "x", "a": 1}, {"a": 1}, {"b": None}, [], None],
        ),
        (
            "(a: u8, b: any)",
            [{"a": 1, "b": 2}],
            [{"a": 1}, {"a": 1, "c": 2}, {"a": 1, "b": 2, "c": 3}, {"a": 1, b"b": 2}],
        ),
        ("(a: u8)", [{"a": 1}], [{Text("a"): 1}, {Chameleon("a"): 1}, OrderedDict(a=1), {b"a": 1}, {1: 1}]),
        (
            "variant(circle: f64, dot: ())",
            [{"circle": 1.0}, "dot"],
            ["circle", {"dot": None}, {"circle": 1}, {}, None, 1],
        ),
        (
            "variant(a: u8, b: u8)",
            [{"a": 1}],
            [{"a": 1, "b": 2}, {"c": 1}, {Text("a"): 1}, {Chameleon("a"): 1}, Text("a")],
        ),
        ("result((), string)", ["ok", {"error": "x"}], ["error", {"ok": None}]),
        ("variant(exact: u8, rounded: f32)", [{"exact": 1}], [{"rounded": 1.0}]),
    ],
)
def test_yes_to_what_is_exactly_of_the_type(text: str, yes: list[object], no: list[object]) -> None:
    """No conversion, no subclass, no bound, no name and no field is overlooked. That some could be converted is not asked."""
    assert [asked(text, value) for value in yes] == [True] * len(yes)
    assert [asked(text, value) for value in no] == [False] * len(no)


@pytest.mark.parametrize(
    "text", ["f32", "tuple(u8)", "list(f32)", "option(tuple(u8))", "(a: u8, b: f32)", "variant(a: f32)"]
)
def test_no_function_for_what_is_always_converted(text: str) -> None:
    """A type whose values are made anew on the way, rounded or as tuples, has no function."""
    declared = parse_type_text(text)
    assert checker(declared) is None
    assert declared.quick is None


def test_undefined_and_simple_values_are_of_no_type() -> None:
    """What cbor2 reads and messages do not have is refused by every type that says all, with the codec's words."""
    for odd in ("f7", "e0", "f820"):
        for text in ("u8", "option(u8)", "string", "enum(C, F)", "f64"):
            declared = parse_type_text(f"(a: {text})")
            with pytest.raises(InvalidValue, match="a simple value other than false, true and null"):
                declared.lift(bytes.fromhex("a16161" + odd))


# When it is made, and of what.


def test_made_when_first_used_and_shared_by_equal_types() -> None:
    """Reading a type compiles nothing. Types that two manifests declare alike use one function."""
    text = "(made_when_used: u8, other: list(string))"
    one, other = parse_type_text(text), parse_type_text(text)
    assert not hasattr(one, "_quick")
    assert one.lift(one.lower({"made_when_used": 1, "other": []})) == {"made_when_used": 1, "other": []}
    assert one.quick is not None
    assert other.quick is not None
    assert one.quick.holds is other.quick.holds


def test_types_that_were_used_can_be_copied_and_pickled() -> None:
    """The function stays behind and is made again."""
    declared = parse_type_text("(a: u8)")
    declared.lower({"a": 1})
    for twin in (copy.deepcopy(declared), copy.copy(declared), pickle.loads(pickle.dumps(declared))):
        assert twin == declared
        assert twin.lower({"a": 1}) == declared.lower({"a": 1})


def test_a_type_too_large_to_compile_is_checked_all_the_same() -> None:
    """Up to so many parts there is a function; beyond there is none, and the type takes and refuses as ever."""
    most = Record(tuple((f"f{i}", U8) for i in range(MAX_PARTS - 1)))
    more = Record((*most.fields, ("last", U8)))
    assert checker(most) is not None
    assert checker(more) is None
    assert checker(ListOf(more)) is None
    value = {name: 1 for name, _ in more.fields}
    assert more.lift(more.lower(value)) == value
    with pytest.raises(InvalidValue, match="last"):
        more.lower(value | {"last": 256})


def test_no_name_of_a_field_is_code() -> None:
    """Fields named like Python's words, or like what the function itself uses, are fields like others."""
    names = ("class", "None", "x", "v", "c7", "type", "KeyError", "check", "__builtins__", "__import__")
    declared = Record(tuple((name, OptionOf(STRING)) for name in names))
    value = dict.fromkeys(names, "x")
    check = checker(declared)
    assert check is not None
    assert check(value)
    assert not check(value | {"check": 1})


def test_depth_of_a_type_does_not_matter() -> None:
    """Types of as many levels as there may be are compiled and asked, options and names between them included."""
    declared: Type = U8
    value: object = 7
    for level in range(codec.MAX_DEPTH):
        declared = OptionOf(ListOf(declared)) if level % 2 else OptionOf(Record((("a", declared),)))
        value = [value] if level % 2 else {"a": value}
    check = checker(declared)
    assert check is not None
    assert check(value)
    assert declared.lift(declared.lower(value)) == value


# Nobody can tell.


@contextmanager
def slowly(declared: Type) -> Iterator[Type]:
    """The type as if there were no function for it."""
    made = {}
    while True:
        made[declared] = declared.quick
        object.__setattr__(declared, "_quick", None)
        if declared.bare is declared:
            break
        [declared] = declared.parts()  # a name asks the type it stands for
    try:
        yield next(iter(made))
    finally:
        for each, quick in made.items():
            object.__setattr__(each, "_quick", quick)


def outcome(act: Any, *args: Any) -> tuple[str, str]:
    """What came of it, all the way down: the value with its types, or the error with its words."""
    try:
        return "value", repr(act(*args))
    except InvalidValue as error:
        return "error", str(error)


ODD = st.sampled_from(
    [
        *(None, True, 1, -1, 255, 256, 2**64, 1.0, -0.0, math.nan, math.inf, "", "x", "\ud800", "C", "ok", b"", b"x"),
        *(bytearray(b"x"), memoryview(b"x"), Text("x"), Whole(1), cbor2.undefined, cbor2.CBORSimpleValue(3), object()),
        *(
            [],
            (),
            {},
            {b"a": 1},
            {"a": 1},
            {1: 1},
            {Text("a"): 1},
            {"\ud800": 1},
            [[]],
            {"ok": None},
            {"error": 1},
            set(),
        ),
    ]
)


@st.composite
def nearly(draw: st.DrawFn, declared: Type) -> object:
    """A value of the type in which up to two parts, at any depth, were changed."""
    value: object = draw(values_of(declared))
    for _ in range(draw(st.integers(0, 2))):
        value = draw(altered(value))
    return value


@st.composite
def altered(draw: st.DrawFn, value: object) -> object:
    """`value` with one part changed."""
    deeper = draw(st.integers(0, 3))
    if deeper and isinstance(value, dict) and value:
        key = draw(st.sampled_from(sorted(value, key=repr)))
        return {k: draw(altered(v)) if k == key else v for k, v in value.items()}
    if deeper and isinstance(value, (list, tuple)) and value:
        at = draw(st.integers(0, len(value) - 1))
        return type(value)([*value[:at], draw(altered(value[at])), *value[at + 1 :]])
    if isinstance(value, dict):
        key = draw(st.sampled_from(["", "a", "\ud800", b"a", 1, Text("a"), *value]))
        how = draw(st.integers(0, 4))
        if how == 0:
            return {**value, key: draw(ODD)}
        if how == 1:
            return {k: v for k, v in value.items() if k != key}
        if how == 2:
            return {Text(k) if k == key and isinstance(k, str) else k: v for k, v in value.items()}
        if how == 3:
            return dict(reversed(value.items()))
    if isinstance(value, (list, tuple)) and draw(st.booleans()):
        return draw(st.sampled_from([tuple(value), [*value, None], [*value, *value], value[:-1]]))
    return draw(ODD)


@st.composite
def types_and_values(draw: st.DrawFn) -> tuple[Type, object]:
    """A type, and what is nearly a value of it."""
    declared = draw(TYPES)
    return declared, draw(nearly(declared))


@settings(deadline=None)
@given(types_and_values())
def test_any_value_is_lowered_or_refused_the_same(given_: tuple[Type, object]) -> None:
    """With and without a function: the same bytes, or the same words. What it says yes to is the same after conversion."""
    declared, value = given_
    quick = outcome(declared.lower, value)
    with slowly(declared):
        assert outcome(declared.lower, value) == quick
    check = checker(declared)
    if check is not None and check(value):
        assert repr(declared.from_wire(value)) == repr(value)


@settings(deadline=None)
@given(types_and_values(), st.booleans(), st.none() | st.tuples(st.floats(0, 1), st.integers(0, 255)))
def test_any_bytes_are_lifted_or_refused_the_same(
    given_: tuple[Type, object], canonical: bool, damage: tuple[float, int] | None
) -> None:
    """With and without a function: the same value, or the same words, for messages that are nearly right or damaged."""
    declared, value = given_
    try:
        raw = bytearray(cbor2.dumps(value, canonical=canonical))
    except (cbor2.CBOREncodeError, UnicodeEncodeError):
        return
    if damage is not None:
        raw[min(int(len(raw) * damage[0]), len(raw) - 1)] = damage[1]
    quick = outcome(declared.lift, bytes(raw))
    with slowly(declared):
        assert outcome(declared.lift, bytes(raw)) == quick


@pytest.mark.parametrize("most", [codec.MAX_SIZE, 3])
def test_bounds_of_messages_hold_as_without(most: int) -> None:
    """Size and number of items are bounded for typed messages, too, in both directions and with the same words."""
    declared = parse_type_text("list(list(u8))")
    value = [[]] * 30_000
    raw = cbor2.dumps(value)
    for act, given_ in ((declared.lower, value), (declared.lift, raw)):
        with pytest.raises(InvalidValue, match=r"items|at most 3") as quick:
            act(given_, max_size=most)
        with slowly(declared), pytest.raises(InvalidValue) as slow:
            act(given_, max_size=most)
        assert str(quick.value) == str(slow.value)
