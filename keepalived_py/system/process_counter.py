"""The helper that counts processes: which ones match, from a look through /proc and the kernel's news.

The subscription comes before the look, so nothing falls between the two.  A
child counts like its parent until it executes something else, as in keepalived.
When the kernel had to drop news, everything is looked through again a second
later, when the flood may be over, and the buffer is doubled.
"""

import errno
import os
import select
import socket
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from keepalived_py.model.tracking import ParameterMatch
from keepalived_py.system import libc, process_events
from keepalived_py.system.helper import tell, told
from keepalived_py.system.process_events import News, Overrun, ProcessEvents

_SETTLE_S = 1.0
_CONFIRM_S = 0.1
_GATHER_S = 0.005
# So many news at a time; a batch that is full is a flood, which may gather for a moment.
_BATCH = 256
_LONGEST_STAT = 128
_CLONE_NEWNET = 0x4000_0000


class Sought(NamedTuple):
    """What a process must be to count.  `arguments`: each ends with a NUL byte."""

    name: str
    process: bytes
    arguments: bytes
    match: ParameterMatch
    full_command: bool

    @property
    def length(self) -> int:
        """How much of a command line decides."""
        return len(self.process) + len(self.arguments) + 2


def sought(order: dict[str, Any]) -> Sought:
    """What the other side asks for."""
    arguments = b"".join(os.fsencode(word) + b"\0" for word in order["parameters"])
    match = ParameterMatch(order["match"])
    return Sought(order["name"], os.fsencode(order["process"]), arguments, match, order["full_command"])


def matches_command(wanted: Sought, command: bytes) -> bool:
    """Whether a command line (words that end with NUL bytes) is the one asked for."""
    process, _, arguments = command.partition(b"\0")
    if process != wanted.process:
        return False
    match wanted.match:
        case ParameterMatch.NONE:
            return True
        case ParameterMatch.EXACT:
            return arguments == wanted.arguments
        case ParameterMatch.PARTIAL:
            return arguments.startswith(wanted.arguments)
        case ParameterMatch.INITIAL:
            return len(arguments) >= len(wanted.arguments) and arguments.startswith(wanted.arguments[:-1])


class Counter:
    """How many processes match each of `wanted`."""

    def __init__(self, wanted: Iterable[Sought]) -> None:
        self._wanted = tuple(wanted)
        self._longest = max((one.length for one in self._wanted if one.full_command), default=0)
        self.by_name = any(not one.full_command for one in self._wanted)
        self._matching: dict[int, frozenset[str]] = {}

    def counts(self) -> dict[str, int]:
        """The number of processes of each name."""
        found = {one.name: 0 for one in self._wanted}
        for names in self._matching.values():
            for name in names:
                found[name] += 1
        return found

    def look_through(self) -> None:
        """Count anew what there is in /proc."""
        self._matching.clear()
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                self._look_at(int(entry))

    def heard(self, news: News) -> None:
        """One event of the kernel."""
        if news.what == process_events.EXEC:
            self._look_at(news.pid)
        elif news.what == process_events.EXIT:
            self._matching.pop(news.pid, None)
        elif news.what == process_events.FORK:
            if names := self._matching.get(news.other):
                self._matching[news.pid] = names
        elif news.what == process_events.COMM:
            kept = {
                one.name
                for one in self._wanted
                if one.full_command and one.name in self._matching.get(news.pid, ())
            }
            self._set(news.pid, kept | self._called(news.name))

    def _look_at(self, pid: int) -> None:
        found: set[str] = set()
        try:
            if self._longest:
                command = _read(f"/proc/{pid}/cmdline", self._longest)
                found.update(
                    one.name for one in self._wanted if one.full_command and matches_command(one, command)
                )
            if self.by_name:
                found |= self._called(_name_in(_read(f"/proc/{pid}/stat", _LONGEST_STAT)))
        except OSError:
            return
        self._set(pid, found)

    def _called(self, name: bytes) -> set[str]:
        return {one.name for one in self._wanted if not one.full_command and one.process == name}

    def _set(self, pid: int, names: set[str]) -> None:
        if names:
            self._matching[pid] = frozenset(names)
        else:
            self._matching.pop(pid, None)


def _read(path: str, length: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, length)
    finally:
        os.close(descriptor)


def _name_in(stat: bytes) -> bytes:
    """The name in /proc/PID/stat; nothing for a process that has ended and was not waited for."""
    begin, end = stat.find(b"("), stat.rfind(b")")
    return b"" if stat[end + 2 : end + 3] == b"Z" else stat[begin + 1 : end]


class _Service:
    """The helper's work: orders on one side, the kernel's news on the other."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._counter = Counter(())
        self._events: ProcessEvents | None = None
        self._force = False
        self._confirmed = False
        self._overrun = False
        self._said: dict[str, int | None] = {}
        self._due: float | None = None

    def serve(self) -> None:
        """Until the other side leaves."""
        while True:
            poll = select.poll()
            poll.register(self._connection, select.POLLIN)
            if self._events is not None:
                poll.register(self._events, select.POLLIN)
            wait_ms = None if self._due is None else max(0.0, (self._due - time.monotonic()) * 1000)
            ready = {descriptor for descriptor, _ in poll.poll(wait_ms)}
            if self._connection.fileno() in ready:
                order = told(self._connection)
                if order is None:
                    return
                self._obey(order)
            elif self._events is not None and self._events.fileno() in ready:
                self._take(self._events)
            if self._due is not None and self._due <= time.monotonic():
                self._wait_is_over()

    def _obey(self, order: dict[str, Any]) -> None:
        self._counter = Counter([sought(one) for one in order["processes"]])
        self._said = {}
        self._force = order["force"]
        if self._events is not None:
            self._events.close()
            self._events = None
        try:
            self._events = ProcessEvents(order["buffer"], self._force, self._counter.by_name)
        except OSError as error:
            self._cannot(error)
        else:
            self._counter.look_through()
            self._overrun = False
            self._due = None if self._confirmed else time.monotonic() + _CONFIRM_S
        self._say_counts()
        tell(self._connection, {"ready": order["number"]})

    def _cannot(self, error: OSError) -> None:
        self._due = None
        if error.errno == errno.EPROTONOSUPPORT:
            self._log(
                "track_process not available - is CONFIG_PROC_EVENTS enabled in kernel config?", detail=True
            )
            return
        reason = os.strerror(error.errno or 0)
        self._log(f"Failed to set process event listen - errno {error.errno} - {reason}")

    def _take(self, events: ProcessEvents) -> None:
        taken = 0
        try:
            while taken < _BATCH and (news := events.read()) is not None:
                taken += 1
                self._counter.heard(news)
        except Overrun:
            if not self._overrun:
                self._overrun = True
                self._due = time.monotonic() + _SETTLE_S
        self._confirm()
        if not self._overrun:
            self._say_counts()
        if taken == _BATCH:
            time.sleep(_GATHER_S)

    def _confirm(self) -> None:
        """Whatever is heard confirms the subscription."""
        if not self._confirmed:
            self._confirmed = True
            if not self._overrun:
                self._due = None
            self._log("proc_events has confirmed it is configured", detail=True)

    def _wait_is_over(self) -> None:
        """Either the kernel has not confirmed the subscription, or lost news are made good."""
        self._due = None
        if self._events is None:
            return
        if self._overrun:
            self._overrun = False
            size = self._events.grow(self._force)
            text = f"Setting global_def process_monitor_rcv_bufs to {size}"
            self._log(f"{text} - recommend updating configuration file")
            self._counter.look_through()
        else:
            self._log("WARNING - the kernel does not support proc events - track_process will not work")
            self._events.close()
            self._events = None
        self._say_counts()

    def _log(self, text: str, detail: bool = False) -> None:
        tell(self._connection, {"log": text, "detail": detail})

    def _say_counts(self) -> None:
        for name, count in self._counter.counts().items():
            running = None if self._events is None else count
            if name not in self._said or self._said[name] != running:
                self._said[name] = running
                tell(self._connection, {"process": name, "running": running})


def serve(connection: socket.socket, home: int | None = None) -> None:
    """The helper: told which processes, it tells how many there are, until the other side leaves.

    `home`: the network namespace to do it in.
    """
    if home is not None:
        # If it fails, the kernel refuses to tell of processes: that is then logged.
        libc.library().setns(home, _CLONE_NEWNET)
    _Service(connection).serve()
