"""Giving up root for good, after what needs it has been done.

A process that serves strangers needs nothing but its sockets.  It becomes `nobody`
with no group and no capability but one: to listen at ports below 1024, so that a
reload can still move it there.
"""

import ctypes
import os
import pwd
import struct

from keepalived_py.system import libc

CAP_NET_BIND_SERVICE = 10
_NOBODY = 65534
_PR_SET_KEEPCAPS = 8
_PR_SET_NO_NEW_PRIVS = 38
_VERSION_3 = 0x20080522
# struct __user_cap_header_struct and two of __user_cap_data_struct (capget(2)).
_HEADER = struct.Struct("=Ii")
_DATA = struct.Struct("=6I")


def give_up_root(name: str = "nobody") -> None:
    """Become `name`, for good; raises OSError.  Nothing happens if this is not root."""
    if os.geteuid() != 0:
        return
    user, group = _ids(name)
    libc.prctl(_PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)
    _keep_only(CAP_NET_BIND_SERVICE)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _ids(name: str) -> tuple[int, int]:
    try:
        found = pwd.getpwnam(name)
    except KeyError:  # a machine without that user: the number is nobody's in any case
        return _NOBODY, _NOBODY
    return found.pw_uid, found.pw_gid


def _keep_only(capability: int) -> None:
    bit = 1 << capability
    header = _HEADER.pack(_VERSION_3, 0)
    data = _DATA.pack(bit, bit, 0, 0, 0, 0)
    if libc.library().capset(header, data) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"capset: {os.strerror(number)}")
