"""From what an operator says to what an extension gets: reading `grants`, and telling what is missing or of no use."""

import logging
from collections.abc import Generator
from contextlib import contextmanager

from desk.actors.cell import Cell
from desk.actors.manifest import Manifest
from desk.bus.errors import DeskError
from desk.capabilities.broker import Broker
from desk.capabilities.codes import PermissionDenied
from desk.capabilities.message_atoms import BusAtom
from desk.capabilities.permissions import PermissionSet
from desk.capabilities.policy import Given, read_permissions
from desk.capabilities.provider import Use
from desk.host.parts import Parts

log = logging.getLogger("desk.host")


def granted_to(manifest: Manifest, grants: Given | None, parts: Parts) -> PermissionSet:
    """What is granted: what the app says, or else the policy.

    Raises `PermissionSyntaxError`, or `TypeError` for what is no mapping at all.
    """
    if grants is None:
        return parts.policy.granted(manifest)
    if grants == "requested":
        return manifest.requested
    return read_permissions(grants, parts.vocabulary, 'grants, if not "requested",')


def useless(requested: PermissionSet, granted: PermissionSet) -> tuple[str, ...]:
    """A notice for each grant that the manifest does not ask for, not even in part: both are needed, so it gives nothing."""
    if granted is requested:
        return ()
    return tuple(
        f"is granted {atom}, but its manifest does not ask for it, so it gets nothing"
        for atom in granted
        if all(atom.meet(asked) is None for asked in requested)
    )


async def heard(manifest: Manifest, broker: Broker, use: Use) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The patterns that the extension may listen to, and a notice for each that it asks for without a grant. Audited."""
    allowed: list[str] = []
    notices: list[str] = []
    for pattern in manifest.subscribes:
        try:
            await broker.authorise(BusAtom.subscribe(pattern), use, "subscribe")
            allowed.append(pattern)
        except PermissionDenied as denial:
            notices.append(f"does not listen to {pattern}: {denial}")
    return tuple(allowed), tuple(notices)


def follow_grants(cell: Cell, broker: Broker, use: Use) -> None:
    """Have an extension listen to what it may, and its types hold where it may publish; no longer where it may not.

    What it begins to listen to is audited. Raises nothing: what cannot be begun is told to the log, and all else is done.
    """
    if cell.stopping.is_set():
        return
    manifest, membership, decide = cell.manifest, cell.membership, use.member.grants.decide
    subscribes = [each for each in manifest.subscribes if decide(BusAtom.subscribe(each)).allowed]
    publishes = [each for each in manifest.publishes if decide(BusAtom.publish(each)).allowed]
    membership.confine(subscribes, publishes)
    for pattern in subscribes:
        if pattern not in membership.heard:
            with _told(f"{cell.name} does not listen to {pattern}"):
                broker.settle((BusAtom.subscribe(pattern),), use, "subscribe")
                membership.listen(pattern)
    for subject in publishes:
        if subject not in membership.published:
            with _told(f"{cell.name} cannot say what {subject} is"):
                membership.publish(subject)


@contextmanager
def _told(what: str) -> Generator[None]:
    try:
        yield
    except Exception as error:  # an audit that takes no record, too: then it is not done
        log.warning("%s: %s", what, error, exc_info=not isinstance(error, DeskError))
