"""Our bus, as an app uses it: publish to subscribers, and ask a function, an async function, or a task with a mailbox."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial

import anyio

from benchmarks.bus_work import Audience, Batch, Contestant, asking
from desk.bus.bus import Bus
from desk.bus.codec import Value
from desk.bus.mailbox import Mailbox
from desk.bus.responder import Function
from desk.bus.subscription import Subscription
from desk.bus.types.functions import parse_signature

_ECHO = "(any) -> any"
"""No type is checked beyond the codec's profile: the peers check none."""


@asynccontextmanager
async def publish(subscribers: int) -> AsyncGenerator[Batch, None]:
    """Events to so many subscribers, each in a task of its own."""
    bus, audience = Bus(), Audience(subscribers)

    async def listen(events: Subscription) -> None:
        hear = audience.receiver()
        async for event in events:
            hear(event.value)

    async def send(value: Value) -> None:
        await bus.publish("weather.changed", value)

    async with anyio.create_task_group() as tasks:
        for _ in range(subscribers):
            tasks.start_soon(listen, bus.subscribe("weather.changed"))
        yield audience.sending(send)
        tasks.cancel_scope.cancel()


def _echo(value: object) -> object:
    return value


async def _echo_async(value: object) -> object:
    return value


@asynccontextmanager
async def ask_function(function: Function) -> AsyncGenerator[Batch, None]:
    """Requests that a function answers."""
    bus = Bus()
    with bus.respond("bench.echo", function, _ECHO):
        yield asking(lambda value: bus.request("bench.echo", value))


@asynccontextmanager
async def ask_mailbox() -> AsyncGenerator[Batch, None]:
    """Requests that a task answers, out of its mailbox: what an actor is."""
    bus, signature, mailbox = Bus(), parse_signature(_ECHO), Mailbox("echo")
    bus.serve("bench.echo", signature, mailbox)

    async def serve() -> None:
        while True:
            envelope = await mailbox.take()
            assert envelope is not None
            assert envelope.reply is not None
            assert type(envelope.payload) is tuple
            [value] = signature.lift_args(envelope.payload)
            envelope.reply.answer(signature.lift_result(signature.lower_result(value)))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve)
        yield asking(lambda value: bus.request("bench.echo", value))
        tasks.cancel_scope.cancel()


REQUESTS: Mapping[str, Callable[[], Contestant]] = {
    "ask a function": partial(ask_function, _echo),
    "ask an async function": partial(ask_function, _echo_async),
    "ask a task": ask_mailbox,
}
"""Who answers, and how."""
