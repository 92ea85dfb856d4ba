"""The limits of one actor: fixed when it starts, asked for by the manifest, capped by the operator.

Every number has a unit and a reason. A guest sees a refused growth or an error code where it can act on one; what it
cannot act on ends the call, and the caller gets the typed error.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Limits:
    """What one actor may use. All sizes in bytes, all times in milliseconds."""

    memory: int = 64 * MIB
    """Linear memory. `memory.grow` beyond it answers -1; a module that starts above it is refused. Extism's default is none."""

    table_elements: int = 20_000
    """Entries of all wasm tables; about what a large C++ or Go guest needs twice over."""

    wall_ms: int = 5_000
    """Wall time of one message, from the moment the actor takes it, waiting for capabilities included. Then it is killed."""

    cpu_ms: int = 2_000
    """Processor time inside the guest for one message, beyond its first slice. Then it is killed: others want it, too."""

    start_ms: int = 5_000
    """Wall time of instantiation and `_initialize` together."""

    request: int = 1 * MIB
    """One payload that the guest sends in `request` or `publish`; larger is refused with the code `too_large`."""

    reply: int = 8 * MIB
    """One `reply`; larger ends the call with `BadReply`. An uncompressed full-HD picture is 6 MiB."""

    handles: int = 256
    """Payload handles alive at one time in one call; one more is refused with the code `overloaded`."""

    log_line: int = 4 * KIB
    """One log line; longer ones are cut and marked."""

    log_lines: int = 1_000
    """Log lines of one message; more are counted, not kept."""

    mailbox: int = 256
    """Messages waiting for the actor; then publishers wait (back-pressure) until there is room."""

    def narrowed(self, asked: Mapping[str, int]) -> "Limits":
        """These limits, lowered where `asked` (from a manifest) is lower: a manifest can only give up room."""
        lower = {key: min(value, getattr(self, key)) for key, value in asked.items()}
        return replace(self, **lower)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names a manifest may use in `limits: {…}`."""
        return tuple(field.name for field in fields(cls))
