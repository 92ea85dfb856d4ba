"""One contract, told in four places: the host's tables, `guests/all_imports.wat`, `guests/c/desk.h` and `docs/abi.md`.

Each place is read for what it says, in its own notation, and must say what the host does. Where a tool can read it for
us (wasmtime's assembler, clang), the tool's reading counts as well.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from pathlib import Path

import pytest
import wasmtime
from toolbox import ROOT, build_c

from desk.actors import abi
from desk.actors.admission import HOOKS, admit
from desk.actors.engine.engine import Engine
from desk.actors.engine.hostcalls import HostFunction
from desk.actors.engine.instance import Instance
from desk.actors.guest import Guest
from desk.actors.limits import KIB, MIB, Limits
from desk.actors.manifest import parse_manifest
from desk.actors.wasi import preview1
from desk.actors.wasm import read_module
from desk.actors.wasm_summary import FuncType
from desk.bus import codec, ron
from desk.bus.types import I32, parse_type
from desk.bus.types.named import MAKERS
from desk.bus.types.scalars import WORDS
from desk.capabilities.codes import Code
from desk.capabilities.providers.http import HttpProvider
from desk.host.host import FUNCTIONS, IMPORTS

WAT = (ROOT / "guests" / "all_imports.wat").read_text()
HEADER = (ROOT / "guests" / "c" / "desk.h").read_text()
PAGE = (ROOT / "docs" / "abi.md").read_text()

Functions = dict[str, FuncType]
"""Functions of one module by name."""


def told_by_host(table: Iterable[HostFunction]) -> Functions:
    """What the host's own table says."""
    return {each.name: FuncType(each.params, (each.result,) if each.result else ()) for each in table}


def section(title: str) -> str:
    """The text of `docs/abi.md` under one `##` heading."""
    return PAGE.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def rows(title: str, first: str) -> Iterator[list[str]]:
    """The rows of that table of a section whose first column is called `first`: the cells of each."""
    table = section(title).split(f"| {first} |", 1)[1].split("\n\n", 1)[0]
    for line in table.splitlines()[2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def code(cell: str) -> list[str]:
    """What stands between backticks in a cell."""
    return re.findall("`([^`]*)`", cell)


# -- functions


def told_by_wat() -> Functions:
    """What the assembler makes of `all_imports.wat`."""
    imports = read_module(bytes(wasmtime.wat2wasm(WAT))).imports
    assert {each.module for each in imports} == {abi.MODULE}
    return {each.name: each.type for each in imports if isinstance(each.type, FuncType)}


C_TYPES = {"uint32_t": ("i32",), "int32_t": ("i32",), "uint64_t": ("i64",), "void": ()}


def told_by_header() -> Functions:
    """What the declarations of `desk.h` say: each is one line, `DESK_IMPORT("read") int32_t desk_read(...);`."""
    found: Functions = {}
    for name, result, suffix, declared in re.findall(
        r'^DESK_IMPORT\("(\w+)"\) (\w+) desk_(\w+)\((.*)\);$', HEADER, re.M
    ):
        assert name == suffix, "a function of the header is called as its import"
        params: list[str] = []
        for param in () if declared == "void" else declared.split(", "):
            params += ("i32",) if "*" in param else C_TYPES[param.split()[0]]
        found[name] = FuncType(tuple(params), C_TYPES[result])
    return found


def told_by_page() -> Functions:
    """What the table of imports in `docs/abi.md` says."""
    return {
        code(name)[0]: FuncType(tuple(re.findall(r": (\w+)", params)), tuple(code(result)))
        for name, params, result in rows("Imports", "import")
    }


@pytest.mark.parametrize("place", [told_by_wat, told_by_header, told_by_page])
def test_each_place_tells_of_the_functions_that_the_host_has(place: Callable[[], Functions]) -> None:
    """The names, parameters and results of `desk@0.1` are the same everywhere, and in the same order."""
    told = place()
    assert told == told_by_host(abi.FUNCTIONS)
    assert list(told) == [each.name for each in abi.FUNCTIONS]


def test_the_page_tells_of_the_wasi_functions_that_the_host_has() -> None:
    """Names and types of `wasi_snapshot_preview1` are those of the host's table, in its order."""
    told: Functions = {}
    for name, type_, _ in rows("WASI", "import"):
        params, _, result = code(type_)[0].partition(" -> ")
        told[code(name)[0]] = FuncType(tuple(re.findall(r"\w+", params)), (result,) if result else ())
    assert told == told_by_host(preview1.FUNCTIONS)
    assert list(told) == [each.name for each in preview1.FUNCTIONS]


def test_the_compiler_reads_the_header_as_the_host_does(tmp_path: Path) -> None:
    """A C file that takes the address of every import has exactly the host's imports, as clang types them."""
    names = [each.name for each in abi.FUNCTIONS]
    source = tmp_path / "all.c"
    source.write_text(
        "#include <desk.h>\nvoid *const all[] = {"
        + ", ".join(f"(void *)desk_{name}" for name in names)
        + '};\nDESK_EXPORT("pick") void *pick(uint32_t i) { return all[i]; }\n'
    )
    module = read_module(build_c(source, tmp_path / "all.wasm"))
    assert {each.name: each.type for each in module.imports if each.module == abi.MODULE} == told_by_host(abi.FUNCTIONS)


def test_the_reference_module_is_admitted_and_instantiates(tmp_path: Path) -> None:
    """`all_imports.wat` with a memory and an export is accepted with its manifest, links, and its export runs."""
    rest = '(memory (export "memory") 1) (func (export "one") (result i32) (i32.const 1)))'
    wasm = bytes(wasmtime.wat2wasm(WAT.rstrip().removesuffix(")") + rest))
    manifest = parse_manifest('(name: "reference", api_version: "0.1", exports: {"one": (params: [], ret: i32)})')
    admission = admit(wasm, manifest, imports=IMPORTS)
    assert (admission.accepted, admission.reasons, admission.notices) == (True, (), ())
    with Engine(FUNCTIONS) as engine:
        instance = Instance(engine, engine.compile("reference", wasm), Limits())
        instance.guest = Guest(Limits())
        assert instance.poll()
        export = instance.export("one", (), "i32")
        assert export is not None
        instance.start(export, ())
        assert instance.poll()
        assert instance.result() == 1
        instance.kill()


def test_the_version_is_the_same_everywhere() -> None:
    """The module's name in each place carries the version that manifests ask for."""
    assert f"# The guest ABI, version {abi.VERSION}\n" in PAGE
    for text in (WAT, HEADER, PAGE):
        assert set(re.findall(r"\bdesk@[0-9.]*[0-9]", text)) == {abi.MODULE}


# -- codes, levels, limits, types, hooks


def test_each_place_has_the_same_error_codes() -> None:
    """The number and name of each code are the host's, in the header's enum and on the page."""
    host = {each.name: each.value for each in Code}
    enum = HEADER.split("enum desk_code {", 1)[1].split("};", 1)[0]
    assert {name: int(value) for name, value in re.findall(r"DESK_(\w+) = (\d+)", enum)} == host
    assert {code(name)[0].upper(): int(number) for number, name, _ in rows("Error codes", "code")} == host


def test_codes_that_texts_mention_are_the_ones_of_the_table() -> None:
    """Where the page gives a number with a code's name, as in "-3 (`unknown`)", both belong together."""
    mentioned = re.findall(r"-(\d+) \(`(\w+)`\)", PAGE)
    assert mentioned
    assert all(Code[name.upper()] == int(number) for number, name in mentioned)


def test_the_log_levels_are_the_same() -> None:
    """The header's levels are those that the page lists."""
    enum = re.search(r"enum desk_level \{(.*)\};", HEADER)
    assert enum
    header = {name.lower(): int(value) for name, value in re.findall(r"DESK_(\w+) = (\d+)", enum[1])}
    line = re.search(r"\*\*`log`\*\* writes one line: level (.*?) \(and above\)", PAGE)
    assert line
    assert header == {name: int(level) for level, name in re.findall(r"(\d) (\w+)", line[1])}


def test_the_page_has_every_limit_with_its_default() -> None:
    """Names and numbers of the limits are those of `Limits`."""
    units = {"": 1, "MiB": MIB, "KiB": KIB}
    told: dict[str, int] = {}
    for name, default, _ in rows("Limits", "limit"):
        number = re.match(r"([\d,]+) ?(MiB|KiB)?", default)
        assert number, default
        told[code(name)[0]] = int(number[1].replace(",", "")) * units[number[2] or ""]
    assert told == {each.name: each.default for each in fields(Limits)}


def test_the_page_has_every_type_with_its_lowering() -> None:
    """Each type word is in the table, and lowered as the host lowers it; so are those that are made of others, and of names."""
    told: dict[str, str] = {}
    for names, lowered, _ in rows("Types", "type"):
        for name in code(names)[0].split() if "(" not in code(names)[0] else code(names):
            told[name] = lowered.strip("`")
    for name, type_ in WORDS.items():
        assert told.pop(name) == (type_.flat or "handle, length"), name
    assert {name.partition("(")[0] for name in told} == {*MAKERS, ""}
    for name, lowered in told.items():
        assert parse_type(ron.parse(name), {"T": I32, "U": I32, "E": I32}).flat is None
        assert lowered == "handle, length"


def test_the_page_has_the_hooks_that_admission_knows() -> None:
    """Names and types of the optional exports."""
    told = {code(name)[0]: re.findall(r"\w+", code(type_)[0]) for name, type_, _ in rows("A module", "hook")}
    assert told == {name: list(type_.params) for name, type_ in HOOKS.items()}


def test_the_page_has_the_records_of_network_http() -> None:
    """Request and answer of the capability are those that its provider checks."""
    records = re.findall(r"^    (?:request|answer)\s+\{(.*)\}$", section("Subjects"), re.M)
    assert [parse_type(ron.parse(f"({record})")) for record in records] == [
        HttpProvider.request_type,
        HttpProvider.response_type,
    ]


def test_the_depth_of_cbor_is_the_same() -> None:
    """As deep as the host lets messages nest, the header reads and the page says."""
    assert f"#define DESK_DEPTH {codec.MAX_DEPTH}\n" in HEADER
    assert f"at most {codec.MAX_DEPTH} arrays and maps inside each other" in PAGE
