"""Embed `desk`: `from desk.host import Host`."""

from desk.actors.engine.compiler import CompileLimits as CompileLimits
from desk.actors.limits import Limits as Limits
from desk.host.extension import Extension as Extension
from desk.host.host import Host as Host
