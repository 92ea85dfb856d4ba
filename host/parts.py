"""What a host is made of: one of each, shared by all its extensions."""

from dataclasses import dataclass

import anyio.abc

from desk.actors.engine.capacity import Capacity
from desk.actors.engine.compiler import Compiler
from desk.actors.engine.pump import Pump
from desk.actors.limits import Limits
from desk.bus.bus import Bus
from desk.capabilities.broker import Broker
from desk.capabilities.policy import Policy
from desk.capabilities.remembered import Remembered
from desk.capabilities.vocabulary import Vocabulary
from desk.host.engines import Engines
from desk.traces.tracing import Tracing


@dataclass(frozen=True, slots=True)
class Parts:
    """See the module's docstring."""

    bus: Bus
    broker: Broker
    tracing: Tracing
    engines: Engines
    compiler: Compiler
    pump: Pump
    capacity: Capacity
    tasks: anyio.abc.TaskGroup
    limits: Limits
    """The caps of every extension."""
    vocabulary: Vocabulary
    """The sections that permissions may have."""
    policy: Policy
    remembered: Remembered | None
    """What was granted for always; None without a directory to keep it in."""
