"""The kernel's table of virtual services (IPVS): what stands in it, and what may be changed.

A virtual server of a configuration is one or several services of the kernel: a
group has one for each of its addresses and marks.  What identifies a service or
a destination and what can be edited about it are separate values here, as they
are in the kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from ipaddress import IPv4Address
from typing import NamedTuple

from keepalived_py.base.names import Address
from keepalived_py.model.globals import LvsTimeouts, SyncDaemon
from keepalived_py.model.virtual_server import ForwardingMethod, Protocol, Scheduler


class Service(NamedTuple):
    """What identifies a service: an address with protocol and port, or a firewall mark.

    `family` is 4 or 6.  With a mark (not 0) there is no address, no protocol, and the port is 0.
    """

    family: int
    protocol: Protocol | None = None
    address: Address | None = None
    port: int = 0
    mark: int = 0

    def __str__(self) -> str:
        if self.address is None or self.protocol is None:
            return f"FWM {self.mark}"
        return f"{self.address}:{self.protocol.value.lower()}:{self.port}"


class ServiceSettings(NamedTuple):
    """What can be edited about a service.  `granularity`: netmask (IPv4) or prefix length (IPv6)."""

    scheduler: Scheduler
    one_packet: bool = False
    flag_1: bool = False
    flag_2: bool = False
    flag_3: bool = False
    persistence_s: int | None = None
    granularity: IPv4Address | int | None = None
    engine: str | None = None


class Destination(NamedTuple):
    """What identifies a server of a service; port 0: that of the packet."""

    address: Address
    port: int = 0

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"


class DestinationSettings(NamedTuple):
    """What can be edited about a server.  Thresholds count connections, 0 is no limit."""

    weight: int = 1
    method: ForwardingMethod = ForwardingMethod()
    upper_threshold: int = 0
    lower_threshold: int = 0


class AddService(NamedTuple):
    """Put a service into the table."""

    service: Service
    settings: ServiceSettings


class EditService(NamedTuple):
    """Change a service; its servers and connections stay."""

    service: Service
    settings: ServiceSettings


class DeleteService(NamedTuple):
    """Take a service out, with all its servers."""

    service: Service


class AddDestination(NamedTuple):
    """Give a service one more server."""

    service: Service
    destination: Destination
    settings: DestinationSettings


class EditDestination(NamedTuple):
    """Change a server of a service; its connections stay."""

    service: Service
    destination: Destination
    settings: DestinationSettings


class DeleteDestination(NamedTuple):
    """Take a server out of a service."""

    service: Service
    destination: Destination


class FlushTable(NamedTuple):
    """Take everything out of the table, also what is not ours."""


class SetTimeouts(NamedTuple):
    """Set the time-outs of connections."""

    timeouts: LvsTimeouts


class SyncRole(Enum):
    """Which end of the synchronisation of connections; the values are the kernel's."""

    MASTER = 1
    BACKUP = 2


class StartSync(NamedTuple):
    """Start one end of the synchronisation.  `sync_id`: 0 to 255."""

    role: SyncRole
    sync_id: int
    settings: SyncDaemon


class StopSync(NamedTuple):
    """Stop one end of the synchronisation."""

    role: SyncRole
    sync_id: int
    settings: SyncDaemon


TableChange = (
    AddService
    | EditService
    | DeleteService
    | AddDestination
    | EditDestination
    | DeleteDestination
    | FlushTable
)
IpvsChange = TableChange | SetTimeouts | StartSync | StopSync


class Counters(NamedTuple):
    """Since the entry was made, or its counters were zeroed.  The rates are per second."""

    connections: int = 0
    packets_in: int = 0
    packets_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    connection_rate: int = 0
    packet_rate_in: int = 0
    packet_rate_out: int = 0
    byte_rate_in: int = 0
    byte_rate_out: int = 0


class DestinationEntry(NamedTuple):
    """A server as the kernel has it."""

    settings: DestinationSettings
    active: int = 0
    inactive: int = 0
    persistent: int = 0
    counters: Counters = Counters()


class ServiceEntry(NamedTuple):
    """A service as the kernel has it."""

    settings: ServiceSettings
    destinations: Mapping[Destination, DestinationEntry]
    counters: Counters = Counters()


Table = Mapping[Service, ServiceEntry]
