"""The strict CBOR profile: one test per form that it leaves out, and the promises that hold for any input."""

import datetime
import decimal
import enum
import fractions
import ipaddress
import math
import pathlib
import uuid
from array import array
from collections import OrderedDict, defaultdict

import cbor2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from desk.bus.cbor_items import CONTAINER_WEIGHT, MAX_ITEMS, count_items
from desk.bus.codec import MAX_DEPTH, CodecError, Value, check, decode, encode

BUILT_IN_TAGS = (100, 256, 258, 260, 261, 1004, 43000, 55799)
"""Those above 63 that cbor2 6 reads by itself."""


def refused(data: bytes) -> str:
    """The words with which `decode` refuses `data`."""
    with pytest.raises(CodecError) as caught:
        decode(data)
    return str(caught.value)


def tagged(number: int, content: bytes) -> bytes:
    """A tag in its longest form, which holds any number, around one encoded item."""
    return b"\xdb" + number.to_bytes(8, "big") + content


# What the profile leaves out.


@pytest.mark.parametrize(
    ("number", "content"),
    [
        pytest.param(2, "49010000000000000000", id="2-bignum"),
        pytest.param(3, "49010000000000000000", id="3-negative-bignum"),
        pytest.param(0, "74323031332d30332d32315432303a30343a30305a", id="0-datetime"),
        pytest.param(1, "1a514b67b0", id="1-timestamp"),
        pytest.param(4, "821a3b9aca0001", id="4-decimal-fraction"),
        pytest.param(5, "821a3b9aca0001", id="5-bigfloat"),
        pytest.param(25, "00", id="25-string-reference"),
        pytest.param(256, "8261616161", id="256-string-reference-namespace"),
        pytest.param(28, "80", id="28-shared"),
        pytest.param(29, "00", id="29-shared-reference"),
        pytest.param(30, "820102", id="30-rational"),
        pytest.param(35, "6128", id="35-regular-expression"),
        pytest.param(36, "60", id="36-mime"),
        pytest.param(37, "5000000000000000000000000000000000", id="37-uuid"),
        pytest.param(52, "447f000001", id="52-ipv4"),
        pytest.param(258, "820102", id="258-set"),
        pytest.param(24, "4100", id="24-encoded-cbor"),
        pytest.param(55799, "00", id="55799-self-described"),
        pytest.param(2**64 - 1, "00", id="unknown"),
    ],
)
def test_tags_are_refused(number: int, content: str) -> None:
    """No tag is read, whether cbor2 knows it or not, and the message says which one it was."""
    data = tagged(number, bytes.fromhex(content))
    assert f"tag {number};" in refused(data)
    assert f"tag {number};" in refused(b"\x81" + data)
    assert f"tag {number};" in refused(b"\xa1\x61k" + data)


@pytest.mark.parametrize("number", [*range(64), *BUILT_IN_TAGS])
def test_tags_are_refused_before_their_content(number: int) -> None:
    """A tag is refused at its head: what it holds, here nothing at all, is never looked at."""
    assert refused(tagged(number, b"")) == f"tag {number}; messages carry no tags"


def test_cyclic_array_is_refused() -> None:
    """An array that holds itself (28 around an array of 29) is refused."""
    refused(bytes.fromhex("d81c81d81d00"))


def test_doubling_by_shared_references_is_refused() -> None:
    """An array that would unfold to 2^25 leaves out of 233 bytes is refused."""
    data = tagged(28, b"\x80")
    for depth in range(14):
        data = tagged(28, b"\x82" + data + b"\xd8\x1d" + bytes([depth]))
    refused(data)


@pytest.mark.parametrize("data", ["9f01ff", "bf616101ff", "5f4101ff", "7f6161ff", "9fff", "819fff"])
def test_indefinite_lengths_are_refused(data: str) -> None:
    """Arrays, maps, byte strings and texts say their length first."""
    assert "indefinite length" in refused(bytes.fromhex(data))


@pytest.mark.parametrize("data", ["a2616101616102", "a1616ba2616101616102"])
def test_duplicate_keys_are_refused(data: str) -> None:
    """A map in which a key occurs twice is refused, at any depth, rather than the last one winning."""
    assert "Duplicate" in refused(bytes.fromhex(data))


def test_duplicate_keys_in_two_spellings_are_refused() -> None:
    """The same key once with the shortest and once with a longer length is still the same key."""
    refused(bytes.fromhex("a2 6161 01 7801 61 02"))


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("01", id="int"),
        pytest.param("20", id="negative-int"),
        pytest.param("f93c00", id="float"),
        pytest.param("f97e00", id="nan"),
        pytest.param("f5", id="true"),
        pytest.param("f6", id="null"),
        pytest.param("f7", id="undefined"),
        pytest.param("e0", id="simple"),
        pytest.param("4161", id="bytes"),
        pytest.param("80", id="array"),
        pytest.param("a0", id="map"),
    ],
)
def test_keys_other_than_text_are_refused(key: str) -> None:
    """A map key is text: no numbers (1, 1.0 and true would be one key), no NaN (unequal to itself), no bytes."""
    assert "key" in refused(bytes.fromhex("a1" + key + "00"))
    assert "key" in refused(bytes.fromhex("81a1" + key + "00"))


def test_colliding_keys_are_refused_at_once() -> None:
    """20,000 whole numbers with one hash, nine seconds of work in a dictionary, do not become a dictionary."""
    count = 20_000
    keys = b"".join(b"\x1b" + (i * (2**61 - 1) % 2**64).to_bytes(8, "big") + b"\x00" for i in range(count))
    refused(b"\xb9" + count.to_bytes(2, "big") + keys)


@pytest.mark.parametrize("data", ["0000", "8000", "f6f6", "a0ff", "6161c0", "01" + "00" * 100])
def test_trailing_bytes_are_refused(data: str) -> None:
    """One input is one item: anything after its end is refused, a second item just as junk."""
    assert "after the end" in refused(bytes.fromhex(data))


def test_empty_input_is_refused() -> None:
    """No bytes are no message."""
    assert refused(b"") == "no bytes at all, expected one CBOR item"


@pytest.mark.parametrize("head", [b"\x81", b"\xa1\x61k"])
@pytest.mark.parametrize("innermost", [b"\x80", b"\xa0", b"\x81\x00", b"\xa1\x61k\x00"])
def test_depth_17_is_refused(head: bytes, innermost: bytes) -> None:
    """Sixteen arrays and maps may stand inside each other and not one more, also if the innermost is empty."""
    decode(head * (MAX_DEPTH - 1) + innermost)
    assert "16" in refused(head * MAX_DEPTH + innermost)


@pytest.mark.parametrize("head", [b"\x81", b"\xa1\x60", b"\xc1", b"\xd8\x1c"])
def test_very_deep_input_is_refused(head: bytes) -> None:
    """A hundred thousand levels are refused as fast as seventeen, without a recursion error."""
    refused(head * 100_000 + b"\x00")


@pytest.mark.parametrize("head", ["9b", "bb", "5b", "7b"])
@pytest.mark.parametrize("length", ["7fffffffffffffff", "8000000000000000", "ffffffffffffffff", "0000000100000000"])
def test_length_beyond_the_input_is_refused(head: str, length: str) -> None:
    """A head that announces up to 2^64 - 1 items or bytes reserves no memory, it is refused for want of them."""
    refused(bytes.fromhex(head + length))


@pytest.mark.parametrize("data", ["f7", "e0", "f0", "f3", "f820", "f8ff", "81f7", "82e001", "a1616bf7", "8181f820"])
def test_other_simple_values_are_refused(data: str) -> None:
    """`undefined` and the unassigned simple values are not values of ours, at any place."""
    assert "simple value" in refused(bytes.fromhex(data))


@pytest.mark.parametrize(
    "data", ["f800", "f814", "f818", "f8", "fc", "1c", "3d", "5e", "7d", "9c", "bd", "dc", "ff", "81ff"]
)
def test_ill_formed_heads_are_refused(data: str) -> None:
    """Reserved additional information, two-byte simple values below 32 and stray breaks are not CBOR."""
    refused(bytes.fromhex(data))


@pytest.mark.parametrize("data", ["18", "19ff", "6261", "42", "8201", "a16161", "fb00", "f9"])
def test_truncated_input_is_refused(data: str) -> None:
    """An item that stops early is refused."""
    refused(bytes.fromhex(data))


@pytest.mark.parametrize("text", [b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"])
def test_text_that_is_not_utf8_is_refused(text: bytes) -> None:
    """Stray bytes, surrogates, overlong forms, code points above U+10FFFF and cut characters are refused."""
    refused(bytes([0x60 + len(text)]) + text)


def test_size_is_checked_before_anything_else() -> None:
    """An input of `max_size` bytes is read, one byte more is refused, whatever it holds."""
    assert decode(b"\x43abc", max_size=4) == b"abc"
    with pytest.raises(CodecError, match="5 bytes of CBOR, at most 4"):
        decode(b"\x44abcd", max_size=4)
    with pytest.raises(CodecError, match="at most 4"):
        decode(b"\xff\xff\xff\xff\xff", max_size=4)


def test_default_size_is_a_mebibyte() -> None:
    """Without another bound a message has at most 1 MiB, in both directions."""
    largest = bytes((1 << 20) - 5)
    assert decode(encode(largest)) == largest
    with pytest.raises(CodecError, match="at most 1048576"):
        encode(largest + b"x")
    refused(cbor2.dumps(largest + b"x"))


def test_items_are_bounded_in_both_directions() -> None:
    """So many items are read, written and checked, and not one more; what is written can always be read."""
    for item in (0, "", [], {}, {"a": [1.5]}):
        weight = count_items(item)
        largest: list[object] = [item] * ((MAX_ITEMS - CONTAINER_WEIGHT) // weight)
        largest += [0] * (MAX_ITEMS - count_items(largest))
        assert decode(encode(largest)) == largest
        check(largest)
        larger = [*largest, 0]
        assert refused(cbor2.dumps(larger)).startswith(
            "more than 131,072 items, where a text counts 2 and an array or map 5;"
        )
        for refuse in (encode, check):
            with pytest.raises(CodecError, match="more than 131,072 items"):
                refuse(larger)


def test_items_do_not_bound_text_and_bytes() -> None:
    """A large body is one item, whatever bytes it has; only the size bounds it."""
    body = b"\x80" * (3 << 20)
    assert decode(encode({"body": body}, max_size=1 << 22), max_size=1 << 22) == {"body": body}


def test_error_messages_are_bounded() -> None:
    """A message about a huge hostile key or path is short and on one line."""
    key = "\n" * 100_000
    item = cbor2.dumps(key)
    assert len(words := refused(b"\xa2" + item + b"\x00" + item + b"\x00")) < 300
    assert "\n" not in words
    with pytest.raises(CodecError) as caught:
        encode({key: {key: {key: object()}}})
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


# What it has.


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ("00", 0),
        ("1bffffffffffffffff", 2**64 - 1),
        ("3bffffffffffffffff", -(2**64)),
        ("1800", 0),
        ("f4", False),
        ("f5", True),
        ("f6", None),
        ("f93c00", 1.0),
        ("fa47c35000", 100000.0),
        ("f97c00", math.inf),
        ("60", ""),
        ("64f0908591", "\U00010151"),
        ("4401020304", b"\x01\x02\x03\x04"),
        ("80", []),
        ("a2616101616202", {"a": 1, "b": 2}),
    ],
)
def test_values_of_the_profile(data: str, value: Value) -> None:
    """Each form of the profile is read as exactly its Python value, from bytes, bytearray and memoryview alike."""
    raw = bytes.fromhex(data)
    for given_as in (raw, bytearray(raw), memoryview(raw)):
        read = decode(given_as)
        assert read == value
        assert type(read) is type(value)


def test_nan_is_read_and_written() -> None:
    """NaN is a float like another."""
    read = decode(encode(math.nan))
    assert isinstance(read, float)
    assert math.isnan(read)


def test_decoded_value_does_not_share_memory_with_the_input() -> None:
    """A guest that changes its memory afterwards does not change what was read from it."""
    memory = bytearray(encode({"text": "abc", "bytes": b"abc"}))
    value = decode(memoryview(memory))
    memory[:] = bytes(len(memory))
    assert value == {"text": "abc", "bytes": b"abc"}


# The way out is as strict as the way in.


class Colour(enum.IntEnum):
    RED = 1


class Name(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({1: 2}, id="int-key"),
        pytest.param({b"k": 2}, id="bytes-key"),
        pytest.param({None: 2}, id="none-key"),
        pytest.param({("a",): 2}, id="tuple-key"),
        pytest.param({Name("k"): 2}, id="str-subclass-key"),
        pytest.param(2**64, id="int-too-large"),
        pytest.param(-(2**64) - 1, id="int-too-small"),
        pytest.param({"n": [10**5000]}, id="int-too-long-to-print"),
        pytest.param({1, 2}, id="set"),
        pytest.param(frozenset({1}), id="frozenset"),
        pytest.param(datetime.datetime(2026, 1, 1), id="datetime"),
        pytest.param(datetime.date(2026, 1, 1), id="date"),
        pytest.param(decimal.Decimal(1), id="decimal"),
        pytest.param(1j, id="complex"),
        pytest.param(range(3), id="range"),
        pytest.param(memoryview(b"abc"), id="memoryview"),
        pytest.param(Colour.RED, id="int-enum"),
        pytest.param(Name("x"), id="str-subclass"),
        pytest.param(object(), id="object"),
        pytest.param(cbor2.undefined, id="undefined"),
        pytest.param(cbor2.CBORSimpleValue(32), id="simple"),
        pytest.param(cbor2.CBORTag(42, 0), id="tag"),
        pytest.param("\ud800", id="lone-surrogate"),
        pytest.param({"\udfff": 1}, id="lone-surrogate-key"),
    ],
)
def test_values_outside_the_profile_are_refused(value: object) -> None:
    """What `decode` would refuse is not written in the first place, alone or inside arrays and maps."""
    for wrapped in (value, [value], {"k": value}, (0, [{"k": value}])):
        for refuse in (encode, check):
            with pytest.raises(CodecError):
                refuse(wrapped)


@pytest.mark.parametrize(
    ("value", "instead"),
    [
        ({1}, "send a list"),
        (range(3), "send a list"),
        ({"a": 1}.keys(), "send a list"),
        (array("d"), "send a list or bytes"),
        (datetime.datetime(2026, 1, 1), "send text or a number"),
        (datetime.timedelta(1), "send text or a number"),
        (decimal.Decimal(1), "send text or a float"),
        (fractions.Fraction(1), "send text or a float"),
        (uuid.UUID(int=1), "send text"),
        (pathlib.Path("a"), "send text"),
        (memoryview(b"a"), "send bytes"),
        (Colour.RED, "send a plain int"),
        (enum.Enum("Flag", ["UP"]).UP, "send its value"),
        (Name("x"), "send a plain str"),
        (defaultdict(int), "send a plain dict"),
        (OrderedDict(a=1), "send a plain dict"),
        (ipaddress.ip_address("::1"), "send text, numbers, lists and dicts"),
        (2**64, "send it as text"),
    ],
)
def test_a_refusal_says_what_to_send_instead(value: object, instead: str) -> None:
    """For each kind of value that Python programs have lying about, the error ends with what messages have for it."""
    with pytest.raises(CodecError) as caught:
        encode([value])
    assert str(caught.value).endswith(f"; {instead}")


def test_error_names_the_place() -> None:
    """The error for a value deep inside says how to get there."""
    with pytest.raises(CodecError) as caught:
        encode({"body": {"odd key": [0, {"tags": {"x"}}]}})
    assert caught.value.path == ".body['odd key'][1].tags"
    words = "at .body['odd key'][1].tags: a value of type set, which messages have no form for; send a list"
    assert str(caught.value) == words


def test_depth_17_is_not_written() -> None:
    """Encoding stops at the depth where decoding stops, and a list that holds itself is just too deep."""
    deep: object = {}
    for _ in range(MAX_DEPTH - 1):
        deep = [deep]
    assert decode(encode(deep)) == deep
    with pytest.raises(CodecError, match="16"):
        encode((deep,))
    cycle: list[object] = []
    cycle.append(cycle)
    with pytest.raises(CodecError, match="16"):
        encode(cycle)


def test_tuples_and_bytearrays_are_arrays_and_byte_strings() -> None:
    """A tuple is written as an array and a bytearray as a byte string."""
    assert decode(encode({"a": (1, (2,)), "b": bytearray(b"xy")})) == {"a": [1, [2]], "b": b"xy"}


# What holds for every input.


def same(left: Value, right: Value) -> bool:
    """Equal in value and in type, all the way down; NaN is the same as NaN."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return repr(left) == repr(right)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return list(left) == list(right) and all(map(same, left.values(), right.values()))
    return left == right


SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.floats() | st.text() | st.binary(max_size=40)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5), max_leaves=20
)


def depth(value: Value) -> int:
    """How many arrays and maps stand inside each other."""
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 0


@given(VALUES.filter(lambda value: depth(value) <= MAX_DEPTH))
def test_round_trip(value: Value) -> None:
    """Whatever is in the profile comes back the same, types and order of keys included."""
    assert same(decode(encode(value)), value)


@given(st.binary(max_size=64))
@example(bytes.fromhex("a1616bfb7ff8000000000000"))
def test_any_bytes_are_a_value_or_an_error(data: bytes) -> None:
    """Random bytes raise `CodecError` and nothing else; what is accepted comes back the same after writing it again."""
    try:
        value = decode(data)
    except CodecError:
        return
    assert same(decode(encode(value)), value)
    canonical = cbor2.dumps(value, canonical=True)
    assert cbor2.dumps(decode(canonical), canonical=True) == canonical


@given(VALUES, st.data())
def test_damaged_messages_are_a_value_or_an_error(value: Value, data: st.DataObject) -> None:
    """A message with one byte changed, cut or added raises `CodecError` or is another message; nothing else happens."""
    damaged = bytearray(cbor2.dumps(value))
    at = data.draw(st.integers(0, len(damaged) - 1))
    change = data.draw(st.sampled_from(["set", "cut", "insert"]))
    byte = data.draw(st.integers(0, 255))
    if change == "set":
        damaged[at] = byte
    elif change == "cut":
        del damaged[at:]
    else:
        damaged.insert(at, byte)
    try:
        read = decode(bytes(damaged))
    except CodecError:
        return
    assert same(decode(encode(read)), read)


OBJECTS = st.recursive(
    SCALARS | st.integers() | st.dates() | st.complex_numbers() | st.decimals() | st.sets(st.integers()),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text() | st.integers() | st.binary(), inner),
    max_leaves=8,
)


@given(OBJECTS)
def test_what_is_written_can_be_read(value: object) -> None:
    """Any object is refused with `CodecError`, by `check` as well, or written in a form that `decode` takes."""
    try:
        data = encode(value)
    except CodecError:
        with pytest.raises(CodecError):
            check(value)
        return
    check(value)
    decode(data)
