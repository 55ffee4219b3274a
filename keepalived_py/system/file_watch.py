"""Tracked files, seen from the vrrp process: their numbers as events (`track_file`).

The work is done in a helper process (`system.file_reader`): a disk that hangs
or a file that changes all the time never delays an advert.  Nothing is opened
while nothing is tracked.
"""

import asyncio
import contextlib
import os
import stat
from collections.abc import Callable, Iterable
from typing import Any

from keepalived_py.model.config import Configuration
from keepalived_py.model.effects import WriteLog
from keepalived_py.model.events import FileRead
from keepalived_py.model.tracking import TrackFile
from keepalived_py.system import file_reader
from keepalived_py.system.helper import Helper

PATIENCE_S = 1.0


def tracked_files(configuration: Configuration) -> dict[str, str]:
    """The path of every file that some instance or group tracks, by name."""
    used = {tracked.name for one in configuration.instances for tracked in one.track_files}
    used |= {tracked.name for one in configuration.groups for tracked in one.track_files}
    return {file.name: file.path for file in configuration.track_files if file.name in used}


class FileWatch:
    """Gives `FileRead` events to `feed` and lines to `log`.  Make it inside a running loop."""

    def __init__(self, feed: Callable[[FileRead], None], log: Callable[[WriteLog], None]) -> None:
        self._feed = feed
        self._log = log
        self._helper = Helper(file_reader.serve, self._heard, self._tell)
        self._files: dict[str, str] = {}
        self._values: dict[str, int | None] = {}
        self._number = 0
        self._ready = asyncio.Event()
        self._gathered: dict[str, FileRead] | None = None

    async def follow(self, configuration: Configuration) -> tuple[FileRead, ...]:
        """From now on watch the files of `configuration`; what is in those that are new.

        Waits until they have been read, a second at most; what takes longer comes to `feed`, like
        everything that changes later.
        """
        wanted = tracked_files(configuration)
        if wanted == self._files:
            return ()
        self._values = {
            name: value for name, value in self._values.items() if wanted.get(name) == self._files[name]
        }
        self._files = wanted
        if not wanted:
            self._helper.close()
            return ()
        self._gathered = {}
        self._tell()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ready.wait(), PATIENCE_S)
        found, self._gathered = self._gathered, None
        return tuple(found.values())

    @property
    def helper_pid(self) -> int:
        """The process that reads; 0: nothing is tracked."""
        return self._helper.pid

    def close(self) -> None:
        """Watch nothing more."""
        self._helper.close()

    def _tell(self) -> None:
        self._number += 1
        self._ready.clear()
        failure = self._helper.tell({"files": self._files, "number": self._number})
        if failure:
            self._log(WriteLog(f"Unable to monitor track files: {os.strerror(failure)}"))
            self._ready.set()

    def _heard(self, message: Any) -> None:
        if "log" in message:
            self._log(WriteLog(message["log"]))
        elif "ready" in message:
            if message["ready"] == self._number:
                self._ready.set()
        elif message["file"] in self._files:
            self._read(message["file"], message["value"])

    def _read(self, name: str, value: int | None) -> None:
        if name in self._values and self._values[name] == value:
            return
        self._values[name] = value
        event = FileRead(name, value)
        if self._gathered is None:
            self._feed(event)
        else:
            self._gathered[name] = event


def initialise(files: Iterable[TrackFile], umask: int, log: Callable[[WriteLog], None]) -> None:
    """Make the files of `init_file`, once at start; one that exists is left alone without `overwrite`.

    As keepalived does it: by another file that takes the name, so that nobody who has the old
    one open reads the new one.
    """
    for file in files:
        if file.initial is None or not _to_be_made(file):
            continue
        try:
            _make(file.path, file.initial, umask)
        except OSError:
            log(WriteLog(f"Unable to initialise track file {file.name}"))


def _to_be_made(file: TrackFile) -> bool:
    try:
        found = os.stat(file.path)
    except OSError:
        return True
    return file.overwrite and stat.S_ISREG(found.st_mode)


def _make(path: str, number: int, umask: int) -> None:
    temporary = f"{path}.{os.getpid()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(descriptor, 0o666 & ~umask)
        os.write(descriptor, b"%d\n" % number)
        os.rename(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    finally:
        os.close(descriptor)
