"""The ticker: it ticks while a guest computes for long, and costs nothing when none does."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest
import wasmtime

from desk.actors.engine.engine import Engine
from desk.actors.engine.hostcalls import HostFunction
from desk.actors.engine.instance import Instance
from desk.actors.engine.ticker import Ticker
from desk.actors.limits import Limits

PATIENCE = 10.0
"""Seconds after which a test counts as hanging."""

MODULE = """(module
  (import "host" "wait" (func $wait))
  (memory (export "memory") 1)
  (func (export "short"))
  (func (export "spin") (loop (br 0)))
  (func (export "wait") (call $wait)))"""


def _wait(guest: object) -> None:
    del guest


@pytest.fixture
def engine() -> Iterator[Engine]:
    """An engine of its own for each test: what its ticker does is seen from the beginning."""
    with Engine((HostFunction("host", "wait", (), None, _wait, suspends=True),)) as engine:
        yield engine


def started(engine: Engine, name: str) -> Instance:
    """An instance with a call begun."""
    instance = Instance(engine, engine.compile("test", bytes(wasmtime.wat2wasm(MODULE))), Limits())
    while not instance.poll():
        pass
    begin(instance, name)
    return instance


def begin(instance: Instance, name: str) -> None:
    """One more call."""
    export = instance.export(name, (), None)
    assert export is not None
    instance.start(export, ())


def until(condition: Callable[[], bool]) -> None:
    """Wait for it."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_an_endless_loop_yields_again_and_again(engine: Engine) -> None:
    """Every slice ends by a tick."""
    instance = started(engine, "spin")
    before = engine.ticker.ticks
    for _ in range(20):
        assert not instance.poll()
    assert engine.ticker.ticks - before >= 20
    instance.kill()


def test_nobody_at_work_costs_nothing(engine: Engine) -> None:
    """Soon after the last poll the thread waits to be called, and the epoch stands still: also while a guest waits."""
    instance = started(engine, "wait")
    assert not instance.poll()
    assert instance.suspension is not None
    until(lambda: engine.ticker.parked)
    ticks = engine.ticker.ticks
    time.sleep(0.05)
    assert (engine.ticker.parked, engine.ticker.ticks) == (True, ticks)
    instance.suspension.resume(0)
    assert instance.poll()
    assert not engine.ticker.parked
    instance.kill()


def test_short_calls_bring_no_ticks(engine: Engine) -> None:
    """Thousands of calls that are over at once are looked at now and then, and not ticked at."""
    instance = started(engine, "short")
    assert instance.poll()
    before, calls = engine.ticker.ticks, 0
    end = time.monotonic() + 0.2
    while time.monotonic() < end:
        begin(instance, "short")
        assert instance.poll()
        calls += 1
    assert engine.ticker.ticks - before < calls / 50
    instance.kill()


def test_a_poll_in_another_thread_is_seen_as_well(engine: Engine) -> None:
    """Whoever polls, wherever: the loop ends its slice."""
    instance = started(engine, "spin")
    thread = threading.Thread(target=instance.poll)
    thread.start()
    thread.join(PATIENCE)
    assert instance.state == "running"
    assert not engine.ticker.polling
    instance.kill()


def test_a_ticker_is_called_back_from_the_brink(monkeypatch: pytest.MonkeyPatch) -> None:
    """A poll that begins between the last look and parking finds the ticker awake and does not call it: it looks again."""
    ticks: list[int] = []
    ticker = Ticker(lambda: ticks.append(1))

    class Poll:
        polls = 1

    watch = Ticker._watch  # pyright: ignore[reportPrivateUsage]

    def then_someone_comes(self: Ticker) -> None:
        watch(self)
        if not ticks:
            self.polling.add(Poll())

    monkeypatch.setattr(Ticker, "_watch", then_someone_comes)
    ticker.unpark()
    until(lambda: len(ticks) > 3)
    ticker.polling.clear()
    until(lambda: ticker.parked)
    ticker.stop()
