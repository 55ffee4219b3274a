"""Tracked files, seen from the vrrp process: their numbers as events (`track_file`).

The work is done in a helper process (`system.file_reader`): a disk that hangs
or a file that changes all the time never delays an advert.  Nothing is opened
while nothing is tracked.
"""

import contextlib
import os
import stat
from collections.abc import Callable, Iterable, Mapping, Set
from functools import partial
from typing import Any

from keepalived_py.model.config import Configuration
from keepalived_py.model.effects import WriteLog
from keepalived_py.model.events import FileRead
from keepalived_py.model.tracking import TrackFile
from keepalived_py.system import file_reader
from keepalived_py.system.helper import Helper
from keepalived_py.system.helper_watch import PATIENCE_S, HelperWatch


def tracked_by_instances(configuration: Configuration) -> dict[str, str]:
    """The path of every file that some instance or group tracks, by name."""
    used = {tracked.name for one in configuration.instances for tracked in one.track_files}
    used |= {tracked.name for one in configuration.groups for tracked in one.track_files}
    return paths_of(configuration, used)


def paths_of(configuration: Configuration, names: Set[str]) -> dict[str, str]:
    """The paths of the track files that are called `names`."""
    return {file.name: file.path for file in configuration.track_files if file.name in names}


class FileWatch(HelperWatch[FileRead]):
    """Gives `FileRead` events to `feed` and lines to `log`.  Make it inside a running loop.

    `choose` finds in a configuration which files are watched: their paths by name.
    """

    def __init__(
        self,
        feed: Callable[[FileRead], None],
        log: Callable[[WriteLog], None],
        choose: Callable[[Configuration], dict[str, str]] = tracked_by_instances,
        patience_s: float = PATIENCE_S,
    ) -> None:
        super().__init__(partial(Helper, file_reader.serve), FileRead, feed, log, patience_s)
        self._choose = choose
        self._files: dict[str, str] = {}

    async def follow(self, configuration: Configuration) -> tuple[FileRead, ...]:
        """From now on watch the files of `configuration`; what is in those that are new.

        Waits until they have been read, `patience_s` at most; what takes longer comes to `feed`, like
        everything that changes later.
        """
        wanted = self._choose(configuration)
        if wanted == self._files:
            return ()
        self._values = {
            name: value for name, value in self._values.items() if wanted.get(name) == self._files[name]
        }
        self._files = wanted
        if not wanted:
            self._helper.close()
            return ()
        return await self._gather()

    def _order(self) -> Mapping[str, object]:
        return {"files": self._files}

    def _refused(self, failure: int) -> None:
        self._log(WriteLog(f"Unable to monitor track files: {os.strerror(failure)}"))

    def _news(self, message: Any) -> None:
        if message["file"] in self._files:
            self._found(message["file"], message["value"])


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
