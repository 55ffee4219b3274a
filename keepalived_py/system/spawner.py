"""The spawner: a small process of its own that starts scripts, so that nobody else has to.

A fork copies the page tables of a whole interpreter, about a millisecond in
which no advert goes out.  So the vrrp process forks once, at its start, and
from then on only sends a datagram.  The spawner has one thread and no timers;
it starts, signals and reaps what it is told to, and tells how each one ended.
It leaves when its socket is closed, and sends SIGTERM to whatever still runs and is not to stay.

What all scripts have in common (umask, directory, environment, signals) the
spawner takes on itself, once: a script that runs as the same user then needs
no more than vfork and exec, a quarter of the processor time of a fork.  When a
program cannot be executed it is as with keepalived, whose child does the exec:
logged, exit status 0.
"""

import contextlib
import os
import pwd
import select
import signal
import socket
import subprocess
import syslog
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keepalived_py.model.config import Command
from keepalived_py.system.helper import fork_helper, tell, told

# The interpreter ignores these, and subprocess gives scripts the default back.
_OF_THE_INTERPRETER = {signal.SIGPIPE, signal.SIGXFSZ}
_UNSAFE_VARIABLES = ("IFS", "LD_PRELOAD", "LD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True)
class ScriptSettings:
    """What all scripts have in common.  `syslog_name`: under which a failed exec is logged."""

    umask: int
    syslog_name: str
    environment: Mapping[str, str]


def script_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` without the variables that change what a script's commands mean."""
    return {name: value for name, value in environment.items() if name not in _UNSAFE_VARIABLES}


def fork_spawner(settings: ScriptSettings) -> tuple[int, socket.socket]:
    """Fork the spawner; its pid and our end of the socket.  Raises OSError if there is no room."""
    return fork_helper(lambda connection: _Spawner(connection, settings).serve())


class _Spawner:
    """Running scripts by pidfd, each with the number that the other side gave it."""

    def __init__(self, connection: socket.socket, settings: ScriptSettings) -> None:
        self._connection = connection
        self._settings = settings
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._numbers: dict[int, int] = {}
        self._staying: set[int] = set()
        self._groups_of: dict[int, list[int]] = {}
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        _be_like_scripts(settings)

    def serve(self) -> None:
        """Until the other side closes the socket."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor != self._connection.fileno():
                    self._reap(descriptor)
                elif not self._obey():
                    for number in self._children.keys() - self._staying:
                        self._signal(number, signal.SIGTERM)
                    return

    def _obey(self) -> bool:
        order = told(self._connection)
        if order is None:
            return False
        if "signal" in order:
            self._signal(order["number"], order["signal"])
        else:
            self._start(order)
        return True

    def _start(self, order: dict[str, Any]) -> None:
        number = order["number"]
        command = Command(tuple(order["argv"]), order["uid"], order["gid"])
        groups = self._groups(command) if order["all_groups"] else [command.gid]
        try:
            child = self._run(command, groups)
            descriptor = os.pidfd_open(child.pid)
        except (OSError, subprocess.SubprocessError) as error:
            _log_failure(command, error, self._settings.syslog_name)
            self._report(number, 0)
            return
        self._children[number] = child
        if order["stays"]:
            self._staying.add(number)
        tell(self._connection, {"number": number, "pid": child.pid})
        self._numbers[descriptor] = number
        self._poll.register(descriptor, select.POLLIN)

    def _run(self, command: Command, groups: list[int]) -> "subprocess.Popen[bytes]":
        """Raises OSError rather than leave a script with more rights than it was given."""
        other: dict[str, Any] = {}
        if (os.getuid(), os.getgid(), os.getgroups()) != (command.uid, command.gid, groups):
            other = {"user": command.uid, "group": command.gid}
            if os.geteuid() == 0:
                other["extra_groups"] = groups
        return subprocess.Popen(
            command.argv, stdin=self._null, stdout=self._null, stderr=self._null, process_group=0, **other
        )

    def _groups(self, command: Command) -> list[int]:
        """All groups of the user.  Asking for them may take its time (LDAP), so it is done once for each."""
        if command.uid not in self._groups_of:
            try:
                user = pwd.getpwuid(command.uid)
                self._groups_of[command.uid] = os.getgrouplist(user.pw_name, user.pw_gid)
            except (KeyError, OSError):
                return [command.gid]
        return self._groups_of[command.uid]

    def _signal(self, number: int, signal_number: int) -> None:
        """To the script and what it started.  It is not reaped yet, so the pid is still its own."""
        if child := self._children.get(number):
            with contextlib.suppress(OSError):
                os.killpg(child.pid, signal_number)

    def _reap(self, descriptor: int) -> None:
        number = self._numbers.pop(descriptor)
        code = self._children.pop(number).wait()
        self._staying.discard(number)
        self._poll.unregister(descriptor)
        os.close(descriptor)
        self._report(number, code)

    def _report(self, number: int, code: int) -> None:
        """`code` is the exit status, or the negated signal."""
        tell(self._connection, {"number": number, "code": code})


def _be_like_scripts(settings: ScriptSettings) -> None:
    """What is inherited by every script."""
    os.umask(settings.umask)
    os.chdir("/")
    os.environ.clear()
    os.environ.update(settings.environment)
    if os.geteuid() == 0:
        os.setgroups([os.getgid()])
    for number in signal.valid_signals() - _OF_THE_INTERPRETER:
        # exec resets handlers by itself, but what is ignored would stay ignored.
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def _log_failure(command: Command, error: BaseException, syslog_name: str) -> None:
    """keepalived's words, with its priority."""
    number = error.errno if isinstance(error, OSError) else 0
    text = os.strerror(number or 0) if number else str(error)
    # The descriptor of the parent's connection is closed by now: without this it would be written to.
    syslog.closelog()
    syslog.openlog(syslog_name, syslog.LOG_PID, syslog.LOG_DAEMON)
    syslog.syslog(syslog.LOG_ALERT, f"Error exec-ing command '{command.argv[0]}', error {number}: {text}")
