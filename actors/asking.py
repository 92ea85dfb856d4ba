"""What the guest of one call asks of others: carried to its facet, and the answer to the guest.

Either in a task, as the pump wants it done (`serve`), or at once: by whoever runs the first slice, as far as that needs no
waiting (`capabilities/at_once.py`). What is only begun then, `serve` goes on with.
"""

import time
from contextvars import Context

from desk.actors.abi import Outgoing
from desk.actors.engine.instance import Instance
from desk.actors.guest import Guest
from desk.actors.turn import Turn
from desk.actors.voice import Voice
from desk.capabilities.at_once import Begun
from desk.capabilities.codes import Code
from desk.capabilities.facet import Facet, answer_error


class Asking:
    """The pump's `Server` for one call. `context` has the context variables that all is done with, on whatever task."""

    __slots__ = ("_begun", "_context", "_facet", "_guest", "_turn", "_voice")

    def __init__(self, facet: Facet, voice: Voice, guest: Guest, turn: Turn, context: Context) -> None:
        self._facet = facet
        self._voice = voice
        self._guest = guest
        self._turn = turn
        self._context = context
        self._begun: Begun[int] | None = None

    def at_once(self, instance: Instance, until: float) -> bool:
        """Answer what the guest waits for, and what it then waits for, and so on; True if its call is over.

        Not what has to wait, and nothing after `until`, by `time.monotonic()`. Raises what a poll does.
        """
        while (asked := instance.suspension) and asked.request.may_be_brief and time.monotonic() < until:
            begun = self._context.run(Begun, self.serve(asked.request))
            if not begun.over:
                self._begun = begun
                return False
            asked.resume(begun.result)
            instance.refresh_deadline()
            if instance.poll():
                return True
        return False

    async def serve(self, outgoing: Outgoing) -> int:
        """Carry out what the guest waits for."""
        if self._begun is not None:
            begun, self._begun = self._begun, None
            return await begun
        self._voice.write(self._guest, self._turn, over=False)
        origin, guest = self._turn.origin(), self._guest
        if outgoing.kind == "publish":
            if outgoing.refused is not None:
                return -outgoing.refused
            sent = await self._facet.publish(outgoing.subject, outgoing.payload, origin)
            self._turn.budget.charge(self._facet.take_spent())
            return sent
        if outgoing.refused is Code.NOT_YET:
            return Code.NOT_YET
        if guest.full:
            return Code.OVERLOADED  # before anything is done, whose answer would be lost
        if outgoing.refused is not None:
            return guest.give(answer_error(outgoing.refused, outgoing.why))
        answer = await self._facet.request(outgoing.subject, outgoing.payload, origin)
        self._turn.budget.charge(self._facet.take_spent())
        return guest.give(answer)

    def too_late(self, outgoing: Outgoing) -> int:
        """What the guest is told if that took too long."""
        if outgoing.kind == "publish":
            return -Code.OVERLOADED
        limit = f"no answer in time; this call ends at its own limit, {self._turn.limits.wall_ms:,} ms"
        return self._guest.give(answer_error(Code.DEADLINE, limit))
