"""Scripts: notify scripts, for which nobody waits, and check scripts, which have a time limit.

A script is started by a plain fork, not through `subprocess`.  The parent then
never waits for the exec, which is what makes a start cheap beside adverts in
real time; the child has the parent-death signal, which `subprocess` offers
only together with its slow path; and a failed exec ends as in keepalived: it
is logged by the child, and the script counts as successful.  That is safe as
long as the process has one thread, which a process of this program has.

Between fork and exec all signals are blocked: the interpreter's handlers
would write into the wake-up descriptor that both processes share.

The end is seen through a pidfd, so no handler for SIGCHLD is needed.
"""

import asyncio
import contextlib
import os
import signal
import syslog
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from keepalived_py.model.config import Command
from keepalived_py.model.effects import RunCheck
from keepalived_py.model.events import ScriptFinished
from keepalived_py.system import libc, scheduling

# From SIGTERM after the time limit to SIGKILL.
GRACE_S = 2.0
_REAP_RETRY_S = 0.1
_KEEPALIVED_UMASK = 0o177
_UNSAFE_VARIABLES = ("IFS", "LD_PRELOAD", "LD_LIBRARY_PATH")
_ALL_SIGNALS = frozenset(signal.valid_signals())
_LAST_DESCRIPTOR = 2**31 - 1


@dataclass(slots=True)
class _Running:
    """A script that has been started and not yet reaped."""

    pid: int
    pidfd: int
    check: RunCheck | None
    timed_out: bool = False
    timer: asyncio.TimerHandle | None = None


class Runner:
    """Starts scripts and reaps them.  Use it inside a running loop, in a process with one thread.

    `finished` is called once for each check.  `syslog_name` is the name under
    which the child logs that it could not start the program.
    """

    def __init__(
        self,
        finished: Callable[[ScriptFinished], None],
        umask: int = _KEEPALIVED_UMASK,
        syslog_name: str = "Keepalived_vrrp",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._finished = finished
        self._umask = umask
        self._syslog_name = syslog_name
        self._environment = script_environment(os.environ if environment is None else environment)
        self._running: dict[int, _Running] = {}
        self._all_ended = asyncio.Event()
        self._all_ended.set()

    def notify(self, command: Command) -> int:
        """Start a notify script; 0, or the errno if no process could be made."""
        try:
            self._start(command, None)
        except OSError as error:
            return error.errno or 0
        return 0

    def check(self, check: RunCheck) -> int:
        """Start a check script; 0, or the errno if no process could be made.

        In the latter case the check counts as successful, as if the program
        could not be executed: `finished` is called soon in any case.
        """
        try:
            running = self._start(check.command, check)
        except OSError as error:
            asyncio.get_running_loop().call_soon(self._finished, ScriptFinished(check.name))
            return error.errno or 0
        loop = asyncio.get_running_loop()
        running.timer = loop.call_later(check.timeout_us / 1_000_000, self._too_long, running)
        return 0

    @property
    def running(self) -> int:
        """How many scripts have not ended yet."""
        return len(self._running)

    async def finish(self, limit_s: float, grace_s: float = GRACE_S) -> None:
        """Wait for all scripts to end; after `limit_s` send SIGTERM, `grace_s` later SIGKILL."""
        for number, wait_s in ((signal.SIGTERM, limit_s), (signal.SIGKILL, grace_s)):
            try:
                await asyncio.wait_for(self._all_ended.wait(), wait_s)
                return
            except TimeoutError:
                for running in self._running.values():
                    _signal_group(running.pid, number)
        await self._all_ended.wait()

    def _start(self, command: Command, check: RunCheck | None) -> _Running:
        pid = self._fork(command)
        running = _Running(pid, _pidfd(pid), check)
        self._running[pid] = running
        self._all_ended.clear()
        self._watch(running)
        return running

    def _fork(self, command: Command) -> int:
        parent = os.getpid()
        before = signal.pthread_sigmask(signal.SIG_SETMASK, _ALL_SIGNALS)
        try:
            pid = os.fork()
            if pid == 0:
                _become(command, self._umask, self._environment, parent, self._syslog_name)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        # The child does the same; whoever comes first, the group is there before it is signalled.
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        return pid

    def _watch(self, running: _Running) -> None:
        loop = asyncio.get_running_loop()
        if running.pidfd >= 0:
            loop.add_reader(running.pidfd, self._reap, running)
        else:
            loop.call_later(_REAP_RETRY_S, self._reap, running)

    def _reap(self, running: _Running) -> None:
        pid, status = os.waitpid(running.pid, os.WNOHANG)
        if pid == 0:
            if running.pidfd < 0:
                self._watch(running)
            return
        self._forget(running)
        if running.check is not None:
            code = os.waitstatus_to_exitcode(status)
            self._finished(
                ScriptFinished(
                    running.check.name,
                    status=max(code, 0),
                    signal=max(-code, 0),
                    timed_out=running.timed_out,
                )
            )

    def _forget(self, running: _Running) -> None:
        del self._running[running.pid]
        if not self._running:
            self._all_ended.set()
        if running.timer is not None:
            running.timer.cancel()
        if running.pidfd >= 0:
            asyncio.get_running_loop().remove_reader(running.pidfd)
            os.close(running.pidfd)

    def _too_long(self, running: _Running) -> None:
        running.timed_out = True
        _signal_group(running.pid, signal.SIGTERM)
        loop = asyncio.get_running_loop()
        running.timer = loop.call_later(GRACE_S, _signal_group, running.pid, signal.SIGKILL)


def script_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` without the variables that change what a script's commands mean."""
    return {name: value for name, value in environment.items() if name not in _UNSAFE_VARIABLES}


def _pidfd(pid: int) -> int:
    """A descriptor for the child, or -1 if there are too many open: then its end is polled for."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        return -1


def _signal_group(pid: int, number: int) -> None:
    """Signal the script and what it started.  It is not reaped yet, so the number is still its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _become(
    command: Command, umask: int, environment: Mapping[str, str], parent: int, syslog_name: str
) -> None:
    """In the child: turn into `command`.  Never returns, whatever happens."""
    try:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        with contextlib.suppress(OSError):
            scheduling.be_ordinary()
        os.umask(umask)
        os.chdir("/")
        _only_null_descriptors()
        _change_user(command.uid, command.gid)
        # After the change of user, which would take it back.
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(0)
        _default_signals()
        os.execve(command.argv[0], command.argv, environment)
    except BaseException as error:
        _log_failure(command, error, syslog_name)
    finally:
        os._exit(0)


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
    for number in _ALL_SIGNALS - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _log_failure(command: Command, error: BaseException, syslog_name: str) -> None:
    """keepalived's words, with its priority."""
    number = error.errno if isinstance(error, OSError) else 0
    text = os.strerror(number or 0) if number else str(error)
    # The descriptor of the parent's connection is closed by now: without this it would be written to.
    syslog.closelog()
    syslog.openlog(syslog_name, syslog.LOG_PID, syslog.LOG_DAEMON)
    syslog.syslog(syslog.LOG_ALERT, f"Error exec-ing command '{command.argv[0]}', error {number}: {text}")
