"""Messages between tasks and extensions: `from desk.bus import Bus`.

What stands here is imported when it is asked for: whoever only reads a manifest needs no event loop.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from desk.bus.bus import Bus as Bus
    from desk.bus.envelope import Origin as Origin
    from desk.bus.envelope import Priority as Priority
    from desk.bus.errors import BusError as BusError
    from desk.bus.errors import DeskError as DeskError
    from desk.bus.mailbox import Overflow as Overflow
    from desk.bus.subscription import Event as Event

_WHERE = {
    "Bus": "bus",
    "BusError": "errors",
    "DeskError": "errors",
    "Event": "subscription",
    "Origin": "envelope",
    "Overflow": "mailbox",
    "Priority": "envelope",
}


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
