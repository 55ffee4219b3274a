"""Reload without a blink: what did not change goes on as if nothing had happened, on the wire and in the kernel."""

import time
from collections.abc import Callable

import pytest
from configs import VIP
from lab import Lab
from life import address_events, count_logged, for_a_while, gaps_ms, reload, router, text
from twins import Twins

pytestmark = [pytest.mark.netns, pytest.mark.alone]

INTERVAL_MS = 100
ONE_AND_A_HALF = 1.5 * INTERVAL_MS
RELOADS = 10
UNICAST = ("unicast_peer {", "    10.77.0.99", "}")
KEPT = "New configuration refused, the running one is kept"


def many(count: int, priority: int = 100, first: int = 1) -> list[str]:
    """Neighbours that send once a second."""
    return [
        router(f"N_{n}", n, priority, (f"10.77.{2 + n // 200}.{n % 200 + 1}/24",), advert_s=1)
        for n in range(first, first + count)
        if n != 51
    ]


def start_watched(lab: Lab, subject: str, config: str) -> int:
    """Start it, wait until the watched one is settled; the time from when on nothing may happen."""
    lab.start(1, subject, config)
    lab.wait(lambda: lab.space.holds(1, VIP), 20, "the address is held")
    lab.wait(lambda: len(lab.capture.adverts(1, vrid=51)) > 15, 20, "adverts")
    return time.time_ns()


def some_more(lab: Lab) -> None:
    """Wait for three more adverts of the watched one."""
    since = time.time_ns()
    lab.wait(lambda: len(lab.capture.adverts(1, since, 51)) > 2, 3, "three more adverts")


def check_undisturbed(lab: Lab, since: int) -> None:
    """No gap, no announcement, no change of role or address of the watched virtual router."""
    gaps = gaps_ms(lab, 51, since)
    print(f"{len(gaps) + 1} adverts, largest gap {max(gaps):.1f} ms")
    assert max(gaps) <= ONE_AND_A_HALF, sorted(gaps)[-5:]
    assert not [f for f in lab.capture.arps(1, since) if f.arp_target == VIP]
    assert not address_events(lab, 1, VIP, since)
    assert not [
        line.text for line in lab.programs[1].log if line.time_ns >= since and "(VI_1) Enter" in line.text
    ]
    assert {f.priority for f in lab.capture.adverts(1, since, 51)} == {100}


def test_unchanged_through_ten_reloads(lab: Lab, subject: str) -> None:
    """The same file ten times in a row, as fast as the daemon takes it."""
    config = text(router(lines=("garp_master_delay 0",)), *many(3))
    since = start_watched(lab, subject, config)
    for _ in range(RELOADS):
        reload(lab, config)
    lab.wait(lambda: time.time_ns() - since > 2_000_000_000, 3, "two seconds")
    check_undisturbed(lab, since)


def test_neighbours_come_change_and_go(lab: Lab, subject: str) -> None:
    """Each reload does something else to the neighbours."""
    watched = router(lines=("garp_master_delay 0",))
    since = start_watched(lab, subject, text(watched, *many(3)))
    for config in (
        text(watched, *many(20)),
        text(watched, *many(20, priority=120)),
        text(*many(5, first=7), watched),
        text(watched),
        text(watched, *many(50)),
        text(watched, *many(50), lines=("vrrp_garp_interval 0.001",)),
        text(watched, *many(1)),
    ):
        reload(lab, config)
        some_more(lab)
    check_undisturbed(lab, since)


def test_unchanged_among_two_hundred(lab: Lab, subject: str) -> None:
    """Reading, sending and comparing a large file is in nobody's way; neither is one change in it."""
    watched = router(lines=("garp_master_delay 0",))
    since = start_watched(lab, subject, text(watched, *many(200)))
    lab.wait(lambda: bool(lab.capture.adverts(1, vrid=200)), 10, "the last one is MASTER")
    since = time.time_ns()
    for turn in range(RELOADS):
        reload(lab, text(watched, *many(200 - turn)))
        some_more(lab)
    check_undisturbed(lab, since)


def test_an_address_moves_to_another_instance(lab: Lab, subject: str) -> None:
    """It is announced for its new holder, and is never gone; back again, too."""
    moving = "10.77.1.60/24"

    def config(*, moved: bool) -> str:
        first, second = (f"{VIP}/24",), ("10.77.1.52/24",)
        if moved:
            return text(router(addresses=first), router("VI_2", 52, addresses=(*second, moving)))
        return text(router(addresses=(*first, moving)), router("VI_2", 52, addresses=second))

    lab.start(1, subject, config(moved=False))
    for address in (VIP, "10.77.1.52", "10.77.1.60"):
        lab.wait(lambda address=address: lab.space.holds(1, address), 20, address)  # type: ignore[misc]
    since = time.time_ns()
    for turn in range(4):
        reload(lab, config(moved=turn % 2 == 0))
        some_more(lab)
    assert not [event for event in lab.watches[1].events if not event.added and event.time_ns >= since]
    assert max(gaps_ms(lab, 51, since) + gaps_ms(lab, 52, since)) <= ONE_AND_A_HALF
    assert lab.space.holds(1, "10.77.1.60")
    counts = {f.vrrp[3] for f in lab.capture.adverts(1, since, 52)}
    assert counts == {1, 2}


def said(lab: Lab) -> list[str]:
    """Role changes in the log, without the date, router by router.

    Which of two whose timers end in the same microsecond comes first is chance there.
    """
    lines = [line.text.split(": ", 1)[1] for line in lab.programs[1].log if " STATE" in line.text]
    return sorted(lines, key=lambda line: line.split()[0])


CHANGES: dict[str, tuple[str, str]] = {
    name: (router(f"V{at}", at, 100, (f"10.77.1.{at}/32",), advert_s=0.3), after)
    for name, at, after in (
        ("nothing", 1, router("V1", 1, 100, ("10.77.1.1/32",), advert_s=0.3)),
        ("priority", 2, router("V2", 2, 140, ("10.77.1.2/32",), advert_s=0.3)),
        ("version", 3, router("V3", 3, 100, ("10.77.1.3/32",), advert_s=1, version=2)),
        ("name", 4, router("other", 4, 100, ("10.77.1.4/32",), advert_s=0.3)),
        ("vrid", 5, router("V5", 105, 100, ("10.77.1.5/32",), advert_s=0.3)),
        ("addresses", 6, router("V6", 6, 100, ("10.77.1.106/32", "10.77.1.6/32"), advert_s=0.3)),
        ("other addresses", 7, router("V7", 7, 100, ("10.77.1.107/32",), advert_s=0.3)),
        ("removed", 20, ""),
        ("owner", 9, router("V9", 9, 255, ("10.77.1.9/32",), advert_s=0.3)),
        ("interval", 10, router("V10", 10, 100, ("10.77.1.10/32",), advert_s=0.6)),
        ("slower start", 11, router("V11", 11, 100, ("10.77.1.11/32",), ("nopreempt",), advert_s=0.3)),
        ("unicast", 12, router("V12", 12, 100, ("10.77.1.12/32",), UNICAST, advert_s=0.3)),
        ("new", 13, router("V13", 13, 100, ("10.77.1.13/32",), advert_s=0.3)),
    )
}


def kinds(lab: Lab, since: int) -> dict[int, list[tuple[int, ...]]]:
    """For each virtual router: (version, priority, addresses, interval) of its last advert, and resignations.

    keepalived sends one more advert of the old kind while it reads the new file.
    """
    found: dict[int, list[tuple[int, ...]]] = {}
    for frame in lab.capture.adverts(1, since):
        old = found.get(frame.vrid, [])
        kind = (frame.vrrp[0], frame.priority, frame.vrrp[3], *frame.vrrp[4:6])
        found[frame.vrid] = [*(one for one in old if not one[1]), kind]
    return found


def test_changes_as_there(twins: Twins) -> None:
    """What stays MASTER and what begins anew: the same roles, addresses and adverts, whatever was changed."""
    old = [before for name, (before, _) in CHANGES.items() if name != "new"]
    twins.start(lambda _: text(*old))
    twins.wait(lambda lab: lab.space.holds(1, "10.77.1.12"), 20, "all are MASTER")
    twins.wait(lambda lab: len(lab.space.addresses(1)) == len(old) + 1, 2, "all addresses are there")
    since = time.time_ns()
    for lab, _ in twins.both:
        reload(lab, text(*(after for _, after in CHANGES.values())))
    for vrid in (105, 13):
        twins.wait(lambda lab, vrid=vrid: bool(lab.capture.adverts(1, since, vrid)), 4, str(vrid))  # type: ignore[misc]
    for_a_while(0.6)
    twins.same(lambda lab: kinds(lab, since))
    twins.same(lambda lab: sorted(lab.space.addresses(1)))
    twins.same(said)


def test_an_empty_file_ends_every_instance(twins: Twins) -> None:
    """They resign and give up their addresses; the daemon goes on, and takes the next file."""
    config = text(router(advert_s=0.3), router("VI_2", 52, addresses=("10.77.1.52/32",), advert_s=0.3))
    twins.start(lambda _: config)
    twins.wait(lambda lab: lab.space.holds(1, VIP) and lab.space.holds(1, "10.77.1.52"), 20, "held")
    since = time.time_ns()
    for lab, _ in twins.both:
        reload(lab, "")
    twins.wait(lambda lab: len(lab.space.addresses(1)) == 1, 3, "no address is left")
    twins.same(lambda lab: kinds(lab, since))
    for lab, _ in twins.both:
        reload(lab, config)
    twins.wait(lambda lab: lab.space.holds(1, VIP) and lab.space.holds(1, "10.77.1.52"), 20, "held again")


def refused(config: str, words: str) -> Callable[[Lab, str], None]:
    """A test that this file changes nothing."""

    def check(lab: Lab, subject: str) -> None:
        good = text(router(lines=("garp_master_delay 0",)))
        since = start_watched(lab, subject, good)
        program = lab.programs[1]
        reload(lab, config, said=words)
        some_more(lab)
        check_undisturbed(lab, since)
        before = count_logged(program, "Reload complete")
        reload(lab, good)
        assert count_logged(program, "Reload complete") == before + 1
        check_undisturbed(lab, since)

    return check


@pytest.mark.parametrize(
    "config",
    [
        text(router(), router("VI_2", 52).replace("eth0", "nosuch0")),
        text(router(), router("VI_2", 51)),
        text(router(priority=50), router("VI_2", 52).replace("virtual_router_id 52", "")),
    ],
    ids=["interface", "twice", "no-vrid"],
)
def test_a_bad_file_is_refused_whole(lab: Lab, subject: str, config: str) -> None:
    """keepalived ends itself here and leaves its addresses on; we go on with what we have, and say so."""
    refused(config, KEPT)(lab, subject)
