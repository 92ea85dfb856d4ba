"""`desk ext types FILE`: the types of an extension as a document for others: CDDL, or JSON Schema.

Everything that goes in and out has a name in it: `render.width` and `render.ret` of an export, the subject of an event, and the
types that the manifest gives names to.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, TypeAlias

from desk.actors.admission import MANIFEST_SECTION
from desk.actors.manifest import Manifest, ManifestError, parse_manifest
from desk.actors.wasm import WasmFormatError, read_module
from desk.bus.ron.text import printable
from desk.bus.types import Type
from desk.bus.types.cddl import cddl
from desk.bus.types.json_schema import json_schema
from desk.cli.exits import FAILED, OK, USAGE
from desk.host import files
from desk.host.errors import UnreadableModule

Form: TypeAlias = Literal["cddl", "json-schema"]


def run(file: str, form: Form) -> int:
    """Print the document; 0, 1 if there is no manifest in it that can be read, 2 if the file cannot be read."""
    try:
        types = _told_apart(_types(parse_manifest(_manifest_text(Path(file)))))
    except UnreadableModule as error:
        print(f"desk: {printable(str(error))}", file=sys.stderr)
        return USAGE
    except (ManifestError, WasmFormatError, LookupError) as error:
        print("\n".join(printable(line) for line in f"desk: {file}: {error}".splitlines()), file=sys.stderr)
        return FAILED
    if form == "cddl":
        sys.stdout.write(cddl(types))
    else:
        print(json.dumps({name: json_schema(type_) for name, type_ in types.items()}, indent=2))
    return OK


def _manifest_text(path: Path) -> str | bytes:
    """The manifest that `path` is, or that is in the module or beside it. Raises `LookupError` if there is none."""
    if path.suffix == ".ron":
        return files.read_manifest(path)
    wasm, beside = files.read_module(path)
    if beside is not None:
        return beside
    sections = read_module(wasm).custom_named(MANIFEST_SECTION)
    if not sections:
        raise LookupError("there is no manifest in it, nor a `manifest.ron` beside it")
    return sections[0].contents(wasm)


def _told_apart(types: Iterable[tuple[str, Type]]) -> dict[str, Type]:
    """A later one of the same name gets `_` behind it: a subject `f.ret`, a parameter `ret` of the export `f`, and its result."""
    apart: dict[str, Type] = {}
    for name, type_ in types:
        while name in apart:
            name += "_"
        apart[name] = type_
    return apart


def _types(manifest: Manifest) -> Iterator[tuple[str, Type]]:
    for export, signature in manifest.exports.items():
        names = signature.names or tuple(map(str, range(len(signature.params))))
        for name, type_ in zip(names, signature.params, strict=True):
            yield f"{export}.{name}", type_
        if signature.result is not None:
            yield f"{export}.ret", signature.result
    yield from manifest.publishes.items()
    yield from manifest.types.items()
