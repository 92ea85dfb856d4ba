"""The operator's policy in a host with real guests: what is denied, granted, asked and remembered."""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import anyio
import pytest
from extensions import relay

from desk.bus import codec
from desk.capabilities.capability import Capability, operation
from desk.capabilities.codes import Code
from desk.capabilities.policy import Policy
from desk.capabilities.prompting import REFUSALS, Answer, Question
from desk.host import Host
from desk.host.errors import NotLoaded

pytestmark = pytest.mark.anyio

PATIENCE = 60.0
"""Seconds until a test that hangs fails."""


class Notes(Capability):
    """A capability of the app: anybody's notes, by topic."""

    name = "notes"

    def covers(self, mine: str, wanted: str) -> bool:
        return mine == "all"

    @operation(needs="{topic}")
    async def find(self, topic: str) -> str:
        return f"notes on {topic}"


NOTES = Notes()
WIDGET = relay("widget", 'notes: ["all"]', 'reasons: {"notes": "to show them"}')


async def ask(host: Host, topic: str, name: str = "widget") -> object:
    """The notes, or the code of the error, that the guest gets."""
    raw = await host.call(name, "ask", "cap.notes.find", codec.encode({"topic": topic}), deadline=PATIENCE)
    answer = cast("Mapping[str, object]", codec.decode(cast("bytes", raw)))
    if "ok" in answer:
        return answer["ok"]
    return Code(cast("Mapping[str, int]", answer["error"])["code"])


def host_with(policy: Policy, data_dir: Path | None = None) -> Host:
    """A host that knows the notes."""
    return Host(policy=policy, capabilities=[NOTES], data_dir=data_dir)


async def test_a_deny_rule_wins_over_what_the_app_grants() -> None:
    """The guest is told that it may not, the audit has the rule, and the rest goes on."""
    policy = Policy(deny={"notes": ["diary"]}, capabilities=[NOTES])
    async with host_with(policy) as host:
        await host.load(WIDGET, grants="requested")
        assert await ask(host, "shopping") == "notes on shopping"
        assert await ask(host, "diary") is Code.DENIED
        assert host.audit.records[-1].rule == "deny notes diary"
        assert host.grants.explain("widget", "notes", "diary").rule == "deny notes diary"
        host.grants.give("widget", {"notes": ["diary"]})
        assert await ask(host, "diary") is Code.DENIED


async def test_a_rule_holds_for_the_capability_by_its_name() -> None:
    """A policy that was read with an instance of its own, and not the host's, denies the same."""
    async with host_with(Policy(deny={"notes": ["diary"]}, capabilities=[Notes()])) as host:
        await host.load(WIDGET, grants="requested")
        assert await ask(host, "shopping") == "notes on shopping"
        assert await ask(host, "diary") == Code.DENIED


async def test_a_load_that_is_given_up_at_a_question_leaves_nothing() -> None:
    """While a person thinks about what it wants to listen to, nobody has to wait."""
    asked = anyio.Event()

    async def think(question: Question) -> Answer:
        asked.set()
        await anyio.sleep_forever()
        return "no"

    listener = relay("listener", more='subscribes: {"news": "on_event"}')
    async with host_with(Policy(ask=think)) as host:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(host.load, listener)
            with anyio.fail_after(PATIENCE):
                await asked.wait()
            tasks.cancel_scope.cancel()
        with pytest.raises(NotLoaded):
            host.grants.list("listener")


async def test_the_ceiling_holds_for_all() -> None:
    """What is granted beyond it gives nothing."""
    policy = Policy(ceiling={"notes": ["shopping"]}, capabilities=[NOTES])
    async with host_with(policy) as host:
        await host.load(WIDGET, grants="requested")
        assert await ask(host, "shopping") == "notes on shopping"
        assert await ask(host, "diary") is Code.DENIED


async def test_the_policy_grants_what_the_app_says_nothing_of() -> None:
    """By name, or by a function that is shown the manifest; the app's own word is the last."""
    seen: list[str] = []

    def decide(manifest: object) -> Mapping[str, list[str]]:
        seen.append(str(manifest))
        return {"notes": ["diary"]}

    policy = Policy(grants={"widget": {"notes": ["shopping"]}}, decide=decide, capabilities=[NOTES])
    async with host_with(policy) as host:
        await host.load(WIDGET)
        await host.load(relay("other", 'notes: ["all"]'))
        await host.load(relay("third", 'notes: ["all"]'), grants={})
        topics = ("shopping", "diary")
        assert [await ask(host, topic) for topic in topics] == ["notes on shopping", Code.DENIED]
        assert [await ask(host, topic, "other") for topic in topics] == [Code.DENIED, "notes on diary"]
        assert [await ask(host, topic, "third") for topic in topics] == [Code.DENIED, Code.DENIED]
        assert len(seen) == 1
        assert "other" in seen[0]


async def test_observing_lets_through_and_counts() -> None:
    """An extension that is only observed does what it lacks, and the audit has all of it."""
    policy = Policy(deny={"notes": ["diary"]}, observe={"widget"}, capabilities=[NOTES])
    async with host_with(policy) as host:
        await host.load(WIDGET)
        assert await ask(host, "shopping") == "notes on shopping"
        assert host.audit.records[-1].observed
        assert await ask(host, "diary") is Code.DENIED


async def test_a_person_is_asked_and_the_guest_goes_on() -> None:
    """In the middle of its call; with the reason of its manifest, and only for what it may not have yet."""
    asked: list[str] = []

    async def person(question: Question) -> Answer:
        asked.append(str(question))
        await anyio.sleep(0.01)
        return "session" if question.atom.text == "shopping" else "no"

    async with host_with(Policy(ask=person)) as host:
        await host.load(WIDGET)
        assert await ask(host, "shopping") == "notes on shopping"
        assert await ask(host, "shopping") == "notes on shopping"
        assert await ask(host, "diary") is Code.DENIED
        assert await ask(host, "diary") is Code.DENIED
        reason = '\n    its author says: "to show them"'
        assert asked == [f"widget asks for notes shopping{reason}", f"widget asks for notes diary{reason}"]
        host.grants.revoke("widget", {"notes": ["shopping"]})
        assert await ask(host, "shopping") == "notes on shopping"
        assert len(asked) == 3


async def test_a_guest_that_asks_for_ever_new_things_asks_nobody_to_death() -> None:
    """Each denied by a person, until nobody is asked any more."""
    asked: list[Question] = []

    async def person(question: Question) -> Answer:
        asked.append(question)
        return "no"

    async with host_with(Policy(ask=person)) as host:
        await host.load(WIDGET)
        for number in range(100):
            assert await ask(host, f"topic-{number}") is Code.DENIED
        assert len(asked) == REFUSALS


async def test_always_is_for_the_next_host_too(tmp_path: Path) -> None:
    """Until it is revoked; and not for an extension of another name."""

    async def person(question: Question) -> Answer:
        return "always" if question.extension == "widget" else "no"

    async with host_with(Policy(ask=person), tmp_path) as host:
        await host.load(WIDGET)
        assert await ask(host, "shopping") == "notes on shopping"
    async with host_with(Policy(), tmp_path) as host:
        await host.load(WIDGET)
        await host.load(relay("other", 'notes: ["all"]'))
        assert await ask(host, "shopping") == "notes on shopping"
        assert await ask(host, "diary") is Code.DENIED
        assert await ask(host, "shopping", "other") is Code.DENIED
        (grant,) = host.grants.list("widget")
        host.grants.revoke("widget", grant)
        assert await ask(host, "shopping") is Code.DENIED
    async with host_with(Policy(), tmp_path) as host:
        await host.load(WIDGET)
        assert await ask(host, "shopping") is Code.DENIED


async def test_a_caller_without_rights_has_nobody_asked() -> None:
    """An extension that has another ask for it, and may not have it itself, makes no question in the other's name."""
    asked: list[Question] = []

    async def person(question: Question) -> Answer:
        asked.append(question)
        return "always"

    async with host_with(Policy(ask=person)) as host:
        await host.load(WIDGET)
        await host.load(relay("caller", 'call: ["widget/ask"]'), grants="requested")
        request = codec.encode(["cap.notes.find", codec.encode({"topic": "diary"})])
        raw = await host.call("caller", "ask", "ext.widget.ask", request, deadline=PATIENCE)
        answer = cast("Mapping[str, bytes]", codec.decode(cast("bytes", raw)))
        inner = cast("Mapping[str, Mapping[str, object]]", codec.decode(answer["ok"]))
        assert inner["error"]["code"] == Code.DENIED
        assert asked == []
