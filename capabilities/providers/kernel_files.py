"""Which open files are the kernel's own, such as those of `/proc`: views of the computer that only look like files.

The grammar refuses the paths at which they usually are. They may be mounted anywhere else (in the tree of a container, say),
so the open file itself is asked, too. On other systems than Linux, the paths are all.
"""

import ctypes
import sys
from collections.abc import Callable
from functools import cache

_KINDS = frozenset(
    {
        0x9FA0,  # proc
        0x62656572,  # sysfs
        0x64626720,  # debugfs
        0x74726163,  # tracefs
        0x73636673,  # securityfs
        0x27E0EB,  # cgroup
        0x63677270,  # cgroup2
        0x62656570,  # configfs
        0x6165676C,  # pstore
        0xDE5E81E4,  # efivarfs
        0xCAFE4A11,  # bpf
        0xF97CFF8C,  # selinux
        0x43415D53,  # smack
        0x6E736673,  # nsfs
        0x1CD1,  # devpts
        0x42494E4D,  # binfmt_misc
        0x65735543,  # fusectl
        0x19800202,  # mqueue
    }
)
_ROOM = 256  # bytes, more than any `struct statfs` has; its first field, a long, is the kind


@cache
def _fstatfs() -> Callable[..., int]:
    function = ctypes.CDLL(None, use_errno=True).fstatfs
    function.argtypes = (ctypes.c_int, ctypes.c_char_p)
    return function


def is_of_kernel(file: int) -> bool:
    """Whether the open `file` belongs to such a file system; also if that cannot be found out."""
    if sys.platform != "linux":
        return False
    room = ctypes.create_string_buffer(_ROOM)
    if _fstatfs()(file, room) != 0:
        return True
    kind = int.from_bytes(room.raw[: ctypes.sizeof(ctypes.c_long)], sys.byteorder)
    return kind & 0xFFFF_FFFF in _KINDS
