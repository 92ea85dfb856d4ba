"""What one would write without our bus: a task that reads a queue, and a place for its answer.

anyio stream     `anyio.create_memory_object_stream`, and an `anyio.Event` for the answer; on both event loops
trio channel     `trio.open_memory_channel`, and a `trio.Event`
asyncio queue    `asyncio.Queue`, and a `Future`

Each in the cheapest way that is right: an answer has a place of its own for each request, so that a late one is nobody else's;
a queue is bounded; and who sends gives up after `DEADLINE`, as with us. (An event needs no deadline as long as there is
room.) Without one a lost answer keeps its requester for ever: those are here to be looked at, not as equals.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager

import anyio
import trio
from anyio.streams.memory import MemoryObjectReceiveStream

from benchmarks.bus_work import CAPACITY, DEADLINE, Audience, Batch, Contestant, asking
from desk.bus import codec
from desk.bus.codec import Value


class _Answer:
    """Where one request's answer is put; `there` is set then."""

    __slots__ = ("payload", "there")

    def __init__(self, there: anyio.Event | trio.Event) -> None:
        self.there = there
        self.payload = b""


def _echoed(payload: bytes) -> bytes:
    """What the one who is asked does."""
    return codec.encode(codec.decode(payload))


# -- anyio


@asynccontextmanager
async def stream_events(receivers: int) -> AsyncGenerator[Batch, None]:
    """Events through a stream for each receiver."""
    audience = Audience(receivers)
    streams = [anyio.create_memory_object_stream[bytes](CAPACITY) for _ in range(receivers)]

    async def listen(inbox: MemoryObjectReceiveStream[bytes]) -> None:
        hear = audience.receiver()
        async with inbox:
            async for payload in inbox:
                hear(codec.decode(payload))

    async def send(value: Value) -> None:
        payload = codec.encode(value)
        for outbox, _ in streams:
            try:
                outbox.send_nowait(payload)
            except anyio.WouldBlock:
                with anyio.fail_after(DEADLINE):
                    await outbox.send(payload)

    async with anyio.create_task_group() as tasks:
        for _, inbox in streams:
            tasks.start_soon(listen, inbox)
        yield audience.sending(send)
        for outbox, _ in streams:
            outbox.close()


@asynccontextmanager
async def stream_round_trip(*, patient: bool) -> AsyncGenerator[Batch, None]:
    """Requests through a stream. `patient`: without a deadline."""
    outbox, inbox = anyio.create_memory_object_stream[tuple[bytes, _Answer]](CAPACITY)

    async def serve() -> None:
        async with inbox:
            async for payload, answer in inbox:
                answer.payload = _echoed(payload)
                answer.there.set()

    async def ask(value: Value) -> Value:
        answer = _Answer(anyio.Event())
        await outbox.send((codec.encode(value), answer))
        await answer.there.wait()
        return codec.decode(answer.payload)

    async def ask_in_time(value: Value) -> Value:
        with anyio.fail_after(DEADLINE):
            return await ask(value)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve)
        yield asking(ask if patient else ask_in_time)
        outbox.close()


# -- trio


@asynccontextmanager
async def channel_events(receivers: int) -> AsyncGenerator[Batch, None]:
    """Events through a channel for each receiver."""
    audience = Audience(receivers)
    channels = [trio.open_memory_channel[bytes](CAPACITY) for _ in range(receivers)]

    async def listen(inbox: trio.MemoryReceiveChannel[bytes]) -> None:
        hear = audience.receiver()
        async for payload in inbox:
            hear(codec.decode(payload))

    async def send(value: Value) -> None:
        payload = codec.encode(value)
        for outbox, _ in channels:
            try:
                outbox.send_nowait(payload)
            except trio.WouldBlock:
                with trio.fail_after(DEADLINE):
                    await outbox.send(payload)

    async with trio.open_nursery() as tasks:
        for _, inbox in channels:
            tasks.start_soon(listen, inbox)
        yield audience.sending(send)
        for outbox, _ in channels:
            outbox.close()


@asynccontextmanager
async def channel_round_trip(*, patient: bool) -> AsyncGenerator[Batch, None]:
    """Requests through a channel. `patient`: without a deadline."""
    outbox, inbox = trio.open_memory_channel[tuple[bytes, _Answer]](CAPACITY)

    async def serve() -> None:
        async for payload, answer in inbox:
            answer.payload = _echoed(payload)
            answer.there.set()

    async def ask(value: Value) -> Value:
        answer = _Answer(trio.Event())
        await outbox.send((codec.encode(value), answer))
        await answer.there.wait()
        return codec.decode(answer.payload)

    async def ask_in_time(value: Value) -> Value:
        with trio.fail_after(DEADLINE):
            return await ask(value)

    async with trio.open_nursery() as tasks:
        tasks.start_soon(serve)
        yield asking(ask if patient else ask_in_time)
        outbox.close()


# -- asyncio


@asynccontextmanager
async def queue_events(receivers: int) -> AsyncGenerator[Batch, None]:
    """Events through a queue for each receiver."""
    audience = Audience(receivers)
    queues = [asyncio.Queue[bytes](CAPACITY) for _ in range(receivers)]

    async def listen(queue: asyncio.Queue[bytes]) -> None:
        hear = audience.receiver()
        while True:
            hear(codec.decode(await queue.get()))

    async def send(value: Value) -> None:
        payload = codec.encode(value)
        for queue in queues:
            try:
                queue.put_nowait(payload)
            except asyncio.QueueFull:
                async with asyncio.timeout(DEADLINE):
                    await queue.put(payload)

    tasks = [asyncio.create_task(listen(queue)) for queue in queues]
    yield audience.sending(send)
    for task in tasks:
        task.cancel()


@asynccontextmanager
async def queue_round_trip(*, patient: bool) -> AsyncGenerator[Batch, None]:
    """Requests through a queue. `patient`: without a deadline."""
    queue = asyncio.Queue[tuple[bytes, asyncio.Future[bytes]]](CAPACITY)
    loop = asyncio.get_running_loop()

    async def serve() -> None:
        while True:
            payload, answer = await queue.get()
            if not answer.done():  # its requester has given up
                answer.set_result(_echoed(payload))

    async def ask(value: Value) -> Value:
        answer = loop.create_future()
        await queue.put((codec.encode(value), answer))
        return codec.decode(await answer)

    async def ask_in_time(value: Value) -> Value:
        async with asyncio.timeout(DEADLINE):
            return await ask(value)

    task = asyncio.create_task(serve())
    yield asking(ask if patient else ask_in_time)
    task.cancel()


EVENTS: Mapping[str, Mapping[str, Callable[[int], Contestant]]] = {
    "trio": {"anyio streams": stream_events, "trio channels": channel_events},
    "asyncio": {"anyio streams": stream_events, "asyncio queues": queue_events},
}
"""By event loop: what one sends events through."""

ROUND_TRIPS: Mapping[str, Mapping[str, Callable[..., Contestant]]] = {
    "trio": {"anyio stream": stream_round_trip, "trio channel": channel_round_trip},
    "asyncio": {"anyio stream": stream_round_trip, "asyncio queue": queue_round_trip},
}
"""By event loop: what one asks through."""
