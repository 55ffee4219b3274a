"""Entering a network namespace, as `ip netns` keeps them under /run/netns.

Python 3.11 has no setns, so the three calls of the C library that are needed
are called through ctypes.  A daemon in a namespace also gets a private view of
/run/keepalived (a bind mount of /run/keepalived/NAME, as keepalived does it),
so daemons of several namespaces do not find each other's pid files.
"""

import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from keepalived_py.base.errors import KeepalivedError

if TYPE_CHECKING:
    import ctypes

NAMESPACE_DIRECTORY = "/run/netns"
PID_DIRECTORY = "/run/keepalived"
_CLONE_NEWNET = 0x4000_0000
_CLONE_NEWNS = 0x0002_0000
_MNT_DETACH = 2
_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_SLAVE = 0x8_0000


class NamespaceMissing(KeepalivedError):
    """The network namespace `name` does not exist or may not be entered."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name


def _library() -> "ctypes.CDLL":
    import ctypes  # heavy, and few runs enter a namespace

    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, path: str) -> None:
    import ctypes

    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)


class Entered(NamedTuple):
    """The namespace this process has moved into; `home` is a descriptor of the one it has left."""

    name: str
    home: int


def enter(name: str) -> Entered:
    """Move this process into network namespace `name`; raises NamespaceMissing."""
    path = f"{NAMESPACE_DIRECTORY}/{name}"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as fault:
        raise NamespaceMissing(name, f"Failed to open {path}") from fault
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _checked(_library().setns(descriptor, _CLONE_NEWNET), path)
    except OSError as fault:
        raise NamespaceMissing(name, f"setns() failed with {fault.strerror} for {path}") from fault
    finally:
        os.close(descriptor)
    return Entered(name, home)


def private_pid_directory(name: str) -> str:
    """Let /run/keepalived be NAME's own for this process and its children; raises OSError.

    Returns the directory as the rest of the machine sees it.
    """
    outside = f"{PID_DIRECTORY}/{name}"
    os.makedirs(outside, mode=0o755, exist_ok=True)
    library = _library()
    _checked(library.unshare(_CLONE_NEWNS), outside)
    # From now on mounts made here stay here, those made outside still arrive.
    _checked(library.mount(b"", b"/", None, _MS_SLAVE | _MS_REC, None), "/")
    _checked(library.mount(outside.encode(), PID_DIRECTORY.encode(), None, _MS_BIND, None), outside)
    return outside


def leave_pid_directory(outside: str) -> None:
    """Undo `private_pid_directory` and remove the directories if nobody else has files there."""
    with suppress(OSError):
        _checked(_library().umount2(PID_DIRECTORY.encode(), _MNT_DETACH), PID_DIRECTORY)
        os.rmdir(outside)
        os.rmdir(PID_DIRECTORY)
