"""From what an operator says to what an extension gets: reading `grants`, and telling what is missing or of no use."""

import logging
from collections.abc import Mapping, Sequence
from typing import Literal

from desk.actors.cell import Cell
from desk.actors.manifest import Manifest
from desk.bus.errors import ConflictingTypes
from desk.capabilities.broker import Broker
from desk.capabilities.codes import PermissionDenied
from desk.capabilities.message_atoms import BusAtom
from desk.capabilities.permissions import PermissionSet
from desk.capabilities.provider import Use
from desk.capabilities.vocabulary import Vocabulary
from desk.host.parts import Parts

log = logging.getLogger("desk.host")

Permissions = Mapping[str, str | Sequence[str]]
"""Permissions by section, in the manifest's grammar: `{"network": ["api.weather.com:80"], "bus": ["publish:weather.*"]}`."""


def granted_to(manifest: Manifest, grants: Permissions | Literal["requested"] | None, parts: Parts) -> PermissionSet:
    """What is granted: what the app says, or else the policy.

    Raises `PermissionSyntaxError`, or `TypeError` for what is no mapping at all.
    """
    return parts.policy.granted(manifest) if grants is None else _read(manifest, grants, parts.vocabulary)


def _read(manifest: Manifest, grants: Permissions | Literal["requested"], vocabulary: Vocabulary) -> PermissionSet:
    if grants == "requested":
        return manifest.requested
    if not isinstance(grants, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] (it comes from untyped code, too)
        raise TypeError(
            f'grants is "requested", or permissions by section, as in {{"network": ["api.weather.com"]}}; not {grants!r:.80}'
        )
    return PermissionSet.parse(grants, vocabulary)


def useless(manifest: Manifest, granted: PermissionSet) -> tuple[str, ...]:
    """A notice for each grant that the manifest does not ask for, not even in part: both are needed, so it gives nothing."""
    if granted is manifest.requested:
        return ()
    return tuple(
        f"is granted {atom}, but its manifest does not ask for it, so it gets nothing"
        for atom in granted
        if not any(atom.covers(asked) or asked.covers(atom) for asked in manifest.requested)
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


def listen_anew(cell: Cell, broker: Broker, use: Use) -> None:
    """Have an extension listen to what it may now, and no longer to what it may not. Audited."""
    patterns: list[str] = []
    for pattern in cell.manifest.subscribes:
        atom = BusAtom.subscribe(pattern)
        if use.member.grants.decide(atom).allowed:
            patterns.append(pattern)
            if pattern not in cell.heard:
                broker.settle((atom,), use, "subscribe")
    try:
        cell.listen(patterns)
    except ConflictingTypes as error:
        log.warning("%s does not listen to more: %s", cell.name, error)
