"""Virtual servers, real servers and groups: what they say, what is corrected, what is in the model."""

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from keepalived_py.model.virtual_server import (
    Forwarding,
    ForwardingMethod,
    Protocol,
    RealServer,
    Scheduler,
    SorryServer,
    TunnelChecksum,
    TunnelType,
    VirtualServer,
)
from tests.config.server_texts import FOUR, RANGE, VIP, messages, one, read, server


def test_nothing_is_said_about_a_good_one(tmp_path: Path) -> None:
    loaded = read(tmp_path, server())
    assert (messages(loaded), loaded.test_exit_code) == ([], 0)


def test_defaults(tmp_path: Path) -> None:
    found = one(read(tmp_path, server()))
    assert found == VirtualServer(
        address=IPv4Address("10.0.0.1"),
        port=80,
        scheduler=Scheduler.ROUND_ROBIN,
        protocol=Protocol.TCP,
        real_servers=(RealServer(IPv4Address("10.1.0.2"), 80),),
    )
    assert found.family == 4


VALUES = [
    ("retry 3", "retry", 3),
    ("delay_before_retry 0", "delay_before_retry_us", 0),
    ("warmup 1.5", "warmup_us", 1_500_000),
    ("connect_timeout 0.000001", "connect_timeout_us", 1),
    ("delay_loop 6", "delay_loop_us", 6_000_000),
    ("inhibit_on_failure", "inhibit_on_failure", True),
    ("lb_algo mh", "scheduler", Scheduler.MAGLEV_HASHING),
    ("lvs_sched mh\nmh-port", "flag_2", True),
    ("lvs_sched mh\nmh-fallback", "flag_1", True),
    ("lvs_sched sh\nsh-port", "flag_2", True),
    ("lvs_sched sh\nsh-fallback", "flag_1", True),
    ("lvs_sched sh\nmh-port", "flag_2", False),
    ("flag-1", "flag_1", True),
    ("flag-2", "flag_2", True),
    ("flag-3", "flag_3", True),
    ("protocol udp\nops", "one_packet", True),
    ("protocol sctp", "protocol", Protocol.SCTP),
    ("lb_kind DR", "method", ForwardingMethod(Forwarding.DIRECT)),
    ("persistence_engine sip", "persistence_engine", "sip"),
    ("persistence_timeout", "persistence_timeout_s", 360),
    ("persistence_timeout 50", "persistence_timeout_s", 50),
    ("persistence_granularity 255.255.0.0", "persistence_granularity", IPv4Address("255.255.0.0")),
    ("persistence_granularity 0xffffff00", "persistence_granularity", IPv4Address("255.255.255.0")),
    ("persistence_granularity 255.255.0.0", "persistence_timeout_s", 360),
    ("persistence_timeout 50\npersistence_granularity 255.0.0.0", "persistence_timeout_s", 50),
    ("ha_suspend", "ha_suspend", True),
    ("smtp_alert", "smtp_alert", True),
    ("smtp_alert off", "smtp_alert", False),
    ("virtualhost www.example.org", "virtualhost", "www.example.org"),
    ('snmp_name "a b"', "snmp_name", "a b"),
    ("alpha", "alpha", True),
    ("omega", "omega", True),
    ("weight 7", "weight", 7),
    ("weight 7\nquorum 7\nhysteresis 6", "hysteresis", 6),
    ("sorry_server 10.1.0.9 80", "sorry_server", SorryServer(IPv4Address("10.1.0.9"), 80)),
    (
        "sorry_server 10.1.0.9 80\nsorry_server_inhibit\nsorry_server_lvs_method DR",
        "sorry_server",
        SorryServer(IPv4Address("10.1.0.9"), 80, ForwardingMethod(Forwarding.DIRECT), True),
    ),
]


@pytest.mark.parametrize(("lines", "field", "value"), VALUES)
def test_value_of_virtual_server(tmp_path: Path, lines: str, field: str, value: object) -> None:
    loaded = read(tmp_path, server(lines))
    assert messages(loaded) == []
    assert getattr(one(loaded), field) == value


REAL_VALUES = [
    ("weight 0\n}\nreal_server 10.1.0.3 80 {", "weight", 0),
    ("lvs_method DR", "method", ForwardingMethod(Forwarding.DIRECT)),
    ("uthreshold 10", "upper_threshold", 10),
    ("lthreshold 4294967295", "lower_threshold", 4294967295),
    ("inhibit_on_failure", "inhibit_on_failure", True),
    ("alpha yes", "alpha", True),
    ("retry 3", "retry", 3),
    ("delay_before_retry 2", "delay_before_retry_us", 2_000_000),
    ("warmup 3", "warmup_us", 3_000_000),
    ("connect_timeout 4", "connect_timeout_us", 4_000_000),
    ("delay_loop 5", "delay_loop_us", 5_000_000),
    ("smtp_alert off", "smtp_alert", False),
    ("virtualhost a.example", "virtualhost", "a.example"),
    ("snmp_name rs", "snmp_name", "rs"),
]


@pytest.mark.parametrize(("lines", "field", "value"), REAL_VALUES)
def test_value_of_real_server(tmp_path: Path, lines: str, field: str, value: object) -> None:
    loaded = read(tmp_path, server(real=lines))
    assert messages(loaded) == []
    assert getattr(one(loaded).real_servers[0], field) == value


INHERITED = "alpha\ninhibit_on_failure\nretry 2\nconnect_timeout 1\ndelay_loop 2\nwarmup 3\ndelay_before_retry 4\nweight 5\n"


def test_real_server_inherits(tmp_path: Path) -> None:
    (found,) = one(read(tmp_path, server(INHERITED))).real_servers
    assert (found.alpha, found.inhibit_on_failure, found.retry, found.weight) == (True, True, 2, 5)
    assert (found.connect_timeout_us, found.delay_loop_us) == (1_000_000, 2_000_000)
    assert (found.warmup_us, found.delay_before_retry_us) == (3_000_000, 4_000_000)


def test_own_value_beats_the_inherited_one(tmp_path: Path) -> None:
    own = "alpha off\ninhibit_on_failure off\nretry 9\nweight 1"
    (found,) = one(read(tmp_path, server(INHERITED, own))).real_servers
    assert (found.alpha, found.inhibit_on_failure, found.retry, found.weight) == (False, False, 9, 1)


def test_method_is_that_of_the_lines_above(tmp_path: Path) -> None:
    """A method below the real server does not reach it, unless there was none above."""
    late = "lvs_method DR\nreal_server 10.1.0.3 80 {\n}"
    text = server(real=f"}}\n{late.removesuffix('}')}")
    assert [real.method.forwarding for real in one(read(tmp_path, text)).real_servers] == [
        Forwarding.NAT,
        Forwarding.DIRECT,
    ]
    first = server(real=f"}}\n{late.removesuffix('}')}", common="lvs_sched rr\nprotocol TCP\n")
    assert {real.method.forwarding for real in one(read(tmp_path, first)).real_servers} == {Forwarding.DIRECT}


TUNNELS = [
    ("TUN", ForwardingMethod(Forwarding.TUNNEL)),
    ("TUN type ipip nocsum", ForwardingMethod(Forwarding.TUNNEL)),
    (
        "TUN type gue port 6080 remcsum",
        ForwardingMethod(Forwarding.TUNNEL, TunnelType.GUE, 6080, TunnelChecksum.REMOTE),
    ),
    ("TUN csum type gre", ForwardingMethod(Forwarding.TUNNEL, TunnelType.GRE, 0, TunnelChecksum.FULL)),
]


@pytest.mark.parametrize(("words", "method"), TUNNELS)
def test_tunnels(tmp_path: Path, words: str, method: ForwardingMethod) -> None:
    loaded = read(tmp_path, server(real=f"lvs_method {words}"))
    assert messages(loaded) == []
    assert one(loaded).real_servers[0].method == method


BAD_TUNNELS = [
    ("nat", "PARSER : unknown [nat] routing method for real server."),
    ("TUN type", "Missing tunnel type for real server."),
    ("TUN type foo", "Unknown tunnel type foo for real server."),
    ("TUN type gue port", "Missing port for real server gue tunnel."),
    ("TUN port 0", "Invalid gue tunnel port 0 for real server."),
    ("TUN fast", "Invalid tunnel option fast for real server."),
    ("TUN type gue", "gue tunnels require port, otherwise cannot have port."),
    ("TUN port 5", "gue tunnels require port, otherwise cannot have port."),
    ("TUN csum", "ipip tunnels do not support checksum option."),
    ("TUN type gre remcsum", "gre tunnels do not support remote checksum option."),
]


@pytest.mark.parametrize(("words", "message"), BAD_TUNNELS)
def test_wrong_tunnels(tmp_path: Path, words: str, message: str) -> None:
    loaded = read(tmp_path, server(real=f"lvs_method {words}"))
    assert messages(loaded)[-1] == message
    assert loaded.test_exit_code == 5


def test_wrong_option_leaves_the_tunnel_as_it_was(tmp_path: Path) -> None:
    loaded = read(tmp_path, server("lvs_method TUN type gre csum\nlvs_method DR fast"))
    assert one(loaded).method == ForwardingMethod(Forwarding.DIRECT, TunnelType.GRE, 0, TunnelChecksum.FULL)


MISTAKES = [
    ("ip_family inet6", ["Virtual server specified family inet6 conflicts with server family"]),
    ("ip_family ipv4", ["unknown address family ipv4"]),
    ("retry 0", [RANGE.format(0, 1, FOUR), "retry value invalid - 0"]),
    ("delay_loop -1", ["negative number '-1'", "virtual server delay loop '-1' invalid - ignoring"]),
    (
        "connect_timeout 0",
        [RANGE.format(0, "0.000001", "4294.967295"), "virtual server connect_timeout 0 invalid - ignoring"],
    ),
    ("lvs_sched RR", ["Invalid lvs_scheduler 'RR' - ignoring"]),
    ("hashed", ["hashed only applies to sh scheduler - ignoring"]),
    ("mh-port", ["mh-port only applies to sh scheduler - ignoring"]),
    ("lb_kind foo", ["PARSER : unknown [foo] routing method for virtual server."]),
    ("persistence_engine abcdefghijklmnopq", ["persistence_name too long, truncating - abcdefghijklmnopq"]),
    ("persistence_timeout 0", [RANGE.format(0, 1, 2678400), "persistence_timeout invalid"]),
    ("persistence_granularity /24", ["Invalid IPv4 persistence_granularity specified - /24"]),
    ("protocol icmp", ["Unknown protocol icmp - ignoring"]),
    ("smtp_alert maybe", ["Invalid virtual_server smtp_alert parameter maybe"]),
    ("virtualhost", ["virtual server virtualhost missing"]),
    ("snmp_name a b", ["virtual server snmp_name missing or extra parameters"]),
    ("quorum 0", [RANGE.format(0, 1, FOUR), f"Quorum 0 must be in [1, {FOUR}]. Setting to 1."]),
    ("hysteresis x", ["invalid number 'x'", f"Hysteresis x must be in [0, {FOUR}] - ignoring"]),
    ("weight 0", [RANGE.format(0, 1, 2147483647), "Virtual server weight 0 is outside range 1-2147483647"]),
    ("sorry_server 10.1.0", ["Invalid sorry server IP address 10.1.0 - skipping"]),
    ("sorry_server_inhibit", ["Ignoring sorry_server inhibit used before or without sorry_server"]),
    ("sorry_server_lvs_method NAT", ["sorry_server forwarding used without sorry_server"]),
    (
        "sorry_server fe80::9 80",
        ["Address family of virtual server and sorry server fe80::9 don't match - skipping sorry server."],
    ),
    ("nat_mask 255.255.255.0", ["Unknown keyword 'nat_mask'"]),
    (
        "real_server 10.1.0.3 0x {\n}",
        ["invalid number '0x'", "Invalid real server ip address/port 10.1.0.3/0x - skipping"],
    ),
    ("real_server www 80 {\nnonsense\n}", ["Invalid real server ip address/port www/80 - skipping"]),
    ("real_server 10.1.0 {\n}", ["Invalid real server ip address/port 10.1.0/(null) - skipping"]),
    (
        "quorum 2",
        [f"Warning - quorum 2 for {VIP} exceeds total weight of real servers 1, reducing quorum to 1"],
    ),
    ("hysteresis 1", [f"Virtual server {VIP}: hysteresis 1 >= quorum 1; setting hysteresis to 0"]),
    ("ops", [f"Virtual server {VIP}: one packet scheduling requires UDP - resetting"]),
    (
        "real_server 10.1.0.2 80 {\n}",
        [f"VS {VIP}: real server [10.1.0.2]:tcp:80 is duplicated - removing second rs"],
    ),
    (
        "sorry_server 10.1.0.2 80\ninhibit_on_failure",
        [
            f"Virtual server {VIP}: real server [10.1.0.2]:tcp:80 matches sorry server,"
            " but inhibit setting differs, setting on sorry server"
        ],
    ),
]


@pytest.mark.parametrize(("lines", "expected"), MISTAKES)
def test_mistakes_in_virtual_server(tmp_path: Path, lines: str, expected: list[str]) -> None:
    loaded = read(tmp_path, server(lines))
    assert (messages(loaded), loaded.test_exit_code) == (expected, 5)


REAL_MISTAKES = [
    (
        "weight -1",
        ["negative number '-1'", "Real server weight -1 is outside range 0-2147483647"],
    ),
    ("uthreshold x", ["invalid number 'x'", "Invalid real_server uthreshold 'x' - ignoring"]),
    ("lthreshold x", ["invalid number 'x'", "Invalid real_server lthreshold 'x' - ignoring"]),
    ("inhibit_on_failure 1", ["Invalid inhibit_on_failure parameter 1"]),
    ("alpha 1", ["Invalid alpha parameter 1"]),
    ("smtp_alert 1", ["Invalid real_server smtp_alert parameter 1"]),
    ("retry 0", [RANGE.format(0, 1, FOUR), "retry value invalid - 0"]),
    ("delay_loop -1", ["negative number '-1'", "real server delay_loop '-1' invalid - ignoring"]),
    (
        "delay_before_retry -1",
        ["negative number '-1'", "real server delay_before_retry '-1' invalid - ignoring"],
    ),
    ("warmup -1", ["negative number '-1'", "real server warmup '-1' invalid - ignoring"]),
    ("virtualhost", ["real server virtualhost missing"]),
    ("snmp_name", ["real server snmp_name missing or extra parameters"]),
    ("CI-LINUX", ["Unknown keyword 'CI-LINUX'"]),
    ("protocol TCP", ["Unknown keyword 'protocol'"]),
]


@pytest.mark.parametrize(("lines", "expected"), REAL_MISTAKES)
def test_mistakes_in_real_server(tmp_path: Path, lines: str, expected: list[str]) -> None:
    loaded = read(tmp_path, server(real=lines))
    assert (messages(loaded), loaded.test_exit_code) == (expected, 5)


REQUIRED = [
    *(
        "ip_family",
        "retry",
        "delay_loop",
        "lvs_sched",
        "lvs_method",
        "persistence_engine",
        "quorum",
        "weight",
    ),
    *(
        "persistence_granularity",
        "protocol",
        "quorum_up",
        "quorum_down",
        "hysteresis",
        "sorry_server",
        "real_server",
    ),
]


@pytest.mark.parametrize("keyword", REQUIRED)
def test_keywords_that_need_a_word(tmp_path: Path, keyword: str) -> None:
    loaded = read(tmp_path, server(keyword))
    assert loaded.test_exit_code == 2
    assert messages(loaded)[-1].endswith(f"after keyword `{keyword}` at word position 2")


HEADERS = [
    ("10.0.0.1 65536", 5, "Invalid virtual server IP address/port 10.0.0.1/65536 - skipping"),
    ("10.0.0.1:80", 5, "Invalid virtual server IP address 10.0.0.1:80 - skipping"),
    ("fe80::1%eth0 80", 5, "Invalid virtual server IP address/port fe80::1%eth0/80 - skipping"),
    ("fwmark x", 5, f"virtual server fwmark 'x' must be in [0, {FOUR}] - ignoring"),
    ("fwmark", 2, "after keyword `fwmark` at word position 3"),
    ("group", 2, "after keyword `group` at word position 3"),
    ("", 2, "after keyword `virtual_server` at word position 2"),
]


@pytest.mark.parametrize(("header", "code", "message"), HEADERS)
def test_wrong_headers(tmp_path: Path, header: str, code: int, message: str) -> None:
    """Such a block is not read at all."""
    loaded = read(tmp_path, server("nonsense", header=header))
    assert loaded.test_exit_code == code
    assert messages(loaded)[-1].endswith(message)


def test_range_or_mask_of_an_address_is_dropped(tmp_path: Path) -> None:
    assert one(read(tmp_path, server(header="10.0.0.1-9 80"))).address == IPv4Address("10.0.0.1")
    assert one(read(tmp_path, server(header="10.0.0.1/24 80"))).address == IPv4Address("10.0.0.1")


def test_missing_parts_get_defaults(tmp_path: Path) -> None:
    loaded = read(tmp_path, server(common="", header="10.0.0.1"))
    assert messages(loaded) == [
        "Virtual server [10.0.0.1]:none:0: no protocol set - defaulting to UDP",
        "Virtual server [10.0.0.1]:udp:0: zero port only valid for persistent services - setting",
        "Virtual server [10.0.0.1]:udp:0: no scheduler set, setting default 'wlc'",
        "Virtual server [10.0.0.1]:udp:0: no forwarding method set, setting default NAT",
    ]
    found = one(loaded)
    assert (found.protocol, found.scheduler) == (Protocol.UDP, Scheduler.WEIGHTED_LEAST_CONNECTION)
    assert (found.method, found.persistence_timeout_s) == (ForwardingMethod(), 360)


def test_without_real_servers_it_is_dropped(tmp_path: Path) -> None:
    text = server(real_header="fe80::2 80")
    loaded = read(tmp_path, text)
    assert messages(loaded) == [
        "Address family of virtual server and real server fe80::2 don't match - skipping real server.",
        f"Virtual server {VIP} has no real servers - ignoring",
    ]
    assert loaded.diagnostics[0].origin is not None
    assert loaded.diagnostics[0].origin.line == text.count("\n") - 1
    assert loaded.configuration.virtual_servers == ()


PORTS = [
    ("NAT", "80", "10.1.0.2 81", 81, []),
    ("NAT", "80", "10.1.0.2", 80, []),
    ("DR", "80", "10.1.0.2", 80, []),
    (
        "DR",
        "80",
        "10.1.0.2 81",
        80,
        [f"WARNING - virtual server {VIP} and real server [10.1.0.2]:tcp:81 ports don't match - resetting"],
    ),
]


@pytest.mark.parametrize(("method", "port", "real", "final", "expected"), PORTS)
def test_ports(tmp_path: Path, method: str, port: str, real: str, final: int, expected: list[str]) -> None:
    common = f"lvs_sched rr\nlvs_method {method}\nprotocol TCP\n"
    loaded = read(tmp_path, server(common=common, header=f"10.0.0.1 {port}", real_header=real))
    assert messages(loaded) == expected
    assert one(loaded).real_servers[0].port == final


def test_mark(tmp_path: Path) -> None:
    common = "lvs_sched rr\nlvs_method DR\nha_suspend\nprotocol TCP\nsorry_server 10.1.0.9 80\n"
    loaded = read(tmp_path, server(common=common, header="fwmark 7"))
    assert messages(loaded) == [
        "Virtual server FWM 7: cannot use ha_suspend with fwmarks - clearing ha_suspend",
        "Warning: Virtual server FWM 7: protocol specified for fwmark - protocol will be ignored",
        "WARNING - fwmark virtual server FWM 7, real server [10.1.0.2]:none:80 has port specified - clearing",
        "WARNING - virtual server FWM 7, sorry server has port specified - clearing",
    ]
    found = one(loaded)
    assert (found.mark, found.family, found.protocol, found.ha_suspend) == (7, 4, None, False)
    assert found.real_servers[0].port == 0
    assert found.sorry_server is not None and found.sorry_server.port == 0


FAMILIES = [
    ("lvs_method NAT", ["fe80::2"], 6),
    ("lvs_method TUN", ["fe80::2"], 6),
    ("lvs_method TUN", ["fe80::2", "10.1.0.2"], 4),
    ("lvs_method TUN\nip_family inet6", ["fe80::2", "10.1.0.2"], 6),
    ("lvs_method TUN\npersistence_granularity 64", ["10.1.0.2"], 6),
]


@pytest.mark.parametrize(("lines", "reals", "family"), FAMILIES)
def test_family_of_a_mark(tmp_path: Path, lines: str, reals: list[str], family: int) -> None:
    servers = "".join(f"real_server {address} {{\n}}\n" for address in reals)
    loaded = read(tmp_path, f"virtual_server fwmark 7 {{\nlvs_sched rr\n{lines}\n{servers}}}\n")
    assert messages(loaded) == []
    assert one(loaded).family == family


def test_checks_ask_the_port_that_was_written(tmp_path: Path) -> None:
    """Of a service by mark servers have no port, and without NAT that of the service."""
    by_mark = server(header="fwmark 7", common="lvs_sched rr\nlvs_method DR\n", real="TCP_CHECK {\n}")
    (real,) = one(read(tmp_path, by_mark)).real_servers
    assert (real.port, real.checks[0].connect_port) == (0, 80)  # type: ignore[attr-defined]
    other = server(
        common="lvs_sched rr\nlvs_method DR\nprotocol TCP\n",
        real_header="10.1.0.2 8080",
        real="TCP_CHECK {\n}\nTCP_CHECK {\nconnect_port 81\n}",
    )
    (real,) = one(read(tmp_path, other)).real_servers
    ports = [check.connect_port for check in real.checks]  # type: ignore[attr-defined]
    assert (real.port, ports) == (80, [8080, 81])
