"""The types of messages: what each takes, how it crosses, and what is said about the rest."""

import json
import math
import struct
from collections.abc import Callable

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.bus import codec, ron
from desk.bus.cbor_items import CONTAINER_WEIGHT, MAX_ITEMS, STRING_WEIGHT, count_items
from desk.bus.codec import MAX_DEPTH, MAX_SIZE, CodecError, encode
from desk.bus.types import (
    ANY,
    BOOL,
    BYTES,
    CHAR,
    F32,
    F64,
    I8,
    I32,
    I64,
    JSON,
    STRING,
    U8,
    U32,
    U64,
    WORDS,
    Bytes,
    EnumOf,
    Flat,
    Float,
    Integer,
    InvalidValue,
    ListOf,
    Named,
    OptionOf,
    Raw,
    Record,
    ResultOf,
    Signature,
    String,
    TupleOf,
    Type,
    TypeSyntaxError,
    VariantOf,
    parse_type,
    parse_type_text,
)
from desk.bus.types.numbers import INTEGER_RANGES


def read(text: str) -> Type:
    """The type written as `text`."""
    return parse_type(ron.parse(text))


WEATHER = read("(city: string, tmax: f64, rain: option(f64), tags: list(string))")
RAINY = {"city": "Bergen", "tmax": 11.5, "rain": 4.0, "tags": ["wet"]}


# Each type and its raw form.


@pytest.mark.parametrize(
    ("text", "value", "raw"),
    [
        ("bool", True, 1),
        ("bool", False, 0),
        ("i8", -128, -128),
        ("u8", 255, 255),
        ("i16", -32768, -32768),
        ("u16", 65535, 65535),
        ("i32", -(2**31), -(2**31)),
        ("u32", 2**32 - 1, 2**32 - 1),
        ("i64", -(2**63), -(2**63)),
        ("u64", 2**64 - 1, 2**64 - 1),
        ("f32", 0.5, 0.5),
        ("f64", 0.1, 0.1),
        ("char", "é", 0xE9),
        ("string", "é\0", b"\xc3\xa9\0"),
        ("bytes", b"\xff", b"\xff"),
        ("json", {"a": [1, 2.5, None, "é"]}, '{"a":[1,2.5,null,"é"]}'.encode()),
        ("any", {"a": b"\x01"}, bytes.fromhex("a161614101")),
        ("list(u8)", [1, 2], bytes.fromhex("820102")),
        ("option(u8)", None, b"\xf6"),
        ("option(u8)", 7, b"\x07"),
        ("tuple(u8, string)", (7, "a"), bytes.fromhex("82076161")),
        (
            "(a: bytes, b: json, c: char)",
            {"a": b"\x01", "b": [1], "c": "x"},
            bytes.fromhex("a3616141016162810161636178"),
        ),
    ],
)
def test_raw_form(text: str, value: object, raw: Raw) -> None:
    """A value is lowered to exactly these numbers or bytes, and lifted from them again."""
    lowered = read(text).lower(value)
    assert lowered == raw
    assert type(lowered) is type(raw)
    lifted = read(text).lift(raw)
    assert lifted == value
    assert type(lifted) is type(value)


@pytest.mark.parametrize(
    ("text", "flat"),
    [
        *((word, "i32") for word in ("bool", "i8", "i16", "i32", "u8", "u16", "u32", "char")),
        *((word, "i64") for word in ("i64", "u64")),
        ("f32", "f32"),
        ("f64", "f64"),
        *((word, None) for word in ("string", "bytes", "json", "any")),
        *((text, None) for text in ("list(i32)", "option(i32)", "tuple(i32)", "(a: i32)")),
    ],
)
def test_flat(text: str, flat: Flat | None) -> None:
    """Truth values, characters and numbers are lowered to numbers of wasm, all else to payloads."""
    assert read(text).flat == flat


@pytest.mark.parametrize(
    ("declared", "raw", "value"),
    [
        (I8, 0xFFFFFFFF, -1),
        (I8, -1, -1),
        (I32, 0x80000000, -(2**31)),
        (U32, -1, 2**32 - 1),
        (I64, 2**64 - 1, -1),
        (U64, -1, 2**64 - 1),
        (U64, -(2**63), 2**63),
    ],
)
def test_integers_of_wasm_have_no_sign(declared: Type, raw: int, value: int) -> None:
    """An integer from wasm is read by its bits, given signed or unsigned."""
    assert declared.lift(raw) == value


@pytest.mark.parametrize(
    ("declared", "raw"),
    [
        (BOOL, 2),
        (BOOL, -1),
        (BOOL, True),
        (BOOL, 1.0),
        (I8, 128),
        (I8, 0xFF),
        (U8, 256),
        (U8, -1),
        (U8, 2**64 - 1),
        (I32, 2**32),
        (I32, -(2**31) - 1),
        (U32, -(2**31) - 1),
        (U32, 2**32),
        (U64, 2**64),
        (U64, -(2**63) - 1),
        (I32, 1.0),
        (I32, True),
        (I32, b"\x01"),
        (F64, True),
        (F64, b""),
        (F32, 1e300),
        (CHAR, 0xD800),
        (CHAR, 0xDFFF),
        (CHAR, 0x110000),
        (CHAR, -1),
        (CHAR, "a"),
        (STRING, b"\xff"),
        (STRING, b"\xed\xa0\x80"),
        (STRING, 5),
        (BYTES, 5),
        (JSON, b""),
        (JSON, 5),
        (ANY, b""),
        (ANY, 5),
        (ListOf(U8), b"\x81\x19\x01\x00"),
        (ListOf(U8), b"\x81\x01\x00"),
        (ListOf(U8), b"\xa0"),
        (OptionOf(U8), b"\xf7"),
        (TupleOf((U8, U8)), b"\x81\x01"),
        (TupleOf((U8, U8)), b"\x83\x01\x02\x03"),
        (WEATHER, b"\xa0"),
        (WEATHER, b"\x80"),
    ],
)
def test_what_a_guest_gives_is_checked(declared: Type, raw: Raw) -> None:
    """Numbers out of range, bytes in another format and messages of another shape are `InvalidValue`."""
    with pytest.raises(InvalidValue):
        declared.lift(raw)


def test_payloads_are_lifted_from_any_buffer() -> None:
    """A payload may lie in bytes, a bytearray or a view of memory, and what is lifted does not change with it."""
    for declared, value in ((STRING, "abc"), (BYTES, b"abc"), (JSON, ["abc"]), (WEATHER, RAINY)):
        lowered = declared.lower(value)
        assert isinstance(lowered, bytes)
        memory = bytearray(lowered)
        lifted = declared.lift(memoryview(memory))
        memory[:] = bytes(len(memory))
        assert lifted == value
        assert declared.lift(bytearray(lowered)) == value


@pytest.mark.parametrize("declared", [STRING, BYTES, JSON, ANY, ListOf(STRING)])
def test_payloads_are_bounded(declared: Type) -> None:
    """A payload larger than `max_size` bytes is refused on either way, by default above 1 MiB."""
    value = b"x" * 100 if declared is BYTES else ["x" * 100] if isinstance(declared, ListOf) else "x" * 100
    lowered = declared.lower(value, max_size=110)
    assert isinstance(lowered, bytes)
    assert declared.lift(lowered, max_size=len(lowered)) == value
    with pytest.raises(InvalidValue, match="at most 50"):
        declared.lower(value, max_size=50)
    with pytest.raises(InvalidValue, match="at most 50"):
        declared.lift(lowered, max_size=50)
    with pytest.raises(InvalidValue, match="at most 1048576"):
        declared.lift(b"\x60" * (2**20 + 1))


# Strictness.


class Count(int):
    pass


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("bool", 1),
        ("bool", 0),
        ("bool", "true"),
        ("bool", None),
        ("i32", True),
        ("i32", 1.0),
        ("i32", "1"),
        ("i32", 2**31),
        ("i32", -(2**31) - 1),
        ("i32", Count(1)),
        ("u8", -1),
        ("u64", 2**64),
        ("f64", True),
        ("f64", "warm"),
        ("f64", None),
        ("f64", 10**400),
        ("f32", 3.5e38),
        ("f32", -3.5e38),
        ("f32", 10**39),
        ("f32", 10**400),
        ("char", ""),
        ("char", "ab"),
        ("char", "e\u0301"),
        ("char", 97),
        ("char", "\ud800"),
        ("string", b"abc"),
        ("string", "\udfff"),
        ("string", None),
        ("bytes", "abc"),
        ("bytes", [1, 2]),
        ("json", b"abc"),
        ("json", math.nan),
        ("json", [math.inf]),
        ("json", {1: 2}),
        ("json", {"a": {None: 2}}),
        ("json", {1, 2}),
        ("json", 2**64),
        ("json", "\ud800"),
        ("any", {1: 2}),
        ("any", object()),
        ("any", 2**64),
        ("list(i32)", "abc"),
        ("list(i32)", {1, 2}),
        ("list(i32)", None),
        ("list(i32)", [1, None]),
        ("list(bool)", [True, 1]),
        ("list(f64)", [1.0, True]),
        ("list(u8)", [1, 256]),
        ("list(string)", ["a", "\ud800"]),
        ("option(i32)", "1"),
        ("option(i32)", False),
        ("tuple(i32, i32)", (1,)),
        ("tuple(i32, i32)", (1, 2, 3)),
        ("tuple(i32, i32)", "ab"),
        ("(a: i32)", [("a", 1)]),
        ("(a: i32)", {}),
        ("(a: i32)", {"a": 1, "b": 2}),
        ("(a: i32)", {"a": 1, 2: 2}),
        ("(a: i32)", {"a": None}),
        ("(a: option(i32))", {"b": 2}),
    ],
)
def test_values_of_another_type_are_refused(text: str, value: object) -> None:
    """Nothing is converted silently: each of these is `InvalidValue`, at the top and inside every container."""
    declared = read(text)
    for wrap, wrapped in (
        (declared, value),
        (ListOf(declared), [value]),
        (TupleOf((U8, declared)), (1, value)),
        (Record((("k", declared),)), {"k": value}),
    ):
        with pytest.raises(InvalidValue):
            wrap.lower(wrapped)
        with pytest.raises(InvalidValue):
            wrap.check(wrapped)


@pytest.mark.parametrize(
    ("text", "value", "stands_for"),
    [
        ("f64", 5, 5.0),
        ("f32", 0.1, struct.unpack("<f", struct.pack("<f", 0.1))[0]),
        ("list(f64)", [1, 2.5], [1.0, 2.5]),
        ("list(u8)", (1, 2), [1, 2]),
        ("tuple(u8, u8)", [1, 2], (1, 2)),
        ("bytes", bytearray(b"ab"), b"ab"),
        ("bytes", memoryview(b"ab"), b"ab"),
        ("list(bytes)", [memoryview(b"ab"), b"c"], [b"ab", b"c"]),
        ("json", {"a": (1, 2)}, {"a": [1, 2]}),
        ("any", (1, 2), [1, 2]),
        ("(a: u8, b: option(u8))", {"a": 1}, {"a": 1, "b": None}),
    ],
)
def test_what_is_taken_for_a_value(text: str, value: object, stands_for: object) -> None:
    """The few things that are taken for a value of the type come out as that value on the other side."""
    lifted = read(text).lift(read(text).lower(value))
    assert lifted == stands_for
    assert type(lifted) is type(stands_for)


def test_whole_numbers_in_a_message_are_floats_if_declared() -> None:
    """A guest whose language has one kind of number may send 5 for 5.0, and the host has a float."""
    assert repr(read("(t: f64)").lift(cbor2.dumps({"t": 5}))) == "{'t': 5.0}"


@pytest.mark.parametrize("declared", [F32, F64])
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, -0.0])
def test_every_float_crosses(declared: Type, value: float) -> None:
    """Infinities, NaN and negative zero are floats: as numbers of wasm and inside messages."""
    assert repr(declared.lift(declared.lower(value))) == repr(value)
    assert repr(ListOf(declared).lift(ListOf(declared).lower([value]))) == repr([value])


def test_missing_options_are_none() -> None:
    """A missing field of an option type, null and None are the same; the guest gets every field."""
    declared = read("(a: option(u8), b: option(string))")
    assert declared.lift(b"\xa0") == {"a": None, "b": None}
    assert declared.lift(cbor2.dumps({"b": None})) == {"a": None, "b": None}
    assert declared.lower({}) == cbor2.dumps({"a": None, "b": None})


# JSON.


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1,]",
        "nul",
        "NaN",
        "[Infinity]",
        "-Infinity",
        "1e999",
        '{"a":1,"a":2}',
        '[{"a":{"b":1,"b":1}}]',
        "18446744073709551616",
        pytest.param("1" * 5000, id="long-integer"),
        '"\\ud800"',
        '{"\\uDC00":1}',
        '"\\ud800\\ud800"',
        "1 2",
        "// x\n1",
        "'a'",
        '"\n"',
        "\ufeff1",
        pytest.param("[" * 65 + "]" * 65, id="65-arrays"),
        pytest.param('[{"a":' * 33 + "1" + "}]" * 33, id="66-arrays-and-objects"),
        pytest.param("[" * 1_000_000, id="million-open"),
        '[" ]"' + ',["]"' * 100,
    ],
)
def test_json_that_is_not_strict_is_refused(text: str) -> None:
    """Text that is not JSON, or means different things to different readers, or nests too deep, is refused."""
    with pytest.raises(InvalidValue) as caught:
        JSON.lift(text.encode())
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("data", [b"\xff", b'"\xed\xa0\x80"', '{"a":1}'.encode("utf-16"), "1".encode("utf-32")])
def test_json_that_is_not_utf8_is_refused(data: bytes) -> None:
    """JSON is UTF-8 here; other encodings are not guessed."""
    with pytest.raises(InvalidValue):
        JSON.lift(data)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (' {"a" : [1, -2.5e3, true, null]} ', {"a": [1, -2500.0, True, None]}),
        ('"\\ud83d\\ude00 \\u0000"', "😀 \0"),
        ("18446744073709551615", 2**64 - 1),
    ],
)
def test_json_that_is_strict_is_read(text: str, value: object) -> None:
    """Strict does not mean narrow: spaces, exponents and escapes are read."""
    assert JSON.lift(text.encode()) == value


def test_brackets_are_not_depth() -> None:
    """Many arrays beside each other, and brackets inside strings, do not count as arrays inside each other."""
    beside: list[list[object]] = [[] for _ in range(100)]
    assert JSON.lift(JSON.lower(beside)) == beside
    strings = ["[" * 100, '"' + "{" * 100, "\\" + "[" * 100, '\\"[' * 100]
    assert JSON.lift(JSON.lower(strings)) == strings


@pytest.mark.parametrize(
    ("value", "instead"),
    [(b"a", "text, such as base64"), (math.nan, "None or text"), ({1}, "a list"), (2**64, "it as text")],
)
def test_json_says_what_to_send_instead(value: object, instead: str) -> None:
    """Python values that JSON has no form for are refused with what it has for them."""
    with pytest.raises(InvalidValue) as caught:
        JSON.lower([value])
    assert str(caught.value).endswith(f"; send {instead}")


SMALL_ITEMS: dict[str, object] = {"array": [], "object": {}, "number": 0, "text": '",[', "bool": True, "none": None}


@pytest.mark.parametrize("item", SMALL_ITEMS.values(), ids=SMALL_ITEMS)
@pytest.mark.parametrize("gap", ["", " \n"])
def test_items_of_json_are_bounded(item: object, gap: str) -> None:
    """As many items as in CBOR are read and written, and not one more, whatever they are and however it is spaced."""
    weight = count_items(item)
    largest = [item] * ((MAX_ITEMS - CONTAINER_WEIGHT) // weight)
    largest += [0] * (MAX_ITEMS - count_items(largest))
    larger = [*largest, 0]

    def spaced(value: object) -> bytes:
        text = json.dumps(value, separators=(f",{gap}", ":"))
        return text.replace("[]", f"[{gap}]").replace("{}", f"{{{gap}}}").encode()

    assert JSON.lift(spaced(largest), max_size=4 * MAX_SIZE) == largest
    JSON.lower(largest, max_size=4 * MAX_SIZE)
    with pytest.raises(InvalidValue, match="more than 131,072 items"):
        JSON.lift(spaced(larger), max_size=4 * MAX_SIZE)
    with pytest.raises(InvalidValue, match="more than 131,072 items"):
        JSON.lower(larger, max_size=4 * MAX_SIZE)


def test_missing_fields_are_bounded_as_items_are() -> None:
    """One byte is a record that leaves all its fields out, and each of them is a None in its place."""
    sparse = ListOf(Record(tuple((f"f{i}", OptionOf(I32)) for i in range(64))))
    most = MAX_ITEMS // 64
    for _ in range(2):  # each message anew
        assert sparse.lift(codec.encode([{}] * most)) == [dict.fromkeys(f"f{i}" for i in range(64))] * most
        with pytest.raises(InvalidValue, match=r"value\[2048\]: expected records that leave out 131,072 fields"):
            sparse.lift(codec.encode([{}] * (most + 1)))
        with pytest.raises(InvalidValue):
            sparse.lower([{}] * (most + 1))


def test_keys_of_json_are_items() -> None:
    """An object is an item, and so are the key and the value of each of its fields."""
    fields: dict[str, object] = {f"{i:05x}": 0 for i in range((MAX_ITEMS - CONTAINER_WEIGHT) // (STRING_WEIGHT + 1))}
    assert JSON.lift(JSON.lower(fields)) == fields
    with pytest.raises(InvalidValue, match="more than 131,072 items"):
        JSON.lift(json.dumps(fields | {"one": 0}).encode())


@pytest.mark.parametrize("text", [", : [ { ", '\\"', "\\", '[],"\\'])
def test_punctuation_in_strings_is_not_items(text: str) -> None:
    """A long honest text may have any number of commas, brackets, quotes and backslashes."""
    value = [text * MAX_ITEMS] * 2
    assert JSON.lift(JSON.lower(value, max_size=4 * MAX_SIZE), max_size=4 * MAX_SIZE) == value


@pytest.mark.parametrize("text", ['"' * (1 << 20), '["' * (1 << 19), "[" * 65 + '"ab' * (1 << 18), "[" * (1 << 20)])
def test_quotes_and_brackets_without_end_are_refused(text: str) -> None:
    """Text that is not JSON but would take long to find out is refused like other text."""
    with pytest.raises(InvalidValue):
        JSON.lift(text.encode(), max_size=4 * MAX_SIZE)


def test_json_is_refused_at_the_depth_where_it_would_be() -> None:
    """What is lowered as JSON can be lifted as JSON; the 65th level is refused on the way out too."""
    deep: object = 1
    for _ in range(64):
        deep = [deep]
    assert JSON.lift(JSON.lower(deep)) == deep
    with pytest.raises(InvalidValue, match="64"):
        JSON.lower([deep])
    with pytest.raises(InvalidValue, match="64"):
        JSON.lower({"a": deep})


def test_json_in_a_message_is_cbor() -> None:
    """Inside a message json is CBOR like the rest, and what JSON cannot say is refused there too."""
    declared = read("(a: json)")
    assert declared.lower({"a": {"b": [1]}}) == cbor2.dumps({"a": {"b": [1]}})
    for alien in (b"bytes", math.nan, [math.inf]):
        with pytest.raises(InvalidValue, match="json"):
            declared.lift(cbor2.dumps({"a": alien}))


# What errors say.


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tmax": "warm"}, "params[1].tmax: expected f64, got 'warm' (string)"),
        ({"tmax": None}, "params[1].tmax: expected f64, got none"),
        ({"tags": ["wet", 7]}, "params[1].tags[1]: expected string, got 7 (integer)"),
        ({"tags": "wet"}, "params[1].tags: expected list(string), got 'wet' (string)"),
        ({"rain": {}}, "params[1].rain: expected f64, got a map of 0"),
        ({"tmix": 1}, "params[1].tmix: expected no such field (did you mean 'tmax'?), got 1 (integer)"),
        ({"odd\nkey": 1}, "params[1]['odd\\nkey']: expected no such field, got 1 (integer)"),
        ({"city": "x" * 50}, None),
    ],
)
def test_errors_name_the_place(change: dict[str, object], words: str | None) -> None:
    """An error says which part of which parameter was wrong, what belongs there and what was there."""
    signature = Signature((U8, WEATHER))
    args = (1, RAINY | change)
    if words is None:
        signature.lower_args(args)
    else:
        with pytest.raises(InvalidValue) as caught:
            signature.lower_args(args)
        assert str(caught.value) == words


def test_error_for_a_missing_field() -> None:
    """A missing field is named with its type."""
    with pytest.raises(InvalidValue) as caught:
        WEATHER.lift(cbor2.dumps({"city": "Bergen"}), "result")
    assert str(caught.value) == "result.tmax: expected f64, got nothing: the field is missing"


def test_error_for_what_the_codec_refuses() -> None:
    """Damaged bytes, and values inside `any`, are `InvalidValue` too, with the codec's own error as the cause."""
    with pytest.raises(InvalidValue) as caught:
        read("(a: i32)").lift(b"\xa1\x61a\xc1\x00", "result")
    assert str(caught.value) == "result: expected (a: i32), got tag 1; messages carry no tags"
    assert isinstance(caught.value.__cause__, CodecError)
    with pytest.raises(InvalidValue) as caught:
        read("(a: any)").lower({"a": [0, {1, 2}]})
    words = "value.a[1]: expected any, got a value of type set, which messages have no form for; send a list"
    assert str(caught.value) == words
    with pytest.raises(InvalidValue) as caught:
        read("(a: any)").check({"a": [0, {1, 2}]})
    assert str(caught.value) == words


@pytest.mark.parametrize("value", ["\ud800", ["a", "\ud800"], {"\ud800": 1}, [[0] * (MAX_ITEMS - 2), 1], 2**64])
def test_check_sees_what_lower_would_refuse(value: object) -> None:
    """What has no form in a message is found without making one."""
    for attempt in (ANY.lower, ANY.check):
        with pytest.raises(InvalidValue):
            attempt(value)


@pytest.mark.parametrize("value", [bytes(3 * MAX_SIZE), "a" * 3 * MAX_SIZE, [0.5] * 130_000])
def test_check_is_of_the_type_not_the_size(value: object) -> None:
    """How many bytes a message may have depends on where it goes, so only `lower` and `lift` bound them."""
    ANY.check(value)
    with pytest.raises(InvalidValue, match="at most 1048576"):
        ANY.lower(value)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("\n" * 100_000, id="text"),
        pytest.param("x\u202e" * 100_000, id="text-right-to-left"),
        pytest.param(b"x" * 100_000, id="bytes"),
        pytest.param(10**5000, id="integer"),
        pytest.param([0] * 100_000, id="list"),
        pytest.param(type("N" * 100_000, (), {})(), id="type-name"),
        pytest.param({"\n" * 100_000: 1}, id="key"),
    ],
)
def test_errors_are_bounded(value: object) -> None:
    """However large and odd the value, the error about it is short, printable and on one line."""
    wide = Record(tuple((f"field_{i}", U8) for i in range(100)))
    for declared in (U8, wide, ListOf(ListOf(U8)), OptionOf(wide)):
        with pytest.raises(InvalidValue) as caught:
            declared.lower(value)
        assert len(str(caught.value)) < 500
        assert str(caught.value).isprintable()


# Syntax.


@pytest.mark.parametrize(
    ("text", "declared"),
    [
        *WORDS.items(),
        ("list(string)", ListOf(STRING)),
        ("option(list(u8))", OptionOf(ListOf(U8))),
        ("tuple(i32, f64)", TupleOf((I32, F64))),
        ("(a: i32, b: option(string))", Record((("a", I32), ("b", OptionOf(STRING))))),
    ],
)
def test_syntax(text: str, declared: Type) -> None:
    """A type is read from its text, and printed as it was written."""
    assert read(text) == declared
    assert str(declared) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("i33", "'i3"),
        ("String", "did you mean 'string'"),
        ("lst(i32)", "did you mean 'list'"),
        ("zzzz", "no type is called 'zzzz'"),
        ("list", "list of what"),
        ("tuple", "tuple of what"),
        ("list()", "list is of one type, got 0"),
        ("list(i32, i32)", "list is of one type, got 2"),
        ("option(option(i32))", "option of an option"),
        ("tuple()", "at least one type"),
        ("i32(i32)", "i32 takes a range, as in i32(1..=10), got a name"),
        ("bool(i32)", "bool is a type by itself"),
        ("int", "no type is called 'int'; write i32 or i64"),
        ("int(1..=5)", "no type is called 'int'; write i32 or i64"),
        ("str", "no type is called 'str'; write string"),
        ("float", "no type is called 'float'; write f64 or f32"),
        ("number", "no type is called 'number'; write f64, or i32 or i64"),
        ("boolean", "no type is called 'boolean'; write bool"),
        ("text", "no type is called 'text'; write string"),
        ("map(string, i32)", "no type is called 'map'; write a record (name: type, ...), or json"),
        ("object", "no type is called 'object'; write a record"),
        ("dict", "no type is called 'dict'; write a record"),
        ("array(i32)", "no type is called 'array'; write list(type)"),
        ("frob(1)", "no type is called 'frob'"),
        ("()", "expected a type"),
        ("(i32, string)", "expected a type"),
        ("Point(x: i32)", "no name of its own"),
        ("(é: i32)", "is no field name"),
        ("5", "expected a type, got an integer"),
        ('"i32"', "expected a type, got a string; types are written without quotes"),
        ("[i32]", "expected a type, got a list; a list type is written list(i32)"),
        ("{a: i32}", "expected a type, got a map; a record type is written (name: string)"),
        ("Some(i32)", "expected a type, got Some; an option type is written option(i32)"),
        ("None", "expected a type, got None"),
        ("list(" * 17 + "i32" + ")" * 17, "more than 16"),
        ("list(" * 60 + "i32" + ")" * 60, "more than 16"),
    ],
)
def test_what_is_no_type(text: str, words: str) -> None:
    """What is not a type is refused with its place and, when a word is nearly right, with the right one."""
    with pytest.raises(TypeSyntaxError) as caught:
        read(text)
    assert words in str(caught.value)
    assert str(caught.value).startswith("line 1, column ")


def test_error_in_a_type_has_the_place_of_the_part() -> None:
    """The place in the error is that of the part that is wrong, not of the whole type."""
    with pytest.raises(TypeSyntaxError) as caught:
        read("(\n  a: i32,\n  b: list(i31),\n)")
    assert caught.value.pos is not None
    assert (caught.value.pos.line, caught.value.pos.column) == (3, 11)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Record(()),
        lambda: Record((("a", I32), ("a", I32))),
        lambda: Record((("a b", I32),)),
        lambda: Record((("a\n", I32),)),
        lambda: Record((("", I32),)),
        lambda: TupleOf(()),
        lambda: Signature((I32,), ("a", "b")),
    ],
)
def test_types_cannot_be_made_wrong(make: Callable[[], object]) -> None:
    """A type made in code keeps to the rules of one that was written."""
    with pytest.raises(TypeSyntaxError):
        make()


# Signatures.


def test_signature() -> None:
    """A signature knows its form in wasm: payloads go in as two i32 each and come out through `reply`."""
    signature = Signature((I32, JSON, F64, U64), None, BOOL)
    assert signature.wasm_params == ("i32", "i32", "i32", "f64", "i64")
    assert signature.wasm_results == ("i32",)
    assert str(signature) == "(i32, json, f64, u64) -> bool"
    assert Signature((), None, JSON).wasm_results == ()
    assert Signature(()).wasm_params == ()
    assert str(Signature(())) == "()"
    assert str(Signature((U8,), ("width",), STRING)) == "(width: u8) -> string"


def test_arguments_and_results_cross() -> None:
    """Arguments are lowered in order, results lifted, and no result is None on both sides."""
    signature = Signature((I32, JSON), None, BOOL)
    assert signature.lower_args([640, {"a": 1}]) == (640, b'{"a":1}')
    assert signature.lift_result(1) is True
    assert signature.lower_result(True) == 1
    assert Signature(()).lower_args(()) == ()
    assert Signature(()).lift_result(None) is None
    assert Signature(()).lower_result(None) is None


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), "params: expected 2 arguments for (width: i32, label: string) -> bool, got 0"),
        ((1, "a", 2), "params: expected 2 arguments for (width: i32, label: string) -> bool, got 3"),
        ((1, 2), "label: expected string, got 2 (integer)"),
    ],
)
def test_wrong_arguments(args: tuple[object, ...], words: str) -> None:
    """Too few or too many arguments are refused with what belongs there, a wrong one by its name."""
    with pytest.raises(InvalidValue) as caught:
        Signature((I32, STRING), ("width", "label"), BOOL).lower_args(args)
    assert str(caught.value) == words


def test_one_argument_is_not_plural() -> None:
    """The count is worded for one as for many."""
    with pytest.raises(InvalidValue, match=r"^params: expected 1 argument for \(string\) -> string, got 0$"):
        Signature((STRING,), None, STRING).lower_args(())


@pytest.mark.parametrize(
    ("signature", "raw"),
    [(Signature(()), 0), (Signature(()), b""), (Signature((), None, BOOL), None), (Signature((), None, BOOL), 7)],
)
def test_wrong_results(signature: Signature, raw: Raw | None) -> None:
    """A result where none is declared, none where one is, and one of another type are refused at `result`."""
    with pytest.raises(InvalidValue, match=r"^result: expected"):
        signature.lift_result(raw)
    with pytest.raises(InvalidValue, match=r"^result: expected"):
        signature.lower_result(raw)


def test_signature_bounds_payloads() -> None:
    """`max_size` holds for each argument and for the result."""
    signature = Signature((STRING,), None, STRING)
    assert signature.lower_args(("abc",), max_size=3) == (b"abc",)
    with pytest.raises(InvalidValue, match=r"params\[0\]: expected at most 2 bytes, got 3 bytes"):
        signature.lower_args(("abc",), max_size=2)
    with pytest.raises(InvalidValue, match="result: expected at most 2 bytes, got 3 bytes"):
        signature.lift_result(b"abc", max_size=2)


# What holds for every type and value.


RON_WORDS = st.sampled_from(
    ["true", "false", "None", "Some", "inf", "NaN", "inff32", "NaNf64", "_", "r", "b", "br", "i32"]
)
NAMES = st.from_regex("[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True) | RON_WORDS


def records(inner: st.SearchStrategy[Type]) -> st.SearchStrategy[Type]:
    """Record types with fields of `inner`."""
    fields = st.lists(st.tuples(NAMES, inner), min_size=1, max_size=4, unique_by=lambda pair: pair[0])
    return fields.map(lambda pairs: Record(tuple(pairs)))


def variants(inner: st.SearchStrategy[Type]) -> st.SearchStrategy[Type]:
    """Variant and result types with cases of `inner`, or of nothing."""
    held = st.none() | inner
    cases = st.lists(st.tuples(NAMES, held), min_size=1, max_size=4, unique_by=lambda pair: pair[0])
    return cases.map(lambda pairs: VariantOf(tuple(pairs))) | st.tuples(held, held).map(lambda pair: ResultOf(*pair))


def bounds(numbers: st.SearchStrategy[float]) -> st.SearchStrategy[tuple[float | None, float | None]]:
    """The two ends of a range, either of which may be open."""
    both = st.tuples(numbers, numbers).map(lambda pair: (min(pair), max(pair)))
    return both.flatmap(lambda pair: st.sampled_from([pair, (pair[0], None), (None, pair[1])]))


def whole(name: str) -> st.SearchStrategy[Type]:
    """Ranges of the numbers of a word."""
    low, high = INTEGER_RANGES[name]
    pairs = st.tuples(st.integers(low, high), st.integers(low, high))
    return pairs.map(lambda pair: Integer(name, min(pair), max(pair), wide=name in ("i64", "u64")))


LENGTHS = st.tuples(st.integers(0, 3), st.none() | st.integers(3, 6))
PATTERNS = ("[a-z]+", "é|[^a]{0,2}", r'\.\\"?', "(ab?)*", "\n\u202e?")
LIMITED = (
    st.sampled_from(list(INTEGER_RANGES)).flatmap(whole)
    | bounds(st.floats(allow_nan=False)).map(lambda pair: Float(64, *pair))
    | bounds(st.floats(allow_nan=False, width=32)).map(lambda pair: Float(32, *pair))
    | LENGTHS.map(lambda pair: String(*pair))
    | st.sampled_from(PATTERNS).map(lambda pattern: String(pattern=pattern))
    | LENGTHS.map(lambda pair: Bytes(*pair))
    | st.lists(NAMES, min_size=1, max_size=5, unique=True).map(lambda names: EnumOf(tuple(names)))
)


def containers(inner: st.SearchStrategy[Type]) -> st.SearchStrategy[Type]:
    """Types made of `inner`."""
    return (
        inner.map(ListOf)
        | st.tuples(inner, LENGTHS).map(lambda pair: ListOf(pair[0], *pair[1]))
        | inner.filter(lambda item: not isinstance(item.bare, OptionOf)).map(OptionOf)
        | st.lists(inner, min_size=1, max_size=3).map(lambda items: TupleOf(tuple(items)))
        | records(inner)
        | variants(inner)
    )


NAMED: dict[str, Type] = {
    "place": Named("place", read("(city: string, note: option(string))")),
    "two-words": Named("two-words", read("option(u8(1..=9))")),
    "id": Named("id", I64),
}
NAMED["places"] = Named("places", ListOf(NAMED["place"]))


@st.composite
def leaves(draw: st.DrawFn) -> Type:
    """Types to make others of. A function of its own, so that what is made of it can be shown in a line."""
    return draw(st.sampled_from([*WORDS.values(), *NAMED.values()]) | LIMITED)


TYPES = st.recursive(leaves(), containers, max_leaves=6)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
INT64 = st.integers(-(2**64), 2**64 - 1)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | INT64 | FINITE | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
VALUES: dict[Type, st.SearchStrategy[object]] = {
    BOOL: st.booleans(),
    CHAR: st.characters(exclude_categories=["Cs"]),
    JSON: JSON_VALUES,
    ANY: JSON_VALUES | st.binary() | st.floats(allow_nan=False),
}


def values(declared: Type) -> st.SearchStrategy[object]:
    """Values of a type."""
    match declared:
        case Named(type=named):
            return values(named)
        case Integer(low=low, high=high):
            return st.integers(low, high)
        case Float(bits=bits, low=low, high=high):
            return st.floats(low, high, allow_nan=False, width=bits)
        case String(pattern=str(pattern)):
            return st.from_regex(pattern, fullmatch=True)
        case String(shortest=shortest, longest=longest):
            return st.text(min_size=shortest, max_size=longest)
        case Bytes(shortest=shortest, longest=longest):
            return st.binary(min_size=shortest, max_size=longest)
        case EnumOf(names=names):
            return st.sampled_from(names)
        case VariantOf(cases=cases):
            return st.one_of([st.just(name) if item is None else held(name, values(item)) for name, item in cases])
        case ListOf(item=item, shortest=shortest, longest=longest):
            return st.lists(values(item), min_size=shortest, max_size=4 if longest is None else longest)
        case OptionOf(item=item):
            return st.none() | values(item)
        case TupleOf(items=items):
            return st.tuples(*map(values, items))
        case Record(fields=fields):
            return st.fixed_dictionaries({name: values(item) for name, item in fields})
        case _:
            return VALUES[declared]


def held(name: str, inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """Values of a case that holds one."""
    return inner.map(lambda value: {name: value})


TYPES_AND_VALUES = TYPES.flatmap(lambda declared: st.tuples(st.just(declared), values(declared)))


@given(TYPES)
def test_types_are_printed_as_they_are_read(declared: Type) -> None:
    """Reading what a type prints, with the names that it uses, gives the type."""
    assert parse_type_text(str(declared), NAMED) == declared


@given(TYPES_AND_VALUES)
def test_round_trip(pair: tuple[Type, object]) -> None:
    """Whatever is of a type is lowered to its wasm form and lifted from it unchanged."""
    declared, value = pair
    declared.check(value)
    lowered = declared.lower(value)
    assert type(lowered) is {"i32": int, "i64": int, "f32": float, "f64": float, None: bytes}[declared.flat]
    assert declared.lift(lowered) == value


@given(TYPES_AND_VALUES, st.data())
def test_damaged_payloads_are_values_or_errors(pair: tuple[Type, object], data: st.DataObject) -> None:
    """A payload with one byte changed is a value of the type or `InvalidValue`, nothing else."""
    declared, value = pair
    lowered = declared.lower(value)
    if isinstance(lowered, bytes) and lowered:
        damaged = bytearray(lowered)
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
        lift_or_refuse(declared, bytes(damaged))


@given(TYPES, st.binary(max_size=40) | st.integers() | st.floats() | JSON_VALUES.map(encode))
def test_anything_lifted_is_a_value_or_an_error(declared: Type, raw: Raw) -> None:
    """Whatever a guest gives, `lift` gives a value of the type or raises `InvalidValue`, nothing else."""
    lift_or_refuse(declared, raw)


def lift_or_refuse(declared: Type, raw: Raw) -> None:
    """Lift; if that succeeds, the value must be of the type, so it can be lowered and comes back the same."""
    try:
        value = declared.lift(raw)
    except InvalidValue as error:
        words = str(error)
    else:
        words = ""
        assert repr(declared.lift(declared.lower(value))) == repr(value)
    assert len(words) < 500


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates() | st.just("\ud800"),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=6,
)


@given(TYPES, ANYTHING)
def test_anything_lowered_is_a_value_or_an_error(declared: Type, value: object) -> None:
    """Whatever a caller gives, `lower` raises `InvalidValue` or gives what `lift` takes."""
    try:
        lowered = declared.lower(value)
    except InvalidValue:
        return
    declared.lift(lowered)


def test_depth_of_types_and_messages_is_the_same() -> None:
    """A type as deep as messages may be can carry its values; one deeper cannot be made."""
    declared: Type = I32
    value: object = 1
    for _ in range(MAX_DEPTH):
        declared, value = ListOf(declared), [value]
    assert declared.lift(declared.lower(value)) == value
    with pytest.raises(TypeSyntaxError, match="16"):
        ListOf(declared)
