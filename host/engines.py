"""What extensions run on: the functions that a module may import, and one engine for each profile in use."""

from desk.actors import abi
from desk.actors.engine.engine import Engine
from desk.actors.engine.modulecache import ModuleCache
from desk.actors.engine.profiles import Profile
from desk.actors.engine.selftest import ensure_usable
from desk.actors.wasi import preview1

FUNCTIONS = abi.FUNCTIONS + preview1.FUNCTIONS
IMPORTS = {(f.module, f.name): (f.params, (f.result,) if f.result else ()) for f in FUNCTIONS}
"""Every import a module may have, with its type: what admission holds it against."""


class Engines:
    """The engines of one host. Each is made when the first extension of its profile comes: that takes milliseconds."""

    def __init__(self, cache: ModuleCache | None) -> None:
        self._cache = cache
        self._engines: dict[Profile, Engine] = {}

    def get(self, profile: Profile) -> Engine:
        """The engine of a profile. Raises `EngineUnusable` if wasmtime is not as tested."""
        engine = self._engines.get(profile)
        if engine is None:
            ensure_usable(profile)
            engine = self._engines[profile] = Engine(FUNCTIONS, self._cache, profile)
        return engine

    def close(self) -> None:
        """Close all of them, after the last instance."""
        for engine in self._engines.values():
            engine.close()
        self._engines.clear()
