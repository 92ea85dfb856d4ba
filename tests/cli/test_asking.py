"""Asking at a real terminal: what is shown, what counts as an answer, and that nothing typed before or after is one."""

import os
import pty
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from typing import TextIO

import anyio
import anyio.lowlevel
import pytest

from desk.capabilities.network_atoms import NetworkAtom
from desk.capabilities.prompting import Answer, Question
from desk.cli.asking import TerminalAsk

pytestmark = pytest.mark.anyio

QUESTION = Question("widget", NetworkAtom.connect("api.example", 443), "to fetch the forecast", ())


@dataclass
class Keyboard:
    """The other end of a terminal."""

    handle: int
    reads: TextIO

    def type(self, text: str) -> None:
        """As a person does, with the end of the line."""
        os.write(self.handle, f"{text}\n".encode())


@contextmanager
def terminal() -> Generator[Keyboard]:
    """A terminal to read from."""
    ours, theirs = pty.openpty()
    try:
        with open(theirs, encoding="utf-8", closefd=True) as reads:
            yield Keyboard(ours, reads)
    finally:
        os.close(ours)


async def asked(ask: TerminalAsk, keyboard: Keyboard, *lines: str) -> Answer:
    """The answer, when these lines are typed once the question is there."""
    answers: list[Answer] = []

    async def wait() -> None:
        answers.append(await ask(QUESTION))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            for line in lines:
                await anyio.wait_all_tasks_blocked()
                keyboard.type(line)
    return answers[0]


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        (["y"], "once"),
        (["s"], "session"),
        (["a"], "always"),
        (["n"], "no"),
        ([" YES "], "once"),
        (["what?", "y"], "once"),
        (["", "", ""], "no"),
        (["yy", "1", "true"], "no"),
    ],
)
async def test_an_answer_is_a_letter(lines: list[str], answer: Answer) -> None:
    """Or its word; what is none is asked again, and is a no after three lines."""
    shown = StringIO()
    with terminal() as keyboard:
        assert await asked(TerminalAsk(keyboard.reads, shown), keyboard, *lines) == answer
    assert shown.getvalue().startswith(
        "widget asks for network connect:api.example:443\n"
        '    its author says: "to fetch the forecast"\n'
        "Allow it? y: once, s: this session, a: always, n: no\n"
    )


async def test_what_was_typed_before_is_no_answer() -> None:
    """Nobody allows what they have not seen, by a key that was meant for something else."""
    with terminal() as keyboard:
        keyboard.type("y")
        await anyio.wait_readable(keyboard.reads)
        assert await asked(TerminalAsk(keyboard.reads, StringIO()), keyboard, "n") == "no"


async def test_a_question_that_is_given_up_takes_no_line() -> None:
    """The answer that is typed next is the next question's."""
    with terminal() as keyboard:
        ask = TerminalAsk(keyboard.reads, StringIO())
        with anyio.move_on_after(0.05):
            await ask(QUESTION)
        assert await asked(ask, keyboard, "s") == "session"


async def test_the_event_loop_goes_on_meanwhile() -> None:
    """While nobody types, others work."""
    worked = 0
    with terminal() as keyboard, anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(TerminalAsk(keyboard.reads, StringIO()), QUESTION)
            for _ in range(100):
                await anyio.lowlevel.checkpoint()
                worked += 1
            await anyio.wait_all_tasks_blocked()
            keyboard.type("n")
    assert worked == 100


async def test_without_a_terminal_the_answer_is_no() -> None:
    """A pipe is nobody who could be asked; what would have been is told."""
    shown = StringIO()
    assert await TerminalAsk(StringIO("y\n"), shown)(QUESTION) == "no"
    assert "widget asks for network connect:api.example:443" in shown.getvalue()


async def test_a_terminal_that_is_closed_says_no() -> None:
    """The window is gone: the end of the input is no yes."""
    with terminal() as keyboard:
        assert await asked(TerminalAsk(keyboard.reads, StringIO()), keyboard, "\x04") == "no"
