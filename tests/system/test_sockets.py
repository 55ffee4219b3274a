"""Raw sockets on a veth pair: what leaves one end, byte for byte, and what the other end hears."""

import errno
import select
import socket
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from keepalived_py.base.names import InterfaceName
from keepalived_py.model.config import AuthType
from keepalived_py.model.packet import Advert, AdvertToSend
from keepalived_py.system.neighbour import NeighbourSocket
from keepalived_py.system.vrrp_socket import VrrpSocket, open_pair
from keepalived_py.wire.arp import gratuitous_arp
from keepalived_py.wire.vrrp import build, dissect

pytestmark = pytest.mark.netns

Ip = Callable[[str], None]

GROUP = IPv4Address("224.0.0.18")
ADVERT = AdvertToSend(
    interface=InterfaceName("v0"),
    source=IPv4Address("10.0.0.77"),
    destination=GROUP,
    ttl=255,
    version=2,
    vrid=51,
    priority=100,
    auth_type=AuthType.PASS,
    auth_data=b"abcdefgh",
    advert_interval=1,
    addresses=(IPv4Address("10.0.0.100"),),
)


def pair_on(name: str) -> VrrpSocket:
    return open_pair(socket.if_nametoindex(name), GROUP)


def wait_for(receiver: VrrpSocket | socket.socket) -> None:
    ready, _, _ = select.select([receiver], [], [], 5)
    assert ready


def sniffer(protocol: int) -> socket.socket:
    heard = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol))
    heard.bind(("v1", protocol))
    heard.settimeout(5)
    return heard


def test_advert_leaves_as_built_but_for_the_header_checksum(ip: Ip) -> None:
    sender, wire = pair_on("v0"), sniffer(0x0800)
    packet = build(ADVERT, 7)
    assert sender.send(packet, GROUP) == 0
    frame = wire.recv(2000)
    assert frame[:6].hex() == "01005e000012"
    assert frame[14:24] + b"\0\0" + frame[26:] == packet
    assert frame[24:26] != b"\0\0"
    sender.close()
    wire.close()


def test_other_end_hears_it_and_the_sender_does_not(ip: Ip) -> None:
    sender, receiver = pair_on("v0"), pair_on("v1")
    assert sender.send(build(ADVERT, 1), GROUP) == 0
    wait_for(receiver)
    heard = dissect(receiver.receive() or b"")
    assert isinstance(heard, Advert)
    assert (heard.vrid, heard.source, heard.ttl) == (51, ADVERT.source, 255)
    assert receiver.receive() is None
    assert sender.receive() is None
    sender.close()
    receiver.close()


def test_drain_stops_at_its_limit(ip: Ip) -> None:
    sender, receiver = pair_on("v0"), pair_on("v1")
    for ip_id in range(1, 11):
        assert sender.send(build(ADVERT, ip_id), GROUP) == 0
    wait_for(receiver)
    assert [packet[5] for packet in receiver.drain(4)] == [1, 2, 3, 4]
    assert [packet[5] for packet in receiver.drain(100)] == [5, 6, 7, 8, 9, 10]
    sender.close()
    receiver.close()


def test_kernel_drops_foreign_vrids(ip: Ip) -> None:
    sender, receiver = pair_on("v0"), pair_on("v1")
    receiver.hear_only({50, 52, 255})
    for vrid in (49, 50, 51, 52, 53, 254, 255):
        assert sender.send(build(replace(ADVERT, vrid=vrid), 1), GROUP) == 0
    wait_for(receiver)
    assert [packet[21] for packet in receiver.drain(100)] == [50, 52, 255]
    receiver.hear_only(range(1, 256))
    assert sender.send(build(replace(ADVERT, vrid=49), 1), GROUP) == 0
    wait_for(receiver)
    assert [packet[21] for packet in receiver.drain(100)] == [49]
    sender.close()
    receiver.close()


def test_other_groups_are_not_heard(ip: Ip) -> None:
    sender, receiver = pair_on("v0"), pair_on("v1")
    other_group = IPv4Address("224.0.0.99")
    other = open_pair(socket.if_nametoindex("v1"), other_group)
    assert sender.send(build(replace(ADVERT, destination=other_group), 1), other_group) == 0
    wait_for(other)
    assert receiver.receive() is None
    for opened in (sender, receiver, other):
        opened.close()


def test_down_link_is_an_errno(ip: Ip) -> None:
    sender = pair_on("v0")
    ip("link set v0 down")
    assert sender.send(build(ADVERT, 1), GROUP) in (errno.ENETUNREACH, errno.ENETDOWN)
    assert sender.receive() is None
    sender.close()


def test_missing_interface_is_an_error(ip: Ip) -> None:
    with pytest.raises(OSError):
        open_pair(12345, GROUP)


def test_neighbours_get_the_whole_frame(ip: Ip) -> None:
    neighbours, wire = NeighbourSocket(), sniffer(0x0806)
    frame = gratuitous_arp(bytes.fromhex("020000000001"), IPv4Address("10.0.0.100"))
    assert neighbours.send(socket.if_nametoindex("v0"), frame) == 0
    assert wire.recv(2000) == frame
    assert neighbours.send(12345, frame) == errno.ENXIO
    neighbours.close()
    wire.close()
