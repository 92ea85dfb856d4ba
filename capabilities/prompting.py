"""Asking a person, when an extension wants what its manifest asks for and only a grant is missing.

An app gives a function that shows one `Question` and returns an answer: no, once, for this session, or always. Around it:

* One question at a time; they wait for their turn in the order in which they came up.
* Whoever wants the same thing for the same extension waits for the same answer. A caller that gives up, or a guest whose time
  is over meanwhile, takes neither question nor answer with it: what was granted is there for the next request.
* Nobody is pestered. After a no, the same thing is denied without a question for `COOL_DOWN` seconds, after the second no for
  as long as the host runs; after `REFUSALS` of them, all that the extension lacks. Few questions may wait, also of one
  extension; what comes up beyond that is denied at once.
* What goes wrong is a no: a function that raises, or that answers something else.

The text is made from the very permission that a yes grants, in printable ASCII, not from what a guest sent; only the reason is
its author's words, quoted and said to be that. A rule of the operator's policy is never asked about: no answer could change it.
"""

import logging
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

from desk.bus.wakeup import Wakeup
from desk.capabilities.atoms import Atom
from desk.capabilities.decision import Decision
from desk.capabilities.grant import Scope
from desk.capabilities.message_atoms import BusAtom
from desk.capabilities.provider import Member, Use
from desk.capabilities.syntax import quoted

log = logging.getLogger("desk.capabilities")

Answer: TypeAlias = Literal["no", "once", "session", "always"]
"""`once` is for the requests that wait for it, or else for the next one; `session` until the extension is removed.

What a request opens that was allowed once (a connection, a listener, a watch) ends with it: for use, that takes `session`. To
listen to events is a request that lasts: there, `once` is as long as `session`.
"""

COOL_DOWN: Final = 60.0
"""Seconds for which the same thing is not asked again after a no."""

REFUSALS: Final = 8
"""Noes after which an extension is not asked about any more."""

WAITING: Final = 16
"""Questions that wait at one time, with the one that is shown."""

OF_ONE: Final = 4
"""Of these, questions of one extension."""

_REASON = 200  # characters of an author's reason that a question shows
_PRINCIPALS = 8  # extensions that a question names as those who asked for it


@dataclass(frozen=True, slots=True)
class Question:
    """What a person is asked. `str(question)` is the whole of it in a fixed form, some lines of printable ASCII."""

    extension: str
    atom: Atom
    """The permission that a yes grants, exactly."""
    reason: str
    """Why, in the words of the manifest's author; empty if there are none. To be escaped before it is shown."""
    on_behalf_of: tuple[str, ...]
    """Other extensions whose calls led to this."""

    def __str__(self) -> str:
        lines = [f"{self.extension} asks for {self.atom}"]
        if self.on_behalf_of:
            more = ", ..." if len(self.on_behalf_of) > _PRINCIPALS else ""
            lines.append(f"    on behalf of {', '.join(self.on_behalf_of[:_PRINCIPALS])}{more}")
        if self.reason:
            more = "..." if len(self.reason) > _REASON else ""
            lines.append(f"    its author says: {quoted(self.reason[:_REASON])}{more}")
        return "\n".join(lines)


AskPerson: TypeAlias = Callable[[Question], Awaitable[Answer]]
"""Shows one question and returns the answer."""

Remember: TypeAlias = Callable[[str, tuple[Atom, ...]], None]
"""Keeps what was granted to the extension of a name for always."""


@dataclass(slots=True, eq=False)
class _Pending:
    """A question that waits or is shown, and who waits for its answer."""

    member: Member
    atom: Atom
    principals: dict[str, None] = field(default_factory=dict[str, None])
    waiting: int = 0
    answered: Wakeup = field(default_factory=Wakeup)


@dataclass(slots=True)
class _Refused:
    """The noes to one thing."""

    until: float = 0.0
    """Seconds of the clock before which it is not asked again."""
    times: int = 0


class Prompter:
    """What a broker takes as `ask`. It answers while `run` runs, which the host has as a task."""

    def __init__(
        self, ask: AskPerson, remember: Remember | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`remember` is called with what is granted for always; without it, that is for the session. It may raise `OSError`."""
        self._ask = ask
        self._remember = remember
        self._clock = clock
        self._pending: dict[tuple[Member, Atom], _Pending] = {}
        self._queue: deque[_Pending] = deque()
        self._arrived = Wakeup()
        self._refused: defaultdict[str, dict[Atom, _Refused]] = defaultdict(dict)
        self._closed = False

    async def __call__(self, use: Use, decision: Decision) -> bool:
        """Have a person asked about what `decision` lacks, unless it was lately. True if it may be allowed now."""
        member, atom = use.member, decision.atom
        pending = self._pending.get((member, atom))
        if pending is None:
            if decision.missing != "grant" or not self._may_ask(member, atom):
                return False
            pending = self._pending[member, atom] = _Pending(member, atom)
            self._queue.append(pending)
            self._arrived.set()
        pending.principals.update(dict.fromkeys(use.origin.principals))
        pending.waiting += 1
        try:
            await pending.answered.wait()
        finally:
            pending.waiting -= 1
        return member.grants.decide(atom).allowed

    def _may_ask(self, member: Member, atom: Atom) -> bool:
        if self._closed or len(self._pending) >= WAITING:
            return False
        if sum(each.member is member for each in self._pending.values()) >= OF_ONE:
            return False
        noes = self._refused.get(member.name, {})
        no = noes.get(atom)
        return sum(each.times for each in noes.values()) < REFUSALS and (
            no is None or (no.times < 2 and self._clock() >= no.until)
        )

    async def run(self) -> None:
        """Ask, one question after the other, until it is cancelled; then all that wait are denied."""
        try:
            while True:
                while not self._queue:
                    self._arrived = Wakeup()
                    await self._arrived.wait()
                pending = self._queue.popleft()
                try:
                    await self._settle(pending)
                finally:
                    del self._pending[pending.member, pending.atom]
                    pending.answered.set()
        finally:
            self._closed = True
            for pending in self._pending.values():
                pending.answered.set()
            self._pending.clear()
            self._queue.clear()

    async def _settle(self, pending: _Pending) -> None:
        member, atom = pending.member, pending.atom
        if member.grants.decide(atom).missing != "grant":  # it was given, or forbidden, while this waited
            return
        others = tuple(name for name in pending.principals if name != member.name)
        question = Question(member.name, atom, member.reason(atom), others)
        try:
            answer = await self._ask(question)
            if answer not in get_args(Answer):
                raise ValueError(f"{answer!r:.80} is no answer; expected one of {', '.join(get_args(Answer))}")
            if answer == "no":
                self._note_refusal(member.name, atom)
            else:
                self._give(pending, answer)
        except Exception:  # whatever is wrong with the app's function, the answer is no
            log.exception("no answer to the question whether %s may have %s, so it may not", member.name, atom)
            self._note_refusal(member.name, atom)

    def _note_refusal(self, extension: str, atom: Atom) -> None:
        no = self._refused[extension].setdefault(atom, _Refused())
        no.times += 1
        no.until = self._clock() + COOL_DOWN

    def _give(self, pending: _Pending, answer: Answer) -> None:
        member, atom = pending.member, pending.atom
        if answer == "once" and isinstance(atom, BusAtom) and atom.verb == "subscribe":
            answer = "session"
        count = max(pending.waiting, 1) if answer == "once" else 1
        member.grants.give([atom] * count, scope=Scope(answer), by="person", reason="asked")
        if answer == "always" and self._remember is not None:
            try:
                self._remember(member.name, (atom,))
            except OSError:
                log.exception("%s may have %s for this session only: it could not be remembered", member.name, atom)
