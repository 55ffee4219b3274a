"""The intermediate model: a configuration after all defaults and normalisations.

Every value is final: defaults are filled in, globals are merged into the
instances, corrections that keepalived makes at start (rounded intervals,
impossible combinations) have been made and reported.  Durations are
microseconds.  Address lists keep their order, which is the order on the wire.
"""

from enum import Enum
from ipaddress import IPv4Address

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address, GroupName, InstanceName, InterfaceName, ScriptName
from keepalived_py.base.record import Record


class AuthType(Enum):
    """Authentication type byte of a VRRPv2 advert (RFC 2338 section 5.3.6)."""

    NONE = 0
    PASS = 1
    AH = 2


class InitialState(Enum):
    """The role an instance may take at once when it starts."""

    MASTER = "MASTER"
    BACKUP = "BACKUP"


class Command(Record):
    """A program with its arguments and the user it runs as.  `argv[0]` is an absolute path."""

    argv: tuple[str, ...]
    uid: int
    gid: int

    def __str__(self) -> str:
        return " ".join(self.argv)


class VirtualAddress(Record):
    """One address that follows the master.

    `scope` is the kernel's number (0 global, 253 link, 254 host).  `broadcast`
    None leaves it unset.  `tracked` False (`no_track`): its removal by others is ignored.
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

    def __str__(self) -> str:
        bits = "" if self.prefix_length == self.address.max_prefixlen else f"/{self.prefix_length}"
        return f"{self.address}{bits} dev {self.interface}"


class TrackedScript(Record):
    """A script in a `track_script` block.  `weight` 0 means: failure is a fault."""

    name: ScriptName
    weight: int = 0
    reverse: bool = False


class TrackedInterface(Record):
    """An interface in a `track_interface` block.  `weight` 0 means: down is a fault."""

    name: InterfaceName
    weight: int = 0
    reverse: bool = False


class CheckScript(Record):
    """A `vrrp_script`: run every `interval_us`, start to start; killed after `timeout_us`."""

    name: ScriptName
    command: Command
    interval_us: Micros
    timeout_us: Micros
    rise: int = 1
    fall: int = 1


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


class Globals(Record):
    """What `global_defs` and the top level say about the whole program."""

    router_id: str = ""
    script_security: bool = False
    dynamic_interfaces: bool = False
    startup_delay_us: Micros = Micros(0)
    log_unknown_vrids: bool = False
    use_pid_dir: bool = False
    instance: str | None = None
    net_namespace: str | None = None
    umask: int = 0o177
    rt_priority: int = 0
    nice: int = 0
    no_swap: bool = False


class Configuration(Record):
    """A whole configuration; equal configurations behave the same."""

    globals: Globals = Globals()
    instances: tuple[Instance, ...] = ()
    groups: tuple[SyncGroup, ...] = ()
    scripts: tuple[CheckScript, ...] = ()

    def instance(self, name: InstanceName) -> Instance:
        """The instance called `name`; raises KeyError if there is none."""
        for instance in self.instances:
            if instance.name == name:
                return instance
        raise KeyError(name)
