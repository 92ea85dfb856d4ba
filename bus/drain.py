"""How a bus comes to rest: new messages are refused, those that are there are handled until a deadline, all mailboxes are closed.

What running messages cause is carried out meanwhile: an extension that handles its last event may still publish. What is
left is in the dead letters, and in the report.
"""

import time
from dataclasses import dataclass

import anyio

from desk.bus.dead_letters import Cause, DeadLetter
from desk.bus.events import Events
from desk.bus.exchange import Exchange, latest, seconds_until
from desk.bus.mailbox import Mailbox
from desk.bus.requests import Requests
from desk.bus.responder import Responder, Service

_LOOK_AGAIN = 0.005
"""Seconds between two looks whether it has come to rest."""


@dataclass(frozen=True, slots=True)
class Drained:
    """How a bus came to rest: see the module's docstring."""

    seconds: float
    """How long it took."""
    left: tuple[DeadLetter, ...]
    """What was not handled within the deadline; it is in the dead letters as well."""
    unfinished: tuple[str, ...]
    """Receivers that were still at work when the deadline passed."""

    def __str__(self) -> str:
        """Like `drained in 0.2 s; left: 3 messages (echo: 3); still at work: slow`."""
        counts: dict[str, int] = {}
        for letter in self.left:
            counts[letter.receiver] = counts.get(letter.receiver, 0) + 1
        messages = "1 message" if len(self.left) == 1 else f"{len(self.left)} messages"
        left = (
            f"{messages} ({', '.join(f'{name}: {count}' for name, count in counts.items())})" if counts else "nothing"
        )
        busy = f"; still at work: {', '.join(self.unfinished)}" if self.unfinished else ""
        return f"drained in {self.seconds:.1f} s; left: {left}{busy}"


async def drain(exchange: Exchange, events: Events, requests: Requests, deadline: float) -> Drained:
    """See the module's docstring; `deadline` in seconds. Raises `ValueError` if it is none, and refuses nothing then."""
    began = time.monotonic()
    limit = latest(began, deadline, None)
    exchange.close(wholly=False)
    with anyio.move_on_after(seconds_until(limit)):
        while _busy(events, requests):  # noqa: ASYNC110 - nobody says when the last of them has come to rest
            await anyio.sleep(_LOOK_AGAIN)
    unfinished = tuple(_busy(events, requests))
    exchange.close(wholly=True)
    before = exchange.letters.total
    for mailbox in _mailboxes(events, requests):
        for envelope in mailbox.lined_up():
            if envelope.reply is None:  # or else its requester is told
                exchange.keep(envelope, mailbox.name, "was stopped while a publisher waited for room", Cause.STOPPED)
        for envelope in mailbox.close():
            exchange.bury(envelope, mailbox.name, "was stopped before it took the message", None, Cause.STOPPED)
    for tap in exchange.taps:
        tap.close()
    count = exchange.letters.total - before
    left = tuple(exchange.letters)[-count:] if count else ()
    return Drained(time.monotonic() - began, left, unfinished)


def _mailboxes(events: Events, requests: Requests) -> list[Mailbox]:
    answering = [each.mailbox for each in requests.services.values() if isinstance(each, Service)]
    listening = [each.mailbox for each in events.table.subscriptions.values()]
    return list({id(mailbox): mailbox for mailbox in (*answering, *listening)}.values())


def _busy(events: Events, requests: Requests) -> list[str]:
    """The names of all who have something to do."""
    active = [each.name for each in requests.services.values() if isinstance(each, Responder) and each.active]
    return active + [mailbox.name for mailbox in _mailboxes(events, requests) if not mailbox.idle]
