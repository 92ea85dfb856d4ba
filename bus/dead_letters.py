"""Dead letters: messages that were accepted, or could not be, and that nobody will handle; each with its receiver and reason.

They are kept so that a person can see what was lost and why, and send it again (`Bus.retry`). What is kept is bounded in
number and in bytes (but the latest is kept, however large); the oldest are forgotten first, and `forgotten` counts them.
"""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from desk.bus.envelope import Envelope

DEAD_LETTERS_KEPT, DEAD_BYTES_KEPT = 1_000, 16 << 20
"""The oldest dead letters are forgotten beyond so many, or so many bytes of payload."""

REASON_KEPT = 4_096
"""Characters of a dead letter's reason: a guest may have had a say in it."""


class Cause(StrEnum):
    """Why a letter is dead, in one word; its `reason` is the sentence for people."""

    FAILED = "failed"
    """Its handling began and failed."""
    STOPPED = "stopped"
    """Its receiver was stopped before or while it handled it."""
    FULL = "full"
    """Its receiver had no room for it."""
    LATE = "late"
    """Nobody had use for an answer any more when its turn came."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An envelope nobody could take, or whose handling failed."""

    envelope: Envelope
    receiver: str
    """Name of the mailbox it was for."""
    cause: Cause
    reason: str
    at: float = field(default_factory=time.time)
    """When, in seconds since the epoch."""

    def __repr__(self) -> str:
        """Like `<dead letter for echo (failed): <event 3 a.b 1 from the app>: failed: echo.on_b trapped …>`."""
        return f"<dead letter for {self.receiver} ({self.cause}): {self.envelope!r}: {self.reason[:200]}>"


class DeadLetters:
    """A bounded sequence of letters, oldest first. Iterate over it, or index it."""

    def __init__(self) -> None:
        self._letters: deque[DeadLetter] = deque()
        self._bytes = 0
        self.total = 0
        """All there ever were."""

    def __repr__(self) -> str:
        """Like `<DeadLetters: 3 kept of 4>`."""
        return f"<DeadLetters: {len(self._letters)} kept of {self.total}>"

    def __len__(self) -> int:
        return len(self._letters)

    def __iter__(self) -> Iterator[DeadLetter]:
        return iter(tuple(self._letters))

    def __getitem__(self, index: int) -> DeadLetter:
        return self._letters[index]

    @property
    def forgotten(self) -> int:
        """How many are kept no more: too old, removed, or retried."""
        return self.total - len(self._letters)

    def add(self, envelope: Envelope, receiver: str, cause: Cause, reason: str) -> DeadLetter:
        """Keep one more, and forget the oldest beyond the bounds."""
        letter = DeadLetter(envelope, receiver, cause, reason[:REASON_KEPT])
        self.total += 1
        self._append(letter)
        return letter

    def restore(self, letter: DeadLetter) -> None:
        """Keep one again that was removed."""
        self._append(letter)

    def _append(self, letter: DeadLetter) -> None:
        self._letters.append(letter)
        self._bytes += letter.envelope.size
        while len(self._letters) > DEAD_LETTERS_KEPT or (self._bytes > DEAD_BYTES_KEPT and len(self._letters) > 1):
            self._bytes -= self._letters.popleft().envelope.size

    def remove(self, letter: DeadLetter) -> bool:
        """Keep it no more. False if it was not here."""
        for index, kept in enumerate(self._letters):
            if kept is letter:
                del self._letters[index]
                self._bytes -= letter.envelope.size
                return True
        return False

    def clear(self) -> None:
        """Keep none."""
        self._letters.clear()
        self._bytes = 0
