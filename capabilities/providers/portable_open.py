"""Opening below a directory where there is no `openat2`: one name at a time, each inside the directory opened before it.

Every step is relative to an open directory and refuses a symbolic link (`O_NOFOLLOW`), so whatever is swapped meanwhile, the
next step is taken from where the last one arrived. `..` is not taken at all. It behaves as `desk.capabilities.providers.openat2`
does, and costs a system call or two for each name.
"""

import errno
import os
import stat

_PASSING = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW


def open_beneath(root: int, path: str, flags: int, mode: int = 0) -> int:
    """As `openat2.open_beneath`."""
    if "\0" in path:
        raise ValueError("a path cannot contain NUL")
    *above, last = path.split("/")
    if ".." in above or last == "..":
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    here = root
    try:
        for name in above:
            below = _step(here, name, _PASSING, 0)
            _leave(here, root)
            here = below
        return _step(here, last, flags | os.O_NOFOLLOW, mode)
    finally:
        _leave(here, root)


def _step(here: int, name: str, flags: int, mode: int) -> int:
    encoded = name.encode(errors="surrogateescape")
    try:
        return os.open(encoded, flags | os.O_CLOEXEC, mode, dir_fd=here)
    except OSError as error:
        # What is wanted as a directory and is a link is only called no directory. Whichever it was: nothing was opened.
        if error.errno in (errno.ENOTDIR, errno.EMLINK) and _is_link(here, encoded):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
        raise


def _is_link(here: int, name: bytes) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _leave(here: int, root: int) -> None:
    if here != root:
        os.close(here)
