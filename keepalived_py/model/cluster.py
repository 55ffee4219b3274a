"""A keep-vip cluster: members that elect a leader by Raft, and the leader holds one address.

What keep-vip's YAML says, after all corrections.  Host names stay as they were
written where keep-vip resolves them at every connection.
"""

from __future__ import annotations

from enum import Enum
from ipaddress import IPv4Address

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address
from keepalived_py.base.record import Record


class Endpoint(Record):
    """A host and a port to connect to or to listen at; host "" is every address of the machine."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Member(Record):
    """One node of the cluster, with the address and TCP port at which it speaks Raft."""

    id: str
    address: Address
    port: int

    @property
    def endpoint(self) -> Endpoint:
        """Where the others reach it."""
        return Endpoint(str(self.address), self.port)


class TcpCheck(Record):
    """A port that must accept connections within `timeout_us`; if not, the member gives up the lead."""

    name: str
    endpoint: Endpoint
    timeout_us: Micros


class Prometheus(Record):
    """Where the metrics are served, under `/metrics`."""

    enabled: bool = False
    endpoint: Endpoint | None = None


class BalancerKind(Enum):
    """What a load balancer forwards."""

    TCP = "tcp"
    UDP = "udp"
    HTTP = "http"


class Backend(Record):
    """One server behind a load balancer."""

    name: str
    endpoint: Endpoint


class LoadBalancer(Record):
    """A proxy in user space, round robin, on every member whether it leads or not."""

    name: str
    bind: Endpoint
    kind: BalancerKind = BalancerKind.TCP
    backends: tuple[Backend, ...] = ()


class Cluster(Record):
    """The whole file.

    The leader has `vip` as a /32 on `interface`, looks every
    `checks_interval_us` whether it is there, announces it and runs `checks`.
    `name` only labels the metrics.  `exit_on_check_failure`: a leader whose check fails ends, and
    leaves it to its supervisor to start it anew; else it only gives up the lead.  `key_file`,
    `data_directory` ("": none) and `timing` (the name of a preset) are unknown to keep-vip.
    """

    name: str
    interface: str
    vip: IPv4Address
    checks_interval_us: Micros
    members: tuple[Member, ...]
    checks: tuple[TcpCheck, ...] = ()
    prometheus: Prometheus = Prometheus()
    load_balancers: tuple[LoadBalancer, ...] = ()
    exit_on_check_failure: bool = False
    key_file: str = ""
    data_directory: str = ""
    timing: str = "lan"
