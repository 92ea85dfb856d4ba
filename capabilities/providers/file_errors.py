"""What the operating system refuses, said to a guest: a code, and a sentence about the path that the guest itself has said."""

import errno
import os
from collections.abc import Mapping

from desk.capabilities.codes import CapabilityError, Code
from desk.capabilities.syntax import shown

_REASONS: Mapping[int, tuple[Code, str]] = {
    errno.ENOENT: (Code.UNKNOWN, "{} does not exist"),
    errno.ENOTDIR: (Code.INVALID, "{} is not a directory, or leads through something that is none"),
    errno.EISDIR: (Code.INVALID, "{} is a directory"),
    errno.EEXIST: (Code.INVALID, "{} exists already"),
    errno.ENOTEMPTY: (Code.INVALID, "the directory {} is not empty"),
    errno.ENAMETOOLONG: (Code.INVALID, "{} has a name that is too long for this file system"),
    errno.EINVAL: (Code.INVALID, "{} is no name that this file system takes"),
    errno.EILSEQ: (Code.INVALID, "{} is no name that this file system takes"),
    errno.ELOOP: (Code.DENIED, "{} leads through a symbolic link, and none is followed; grant the place it leads to"),
    errno.EXDEV: (Code.DENIED, "{} leads out of the granted directory"),
    errno.ENXIO: (Code.DENIED, "{} is neither a file nor a directory"),
    errno.EFBIG: (Code.TOO_LARGE, "{} would be larger than the host may make a file"),
    errno.EMFILE: (Code.OVERLOADED, "the host has too many files open to open {}"),
    errno.ENFILE: (Code.OVERLOADED, "the computer has too many files open to open {}"),
    errno.EACCES: (Code.UNAVAILABLE, "the operating system does not let the host do this to {}"),
    errno.EPERM: (Code.UNAVAILABLE, "the operating system does not let the host do this to {}"),
    errno.EROFS: (Code.UNAVAILABLE, "the file system of {} is read-only"),
    errno.ENOSPC: (Code.UNAVAILABLE, "there is no space left for {}"),
    errno.EDQUOT: (Code.UNAVAILABLE, "there is no space left for {}"),
    errno.EAGAIN: (Code.UNAVAILABLE, "the directories above {} are being renamed; try again"),
}


def refusal(error: OSError, path: str) -> CapabilityError:
    """The answer for `error`, which came up at the guest's `path`."""
    number = error.errno or 0
    reason = f"the operating system says of {{}}: {os.strerror(number)}"
    code, text = _REASONS.get(number, (Code.UNAVAILABLE, reason))
    return CapabilityError(code, text.format(shown(path)))
