"""What a check of a configuration does not load, and how its process ends."""

import subprocess
import sys
from pathlib import Path

import pytest

FILE = "global_defs {\n    router_id here\n}\n"
# Each of these costs between 1 ms and half a second, and -t needs none of them.  (lark's parser brings
# logging and threading with it; the rest of lark stays out.)
HEAVY = {"asyncio", "ctypes", "json", "lark", "lark.load_grammar", "platform", "pyroute2", "random", "scapy"}
HEAVY |= {"socket", "subprocess", "tempfile", "keepalived_py.base.logs", "keepalived_py.daemon.start"}
LOADED = """\
import sys
before = set(sys.modules)
from keepalived_py.cli.main import main
main()
print(*set(sys.modules) - before)
"""


def python(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


def test_a_check_loads_nothing_heavy(tmp_path: Path) -> None:
    path = tmp_path / "k.conf"
    path.write_text(FILE)
    done = python("-c", LOADED, "-t", "-f", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    assert {"keepalived_py.config.load", "lark.parsers.lalr_parser"} <= set(done.stdout.split())
    assert not HEAVY & set(done.stdout.split())


@pytest.mark.parametrize("style", ["keepalived", "full", "json"])
def test_the_abrupt_end_loses_no_output(style: str, tmp_path: Path) -> None:
    path = tmp_path / "k.conf"
    path.write_text(FILE + "wrong\n" * 3000)
    done = python("-m", "keepalived_py", "-t", f"--diagnostics={style}", "-f", str(path))
    assert done.returncode == 5
    assert (done.stdout + done.stderr).count("Unknown keyword 'wrong'") == 3000
