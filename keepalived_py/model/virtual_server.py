"""IPVS services: virtual servers, the real servers behind them, and groups of addresses and marks.

Values are final: what a real server takes from its virtual server, and what
that takes from the global defaults, is filled in.  Where None stands for a
retry count, a delay or a warm-up, the health check decides by its kind.
"""

from __future__ import annotations

from enum import Enum
from ipaddress import IPv4Address

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address
from keepalived_py.base.record import Record
from keepalived_py.model.checks import Check
from keepalived_py.model.scripts import Command

DEFAULT_PERSISTENCE_S = 360


class Scheduler(Enum):
    """How IPVS picks the server of a new connection."""

    ROUND_ROBIN = "rr"
    WEIGHTED_ROUND_ROBIN = "wrr"
    LEAST_CONNECTION = "lc"
    WEIGHTED_LEAST_CONNECTION = "wlc"
    LOCALITY_LEAST_CONNECTION = "lblc"
    SOURCE_HASHING = "sh"
    MAGLEV_HASHING = "mh"
    DESTINATION_HASHING = "dh"
    FAILOVER = "fo"
    OVERFLOW = "ovf"
    LOCALITY_LEAST_CONNECTION_REPLICATION = "lblcr"
    SHORTEST_EXPECTED_DELAY = "sed"
    NEVER_QUEUE = "nq"
    TWO_CHOICES = "twos"


class Protocol(Enum):
    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"


class Forwarding(Enum):
    """How a packet gets to a real server: rewritten, on the same link, or through a tunnel."""

    NAT = "NAT"
    DIRECT = "DR"
    TUNNEL = "TUN"


class TunnelType(Enum):
    IPIP = "ipip"
    GUE = "gue"
    GRE = "gre"


class TunnelChecksum(Enum):
    NONE = "nocsum"
    FULL = "csum"
    REMOTE = "remcsum"


class ForwardingMethod(Record):
    """The way to a real server.  `port` is that of a GUE tunnel, 0 for any other."""

    forwarding: Forwarding = Forwarding.NAT
    tunnel: TunnelType = TunnelType.IPIP
    port: int = 0
    checksum: TunnelChecksum = TunnelChecksum.NONE


class AddressRange(Record):
    """Addresses of a group, both ends included; port 0 means all ports."""

    first: Address
    last: Address
    port: int = 0


class FirewallMark(Record):
    """A mark of a group; `family` is 4, 6 or None if it does not say."""

    mark: int
    family: int | None = None


GroupEntry = AddressRange | FirewallMark


class ServerGroup(Record):
    """A `virtual_server_group`: entries that share the real servers of a virtual server."""

    name: str
    entries: tuple[GroupEntry, ...] = ()


class SorryServer(Record):
    """Who serves while too few real servers are alive; `inhibit`: weight 0 instead of removal."""

    address: Address
    port: int = 0
    method: ForwardingMethod = ForwardingMethod()
    inhibit: bool = False


class RealServer(Record):
    """One server behind a virtual server.

    Port 0 means the port of the packet.  `inhibit_on_failure`: a failed server
    keeps its place with weight 0.  Thresholds count connections, 0 is no limit.
    `alpha`: it counts as failed until its first check succeeded.
    """

    address: Address
    port: int = 0
    weight: int = 1
    method: ForwardingMethod = ForwardingMethod()
    upper_threshold: int = 0
    lower_threshold: int = 0
    inhibit_on_failure: bool = False
    notify_up: Command | None = None
    notify_down: Command | None = None
    alpha: bool = False
    retry: int | None = None
    delay_before_retry_us: Micros | None = None
    warmup_us: Micros | None = None
    connect_timeout_us: Micros = Micros(5_000_000)
    delay_loop_us: Micros = Micros(60_000_000)
    smtp_alert: bool = True
    virtualhost: str | None = None
    snmp_name: str | None = None
    checks: tuple[Check, ...] = ()


class VirtualServer(Record):
    """One IPVS service: an address with a port, a firewall mark, or a group of those.

    Exactly one of `address`, `mark` and `group` is not None.  `ip_family` (4 or
    6) is that of a mark or group, None if a group has both.  `protocol` None:
    every protocol (marks).  `persistence_granularity` is a netmask (IPv4) or a
    prefix length (IPv6).  The flags 1 to 3 mean what the scheduler makes of them.
    `weight` and the values for checks are what real servers got that say nothing
    else.  `omega`: the scripts for failures are run at the end, too.
    """

    address: Address | None = None
    port: int = 0
    mark: int | None = None
    group: str | None = None
    ip_family: int | None = None
    retry: int | None = None
    delay_before_retry_us: Micros | None = None
    warmup_us: Micros | None = None
    connect_timeout_us: Micros = Micros(5_000_000)
    delay_loop_us: Micros = Micros(60_000_000)
    inhibit_on_failure: bool = False
    scheduler: Scheduler = Scheduler.WEIGHTED_LEAST_CONNECTION
    one_packet: bool = False
    flag_1: bool = False
    flag_2: bool = False
    flag_3: bool = False
    method: ForwardingMethod = ForwardingMethod()
    persistence_engine: str | None = None
    persistence_timeout_s: int | None = None
    persistence_granularity: IPv4Address | int | None = None
    protocol: Protocol | None = None
    ha_suspend: bool = False
    smtp_alert: bool = False
    virtualhost: str | None = None
    snmp_name: str | None = None
    alpha: bool = False
    omega: bool = False
    quorum_up: Command | None = None
    quorum_down: Command | None = None
    quorum: int = 1
    hysteresis: int = 0
    weight: int = 1
    sorry_server: SorryServer | None = None
    real_servers: tuple[RealServer, ...] = ()

    @property
    def family(self) -> int | None:
        """The address family of the service: 4, 6 or None if it has both."""
        return self.ip_family if self.address is None else self.address.version
