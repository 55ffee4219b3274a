"""The harness itself: a comparison that cannot fail proves nothing.

The real keepalived is held against itself with files that differ in one thing a
broken program could get wrong; every comparison has to notice.
"""

import time

import pytest
from configs import VIP, Instance, whole
from lab import Timeout
from space import Space, run, sweep
from twins import Twins, arp_bursts, first_adverts, log_lines

pytestmark = pytest.mark.netns


def test_comparisons_notice_differences(twins: Twins) -> None:
    """Other password, one ARP less, another label: three looks, three differences."""
    sound = Instance(priority=255, state="MASTER", lines=("garp_master_delay 0",))
    faulty = Instance(
        priority=255,
        state="MASTER",
        password="abcdefgH",
        addresses=(f"{VIP}/24 label eth0:x",),
        lines=("garp_master_delay 0", "garp_master_repeat 4"),
    )
    twins.real.start(1, "real", whole(sound))
    twins.other.start(1, "real", whole(faulty))
    twins.wait(lambda lab: len(lab.capture.adverts()) >= 2, 6, "two adverts")
    twins.wait(lambda lab: len(lab.capture.arps()) >= 4, 2, "a burst")
    time.sleep(0.2)
    for look in (first_adverts, arp_bursts, lambda lab: lab.space.addresses(1)):
        with pytest.raises(AssertionError):
            twins.same(look)
    with pytest.raises(AssertionError):
        twins.same(lambda lab: log_lines(lab, "Sending gratuitous ARP"))


def test_waiting_has_an_end(twins: Twins) -> None:
    """A master that never comes is a failure with the log in it, not a hang."""
    twins.real.start(1, "real", whole(Instance(priority=1)))
    with pytest.raises(Timeout, match="Starting VRRP child process"):
        twins.real.wait_master(1, timeout_s=1)


def test_leftovers_of_dead_runs_are_swept() -> None:
    """Namespaces named after a dead owner go; those of a living one stay."""
    dead = Space(nodes=1, base="kl-4194399-1").up()
    alive = Space(nodes=1).up()
    try:
        sweep()
        names = run("ip", "netns", "list")
        assert dead.switch not in names and alive.switch in names
    finally:
        dead.down()
        alive.down()
