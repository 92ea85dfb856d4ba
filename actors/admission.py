"""Decides from the bytes of a module and its manifest whether it may run here. Runs nothing, compiles nothing.

Everything that can be known beforehand is checked at this one door: what the module imports is offered, with exactly that
type; what its manifest declares is exported, with the type it is lowered to; what it reserves fits its limits; and nothing
of it would run at instantiation. `admit` is a function of its arguments, and gives all the reasons at once, each naming
the thing, what was expected, and where it helps what to do. What remains is that the code is valid: wasmtime checks
that when it compiles.

The manifest comes from outside, or from the custom section `desk:manifest` of the module, or from both if they agree.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeAlias

from desk.actors.errors import Refused
from desk.actors.limits import MAX_TABLES, MIB, Limits
from desk.actors.manifest import Manifest, ManifestError, parse_manifest
from desk.actors.wasm import header_kind, read_module
from desk.actors.wasm_bytes import WasmFormatError
from desk.actors.wasm_summary import PAGE, FuncType, Import, ModuleSummary, SpaceType
from desk.bus.ron.text import shown
from desk.bus.types import Signature
from desk.capabilities.vocabulary import STANDARD, Vocabulary

ImportTable: TypeAlias = Mapping[tuple[str, str], tuple[tuple[str, ...], tuple[str, ...]]]
"""What a module may import: module and name of each function, and its parameters and results in wasm's types."""

MANIFEST_SECTION = "desk:manifest"
"""The custom section that holds a manifest, as text."""

MAX_WASM = 32 * MIB
"""Bytes of a module, by default. A large Go or C++ guest has 5 MiB, CPython 26."""

HOOKS: Mapping[str, FuncType] = {
    "_initialize": FuncType((), ()),
    "desk_start": FuncType((), ()),
    "desk_stop": FuncType((), ()),
    "desk_save": FuncType((), ()),
    "desk_restore": FuncType(("i32", "i32", "i32"), ()),
}
"""Functions that the host calls of its own accord, if they are exported."""

NOT_YET_CALLED = ("desk_stop", "desk_save", "desk_restore")
"""Those among them that nothing calls yet: whoever installs a module that exports one is told."""

_MAX_REASONS = 32
_CANDIDATES = 200  # exports that are considered when a missing one may only be misspelled
_COMMAND = (
    "exports `_start`, so it is a program that runs once and ends; build a reactor instead: clang and zig "
    "-mexec-model=reactor, Rust crate-type cdylib, Go -buildmode=c-shared"
)
_NO_MANIFEST = (
    "no manifest; expected `manifest.ron` beside the file, another file or text given (`--manifest FILE` on the command "
    f"line, `manifest=` in Python), or the custom section `{MANIFEST_SECTION}` inside the module"
)
_COMPONENT = (
    "this is a component, and components are not supported yet; build a core module: for Rust the target wasm32-wasip1 "
    "or wasm32-unknown-unknown, for C clang --target=wasm32-wasi, and no `wasm-tools component new`"
)
_HINTS = {
    "desk": "this host speaks another version of the guest ABI",
    "wasi_snapshot_preview1": "this host has no such WASI function: leave out what needs it, or ask with `request`",
    "wasi_unstable": "WASI of 2019 is not supported; build for wasm32-wasip1",
    "wasi": "WASI 0.2 is for components, which are not supported yet; build for wasm32-wasip1",
    "wasi_ephemeral_nn": "neural networks are not supported yet",
    "env": "nobody defined it when the module was linked; link the library that does, or build without it",
    "__wbindgen_placeholder__": "wasm-bindgen is for browsers; build without it",
    "wbg": "wasm-bindgen is for browsers; build without it",
    "go": "build with GOOS=wasip1 -buildmode=c-shared",
    "gojs": "build with GOOS=wasip1 -buildmode=c-shared",
}
"""What to do about an import that is not offered, by its module, or by what stands before `@` or `:` in that."""


@dataclass(frozen=True, slots=True)
class Admission:
    """What `admit` decided. Accepted if there are no reasons against it."""

    manifest: Manifest | None
    reasons: tuple[str, ...]
    notices: tuple[str, ...]
    """Sentences worth telling whoever installs it, which do not stop it."""
    module: ModuleSummary | None
    """None if the bytes could not be read."""
    limits: Limits = field(default_factory=Limits)
    """What it may use: the operator's caps, lowered where the manifest asks for less."""
    name: str = "(unknown)"
    """The extension's, where a manifest says it, if only that."""

    @property
    def accepted(self) -> bool:
        """Say whether the module may run."""
        return not self.reasons

    def check(self) -> Manifest:
        """Return the manifest if the module may run; raise `Refused` with all reasons if not."""
        if self.manifest is None or self.reasons:
            raise Refused(self.manifest.name if self.manifest else self.name, self.reasons)
        return self.manifest


def admit(
    wasm: bytes,
    manifest: Manifest | None = None,
    *,
    imports: ImportTable,
    limits: Limits | None = None,
    max_size: int = MAX_WASM,
    vocabulary: Vocabulary = STANDARD,
) -> Admission:
    """Decide about a module. `imports` is what the host offers, `limits` the operator's caps. Raises nothing.

    `vocabulary` is what a manifest inside the module may ask for, as in `parse_manifest`.
    """
    unreadable = _unreadable(wasm, max_size)
    if unreadable:
        return Admission(manifest, (unreadable,), manifest.notices if manifest else (), None)
    try:
        module = read_module(wasm)
    except WasmFormatError as error:
        reason = f"not a well-formed module: {error}"
        return Admission(manifest, (reason,), manifest.notices if manifest else (), None)
    manifest, against, name = _choose_manifest(wasm, module, manifest, vocabulary)
    caps = limits or Limits()
    asked: Mapping[str, int] = manifest.limits if manifest else {}
    allowed = caps.narrowed(asked) if asked else caps
    reasons = [*against, *islice(_reasons(module, manifest, imports, allowed), _MAX_REASONS + 1)]
    if len(reasons) > _MAX_REASONS:
        reasons[_MAX_REASONS:] = ["and more"]
    notices = (*(manifest.notices if manifest else ()), *_capped(asked, caps), *_uncalled(module))
    return Admission(manifest, tuple(reasons), notices, module, allowed, name)


def _unreadable(wasm: bytes, max_size: int) -> str | None:
    if len(wasm) > max_size:
        return f"the module has {len(wasm)} bytes; at most {max_size} are allowed"
    match header_kind(wasm):
        case "component":
            return _COMPONENT
        case "truncated":
            return f"truncated: the file ends after {len(wasm)} of the 8 bytes that every module begins with"
        case "neither" if wasm[:4] == b"\0asm":
            return f"version {shown(wasm[4:8].hex(' '))} of the wasm format; expected 01 00 00 00"
        case "neither":
            return f"not wasm: {len(wasm)} bytes, beginning with {shown(wasm[:4].hex(' '))}; expected 00 61 73 6d"
        case _:
            return None


def _choose_manifest(
    wasm: bytes, module: ModuleSummary, given: Manifest | None, vocabulary: Vocabulary
) -> tuple[Manifest | None, list[str], str]:
    """The manifest that counts, what speaks against it, and the extension's name as far as it is known."""
    sections = module.custom_named(MANIFEST_SECTION)
    name = given.name if given else "(unknown)"
    if len(sections) > 1:
        return given, [f"{len(sections)} custom sections `{MANIFEST_SECTION}`; expected one at most"], name
    if not sections:
        return given, [] if given else [_NO_MANIFEST], name
    try:
        embedded = parse_manifest(sections[0].contents(wasm), vocabulary)
    except ManifestError as error:
        field = f"{error.field}: " if error.field else ""
        place = f"line {error.line}, column {error.column}"
        reason = f"the manifest in the custom section `{MANIFEST_SECTION}`, {place}: {field}{error.problem}"
        return given, [reason], name if given else error.name or name
    if given is None or embedded == given:
        return given or embedded, [], embedded.name
    theirs = embedded.to_dict()
    differing = ", ".join(name for name, value in given.to_dict().items() if value != theirs[name])
    reason = f"the manifest given and the one in the custom section `{MANIFEST_SECTION}` differ in: {differing}"
    return given, [reason], name


def _reasons(module: ModuleSummary, manifest: Manifest | None, imports: ImportTable, limits: Limits) -> Iterator[str]:
    """All that speaks against the module, the likeliest root causes first."""
    if "_start" in module.exports:
        yield _COMMAND
    if module.start is not None:
        yield (
            f"has a start section, so function {module.start} would run at instantiation; "
            f"export it as `_initialize` instead"
        )
    yield from filter(None, (_import_reason(each, imports) for each in dict.fromkeys(module.imports)))
    yield from _space_reasons(module, limits)
    for name, type_ in HOOKS.items():
        if name in module.exports:
            yield from _export_reason(module, name, type_, f"as a hook it has {type_}")
    for name, signature in manifest.exports.items() if manifest else ():
        expected = FuncType(tuple(signature.wasm_params), tuple(signature.wasm_results))
        export = module.exports.get(name)
        if export is None or export.type != expected:
            yield from _export_reason(module, name, expected, _says(signature, expected))


def _import_reason(wanted: Import, imports: ImportTable) -> str | None:
    what = f"import {shown(wanted.name)} of module {shown(wanted.module)}"
    if wanted.kind != "function":
        return f"{what} is a {wanted.kind}, but a module brings its own; expected functions only"
    offered = imports.get((wanted.module, wanted.name))
    if offered is not None:
        expected = FuncType(*offered)
        return None if wanted.type == expected else f"{what} has type {wanted.type}, the host's has {expected}"
    siblings = sorted(name for module, name in imports if module == wanted.module)
    hint = _HINTS.get(wanted.module)
    if hint is None and not siblings:
        hint = _HINTS.get(re.split("[@:]", wanted.module)[0])
    if siblings:
        expected = _nearest(wanted.name, siblings) or f"expected {_listed(siblings)}"
    else:
        expected = f"expected functions of {_listed(sorted({module for module, _ in imports}))}"
    return f"{what} is not offered; {hint or expected}"


def _space_reasons(module: ModuleSummary, limits: Limits) -> Iterator[str]:
    memory = module.exports.get("memory")
    if memory is None or memory.kind != "memory":
        yield "exports no memory called `memory`; expected one, through which the host hands over arguments and results"
    if len(module.memories) > 1:
        yield f"has {len(module.memories)} memories; expected one"
    for space in module.memories:
        yield from _unsupported("memory", space)
        if space.minimum * PAGE > limits.memory:
            yield (
                f"starts with {space.minimum} pages of memory ({space.minimum * PAGE} bytes), the limit is "
                f"{limits.memory} bytes; raise `memory`, or reserve less (a linker's -z stack-size is often most of it)"
            )
    if len(module.tables) > MAX_TABLES:
        yield f"has {len(module.tables)} tables; expected {MAX_TABLES} at most"
    for space in module.tables:
        yield from _unsupported("table", space)
        if space.minimum > limits.table_elements:
            yield f"starts with {space.minimum} table elements; the limit `table_elements` is {limits.table_elements}"


def _unsupported(kind: str, space: SpaceType) -> Iterator[str]:
    if space.shared:
        yield f"has a shared {kind}; threads are not supported, build without them"
    if space.wide:
        yield f"has a {kind} with 64-bit addresses; build for wasm32"


def _export_reason(module: ModuleSummary, name: str, expected: FuncType, says: str) -> Iterator[str]:
    export = module.exports.get(name)
    if export is None:
        functions = (export.name for export in module.exports.values() if export.kind == "function")
        near = _nearest(name, islice(functions, _CANDIDATES))
        yield f"export `{name}` is missing, {says}; {near or 'export it, or take it out of the manifest'}"
    elif export.type is None:
        yield f"export `{name}` is a {export.kind}, {says}"
    elif export.type != expected:
        yield f"export `{name}` has type {export.type}, {says}"


def _says(signature: Signature, expected: FuncType) -> str:
    """What the manifest says, in its own types and, if they look different, also in wasm's."""
    if all(type_.flat == str(type_) for type_ in (*signature.params, *filter(None, [signature.result]))):
        return f"the manifest says {expected}"
    return f"the manifest says {shown(str(signature))}, which is {expected}"


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word[:64], [name for name in known if len(name) <= 64], n=1)
    return f"did you mean {shown(near[0])}?" if near else ""


def _listed(words: list[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _capped(asked: Mapping[str, int], caps: Limits) -> Iterator[str]:
    for name, value in asked.items():
        cap: int = getattr(caps, name)
        if value > cap:
            yield f"the manifest asks for {value} as limit `{name}`; the host's cap of {cap} holds"


def _uncalled(module: ModuleSummary) -> Iterator[str]:
    for name in NOT_YET_CALLED:
        if name in module.exports:
            yield f"the hook `{name}` is exported, but nothing calls it yet"
