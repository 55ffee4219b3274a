"""Addresses, routes and rules: what is read, what is said about mistakes, and how they are written back."""

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest

from keepalived_py.config.blocks import routes, rules, virtual_ipaddress
from keepalived_py.config.blocks.kernel_names import strtoul
from keepalived_py.config.host import names_in
from keepalived_py.config.load import Loaded, load
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
from tests.config.fake_host import FakeHost

TEN = Prefix(IPv4Address("10.0.0.0"), 8)
DOC = Prefix(IPv6Address("2001:db8::"), 32)
ANY4, ANY6 = Prefix(IPv4Address(0), 0), Prefix(IPv6Address(0), 0)
GROUP = "track_group G {\ngroup {\nVI_1\n}\n}\n"
VIP = "virtual_ipaddress {\n10.1.0.100\n}\n"


def read(tmp_path: Path, text: str) -> Loaded:
    host = FakeHost()
    host.names = {"rt_dsfield": {"EF": 0xB8}, "rt_realms": {"cosmos": 0}, "group": {"wan": 3}, **host.names}
    host.interfaces.add("vrf1")
    path = tmp_path / "k.conf"
    path.write_text(text)
    return load(str(path), config_id="node", host=host)


def instance(block: str) -> str:
    return f"vrrp_instance VI_1 {{\ninterface eth0\nvirtual_router_id 51\npriority 50\n{block}}}\n"


def said(loaded: Loaded) -> list[str]:
    return [one.message for one in loaded.diagnostics if not one.logged_only]


def read_list(tmp_path: Path, block: str, *lines: str) -> Loaded:
    """The lines as entries of `block`, static ones with a track_group in front."""
    entries = "".join(f"{line}\n" for line in lines)
    if block.startswith("static"):
        return read(tmp_path, f"{instance(VIP)}{GROUP}{block} {{\n{entries}}}\n")
    vip = "" if block == "virtual_ipaddress" else VIP
    return read(tmp_path, instance(f"{vip}{block} {{\n{entries}}}\n"))


def address(text: str, length: int | None = None, interface: str = "eth0", **more: Any) -> VirtualAddress:
    found: Any = IPv6Address(text) if ":" in text else IPv4Address(text)
    if found.version == 6 and length in (None, 128):
        more.setdefault("preferred_lifetime_s", 0)
    return VirtualAddress(
        address=found,
        prefix_length=found.max_prefixlen if length is None else length,
        interface=interface,  # type: ignore[arg-type]  # a name of its own type
        **more,
    )


# Addresses -------------------------------------------------------------------

ADDRESSES = [
    ("10.1.0.5", address("10.1.0.5")),
    ("10.1.0.5/24 dev eth1 scope link", address("10.1.0.5", 24, "eth1", scope=253)),
    ("10.1.0.5/24 scope 0x20 label eth0:1", address("10.1.0.5", 24, scope=32, label="eth0:1")),
    ("10.1.0.5/24 brd +", address("10.1.0.5", 24, broadcast=IPv4Address("10.1.0.255"))),
    ("10.1.0.5/24 broadcast -", address("10.1.0.5", 24, broadcast=IPv4Address("10.1.0.0"))),
    ("10.1.0.5 brd 10.1.0.77", address("10.1.0.5", broadcast=IPv4Address("10.1.0.77"))),
    ("10.1.0.5 peer 10.2.0.5", address("10.1.0.5", peer=IPv4Address("10.2.0.5"), peer_prefix_length=32)),
    ("10.1.0.5 preferred_lft 60 no_track", address("10.1.0.5", preferred_lifetime_s=60, tracked=False)),
    ("10.1.0.5 autojoin noprefixroute", address("10.1.0.5", autojoin=True, noprefixroute=True)),
    ("10.1.0.5 use_vmac", address("10.1.0.5", use_vmac=True)),
]
ADDRESSES_V6 = [
    ("fe80::5", address("fe80::5")),
    ("fe80::5/64", address("fe80::5", 64)),
    ("fe80::5 preferred_lft forever", address("fe80::5", preferred_lifetime_s=None)),
    ("fe80::5/64 preferred_lft 4294967295", address("fe80::5", 64)),
    (
        "fe80::5/64 home mngtmpaddr -nodad",
        address("fe80::5", 64, home=True, mngtmpaddr=True, detects_duplicates=True),
    ),
]


@pytest.mark.parametrize(("line", "expected"), ADDRESSES + ADDRESSES_V6)
def test_address(tmp_path: Path, line: str, expected: VirtualAddress) -> None:
    loaded = read_list(tmp_path, "virtual_ipaddress_excluded", line)
    assert (said(loaded), loaded.test_exit_code) == ([], 0)
    assert loaded.configuration.instances[0].excluded_addresses == (expected,)


ADDRESS_MISTAKES = [
    ("10.1.0.300", ["VRRP parsed invalid IP 10.1.0.300. skipping IP..."], None),
    ("fe80::1%eth0", ["VRRP parsed invalid IP fe80::1%eth0. skipping IP..."], None),
    (
        "10.1.0.5/33",
        [
            "number '33' outside range [0, 32]",
            "Invalid address prefix len 33 for address 10.1.0.5/33 - using 32",
        ],
        address("10.1.0.5"),
    ),
    (
        "10.1.0.5 dev eth9",
        [
            "WARNING - interface eth9 for ip address 10.1.0.5 doesn't exist",
            "Non-existent interface specified in configuration",
        ],
        None,
    ),
    ("10.1.0.5 dev", ["No dev parameter specified for 10.1.0.5"], None),
    (
        "10.1.0.5 dev eth0 dev eth1",
        ["Cannot specify ipaddress device more than once for 10.1.0.5"],
        None,
    ),
    ("10.1.0.5/24 brd x", ["VRRP is trying to assign invalid broadcast x. skipping VIP..."], None),
    (
        "fe80::5 brd +",
        ["VRRP is trying to assign a broadcast brd to the IPv6 address fe80::5 !!?? WTF... skipping VIP..."],
        None,
    ),
    (
        "10.1.0.5/31 brd +",
        ["Address prefix length 31 too long for broadcast"],
        address("10.1.0.5", 31),
    ),
    (
        "10.1.0.5 scope galaxy",
        ["Invalid scope 'galaxy' specified for 10.1.0.5 - ignoring"],
        address("10.1.0.5"),
    ),
    (
        "fe80::5 scope link label x",
        [
            "Cannot specify scope for IPv6 addresses (fe80::5) - ignoring scope",
            "Cannot specify label for IPv6 addresses (fe80::5) - ignoring label",
        ],
        address("fe80::5"),
    ),
    (
        "10.1.0.5 label sixteen-letters-",
        ["Address label sixteen-letters- is longer than maximum length 15 - removing address"],
        None,
    ),
    (
        "10.1.0.5/24 peer 10.1.0.6 brd +",
        [
            "Cannot specify address prefix when specifying peer address - ignoring",
            "Cannot specify broadcast and peer addresses - ignoring broadcast address",
        ],
        address("10.1.0.5", peer=IPv4Address("10.1.0.6"), peer_prefix_length=32),
    ),
    (
        "10.1.0.5 peer fe80::6",
        ["Peer address fe80::6 does not match address family"],
        address("10.1.0.5"),
    ),
    (
        "10.1.0.5 preferred_lft soon",
        ["invalid number 'soon'", "preferred_lft soon is invalid"],
        address("10.1.0.5"),
    ),
    (
        "10.1.0.5 track_group",
        ["Unknown configuration entry 'track_group' for ip address - ignoring"],
        address("10.1.0.5"),
    ),
]


@pytest.mark.parametrize(("line", "expected", "left"), ADDRESS_MISTAKES)
def test_address_mistake(tmp_path: Path, line: str, expected: list[str], left: VirtualAddress | None) -> None:
    loaded = read_list(tmp_path, "virtual_ipaddress_excluded", line)
    assert (said(loaded), loaded.test_exit_code) == (expected, 5)
    refused = loaded.start_exit_code is not None  # for an interface that is not there
    found = [entry for one in loaded.configuration.instances for entry in one.excluded_addresses]
    assert found == ([] if refused or left is None else [left])


def test_one_family_per_instance(tmp_path: Path) -> None:
    loaded = read_list(tmp_path, "virtual_ipaddress", "10.1.0.5", "fe80::5")
    assert said(loaded) == ["(VI_1): address family must match VRRP instance [fe80::5] - ignoring"]
    assert loaded.configuration.instances[0].addresses == (address("10.1.0.5"),)


def test_interface_that_may_come_later(tmp_path: Path) -> None:
    text = "global_defs {\ndynamic_interfaces\n}\n" + instance("virtual_ipaddress {\n10.1.0.5 dev eth9\n}\n")
    loaded = read(tmp_path, text)
    assert (said(loaded), loaded.test_exit_code) == ([], 0)
    assert loaded.configuration.instances[0].addresses == (address("10.1.0.5", interface="eth9"),)


@pytest.mark.parametrize(
    ("common", "interface", "code"), [("", "eth0", 0), ("eth1", "eth1", 0), ("eth9", "", 4)]
)
def test_static_address_needs_an_interface(tmp_path: Path, common: str, interface: str, code: int) -> None:
    head = f"global_defs {{\ndefault_interface {common}\n}}\n" if common else ""
    loaded = read(tmp_path, f"{head}static_ipaddress {{\n10.1.0.5/24\n}}\n")
    expected = (address("10.1.0.5", 24, interface),) if interface else ()
    assert (loaded.configuration.static_addresses, loaded.test_exit_code) == (expected, code)


def test_static_address_with_track_group(tmp_path: Path) -> None:
    loaded = read_list(tmp_path, "static_ipaddress", "10.1.0.5 track_group G", "10.1.0.6 track_group H")
    assert said(loaded) == ["track_group H not found"]
    assert loaded.configuration.static_addresses == (
        address("10.1.0.5", track_group="G"),
        address("10.1.0.6"),
    )


# Routes ----------------------------------------------------------------------


def route(destination: Prefix = TEN, **more: Any) -> Route:
    return Route(destination, **{"interface": "eth0", "protocol": 18, **more})


ROUTES = [
    ("10.0.0.0/8 dev eth0", route()),
    ("to 10.0.0.0/8 oif eth0 via 10.1.0.1", route(gateway=IPv4Address("10.1.0.1"))),
    ("default dev eth0", route(ANY4)),
    ("default via fe80::1 dev eth0", route(ANY6, gateway=IPv6Address("fe80::1"))),
    ("via inet 10.1.0.1 10.0.0.0/8 dev eth0", route(gateway=IPv4Address("10.1.0.1"))),
    ("blackhole 10.0.0.0/8 no_track", Route(TEN, RouteType.BLACKHOLE, tracked=False)),
    ("77 10.0.0.0/8 dev eth0", route(type=77)),
    ("10.0.0.0/8 dev eth0 src 10.1.0.1 onlink", route(preferred_source=IPv4Address("10.1.0.1"), onlink=True)),
    ("2001:db8::/32 from default6 dev eth0", route(DOC, source=ANY6)),
    ("2001:db8::/32 dev eth0 expires 60 pref high", route(DOC, expires_s=60, router_preference=1)),
    ("10.0.0.0/8 dev eth0 table local scope link", route(table=255, scope=253)),
    ("10.0.0.0/8 dev eth0 vrf vrf1", route(vrf="vrf1")),
    ("10.0.0.0/8 no_track protocol bird", Route(TEN, protocol=12, tracked=False)),
    ("10.0.0.0/8 dev eth0 tos EF realms 5/cosmos", route(tos=0xB8, realms=Realms(5, 0))),
    ("10.0.0.0/8 dev eth0 dsfield 010 realms 7", route(tos=8, realms=Realms(0, 7))),
    ("10.0.0.0/8 dev eth0 preference 9 append", route(metric=9, placement=Placement.APPEND)),
    ("10.0.0.0/8 dev eth0 mtu lock 1400", route(mtu=1400, locked=frozenset({"mtu"}))),
    ("10.0.0.0/8 dev eth0 rtt 1.5s", route(rtt_us=1_500_000)),
    ("10.0.0.0/8 dev eth0 rtt 8001", route(rtt_us=1_000_125)),
    ("10.0.0.0/8 dev eth0 rttvar lock 300ms", route(rttvar_us=300_000, locked=frozenset({"rttvar"}))),
    ("10.0.0.0/8 dev eth0 rto_min 1msec", route(rto_min_us=200_000)),
    ("10.0.0.0/8 dev eth0 features ecn quickack 1", route(ecn=True, quick_ack=True)),
    ("10.0.0.0/8 dev eth0 hoplimit 9 advmss 8 window 7", route(hop_limit=9, advertised_mss=8, window=7)),
    (
        "10.0.0.0/8 dev eth0 cwnd 1 ssthresh 2 initcwnd 3 initrwnd 4 reordering 5",
        route(
            congestion_window=1,
            slow_start_threshold=2,
            initial_congestion_window=3,
            initial_receive_window=4,
            reordering=5,
        ),
    ),
    (
        "10.0.0.0/8 dev eth0 congctl lock cubic",
        route(congestion_control="cubic", locked=frozenset({"congctl"})),
    ),
    (
        "10.0.0.0/8 dev eth0 ttl-propagate disabled fastopen_no_cookie 0",
        route(ttl_propagate=False, fastopen_no_cookie=False),
    ),
    ("10.0.0.0/8 encap mpls 100/0x10 dev eth0", route(encapsulation=MplsEncapsulation((100, 16)))),
    (
        "10.0.0.0/8 dev eth0 encap ip id 7 dst 10.1.0.1 tos EF ttl 9 flags 3",
        route(encapsulation=IpEncapsulation(4, 7, IPv4Address("10.1.0.1"), None, 0xB8, 9, 3)),
    ),
    (
        "10.0.0.0/8 dev eth0 encap ip6 dst fe80::1 src fe80::2 tc 4 hoplimit 5",
        route(encapsulation=IpEncapsulation(6, None, IPv6Address("fe80::1"), IPv6Address("fe80::2"), 4, 5)),
    ),
    ("10.0.0.0/8 dev eth0 encap ila 1:2:3:ffff", route(encapsulation=IlaEncapsulation(0x000100020003FFFF))),
    (
        "10.0.0.0/8 no_track nexthop via 10.1.0.1 dev eth0 weight 256 nexthop dev eth1 onlink realms 5",
        Route(
            TEN,
            tracked=False,
            next_hops=(
                NextHop(IPv4Address("10.1.0.1"), "eth0", 256),  # type: ignore[arg-type]
                NextHop(None, "eth1", onlink=True, realms=Realms(0, 5)),  # type: ignore[arg-type]
            ),
        ),
    ),
]


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


def rule(action: RuleAction = RuleAction.TABLE, **more: Any) -> Rule:
    table = 5 if action is RuleAction.TABLE else None
    return Rule(**{"family": 4, "priority": 9, "action": action, "table": table, "protocol": 18, **more})


RULES = [
    ("from 10.0.0.0/8 table 5 priority 9", rule(source=TEN)),
    ("to 2001:db8::/32 lookup main order 0x9", rule(family=6, destination=DOC, table=254)),
    ("from any to default table 5 preference 011", rule(source=ANY4, destination=ANY4)),
    ("from default table 5 priority 9 inet6 x", rule(family=6, source=ANY6)),
    ("inet6 x table 5 priority 9", rule(family=6)),
    ("not iif eth0 oif eth1 blackhole priority 9", None),
    ("fwmark 0x10/255 type prohibit priority 9", rule(RuleAction.PROHIBIT, fwmark=16, fwmask=255)),
    ("tos EF unreachable priority 9", rule(RuleAction.UNREACHABLE, tos=0xB8)),
    ("goto 10 priority 9", rule(RuleAction.GOTO, target=10)),
    ("nop priority 9 no_track protocol 3", rule(RuleAction.NOP, protocol=3, tracked=False)),
    ("l3mdev priority 9", rule(table=None)),
    ("table 5 priority 9 realms cosmos/7 sup_pl 8", rule(realms=Realms(0, 7), suppressed_prefix_length=8)),
    ("table 5 priority 9 suppress_ifgroup wan", rule(suppressed_group=3)),
    ("table 5 priority 9 uidrange 5-6x tunnel-id 7", rule(users=Range(5, 6), tunnel_id=7)),
    (
        "table 5 priority 9 ipproto udp sport 1-2 dport 3-4",
        rule(ip_protocol=17, source_ports=Range(1, 2), destination_ports=Range(3, 4)),
    ),
]


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


# Back to text ----------------------------------------------------------------

LISTS = {
    "virtual_ipaddress_excluded": [line for line, _ in ADDRESSES + ADDRESSES_V6],
    "static_ipaddress": ["10.1.0.5/24 dev eth1 track_group G", "fe80::5"],
    "virtual_routes": [
        *(line for line, _ in ROUTES),
        "default dev eth0 or fe80::1",
        "10.0.0.0/8 dev eth0 via 10.1.0.1 or fe80::1 via 10.1.0.2",
    ],
    "static_routes": ["10.0.0.0/8 dev eth0 track_group G nexthop via 10.1.0.1"],
    "virtual_rules": [line for line, _ in RULES],
    "static_rules": ["iif eth0 table 5 track_group G", "from any to 10.0.0.0/8 nop"],
}


def entries(loaded: Loaded, block: str) -> tuple[Any, ...]:
    """The records that the entries of `block` became."""
    configuration = loaded.configuration
    one = configuration.instances[0]
    found: dict[str, tuple[Any, ...]] = {
        "virtual_ipaddress_excluded": one.excluded_addresses,
        "static_ipaddress": configuration.static_addresses,
        "virtual_routes": one.routes,
        "static_routes": configuration.static_routes,
        "virtual_rules": one.rules,
        "static_rules": configuration.static_rules,
    }
    return found[block]


@pytest.mark.parametrize("block", LISTS)
def test_text_of_entries_reads_the_same(tmp_path: Path, block: str) -> None:
    show = {
        "ipaddress": virtual_ipaddress.STATIC,
        "routes": routes.BLOCK,
        "rules": rules.BLOCK,
    }[block.split("_")[1]].show_entry
    assert show is not None
    before = entries(read_list(tmp_path, block, *LISTS[block]), block)
    assert before
    assert entries(read_list(tmp_path, block, *map(show, before)), block) == before


@pytest.mark.parametrize(
    "block",
    [
        virtual_ipaddress.ADDRESSES,
        virtual_ipaddress.EXCLUDED,
        virtual_ipaddress.STATIC,
        routes.BLOCK,
        routes.STATIC,
        rules.BLOCK,
        rules.STATIC,
    ],
    ids=lambda block: block.name,
)
def test_every_option_is_described(block: Any) -> None:
    assert block.entry_help
    for keyword in block.keywords.values():
        assert keyword.help, keyword.name
        assert keyword.read is not None, keyword.name
        assert not keyword.alias or keyword.alias in (*block.keywords, "::/0")


# Numbers and names -----------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "base", "expected"),
    [
        ("12", 0, (12, "", False)),
        ("012", 0, (10, "", False)),
        ("012", 10, (12, "", False)),
        ("0x1F/2", 0, (31, "/2", False)),
        ("0x", 0, (0, "x", False)),
        ("09", 0, (0, "9", False)),
        (" +7x", 10, (7, "x", False)),
        ("-1", 0, (2**64 - 1, "", False)),
        ("99999999999999999999", 10, (2**64 - 1, "", True)),
        ("ffg", 16, (255, "g", False)),
        ("", 0, (0, "", False)),
        ("x", 10, (0, "x", False)),
    ],
)
def test_numbers_as_in_c(text: str, base: int, expected: tuple[int, str, bool]) -> None:
    assert strtoul(text, base) == expected


def test_names_of_a_table() -> None:
    names = names_in("rt_tables", "# 1 comment\n#\n100 vpn\n254 principal\n0x10 hex # no\n-1 low\n101 vpn\n")
    assert names == {"vpn": 100, "principal": 254, "default": 253, "local": 255}
    assert names_in("rt_realms", "255 big\n256 bigger\n") == {"big": 255}
    assert names_in("protocols", "tcp 6 TCP # x\nudp 17\n") == {"tcp": 6, "TCP": 6, "udp": 17}
