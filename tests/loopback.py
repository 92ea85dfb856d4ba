"""Real servers on loopback for tests: any that one can write, and one for HTTP with canned answers and a memory."""

import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.abc
from anyio.streams.tls import TLSListener

Handler = Callable[[anyio.abc.ByteStream], Awaitable[None]]

SINK = "2620:4f:8000::1"
"""A public address by our table, at which nobody answers: AS112 (RFC 7535) is a sink for stray questions."""


@asynccontextmanager
async def listening(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncGenerator[int]:
    """Serve TCP on 127.0.0.1; gives the port."""

    async def handle(stream: anyio.abc.ByteStream) -> None:
        async with stream:
            try:
                await handler(stream)
            except (anyio.BrokenResourceError, anyio.EndOfStream):
                pass  # the client has hung up, as it may

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    served = TLSListener(listener, tls, standard_compatible=False) if tls else listener
    async with served, anyio.create_task_group() as tasks:
        tasks.start_soon(served.serve, handle)
        yield port
        tasks.cancel_scope.cancel()


def closed_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port of 127.0.0.1 where nobody is."""
    with socket.socket(type=kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Pages:
    """Bodies by path; what is not there is 404. `asked` are the request lines and `Host` headers so far."""

    def __init__(self, pages: dict[str, bytes]) -> None:
        self._pages = pages
        self.asked: list[tuple[str, str]] = []

    async def __call__(self, stream: anyio.abc.ByteStream) -> None:
        """Answer one request and hang up."""
        async with stream:
            data = b""
            while b"\r\n\r\n" not in data:
                data += await stream.receive()
            first, *headers = data.decode("latin-1").split("\r\n")
            host = next(line.partition(":")[2].strip() for line in headers if line.lower().startswith("host:"))
            path = first.split(" ")[1]
            self.asked.append((path, host))
            body = self._pages.get(path)
            status = b"404 Not Found" if body is None else b"200 OK"
            head = b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (status, len(body or b""))
            await stream.send(head + (body or b""))


@asynccontextmanager
async def serving(pages: Pages) -> AsyncGenerator[int]:
    """Serve them on 127.0.0.1; gives the port."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, pages)
        yield listener.extra(anyio.abc.SocketAttribute.local_port)
        tasks.cancel_scope.cancel()
