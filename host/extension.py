"""What the app sees of a loaded extension, and of the host as a whole: snapshots."""

from collections.abc import Mapping
from dataclasses import dataclass

from desk.actors.cell_statistics import CellStatistics
from desk.actors.limits import Limits
from desk.actors.manifest import Manifest
from desk.bus.statistics import BusStatistics
from desk.capabilities.permissions import PermissionSet


@dataclass(frozen=True, slots=True, repr=False)
class Extension:
    """A loaded extension, as `extensions()` shows it."""

    name: str
    manifest: Manifest
    granted: PermissionSet
    profile: str
    limits: Limits
    """What it may use: the least of what the host, the operator and the manifest say."""
    notices: tuple[str, ...]
    """What was accepted but is not acted upon, and what was asked for but not granted: sentences for people."""
    statistics: CellStatistics
    open: int = 0
    """Sockets, watches and streams that it has open."""

    def __repr__(self) -> str:
        """Like `<Extension echo, 3 exports, 2 permissions granted, 4 asked for, small>`."""
        asked = len(self.manifest.requested.atoms)
        return (
            f"<Extension {self.name}, {len(self.manifest.exports)} exports, {len(self.granted.atoms)} permissions granted, "
            f"{asked} asked for, {self.profile}>"
        )


@dataclass(frozen=True, slots=True)
class HostStatistics:
    """What a host has done so far."""

    extensions: Mapping[str, CellStatistics]
    """By name, of those that are loaded."""
    bus: BusStatistics
    allowed: int
    """Requests of extensions that were decided so."""
    denied: int
    observed: int
    """Of those that were allowed: how many would have been denied, were rules enforced (`Policy(observe=...)`)."""
