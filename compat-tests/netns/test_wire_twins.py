"""One file, two programs, the same bytes on the wire: adverts, ARP and neighbour advertisements of every variant.

Whatever leaves the node is compared whole: Ethernet addresses, headers, IP ids,
AH sequence numbers and digests, checksums.  Left aside is the flow label of
IPv6, which each kernel draws for itself; and where the number of adverts before
a frame depends on time, what counts them (IP id, AH sequence number) with what
covers the counter (header checksum, AH digest).
"""

import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from capture import Frame
from lab import SECOND_NS, Lab, laboratory
from space import inside, run
from twins import Twins
from variants import VARIANTS, Variant, file, own

pytestmark = [pytest.mark.netns, pytest.mark.timeout(60)]

ME, PEERS = 1, (8, 9)
PRIORITY = 200
DRESSED = (
    Variant("source", 30, lines=("mcast_src_ip 10.77.0.77",)),
    Variant("ttl", 31, unicast=True, lines=("unicast_ttl 7",)),
    Variant("ttl_ipv6", 32, version=3, family=6, unicast=True, lines=("unicast_ttl 33",)),
    Variant("group", 33, version=3, lines=("mcast_dst_ip 224.0.0.99",)),
    Variant("excluded", 34, lines=("virtual_ipaddress_excluded {", "    10.77.34.9", "    fd77::34", "}")),
    Variant("one_burst", 35, lines=("garp_master_repeat 2",)),
    Variant("own_mac", 36, version=3, lines=("use_vmac own.36 02:77:00:00:00:36",)),
    Variant("vmac_two", 37, version=3, lines=("use_vmac",), address_count=5),
)
ALL = (*VARIANTS, *DRESSED)
PLAIN = {v.vrid: v for v in ALL if not v.has_ah and v.vrid not in (10, 30)}


def introduce(lab: Lab) -> None:
    """Tell the node where its peers are, which do not exist."""
    for peer in PEERS:
        for family in (4, 6):
            mac = f"02:00:00:00:00:{peer:02x}"
            lab.space.ip(ME, "neigh", "replace", own(peer, family), "lladdr", mac, "dev", "eth0")


@pytest.fixture
def twins(tmp_path: Path, subject: str) -> Iterator[Twins]:
    """Two laboratories of one node that speaks both families, forwards IPv6, and knows where its peers are."""
    with (
        laboratory(tmp_path / "real", nodes=1, ipv6=True) as real,
        laboratory(tmp_path / "other", nodes=1, ipv6=True) as other,
    ):
        for lab in (real, other):
            with inside(lab.space.node(ME)):
                Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")
            introduce(lab)
        yield Twins(real, other, subject)


def unlabelled(frame: Frame) -> str:
    """The frame, without the flow label of IPv6."""
    raw = frame.raw
    return (raw[:15] + bytes((raw[15] & 0xF0, 0, 0)) + raw[18:] if frame.is_ipv6 else raw).hex()


def uncounted(frame: Frame) -> str:
    """The frame without what counts adverts and what covers the counters."""
    if frame.is_ipv6:
        return unlabelled(frame)
    raw = bytearray(frame.raw)
    raw[18:20] = raw[24:26] = b"\0\0"
    if raw[23] == 51:
        raw[34 + 8 : 34 + 24] = bytes(16)
    return raw.hex()


def destination(frame: Frame) -> str:
    """Where an advert goes."""
    packed = frame.ip[24:40] if frame.is_ipv6 else frame.ip[16:20]
    return str(ip_address(packed))


def adverts(lab: Lab, count: int = 3) -> dict[tuple[int, str], list[str]]:
    """The first adverts by virtual router and destination."""
    found: dict[tuple[int, str], list[str]] = {}
    for frame in lab.capture.adverts(ME):
        found.setdefault((frame.vrid, destination(frame)), []).append(unlabelled(frame))
    return {key: frames[:count] for key, frames in sorted(found.items())}


def announced(frame: Frame) -> str:
    """The address that a gratuitous ARP frame or a neighbour advertisement is about."""
    return str(ip_address(frame.raw[62:78])) if frame.is_ipv6 else frame.arp_target


def announcements(lab: Lab, since_ns: int = 0) -> dict[str, list[str]]:
    """ARP frames and neighbour advertisements by address announced, in their order."""
    found: dict[str, list[str]] = {}
    for frame in [*lab.capture.arps(ME, since_ns), *lab.capture.neighbour_adverts(ME, since_ns)]:
        found.setdefault(announced(frame), []).append(unlabelled(frame))
    return dict(sorted(found.items()))


def order(lab: Lab, vrid: int) -> list[str]:
    """The last parts of the addresses of one virtual router in the order of their announcements."""
    start = f"10.77.{vrid}."
    return [f.arp_target for f in lab.capture.arps(ME) if f.arp_target.startswith(start)]


def flap(lab: Lab) -> int:
    """Take the node's link away and give it back, with its addresses; the time just before the return."""
    lab.space.ip(ME, "link", "set", "eth0", "down")
    names = [f"({variant.name}) Entering FAULT STATE" for variant in ALL]
    lab.wait(lambda: all(lab.programs[ME].logged(name) for name in names), 3, "everything is in FAULT")
    time.sleep(0.2)
    now = time.time_ns()
    lab.space.ip(ME, "link", "set", "eth0", "up")
    for address in ("fe80::1/64", "fd77::1/64"):
        # The kernel drops IPv6 addresses with the link, and whatever it knew of neighbours.
        lab.space.ip(ME, "addr", "add", address, "dev", "eth0", "nodad")
    introduce(lab)
    return now


def first_after(lab: Lab, since_ns: int) -> dict[tuple[int, str], str]:
    """The first advert after a moment by virtual router and destination, without counters."""
    found: dict[tuple[int, str], str] = {}
    for frame in lab.capture.adverts(ME, since_ns):
        found.setdefault((frame.vrid, destination(frame)), uncounted(frame))
    return dict(sorted(found.items()))


def resignations(lab: Lab, since_ns: int) -> dict[tuple[int, str], list[str]]:
    """Adverts of priority 0 by virtual router and destination."""
    found: dict[tuple[int, str], list[str]] = {}
    for frame in lab.capture.adverts(ME, since_ns):
        if not frame.priority:
            found.setdefault((frame.vrid, destination(frame)), []).append(uncounted(frame))
    return dict(sorted(found.items()))


def expected_announcements() -> int:
    """Two bursts of each address, and of the two that are excluded."""
    rounds = {35: 4}
    return sum(v.address_count * rounds.get(v.vrid, 10) for v in ALL) + 20


def test_every_frame_of_a_life(twins: Twins) -> None:
    """Three adverts of each, two bursts of announcements; the same after a loss of the link; the adverts that resign."""
    twins.start(lambda _: file(ME, PEERS, PRIORITY, ALL))
    routers = sum(2 if variant.unicast else 1 for variant in ALL)

    def all_said(lab: Lab) -> bool:
        told = sum(len(frames) for frames in announcements(lab).values())
        return told >= expected_announcements() and [len(f) for f in adverts(lab).values()] == [3] * routers

    twins.wait(all_said, 12, "three adverts of each, all announcements")
    assert twins.same(adverts)
    assert twins.same(announcements)
    twins.same(lambda lab: [order(lab, vrid) for vrid in (2, 4, 34, 37)])
    back = {id(lab): flap(lab) for lab, _ in twins.both}

    def all_said_again(lab: Lab) -> bool:
        since = back[id(lab)]
        told = sum(len(frames) for frames in announcements(lab, since).values())
        return told >= expected_announcements() and len(first_after(lab, since)) == routers

    twins.wait(all_said_again, 10, "each advertises and announces again")
    twins.same(lambda lab: first_after(lab, back[id(lab)]))
    twins.same(lambda lab: announcements(lab, back[id(lab)]))
    resigned = time.time_ns()
    for lab, _ in twins.both:
        lab.programs[ME].send(signal.SIGTERM)
    for lab, _ in twins.both:
        assert lab.programs[ME].wait_end() == 0
    found = twins.same(lambda lab: resignations(lab, resigned))
    assert isinstance(found, dict) and len(found) == routers
    assert all(len(frames) == 1 for frames in found.values())


# What the node answers to its neighbours -------------------------------------------

ASKING = bytes((2, 0, 0, 0, 0, 9))


def question(vip: str) -> bytes:
    """Who has `vip`?  Host number 9 asks."""
    wanted = ip_address(vip)
    if wanted.version == 4:
        asked = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + ASKING + ip_address(own(9, 4)).packed
        return b"\xff" * 6 + ASKING + b"\x08\x06" + asked + bytes(6) + wanted.packed
    group = bytes.fromhex("ff0200000000000000000001ff") + wanted.packed[13:]
    source = ip_address("fe80::9").packed
    body = bytes((135, 0, 0, 0, 0, 0, 0, 0)) + wanted.packed + b"\x01\x01" + ASKING
    pseudo = source + group + struct.pack("!II", len(body), 58)
    body = body[:2] + struct.pack("!H", internet_sum(pseudo + body)) + body[4:]
    head = struct.pack("!IHBB", 6 << 28, len(body), 58, 255)
    return b"\x33\x33" + group[12:] + ASKING + b"\x86\xdd" + head + source + group + body


def replies(lab: Lab, since_ns: int) -> dict[str, list[str]]:
    """Who answered for which address: the hardware addresses in the frame and in the answer, in any order."""
    found: dict[str, list[str]] = {}
    for frame in list(lab.capture.frames):
        raw = frame.raw
        if frame.time_ns < since_ns or raw[:6] != ASKING:
            continue
        if frame.is_arp and raw[21] == 2:
            found.setdefault(str(ip_address(raw[28:32])), []).append((raw[6:12] + raw[22:28]).hex())
        elif frame.is_neighbour_advert:
            found.setdefault(str(ip_address(raw[62:78])), []).append((raw[6:12] + raw[80:86]).hex())
    return {vip: sorted(answers) for vip, answers in sorted(found.items())}


def proper(found: dict[str, list[str]]) -> dict[str, list[str]]:
    """Without what the IPv6 devices of 2.2.7 answer beside the owner.

    They answer for every IPv4 address of the node, and for the link-local address that they share with eth0.
    """
    theirs = {
        vip
        for variant in ALL
        if variant.family == 6 and "use_vmac" in variant.lines
        for vip in variant.addresses
    }
    return {
        vip: [one for one in answers if vip in theirs or not one.startswith("00005e0002")]
        for vip, answers in found.items()
    }


def reachable(lab: Lab) -> set[str]:
    """Virtual addresses that answer an echo request from a machine on the bridge."""
    asked = {vip: f"{vip}%br0" if ":" in vip else vip for variant in ALL for vip in variant.addresses[:1]}
    words = ["nsenter", f"--net=/run/netns/{lab.space.switch}", "ping", "-n", "-q", "-c", "1", "-W", "1"]
    running = {
        vip: subprocess.Popen([*words, name], stdout=subprocess.DEVNULL) for vip, name in asked.items()
    }
    return {vip for vip, ping in running.items() if ping.wait(5) == 0}


def test_neighbours_find_the_addresses(twins: Twins) -> None:
    """A question for an address is answered by the same hardware addresses; the same addresses answer echo requests."""
    twins.start(lambda _: file(ME, PEERS, PRIORITY, ALL))
    since: dict[int, int] = {}
    asked = [*(vip for variant in ALL for vip in variant.addresses), own(ME, 4), "fe80::1", own(ME, 6)]
    for lab, _ in twins.both:
        settle(lab)
        with inside(lab.space.switch):
            Path("/proc/sys/net/ipv6/conf/br0/disable_ipv6").write_text("0")
        for address in ("10.77.0.200/16", "fe80::200/64"):
            run(
                "ip",
                "-n",
                lab.space.switch,
                "addr",
                "add",
                address,
                "dev",
                "br0",
                *(("nodad",) if ":" in address else ()),
            )
        since[id(lab)] = say(lab, [question(vip) for vip in asked])
    twins.wait(
        lambda lab: set(asked) <= set(replies(lab, since[id(lab)])), 3, "every address is answered for"
    )
    twins.same(lambda lab: proper(replies(lab, since[id(lab)])))
    if twins.kind == "ours":
        found = replies(twins.other, since[id(twins.other)])
        assert proper(found) == found, "each address has one owner"
    twins.same(reachable)
    assert reachable(twins.other) == {variant.addresses[0] for variant in ALL}


# What a MASTER answers to somebody else's advert --------------------------------


def internet_sum(data: bytes) -> int:
    """The checksum of RFC 1071."""
    data += bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def forged(frame: Frame, priority: int) -> bytes:
    """The advert as another machine would send it to us: host number 9, this priority."""
    raw = bytearray(frame.raw)
    raw[6:12] = bytes((2, 0, 0, 0, 0, 9))
    ip, message, sent_by = 14, 54 if frame.is_ipv6 else 34, 37 if frame.is_ipv6 else 29
    to_us = raw[38:54] if frame.is_ipv6 else raw[30:34]
    source = raw[22:38] if frame.is_ipv6 else raw[26:30]
    if to_us[0] not in (0xFF, 224):
        to_us[:] = source
        raw[0:6] = bytes((2, 0, 0, 0, 0, ME))
    raw[(38 if frame.is_ipv6 else 30) : message] = to_us
    raw[sent_by] = 9
    raw[message + 2] = priority
    raw[message + 6 : message + 8] = b"\0\0"
    head = b""
    if frame.is_ipv6 or raw[message] >> 4 == 3:
        addresses = bytes(raw[22:54] if frame.is_ipv6 else raw[26:34])
        length = len(raw) - message
        head = addresses + (
            struct.pack("!IHBB", length, 0, 0, 112) if frame.is_ipv6 else struct.pack("!BBH", 0, 112, length)
        )
    raw[message + 6 : message + 8] = struct.pack("!H", internet_sum(head + bytes(raw[message:])))
    if not frame.is_ipv6:
        raw[24:26] = b"\0\0"
        raw[24:26] = struct.pack("!H", internet_sum(bytes(raw[ip:message])))
    return bytes(raw)


def say(lab: Lab, frames: list[bytes]) -> int:
    """Put frames on the bridge, as a machine behind it would; the time just before."""
    now = time.time_ns()
    with inside(lab.space.switch), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.bind(("br0", 0))
        for frame in frames:
            sock.send(frame)
    return now


def hear(lab: Lab, priority: int) -> int:
    """Every plain virtual router of the laboratory hears another machine with this priority."""
    last = {vrid: lab.last_advert(ME, vrid) for vrid in PLAIN}
    return say(lab, [forged(frame, priority) for frame in last.values()])


def answers(lab: Lab, since_ns: int) -> dict[tuple[int, str], str]:
    """The first advert of each router after a moment that came earlier than its turn, without counters."""
    found: dict[tuple[int, str], str] = {}
    for frame in lab.capture.adverts(ME, since_ns):
        if frame.time_ns < since_ns + SECOND_NS // 5:
            found.setdefault((frame.vrid, destination(frame)), uncounted(frame))
    return dict(sorted(found.items()))


def settle(lab: Lab) -> None:
    """Until every router has advertised and the announcements of its start are over."""
    lab.wait(lambda: {f.vrid for f in lab.capture.adverts(ME)} >= set(PLAIN), 8, "all are MASTER")
    time.sleep(1.3)


def test_answers_of_a_master(twins: Twins) -> None:
    """One that resigns is answered with an advert; a lower one at once too, and with announcements."""
    twins.start(lambda _: file(ME, PEERS, PRIORITY, tuple(slow(v) for v in PLAIN.values())))
    for lab, _ in twins.both:
        settle(lab)
    for priority in (0, PRIORITY - 1):
        since = {id(lab): hear(lab, priority) for lab, _ in twins.both}
        time.sleep(1.6 if priority else 0.4)
        found = twins.same(lambda lab, since=since: answers(lab, since[id(lab)]))  # type: ignore[misc]
        assert isinstance(found, dict) and {vrid for vrid, _ in found} == set(PLAIN)
        told = twins.same(lambda lab, since=since: announcements(lab, since[id(lab)]))  # type: ignore[misc]
        assert isinstance(told, dict) and bool(told) is (priority > 0)


def slow(variant: Variant) -> Variant:
    """As it is, but so seldom heard that an answer cannot be its turn."""
    return replace(variant, lines=(*variant.lines, "advert_int 3", "down_timer_adverts 1"))
