"""Small things that people see: what is said at start, and a new member of a group that is MASTER."""

import re
import time

from configs import VIP, Instance, whole
from lab import Lab, master_down_s
from life import reload
from twins import Twins, log_lines

_ADDRESS = "Netlink reflector reports IP "
_BFD = "Received BFD event: instance B1"


def test_what_is_said_at_start(twins: Twins) -> None:
    """-a names the addresses that are there (ours also what it adds); the state of a session is said once."""
    session = "bfd_instance B1 {\n neighbor_ip 10.77.0.9\n}\n"
    text = whole(Instance(lines=("track_bfd {\n B1 weight 5\n}",)), before=session)
    for lab, kind in twins.both:
        lab.start(1, kind, text, "-a")
    twins.wait(lambda lab: bool(log_lines(lab, "(VI_1) Entering MASTER STATE")), 8, "MASTER")
    twins.same(lambda lab: sorted(line for line in set(log_lines(lab, _ADDRESS)) if VIP not in line))
    twins.same(lambda lab: [re.sub(r"\d+ usec", "N usec", line) for line in log_lines(lab, _BFD)])


def group(*members: str) -> str:
    """A vrrp_sync_group."""
    return "vrrp_sync_group G {\n group {\n" + "\n".join(members) + "\n }\n}\n"


def test_a_new_member_of_a_group_usurps_nothing(lab: Lab, subject: str) -> None:
    """Another router has its address: it listens, and then the whole group gives way."""
    old = Instance(name="A", vrid=61, addresses=("10.77.1.61/32",))
    new = Instance(name="B", vrid=62, priority=90)
    lab.start(1, subject, whole(old))
    lab.start(2, "real", whole(Instance(name="B", vrid=62, priority=80, lines=("nopreempt",))))
    lab.wait(lambda: lab.space.holds(1, "10.77.1.61") and lab.space.holds(2, VIP), 8, "both are MASTER")
    since = time.time_ns()
    listens = Instance(name="B", vrid=62, priority=90, lines=("nopreempt",))
    reload(lab, whole(old, listens, before=group("A", "B")))
    lab.wait_logged(1, "VRRP_Group(G) Syncing instances to BACKUP state", 3, since)
    lab.wait(lambda: not lab.space.holds(1, "10.77.1.61"), 2, "the group has given way")
    assert not lab.capture.adverts(1, since, vrid=62), lab.report()
    assert lab.space.holds(2, VIP)
    reload(lab, whole(old, new, before=group("A", "B")))
    lab.wait(lambda: lab.masters(62) == {1}, master_down_s(90) + 4, "B is better, and may say so now")
    lab.wait(lambda: lab.space.holds(1, "10.77.1.61"), 2, "A goes with it")
