"""One request between nodes of one process: settled once, with the answer or an error, and how it is worked on."""

import logging
import time
from dataclasses import dataclass, field

import anyio

from desk.bus.errors import BusError, NoReceiver, ResponderFailed
from desk.bus.link import Function, LinkMessage, Unsendable, check_payload

log = logging.getLogger("desk.bus.link")


@dataclass(eq=False, slots=True)
class Call:
    """See the module's docstring."""

    message: LinkMessage
    until: float
    """When the requester stops waiting, on `time.monotonic()`, in seconds."""
    max_payload: int
    over: anyio.Event = field(default_factory=anyio.Event)
    answer: bytes | None = None
    error: BusError | None = None
    abandoned: bool = False

    def settle(self, answer: bytes | None, error: BusError | None = None) -> None:
        """Let the requester have this, unless it has something already."""
        if not self.over.is_set():
            self.answer, self.error = answer, error
            self.over.set()

    def unwanted(self) -> bool:
        """Whether nobody has use for an answer any more."""
        return self.abandoned or self.over.is_set() or self.until <= time.monotonic()


async def work(function: Function, call: Call, room: anyio.Semaphore) -> None:
    """Answer one request. Whatever the function does, the requester is told; only a cancellation goes on."""
    subject, node = call.message.subject, call.message.sender
    try:
        if call.unwanted():
            return
        with anyio.move_on_after(call.until - time.monotonic()):
            call.settle(check_payload(await function(call.message), call.max_payload))
    except NoReceiver as error:
        call.settle(None, NoReceiver(str(error)))
    except Unsendable as error:
        log.error("the answer to %s for node %s is none: %s", subject, node, error)
        call.settle(None, ResponderFailed(f"the function that serves {subject} gave no answer: {error}"))
    except Exception:
        log.exception("the function that serves %s failed on a request from node %s", subject, node)
        call.settle(
            None, ResponderFailed(f"the function that serves {subject} raised an error; its node has it in the log")
        )
    finally:
        room.release()
