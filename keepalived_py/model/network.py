"""Addresses, routes and rules: what is put into the kernel for whoever holds an instance.

Numbers are the kernel's own (linux/rtnetlink.h, linux/fib_rules.h).  None means
that keepalived leaves the choice to the kernel.
"""

from __future__ import annotations

from enum import Enum, IntEnum
from ipaddress import IPv4Address

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address, InterfaceName
from keepalived_py.base.record import Record

TABLE_MAIN = 254
PROTOCOL_KEEPALIVED = 18


class VirtualAddress(Record):
    """One address that follows the master, or (`static_ipaddress`) that is there from the start.

    `scope` is the kernel's number (0 global, 253 link, 254 host).  `broadcast`
    None leaves it unset.  `tracked` False (`no_track`): its removal by others is ignored.
    `preferred_lifetime_s` None: for ever.  `detects_duplicates`: the kernel
    may test whether the IPv6 address is free before it is used.
    `track_group`: only of static ones; the group that fails if it is lost.
    """

    address: Address
    prefix_length: int
    interface: InterfaceName
    label: str | None = None
    scope: int = 0
    broadcast: IPv4Address | None = None
    peer: Address | None = None
    peer_prefix_length: int | None = None
    tracked: bool = True
    home: bool = False
    mngtmpaddr: bool = False
    noprefixroute: bool = False
    preferred_lifetime_s: int | None = None
    autojoin: bool = False
    detects_duplicates: bool = False
    use_vmac: bool = False
    track_group: str | None = None

    def __str__(self) -> str:
        bits = "" if self.prefix_length == self.address.max_prefixlen else f"/{self.prefix_length}"
        return f"{self.address}{bits} dev {self.interface}"


class Prefix(Record):
    """Addresses that agree in their first `length` bits; the others are kept as they were written."""

    address: Address
    length: int

    @property
    def family(self) -> int:
        """4 or 6."""
        return self.address.version

    def __str__(self) -> str:
        return (
            str(self.address)
            if self.length == self.address.max_prefixlen
            else f"{self.address}/{self.length}"
        )


class Realms(Record):
    """Routing realms, 0..255; 0 is none."""

    source: int
    destination: int

    def __str__(self) -> str:
        return f"{self.source}/{self.destination}" if self.source else str(self.destination)


class Range(Record):
    """Numbers from `first` to `last`, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


# Encapsulation ---------------------------------------------------------------


class MplsEncapsulation(Record):
    """A stack of MPLS labels, the outermost first."""

    labels: tuple[int, ...]


class IpEncapsulation(Record):
    """A tunnel over IPv4, or over IPv6 if `version` is 6.  `tunnel_id` or `destination` is there.

    `tos` is called traffic class, and `ttl` hop limit, in IPv6.
    """

    version: int
    tunnel_id: int | None = None
    destination: Address | None = None
    source: Address | None = None
    tos: int | None = None
    ttl: int | None = None
    flags: int | None = None


class IlaEncapsulation(Record):
    """The upper 64 bits (the locator) that an ILA translation puts into an address."""

    locator: int


Encapsulation = MplsEncapsulation | IpEncapsulation | IlaEncapsulation


# Routes ----------------------------------------------------------------------


class RouteType(IntEnum):
    """The kernel's kinds of route that have a name (RTN_*)."""

    UNICAST = 1
    LOCAL = 2
    BROADCAST = 3
    ANYCAST = 4
    MULTICAST = 5
    BLACKHOLE = 6
    UNREACHABLE = 7
    PROHIBIT = 8
    THROW = 9
    NAT = 10
    XRESOLVE = 11


class Placement(Enum):
    """What happens when a like route is there already."""

    ADD = "add"  # refuse the new one
    PREPEND = "prepend"  # the new one comes first
    APPEND = "append"  # the new one comes last


class NextHop(Record):
    """One of several ways that a route may take, with its share `weight` (1..256)."""

    gateway: Address | None = None
    interface: InterfaceName | None = None
    weight: int = 1
    onlink: bool = False
    encapsulation: Encapsulation | None = None
    realms: Realms | None = None


class Route(Record):
    """A route, with iproute2's options.

    `type` is a number of `RouteType` or another one; None: unicast, because none was named.
    `table` is that of the device `vrf` if that is given.  `locked` holds the
    names of the metrics that path discovery must not change.  `tracked`: the
    instance is at fault while others have taken the route away.
    `rtt_us` has steps of 125, `rttvar_us` of 250, `rto_min_us` of 1000 microseconds.
    """

    destination: Prefix
    type: int | None = None
    source: Prefix | None = None
    preferred_source: Address | None = None
    gateway: Address | None = None
    interface: InterfaceName | None = None
    next_hops: tuple[NextHop, ...] = ()
    onlink: bool = False
    encapsulation: Encapsulation | None = None
    table: int = TABLE_MAIN
    vrf: InterfaceName | None = None
    protocol: int | None = None
    scope: int | None = None
    tos: int | None = None
    metric: int | None = None
    realms: Realms | None = None
    expires_s: int | None = None
    mtu: int | None = None
    hop_limit: int | None = None
    advertised_mss: int | None = None
    rtt_us: Micros | None = None
    rttvar_us: Micros | None = None
    rto_min_us: Micros | None = None
    reordering: int | None = None
    window: int | None = None
    congestion_window: int | None = None
    slow_start_threshold: int | None = None
    initial_congestion_window: int | None = None
    initial_receive_window: int | None = None
    ecn: bool = False
    quick_ack: bool | None = None
    congestion_control: str | None = None
    router_preference: int | None = None
    ttl_propagate: bool | None = None
    fastopen_no_cookie: bool | None = None
    locked: frozenset[str] = frozenset()
    placement: Placement = Placement.PREPEND
    tracked: bool = True
    track_group: str | None = None

    @property
    def family(self) -> int:
        """4 or 6."""
        return self.destination.family


# Rules -----------------------------------------------------------------------


class RuleAction(Enum):
    """What a rule does with the packets it matches."""

    TABLE = "table"
    GOTO = "goto"
    NOP = "nop"
    BLACKHOLE = "blackhole"
    UNREACHABLE = "unreachable"
    PROHIBIT = "prohibit"


class Rule(Record):
    """A policy rule: which packets it matches, and what is done with them.

    `table` is looked up for action TABLE; None: that of the packet's L3 master
    device (`l3mdev`).  `target` is the priority of the rule to go on with (GOTO).
    `suppressed_prefix_length`: routes found with a prefix not longer than this
    are not used; `suppressed_group`: nor those over an interface of this group.
    """

    family: int
    priority: int
    action: RuleAction
    table: int | None = None
    target: int | None = None
    inverted: bool = False
    source: Prefix | None = None
    destination: Prefix | None = None
    input_interface: InterfaceName | None = None
    output_interface: InterfaceName | None = None
    tos: int | None = None
    fwmark: int | None = None
    fwmask: int | None = None
    realms: Realms | None = None
    suppressed_prefix_length: int | None = None
    suppressed_group: int | None = None
    tunnel_id: int | None = None
    users: Range | None = None
    ip_protocol: int | None = None
    source_ports: Range | None = None
    destination_ports: Range | None = None
    protocol: int | None = None
    tracked: bool = True
    track_group: str | None = None
