"""The one table of codes with which the host answers a guest: what went wrong, and whose doing it was.

A guest sees the code in `{error: {code, message}}` of a `request`, and negated as the result of `publish` and `read`.
`docs/abi.md` and `guests/c/desk.h` have the same table; a test compares them.
"""

from enum import IntEnum

from desk.bus.errors import DeskError


class Code(IntEnum):
    """Frozen with ABI 0.1: numbers are never reused, new ones are added at the end."""

    INVALID = 1
    """The guest's request is malformed, or not of the declared type."""
    DENIED = 2
    """The guest has no grant for it; the message spells out the missing permission."""
    UNKNOWN = 3
    """There is no such subject, capability, extension or handle."""
    UNAVAILABLE = 4
    """It exists, but cannot answer now: stopped, or the outside world did not answer."""
    DEADLINE = 5
    """No answer in time."""
    TOO_LARGE = 6
    """A payload is over a limit, either way."""
    OVERLOADED = 7
    """Too many of something: messages that wait, or that one call sends; handles; instances."""
    DEADLOCK = 8
    """The receiver is waiting for this very guest."""
    HOPS = 9
    """One message has caused too many others: a loop."""
    FAILED = 10
    """The other extension answered with an error of its own."""
    TRAPPED = 11
    """The other extension crashed, was killed, or broke its word."""
    NOT_YET = 12
    """Only `log` works during `_initialize`."""
    INTERNAL = 13
    """The host's own mistake."""


class Answerable(DeskError):
    """An error that a guest may be told of, under a code of its own."""

    doing = "host"
    retry = "never"

    guest_code: Code = Code.INTERNAL


class CapabilityError(Answerable):
    """A capability could not be carried out. The guest gets the code and the message as a normal answer."""

    doing = "caller"
    retry = "if repeatable"

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.guest_code = code


class PermissionDenied(CapabilityError):
    """The manifest does not ask for it, or the operator did not grant it; the message says which, and what to add."""

    doing = "operator"
    retry = "never"

    def __init__(self, message: str, *, rule: str = "") -> None:
        super().__init__(Code.DENIED, message)
        self.rule = rule
        """The operator's rule that refused it, for the audit: the guest is not told."""
