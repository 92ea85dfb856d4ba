"""There are as many instances as the operator and the system allow; one more is a typed error, and never a crash."""

import gc
import threading
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest
import wasmtime
from extensions import ECHO
from programs import ran

from desk.actors.engine.capacity import MAPS_EACH, PROCESS, REMEMBERED, RESERVE, Capacity, Maps, Process, look
from desk.actors.engine.engine import Engine, Program
from desk.actors.engine.instance import Instance
from desk.actors.errors import TooManyInstances
from desk.actors.limits import Limits
from desk.capabilities.codes import Code
from desk.host.host import FUNCTIONS


class System:
    """A process on a system with so many maps; an instance takes `each`."""

    def __init__(self, allowed: int, each: int = MAPS_EACH) -> None:
        self.allowed = allowed
        self.each = each
        self.other = 0
        self.looks = 0
        self.now = 0.0
        self.process = Process(self._look, lambda: self.now)
        self.capacity = Capacity(None, self.process)
        self.instances: list[object] = []

    def _look(self) -> Maps:
        self.looks += 1
        return Maps(self.other + self.each * len(self.process.live), self.allowed)

    def fill(self) -> int:
        """Make instances until that is refused; how many there are then."""
        while True:
            instance = object()
            try:
                self.capacity.claim(instance)
            except TooManyInstances:
                return len(self.instances)
            self.instances.append(instance)


# -- the process


@pytest.mark.parametrize("each", [5, 7, MAPS_EACH])
def test_instances_leave_the_reserve_alone(each: int) -> None:
    """However many maps an instance takes, there are at last as many as fit, and the system was looked at rarely."""
    system = System(65_530, each)
    usable = 65_530 - 65_530 // RESERVE
    assert usable - MAPS_EACH - each < system.fill() * each <= usable
    assert system.looks < 60


def test_what_the_app_takes_counts() -> None:
    """Maps of others make room for fewer instances, at the next look."""
    system = System(65_530)
    system.other = 50_000
    assert system.fill() == (65_530 - 65_530 // RESERVE - 50_000) // MAPS_EACH


def test_a_refusal_is_not_for_ever() -> None:
    """When an instance goes there is room for one; when the operator raises the limit, soon for more."""
    system = System(1_600)
    count = system.fill()
    assert system.fill() == count
    system.capacity.release(system.instances.pop())
    assert system.fill() == count
    system.allowed *= 2
    assert system.fill() == count
    system.now += REMEMBERED
    assert system.fill() > 1.9 * count


def test_a_full_system_is_not_looked_at_for_each_refusal() -> None:
    """A look takes tens of milliseconds then, and everybody who is refused tries again."""
    system = System(1_600)
    system.fill()
    looks = system.looks
    for _ in range(100):
        system.fill()
    assert system.looks == looks


def test_an_instance_that_cannot_be_made_takes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """However far its constructor came."""
    capacity = Capacity(2)
    with Engine(()) as engine:
        program = engine.compile("empty", bytes(wasmtime.wat2wasm("(module)")))
        for function in ("store_new", "store_context", "epoch_yield", "instantiate"):
            with monkeypatch.context() as patch:
                patch.setattr(f"desk.actors.engine.capi.{function}", Mock(side_effect=MemoryError))
                with pytest.raises(MemoryError):
                    Instance(engine, program, Limits(), capacity)
            assert capacity.live == 0
        assert Instance(engine, program, Limits(), capacity).poll()


def test_the_refusal_says_what_to_do() -> None:
    """How many there are, what the system allows, and the command; a guest that needed the instance gets `overloaded`."""
    system = System(1_600)
    system.fill()
    with pytest.raises(TooManyInstances) as caught:
        system.capacity.claim(object())
    assert str(caught.value) == (
        "no room for another instance: this process has 150, and 1,500 memory maps of the 1,600 that the system allows, "
        "some of which are kept for the rest of it. Raise that number (sysctl vm.max_map_count=3200), or run fewer extensions"
    )
    assert caught.value.guest_code == Code.OVERLOADED


def test_where_the_system_does_not_tell_only_the_hosts_limit_counts() -> None:
    """There are systems without maps to look at."""
    process = Process(lambda: None)
    capacity = Capacity(3, process)
    instances = [object() for _ in range(3)]
    for each in instances:
        capacity.claim(each)
    with pytest.raises(TooManyInstances, match=r"this host has 3, as many as it may \(Host\(max_instances=3\)\)"):
        capacity.claim(object())
    Capacity(None, process).claim(object())


def test_a_look_sees_this_process() -> None:
    """On Linux: some hundred maps, fewer than are allowed."""
    maps = look()
    if maps is None:
        pytest.skip("this system does not tell")
    assert 50 < maps.taken < maps.allowed
    assert maps.room > 0


# -- a host


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "3"])
def test_what_is_no_number_of_instances_is_refused(limit: object) -> None:
    """`ValueError`, with what it should be."""
    with pytest.raises(ValueError, match="whole number from 1"):
        Capacity(limit)  # type: ignore[arg-type]


def test_a_host_does_not_count_the_instances_of_another() -> None:
    """The system counts both."""
    process = Process(lambda: None)
    one, other = Capacity(1, process), Capacity(1, process)
    first, second = object(), object()
    one.claim(first)
    other.claim(second)
    assert (one.live, other.live, len(process.live)) == (1, 1, 2)
    assert repr(one) == "<Capacity: 1 of 1 instances>"
    for _ in range(2):
        one.release(first)
        assert (one.live, other.live, len(process.live)) == (0, 1, 1)


# -- instances


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(FUNCTIONS) as engine:
        yield engine


@pytest.fixture(scope="module")
def program(engine: Engine) -> Program:
    return engine.compile("echo", ECHO)


def test_an_instance_counts_until_it_is_killed(engine: Engine, program: Program) -> None:
    """Once, whatever it was doing; one that is refused is not made."""
    before, capacity = len(PROCESS.live), Capacity(1)
    instance = Instance(engine, program, Limits(), capacity)
    with pytest.raises(TooManyInstances):
        Instance(engine, program, Limits(), capacity)
    assert (capacity.live, len(PROCESS.live)) == (1, before + 1)
    for _ in range(2):
        instance.kill()
        assert (capacity.live, len(PROCESS.live)) == (0, before)


def test_a_lost_instance_counts_until_it_is_collected_in_whatever_thread(engine: Engine, program: Program) -> None:
    """Freeing is for the garbage collector then."""
    capacity = Capacity()
    instance: Instance | None = Instance(engine, program, Limits(), capacity)
    assert instance is not None
    instance.guest = [instance]
    instance = None
    thread = threading.Thread(target=gc.collect)
    thread.start()
    thread.join()
    assert capacity.live == 0


def test_a_system_without_memory_for_an_instance_is_a_typed_error(tmp_path: Path) -> None:
    """In a process with few addresses the next instance is refused, not the process ended; the others go on."""
    printed = ran(
        tmp_path,
        """
import resource
import trio
from extensions import relay
from desk.actors.errors import TooManyInstances
from desk.host import Host
from desk.traces.tracing import Tracing

async def main():
    async with Host(tracing=Tracing.off()) as host:
        for number in range(16):
            await host.load(relay(f"relay{number}"))  # compiled now: a compiler has no room later
        for number in range(1, 16):
            await host.remove(f"relay{number}")
        resource.setrlimit(resource.RLIMIT_AS, (40 << 30, 40 << 30))
        loaded = 1
        for number in range(1, 16):
            try:
                await host.load(relay(f"relay{number}"))
                loaded += 1
            except TooManyInstances as error:
                text = str(error)
        assert 2 <= loaded < 16, loaded
        assert [await host.call(each.name, "handled") for each in host.extensions()] == [0] * loaded
        assert len(host.extensions()) == loaded
        await host.remove("relay0")
        await host.load(relay("relay15"))
        print(text)

trio.run(main)
""",
    )
    assert printed.startswith("the system has no memory for another instance: Cannot allocate memory (os error 12)")
