"""Exit codes at bad files, and what a reload leaves alone."""

import itertools
import signal
import time

import pytest
from configs import VIP, Instance, whole
from lab import SECOND_NS, Lab
from program import check_file

pytestmark = pytest.mark.netns

GOOD = whole(Instance())
BAD_FILES = {
    "good": GOOD,
    "unknown keyword": GOOD + "nonsense 1\n",
    "no closing brace": GOOD.rstrip()[:-1],
    "no vrid": GOOD.replace("    virtual_router_id 51\n", ""),
    "vrid out of range": GOOD.replace("virtual_router_id 51", "virtual_router_id 256"),
    "no interface": GOOD.replace("interface eth0", "interface nosuch0"),
    "priority out of range": GOOD.replace("priority 100", "priority 300"),
    "not an address": GOOD.replace(VIP, "10.77.1.999"),
    "duplicate vrid": GOOD + Instance(name="VI_2").text(),
    "script without security": GOOD.replace("state BACKUP", 'notify "/bin/true"'),
    "empty": "",
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_exit_code_of_the_check(case: str, lab: Lab, subject: str) -> None:
    """`-t` ends as the real program's does."""
    path = lab.directory / "k.conf"
    path.write_text(BAD_FILES[case])
    real, found = (check_file(kind, path, lab.space.node(1)) for kind in ("real", subject))
    assert found.returncode == real.returncode, f"real: {real.stderr}\n{subject}: {found.stderr}"


@pytest.mark.parametrize("case", ["no interface", "no vrid", "missing file"])
def test_exit_code_at_start(case: str, lab: Lab, subject: str) -> None:
    """A file that cannot run ends the daemon with keepalived's code, and no address is touched."""
    before = lab.space.addresses(1)
    text = BAD_FILES.get(case, "")
    codes = []
    for kind in ("real", subject):
        if case == "missing file":
            program = lab.start(1, kind, text, "-f", str(lab.directory / "nosuch.conf"))
        else:
            program = lab.start(1, kind, text)
        codes.append(program.wait_end())
    assert codes[1] == codes[0] != 0, lab.report()
    assert lab.space.addresses(1) == before and not lab.capture.adverts()


def gaps_s(lab: Lab, since_ns: int) -> list[float]:
    """Seconds between neighbouring adverts of node 1 from `since_ns` on."""
    times = [f.time_ns for f in lab.capture.adverts(1, since_ns)]
    return [(b - a) / SECOND_NS for a, b in itertools.pairwise(times)]


def test_unchanged_reload_does_not_blink(lab: Lab, subject: str) -> None:
    """SIGHUP with the same file: no address event, no ARP, no priority 0, no late advert."""
    program = lab.start(1, subject, whole(Instance(lines=("garp_master_delay 0",))))
    lab.start(2, "real", whole(Instance(priority=50)))
    lab.wait_master(1, vip=VIP)
    since = lab.last_advert(1).time_ns
    time.sleep(0.4)
    events, arps = len(lab.watches[1].events), len(lab.capture.arps(1))
    for _ in range(2):
        program.send(signal.SIGHUP)
        lab.wait(lambda: len(lab.capture.adverts(1, time.time_ns() - SECOND_NS // 2)) > 0, 3, "an advert")
        time.sleep(1.2)
    assert max(gaps_s(lab, since)) <= 1.1
    assert len(lab.watches[1].events) == events and len(lab.capture.arps(1)) == arps
    assert {f.priority for f in lab.capture.adverts(1, since)} == {100}
    assert not lab.capture.adverts(2, since)
    assert program.logged("Reloading")


def test_changed_reload_takes_effect(lab: Lab, subject: str) -> None:
    """SIGHUP with another priority: the adverts carry it, and the peer takes over."""
    program = lab.start(1, subject, whole(Instance(priority=150)))
    lab.start(2, "real", whole(Instance(priority=100)))
    lab.wait_master(1, vip=VIP)
    program.config_path.write_text(whole(Instance(priority=60)))
    program.send(signal.SIGHUP)
    lab.wait_master(2, vip=VIP, timeout_s=10)
    assert program.alive()


def test_broken_reload_keeps_the_running_state(lab: Lab, subject: str) -> None:
    """A bad file at SIGHUP is refused whole.

    The real program ends here and leaves its addresses on; this test is the one
    that it fails by itself (a documented difference).
    """
    program = lab.start(1, subject, whole(Instance()))
    lab.wait_master(1, vip=VIP)
    since, events = lab.last_advert(1).time_ns, len(lab.watches[1].events)
    program.config_path.write_text(BAD_FILES["no interface"])
    program.send(signal.SIGHUP)
    time.sleep(3)
    assert program.alive() and lab.space.holds(1, VIP)
    assert len(lab.watches[1].events) == events
    assert len(gaps_s(lab, since)) >= 2 and max(gaps_s(lab, since)) <= 1.1
    program.config_path.write_text(whole(Instance(priority=77)))
    program.send(signal.SIGHUP)
    lab.wait(lambda: lab.last_advert(1).priority == 77, 5, "a good file is taken again")
