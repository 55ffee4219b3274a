"""What happens behind the daemon's back: it is stopped and goes on, its addresses and devices are taken away."""

import time
from collections.abc import Sequence

import pytest
from capture import AddressEvent
from configs import VIP
from lab import SECOND_NS, Lab
from life import MS, address_events, count_logged, for_a_while, go_on, router, stop, text, wait_advert

pytestmark = [pytest.mark.netns, pytest.mark.alone]

INTERVAL_S = 0.1
FULL_S = 3 * INTERVAL_S + 2 * INTERVAL_S


def settle(lab: Lab) -> None:
    """Ours twice; node 1 is the better one, and MASTER."""
    lab.start(2, "ours", text(router(priority=100)))
    lab.start(1, "ours", text(router(priority=200)))
    lab.wait(lambda: lab.masters(within_s=0.5) == {1} and lab.space.holds(1, VIP), 20, "node 1 is MASTER")
    lab.wait(lambda: not lab.space.holds(2, VIP), 2, "node 2 holds nothing")


def double_ms(lab: Lab, since: int) -> float:
    """How long both nodes held the address together since then, by the kernel's own events."""
    events: list[tuple[int, int, AddressEvent]] = []
    for node in (1, 2):
        events += [(event.time_ns, node, event) for event in address_events(lab, node, VIP)]
    held: set[int] = set()
    total = last = 0
    for at, node, event in sorted(events, key=lambda one: one[:2]):
        if len(held) == 2:
            total += max(0, at - max(last, since))
        held = held | {node} if event.added else held - {node}
        last = at
    if len(held) == 2:
        total += time.time_ns() - max(last, since)
    return total / MS


def test_a_master_that_was_stopped_gives_way_at_once(lab: Lab) -> None:
    """Nothing it says makes it to the wire before it has listened; the other one is never disturbed."""
    settle(lab)
    for pause_s in (1.0, 3.0):
        pids = stop(lab.programs[1])
        lab.wait(lambda: lab.space.holds(2, VIP), 3, "node 2 takes over")
        for_a_while(pause_s)
        woken = go_on(pids)
        lab.wait_logged(1, "did not run for", since_ns=woken)
        lab.wait(lambda: not lab.space.holds(1, VIP), 1, "its address is off")
        both = double_ms(lab, woken)
        first = wait_advert(lab, 1, 200, woken)
        listened = (first.time_ns - woken) / SECOND_NS
        print(
            f"both held it for {both:.1f} ms after the pause; the first advert came {listened:.3f} s after it"
        )
        assert both < 100
        assert listened >= 3 * INTERVAL_S
        assert not [f for f in lab.capture.arps(1, woken) if f.time_ns < first.time_ns]
        assert not [f for f in lab.capture.adverts(1, woken) if f.time_ns < first.time_ns]
        lab.wait(
            lambda: lab.masters(within_s=0.5) == {1} and lab.space.holds(1, VIP), 4, "it is MASTER again"
        )
        assert double_ms(lab, woken) < 200


def test_a_pause_within_a_long_interval(lab: Lab) -> None:
    """It wakes when it may go on, not when the rest of its wait is over."""
    lab.start(1, "ours", text(router(advert_s=1)))
    lab.wait(lambda: lab.space.holds(1, VIP), 20, "MASTER")
    pids = stop(lab.programs[1])
    for_a_while(3)
    woken = go_on(pids)
    lab.wait(lambda: not lab.space.holds(1, VIP), 0.5, "its address is off")
    lab.wait_logged(1, "did not run for", 1, woken)


def test_a_short_pause_changes_nothing(lab: Lab) -> None:
    """Shorter than half of the master down interval: the next advert comes late, that is all."""
    lab.start(1, "ours", text(router(advert_s=1)))
    lab.wait(lambda: lab.space.holds(1, VIP), 20, "MASTER")
    since = time.time_ns()
    pids = stop(lab.programs[1])
    for_a_while(1.2)
    woken = go_on(pids)
    assert (wait_advert(lab, 1, 100, woken).time_ns - woken) / SECOND_NS < 0.5
    for_a_while(0.5)
    assert not address_events(lab, 1, VIP, since)
    assert not lab.programs[1].logged("did not run", since)


def test_a_stopped_backup_claims_nothing_when_it_wakes(lab: Lab) -> None:
    """The adverts of that time are lost or old: it starts its timer anew."""
    settle(lab)
    pids = stop(lab.programs[2])
    for_a_while(2)
    woken = go_on(pids)
    for_a_while(1.5)
    assert not lab.capture.adverts(2, woken)
    assert not lab.capture.arps(2, woken)
    assert not address_events(lab, 2, VIP, woken)
    assert lab.masters(within_s=0.5) == {1}


def test_both_are_stopped(lab: Lab) -> None:
    """A whole cluster that was frozen: both listen, then the better one has it, and only it."""
    settle(lab)
    pids = stop(lab.programs[1]) + stop(lab.programs[2])
    for_a_while(2)
    woken = go_on(pids)
    lab.wait(lambda: not lab.space.holds(1, VIP), 1, "it gave way")
    lab.wait(lambda: lab.masters(within_s=0.3) == {1} and lab.space.holds(1, VIP), 4, "node 1 again")
    assert not lab.capture.adverts(2, woken)
    assert double_ms(lab, woken) == 0


# -- others take things away -------------------------------------------------------


def take(lab: Lab, *words: str) -> int:
    """`ip` on node 1, and the time just before."""
    now = time.time_ns()
    lab.space.ip(1, *words)
    return now


def returned_ms(lab: Lab, address: str, since: int) -> float | None:
    """How long the address was away."""
    events = address_events(lab, 1, address, since)
    gone = [event.time_ns for event in events if not event.added]
    back = [event.time_ns for event in events if event.added]
    return (back[0] - gone[0]) / MS if gone and back else None


def wait_back(lab: Lab, address: str, since: int, limit_s: float = 2) -> float:
    """Until it is there again; how long it was away, in milliseconds."""
    lab.wait(lambda: returned_ms(lab, address, since) is not None, limit_s, f"{address} is back")
    found = returned_ms(lab, address, since)
    assert found is not None
    return found


def test_an_address_taken_away_is_put_back(lab: Lab) -> None:
    """At once, and announced again; nobody hears of priority 0; who takes it again and again must wait."""
    lab.start(1, "ours", text(router(addresses=(f"{VIP}/24", "10.77.1.52/32"))))
    lab.wait(lambda: lab.space.holds(1, "10.77.1.52"), 20, "MASTER")
    # The line about it is written after the advert, and may be read after the addresses are seen.
    lab.wait_logged(1, "Entering MASTER STATE")
    begin = time.time_ns()
    away: list[float] = []
    for _ in range(3):
        since = take(lab, "addr", "del", f"{VIP}/24", "dev", "eth0")
        away.append(wait_back(lab, VIP, since, 6))
    print("away for ms:", [round(one, 1) for one in away])
    assert away[0] < 100
    assert 700 < away[1] < 1500
    assert 1700 < away[2] < 2600
    since = take(lab, "addr", "flush", "dev", "eth0", "to", "10.77.1.52/32")
    assert wait_back(lab, "10.77.1.52", since) < 100, "the other address has a patience of its own"
    announced = [frame.time_ns for frame in lab.capture.arps(1, begin) if frame.arp_target == VIP]
    assert len(announced) >= 3
    assert {frame.priority for frame in lab.capture.adverts(1, begin)} == {100}
    assert not lab.programs[1].logged("Entering", begin)
    lab.wait(lambda: count_logged(lab.programs[1], "removed from eth0") == 4, 2, "each loss is logged")


def test_all_addresses_are_flushed(lab: Lab) -> None:
    """What a network manager does: the instance loses its own address too, is in FAULT, and comes back."""
    lab.start(1, "ours", text(router()))
    lab.wait(lambda: lab.space.holds(1, VIP), 20, "MASTER")
    since = take(lab, "addr", "flush", "dev", "eth0")
    lab.wait_logged(1, "Entering FAULT STATE", since_ns=since)
    for_a_while(0.3)
    assert not lab.space.holds(1, VIP), "an instance in FAULT holds nothing"
    back = take(lab, "addr", "add", "10.77.0.1/16", "dev", "eth0")
    lab.wait_logged(1, "Entering BACKUP STATE", since_ns=back)
    lab.wait(lambda: lab.space.holds(1, VIP), 3, "MASTER again")
    assert (wait_advert(lab, 1, 100, back).time_ns - back) / SECOND_NS >= 3 * INTERVAL_S


def test_routes_and_rules_taken_away_are_put_back(lab: Lab) -> None:
    lines = (
        *("virtual_routes {", "    10.99.0.0/16 via 10.77.0.9 dev eth0", "}"),
        *("virtual_rules {", "    from 10.99.0.0/16 table 77 priority 1077", "}"),
    )
    lab.start(1, "ours", text(router(lines=lines)))
    lab.wait(lambda: "10.99.0.0" in lab.space.ip(1, "rule"), 20, "the rule is there")
    since = take(lab, "route", "del", "10.99.0.0/16")
    lab.wait(lambda: "10.99.0.0" in lab.space.ip(1, "route"), 1, "the route is back")
    take(lab, "rule", "del", "priority", "1077")
    lab.wait(lambda: "10.99.0.0" in lab.space.ip(1, "rule"), 1, "the rule is back")
    wait_advert(lab, 1, 100, time.time_ns())
    assert {frame.priority for frame in lab.capture.adverts(1, since)} == {100}


DEVICE = "vrrp.51"


def device(lab: Lab) -> str:
    """`ip link` of the virtual MAC device; empty if there is none."""
    found = lab.space.ip(1, "-o", "link", "show", "type", "macvlan")
    return found if DEVICE in found else ""


def on_device(lab: Lab) -> bool:
    return bool(device(lab)) and VIP in lab.space.ip(1, "addr", "show", "dev", DEVICE)


@pytest.mark.parametrize("lines", [(), ("vmac_xmit_base",)], ids=["vmac", "base"])
def test_a_virtual_mac_device_is_deleted(lab: Lab, lines: Sequence[str]) -> None:
    """FAULT, the device is made again, and everything goes on from BACKUP."""
    lab.start(1, "ours", text(router(lines=("use_vmac", *lines))))
    lab.wait(lambda: on_device(lab), 20, "MASTER")
    for _ in range(2):
        since = take(lab, "link", "del", DEVICE)
        lab.wait_logged(1, "Entering FAULT STATE", since_ns=since)
        lab.wait_logged(1, "Entering BACKUP STATE", since_ns=since)
        lab.wait(lambda: on_device(lab), 4, "MASTER with a new device")
        mac = wait_advert(lab, 1, 100, time.time_ns()).raw[6:12]
        assert mac == (lab.space.mac(1) if lines else bytes.fromhex("00005e000133"))


def test_an_interface_goes_and_comes(lab: Lab) -> None:
    """With everything on it: FAULT without it, all in place when it is there again."""
    name = lab.space.node(1)
    peer = f"x{lab.space.base[-6:]}"[:15]

    def plug() -> None:
        lab.space.ip(1, "link", "add", "eth1", "type", "veth", "peer", "name", peer)
        lab.space.ip(1, "link", "set", peer, "up")
        lab.space.ip(1, "addr", "add", "10.78.0.1/16", "dev", "eth1")
        lab.space.ip(1, "link", "set", "eth1", "up")

    plug()
    plain = router(addresses=("10.78.1.1/24", "10.78.1.2/32")).replace("eth0", "eth1")
    mac = router("VI_2", 52, addresses=("10.78.1.3/32",), lines=("use_vmac",)).replace("eth0", "eth1")
    lab.start(1, "ours", text(plain, mac, lines=("dynamic_interfaces",)))

    def held() -> int:
        return lab.space.ip(1, "-o", "addr").count(" 10.78.1.")

    lab.wait(lambda: held() == 3, 20, f"all held in {name}")
    for _ in range(3):
        since = take(lab, "link", "del", "eth1")
        lab.wait_logged(1, "(VI_1) Entering FAULT STATE", since_ns=since)
        lab.wait_logged(1, "(VI_2) Entering FAULT STATE", since_ns=since)
        assert held() == 0
        plug()
        lab.wait(lambda: held() == 3, 5, "all held again")
        lab.wait_logged(1, "(VI_2) Entering MASTER STATE", since_ns=since)
    assert lab.programs[1].alive()
