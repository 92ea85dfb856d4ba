"""Asking the person at the terminal whether an extension may have what it lacks.

    weather-widget asks for network connect:api.weather.com:443
        its author says: "to fetch the forecast"
    Allow it? y: once, s: this session, a: always, n: no

The text is the question's own, in printable ASCII: nothing that a guest or an author wrote can move the cursor or look like an
answer. What was typed before it was shown is thrown away, so nobody says yes to what they have not seen. The event loop goes
on meanwhile, and no thread waits for a line: when the question is over, nothing is left that would take the next one.

Without a terminal there is nobody to ask, and the answer is no.
"""

import os
import sys
from contextlib import suppress
from typing import Final, TextIO

import anyio

from desk.capabilities.prompting import Answer, Question
from desk.cli.terminal import Terminal

_ANSWERS: Final[dict[str, Answer]] = {
    "y": "once",
    "yes": "once",
    "s": "session",
    "session": "session",
    "a": "always",
    "always": "always",
    "n": "no",
    "no": "no",
}
_TRIES = 3  # lines that are no answer, and then it is a no
_LINE = 4096  # bytes: what a terminal has as a line at most


class TerminalAsk:
    """What a `Policy` takes as `ask`."""

    def __init__(self, reads: TextIO | None = None, writes: TextIO | None = None) -> None:
        """From standard input and to standard error, unless said otherwise."""
        self._reads = sys.stdin if reads is None else reads
        self._terminal = Terminal(sys.stderr if writes is None else writes)

    async def __call__(self, question: Question) -> Answer:
        """Show it, and wait for an answer."""
        if not self._reads.isatty():
            self._terminal.line(f"{question}\n(there is no terminal to ask at, so the answer is no)")
            return "no"
        self._terminal.line(str(question))
        _throw_away_typed(self._reads)
        for _ in range(_TRIES):
            self._terminal.line("Allow it? y: once, s: this session, a: always, n: no")
            line = await _line(self._reads)
            if not line:
                return "no"
            answer = _ANSWERS.get(line.strip().lower())
            if answer is not None:
                return answer
        return "no"


async def _line(reads: TextIO) -> str:
    """The next line that is typed; empty at the end. Read past the stream's own buffer, which could wait for more."""
    await anyio.wait_readable(reads)
    return os.read(reads.fileno(), _LINE).decode(errors="replace")


def _throw_away_typed(reads: TextIO) -> None:
    with suppress(ImportError):  # there are no such terminals on Windows
        import termios

        termios.tcflush(reads.fileno(), termios.TCIFLUSH)
