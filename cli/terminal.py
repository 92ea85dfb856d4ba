"""How commands write to people: colour only on a terminal that wants it, and nothing a guest says is obeyed by one."""

import os
import sys
from typing import TextIO

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}


class Terminal:
    """Writes lines to one stream, styled if that stream is a terminal and `NO_COLOR` (no-color.org) is not set."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self.colour = self._stream.isatty() and not os.environ.get("NO_COLOR")
        encoding = (self._stream.encoding or "ascii").lower().replace("-", "")
        self.ascii = not encoding.startswith("utf")

    def style(self, text: str, how: str) -> str:
        """`text` in bold, dim, red, green or yellow; as it is where there is no colour."""
        return f"\x1b[{_CODES[how]}m{text}\x1b[0m" if self.colour else text

    def line(self, text: str = "") -> None:
        """Write one line, now: whoever watches sees each step as it ends."""
        if self.ascii:
            text = text.encode("ascii", "replace").decode()
        print(text, file=self._stream, flush=True)
