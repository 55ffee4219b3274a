"""A process that gave up root has nothing left but one capability."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os
from keepalived_py.system.unprivileged import give_up_root
give_up_root({name!r})
print(os.getresuid(), os.getresgid(), os.getgroups())
held = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(*(held[name].strip() for name in ("CapInh", "CapPrm", "CapEff", "CapAmb", "NoNewPrivs")))
try:
    os.setuid(0)
except PermissionError:
    print("for good")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="gives up root")
@pytest.mark.parametrize("name", ["nobody", "no-such-user"])
def test_nothing_is_left(name: str) -> None:
    program = PROGRAM.format(name=name)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True
    )
    ids, capabilities, last = done.stdout.splitlines()
    assert ids == "(65534, 65534, 65534) (65534, 65534, 65534) []"
    assert capabilities == "0000000000000000 0000000000000400 0000000000000400 0000000000000000 1"
    assert last == "for good"
