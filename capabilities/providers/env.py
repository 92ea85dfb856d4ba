"""Environment variables of the host, one at a time, those that were granted.

Which variables there are says much about a machine. So one that is not granted is answered as one that is not set; only audit
and trace know of the difference.
"""

import os
from collections.abc import Mapping
from typing import Any

from desk.capabilities.atoms import Atom
from desk.capabilities.capability import Capability, operation
from desk.capabilities.codes import CapabilityError, Code
from desk.capabilities.env_atoms import EnvAtom
from desk.capabilities.provider import Use


def _variable(env: "Env", request: Mapping[str, Any], use: Use) -> tuple[Atom, ...]:
    del env, use
    return (EnvAtom.read(request["name"]),)


class Env(Capability):
    """See the module's docstring."""

    name = "env"

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        """`environ` stands for the environment of the process."""
        self._environ = os.environ if environ is None else environ

    def permission(self, text: str) -> Atom:
        """Like `read:APP_*`."""
        return EnvAtom.parse(text)

    @operation(needs=_variable, denied=None, at_once=True)
    async def get(self, name: str) -> str | None:
        """The value as it is at this moment, or none."""
        value = self._environ.get(name)
        if value is not None and not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:  # bytes that are not UTF-8, which Python has as lone surrogates
                raise CapabilityError(Code.UNAVAILABLE, f"the value of {name} is not text in UTF-8") from None
        return value
