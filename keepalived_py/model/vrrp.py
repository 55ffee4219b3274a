"""Virtual routers and their groups."""

from enum import Enum
from ipaddress import IPv4Address

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address, GroupName, InstanceName, InterfaceName
from keepalived_py.base.record import Record
from keepalived_py.model.network import VirtualAddress
from keepalived_py.model.scripts import Command
from keepalived_py.model.tracking import TrackedInterface, TrackedScript


class AuthType(Enum):
    """Authentication type byte of a VRRPv2 advert (RFC 2338 section 5.3.6)."""

    NONE = 0
    PASS = 1
    AH = 2


class InitialState(Enum):
    """The role an instance may take at once when it starts."""

    MASTER = "MASTER"
    BACKUP = "BACKUP"


class Notifies(Record):
    """Scripts run on a role change.  None: not configured (or refused)."""

    master: Command | None = None
    backup: Command | None = None
    fault: Command | None = None
    stop: Command | None = None
    deleted: Command | None = None
    any: Command | None = None
    master_rx_lower_priority: Command | None = None
    report_deleted: bool = False


class GratuitousArp(Record):
    """How often an address is announced (keepalived.conf `garp_*`).

    A burst of `repeat` at once, another after `delay_us` (0: none), then every
    `refresh_us` (0: never) a burst of `refresh_repeat`.  `lower_priority_*`
    is the burst after a lower-priority advert was heard by a master.
    """

    repeat: int = 5
    delay_us: Micros = Micros(5_000_000)
    refresh_us: Micros = Micros(0)
    refresh_repeat: int = 1
    lower_priority_repeat: int = 5
    lower_priority_delay_us: Micros = Micros(5_000_000)


class Instance(Record, secret=("auth_data",)):
    """One `vrrp_instance`."""

    name: InstanceName
    interface: InterfaceName
    vrid: int
    base_priority: int = 100
    version: int = 2
    initial_state: InitialState = InitialState.BACKUP
    preempt: bool = True
    preempt_delay_us: Micros = Micros(0)
    advert_interval_us: Micros = Micros(1_000_000)
    down_timer_adverts: int = 3
    auth_type: AuthType = AuthType.NONE
    auth_data: bytes = b""
    source: Address | None = None
    destination: Address = IPv4Address("224.0.0.18")
    addresses: tuple[VirtualAddress, ...] = ()
    excluded_addresses: tuple[VirtualAddress, ...] = ()
    track_scripts: tuple[TrackedScript, ...] = ()
    track_interfaces: tuple[TrackedInterface, ...] = ()
    track_primary: bool = True
    notifies: Notifies = Notifies()
    garp: GratuitousArp = GratuitousArp()
    strict: bool = False
    skip_check_adv_addr: bool = False
    lower_priority_no_advert: bool = False
    higher_priority_send_advert: bool = False


class SyncGroup(Record):
    """A `vrrp_sync_group`: its members are MASTER, BACKUP or FAULT together."""

    name: GroupName
    members: tuple[InstanceName, ...]
    notifies: Notifies = Notifies()
    tracking_weight: bool = False
    track_scripts: tuple[TrackedScript, ...] = ()
    track_interfaces: tuple[TrackedInterface, ...] = ()
