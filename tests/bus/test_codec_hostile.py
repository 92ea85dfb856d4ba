"""Hostile messages by number: the table of security.md §3.3 row by row, and the hostile cases 46 to 61 of §3.4.

Each is refused with a typed error that its sender or receiver gets, by whichever enforces it: the codec for all messages,
types for those that are declared, subjects and mailboxes for the rest. What is not refused is stated as well.
"""

import math
import struct
import tracemalloc
from collections.abc import Callable

import cbor2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from desk.bus.cbor_items import MAX_ITEMS
from desk.bus.codec import MAX_DEPTH, MAX_SIZE, CodecError, Value, decode, encode
from desk.bus.subjects import SubjectError, check_subject
from desk.bus.types import InvalidValue, parse_type_text

REQUEST = parse_type_text(
    "(v: u8(1..=1), id: u32, op: enum(get, put), src: string(1..=64), deadline: f64(0.0..), trace: bytes(16..=16),"
    " body: (url: string(..=2048), retries: u8, note: option(string)))"
)
GOOD: dict[str, object] = {
    "v": 1,
    "id": 7,
    "op": "get",
    "src": "weather-widget",
    "deadline": 12.5,
    "trace": bytes(16),
    "body": {"url": "https://example.org/", "retries": 2, "note": None},
}


def refused(data: bytes, *, max_size: int = MAX_SIZE) -> str:
    """The words with which both the codec and a declared type refuse `data`."""
    with pytest.raises(CodecError) as caught:
        decode(data, max_size=max_size)
    with pytest.raises(InvalidValue):
        REQUEST.lift(data, max_size=max_size)
    return str(caught.value)


def wrong(path: str, value: object) -> str:
    """The words with which `REQUEST` refuses its good message with `value` at `path`, the same both ways."""
    message: dict[str, object] = {**GOOD, "body": dict(GOOD["body"])}  # type: ignore[call-overload]
    *outer, name = path.split(".")
    target: dict[str, object] = message["body"] if outer else message  # type: ignore[assignment]
    target[name] = value
    with pytest.raises(InvalidValue) as inward:
        REQUEST.lift(cbor2.dumps(message))
    with pytest.raises(InvalidValue) as outward:
        REQUEST.lower(message)
    assert str(inward.value) == str(outward.value)
    return str(inward.value)


def tagged(number: int, content: bytes) -> bytes:
    """A tag around one encoded item."""
    return b"\xdb" + number.to_bytes(8, "big") + content


def peak(act: Callable[[], object]) -> int:
    """Bytes that Python has allocated at most while `act` ran and was refused."""
    tracemalloc.start()
    try:
        with pytest.raises(CodecError):
            act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# The table of §3.3.


def test_row_depth() -> None:
    """Depth 401 and beyond, of arrays, maps and tags, is refused as depth 17 is."""
    for head in (b"\x81", b"\xa1\x60", b"\xc1"):
        for depth in (MAX_DEPTH + 1, 401, 100_000):
            refused(head * depth + b"\x00")


@pytest.mark.parametrize("head", [0x9B, 0xBB, 0x5B, 0x7B], ids=["array", "map", "bytes", "text"])
def test_row_headers_up_to_2_64(head: int) -> None:
    """A head that announces up to 2^64 - 1 items or bytes is refused, and next to nothing is allocated for it."""
    for length in (2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1):
        data = bytes([head]) + length.to_bytes(8, "big") + b"x" * 100
        assert peak(lambda data=data: decode(data)) < 1 << 20
        refused(data)


def test_row_duplicate_keys() -> None:
    """No key wins: a map that has one twice is refused, however it is spelled and wherever it stands."""
    for data in ("a2616101616102", "a261610178016102", "81a2616101616102", "a1616ba2616101616101"):
        assert "Duplicate" in refused(bytes.fromhex(data))


def test_row_colliding_int_keys() -> None:
    """20,000 numbers of one hash, as keys, are refused at the first."""
    keys = b"".join(b"\x1b" + (i * (2**61 - 1) % 2**64).to_bytes(8, "big") + b"\x00" for i in range(20_000))
    assert "key" in refused(b"\xb9" + (20_000).to_bytes(2, "big") + keys)


def test_row_shared_references() -> None:
    """Tags 28 and 29, which make 2^25 leaves of 233 bytes, or a list that holds itself, are refused."""
    data = tagged(28, b"\x80")
    for depth in range(14):
        data = tagged(28, b"\x82" + data + b"\xd8\x1d" + bytes([depth]))
    assert "tag 28" in refused(data)
    assert "tag 28" in refused(bytes.fromhex("d81c81d81d00"))
    assert "tag 29" in refused(bytes.fromhex("81d81d00"))


def test_row_string_references() -> None:
    """Tags 25 and 256, which make 3 GB of 210 KB, are refused before the strings are read."""
    strings = b"\x5a" + (100_000).to_bytes(4, "big") + bytes(100_000) + b"\xd8\x19\x00" * 30_000
    assert "tag 256" in refused(b"\xd9\x01\x00" + b"\x99" + (30_001).to_bytes(2, "big") + strings)
    assert "tag 25" in refused(b"\x99" + (30_001).to_bytes(2, "big") + strings)


def test_row_regular_expressions() -> None:
    """Tag 35: nobody compiles a pattern for a sender."""
    assert "tag 35" in refused(b"\xd8\x23" + cbor2.dumps("|".join("abc" for _ in range(32_000))))


@pytest.mark.parametrize("number", [4, 5])
def test_row_decimals(number: int) -> None:
    """Tags 4 and 5: no decimal of a billion digits."""
    assert f"tag {number}" in refused(bytes([0xC0 | number]) + b"\x82\x1a\x3b\x9a\xca\x00\x01")


@pytest.mark.parametrize("number", [2, 3])
def test_row_bignums(number: int) -> None:
    """Tags 2 and 3: no whole number beyond 64 bits, whether of nine bytes or of sixteen million."""
    for size in (9, 1 << 24):
        data = bytes([0xC0 | number]) + b"\x5a" + size.to_bytes(4, "big") + b"\xff" * size
        assert f"tag {number}" in refused(data, max_size=1 << 25)


@pytest.mark.parametrize("number", [0, 1, 100, 36, 37, 52, 54, 258, 1004, 43000])
def test_row_other_tags(number: int) -> None:
    """No date, e-mail, UUID, address, set or complex number is made, nor is what the tag holds looked at."""
    assert refused(tagged(number, b"")) == f"tag {number}; messages carry no tags"


def test_row_trailing_bytes() -> None:
    """The item fills its input, to the byte."""
    assert refused(encode(GOOD) + b"\x00") == "1 bytes after the end of the item"


@pytest.mark.parametrize(
    ("longer", "shortest"),
    [
        pytest.param("1817", "17", id="int-of-1-byte"),
        pytest.param("190017", "17", id="int-of-2-bytes"),
        pytest.param("1b00000000ffffffff", "1affffffff", id="int-of-8-bytes"),
        pytest.param("3800", "20", id="negative-int"),
        pytest.param("7800", "60", id="text-length"),
        pytest.param("590001ff", "41ff", id="bytes-length"),
        pytest.param("9a0000000100", "8100", id="array-length"),
        pytest.param("b800", "a0", id="map-length"),
        pytest.param("fa3f800000", "f93c00", id="float-of-4-bytes"),
        pytest.param("fb3ff0000000000000", "f93c00", id="float-of-8-bytes"),
        pytest.param("fb47efffffe0000000", "fa7f7fffff", id="largest-float-of-4-bytes"),
        pytest.param("fb3e70000000000000", "f90001", id="least-float-of-2-bytes"),
        pytest.param("fa7fc00000", "f97e00", id="nan-of-4-bytes"),
        pytest.param("f97e01", "f97e00", id="nan-with-payload"),
        pytest.param("fb7ff0000000000000", "f97c00", id="infinity"),
        pytest.param("a2616200616100", "a2616100616200", id="keys-out-of-order"),
        pytest.param("a262616100616200", "a261620062616100", id="longer-key-first"),
        pytest.param("a1616ba2616200616100", "a1616ba2616100616200", id="inner-keys-out-of-order"),
    ],
)
def test_row_longer_forms(longer: str, shortest: str) -> None:
    """Longer forms and maps in any order are read, but not where determinism is asked for; the shortest form is, there too."""
    given, right = bytes.fromhex(longer), bytes.fromhex(shortest)
    value = decode(given)
    with pytest.raises(CodecError, match=r"^not deterministic: from byte \d+ on RFC 8949"):
        decode(given, deterministic=True)
    assert encode(value, deterministic=True) == right
    assert repr(decode(right, deterministic=True)) == repr(reordered(value, sorted_keys=True))


@pytest.mark.parametrize("head", [b"\x80", b"\xa0"])
def test_row_a_megabyte_of_empty_containers(head: bytes) -> None:
    """One byte each and 72 in Python: a megabyte of them is refused before one is made."""
    count = MAX_SIZE - 5
    data = b"\x9a" + count.to_bytes(4, "big") + head * count
    assert peak(lambda: decode(data)) < 1 << 20
    assert "items" in refused(data)


@pytest.mark.parametrize(
    "data",
    [
        *("61ff", "63eda080", "62c080", "64f4908080", "61c3"),  # not UTF-8: stray, surrogate, overlong, beyond, cut
        *("e0", "f3", "f7", "f800", "f813", "f814", "f81f", "f820", "f8ff"),  # simple values, also in two bytes
        *("1c", "3d", "5e", "7c", "9d", "bc", "dd", "fc", "fd", "fe"),  # reserved additional information
        *("ff", "81ff", "a1ff", "a16161ff", "82ff00"),  # break without anything to end
    ],
)
def test_row_ill_formed(data: str) -> None:
    """Text that is not UTF-8, simple values, reserved information and stray breaks are refused, at any depth."""
    for head in ("", "81", "a16161"):
        refused(bytes.fromhex(head + data))


# The cases of §3.4.


@pytest.mark.parametrize("head", [b"\x81", b"\xa1\x61k"], ids=["arrays", "maps"])
def test_case_46_depth_17(head: bytes) -> None:
    """Sixteen levels are read and written; seventeen are refused both ways, also if the innermost is empty."""
    for innermost in (b"\x80", b"\xa0"):
        deepest = decode(head * (MAX_DEPTH - 1) + innermost)
        assert decode(encode(deepest)) == deepest
        assert "16" in refused(head * MAX_DEPTH + innermost)
        for deeper in ([deepest], {"k": deepest}, (deepest,)):
            with pytest.raises(CodecError, match="16"):
                encode(deeper)
    assert "16" in refused(head * (MAX_DEPTH + 1) + b"\x00")


@pytest.mark.parametrize("head", [0x9B, 0xBB, 0x5B, 0x7B])
def test_case_47_length_headers_of_2_63(head: int) -> None:
    """A head that announces 2^63 of anything is refused, at the top and inside."""
    data = bytes([head]) + (2**63).to_bytes(8, "big")
    refused(data)
    refused(b"\x81" + data)
    refused(b"\xa1\x61v" + data)


def test_case_48_duplicate_keys() -> None:
    """A request that gives a field twice is refused as a whole, although the two agree."""
    data = encode(GOOD)
    assert data[0] == 0xA7
    assert "Duplicate" in refused(b"\xa8" + data[1:] + b"\x62id\x07")


def test_case_49_nan_keys() -> None:
    """NaN as a key, once or twice, is refused: no key but text."""
    for data in ("a1f97e0000", "a2f97e0000f97e0001", "a2fb7ff800000000000000f97e0001"):
        assert "key" in refused(bytes.fromhex(data))


def test_case_50_int_key_collision() -> None:
    """1, 1.0 and true, which are one key in Python, are none here; nor are whole numbers made to collide."""
    for data in ("a20100f93c0001", "a20100f501", "a11b1fffffffffffffff00"):
        assert "key" in refused(bytes.fromhex(data))


@pytest.mark.parametrize("data", ["9fff", "9f01ff", "bfff", "bf616101ff", "5fff", "5f4101ff", "7fff", "7f6161ff"])
def test_case_51_indefinite_forms(data: str) -> None:
    """Nothing has an open length, at any depth, empty or not."""
    for head in ("", "81", "a16161"):
        assert "indefinite length" in refused(bytes.fromhex(head + data))


@pytest.mark.parametrize(
    "number",
    [0, 1, 2, 3, 4, 5, 24, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799, 2**64 - 1],
)
def test_case_52_each_tag(number: int) -> None:
    """Every tag that cbor2 knows, and one it does not know, around any kind of item."""
    for content in (b"", b"\x00", b"\x61a", b"\x41a", b"\x80", b"\xa0", b"\xf6", b"\x82\x01\x02"):
        assert f"tag {number};" in refused(tagged(number, content))
        assert f"tag {number};" in refused(b"\xa1\x61k" + tagged(number, content))


def test_case_53_cyclic_and_shared_references() -> None:
    """A list in itself is neither read nor written. A list that a message holds twice is sent as two."""
    for data in ("d81c81d81d00", "d81c82d81c80d81d01", "d81ca16161d81d00"):
        assert "tag 28" in refused(bytes.fromhex(data))
    cycle: list[object] = []
    cycle.append(cycle)
    with pytest.raises(CodecError, match="16"):
        encode(cycle)
    shared = [1]
    read = decode(encode([shared, shared]))
    assert isinstance(read, list)
    assert read[0] is not read[1]


@pytest.mark.parametrize("junk", ["00", "ff", "f6", "80", "20" * 1000])
def test_case_54_trailing_bytes(junk: str) -> None:
    """Whatever stands behind the item, the message is refused."""
    assert "after the end" in refused(encode(GOOD) + bytes.fromhex(junk))


def test_case_55_two_items_in_one_frame() -> None:
    """Two good messages in one are no message."""
    assert "after the end" in refused(encode(GOOD) * 2)


def test_case_56_no_bytes_and_one_too_many() -> None:
    """An empty frame is refused; one of the largest size is read, and one of a byte more is refused unread, both ways."""
    assert refused(b"") == "no bytes at all, expected one CBOR item"
    assert decode(encode("x" * 995, max_size=998), max_size=998) == "x" * 995
    assert refused(encode("x" * 996), max_size=998) == "999 bytes of CBOR, at most 998 are allowed"
    with pytest.raises(CodecError, match="999 bytes of CBOR, at most 998"):
        encode("x" * 996, max_size=998)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("v", True, "value.v: expected u8 (1 to 1), got True (bool)"),
        ("v", 1.0, "value.v: expected u8 (1 to 1), got 1.0 (float)"),
        ("v", "1", "value.v: expected u8 (1 to 1), got '1' (string)"),
        ("id", 7.0, "value.id: expected u32 (0 to 4294967295), got 7.0 (float)"),
        ("id", None, "value.id: expected u32 (0 to 4294967295), got none"),
        ("op", b"get", "value.op: expected enum(get, put), got 3 bytes"),
        ("src", b"weather", "value.src: expected string(1..=64), got 7 bytes"),
        ("trace", "0" * 16, "value.trace: expected bytes(16..=16), got '0000000000000000' (string)"),
        ("deadline", True, "value.deadline: expected f64(0.0..), got True (bool)"),
        ("deadline", math.nan, "value.deadline: expected f64(0.0..), got nan (float)"),
        ("body.retries", False, "value.body.retries: expected u8 (0 to 255), got False (bool)"),
        ("body.url", 5, "value.body.url: expected string(..=2048), got 5 (integer)"),
    ],
)
def test_case_57_one_kind_for_another(path: str, value: object, words: str) -> None:
    """A bool is no number, a float no whole number, bytes are no text, 1.0 is no version: who sends them is told where."""
    assert wrong(path, value) == words


def test_case_58_unknown_missing_and_wrong_fields() -> None:
    """A field too many, one too few, or of the wrong kind is refused by name; only an option may be left out."""
    assert wrong("tracE", b"") == "value.tracE: expected no such field (did you mean 'trace'?), got 0 bytes"
    assert wrong("body.note2", 1) == "value.body.note2: expected no such field (did you mean 'note'?), got 1 (integer)"
    assert wrong("body", []).endswith("got a list of 0")
    for name in GOOD:
        message = {key: value for key, value in GOOD.items() if key != name}
        with pytest.raises(InvalidValue, match=rf"^value\.{name}: .* got nothing: the field is missing"):
            REQUEST.lift(encode(message))
    body = {"url": "", "retries": 0}
    assert REQUEST.lift(encode({**GOOD, "body": body})) == {**GOOD, "body": {**body, "note": None}}


def test_case_59_odd_texts() -> None:
    """NUL and decomposed letters are text like any, carried as they are; lone surrogates are not. No subject has any."""
    for text in ("a\x00b", "e\u0301", "\u00e9", "\u202eabc", "\x1b[31m"):
        message = {**GOOD, "src": text}
        assert REQUEST.lift(REQUEST.lower(message)) == message
        with pytest.raises(SubjectError):
            check_subject(text)
    refused(b"\x63\xed\xa0\x80")
    for refuse in (encode, REQUEST.lower):
        with pytest.raises((CodecError, InvalidValue), match="surrogate"):
            refuse({**GOOD, "src": "\ud800"})
    with pytest.raises(SubjectError):
        check_subject("a" * 65_536)


def test_case_60_another_encoding_of_a_signed_object() -> None:
    """Of all the bytes that mean one object, only one form is taken where it is signed, and it is the one that is written."""
    signed = encode(GOOD, deterministic=True)
    assert decode(signed, deterministic=True) == GOOD
    fields = [cbor2.dumps(key) + cbor2.dumps(value, canonical=True) for key, value in GOOD.items()]
    others = [
        encode(GOOD),
        b"\xb8\x07" + signed[1:],
        signed.replace(b"\x62id\x07", b"\x62id\x18\x07"),
        signed.replace(b"\xf9\x4a\x40", b"\xfa\x41\x48\x00\x00"),
        *(b"\xa7" + b"".join(fields[at:] + fields[:at]) for at in range(7)),
    ]
    for other in others:
        assert decode(other) == GOOD
        assert other != signed
        with pytest.raises(CodecError, match="not deterministic"):
            decode(other, deterministic=True)


def test_case_61_expansion() -> None:
    """What one message may become in memory is bounded by its items, not by a factor on its size."""
    for head in (b"\x80", b"\xa0"):
        count = 26_213
        assert count * 5 + 5 <= MAX_ITEMS
        data = b"\x99" + count.to_bytes(2, "big") + head * count
        tracemalloc.start()
        try:
            decode(data)
            assert tracemalloc.get_traced_memory()[1] < 4 << 20
        finally:
            tracemalloc.stop()
        refused(b"\x99" + (count + 1).to_bytes(2, "big") + head * (count + 1))


# Deterministic bytes, held against the rules of RFC 8949 §4.2.1 written down once more.


def core_deterministic(value: Value) -> bytes:
    """The rules as they stand there: shortest heads, shortest floats that keep the value, keys by their encoded bytes."""

    def head(major: int, number: int) -> bytes:
        if number < 24:
            return bytes([major << 5 | number])
        width = next(width for width in (1, 2, 4, 8) if number < 1 << 8 * width)
        return bytes([major << 5 | 23 + width.bit_length()]) + number.to_bytes(width, "big")

    match value:
        case None | bool():
            return {None: b"\xf6", False: b"\xf4", True: b"\xf5"}[value]
        case int():
            return head(0, value) if value >= 0 else head(1, -1 - value)
        case float():
            if math.isnan(value):
                return b"\xf9\x7e\x00"
            for first, form in ((b"\xf9", ">e"), (b"\xfa", ">f")):
                try:
                    packed = struct.pack(form, value)
                except OverflowError:
                    continue
                if struct.unpack(form, packed)[0] == value:
                    return first + packed
            return b"\xfb" + struct.pack(">d", value)
        case str():
            return head(3, len(value.encode())) + value.encode()
        case bytes():
            return head(2, len(value)) + value
        case list():
            return head(4, len(value)) + b"".join(map(core_deterministic, value))
        case dict():
            entries = sorted((core_deterministic(key), core_deterministic(item)) for key, item in value.items())
            return head(5, len(entries)) + b"".join(key + item for key, item in entries)


FLOATS = st.floats() | st.floats(width=16) | st.floats(width=32)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | FLOATS | st.text() | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=30), inner, max_size=8),
    max_leaves=20,
).filter(lambda value: nests(value) <= MAX_DEPTH)


def nests(value: Value) -> int:
    """How many arrays and maps stand inside each other."""
    inner = value if isinstance(value, list) else value.values() if isinstance(value, dict) else None
    return 0 if inner is None else 1 + max(map(nests, inner), default=0)


@given(VALUES)
@example({"b" * 23: 1, "a" * 24: 2, "": 3, "é": 4, "zz": 5})
@example([65504.0, 65505.0, 2.0**-24, 2.0**-25, 2.0**-149, 2.0**-150, 3.4028234663852886e38, -0.0])
def test_deterministic_bytes_are_those_of_the_rfc(value: Value) -> None:
    """What is written is what the rules say, and it is read back."""
    data = encode(value, deterministic=True)
    assert data == core_deterministic(value)
    assert repr(decode(data, deterministic=True)) == repr(reordered(value, sorted_keys=True))


def test_every_float_of_two_bytes_keeps_its_form() -> None:
    """All 65,536 of them but for NaN with a payload or a sign, which are written as the one NaN."""
    for bits in range(1 << 16):
        data = b"\xf9" + bits.to_bytes(2, "big")
        value = decode(data)
        assert isinstance(value, float)
        assert encode(value, deterministic=True) == (b"\xf9\x7e\x00" if math.isnan(value) else data)


def reordered(value: Value, *, sorted_keys: bool) -> Value:
    """The same value with the keys of its maps in another order: deterministic, or backwards."""
    if isinstance(value, list):
        return [reordered(item, sorted_keys=sorted_keys) for item in value]
    if isinstance(value, dict):
        keys = sorted(value, key=core_deterministic) if sorted_keys else reversed(value)
        return {key: reordered(value[key], sorted_keys=sorted_keys) for key in keys}
    return value


@given(VALUES)
def test_order_of_keys_does_not_matter(value: Value) -> None:
    """The same value has the same deterministic bytes, in whatever order its maps were filled."""
    assert encode(value, deterministic=True) == encode(reordered(value, sorted_keys=False), deterministic=True)


@given(st.binary(max_size=40) | VALUES.map(cbor2.dumps) | VALUES.map(lambda value: cbor2.dumps(value, canonical=True)))
@example(bytes.fromhex("a2616200616100"))
@example(bytes.fromhex("f97e01"))
def test_what_is_accepted_is_written_again_the_same_or_not_deterministic(data: bytes) -> None:
    """Every accepted byte string re-encodes to itself, or is refused as non-deterministic where determinism is asked for."""
    try:
        value = decode(data)
    except CodecError as error:
        words = str(error)
        with pytest.raises(CodecError) as caught:
            decode(data, deterministic=True)
        assert caught.value.args[0] in words
        return
    again = encode(value, deterministic=True)
    if again == data:
        assert repr(decode(data, deterministic=True)) == repr(value)
    else:
        with pytest.raises(CodecError, match="not deterministic"):
            decode(data, deterministic=True)
        assert repr(decode(again, deterministic=True)) == repr(reordered(value, sorted_keys=True))
