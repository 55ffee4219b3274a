"""`reload_time_file`: a file whose first line is the time of the next reload.

The line is `HH:MM:SS` (the next time the clock shows it), `YY-MM-DD HH:MM:SS` or
`YYYY-MM-DD HH:MM:SS`, in local time, or in UTC with a `Z` at the end.  The file
may come, change and go while we run: its directory is watched.  When the time has
come the file is removed, unless `reload_repeat` was asked for and the line has no
date; then the same time holds tomorrow.  Words of the log: keepalived's.

The time is kept on the wall clock and looked at often, so a clock that is set
does not move the reload; keepalived counts down from when it read the file.
"""

import calendar
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from keepalived_py.base.logs import Log
from keepalived_py.model.globals import Reload
from keepalived_py.system import inotify
from keepalived_py.system.inotify import Inotify

_FORMATS = {8: "%H:%M:%S", 17: "%y-%m-%d %H:%M:%S", 19: "%Y-%m-%d %H:%M:%S"}
_TIME_ONLY = 8
_LONGEST_LINE = 20
# A clock that is set is noticed within this time.
_LOOK_AGAIN_S = 5.0
_ENTRY = inotify.CLOSE_WRITE | inotify.MOVED_FROM | inotify.MOVED_TO | inotify.CREATE | inotify.DELETE
_SELF = inotify.DELETE_SELF | inotify.MOVE_SELF
_GONE = _SELF | inotify.IGNORED


@dataclass(frozen=True, slots=True)
class ReloadTime:
    """An instant in seconds since the epoch.  `dated`: the line named a day, so it comes only once."""

    at: float
    dated: bool


def parse(line: str, now: float) -> ReloadTime | tuple[str, ...]:
    """The time that `line` names, seen from `now` (seconds since the epoch); else what is wrong with it."""
    text = line.removesuffix("Z")
    utc = text != line
    invalid = f"Invalid reload time '{line}' specified - ignoring"
    form = _FORMATS.get(len(text))
    if form is None:
        return f"Reload time {line} format is incorrect - ignoring", invalid
    try:
        named = time.strptime(text, form)
    except ValueError:
        return f"Reload date/time {line} invalid - ignoring", invalid
    dated = len(text) != _TIME_ONLY
    day = named if dated else (time.gmtime if utc else time.localtime)(now)
    fields = (day.tm_year, day.tm_mon, day.tm_mday, named.tm_hour, named.tm_min, named.tm_sec)
    at = _instant(fields, utc)
    if at is None:
        return f"Reload time {line} is not valid - ignoring", invalid
    if at <= now and dated:
        past = f"Reload time {line} is in the past - ignoring"
        return past, "Reload date/time is in the past - ignoring"
    if at <= now:
        year, month, today, *clock = fields
        at = _seconds((year, month, today + 1, *clock), utc)
    return ReloadTime(at, dated)


def _seconds(fields: tuple[int, ...], utc: bool) -> float:
    """The instant of year ... second; a day beyond the month's end is one of the next month."""
    return float(calendar.timegm((*fields, 0, 0, 0))) if utc else time.mktime((*fields, 0, 0, -1))  # type: ignore[arg-type]


def _instant(fields: tuple[int, ...], utc: bool) -> float | None:
    """The same, but None for a time that does not exist (left out when summer time begins)."""
    try:
        at = _seconds(fields, utc)
        back = (time.gmtime if utc else time.localtime)(at)
    except (OverflowError, ValueError):
        return None
    return at if tuple(back[:6]) == fields else None


class ReloadTimer:
    """Watches the file and knows when the reload is due.

    `clock` gives the seconds since the epoch.
    """

    def __init__(self, settings: Reload, log: Log, clock: Callable[[], float] = time.time) -> None:
        self._log = log
        self._clock = clock
        self._file = settings.time_file or ""
        self._repeat = settings.repeat
        self._time: ReloadTime | None = None
        self._watch: Inotify | None = None
        self._begin()

    def _begin(self) -> None:
        directory = os.path.dirname(self._file) or "/"
        if not self._file:
            return
        try:
            self._watch = _watching(directory)
        except OSError:
            self._log.info(f"Unable to monitor reload timer file directory {directory}- ignoring")
            return
        self._read()

    @property
    def descriptor(self) -> int | None:
        """What to wait for input on; then call `on_change`."""
        return None if self._watch is None else self._watch.fileno()

    def patience_s(self) -> float | None:
        """How long at most to wait before `due` is asked again."""
        if self._time is None:
            return None
        return max(0.0, min(self._time.at - self._clock(), _LOOK_AGAIN_S))

    def due(self) -> bool:
        """Whether the time has come; true once, and the watch is over then."""
        if self._time is None or self._clock() < self._time.at:
            return False
        self.close()
        if self._time.dated or not self._repeat:
            with suppress(OSError):
                os.unlink(self._file)
        self._time = None
        return True

    def on_change(self) -> None:
        """Something has happened in the directory."""
        if self._watch is None:
            return
        events = self._watch.read()
        if any(event.mask & _GONE for event in events):
            self._cancel()
            self.close()
            text = "Directory of reload timer file has disappeared. Monitoring stopped."
            self._log.info(text)
            return
        name = os.path.basename(self._file)
        if any(event.name == name or event.mask & inotify.OVERFLOW for event in events):
            self._read()

    def close(self) -> None:
        """End the watch."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _read(self) -> None:
        line = _first_line(self._file)
        if not line:
            self._cancel()
            return
        found = parse(line, self._clock())
        if not isinstance(found, ReloadTime):
            for text in found:
                self._log.info(text)
            self._cancel()
            return
        before, self._time = self._time, found
        if before is None:
            self._log.info(f"Scheduling reload for {_shown(found)}")
        elif before.at != found.at:
            self._log.info(f"Reload time updated from {_shown(before)} to {_shown(found)}")

    def _cancel(self) -> None:
        if self._time is not None:
            self._log.info(f"Cancelling reload scheduled for {_shown(self._time)}")
            self._time = None


def _watching(directory: str) -> Inotify:
    """Hears of the entries of `directory` and of its own end; raises OSError if it cannot be watched."""
    watch = Inotify()
    try:
        watch.watch(directory, _ENTRY | _SELF)
    except OSError:
        watch.close()
        raise
    return watch


def _first_line(path: str) -> str:
    """The first line, as much of it as counts; empty if there is none.  A pipe is not waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        data = os.read(descriptor, _LONGEST_LINE)
    except OSError:
        return ""
    finally:
        os.close(descriptor)
    return data.split(b"\n")[0].decode("ascii", "replace")


def _shown(when: ReloadTime) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when.at))
