"""Raw sockets on a veth pair: what leaves one end, byte for byte, and what the other end hears."""

import errno
import os
import select
import socket
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest

from keepalived_py.base.names import InterfaceName
from keepalived_py.model.config import AuthType
from keepalived_py.model.packet import Advert, AdvertToSend
from keepalived_py.system.local_groups import LocalGroupReports
from keepalived_py.system.neighbour import NeighbourSocket
from keepalived_py.system.vrrp_socket import (
    PROTOCOL_AH,
    PROTOCOL_VRRP,
    Endpoint,
    Ipv4Socket,
    Ipv6Socket,
    VrrpSocket,
    open_pair,
)
from keepalived_py.wire.arp import gratuitous_arp
from keepalived_py.wire.checksum import internet_checksum
from keepalived_py.wire.ndisc import unsolicited_advertisement
from keepalived_py.wire.vrrp import OutgoingAdverts, dissect, dissect_ipv6

pytestmark = pytest.mark.netns

Ip = Callable[[str], None]

GROUP = IPv4Address("224.0.0.18")
GROUP6 = IPv6Address("ff02::12")
OWN = IPv4Address("10.0.0.1")
PEER = IPv4Address("10.0.0.2")
OWN6 = IPv6Address("fd00::1")
PEER6 = IPv6Address("fd00::2")
LINK6 = IPv6Address("fe80::77")
ADVERT = AdvertToSend(
    interface=InterfaceName("v0"),
    source=IPv4Address("10.0.0.77"),
    destinations=(GROUP,),
    ttl=255,
    version=2,
    vrid=51,
    priority=100,
    auth_type=AuthType.PASS,
    auth_data=b"abcdefgh",
    advert_interval=1,
    addresses=(IPv4Address("10.0.0.100"),),
)
ADVERT6 = replace(
    ADVERT,
    source=LINK6,
    destinations=(GROUP6,),
    version=3,
    auth_type=AuthType.NONE,
    addresses=(IPv6Address("fe80::100"),),
)


def opened(name: str, address: Any, protocol: int = PROTOCOL_VRRP) -> Any:
    """A joined pair on an interface ("": on none)."""
    endpoint = Endpoint(InterfaceName(name), address.version, protocol, address)
    pair = open_pair(endpoint, socket.if_nametoindex(name) if name else 0)
    pair.join()
    return pair


def pair_on(name: str) -> Ipv4Socket:
    made = opened(name, GROUP)
    assert isinstance(made, Ipv4Socket)
    return made


def pair6_on(name: str) -> Ipv6Socket:
    made = opened(name, GROUP6)
    assert isinstance(made, Ipv6Socket)
    return made


def packet(advert: AdvertToSend, ip_id: int = 1) -> bytes:
    made = OutgoingAdverts(lambda: 0)
    return [made.next(advert)[0] for _ in range(ip_id)][-1]


def send(sender: VrrpSocket[Any], advert: AdvertToSend, ip_id: int = 1) -> int:
    return sender.send(packet(advert, ip_id), advert.source, advert.destinations[0], advert.ttl)


def wait_for(receiver: VrrpSocket[Any] | socket.socket) -> None:
    ready, _, _ = select.select([receiver], [], [], 5)
    assert ready


def sniffer(protocol: int) -> socket.socket:
    heard = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol))
    heard.bind(("v1", protocol))
    heard.settimeout(5)
    return heard


def advert_frame(wire: socket.socket, protocol_at: int, protocol: int) -> bytes:
    """The next frame of that IP protocol; the kernel's own talk is skipped."""
    while True:
        frame = wire.recv(5000)
        if frame[protocol_at] == protocol:
            return frame


@pytest.fixture
def ip6(ip: Ip) -> Ip:
    """As `ip`; v0 and v1 also have IPv6 addresses that are usable at once."""
    for name in ("v0", "v1"):
        # The kernel's own link-local address would have to be waited for.
        Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("0")
    ip("addr add fe80::77/64 dev v0 nodad")
    ip("addr add fd00::1/64 dev v0 nodad")
    ip("addr add fe80::88/64 dev v1 nodad")
    return ip


def test_advert_leaves_as_built_but_for_the_header_checksum(ip: Ip) -> None:
    sender, wire = pair_on("v0"), sniffer(0x0800)
    assert send(sender, ADVERT, 7) == 0
    frame = advert_frame(wire, 23, PROTOCOL_VRRP)
    assert frame[:6].hex() == "01005e000012"
    assert frame[14:24] + b"\0\0" + frame[26:] == packet(ADVERT, 7)
    assert frame[24:26] != b"\0\0"
    sender.close()
    wire.close()


def test_other_end_hears_it_and_the_sender_does_not(ip: Ip) -> None:
    sender, receiver = pair_on("v0"), pair_on("v1")
    assert send(sender, ADVERT) == 0
    wait_for(receiver)
    heard = dissect(receiver.receive() or b"")
    assert isinstance(heard, Advert)
    assert (heard.vrid, heard.source, heard.ttl) == (51, ADVERT.source, 255)
    assert receiver.receive() is None
    assert sender.receive() is None
    sender.close()
    receiver.close()


def test_ah_has_a_socket_of_its_own(ip: Ip) -> None:
    secured = replace(ADVERT, auth_type=AuthType.AH)
    sender = opened("v0", GROUP, PROTOCOL_AH)
    receiver, plain = opened("v1", GROUP, PROTOCOL_AH), pair_on("v1")
    receiver.hear_only({51})
    assert send(sender, replace(secured, vrid=50)) == 0
    other_content = bytearray(packet(secured))
    other_content[20] = 6
    assert sender.send(bytes(other_content), secured.source, GROUP, 255) == 0
    assert send(sender, secured, 2) == 0
    wait_for(receiver)
    heard = dissect(receiver.receive())
    assert isinstance(heard, Advert)
    assert heard.has_ah
    assert (heard.vrid, heard.received_length) == (51, 64)
    assert receiver.receive() is None
    assert plain.receive() is None
    for pair in (sender, receiver, plain):
        pair.close()


def test_drain_stops_at_its_limit(ip: Ip) -> None:
    sender, receiver = pair_on("v0"), pair_on("v1")
    for ip_id in range(1, 11):
        assert send(sender, ADVERT, ip_id) == 0
    wait_for(receiver)
    assert [raw[5] for raw in receiver.drain(4)] == [1, 2, 3, 4]
    assert [raw[5] for raw in receiver.drain(100)] == [5, 6, 7, 8, 9, 10]
    sender.close()
    receiver.close()


@pytest.mark.parametrize("wanted", [{50, 52, 255}, set(range(1, 256)) - {51}])
def test_kernel_drops_foreign_vrids(ip: Ip, wanted: set[int]) -> None:
    sender, receiver = pair_on("v0"), pair_on("v1")
    receiver.hear_only(wanted)
    sent = (1, 49, 50, 51, 52, 53, 254, 255)
    for vrid in sent:
        assert send(sender, replace(ADVERT, vrid=vrid)) == 0
    wait_for(receiver)
    assert [raw[21] for raw in receiver.drain(100)] == [vrid for vrid in sent if vrid in wanted]
    receiver.hear_only(None)
    assert send(sender, replace(ADVERT, vrid=51)) == 0
    wait_for(receiver)
    assert [raw[21] for raw in receiver.drain(100)] == [51]
    sender.close()
    receiver.close()


def test_other_groups_are_not_heard(ip: Ip) -> None:
    sender, receiver = pair_on("v0"), pair_on("v1")
    other_group = IPv4Address("224.0.0.99")
    other = opened("v1", other_group)
    assert send(sender, replace(ADVERT, destinations=(other_group,))) == 0
    wait_for(other)
    assert receiver.receive() is None
    for pair in (sender, receiver, other):
        pair.close()


def test_receive_buffer_is_set_and_given_back(ip: Ip) -> None:
    receiver = pair_on("v1")
    with socket.socket(fileno=os.dup(receiver.fileno())) as same:
        usual = same.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        receiver.set_receive_buffer(6000)
        assert same.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 12000
        receiver.set_receive_buffer(0)
        assert same.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == usual
    receiver.close()


def test_unicast_is_routed_with_its_own_ttl(ip: Ip) -> None:
    ip("neigh add 10.0.0.9 lladdr 02:00:00:00:00:99 dev v0")
    sender, wire = opened("v0", OWN), sniffer(0x0800)
    unicast = replace(ADVERT, source=OWN, destinations=(IPv4Address("10.0.0.9"),), ttl=7)
    assert send(sender, unicast) == 0
    frame = advert_frame(wire, 23, PROTOCOL_VRRP)
    assert frame[:6].hex() == "020000000099"
    assert frame[14:24] + b"\0\0" + frame[26:] == packet(unicast)
    assert frame[22] == 7
    sender.close()
    wire.close()


def test_unicast_is_heard_at_its_own_address_only(ip: Ip) -> None:
    """The address may come later than the socket; other addresses and groups are others' business."""
    receiver, group = opened("v1", PEER), pair_on("v1")
    ip("link set v1 address 02:00:00:00:00:02")
    ip("addr add 10.0.0.2/24 dev v1")
    ip("addr add 10.0.0.3/24 dev v1")
    for name in ("v1", "all"):
        Path(f"/proc/sys/net/ipv4/conf/{name}/rp_filter").write_text("0")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as wire:
        for destination in (IPv4Address("10.0.0.3"), PEER):
            raw = packet(replace(ADVERT, destinations=(destination,)))
            checksum = internet_checksum(raw[:20]).to_bytes(2, "big")
            link = bytes.fromhex("0200000000020200000000010800")
            wire.sendto(link + raw[:10] + checksum + raw[12:], ("v0", 0x0800))
    wait_for(receiver)
    heard = [dissect(raw) for raw in receiver.drain(10)]
    assert [one.destination for one in heard if isinstance(one, Advert)] == [PEER]
    assert group.receive() is None
    receiver.close()
    group.close()


def test_ipv6_advert_as_keepalived_sends_it(ip6: Ip) -> None:
    sender, wire = pair6_on("v0"), sniffer(0x86DD)
    assert send(sender, ADVERT6) == 0
    frame = advert_frame(wire, 20, PROTOCOL_VRRP)
    assert frame[:6].hex() == "333300000012"
    # Version 6, traffic class 0xC0, then the kernel's flow label.
    assert (frame[14], frame[15] >> 4) == (0x6C, 0)
    assert frame[18:22].hex() == "001870ff"
    assert (frame[22:38], frame[38:54]) == (LINK6.packed, GROUP6.packed)
    message, checksum = packet(ADVERT6), frame[60:62]
    assert frame[54:] == message[:6] + checksum + message[8:]
    assert checksum != b"\0\0"
    sender.close()
    wire.close()


def test_ipv6_is_heard_with_source_destination_and_hop_limit(ip6: Ip) -> None:
    sender, receiver = pair6_on("v0"), pair6_on("v1")
    receiver.hear_only({51})
    assert send(sender, replace(ADVERT6, vrid=50)) == 0
    assert send(sender, ADVERT6) == 0
    wait_for(receiver)
    got = receiver.receive()
    assert got is not None
    heard = dissect_ipv6(*got)
    assert isinstance(heard, Advert)
    assert (heard.source, heard.destination, heard.ttl, heard.vrid) == (LINK6, GROUP6, 255, 51)
    assert heard.addresses == ADVERT6.addresses
    assert receiver.receive() is None
    assert sender.receive() is None
    sender.close()
    receiver.close()


def test_kernel_drops_ipv6_with_a_wrong_checksum(ip6: Ip) -> None:
    receiver = pair6_on("v1")
    forged = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    header = bytes.fromhex("6c000000001870ff") + LINK6.packed + GROUP6.packed
    start = bytes.fromhex("333300000012") + bytes(6) + b"\x86\xdd"
    forged.sendto(start + header + packet(ADVERT6), ("v0", 0x86DD))
    good = pair6_on("v0")
    assert send(good, replace(ADVERT6, priority=9)) == 0
    wait_for(receiver)
    assert [got.message[2] for got in receiver.drain(10)] == [9]
    for pair in (receiver, good):
        pair.close()
    forged.close()


@pytest.mark.parametrize(("interface", "ttl", "expected"), [("v0", None, 64), ("v0", 33, 33), ("", 33, 33)])
def test_ipv6_unicast_hop_limit(ip6: Ip, interface: str, ttl: int | None, expected: int) -> None:
    """Also without an interface: the routing table finds the peer."""
    ip6("neigh add fd00::2 lladdr 02:00:00:00:00:99 dev v0")
    sender, wire = opened(interface, OWN6), sniffer(0x86DD)
    assert send(sender, replace(ADVERT6, source=OWN6, destinations=(PEER6,), ttl=ttl)) == 0
    frame = advert_frame(wire, 20, PROTOCOL_VRRP)
    assert frame[21] == expected
    assert (frame[22:38], frame[38:54]) == (OWN6.packed, PEER6.packed)
    sender.close()
    wire.close()


def test_ipv6_unicast_between_link_local_addresses(ip6: Ip) -> None:
    ip6("neigh add fe80::2 lladdr 02:00:00:00:00:99 dev v0")
    sender, wire = opened("v0", LINK6), sniffer(0x86DD)
    assert send(sender, replace(ADVERT6, destinations=(IPv6Address("fe80::2"),), ttl=None)) == 0
    assert advert_frame(wire, 20, PROTOCOL_VRRP)[22:38] == LINK6.packed
    sender.close()
    wire.close()


def test_ipv6_source_that_is_not_there_is_an_errno(ip6: Ip) -> None:
    sender = pair6_on("v0")
    assert send(sender, replace(ADVERT6, source=IPv6Address("fe80::dead"))) == errno.EINVAL
    sender.close()


def test_another_device_stands_in_for_the_interface(ip: Ip) -> None:
    """`vrf`: bound to that device, though the endpoint names no interface."""
    endpoint = Endpoint(InterfaceName(""), 4, PROTOCOL_VRRP, OWN, InterfaceName("v0"))
    pair = open_pair(endpoint, socket.if_nametoindex("v0"))
    with socket.socket(fileno=os.dup(pair.fileno())) as same:
        assert same.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16).rstrip(b"\0") == b"v0"
    pair.close()


def test_down_link_is_an_errno(ip: Ip) -> None:
    sender = pair_on("v0")
    ip("link set v0 down")
    assert send(sender, ADVERT) in (errno.ENETUNREACH, errno.ENETDOWN)
    assert sender.receive() is None
    sender.close()


def test_missing_interface_is_an_error(ip: Ip) -> None:
    for group in (GROUP, GROUP6):
        with pytest.raises(OSError):
            open_pair(Endpoint(InterfaceName("v0"), group.version, PROTOCOL_VRRP, group), 12345)


def test_neighbours_get_the_whole_frame(ip: Ip) -> None:
    neighbours, mac = NeighbourSocket(), bytes.fromhex("020000000001")
    frames = {
        0x0806: gratuitous_arp(mac, IPv4Address("10.0.0.100")),
        0x86DD: unsolicited_advertisement(mac, IPv6Address("fd00::100"), router=True),
    }
    for ethertype, frame in frames.items():
        wire = sniffer(ethertype)
        assert neighbours.send(socket.if_nametoindex("v0"), frame) == 0
        while (heard := wire.recv(2000)) != frame:
            assert heard[12:14] == frame[12:14]
        assert neighbours.send(12345, frame) == errno.ENXIO
        wire.close()
    neighbours.close()


def test_many_frames_leave_in_their_order_past_one_that_fails(ip: Ip) -> None:
    neighbours, mac = NeighbourSocket(), bytes.fromhex("020000000001")
    index = socket.if_nametoindex("v0")
    frames = [gratuitous_arp(mac, IPv4Address(f"10.0.0.{host}")) for host in (101, 102, 103)]
    wire = sniffer(0x0806)
    places = (index, 12345, index)
    assert neighbours.send_many(list(zip(places, frames, strict=True))) == [0, errno.ENXIO, 0]
    heard: list[bytes] = []
    while frames[2] not in heard:
        heard.append(wire.recv(2000))
    assert [frame for frame in heard if frame in frames] == [frames[0], frames[2]]
    assert neighbours.send_many([]) == []
    wire.close()
    neighbours.close()


def test_reports_of_local_groups_are_silenced_and_restored(tmp_path: Path) -> None:
    setting = tmp_path / "setting"
    complaints: list[str] = []
    for before, during in (("1\n", "0"), ("0\n", "0\n")):
        setting.write_text(before)
        reports = LocalGroupReports(complaints.append, setting)
        reports.silence()
        assert setting.read_text() == during
        reports.restore()
        assert setting.read_text().strip() == before.strip()
    assert complaints == []
    LocalGroupReports(complaints.append, tmp_path / "none").silence()
    assert complaints == [f"Unable to write {tmp_path / 'none'} - errno 2"]
