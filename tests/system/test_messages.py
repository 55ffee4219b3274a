"""The bytes of requests, read by pyroute2, which has its own idea of the formats; and what is read of messages."""

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.marshal import MarshalRtnl

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InterfaceName
from keepalived_py.model.events import InterfaceAddress
from keepalived_py.model.network import (
    IlaEncapsulation,
    IpEncapsulation,
    MplsEncapsulation,
    NextHop,
    Placement,
    Prefix,
    Range,
    Realms,
    Route,
    RouteType,
    Rule,
    RuleAction,
    VirtualAddress,
)
from keepalived_py.system import addresses, attributes, links, routes, rtnetlink, rules
from keepalived_py.system.attributes import Attributes, split
from keepalived_py.system.rtnetlink import Request

ETH0 = InterfaceName("eth0")
ETH1 = InterfaceName("eth1")
INDICES = {ETH0: 3, ETH1: 4}


def sent(one: Request) -> bytes:
    return bytes(rtnetlink.numbered(one, 7, INDICES, last=True))


def read(one: Request) -> dict[str, Any]:
    """The message as pyroute2 reads it: its fields, and its attributes by name."""
    (message,) = MarshalRtnl().parse(sent(one))
    return {**{name: message[name] for name, _ in message.fields}, **dict(message["attrs"])}


def prefix(text: str, length: int) -> Prefix:
    return Prefix(ip_address(text), length)


def flags_of(one: Request) -> int:
    (message,) = rtnetlink.messages(sent(one))
    return message.flags & ~(rtnetlink.REQUEST | rtnetlink.ACKNOWLEDGE)


# Addresses -------------------------------------------------------------------


def test_ipv4_address_with_everything() -> None:
    one = VirtualAddress(
        IPv4Address("10.0.0.5"), 24, ETH0, label="eth0:1", scope=253, broadcast=IPv4Address("10.0.0.255"),
        home=True, mngtmpaddr=True, noprefixroute=True, autojoin=True, preferred_lifetime_s=9,
    )  # fmt: skip
    found = read(addresses.addition(one))
    assert (found["family"], found["prefixlen"], found["scope"], found["index"]) == (2, 24, 253, 3)
    assert (found["IFA_LOCAL"], found["IFA_BROADCAST"]) == ("10.0.0.5", "10.0.0.255")
    assert (found["IFA_LABEL"], found["IFA_FLAGS"], found["IFA_PROTO"]) == ("eth0:1", 0x710, 18)
    assert "IFA_CACHEINFO" not in found
    assert "IFA_ADDRESS" not in found
    gone = read(addresses.removal(one))
    assert (gone["IFA_LOCAL"], gone["IFA_ADDRESS"]) == ("10.0.0.5", "10.0.0.5")


def test_peer_has_the_prefix_in_both_directions() -> None:
    one = VirtualAddress(
        IPv4Address("10.0.0.5"), 32, ETH0, peer=IPv4Address("10.1.0.0"), peer_prefix_length=24
    )
    for request in (addresses.addition(one), addresses.removal(one)):
        found = read(request)
        assert (found["IFA_LOCAL"], found["IFA_ADDRESS"], found["prefixlen"]) == ("10.0.0.5", "10.1.0.0", 24)


@pytest.mark.parametrize("lifetime_s", [None, 0, 30])
@pytest.mark.parametrize("detects", [False, True])
def test_ipv6_address(lifetime_s: int | None, detects: bool) -> None:
    one = VirtualAddress(
        IPv6Address("fd00::5"), 64, ETH1, preferred_lifetime_s=lifetime_s, detects_duplicates=detects
    )
    found = read(addresses.addition(one))
    assert (found["family"], found["index"], found["IFA_LOCAL"]) == (10, 4, "fd00::5")
    assert found.get("IFA_FLAGS", 0) == (0 if detects else 2)
    if lifetime_s is None:
        assert "IFA_CACHEINFO" not in found
    else:
        times = found["IFA_CACHEINFO"]
        assert (times["ifa_preferred"], times["ifa_valid"]) == (lifetime_s, 0xFFFFFFFF)
    assert "IFA_ADDRESS" not in read(addresses.removal(one))


# Routes ----------------------------------------------------------------------


def test_route_with_everything() -> None:
    one = Route(
        prefix("10.1.0.0", 16), type=RouteType.UNICAST, preferred_source=IPv4Address("10.0.0.1"),
        gateway=IPv4Address("10.0.0.9"), interface=ETH0, onlink=True, table=1000, protocol=4, scope=200, tos=16,
        metric=5, realms=Realms(3, 4), mtu=1400, hop_limit=9, advertised_mss=1300, rtt_us=Micros(200_000),
        rttvar_us=Micros(100_000), rto_min_us=Micros(300_000), reordering=4, window=5, congestion_window=6,
        slow_start_threshold=7, initial_congestion_window=8, initial_receive_window=10, ecn=True,
        quick_ack=True, congestion_control="cubic", ttl_propagate=True,
        locked=frozenset(("mtu", "rtt", "congctl")),
    )  # fmt: skip
    found = read(routes.addition(one))
    assert (found["dst_len"], found["tos"], found["table"], found["proto"]) == (16, 16, 0, 4)
    assert (found["scope"], found["type"], found["flags"]) == (200, 1, 4)
    assert (found["RTA_DST"], found["RTA_PREFSRC"]) == ("10.1.0.0", "10.0.0.1")
    assert (found["RTA_GATEWAY"], found["RTA_OIF"], found["RTA_TABLE"]) == ("10.0.0.9", 3, 1000)
    assert (found["RTA_PRIORITY"], found["RTA_FLOW"]) == (5, 0x30004)
    assert split(routes.addition(one).payload, 12)[routes.TTL_PROPAGATE] == bytes((1,))
    metrics = dict(found["RTA_METRICS"]["attrs"])
    assert metrics == {
        "RTAX_CC_ALGO": "cubic", "RTAX_RTT": 1600, "RTAX_RTTVAR": 400, "RTAX_RTO_MIN": 300, "RTAX_FEATURES": 1,
        "RTAX_MTU": 1400, "RTAX_WINDOW": 5, "RTAX_SSTHRESH": 7, "RTAX_CWND": 6, "RTAX_ADVMSS": 1300,
        "RTAX_REORDERING": 4, "RTAX_HOPLIMIT": 9, "RTAX_INITCWND": 8, "RTAX_INITRWND": 10, "RTAX_QUICKACK": 1,
        "RTAX_LOCK": 1 << 2 | 1 << 4 | 1 << 16,
    }  # fmt: skip


def test_plain_route_is_keepalived_s_own_and_universal() -> None:
    one = Route(prefix("10.1.0.0", 16), interface=ETH0)
    found = read(routes.addition(one))
    assert (found["table"], found["proto"], found["scope"], found["type"]) == (254, 18, 0, 1)
    assert "RTA_METRICS" not in found
    gone = read(routes.removal(one))
    assert (gone["proto"], gone["scope"], gone["type"]) == (18, 255, 0)


@pytest.mark.parametrize(
    ("placement", "flags"), [(Placement.ADD, 0x600), (Placement.PREPEND, 0x400), (Placement.APPEND, 0xC00)]
)
def test_placement(placement: Placement, flags: int) -> None:
    one = Route(prefix("10.1.0.0", 16), interface=ETH0, placement=placement)
    assert flags_of(routes.addition(one)) == flags
    assert flags_of(routes.removal(one)) == 0


def test_locks_alone_are_not_sent() -> None:
    assert "RTA_METRICS" not in read(
        routes.addition(Route(prefix("10.1.0.0", 16), locked=frozenset(("mtu",))))
    )


def test_gateway_of_the_other_family() -> None:
    found = read(
        routes.addition(Route(prefix("10.1.0.0", 16), gateway=IPv6Address("fe80::1"), interface=ETH0))
    )
    assert found["RTA_VIA"] == {"family": 10, "addr": "fe80::1"}
    assert "RTA_GATEWAY" not in found


def test_next_hops_with_their_interfaces() -> None:
    hops = (
        NextHop(IPv4Address("10.0.0.8"), ETH1, 3, onlink=True, realms=Realms(0, 5)),
        NextHop(IPv4Address("10.0.0.9"), None, 256, encapsulation=MplsEncapsulation((100, 200))),
        NextHop(None, ETH0),
    )
    found = read(routes.addition(Route(prefix("10.1.0.0", 16), next_hops=hops)))
    first, second, third = found["RTA_MULTIPATH"]
    assert (first["oif"], first["hops"], first["flags"]) == (4, 2, 4)
    assert dict(first["attrs"]) == {"RTA_GATEWAY": "10.0.0.8", "RTA_FLOW": 5}
    assert (second["oif"], second["hops"]) == (0, 255)
    of_second = dict(second["attrs"])
    labels = dict(of_second["RTA_ENCAP"]["attrs"])["MPLS_IPTUNNEL_DST"]
    assert [(label["label"], label["bos"]) for label in labels] == [(100, 0), (200, 1)]
    assert (third["oif"], third["hops"]) == (3, 0)


def inner(one: Route) -> tuple[int, dict[int, bytes]]:
    """The number of a route's encapsulation, and its attributes (pyroute2 does not know most of them)."""
    found = split(routes.addition(one).payload, 12)
    return attributes.number(found[routes.ENCAPSULATION_TYPE]), split(found[routes.ENCAPSULATION])


def test_tunnels() -> None:
    over_ipv4 = IpEncapsulation(4, 5, IPv4Address("10.9.0.1"), IPv4Address("10.9.0.2"), 4, 9, 1)
    assert inner(Route(prefix("10.1.0.0", 16), encapsulation=over_ipv4)) == (
        2,
        {1: bytes(7) + b"\5", 2: b"\n\t\0\1", 3: b"\n\t\0\2", 4: b"\t", 5: b"\4", 6: struct.pack("=H", 1)},
    )
    over_ipv6 = IpEncapsulation(6, destination=IPv6Address("::9"))
    assert inner(Route(prefix("10.1.0.0", 16), encapsulation=over_ipv6)) == (4, {2: bytes(15) + b"\t"})
    ila = IlaEncapsulation(0x0001000200030004)
    assert inner(Route(prefix("fd00::", 64), encapsulation=ila)) == (3, {1: bytes((0, 1, 0, 2, 0, 3, 0, 4))})


def test_ipv6_route() -> None:
    one = Route(
        prefix("fd00::", 64), source=prefix("fd01::", 48), interface=ETH0, expires_s=30, router_preference=3
    )
    found = read(routes.addition(one))
    assert (found["family"], found["dst_len"], found["src_len"]) == (10, 64, 48)
    assert (found["RTA_SRC"], found["RTA_PREF"]) == ("fd01::", 3)
    assert attributes.number(split(routes.addition(one).payload, 12)[routes.EXPIRES]) == 30


# Rules -----------------------------------------------------------------------


def test_rule_with_everything() -> None:
    one = Rule(
        4, 1000, RuleAction.TABLE, table=1000, inverted=True, source=prefix("10.0.0.0", 8),
        destination=prefix("10.1.0.0", 16), input_interface=ETH0, output_interface=ETH1, tos=16, fwmark=5,
        fwmask=255, realms=Realms(3, 4), suppressed_prefix_length=8, suppressed_group=2, tunnel_id=77,
        users=Range(5, 6), ip_protocol=17, source_ports=Range(1, 2), destination_ports=Range(3, 4), protocol=18,
    )  # fmt: skip
    found = read(rules.addition(one))
    assert (found["src_len"], found["dst_len"], found["tos"], found["table"]) == (8, 16, 16, 0)
    assert (found["action"], found["flags"], found["FRA_TABLE"]) == (1, 2, 1000)
    assert (found["FRA_SRC"], found["FRA_DST"], found["FRA_PRIORITY"]) == ("10.0.0.0", "10.1.0.0", 1000)
    assert (found["FRA_FWMARK"], found["FRA_FWMASK"], found["FRA_FLOW"]) == (5, 255, 0x30004)
    assert (found["FRA_SUPPRESS_PREFIXLEN"], found["FRA_SUPPRESS_IFGROUP"]) == (8, 2)
    assert (found["FRA_IIFNAME"], found["FRA_OIFNAME"], found["FRA_TUN_ID"]) == ("eth0", "eth1", 77)
    assert (found["FRA_UID_RANGE"], found["FRA_PROTOCOL"], found["FRA_IP_PROTO"]) == ("5:6", 18, 17)
    assert (found["FRA_SPORT_RANGE"], found["FRA_DPORT_RANGE"]) == ("1:2", "3:4")
    assert flags_of(rules.addition(one)) == 0x600
    gone = read(rules.removal(one))
    assert gone == found


@pytest.mark.parametrize(
    ("action", "number"),
    [(RuleAction.NOP, 3), (RuleAction.BLACKHOLE, 6), (RuleAction.UNREACHABLE, 7), (RuleAction.PROHIBIT, 8)],
)
def test_actions_without_table(action: RuleAction, number: int) -> None:
    found = read(rules.addition(Rule(6, 1000, action)))
    assert (found["family"], found["action"], found["table"]) == (10, number, 0)


def test_going_on_elsewhere_and_the_table_of_a_device() -> None:
    elsewhere = read(rules.addition(Rule(4, 1000, RuleAction.GOTO, target=2000)))
    assert (elsewhere["action"], elsewhere["FRA_GOTO"]) == (2, 2000)
    of_device = read(rules.addition(Rule(4, 1000, RuleAction.TABLE)))
    assert (of_device["action"], of_device["table"], of_device["FRA_L3MDEV"]) == (1, 0, 1)


# What is read ----------------------------------------------------------------


def test_ours_is_the_near_end() -> None:
    payload = Attributes(struct.pack("=BBBBI", 2, 24, 1, 0, 5))
    payload.add(addresses.ADDRESS, bytes((10, 0, 0, 9)))
    payload.add(addresses.LOCAL, bytes((10, 0, 0, 1)))
    expected = InterfaceAddress(IPv4Address("10.0.0.1"), 24, secondary=True)
    assert addresses.read(bytes(payload.data)) == (5, expected)


def test_vrf_and_its_table() -> None:
    data, info, payload = Attributes(), Attributes(), Attributes(struct.pack("=BxHiII", 0, 1, 7, 0x1041, 0))
    data.number_32(1, 1234)
    info.text(1, "vrf")
    info.nested(2, data)
    payload.text(links.NAME, "blue")
    payload.number_32(links.MTU, 1500)
    payload.nested(links.LINK_INFO, info)
    link = links.read(bytes(payload.data))
    assert link is not None
    assert (link.facts.name, link.facts.index, link.facts.up, link.vrf_table) == ("blue", 7, True, 1234)


READERS = (
    addresses.read, links.read, links.forwarding, links.index_of, routes.identity, routes.way,
    routes.protocol_of, rules.identity, split, lambda data: list(rtnetlink.messages(data)),
)  # fmt: skip


@given(st.binary(max_size=120), st.sampled_from(READERS))
def test_no_bytes_disturb_a_reader(data: bytes, reader: Any) -> None:
    reader(data)


@given(st.integers(0, 200))
def test_cut_messages_are_read_as_far_as_they_go(length: int) -> None:
    one = Route(prefix("10.1.0.0", 16), interface=ETH0, next_hops=(NextHop(IPv4Address("10.0.0.8"), ETH1),))
    payload = routes.addition(one).payload[:length]
    assert (routes.identity(payload) is None) == (length < 12)
    routes.way(payload)
