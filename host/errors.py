"""What can go wrong with a host's own list of extensions: always the embedding app's doing."""

from desk.bus.errors import DeskError


class HostNotOpen(DeskError):
    """A `Host` works inside `async with Host() as host:` only; before and after there is nothing that could run."""

    doing = "caller"
    retry = "never"


class AlreadyLoaded(DeskError):
    """An extension of this name is loaded; remove it first."""

    doing = "caller"
    retry = "never"


class NotLoaded(DeskError):
    """No extension of this name is loaded, or it has no such export; the message lists what there is."""

    doing = "caller"
    retry = "never"


class UnreadableModule(DeskError):
    """The file cannot be read, or is larger than any module may be."""

    doing = "caller"
    retry = "never"


class DataDirInUse(DeskError):
    """Another host, of this process or another, keeps what its extensions store in this directory."""

    doing = "operator"
    retry = "later"
