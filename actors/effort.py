"""How much work it is to read a module and its manifest: found out before it is begun.

Both are read in Python, a value at a time, so the time depends on what they are made of. Whoever has an event loop to keep
going asks `is_quick` first. It steps over the sections of a module by their lengths, and says yes only where even what was
made to take long is over in some milliseconds.
"""

import re

from desk.actors.admission import MANIFEST_SECTION
from desk.actors.wasm import STEPPED_OVER
from desk.actors.wasm_bytes import ByteReader, WasmFormatError

QUICK_SIZE = 1 << 20
"""Bytes of a module, all of which are hashed: 0.6 ms."""

QUICK_TEXT = 512
"""Bytes of manifests: usually 1 µs each, at worst 10 (a hundred permissions, each held against each)."""

_PATTERNED = re.compile(rb"string\s*[(/]")
"""A type that may have a regular expression, which may take ten milliseconds to make."""

QUICK_FACE = 4096
"""Bytes of a module that are looked at one by one: at worst some 0.5 µs each."""

_SECTION = 16
"""As how many of those bytes a section counts, whatever is in it."""

_LONGEST_LENGTH = 5
"""Bytes of the number before a name."""

_NAME = MANIFEST_SECTION.encode()


def is_quick(wasm: bytes, manifest: str | bytes | None) -> bool:
    """Whether `parse_manifest`, `admit` and hashing take a few milliseconds at worst, also if it is refused."""
    manifest = manifest.encode(errors="replace") if isinstance(manifest, str) else manifest or b""
    text = len(manifest)
    if text > QUICK_TEXT or _PATTERNED.search(manifest):
        return False
    face = 0
    at, size = 8, len(wasm)
    if size > QUICK_SIZE:
        return False
    while at < size and text <= QUICK_TEXT and face <= QUICK_FACE:
        section = wasm[at]
        head = ByteReader(wasm, at + 1, size)
        try:
            length = head.number("the length of a section")
        except WasmFormatError:
            break  # `admit` gets no further, either
        if section not in STEPPED_OVER:
            face += length
        elif section == 0 and _NAME in wasm[head.at : head.at + _LONGEST_LENGTH + len(_NAME)]:
            text += length
            if _PATTERNED.search(wasm, at, min(head.at + length, at + QUICK_TEXT)):
                return False
        face += _SECTION
        at = head.at + length
    return text <= QUICK_TEXT and face <= QUICK_FACE
