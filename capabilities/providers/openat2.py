"""The system call `openat2` of Linux: it opens what lies below a directory, and cannot be led elsewhere.

The kernel resolves the whole path under the rules that are given with it: nothing above the directory (`RESOLVE_BENEATH`), no
symbolic link anywhere (`RESOLVE_NO_SYMLINKS`), none of the links of `/proc` that are files in disguise
(`RESOLVE_NO_MAGICLINKS`). There is nothing between check and use, because it is one step. Python has no function for it.
"""

import ctypes
import errno
import os
import sys
from collections.abc import Callable
from functools import cache

_NUMBER = 437  # the same on every architecture that Linux and Python both run on today
_RESOLVE = 0x02 | 0x04 | 0x08  # NO_MAGICLINKS, NO_SYMLINKS, BENEATH
_ATTEMPTS = 16  # the kernel gives up while directories are being renamed on the way (EAGAIN)


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_SIZE = ctypes.sizeof(_How)


@cache
def _syscall() -> Callable[..., int]:
    function = ctypes.CDLL(None, use_errno=True).syscall
    function.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(_How), ctypes.c_size_t)
    function.restype = ctypes.c_long
    return function


def open_beneath(root: int, path: str, flags: int, mode: int = 0) -> int:
    """Open `path`, names joined by `/` or `.`, below the open directory `root`; returns a file descriptor.

    Raises `OSError` like `os.open`: `ELOOP` for a symbolic link anywhere on the way, `EXDEV` for what leads out.
    """
    name = path.encode(errors="surrogateescape")
    if b"\0" in name:  # C would see less than was checked
        raise ValueError("a path cannot contain NUL")
    how = _How(flags | os.O_CLOEXEC, mode, _RESOLVE)
    for _ in range(_ATTEMPTS):
        opened = _syscall()(_NUMBER, root, name, how, _SIZE)
        if opened >= 0:
            return opened
        number = ctypes.get_errno()
        if number not in (errno.EAGAIN, errno.EINTR):
            raise OSError(number, os.strerror(number))
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


@cache
def supported() -> bool:
    """Whether this kernel has it, and lets us use it: some sandboxes do not."""
    if sys.platform != "linux":
        return False
    root = os.open("/", os.O_PATH | os.O_DIRECTORY)
    try:
        os.close(open_beneath(root, ".", os.O_PATH | os.O_DIRECTORY))
    except (OSError, AttributeError):
        return False
    finally:
        os.close(root)
    return True
