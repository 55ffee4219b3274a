"""A running driver in the foreground, for the tests of the parent process."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

DRIVER = Path(__file__).with_name("driver.py")
LIMIT_S = 15.0
# The driver is a program of its own and must find the package even where it is not installed.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


class Daemon:
    """A running driver in the foreground and what it has logged so far."""

    def __init__(self, directory: Path, *words: str, environment: dict[str, str] | None = None) -> None:
        # A pid file counts only while the process's command line speaks of keepalived.
        command = [sys.executable, str(DRIVER), str(directory), "as-keepalived", *words]
        self.directory = directory
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env={**ENVIRONMENT, **(environment or {})}
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n").split(": ", 1)[-1])

    def logged(self, pattern: str, times: int = 1) -> list[str]:
        """Wait until `pattern` was logged `times` times; the first groups (or whole matches)."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            found = [match for line in list(self.lines) if (match := re.fullmatch(pattern, line))]
            if len(found) >= times:
                return [match.group(match.lastindex or 0) for match in found]
            assert time.monotonic() < deadline, f"{pattern} not {times} times in {self.lines}"
            time.sleep(0.01)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        code = self.process.wait(LIMIT_S)
        self._reader.join(LIMIT_S)
        return code


Start = Callable[..., Daemon]
