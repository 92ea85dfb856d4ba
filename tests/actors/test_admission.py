"""Nothing hostile or mistaken gets past admission, and every refusal says all that is wrong and what to do.

The numbers are those of the list of hostile cases, security.md 3.4.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wasmtime import wat2wasm

from desk.actors import abi
from desk.actors.admission import HOOKS, MANIFEST_SECTION, NOT_YET_CALLED, Admission, admit
from desk.actors.errors import Refused
from desk.actors.limits import KIB, MIB, Limits
from desk.actors.manifest import API_VERSIONS, Manifest, parse_manifest
from desk.actors.wasi import preview1
from desk.actors.wasm import read_module, with_custom_section
from desk.actors.wasm_bytes import leb128
from desk.host.files import MANIFEST_FILE

IMPORTS = {
    (each.module, each.name): (each.params, (each.result,) if each.result else ())
    for each in (*abi.FUNCTIONS, *preview1.FUNCTIONS)
}
"""What the host offers, as the host itself says it."""

MANIFEST = """(name: "widget", api_version: "0.1", exports: {
    "render": (params: [i32, i32], ret: i32),
    "update": (params: [json], ret: bool),
    "title": (ret: string),
    "wide": (params: [u64, f32, f64], ret: i64),
})"""

GOOD = """
  (import "desk@0.1" "reply" (func (param i32 i32)))
  (import "desk@0.1" "context" (func (result i64)))
  (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "render") (param i32 i32) (result i32) (i32.const 0))
  (func (export "update") (param i32 i32) (result i32) (i32.const 1))
  (func (export "title"))
  (func (export "wide") (param i64 f32 f64) (result i64) (local.get 0))
  (func (export "_initialize"))
  (func (export "desk_start"))
  (func (export "desk_stop"))
  (func (export "desk_save"))
  (func (export "desk_restore") (param i32 i32 i32))
"""
MINIMAL = '(memory (export "memory") 1)'
NO_EXPORTS = '(name: "widget", api_version: "0.1")'


def module(text: str) -> bytes:
    """The module of these fields, in wasm's text format."""
    return bytes(wat2wasm(f"(module {text})"))


def decide(
    wasm: bytes | str,
    manifest: str | None = NO_EXPORTS,
    *,
    limits: Limits | None = None,
    max_size: int = 32 * MIB,
) -> Admission:
    """`admit` with the host's imports; a module as text and a manifest as text will do."""
    binary = module(wasm) if isinstance(wasm, str) else wasm
    parsed = parse_manifest(manifest) if manifest else None
    return admit(binary, parsed, imports=IMPORTS, limits=limits, max_size=max_size)


def only_reason(admission: Admission) -> str:
    """The reason, when there must be exactly one; it is fit to be shown."""
    assert len(admission.reasons) == 1, admission.reasons
    assert admission.reasons[0].isprintable()
    assert not admission.accepted
    return admission.reasons[0]


def test_a_good_module_is_accepted() -> None:
    """What fits its manifest and imports what is offered may run."""
    admission = decide(GOOD, MANIFEST)
    assert admission.reasons == ()
    assert admission.accepted
    assert admission.check() is admission.manifest
    assert admission.module == read_module(module(GOOD))


def test_the_abi_version_is_one_we_speak() -> None:
    """The version that a manifest may ask for is the one whose functions exist."""
    assert abi.VERSION in API_VERSIONS


def test_all_reasons_at_once() -> None:
    """A refusal lists everything that is wrong, and `check` raises it with the extension's name."""
    text = '(import "env" "puts" (func (param i32))) (func (export "render") (param i32) (result i32) (i32.const 0))'
    admission = decide(text, MANIFEST)
    for part in ("`puts`", "called `memory`", "`render`", "`update`", "`title`", "`wide`"):
        assert any(part in reason for reason in admission.reasons), part
    assert len(admission.reasons) == 6
    with pytest.raises(Refused) as caught:
        admission.check()
    assert caught.value.name == "widget"
    assert caught.value.reasons == admission.reasons


def test_reasons_are_bounded() -> None:
    """A module with a thousand things wrong gets a list that a person can read."""
    imports = "".join(f'(import "env" "{index}{"x" * 200}" (func))' for index in range(1_000))
    reasons = decide(f"{imports} {MINIMAL}").reasons
    assert len(reasons) == 33
    assert reasons[-1] == "and more"
    assert all(len(reason) < 400 for reason in reasons)


@pytest.mark.parametrize(
    ("wasm", "reason"),
    [
        pytest.param(b"", "not wasm: 0 bytes", id="1 empty file"),
        pytest.param(
            b"\x7fELF\x02\x01\x01\0", "beginning with `7f 45 4c 46`; expected 00 61 73 6d", id="2 wrong magic"
        ),
        pytest.param(b"\0asm\1\0\0", "truncated: the file ends after 7 of the 8 bytes", id="4 truncated version"),
        pytest.param(b"\0as", "truncated: the file ends after 3 of the 8 bytes", id="4 truncated magic"),
        pytest.param(b"\0ssm", "beginning with `00 73 73 6d`; expected 00 61 73 6d", id="2 short and wrong magic"),
        pytest.param(b"\0asm\x02\0\0\0", "version `02 00 00 00` of the wasm format", id="2 wrong version"),
        pytest.param(b"\0asm\x0d\0\x01\0", "components are not supported yet; build a core module", id="3 component"),
        pytest.param(module(GOOD)[:-3], "not a well-formed module: at byte", id="4 truncated section"),
        pytest.param(b"\0asm\1\0\0\0\0\x86\x80\x80\x80\x80\0", "at most 5 bytes", id="5 overlong LEB128"),
        pytest.param(b"\0asm\1\0\0\0\1\xff\xff\xff\xff\x0f", "4294967295 bytes", id="6 section past the end"),
        pytest.param(b"\0asm\1\0\0\0\3\1\0\1\1\0", "found type after function", id="7 sections out of order"),
        pytest.param(b"\0asm\1\0\0\0\1\1\0\1\1\0", "found type after type", id="7 duplicate section"),
        pytest.param(b"\0asm\1\0\0\0\3\5\xff\xff\xff\xff\x0f", "found 4294967295", id="8 2^32-1 functions"),
        pytest.param(b"\0asm\1\0\0\0\1\4\1\x5f\0\0", "GC proposal", id="13 GC"),
        pytest.param(b"\0asm\1\0\0\0\0\3\2\xc3\x28", "UTF-8", id="21 name that is not UTF-8"),
    ],
)
def test_malformed_bytes(wasm: bytes, reason: str) -> None:
    """What cannot be read is refused with one reason, and without a summary."""
    admission = decide(wasm)
    assert reason in only_reason(admission)
    assert admission.module is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param('(memory (export "memory") 65536)', "65536 pages of memory (4294967296 bytes)", id="11 memory"),
        pytest.param(MINIMAL + "(table 4294967295 funcref)", "4294967295 table elements", id="12 table"),
        pytest.param(MINIMAL + "(table 1 funcref)" * 9, "has 9 tables; expected 8 at most", id="12 tables"),
        pytest.param('(memory (export "memory") 1 2 shared)', "threads are not supported", id="13 shared memory"),
        pytest.param('(memory (export "memory") i64 1)', "64-bit addresses; build for wasm32", id="13 memory64"),
        pytest.param(MINIMAL + "(memory 1)", "has 2 memories", id="13 multi-memory"),
        pytest.param(MINIMAL + "(func $f) (start $f)", "export it as `_initialize` instead", id="16 start section"),
        pytest.param(MINIMAL + '(func (export "_start"))', "-mexec-model=reactor", id="command module"),
        pytest.param("", "exports no memory called `memory`", id="no memory"),
        pytest.param('(memory 1) (func (export "memory"))', "no memory called `memory`", id="memory is a function"),
    ],
)
def test_a_module_that_reserves_too_much_or_runs_too_early(text: str, reason: str) -> None:
    """Memories, tables and start functions are held against the limits and the rules of the ABI."""
    assert reason in only_reason(decide(text))


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ('"desk@0.1" "raed" (func)', "import `raed` of module `desk@0.1` is not offered; did you mean `read`?"),
        ('"desk@0.1" "zzzz" (func)', "is not offered; expected `context`, `drop`, `fail`, `log`"),
        (
            '"desk@0.1" "read" (func (param i32) (result i32))',
            "has type (i32) -> i32, the host's has (i32, i32, i32, i32)",
        ),
        ('"desk@0.2" "read" (func)', "another version of the guest ABI"),
        ('"wasi_snapshot_preview1" "sock_accept" (func (param i32 i32 i32) (result i32))', "no such WASI function"),
        ('"wasi_snapshot_preview1" "fd_write" (func)', "the host's has (i32, i32, i32, i32) -> i32"),
        ('"wasi_unstable" "fd_write" (func)', "build for wasm32-wasip1"),
        ('"wasi:clocks/wall-clock@0.2.0" "now" (func)', "WASI 0.2 is for components"),
        ('"env" "puts" (func)', "nobody defined it when the module was linked"),
        ('"whatever" "x" (func)', "expected functions of `desk@0.1`, `wasi_snapshot_preview1`"),
        ('"env" "table" (table 1 funcref)', "import `table` of module `env` is a table"),
        ('"env" "g" (global i32)', "is a global, but a module brings its own"),
        ('"a\\00\\e2\\80\\ae" "\\1b[2J" (func)', "import `\\x1b[2J` of module `a\\x00\\u202e`"),
    ],
)
def test_imports(what: str, reason: str) -> None:
    """14, 15, 21: only what is offered may be imported, with its exact type; hostile names are shown escaped."""
    assert reason in only_reason(decide(f"(import {what}) {MINIMAL}"))


def test_an_imported_memory() -> None:
    """A module brings its own memory."""
    reasons = decide('(import "env" "memory" (memory 1)) (export "memory" (memory 0))').reasons
    assert reasons == (
        "import `memory` of module `env` is a memory, but a module brings its own; expected functions only",
    )


def test_the_same_import_twice_is_one_reason() -> None:
    """Go imports some functions twice; that is allowed, and said once if it is not offered."""
    twice = '(import "desk@0.1" "drop" (func (param i32)))' * 2
    assert decide(twice + MINIMAL).accepted
    assert "`x`" in only_reason(decide('(import "env" "x" (func))' * 2 + MINIMAL))


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (
            '(func (export "render") (param i32) (result i32) (i32.const 0))',
            "export `render` has type (i32) -> i32, the manifest says (i32, i32) -> i32",
        ),
        (
            '(func (export "update") (param i32) (result i32) (i32.const 0))',
            "export `update` has type (i32) -> i32, the manifest says `(json) -> bool`, which is (i32, i32) -> i32",
        ),
        (
            '(func (export "title") (result i32) (i32.const 0))',
            "export `title` has type () -> i32, the manifest says `() -> string`, which is () -> ()",
        ),
        ('(global (export "title") i32 (i32.const 0))', "export `title` is a global"),
        ('(func (export "titel"))', "export `title` is missing, the manifest says"),
        ('(func (export "titel"))', "did you mean `titel`?"),
        (
            '(func (export "desk_restore") (param i32))',
            "export `desk_restore` has type (i32) -> (), as a hook it has (i32, i32, i32) -> ()",
        ),
        ('(func (export "desk_start") (result i32) (i32.const 0))', "as a hook it has () -> ()"),
        ('(func (export "_initialize") (param i64))', "as a hook it has () -> ()"),
        (
            '(global (export "desk_save") i32 (i32.const 0))',
            "export `desk_save` is a global, as a hook it has () -> ()",
        ),
    ],
)
def test_exports(broken: str, reason: str) -> None:
    """18: what the manifest declares and the hooks that are exported have exactly their types."""
    name = "title" if "titel" in broken else broken.split('"')[1]
    lines = [broken if f'"{name}"' in line else line for line in GOOD.splitlines()]
    assert reason in only_reason(decide("\n".join(lines), MANIFEST))


def test_a_module_above_the_size_cap_is_not_looked_at() -> None:
    """19: the number of bytes is the first thing that is checked."""
    big = with_custom_section(module(GOOD), "data", bytes(10_000))
    assert only_reason(decide(big, max_size=10_000)) == f"the module has {len(big)} bytes; at most 10000 are allowed"
    assert decide(big, MANIFEST).accepted


def test_the_limits_of_the_manifest_and_the_host_hold() -> None:
    """What a module reserves is held against the lower of what the host caps and its manifest asks for."""
    text = '(memory (export "memory") 2)'
    limits = Limits(memory=128 * KIB)
    assert decide(text, limits=limits).accepted
    assert "the limit is 131071 bytes" in only_reason(decide(text, limits=Limits(memory=128 * KIB - 1)))
    asking = '(name: "a", api_version: "0.1", limits: {memory: "64KiB"})'
    assert "the limit is 65536 bytes" in only_reason(decide(text, asking))


def test_asking_above_the_cap_is_noticed() -> None:
    """A manifest that asks for more than the host gives gets the host's cap, and whoever installs it is told."""
    admission = decide(MINIMAL, '(name: "a", api_version: "0.1", limits: {mailbox: 9999}, hot_reload: true)')
    assert admission.accepted
    assert admission.notices == (
        "`hot_reload` is accepted, but nothing acts on it yet",
        "the manifest asks for 9999 as limit `mailbox`; the host's cap of 256 holds",
    )


def test_hooks_that_nothing_calls_are_noticed() -> None:
    """Each hook that is exported in vain is named, whatever the manifest says; those that are called are not."""
    assert set(NOT_YET_CALLED) < set(HOOKS)
    assert [notice.split("`")[1] for notice in decide(GOOD, MANIFEST).notices] == list(NOT_YET_CALLED)
    assert decide(MINIMAL + '(func (export "_initialize")) (func (export "desk_start"))').notices == ()


def test_the_manifest_may_be_embedded() -> None:
    """A module with its manifest in the section `desk:manifest` needs no other; one that agrees may be given as well."""
    embedded = with_custom_section(module(GOOD), "desk:manifest", MANIFEST.encode())
    assert decide(embedded, None).check() == parse_manifest(MANIFEST)
    assert decide(embedded, f"// the same\n{MANIFEST}").accepted


def test_no_manifest() -> None:
    """Without any manifest there is nothing to hold a module against; the reason names each way to give one."""
    admission = decide(GOOD, None)
    reason = only_reason(admission)
    assert reason.startswith("no manifest; expected ")
    for way in (
        f"`{MANIFEST_FILE}` beside the file",
        "`--manifest FILE`",
        "`manifest=`",
        f"section `{MANIFEST_SECTION}`",
    ):
        assert way in reason
    with pytest.raises(Refused, match="unknown"):
        admission.check()


def test_two_manifests_that_differ() -> None:
    """94: the manifest that was read by people is the one that holds, or nothing runs."""
    embedded = with_custom_section(
        module(GOOD), "desk:manifest", MANIFEST.replace("(name", '(permissions: {network: ["*"]}, name').encode()
    )
    assert only_reason(decide(embedded, MANIFEST)).endswith("differ in: permissions, requested")


def test_two_embedded_manifests() -> None:
    """22: no choosing between two sections `desk:manifest`, even if they say the same."""
    section = b"\x0ddesk:manifest" + MANIFEST.encode()
    twice = module(GOOD) + (b"\0" + leb128(len(section)) + section) * 2
    assert only_reason(decide(twice, None)) == "2 custom sections `desk:manifest`; expected one at most"


def test_a_bad_embedded_manifest() -> None:
    """What is wrong with an embedded manifest is said with its place and field."""
    bad = MANIFEST.replace("json", "jsn")
    reason = only_reason(decide(with_custom_section(module(GOOD), "desk:manifest", bad.encode()), None))
    assert "line 3, column 25: exports.update.params[0]: no type is called 'jsn'" in reason


_GOOD = with_custom_section(module(GOOD), "desk:manifest", MANIFEST.encode())
_PARSED: Manifest = parse_manifest(MANIFEST)


@given(st.lists(st.tuples(st.integers(0, len(_GOOD) - 1), st.binary(max_size=3)), min_size=1, max_size=4))
def test_mutated_modules_are_decided_about(changes: list[tuple[int, bytes]]) -> None:
    """Whatever is changed in a module, admission answers, and what it accepts has the exports of its manifest."""
    binary = _GOOD
    for at, data in changes:
        binary = binary[:at] + data + binary[at + 1 :]
    for given_manifest in (None, _PARSED):
        admission = admit(binary, given_manifest, imports=IMPORTS)
        assert admission.accepted != bool(admission.reasons)
        assert all(reason.isprintable() for reason in admission.reasons)
        if admission.accepted:
            assert admission.module is not None
            assert set(admission.check().exports) <= set(admission.module.exports)
