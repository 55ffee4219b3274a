"""What was written, before defaults and corrections: one mutable record per kind of block.

None always means "not written"; resolve fills in defaults in keepalived's order.
"""

from ipaddress import IPv4Address
from typing import Any

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address
from keepalived_py.base.record import Struct, fresh
from keepalived_py.config.document import Directive
from keepalived_py.config.draft import Draft
from keepalived_py.model.config import AuthType, Command, InitialState


class WrittenCommand(Struct):
    """A command line with its user, users already looked up; checked for access later."""

    argv: tuple[str, ...]
    uid: int
    gid: int

    def command(self) -> Command:
        return Command(self.argv, self.uid, self.gid)


class WrittenNotifies(Struct):
    """The `notify*` lines of an instance or a group."""

    master: WrittenCommand | None = None
    backup: WrittenCommand | None = None
    fault: WrittenCommand | None = None
    stop: WrittenCommand | None = None
    deleted: WrittenCommand | None = None
    any: WrittenCommand | None = None
    master_rx_lower_priority: WrittenCommand | None = None
    report_deleted: bool = False


class WrittenAddress(Struct):
    """One entry of an address block."""

    address: Address
    prefix_length: int
    at: Directive
    interface: str | None = None
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


class WrittenTrack(Struct):
    """One entry of a `track_*` block; `weight` None: that of the tracked object."""

    name: str
    weight: int | None = None
    reverse: bool | None = None


class WrittenScript(Struct):
    """A `vrrp_script`."""

    name: str
    at: Directive
    argv: tuple[str, ...] = ()
    uid: int = 0
    gid: int = 0
    user_set: bool = False
    removed: bool = False
    interval_us: Micros = Micros(1_000_000)
    timeout_us: Micros | None = None
    weight: int = 0
    reverse: bool = False
    rise: int = 1
    fall: int = 1
    init_failed: bool = False
    insecure: bool = False


class WrittenGarp(Struct):
    """The announcement settings of an instance, or their global defaults."""

    repeat: int | None = None
    delay_us: Micros | None = None
    refresh_us: Micros | None = None
    refresh_repeat: int | None = None
    lower_priority_repeat: int | None = None
    lower_priority_delay_us: Micros | None = None


class WrittenInstance(Struct):
    """A `vrrp_instance`.  `unsupported` names what it needs and does not work yet."""

    name: str
    at: Directive
    interface: str | None = None
    vrid: int | None = None
    priority: int | None = None
    state: InitialState | None = None
    version: int | None = None
    family: int | None = None
    nopreempt: bool = False
    preempt_delay_us: Micros = Micros(0)
    advert_interval_us: Micros = Micros(1_000_000)
    down_timer_adverts: int | None = None
    auth_type: AuthType = AuthType.NONE
    auth_pass: str = ""
    source: Address | None = None
    destination: IPv4Address | None = None
    accept: bool | None = None
    addresses: list[WrittenAddress] = fresh(list)
    excluded_addresses: list[WrittenAddress] = fresh(list)
    track_scripts: list[WrittenTrack] = fresh(list)
    track_interfaces: list[WrittenTrack] = fresh(list)
    track_primary: bool = True
    notifies: WrittenNotifies = fresh(WrittenNotifies)
    garp: WrittenGarp = fresh(WrittenGarp)
    strict: bool | None = None
    skip_check_adv_addr: bool | None = None
    lower_priority_no_advert: bool | None = None
    higher_priority_send_advert: bool | None = None
    unicast_keyword: bool = False
    unicast_ttl_at: Directive | None = None
    unicast_peers: list[Address] = fresh(list)
    unsupported: list[str] = fresh(list)


class WrittenGroup(Struct):
    """A `vrrp_sync_group`."""

    name: str
    at: Directive
    members: list[str] | None = None
    notifies: WrittenNotifies = fresh(WrittenNotifies)
    tracking_weight: bool = False
    track_scripts: list[WrittenTrack] = fresh(list)
    track_interfaces: list[WrittenTrack] = fresh(list)


class WrittenGlobals(Struct):
    """`global_defs` and the top-level keywords."""

    name: str = ""
    router_id: str | None = None
    version: int = 2
    multicast_group: IPv4Address = IPv4Address("224.0.0.18")
    garp: WrittenGarp = fresh(WrittenGarp)
    lower_priority_no_advert: bool = False
    higher_priority_send_advert: bool = False
    skip_check_adv_addr: bool = False
    strict: bool = False
    down_timer_adverts: int = 3
    startup_delay_us: Micros = Micros(0)
    log_unknown_vrids: bool = False
    script_security: bool = False
    script_user: tuple[int, int] | None = None
    dynamic_interfaces: bool = False
    use_pid_dir: bool = False
    instance: str | None = None
    net_namespace: str | None = None
    umask: int = 0o177
    nice: int = 0
    rt_priority: int = 0
    no_swap: bool = False
    emails: list[str] = fresh(list)


class Written(Struct):
    """A whole configuration as written: the drafts of all blocks, in the order of the file."""

    globals: WrittenGlobals = fresh(WrittenGlobals)
    instances: dict[str, WrittenInstance] = fresh(dict)
    groups: dict[str, WrittenGroup] = fresh(dict)
    scripts: dict[str, WrittenScript] = fresh(dict)
    track_files: dict[str, Draft[Any]] = fresh(dict)
    track_processes: dict[str, Draft[Any]] = fresh(dict)
    bfd_instances: dict[str, Draft[Any]] = fresh(dict)
    track_groups: dict[str, Draft[Any]] = fresh(dict)
    static_addresses: list[Any] = fresh(list)
    static_routes: list[Any] = fresh(list)
    static_rules: list[Any] = fresh(list)
    garp_groups: list[Draft[Any]] = fresh(list)
    linkbeat_interfaces: list[Draft[Any]] = fresh(list)
    interface_delays: list[Draft[Any]] = fresh(list)
    ssl: Draft[Any] | None = None
    server_groups: dict[str, Draft[Any]] = fresh(dict)
    virtual_servers: list[Draft[Any]] = fresh(list)
    missing_interface: bool = False
    default_user: tuple[int, int] | None = None
    scripts_run: bool = False
    scripts_insecure: bool = False
    checker_scripts_run: bool = False
    checker_scripts_insecure: bool = False
