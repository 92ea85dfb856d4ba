"""Reads from a wasm module what must be known before anything of it is compiled: what it imports, exports and reserves.

A module is a header and a list of sections, each with an id, a length and contents. Here the sections are checked for
order and completeness, and those that make up the module's face are read: types, imports, functions, tables, memories,
exports, start. Code, data and initial values are stepped over by their lengths; wasmtime validates them when it
compiles. So the work is bounded by the face, not by the megabytes behind it.

The format is WebAssembly Core 2.0 ("Binary Format"). Memories with 64-bit addresses or shared between threads are read
as well, so that admission can name them; what else later proposals added is a `WasmFormatError`, as is everything that
is not wasm at all. Nothing is allocated on the word of a number in the file: each count is first held against the bytes
that are left and against a cap. Functions are never objects: their types are numbers in one array.
"""

from array import array
from collections.abc import Sequence
from types import MappingProxyType
from typing import Literal

from desk.actors.wasm_bytes import ByteReader, WasmFormatError, leb128
from desk.actors.wasm_summary import CustomSection, Export, FuncType, Import, Kind, ModuleSummary, SpaceType

__all__ = ["ModuleSummary", "WasmFormatError", "header_kind", "read_module", "with_custom_section"]

MAX_TYPES = 50_000
MAX_IMPORTS = 10_000
MAX_FUNCTIONS = 1_000_000  # wasmtime's own cap
MAX_EXPORTS = 20_000
MAX_CUSTOM = 1_000
MAX_SPACES = 100  # tables, and memories: wasmtime's own cap
MAX_VALUES = 1_000  # parameters, and results, of one type: wasmtime's own cap

Header = Literal["core", "component", "truncated", "neither"]

_MAGIC = b"\0asm"
_KINDS: tuple[Kind, ...] = ("function", "table", "memory", "global")
_PLURALS = {"function": "functions", "table": "tables", "memory": "memories", "global": "globals"}
_VALUE_TYPES = {0x7F: "i32", 0x7E: "i64", 0x7D: "f32", 0x7C: "f64", 0x7B: "v128", 0x70: "funcref", 0x6F: "externref"}
_SHARED, _WIDE = 2, 4  # flags before the limits of a memory or table; 1 says that there is a maximum
_SECTIONS = (
    *("custom", "type", "import", "function", "table", "memory", "global"),
    *("export", "start", "element", "code", "data", "data count"),
)
_CUSTOM, _GLOBAL, _ELEMENT, _CODE, _DATA = 0, 6, 9, 10, 11
_RANK = {section: rank for rank, section in enumerate((1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 10, 11))}
"""Section ids as they must follow each other: the data count came later, and stands before the code."""
_SMALLEST = {_GLOBAL: 3, _ELEMENT: 2, _CODE: 3, _DATA: 2}
"""Sections that are only counted, and the least bytes one entry can have."""

STEPPED_OVER = frozenset({_CUSTOM, *_SMALLEST})
"""Ids of the sections whose contents are not read here."""


def header_kind(wasm: bytes | bytearray) -> Header:
    """Say what the first eight bytes announce: a core module, a component, one or the other cut off, or nothing we know."""
    if wasm[:8] == _MAGIC + b"\x01\0\0\0":
        return "core"
    if 0 < len(wasm) < 8 and _MAGIC.startswith(wasm[:4]):
        return "truncated"
    return "component" if wasm[:4] == _MAGIC and wasm[6:8] == b"\x01\0" else "neither"


def read_module(wasm: bytes | bytearray) -> ModuleSummary:
    """Read the face of a core module; raise `WasmFormatError`. What is accepted may still not validate."""
    wasm = bytes(wasm)
    if header_kind(wasm) != "core":
        expected = "the first bytes of a core module, 00 61 73 6d 01 00 00 00"
        raise WasmFormatError(0 if wasm[:4] != _MAGIC else 4, expected)
    return _ModuleReader(wasm).read()


def with_custom_section(wasm: bytes | bytearray, name: str, data: bytes) -> bytes:
    """Return the module with `data` as its only custom section of that name; raise `WasmFormatError` if it is none."""
    kept: list[bytes | bytearray] = []
    at = 0
    for section in read_module(wasm).custom_named(name):
        kept.append(wasm[at : section.begin])
        at = section.end
    encoded = name.encode()
    contents = leb128(len(encoded)) + encoded + data
    return b"".join([*kept, wasm[at:], bytes([_CUSTOM]), leb128(len(contents)), contents])


class _ModuleReader:
    """One pass over the sections. Each method reads the contents of one kind of section."""

    def __init__(self, wasm: bytes) -> None:
        self.wasm = wasm
        self.types: list[FuncType] = []
        self.imports: list[Import] = []
        self.imported_functions: list[FuncType] = []
        self.functions: Sequence[int] = b""
        self.tables: list[SpaceType] = []
        self.memories: list[SpaceType] = []
        self.exports: dict[str, Export] = {}
        self.start: int | None = None
        self.data_count: int | None = None
        self.custom: list[CustomSection] = []
        self.counts = dict.fromkeys(_SMALLEST, 0)
        self.values: dict[bytes, tuple[str, ...]] = {}

    def read(self) -> ModuleSummary:
        readers = {1: self.read_types, 2: self.read_imports, 3: self.read_functions, 4: self.read_tables}
        readers |= {5: self.read_memories, 7: self.read_exports, 8: self.read_start, 12: self.read_data_count}
        size = len(self.wasm)
        at, last = 8, 0
        while at < size:
            begin, section = at, self.wasm[at]
            head = ByteReader(self.wasm, at + 1, size)
            length = head.number("the length of a section")
            if length > size - head.at:
                raise WasmFormatError(begin, f"a section of {length} bytes, found the end after {size - head.at}")
            at = head.at + length
            body = ByteReader(self.wasm, head.at, at)
            if section == _CUSTOM:
                self.read_custom(body, begin)
                continue
            if section not in _RANK:
                raise WasmFormatError(begin, f"a section of WebAssembly 2.0, found id {section}")
            if last and _RANK[section] <= _RANK[last]:
                found = f"found {_SECTIONS[section]} after {_SECTIONS[last]}"
                raise WasmFormatError(begin, f"each section once, and in order, {found}")
            last = section
            if section in _SMALLEST:
                self.counts[section] = body.count(f"entries of the {_SECTIONS[section]} section", _SMALLEST[section])
                continue
            readers[section](body)
            if body.at != at:
                raise WasmFormatError(body.at, f"the end of the {_SECTIONS[section]} section")
        return self.finish()

    def finish(self) -> ModuleSummary:
        size, counts = len(self.wasm), self.counts
        if counts[_CODE] != len(self.functions):
            raise WasmFormatError(size, f"code for {len(self.functions)} functions, found {counts[_CODE]}")
        if self.data_count is not None and counts[_DATA] != self.data_count:
            raise WasmFormatError(size, f"{self.data_count} data segments, found {counts[_DATA]}")
        return ModuleSummary(
            size=size,
            imports=tuple(self.imports),
            exports=MappingProxyType(self.exports),
            memories=tuple(self.memories),
            tables=tuple(self.tables),
            start=self.start,
            custom=tuple(self.custom),
            types=len(self.types),
            functions=len(self.functions),
            globals=counts[_GLOBAL],
            elements=counts[_ELEMENT],
            data_segments=counts[_DATA],
        )

    def read_custom(self, body: ByteReader, begin: int) -> None:
        if len(self.custom) >= MAX_CUSTOM:
            raise WasmFormatError(begin, f"at most {MAX_CUSTOM} custom sections")
        name = body.name("the name of a custom section")
        self.custom.append(CustomSection(name, begin, body.at, body.end))

    def read_types(self, body: ByteReader) -> None:
        for _ in range(body.count("types", 3, MAX_TYPES)):
            at = body.at
            if body.byte("a type") != 0x60:
                raise WasmFormatError(at, "a function type (0x60); types of the GC proposal are not supported")
            params = self.read_values(body)
            self.types.append(FuncType(params, self.read_values(body)))

    def read_values(self, body: ByteReader) -> tuple[str, ...]:
        count = body.count("value types", 1, MAX_VALUES)
        at = body.at
        codes = body.take(count)
        values = self.values.get(codes)
        if values is None:
            unknown = [code for code in codes if code not in _VALUE_TYPES]
            if unknown:
                raise WasmFormatError(at, f"value types of WebAssembly 2.0, found {unknown[0]:#x}")
            values = self.values[codes] = tuple(_VALUE_TYPES[code] for code in codes)
        return values

    def read_imports(self, body: ByteReader) -> None:
        for _ in range(body.count("imports", 4, MAX_IMPORTS)):
            module = body.name("the module of an import")
            name = body.name("the name of an import")
            kind = self.read_kind(body)
            type_: FuncType | SpaceType | None = None
            if kind == "function":
                type_ = self.types[body.index("types", len(self.types))]
                self.imported_functions.append(type_)
            elif kind == "global":
                self.read_global(body)
            else:
                type_ = self.read_table(body) if kind == "table" else self.read_space(body)
            self.imports.append(Import(module, name, kind, type_))

    def read_functions(self, body: ByteReader) -> None:
        count = body.count("functions", 1, MAX_FUNCTIONS)
        at = body.at
        rest = body.rest()
        if len(rest) == count and rest.isascii():
            self.functions = body.take(count)  # every index is one byte, as in most modules: the bytes are the array
        else:
            self.functions = array("I", [body.number("a type index") for _ in range(count)])
        if count and max(self.functions) >= len(self.types):
            raise WasmFormatError(at, f"indices of {len(self.types)} types, found {max(self.functions)}")

    def read_tables(self, body: ByteReader) -> None:
        self.tables = [self.read_table(body) for _ in range(body.count("tables", 3, MAX_SPACES))]

    def read_memories(self, body: ByteReader) -> None:
        self.memories = [self.read_space(body) for _ in range(body.count("memories", 2, MAX_SPACES))]

    def read_exports(self, body: ByteReader) -> None:
        imported = [imported.kind for imported in self.imports]
        own = (len(self.functions), len(self.tables), len(self.memories), self.counts[_GLOBAL])
        sizes = {kind: count + imported.count(kind) for kind, count in zip(_KINDS, own, strict=True)}
        for _ in range(body.count("exports", 3, MAX_EXPORTS)):
            at = body.at
            name = body.name("the name of an export")
            if name in self.exports:
                raise WasmFormatError(at, "an export name that is new")
            kind = self.read_kind(body)
            index = body.index(_PLURALS[kind], sizes[kind])
            self.exports[name] = Export(name, kind, index, self.type_of(index) if kind == "function" else None)

    def read_start(self, body: ByteReader) -> None:
        self.start = body.index("functions", len(self.imported_functions) + len(self.functions))

    def read_data_count(self, body: ByteReader) -> None:
        self.data_count = body.number("the number of data segments")

    def type_of(self, index: int) -> FuncType:
        own = index - len(self.imported_functions)
        return self.imported_functions[index] if own < 0 else self.types[self.functions[own]]

    def read_kind(self, body: ByteReader) -> Kind:
        at = body.at
        kind = body.byte("a kind of import or export")
        if kind >= len(_KINDS):
            raise WasmFormatError(at, f"a function, table, memory or global (0 to 3), found kind {kind}")
        return _KINDS[kind]

    def read_global(self, body: ByteReader) -> None:
        at = body.at
        if body.byte("the type of a global") not in _VALUE_TYPES or body.byte("the mutability of a global") > 1:
            raise WasmFormatError(at, "a global of a value type of WebAssembly 2.0, constant (0) or variable (1)")

    def read_table(self, body: ByteReader) -> SpaceType:
        at = body.at
        if body.byte("the element type of a table") not in (0x70, 0x6F):
            raise WasmFormatError(at, "a table of funcref or externref")
        return self.read_space(body)

    def read_space(self, body: ByteReader) -> SpaceType:
        at = body.at
        flags = body.byte("the limits of a memory or table")
        if flags > 7:
            raise WasmFormatError(at, f"limits flags of 0 to 7, found {flags:#x}")
        bits = 64 if flags & _WIDE else 32
        minimum = body.number("a minimum size", bits)
        maximum = body.number("a maximum size", bits) if flags & 1 else None
        return SpaceType(minimum, maximum, bool(flags & _SHARED), bool(flags & _WIDE))
