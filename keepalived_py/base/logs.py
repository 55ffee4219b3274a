"""Log lines: to the system's log, and to the console when asked.

One rule rules here: a log line may be lost, but it never stops the program.
keepalived writes its lines with a blocking datagram send, so a syslog daemon
that stands still makes it miss its own adverts.  Here a line that would have
to wait is dropped and counted; the next line that gets through is preceded by
one that says how many are missing.  The console follows the same rule: it is
asked first whether it takes the line.

syslog gets every line with the same severity, as from keepalived.  Levels decide what
is written at all, and stand in the lines for programs (`json`).
"""

from __future__ import annotations

import json
import os
import select
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import IntEnum

SYSLOG_SOCKET = "/dev/log"
DAEMON_FACILITY = 3
_INFO = 6
_LONGEST_LINE = 4000  # bytes; below PIPE_BUF, so a pipe that polls as writable takes a whole line
# Where no syslog daemon listens, looking for one costs more than the rest of a line: after so many lines
# it is not done for each.
_LOOKS_IN_A_ROW = 10
_LOOK_AGAIN_S = 0.1
_LONGEST_CHARACTER = 12  # bytes, as JSON writes one beyond 16 bits


class Level(IntEnum):
    """How much a line matters; the names in lower case are those of `--log-level`."""

    DEBUG = 0
    INFO = 1
    WARN = 2
    ERROR = 3


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Where lines go.  `facility` is the number of syslog(3) (3 daemon, 16 local0).

    `detail` 0 leaves out the lines given to `Log.detail`; keepalived's `-D` is 1.
    `level`: what matters less is left out too.  `json`: each line on the console is a JSON object
    with `ts` (UTC), `level`, `logger` (the process), `pid` and `msg`.
    """

    ident: str = "Keepalived"
    facility: int = DAEMON_FACILITY
    syslog: bool = True
    console: bool = False
    detail: int = 0
    syslog_path: str = SYSLOG_SOCKET
    level: Level = Level.DEBUG
    json: bool = False


@dataclass(slots=True)
class Log:
    """One process's log.  After a fork the child makes its own with `renamed`.

    `dropped` counts the lines that nobody took since the last one that got through.
    """

    settings: LogSettings
    dropped: int = 0
    console_fd: int = 2
    _socket: socket.socket | None = field(default=None, repr=False)
    _look_at: float = field(default=0.0, repr=False)

    def info(self, text: str) -> None:
        """Write `text`, one line of log for each of its lines."""
        self._say(text, Level.INFO)

    def detail(self, text: str) -> None:
        """Write `text` only if detailed logging (`-D`) was asked for."""
        if self.settings.detail:
            self._say(text, Level.DEBUG)

    def warn(self, text: str) -> None:
        """Write what an administrator should look at."""
        self._say(text, Level.WARN)

    def error(self, text: str) -> None:
        """Write what keeps the program from its work."""
        self._say(text, Level.ERROR)

    def renamed(self, ident: str) -> Log:
        """A log for another process or name, with a socket of its own."""
        return Log(replace(self.settings, ident=ident), console_fd=self.console_fd)

    def without_console(self) -> Log:
        """The same log for a process that has given up its terminal."""
        return Log(replace(self.settings, console=False))

    def close(self) -> None:
        """Give the socket back; a later line opens it again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _say(self, text: str, level: Level) -> None:
        if level >= self.settings.level:
            for line in text.splitlines() or [""]:
                self._write(line, level)

    def _write(self, line: str, level: Level) -> None:
        if self.settings.console:
            self._to_console(line, level)
        if not self.settings.syslog:
            return
        if self.dropped and self._to_syslog(f"{self.dropped} log lines dropped: syslog did not take them"):
            self.dropped = 0
        if not self._to_syslog(line):
            self.dropped += 1

    def _to_console(self, line: str, level: Level) -> None:
        if self.settings.json:
            data = self._as_json(line, level)
        else:
            data = f"{time.asctime()}: {line}\n".encode("utf-8", "surrogateescape")
            if len(data) > _LONGEST_LINE:
                data = data[: _LONGEST_LINE - 1] + b"\n"
        with suppress(OSError):  # a closed terminal is no reason to stop
            poll = select.poll()
            poll.register(self.console_fd, select.POLLOUT)
            if any(events & select.POLLOUT for _, events in poll.poll(0)):
                os.write(self.console_fd, data)

    def _as_json(self, line: str, level: Level) -> bytes:
        now_us = time.time_ns() // 1000
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now_us // 1_000_000))
        made = {
            "ts": f"{stamp}.{now_us % 1_000_000:06}Z",
            "level": level.name.lower(),
            "logger": self.settings.ident,
            "pid": os.getpid(),
        }
        # A character takes up to twelve bytes; what is cut must still be one object.
        room = _LONGEST_LINE - len(json.dumps({**made, "msg": ""})) - 1
        if len(line) * _LONGEST_CHARACTER > room and len(json.dumps(line)) - 2 > room:
            line = line[: room // _LONGEST_CHARACTER]
        return json.dumps({**made, "msg": line}).encode() + b"\n"

    def _to_syslog(self, line: str) -> bool:
        if self.dropped >= _LOOKS_IN_A_ROW and self._socket is None:
            if time.monotonic() < self._look_at:
                return False
            self._look_at = time.monotonic() + _LOOK_AGAIN_S
        priority = self.settings.facility * 8 + _INFO
        stamp = time.asctime()[4:19]
        text = f"<{priority}>{stamp} {self.settings.ident}[{os.getpid()}]: {line}"
        data = text.encode("utf-8", "surrogateescape")[:_LONGEST_LINE]
        # A restarted syslog daemon leaves a dead connection behind: then one fresh try.
        return self._send(data) or (self._socket is None and self._send(data))

    def _send(self, data: bytes) -> bool:
        try:
            if self._socket is None:
                self._socket = _connected(self.settings.syslog_path)
            self._socket.send(data)
        except BlockingIOError:
            return False
        except OSError:
            self.close()
            return False
        return True


def _connected(path: str) -> socket.socket:
    """A non-blocking datagram socket connected to `path`; raises OSError."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        made.setblocking(False)
        made.connect(path)
    except OSError:
        made.close()
        raise
    return made
