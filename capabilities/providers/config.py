"""Configuration: the settings that an extension's manifest declares, with the values that its operator gave.

They are nobody else's, and take no permission. This is the one place where a secret is given out, to the extension whose it
is. A value is never part of an error here, since errors are logged.
"""

from typing import Never

from desk.bus import codec
from desk.bus.codec import CodecError
from desk.capabilities.capability import Capability, operation
from desk.capabilities.codes import CapabilityError, Code
from desk.capabilities.provider import Use
from desk.capabilities.secrets import Secret
from desk.capabilities.syntax import PermissionSyntaxError, shown


class Config(Capability):
    """See the module's docstring."""

    name = "config"

    def permission(self, text: str) -> Never:
        """There are none. Raises `PermissionSyntaxError`."""
        raise PermissionSyntaxError("settings take no permission", "nothing in this section")

    @operation(needs=None, at_once=True)
    async def get(self, use: Use, name: str) -> object:
        """The value of a setting. Raises `CapabilityError(UNKNOWN)` if the manifest has none of that name."""
        try:
            value = use.member.config[name]
        except KeyError:
            raise CapabilityError(
                Code.UNKNOWN, f"there is no setting {shown(name)} in the manifest's `config`"
            ) from None
        if isinstance(value, Secret):
            value = value.reveal()
        try:
            codec.check(value)
        except CodecError:
            # Not from that error: it may show a part of the value.
            raise TypeError(f"the setting {name} of {use.extension} has a value that no message can carry") from None
        return value
