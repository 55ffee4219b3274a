"""`global_defs`, the plain keywords of the top level, and the small blocks for interfaces and TLS."""

from ipaddress import IPv4Address, IPv6Address
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from keepalived_py.config import dump, table
from keepalived_py.config.host import FileStatus, User
from keepalived_py.config.load import Loaded, load
from keepalived_py.model.globals import (
    Globals,
    IncludeCheck,
    Iptables,
    LvsFlush,
    LvsTimeouts,
    MailServer,
    Owner,
    Pipe,
    RxBufferPolicy,
    SyncDaemon,
)
from keepalived_py.model.interfaces import (
    GarpGroup,
    InterfaceDelay,
    LinkbeatInterface,
    LinkPolling,
    SslSettings,
)
from keepalived_py.model.scripts import Command
from tests.config.fake_host import DIRECTORY, FakeHost

SECOND = 1_000_000
FOLDERS = {"/var": DIRECTORY, "/var/saved": DIRECTORY, "/etc/motd": FileStatus(0o100644, 0, 0)}


def host() -> FakeHost:
    return FakeHost(FOLDERS, {"bob": User("bob", 1000, 1000)})


def read(tmp_path: Path, text: str) -> Loaded:
    path = tmp_path / "k.conf"
    path.write_text(text)
    return load(str(path), config_id="node", host=host())


def said(loaded: Loaded) -> list[tuple[int, str]]:
    found = (one for one in loaded.diagnostics if not one.logged_only and not one.own)
    return [(one.origin.line if one.origin else 0, one.message) for one in found]


def in_globals(*lines: str) -> str:
    return "\n".join(("global_defs {", *lines, "}", ""))


VALUES: list[tuple[str, str, object]] = [
    ("router_id R", "router_id", "R"),
    ("", "router_id", "node.example"),
    ("vrrp_version 3", "version", 3),
    ("vrrp_mcast_group4 224.0.0.99", "multicast_group", IPv4Address("224.0.0.99")),
    ("vrrp_mcast_group6 ff02::99", "multicast_group6", IPv6Address("ff02::99")),
    ("vrrp_garp_master_delay 3", "garp.delay_us", 3 * SECOND),
    ("vrrp_garp_interval 0.25", "garp.interval_us", 250_000),
    ("vrrp_min_garp", "garp.repeat", 1),
    ("vrrp_garp_master_repeat 7\nvrrp_min_garp", "garp.repeat", 7),
    ("vrrp_min_garp off", "garp.repeat", None),
    ("vrrp_garp_extra_if all 60", "garp.extra_interface_all", True),
    ("vrrp_garp_extra_if 60", "garp.extra_interface_s", 60),
    ("vrrp_strict", "strict", True),
    ("vrrp_strict off", "strict", False),
    ("vrrp_skip_check_adv_addr nonsense", "skip_check_adv_addr", True),
    ("vrrp_startup_delay 1.5", "startup_delay_us", 1_500_000),
    ("dynamic_interfaces allow_if_changes", "allow_interface_changes", True),
    ("dynamic_interfaces", "allow_interface_changes", False),
    ("default_interface eth9", "default_interface", "eth9"),
    ("vmac_prefix v", "vmac_prefix", "v"),
    ("nftables", "firewall.table", "keepalived"),
    ("nftables T\nnftables_priority -5", "firewall.priority", -5),
    ("nftables_ipvs", "firewall.ipvs_table", "keepalived_ipvs"),
    ("vrrp_iptables A", "firewall.iptables", Iptables("A", None)),
    ("vrrp_ipsets a b", "firewall.ipsets", ("a", "b")),
    ("vrrp_rx_bufs_policy mtu", "advert_buffers.policy", RxBufferPolicy.MTU),
    ("vrrp_rx_bufs_policy 4096", "advert_buffers.policy", 4096),
    ("vrrp_netlink_cmd_rcv_bufs 9", "receive_buffers.vrrp_command", 9),
    ("process_monitor_rcv_bufs_force", "receive_buffers.process_monitor_force", True),
    ("lvs_timeouts tcp 1 udp 3", "lvs.timeouts", LvsTimeouts(1, None, 3)),
    ("lvs_flush_onstop", "lvs.flush_on_stop", LvsFlush.ALL),
    ("lvs_flush_on_stop VS", "lvs.flush_on_stop", LvsFlush.OWN_SERVICES),
    ("lvs_sync_daemon eth0 V id 9 ttl 2", "lvs.sync_daemon", SyncDaemon("eth0", "V", 9, ttl=2)),
    ("smtp_server mail.example 26", "mail.server", MailServer("mail.example", 26)),
    ("smtp_server ::1", "mail.server", MailServer(IPv6Address("::1"))),
    ("smtp_connect_timeout 2", "mail.connect_timeout_us", 2 * SECOND),
    ("notification_email {\na@b c@d\ne@f\n}", "mail.recipients", ("a@b", "c@d", "e@f")),
    ("smtp_alert off", "mail.alert", False),
    ("process_names", "checker.name", "keepalived_lvs"),
    ("lvs_process_name x", "checker.name", "x"),
    ("vrrp_priority -20", "nice", -20),
    ("checker_priority 19", "checker.nice", 19),
    ("bfd_rt_priority 50", "bfd.rt_priority", 50),
    ("vrrp_cpu_affinity 3 0 3", "cpu_affinity", (0, 3)),
    ("vrrp_rlimit_rtime 1", "rlimit_rttime_us", 2),
    ("max_auto_priority", "max_auto_priority", 99),
    ("umask 0x1f", "umask", 0o37),
    ("umask IRUSR | IXOTH", "umask", 0o401),
    ("umask IRWXG", "umask", 0o070),
    ("script_user bob root", "script_user", Owner(1000, 0, "bob", "root")),
    ("script_user bob :root", "script_user", Owner(1000, 0, "bob", "root")),
    ("startup_script '/bin/true a' bob", "startup_script", Command(("/bin/true", "a"), 1000, 1000, "bob")),
    ("startup_script /bin/missing", "startup_script", None),
    ("notify_fifo /f bob", "notify_fifo.pipe", Pipe("/f", Owner(1000, 1000, "bob"))),
    ("script_user bob\nnotify_fifo /f", "notify_fifo.pipe", Pipe("/f", Owner(1000, 1000))),
    ("notify_fifo /f\nlvs_notify_fifo /f", "lvs_notify_fifo.pipe", None),
    ("enable_snmp_rfc", "snmp.rfcv3", True),
    ("snmp_vs_stats_update_interval 0.5", "snmp.virtual_server_interval_us", 500_000),
    ("dbus_service_name a.b", "dbus.service_name", "a.b"),
    ("reload_check_config", "reload.check_config", "/dev/null"),
    ("reload_file", "reload.marker", ""),
    ("include_check", "include_check", IncludeCheck.ALL),
    ("include_check match -read", "include_check", IncludeCheck.MATCH),
    ("config_save_dir /var/saved/", "files.config_save_dir", "/var/saved"),
    ("json_version 2", "json_version", 2),
    ("state_dump_file /s", "files.state_dump", "/s"),
]


@pytest.mark.parametrize(("lines", "attribute", "value"), VALUES)
def test_values(tmp_path: Path, lines: str, attribute: str, value: object) -> None:
    found = read(tmp_path, in_globals(lines)).configuration
    assert attrgetter(attribute)(found.globals) == value
    again = read(tmp_path, dump.dump(found)).configuration
    assert again.globals == found.globals


MISTAKES: list[tuple[str, int, list[str]]] = [
    ("router_id", 5, ["routerid name missing - ignoring"]),
    ("vrrp_version 4", 5, ["number '4' outside range [2, 3]", "VRRP Error: Version must be either 2 or 3"]),
    ("vrrp_version -1", 5, ["number '-1' outside range [2, 3]", "VRRP Error: Version must be either 2 or 3"]),
    ("vrrp_mcast_group4 10.0.0.1", 5, ["vrrp_mcast_group4 [10.0.0.1] is not multicast. Skipping"]),
    ("vrrp_mcast_group6 ff05::1", 5, ["vrrp_mcast_group6 [ff05::1] should be link-local multicast."]),
    ("vrrp_garp_master_repeat 0", 5, ["vrrp_garp_master_repeat must be greater than 0, setting to 1"]),
    (
        "vrrp_garp_interval 0",
        5,
        ["number '0' outside range [0.000001, 4294.967295]", "vrrp_garp_interval '0' is invalid"],
    ),
    ("vrrp_gna_interval 1.0000005", 5, ["number '1.0000005' has too many decimal places"]),
    ("vrrp_strict maybe", 0, []),
    ("vrrp_min_garp maybe", 5, ["Invalid value for vrrp_min_garp specified"]),
    (
        "vrrp_vmac_garp_intvl 60",
        5,
        ['Keyword "vrrp_vmac_garp_intvl" is deprecated - please use "vrrp_garp_extra_if"'],
    ),
    ("vrrp_delay_after_boot 60", 5, ["Unknown keyword 'vrrp_delay_after_boot'"]),
    ("nftables a\nnftables b", 5, ["nftables already specified - ignoring"]),
    ("vrrp_rx_bufs_policy 5 MTU", 5, ["Cannot set vrrp_rx_bufs_policy size and policy, ignoring policy"]),
    ("lvs_timeouts tcp", 5, ["lvs_timeouts requires at least one option"]),
    ("lvs_timeouts tcp 1 udp", 5, ["No value specified for lvs_timeout udp - ignoring"]),
    ("lvs_sync_daemon eth0 V x", 5, ["invalid number 'x'", "Invalid syncid (x) - defaulting to vrid"]),
    ("lvs_sync_daemon eth0 V 5", 5, ['Please use keyword "id" before lvs_sync_daemon SYNCID']),
    (
        "lvs_sync_daemon eth0 inst",
        2,
        [
            "*** Configuration line starting `lvs_sync_daemon` is missing a parameter "
            "after keyword `inst` at word position 4"
        ],
    ),
    ("smtp_server nowhere.example", 5, ["Invalid smtp server nowhere.example 25"]),
    ("smtp_connect_timeout 0", 5, ["smtp_conect_timeout must be greater than 0, setting to 1"]),
    ("notification_email x {\na\n}", 5, ["Block notification_email has extra parameters x ..."]),
    (
        "process_name abcdefghijklmnop",
        5,
        ["Process name abcdefghijklmnop more than 15 characters, truncating"],
    ),
    (
        "bfd_rt_priority 100",
        5,
        ["bfd process real-time priority 100 greater than maximum 99 - setting to maximum"],
    ),
    (
        "vrrp_cpu_affinity 4",
        5,
        ["number '4' outside range [0, 3]", "Invalid cpu_id:4 specified for vrrp process"],
    ),
    ("umask 08", 5, ["invalid umask value 08"]),
    ("umask IRUSR|", 5, ["umask missing bit value"]),
    ("umask IRUSRIWUSR", 5, ["Invalid umask syntax IRUSRIWUSR"]),
    ("umask IRWXU", 5, ["Unknown umask bit IRWXU"]),
    ("script_user nobody_here", 5, ["Error setting global script uid/gid"]),
    ("enable_script_security\nstartup_script /bin/true", 5, ["Unable to set default user keepalived_script"]),
    ("startup_script /bin/true nobody_here", 5, ["Invalid startup script"]),
    ("startup_script /bin/true", 6, ["SECURITY VIOLATION - start/shutdown scripts are being executed"]),
    ("enable_script_security\nscript_user root\nstartup_script /bin/true", 0, []),
    ("snmp_socket a\nsnmp_socket b", 5, ["SNMP socket already set to a - ignoring"]),
    ("include_check readable", 5, ["Unknown include_check type 'readable' - ignoring"]),
    ("config_save_dir /etc/motd", 5, ["config_save_dir /etc/motd exists and is not a directory"]),
    ("config_save_dir /no/where", 5, ["Unable to create config_save_dir /no/where (error 2"]),
    ("state_file_location /x", 5, ["Unknown keyword 'state_file_location'"]),
    ("disable_local_igmp", 5, ["kernel does not support /proc/sys/net/ipv4/igmp_link_local_mcast_reports"]),
]


@pytest.mark.parametrize(("lines", "code", "messages"), MISTAKES)
def test_mistakes(tmp_path: Path, lines: str, code: int, messages: list[str]) -> None:
    loaded = read(tmp_path, in_globals(lines))
    found = [text for _, text in said(loaded)]
    assert loaded.test_exit_code == code
    for message in messages:
        assert any(text.startswith(message) for text in found), found
    assert bool(found) == bool(messages)


def test_an_empty_list_is_reported_at_its_end(tmp_path: Path) -> None:
    loaded = read(tmp_path, "global_defs {\nnotification_email {\n}\n}\n")
    assert said(loaded) == [(3, "Warning - empty notification_email block")]


def test_globals_are_read_once_for_each_message(tmp_path: Path) -> None:
    text = "vrrp_script s {\nscript /bin/true\n}\nglobal_defs {\nvrrp_version 9\nrouter_id\n}\n"
    assert [line for line, _ in said(read(tmp_path, text))] == [5, 5, 6]


TOP: list[tuple[str, str, object, list[tuple[int, str]]]] = [
    ("use_pid_dir\n", "use_pid_dir", True, []),
    ("child_wait_time 9\n", "child_wait_time_s", 9, []),
    (
        "child_wait_time x\n",
        "child_wait_time_s",
        5,
        [(1, "invalid number 'x'"), (1, "Invalid child_wait_time x")],
    ),
    ("instance a\ninstance b\n", "instance", "a", [(2, "Duplicate instance definition b - ignoring")]),
    ("net_namespace\n", "net_namespace", None, [(1, "net_namespace name missing - ignoring")]),
    ("net_namespace_ipvs\n", "net_namespace_ipvs", "", []),
    ("linkbeat_use_polling\n", "linkbeat_use_polling", True, []),
]


@pytest.mark.parametrize(("text", "attribute", "value", "messages"), TOP)
def test_top_level(
    tmp_path: Path, text: str, attribute: str, value: object, messages: list[tuple[int, str]]
) -> None:
    loaded = read(tmp_path, text)
    assert said(loaded) == messages
    assert getattr(loaded.configuration.globals, attribute) == value
    assert read(tmp_path, dump.dump(loaded.configuration)).configuration == loaded.configuration


INTERVAL = "garp_interval 0.5\n"
BLOCKS: list[tuple[str, str, Any]] = [
    (
        f"garp_group {{\n{INTERVAL}gna_interval 1\ninterface eth0\ninterfaces {{\neth1 lo\n}}\n}}\n",
        "garp_groups",
        (GarpGroup(500_000, SECOND, ("eth0",), ("eth1", "lo")),),  # type: ignore[arg-type]
    ),
    (
        "linkbeat_interfaces {\neth0 ETHTOOL\neth1\n}\n",
        "linkbeat_interfaces",
        (LinkbeatInterface("eth0", LinkPolling.ETHTOOL), LinkbeatInterface("eth1")),
    ),
    (
        "interface_up_down_delays {\neth0 1.5 2\neth1 3\n}\n",
        "interface_delays",
        (
            InterfaceDelay("eth0", 1_500_000, 2 * SECOND),  # type: ignore[arg-type]
            InterfaceDelay("eth1", 3 * SECOND),  # type: ignore[arg-type]
        ),
    ),
    ("SSL {\npassword p\nca c\nkey k\n}\n", "ssl", SslSettings("p", "c", None, "k")),
]


@pytest.mark.parametrize(("text", "attribute", "value"), BLOCKS)
def test_blocks(tmp_path: Path, text: str, attribute: str, value: object) -> None:
    loaded = read(tmp_path, text)
    assert (loaded.test_exit_code, said(loaded)) == (0, [])
    assert getattr(loaded.configuration, attribute) == value
    again = read(tmp_path, dump.dump(loaded.configuration)).configuration
    assert again == loaded.configuration


BAD_BLOCKS: list[tuple[str, int, list[tuple[int, str]]]] = [
    (
        "garp_group {\ninterface eth0\n}\n",
        5,
        [(3, "garp group 0 does not have any delay set - removing")],
    ),
    (
        f"garp_group {{\n{INTERVAL}interface eth0\n}}\ngarp_group {{\n{INTERVAL}interface eth0\n}}\n",
        5,
        [(7, "garp_group already specified for eth0 - ignoring")],
    ),
    (
        f"garp_group {{\n{INTERVAL}interface nosuch\n}}\n",
        5,
        [
            (3, "WARNING - interface nosuch specified for garp_group doesn't exist"),
            (0, "Non-existent interface specified in configuration"),
        ],
    ),
    (
        "linkbeat_interfaces {\nnosuch\n}\n",
        4,
        [(2, "unknown interface nosuch specified for linkbeat interface")],
    ),
    (
        "linkbeat_interfaces {\neth0 mii\n}\n",
        5,
        [(2, "extra characters mii in linkbeat interface")],
    ),
    (
        "interface_up_down_delays {\neth0 256\n}\n",
        5,
        [(2, "number '256' outside range [0.000000, 255.000000]")],
    ),
    (
        "SSL {\nkey a\nkey b\nca\n}\nSSL {\n}\n",
        5,
        [
            (3, "SSL keyfile already specified - replacing"),
            (4, "SSL cafile missing"),
            (6, "SSL context already specified - replacing"),
        ],
    ),
]


@pytest.mark.parametrize(("text", "code", "messages"), BAD_BLOCKS)
def test_bad_blocks(tmp_path: Path, text: str, code: int, messages: list[tuple[int, str]]) -> None:
    loaded = read(tmp_path, text)
    assert (loaded.test_exit_code, said(loaded)) == (code, messages)


def test_every_keyword_can_be_shown() -> None:
    """What is stored can be found in the model, and written."""
    for place in table.places():
        keyword = place.keyword
        if place.block == "global_defs" and keyword.attribute and keyword.block is None:
            value = dump.valued(Globals(), keyword.attribute)
            assert keyword.show is not None, place.path
            assert all(isinstance(words, str) for words in keyword.show(value)), place.path
            assert keyword.schema, place.path
