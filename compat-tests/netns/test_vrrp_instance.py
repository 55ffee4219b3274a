"""What one instance learns and remembers, beside the real program: intervals, sequences, checksums, pauses."""

import os
import signal
import time
from dataclasses import replace

import pytest
from configs import VIP, Instance, whole
from lab import SECOND_NS, Lab
from program import children_of

pytestmark = pytest.mark.netns

Pair = tuple[str, str]
SLACK_S = 0.25
AH = ("authentication {", "auth_type AH", "auth_pass secret", "}")


def usual(priority: int, *lines: str, advert_int: int = 1) -> Instance:
    """An instance without a password."""
    return Instance(priority=priority, password=None, lines=lines, advert_int=advert_int)


def unicast(lab: Lab, node: int, priority: int, *lines: str) -> Instance:
    """A version 3 instance whose only peer is the other node."""
    peer = lab.space.address(3 - node)
    own = (f"unicast_src_ip {lab.space.address(node)}", "unicast_peer {", peer, "}")
    return usual(priority, "version 3", *own, *lines)


@pytest.mark.alone
def test_learned_interval(lab: Lab, pair: Pair) -> None:
    """The backup's own interval is two seconds; it waits for three of the master's, and the skew in proportion."""
    lab.start(1, pair[0], whole(usual(150, "version 3")))
    lab.wait_master(1, vip=VIP)
    lab.start(2, pair[1], whole(usual(100, "version 3", advert_int=2)))
    lab.wait_logged(2, "advertisement interval updated from 2000ms to 1000ms by master")
    lab.programs[1].kill_all()
    last = lab.last_advert(1)
    lab.wait_logged(2, "changing advert interval from 1000ms to locally configured 2000ms")
    taken = lab.capture.adverts(2)[0]
    assert -0.002 <= (taken.time_ns - last.time_ns) / SECOND_NS - (3 + 156 / 256) <= SLACK_S


def test_sequence_numbers_of_ah(lab: Lab, pair: Pair) -> None:
    """A better router that starts late speaks with a higher number than the master it heard."""
    lab.start(2, pair[1], whole(usual(100, *AH)))
    lab.wait(lambda: lab.space.holds(2, VIP), 8, "the worse one is alone")
    lab.start(1, pair[0], whole(usual(150, *AH)))
    lab.wait_logged(1, "received lower priority (100) advert")
    lab.wait_logged(2, "with higher priority 150, ours 100")
    lab.wait(lambda: lab.space.holds(1, VIP) and not lab.space.holds(2, VIP), 3, "the better one has it")
    lab.programs[1].send(signal.SIGTERM)
    lab.wait(lambda: lab.space.holds(2, VIP), 3, "its priority 0 is believed")


def test_checksum_of_old_peers(lab: Lab, pair: Pair) -> None:
    """Whoever hears the old form speaks it from then on, and is understood.

    The real 2.2.7 says that it changes its form, and does not: two of them end up as two masters.
    """
    old = unicast(lab, 1, 150, "old_unicast_checksum")
    lab.start(1, pair[0], whole(old))
    lab.wait_logged(1, "Entering BACKUP STATE (init)")
    lab.start(2, pair[1], whole(unicast(lab, 2, 100)))
    lab.wait_logged(2, "Setting unicast VRRPv3 checksum to old version")
    lab.programs[1].send(signal.SIGTERM)
    lab.programs[1].wait_end()
    lab.wait(lambda: lab.space.holds(2, VIP), 3, "node 2 takes over")
    lab.start(1, pair[0], whole(replace(old, priority=50)))
    time.sleep(5)
    understood = pair != ("real", "real")
    assert lab.space.holds(2, VIP) and lab.space.holds(1, VIP) is not understood, lab.report()


def test_a_master_that_was_stopped(lab: Lab) -> None:
    """SIGSTOP until the real one has taken over: ours then listens before it speaks."""
    lab.start(2, "real", whole(usual(100)))
    lab.wait_logged(2, "Entering BACKUP STATE (init)")
    program = lab.start(1, "ours", whole(usual(150)))
    lab.wait_master(1, vip=VIP)
    pids = children_of(program.pid)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    lab.wait(lambda: lab.space.holds(2, VIP), 8, "the other one takes over")
    time.sleep(1.5)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    since = time.time_ns()
    lab.wait_logged(1, "did not run for", 3)
    lab.wait(lambda: not lab.space.holds(1, VIP), 2, "its address is off")
    lab.wait_master(1, vip=VIP)
    first = lab.capture.adverts(1, since)[0]
    assert (first.time_ns - since) / SECOND_NS >= 3 + 106 / 256 - 0.05, "nothing is said before"
    texts = [line.text for line in lab.programs[2].log if line.time_ns >= since]
    assert not any("forcing new election" in text for text in texts)
