"""Scripts: notify scripts, for which nobody waits, and check scripts, which have a time limit.

They are forked by the spawner (`system.spawner`), so that starting one costs
the caller one datagram and never an advert.  A check that is not over after
its time limit gets SIGTERM, with everything it started, and two seconds later
SIGKILL; it counts as timed out when it has ended.  A notify script is never ended by us: one
that is still running when the daemon leaves runs on, as with keepalived.
"""

import asyncio
import contextlib
import errno
import json
import os
import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from keepalived_py.model.config import Command
from keepalived_py.model.effects import RunCheck
from keepalived_py.model.events import ScriptFinished
from keepalived_py.system.helper import LONGEST_MESSAGE, told
from keepalived_py.system.spawner import ScriptSettings, fork_spawner, script_environment

# From SIGTERM after the time limit to SIGKILL.
GRACE_S = 2.0
# From the end of a FIFO to SIGTERM for its reader.
READER_GRACE_S = 1.0
_KEEPALIVED_UMASK = 0o177


@dataclass(slots=True)
class _Running:
    """A script that has been ordered and whose end was not reported yet.  `stays`: when we leave."""

    number: int
    stays: bool
    check: RunCheck | None
    pid: int = 0
    timed_out: bool = False
    timer: asyncio.TimerHandle | None = None
    ended: Callable[[], None] | None = None


class Runner:
    """Starts scripts and hears of their end.  Make it inside a running loop, in a process with one thread.

    `finished` is called once for each check.  `syslog_name` is the name under
    which it is logged that a program could not be executed; such a script
    counts as successful.  `all_groups` (`set_supplementary_groups`; may be changed at
    any time): scripts are in all groups of their user, else only in the one they are
    given.  Raises OSError if the spawner cannot be forked.
    """

    def __init__(
        self,
        finished: Callable[[ScriptFinished], None],
        umask: int = _KEEPALIVED_UMASK,
        syslog_name: str = "Keepalived_vrrp",
        environment: Mapping[str, str] | None = None,
        all_groups: bool = False,
    ) -> None:
        self._finished = finished
        self.all_groups = all_groups
        kept = script_environment(os.environ if environment is None else environment)
        self._settings = ScriptSettings(umask, syslog_name, kept)
        self._running: dict[int, _Running] = {}
        self._last_number = 0
        self._all_ended = asyncio.Event()
        self._all_ended.set()
        self._spawner, self._connection = self._connect()

    def notify(self, command: Command) -> int:
        """Start a notify script; 0, or the errno if it could not be ordered."""
        return self._start(command, None, stays=True)[1]

    def check(self, check: RunCheck) -> int:
        """Start a check script; 0, or the errno if it could not be ordered.

        In the latter case the check counts as successful, as if the program
        could not be executed: `finished` is called soon in any case.
        """
        running, failure = self._start(check.command, check)
        loop = asyncio.get_running_loop()
        if failure:
            loop.call_soon(self._finished, ScriptFinished(check.name))
        else:
            running.timer = loop.call_later(check.timeout_us / 1_000_000, self._too_long, running)
        return failure

    def start_reader(self, command: Command, ended: Callable[[], None]) -> int | None:
        """Start the program of a FIFO, which runs as long as we do; a number for `stop_reader`.

        `ended` is called if it ends by itself.  None if it could not be ordered.
        """
        running, failure = self._start(command, None)
        running.ended = ended
        return None if failure else running.number

    def stop_reader(self, number: int) -> None:
        """Its FIFO is closed: SIGTERM a second later, unless it has read to the end and ended by then."""
        running = self._running.get(number)
        if running is not None:
            running.ended = None
            loop = asyncio.get_running_loop()
            running.timer = loop.call_later(READER_GRACE_S, self._signal, running, signal.SIGTERM)

    @property
    def running(self) -> int:
        """How many scripts have not ended yet."""
        return len(self._running)

    async def finish(self, limit_s: float, grace_s: float = GRACE_S) -> None:
        """Wait for all scripts, `limit_s` at most; then checks get SIGTERM, and `grace_s` later SIGKILL."""
        for number, wait_s in ((signal.SIGTERM, limit_s), (signal.SIGKILL, grace_s)):
            try:
                await asyncio.wait_for(self._all_ended.wait(), wait_s)
                return
            except TimeoutError:
                self._running = {key: running for key, running in self._running.items() if not running.stays}
                for running in self._running.values():
                    self._signal(running, number)
                if not self._running:
                    return
        await self._all_ended.wait()

    def close(self) -> None:
        """Dismiss the spawner, which sends SIGTERM to checks that still run; `finished` is not called."""
        for running in self._running.values():
            if running.timer is not None:
                running.timer.cancel()
        self._running.clear()
        self._all_ended.set()
        self._disconnect()

    def _connect(self) -> tuple[int, socket.socket]:
        pid, connection = fork_spawner(self._settings)
        asyncio.get_running_loop().add_reader(connection, self._reported)
        return pid, connection

    def _disconnect(self) -> None:
        asyncio.get_running_loop().remove_reader(self._connection)
        self._connection.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._spawner, 0)

    def _start(self, command: Command, check: RunCheck | None, stays: bool = False) -> tuple[_Running, int]:
        self._last_number += 1
        running = _Running(self._last_number, stays, check)
        order = {"argv": command.argv, "uid": command.uid, "gid": command.gid, "stays": stays}
        failure = self._send({"number": running.number, **order, "all_groups": self.all_groups})
        if not failure:
            self._running[running.number] = running
            self._all_ended.clear()
        return running, failure

    def _send(self, order: Mapping[str, object]) -> int:
        message = json.dumps(order).encode()
        if len(message) > LONGEST_MESSAGE:
            return errno.E2BIG
        try:
            self._connection.send(message)
        except OSError as error:
            return error.errno or errno.EIO
        return 0

    def _signal(self, running: _Running, number: int) -> None:
        self._send({"number": running.number, "signal": int(number)})

    def _too_long(self, running: _Running) -> None:
        running.timed_out = True
        self._signal(running, signal.SIGTERM)
        loop = asyncio.get_running_loop()
        running.timer = loop.call_later(GRACE_S, self._signal, running, signal.SIGKILL)

    def _reported(self) -> None:
        try:
            report = told(self._connection)
        except BlockingIOError:
            return
        if report is None:
            self._replace_spawner()
            return
        if "pid" not in report:
            self._ended(report["number"], report["code"])
        elif running := self._running.get(report["number"]):
            running.pid = report["pid"]

    def _ended(self, number: int, code: int) -> None:
        running = self._running.pop(number, None)
        if running is None:
            return
        if not self._running:
            self._all_ended.set()
        if running.timer is not None:
            running.timer.cancel()
        if running.ended is not None:
            running.ended()
        if running.check is not None:
            name = running.check.name
            self._finished(ScriptFinished(name, max(code, 0), max(-code, 0), running.timed_out))

    def _replace_spawner(self) -> None:
        """Somebody killed the spawner.  Its checks follow it: nobody is left to tell of their end."""
        self._disconnect()
        self._spawner, self._connection = self._connect()
        for running in list(self._running.values()):
            if running.pid and not running.stays:
                with contextlib.suppress(OSError):
                    os.killpg(running.pid, signal.SIGTERM)
            self._ended(running.number, -signal.SIGTERM)
