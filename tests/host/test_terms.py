"""What an operator says when loading, beside the grants: limits, profile, seed, and how many extensions a host may have."""

from pathlib import Path

import anyio
import pytest
import wasmtime
from extensions import ECHO
from toolbox import extension

from desk.actors.errors import Killed, Refused, TooManyInstances, Trapped
from desk.actors.limits import MIB, Limits
from desk.actors.manifest import ManifestError
from desk.actors.wasm import with_custom_section
from desk.bus.errors import Unavailable
from desk.bus.mailbox import Mailbox
from desk.bus.types import Signature
from desk.host import Host
from desk.host.errors import AlreadyLoaded
from desk.traces.tracing import Tracing

pytestmark = pytest.mark.anyio

_DICE = bytes(
    wasmtime.wat2wasm("""(module
      (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "roll") (result i64)
        (drop (call $random (i32.const 8) (i32.const 8)))
        (i64.load (i32.const 8)))
      (func (export "trap") (unreachable)))""")
)


def dice(profile: str, name: str = "dice") -> bytes:
    """An extension that returns eight random bytes from WASI; its manifest asks for a profile."""
    manifest = f"""(name: "{name}", api_version: "0.1", profile: "{profile}",
        exports: {{"roll": (params: [], ret: i64), "trap": (params: [])}})"""
    return with_custom_section(_DICE, "desk:manifest", manifest.encode())


def tight(limits: str) -> bytes:
    """An extension that loops, and whose manifest gives up some of its limits."""
    manifest = f'(name: "tight", api_version: "0.1", exports: {{"spin": (params: [])}}, limits: {{{limits}}})'
    return extension(manifest, '(func (export "spin") (loop (br 0)))')


def make_host(cache: Path, limits: Limits | None = None, max_instances: int | None = None) -> Host:
    """A host without traces."""
    return Host(cache_dir=cache, tracing=Tracing.off(), limits=limits, max_instances=max_instances)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One compile cache for all tests here."""
    return tmp_path_factory.mktemp("cache") / "modules"


# -- limits


async def test_an_extension_has_the_least_of_three_limits(cache: Path) -> None:
    """The host caps, the operator narrows for one extension, the manifest gives up more; each may be the lowest."""
    async with make_host(cache, Limits(wall_ms=2_000, cpu_ms=1_000, mailbox=7)) as host:
        operators = Limits(wall_ms=1_500, cpu_ms=1_500, memory=MIB)
        loaded = await host.load(tight("wall_ms: 3000, cpu_ms: 900"), limits=operators)
        limits = loaded.limits
        assert (limits.wall_ms, limits.cpu_ms, limits.memory, limits.mailbox) == (1_500, 900, MIB, 7)
        assert any("wall_ms" in notice and "1500" in notice for notice in loaded.notices)
        assert host.extensions()[0].limits == limits


async def test_without_limits_of_its_own_an_extension_has_the_hosts(cache: Path) -> None:
    """Also if another one was loaded with less."""
    async with make_host(cache, Limits(wall_ms=2_000)) as host:
        await host.load(tight("wall_ms: 50"), limits=Limits(memory=MIB))
        assert (await host.load(ECHO)).limits == host.limits == Limits(wall_ms=2_000)


async def test_the_operators_limits_are_enforced(cache: Path) -> None:
    """What loops is killed at the limit that it was loaded with, which the error names."""
    async with make_host(cache) as host:
        await host.load(tight(""), limits=Limits(cpu_ms=20))
        with anyio.fail_after(20), pytest.raises(Killed, match="cpu_ms = 20"):
            await host.call("tight", "spin")


async def test_admission_knows_the_operators_limits(cache: Path) -> None:
    """A module that starts with more memory than it is given is refused, by name; with enough it is loaded."""
    async with make_host(cache) as host:
        with pytest.raises(Refused, match="65535 bytes"):
            await host.load(dice("small"), limits=Limits(memory=65_535))
        assert host.extensions() == ()
        await host.load(dice("small"), limits=Limits(memory=65_536))


# -- profiles


async def test_the_operators_profile_wins_over_the_manifests(cache: Path) -> None:
    """Without one it is the manifest's, and without any it is `small`."""
    async with make_host(cache) as host:
        assert (await host.load(dice("image", "one"))).profile == "image"
        assert (await host.load(dice("image", "two"), profile="deterministic")).profile == "deterministic"
        assert (await host.load(dice("deterministic", "three"), profile="small")).profile == "small"
        assert (await host.load(ECHO)).profile == "small"
        assert [each.profile for each in host.extensions()] == ["small", "image", "small", "deterministic"]
        for name in ("one", "two", "three"):
            assert isinstance(await host.call(name, "roll"), int)


async def test_an_unknown_profile_is_the_operators_mistake(cache: Path) -> None:
    """It is told the known ones; in a manifest it is the author's."""
    async with make_host(cache) as host:
        with pytest.raises(ValueError, match=r"'huge'; known: small, image, deterministic"):
            await host.load(ECHO, profile="huge")
        with pytest.raises(Refused, match="huge"):
            await host.load(dice("huge"))
        with pytest.raises(ManifestError, match="huge"):
            await host.load(_DICE, manifest='(name: "a", api_version: "0.1", profile: "huge")')
        assert host.extensions() == ()


async def test_extensions_of_all_profiles_end_with_their_host(cache: Path) -> None:
    """A host may be opened and closed with any mixture of engines, also with none."""
    for profiles in ((), ("small",), ("image", "deterministic"), ("deterministic", "small", "image")):
        async with make_host(cache) as host:
            for profile in profiles:
                await host.load(dice(profile, profile))
                await host.call(profile, "roll")


# -- seed


async def rolls(cache: Path, seed: int | None) -> list[object]:
    """Three rolls of a deterministic extension, two from its first instance and one after a trap."""
    async with make_host(cache) as host:
        await (host.load(dice("deterministic")) if seed is None else host.load(dice("deterministic"), seed=seed))
        rolled = [await host.call("dice", "roll"), await host.call("dice", "roll")]
        with pytest.raises(Trapped):
            await host.call("dice", "trap")
        return [*rolled, await host.call("dice", "roll")]


async def test_the_seed_decides_what_a_deterministic_extension_rolls(cache: Path) -> None:
    """The same seed, the same numbers, from the beginning again after a trap; another seed, others; it is 0 by default."""
    first = await rolls(cache, 7)
    assert first == await rolls(cache, 7)
    assert first[0] == first[2] != first[1]
    assert first != await rolls(cache, 8)
    assert await rolls(cache, 0) == await rolls(cache, None)


# -- mistakes


async def test_terms_that_are_none_leave_the_host_as_it_was(cache: Path) -> None:
    """Limits and seeds of another type are told what they should be, before anything is read."""
    async with make_host(cache) as host:
        for wrong in ({"memory": 1}, 42, "16MiB"):
            with pytest.raises(TypeError, match="limits is a Limits"):
                await host.load("no-such-file.wasm", limits=wrong)  # type: ignore[arg-type]
        for wrong in ("1", 1.5, None, True):
            with pytest.raises(TypeError, match="seed is an integer"):
                await host.load("no-such-file.wasm", seed=wrong)  # type: ignore[arg-type]
        assert host.extensions() == ()
        await host.load(ECHO)


async def test_a_load_that_failed_may_be_tried_again(cache: Path) -> None:
    """Name, subjects and room are free again, whatever it failed of; and a name that is taken stays with its owner."""
    starts_badly = extension(
        '(name: "echo", api_version: "0.1", exports: {"f": (params: [])})',
        '(func (export "f")) (func (export "desk_start") (unreachable))',
    )
    async with make_host(cache, max_instances=1) as host:
        for _ in range(3):
            with pytest.raises(Trapped):
                await host.load(starts_badly, profile="image")
        await host.load(ECHO)
        with pytest.raises(AlreadyLoaded):
            await host.load(starts_badly, profile="image")
        assert await host.call("echo", "add", 1, 2) == 3


async def test_a_cancelled_load_leaves_nothing(cache: Path) -> None:
    """Whoever gives up waiting for a guest that does not finish its start can load another under its name."""
    endless = extension(
        '(name: "echo", api_version: "0.1", exports: {"f": (params: [])})',
        '(func (export "f")) (func (export "desk_start") (loop (br 0)))',
    )
    kept: list[BaseException] = []
    async with make_host(cache, Limits(start_ms=600_000), max_instances=1) as host:
        for _ in range(2):
            with anyio.move_on_after(0.2) as scope:
                try:
                    await host.load(endless)
                except BaseException as gone:
                    kept.append(gone)  # with its traceback, and all that the load had in hand
                    raise
            assert scope.cancelled_caught
        await host.load(ECHO)
        assert await host.call("echo", "add", 1, 2) == 3


async def test_a_load_that_fails_halfway_takes_back_what_it_did(cache: Path) -> None:
    """One export is on a subject that the app answers itself: then none of the others is reachable, either."""
    async with make_host(cache, max_instances=1) as host:
        mine = host.bus.serve("ext.echo.count", Signature(()), Mailbox("app"))
        with pytest.raises(ValueError, match="answered by app"):
            await host.load(ECHO)
        with pytest.raises(Unavailable):
            await host.bus.request("ext.echo.add", 1, 2)
        host.bus.withdraw(mine)
        await host.load(ECHO)
        assert await host.call("echo", "add", 1, 2) == 3


# -- many


async def test_a_host_has_as_many_extensions_as_it_may(cache: Path) -> None:
    """One more is refused with the number and its name; a trap, a removal or a failed load makes room."""
    with pytest.raises(ValueError, match="max_instances"):
        make_host(cache, max_instances=0)
    async with make_host(cache, max_instances=2) as host:
        await host.load(dice("small", "one"))
        await host.load(dice("image", "two"))
        with pytest.raises(TooManyInstances, match=r"max_instances=2"):
            await host.load(ECHO)
        assert len(host.extensions()) == 2
        with pytest.raises(Trapped):
            await host.call("one", "trap")
        await host.call("one", "roll")  # in a fresh instance
        await host.remove("two")
        await host.load(ECHO)


async def test_a_hundred_loads_at_once(cache: Path) -> None:
    """Small and large, from bytes and from files, good and bad: each has its own outcome."""
    file = Path(cache).parent / "dice.wasm"
    file.write_bytes(_DICE)
    padding = "//" + "." * 5_000
    outcomes: dict[int, str] = {}

    def manifest(number: int) -> str:
        profile = ("small", "image", "deterministic", "none such")[number % 4]
        return f'(name: "n{number}", api_version: "0.1", profile: "{profile}", exports: {{"roll": (params: [], ret: i64)}})'

    async def load(host: Host, number: int) -> None:
        text = manifest(number) + ("\n" + padding if number % 3 else "")
        try:
            outcomes[number] = (await host.load(file if number % 5 else _DICE, manifest=text)).profile
            await host.call(f"n{number}", "roll")
        except ManifestError:
            outcomes[number] = "bad"

    async with make_host(cache) as host:
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                for number in range(100):
                    tasks.start_soon(load, host, number)
        assert outcomes == {n: ("small", "image", "deterministic", "bad")[n % 4] for n in range(100)}
        assert len(host.extensions()) == 75
