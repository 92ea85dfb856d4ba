"""What `embed_fastapi` tells of extensions, as JSON has forms for it."""

import base64
import math
from typing import cast

from desk.actors.manifest import Manifest
from desk.actors.manifest_config import MISSING, Setting
from desk.host import Extension


def described(manifest: Manifest) -> dict[str, object]:
    """What a module says of itself, and asks for: each permission as it is checked, with the author's reason."""
    return {
        "name": manifest.name,
        "version": manifest.version,
        "description": manifest.description,
        "exports": {name: str(signature) for name, signature in manifest.exports.items()},
        "permissions": [
            {"section": atom.section, "text": atom.text, "reason": manifest.reason(atom)} for atom in manifest.requested
        ],
        "config": {name: _setting(setting) for name, setting in manifest.config.items()},
    }


def _setting(setting: Setting) -> dict[str, object]:
    """What can be set: `required` if somebody must, and what it is if nobody does."""
    said = {"type": str(setting.type), "secret": setting.secret, "help": setting.help}
    if setting.default is MISSING:
        return {**said, "required": True}
    return {**said, "required": False, "default": plain(setting.default)}


def running(extension: Extension) -> dict[str, object]:
    """What runs, and what it may do."""
    return {
        **described(extension.manifest),
        "granted": [{"section": atom.section, "text": atom.text} for atom in extension.granted],
        "notices": list(extension.notices),
        "handled": extension.statistics.handled,
        "failed": extension.statistics.failed,
    }


def plain(value: object) -> object:
    """A result as JSON has a form for it: bytes in base64, and numbers that are none as text."""
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case float() if not math.isfinite(value):
            return str(value)
        case list() | tuple():
            return [plain(each) for each in cast("list[object]", value)]
        case dict():
            return {str(key): plain(each) for key, each in cast("dict[object, object]", value).items()}
        case _:
            return value
