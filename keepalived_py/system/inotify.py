"""inotify(7): the kernel tells what happens to the entries of directories."""

import contextlib
import ctypes
import os
import struct
from typing import NamedTuple

from keepalived_py.system import libc

CLOSE_WRITE = 0x8
MOVED_FROM = 0x40
MOVED_TO = 0x80
CREATE = 0x100
DELETE = 0x200
DELETE_SELF = 0x400
MOVE_SELF = 0x800
UNMOUNT = 0x2000
OVERFLOW = 0x4000
IGNORED = 0x8000
ISDIR = 0x4000_0000
ONLYDIR = 0x0100_0000
EXCL_UNLINK = 0x0400_0000

_HEAD = struct.Struct("=iIII")
_BUFFER = 64 * 1024


class Happened(NamedTuple):
    """One event.  `watch` is the number that `Inotify.watch` gave, `name` the entry of that directory."""

    watch: int
    mask: int
    name: str


class Inotify:
    """A queue of events.  Raises OSError (EMFILE: too many of them) if there can be none."""

    def __init__(self) -> None:
        self._descriptor = _call("inotify_init1", os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        """Readable when something happened."""
        return self._descriptor

    def close(self) -> None:
        """Hear of nothing more; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def watch(self, directory: str, mask: int) -> int:
        """Hear of `directory`; its number (the same for one that is watched already).  Raises OSError."""
        return _call("inotify_add_watch", self._descriptor, os.fsencode(directory), ctypes.c_uint32(mask))

    def forget(self, watch: int) -> None:
        """Hear no more of that directory; nothing happens if it is gone already."""
        with contextlib.suppress(OSError):
            _call("inotify_rm_watch", self._descriptor, watch)

    def read(self) -> list[Happened]:
        """Some of what happened; nothing if nothing did."""
        try:
            data = os.read(self._descriptor, _BUFFER)
        except BlockingIOError:
            return []
        found = []
        at = 0
        while at < len(data):
            watch, mask, _, length = _HEAD.unpack_from(data, at)
            at += _HEAD.size
            name = data[at : at + length].rstrip(b"\0")
            at += length
            found.append(Happened(watch, mask, os.fsdecode(name)))
        return found


def _call(function: str, *arguments: object) -> int:
    result: int = getattr(libc.library(), function)(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")
    return result
