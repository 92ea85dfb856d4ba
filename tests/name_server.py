"""A real DNS server on loopback for tests, and a resolver that asks it: the next answer for a name may be another."""

import struct
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address

import anyio
import anyio.abc

from desk.capabilities.addresses import IPAddress
from desk.capabilities.providers.destinations import Resolver

_ANY = b"\0\xff\0\1"  # any type, class IN


@dataclass
class NameServer:
    """Answers the first question with the first of `answers`, and so on; the last stays. Nothing may be cached."""

    answers: list[list[str]]
    asked: list[str] = field(default_factory=list[str])
    """The names in the questions so far."""
    resolver: Resolver = field(init=False)
    """Asks this server."""

    def answer(self, question: bytes) -> bytes:
        """One DNS message for another."""
        name, labels = question[12:-4], list[str]()
        while name[0]:
            labels.append(name[1 : 1 + name[0]].decode())
            name = name[1 + name[0] :]
        self.asked.append(".".join(labels))
        found = [ip_address(text).packed for text in self.answers[min(len(self.asked), len(self.answers)) - 1]]
        head = question[:2] + struct.pack(">5H", 0x8180, 1, len(found), 0, 0)
        kinds = {4: 1, 16: 28}  # A, AAAA
        return (
            head
            + question[12:]
            + b"".join(
                b"\xc0\x0c" + struct.pack(">HHIH", kinds[len(address)], 1, 0, len(address)) + address
                for address in found
            )
        )


@asynccontextmanager
async def name_server(*answers: list[str]) -> AsyncGenerator[NameServer]:
    """Serve them on a UDP port of 127.0.0.1."""
    server = NameServer(list(answers))
    async with (
        await anyio.create_udp_socket(local_host="127.0.0.1") as udp,
        anyio.create_task_group() as tasks,
    ):
        port = udp.extra(anyio.abc.SocketAttribute.local_port)

        async def serve() -> None:
            async for question, (host, source) in udp:
                await udp.sendto(server.answer(question), host, source)

        async def resolve(name: str) -> Sequence[IPAddress]:
            wire = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
            question = struct.pack(">6H", 1, 0x0100, 1, 0, 0, 0) + wire + b"\0" + _ANY
            async with await anyio.create_connected_udp_socket("127.0.0.1", port) as asking:
                await asking.send(question)
                return _addresses(await asking.receive(), len(question))

        server.resolver = resolve
        tasks.start_soon(serve)
        yield server
        tasks.cancel_scope.cancel()


def _addresses(answer: bytes, at: int) -> list[IPAddress]:
    found: list[IPAddress] = []
    while at < len(answer):
        size = struct.unpack(">H", answer[at + 10 : at + 12])[0]
        found.append(ip_address(answer[at + 12 : at + 12 + size]))
        at += 12 + size
    return found
