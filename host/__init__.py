"""Embed `desk`: `from desk.host import Host`. What an app needs by name is here; what it may catch, in the rooms' `errors`."""

from desk.actors.engine.compiler import CompileLimits as CompileLimits
from desk.actors.limits import Limits as Limits
from desk.capabilities.capability import Capability as Capability
from desk.capabilities.capability import operation as operation
from desk.capabilities.codes import CapabilityError as CapabilityError
from desk.capabilities.codes import Code as Code
from desk.capabilities.policy import Policy as Policy
from desk.capabilities.prompting import Question as Question
from desk.capabilities.syntax import PermissionSyntaxError as PermissionSyntaxError
from desk.host.extension import Extension as Extension
from desk.host.host import Host as Host
