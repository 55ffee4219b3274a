"""The spawner: a small process of its own that forks scripts, so that nobody else has to.

A fork copies the page tables of a whole interpreter, about a millisecond in
which no advert goes out.  So the vrrp process forks once, at its start, and
from then on only sends a datagram.  The spawner has one thread and no timers;
it starts, signals and reaps what it is told to, and tells how each one ended.
It leaves when its socket is closed; whatever still runs is then sent SIGTERM
by the kernel (parent-death signal).

Between fork and exec a child does by hand what keepalived's does, down to its
end when the program cannot be executed: logged by the child, exit status 0.
"""

import contextlib
import json
import os
import select
import signal
import socket
import syslog
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from keepalived_py.model.config import Command
from keepalived_py.system import libc, scheduling

LONGEST_MESSAGE = 128 * 1024
_ALL_SIGNALS = frozenset(signal.valid_signals())
_LAST_DESCRIPTOR = 2**31 - 1
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
    """Fork the spawner; its pid and our end of the socket.  Raises OSError if there is no room.

    The calling process must have one thread.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    # The interpreter's signal handlers would write to a wake-up descriptor that both processes share.
    before = signal.pthread_sigmask(signal.SIG_SETMASK, _ALL_SIGNALS)
    try:
        pid = os.fork()
        if pid == 0:
            _be_spawner(theirs, settings)
    except OSError:
        ours.close()
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
    return pid, ours


def _be_spawner(connection: socket.socket, settings: ScriptSettings) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        _close_all_but(connection.fileno())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # A signal to the whole group (Ctrl-C) is for the others; we leave when the socket closes.
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        with contextlib.suppress(OSError):
            scheduling.be_ordinary()
        _Spawner(connection, settings).serve()
    finally:
        os._exit(0)


class _Spawner:
    """Running scripts by pidfd, each with the number that the other side gave it."""

    def __init__(self, connection: socket.socket, settings: ScriptSettings) -> None:
        self._connection = connection
        self._settings = settings
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._pids: dict[int, int] = {}
        self._numbers: dict[int, int] = {}
        connection.setblocking(True)

    def serve(self) -> None:
        """Until the other side closes the socket."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor != self._connection.fileno():
                    self._reap(descriptor)
                elif not self._obey():
                    return

    def _obey(self) -> bool:
        data = self._connection.recv(LONGEST_MESSAGE)
        if not data:
            return False
        order = json.loads(data)
        if "signal" in order:
            self._signal(order["number"], order["signal"])
        else:
            self._start(order)
        return True

    def _start(self, order: dict[str, Any]) -> None:
        number = order["number"]
        command = Command(tuple(order["argv"]), order["uid"], order["gid"])
        try:
            pid = _fork(command, self._settings)
            descriptor = os.pidfd_open(pid)
        except OSError:
            # No room for one more process: as if it could not be executed.
            self._report(number, 0)
            return
        self._pids[number] = pid
        self._numbers[descriptor] = number
        self._poll.register(descriptor, select.POLLIN)

    def _signal(self, number: int, signal_number: int) -> None:
        """To the script and what it started.  It is not reaped yet, so the pid is still its own."""
        if pid := self._pids.get(number, 0):
            with contextlib.suppress(OSError):
                os.killpg(pid, signal_number)

    def _reap(self, descriptor: int) -> None:
        number = self._numbers.pop(descriptor)
        _, status = os.waitpid(self._pids.pop(number), 0)
        self._poll.unregister(descriptor)
        os.close(descriptor)
        self._report(number, os.waitstatus_to_exitcode(status))

    def _report(self, number: int, code: int) -> None:
        """`code` is the exit status, or the negated signal."""
        # The other side may have left already; the next look at the socket says so.
        with contextlib.suppress(OSError):
            self._connection.send(json.dumps({"number": number, "code": code}).encode())


def _fork(command: Command, settings: ScriptSettings) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(command, settings, parent)
    # The child does the same; whoever comes first, the group is there before it is signalled.
    with contextlib.suppress(OSError):
        os.setpgid(pid, pid)
    return pid


def _become(command: Command, settings: ScriptSettings, parent: int) -> NoReturn:
    """In the child: turn into `command`."""
    try:
        os.setpgid(0, 0)
        os.umask(settings.umask)
        os.chdir("/")
        _only_null_descriptors()
        _change_user(command.uid, command.gid)
        # After the change of user, which would take it back.
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(0)
        _default_signals()
        os.execve(command.argv[0], command.argv, settings.environment)
    except BaseException as error:
        _log_failure(command, error, settings.syslog_name)
    finally:
        os._exit(0)


def _close_all_but(descriptor: int) -> None:
    os.closerange(0, descriptor)
    os.closerange(descriptor + 1, _LAST_DESCRIPTOR)


def _only_null_descriptors() -> None:
    os.closerange(0, _LAST_DESCRIPTOR)
    # The lowest free numbers come first: 0, 1, 2.
    os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    os.dup2(0, 1)
    os.dup2(0, 2)


def _change_user(uid: int, gid: int) -> None:
    """Raises OSError rather than leave the script with more rights than it was given."""
    if os.geteuid() == 0:
        os.setgroups([gid])
    if (os.getgid(), os.getegid()) != (gid, gid):
        os.setgid(gid)
    if (os.getuid(), os.geteuid()) != (uid, uid):
        os.setuid(uid)


def _default_signals() -> None:
    """exec resets handlers by itself, but what is ignored would stay ignored."""
    for number in _ALL_SIGNALS:
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
