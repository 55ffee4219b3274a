"""Routes and rules: what is read, and what is said about mistakes."""

from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from keepalived_py.model.network import (
    NextHop,
    Route,
    Rule,
    RuleAction,
)
from tests.config.network_texts import ROUTES, RULES, TEN, read_list, route, rule, said


@pytest.mark.parametrize(("line", "expected"), ROUTES)
def test_route(tmp_path: Path, line: str, expected: Route) -> None:
    loaded = read_list(tmp_path, "virtual_routes", line)
    assert (said(loaded), loaded.test_exit_code) == ([], 0)
    assert loaded.configuration.instances[0].routes == (expected,)


MIXED = "Cannot mix IPv4 and IPv6 addresses for route"
ROUTE_MISTAKES = [
    ("dev eth0", ["Route must have a destination"], 0),
    ("inet6 default dev eth0", ["Route must have a destination"], 0),
    ("nowhere", ["VRRP parsed invalid IP nowhere. skipping IP...", "unknown route keyword nowhere"], 0),
    ("10.0.0.0/8 dev eth0 via fe80::1", [MIXED], 0),
    ("via 10.1.0.1 default dev eth0", [f"{MIXED} (default)"], 0),
    ("10.0.0.0/8 inet6 x dev eth0", ["inet6 specified for IPv4 route"], 0),
    ("10.0.0.0/8 from 10.0.0.1 dev eth0", ["route from address only supported with IPv6 (10.0.0.1)"], 0),
    ("10.0.0.0/8 expires 5", ["expires is only valid for IPv6"], 0),
    ("2001:db8::/32 realms 5", ["realms are only valid for IPv4"], 0),
    ("10.0.0.0/8 table nosuch", ["Routing table nosuch not found for route"], 0),
    (
        "10.0.0.0/8 metric -5",
        ["negative number '-5'", "Invalid metric -5 specified for route"],
        0,
    ),
    (
        "10.0.0.0/8 metric 4294967296",
        [
            "number '4294967296' outside unsigned integer range",
            "Invalid metric 4294967296 specified for route",
        ],
        0,
    ),
    ("10.0.0.0/8 rtt 1e3", ["Invalid rtt 1e3 for route"], 0),
    (
        "10.0.0.0/8 rtt 1000s",
        ["number '1000' outside range [0.000, 960.000]", "Invalid rtt 1000s for route"],
        0,
    ),
    ("10.0.0.0/8 vrf eth0", ["Route specified VRF eth0 is not a VRF"], 0),
    (
        "10.0.0.0/8 oif eth9",
        [
            "WARNING - interface eth9 for VROUTE nexthop doesn't exist",
            "Non-existent interface specified in configuration",
        ],
        0,
    ),
    (
        "10.0.0.0/8",
        ["Warning - cannot track route 10.0.0.0/8 with no interface specified, not tracking"],
        1,
    ),
    (
        "10.0.0.0/8 dev eth0 protocol bird",
        ["Route cannot be tracked if protocol is not RTPROT_KEEPALIVED(18), resetting protocol"],
        1,
    ),
    ("10.0.0.0/8 dev eth0 as to 10.1.0.1", ['"as to" for MPLS only - ignoring'], 1),
    ("10.0.0.0/8 dev eth0 gw 10.1.0.1", ['"gw" for routes is deprecated. Please use "via"'], 1),
    ("10.0.0.0/8 dev eth0 features x", ["feature x not supported"], 1),
    ("10.0.0.0/8 dev eth0 encap", ["Missing encap type"], 1),
    ("10.0.0.0/8 dev eth0 encap gre x onlink", ["Unknown encap type - gre"], 1),
    (
        "10.0.0.0/8 dev eth0 encap mpls 1/2/3",
        ["invalid mpls address 1/2/3 for encapsulation"],
        1,
    ),
    ("10.0.0.0/8 dev eth0 encap ila 1:2:3", ["invalid locator 1:2:3 for ila encapsulation"], 1),
    (
        "10.0.0.0/8 dev eth0 nexthop via fe80::1 dev eth0",
        ["Address family mismatch for next hop"],
        1,
    ),
    (
        "10.0.0.0/8 dev eth0 nexthop weight 0",
        ["Invalid weight 0 specified for route"],
        1,
    ),
    (
        "10.0.0.0/8 dev eth0 nexthop via 10.1.0.1 mtu 5",
        ["Route has trailing nonsense after nexthops - mtu"],
        1,
    ),
    (
        "10.0.0.0/8 dev eth0 via 10.1.0.1 or 10.1.0.2 nexthop via 10.1.0.3",
        [
            '"or" for routes is deprecated. Please use "nexthop"',
            'Cannot specify nexthops with "or" route',
            "Route has trailing nonsense - nexthop",
        ],
        0,
    ),
]


@pytest.mark.parametrize(("line", "expected", "left"), ROUTE_MISTAKES)
def test_route_mistake(tmp_path: Path, line: str, expected: list[str], left: int) -> None:
    loaded = read_list(tmp_path, "virtual_routes", line)
    assert (said(loaded), loaded.test_exit_code) == (expected, 5)
    assert sum(len(one.routes) for one in loaded.configuration.instances) == left


@pytest.mark.parametrize(
    ("line", "keyword", "position"),
    [
        ("10.0.0.0/8 via", "via", 3),
        ("10.0.0.0/8 mtu lock", "lock", 4),
        ("blackhole", "blackhole", 2),
        ("10.0.0.0/8 nexthop via inet", "inet", 5),
        ("to", "to", 2),
    ],
)
def test_missing_word_ends_the_reading(tmp_path: Path, line: str, keyword: str, position: int) -> None:
    loaded = read_list(tmp_path, "virtual_routes", line, "nonsense")
    first = line.split()[0]
    assert loaded.test_exit_code == 2
    assert said(loaded) == [
        f"*** Configuration line starting `{first}` is missing a parameter "
        f"after keyword `{keyword}` at word position {position}"
    ]


def test_or_makes_two_next_hops(tmp_path: Path) -> None:
    loaded = read_list(tmp_path, "virtual_routes", "10.0.0.0/8 dev eth0 via 10.1.0.1 or 10.1.0.2")
    hops = (NextHop(IPv4Address("10.1.0.1")), NextHop(IPv4Address("10.1.0.2")))
    assert loaded.configuration.instances[0].routes == (route(next_hops=hops),)


def test_static_route(tmp_path: Path) -> None:
    loaded = read_list(
        tmp_path,
        "static_routes",
        "10.0.0.0/8 dev eth0 track_group G",
        "10.0.0.0/8 no_track track_group G",
        "10.0.0.0/8 dev eth0 track_group G track_group G",
    )
    assert said(loaded) == [
        "Static route cannot have track group if no oif specified",
        "track_group G is a duplicate",
        "Route has trailing nonsense - G",
    ]
    assert loaded.configuration.static_routes == (route(track_group="G"), Route(TEN, tracked=False))


# Rules -----------------------------------------------------------------------


@pytest.mark.parametrize(("line", "expected"), RULES)
def test_rule(tmp_path: Path, line: str, expected: Rule | None) -> None:
    loaded = read_list(tmp_path, "virtual_rules", line)
    assert (said(loaded), loaded.test_exit_code) == ([], 0)
    if expected is None:
        names: Any = {"inverted": True, "input_interface": "eth0", "output_interface": "eth1"}
        expected = rule(RuleAction.BLACKHOLE, **names)
    assert loaded.configuration.instances[0].rules == (expected,)


NO_SECOND = "Cannot specify more than one of table/nop/goto/blackhole/prohibit/unreachable"
RULE_MISTAKES = [
    ("from 10.0.0.0/8 priority 9", ["No action specified for rule - ignoring"], 0),
    ("from 10.0.0.0/8 to fe80::1 table 5", ["rule specification has mixed IPv4 and IPv6"], 0),
    ("table 0 priority 9", ["Table 0 is not valid"], 0),
    ("table 5 nop", [f"{NO_SECOND}/l3mdev for rule"], 0),
    ("nop table 5", [f"{NO_SECOND} for rule"], 0),
    ("table 5 l3mdev", ["Cannot specify l3mdev with other action"], 0),
    ("goto 9 priority 9", ["Invalid rule - preference 9 >= goto target 9"], 0),
    ("goto 9", ["Invalid rule - goto target 9 specified without preference"], 0),
    ("realms 5 nop priority 9", ["suppressor/realm specified for non table action - skipping"], 0),
    ("local", ["Invalid rule action local"], 0),
    ("ip_proto tcp", ["Unknown rule option ip_proto"], 0),
    ("fwmark 1/-1 table 5", ["Invalid rule fwmark 1/-1 specified"], 0),
    ("uidrange 5 table 5", ["Invalid uidrange uidrange specified"], 0),
    (
        "priority x table 5",
        ["invalid number 'x'", "Invalid rule preference priority specified"],
        0,
    ),
    ("table 5 priority 9 sport 53", ["invalid sport range 53"], 1),
    ("table 5 priority 9 ipproto 200", ["Invalid ipproto 200"], 1),
    (
        "table 5 priority 9 protocol 3",
        ["Rule cannot be tracked if protocol is not RTPROT_KEEPALIVED(18), resetting protocol"],
        1,
    ),
]


@pytest.mark.parametrize(("line", "expected", "left"), RULE_MISTAKES)
def test_rule_mistake(tmp_path: Path, line: str, expected: list[str], left: int) -> None:
    loaded = read_list(tmp_path, "virtual_rules", line)
    assert (said(loaded), loaded.test_exit_code) == (expected, 5)
    assert sum(len(one.rules) for one in loaded.configuration.instances) == left


def test_rules_without_priority_count_down(tmp_path: Path) -> None:
    lines = ("table 5", "from fe80::/64 table 5", "table 6", "table 7 priority 3")
    loaded = read_list(tmp_path, "static_rules", *lines)
    numbers = [one.priority for one in loaded.configuration.static_rules]
    assert numbers == [16384, 16384, 16383, 3]
    assert said(loaded) == [
        f"Rule has no preference specified - setting to {number}. This is probably not what you want."
        for number in numbers[:3]
    ]
