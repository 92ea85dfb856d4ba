"""`desk ext inspect FILE`: what a module is, what it asks for, and whether a host would run it. Nothing in it is run.

The verdict is the loader's own: the same `admit`, and wasmtime's validation of the code.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

from desk.actors.admission import Admission, admit
from desk.actors.engine.engine import validate
from desk.actors.engine.profiles import SMALL
from desk.actors.manifest import Manifest, ManifestError, parse_manifest
from desk.actors.manifest_config import MISSING, Setting
from desk.actors.manifest_text import manifest_ron
from desk.actors.wasm_summary import ModuleSummary
from desk.bus import ron
from desk.bus.ron.text import printable, shown
from desk.capabilities.permissions import Atom
from desk.cli.exits import FAILED, OK, USAGE
from desk.cli.terminal import Terminal
from desk.host.engines import IMPORTS
from desk.host.errors import UnreadableModule
from desk.host.files import read_manifest, read_module

Form: TypeAlias = Literal["text", "json", "ron"]
"""What is printed: something to read, everything as one JSON object, or only the manifest, as RON."""


def run(file: str, manifest_file: str | None, form: Form = "text") -> int:
    """Inspect one file; 0 if it may run, 1 if it is refused, 2 if it (or the manifest) cannot be read."""
    try:
        given = read_manifest(Path(manifest_file)) if manifest_file else None
        wasm, text = read_module(Path(file), given)
    except UnreadableModule as error:
        print(f"desk: {printable(str(error))}", file=sys.stderr)
        return USAGE
    admission = _admit(wasm, text)
    reasons = list(admission.reasons)
    if not reasons and (invalid := validate(wasm)):
        reasons.append(f"its code is not valid: {invalid}")
    match form:
        case "json":
            print(json.dumps(_as_json(file, wasm, admission, reasons), indent=2))
        case "ron":
            _print_manifest(admission.manifest, reasons)
        case "text":
            _show(Terminal(), file, wasm, admission, reasons)
    return FAILED if reasons else OK


def _print_manifest(manifest: Manifest | None, reasons: list[str]) -> None:
    """The manifest alone on standard output, if there is one, so that it can go into a file."""
    if manifest:
        print(manifest_ron(manifest))
    for reason in reasons:
        print("\n".join(printable(line) for line in f"desk: refused: {reason}".splitlines()), file=sys.stderr)


def _admit(wasm: bytes, text: str | bytes | None) -> Admission:
    """What a host would decide; a manifest that cannot be read is one more reason."""
    try:
        return admit(wasm, parse_manifest(text) if text is not None else None, imports=IMPORTS)
    except ManifestError as error:
        return Admission(None, (str(error),), (), None)


def _as_json(file: str, wasm: bytes, admission: Admission, reasons: list[str]) -> dict[str, object]:
    module = admission.module
    return {
        "file": file,
        "size": len(wasm),
        "accepted": not reasons,
        "reasons": reasons,
        "notices": list(admission.notices),
        "manifest": admission.manifest.to_dict() if admission.manifest else None,
        "imports": _imports(module) if module else None,
        "exports": sorted(module.exports) if module else None,
    }


def _show(out: Terminal, file: str, wasm: bytes, admission: Admission, reasons: list[str]) -> None:
    manifest = admission.manifest
    title = f"{manifest.name} {manifest.version or '(no version)'}" if manifest else printable(Path(file).name)
    out.line(f"{out.style(title, 'bold')}  {len(wasm):,} bytes" + (f", API {manifest.api_version}" if manifest else ""))
    if manifest:
        if manifest.description:
            out.line(f"  {printable(manifest.description)}")
        for heading, lines in _sections(manifest):
            out.line(out.style(f"  {heading}", "dim"))
            for line in lines:
                out.line(f"    {printable(line)}")
    if admission.module and admission.module.imports:
        out.line(out.style("  imports", "dim"))
        for module, names in _imports(admission.module).items():
            out.line(f"    {printable(module)}: {printable(', '.join(names))}")
    for notice in admission.notices:
        out.line(f"  {out.style('note', 'yellow')}  {printable(notice)}")
    if not reasons:
        out.line(f"  {out.style('accepted', 'green')}: a host would run it")
        return
    out.line(f"  {out.style('refused', 'red')}:")
    for reason in reasons:
        first, *more = reason.splitlines()
        out.line(f"    - {printable(first)}")
        for line in more:  # a manifest's error shows the place below
            out.line(f"      {printable(line)}")


def _imports(module: ModuleSummary) -> dict[str, list[str]]:
    """The names a module imports, by the module they come from."""
    by_module: dict[str, list[str]] = {}
    for item in sorted(module.imports, key=lambda item: (item.module, item.name)):
        by_module.setdefault(item.module, []).append(item.name)
    return by_module


def _listening(manifest: Manifest, pattern: str) -> str:
    overflow = f", overflow {manifest.overflow[pattern].value}" if pattern in manifest.overflow else ""
    return f"{pattern}, handled by {manifest.subscribes[pattern]}{overflow}"


def _exported(manifest: Manifest, name: str) -> str:
    whose = ", with its own rights alone" if name in manifest.as_self else ""
    return f"{name}{manifest.exports[name]}{whose}"


def _asked(manifest: Manifest, atom: Atom) -> str:
    reason = manifest.reason(atom)
    return f'{atom}, "{reason}"' if reason else str(atom)


def _settable(name: str, setting: Setting) -> str:
    if setting.secret:
        default = ", secret"
    elif setting.default is MISSING:
        default = ", to be given"
    else:
        default = f", by default {shown(ron.dump(ron.of(setting.default)))}"
    return f"{name}: {setting.type}{default}" + (f", {setting.help}" if setting.help else "")


def _sections(manifest: Manifest) -> Iterator[tuple[str, list[str]]]:
    if manifest.exports:
        yield "exports", [_exported(manifest, name) for name in manifest.exports]
    if manifest.types:
        yield "types", [f"{name}: {type_.bare}" for name, type_ in manifest.types.items()]
    if manifest.subscribes:
        yield "listens to", [_listening(manifest, pattern) for pattern in manifest.subscribes]
    if manifest.timers:
        yield "is called", [f"every {seconds:,g} s: {export}" for export, seconds in manifest.timers.items()]
    if manifest.publishes:
        yield "publishes", [f"{subject}: {type_}" for subject, type_ in manifest.publishes.items()]
    yield "asks for", [_asked(manifest, atom) for atom in manifest.requested] or ["nothing"]
    if manifest.config:
        yield "can be set", [_settable(name, setting) for name, setting in manifest.config.items()]
    if manifest.profile != SMALL.name:
        yield "profile", [manifest.profile]
    if manifest.limits:
        yield "limits itself to", [f"{key}: {value:,}" for key, value in manifest.limits.items()]
