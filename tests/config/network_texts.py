"""Lists of addresses, routes and rules as text, and what they mean."""

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

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
