"""The in-memory recorder."""

import threading

import pytest

from desk.traces import names
from desk.traces.recorder import SpanRecorder, record_in_memory


def test_spans_are_kept_in_the_order_in_which_they_finish() -> None:
    """Children stand before their parents, and nothing was dropped."""
    tracing, recorder = record_in_memory()
    with tracing.span(names.LOAD, "a"), tracing.span(names.COMPILE, "a"):
        assert recorder.spans == ()
    assert [span.name for span in recorder.spans] == ["compile a", "load a"]
    assert recorder.dropped == 0
    assert recorder.spans[0].resource.attributes["service.name"] == "desk"


def test_it_is_bounded_and_counts_what_it_forgets() -> None:
    """Beyond the limit the oldest spans go, and are counted; `clear` forgets both."""
    tracing, recorder = record_in_memory(limit=3)
    for number in range(5):
        with tracing.span(names.PUBLISH, str(number)):
            pass
    assert [span.name for span in recorder.spans] == ["publish 2", "publish 3", "publish 4"]
    assert recorder.dropped == 2
    recorder.clear()
    assert (recorder.spans, recorder.dropped) == ((), 0)


def test_a_limit_of_nothing_is_refused() -> None:
    """A recorder that keeps nothing is a mistake of whoever made it."""
    with pytest.raises(ValueError, match="at least 1"):
        SpanRecorder(0)


def test_threads_may_finish_spans_at_once() -> None:
    """No span is lost or counted twice when several threads record."""
    tracing, recorder = record_in_memory(limit=50)

    def work() -> None:
        for _ in range(40):
            with tracing.span(names.CALL, "x"):
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(recorder.spans) == 50
    assert recorder.dropped == 110
