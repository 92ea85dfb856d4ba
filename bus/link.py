"""The link port: the neighbour of the bus through which another engine (NATS, say) carries it to other nodes.

    async with await engine.join("kitchen") as link:
        await link.publish("weather.changed", payload, {"traceparent": "00-…-01"})
        async with link.subscribe("weather.*") as messages:
            async for message in messages: ...
        answer = await link.request("lamp.on", payload, deadline=2.0)
        await tasks.start(link.serve, "lamp.*", switch)              # answers requests until it is cancelled

A *node* is one bus of the network, with a name of its own. Payloads are bytes and mean nothing here; headers are a few short
texts beside them. Subjects and patterns are the bus's (`desk.bus.subjects`), whatever the engine's own look like. A link
leads to *other* nodes: what a node publishes or asks never comes back to itself over its own link.

What is written at each verb is the contract. `tests/bus/link_conformance.py` holds every implementation to it;
`LocalNetwork` (`desk.bus.local_link`) is the one in process. Behind all of it stand four rules:

* At most once: nothing is sent again by itself. The error of a request says whether it was certainly not carried out
  (`NoReceiver`, `Overloaded`, `LinkDown`, `Unsendable`), or may have been (`PeerLost`, `DeadlineExceeded`, `ResponderFailed`).
* Order: what one node publishes on one subject, one call after the other, arrives at each subscription in that order.
* Every buffer is bounded, and what does not fit is counted: a slow reader harms nobody else.
* Every wait can be cancelled, and ends when the link does.

An implementation natively serves trio and asyncio. Whatever arrives from the network is checked before anybody sees it
(`checked`), and dropped if it is no message.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Self, TypeAlias

import anyio.abc
from anyio import TASK_STATUS_IGNORED

from desk.bus.errors import BusError
from desk.bus.link_buffer import Buffer, Presence
from desk.bus.mailbox import DEFAULT_CAPACITY
from desk.bus.subjects import check_subject

MAX_HEADERS = 32
"""Headers of one message."""

MAX_HEADER_BYTES = 8_192
"""Characters of all headers of one message, names and values together."""

NO_HEADERS: Mapping[str, str] = MappingProxyType({})

SERVING, WAITING = 64, 256
"""Requests that one `serve` works on at once, and that wait for it beyond those."""

_NODE = re.compile(r"[a-z0-9_-]{1,64}")
_HEADER = re.compile(r"[a-z0-9-]{1,64}")
_VALUE = re.compile(r"[ -~]*")


class LinkDown(BusError):
    """This node's link is closed, or has lost the network. Nothing was sent."""

    doing = "outside"
    retry = "later"


class PeerLost(BusError):
    """The node that worked on the request, or the way to it, is gone. It may have been carried out, wholly or partly."""

    doing = "outside"
    retry = "if repeatable"


class Unsendable(BusError):
    """The payload or a header is larger than the link carries, or is no bytes, no text it can carry. Nothing was sent."""

    doing = "caller"
    retry = "never"


@dataclass(frozen=True, slots=True)
class LinkMessage:
    """What arrives: an event for a subscription, or a request for a server."""

    subject: str
    payload: bytes
    headers: Mapping[str, str]
    """Read-only, checked for form only: what a header says is the sender's word."""
    sender: str
    """Name of the node it comes from. From the link, not from the message: a node cannot lie about it."""
    deadline: float | None = None
    """When the requester stops waiting, on this node's `time.monotonic()`, in seconds; None for an event."""


Messages: TypeAlias = Buffer[LinkMessage]
"""What a subscription gets: iterate over it, one task at a time."""

Function: TypeAlias = Callable[[LinkMessage], Awaitable[bytes]]
"""Answers one request."""


class Link(ABC):
    """One node's way to the others. Made by an engine, which gives it a name that no other node of the network has."""

    name: str
    """This node's: one word of a-z 0-9 _ -, of at most 64 characters."""
    max_payload: int
    """Bytes that a payload or an answer may have."""
    durable = False
    """Whether a subscription that was away gets what was published meanwhile. If not, it is gone."""
    balanced = False
    """Whether the members of a group, and the servers of a subject, share the work about evenly."""

    @abstractmethod
    async def publish(self, subject: str, payload: bytes, headers: Mapping[str, str] = NO_HEADERS) -> None:
        """Send an event to every subscription of the other nodes that matches, and to one of each group.

        Returns when it is handed over, not when anyone has it; waits while the link's own send buffer is full. Cancelled,
        it has sent the whole message or nothing. That nobody listens is no error. Raises `SubjectError`, `Unsendable`,
        `LinkDown`.
        """

    @abstractmethod
    def subscribe(
        self, pattern: str, *, group: str | None = None, capacity: int = DEFAULT_CAPACITY
    ) -> AbstractAsyncContextManager[Messages]:
        """Listen, inside `async with`: from its first line on, whatever other nodes publish arrives.

        Of all subscriptions on all nodes that name the same `group`, one gets each message. `capacity` messages wait to
        be read; one that comes beyond those is dropped, counted in `messages.dropped`, and the order of the others stays.
        The iteration ends when the `async with` or the link is closed, after what had arrived; if the link is lost, it
        ends with `LinkDown`. Raises `SubjectError` (also for a group that is no word), `LinkDown`.
        """

    @abstractmethod
    async def request(
        self, subject: str, payload: bytes, headers: Mapping[str, str] = NO_HEADERS, *, deadline: float
    ) -> bytes:
        """Ask one of the other nodes that serve `subject`, and wait for its answer for at most `deadline` seconds.

        One server is asked, once. Certainly not carried out: `NoReceiver` (no other node serves it, or the one asked said
        so), `Overloaded` (too many requests wait there), `LinkDown`, `Unsendable`, `SubjectError`. Perhaps carried out:
        `PeerLost` (as soon as it is known, not at the deadline), `DeadlineExceeded`, `ResponderFailed` (the function
        raised, or what it returned is no payload). Cancelling abandons the answer; a server that has begun goes on.
        """

    @abstractmethod
    async def serve(
        self, pattern: str, function: Function, *, task_status: anyio.abc.TaskStatus[None] = TASK_STATUS_IGNORED
    ) -> None:
        """Answer other nodes' requests to what matches, each with `await function(message)` in a task of its own.

        Start it with `await tasks.start(link.serve, pattern, function)`, which returns once it can be asked. It works on
        `SERVING` requests at once and lets `WAITING` wait; those beyond are refused (`Overloaded`). One whose deadline has
        passed is not begun, and cancelled if it was. What `function` raises stays on this node, in the log;
        the requester gets `ResponderFailed`. Raising `NoReceiver` tells it that nothing was carried out.

        Returns when the link is closed, raises `LinkDown` when it is lost, and ends when it is cancelled. What it was
        working on is then cancelled, and the requesters get `PeerLost`. Raises `SubjectError`, `LinkDown`.
        """

    @abstractmethod
    def presence(self) -> AbstractAsyncContextManager[Presence]:
        """Which other nodes are there, inside `async with`: `nodes` at this moment, and each coming and going as it happens.

        A node that went and came back is seen to go and to come, however slowly one reads. Ends as a subscription does.
        Raises `LinkDown`.
        """

    @abstractmethod
    async def close(self) -> None:
        """Leave the network: the others see this node go. Every verb raises `LinkDown` from then on. Idempotent.

        Requests of this node that wait for an answer raise `PeerLost`, and so do other nodes' requests that it works on.
        """

    async def __aenter__(self) -> Self:
        """The link, which is open already."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Close it."""
        await self.close()


def check_node(name: str) -> str:
    """Return `name` if a node may be called so; raise `ValueError` if not."""
    if _NODE.fullmatch(name) is None:
        raise ValueError(f"{name[:80]!a} is no name of a node: one word of a-z 0-9 _ -, of at most 64 characters")
    return name


def checked(
    subject: str,
    payload: bytes,
    headers: Mapping[str, str],
    sender: str,
    *,
    max_payload: int,
    deadline: float | None = None,
) -> LinkMessage:
    """The message made of these, with its own copy of the headers. Raises `SubjectError` and `Unsendable`.

    For both ends: before a message is sent, and where it comes from a network.
    """
    return LinkMessage(
        check_subject(subject), check_payload(payload, max_payload), _check_headers(headers), sender, deadline
    )


def check_payload(payload: object, max_payload: int) -> bytes:
    """Return `payload` if it is bytes, and not too many; raise `Unsendable` if not."""
    if type(payload) is not bytes:
        raise Unsendable(f"a payload is bytes, not {type(payload).__name__}")
    if len(payload) > max_payload:
        raise Unsendable(f"{len(payload):,} bytes of payload; this link carries at most {max_payload:,}")
    return payload


def _check_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    if not headers:
        return NO_HEADERS
    if len(headers) > MAX_HEADERS:
        raise Unsendable(f"{len(headers)} headers; a message has at most {MAX_HEADERS}")
    copy, size = dict[str, str](), 0
    for name, value in headers.items():
        if type(name) is not str or _HEADER.fullmatch(name) is None:
            raise Unsendable(f"{name!a:.80} is no name of a header: a-z 0-9 -, of at most 64 characters")
        if type(value) is not str or len(value) > MAX_HEADER_BYTES or _VALUE.fullmatch(value) is None:
            raise Unsendable(f"header {name}: a value is at most {MAX_HEADER_BYTES:,} printable ASCII characters")
        copy[name] = value
        size += len(name) + len(value)
    if size > MAX_HEADER_BYTES:
        raise Unsendable(f"{size:,} characters of headers; a message has at most {MAX_HEADER_BYTES:,}")
    return MappingProxyType(copy)
