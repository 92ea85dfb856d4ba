"""State: what an extension keeps from one day to the next, as keys and values.

Each extension has a namespace of its own, which nobody else sees and which takes no permission. Any other namespace is shared
by those that were granted it: `state: ["read:notes", "write:notes/draft-*"]`.

    data_dir/extensions/NAME/state.sqlite       its own
    data_dir/state/NAMESPACE.sqlite             a shared one

A key is a name and never a path. What was answered is on the disk.
"""

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar

import anyio
import anyio.to_thread

from desk.bus.types import Integer, String
from desk.capabilities.at_once import apart
from desk.capabilities.atoms import Atom
from desk.capabilities.capability import Capability, operation
from desk.capabilities.codes import CapabilityError, Code
from desk.capabilities.provider import Use
from desk.capabilities.providers.state_entries import Entries
from desk.capabilities.providers.state_store import Store
from desk.capabilities.state_atoms import OWN, StateAtom

MAX_KEY = 512
"""Characters of a key; in a shared namespace permissions speak of keys, and allow fewer (`state_atoms.MAX_KEY`)."""

MAX_VALUE = 1 << 20
"""Bytes of a value."""

MOST_LISTED = 1_000
"""Keys in one answer."""

OPEN = 64
"""Files that stay open while nobody uses them: each takes five descriptors."""

_THREADS = 4  # that wait for the disk at one time

Key: TypeAlias = Annotated[str, String(1, MAX_KEY)]
Prefix: TypeAlias = Annotated[str, String(0, MAX_KEY)]
Most: TypeAlias = Annotated[int, Integer("u32", 1, MOST_LISTED, wide=False)]


@dataclass(frozen=True, slots=True)
class Entry:
    """One key, and how many bytes its value has."""

    key: str
    size: int


Page: TypeAlias = list[Entry]
_T = TypeVar("_T")


def _needs(request: Callable[[str, str], StateAtom], field: str) -> Callable[..., tuple[Atom, ...]]:
    """The right to what `request` makes of the namespace and the field of that name; none in one's own."""

    def needs(state: "State", given: Mapping[str, Any], use: Use) -> tuple[Atom, ...]:
        del state, use
        namespace = given.get("namespace")
        return () if namespace in (None, OWN) else (request(namespace, given.get(field) or ""),)

    return needs


class State(Capability):
    """See the module's docstring. `close` when the host does."""

    name = "state"

    def __init__(self, data_dir: Path | None) -> None:
        """Without a directory nothing is kept: whoever asks is told so."""
        self._data_dir = data_dir
        self._stores: dict[tuple[str, ...], Store] = {}  # the one that was used last is the last
        self._threads: anyio.CapacityLimiter | None = None

    def permission(self, text: str) -> Atom:
        """Like `read:notes/draft-*`."""
        return StateAtom.parse(text)

    @operation(needs=_needs(StateAtom.read, "key"), at_once=True)
    async def get(self, use: Use, key: Key, namespace: str | None = None) -> bytes | None:
        """The value of `key`, or none."""
        value = await self._store(use, namespace).get(_encoded(key))
        if len(self._stores) > OPEN:
            await self._close_idle()
        return value

    @operation(needs=_needs(StateAtom.write, "key"))
    async def put(self, use: Use, key: Key, value: bytes, namespace: str | None = None) -> None:
        """Store a value."""
        await self._do(
            use, namespace, partial(Entries.put, key=_encoded(key), value=_bounded(value), quota=_quota(use))
        )

    @operation(needs=_needs(StateAtom.write, "key"))
    async def delete(self, use: Use, key: Key, namespace: str | None = None) -> bool:
        """Forget a value; whether there was one."""
        return await self._do(use, namespace, partial(Entries.delete, key=_encoded(key)))

    @operation(needs=_needs(StateAtom.readwrite, "key"))
    async def swap(
        self, use: Use, key: Key, expected: bytes | None, value: bytes | None, namespace: str | None = None
    ) -> bool:
        """Store `value`, none to delete, if there is `expected`, none for nothing; whether there was. Of several one wins."""
        action = partial(
            Entries.swap,
            key=_encoded(key),
            expected=expected,
            value=None if value is None else _bounded(value),
            quota=_quota(use),
        )
        return await self._do(use, namespace, action)

    @operation(needs=_needs(StateAtom.list, "prefix"))
    async def list(
        self, use: Use, prefix: Prefix = "", after: Prefix = "", most: Most = 100, namespace: str | None = None
    ) -> Page:
        """The first keys that begin with `prefix` and come after `after`, in the order of their code points."""
        action = partial(Entries.page, prefix=prefix.encode(), after=after.encode(), most=most)
        return [Entry(key, size) for key, size in await self._do(use, namespace, action)]

    def close(self) -> None:
        """Close all files, which nobody uses any more. Idempotent. It may wait for the disk."""
        while self._stores:
            self._stores.popitem()[1].close()
        self._threads = None

    async def _do(self, use: Use, namespace: str | None, action: Callable[[Entries], _T]) -> _T:
        result = await self._store(use, namespace).do(action)
        if len(self._stores) > OPEN:
            await self._close_idle()
        return result

    async def _close_idle(self) -> None:
        """Close the file that nobody has used for the longest time."""
        await apart()
        idle = next((where for where, store in self._stores.items() if not store.busy), None)
        if idle is not None:
            close = self._stores.pop(idle).close
            with anyio.CancelScope(shield=True):  # nobody else knows of it any more
                await anyio.to_thread.run_sync(close)

    def _store(self, use: Use, namespace: str | None) -> Store:
        """Where that namespace is kept. Use it at once: one that is not in use may be closed."""
        if self._data_dir is None:
            raise CapabilityError(
                Code.UNAVAILABLE, "this host keeps no state: the app has to give it a directory, Host(data_dir=...)"
            )
        own = namespace is None or namespace == OWN
        where = ("extensions", use.extension, "state.sqlite") if own else ("state", f"{namespace}.sqlite")
        store = self._stores.pop(where, None)
        if store is None:
            if self._threads is None:
                self._threads = anyio.CapacityLimiter(_THREADS)
            store = Store(self._data_dir.joinpath(*where), self._threads)
        self._stores[where] = store
        return store


def _quota(use: Use) -> int:
    return use.member.storage


def _bounded(value: bytes) -> bytes:
    if len(value) > MAX_VALUE:
        raise CapabilityError(Code.TOO_LARGE, f"a value of {len(value):,} bytes; at most {MAX_VALUE:,} are stored")
    return value


def _encoded(key: str) -> bytes:
    if not (key.isascii() and key.isprintable()):
        if any(unicodedata.category(character) == "Cc" for character in key):
            raise CapabilityError(Code.INVALID, "a control character in a key; expected none")
        if not unicodedata.is_normalized("NFC", key):
            raise CapabilityError(
                Code.INVALID, "a key that is not in Unicode normal form C; expected composed characters"
            )
    return key.encode()
