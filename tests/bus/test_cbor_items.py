"""Items are counted as a decoder would build them, without building them."""

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desk.bus.cbor_items import CONTAINER_WEIGHT, MAX_ITEMS, count_items, has_too_many_items


def padded(item: bytes, items: int) -> bytes:
    """An array of `item`, which counts for so many, and zeros: `MAX_ITEMS` altogether."""
    zeros = MAX_ITEMS - CONTAINER_WEIGHT - items
    return b"\x9b" + (1 + zeros).to_bytes(8, "big") + item + bytes(zeros)


@pytest.mark.parametrize(
    ("value", "items"),
    [
        (None, 1),
        (True, 1),
        (2**64 - 1, 1),
        (1.5, 1),
        ("abc", 2),
        (bytes(1000), 2),
        ([], 5),
        ({}, 5),
        ([1, 2.0, "abc"], 9),
        ({"a": 1}, 8),
        ({"a": 1, "b": [2, {"c": ()}]}, 28),
    ],
)
def test_what_counts(value: object, items: int) -> None:
    """Each value counts, each array and map, and each key, by what it costs; the length of text and bytes does not."""
    assert count_items(value) == items
    assert not has_too_many_items(padded(cbor2.dumps(value), items))
    assert has_too_many_items(padded(cbor2.dumps(value), items) + b"\x00")


def test_a_long_list_of_numbers_passes() -> None:
    """What docs/limits.md promises passes; as many texts as numbers do not, nor fifty thousand arrays."""
    eight = dict.fromkeys("abcdefgh", 0.5)
    for fits in (list(range(131_000)), [0.1] * 131_000, ["text"] * 65_000, [[]] * 26_000, [eight] * 4_500):
        assert not has_too_many_items(cbor2.dumps(fits))
    assert has_too_many_items(cbor2.dumps(["text"] * 100_000))
    assert has_too_many_items(cbor2.dumps([[]] * 50_000))


@pytest.mark.parametrize("item", [b"\x80", b"\xa0", b"\x81\x80", b"\x60", b"\x41\x00"])
@pytest.mark.parametrize("light", [b"\x00", b"\x18\x00", b"\xfb" + bytes(8)])
def test_light_items_after_heavy_ones_are_counted(item: bytes, light: bytes) -> None:
    """However the weight is made up and in whatever order, one number too many is one too many."""
    weight = count_items(cbor2.loads(item))
    heavy = (MAX_ITEMS - CONTAINER_WEIGHT) // (2 * weight)
    rest = MAX_ITEMS - CONTAINER_WEIGHT - heavy * weight
    head = b"\x9b" + (heavy + rest).to_bytes(8, "big")
    for data in (head + item * heavy + light * rest, head + light * rest + item * heavy):
        assert not has_too_many_items(data)
        assert has_too_many_items(data + light)
        assert has_too_many_items(data + item)


@pytest.mark.parametrize(
    "head",
    [
        *("00", "17", "1800", "190000", "1a00000000", "1b" + "00" * 8, "20", "3b" + "00" * 8),
        *("4100", "57" + "00" * 23, "580100", "59000100", "5a0000000100", "5b" + "00" * 7 + "0100"),
        *("6100", "77" + "00" * 23, "780100", "79000100", "7a0000000100", "7b" + "00" * 7 + "0100"),
        *("80", "9800", "990000", "9a00000000", "9b" + "00" * 8),
        *("a0", "b800", "b90000", "ba00000000", "bb" + "00" * 8),
        *("e0", "f4", "f7", "f8ff", "f90000", "fa00000000", "fb" + "00" * 8),
    ],
)
def test_every_head_is_stepped_over(head: str) -> None:
    """Short and long heads of every kind, with what a string has behind them, are one item."""
    item = bytes.fromhex(head)
    data = padded(item, count_items(cbor2.loads(item)))
    assert not has_too_many_items(data)
    assert has_too_many_items(data + b"\x00")


@pytest.mark.parametrize("head", ["c0", "d81c", "1c", "5f", "7f", "9f", "bf", "ff", "5e", "fc"])
def test_counting_ends_where_reading_does(head: str) -> None:
    """Tags, open lengths and what is not CBOR are refused when they are read, so nothing behind them is counted."""
    assert not has_too_many_items(bytes.fromhex(head) + bytes(2 * MAX_ITEMS))


@pytest.mark.parametrize("length", ["7b" + "ff" * 8, "5b" + "7f" + "ff" * 7, "9b" + "ff" * 8])
def test_a_length_beyond_the_input_is_no_trouble(length: str) -> None:
    """Heads that announce up to 2^64 - 1 bytes or items are read like others."""
    numbers = bytes(MAX_ITEMS - CONTAINER_WEIGHT)
    assert not has_too_many_items(numbers + bytes.fromhex(length))
    assert not has_too_many_items(numbers + bytes.fromhex(length)[:3])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.floats() | st.text() | st.binary(max_size=300),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@settings(max_examples=50)
@given(VALUES)
def test_a_value_and_its_bytes_count_the_same(value: object) -> None:
    """The items of a value, and those of the bytes it is encoded as, are equally many."""
    data = padded(cbor2.dumps(value), count_items(value))
    assert not has_too_many_items(data)
    assert has_too_many_items(data + b"\x00")
