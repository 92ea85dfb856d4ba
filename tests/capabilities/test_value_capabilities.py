"""The small values of the host: environment variables, clocks, random numbers, settings."""

import logging
import time
from collections.abc import Awaitable
from hashlib import blake2b
from itertools import pairwise

import anyio
import pytest
from extensions import relay
from hypothesis import given
from hypothesis import strategies as st
from members import Asking, asking
from opentelemetry.trace import StatusCode

from desk.bus import codec
from desk.capabilities.codes import CapabilityError, Code
from desk.capabilities.env_atoms import EnvAtom
from desk.capabilities.level_atoms import ClockAtom, RandomAtom
from desk.capabilities.providers.clock import LONGEST_SLEEP_MS, TICK_NS, WALL_TICK_NS, Clock, coarse
from desk.capabilities.providers.config import Config
from desk.capabilities.providers.env import Env
from desk.capabilities.providers.random import MOST, Random, stream
from desk.capabilities.secrets import Secret
from desk.capabilities.syntax import PermissionSyntaxError
from desk.host import Host
from desk.testing.clock import ManualClock
from desk.traces import names

pytestmark = pytest.mark.anyio

PATIENCE = 30.0
"""Seconds after which a test that hangs fails."""


async def code_of(asked: Awaitable[object]) -> Code:
    """The code that a request is answered with instead of a result."""
    with pytest.raises(CapabilityError) as error:
        await asked
    return error.value.guest_code


# -- env

ENVIRON = {
    "HOME": "/home/x",
    "APP_MODE": "test",
    "APP_EMPTY": "",
    "SECRET": "s3cret",
    "BAD": "caf\udce9",
    "LD_PRELOAD": "x",
}


@pytest.fixture
def env() -> Asking:
    return asking(Env(ENVIRON))


async def test_what_is_granted_of_the_environment_is_read(env: Asking) -> None:
    """By name or by the beginning of names. What is not set is none, what is set to nothing is empty."""
    a = env.member("a", {"env": ["HOME", "APP_*"]})
    assert await env.ask(a, "env.get", name="HOME") == "/home/x"
    assert await env.ask(a, "env.get", name="APP_MODE") == "test"
    assert await env.ask(a, "env.get", name="APP_EMPTY") == ""
    assert await env.ask(a, "env.get", name="APP_OTHER") is None


async def test_what_is_not_granted_is_as_if_it_were_not_set(env: Asking) -> None:
    """Case 89: the guest cannot tell the two apart; audit and trace can."""
    a = env.member("a", {"env": ["APP_*"]})
    unset = await env.ask(a, "env.get", name="APP_OTHER")
    assert [await env.ask(a, "env.get", name=name) for name in ("SECRET", "HOME", "NOWHERE")] == [unset] * 3
    assert [(record.permission, record.allowed) for record in env.audit.records] == [
        ("env read:APP_OTHER", True),
        *((f"env read:{name}", False) for name in ("SECRET", "HOME", "NOWHERE")),
    ]
    decided = [span for span in env.recorder.spans if span.attributes and names.ALLOWED in span.attributes]
    assert [span.status.status_code for span in decided][1:] == [StatusCode.ERROR] * 3


async def test_on_behalf_of_others_it_is_as_if_it_were_not_set(env: Asking) -> None:
    """A caller without the right gets none through one that has it."""
    a = env.member("a", {"env": ["HOME"]})
    env.member("b")
    assert await env.ask(a, "env.get", behalf=("b",), name="HOME") is None


@pytest.mark.parametrize(
    "name", ["", "A=B", "LD_PRELOAD", "ld_preload", "PYTHONPATH", "A\x00", "É", "*", "APP_*", " HOME"]
)
async def test_what_is_no_name_is_invalid(env: Asking, name: str) -> None:
    """Whether it is set or not: what tells linkers and Python what to load is nobody's, whatever was granted."""
    a = env.member("a", {"env": ["L*", "P*", "APP_*"]})
    assert await code_of(env.ask(a, "env.get", name=name)) is Code.INVALID


async def test_a_value_that_is_no_text_is_unavailable(env: Asking) -> None:
    """An environment is bytes; those that are not UTF-8 have no form in a message, and are not shown."""
    a = env.member("a", {"env": ["BAD"]})
    assert await code_of(env.ask(a, "env.get", name="BAD")) is Code.UNAVAILABLE


async def test_it_is_the_environment_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is at that moment."""
    world = asking(Env())
    a = world.member("a", {"env": ["DESK_TEST_*"]})
    assert await world.ask(a, "env.get", name="DESK_TEST_X") is None
    monkeypatch.setenv("DESK_TEST_X", "1")
    assert await world.ask(a, "env.get", name="DESK_TEST_X") == "1"


async def test_a_guest_gets_the_same_bytes_for_denied_and_unset() -> None:
    """Case 89, through the whole way: byte for byte."""
    with anyio.fail_after(PATIENCE):
        async with Host(providers=Env(ENVIRON).operations()) as host:
            await host.load(relay("reader", 'env: ["APP_*"]'), grants={"env": ["APP_*"]})
            answers = [
                await host.call("reader", "ask", "cap.env.get", codec.encode({"name": name}))
                for name in ("APP_OTHER", "SECRET", "NOWHERE")
            ]
            assert answers == [codec.encode({"ok": None})] * 3
            assert [record.allowed for record in host.audit.records][-3:] == [True, False, False]


# -- clock


async def test_each_clock_takes_its_level() -> None:
    """A level includes those below it, and nothing above."""
    world = asking(Clock())
    requests: list[dict[str, object]] = [
        {"clock": "monotonic"},
        {"clock": "monotonic", "fine": True},
        {"clock": "wall", "fine": False},
        {"clock": "wall", "fine": True},
    ]
    for rank, level in enumerate(("none", "monotonic:coarse", "monotonic", "wall:coarse", "wall")):
        member = world.member("a", {"clock": [level]})
        for number, request in enumerate(requests):
            if number < rank:
                assert await world.ask(member, "clock.now", **request) > 0
            else:
                assert await code_of(world.ask(member, "clock.now", **request)) is Code.DENIED


async def test_the_wall_clock_is_the_machines() -> None:
    """In nanoseconds since 1970: fine as it is, coarse as the second that began last."""
    world = asking(Clock())
    a = world.member("a", {"clock": ["wall"]})
    before = time.time_ns()
    fine = await world.ask(a, "clock.now", clock="wall", fine=True)
    second = await world.ask(a, "clock.now", clock="wall")
    assert before <= fine <= time.time_ns()
    assert second % WALL_TICK_NS == 0
    assert before - WALL_TICK_NS < second <= time.time_ns()


async def test_the_monotonic_clock_is_the_hosts() -> None:
    """It goes on as the clock of the host does, which a test can move."""
    clock = ManualClock()
    world = asking(Clock(clock))
    a = world.member("a", {"clock": ["monotonic"]})
    first = await world.ask(a, "clock.now", clock="monotonic", fine=True)
    await clock.jump(1.5)
    assert await world.ask(a, "clock.now", clock="monotonic", fine=True) - first == 1_500_000_000


@given(st.lists(st.integers(0, 20 * TICK_NS), min_size=2), st.binary(min_size=1, max_size=64))
def test_the_coarse_clock_ticks_and_never_goes_back(times: list[int], key: bytes) -> None:
    """Whole ticks, at most two behind and never ahead, in the order of the times."""
    shown = [coarse(now, key) for now in sorted(times)]
    assert all(a <= b for a, b in pairwise(shown))
    for now, tick in zip(sorted(times), shown, strict=True):
        assert tick % TICK_NS == 0
        assert now - 2 * TICK_NS < tick <= now


def test_when_a_tick_comes_cannot_be_foretold() -> None:
    """The moment within its millisecond differs from tick to tick and from host to host, and is anywhere in it."""

    def comes(tick: int, key: bytes) -> int:
        low, high = 0, TICK_NS
        while low < high:
            middle = (low + high) // 2
            if coarse(tick * TICK_NS + middle, key) == tick * TICK_NS:
                high = middle
            else:
                low = middle + 1
        return low

    mine = [comes(tick, b"mine") for tick in range(1, 65)]
    assert mine != [comes(tick, b"yours") for tick in range(1, 65)]
    assert len({moment * 4 // TICK_NS for moment in mine}) == 4


async def test_sleeping_takes_as_long_as_it_says() -> None:
    """On the clock of the host, which decides when it is over; nobody has to be granted it."""
    clock = ManualClock()
    world = asking(Clock(clock))
    a = world.member("a")
    woken: list[bool] = []

    async def sleep() -> None:
        woken.append(await world.ask(a, "clock.sleep", milliseconds=1_500) is None)

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sleep)
            await clock.until_asleep()
            await clock.jump(1.499)
            assert woken == []
            await clock.jump(0.001)
        assert woken == [True]
        await world.ask(world.member("b"), "clock.sleep", milliseconds=0)


async def test_nobody_sleeps_for_weeks() -> None:
    """More than an hour, less than nothing, and what is no whole number are invalid; a sleep can be cancelled."""
    world = asking(Clock())
    a = world.member("a")
    for wrong in (LONGEST_SLEEP_MS + 1, 2**32, 2**64, -1, 1.5, True, None):
        assert await code_of(world.ask(a, "clock.sleep", milliseconds=wrong)) is Code.INVALID
    with anyio.move_on_after(0.01) as scope:
        await world.ask(a, "clock.sleep", milliseconds=LONGEST_SLEEP_MS)
    assert scope.cancelled_caught


# -- random


async def test_random_numbers_take_their_level() -> None:
    """Secure ones more than seeded ones."""
    world = asking(Random())
    for level, secure, seeded in (("none", False, False), ("seeded", False, True), ("secure", True, True)):
        member = world.member("a", {"random": [level]})
        for wanted, allowed in ((False, secure), (True, seeded)):
            asked = world.ask(member, "random.bytes", count=8, seeded=wanted)
            if allowed:
                assert len(await asked) == 8
            else:
                assert await code_of(asked) is Code.DENIED


async def test_so_many_and_no_more() -> None:
    """Up to 64 KiB at a time; secure ones differ each time."""
    world = asking(Random())
    a = world.member("a", {"random": ["secure"]})
    assert await world.ask(a, "random.bytes", count=0) == b""
    assert len(await world.ask(a, "random.bytes", count=MOST)) == MOST == 65_536
    for wrong in (MOST + 1, -1, 2**40, 1.0):
        assert await code_of(world.ask(a, "random.bytes", count=wrong)) is Code.INVALID
    assert await world.ask(a, "random.bytes", count=16) != await world.ask(a, "random.bytes", count=16)


async def test_seeded_numbers_are_the_same_in_every_run() -> None:
    """They depend on seed and name alone, and go on from one request to the next; a new load begins at the beginning."""
    world = asking(Random())

    async def draw(name: str, seed: int, *counts: int) -> bytes:
        member = world.member(name, {"random": ["seeded"]}, seed=seed)
        return b"".join([await world.ask(member, "random.bytes", count=count, seeded=True) for count in counts])

    assert await draw("a", 7, 100) == await draw("a", 7, 1, 0, 63, 36) == stream(7, "a", 0, 100)
    assert await draw("a", 7, 64) != await draw("a", 8, 64)
    assert await draw("a", 7, 64) != await draw("b", 7, 64)


def test_the_stream_is_as_documented() -> None:
    """So whoever reads its description can make it: BLAKE2b of a text with the block's number."""
    second = blake2b(b"desk seeded stream 1: -7, a, 1", digest_size=64).digest()
    assert stream(-7, "a", 64, 64) == second
    assert stream(0, "a", 0, 8).hex() == "fc439f8502fbfb78"


@given(st.integers(), st.integers(0, 1_000), st.integers(0, 300), st.integers(0, 300))
def test_a_stream_can_be_read_in_any_pieces(seed: int, start: int, first: int, second: int) -> None:
    """Two pieces are one."""
    both = stream(seed, "a", start, first) + stream(seed, "a", start + first, second)
    assert both == stream(seed, "a", start, first + second)


# -- config


async def test_a_setting_is_what_the_operator_gave() -> None:
    """Of any type; a secret one is given out here. What the manifest does not declare is unknown."""
    world = asking(Config())
    config = {"city": "Seattle", "days": 3, "none": None, "list": [1, "a"], "key": Secret("s3cret-k3y")}
    a = world.member("a", config=config)
    b = world.member("b")
    for name, value in {**config, "key": "s3cret-k3y"}.items():
        assert await world.ask(a, "config.get", name=name) == value
        assert await code_of(world.ask(b, "config.get", name=name)) is Code.UNKNOWN
    assert await code_of(world.ask(a, "config.get", name="__class__")) is Code.UNKNOWN
    assert await code_of(world.ask(a, "config.get", name=1)) is Code.INVALID


@pytest.mark.parametrize(
    "value", [{"s3cret-k3y": object()}, ["s3cret-k3y", "\udc00"], "s3cret-k3y\udc00", 1 << 70, object()]
)
async def test_no_error_shows_a_secret(value: object, caplog: pytest.LogCaptureFixture) -> None:
    """A secret that no message can carry is the host's mistake, and neither log, trace, audit nor answer has a part of it."""
    caplog.set_level(logging.DEBUG)
    world = asking(Config())
    member = world.member("a", config={"key": Secret(value)})
    with pytest.raises(TypeError) as error:
        await world.ask(member, "config.get", name="key")
    logging.getLogger("test").error("failed", exc_info=error.value)
    seen = [caplog.text, repr(error.value), repr(error.value.__cause__), repr(member), *map(str, world.audit.records)]
    seen += [span.to_json() for span in world.recorder.spans]
    assert [each for each in seen if "s3cret" in each or "118059162" in each] == []


async def test_what_is_traced_of_a_setting_is_not_its_value() -> None:
    """A secret that is read is in no span and no record."""
    world = asking(Config())
    a = world.member("a", config={"key": Secret("s3cret-k3y")})
    await world.ask(a, "config.get", name="key")
    assert world.recorder.spans
    assert [span for span in world.recorder.spans if "s3cret" in span.to_json()] == []


def test_permissions_are_read_by_the_parser_of_manifests() -> None:
    """And there is none for settings."""
    assert Env().permission("APP_*") == EnvAtom.parse("read:APP_*")
    assert Clock().permission("wall") == ClockAtom.parse("wall")
    assert Random().permission("seeded") == RandomAtom.parse("seeded")
    with pytest.raises(PermissionSyntaxError):
        Config().permission("city")
