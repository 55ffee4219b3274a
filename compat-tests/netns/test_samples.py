"""The sample configurations do what their headers promise: both nodes run, each address has one holder.

Only the path of the notify script is changed, to one that writes down how it was called.
"""

import re
from pathlib import Path

import pytest
from lab import Lab

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
# For each VRID: the node that holds it, and an address it holds.
HOLDERS = {
    "single-master": {14: (1, "10.1.0.91")},
    "dual-master": {14: (1, "10.1.0.91"), 15: (2, "10.1.0.92")},
    "ha-ipvs": {14: (1, "10.1.0.93")},
    "dual-master-lvs-fwmark": {44: (1, "172.16.0.80"), 45: (2, "172.16.0.90")},
    "ha-nginx": {14: (1, "10.1.0.93")},
    "track-check": {33: (1, "10.1.0.99")},
}


def text_of(sample: str, node: int, notify: Path) -> str:
    """The sample with its notify script exchanged."""
    text = (SAMPLES / sample / f"node{node}.conf").read_text()
    return text.replace("/etc/keepalived/notify.sh", str(notify))


def maintained(sample: str, node: int, notify: Path) -> str:
    """As `text_of`, with a maintenance file of this test's own and nginx taken as running."""
    text = text_of(sample, node, notify).replace("/etc/keepalived/down", str(notify.with_name(f"down{node}")))
    return text.replace("/usr/bin/killall -0 nginx", "/usr/bin/true")


def recorder(directory: Path) -> Path:
    """A notify script that appends its arguments to `called`, in a directory only root can write to."""
    script = directory / "notify.sh"
    script.write_text(f'#!/bin/sh\necho "$*" >>{directory}/called\n')
    script.chmod(0o755)
    return script


def settle(lab: Lab, vrid: int, holder: int, address: str) -> None:
    """Until `holder` alone is master of `vrid` and holds `address`."""
    lab.wait(lambda: lab.masters(vrid) == {holder}, 12, f"node {holder} is master of {vrid}")
    lab.wait(lambda: lab.space.holds(holder, address), 3, f"node {holder} holds {address}")
    assert not lab.space.holds(3 - holder, address)


@pytest.mark.parametrize("sample", HOLDERS)
def test_each_address_has_its_holder(lab: Lab, subject: str, sample: str, tmp_path: Path) -> None:
    notify = recorder(tmp_path)
    for node in (1, 2):
        lab.start(node, subject, text_of(sample, node, notify))
    for vrid, (holder, address) in HOLDERS[sample].items():
        settle(lab, vrid, holder, address)
    if re.search("notify_master", text_of(sample, 1, notify)):
        lab.wait(lambda: "master" in (tmp_path / "called").read_text(), 3, "the notify script ran")


def test_the_maintenance_file_moves_the_address(lab: Lab, subject: str, tmp_path: Path) -> None:
    """ha-nginx: `chk_down` fails while a file is there, and its weight lets the other node win."""
    notify = recorder(tmp_path)
    for node in (1, 2):
        lab.start(node, subject, maintained("ha-nginx", node, notify))
    lab.wait_master(1, vip="10.1.0.93", timeout_s=12)
    down = tmp_path / "down1"
    down.touch()
    lab.wait_master(2, vip="10.1.0.93", timeout_s=12)
    down.unlink()
    lab.wait_master(1, vip="10.1.0.93", timeout_s=12)
