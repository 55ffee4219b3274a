"""Virtual routers and their groups."""

from __future__ import annotations

from enum import Enum
from ipaddress import IPv4Address

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address, GroupName, InstanceName, InterfaceName
from keepalived_py.base.record import Record
from keepalived_py.model.globals import Election
from keepalived_py.model.network import Route, Rule, VirtualAddress
from keepalived_py.model.scripts import Command
from keepalived_py.model.tracking import (
    TrackedBfd,
    TrackedCheck,
    TrackedFile,
    TrackedInterface,
    TrackedProcess,
    TrackedScript,
)


class AuthType(Enum):
    """Authentication type byte of a VRRPv2 advert (RFC 2338 section 5.3.6)."""

    NONE = 0
    PASS = 1
    AH = 2


class InitialState(Enum):
    """The role an instance may take at once when it starts."""

    MASTER = "MASTER"
    BACKUP = "BACKUP"


class AntiReplay(Enum):
    """How `auth_hmac` refuses adverts that were heard before."""

    TIME = "time"
    MONOTONIC = "monotonic"


class HmacMode(Enum):
    """What `auth_hmac` does with adverts that have no trailer, and whether ours have one."""

    ENFORCE = "enforce"
    PERMISSIVE = "permissive"
    RECEIVE_ONLY = "receive-only"


class UnicastChecksum(Enum):
    """Whether VRRPv3 unicast adverts use the checksum of keepalived before 1.3.7."""

    AUTO = "auto"
    OLD = "old"
    NEVER = "never"


class IpvlanMode(Enum):
    """The isolation of an ipvlan interface from its siblings (ip-link(8))."""

    BRIDGE = "bridge"
    PRIVATE = "private"
    VEPA = "vepa"


class HmacKey(Record, secret=("value",)):
    """A signing key of 32 to 64 bytes.  `file`: where it was read from."""

    id: int
    value: bytes
    file: str | None = None


class AuthHmac(Record):
    """`auth_hmac`: a signed trailer on every advert.

    `time_window_s` is how far the clocks may differ; 0 asks for no such check.
    """

    keys: tuple[HmacKey, ...] = ()
    active_key: int = 0
    time_window_s: int = 0
    anti_replay: AntiReplay = AntiReplay.TIME
    mode: HmacMode = HmacMode.ENFORCE


class Vmac(Record):
    """`use_vmac`: the instance lives on a macvlan with the virtual MAC address.

    None leaves the name or the address to be chosen when it starts.
    """

    interface: InterfaceName | None = None
    mac: bytes | None = None
    netlink_notify: bool = False
    group: str | None = None


class Ipvlan(Record):
    """`use_ipvlan`: the instance lives on an ipvlan with an address of its own."""

    interface: InterfaceName | None = None
    address: Address | None = None
    prefix_length: int | None = None
    mode: IpvlanMode = IpvlanMode.BRIDGE
    group: str | None = None


class UnicastPeer(Record):
    """A peer that gets adverts of its own; its adverts need a TTL within the limits."""

    address: Address
    min_ttl: int = 0
    max_ttl: int = 255


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


class ExtraInterfaces(Record):
    """Announcements repeated on interfaces other than the instance's own (`garp_extra_if`).

    Every `interval_us` (0: never) on VMACs, or with `every` on all of them.
    """

    interval_us: Micros = Micros(0)
    every: bool = False


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
    extra_interfaces: ExtraInterfaces = ExtraInterfaces()


class Instance(Record, secret=("auth_data",)):
    """One `vrrp_instance`.

    `interface` is the one that the instance lives on: the configured one, or the device that is made
    for it (`use_vmac`, `use_ipvlan`); `base_interface` is then the configured one.  "": unicast
    without an interface.  `configured_state` is the role the file asks for; `initial_state` the one
    that may be taken at once.  `multicast_destination` is the instance's own
    group, `destination` the one that is used.  `unicast_ttl` None: 255 (IPv4)
    or the kernel's choice.  `late_priority`: when a timer ran late by more
    than the skew of this priority the instance goes BACKUP.  `owner_ignore_adverts`
    and `v3_checksum_as_v2` None: off, since nothing asks for it.  With `election` RAFT there are no
    adverts, and `vrid` may be 0.  `dead_man`: the kernel shuts the addresses off when a MASTER has
    not sent adverts for so long that a BACKUP may have taken over.
    """

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
    track_checks: tuple[TrackedCheck, ...] = ()
    track_interfaces: tuple[TrackedInterface, ...] = ()
    track_primary: bool = True
    notifies: Notifies = Notifies()
    garp: GratuitousArp = GratuitousArp()
    strict: bool = False
    skip_check_adv_addr: bool = False
    lower_priority_no_advert: bool = False
    higher_priority_send_advert: bool = False
    family: int = 4
    configured_state: InitialState = InitialState.BACKUP
    multicast_destination: Address | None = None
    unicast_peers: tuple[UnicastPeer, ...] = ()
    unicast_fault_no_peer: bool = False
    check_unicast_source: bool = False
    unicast_ttl: int | None = None
    unicast_checksum: UnicastChecksum = UnicastChecksum.AUTO
    v3_checksum_as_v2: bool | None = None
    vmac: Vmac | None = None
    vmac_addresses: bool = False
    vmac_xmit_base: bool = False
    ipvlan: Ipvlan | None = None
    vrf: InterfaceName | None = None
    track_source: bool = False
    track_files: tuple[TrackedFile, ...] = ()
    track_processes: tuple[TrackedProcess, ...] = ()
    track_bfds: tuple[TrackedBfd, ...] = ()
    routes: tuple[Route, ...] = ()
    rules: tuple[Rule, ...] = ()
    allow_no_addresses: bool = False
    promote_secondaries: bool = False
    linkbeat_use_polling: bool = False
    accept: bool = True
    debug: int = 0
    smtp_alert: bool = False
    notify_priority_changes: bool = False
    lvs_sync_interface: InterfaceName | None = None
    late_priority: int | None = None
    owner_ignore_adverts: bool | None = None
    receive_buffer_bytes: int | None = None
    auth_hmac: AuthHmac | None = None
    base_interface: InterfaceName | None = None
    election: Election = Election.VRRP
    dead_man: bool = False

    @property
    def configured_interface(self) -> InterfaceName:
        """The interface that the configuration names."""
        return self.interface if self.base_interface is None else self.base_interface

    @property
    def advert_interface(self) -> InterfaceName:
        """The interface whose socket sends and hears the adverts."""
        return self.configured_interface if self.vmac_xmit_base else self.interface

    @property
    def unicast(self) -> bool:
        """Whether adverts go to peers and not to a group."""
        return bool(self.unicast_peers)


class SyncGroup(Record):
    """A `vrrp_sync_group`: its members are MASTER, BACKUP or FAULT together.

    `notify_priority_changes` None: as each member has it.
    """

    name: GroupName
    members: tuple[InstanceName, ...]
    notifies: Notifies = Notifies()
    tracking_weight: bool = False
    track_scripts: tuple[TrackedScript, ...] = ()
    track_checks: tuple[TrackedCheck, ...] = ()
    track_interfaces: tuple[TrackedInterface, ...] = ()
    track_files: tuple[TrackedFile, ...] = ()
    track_processes: tuple[TrackedProcess, ...] = ()
    track_bfds: tuple[TrackedBfd, ...] = ()
    smtp_alert: bool = False
    notify_priority_changes: bool | None = None


class TrackGroup(Record):
    """A `track_group`: instances that fault when a static address, route or rule vanishes."""

    name: GroupName
    members: tuple[InstanceName, ...]
