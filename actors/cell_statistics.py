"""What one actor has done: every message it accepted is in exactly one of the counts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CellStatistics:
    """A snapshot. Of the messages `accepted` so far, `queued` wait and `busy` (0 or 1) is being handled; the rest is over."""

    accepted: int
    handled: int
    """Turns that ended well."""
    failed: int
    """Turns that did not; the requester knows, or the message is in the dead letters."""
    dropped: int
    """Messages not handled to the end: nobody waited any more, or the actor was stopped."""
    queued: int
    busy: int
    instances: int
    """Instances made so far."""
    fuel: int
    """What calls have used so far that came to an end, well or not; 0 but in the profile `deterministic`."""
