"""Addresses, routes and rules in the kernel: what keepalived puts there from a file, and what we do.

Both get the same file, with every option of the three static blocks, in two
network namespaces that are alike down to the hardware addresses; `ip` tells what
is there.  Routes that a kernel cannot have (MPLS, ILA without its modules) are
refused to both.
"""

import json
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from lab import wait
from program import Program
from space import Space, inside, run, sweep

from keepalived_py.base.names import InstanceName
from keepalived_py.config.host import RealHost
from keepalived_py.config.load import load
from keepalived_py.model.config import Configuration
from keepalived_py.model.effects import (
    AddAddress,
    AddRoute,
    AddRule,
    DeleteAddress,
    DeleteRoute,
    DeleteRule,
    KernelChange,
    Outcome,
)
from keepalived_py.system import loop
from keepalived_py.system.netlink import Kernel

pytestmark = pytest.mark.netns

STATIC = InstanceName("")
GATEWAY, OTHER, GATEWAY6 = "10.77.0.254", "10.77.0.253", "fd77::254"
ADDRESSES = """
10.78.0.5/24 dev eth0 label eth0:web scope site brd 10.78.0.255
10.78.1.5/24 dev eth0 brd +
10.78.2.5/24 dev eth0 brd -
10.78.3.5 dev eth0
10.78.4.5/24 dev eth0 home
10.78.5.5/24 dev eth0 noprefixroute
10.78.6.5/24 dev eth0 mngtmpaddr
10.78.7.5/24 dev eth0 autojoin
10.78.8.5 dev eth0 peer 10.78.9.5
10.78.10.5/24 dev eth0 scope link
10.78.11.5/24 dev eth1 scope host
10.78.12.5/24 dev eth0 preferred_lft 100
fd78::5/64 dev eth0
fd78:1::5 dev eth0
fd78:2::5/128 dev eth0 preferred_lft forever
fd78:3::5/64 dev eth0 preferred_lft 1000
fd78:4::5/64 dev eth0 home
fd78:5::5/64 dev eth0 noprefixroute
fd78:6::5 dev eth0 peer fd78:7::6
fd78:8::5/64 dev eth1 scope link
fd78:9::5/64 dev eth0 autojoin
"""
ROUTES = f"""
10.20.0.0/24 via {GATEWAY} dev eth0
10.20.1.0/24 via {GATEWAY}
default via {GATEWAY} dev eth0 metric 50
10.20.2.0/24 dev eth0 scope link src 10.77.0.1
10.20.3.0/24 via {GATEWAY} dev eth0 tos 0x10
10.20.4.0/24 via {GATEWAY} dev eth0 table 100
10.20.5.0/24 via {GATEWAY} dev eth0 table 1000
10.20.6.0/24 via {GATEWAY} dev eth0 protocol 4 no_track
10.20.7.0/24 via {GATEWAY} dev eth0 metric 7
10.20.8.0/24 via 10.99.0.254 dev eth0 onlink
10.20.9.0/24 via {GATEWAY} dev eth0 realms 3/4
10.20.10.0/24 via {GATEWAY} dev eth0 realms 5
10.20.11.0/24 via {GATEWAY} dev eth0 mtu 1400 advmss 1300 rtt 200 rttvar 100 rto_min 300 window 1000
10.20.12.0/24 via {GATEWAY} dev eth0 mtu lock 1400 advmss lock 1300 rtt lock 200 rttvar lock 100 rto_min lock 300
10.20.13.0/24 via {GATEWAY} dev eth0 reordering 5 cwnd 10 ssthresh 20 initcwnd 11 initrwnd 12 hoplimit 33
10.20.14.0/24 via {GATEWAY} dev eth0 reordering lock 5 cwnd lock 10 ssthresh lock 20
10.20.15.0/24 via {GATEWAY} dev eth0 features ecn quickack 1 fastopen_no_cookie 1
10.20.16.0/24 via {GATEWAY} dev eth0 quickack 0 fastopen_no_cookie 0
10.20.17.0/24 via {GATEWAY} dev eth0 congctl cubic
10.20.18.0/24 via {GATEWAY} dev eth0 congctl lock reno
blackhole 10.20.19.0/24
unreachable 10.20.20.0/24
prohibit 10.20.21.0/24
throw 10.20.22.0/24
local 10.20.23.0/24 dev lo
multicast 10.20.24.0/24 dev eth0
unicast 10.20.25.0/24 dev eth0
10.20.28.0/24 nexthop via {OTHER} dev eth0 weight 3 nexthop via {GATEWAY} dev eth0 weight 256
10.20.29.0/24 nexthop via 10.99.0.254 dev eth0 onlink nexthop via {GATEWAY} dev eth0 realms 7/8
10.20.30.0/24 nexthop dev eth0 weight 2 nexthop dev eth1
10.20.31.0/24 encap ip id 5 dst 10.77.0.77 src 10.77.0.1 tos 4 ttl 9 flags 1 via {GATEWAY} dev eth0
10.20.32.0/24 encap mpls 100/200 via {GATEWAY} dev eth0
10.20.33.0/24 encap ip6 id 5 dst fd00::77 via {GATEWAY} dev eth0
10.20.34.0/24 encap ila 1:2:3:4 via {GATEWAY} dev eth0
10.20.37.0/24 add via {GATEWAY} dev eth0
10.20.37.0/24 append via {OTHER} dev eth0
10.20.38.0/24 prepend via {GATEWAY} dev eth0
10.20.38.0/24 via {OTHER} dev eth0
10.20.39.0/24 ttl-propagate enabled via {GATEWAY} dev eth0
10.20.42.0/24 via {GATEWAY} or {OTHER}
10.20.43.0/24 via 10.88.0.1 dev eth0
10.20.44.0/24 src 10.88.0.1 dev eth0
10.20.45.1/24 via {GATEWAY} dev eth0
10.20.46.0/24 dev eth7
10.20.47.0/24 scope host dev eth0
fd20::/64 via {GATEWAY6} dev eth0
fd21::/64 via {GATEWAY6} dev eth0 metric 55
default6 via {GATEWAY6} dev eth0
fd23::/64 dev eth0 pref high
fd24::/64 dev eth0 pref low
fd25::/64 dev eth0 src fd77::1
fd26::/64 from fd77::/64 dev eth0
fd27::/64 via {GATEWAY6} dev eth0 table 200 mtu 1300 hoplimit 7
blackhole fd28::/64
unreachable fd29::/64
prohibit fd2a::/64
throw fd2b::/64
local fd2c::/64 dev lo
anycast fd2d::/64 dev eth0
fd2e::/64 nexthop via {GATEWAY6} dev eth0 weight 2 nexthop via fd77::253 dev eth0
fd30::/64 encap mpls 100 via {GATEWAY6} dev eth0
fd32::/64 via fe80::1 dev eth0 onlink
fd33::/64 via {GATEWAY6}
fd34::/64 dev eth0 add
fd34::/64 dev eth1 append
fd35::/64 dev eth0 metric 0
fd37::/64 dev eth0 scope link
"""
RULES = """
from 10.1.0.0/24 table 100 priority 1000
to 10.2.0.0/16 lookup 1000 preference 1001
from 10.1.0.0/24 to 10.2.0.0/16 table main order 1002
not from 10.3.0.0/24 table 101 priority 1003
iif eth0 table 102 priority 1004
oif eth0 table 103 priority 1005
tos 0x10 table 105 priority 1007
fwmark 5 table 106 priority 1008
fwmark 0x10/0xff table 107 priority 1009
fwmark 0/0xff table 121 priority 1010
from 10.4.0.0/24 realms 3/4 table 108 priority 1011
from 10.5.0.0/24 suppress_prefixlength 8 table 109 priority 1012
from 10.6.0.0/24 suppress_ifgroup 3 table 110 priority 1013
tunnel-id 77 table 111 priority 1014
uidrange 100-200 table 112 priority 1015
l3mdev priority 1016
from 10.7.0.0/24 protocol 5 no_track table 113 priority 1017
ipproto tcp table 114 priority 1018
ipproto udp sport 100-200 dport 300-300 table 115 priority 1019
from 10.8.0.0/24 goto 5000 priority 1020
from 10.9.0.0/24 nop priority 1021
from 10.10.0.0/24 blackhole priority 1022
from 10.11.0.0/24 type unreachable priority 1023
from 10.12.0.0/24 prohibit priority 1024
from all table 116 priority 1025
from default to any table 117 priority 1026
from 10.13.0.0/24 table 118
from 10.14.0.0/24 table 119
from fd00:1::/64 table 100 priority 2000
to fd00:2::/64 table 2000 priority 2001
not from fd00:3::/64 iif eth0 table 101 priority 2002
inet6 inet6 fwmark 9 table 102 priority 2003
inet6 inet6 tos 4 table 103 priority 2004
from fd00:5::/64 uidrange 1-2 table 104 priority 2005
from fd00:6::/64 blackhole priority 2006
from fd00:7::/64 goto 6000 priority 2007
from fd00:8::/64 suppress_prefixlength 0 table main priority 2008
from fd00:a::/64 ipproto 17 sport 5-6 table 106 priority 2010
from fd00:b::/64 table 107
"""
# Two tunnels that keepalived loses on the way: a message of more than 128 bytes, and one in a next hop.
LONG_TUNNEL = f"fd20::/64 encap ip6 id 5 dst fd00::77 src fd77::1 tc 4 hoplimit 9 via {GATEWAY6} dev eth0"
HOP_TUNNEL = f"10.20.0.0/24 nexthop via {OTHER} encap ip id 6 dst 10.77.0.78 nexthop via {GATEWAY}"

Tables = dict[str, list[Any]]


@pytest.fixture
def spaces() -> Iterator[tuple[Space, Space]]:
    """Two networks of one node, alike, with IPv6 and a second interface."""
    sweep()
    made = [Space(nodes=1), Space(nodes=1)]
    try:
        for space in made:
            _furnish(space.up())
        yield made[0], made[1]
    finally:
        for space in made:
            space.down()


def _furnish(space: Space) -> None:
    space.ip(1, "link", "add", "eth1", "type", "veth", "peer", "name", "eth9")
    for name, mac in (("eth1", "02:00:00:00:01:01"), ("eth9", "02:00:00:00:01:09")):
        space.ip(1, "link", "set", name, "address", mac, "up")
    scopes = ("all", "default", "lo", "eth0", "eth1", "eth9")
    knobs = [
        f"net.ipv6.conf.{scope}.{knob}" for knob in ("accept_dad=0", "disable_ipv6=0") for scope in scopes
    ]
    run("ip", "netns", "exec", space.node(1), "sysctl", "-qw", *knobs)
    space.ip(1, "addr", "add", "fd77::1/64", "dev", "eth0", "nodad")
    space.ip(1, "addr", "add", "10.70.0.1/24", "dev", "eth1")

    def settled() -> bool:
        states = {link["ifname"]: link["operstate"] for link in json.loads(space.ip(1, "-j", "link", "show"))}
        if any(states[name] != "UP" for name in ("eth0", "eth1", "eth9")):
            return False
        return "tentative" not in space.ip(1, "addr", "show") and not _without_carrier(space)

    wait(settled, 8, "links and own addresses are settled")


def _without_carrier(space: Space) -> bool:
    """The kernel notices a carrier up to a second late, and marks routes until then."""
    return any("linkdown" in space.ip(1, family, "route", "show", "table", "all") for family in ("-4", "-6"))


def tables(space: Space) -> Tables:
    """All addresses, routes and rules of the node as `ip` tells them."""
    asked = {
        "routes": ("-4", "route", "show", "table", "all"),
        "routes of IPv6": ("-6", "route", "show", "table", "all"),
        "rules": ("-4", "rule", "show"),
        "rules of IPv6": ("-6", "rule", "show"),
    }
    found: Tables = {what: json.loads(space.ip(1, "-d", "-j", *words)) for what, words in asked.items()}
    for link in json.loads(space.ip(1, "-d", "-j", "addr", "show")):
        found[f"addresses of {link['ifname']}"] = link["addr_info"]
    return found


def file_of(path: Path, addresses: str = "", routes: str = "", rules: str = "") -> Path:
    blocks = {"static_ipaddress": addresses, "static_routes": routes, "static_rules": rules}
    lines = ["global_defs {", "dynamic_interfaces allow_if_changes", "}"]
    for name, entries in blocks.items():
        lines += [f"{name} {{", entries, "}"]
    lines += ["vrrp_instance idle {", "interface eth0", "virtual_router_id 1"]
    lines += ["virtual_ipaddress {", "10.77.9.9", "}", "}", ""]
    path.write_text("\n".join(lines))
    return path


def adding(configuration: Configuration) -> list[KernelChange]:
    return [
        *(AddAddress(STATIC, one) for one in configuration.static_addresses),
        *(AddRoute(STATIC, one) for one in configuration.static_routes),
        *(AddRule(STATIC, one) for one in configuration.static_rules),
    ]


def deleting(configuration: Configuration) -> list[KernelChange]:
    return [
        *(DeleteRule(STATIC, one) for one in configuration.static_rules),
        *(DeleteRoute(STATIC, one) for one in configuration.static_routes),
        *(DeleteAddress(STATIC, one) for one in configuration.static_addresses),
    ]


async def _applied(changes: Sequence[KernelChange]) -> Sequence[Outcome]:
    kernel = Kernel()
    await kernel.open()
    try:
        return await kernel.apply(changes)
    finally:
        await kernel.close()


def apply(space: Space, changes: Sequence[KernelChange]) -> Sequence[Outcome]:
    """Have our kernel room make `changes` on the node, all in one request."""
    with inside(space.node(1)):
        return loop.run(_applied(changes))


@dataclass(frozen=True, slots=True)
class Seen:
    """What stood in the tables before, while it ran, and after it had stopped."""

    before: Tables
    held: Tables
    after: Tables


def seen_of_keepalived(space: Space, directory: Path, config: Path) -> Seen:
    before = tables(space)
    program = Program("real", space.node(1), directory, config.read_text())
    try:
        wait(lambda: program.logged("Startup complete") or not program.alive(), 8, "keepalived has started")
        assert program.alive(), program.tail()
        held = tables(space)
        program.send(signal.SIGTERM)
        program.wait_end()
    finally:
        program.close()
    return Seen(before, held, tables(space))


def seen_of_ours(space: Space, config: Path) -> Seen:
    before = tables(space)
    with inside(space.node(1)):
        configuration = load(str(config), config_id="", host=RealHost()).configuration
    apply(space, adding(configuration))
    held = tables(space)
    apply(space, deleting(configuration))
    return Seen(before, held, tables(space))


def differences(real: Tables, ours: Tables) -> list[str]:
    """What stands in one of them only, or in another place."""
    found = []
    for what in sorted(real.keys() | ours.keys()):
        for expected, other in zip_longest(real.get(what, ()), ours.get(what, ())):
            if expected != other:
                found.append(f"{what}: {expected} != {other}")
    return found


@pytest.mark.parametrize(
    ("addresses", "routes", "rules"),
    [(ADDRESSES, "", ""), ("", ROUTES, ""), ("", "", RULES)],
    ids=("addresses", "routes", "rules"),
)
def test_tables_are_the_same(
    spaces: tuple[Space, Space],
    tmp_path: Path,
    addresses: str,
    routes: str,
    rules: str,
) -> None:
    """With all options; keepalived 2.2.7 leaves an address with a peer behind, and we do not."""
    config = file_of(tmp_path / "keepalived.conf", addresses, routes, rules)
    real = seen_of_keepalived(spaces[0], tmp_path / "real", config)
    ours = seen_of_ours(spaces[1], config)
    assert differences(real.before, ours.before) == []
    assert differences(real.held, ours.held) == []
    assert ours.held != ours.before
    assert ours.after == ours.before
    if not addresses:
        assert real.after == real.before


@pytest.mark.parametrize("route", [LONG_TUNNEL, HOP_TUNNEL])
def test_tunnels_that_keepalived_loses(spaces: tuple[Space, Space], tmp_path: Path, route: str) -> None:
    """It has the route without its tunnel; we have both."""
    config = file_of(tmp_path / "keepalived.conf", routes=route)
    real = seen_of_keepalived(spaces[0], tmp_path / "real", config)
    ours = seen_of_ours(spaces[1], config)
    assert '"encap"' not in json.dumps(real.held)
    assert '"encap"' in json.dumps(ours.held)
    assert ours.after == ours.before
