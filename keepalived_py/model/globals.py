"""What `global_defs` and the top level say about the whole program."""

from __future__ import annotations

from enum import Enum, IntFlag
from ipaddress import IPv4Address, IPv6Address

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address
from keepalived_py.base.record import Record
from keepalived_py.model.scripts import Command


class Election(Enum):
    """Who decides which machine holds what an instance holds: adverts, or a quorum of members."""

    VRRP = "vrrp"
    RAFT = "raft"


class Owner(Record):
    """A user and group by number, and as they were written ("": the default user, its own group)."""

    uid: int
    gid: int
    user: str = ""
    group: str = ""


class GarpDefaults(Record):
    """The announcement settings of instances that have none of their own; None: not written.

    `interval_us` and `gna_interval_us` are the least time between two gratuitous
    ARPs or unsolicited neighbour advertisements on one interface.
    `extra_interface_s`: period of announcements on the other interfaces of an
    address (0: never), on every one of them with `extra_interface_all`.
    """

    repeat: int | None = None
    delay_us: Micros | None = None
    refresh_us: Micros | None = None
    refresh_repeat: int | None = None
    lower_priority_repeat: int | None = None
    lower_priority_delay_us: Micros | None = None
    interval_us: Micros = Micros(0)
    gna_interval_us: Micros = Micros(0)
    extra_interface_s: int = 0
    extra_interface_all: bool = False


class MailServer(Record):
    """Where alert mails are handed over: an address or a name, and the port."""

    host: Address | str
    port: int = 25


class Mail(Record):
    """Alert mails.  `alert*` None: whatever is said elsewhere decides."""

    recipients: tuple[str, ...] = ()
    sender: str | None = None
    server: MailServer | None = None
    helo_name: str | None = None
    connect_timeout_us: Micros = Micros(30_000_000)
    alert: bool | None = None
    alert_vrrp: bool | None = None
    alert_checker: bool | None = None
    no_email_faults: bool = False
    no_checker_emails: bool = False


class Process(Record):
    """How one of our processes is called and scheduled.

    `rt_priority` 0: not real-time.  No `cpu_affinity`: every processor.
    """

    name: str | None = None
    nice: int = 0
    no_swap: bool = False
    rt_priority: int = 0
    cpu_affinity: tuple[int, ...] = ()
    rlimit_rttime_us: Micros = Micros(10_000)


class ReceiveBuffers(Record):
    """Sizes in bytes of netlink receive buffers; 0: as the system has it.

    `force`: even beyond what the system allows to ordinary users.
    """

    vrrp_command: int = 0
    vrrp_command_force: bool = False
    vrrp_monitor: int = 0
    vrrp_monitor_force: bool = False
    lvs_command: int = 0
    lvs_command_force: bool = False
    lvs_monitor: int = 0
    lvs_monitor_force: bool = False
    process_monitor: int = 0
    process_monitor_force: bool = False


class RxBufferPolicy(Enum):
    """What the receive buffers of adverts are sized by."""

    MTU = "MTU"
    ADVERT = "ADVERT"


class AdvertBuffers(Record):
    """Receive buffers of adverts: by a policy or a size in bytes (None: the system's), times `multiplier`."""

    policy: RxBufferPolicy | int | None = None
    multiplier: int = 3


class LvsFlush(Enum):
    """What is cleared from the IPVS table at a stop."""

    ALL = "all"
    OWN_SERVICES = "VS"


class LvsTimeouts(Record):
    """Connection timeouts of IPVS in seconds; None: not changed."""

    tcp: int | None = None
    tcpfin: int | None = None
    udp: int | None = None


class SyncDaemon(Record):
    """The IPVS connection synchronisation; None: whatever the kernel has.

    `sync_id` None: the VRID of `instance`, or 0 without one.
    """

    interface: str
    instance: str | None = None
    sync_id: int | None = None
    maxlen: int | None = None
    port: int | None = None
    ttl: int | None = None
    group: Address | None = None


class Lvs(Record):
    """Settings of the virtual servers' side."""

    flush: bool = False
    flush_on_stop: LvsFlush | None = None
    timeouts: LvsTimeouts = LvsTimeouts()
    sync_daemon: SyncDaemon | None = None
    log_all_failures: bool = False
    rs_init_notifies: bool = False


class Iptables(Record):
    """Chains for the rules of `no_accept`; `output` None: no such rules."""

    input: str = "INPUT"
    output: str | None = "OUTPUT"


class Firewall(Record):
    """How packets to addresses that are not accepted are dropped, and services are marked.

    No table or chains: not used.  `ipsets`: names of the six sets, empty for none, None for keepalived's own.
    """

    iptables: Iptables | None = None
    ipsets: tuple[str, ...] | None = None
    table: str | None = None
    priority: int = -1
    ifindex: bool = False
    counters: bool = False
    ipvs_table: str | None = None
    ipvs_priority: int = -1
    ipvs_start_fwmark: int = 1000


class Snmp(Record):
    """What is offered over SNMP."""

    socket: str | None = None
    traps: bool = False
    vrrp: bool = False
    rfcv2: bool = False
    rfcv3: bool = False
    checker: bool = False
    virtual_server_interval_us: Micros = Micros(5_000_000)
    real_server_interval_us: Micros | None = None


class Dbus(Record):
    """What is offered over D-Bus."""

    enabled: bool = False
    service_name: str = "org.keepalived.Vrrp1"
    no_interface_name: str = "none"


class Pipe(Record):
    """A named pipe and whose it is."""

    path: str
    owner: Owner


class NotifyFifo(Record):
    """A pipe that state changes are written to, and the program that reads it."""

    pipe: Pipe | None = None
    script: Command | None = None


class Reload(Record):
    """How a reload is done and asked for.  `marker` "": its place is chosen for us."""

    check_config: str | None = None
    time_file: str | None = None
    repeat: bool = False
    marker: str | None = None


class IncludeCheck(IntFlag):
    """Which faults of `include` lines are errors."""

    NONE = 0
    READ = 1
    MATCH = 2
    WILDCARD_MATCH = 4
    BRACE_MATCH = 8
    ALL = 15


class Files(Record):
    """Where configuration, tables and dumps are kept; None: at the usual place."""

    config_save_dir: str | None = None
    tmp_config_directory: str | None = None
    iproute_usr_dir: str | None = None
    iproute_etc_dir: str | None = None
    state_dump: str | None = None
    stats_dump: str | None = None
    json_dump: str | None = None
    data_use_instance: bool = False


class Globals(Record):
    """What `global_defs` and the top level say about the whole program.

    `nice`, `rt_priority`, `no_swap`, `cpu_affinity` and `rlimit_rttime_us` are of
    the VRRP process; `checker` and `bfd` have their own.  `version`, `strict`,
    `garp`, the advert switches, `down_timer_adverts`, `election` and `dead_man` are for
    instances that say nothing themselves.
    """

    router_id: str = ""
    script_security: bool = False
    dynamic_interfaces: bool = False
    allow_interface_changes: bool = False
    startup_delay_us: Micros = Micros(0)
    delay_after_boot_us: Micros = Micros(0)
    log_unknown_vrids: bool = False
    use_pid_dir: bool = False
    instance: str | None = None
    net_namespace: str | None = None
    net_namespace_ipvs: str | None = None
    namespace_with_ipsets: bool = False
    child_wait_time_s: int = 5
    linkbeat_use_polling: bool = False
    umask: int = 0o177
    rt_priority: int = 0
    nice: int = 0
    no_swap: bool = False
    cpu_affinity: tuple[int, ...] = ()
    rlimit_rttime_us: Micros = Micros(10_000)
    process_name: str | None = None
    vrrp_process_name: str | None = None
    checker: Process = Process()
    bfd: Process = Process()
    max_auto_priority: int = 0
    min_auto_priority_delay_us: Micros = Micros(1_000_000)
    script_user: Owner | None = None
    use_symlink_paths: bool = False
    set_supplementary_groups: bool = False
    startup_script: Command | None = None
    startup_script_timeout_s: int = 10
    shutdown_script: Command | None = None
    shutdown_script_timeout_s: int = 10
    version: int = 2
    strict: bool = False
    multicast_group: IPv4Address = IPv4Address("224.0.0.18")
    multicast_group6: IPv6Address = IPv6Address("ff02::12")
    down_timer_adverts: int = 3
    garp: GarpDefaults = GarpDefaults()
    lower_priority_no_advert: bool = False
    higher_priority_send_advert: bool = False
    skip_check_adv_addr: bool = False
    check_unicast_src: bool = False
    owner_ignore_adverts: bool = False
    v3_checksum_as_v2: bool = False
    default_interface: str | None = None
    disable_local_igmp: bool = False
    vmac_prefix: str | None = None
    vmac_address_prefix: str | None = None
    mail: Mail = Mail()
    notify_fifo: NotifyFifo = NotifyFifo()
    vrrp_notify_fifo: NotifyFifo = NotifyFifo()
    lvs_notify_fifo: NotifyFifo = NotifyFifo()
    notify_priority_changes: bool = False
    fifo_write_states_on_reload: bool = False
    lvs: Lvs = Lvs()
    firewall: Firewall = Firewall()
    receive_buffers: ReceiveBuffers = ReceiveBuffers()
    advert_buffers: AdvertBuffers = AdvertBuffers()
    snmp: Snmp = Snmp()
    dbus: Dbus = Dbus()
    reload: Reload = Reload()
    include_check: IncludeCheck = IncludeCheck.NONE
    files: Files = Files()
    random_seed: int | None = None
    json_version: int = 1
    election: Election = Election.VRRP
    dead_man: bool = False
