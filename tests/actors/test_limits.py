"""Limits are whole numbers from 1 in the units that `docs/limits.md` tells, and each of them holds: a guest tries."""

import logging
import math
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import Mock

import anyio
import anyio.abc
import pytest
from extensions import ECHO, relay
from toolbox import ROOT, extension

import desk.actors.errors
import desk.actors.manifest
import desk.bus.errors
import desk.bus.subjects
import desk.bus.types.base
from desk.actors.engine.workers import Workers
from desk.actors.errors import BadReply, Killed, Refused, TooManyInstances, Trapped
from desk.actors.guest import Guest
from desk.actors.limits import KIB, MAX_TABLES, MIB, QUANTITY, Limits
from desk.bus import codec
from desk.bus.errors import DeadlineExceeded, DeskError
from desk.bus.mailbox import Mailbox
from desk.bus.types import InvalidValue, Signature
from desk.capabilities.capability import Capability, operation
from desk.capabilities.codes import Code
from desk.capabilities.provider import Use
from desk.capabilities.providers.state import State
from desk.host import Host
from desk.traces.log_rate import LogRate
from desk.traces.tracing import Tracing

PAGE = (ROOT / "docs" / "limits.md").read_text()
KEYS = tuple(each.name for each in fields(Limits))


# -- values


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("64MiB", "'64MiB' (string)"),
        (-5, "-5 (integer)"),
        (0, "0 (integer)"),
        (1.5, "1.5 (float)"),
        (True, "True (bool)"),
        (None, "none"),
        (1 << 63, f"{1 << 63} (integer)"),
    ],
)
def test_what_is_no_limit_is_refused_by_its_name(key: str, value: object, shown: str) -> None:
    """Anything but an integer from 1 that wasmtime can count to raises `InvalidValue` with key, unit and value."""
    with pytest.raises(InvalidValue) as caught:
        Limits(**{key: value})  # type: ignore[arg-type]
    unit = "" if QUANTITY[key] == "count" else f", in {QUANTITY[key]}"
    assert str(caught.value) == f"limit {key}: expected an integer from 1 to 2**63 - 1{unit}, got {shown}"


@pytest.mark.parametrize("key", KEYS)
def test_the_least_and_the_greatest_limit_are_taken(key: str) -> None:
    """1 and 2**63 - 1 are limits, and a manifest can lower each of them."""
    for value in (1, (1 << 63) - 1):
        assert getattr(Limits(**{key: value}), key) == value
    assert Limits().narrowed({key: 1}) == Limits(**{key: 1})


def test_every_limit_has_a_quantity() -> None:
    """What each limit counts is known, so that a manifest may ask for it in that unit."""
    assert tuple(QUANTITY) == KEYS == Limits.names()


# -- every limit holds

PATIENCE = 30.0
"""Seconds after which a test that hangs fails."""

HELD: dict[str, str] = {}
"""The test of each limit that shows what happens beyond it, by the limit's key."""

Test = TypeVar("Test", bound=Callable[..., object])


def holds(key: str) -> Callable[[Test], Test]:
    """Marks the test of a limit."""

    def mark(test: Test) -> Test:
        HELD[key] = test.__name__
        return test

    return mark


@pytest.mark.parametrize("key", KEYS)
def test_every_limit_has_a_test(key: str) -> None:
    """Whoever adds a limit adds a test that goes beyond it."""
    assert key in HELD


GREEDY = extension(
    """(name: "greedy", api_version: "0.1", exports: {
        "grow": (params: [i32], ret: i32),
        "recurse": (params: [], ret: i32),
        "spin": (params: []),
        "ask": (params: [i32, string, bytes], ret: bytes),
        "tell": (params: [i32, string, bytes], ret: i32),
        "hoard": (params: [i32, string, bytes], ret: i64),
        "chat": (params: [i32]),
    }, permissions: {bus: ["publish:news"]})""",
    """
    (func $take (param i32 i32 i32) (drop (call $read (local.get 0) (i32.const 0) (local.get 2) (local.get 1))))
    (func $take_both (param i32 i32 i32 i32)
      (call $take (local.get 0) (local.get 1) (i32.const 0))
      (call $take (local.get 2) (local.get 3) (i32.const 1024)))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func $recurse (export "recurse") (result i32) (i32.add (call $recurse) (i32.const 1)))
    (func (export "spin") (loop (br 0)))
    (func (export "ask") (param $count i32) (param $s i32) (param $s_len i32) (param $p i32) (param $p_len i32)
      (local $pair i64) (local $handle i32)
      (call $take_both (local.get $s) (local.get $s_len) (local.get $p) (local.get $p_len))
      (loop
        (call $drop (local.get $handle))
        (local.set $pair (call $request (i32.const 0) (local.get $s_len) (i32.const 1024) (local.get $p_len)))
        (local.set $handle (i32.wrap_i64 (i64.shr_u (local.get $pair) (i64.const 32))))
        (br_if 0 (local.tee $count (i32.sub (local.get $count) (i32.const 1)))))
      (call $take (local.get $handle) (i32.wrap_i64 (local.get $pair)) (i32.const 8192))
      (call $reply (i32.const 8192) (i32.wrap_i64 (local.get $pair))))
    (func (export "tell") (param $count i32) (param $s i32) (param $s_len i32) (param $p i32) (param $p_len i32)
      (result i32) (local $told i32)
      (call $take_both (local.get $s) (local.get $s_len) (local.get $p) (local.get $p_len))
      (loop
        (local.set $told (call $publish (i32.const 0) (local.get $s_len) (i32.const 1024) (local.get $p_len)))
        (br_if 0 (local.tee $count (i32.sub (local.get $count) (i32.const 1)))))
      (local.get $told))
    (func (export "hoard") (param $count i32) (param $s i32) (param $s_len i32) (param $p i32) (param $p_len i32)
      (result i64) (local $pair i64)
      (call $take_both (local.get $s) (local.get $s_len) (local.get $p) (local.get $p_len))
      (loop
        (local.set $pair (call $request (i32.const 0) (local.get $s_len) (i32.const 1024) (local.get $p_len)))
        (br_if 0 (local.tee $count (i32.sub (local.get $count) (i32.const 1)))))
      (local.get $pair))
    (func (export "chat") (param $count i32)
      (loop
        (call $log (i32.const 2) (i32.const 16384) (i32.const 4))
        (br_if 0 (local.tee $count (i32.sub (local.get $count) (i32.const 1))))))
    (data (i32.const 16384) "line")
    """,
)
"""`ask` and `tell` send the same thing so many times and return the last answer; `hoard` keeps all answers."""


def hosting(tmp_path: Path, limits: Limits | None = None) -> Host:
    """A host of its own for one test."""
    return Host(cache_dir=tmp_path, tracing=Tracing.off(), limits=limits)


@asynccontextmanager
async def greedy(tmp_path: Path, limits: Limits) -> AsyncIterator[Host]:
    """A host with the greedy guest."""
    with anyio.fail_after(PATIENCE):
        async with hosting(tmp_path, limits) as host:
            await host.load(GREEDY, grants="requested")
            yield host


async def asked(host: Host, count: int, payload: bytes = b"\x01") -> tuple[Code, str]:
    """The last answer to so many requests that nobody can fulfil: its code and message."""
    answer = await host.call("greedy", "ask", count, "cap.nothing", payload)
    assert isinstance(answer, bytes)
    value = codec.decode(answer)
    assert isinstance(value, dict)
    error = value["error"]
    assert isinstance(error, dict)
    code, message = error["code"], error["message"]
    assert isinstance(code, int)
    return Code(code), str(message)


async def killed_by(call: Awaitable[object]) -> str:
    """The limit that a call ends at."""
    with pytest.raises(Killed) as caught:
        await call
    assert f"{caught.value.limit} = " in str(caught.value)
    return caught.value.limit


@holds("memory")
@pytest.mark.anyio
async def test_memory_grows_to_the_limit_and_no_further(tmp_path: Path) -> None:
    """`memory.grow` answers -1 then, and the guest goes on."""
    async with greedy(tmp_path, Limits(memory=2 * MIB)) as host:
        assert await host.call("greedy", "grow", 31) == 1
        assert [await host.call("greedy", "grow", pages) for pages in (1, 0)] == [-1, 32]


@pytest.mark.anyio
async def test_a_recursion_ends_at_the_stack(tmp_path: Path) -> None:
    """It is a trap with a code of its own, and the next call has a fresh instance."""
    async with greedy(tmp_path, Limits()) as host:
        with pytest.raises(Trapped) as caught:
            await host.call("greedy", "recurse")
        assert caught.value.code == "stack_overflow"
        assert "with the code `stack_overflow`" in PAGE
        assert await host.call("greedy", "grow", 0) == 1


@holds("wall_ms")
@pytest.mark.anyio
async def test_a_call_ends_with_its_wall_time(tmp_path: Path) -> None:
    """Whatever it may compute."""
    async with greedy(tmp_path, Limits(wall_ms=60, cpu_ms=600_000)) as host:
        assert await killed_by(host.call("greedy", "spin")) == "wall_ms"


@holds("cpu_ms")
@pytest.mark.anyio
async def test_a_call_ends_with_its_processor_time(tmp_path: Path) -> None:
    """However long it may take."""
    async with greedy(tmp_path, Limits(wall_ms=600_000, cpu_ms=30)) as host:
        assert await killed_by(host.call("greedy", "spin")) == "cpu_ms"


@holds("fuel")
@pytest.mark.anyio
async def test_a_call_ends_with_its_fuel_in_the_profile_that_counts_it(tmp_path: Path) -> None:
    """Each call has all of it. In another profile the very same limit is none."""
    limits = Limits(fuel=1_000_000, wall_ms=600_000, cpu_ms=200)
    for profile, limit in (("deterministic", "fuel"), ("small", "cpu_ms")):
        with anyio.fail_after(PATIENCE):
            async with hosting(tmp_path, limits) as host:
                await host.load(GREEDY, profile=profile)
                for _ in range(2):
                    assert await killed_by(host.call("greedy", "spin")) == limit
                assert await host.call("greedy", "grow", 0) == 1


@holds("share")
@pytest.mark.anyio
async def test_who_has_the_larger_share_gets_more_of_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two that compute the same time on one worker, the one with twenty times the share is done first, though it came last."""
    monkeypatch.setattr("desk.host.opening.Workers", lambda: Workers(1))
    over: list[str] = []

    async def spin(host: Host, name: str) -> None:
        assert await killed_by(host.call(name, "spin")) == "cpu_ms"
        over.append(name)

    def spinner(name: str, limits: str) -> bytes:
        text = f'(name: "{name}", api_version: "0.1", exports: {{"spin": (params: [])}}, limits: {{{limits}}})'
        return extension(text, '(func (export "spin") (loop (br 0)))')

    with anyio.fail_after(PATIENCE):
        async with hosting(tmp_path, Limits(share=20, cpu_ms=100, wall_ms=60_000)) as host:
            await host.load(spinner("modest", "share: 1"))
            await host.load(spinner("large", ""))
            async with anyio.create_task_group() as tasks:
                for name in ("modest", "large"):
                    tasks.start_soon(spin, host, name)
    assert over == ["large", "modest"]


@holds("start_ms")
@pytest.mark.anyio
@pytest.mark.parametrize("hook", ["_initialize", "desk_start"])
async def test_a_start_ends_with_its_time(tmp_path: Path, hook: str) -> None:
    """`load` raises it, and the extension is not there."""
    endless = extension('(name: "endless", api_version: "0.1")', f'(func (export "{hook}") (loop (br 0)))')
    with anyio.fail_after(PATIENCE):
        async with hosting(tmp_path, Limits(start_ms=60)) as host:
            assert await killed_by(host.load(endless)) == "start_ms"
            assert host.extensions() == ()


@holds("request")
@pytest.mark.anyio
async def test_one_payload_has_a_size(tmp_path: Path) -> None:
    """Larger ones are refused with `too_large`, both ways of sending, and the guest goes on."""
    async with greedy(tmp_path, Limits(request=100)) as host:
        fits, large = codec.encode(bytes(98)), codec.encode(bytes(99))
        assert (await asked(host, 1, fits))[0] == Code.UNKNOWN
        assert await asked(host, 1, large) == (
            Code.TOO_LARGE,
            "101 bytes in one payload; 100 are allowed (limit request)",
        )
        assert await host.call("greedy", "tell", 1, "news", fits) == 0
        assert await host.call("greedy", "tell", 1, "news", large) == -Code.TOO_LARGE


@holds("requests")
@pytest.mark.anyio
async def test_one_message_makes_so_many_requests(tmp_path: Path) -> None:
    """One more is `overloaded`, of either kind, refused ones count as well; the next message has all of them again."""
    async with greedy(tmp_path, Limits(requests=5, request=100)) as host:
        for _ in range(2):
            assert (await asked(host, 5))[0] == Code.UNKNOWN
            code, message = await asked(host, 6)
            assert code == Code.OVERLOADED
            assert "5 requests and publications (limit requests)" in message
            assert await host.call("greedy", "tell", 5, "news", b"\x01") == 0
            assert await host.call("greedy", "tell", 6, "news", b"\x01") == -Code.OVERLOADED
            assert await host.call("greedy", "tell", 5, "news", bytes(200)) == -Code.TOO_LARGE
            assert await host.call("greedy", "tell", 6, "news", bytes(200)) == -Code.OVERLOADED


@holds("sent")
@pytest.mark.anyio
async def test_one_message_sends_so_many_bytes(tmp_path: Path) -> None:
    """What goes beyond is `overloaded`; the next message may send as much again."""
    payload = codec.encode(bytes(38))  # 40 bytes
    async with greedy(tmp_path, Limits(sent=100)) as host:
        for _ in range(2):
            assert (await asked(host, 2, payload))[0] == Code.UNKNOWN
            code, message = await asked(host, 3, payload)
            assert code == Code.OVERLOADED
            assert "80 bytes are sent, and 40 more do not fit; one message may send 100 (limit sent)" in message
            assert await host.call("greedy", "tell", 2, "news", payload) == 0
            assert await host.call("greedy", "tell", 3, "news", payload) == -Code.OVERLOADED


@pytest.mark.anyio
async def test_a_flood_of_refused_requests_ends_at_the_guests_own_limits(tmp_path: Path) -> None:
    """To go on asking beyond `requests` is no way to keep the host at work for longer than one message may take."""
    async with greedy(tmp_path, Limits(requests=5, wall_ms=200)) as host:
        assert await killed_by(host.call("greedy", "tell", 1 << 30, "news", b"\x01")) in ("wall_ms", "cpu_ms")


@holds("reply")
@pytest.mark.anyio
async def test_a_reply_has_a_size(tmp_path: Path) -> None:
    """A larger one is a `BadReply`, and the instance stays."""
    with anyio.fail_after(PATIENCE):
        async with hosting(tmp_path, Limits(reply=100)) as host:
            await host.load(ECHO)
            assert await host.call("echo", "echo", bytes(100)) == bytes(100)
            with pytest.raises(BadReply, match="larger than the limit of 100 bytes"):
                await host.call("echo", "echo", bytes(101))
            assert host.extensions()[0].statistics.instances == 1


@holds("handles")
@pytest.mark.anyio
async def test_a_call_holds_so_many_payloads(tmp_path: Path) -> None:
    """Two arguments and three answers are five; one more answer is not given, nor is it asked for."""
    async with greedy(tmp_path, Limits(handles=5)) as host:
        for _ in range(2):
            assert await pair(host, 3) == (5, None)
            assert await pair(host, 4) == (0, Code.OVERLOADED)


@holds("held")
@pytest.mark.anyio
async def test_a_call_holds_so_many_bytes(tmp_path: Path) -> None:
    """When the limit is reached there is no further answer until something is dropped."""
    async with greedy(tmp_path, Limits(held=len("cap.nothing") + 101)) as host:
        assert await pair(host, 1, codec.encode(bytes(98))) == (3, None)
        assert await pair(host, 2, codec.encode(bytes(98))) == (0, Code.OVERLOADED)
        assert await pair(host, 1, codec.encode(bytes(99))) == (0, Code.OVERLOADED)


async def pair(host: Host, count: int, payload: bytes = b"\x01") -> tuple[int, Code | None]:
    """The last pair of so many answers that are all held: its handle, and its code if that is 0."""
    value = await host.call("greedy", "hoard", count, "cap.nothing", payload)
    assert isinstance(value, int)
    return value >> 32, None if value >> 32 else Code(value & 0xFFFF_FFFF)


@holds("log_line")
@pytest.mark.anyio
async def test_a_log_line_is_cut(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log says how much is missing."""
    async with greedy(tmp_path, Limits(log_line=3)) as host:
        assert await logged(host, caplog, 1) == ["lin… (1 more bytes)"]


def test_lines_that_will_not_be_logged_are_not_looked_at() -> None:
    """A guest prints 64 KiB of line feeds, on the fiber, where no tick ends it: what is beyond the limit is only counted."""
    now = Mock(return_value=0.0)
    rate = LogRate(1, 2, now)
    guest = Guest(Limits(log_lines=5), rate)
    guest.write(1, b"a\n" + b"\n" * 65_000 + b"end")
    assert now.call_count < 20
    assert [line for _, line in guest.take_lines()] == ["a", ""]
    assert rate.dropped == 65_001 - 2 + 1


@holds("log_lines")
@pytest.mark.anyio
async def test_a_call_writes_so_many_log_lines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One line says how many more there were."""
    async with greedy(tmp_path, Limits(log_lines=3, log_rate=1_000_000)) as host:
        for _ in range(2):
            assert await logged(host, caplog, 10) == ["line"] * 3 + ["(7 more lines were dropped)"]


@holds("log_rate")
@pytest.mark.anyio
async def test_an_extension_writes_so_many_lines_a_second(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """However it spreads them over calls, and however often it starts afresh. Nothing is lost without being counted."""
    began = time.monotonic()
    async with greedy(tmp_path, Limits(log_lines=5, log_rate=1)) as host:
        lines: list[str] = []
        for _ in range(15):
            lines += await logged(host, caplog, 2)
            with pytest.raises(Trapped):
                await host.call("greedy", "recurse")
        assert host.extensions()[0].statistics.instances == 15
    assert 6 <= len(lines) <= 6 + math.ceil(time.monotonic() - began)
    assert lines[:6] == ["line"] * 6
    assert lines.count("line") + sum(int(line.split()[0][1:]) for line in lines if line != "line") <= 30


async def logged(host: Host, caplog: pytest.LogCaptureFixture, count: int) -> list[str]:
    """What is in the log after a call that wrote so many lines."""
    caplog.clear()
    with caplog.at_level(logging.INFO, "desk.ext.greedy"):
        await host.call("greedy", "chat", count)
    return [record.getMessage() for record in caplog.records if record.name == "desk.ext.greedy"]


@dataclass
class Stuck:
    """An extension whose turn does not end before `go_on`, and those who call it meanwhile."""

    host: Host
    tasks: anyio.abc.TaskGroup
    gate: Mailbox
    sent: int = 0
    answered: int = 0

    async def call(self, payload: bytes = b"") -> None:
        """Call it, and wait until the call is where it will stay."""
        self.sent += 1
        self.tasks.start_soon(self._call, payload)
        await anyio.wait_all_tasks_blocked()

    async def _call(self, payload: bytes) -> None:
        await self.host.call("relay", "tell", "news", payload)
        self.answered += 1

    @property
    def queued(self) -> int:
        """Calls in the mailbox of the extension."""
        return self.host.extensions()[0].statistics.queued

    async def go_on(self) -> None:
        """Let the turn end."""
        envelope = await self.gate.take()
        assert envelope is not None
        assert envelope.reply is not None
        envelope.reply.answer(None)


@asynccontextmanager
async def stuck(tmp_path: Path, limits: Limits) -> AsyncIterator[Stuck]:
    """While it is; at the end everyone is answered."""
    with anyio.fail_after(PATIENCE):
        async with hosting(tmp_path, limits) as host:
            await host.load(relay("relay", 'call: ["gate/wait"]'), grants="requested")
            gate = Mailbox("gate")
            host.bus.serve("ext.gate.wait", Signature(()), gate)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(host.call, "relay", "ask", "ext.gate.wait", codec.encode([]))
                here = Stuck(host, tasks, gate)
                await anyio.wait_all_tasks_blocked()
                yield here
                await here.go_on()
            assert here.answered == here.sent


@holds("mailbox")
@pytest.mark.anyio
async def test_so_many_messages_wait_for_an_extension(tmp_path: Path) -> None:
    """One more caller waits for room; its deadline ends that, and is no loss to anyone else."""
    async with stuck(tmp_path, Limits(mailbox=2)) as here:
        for queued in (1, 2, 2):
            await here.call()
            assert here.queued == queued
        with pytest.raises(DeadlineExceeded):
            await here.host.call("relay", "handled", deadline=0.05)


@holds("mailbox_bytes")
@pytest.mark.anyio
async def test_so_many_bytes_wait_for_an_extension(tmp_path: Path) -> None:
    """Callers wait for room, one behind the other, though there are few messages."""
    async with stuck(tmp_path, Limits(mailbox_bytes=100)) as here:
        for payload, queued in ((80, 1), (20, 1), (1, 1)):  # with the four bytes of the subject
            await here.call(bytes(payload))
            assert here.queued == queued


@pytest.mark.anyio
async def test_a_host_has_so_many_instances(tmp_path: Path) -> None:
    """`load` is refused with what to raise; what is loaded goes on, also after a crash, and what is removed makes room."""
    with anyio.fail_after(PATIENCE):
        async with Host(cache_dir=tmp_path, tracing=Tracing.off(), max_instances=2) as host:
            await host.load(GREEDY)
            await host.load(ECHO)
            for _ in range(2):
                with pytest.raises(TooManyInstances, match=r"this host has 2, .*Host\(max_instances=2\)"):
                    await host.load(relay("relay"))
            assert len(host.extensions()) == 2
            for _ in range(3):
                with pytest.raises(Trapped):
                    await host.call("echo", "trap")
            assert await host.call("echo", "add", 1, 2) == 3
            await host.remove("greedy")
            await host.load(relay("relay"))


# -- tables


def module_with_tables(*elements: int) -> bytes:
    """An extension with tables of these sizes, and an export that grows the last by one."""
    tables = "".join(f"(table {count} funcref)" for count in elements)
    grow = f"(table.grow {len(elements) - 1} (ref.null func) (i32.const 1))" if elements else "(i32.const -1)"
    return extension(
        '(name: "tables", api_version: "0.1", exports: {"grow": (params: [], ret: i32)})',
        f'{tables} (func (export "grow") (result i32) {grow})',
    )


@pytest.mark.anyio
async def test_as_many_tables_as_admission_takes_can_be_made(tmp_path: Path) -> None:
    """A module with `MAX_TABLES` runs; with one more it is refused at admission, and not only when it is instantiated."""
    async with hosting(tmp_path) as host:
        await host.load(module_with_tables(*[1] * MAX_TABLES))
        assert await host.call("tables", "grow") == 1
        await host.remove("tables")
        with pytest.raises(Refused, match=f"has {MAX_TABLES + 1} tables; expected {MAX_TABLES} at most"):
            await host.load(module_with_tables(*[1] * (MAX_TABLES + 1)))


@holds("table_elements")
@pytest.mark.anyio
async def test_the_elements_are_limited_in_each_table(tmp_path: Path) -> None:
    """Two tables may both start full; neither grows beyond the limit, nor starts beyond it."""
    async with hosting(tmp_path, Limits(table_elements=100)) as host:
        await host.load(module_with_tables(100, 100))
        assert await host.call("tables", "grow") == -1
        await host.remove("tables")
        await host.load(module_with_tables(100, 99))
        assert [await host.call("tables", "grow") for _ in range(2)] == [99, -1]
        await host.remove("tables")
        with pytest.raises(Refused, match="starts with 101 table elements; the limit `table_elements` is 100"):
            await host.load(module_with_tables(1, 101))


# -- what it has open, and what it keeps


class Doors(Capability):
    """Opens doors, which is all that one can do with it."""

    name = "doors"

    @operation(needs=None)
    async def open(self, use: Use, width: int) -> int:
        """The handle of one more."""
        del width
        return use.resources.add(Mock(), (), use.origin.principals)

    @operation(needs=None)
    async def close(self, use: Use, handle: int) -> None:
        """Close one."""
        use.resources.close(handle)


async def told(host: Host, capability: str, request: dict[str, object]) -> Any:
    """What the relay is answered: the value, or code and message."""
    raw = await host.call("relay", "ask", f"cap.{capability}", codec.encode(request))
    assert isinstance(raw, bytes)
    answer = codec.decode(raw)
    assert isinstance(answer, dict)
    error = answer.get("error")
    return (Code(error["code"]), error["message"]) if isinstance(error, dict) else answer["ok"]


@holds("resources")
@pytest.mark.anyio
async def test_an_extension_has_so_much_open(tmp_path: Path) -> None:
    """One more is `overloaded`, whichever call asks for it; a manifest can ask for less room; closing one makes some."""
    with anyio.fail_after(PATIENCE):
        async with Host(
            cache_dir=tmp_path, tracing=Tracing.off(), limits=Limits(resources=3), providers=Doors().operations()
        ) as host:
            await host.load(relay("relay", more="limits: {resources: 2}"))
            assert [await told(host, "doors.open", {"width": 80}) for _ in range(2)] == [1, 2]
            code, message = await told(host, "doors.open", {"width": 80})
            assert code == Code.OVERLOADED
            assert "2 resources are open, which is the limit (resources)" in message
            assert await told(host, "doors.close", {"handle": 1}) is None
            assert await told(host, "doors.open", {"width": 80}) == 3


@holds("storage")
@pytest.mark.anyio
async def test_an_extension_keeps_so_many_bytes(tmp_path: Path) -> None:
    """What would go beyond is `overloaded`, what is kept stays, and deleting makes room."""
    state = State(tmp_path / "data")
    with anyio.fail_after(PATIENCE):
        async with Host(
            cache_dir=tmp_path, tracing=Tracing.off(), limits=Limits(storage=4_000), providers=state.operations()
        ) as host:
            await host.load(relay("relay"))
            assert await told(host, "state.put", {"key": "a", "value": bytes(2_500)}) is None
            code, message = await told(host, "state.put", {"key": "b", "value": bytes(2_500)})
            assert code == Code.OVERLOADED
            assert "the limit (storage) is 4,000" in message
            assert await told(host, "state.get", {"key": "a"}) == bytes(2_500)
            assert await told(host, "state.delete", {"key": "a"}) is True
            assert await told(host, "state.put", {"key": "b", "value": bytes(2_500)}) is None
        state.close()


# -- the page


def rows(first: str) -> Iterator[list[str]]:
    """The cells of each row of the table whose first column is called so."""
    table = PAGE.split(f"| {first} |", 1)[1].split("\n\n", 1)[0]
    for line in table.splitlines()[2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def test_the_page_has_every_limit_with_unit_and_default() -> None:
    """Keys, units and defaults in `docs/limits.md` are those of `Limits`, in its order, and no cell is empty."""
    told: dict[str, tuple[str, int]] = {}
    for key, unit, default, *seen in rows("key"):
        number = re.fullmatch(r"([\d,]+)(?: (MiB|KiB))?", default)
        assert number, default
        told[key.strip("`")] = (
            unit,
            int(number[1].replace(",", "")) * {"": 1, "KiB": KIB, "MiB": MIB}[number[2] or ""],
        )
        assert len(seen) == 2
        assert all(seen)
    assert told == {each.name: (QUANTITY[each.name], each.default) for each in fields(Limits)}
    assert list(told) == list(KEYS)
    assert f"a module may have {MAX_TABLES}." in PAGE


def test_the_errors_on_the_page_exist() -> None:
    """What the caller is said to see are errors of ours."""
    rooms = desk.bus.errors, desk.bus.subjects, desk.bus.types.base, codec, desk.actors.manifest, desk.actors.errors
    ours = {name: value for room in rooms for name, value in vars(room).items()}
    named = {
        name for table in ("key", "what") for *_, caller in rows(table) for name in re.findall(r"`([A-Z]\w+)`", caller)
    }
    assert {"Killed", "BadReply", "Refused", "TooManyInstances", "CompileFailed"} <= named
    assert all(issubclass(ours[name], DeskError) for name in named)
