"""Compiling in a child process: once for all who ask, within limits, and whatever becomes of the child, nothing stays behind."""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
import pytest
import wasmtime
from extensions import ECHO

from desk.actors.engine import compile_process, compiler
from desk.actors.engine.compiler import CompileLimits, Compiler
from desk.actors.engine.engine import Engine, Program
from desk.actors.engine.modulecache import ModuleCache, digest
from desk.actors.engine.profiles import PROFILES, SMALL, Profile
from desk.actors.engine.selftest import ensure_usable
from desk.actors.errors import CompileFailed, Refused
from desk.actors.wasm import with_custom_section
from desk.bus.types import InvalidValue
from desk.host import Host
from desk.host.errors import HostNotOpen
from desk.traces.tracing import Tracing

pytestmark = pytest.mark.anyio


def binary(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


def loops(count: int) -> bytes:
    """Nested loops over as many locals: the time to compile them grows with the square and more. 3,000: 50 KB, 46 s."""
    into = "".join(f"loop local.get {index} br_if 0\n" for index in range(count))
    inside = "".join(f"local.get {index} i32.const 1 i32.add local.set {index}\n" for index in range(count))
    body = f"(local {'i32 ' * count}) {into} {inside} {'end ' * count}"
    return binary(f'(module (memory (export "memory") 1) (func {body}))')


TINY = binary('(module (func (export "f") (result i32) (i32.const 7)))')
SLOW = loops(3_000)
SLOWISH = loops(400)
HUNGRY = binary(
    f"(module (table 1 funcref) (type $t (func)) (func {'i32.const 0 call_indirect (type $t) ' * 13_000}))"
)  # 64 KB, compiled in 460 MB
BROKEN = binary("(module (func))").replace(b"\x02\x00\x0b", b"\x02\x6a\x0b")
QUICK = CompileLimits(compile_ms=300)

Children = list[anyio.abc.Process]


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> Children:
    """The processes that were started, in order."""
    started: Children = []
    original = anyio.open_process

    async def open_process(*args: Any, **options: Any) -> anyio.abc.Process:
        process = await original(*args, **options)
        started.append(process)
        return process

    monkeypatch.setattr(anyio, "open_process", open_process)
    return started


def gone(process: anyio.abc.Process) -> bool:
    """Whether a process has ended and was waited for: a zombie would still take signals."""
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return True
    return False


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110 - what is waited for is outside this process
            await anyio.sleep(0.005)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "modules"


def make_engine(directory: Path, profile: Profile = SMALL) -> Engine:
    """An engine without host functions, with a cache. It has no thread: no guest code runs here."""
    return Engine((), ModuleCache(directory), profile)


@pytest.fixture
def engine(directory: Path) -> Engine:
    """The first engine to use the cache."""
    return make_engine(directory)


@pytest.fixture
def another(directory: Path) -> Engine:
    """An engine of another process, as it were: it knows nothing but what is in the cache."""
    return make_engine(directory)


@pytest.fixture
def third(directory: Path) -> Engine:
    """One more of them."""
    return make_engine(directory)


# -- what it is for


async def test_nothing_is_compiled_in_this_process(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host loads and runs an extension although its own wasmtime cannot compile."""

    def compiles(*_: object) -> None:
        raise AssertionError("compiles here")

    ensure_usable()  # this is our own module, and compiled here, once for each process
    monkeypatch.setattr(wasmtime.Module, "__init__", compiles)
    for more in ({"cache_dir": directory}, {"cache": False}):
        async with Host(tracing=Tracing.off(), **more) as host:  # type: ignore[arg-type]
            await host.load(ECHO)
            assert await host.call("echo", "add", 1, 2) == 3


async def test_a_module_in_the_cache_needs_no_child(engine: Engine, another: Engine, children: Children) -> None:
    """The first load makes one child, all later ones none."""
    async with Compiler() as compile:
        assert not (await compile.program(engine, "tiny", TINY)).cached
        assert (await compile.program(another, "tiny", TINY)).cached
    async with Compiler() as compile:
        assert await compile.program(engine, "again", TINY)
    assert len(children) == 1


async def test_a_module_in_use_is_shared(engine: Engine, directory: Path, children: Children) -> None:
    """Whoever asks for the same bytes gets the same program, also when the file is gone, and from no other engine."""
    async with Compiler() as compile:
        program = await compile.program(engine, "tiny", TINY)
        kept(directory)[0].unlink()
        assert await compile.program(engine, "again", bytes(bytearray(TINY))) is program
        assert await compile.program(engine, "hashed", TINY, digest(TINY)) is program
        assert len(children) == 1
        assert await compile.program(make_engine(directory), "elsewhere", TINY) is not program
    assert len(children) == 2


async def test_each_profile_has_its_own_machine_code(directory: Path, children: Children) -> None:
    """One compiler serves engines of all profiles, at the same time: one child and one file each, never one for another."""
    engines = [make_engine(directory, profile) for profile in PROFILES.values()]
    programs: list[Program] = []
    async with Compiler() as compile, anyio.create_task_group() as tasks:

        async def load(engine: Engine) -> None:
            programs.append(await compile.program(engine, "tiny", TINY))

        for engine in engines:
            tasks.start_soon(load, engine)
            tasks.start_soon(load, engine)
    assert len(children) == 3
    assert {program.profile for program in programs} == set(PROFILES.values())
    assert sorted(file.name.split("-")[1] for file in kept(directory)) == sorted(PROFILES)
    async with Compiler() as compile:
        for profile in PROFILES.values():
            assert (await compile.program(make_engine(directory, profile), "tiny", TINY)).cached
    assert len(children) == 3


async def test_without_a_cache_there_are_no_files(children: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the machine code is only in memory, and every engine makes a child."""
    monkeypatch.setattr("tempfile.mkstemp", None)
    monkeypatch.setattr("tempfile.mkdtemp", None)
    async with Compiler() as compile:
        for engine in (Engine(()), Engine(())):
            assert not (await compile.program(engine, "tiny", TINY)).cached
    assert len(children) == 2


async def test_the_loop_turns_meanwhile(engine: Engine) -> None:
    """While a module is compiled, other tasks run."""
    turns = 0

    async def turning() -> None:
        nonlocal turns
        while True:
            await anyio.sleep(0.001)
            turns += 1

    async with Compiler() as compile, anyio.create_task_group() as tasks:
        tasks.start_soon(turning)
        await compile.program(engine, "slowish", SLOWISH)
        tasks.cancel_scope.cancel()
    assert turns > 10


async def test_a_long_compilation_says_so(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names the extension, its size, and the time that it may take."""
    monkeypatch.setattr(compiler, "PROGRESS", 0.05)
    caplog.set_level(logging.INFO, "desk.actors")
    async with Compiler(CompileLimits(compile_ms=1_000)) as compile:
        with pytest.raises(CompileFailed):
            await compile.program(engine, "slow", SLOW)
    assert "compiling slow (0.0 MiB): " in caplog.messages[0]
    assert "1 s at most" in caplog.messages[0]


# -- once for all who ask


async def test_who_asks_at_the_same_time_shares_one_compilation(engine: Engine, children: Children) -> None:
    """Ten requests for the same bytes start one child, and each gets the program."""
    programs: list[Program] = []
    async with Compiler() as compile, anyio.create_task_group() as tasks:

        async def load(name: str) -> None:
            programs.append(await compile.program(engine, name, bytes(bytearray(TINY))))

        for number in range(10):
            tasks.start_soon(load, f"tiny-{number}")
    assert len(children) == 1
    assert len(programs) == 10


async def test_a_shared_failure_names_each_extension(engine: Engine, children: Children) -> None:
    """The same broken bytes under two names: one child, and each error has the name of who asked."""
    names: list[str] = []
    async with Compiler() as compile, anyio.create_task_group() as tasks:

        async def load(name: str) -> None:
            with pytest.raises(Refused, match=f"'{name}' is refused") as refused:
                await compile.program(engine, name, BROKEN)
            names.append(refused.value.name)

        for name in ("one", "two"):
            tasks.start_soon(load, name)
    assert sorted(names) == ["one", "two"]
    assert len(children) == 1


@pytest.mark.parametrize("leaving", ["the first", "the second"])
async def test_who_leaves_does_not_take_it_from_others(engine: Engine, children: Children, leaving: str) -> None:
    """One of two waiting tasks is cancelled: the other gets its program, from the same child."""
    scopes = {"the first": anyio.CancelScope(), "the second": anyio.CancelScope()}
    programs: list[str] = []
    async with Compiler() as compile, anyio.create_task_group() as tasks:

        async def load(who: str) -> None:
            with scopes[who]:
                await compile.program(engine, "slowish", SLOWISH)
                programs.append(who)

        for who in scopes:
            tasks.start_soon(load, who)
        await until(lambda: children)
        scopes[leaving].cancel()
    assert programs == [who for who in scopes if who != leaving]
    assert len(children) == 1


async def test_the_last_to_leave_kills_the_child(engine: Engine, children: Children) -> None:
    """When everyone who waited is cancelled, the child is gone, and the next request starts another."""
    async with Compiler() as compile:
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(compile.program, engine, "slow", SLOW)
            await until(lambda: children)
            tasks.cancel_scope.cancel()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(compile.program, engine, "slow", SLOW)
            await until(lambda: len(children) == 2)
            await until(lambda: gone(children[0]))
            assert not gone(children[1])
            tasks.cancel_scope.cancel()
        await until(lambda: gone(children[1]))


@pytest.mark.parametrize("turns", range(8))
async def test_leaving_at_any_moment_leaves_nothing(engine: Engine, children: Children, turns: int) -> None:
    """Cancelled some turns of the loop after asking, also while the process is being started: it is gone, or never was."""
    async with Compiler() as compile, anyio.create_task_group() as tasks:
        tasks.start_soon(compile.program, engine, "slow", SLOW)
        for _ in range(turns):
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert len(children) <= 1
    assert all(gone(child) for child in children)


async def test_only_so_many_at_once(engine: Engine, children: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for one, a child is started when the one before is gone."""
    recorded = anyio.open_process

    async def open_process(*args: Any, **options: Any) -> anyio.abc.Process:
        assert all(gone(child) for child in children)
        return await recorded(*args, **options)

    monkeypatch.setattr(anyio, "open_process", open_process)
    limits = CompileLimits(compile_at_once=1)
    async with Compiler(limits) as compile, anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(compile.program, engine, "many", binary(f"(module (func (drop (i32.const {number}))))"))
    assert len(children) == 4


async def test_closing_kills_the_child(engine: Engine, children: Children) -> None:
    """Who still waits for a program then is told."""
    told: list[CompileFailed] = []
    async with anyio.create_task_group() as tasks, Compiler() as compile:

        async def load() -> None:
            with pytest.raises(CompileFailed, match="closed") as failed:
                await compile.program(engine, "slow", SLOW)
            told.append(failed.value)

        tasks.start_soon(load)
        await until(lambda: children)
    assert [failed.limit for failed in told] == [None]
    assert gone(children[0])


async def test_a_host_that_closes_kills_the_child(directory: Path, children: Children) -> None:
    """Also if the host is left while it loads."""
    async with anyio.create_task_group() as tasks:
        async with Host(cache_dir=directory, tracing=Tracing.off()) as host:

            async def load() -> None:
                manifest = '(name: "slow", api_version: "0.1")'
                with pytest.raises(HostNotOpen):
                    await host.load(with_custom_section(SLOW, "desk:manifest", manifest.encode()))

            tasks.start_soon(load)
            await until(lambda: children)
        assert gone(children[0])


# -- what can go wrong


async def test_garbage_is_refused(engine: Engine) -> None:
    """What does not validate is the author's doing, and the reason is wasmtime's own."""
    async with Compiler() as compile:
        for wasm in (BROKEN, b"\0asm\1\0\0\0\xff", binary("(module (memory 1 1 shared))")):
            with pytest.raises(Refused) as refused:
                await compile.program(engine, "broken", wasm)
            assert refused.value.reasons[0]


async def test_too_slow(engine: Engine, children: Children) -> None:
    """A module that would take a minute ends at the limit, with its name."""
    async with Compiler(QUICK) as compile:
        with anyio.fail_after(20), pytest.raises(CompileFailed, match=r"'slow' .*more than 300 ms") as failed:
            await compile.program(engine, "slow", SLOW)
        assert failed.value.limit == "compile_ms"
        assert gone(children[0])


async def test_too_large(engine: Engine) -> None:
    """A small module that takes much memory to compile ends at the limit, with its name."""
    async with Compiler(CompileLimits(compile_memory=320 << 20)) as compile:
        assert await compile.program(engine, "tiny", TINY)
        with pytest.raises(CompileFailed, match="memory") as failed:
            await compile.program(engine, "hungry", HUNGRY)
    assert failed.value.limit == "compile_memory"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
async def test_a_compiler_that_is_killed(engine: Engine, children: Children, number: signal.Signals) -> None:
    """Somebody else (the kernel, short of memory) ends the child: the error names the signal, and one may try again."""
    async with Compiler() as compile, anyio.create_task_group() as tasks:

        async def load() -> None:
            with pytest.raises(CompileFailed, match=rf"killed by signal {int(number)} \({number.name}\)") as failed:
                await compile.program(engine, "slow", SLOW)
            assert failed.value.limit is None

        tasks.start_soon(load)
        await until(lambda: children)
        children[0].send_signal(number)
        assert await compile.program(engine, "tiny", TINY)


@pytest.mark.parametrize(
    ("interpreter", "said"), [("/no/such/python", "could not be started"), ("/bin/false", "ended with status 1")]
)
async def test_no_interpreter(engine: Engine, monkeypatch: pytest.MonkeyPatch, interpreter: str, said: str) -> None:
    """Where `sys.executable` is not Python, as in an app that embeds one, the error says so."""
    monkeypatch.setattr(sys, "executable", interpreter)
    async with Compiler() as compile:
        with pytest.raises(CompileFailed, match=said):
            await compile.program(engine, "tiny", TINY)


async def test_an_app_that_ignores_its_children(engine: Engine) -> None:
    """With SIGCHLD ignored nobody learns a child's exit status, and compiling works all the same."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        async with Compiler() as compile:
            assert await compile.program(engine, "tiny", TINY)
            with pytest.raises(Refused):
                await compile.program(engine, "broken", BROKEN)
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_child_ends_itself_if_its_parent_is_gone() -> None:
    """Nobody kills it, and its own alarm does."""
    done = subprocess.run(compile_process.command(SMALL, 2 << 30, 0.3), input=SLOW, capture_output=True, timeout=20)
    assert done.returncode == -signal.SIGALRM


async def test_the_environment_cannot_turn_the_child(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither `PYTHONPATH` nor the working directory is where the child imports from."""
    for name in ("wasmtime", "sitecustomize", "signal"):
        (tmp_path / f"{name}.py").write_text("import os; os._exit(66)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "wasmtime.py"))
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    monkeypatch.chdir(tmp_path)
    async with Compiler() as compile:
        assert await compile.program(engine, "tiny", TINY)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files through /proc, as Linux has it")
async def test_nothing_is_left(engine: Engine, directory: Path, children: Children) -> None:
    """Twenty rounds of success, refusal, a limit and a cancelled wait: no file, thread or process more than before."""

    async def round(compile: Compiler, in_a_hurry: Compiler, number: int) -> None:
        await compile.program(engine, "many", binary(f"(module (func (drop (i32.const {number}))))"))
        with pytest.raises(Refused):
            await compile.program(engine, "broken", BROKEN)
        with pytest.raises(CompileFailed):
            await in_a_hurry.program(engine, "slow", SLOW)
        with anyio.move_on_after(0.02):
            await compile.program(engine, "slow", SLOW)
        await until(lambda: all(gone(child) for child in children))

    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    async with Compiler() as compile, Compiler(CompileLimits(compile_ms=150)) as in_a_hurry:
        await round(compile, in_a_hurry, 0)
        await round(compile, in_a_hurry, 1)
        files, threads = open_files(), threading.active_count()
        for number in range(2, 20):
            await round(compile, in_a_hurry, number)
        await until(lambda: open_files() <= files and threading.active_count() <= threads)
    assert [file.suffix for file in kept(directory)] == [".cwasm"] * 20


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "1", 1 << 63])
@pytest.mark.parametrize("name", ["compile_ms", "compile_memory", "compile_at_once"])
def test_a_limit_is_a_positive_integer(name: str, value: Any) -> None:
    """Anything else is refused when it is given, by name."""
    with pytest.raises(InvalidValue, match=name):
        CompileLimits(**{name: value})


# -- what is in the cache


def kept(directory: Path) -> list[Path]:
    return list(directory.iterdir())


def rewrite(file: Path, content: bytes) -> None:
    """Replace it: changing a file that is mapped would end this process."""
    file.unlink()
    file.touch(0o600)
    file.write_bytes(content)


def damage(file: Path) -> None:
    rewrite(file, b"\x7fELF" + bytes(1000))


def cut(file: Path) -> None:
    rewrite(file, file.read_bytes()[:-100])


def link(file: Path) -> None:
    file.rename(file.with_suffix(".elsewhere"))
    file.symlink_to(file.with_suffix(".elsewhere"))


def open_to_all(file: Path) -> None:
    file.chmod(0o666)


def block(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize("spoil", [damage, cut, link, open_to_all, block])
async def test_a_file_that_cannot_be_trusted_is_not_loaded(
    engine: Engine, another: Engine, third: Engine, directory: Path, children: Children, spoil: Callable[[Path], None]
) -> None:
    """Damaged, cut, a link, writable by others, or no file at all: the module is compiled again, and the file replaced."""
    async with Compiler() as compile:
        await compile.program(engine, "tiny", TINY)
        (file,) = kept(directory)
        spoil(file)
        assert not (await compile.program(another, "tiny", TINY)).cached
        assert (await compile.program(third, "tiny", TINY)).cached
    assert len(children) == 2
    assert file.lstat().st_mode == 0o100600


async def test_a_file_of_somebody_else_is_not_loaded(
    engine: Engine, another: Engine, directory: Path, children: Children
) -> None:
    """Also if the directory was exchanged after it was checked: each file is looked at."""
    if os.getuid() != 0:
        pytest.skip("only root can give a file away")
    async with Compiler() as compile:
        await compile.program(engine, "tiny", TINY)
        (file,) = kept(directory)
        os.chown(file, 65534, 65534)
        assert not (await compile.program(another, "tiny", TINY)).cached
    assert len(children) == 2


async def test_a_cache_that_cannot_be_written_costs_only_time(engine: Engine, another: Engine, directory: Path) -> None:
    """The program is there all the same, and no temporary file is left."""
    async with Compiler() as compile:
        await compile.program(engine, "tiny", TINY)
        (file,) = kept(directory)
        file.unlink()
        (file / "in the way").mkdir(parents=True)
        assert await compile.program(another, "tiny", TINY)
    assert kept(directory) == [file]
