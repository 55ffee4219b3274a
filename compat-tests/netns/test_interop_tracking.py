"""vrrp_script beside a living peer: a weight moves the priority, no weight means FAULT."""

import signal
import time
from pathlib import Path

import pytest
from configs import VIP, Instance, script, tracking, whole
from lab import SECOND_NS, Lab, master_down_s

pytestmark = pytest.mark.netns

Pair = tuple[str, str]


def start_tracked(lab: Lab, pair: Pair, flag: Path, **settings: int) -> None:
    """Node 1 (priority 150) is well while `flag` exists; node 2 (priority 100) tracks nothing."""
    flag.touch()
    check = script("well", f"/usr/bin/test -e {flag}", interval=1, **settings)
    lab.start(2, pair[1], whole(Instance(priority=100)))
    lab.start(1, pair[0], whole(Instance(priority=150, lines=tracking("well")), before=check))
    lab.wait_master(1, vip=VIP)


def test_weight_moves_the_master(lab: Lab, pair: Pair, tmp_path: Path) -> None:
    """Minus 60 makes 150 worse than 100, without a word of FAULT or priority 0."""
    flag = tmp_path / "well"
    start_tracked(lab, pair, flag, weight=-60, fall=2, rise=2)
    flag.unlink()
    lab.wait_logged(1, "Changing effective priority from 150 to 90")
    lab.wait_master(2, vip=VIP)
    assert 90 in {f.priority for f in lab.capture.adverts(1)}
    assert 0 not in {f.priority for f in lab.capture.adverts(1)}
    flag.touch()
    lab.wait_logged(1, "Changing effective priority from 90 to 150")
    lab.wait_master(1, vip=VIP)
    assert not lab.programs[1].logged("FAULT STATE")


def test_failing_without_weight_is_fault(lab: Lab, pair: Pair, tmp_path: Path) -> None:
    """FAULT resigns with two adverts of priority 0; afterwards BACKUP, and MASTER in its time."""
    flag = tmp_path / "well"
    start_tracked(lab, pair, flag)
    flag.unlink()
    lab.wait_logged(1, "Entering FAULT STATE", timeout_s=4)
    lab.wait_master(2, vip=VIP)
    assert [f.priority for f in lab.capture.adverts(1)][-2:] == [0, 0]
    assert not lab.space.holds(1, VIP)
    back = time.time_ns()
    flag.touch()
    lab.wait_logged(1, "Entering BACKUP STATE", since_ns=back)
    lab.wait_master(1, vip=VIP)
    first = lab.capture.adverts(1, back)[0]
    assert master_down_s(150) - 0.1 <= (first.time_ns - back) / SECOND_NS <= master_down_s(150) + 1.4
    assert lab.programs[1].send(signal.SIGTERM) and lab.programs[1].wait_end() == 0
