"""The parent's own scripts: `startup_script` before the children, `shutdown_script` after them.

The parent goes on looking at its signals meanwhile: nothing here waits.  A script
that is not over after its time limit gets SIGTERM, with everything it started,
two seconds later SIGKILL, and after two more it is given up (keepalived's steps).
The outcome changes nothing but the log.
"""

import os
import signal
import time
from contextlib import suppress

from keepalived_py.base.logs import Log
from keepalived_py.daemon.worker import NEVER
from keepalived_py.model.scripts import Command

_GRACE_S = 2.0
_ESCALATION = (signal.SIGTERM, signal.SIGKILL)


class Hook:
    """One run of one script.  `word` is `startup` or `shutdown`; times are on the monotonic clock.

    `pid` None: it does not run (any more).
    """

    def __init__(self, word: str, command: Command, timeout_s: float, log: Log) -> None:
        self.pid: int | None = None
        self.deadline = NEVER
        self._word = word
        self._command = command
        self._timeout_s = timeout_s
        self._log = log
        self._sent = 0

    def start(self) -> None:
        """Start the script; a failure is logged, and the run is over."""
        self._log.detail(f"Running {self._word} script {self._command.argv[0]}")
        try:
            self.pid = _spawn(self._command)
        except (OSError, ValueError) as fault:
            self._log.info(f"Call of {self._word} script {self._command.argv[0]} failed: {fault}")
            return
        self.deadline = time.monotonic() + self._timeout_s

    def on_time(self, now: float) -> None:
        """Take the next step against a script that takes too long."""
        if self.pid is None or now < self.deadline:
            return
        if not self._sent:
            self._log.info(f"{self._word} script timed out")
        self.end()

    def end(self) -> None:
        """Signal the script and what it started, one step harder each time."""
        if self.pid is None:
            return
        if self._sent == len(_ESCALATION):
            self._log.info(f"{self._word} script (PID {self.pid}) failed to terminate after kill")
            self.pid, self.deadline = None, NEVER
            return
        with suppress(OSError):
            os.killpg(self.pid, _ESCALATION[self._sent])
        self._sent += 1
        self.deadline = time.monotonic() + _GRACE_S

    def ended(self, status: int) -> None:
        """The script has ended with `status` (as wait gives it), and is reaped."""
        if self._sent and self.pid is not None:
            with suppress(OSError):  # what it started may have stayed behind
                os.killpg(self.pid, signal.SIGKILL)
        self.pid, self.deadline = None, NEVER
        if not os.WIFEXITED(status):
            return
        if os.WEXITSTATUS(status):  # "script" twice: keepalived's words
            self._log.info(f"{self._word} script script failed, status {os.WEXITSTATUS(status)}")
        else:
            self._log.detail(f"{self._word} script script succeeded")


def _spawn(command: Command) -> int:
    """Start `command` as its user, in a process group of its own; the pid.  Raises OSError, ValueError."""
    import subprocess  # few configurations have such scripts

    from keepalived_py.system.spawner import script_environment

    root = os.geteuid() == 0
    running = subprocess.Popen(
        command.argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=script_environment(os.environ),
        user=command.uid if root else None,
        group=command.gid if root else None,
        extra_groups=[command.gid] if root else None,
        process_group=0,
    )
    running.returncode = 0  # the parent reaps all its children itself
    return running.pid
