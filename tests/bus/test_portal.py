"""The bus from other threads: the same results and errors, and no thread that waits for ever."""

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import traceback
import weakref
from collections.abc import Callable
from functools import partial

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from desk.bus.bus import Bus
from desk.bus.envelope import CURRENT, Answering, Origin
from desk.bus.errors import DeadlineExceeded, NoReceiver, ResponderFailed, WrongThread
from desk.bus.mailbox import Mailbox
from desk.bus.portal import Portal
from desk.bus.thread_calls import PortalClosed
from desk.bus.types import I32, Signature

pytestmark = pytest.mark.anyio

PATIENCE = 20.0
"""Seconds after which a test that hangs fails."""

ADD = Signature((I32, I32), result=I32)


def add(first: int, second: int) -> int:
    return first + second


async def in_thread(function: Callable[[], object]) -> object:
    """What `function` returns or raises in a thread that is nobody's worker; the wait for it can be cancelled."""
    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.append(function())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():  # noqa: ASYNC110 - a thread, not a task
        await anyio.sleep(0.001)
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - threads have a part in it
        await anyio.sleep(0.001)


# -- the verbs


async def test_a_thread_publishes_requests_and_listens() -> None:
    """With the results that the bus gives, from threads of anyio's and from others."""
    bus = Bus()

    def work(portal: Portal) -> list[object]:
        with portal.subscribe("weather.*") as events:
            receivers = portal.publish("weather.changed", {"celsius": 21})
            event = events.take(timeout=PATIENCE)
            assert event is not None
            return [receivers, event.value, event.sender, portal.request("calc.add", 40, 2)]

    with anyio.fail_after(PATIENCE), bus.respond("calc.add", add):
        async with Portal(bus) as portal:
            assert await anyio.to_thread.run_sync(work, portal) == [1, {"celsius": 21}, "", 42]
            assert await in_thread(partial(work, portal)) == [1, {"celsius": 21}, "", 42]
    assert bus.statistics().subscriptions == 0


async def test_errors_are_those_of_the_bus() -> None:
    """The same types, causes and tracebacks: down to the line of the responder that failed."""
    bus = Bus()

    def fail_on_purpose() -> int:
        raise RuntimeError("on purpose")

    with anyio.fail_after(PATIENCE), bus.respond("calc.fail", fail_on_purpose):
        async with Portal(bus) as portal:
            with pytest.raises(NoReceiver):
                await in_thread(lambda: portal.request("nobody.here"))
            with pytest.raises(ResponderFailed) as caught:
                await in_thread(lambda: portal.request("calc.fail"))
    cause = caught.value.__cause__
    assert isinstance(cause, RuntimeError)
    assert "fail_on_purpose" in "".join(traceback.format_exception(cause))


async def test_a_deadline_holds_for_a_thread() -> None:
    """`DeadlineExceeded`, although the receiver never answers."""
    bus = Bus()
    bus.serve("calc.add", ADD, Mailbox("asleep"))
    with anyio.fail_after(PATIENCE):
        async with Portal(bus) as portal:
            with pytest.raises(DeadlineExceeded):
                await in_thread(lambda: portal.request("calc.add", 1, 2, deadline=0.05))


async def test_many_threads_at_once() -> None:
    """Twenty threads with fifty requests each: every one gets its own answer."""
    bus = Bus()

    def work(portal: Portal, number: int) -> list[object]:
        return [portal.request("calc.add", number, each) for each in range(50)]

    results: dict[int, object] = {}

    async def run(portal: Portal, number: int) -> None:
        results[number] = await in_thread(partial(work, portal, number))

    with anyio.fail_after(PATIENCE), bus.respond("calc.add", add):
        async with Portal(bus) as portal:
            async with anyio.create_task_group() as tasks:
                for number in range(20):
                    tasks.start_soon(run, portal, number)
            assert repr(portal) == "<Portal: 0 subscriptions, <ThreadCalls, open: 0 calls>>"
    assert results == {number: [number + each for each in range(50)] for number in range(20)}


async def test_a_thread_that_answers_a_message_inherits_its_origin() -> None:
    """What a responder sends through a thread counts its hops, as what it sends itself does."""
    bus = Bus()
    async with Portal(bus) as portal:

        async def relay() -> int:
            return await anyio.to_thread.run_sync(lambda: portal.publish("x.y", None))

        with anyio.fail_after(PATIENCE), bus.respond("relay.on", relay), bus.subscribe("x.*") as events:
            await bus.request("relay.on", origin=Origin("a", hops=3))
            assert (await anext(events)).onward.hops > 3
            token = CURRENT.set(Answering(Origin("me", hops=5)))
            try:
                await anyio.to_thread.run_sync(lambda: portal.publish("x.y", None))
            finally:
                CURRENT.reset(token)
            assert (await anext(events)).onward.hops == 6


# -- listening


async def test_a_thread_iterates_until_the_subscription_is_closed() -> None:
    """In order; another thread closes it, and the loop over it ends. Closing it again does nothing."""
    bus = Bus()
    seen: list[object] = []

    with anyio.fail_after(PATIENCE):
        async with Portal(bus) as portal, anyio.create_task_group() as tasks:
            events = await anyio.to_thread.run_sync(lambda: portal.subscribe("x.*"))
            assert repr(events).startswith("<ThreadSubscription of <Subscription x.*")

            def listen() -> None:
                seen.extend(event.value for event in events)
                seen.append("end")

            tasks.start_soon(in_thread, listen)
            for number in range(5):
                await bus.publish("x.y", number)
            await until(lambda: len(seen) == 5)
            await in_thread(events.close)
            await in_thread(events.close)
    assert seen == [0, 1, 2, 3, 4, "end"]


def events_read(bus: Bus) -> int:
    (statistics,) = bus.subscriptions()
    return statistics.delivered - statistics.queued


async def test_a_timeout_loses_no_event() -> None:
    """`TimeoutError`, and what comes later is there for the next `take`; 0 seconds only look."""
    bus = Bus()

    with anyio.fail_after(PATIENCE):
        async with Portal(bus) as portal:
            events = await anyio.to_thread.run_sync(lambda: portal.subscribe("x.*"))
            for timeout in (0.02, 0.0):
                with pytest.raises(TimeoutError):
                    await in_thread(partial(events.take, timeout))
            await bus.publish("x.y", 1)
            event = await anyio.to_thread.run_sync(events.take, 0.0)
            assert event is not None
            assert event.value == 1
            await anyio.to_thread.run_sync(events.close)
            assert await anyio.to_thread.run_sync(events.take, PATIENCE) is None


async def test_several_threads_take_turns() -> None:
    """Each event goes to one of them, and none is lost."""
    bus = Bus()
    seen: list[object] = []

    with anyio.fail_after(PATIENCE):
        async with Portal(bus) as portal, anyio.create_task_group() as tasks:
            events = await anyio.to_thread.run_sync(lambda: portal.subscribe("x.*", capacity=2))
            for _ in range(3):
                tasks.start_soon(in_thread, lambda: seen.extend(event.value for event in events))
            for number in range(100):
                await bus.publish("x.y", number)
            await until(lambda: events_read(bus) == 100)
            await in_thread(events.close)
    assert sorted(map(int, map(str, seen))) == list(range(100))


async def test_a_thread_waits_no_longer_for_its_turn_than_it_said() -> None:
    """While another thread waits for an event: `TimeoutError` here, and `WrongThread` at once in the event loop."""
    bus = Bus()
    with anyio.fail_after(PATIENCE):
        async with Portal(bus) as portal, anyio.create_task_group() as tasks:
            events = await anyio.to_thread.run_sync(lambda: portal.subscribe("x.*"))
            tasks.start_soon(in_thread, events.take)
            await until(lambda: portal._calls._calls != set())  # pyright: ignore[reportPrivateUsage]
            for timeout in (0.02, 0.0):
                with pytest.raises(TimeoutError):
                    await in_thread(partial(events.take, timeout))
            with pytest.raises(WrongThread):
                events.take(PATIENCE)
            await bus.publish("x.y", 1)


async def test_a_portal_that_closes_lets_publishers_go_on() -> None:
    """Its threads' subscriptions are closed with it, also those that nobody reads."""
    bus = Bus()
    with anyio.fail_after(PATIENCE):
        async with Portal(bus) as portal:
            events = await anyio.to_thread.run_sync(lambda: portal.subscribe("x.*", capacity=1))
            await bus.publish("x.y", 1)
        assert await bus.publish("x.y", 2) == 0
        assert bus.statistics().subscriptions == 0
        await in_thread(events.close)


# -- the wrong place, and the end


async def test_the_loops_own_thread_is_told_at_once() -> None:
    """`WrongThread` instead of a thread that waits for itself."""
    bus = Bus()
    async with Portal(bus) as portal:
        events = await anyio.to_thread.run_sync(lambda: portal.subscribe("x.*"))
        for call in (
            lambda: portal.publish("x.y", 1),
            lambda: portal.request("x.y"),
            lambda: portal.subscribe("x.*"),
            events.take,
            events.close,
        ):
            with pytest.raises(WrongThread, match="await bus"):
                call()


async def test_a_portal_that_is_not_open_says_so() -> None:
    """Before and after, `PortalClosed` with the reason."""
    bus = Bus()
    portal = Portal(bus)
    with anyio.fail_after(PATIENCE):
        with pytest.raises(PortalClosed, match="is not open"):
            await in_thread(lambda: portal.publish("x.y", 1))
        async with portal:
            pass
        with pytest.raises(PortalClosed, match="is closed"):
            await in_thread(lambda: portal.publish("x.y", 1))
        assert bus.statistics().published == 0


@pytest.mark.parametrize("how", ["left", "cancelled", "failed"])
async def test_threads_that_wait_when_it_closes_get_an_error(how: str) -> None:
    """However the `async with` ends: in a request, in a publish, in a take; and the app's own error goes on as it is."""
    bus = Bus()
    bus.serve("calc.add", ADD, Mailbox("asleep"))
    full = bus.subscribe("full.*", capacity=1)
    outcomes: list[object] = []
    waiting = 0

    async def watch(function: Callable[[], object]) -> None:
        try:
            outcomes.append(await in_thread(function))
        except PortalClosed as error:
            outcomes.append(error)

    async def hold(portal: Portal, watchers: anyio.abc.TaskGroup) -> None:
        nonlocal waiting
        async with portal:
            await bus.publish("full.x", None)
            events = await anyio.to_thread.run_sync(lambda: portal.subscribe("x.*"))
            for function in (
                lambda: portal.request("calc.add", 1, 2, deadline=None),
                lambda: portal.publish("full.x", None, deadline=None),
                lambda: events.take(),
                lambda: next(events),
            ):
                watchers.start_soon(watch, function)
            await until(lambda: "open: 3 calls" in repr(portal) and full.mailbox.statistics().waiting == 1)
            waiting = 3
            if how == "failed":
                raise KeyError("mine")
            if how == "cancelled":
                await anyio.sleep_forever()

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as watchers:
            portal = Portal(bus)
            if how == "failed":
                with pytest.raises(KeyError):
                    await hold(portal, watchers)
            else:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(hold, portal, watchers)
                    await until(lambda: waiting == 3)
                    if how == "cancelled":
                        tasks.cancel_scope.cancel()
    assert [type(each) for each in outcomes] == [PortalClosed] * 4


async def test_nothing_keeps_a_portal_alive() -> None:
    """Neither the watch for forks nor a call that is over."""
    bus = Bus()

    async def use() -> "weakref.ref[Portal]":  # in a frame of its own, which is gone afterwards
        async with Portal(bus) as portal:
            await in_thread(partial(portal.request, "calc.add", 1, 2))
        return weakref.ref(portal)

    with anyio.fail_after(PATIENCE), bus.respond("calc.add", add):
        gone = await use()
        for _ in range(3):
            await anyio.lowlevel.checkpoint()  # the event loop may still hold what it did last
        gc.collect()
        assert gone() is None


def run_python(source: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program in an interpreter of its own."""
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(source), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


INTERRUPTED = """
    import os, signal, sys, threading
    import anyio
    from desk.bus.bus import Bus
    from desk.bus.portal import Portal

    opened, left = threading.Event(), threading.Event()
    box = {}

    async def main():
        bus = Bus()

        async def slow() -> int:
            box["begun"] = True
            os.kill(os.getpid(), signal.SIGINT)     # to the main thread, which waits for this
            try:
                await anyio.sleep_forever()
            finally:
                box["abandoned"] = True
                left.set()

        with bus.respond("slow.answer", slow):
            async with Portal(bus) as portal:
                box["portal"] = portal
                opened.set()
                await anyio.to_thread.run_sync(left.wait)

    thread = threading.Thread(target=anyio.run, args=(main,), kwargs={"backend": sys.argv[1]})
    thread.start()
    opened.wait()
    try:
        box["portal"].request("slow.answer", deadline=None)
    except KeyboardInterrupt:
        box["interrupted"] = True
    thread.join()
    print(box["begun"], box["interrupted"], box["abandoned"])
"""


@pytest.mark.skipif(os.name == "nt", reason="a signal to oneself")
async def test_an_interrupt_abandons_the_request(anyio_backend_name: str) -> None:
    """ctrl-C reaches the main thread while it waits for another thread's loop: it goes on, and the responder is cancelled."""
    assert hasattr(signal, "SIGINT")
    done = run_python(INTERRUPTED, anyio_backend_name)
    assert (done.stdout, done.stderr) == ("True True True\n", "")


FORKED = """
    import os, sys, threading
    import anyio, anyio.to_thread
    from desk.bus.bus import Bus
    from desk.bus.errors import BusClosed
    from desk.bus.forks import forbid_after_fork
    from desk.bus.portal import Portal

    class Thing:
        why = ""
        def forbid(self, why):
            self.why = why

    def attempt(function):
        try:
            return function()
        except BusClosed as error:
            return str(error)

    async def main():
        thing, dead = Thing(), Thing()
        for each in (thing, dead):
            forbid_after_fork(each, Thing.forbid)
        del each, dead
        bus = Bus()
        async with Portal(bus) as portal:
            def fork():
                read, write = os.pipe()
                child = os.fork()
                if child == 0:
                    said = [thing.why, attempt(lambda: portal.publish("x.y", 1)), repr(portal)]
                    os.write(write, "\\n".join(said).encode())
                    os._exit(0)
                os.close(write)
                with open(read) as lines:
                    said = lines.read()
                os.waitpid(child, 0)
                return said, child, portal.publish("x.y", 1), thing.why

            said, child, receivers, why = await anyio.to_thread.run_sync(fork)
        print(said.replace(str(os.getpid()), "PARENT").replace(str(child), "CHILD"))
        print(receivers, repr(why))

    anyio.run(main, backend=sys.argv[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
async def test_a_forked_child_is_refused(anyio_backend_name: str) -> None:
    """Whatever was registered is told in the child, with both processes and what to do instead; the parent goes on."""
    done = run_python(FORKED, anyio_backend_name)
    assert done.stderr == ""
    why, portal, shown, parent, _ = done.stdout.split("\n")
    assert why == (
        "belongs to process PARENT, of which this one (CHILD) is a forked copy without its event loop and threads: "
        "make a new one here, or start the process with subprocess, or multiprocessing's 'spawn'"
    )
    assert portal == f"this portal {why}"
    assert shown == "<Portal: 0 subscriptions, <ThreadCalls, closed: 0 calls>>"
    assert parent == "0 ''"
