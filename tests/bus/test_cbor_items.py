"""Items are counted as a decoder would build them, without building them."""

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desk.bus.cbor_items import MAX_ITEMS, count_items, has_too_many_items


def padded(item: bytes, items: int) -> bytes:
    """An array of `item`, which counts for so many, and zeros: `MAX_ITEMS` altogether."""
    zeros = MAX_ITEMS - 1 - items
    return b"\x9b" + (1 + zeros).to_bytes(8, "big") + item + bytes(zeros)


@pytest.mark.parametrize(
    ("value", "items"),
    [
        (None, 1),
        ("abc", 1),
        (bytes(1000), 1),
        ([], 1),
        ({}, 1),
        ([1, 2.0, "abc"], 4),
        ({"a": 1}, 3),
        ({"a": 1, "b": [2, {"c": ()}]}, 9),
    ],
)
def test_what_counts(value: object, items: int) -> None:
    """Each value counts, each array and map, and each key; the length of text and bytes does not."""
    assert count_items(value) == items
    assert not has_too_many_items(padded(cbor2.dumps(value), items))
    assert has_too_many_items(padded(cbor2.dumps(value), items) + b"\x00")


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
    cbor2.loads(item)
    assert not has_too_many_items(padded(item, 1))
    assert has_too_many_items(padded(item, 1) + b"\x00")


@pytest.mark.parametrize("head", ["c0", "d81c", "1c", "5f", "7f", "9f", "bf", "ff", "5e", "fc"])
def test_counting_ends_where_reading_does(head: str) -> None:
    """Tags, open lengths and what is not CBOR are refused when they are read, so nothing behind them is counted."""
    assert not has_too_many_items(bytes.fromhex(head) + bytes(2 * MAX_ITEMS))


@pytest.mark.parametrize("length", ["7b" + "ff" * 8, "5b" + "7f" + "ff" * 7, "9b" + "ff" * 8])
def test_a_length_beyond_the_input_is_no_trouble(length: str) -> None:
    """Heads that announce up to 2^64 - 1 bytes or items are read like others."""
    assert not has_too_many_items(bytes(MAX_ITEMS - 1) + bytes.fromhex(length))
    assert not has_too_many_items(bytes(MAX_ITEMS - 1) + bytes.fromhex(length)[:3])


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
