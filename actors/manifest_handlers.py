"""What calls an export by itself: an event that `subscribes` listens to, or a timer in `timers`.

    subscribes: {
        "weather.observed": "on_observed",
        "weather.radar": (export: "on_radar", overflow: drop_oldest),
    },
    timers: {"on_tick": "every 5m"},

An export for events takes one parameter, the event. `overflow` says what becomes of an event that finds the mailbox full:
see `desk.bus.mailbox.Overflow`. An export for a timer takes none, or one that accepts `(number: u64, missed: u64)`: how
many intervals it is since the extension was loaded, and how many ticks before this one nobody had time for.
"""

from collections.abc import Mapping
from types import MappingProxyType

from desk.actors.manifest_place import Place
from desk.actors.manifest_types import MAX_SUBJECTS
from desk.bus import ron
from desk.bus.mailbox import Overflow
from desk.bus.ron.text import shown
from desk.bus.subjects import RESERVED, Pattern, SubjectError
from desk.bus.timers import TimerError, parse_interval
from desk.bus.types import InvalidValue, Signature

MAX_TIMERS = 16

_LISTENING = ("export", "overflow")


def read_subscribes(place: Place) -> tuple[Mapping[str, str], Mapping[str, Overflow]]:
    """The field `subscribes`: the export for the events of each pattern; and the policy of those that name one."""
    subscribes: dict[str, str] = {}
    overflow: dict[str, Overflow] = {}
    for text, key, value in place.entries('a map, as in {"weather.observed": "on_observed"}', MAX_SUBJECTS):
        try:
            pattern = Pattern(text)
        except SubjectError as error:
            raise key.error(str(error)) from None
        if pattern.words[0] in RESERVED - {"sys"}:
            raise key.error("requests to extensions and capabilities are not events; expected another first word")
        said = _listening(value)
        subscribes[text] = said["export"].string("the name of an export as a string", 64)
        if "overflow" in said:
            overflow[text] = _read_overflow(said["overflow"])
    return MappingProxyType(subscribes), MappingProxyType(overflow)


def _listening(place: Place) -> Mapping[str, Place]:
    """Where the export is named, alone or beside what else is said."""
    if isinstance(place.node, ron.Str):
        return {"export": place}
    said = place.fields('the name of an export, or as in (export: "on_observed", overflow: drop_oldest)', _LISTENING)
    if "export" not in said:
        raise place.error('the field `export` is missing; expected export: "on_observed"')
    return said


def _read_overflow(place: Place) -> Overflow:
    word = place.node.name if isinstance(place.node, ron.Ident) else place.string("a policy, as in drop_oldest", 64)
    try:
        return Overflow(word)
    except ValueError:
        raise place.unknown("overflow policy", word, [policy.value for policy in Overflow]) from None


def read_timers(place: Place) -> Mapping[str, float]:
    """The field `timers`: the seconds between two calls of each export."""
    timers: dict[str, float] = {}
    for export, _, value in place.entries('a map, as in {"on_tick": "every 5m"}', MAX_TIMERS):
        text = value.string('an interval as a string, as in "every 5m"', 64)
        try:
            timers[export] = parse_interval(text)
        except TimerError as error:
            raise value.error(str(error)) from None
        if not text.startswith("every "):
            raise value.error(f'expected how often, found {shown(text)}; did you mean "every {text}"?')
    return MappingProxyType(timers)


def tick_argument(number: int, missed: int) -> dict[str, int]:
    """What the export of a timer is called with, if it takes something."""
    return {"number": number, "missed": missed}


_EXTREMES = (tick_argument(1, 0), tick_argument(2**64 - 1, 2**64 - 1))


def check_handlers(
    exports: Mapping[str, Signature],
    subscribes: Mapping[str, str],
    timers: Mapping[str, float],
    fields: Mapping[str, Place],
) -> None:
    """Raise `ManifestError` unless every export that `subscribes` and `timers` name exists, and takes what it will get."""
    for pattern, export in subscribes.items():
        if export in exports and len(exports[export].params) == 1:
            continue
        place = _listening(_entry(fields["subscribes"], pattern)[1])["export"]
        if export not in exports:
            raise place.unknown("export", export, exports)
        count = len(exports[export].params)
        raise place.error(f"{shown(export)} takes {count} parameters; expected one, the event: (params: [any])")
    for export in timers:
        if export in exports and _takes_ticks(exports[export]):
            continue
        place = _entry(fields["timers"], export)[0]
        if export not in exports:
            raise place.unknown("export", export, exports)
        raise place.error(
            f"{shown(export)} takes {shown(str(exports[export]))}; expected no parameters, or one for the tick: "
            "(params: [(number: u64, missed: u64)])"
        )


def _entry(place: Place, name: str) -> tuple[Place, Place]:
    """Where the key `name` of a map that has been read stands, and its value."""
    entries = place.entries("a map", max(MAX_SUBJECTS, MAX_TIMERS))
    return next((key, value) for each, key, value in entries if each == name)


def _takes_ticks(signature: Signature) -> bool:
    if len(signature.params) != 1:
        return not signature.params
    try:
        for extreme in _EXTREMES:  # and with them all between: a type bounds numbers by a range
            signature.params[0].check(extreme)
    except InvalidValue:
        return False
    return True
