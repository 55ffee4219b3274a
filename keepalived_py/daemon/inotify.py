"""Watching one directory with inotify(7), which Python has no name for.

Only what the parent needs: whether something has happened to one name in it.
The descriptor is for select; nothing here waits.
"""

import ctypes
import os
import struct
from collections.abc import Iterator

from keepalived_py.base.errors import KeepalivedError
from keepalived_py.system import libc

_CLOSE_WRITE = 0x8
_MOVED_FROM, _MOVED_TO = 0x40, 0x80
_CREATE, _DELETE = 0x100, 0x200
_DELETE_SELF, _MOVE_SELF = 0x400, 0x800
_IGNORED = 0x8000
_ENTRY = _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
_SELF = _DELETE_SELF | _MOVE_SELF
# inotify_init1 takes the flags of open(2).
_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC
_HEAD = struct.Struct("iIII")
_PIECE = 65536


class DirectoryGone(KeepalivedError):
    """The directory was removed or moved away; the watch is over."""


def _checked(result: int, directory: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), directory)
    return result


class DirectoryWatch:
    """Events of the entries of `directory`; raises OSError if it cannot be watched."""

    def __init__(self, directory: str) -> None:
        library = libc.library()
        self.descriptor = _checked(library.inotify_init1(_FLAGS), directory)
        try:
            path = os.fsencode(directory)
            _checked(library.inotify_add_watch(self.descriptor, path, _ENTRY | _SELF), directory)
        except OSError:
            self.close()
            raise

    def names(self) -> set[str]:
        """The names that something has happened to since the last call; raises DirectoryGone."""
        found: set[str] = set()
        for mask, name in self._events():
            if mask & (_SELF | _IGNORED):
                raise DirectoryGone
            found.add(name)
        return found

    def _events(self) -> Iterator[tuple[int, str]]:
        try:
            data = os.read(self.descriptor, _PIECE)
        except BlockingIOError:
            return
        at = 0
        while at < len(data):
            _, mask, _, length = _HEAD.unpack_from(data, at)
            at += _HEAD.size
            yield mask, os.fsdecode(data[at : at + length].rstrip(b"\0"))
            at += length

    def close(self) -> None:
        """End the watch; a second call does nothing."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
