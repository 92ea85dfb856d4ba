"""Network permissions: whom to connect to, where to listen, what to send datagrams to, which names to look up.

    network  = [ nverb ":" ] endpoint | "resolve:" name ;      no verb = connect
    nverb    = "connect" | "listen" | "udp" ;
    endpoint = host [ ":" ports ] ;                            connect without ports = 443; listen and udp need them

Where something is forbidden or taken away, connect without ports is every port: who forbids a host means all of it.

`listen` takes one address and ports from 1024 up. `connect` and `udp` include `resolve` of the same names. Hosts and
ports have files of their own. A name permits its public addresses only: that rule needs the resolved address, so the
provider keeps it. A private address is reached by a literal grant and a literal request, or not at all.

A provider turns a guest's request into an atom with `NetworkAtom.connect(host, port)` and the like, and then uses the
host *in the atom*. There is one parser for what is asked and what is done.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from typing import ClassVar, Literal, Self

from desk.capabilities.atoms import Atom
from desk.capabilities.hosts import Addresses, Host, Name, parse_concrete_host, parse_host
from desk.capabilities.ports import Ports
from desk.capabilities.syntax import MAX_TEXT, PermissionSyntaxError, check_text, shown, unknown_word

NetworkVerb = Literal["connect", "listen", "udp", "resolve"]

_VERBS: tuple[NetworkVerb, ...] = ("connect", "listen", "udp", "resolve")
_IMPLY_RESOLVE = ("connect", "udp")
_HTTPS = Ports.one(443)
_FIRST_UNPRIVILEGED = 1024
_LIKE_PORTS = re.compile(r"[0-9,*-]+")
_EXPECTED = "host:ports, such as api.example.com, connect:192.0.2.7:8080 or listen:127.0.0.1:3000"


@dataclass(frozen=True, slots=True)
class NetworkAtom(Atom):
    """One network permission. `ports` is empty for `resolve`."""

    section: ClassVar[str] = "network"

    verb: NetworkVerb
    host: Host
    ports: Ports

    @classmethod
    def parse(cls, text: str, unsaid: Ports = _HTTPS) -> Self:
        """Read the grammar above, `unsaid` being the ports of a connect without any; raise `PermissionSyntaxError`."""
        check_text(text)
        verb, rest = _split_verb(text)
        host, ports = _split_endpoint(rest)
        given = Ports.parse(ports) if ports is not None else unsaid if verb == "connect" else None
        atom = cls._checked(verb, parse_host(host), given)
        if len(atom.text) > MAX_TEXT:
            raise PermissionSyntaxError("too long when written in full", f"at most {MAX_TEXT} characters")
        return atom

    @classmethod
    def connect(cls, host: str, port: int) -> Self:
        """A request to connect to one host and port. `host` is a name or an address, IPv6 with or without brackets.

        Raises `PermissionSyntaxError`, as all requests do, if the host could mean different things to different
        readers. That includes `::ffff:a.b.c.d`: an address that came from a resolver is to be unwrapped first.
        """
        return cls._checked("connect", parse_concrete_host(host), Ports.one(port))

    @classmethod
    def listen(cls, address: str, port: int) -> Self:
        """A request to listen on one address of this machine."""
        return cls._checked("listen", parse_concrete_host(address), Ports.one(port))

    @classmethod
    def udp(cls, host: str, port: int) -> Self:
        """A request to exchange datagrams with one host and port."""
        return cls._checked("udp", parse_concrete_host(host), Ports.one(port))

    @classmethod
    def resolve(cls, name: str) -> Self:
        """A request to look up the addresses of one name."""
        return cls._checked("resolve", parse_concrete_host(name), None)

    @classmethod
    def _checked(cls, verb: NetworkVerb, host: Host, ports: Ports | None) -> Self:
        if verb == "resolve":
            if ports is not None or not isinstance(host, Name):
                raise PermissionSyntaxError("resolve takes neither ports nor addresses nor *", "resolve:name")
            return cls(verb, host, Ports())
        if ports is None:
            raise PermissionSyntaxError(f"{verb} without ports", f"{verb}:{host.text}:PORT")
        if verb == "listen":
            if not isinstance(host, Addresses) or not host.concrete:
                raise PermissionSyntaxError(
                    f"cannot listen on {shown(host.text)}", "one address of this machine, such as 127.0.0.1"
                )
            if ports.lowest < _FIRST_UNPRIVILEGED:
                raise PermissionSyntaxError(
                    f"cannot listen on port {ports.lowest}", f"ports from {_FIRST_UNPRIVILEGED} up"
                )
        return cls(verb, host, ports)

    @property
    def text(self) -> str:
        return f"{self.verb}:{self.host.text}:{self.ports.text}" if self.ports else f"{self.verb}:{self.host.text}"

    def covers(self, other: Atom) -> bool:
        return (
            isinstance(other, NetworkAtom)
            and self.host.covers(other.host)  # first, since most differ in it
            and (self.verb == other.verb or (other.verb == "resolve" and self.verb in _IMPLY_RESOLVE))
            and self.ports.covers(other.ports)
        )

    def near(self, other: Atom) -> bool:
        return isinstance(other, NetworkAtom) and self.host.covers(other.host)

    def joined(self, others: Iterable[Atom]) -> Self:
        return replace(self, ports=self.ports.union(self._ports_for_my_host(others)))

    def minus(self, others: Iterable[Atom]) -> Self | None:
        if self.verb == "resolve":
            return None if any(other.covers(self) for other in others) else self
        left = self.ports.minus(Ports().union(self._ports_for_my_host(others)))
        return replace(self, ports=left) if left else None

    def meet(self, other: Atom) -> Atom | None:
        """What both permit, but for looking up the names that both a `connect` and a `udp` include."""
        if not isinstance(other, NetworkAtom):
            return None
        inner = other.host if self.host.covers(other.host) else self.host
        if not other.host.covers(inner):
            return None
        if "resolve" in (self.verb, other.verb):
            both = self.verb in (*_IMPLY_RESOLVE, "resolve") and other.verb in (*_IMPLY_RESOLVE, "resolve")
            return NetworkAtom("resolve", inner, Ports()) if both else None
        ports = Ports(self.ports.bits & other.ports.bits)
        return NetworkAtom(self.verb, inner, ports) if ports and self.verb == other.verb else None

    def _ports_for_my_host(self, others: Iterable[Atom]) -> Iterable[Ports]:
        for other in others:
            if isinstance(other, NetworkAtom) and other.verb == self.verb and other.host.covers(self.host):
                yield other.ports


def collapsed(atoms: Iterable[Atom]) -> list[Atom]:
    """Return `atoms` with neighbouring address blocks of the same verb and ports merged into larger blocks."""
    kept: list[Atom] = []
    blocks: defaultdict[tuple[NetworkVerb, Ports], list[Addresses]] = defaultdict(list)
    for atom in atoms:
        # `listen` is left out: it takes single addresses, never blocks.
        if isinstance(atom, NetworkAtom) and atom.verb != "listen" and isinstance(atom.host, Addresses):
            blocks[atom.verb, atom.ports].append(atom.host)
        else:
            kept.append(atom)
    for (verb, ports), hosts in blocks.items():
        v4 = collapse_addresses(host.network for host in hosts if isinstance(host.network, IPv4Network))
        v6 = collapse_addresses(host.network for host in hosts if isinstance(host.network, IPv6Network))
        kept += [NetworkAtom(verb, Addresses(network), ports) for network in (*v4, *v6)]
    return kept


def _split_verb(text: str) -> tuple[NetworkVerb, str]:
    head, colon, rest = text.partition(":")
    if colon and head in _VERBS:
        return head, rest
    if "://" in text:
        raise PermissionSyntaxError("a URL is no permission", _EXPECTED)
    # `word:` is a host before its ports, or else a misspelt verb: tell them apart, to explain the mistake.
    if colon and head.isalpha() and _LIKE_PORTS.fullmatch(rest) is None:
        error = unknown_word("verb", head, _VERBS)
        if error.nearest is not None or ":" in rest:
            raise error
    return "connect", text


def _split_endpoint(text: str) -> tuple[str, str | None]:
    if text.startswith("["):
        host, bracket, rest = text.partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise PermissionSyntaxError(f"bad IPv6 host {shown(text)}", "[address] or [address]:ports")
        return f"{host}]", rest[1:] if rest else None
    if text.count(":") > 1:
        raise PermissionSyntaxError(f"too many colons in {shown(text)}", f"{_EXPECTED}; IPv6 goes in brackets")
    host, colon, ports = text.partition(":")
    return host, ports if colon else None
