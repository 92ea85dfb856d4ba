"""The profiles: the few points in which one engine may be configured otherwise than another, and what each costs.

A configuration is for a whole engine and for the machine code made for it, so an extension has one profile, and a host one
engine for each profile in use. Extensions of different profiles talk to each other like any others.

    profile         for                                     what it costs
    small           guests with little initial data:        initial data is copied into each new instance, which takes
                    nearly all                              0.6 ms and 1 MiB of memory for each MiB of it
    image           guests with megabytes of initial data,  one or two more memory maps for each instance, of which a
                    such as an interpreter                  process has a limited number; 8 MiB cost nothing until written
    deterministic   the same output, requests and fuel      fuel: calls take 1.3 times as long, loops 1.1 times; canonical
                    in every run: tests, recordings         NaNs: float arithmetic 1.6 to 2 times; compiling 1.3 times

What no profile changes is in configuration.py. This file imports nothing of ours and not even wasmtime, since manifests are
read where there is none; and it is a tuple with names, not a dataclass, since importing those would take a tenth of what
the compiler's process takes to start.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Profile(NamedTuple):
    """What sets an engine apart. Two profiles that differ have different machine code, and never share it."""

    name: str
    """What a manifest or an operator calls it."""

    copy_on_write: bool = False
    """Initial data is mapped from one image in memory, not copied into each instance."""

    fuel: bool = False
    """Every store has fuel, and wasm uses it up; without any it traps at once (`out_of_fuel`), in a start function, too."""

    canonical_nan: bool = False
    """What float operations make of NaN has one bit pattern. Otherwise processors differ: 0/0 is negative on x86."""

    seeded: bool = False
    """Clocks and random numbers come from a seed (`actors/sources.py`). The engine has no part in that."""


SMALL = Profile("small")
IMAGE = Profile("image", copy_on_write=True)
DETERMINISTIC = Profile("deterministic", fuel=True, canonical_nan=True, seeded=True)

PROFILES: Mapping[str, Profile] = MappingProxyType({each.name: each for each in (SMALL, IMAGE, DETERMINISTIC)})
"""All profiles by name; the first is the default."""
