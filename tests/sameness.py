"""When two values are the same, for what went through a message: as `==`, but for floats and types."""

import math
import struct
from typing import Any


def same(a: Any, b: Any) -> bool:
    """Equal, of the same types all the way down, NaN to itself, and zeros by their sign."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return struct.pack("<d", a) == struct.pack("<d", b) or (math.isnan(a) and math.isnan(b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b
