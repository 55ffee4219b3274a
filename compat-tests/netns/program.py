"""One daemon under test: the real keepalived, or this project, told apart by a word.

`real` is the distribution's `keepalived`; `ours` is `python -m keepalived_py`.
Both get the same arguments and the same file, so whatever differs afterwards is
a difference of the programs.  Lines of the log are kept with the time of their
arrival.  Processes are ended by pid or by their own process group only.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMANDS: dict[str, list[str]] = {
    "real": ["keepalived"],
    "ours": [sys.executable, "-m", "keepalived_py"],
}


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the log and when it was read, ns since the epoch."""

    time_ns: int
    text: str


def environment() -> dict[str, str]:
    """Ours is found in this checkout wherever the test runs."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": "C"}


def children_of(root: int) -> list[int]:
    """`root` and every process below it, parents first; dead ones are left out."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            parents.setdefault(_parent(int(entry)), []).append(int(entry))
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop(0)
        found.append(pid)
        waiting += sorted(parents.get(pid, []))
    return [pid for pid in found if _state(pid) not in ("", "Z")]


def _stat(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()


def _parent(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def _state(pid: int) -> str:
    fields = _stat(pid)
    return fields[0] if fields else ""


def check_file(kind: str, path: Path, namespace: str) -> subprocess.CompletedProcess[str]:
    """`-t` on one file, in a namespace that has the interfaces it names; the whole run is bounded."""
    words = ["nsenter", f"--net=/run/netns/{namespace}", *COMMANDS[kind], "-t", "-f", str(path)]
    return subprocess.run(words, text=True, capture_output=True, timeout=120, env=environment())


class Program:
    """A started daemon in one namespace."""

    def __init__(
        self, kind: str, namespace: str, directory: Path, config: str, more: tuple[str, ...] = ()
    ) -> None:
        if kind == "real" and not shutil.which("keepalived"):
            raise RuntimeError("the real keepalived is not installed (Debian package keepalived)")
        self.kind = kind
        self.log: list[LogLine] = []
        directory.mkdir(parents=True, exist_ok=True)
        self.config_path = directory / "keepalived.conf"
        self.config_path.write_text(config)
        pid_file = directory / "pid"
        words = [
            "nsenter", f"--net=/run/netns/{namespace}", *COMMANDS[kind],
            "-n", "-l", "-D", "-G", "-f", str(self.config_path),
            "-p", str(pid_file), "-r", f"{pid_file}.v", "-c", f"{pid_file}.c", "-b", f"{pid_file}.b", *more,
        ]  # fmt: skip
        self._process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", start_new_session=True, env=environment(), cwd=directory,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The parent process."""
        return self._process.pid

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.log.append(LogLine(time.time_ns(), line.rstrip("\n")))

    def alive(self) -> bool:
        """Whether the parent still runs."""
        return self._process.poll() is None

    def logged(self, text: str, since_ns: int = 0) -> bool:
        """Whether a line containing `text` was read at or after `since_ns`."""
        return any(text in line.text for line in list(self.log) if line.time_ns >= since_ns)

    def tail(self, count: int = 40) -> str:
        """The last lines, for a failure's report."""
        return "\n".join(line.text for line in self.log[-count:])

    def send(self, number: signal.Signals) -> int:
        """Signal the parent; returns the time just before, ns since the epoch."""
        now = time.time_ns()
        os.kill(self.pid, number)
        return now

    def kill_all(self) -> int:
        """SIGKILL parent and children at once, as a power cut would; returns the time just before."""
        pids = children_of(self.pid)
        now = time.time_ns()
        self._signal_group(signal.SIGKILL)
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait(5)
        return now

    def _signal_group(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return

    def wait_end(self, timeout_s: float = 8.0) -> int:
        """Wait for the parent; its exit code.  subprocess.TimeoutExpired when it stays."""
        return self._process.wait(timeout_s)

    def ask_to_end(self) -> None:
        """SIGTERM when it still runs, without waiting."""
        if self.alive():
            self.send(signal.SIGTERM)

    def close(self) -> None:
        """SIGTERM was sent (`ask_to_end`): wait, then SIGKILL for whoever is left; never raises."""
        try:
            self.wait_end(4)
        except subprocess.TimeoutExpired:
            self.kill_all()
        self._signal_group(signal.SIGKILL)
        self._reader.join(1)
