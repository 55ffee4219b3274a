"""The laboratory itself, on the real keepalived: one that cannot see two holders proves nothing.

VRRP is the right subject for that: it fails over in a known time, and it does
have two masters when its network splits or its process is paused.
"""

import socket
import struct
import time
from collections.abc import Iterator

import pytest
from answers import MS, View
from cluster_files import ADVERT_S, VIP, Cluster, Router
from cluster_lab import ClusterLab, cluster_laboratory
from lab import SECOND_NS
from observer import arp_request
from scenarios import Must, Stage, judge, named
from space import inside

pytestmark = [pytest.mark.netns, pytest.mark.timeout(90)]

VRRP = Cluster(
    kind="vrrp",
    members=(1, 2),
    program=("keepalived",),
    routers=(Router(priorities={1: 150, 2: 100}, lines=("garp_master_delay 1",)),),
)


@pytest.fixture(scope="module")
def routers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterLab]:
    """Two routers for all tests."""
    with cluster_laboratory(tmp_path_factory.mktemp("vrrp"), VRRP) as made:
        yield made


@pytest.fixture
def lab(routers: ClusterLab) -> ClusterLab:
    """Two routers at rest, the first one holds the address."""
    routers.restore()
    routers.wait_holder(1)
    return routers


def faults(view: View, must: Must, before: int) -> list[str]:
    """The judge's words."""
    return list(judge(view, must, before, 10))


def look(lab: ClusterLab, since_ns: int) -> View:
    """What was seen since then, up to now."""
    until = time.time_ns()
    time.sleep(0.05)
    return lab.answers.view(since_ns, until)


def test_a_failover_is_seen_and_timed(lab: ClusterLab) -> None:
    """The loss of power of the master: nothing answers for Master_Down_Interval, then the other one."""
    since = lab.power_off(1)
    lab.wait_holder(2)
    first = lab.answers.first_answer_ns(since, 1)
    assert first is not None
    # Master_Down_Interval is 3 intervals and 156/256 of one; the last advert may be as old as one already.
    assert 2.6 * ADVERT_S < (first - since) / SECOND_NS < 3.7 * ADVERT_S + 0.3
    seen = look(lab, since)
    assert (seen.last, seen.double_ms, seen.strays) == (frozenset({2}), 0, ())
    assert abs(seen.silent_ms - (first - since) / MS) < 40
    assert not faults(seen, Must.MOVE, 1)
    assert any("moved" in fault for fault in faults(seen, Must.STAY, 1))
    assert any("nobody answered" in fault for fault in faults(seen, Must.STAY, 1))


def test_two_holders_are_seen(lab: ClusterLab) -> None:
    """The address on a second node, for half a second: the overlap is that long, and a fault of every phase."""
    since = time.time_ns()
    lab.space.ip(2, "addr", "add", f"{VIP}/32", "dev", "eth0")
    time.sleep(0.5)
    lab.space.ip(2, "addr", "del", f"{VIP}/32", "dev", "eth0")
    seen = look(lab, since)
    assert 450 < seen.double_ms < 600
    assert 450 < lab.kernel_double_ms(since, time.time_ns()) < 600
    for must in Must:
        assert any("two holders" in fault for fault in faults(seen, must, 1))


def test_a_second_holder_for_a_moment_is_seen(lab: ClusterLab) -> None:
    """A few milliseconds more than the time between two questions are enough."""
    since = time.time_ns()
    lab.space.ip(2, "addr", "add", f"{VIP}/32", "dev", "eth0")
    time.sleep(0.015)
    lab.space.ip(2, "addr", "del", f"{VIP}/32", "dev", "eth0")
    assert look(lab, since).double_ms > 0


def test_who_only_answers_packets_is_seen(lab: ClusterLab) -> None:
    """A node that is silent when asked by ARP, but takes packets sent to its hardware address, is a holder."""
    knob = "/proc/sys/net/ipv4/conf/all/arp_ignore"
    with inside(lab.space.node(2)), open(knob, "w") as ignore:
        ignore.write("1")
    since = time.time_ns()
    lab.space.ip(2, "addr", "add", f"{VIP}/32", "dev", "lo")
    time.sleep(0.3)
    lab.space.ip(2, "addr", "del", f"{VIP}/32", "dev", "lo")
    rounds = lab.answers.rounds(0, since + 100 * MS, since + 250 * MS)
    assert rounds and all(each.arp == {1} and each.echo == {1, 2} for each in rounds)
    assert look(lab, since).double_ms > 200


def test_an_announcement_by_somebody_else_is_seen(lab: ClusterLab) -> None:
    """Gratuitous ARP of a node that does not hold the address draws the traffic all the same."""
    since = time.time_ns()
    mac, vip = lab.space.mac(2), socket.inet_aton(VIP)
    with inside(lab.space.node(2)):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    with sock:
        sock.bind(("eth0", 0))
        sock.send(arp_request(mac, vip, vip))
    time.sleep(0.2)
    seen = look(lab, since)
    assert seen.strays == (2,) and seen.double_ms == 0
    assert any("announced" in fault for fault in faults(seen, Must.STAY, 1))


def test_the_masters_own_announcements_are_not_astray(lab: ClusterLab) -> None:
    """keepalived announces when it takes over, and again a second later."""
    since = lab.stop(1)
    lab.wait_holder(2)
    lab.wait(lambda: len(lab.answers.announced(0, since)) >= 6, 4, "both bursts of announcements")
    assert look(lab, since).strays == ()


@pytest.mark.parametrize("name", ["keepvip-2", "stop-all", "holder-unheard"])
def test_vrrp_fails_where_a_quorum_must_not(lab: ClusterLab, name: str) -> None:
    """Two masters, and not for a moment, in the phase of the fault: scenarios that a quorum has to pass are real ones."""
    stage = Stage(lab, 1, quiet_s=0.5, limit_s=1.5, pause_s=2)
    (scenario,) = named(name)
    scenario.play(stage)
    fault = stage.seen[0]
    print(fault.line())
    assert fault.view.double_ms > 400 and fault.faults


def test_cuts_have_a_direction(lab: ClusterLab) -> None:
    """Only node 2 is deaf, and only to node 1; the client hears both; after the healing everybody hears."""

    def hears(node: int, other: int) -> bool:
        with inside(lab.space.node(node)):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with inside(lab.space.node(other)):
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sock, sender:
            sock.bind((lab.space.address(node), 0))
            sock.settimeout(0.3)
            sender.sendto(b"?", sock.getsockname())
            try:
                return sock.recv(9) == b"?"
            except TimeoutError:
                return False

    assert hears(1, 2) and hears(2, 1)
    lab.cut([(2, 1)])
    assert hears(1, 2) and not hears(2, 1) and hears(2, 3) and hears(1, 3)
    lab.part([1], [2])
    assert not hears(1, 2) and not hears(2, 1)
    lab.heal()
    assert hears(1, 2) and hears(2, 1)


def test_so_many_frames_are_lost_as_was_asked_for(lab: ClusterLab) -> None:
    """Between members only: the client's questions and the answers to them are never lost."""
    lab.lose(20)
    with inside(lab.space.node(2)):
        ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with inside(lab.space.node(1)):
        mouth = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with ear, mouth:
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        ear.bind((lab.space.address(2), 0))
        mac = lab.space.mac(2).hex(":")
        lab.space.ip(1, "neigh", "replace", lab.space.address(2), "lladdr", mac, "dev", "eth0")
        for number in range(2000):
            mouth.sendto(struct.pack("H", number), ear.getsockname())
        ear.setblocking(False)
        heard = 0
        while True:
            try:
                ear.recv(9)
            except BlockingIOError:
                break
            heard += 1
    assert 0.75 < heard / 2000 < 0.85
    assert all(each.nodes for each in lab.answers.rounds(0, time.time_ns() - SECOND_NS // 2))
