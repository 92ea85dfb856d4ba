"""What can go wrong with an extension, and whose doing it was.

    DeskError
    ├── Refused            the author's: this module or manifest may not run here (`.reasons` lists every why)
    ├── CompileFailed      the module's or the machine's: compiling it takes too much, or the compiler died (`.limit`)
    ├── EngineUnusable     the installation's: wasmtime is missing, of an untested version, or fails its self-test
    ├── TooManyInstances   the operator's or the machine's: there is no room for another instance
    └── ExtensionError     the guest's: it ran, and broke its word (`.extension`, `.export` say which)
        ├── GuestFailed    it answered with `fail(code, message)`: an error value, its state is intact
        ├── Trapped        it crashed: a wasm trap, with the wasm backtrace; its instance is gone
        ├── Exited         it called `proc_exit`; its instance is gone
        ├── Killed         it went over a limit and was stopped; its instance is gone
        └── BadReply       it returned without one `reply` of the declared type; its instance stays

After `Trapped`, `Exited` and `Killed` the next message starts a fresh instance, so calling again is safe as far as
`desk` is concerned; whether the lost call had effects outside is the caller's to know.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from desk.bus.errors import DeskError
from desk.capabilities.codes import Answerable, Code


class EngineUnusable(DeskError):
    """The wasmtime library cannot be used: wrong version, wrong layout, or a failed self-test at start-up."""

    doing = "host"
    retry = "never"


class Refused(DeskError):
    """The module or its manifest may not run here; `reasons` says every why. Nothing of it has run."""

    doing = "author"
    retry = "never"

    def __init__(self, name: str, reasons: Sequence[str]) -> None:
        self.name = name
        self.reasons = tuple(reasons)
        lines = "".join(f"\n  - {reason}" for reason in self.reasons)
        super().__init__(f"extension {name!r} is refused:{lines}")


class CompileFailed(DeskError):
    """There is no machine code for the module, for a reason that may not be its own; nothing of it has run.

    `limit` is the key of the `CompileLimits` it went over, or None if something else ended the compiler: a signal from
    outside (the kernel's, when memory runs out), an error of its own, or the closing of the host.
    """

    doing = "host"
    retry = "later"

    def __init__(self, name: str, detail: str, limit: str | None = None) -> None:
        self.name = name
        self.detail = detail
        self.limit = limit
        super().__init__(f"extension {name!r} is not compiled: {detail}" + (f" (limit {limit})" if limit else ""))


class TooManyInstances(Answerable):
    """There is no room for another instance: `Host(max_instances=…)` is reached, or what the system gives one process.

    Nothing of the guest has run, and all other extensions go on. The text has the numbers, and what to raise.
    """

    doing = "operator"
    retry = "later"

    guest_code = Code.OVERLOADED


class ExtensionError(Answerable):
    """The guest's doing: it was called and did not give a good answer."""

    doing = "receiver"
    retry = "if repeatable"

    guest_code = Code.TRAPPED
    """The code another guest gets, if it was the one that called."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extension = ""
        self.export = ""

    def __str__(self) -> str:
        """The detail, after the name of the extension and export once the cell has filled them in."""
        where = ".".join(part for part in (self.extension, self.export) if part)
        return f"{where}: {self.detail}" if where else self.detail


class GuestFailed(ExtensionError):
    """The guest answered with `fail(code, message)`. The code is the guest's own; its instance and state stay."""

    doing = "receiver"
    retry = "if repeatable"

    guest_code = Code.FAILED

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"failed with code {code}: {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a wasm backtrace, innermost first. `function` is the guest's own word for it, printable and cut."""

    function: str
    offset: int
    """In bytes, in the module."""

    def __str__(self) -> str:
        """`name @ 0x1f3`, as wasm tools print it."""
        return f"{self.function} @ {self.offset:#x}"


class Trapped(ExtensionError):
    """The guest crashed. `code` is wasmtime's trap code in lower case, or `host_error` for a bad pointer it handed over."""

    doing = "receiver"
    retry = "if repeatable"

    def __init__(self, code: str, message: str, frames: Sequence[Frame] = ()) -> None:
        trace = "".join(f"\n    at {frame}" for frame in frames)
        super().__init__(f"trapped ({code}): {message}{trace}")
        self.code = code
        self.message = message
        self.frames = tuple(frames)


class Exited(ExtensionError):
    """The guest called `proc_exit(status)` instead of returning."""

    doing = "receiver"
    retry = "if repeatable"

    def __init__(self, status: int) -> None:
        super().__init__(f"exited with status {status} instead of returning")
        self.status = status


class Killed(ExtensionError):
    """The guest went over a limit and was stopped. `limit` is the key of `Limits`."""

    doing = "receiver"
    retry = "if repeatable"

    def __init__(self, limit: str, detail: str) -> None:
        super().__init__(f"killed: {detail}")
        self.limit = limit


class BadReply(ExtensionError):
    """The guest returned without exactly one `reply` or `fail`, or the reply is not of the declared type."""

    doing = "receiver"
    retry = "never"
