"""What each profile of the engine promises, and that machine code of one never runs in another."""

import gc
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from programs import ran
from toolbox import build_c

from desk.actors.engine import configuration, engine, modulecache, selftest
from desk.actors.engine.engine import Engine
from desk.actors.engine.hostcalls import HostFunction
from desk.actors.engine.instance import Instance
from desk.actors.engine.modulecache import ModuleCache, digest, fingerprint
from desk.actors.engine.profiles import DETERMINISTIC, IMAGE, PROFILES, SMALL, Profile
from desk.actors.engine.selftest import ensure_usable
from desk.actors.errors import EngineUnusable, Trapped
from desk.actors.guest import Guest
from desk.actors.limits import MIB, Limits
from desk.actors.sources import Seeded
from desk.actors.wasi import preview1

NUMBERS = bytes(
    wasmtime.wat2wasm(
        """(module
          (memory (export "memory") 1)
          (func (export "zero_by") (param f64) (result i64)
            (i64.reinterpret_f64 (f64.div (f64.const 0) (local.get 0))))
          (func (export "spin") (loop (br 0)))
          (func (export "nothing")))"""
    )
)

C_GUEST = r"""
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#define EXPORT(name) __attribute__((export_name(name)))
__attribute__((import_module("test"), import_name("tick"))) void tick(void);

static uint64_t hash = 1469598103934665603u;
static void mix(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    hash = (hash ^ bits) * 1099511628211u;
}

/* An orbit, step by step, with a NaN made now and then: the hash is over the bits of all that comes out. */
EXPORT("orbit") uint64_t orbit(uint32_t steps) {
    volatile double zero = 0;
    double x = 1, y = 0, vx = 0, vy = 1.1;
    for (uint32_t step = 0; step < steps; step++) {
        double square = x * x + y * y, pull = -0.001 / (square * __builtin_sqrt(square));
        vx += pull * x, vy += pull * y, x += 0.001 * vx, y += 0.001 * vy;
        mix(x), mix(y);
        if (step % 64 == 0) mix(zero / zero), tick();
    }
    return hash;
}

/* Two clocks and some randomness, as any C program reads them. */
EXPORT("outside") uint64_t outside(void) {
    struct timespec now;
    uint8_t random[32];
    for (int round = 0; round < 3; round++) {
        clock_gettime(CLOCK_REALTIME, &now), mix((double)now.tv_sec), mix((double)now.tv_nsec);
        clock_gettime(CLOCK_MONOTONIC, &now), mix((double)now.tv_sec), mix((double)now.tv_nsec);
        if (getentropy(random, sizeof random)) return 0;
        for (unsigned each = 0; each < sizeof random; each++) mix(random[each]);
    }
    return hash;
}
"""


class Ticking(Guest):
    """A guest whose `tick` ends its slice, if it is told to."""

    ticked: Engine | None = None


def _tick(guest: Ticking) -> None:
    if guest.ticked is not None:
        guest.ticked._tick()


FUNCTIONS = (*preview1.FUNCTIONS, HostFunction("test", "tick", (), None, _tick))


class Actor:
    """An instance with a guest, called without an event loop."""

    def __init__(self, engine: Engine, wasm: bytes, limits: Limits | None = None, *, seed: int = 0) -> None:
        self.guest = Ticking(limits or Limits(), sources=Seeded(seed))
        self.instance = Instance(engine, engine.compile("test", wasm), self.guest.limits)
        self.instance.guest = self.guest
        self.polls = 0
        self.finish()
        self.guest.memory = self.instance.memory()

    def finish(self) -> None:
        self.polls += 1
        while not self.instance.poll():
            self.polls += 1

    def call(self, name: str, params: str = "", result: str | None = None, *arguments: float) -> Any:
        export = self.instance.export(name, params.split(), result)
        assert export is not None
        self.instance.start(export, arguments)
        self.finish()
        return self.instance.result()


@pytest.fixture(scope="module")
def engines() -> Iterator[dict[str, Engine]]:
    """One engine of each profile."""
    made = {name: Engine(FUNCTIONS, profile=profile) for name, profile in PROFILES.items()}
    yield made
    for each in made.values():
        each.close()


@pytest.fixture(scope="module")
def c_guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C program above, built."""
    source = tmp_path_factory.mktemp("guest") / "guest.c"
    source.write_text(C_GUEST)
    build_c(source, source.with_suffix(".wasm"))
    return source.with_suffix(".wasm")


# -- one configuration, one fingerprint, one machine code


@pytest.mark.parametrize("setting", configuration.settings(SMALL))
def test_every_setting_is_part_of_the_fingerprint(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever setting of the configuration is changed, what was compiled before is not found any more."""
    before, changed = fingerprint(SMALL), {**configuration.settings(SMALL), setting: 7}
    monkeypatch.setattr(modulecache, "settings", lambda profile: changed)
    assert fingerprint(SMALL) != before


def test_a_setting_that_wasmtime_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelled setting is an error, and not a setting that does nothing."""
    monkeypatch.setattr(configuration, "settings", lambda profile: {"consume_feul": True})
    with pytest.raises(AttributeError, match="consume_feul"):
        configuration.configuration(SMALL)


def test_a_file_of_one_profile_is_none_for_another(tmp_path: Path) -> None:
    """Each profile has its own file for the same module, and does not find the others'."""
    cache = ModuleCache(tmp_path / "modules")
    for count, profile in enumerate(PROFILES.values()):
        first, second = Engine((), cache, profile), Engine((), cache, profile)
        assert first.cached("numbers", digest(NUMBERS)) is None
        assert first.compile("numbers", NUMBERS).profile is profile
        assert second.compile("numbers", NUMBERS).cached
        assert len(list((tmp_path / "modules").iterdir())) == count + 1


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("other", PROFILES)
def test_a_file_under_anothers_name_is_refused(tmp_path: Path, name: str, other: str) -> None:
    """Should one get there all the same, wasmtime does not take it: it only costs a compilation."""
    cache = ModuleCache(tmp_path / "modules")
    Engine((), cache, PROFILES[name]).compile("numbers", NUMBERS)
    (file,) = (tmp_path / "modules").iterdir()
    if name != other:
        shutil.copy(file, tmp_path / "modules" / f"{digest(NUMBERS)}-{fingerprint(PROFILES[other])}.cwasm")
    assert Engine((), cache, PROFILES[other]).compile("numbers", NUMBERS).cached is (name == other)


def test_wasmtime_alone_would_mix_nans(tmp_path: Path) -> None:
    """Whether NaNs are canonical is a setting that wasmtime does not check, which is why the names of files must."""
    cache = ModuleCache(tmp_path / "modules")
    plain, canonical = Profile("plain"), Profile("canonical", canonical_nan=True)
    Engine((), cache, plain).compile("numbers", NUMBERS)
    (file,) = (tmp_path / "modules").iterdir()
    copied = shutil.copy(file, tmp_path / "modules" / f"{digest(NUMBERS)}-{fingerprint(canonical)}.cwasm")
    assert Engine((), cache, canonical).compile("numbers", NUMBERS).cached
    os.unlink(copied)
    assert not Engine((), cache, canonical).compile("numbers", NUMBERS).cached


def test_manifests_are_read_without_wasmtime() -> None:
    """The names of profiles are part of the manifest, which the client reads where nothing is run."""
    text = "import sys, desk.actors.manifest; print('wasmtime' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# -- programs in use are shared


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="counts memory maps through /proc, as Linux has it")
def test_a_program_in_use_is_the_same_for_all(engines: dict[str, Engine]) -> None:
    """A thousand extensions of one module have one machine code, and no more memory maps than one of them."""
    first = engines["small"].compile("numbers", NUMBERS)
    before = len(Path("/proc/self/maps").read_text().splitlines())
    programs = [engines["small"].compile(f"numbers-{number}", NUMBERS) for number in range(1_000)]
    assert all(each is first for each in programs)
    assert len(Path("/proc/self/maps").read_text().splitlines()) <= before + 5
    assert engines["image"].compile("numbers", NUMBERS) is not first


def test_a_program_that_nobody_uses_is_freed(tmp_path: Path) -> None:
    """An instance uses its program. The engine itself does not keep any: after the last one it comes from the cache."""
    cache = ModuleCache(tmp_path / "modules")
    with Engine((), cache) as engine:
        program = engine.compile("numbers", NUMBERS)
        instance = Instance(engine, program, Limits())
        while not instance.poll():
            pass
        del program
        gc.collect()
        assert not engine.compile("numbers", NUMBERS).cached
        instance.kill()
        del instance
        gc.collect()
        assert engine.compile("numbers", NUMBERS).cached


# -- deterministic


def bits(engine: Engine) -> int:
    return Actor(engine, NUMBERS).call("zero_by", "f64", "i64", 0.0)


def test_nan_has_one_pattern(engines: dict[str, Engine]) -> None:
    """0/0 is the canonical NaN, also on processors that make another."""
    assert bits(engines["deterministic"]) == 0x7FF8_0000_0000_0000
    if platform.machine() == "x86_64":
        assert bits(engines["small"]) == 0xFFF8_0000_0000_0000


def test_without_fuel_a_guest_stops(engines: dict[str, Engine]) -> None:
    """An endless loop ends as a trap of its own kind; what needs little is not concerned."""
    actor = Actor(engines["deterministic"], NUMBERS, Limits(fuel=100_000))
    for _ in range(3):
        actor.call("nothing")  # each call has all of it
    with pytest.raises(Trapped) as trapped:
        actor.call("spin")
    assert trapped.value.code == "out_of_fuel"


def test_starting_takes_fuel(engines: dict[str, Engine]) -> None:
    """A module's start function, and copying its initial data, is counted like everything else."""
    for text in ("(func $start (loop (br 0))) (start $start)", "(data (i32.const 0) 'abc')".replace("'", '"')):
        wasm = bytes(wasmtime.wat2wasm(f'(module (memory (export "memory") 1) {text})'))
        with pytest.raises(Trapped) as trapped:
            Actor(engines["deterministic"], wasm, Limits(fuel=1))
        assert trapped.value.code == "out_of_fuel"


def test_no_other_profile_counts_fuel(engines: dict[str, Engine]) -> None:
    """There is nothing to run out of."""
    for name in ("small", "image"):
        actor = Actor(engines[name], NUMBERS, Limits(fuel=1))
        actor.call("zero_by", "f64", "i64", 1.0)
        assert actor.instance.fuel == 0


def run(engine: Engine, wasm: bytes, *, yields: bool = False, seed: int = 7) -> tuple[list[int], int]:
    """All that the C guest says and how much fuel that took; and in how many slices."""
    actor = Actor(engine, wasm, seed=seed)
    actor.call("_initialize")
    actor.guest.ticked = engine if yields else None
    said: list[int] = []
    for export, arguments in (("orbit", (20_000,)), ("outside", ()), ("orbit", (100,))):
        said += (actor.call(export, "i32" if arguments else "", "i64", *arguments), actor.instance.fuel)
    return said, actor.polls


def test_the_same_run_to_run(engines: dict[str, Engine], c_guest: Path) -> None:
    """The same results and the same fuel, whether the guest is interrupted at will or hardly ever; also with new code."""
    wasm = c_guest.read_bytes()
    deterministic = engines["deterministic"]
    said, polls = run(deterministic, wasm)
    interrupted, slices = run(deterministic, wasm, yields=True)
    assert slices > polls + 200
    assert interrupted == said
    assert 0 not in said
    with Engine(FUNCTIONS, profile=DETERMINISTIC) as another:
        assert run(another, wasm)[0] == said
    assert run(deterministic, wasm, seed=8)[0] != said


def test_the_same_in_every_process(engines: dict[str, Engine], c_guest: Path, tmp_path: Path) -> None:
    """A process of its own, with another hash seed and another time, comes to the same."""
    program = """
import sys
sys.path.insert(0, sys.argv[1])
from test_profiles import DETERMINISTIC, FUNCTIONS, Engine, Path, run
with Engine(FUNCTIONS, profile=DETERMINISTIC) as engine:
    print(run(engine, Path(sys.argv[2]).read_bytes())[0])
"""
    said = f"{run(engines['deterministic'], c_guest.read_bytes())[0]}\n"
    here = str(Path(__file__).parent)
    assert [ran(tmp_path, program, here, str(c_guest), PYTHONHASHSEED=seed) for seed in ("1", "2")] == [said, said]


def test_a_seeded_guest_reads_what_the_seed_says(engines: dict[str, Engine], c_guest: Path) -> None:
    """Not only is it the same twice: the sequence of readings is that of `Seeded`."""
    actor = Actor(engines["deterministic"], c_guest.read_bytes(), seed=5)
    actor.call("_initialize")
    actor.call("outside", "", "i64")
    expected = Seeded(5)
    for _ in range(3):
        expected.time_ns(0), expected.time_ns(1), expected.random(32)
    assert actor.guest.sources.time_ns(0) == expected.time_ns(0)
    assert actor.guest.sources.random(32) == expected.random(32)


# -- image

BIG = bytes(
    wasmtime.wat2wasm(
        f"""(module
          (memory (export "memory") 130)
          (data (i32.const 0) "{"x" * 8 * MIB}")
          (func (export "set") (param i32 i32) (i32.store8 (local.get 0) (local.get 1)))
          (func (export "get") (param i32) (result i32) (i32.load8_u (local.get 0))))"""
    )
)


@pytest.mark.parametrize("name", PROFILES)
def test_each_instance_has_its_own_data(engines: dict[str, Engine], name: str) -> None:
    """Mapped or copied: what one instance writes, no other sees, also none that is made later."""
    first, second = Actor(engines[name], BIG), Actor(engines[name], BIG)
    first.call("set", "i32 i32", None, 8 * MIB - 1, ord("y"))
    third = Actor(engines[name], BIG)
    assert [each.call("get", "i32", "i32", 8 * MIB - 1) for each in (first, second, third)] == list(b"yxx")
    assert [each.call("get", "i32", "i32", 8 * MIB) for each in (first, second, third)] == [0, 0, 0]


def resident() -> int:
    """Bytes of memory that this process has at the moment."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="measures memory through /proc, as Linux has it")
def test_an_image_is_not_copied(engines: dict[str, Engine]) -> None:
    """Four instances with 8 MiB of data each take these 32 MiB when they are copied, and next to nothing when mapped."""
    grown: dict[str, int] = {}
    for name in ("small", "image"):
        engines[name].compile("big", BIG)
        kept = [Actor(engines[name], BIG)]
        before = resident()
        kept += [Actor(engines[name], BIG) for _ in range(4)]
        grown[name] = resident() - before
        del kept
    assert grown["small"] > 24 * MIB
    assert grown["image"] < 8 * MIB


# -- what we rely on


@pytest.mark.parametrize("name", PROFILES)
def test_the_self_test_passes(name: str) -> None:
    """The wasmtime that is installed does for each profile what the engine relies on."""
    ensure_usable(PROFILES[name])


@pytest.mark.skipif(platform.machine() != "x86_64", reason="elsewhere NaNs are canonical by nature")
def test_the_self_test_notices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile that promises canonical NaNs and does not have them is refused, and the error says what was found."""
    monkeypatch.setattr(engine, "configuration", lambda profile: configuration.configuration(IMAGE))
    with pytest.raises(
        EngineUnusable, match=r"the bits of 0/0: expected 9221120237041090560, got 18444492273895866368"
    ):
        selftest.ensure_usable(Profile("broken", canonical_nan=True))
