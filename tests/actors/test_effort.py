"""What is quick to admit, and what only looks like it."""

import pytest
import wasmtime
from extensions import ECHO
from hypothesis import given
from hypothesis import strategies as st
from toolbox import extension

from desk.actors.effort import QUICK_FACE, QUICK_SIZE, QUICK_TEXT, is_quick
from desk.actors.wasm import with_custom_section
from desk.actors.wasm_bytes import leb128

MANIFEST = '(name: "small", api_version: "0.1")'
SMALL = bytes(wasmtime.wat2wasm('(module (memory (export "memory") 1) (data (i32.const 0) "text"))'))


def section(id_: int, contents: bytes) -> bytes:
    """A section of a module."""
    return bytes([id_]) + leb128(len(contents)) + contents


def custom(name: bytes, contents: bytes, *, padded: bool = False) -> bytes:
    """A custom section; the length of its name may be written with more bytes than it needs."""
    length = bytes([len(name) | 0x80, 0x80, 0x80, 0x80, 0]) if padded else leb128(len(name))
    return section(0, length + name + contents)


def test_a_small_module_with_a_small_manifest_is_quick() -> None:
    """Wherever the manifest is: given, inside, or nowhere."""
    assert is_quick(SMALL, MANIFEST)
    assert is_quick(SMALL, MANIFEST.encode())
    assert is_quick(SMALL, None)
    assert is_quick(with_custom_section(SMALL, "desk:manifest", MANIFEST.encode()), None)
    assert is_quick(extension(MANIFEST, ""), None)


def test_what_is_stepped_over_costs_nothing() -> None:
    """Hundreds of kilobytes of data, or of names for a debugger."""
    data = "x" * 500_000
    assert is_quick(bytes(wasmtime.wat2wasm(f'(module (memory 10) (data (i32.const 0) "{data}"))')), MANIFEST)
    assert is_quick(SMALL + custom(b"name", bytes(100_000)) + custom(b".debug_info", bytes(500_000)), MANIFEST)


@pytest.mark.parametrize(
    ("wasm", "manifest"),
    [
        (SMALL, " " * (QUICK_TEXT + 1)),
        (SMALL + custom(b"desk:manifest", bytes(QUICK_TEXT + 1)), None),
        (SMALL + custom(b"desk:manifest", bytes(QUICK_TEXT + 1), padded=True), None),
        (SMALL + custom(b"desk:manifest", bytes(QUICK_TEXT // 2)), " " * (QUICK_TEXT // 2 + 1)),
        (SMALL[:8] + section(1, bytes(QUICK_FACE + 1)), MANIFEST),
        (SMALL[:8] + section(7, bytes(QUICK_FACE // 2)) + section(2, bytes(QUICK_FACE // 2)), MANIFEST),
        (SMALL + custom(b"a", b"") * 1_000, MANIFEST),
        (SMALL + custom(b"a", bytes(QUICK_SIZE)), MANIFEST),
        (ECHO, None),
        (SMALL, 'types: {"a": string("[a-z]+")}'),
        (SMALL, 'types: {"a": string /* ( */ ("[a-z]+")}'),
        (SMALL + custom(b"desk:manifest", b'types: {"a": string\n(1..=2)}'), None),
    ],
    ids=[
        *("a long manifest", "a long manifest inside", "with a padded name", "two halves"),
        *("many types", "imports and exports", "many custom sections", "many bytes to hash", "thirteen exports"),
        *("a pattern", "a pattern after a comment", "a pattern inside"),
    ],
)
def test_what_takes_long_is_not_quick(wasm: bytes, manifest: str | None) -> None:
    """Each of them alone, however it is put."""
    assert not is_quick(wasm, manifest)


@given(st.binary(max_size=40))
def test_bytes_that_are_no_module_are_no_reason_to_fail(rest: bytes) -> None:
    """Admission says what is wrong with them; here they are only measured."""
    assert is_quick(SMALL[:8] + rest, None) in (True, False)
    assert is_quick(rest, None) in (True, False)
