"""The log of one extension: what its guest says, under a name of its own, and without what its settings keep secret."""

import logging
from collections.abc import Mapping

from desk.actors.guest import Guest
from desk.actors.turn import Turn
from desk.bus.ron.text import printable
from desk.capabilities.secrets import redactor

_LEVELS = (logging.DEBUG - 5, logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)
"""The guest's log levels 0 to 4."""

_SPAN_EVENTS = 32
"""Log lines of one call that also become events of its span: more would drown the trace."""


class Voice:
    """Writes to the logger `desk.ext.NAME`. `config` are the settings of the extension, secret ones included."""

    def __init__(self, name: str, config: Mapping[str, object]) -> None:
        self._log = logging.getLogger(f"desk.ext.{name}")
        self.redact = redactor(config)
        """Takes the secret ones out of a text."""

    def write(self, guest: Guest, turn: Turn, *, over: bool = True) -> None:
        """What the guest has said so far; when the call is `over`, also what it has not finished or was not let say."""
        for level, said in guest.take_lines(over=over):
            line = self.redact(said)
            self._log.log(_LEVELS[level], "%s", printable(line))
            turn.logged += 1
            if turn.logged <= _SPAN_EVENTS:
                turn.span.event("log", {"level": level, "message": line})
