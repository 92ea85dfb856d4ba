"""A capability of the app's own: what its class says is what guests may send, need and get."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from members import Asking, asking

from desk.bus import codec
from desk.bus.bus import Bus
from desk.bus.envelope import Origin
from desk.capabilities.capability import Capability, operation, vocabulary_with
from desk.capabilities.codes import CapabilityError, Code, PermissionDenied
from desk.capabilities.facet import Facet
from desk.capabilities.grants import Grants
from desk.capabilities.permissions import PermissionSet
from desk.capabilities.provider import Member, Use
from desk.traces.tracing import Tracing

pytestmark = pytest.mark.anyio


@dataclass
class Note:
    """A class of the app's."""

    topic: str
    line: str


class Notes(Capability):
    """Notes by topic."""

    name = "notes"

    def covers(self, mine: str, wanted: str) -> bool:
        return mine == "all"

    @operation(needs="{topic}/{number}")
    async def find(self, topic: str, number: int, most: int = 10) -> list[str]:
        """With a default."""
        return [topic, str(number), str(most)]

    @operation(needs=None)
    def add(self, note: Note) -> Note:
        """Not async, with a class of the app's."""
        return Note(note.topic.upper(), note.line)

    @operation(needs=None)
    async def who(self, use: Use) -> str:
        """Who asks."""
        return use.extension

    @operation(needs="secret", denied=0)
    async def count(self) -> int:
        """What must not be told apart from nothing."""
        return 7

    @operation(needs=None)
    async def broken(self) -> Note:
        """What is no note."""
        return "the app's own affair"  # type: ignore[return-value]


def world(*granted: str) -> tuple[Asking, Member]:
    """An extension with these permissions of the notes."""
    notes = Notes()
    here = asking(notes)
    asked = PermissionSet.parse({"notes": granted}, vocabulary_with([notes]))
    member = Member("widget", Grants(asked, asked))
    here.broker.join(member)
    return here, member


async def test_a_request_is_the_parameters_by_name() -> None:
    """What has a default may be left out; classes of the app come and go; `use` is no part of it."""
    here, widget = world("all")
    assert await here.ask(widget, "notes.find", topic="milk", number=3) == ["milk", "3", "10"]
    assert await here.ask(widget, "notes.find", topic="milk", number=3, most=1) == ["milk", "3", "1"]
    assert await here.ask(widget, "notes.add", note={"topic": "a", "line": "b"}) == {"topic": "A", "line": "b"}
    assert await here.ask(widget, "notes.who") == "widget"


@pytest.mark.parametrize(
    "wrong", [{"topic": "milk"}, {"topic": 1, "number": 1}, {"topic": "milk", "number": 1, "x": 1}]
)
async def test_a_request_of_another_type_is_invalid(wrong: dict[str, Any]) -> None:
    """The method is not called."""
    here, widget = world("all")
    with pytest.raises(CapabilityError) as caught:
        await here.ask(widget, "notes.find", **wrong)
    assert caught.value.guest_code == Code.INVALID


async def test_the_permission_is_that_of_the_very_request() -> None:
    """The template is filled with the arguments, and what no text of a permission can be is invalid."""
    here, widget = world("milk/3")
    assert await here.ask(widget, "notes.find", topic="milk", number=3)
    with pytest.raises(PermissionDenied, match="notes milk/4"):
        await here.ask(widget, "notes.find", topic="milk", number=4)
    with pytest.raises(CapabilityError) as caught:
        await here.ask(widget, "notes.find", topic="m\u202ek", number=3)
    assert caught.value.guest_code == Code.INVALID


async def test_who_may_not_know_is_answered_as_if_there_was_nothing() -> None:
    """The audit has the denial all the same."""
    here, widget = world("secret")
    assert await here.ask(widget, "notes.count") == 7
    here, widget = world("milk/3")
    assert await here.ask(widget, "notes.count") == 0
    assert here.audit.denied == 1


async def test_a_result_of_another_type_is_the_apps_mistake(caplog: pytest.LogCaptureFixture) -> None:
    """The guest learns that, and nothing of the value."""
    here, widget = world()
    facet = Facet(Bus(Tracing.off()), here.broker, widget)
    answer: Any = codec.decode(await facet.request(b"cap.notes.broken", codec.encode({}), Origin("widget")))
    assert answer["error"]["code"] == Code.INTERNAL
    assert "affair" not in answer["error"]["message"]
    assert "notes.broken returned what is not of its type" in caplog.text


async def test_an_app_that_cannot_compare_keeps_nothing_open(caplog: pytest.LogCaptureFixture) -> None:
    """What was opened under a permission is closed if it cannot be said any more whether that is granted."""

    class Doors(Notes):
        down = False
        closed = False

        def covers(self, mine: str, wanted: str) -> bool:
            if self.down:
                raise RuntimeError("no database")
            return mine == "all"

        def close(self) -> None:
            self.closed = True

    doors = Doors()
    here = asking(doors)
    (everything,) = asked = PermissionSet.parse({"notes": ["all"]}, vocabulary_with([doors]))
    widget = Member("widget", Grants(asked, asked))
    here.broker.join(widget)
    widget.resources.add(doors, (doors.permission("milk/3"),), ("widget",))
    doors.down = True
    widget.grants.revoke(widget.grants.records()[0])
    assert doors.closed
    assert "cannot be decided whether widget may still have notes milk/3" in caplog.text
    assert not widget.grants.decide(everything).allowed


def test_a_name_stands_for_one_capability() -> None:
    """Of two with one name, the second would be what the first was checked for."""
    with pytest.raises(ValueError, match="a section 'notes' of permissions already"):
        vocabulary_with([Notes(), Notes()])
    with pytest.raises(ValueError, match=r"two capabilities 'notes\.\w+'"):
        asking(Notes(), Notes())


async def _untyped(self: object, topic) -> str:  # type: ignore[no-untyped-def] # pyright: ignore[reportMissingParameterType,reportUnknownParameterType]
    return ""


async def _without_result(self: object, topic: str):  # type: ignore[no-untyped-def]
    return ""


async def _many(self: object, *topics: str) -> str:
    return ""


async def _fine(self: object, topic: str, most: float, again: str = "") -> str:
    return ""


_UNTYPED: Callable[..., Any] = _untyped  # pyright: ignore[reportUnknownVariableType]


@pytest.mark.parametrize(
    ("method", "needs", "why"),
    [
        (_UNTYPED, None, "topic needs an annotation"),
        (_many, None, "must be a plain parameter"),
        (_without_result, None, "the result has no annotation"),
        (_fine, "{nothing}", "may name its required texts and whole numbers: topic"),
        (_fine, "{most}", "may name its required texts and whole numbers: topic"),
        (_fine, "{again}", "may name its required texts and whole numbers: topic"),
        (_fine, "{topic!r}", "may name its required texts and whole numbers: topic"),
        (_fine, "{topic:>9}", "may name its required texts and whole numbers: topic"),
        (_fine, "{topic.upper}", "may name its required texts and whole numbers: topic"),
    ],
)
def test_what_makes_no_operation_is_said_when_it_is_made(
    method: Callable[..., Any], needs: str | None, why: str
) -> None:
    """With the class and the name."""
    kind = type("Mine", (Capability,), {"name": "mine", "do": operation(needs=needs)(method)})
    with pytest.raises(TypeError, match=f"Mine.do: .*{why}"):
        kind().operations()
