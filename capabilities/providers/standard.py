"""The capabilities that every host has, unless its app replaces them."""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from desk.bus.clock import Clock as Timekeeper
from desk.capabilities.addresses import AddressMap
from desk.capabilities.provider import Provider
from desk.capabilities.providers.clock import Clock
from desk.capabilities.providers.config import Config
from desk.capabilities.providers.env import Env
from desk.capabilities.providers.filesystem import Filesystem
from desk.capabilities.providers.network import Network
from desk.capabilities.providers.random import Random
from desk.capabilities.providers.state import State
from desk.capabilities.providers.system import System


class Standard:
    """All of them. `data_dir` is for what extensions keep, `addresses` are the operator's names, `clock` tells the time.

    `private` are directories of the host's own, which no grant reaches.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        addresses: AddressMap | None = None,
        clock: Timekeeper | None = None,
        private: Iterable[Path] = (),
    ) -> None:
        self._state = State(data_dir)
        families = (
            Network(address_map=addresses),
            Filesystem(data_dir, private=private),
            self._state,
            Env(),
            Clock(clock),
            Random(),
            Config(),
            System(),
        )
        self.providers: tuple[Provider, ...] = tuple(chain.from_iterable(each.operations() for each in families))
        """What guests may ask for."""

    def close(self) -> None:
        """Close what they have open: nothing can be asked of them any more."""
        self._state.close()
