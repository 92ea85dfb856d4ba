"""A person is asked one thing at a time, is not pestered, and what is answered is what was shown."""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from desk.bus.envelope import Origin
from desk.capabilities.atoms import Atom
from desk.capabilities.audit import Audit
from desk.capabilities.broker import Broker
from desk.capabilities.codes import PermissionDenied
from desk.capabilities.filesystem_atoms import FilesystemAtom
from desk.capabilities.grants import Grants
from desk.capabilities.message_atoms import BusAtom
from desk.capabilities.network_atoms import NetworkAtom
from desk.capabilities.permissions import PermissionSet
from desk.capabilities.policy import Policy
from desk.capabilities.prompting import COOL_DOWN, OF_ONE, REFUSALS, WAITING, Answer, Prompter, Question
from desk.capabilities.provider import Member, Use
from desk.capabilities.remembered import Remembered
from desk.traces.tracing import Tracing

pytestmark = pytest.mark.anyio

ASKED = PermissionSet.parse({"network": ["*:*"], "filesystem": ["readwrite:/srv"]})
API = NetworkAtom.connect("api.example", 443)


@dataclass
class Person:
    """Whom the prompter asks: remembers the questions, and answers when told to."""

    answers: Callable[[Question], Awaitable[Answer]] | Answer = "no"
    asked: list[Question] = field(default_factory=list[Question])
    at_once: int = 0
    most_at_once: int = 0

    async def __call__(self, question: Question) -> Answer:
        self.asked.append(question)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await anyio.lowlevel.checkpoint()
            return await self.answers(question) if callable(self.answers) else self.answers
        finally:
            self.at_once -= 1


@dataclass
class World:
    """A broker whose prompter asks a person, at a time that stands still."""

    person: Person
    prompter: Prompter
    broker: Broker
    audit: Audit
    now: list[float]
    members: dict[str, Member] = field(default_factory=dict[str, Member])

    def member(self, name: str, granted: PermissionSet | None = None, policy: Policy | None = None) -> Member:
        """An extension that asks for much, and was granted nothing, unless said otherwise."""
        rules = None if policy is None else policy.rules(name)
        member = Member(name, Grants(ASKED, PermissionSet() if granted is None else granted, rules))
        self.members[name] = member
        self.broker.join(member)
        return member

    async def may(self, name: str, atom: Atom, chain: tuple[str, ...] = ()) -> bool:
        """Whether the broker lets an extension do it."""
        origin = Origin(name, (*chain, name), principals=(*chain, name))
        try:
            await self.broker.authorise(atom, Use(self.members[name], origin), "test")
        except PermissionDenied:
            return False
        return True


@asynccontextmanager
async def world(
    answers: Callable[[Question], Awaitable[Answer]] | Answer = "no", remembered: Remembered | None = None
) -> AsyncGenerator[World]:
    """A world whose prompter runs."""
    person, now, audit = Person(answers), [0.0], Audit()
    prompter = Prompter(person, None if remembered is None else remembered.add, lambda: now[0])
    broker = Broker((), audit, Tracing(None), ask=prompter)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(prompter.run)
        yield World(person, prompter, broker, audit, now)
        tasks.cancel_scope.cancel()


# -- answers


async def test_once_is_for_one_request() -> None:
    """The next one is asked about again."""
    async with world("once") as w:
        w.member("widget")
        assert await w.may("widget", API)
        assert [grant.by for grant in w.members["widget"].grants.records()] == []
        assert await w.may("widget", API)
        assert len(w.person.asked) == 2


async def test_a_session_is_until_it_is_removed() -> None:
    """One question, and then none; it says who gave it."""
    async with world("session") as w:
        member = w.member("widget")
        assert await w.may("widget", API)
        assert await w.may("widget", API)
        assert len(w.person.asked) == 1
        (grant,) = member.grants.records()
        assert (grant.atom, grant.scope, grant.by) == (API, "session", "person")
        w.member("widget")
        assert await w.may("widget", API)
        assert len(w.person.asked) == 2


async def test_always_is_remembered(tmp_path: Path) -> None:
    """Exactly what was shown, and only for that extension."""
    remembered = Remembered(tmp_path / "grants.ron")
    async with world("always", remembered) as w:
        w.member("widget")
        assert await w.may("widget", API)
    again = Remembered(tmp_path / "grants.ron")
    assert again.granted("widget", ASKED).atoms == (API,)
    assert again.granted("other", ASKED).atoms == ()


async def test_what_cannot_be_remembered_is_for_the_session(caplog: pytest.LogCaptureFixture) -> None:
    """A full disk is no reason to refuse what a person allowed; the log says it."""

    def fails(name: str, atoms: tuple[Atom, ...]) -> None:
        raise OSError(28, "No space left on device")

    person = Person("always")
    prompter = Prompter(person, fails)
    w = World(person, prompter, Broker((), Audit(), Tracing(None), ask=prompter), Audit(), [0.0])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(prompter.run)
        w.member("widget")
        assert await w.may("widget", API)
        assert await w.may("widget", API)
        tasks.cancel_scope.cancel()
    assert len(person.asked) == 1
    assert "could not be remembered" in caplog.text


async def test_only_what_lacks_a_grant_alone_is_asked() -> None:
    """Not what the manifest does not ask for, what a rule refuses, nor what another could not have by the answer."""
    async with world("always") as w:
        w.member("widget", policy=Policy(deny={"network": ["*.evil.example:*"]}, ceiling={"network": ["*:*"]}))
        w.member("caller")
        assert not await w.may("widget", FilesystemAtom.read("/etc/passwd"))
        assert not await w.may("widget", NetworkAtom.connect("a.evil.example", 443))
        assert not await w.may("widget", FilesystemAtom.read("/srv/x"))  # above the ceiling
        assert not await w.may("widget", API, chain=("caller",))
        assert w.person.asked == []
        w.members["caller"].grants.give([API])
        assert await w.may("widget", API, chain=("caller",))
        assert [question.on_behalf_of for question in w.person.asked] == [("caller",)]


# -- one at a time


async def test_those_who_want_the_same_wait_for_the_same_answer() -> None:
    """One question for ten requests; once is for all ten of them, and for no eleventh."""
    results: list[bool] = []

    async with world("once") as w:
        w.member("widget")

        async def ask() -> None:
            results.append(await w.may("widget", API))

        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(ask)
        assert results == [True] * 10
        assert len(w.person.asked) == 1
        assert w.members["widget"].grants.records() == ()


async def test_questions_are_asked_one_after_the_other() -> None:
    """In the order in which they came up, whoever asks."""
    async with world("session") as w:
        for name in ("a", "b", "c"):
            w.member(name)
        async with anyio.create_task_group() as tasks:
            for number, name in enumerate("abcabc"):
                tasks.start_soon(w.may, name, NetworkAtom.connect("api.example", 80 + number))
        assert w.person.most_at_once == 1
        assert sorted(question.extension for question in w.person.asked) == list("aabbcc")


async def test_what_an_earlier_answer_covers_is_not_asked() -> None:
    """If the operator grants something wide while a question waits, it is not shown any more."""

    async def answer(question: Question) -> Answer:
        w.members["widget"].grants.give(PermissionSet.parse({"network": ["*:*"]}))
        return "no"

    async with world(answer) as w:
        w.member("widget")
        results: dict[int, bool] = {}

        async def ask(port: int) -> None:
            results[port] = await w.may("widget", NetworkAtom.connect("api.example", port))

        async with anyio.create_task_group() as tasks:
            for port in (80, 81, 82):
                tasks.start_soon(ask, port)
        assert results == {80: True, 81: True, 82: True}
        assert len(w.person.asked) == 1


async def test_nobody_is_asked_about_an_extension_that_is_gone() -> None:
    """A question that waits while its extension is removed is not shown; what waits for it is denied."""

    async def answer(question: Question) -> Answer:
        w.broker.leave(w.members["widget"])
        return "session"

    async with world(answer) as w:
        w.member("widget")
        results: list[bool] = []

        async def ask(port: int) -> None:
            results.append(await w.may("widget", NetworkAtom.connect("api.example", port)))

        async with anyio.create_task_group() as tasks:
            for port in (80, 81, 82):
                tasks.start_soon(ask, port)
        assert results == [False, False, False]
        assert len(w.person.asked) == 1


async def test_to_listen_once_is_to_listen() -> None:
    """Listening is one request that lasts, so what is granted for it once is not over at once."""
    news = BusAtom.subscribe("news.*")
    async with world("once") as w:
        w.members["widget"] = Member("widget", Grants(PermissionSet((news,))))
        w.broker.join(w.members["widget"])
        assert await w.may("widget", news)
        assert w.members["widget"].grants.decide(news).allowed


async def test_who_gives_up_loses_neither_question_nor_answer() -> None:
    """The answer comes after the caller has gone; the next request finds the grant, and nobody is asked again."""
    shown, answered = anyio.Event(), anyio.Event()

    async def answer(question: Question) -> Answer:
        shown.set()
        await answered.wait()
        return "once"

    async with world(answer) as w:
        w.member("widget")
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(w.may, "widget", API)
                await shown.wait()
                scope.cancel()
        assert w.members["widget"].grants.records() == ()
        answered.set()
        with anyio.fail_after(10):
            while not w.members["widget"].grants.records():
                await anyio.lowlevel.checkpoint()
        assert await w.may("widget", API)
        assert len(w.person.asked) == 1


async def test_when_the_host_closes_those_who_wait_are_denied() -> None:
    """Also those whose question was not shown yet, and all who come later."""

    async def answer(question: Question) -> Answer:
        await anyio.sleep_forever()
        raise AssertionError

    person = Person(answer)
    prompter = Prompter(person)
    w = World(person, prompter, Broker((), Audit(), Tracing(None), ask=prompter), Audit(), [0.0])
    w.member("widget")
    results: list[bool] = []

    async def ask(port: int) -> None:
        results.append(await w.may("widget", NetworkAtom.connect("api.example", port)))

    async def run_until(scope: anyio.CancelScope) -> None:
        with scope:
            await prompter.run()

    running = anyio.CancelScope()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run_until, running)
            tasks.start_soon(ask, 80)
            tasks.start_soon(ask, 81)
            await anyio.wait_all_tasks_blocked()
            assert len(person.asked) == 1
            running.cancel()
    assert results == [False, False]
    assert not await w.may("widget", API)


# -- not pestered


async def test_a_no_holds_for_a_while_and_the_second_for_good() -> None:
    """The same thing is denied without a question meanwhile."""
    async with world("no") as w:
        w.member("widget")
        assert not await w.may("widget", API)
        assert not await w.may("widget", API)
        assert len(w.person.asked) == 1
        w.now[0] += COOL_DOWN - 1
        assert not await w.may("widget", API)
        assert len(w.person.asked) == 1
        w.now[0] += 1
        assert not await w.may("widget", API)
        assert len(w.person.asked) == 2
        w.now[0] += 1_000_000
        w.member("widget")  # loaded again, it is the same to a person
        assert not await w.may("widget", API)
        assert len(w.person.asked) == 2


async def test_a_hundred_thousand_wishes_are_a_few_questions() -> None:
    """Each for another thing: after some noes the extension is denied without a question. Others are asked about as before."""
    async with world("no") as w:
        member, use = w.member("widget"), Use(Member("x", Grants(ASKED)), Origin("widget"))
        use.member = member
        for number in range(100_000):
            atom = FilesystemAtom.read(f"/srv/{number}")
            if number < 100:
                assert not await w.may("widget", atom)
            else:  # past the decision and its record, which tests of their own bound
                assert not await w.prompter(use, member.grants.decide(atom))
        assert len(w.person.asked) == REFUSALS
        w.member("other")
        assert not await w.may("other", API)
        assert len(w.person.asked) == REFUSALS + 1


async def test_few_questions_wait() -> None:
    """Of one extension, and of all; what comes up beyond that is denied at once."""
    answered = anyio.Event()

    async def answer(question: Question) -> Answer:
        await answered.wait()
        return "session"

    async with world(answer) as w:
        denied: list[str] = []
        allowed: list[str] = []

        async def ask(name: str, port: int) -> None:
            (allowed if await w.may(name, NetworkAtom.connect("api.example", port)) else denied).append(name)

        async with anyio.create_task_group() as tasks:
            for port in range(1, 21):
                if port == 1:
                    w.member("greedy")
                tasks.start_soon(ask, "greedy", port)
            await anyio.wait_all_tasks_blocked()
            assert denied == ["greedy"] * (20 - OF_ONE)
            for number in range(20):
                w.member(f"widget-{number}")
                tasks.start_soon(ask, f"widget-{number}", 80)
            await anyio.wait_all_tasks_blocked()
            assert len(denied) == (20 - OF_ONE) + 20 - (WAITING - OF_ONE)
            answered.set()
        assert len(w.person.asked) == len(allowed) == WAITING


@pytest.mark.parametrize("wrong", [ValueError("boom"), "yes", None, True, ["session"]])
async def test_what_goes_wrong_is_a_no(wrong: object, caplog: pytest.LogCaptureFixture) -> None:
    """A function that raises or answers nonsense: logged, denied, and not asked again at once. The next question is asked."""

    async def answer(question: Question) -> Answer:
        if question.atom != API:
            return "session"
        if isinstance(wrong, Exception):
            raise wrong
        return wrong  # pyright: ignore[reportReturnType]

    async with world(answer) as w:
        w.member("widget")
        with caplog.at_level(logging.ERROR):
            assert not await w.may("widget", API)
        assert "no answer to the question whether widget may have network connect:api.example:443" in caplog.text
        assert not await w.may("widget", API)
        assert len(w.person.asked) == 1
        assert await w.may("widget", NetworkAtom.connect("other.example", 443))


# -- what is shown


async def test_the_question_is_what_a_yes_grants() -> None:
    """Printable ASCII whatever is in it; who is behind it, and the author's words marked as such."""
    path = "/srv/caf\u00e9"
    question = Question("widget", FilesystemAtom.read(path), 'safe"\n\x1b[2J', ("caller", "other"))
    assert str(question) == (
        "widget asks for filesystem read:/srv/caf\\u{e9}\n"
        "    on behalf of caller, other\n"
        '    its author says: "safe\\"\\u{a}\\u{1b}[2J"'
    )
    assert str(Question("widget", API, "", ())) == "widget asks for network connect:api.example:443"
    many = Question("widget", API, "because " * 100, tuple(f"w{number}" for number in range(50)))
    assert len(str(many)) < 500
    assert all(" " <= character <= "~" or character == "\n" for character in str(question) + str(many))


async def test_the_question_has_the_manifests_reason() -> None:
    """Which the host has put into the member."""
    async with world("no") as w:
        w.member("widget").reason = lambda atom: f"to use {atom.section}"
        await w.may("widget", API)
        assert [question.reason for question in w.person.asked] == ["to use network"]
