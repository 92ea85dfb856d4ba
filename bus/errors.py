"""The errors that this project raises on purpose: their root, and those of the bus.

The name of an error says what happened, `doing` whose doing it was, `retry` whether to try again; `str(error)` says what
was expected and what to do about it. Each room defines its own beside the code that raises them; `DeskError` shows them all.
"""

from typing import ClassVar, Literal, TypeAlias

Doing: TypeAlias = Literal["caller", "receiver", "author", "operator", "outside", "host", "nobody"]
"""Whose doing it was: of the one who called; of the one who was asked; of who wrote a manifest, a module, a text or a type; of
who runs the host and decides what is granted; of the world outside; of the host or its machine; or of nobody (things end)."""

Retry: TypeAlias = Literal["never", "later", "if repeatable"]
"""Whether to try the same again: it will fail again until somebody changes something; it may succeed, and nothing was carried
out; or it may succeed, but may have been carried out already, so repeat only what may happen twice."""


class DeskError(Exception):
    """Base class of all errors that `desk` raises on purpose. Catch it to catch them all; it is never raised itself.

    The whole tree, each with whose doing it is, whether to try again, and where it is defined:

    DeskError
    ├── BusError                  host, never               bus.errors
    │   ├── NoReceiver            caller, never             bus.errors
    │   ├── Unavailable           nobody, if repeatable     bus.errors
    │   ├── DeadlineExceeded      receiver, if repeatable   bus.errors
    │   ├── WouldDeadlock         caller, never             bus.errors
    │   ├── TooManyHops           caller, never             bus.errors
    │   ├── Overloaded            receiver, later           bus.errors
    │   ├── ResponderFailed       receiver, if repeatable   bus.errors
    │   ├── ConflictingTypes      author, never             bus.errors
    │   ├── BusClosed             caller, never             bus.errors
    │   ├── WrongThread           caller, never             bus.errors
    │   ├── LinkDown              outside, later            bus.link
    │   ├── PeerLost              outside, if repeatable    bus.link
    │   ├── Unsendable            caller, never             bus.link
    │   └── PortalClosed          host, if repeatable       bus.thread_calls
    ├── NotCarried                outside, never            bus.carrier
    ├── CodecError                caller, never             bus.codec
    ├── SubjectError              caller, never             bus.subjects
    ├── InvalidValue              caller, never             bus.types.base
    ├── TypeSyntaxError           author, never             bus.types.base
    ├── PatternError              author, never             bus.types.pattern_syntax
    ├── RonError                  author, never             bus.ron.text
    ├── TimerError                author, never             bus.timers
    ├── PermissionSyntaxError     author, never             capabilities.syntax
    ├── PolicyError               operator, never           capabilities.policy_file
    ├── Answerable                host, never               capabilities.codes
    │   ├── CapabilityError       caller, if repeatable     capabilities.codes
    │   │   └── PermissionDenied  operator, never           capabilities.codes
    │   ├── TooManyInstances      operator, later           actors.errors
    │   └── ExtensionError        receiver, if repeatable   actors.errors
    │       ├── GuestFailed       receiver, if repeatable   actors.errors
    │       ├── Trapped           receiver, if repeatable   actors.errors
    │       ├── Exited            receiver, if repeatable   actors.errors
    │       ├── Killed            receiver, if repeatable   actors.errors
    │       └── BadReply          receiver, never           actors.errors
    ├── EngineUnusable            host, never               actors.errors
    ├── Refused                   author, never             actors.errors
    ├── CompileFailed             host, later               actors.errors
    ├── ManifestError             author, never             actors.manifest_place
    ├── WasmFormatError           author, never             actors.wasm_bytes
    ├── HostNotOpen               caller, never             host.errors
    ├── AlreadyLoaded             caller, never             host.errors
    ├── NotLoaded                 caller, never             host.errors
    ├── UnreadableModule          caller, never             host.errors
    └── DataDirInUse              operator, later           host.errors
    """

    doing: ClassVar[Doing] = "host"
    retry: ClassVar[Retry] = "never"


class BusError(DeskError):
    """A message could not be delivered or answered."""

    doing = "host"
    retry = "never"


class NoReceiver(BusError):
    """Nobody answers requests to this subject: a wrong name, or not loaded. `publish` never raises it: nobody need listen."""

    doing = "caller"
    retry = "never"


class Unavailable(BusError):
    """The receiver has been stopped, before or after it accepted the request. It may be there again later."""

    doing = "nobody"
    retry = "if repeatable"


class DeadlineExceeded(BusError):
    """No answer within the deadline. A guest was not interrupted (only its own limits do that); a Python function was."""

    doing = "receiver"
    retry = "if repeatable"


class WouldDeadlock(BusError):
    """The request goes to an actor that is itself waiting, further up, for this very call to end."""

    doing = "caller"
    retry = "never"


class TooManyHops(BusError):
    """The message descends from too many others: most likely two receivers answer each other for ever."""

    doing = "caller"
    retry = "never"


class Overloaded(BusError):
    """There is no room: too many requests wait already, or too many values are retained. Nothing was carried out."""

    doing = "receiver"
    retry = "later"


class ResponderFailed(BusError):
    """The Python function that answers this subject raised what is no `DeskError`; that error is the cause (`__cause__`)."""

    doing = "receiver"
    retry = "if repeatable"


class ConflictingTypes(BusError):
    """Two declare one subject differently; the message names both, and where their types differ. The second is refused."""

    doing = "author"
    retry = "never"


class BusClosed(BusError):
    """The bus is shutting down or shut down, or belongs to another process (after a fork). Nothing was carried out."""

    doing = "caller"
    retry = "never"


class WrongThread(BusError):
    """A bus was used outside of its event loop's thread, or a portal in it, where it would wait for itself. Nothing was sent."""

    doing = "caller"
    retry = "never"
