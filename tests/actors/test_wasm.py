"""What the wasm reader sees agrees with wasmtime, and malformed bytes are a `WasmFormatError` and nothing else.

The numbers are those of the list of hostile cases, security.md 3.4.
"""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from wasmtime import Config, Engine, FuncType, MemoryType, Module, TableType, WasmtimeError, wat2wasm

from desk.actors import wasm, wasm_summary
from desk.actors.wasm import WasmFormatError, header_kind, read_module, with_custom_section
from desk.actors.wasm_bytes import leb128

HEADER = b"\0asm\x01\0\0\0"
COMPONENT = b"\0asm\x0d\0\x01\0"

RICH = """
(module
  (type $two (func (param i32 i64) (result f32)))
  (import "desk@0.1" "log" (func $log (param i32 i32 i32)))
  (import "m" "f" (func $two (type $two)))
  (import "m" "t" (table 1 9 funcref))
  (import "m" "g" (global i32))
  (memory (export "memory") 2 16)
  (table (export "table") 3 externref)
  (global $own (export "own") (mut i64) (i64.const 5))
  (func $init (call $log (i32.const 0) (i32.const 0) (i32.const 0)))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "pair") (result i64 f64) (i64.const 1) (f64.const 2))
  (export "again" (func $log))
  (export "refs" (func $refs))
  (func $refs (param externref) (result funcref) (ref.null func))
  (start $init)
  (elem func $init)
  (data (i32.const 0) "hello")
  (data "passive")
  (func (memory.init 1 (i32.const 0) (i32.const 0) (i32.const 0))))
"""

_ENGINE = Engine(Config())


def section(number: int, contents: bytes) -> bytes:
    """A section as it stands in a module; `contents` of less than 128 bytes."""
    return bytes([number, len(contents)]) + contents


def module(text: str) -> bytes:
    """The module that a text stands for."""
    return bytes(wat2wasm(text))


def theirs(binary: bytes) -> tuple[Sequence[object], Mapping[str, object]]:
    """Imports and exports as wasmtime sees them, in the form of `ours`; raise `WasmtimeError` if it sees none."""
    compiled = Module(_ENGINE, binary)
    imports = [(each.module, each.name, _seen(each.type)) for each in compiled.imports]
    return imports, {each.name: _seen(each.type) for each in compiled.exports if isinstance(each.type, FuncType)}


def _seen(type_: object) -> object:
    if isinstance(type_, FuncType):
        names = {"anyref": "externref"}  # what wasmtime-py calls it
        params, results = ([names.get(str(each), str(each)) for each in part] for part in (type_.params, type_.results))
        return wasm_summary.FuncType(tuple(params), tuple(results))
    if isinstance(type_, MemoryType | TableType):
        return type_.limits.min, type_.limits.max
    return None


def ours(binary: bytes) -> tuple[Sequence[object], Mapping[str, object]]:
    """Imports, and those exports that are functions, as we read them; raise `WasmFormatError`."""
    summary = read_module(binary)
    imports: list[object] = []
    for each in summary.imports:
        space = each.type if isinstance(each.type, wasm_summary.SpaceType) else None
        imports.append((each.module, each.name, (space.minimum, space.maximum) if space else each.type))
    return imports, {name: each.type for name, each in summary.exports.items() if each.kind == "function"}


def test_reads_the_face_of_a_module() -> None:
    """Imports, exports, memories, tables, start and counts are those of the text the module was made from."""
    summary = read_module(module(RICH))
    assert [(each.module, each.name, each.kind) for each in summary.imports] == [
        ("desk@0.1", "log", "function"),
        ("m", "f", "function"),
        ("m", "t", "table"),
        ("m", "g", "global"),
    ]
    assert str(summary.imports[0].type) == "(i32, i32, i32) -> ()"
    assert str(summary.exports["add"].type) == "(i32, i32) -> i32"
    assert str(summary.exports["pair"].type) == "() -> (i64, f64)"
    assert str(summary.exports["again"].type) == "(i32, i32, i32) -> ()"
    assert (summary.exports["memory"].kind, summary.exports["own"].kind) == ("memory", "global")
    assert summary.memories == (wasm_summary.SpaceType(2, 16, shared=False, wide=False),)
    assert summary.tables == (wasm_summary.SpaceType(3, None, shared=False, wide=False),)
    assert summary.start == 2
    assert (summary.functions, summary.globals, summary.elements, summary.data_segments) == (5, 1, 1, 2)


def test_agrees_with_wasmtime() -> None:
    """wasmtime sees the same imports and exports, with the same types."""
    binary = module(RICH)
    assert ours(binary) == theirs(binary)


def test_many_types_and_functions() -> None:
    """Type indices of more than one byte are read as well as those that fit in one."""
    functions = "".join(
        f'(func (export "f{index}") {"(param i32)" * (index % 7)} {"(param f64)" * (index // 7)})'
        for index in range(300)
    )
    binary = module(f"(module {functions})")
    summary = read_module(binary)
    assert summary.types == 300
    assert str(summary.exports["f17"].type) == "(i32, i32, i32, f64, f64) -> ()"
    assert ours(binary) == theirs(binary)


def test_a_long_type_is_shown_in_short() -> None:
    """What is shown of a type with a thousand parameters has a bound."""
    binary = module(f'(module (func (export "f") {"(param externref)" * 1000}))')
    assert len(str(read_module(binary).exports["f"].type)) < 300


def test_vectors_are_read() -> None:
    """The type of wasm's 128-bit vectors is one of those we know."""
    binary = module('(module (func (export "f") (param v128) (result v128) (local.get 0)))')
    assert str(read_module(binary).exports["f"].type) == "(v128) -> v128"


def test_unusual_memories_are_read() -> None:
    """64-bit and shared memories are read, so that they can be refused by name."""
    wide, shared = "(module (memory i64 1 70000))", "(module (memory 1 2 shared))"
    assert read_module(module(wide)).memories[0] == wasm_summary.SpaceType(1, 70_000, shared=False, wide=True)
    assert read_module(module(shared)).memories[0].shared


@pytest.mark.parametrize(
    ("binary", "offset", "expected"),
    [
        pytest.param(b"", 0, "core module", id="1 empty file"),
        pytest.param(b"\x7fELF\x01\0\0\0", 0, "core module", id="2 wrong magic"),
        pytest.param(b"\0asm\x02\0\0\0", 4, "core module", id="2 wrong version"),
        pytest.param(COMPONENT, 4, "core module", id="3 component"),
        pytest.param(HEADER + b"\x01", 9, "length of a section", id="4 no length"),
        pytest.param(HEADER + section(1, b"\x01\x60\x01\x7f"), 14, "the end", id="4 truncated type section"),
        pytest.param(HEADER + b"\x00\x86\x80\x80\x80\x80\x00", 9, "at most 5 bytes", id="5 six bytes"),
        pytest.param(HEADER + b"\x00\x80\x80\x80\x80\x10", 9, "32 bits", id="5 33 bits"),
        pytest.param(HEADER + section(5, b"\x01\x04" + b"\x80" * 9 + b"\x02"), 12, "64 bits", id="5 65 bits"),
        pytest.param(HEADER + b"\x01\x05\x00", 8, "5 bytes", id="6 section length past the end"),
        pytest.param(HEADER + section(3, b"\0") + section(1, b"\0"), 11, "type after function", id="7 out of order"),
        pytest.param(HEADER + section(1, b"\0") * 2, 11, "type after type", id="7 duplicate"),
        pytest.param(HEADER + section(3, b"\xff\xff\xff\xff\x0f"), 10, "4294967295", id="8 2^32-1 functions"),
        pytest.param(HEADER + section(10, b"\xff\xff\xff\xff\x0f"), 10, "4294967295", id="8 2^32-1 bodies"),
        pytest.param(HEADER + section(1, b"\x01\x5f\x00\x00"), 11, "GC proposal", id="13 GC type"),
        pytest.param(HEADER + section(13, b"\0"), 8, "WebAssembly 2.0", id="13 exceptions"),
        pytest.param(HEADER + section(5, b"\x01\x08\x01\x10"), 11, "limits flags", id="13 custom page size"),
        pytest.param(HEADER + section(4, b"\x01\x63\x00\x00\x01"), 11, "funcref", id="13 typed references"),
        pytest.param(HEADER + section(2, b"\x01\x00\x00\x03\x64\x00"), 14, "global", id="13 typed global"),
        pytest.param(HEADER + section(2, b"\x01\x00\x00\x04\x00\x00"), 13, "kind 4", id="13 imported tag"),
        pytest.param(HEADER + section(0, b"\x02\xc3\x28"), 10, "UTF-8", id="21 invalid UTF-8"),
        pytest.param(HEADER + section(0, b"\x05ab"), 10, "no more bytes", id="name past the section"),
        pytest.param(HEADER + section(1, b"\0\0"), 11, "end of the type section", id="junk in a section"),
        pytest.param(HEADER + section(1, b"\x01\x60\x01\x11\0"), 13, "found 0x11", id="unknown value type"),
        pytest.param(HEADER + section(1, b"\x01\x60\0\0") + section(3, b"\x01\x01"), 17, "of 1 types", id="type index"),
        pytest.param(HEADER + section(1, b"\x01\x60\0\0") + section(3, b"\x01\0"), 18, "code for 1", id="code missing"),
        pytest.param(HEADER + section(7, b"\x01\x01a\x00\x00"), 14, "0 functions", id="export of nothing"),
        pytest.param(HEADER + section(8, b"\0"), 10, "0 functions", id="start of nothing"),
        pytest.param(HEADER + section(12, b"\x01"), 11, "1 data segments", id="data count"),
    ],
)
def test_malformed(binary: bytes, offset: int, expected: str) -> None:
    """The error says at which byte, and what should stand there."""
    with pytest.raises(WasmFormatError) as caught:
        read_module(binary)
    assert expected in str(caught.value)
    assert caught.value.offset == offset


def test_padded_numbers_are_accepted() -> None:
    """Zeros may fill a number up to five bytes: Go's linker writes every section length so."""
    body = b"\x01\x60\x00\x00"
    assert read_module(HEADER + b"\x01\x84\x80\x80\x80\x00" + body).types == 1


def test_caps_hold_before_anything_is_kept() -> None:
    """Numbers that would fit into the bytes are still refused above the caps."""
    types = leb128(wasm.MAX_TYPES + 1) + b"\x60\0\0" * (wasm.MAX_TYPES + 1)
    with pytest.raises(WasmFormatError, match="at most 50000 types"):
        read_module(HEADER + b"\x01" + leb128(len(types)) + types)
    with pytest.raises(WasmFormatError, match="at most 1000 custom sections"):
        read_module(HEADER + section(0, b"\x01a") * (wasm.MAX_CUSTOM + 1))


def test_two_exports_of_one_name() -> None:
    """A name is exported once."""
    with pytest.raises(WasmFormatError, match="name that is new"):
        read_module(HEADER + section(5, b"\x01\0\1") + section(7, b"\x02\x01m\x02\0\x01m\x02\0"))


def test_header_kinds() -> None:
    """Eight bytes tell a core module from a component and from everything else; fewer may be the beginning of either."""
    assert header_kind(HEADER) == "core"
    assert header_kind(COMPONENT) == "component"
    assert [header_kind(data) for data in (b"", b"\0asm\x02\0\0\0", b"PK\x03\x04....", b"PK")] == ["neither"] * 4
    assert {header_kind(whole[:size]) for whole in (HEADER, COMPONENT) for size in range(1, 8)} == {"truncated"}


def test_custom_sections_can_be_read_and_replaced() -> None:
    """`with_custom_section` leaves one section of that name, with the new contents, and the module as it was."""
    plain = module(RICH)
    once = with_custom_section(plain, "desk:manifest", b'(name: "x")')
    twice = once + section(0, b"\x0ddesk:manifestold") + section(0, b"\x05otherdata")
    assert len(read_module(twice).custom_named("desk:manifest")) == 2
    replaced = with_custom_section(twice, "desk:manifest", b"new" * 100)
    summary = read_module(replaced)
    assert [each.contents(replaced) for each in summary.custom_named("desk:manifest")] == [b"new" * 100]
    assert [each.contents(replaced) for each in summary.custom_named("other")] == [b"data"]
    assert theirs(replaced) == theirs(plain)
    assert replaced.startswith(plain)
    with pytest.raises(WasmFormatError):
        with_custom_section(COMPONENT, "a", b"")


@given(st.binary(max_size=200))
@example(HEADER)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """No bytes, with or without a header before them, raise anything but `WasmFormatError`."""
    for binary in (data, HEADER + data):
        try:
            read_module(binary)
        except WasmFormatError:
            pass


_RICH = module(RICH)


@given(st.data())
def test_mutated_modules_are_read_as_wasmtime_reads_them(data: st.DataObject) -> None:
    """Whatever is changed in a module: if wasmtime accepts it and we do, both see the same imports and exports."""
    binary = bytearray(_RICH)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(8, len(binary) - 1))
        how = data.draw(st.sampled_from(["set", "insert", "delete"]))
        byte = data.draw(st.integers(0, 255))
        if how == "set":
            binary[at] = byte
        elif how == "insert":
            binary.insert(at, byte)
        else:
            del binary[at]
    try:
        read = ours(bytes(binary))
        assume("v128" not in str(read))  # wasmtime's C API aborts when asked about this type
        assert read == theirs(bytes(binary))
    except (WasmFormatError, WasmtimeError):
        return


_VALUE = st.sampled_from(["i32", "i64", "f32", "f64", "funcref", "externref"])
_FUNCTION = st.tuples(st.lists(_VALUE, max_size=5), st.lists(_VALUE, max_size=3))
_NAME = st.text(max_size=8).filter(lambda text: text.isprintable() and '"' not in text and "\\" not in text)


def _wat_type(function: tuple[list[str], list[str]]) -> str:
    return "".join(f"(param {each})" for each in function[0]) + "".join(f"(result {each})" for each in function[1])


@given(
    st.lists(st.tuples(_NAME, _NAME, _FUNCTION), max_size=6),
    st.dictionaries(_NAME, _FUNCTION, max_size=6),
    st.integers(0, 3),
)
def test_generated_modules_are_read_as_wasmtime_reads_them(
    imports: list[tuple[str, str, tuple[list[str], list[str]]]],
    exports: dict[str, tuple[list[str], list[str]]],
    pages: int,
) -> None:
    """Every module of WebAssembly 2.0 that wasmtime accepts is read, with the same imports and exports."""
    lines = [f'(import "{module}" "{name}" (func {_wat_type(type_)}))' for module, name, type_ in imports]
    lines += [f'(func (export "{name}") {_wat_type(type_)} unreachable)' for name, type_ in exports.items()]
    binary = module(f"(module {' '.join(lines)} (memory {pages}))")
    assert ours(binary) == theirs(binary)
