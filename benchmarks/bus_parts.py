"""Two parts of a delivery that have goals of their own: finding who listens to a subject, and holding a message to its type.

Ten thousand patterns, all different, as a thousand stations may have them; three match each subject that is asked for. No
subject is asked for twice, so that nobody can remember an answer.

The message has 7 fields, one of them a record, and 129 bytes. `type.lift` is the strict decoder *and* the type; beside it
stands the decoder alone.
"""

import itertools
import time
from collections.abc import Callable
from typing import Final, TypeAlias, TypeVar

from benchmarks.measure import WrongAnswer
from desk.bus import codec
from desk.bus.codec import Value
from desk.bus.events import Events
from desk.bus.exchange import Exchange
from desk.bus.mailbox import Overflow
from desk.bus.pattern_index import PatternIndex
from desk.bus.subjects import Pattern
from desk.bus.types.syntax import parse_type_text
from desk.traces.tracing import Tracing

T = TypeVar("T")
Timed: TypeAlias = Callable[[int], int]
"""`timed(calls)` -> nanoseconds."""

STATIONS: Final = 1_000
MATCHES: Final = ("weather.{}.temp.*", "weather.{}.**", "*.{}.temp.*")
OTHERS: Final = (
    "weather.{}.temp.max",
    "weather.{}.wind.*",
    "weather.{}.*.max",
    "*.{}.wind.**",
    "alarm.{}.**",
    "alarm.*.{}.*",
    "news.{}",
)

MESSAGE: Final[Value] = {
    "v": 1,
    "id": 4_294_967_296,
    "kind": "request",
    "from": "weather-widget",
    "subject": "cap.net.fetch",
    "deadline": 2.5,
    "body": {"url": "https://example.org/", "max": 65_536},
}
MESSAGE_TYPE: Final = (
    "(v: u8, id: u64, kind: string, from: string, subject: string, deadline: f64, body: (url: string, max: u32))"
)


def patterns() -> list[str]:
    """All of them."""
    return [text.format(f"s{number}") for number in range(STATIONS) for text in MATCHES + OTHERS]


def fresh_subjects() -> Callable[[int], list[str]]:
    """Gives so many subjects that nobody has heard of, each of which `MATCHES` match."""
    numbers = itertools.count()
    return lambda count: [f"weather.s{n * 7 % STATIONS}.temp.t{n}" for n in itertools.islice(numbers, count)]


def find_in_patterns() -> Timed:
    """What the tree of patterns says of a subject."""
    index = PatternIndex[str]()
    for text in patterns():
        index.add(Pattern(text), text)
    return _finding(index.find, list)


def find_on_the_bus() -> Timed:
    """What a bus does for a subject that it does not know: is it one, who listens to it, in which order."""
    events = Events(Exchange(Tracing.off()))
    for text in patterns():
        events.subscribe(text, 1, Overflow.WAIT, None, None)
    table = events.table
    return _finding(table.get, lambda known: [subscription.pattern.text for subscription in known.receivers()])


def _finding(find: Callable[[str], T], shown: Callable[[T], list[str]]) -> Timed:
    subjects = fresh_subjects()

    def timed(calls: int) -> int:
        asked = subjects(calls)
        start = time.perf_counter_ns()
        for subject in asked:
            find(subject)
        elapsed = time.perf_counter_ns() - start
        [last] = subjects(1)
        found, expected = shown(find(last)), [text.format(last.split(".")[1]) for text in MATCHES]
        if sorted(found) != sorted(expected):
            raise WrongAnswer(f"{last} is matched by {found}, not {expected}")
        return elapsed

    return timed


def decode() -> Timed:
    """The strict decoder alone."""
    return _reading(codec.decode)


def lift() -> Timed:
    """The decoder, and the type."""
    return _reading(parse_type_text(MESSAGE_TYPE).lift)


def _reading(read: Callable[[bytes], object]) -> Timed:
    payload = codec.encode(MESSAGE)

    def timed(calls: int) -> int:
        start = time.perf_counter_ns()
        for _ in range(calls):
            read(payload)
        elapsed = time.perf_counter_ns() - start
        if read(payload) != MESSAGE:
            raise WrongAnswer(f"{read} gave another message")
        return elapsed

    return timed
