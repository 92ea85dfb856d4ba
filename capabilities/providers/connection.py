"""Connections of guests: to whom they go was decided before, by `destinations`; here they are made.

TCP, and TLS over it. Certificates are for the name that the guest asked for, whatever address it led to. There are no Unix
sockets and no proxies. What goes wrong is raised as `CapabilityError`, whose text may be shown to the guest.
"""

import ssl
from functools import cached_property
from typing import NoReturn

import anyio
from anyio.streams.tls import TLSStream

from desk.capabilities.codes import CapabilityError, Code
from desk.capabilities.network_atoms import NetworkAtom
from desk.capabilities.provider import Use
from desk.capabilities.providers.destinations import Destinations
from desk.capabilities.providers.tcp import TcpStream, connect_to_first
from desk.capabilities.syntax import shown


class Connections:
    """Makes them. `timeout` is for looking up and connecting, and again for the TLS handshake, in seconds.

    `tls` says whom to trust, by default whom the system trusts.
    """

    def __init__(self, destinations: Destinations, *, tls: ssl.SSLContext | None = None, timeout: float = 10.0) -> None:
        self._destinations = destinations
        self._given_tls = tls
        self._timeout = timeout

    async def connect(self, wanted: NetworkAtom, use: Use) -> TcpStream:
        """Look up and connect. Raises `CapabilityError`: `DENIED`, `UNAVAILABLE`, `DEADLINE`."""
        try:
            with anyio.fail_after(self._timeout):
                endpoints = await self._destinations.find(wanted, use.member.grants.rules)
                return await connect_to_first(endpoints, self._timeout)
        except TimeoutError:
            where = f"{wanted.host.text}:{wanted.ports.lowest}"
            raise CapabilityError(Code.DEADLINE, f"no connection to {where} within {self._timeout} s") from None

    async def secure(self, stream: TcpStream, wanted: NetworkAtom) -> TLSStream:
        """Shake hands. Raises `CapabilityError`: `UNAVAILABLE`, `DEADLINE`; the connection is of no use then."""
        host = wanted.host.text
        try:
            with anyio.fail_after(self._timeout):
                # Not `standard_compatible`: like every HTTP client, we live with servers that hang up without a word.
                return await TLSStream.wrap(
                    stream, hostname=host.strip("[]"), ssl_context=self._tls, standard_compatible=False
                )
        except TimeoutError:
            raise CapabilityError(Code.DEADLINE, f"no TLS handshake with {host} within {self._timeout} s") from None
        except (OSError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
            _raise_refusal(error, host)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        # Reading the system's certificates takes tens of milliseconds: not before somebody needs them.
        return ssl.create_default_context() if self._given_tls is None else self._given_tls


def _raise_refusal(error: Exception, host: str) -> NoReturn:
    if isinstance(error, ssl.SSLCertVerificationError):
        raise CapabilityError(
            Code.UNAVAILABLE, f"the certificate of {host} is not valid: {shown(error.verify_message)}"
        ) from None
    reason = error.reason if isinstance(error, ssl.SSLError) and error.reason else "it hung up"
    raise CapabilityError(Code.UNAVAILABLE, f"no TLS handshake with {host}: {reason}") from None
