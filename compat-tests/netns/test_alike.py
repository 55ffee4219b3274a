"""The same file given to the real program and to the subject, in two laboratories at once.

Nodes have the same names, addresses and hardware addresses in both, so whatever
is put on the wire or into the kernel can be compared byte by byte.  Left aside
are the IP id (a counter that starts at 1 in both, but runs with time) and the
header checksum that covers it.
"""

import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from configs import VIP, Instance, script, tracking, whole
from lab import SECOND_NS, Lab, wait
from twins import Twins, arp_bursts, first_adverts, ip_ids, lines_of, log_lines, recorder, scripts_done

pytestmark = pytest.mark.netns

KINDS = (
    Instance(priority=255, vrid=1, name="owner", addresses=("10.77.1.1/24",), state="MASTER"),
    Instance(priority=1, vrid=2, name="no_authentication", password=None, addresses=("10.77.1.2",)),
    Instance(priority=200, vrid=3, name="long_password", password="123456789", addresses=("10.77.1.3",)),
    Instance(vrid=4, name="many", addresses=tuple(f"10.77.4.{n}/32" for n in range(1, 21))),
    Instance(vrid=5, name="excluded", addresses=("10.77.5.1",), excluded=("10.77.5.2", "10.77.5.3")),
    Instance(vrid=255, name="source", addresses=("10.77.6.1",), lines=("mcast_src_ip 10.77.0.77",)),
    Instance(vrid=7, name="slow", advert_int=2, addresses=("10.77.7.1",)),
)
DRESSED = (
    "10.77.1.1/24 dev eth0 label eth0:1",
    "10.77.1.2/24 brd 10.77.1.255",
    "10.77.1.3/24 brd +",
    "10.77.1.4/32 scope link",
    "10.78.1.5/16 brd -",
    "10.78.1.6 scope host",
    "10.79.1.7/24 scope site dev eth0 label eth0:seven",
)


def test_adverts_byte_for_byte(twins: Twins) -> None:
    """Passwords, address lists, sources, owner: the bytes are those of the real program."""
    twins.start(lambda _: whole(*KINDS))
    twins.wait(lambda lab: set(first_adverts(lab)) == {k.vrid for k in KINDS}, 10, "all advertise")
    twins.wait(lambda lab: all(len(v) == 2 for v in first_adverts(lab).values()), 6, "all advertise twice")
    twins.same(first_adverts)
    twins.same(ip_ids)
    twins.same(lambda lab: sorted(lab.space.addresses(1)))


def test_own_multicast_group(twins: Twins) -> None:
    """vrrp_mcast_group4 changes destination and hardware address; group and TTL are on the wire."""
    text = whole(Instance(priority=255, state="MASTER"), lines=("vrrp_mcast_group4 224.0.0.99",))
    twins.start(lambda _: text)
    twins.wait(lambda lab: len(lab.capture.adverts()) >= 2, 6, "two adverts")
    twins.same(first_adverts)
    assert twins.other.capture.adverts()[0].ip[16:20] == bytes((224, 0, 0, 99))


def test_arp_bursts(twins: Twins) -> None:
    """Five of each address, excluded ones last in each round, and once more garp_master_delay later."""
    lines = ("garp_master_delay 2",)
    one = Instance(
        priority=255,
        state="MASTER",
        addresses=("10.77.1.1", "10.77.1.2"),
        excluded=("10.77.1.3",),
        lines=lines,
    )
    twins.start(lambda _: whole(one))
    twins.wait(lambda lab: len(lab.capture.arps(1)) >= 30, 8, "two bursts")
    time.sleep(1)
    bursts = twins.same(arp_bursts)
    assert isinstance(bursts, list) and [len(b) for b in bursts] == [15, 15]

    def delay(lab: Lab) -> float:
        return round((lab.capture.arps(1)[15].time_ns - lab.capture.arps(1)[0].time_ns) / SECOND_NS, 1)

    assert delay(twins.other) == delay(twins.real) == 2.0


def test_addresses_dressed_alike(twins: Twins) -> None:
    """Label, scope, broadcast, prefix as `ip` shows them; all gone after the stop."""
    before = twins.same(lambda lab: lab.space.addresses(1))
    twins.start(lambda _: whole(Instance(priority=255, state="MASTER", addresses=DRESSED)))
    twins.wait(lambda lab: len(lab.space.addresses(1)) == 1 + len(DRESSED), 6, "all addresses are on")
    twins.same(lambda lab: lab.space.addresses(1))
    for lab, _ in twins.both:
        lab.programs[1].send(signal.SIGTERM)
    assert twins.same(lambda lab: lab.programs[1].wait_end()) == 0
    assert twins.same(lambda lab: lab.space.addresses(1)) == before


def test_leftovers_are_cleared_at_start(twins: Twins) -> None:
    """Addresses of a crashed run are taken off by a BACKUP at once, long before it may be MASTER."""
    for lab, _ in twins.both:
        for address in (f"{VIP}/24", "10.77.1.52/32"):
            lab.space.ip(1, "addr", "add", address, "dev", "eth0")
    twins.start(lambda _: whole(Instance(excluded=("10.77.1.52/32",))))
    twins.wait(lambda lab: len(lab.space.addresses(1)) == 1, 2, "leftovers are gone")
    assert all(not lab.capture.adverts() for lab, _ in twins.both)


def priorities(lab: Lab, since_ns: int) -> list[int]:
    """Priorities of the first three adverts from `since_ns` on."""
    return [f.priority for f in lab.capture.adverts(1, since_ns)[:3]]


def test_address_removed_behind_our_back(twins: Twins) -> None:
    """keepalived resigns and comes back after its skew time; ours stays MASTER and puts the address back."""
    twins.start(lambda _: whole(Instance(addresses=(f"{VIP}/24", "10.77.1.52/24"))))
    twins.wait(lambda lab: lab.space.holds(1, VIP), 6, "the address is on")
    since: dict[int, int] = {}
    for lab, _ in twins.both:
        since[id(lab)] = time.time_ns()
        lab.space.ip(1, "addr", "del", f"{VIP}/24", "dev", "eth0")
    twins.wait(lambda lab: len(lab.capture.adverts(1, since[id(lab)])) > 3, 8, "three more adverts")
    theirs, ours = (priorities(lab, since[id(lab)]) for lab, _ in twins.both)
    assert (theirs[:1], ours[:3]) == ([0], [100] * 3)
    twins.wait(lambda lab: lab.space.holds(1, VIP), 2, "the address is on again")
    # Which of the two is the secondary one depends on which came back first.
    twins.same(lambda lab: sorted(one.replace(" secondary", "") for one in lab.space.addresses(1)))
    left, stayed = (lab.programs[1].logged("Entering BACKUP STATE", since[id(lab)]) for lab, _ in twins.both)
    assert (left, stayed) == (True, False)


def test_notify_line_by_line(twins: Twins, tmp_path: Path) -> None:
    """Start, MASTER, FAULT by a script, recovery, stop: same scripts, same arguments, same times over."""
    flags = {id(lab): lab.directory / "well" for lab, _ in twins.both}
    steps: Sequence[tuple[str, int]] = (
        ("BACKUP", 2),
        ("MASTER", 4),
        ("FAULT", 6),
        ("BACKUP", 8),
        ("MASTER", 10),
    )

    def config(lab: Lab) -> str:
        flags[id(lab)].touch()
        told, _ = recorder(lab)
        check = script("well", f"/usr/bin/test -e {flags[id(lab)]}", interval=1)
        return whole(Instance(priority=200, notify=str(told), lines=tracking("well")), before=check)

    twins.start(config)
    for state, count in steps:
        if state == "FAULT":
            for lab, _ in twins.both:
                flags[id(lab)].unlink()
        twins.wait(lambda lab, n=count: scripts_done(lab) >= n, 8, f"told of {state}")  # type: ignore[misc]
        for lab, _ in twins.both:
            flags[id(lab)].touch()
        twins.same(lines_of)
    for lab, _ in twins.both:
        lab.programs[1].send(signal.SIGTERM)
        lab.programs[1].wait_end()
    found = twins.same(lines_of)
    assert isinstance(found, list)
    assert [line for line in found if "STOP" in line] == ["INSTANCE VI_1 STOP 200"]
    assert "own-fault VI_1" in found
    twins.same(lambda lab: lines_of(lab, ".held"))


def test_sync_group_in_fault(twins: Twins) -> None:
    """One member's failing script takes the whole group; notifies of group and members, and the log."""

    def config(lab: Lab) -> str:
        flag = lab.directory / "well"
        flag.touch()
        told = str(recorder(lab)[0])
        check = script("well", f"/usr/bin/test -e {flag}", interval=1)
        group = f'vrrp_sync_group G1 {{\n group {{\n  A\n  B\n }}\n notify "{told}"\n}}\n'
        first = Instance(priority=200, vrid=1, name="A", notify=told, lines=tracking("well"))
        second = Instance(priority=200, vrid=2, name="B", addresses=("10.77.1.52/24",), notify=told)
        return whole(first, second, before=check + group)

    twins.start(config)
    twins.wait(lambda lab: "GROUP G1 MASTER 0" in lines_of(lab), 8, "the group is MASTER")
    for lab, _ in twins.both:
        (lab.directory / "well").unlink()
    twins.wait(lambda lab: "GROUP G1 FAULT 0" in lines_of(lab), 8, "the group is in FAULT")
    twins.wait(lambda lab: scripts_done(lab) == 15, 3, "all scripts ran")
    twins.same(lines_of)
    twins.same(lambda lab: sorted(f.vrid for f in lab.capture.adverts(1) if f.priority == 0))
    twins.same(lambda lab: log_lines(lab, "VRRP_Group("))
    twins.same(lambda lab: sorted(set(log_lines(lab, "(A) Entering", "(B) Entering"))))


def test_log_lines_that_people_grep(twins: Twins) -> None:
    """From start to stop: the lines of the instance, in the same order with the same words."""
    twins.start(lambda _: whole(Instance(priority=200)))
    twins.wait(lambda lab: lab.space.holds(1, VIP), 6, "MASTER")
    time.sleep(0.5)
    for lab, _ in twins.both:
        lab.programs[1].send(signal.SIGTERM)
        lab.programs[1].wait_end()
    time.sleep(0.1)
    twins.same(lambda lab: log_lines(lab, "(VI_1)", "Sending gratuitous ARP"))
    twins.same(lambda lab: log_lines(lab, "Stopping"))


def test_interface_comes_later(twins: Twins) -> None:
    """With dynamic_interfaces an instance waits in FAULT for its interface, then elects as usual."""
    text = whole(Instance(priority=200), lines=("dynamic_interfaces",)).replace("eth0", "eth1")
    twins.start(lambda _: text)
    twins.wait(lambda lab: bool(log_lines(lab, "(VI_1)", "Startup complete")), 3, "it has started")
    time.sleep(0.5)
    for lab, _ in twins.both:
        assert lab.programs[1].alive() and not lab.capture.adverts(), lab.report()
        for words in ("link add eth1 type veth peer name eth9", "addr add 10.78.0.1/16 dev eth1",
                      "link set eth9 up", "link set eth1 up"):  # fmt: skip
            lab.space.ip(1, *words.split())

    def on_eth1(lab: Lab) -> bool:
        return f" {VIP}/24 " in lab.space.ip(1, "-o", "addr", "show", "dev", "eth1")

    twins.wait(on_eth1, 8, "the address is on eth1")
    twins.same(lambda lab: log_lines(lab, "(VI_1) Entering"))


def test_order_at_becoming_master(lab: Lab, subject: str) -> None:
    """Advert, then addresses, then gratuitous ARP, then notify (60 addresses make the order visible)."""
    told, file = recorder(lab)
    many = tuple(f"10.77.1.{n}/32" for n in range(1, 61))
    lab.start(1, subject, whole(Instance(priority=200, addresses=many, notify=str(told))))
    lab.wait(lambda: len(lab.capture.arps(1)) >= 300, 8, "all ARP frames")
    lab.wait(lambda: scripts_done(lab) == 4, 4, "two scripts for BACKUP and two for MASTER")
    advert, arp = lab.capture.adverts(1)[0].time_ns, lab.capture.arps(1)[0].time_ns
    added = [e.time_ns for e in lab.watches[1].events if e.added]
    assert len(added) == 60
    # Events carry the time of reading; a few milliseconds of this test's own delay are allowed.
    assert advert < added[0] <= added[-1] < arp + 5_000_000, lab.report()
    notified = sorted(int(line) for line in Path(f"{file}.times").read_text().split())[-1]
    assert notified > lab.capture.arps(1)[299].time_ns
    held = [line for line in lines_of(lab, ".held") if "MASTER" in line or "own-master" in line]
    assert held and all(line.endswith(" 60") for line in held), held
    wait(lambda: lab.space.holds(1, "10.77.1.60"), 1, "addresses stay")
