"""Text that a guest wrote, made fit for a terminal or a log."""

import re

_RUN = re.compile(r"[^ -~]+")


def printable(text: str) -> str:
    """`text` without what a terminal would obey: control and bidi characters, line feeds included, become escapes."""
    return text if text.isprintable() else _RUN.sub(_escaped, text)


def _escaped(run: "re.Match[str]") -> str:
    return run[0] if run[0].isprintable() else run[0].encode("unicode_escape").decode()
