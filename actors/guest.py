"""What the host functions see of one actor's instance: its memory, the payloads of the call in progress, and its outcome.

The guest pulls: arguments and answers wait here as *payloads*, numbered from 1, until it reads them into memory of its
own; results are copied out when it calls `reply`. Handles live as long as the call, so nothing has to be freed.

Log lines are only collected here and written by the cell: host functions run on the fiber, where no foreign code may run.
How many there may be is two limits: `log_lines` of this call, and the rate of the extension, which outlives its instances.
"""

from collections.abc import Callable, Sequence

from desk.actors.engine.memory import Memory
from desk.actors.limits import Limits
from desk.actors.sources import SYSTEM, Sources
from desk.capabilities.codes import Code
from desk.traces.log_rate import LogRate

INFO, WARN = 2, 3


class Guest:
    """One per instance; `begin` makes it ready for the next call."""

    __slots__ = (
        "_describe",
        "_held",
        "_logged",
        "_next",
        "_partial",
        "_rate",
        "exit_status",
        "failure",
        "limits",
        "lines",
        "memory",
        "payloads",
        "ready",
        "replies",
        "reply",
        "requests",
        "sent",
        "sources",
    )

    memory: Memory

    def __init__(self, limits: Limits, rate: LogRate | None = None, sources: Sources | None = None) -> None:
        """`rate` is the extension's, from `log_rate_of`; without it the guest has one of its own. `sources` are the system's."""
        self.limits = limits
        self.sources = sources or SYSTEM
        self._rate = rate or log_rate_of(limits)
        self.ready = False
        self.payloads: dict[int, bytes] = {}
        self._held = 0
        self.requests = 0
        self.sent = 0
        self._logged = 0
        self._next = 1
        self._describe: Callable[[], bytes] | None = None
        self.replies = 0
        self.reply: bytes | None = None
        self.failure: tuple[int, str] | None = None
        self.exit_status: int | None = None
        self.lines: list[tuple[int, str]] = []
        self._partial: dict[int, bytearray] = {}

    # -- the call

    def begin(self, describe: Callable[[], bytes]) -> None:
        """Forget the last call. `describe` gives the CBOR of `context()`, if the guest asks."""
        self.ready = True
        self.payloads.clear()
        self._held = 0
        self.requests = 0
        self.sent = 0
        self._logged = 0
        self._next = 1
        self._describe = describe
        self.replies = 0
        self.reply = None
        self.failure = None

    def flatten(self, parts: Sequence[int | float | bytes]) -> list[int | float]:
        """The wasm arguments for lowered `parts`: bytes become payloads, each passed as its handle and length."""
        arguments: list[int | float] = []
        for part in parts:
            if isinstance(part, bytes):
                arguments += (self._keep(part), len(part))
            else:
                arguments.append(part)
        return arguments

    @property
    def full(self) -> bool:
        """Whether it holds as many payloads, or as many bytes of them, as it may."""
        return len(self.payloads) >= self.limits.handles or self._held >= self.limits.held

    def give(self, payload: bytes) -> int:
        """Keep `payload` for the guest and return `handle << 32 | length`, or the bare code if it is full."""
        if self.full:
            return Code.OVERLOADED
        return self._keep(payload) << 32 | len(payload)

    def drop(self, handle: int) -> None:
        """Forget a payload before the call ends."""
        self._held -= len(self.payloads.pop(handle, b""))

    def _keep(self, payload: bytes) -> int:
        handle = self._next
        self._next += 1
        self._held += len(payload)
        self.payloads[handle] = payload
        return handle

    def describe(self) -> int:
        """The payload of `context()`, as `give` returns it."""
        assert self._describe is not None  # set by `begin`, and before that no host function gets here
        return self.give(self._describe())

    # -- text the guest says

    def log(self, level: int, text: bytes, length: int) -> None:
        """Collect one line, the beginning of `length` bytes, cut at the limit.

        Beyond `log_lines` of one call, or `log_rate`, lines are only counted.
        """
        self._logged += 1
        if self._logged > self.limits.log_lines:
            self._rate.dropped += 1
            return
        if self._rate.dropped:
            self._note()  # here, where they are missing
        if not self._rate.take():
            self._rate.dropped += 1
            return
        line = text[: self.limits.log_line].decode("utf-8", "replace")
        if length > self.limits.log_line:
            line += f"… ({length - self.limits.log_line:,} more bytes)"
        self.lines.append((level, line))

    def write(self, stream: int, data: bytes) -> None:
        """What the guest prints to stdout (1) or stderr (2): whole lines are logged, the rest waits for its end.

        This runs on the fiber, where no tick ends it: lines that will not be logged are not looked at one by one.
        """
        level = INFO if stream == 1 else WARN
        room = max(0, self.limits.log_lines - self._logged)
        *lines, rest = (bytes(self._partial.get(stream, b"")) + data).split(b"\n", room)
        for line in lines:
            self.log(level, line, len(line))
        beyond = rest.count(b"\n")
        if beyond:
            self._logged += beyond
            self._rate.dropped += beyond
            rest = rest[rest.rindex(b"\n") + 1 :]
        if len(rest) > self.limits.log_line:  # one endless line must not collect in memory
            self.log(level, rest, len(rest))
            rest = b""
        self._partial[stream] = bytearray(rest)

    @property
    def has_lines(self) -> bool:
        """Whether there is anything for `take_lines` to take."""
        return bool(self.lines or self._partial or self._rate.dropped)

    def take_lines(self, *, over: bool = True) -> list[tuple[int, str]]:
        """The lines collected since the last time; when the call is over, unfinished ones, and how many were dropped."""
        if over:
            for stream, rest in self._partial.items():
                if rest:
                    self.log(INFO if stream == 1 else WARN, bytes(rest), len(rest))
            self._partial.clear()
            self._note()
        lines, self.lines = self.lines, []
        return lines

    def _note(self) -> None:
        """Tell how many lines were dropped, if that may be told now; else they stay counted, also after this instance."""
        dropped = self._rate.take_note()
        if dropped:
            self.lines.append((WARN, f"({dropped:,} more lines were dropped)"))


def log_rate_of(limits: Limits) -> LogRate:
    """What an extension may log in the long run: `log_rate`; at once, what one message may, and the line that counts the rest."""
    return LogRate(limits.log_rate, limits.log_lines + 1)
