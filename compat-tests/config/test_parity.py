"""The cases of this folder: same exit code and same flagged lines as keepalived 2.2.7, every one."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def test_all_cases() -> None:
    words = [sys.executable, str(HERE / "parity.py"), "--list", str(HERE / "cases")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "exit codes equal" in done.stdout and "cases: 0 files" not in done.stdout
