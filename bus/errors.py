"""The root of every error this package raises on purpose.

Each room adds its own branch beside the code that raises it. The name of an error says whose doing it was
(`InvalidValue`: the caller; `Trapped`: the guest; `PermissionDenied`: the operator said no), and `str(error)`
says what was expected and what to do about it.
"""


class DeskError(Exception):
    """Base class of all errors that `desk` raises on purpose. Catch it to catch them all; it is never raised itself."""


class BusError(DeskError):
    """A message could not be delivered or answered.

    DeskError
    └── BusError
        ├── NoReceiver        nobody answers this subject: a wrong name, or not loaded (the caller's doing; no retry)
        ├── Unavailable       the receiver has stopped (nobody's doing; retry after it is loaded again)
        ├── DeadlineExceeded  no answer in time; the request may still be carried out (retry only if that is safe)
        ├── WouldDeadlock     the receiver is waiting for the sender (the chain's doing; no retry)
        └── TooManyHops       a message begot a message … too often: a loop (the chain's doing; no retry)
    """


class NoReceiver(BusError):
    """Nobody answers requests to this subject. You do not get it for `publish`: an event may well have no subscribers."""


class Unavailable(BusError):
    """The receiver has been stopped, before or after it accepted the request."""


class DeadlineExceeded(BusError):
    """No answer within the deadline. The receiver was not interrupted: only its own limits do that."""


class WouldDeadlock(BusError):
    """The request goes to an actor that is itself waiting, further up, for this very call to end."""


class TooManyHops(BusError):
    """The message descends from too many others: most likely two extensions answer each other for ever."""
