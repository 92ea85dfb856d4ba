"""A real HTTP server on loopback for tests: one canned answer for every path, and a memory of what was asked."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import anyio.abc


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
