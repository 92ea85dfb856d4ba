"""A guest that keeps a journal, the capability that it asks, and the books of all that a host accepted.

Every message of these tests has a number of its own, so that its fate can be told: the guest journals the numbers that it
begins with, the capability those that it is asked for, and `Books` what was buried, by which receiver, and whether
somebody was told.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio.lowlevel
import pytest
from toolbox import extension

from desk.actors.cell import Cell
from desk.bus import codec, ron
from desk.bus.bus import Bus
from desk.bus.envelope import Envelope
from desk.bus.mailbox import Mailbox
from desk.bus.types import parse_type
from desk.bus.types.base import Type
from desk.capabilities.atoms import Atom
from desk.capabilities.filesystem_atoms import FilesystemAtom
from desk.capabilities.provider import Use
from desk.host import Host

FIRST = 1_000
"""The least number of a message: from here to 65,535 CBOR takes three bytes, which the guest writes itself."""

KINDS = ("plain", "ask", "tell", "long", "journey", "fail", "trap", "silent", "spin")
"""What a message can have the guest do. `spin` ends by a limit only, and `tell` goes to whoever listens to `news`."""


def journalist(name: str, more: str = "") -> bytes:
    """The guest: each export of `KINDS` journals its number; `work.KIND` is handled by the export of that name."""
    exports = ", ".join(f'"{kind}": (params: [i32], ret: {"bytes" if kind == "silent" else "i32"})' for kind in KINDS)
    handlers = ", ".join(f'"work.{kind}": "{kind}"' for kind in KINDS)
    return extension(
        f"""(name: "{name}", api_version: "0.1",
            exports: {{{exports}, "journal": (params: [], ret: bytes)}}, subscribes: {{{handlers}}},
            permissions: {{bus: ["publish:news"], filesystem: ["read:/ledger"]}}, {more})""",
        """
        (global $count (mut i32) (i32.const 0))
        (func $note (param i32)
          (i32.store (i32.add (i32.const 4096) (i32.shl (global.get $count) (i32.const 2))) (local.get 0))
          (global.set $count (i32.and (i32.add (global.get $count) (i32.const 1)) (i32.const 8191)))
          (i32.store8 (i32.const 33) (i32.shr_u (local.get 0) (i32.const 8)))
          (i32.store8 (i32.const 34) (local.get 0)))
        (func $request_it (drop (call $request (i32.const 0) (i32.const 10) (i32.const 32) (i32.const 3))))
        (func $tell_it (drop (call $publish (i32.const 16) (i32.const 4) (i32.const 32) (i32.const 3))))
        (func $compute (local $left i32)
          (local.set $left (i32.const 2000000))
          (loop (local.set $left (i32.sub (local.get $left) (i32.const 1))) (br_if 0 (local.get $left))))
        (func (export "plain") (param i32) (result i32) (call $note (local.get 0)) (local.get 0))
        (func (export "ask") (param i32) (result i32)
          (call $note (local.get 0)) (call $request_it) (local.get 0))
        (func (export "tell") (param i32) (result i32)
          (call $note (local.get 0)) (call $tell_it) (local.get 0))
        (func (export "long") (param i32) (result i32)
          (call $note (local.get 0)) (call $compute) (local.get 0))
        (func (export "journey") (param i32) (result i32)
          (call $note (local.get 0))
          (call $tell_it) (call $request_it) (call $compute) (call $request_it) (call $tell_it) (local.get 0))
        (func (export "fail") (param i32) (result i32)
          (call $note (local.get 0)) (call $fail (i32.const 1) (i32.const 0) (i32.const 3)) (i32.const 0))
        (func (export "trap") (param i32) (result i32) (call $note (local.get 0)) (unreachable))
        (func (export "silent") (param i32) (call $note (local.get 0)))
        (func (export "spin") (param i32) (result i32) (call $note (local.get 0)) (loop (br 0)) (unreachable))
        (func (export "journal")
          (call $reply (i32.const 4096) (i32.shl (global.get $count) (i32.const 2))))
        (data (i32.const 0) "cap.ledger")
        (data (i32.const 16) "news")
        (data (i32.const 32) "\\19")
        """,
    )


JOURNALIST = journalist("journalist")


async def journal(host: Host, name: str = "journalist") -> list[int]:
    """The numbers that the instance of now has begun with, in order. When it answers, all earlier messages are over."""
    raw = await host.call(name, "journal", deadline=None)
    assert isinstance(raw, bytes)
    return [int.from_bytes(raw[at : at + 4], "little") for at in range(0, len(raw), 4)]


class Ledger:
    """The capability `ledger`: writes down each number that it is asked for, after some turns of the event loop."""

    name = "ledger"
    request_type: Type = parse_type(ron.parse("u32"))
    response_type: Type = parse_type(ron.parse("u32"))

    def __init__(self, turns: int = 3) -> None:
        self.turns = turns
        self.asked: list[int] = []

    def needs(self, request: object, use: Use) -> tuple[Atom, ...]:
        """To read the file of that name."""
        del request
        return (FilesystemAtom.parse("read:/ledger"),)

    async def perform(self, request: object, use: Use) -> object:
        """Write it down, and take a while."""
        assert isinstance(request, int)
        self.asked.append(request)
        for _ in range(self.turns):
            await anyio.lowlevel.checkpoint()
        return request


@dataclass(frozen=True, slots=True)
class Burial:
    """One message that was accepted and not handled: its number, its receiver, and whether its caller was told."""

    number: int
    receiver: str
    told: bool
    request: bool


def number_of(envelope: Envelope) -> int:
    """The number that a message carries, 0 for one of the tests' own questions."""
    payload: Any = envelope.payload
    if isinstance(payload, tuple):
        return int(payload[0]) if payload else 0
    value = codec.decode(payload)
    return value if isinstance(value, int) else 0


@dataclass
class Books:
    """Every actor there was, its mailbox, and everything that was buried."""

    cells: list[Cell] = field(default_factory=list[Cell])
    mailboxes: list[Mailbox] = field(default_factory=list[Mailbox])
    burials: list[Burial] = field(default_factory=list[Burial])

    def note(self, host: Host, name: str, export: str) -> None:
        """Remember the mailbox of an extension that was loaded just now, and has such an export."""
        self.mailboxes.append(host.bus.service(f"ext.{name}.{export}").mailbox)

    def buried(self, number: int, receiver: str) -> list[Burial]:
        """What this receiver's part in the message of this number was, if it was buried."""
        return [burial for burial in self.burials if (burial.number, burial.receiver) == (number, receiver)]

    def check_cells(self) -> None:
        """Hold what is true of every actor at every moment: all that it accepted is over, in progress, or waits."""
        for cell in self.cells:
            s = cell.statistics()
            assert s.accepted == s.handled + s.failed + s.dropped + s.busy + s.queued, (cell, s)

    @property
    def accepted(self) -> int:
        """Messages that the mailboxes took."""
        return sum(mailbox.statistics().accepted for mailbox in self.mailboxes)

    @property
    def pending(self) -> int:
        """Messages that wait in them, or are being handled."""
        return sum(cell.statistics().queued + cell.statistics().busy for cell in self.cells)

    @property
    def handled(self) -> int:
        """Turns that ended well."""
        return sum(cell.statistics().handled for cell in self.cells)

    @property
    def failed(self) -> int:
        """Turns that did not."""
        return sum(cell.statistics().failed for cell in self.cells)

    @property
    def dropped(self) -> int:
        """Messages that never had a turn, or whose turn was cut short."""
        return sum(cell.statistics().dropped for cell in self.cells)


@contextmanager
def keeping_books() -> Iterator[Books]:
    """The books of all hosts meanwhile, wherever they make their actors and bury their dead."""
    books = Books()
    begin, bury = Cell.__init__, Bus.bury

    def beginning(cell: Cell, *args: Any, **more: Any) -> None:
        begin(cell, *args, **more)
        books.cells.append(cell)

    def burying(bus: Bus, envelope: Envelope, receiver: str, *args: Any, **more: Any) -> None:
        before = bus.statistics().dead
        bury(bus, envelope, receiver, *args, **more)
        told = bus.statistics().dead == before
        books.burials.append(Burial(number_of(envelope), receiver, told, envelope.reply is not None))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cell, "__init__", beginning)
        patch.setattr(Bus, "bury", burying)
        yield books
