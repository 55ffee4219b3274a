"""The helper that watches tracked files: which directories to hear of, and what a file's number is.

A file is watched by its directory, since files are replaced and removed.  The
path is followed through links to the real file, as keepalived does it at start;
we also hear of the place where the link itself stands, so a link that is turned
to another file counts at once.  Of a directory that does not exist yet the
nearest one above it is watched until it does.

A file that is being made is not read before it is closed: its first half may be
another number.  After a look at the files events are let gather for a moment,
so that somebody who writes a thousand times a second costs no more than a
hundred reads.
"""

import contextlib
import os
import re
import select
import socket
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from keepalived_py.system import inotify
from keepalived_py.system.helper import Message, tell, told
from keepalived_py.system.inotify import Happened, Inotify

_GATHER_S = 0.01
_LOOKS = 10
_LONGEST_NUMBER = 127
# What keepalived takes for a number: 32 bits, and 2**31 as well.
_LEAST, _MOST = -(2**31), 2**31
_LONG_MAX = 2**63 - 1
_HERE = (
    inotify.CLOSE_WRITE
    | inotify.MOVED_FROM
    | inotify.MOVED_TO
    | inotify.CREATE
    | inotify.DELETE
    | inotify.DELETE_SELF
    | inotify.MOVE_SELF
    | inotify.ONLYDIR
    | inotify.EXCL_UNLINK
)
_GONE = inotify.DELETE_SELF | inotify.MOVE_SELF | inotify.UNMOUNT | inotify.IGNORED
# strtol(3) with base 0: what it reads of a text.
_NUMBER = re.compile(rb"[ \t\n\v\f\r]*([+-]?)(?:0[xX]([0-9a-fA-F]+)|(0[0-7]*)|([1-9][0-9]*))")


def number_in(text: bytes) -> int | None:
    """The number at the beginning of `text`, None: none.  As strtol(3): 0x.. is hexadecimal, 0.. octal."""
    found = _NUMBER.match(text)
    if found is None:
        return None
    sign, hexadecimal, octal, decimal = found.groups()
    if hexadecimal:
        value = int(hexadecimal, 16)
    else:
        value = int(octal, 8) if octal else int(decimal)
    return -value if sign == b"-" else value


def content_of(path: str) -> bytes:
    """The beginning of the file; nothing if it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return os.read(descriptor, _LONGEST_NUMBER)
        finally:
            os.close(descriptor)
    except OSError:
        return b""


def places_of(path: str) -> list[tuple[str, str]]:
    """The directories, and names in them, on which it depends what `path` leads to.

    That of the real file and that of the link that leads to it; of a directory that is missing the
    nearest one above it.
    """
    directory, name = os.path.split(os.path.abspath(path))
    link = os.path.join(os.path.realpath(directory), name)
    places = []
    for each in dict.fromkeys((os.path.realpath(link), link)):
        directory, name = os.path.split(each)
        while not os.path.isdir(directory) and directory != "/":
            directory, name = os.path.split(directory)
        places.append((directory, name))
    return places


@dataclass(slots=True)
class _Watched:
    """One file: what was said of it last, and by which events we hear of it (a directory's watch, a name)."""

    name: str
    path: str
    said: int | None = None
    heard_by: set[tuple[int, str]] = field(default_factory=set)


class FileReader:
    """All files.  `say` is given what the other side shall hear.  Raises OSError without inotify."""

    def __init__(self, say: Callable[[Message], None]) -> None:
        self._say = say
        self._inotify = Inotify()
        self._files: dict[str, _Watched] = {}

    def fileno(self) -> int:
        """Readable when something happened to a file."""
        return self._inotify.fileno()

    def follow(self, wanted: dict[str, str]) -> None:
        """From now on these files (path by name); each that is new is read."""
        kept = self._files
        self._files = {
            name: kept[name] if name in kept and kept[name].path == path else _Watched(name, path)
            for name, path in wanted.items()
        }
        for name, file in self._files.items():
            if kept.get(name) is not file:
                self._place(file)
                self._say({"file": name, "value": None})
                self._read(file)
        self._forget_unused({watch for file in kept.values() for watch, _ in file.heard_by})

    def happened(self) -> None:
        """Read what is in the queue, then every file that it concerns, once."""
        concerned: dict[str, _Watched] = {}
        while events := self._inotify.read():
            for event in events:
                for file in self._concerned(event):
                    concerned[file.name] = file
        for file in concerned.values():
            before = file.heard_by
            self._place(file)
            self._read(file)
            self._forget_unused({watch for watch, _ in before})

    def _concerned(self, event: Happened) -> list[_Watched]:
        files = self._files.values()
        if event.mask & inotify.OVERFLOW:
            return list(files)
        if event.mask & _GONE:
            return [file for file in files if any(watch == event.watch for watch, _ in file.heard_by)]
        found = [file for file in files if (event.watch, event.name) in file.heard_by]
        if event.mask & inotify.CREATE and not event.mask & inotify.ISDIR:
            return [file for file in found if not _half_made(file.path)]
        return found

    def _place(self, file: _Watched) -> None:
        """Hear of everything on the way to the file.  What appears meanwhile is seen by a second look."""
        places: list[tuple[str, str]] = []
        for _ in range(_LOOKS):
            before, places = places, places_of(file.path)
            if places == before:
                return
            file.heard_by = set()
            for directory, name in places:
                with contextlib.suppress(OSError):
                    file.heard_by.add((self._inotify.watch(directory, _HERE), name))

    def _forget_unused(self, watches: set[int]) -> None:
        used = {watch for file in self._files.values() for watch, _ in file.heard_by}
        for watch in watches - used:
            self._inotify.forget(watch)

    def _read(self, file: _Watched) -> None:
        value = number_in(content_of(file.path))
        if value is not None and not _LEAST <= value <= _MOST:
            shown = max(-_LONG_MAX - 1, min(_LONG_MAX, value))
            self._say({"log": f"Invalid number {shown} read from {file.path} - ignoring"})
        elif value != file.said:
            file.said = value
            self._say({"file": file.name, "value": value})


def _half_made(path: str) -> bool:
    """Whether an entry that has just appeared is a file that somebody is about to write."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1


def serve(connection: socket.socket) -> None:
    """The helper: told which files, it tells their numbers, until the other side leaves."""
    try:
        reader = FileReader(lambda message: tell(connection, message))
    except OSError:
        tell(connection, {"log": "Unable to monitor track files"})
        _read_once(connection)
        return
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    poll.register(reader, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if connection.fileno() in ready:
            order = told(connection)
            if order is None:
                return
            reader.follow(order["files"])
            tell(connection, {"ready": order["number"]})
        if reader.fileno() in ready:
            reader.happened()
            time.sleep(_GATHER_S)


def _read_once(connection: socket.socket) -> None:
    while (order := told(connection)) is not None:
        for name, path in order["files"].items():
            tell(connection, {"file": name, "value": number_in(content_of(path))})
        tell(connection, {"ready": order["number"]})
