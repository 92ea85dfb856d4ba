"""The limits of one actor: fixed when it starts, asked for by the manifest, capped by the operator.

Every number has a unit and a reason. A guest sees a refused growth or an error code where it can act on one; what it
cannot act on ends the call, and the caller gets the typed error. `docs/limits.md` tells all of it in one table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Literal, TypeAlias

from desk.bus.types.base import InvalidValue, describe

KIB = 1024
MIB = 1024 * KIB

MAX_TABLES = 8
"""Tables that a module may have. One is what compilers make; the room of `table_elements` is given to each."""

Quantity: TypeAlias = Literal["bytes", "milliseconds", "count"]

QUANTITY: Mapping[str, Quantity] = {
    "memory": "bytes",
    "table_elements": "count",
    "wall_ms": "milliseconds",
    "cpu_ms": "milliseconds",
    "fuel": "count",
    "share": "count",
    "start_ms": "milliseconds",
    "request": "bytes",
    "requests": "count",
    "sent": "bytes",
    "reply": "bytes",
    "handles": "count",
    "held": "bytes",
    "log_line": "bytes",
    "log_lines": "count",
    "log_rate": "count",
    "mailbox": "count",
    "mailbox_bytes": "bytes",
    "resources": "count",
    "storage": "bytes",
}
"""What each of `Limits` is a number of."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one actor may use. All sizes in bytes, all times in milliseconds.

    Raises `InvalidValue`, which names the limit, for anything but integers from 1: texts such as "16MiB" are for manifests.
    """

    memory: int = 64 * MIB
    """Linear memory. `memory.grow` beyond it answers -1; a module that starts above it is refused. Extism's default is none."""

    table_elements: int = 20_000
    """Entries of each wasm table; about what a large C++ or Go guest needs twice over. `table.grow` beyond it answers -1."""

    wall_ms: int = 5_000
    """Wall time of one message, from the moment the actor takes it, waiting for capabilities included. Then it is killed."""

    cpu_ms: int = 2_000
    """Processor time for one message, but for a first slice in the event loop. Then it is killed: others want it, too."""

    fuel: int = 10_000_000_000
    """About as many wasm instructions of one message, in the profile `deterministic`; then it is killed. A few seconds of
    ordinary code, but no clock: the same message uses the same fuel on every machine. Other profiles do not count it."""

    share: int = 10
    """Slices of a millisecond that a guest which only computes gets in its turn at a worker while others wait for one: an
    extension with twice as many gets twice as much of the processor."""

    start_ms: int = 5_000
    """Wall time of instantiation, `_initialize` and `desk_start` together."""

    request: int = 1 * MIB
    """One payload that the guest sends in `request` or `publish`; larger is refused with the code `too_large`."""

    requests: int = 10_000
    """`request` and `publish` together, in one message, refused ones included; more are refused with the code `overloaded`.
    With `sent`, the bound on what one message makes others do."""

    sent: int = 64 * MIB
    """Bytes that one message sends, the payloads of its `request` and `publish`; the one that goes beyond is refused with the
    code `overloaded`, a smaller one may still go."""

    reply: int = 8 * MIB
    """One `reply`; larger ends the call with `BadReply`. An uncompressed full-HD picture is 6 MiB."""

    handles: int = 256
    """Payload handles alive at one time in one call; one more is refused with the code `overloaded`."""

    held: int = 16 * MIB
    """Bytes of payloads alive at one time in one call; a guest that holds so much is given no more (`overloaded`)."""

    log_line: int = 4 * KIB
    """One log line; longer ones are cut and marked."""

    log_lines: int = 1_000
    """Log lines of one message; more are counted, not kept."""

    log_rate: int = 200
    """Log lines a second, over all messages and instances of the extension; more are counted, not kept. After a silence,
    `log_lines` may come at once. A disk is filled by many short messages as well as by a long one."""

    mailbox: int = 256
    """Messages waiting for the actor; then publishers wait (back-pressure) until there is room."""

    mailbox_bytes: int = 16 * MIB
    """Bytes of payload waiting for the actor; then publishers wait. A message larger than all of it waits until it is alone."""

    resources: int = 64
    """What is open at one time: connections, listeners, watches. One more is refused with the code `overloaded`; nothing that is
    open is closed for it."""

    storage: int = 64 * MIB
    """What it may keep: below its own roots, and as its state, so much each. Writing more is refused (`overloaded`)."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value: object = getattr(self, each.name)
            if type(value) is not int or not 1 <= value < 1 << 63:  # wasmtime takes a signed number of 64 bits
                quantity = QUANTITY[each.name]
                unit = "" if quantity == "count" else f", in {quantity}"
                raise InvalidValue(f"limit {each.name}", f"an integer from 1 to 2**63 - 1{unit}", describe(value))

    def narrowed(self, asked: Mapping[str, int]) -> "Limits":
        """These limits, lowered where `asked` (from a manifest) is lower: a manifest can only give up room."""
        lower = {key: min(value, getattr(self, key)) for key, value in asked.items()}
        return replace(self, **lower)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names a manifest may use in `limits: {…}`."""
        return tuple(field.name for field in fields(cls))
