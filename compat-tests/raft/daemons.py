"""A member's processes: started by a command of whatever words, told apart into parent and electing child."""

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from program import LogLine, Program, children_of, environment

_PR_SET_CHILD_SUBREAPER = 36
_CHILD = re.compile(r"Starting VRRP child process, pid=(\d+)")


class Daemon(Program):
    """A started member; its log is kept as that of any `Program`."""

    def __init__(self, namespace: str, directory: Path, words: Sequence[str]) -> None:
        self.kind = words[0]
        self.log: list[LogLine] = []
        self._process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{namespace}", *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", start_new_session=True, env=environment(), cwd=directory,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        (directory / "parent").write_text(str(self._process.pid))

    def electing(self) -> list[int]:
        """The process that elects, and nothing else; the parent where it does so itself."""
        named = [_CHILD.search(line.text) for line in list(self.log)]
        pids = [int(found[1]) for found in named if found]
        return pids[-1:] or [self.pid]

    def kill_all(self) -> int:
        """As that of any `Program`; and none of the dead is left in the table of processes.

        A restart soon after would find the pid in a pid file still in use, as long as whoever
        inherits orphans has not looked after them.
        """
        with _inheriting():
            pids = self.everything()
            now = super().kill_all()
            for pid in pids[1:]:
                _bury(pid)
        return now

    def everything(self) -> list[int]:
        """The parent and all that descends from it."""
        return children_of(self.pid)


@contextmanager
def _inheriting() -> Iterator[None]:
    """Orphans of our descendants become children of this process."""
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _bury(pid: int) -> None:
    """Take the exit code of a killed child; nothing when it is not ours, or does not die."""
    end = time.monotonic() + 2
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(pid, os.WNOHANG)[0] == 0 and time.monotonic() < end:
            time.sleep(0.001)


def send(pids: Sequence[int], number: signal.Signals) -> int:
    """Signal these processes, in this order, whoever of them still lives; the time just before, in ns."""
    now = time.time_ns()
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
    return now
