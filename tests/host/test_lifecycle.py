"""A host before, during and after its `async with`; what loading and granting say to someone who gets them wrong."""

import logging
import threading
from pathlib import Path

import anyio
import pytest
from extensions import ECHO, relay
from toolbox import extension

from desk.actors.engine.instance import Instance
from desk.actors.errors import Killed, Trapped
from desk.actors.limits import Limits
from desk.bus import codec
from desk.host import Host
from desk.host.errors import HostNotOpen, UnreadableModule
from desk.traces.tracing import Tracing

pytestmark = pytest.mark.anyio

STARTS_FOREVER = extension(
    '(name: "slow", api_version: "0.1", exports: {"f": (params: [])})',
    '(func (export "f")) (func (export "desk_start") (loop (br 0)))',
)


def make_host(tmp_path: Path, limits: Limits | None = None) -> Host:
    """A host without traces."""
    return Host(cache_dir=tmp_path / "cache", tracing=Tracing.off(), limits=limits)


async def test_a_host_works_only_while_it_is_open(tmp_path: Path) -> None:
    """Before `async with` and after it, every method says what to do; entering twice is refused."""
    host = make_host(tmp_path)
    for _ in range(2):
        with pytest.raises(HostNotOpen, match="async with Host"):
            await host.load(ECHO)
        with pytest.raises(HostNotOpen):
            await host.call("echo", "add", 1, 2)
        with pytest.raises(HostNotOpen):
            await host.publish("x", 1)
        with pytest.raises(HostNotOpen):
            host.subscribe("x")
        with pytest.raises(HostNotOpen):
            await host.remove("echo")
        with pytest.raises(HostNotOpen):
            host.grants.list("echo")
        assert host.extensions() == ()
        if "new" in repr(host):
            async with host:
                await host.load(ECHO)
                with pytest.raises(HostNotOpen, match="open already"):
                    await host.__aenter__()
    with pytest.raises(HostNotOpen, match="closed already"):
        async with host:
            pass


async def test_closing_a_host_ends_a_load_in_progress(tmp_path: Path) -> None:
    """Even if the guest never finishes its start: the load is told, and the host closes."""
    outcome: list[BaseException] = []

    async def load(host: Host) -> None:
        try:
            await host.load(STARTS_FOREVER)
        except HostNotOpen as error:
            outcome.append(error)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks, make_host(tmp_path, Limits(start_ms=600_000)) as host:
            await host.load(ECHO)  # so that the other load is not still starting a compiler
            tasks.start_soon(load, host)
            await anyio.sleep(0.5)
    assert len(outcome) == 1


async def test_a_large_module_is_instantiated_in_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copying megabytes of initial data is nothing for the event loop; the extension does not notice, nor after a crash."""
    monkeypatch.setattr("desk.actors.runner.LARGE", 0)
    threads: list[bool] = []
    poll = Instance.poll

    def watched(self: Instance) -> bool:
        threads.append(threading.current_thread() is threading.main_thread())
        return poll(self)

    async with Host(cache_dir=tmp_path / "cache", tracing=Tracing.off()) as host:
        monkeypatch.setattr(Instance, "poll", watched)
        await host.load(ECHO)
        assert not any(threads)
        assert await host.call("echo", "add", 1, 2) == 3
        with pytest.raises(Trapped):
            await host.call("echo", "trap")
        threads.clear()
        assert await host.call("echo", "add", 1, 2) == 3
        assert (threads[0], threads[-1]) == (False, True)


async def test_a_guest_that_never_starts_is_killed(tmp_path: Path) -> None:
    """The limit is named with its value, and the host is as it was."""
    async with make_host(tmp_path, Limits(start_ms=50)) as host:
        with pytest.raises(Killed, match=r"^slow\.desk_start: .*start_ms = 50"):
            await host.load(STARTS_FOREVER)
        assert host.extensions() == ()


async def test_grants_are_permissions_or_the_word_requested(tmp_path: Path) -> None:
    """Anything else is a mistake of the app, said in terms of what it should be."""
    async with make_host(tmp_path) as host:
        for wrong in ("all", ["network"], 42):
            with pytest.raises(TypeError, match="requested"):
                await host.load(ECHO, grants=wrong)  # type: ignore[arg-type]
        assert host.extensions() == ()


async def test_a_grant_that_nobody_asked_for_is_noticed(tmp_path: Path) -> None:
    """Both are needed, so it gives nothing, and says so; a wider grant than what is asked for is fine."""
    async with make_host(tmp_path) as host:
        wide = {"bus": ["publish:news.**"], "network": ["api.example.com"], "filesystem": ["readwrite:/srv/maps"]}
        asks = 'bus: ["publish:news.local"], filesystem: ["read:/srv"]'  # of the files, both have something in common
        loaded = await host.load(relay("talker", asks), grants=wide)
        assert loaded.notices == (
            "is granted network connect:api.example.com:443, but its manifest does not ask for it, so it gets nothing",
        )


async def test_a_manifest_may_be_a_path(tmp_path: Path) -> None:
    """A `Path` is read; a text that looks like a file name is recognised."""
    manifest = tmp_path / "other.ron"
    manifest.write_text('(name: "renamed", api_version: "0.1")')
    bare = extension("", "").replace(b"desk:manifest", b"something-els")
    async with make_host(tmp_path) as host:
        assert (await host.load(bare, manifest=manifest)).name == "renamed"
        with pytest.raises(UnreadableModule, match="Path"):
            await host.load(bare, manifest=str(manifest))


async def test_a_home_that_cannot_be_written_costs_only_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The default cache directory is a convenience; one that the app named must work."""
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(file))
    with caplog.at_level(logging.WARNING, "desk.host"):
        async with Host(tracing=Tracing.off()) as host:
            await host.load(ECHO)
            assert await host.call("echo", "add", 1, 1) == 2
    assert "not kept" in caplog.text
    with pytest.raises(OSError, match="file"):
        async with Host(tracing=Tracing.off(), cache_dir=file / "cache"):
            pass


# -- what one extension cannot do to another


async def test_a_slow_callee_does_not_cost_the_caller_its_life(tmp_path: Path) -> None:
    """Who asks somebody that never answers is told `deadline`, and keeps its state."""
    async with make_host(tmp_path, Limits(wall_ms=400, cpu_ms=10_000)) as host:
        await host.load(ECHO)
        await host.load(relay("asker", 'call: ["echo/*"]'), grants="requested")
        raw = await host.call("asker", "ask", "ext.echo.spin", codec.encode([]))
        assert isinstance(raw, bytes)
        assert codec.decode(raw)["error"]["code"] == 5  # type: ignore[index, call-overload]
        asker = next(extension for extension in host.extensions() if extension.name == "asker")
        assert (asker.statistics.failed, asker.statistics.instances) == (0, 1)


async def test_an_extension_that_restarts_into_its_own_events_runs_out_of_hops(tmp_path: Path) -> None:
    """It publishes when it starts, and crashes on what it publishes: the descent is counted through the restarts."""
    storm = extension(
        """(name: "storm", api_version: "0.1", exports: {"on_event": (params: [any])},
            subscribes: {"x": "on_event"}, publishes: {"x": i32})""",
        """
        (func (export "desk_start")
          (drop (call $publish (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 1))))
        (func (export "on_event") (param i32 i32) (unreachable))
        (data (i32.const 0) "x\\01")
        """,
    )
    async with make_host(tmp_path) as host:
        await host.load(storm, grants="requested")
        await host.publish("x", 1)
        await anyio.sleep(0.5)
        assert host.extensions()[0].statistics.instances < 30


async def test_log_lines_are_limited_for_the_whole_message(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Asking in between does not start the count anew."""
    chatty = extension(
        '(name: "chatty", api_version: "0.1", exports: {"go": (params: [])})',
        """
        (func (export "go") (local $left i32)
          (local.set $left (i32.const 40))
          (loop
            (call $log (i32.const 2) (i32.const 0) (i32.const 1))
            (drop (call $publish (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 1)))
            (br_if 0 (local.tee $left (i32.sub (local.get $left) (i32.const 1))))))
        (data (i32.const 0) "x\\01")
        """,
    )
    async with make_host(tmp_path, Limits(log_lines=10)) as host:
        await host.load(chatty)
        with caplog.at_level(logging.INFO, "desk.ext.chatty"):
            await host.call("chatty", "go")
    lines = [record.getMessage() for record in caplog.records if record.name == "desk.ext.chatty"]
    assert lines.count("x") == 10
    assert sum(int(line.split()[0].strip("(")) for line in lines if "dropped" in line) == 30
