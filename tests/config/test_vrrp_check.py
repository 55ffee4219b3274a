"""`vrrp_check` and `track_check`: what is said about them, and what they become."""

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.config.checked import checked
from keepalived_py.config.dump import dump
from keepalived_py.config.load import Loaded, load
from keepalived_py.config.table import found, remarks
from keepalived_py.model import checks
from keepalived_py.model.scripts import NO_COMMAND
from keepalived_py.model.tracking import CheckScript, TrackedCheck
from tests.config.fake_host import FakeHost

ADDRESSED = "connect_ip 10.1.0.5\nconnect_port 81\n"
TCP = f"TCP_CHECK {{\n{ADDRESSED}}}\n"


def instance(track: str = "c", name: str = "V", vrid: int = 4) -> str:
    return (
        f"vrrp_instance {name} {{\ninterface eth0\nvirtual_router_id {vrid}\npriority 100\n"
        f"virtual_ipaddress {{\n10.1.0.{vrid}\n}}\ntrack_check {{\n{track}\n}}\n}}\n"
    )


def check(inner: str = TCP, name: str = "c") -> str:
    return f"vrrp_check {name} {{\n{inner}}}\n"


def read(tmp_path: Path, text: str) -> Loaded:
    path = tmp_path / "k.conf"
    path.write_text(text)
    return load(str(path), config_id="node", host=FakeHost())


def said(loaded: Loaded) -> list[str]:
    """Line and text of what `-t` prints."""
    return [
        f"{one.origin.line if one.origin else '-'}: {one.message}"
        for one in loaded.diagnostics
        if not one.logged_only
    ]


def only(tmp_path: Path, inner: str) -> CheckScript:
    """The one check of a configuration about which nothing is said."""
    loaded = read(tmp_path, check(inner) + instance())
    assert (said(loaded), loaded.test_exit_code) == ([], 0)
    (one,) = loaded.configuration.checks
    return one


def test_it_is_a_check_and_a_schedule(tmp_path: Path) -> None:
    one = only(tmp_path, f"{TCP}interval 0.25\ntimeout 2\nrise 2\nfall 3\nweight -20 reverse\ninit_fail\n")
    assert one.asks == checks.TcpCheck(
        retry=0,
        delay_before_retry_us=Micros(0),
        warmup_us=Micros(0),
        delay_loop_us=Micros(250_000),
        connect_ip=IPv4Address("10.1.0.5"),
        connect_port=81,
        connect_timeout_us=Micros(1_800_000),
    )
    assert (one.name, one.command, one.interval_us, one.timeout_us) == ("c", NO_COMMAND, 250_000, 2_000_000)
    assert (one.rise, one.fall, one.weight, one.reverse, one.init_failed) == (2, 3, -20, True, True)


@pytest.mark.parametrize(
    ("lines", "limit_us", "connect_us"),
    [("", 1_000_000, 900_000), ("interval 3", 3_000_000, 2_700_000), ("timeout 60", 60_000_000, 5_000_000)],
)
def test_a_step_may_say_that_it_was_late(tmp_path: Path, lines: str, limit_us: int, connect_us: int) -> None:
    one = only(tmp_path, f"{TCP}{lines}\n")
    assert one.asks is not None
    assert (one.timeout_us, one.asks.connect_timeout_us) == (limit_us, connect_us)


@pytest.mark.parametrize(
    ("inner", "kind", "port"),
    [
        (f"TCP_CHECK {{\n{ADDRESSED}}}", checks.TcpCheck, 81),
        ("HTTP_GET {\nconnect_ip 10.1.0.5\nurl {\npath /\n}\n}", checks.HttpGet, 80),
        ("SSL_GET {\nconnect_ip 10.1.0.5\nurl {\npath /\n}\n}", checks.SslGet, 443),
        ("SMTP_CHECK {\nconnect_ip 10.1.0.5\n}", checks.SmtpCheck, 25),
        ("DNS_CHECK {\nconnect_ip 10.1.0.5\ntype A\n}", checks.DnsCheck, 53),
        (f"UDP_CHECK {{\n{ADDRESSED}}}", checks.UdpCheck, 81),
        ("PING_CHECK {\nconnect_ip 10.1.0.5\n}", checks.PingCheck, None),
    ],
)
def test_every_kind_that_asks_somebody(tmp_path: Path, inner: str, kind: type, port: int | None) -> None:
    asks = only(tmp_path, inner + "\n").asks
    assert asks is not None
    assert (type(asks), asks.connect_ip, asks.connect_port) == (kind, IPv4Address("10.1.0.5"), port)


def test_either_end_may_be_ipv6_whatever_comes_first(tmp_path: Path) -> None:
    asks = only(tmp_path, "TCP_CHECK {\nbindto fd00::1\nconnect_ip fd00::5\nconnect_port 81\n}\n").asks
    assert asks is not None
    assert (asks.connect_ip, asks.source_ip) == (IPv6Address("fd00::5"), IPv6Address("fd00::1"))


KINDS = "TCP_CHECK, HTTP_GET, SSL_GET, SMTP_CHECK, DNS_CHECK, UDP_CHECK, PING_CHECK"
WRONG = [
    ("", "2: vrrp_check c: it asks nothing - removing"),
    ("TCP_CHECK {\nbindto fd00::1\n}\n", "4: vrrp_check c: TCP_CHECK has no connect_ip - ignoring"),
    ("TCP_CHECK {\nconnect_ip nowhere\n}\n", "3: Invalid connect_ip address nowhere - ignoring"),
    ("TCP_CHECK {\nconnect_ip 10.1.0.5\n}\n", "5: vrrp_check c: it has no connect_port - removing"),
    ("SMTP_CHECK {\nconnect_ip 10.1.0.5\nhost {\n}\n}\n", "4: Unknown keyword 'host'"),
    (TCP + TCP, "10: vrrp_check c: it asks more than one thing - removing"),
    ("MISC_CHECK {\nmisc_path /bin/true\n}\n", "2: Unknown keyword 'MISC_CHECK'"),
    (f"{TCP}user root\n", "6: Unknown keyword 'user'"),
    (f"{TCP}interval 4295\n", "6: (c): vrrp check interval '4295' must be between 0.001 and 4294 - ignoring"),
    (f"{TCP}timeout 0\n", "6: (c): vrrp check timeout must be greater than 0, setting to 1"),
    (f"{TCP}weight 254\n", "6: vrrp_check c weight 254 must be in [-253, 253]"),
    (f"{TCP}fall 0\n", "6: (c): vrrp check fall value '0' invalid, defaulting to 1"),
]


@pytest.mark.parametrize(("inner", "line"), WRONG)
def test_mistakes(tmp_path: Path, inner: str, line: str) -> None:
    loaded = read(tmp_path, check(inner) + instance())
    assert line in said(loaded)
    assert loaded.test_exit_code in (4, 5)
    assert loaded.start_exit_code is None


def test_a_check_that_is_removed_is_not_tracked(tmp_path: Path) -> None:
    loaded = read(tmp_path, check("") + instance())
    assert said(loaded)[1:] == ["11: (V) track check c not found, ignoring..."]
    assert (loaded.configuration.checks, loaded.configuration.instances[0].track_checks) == ((), ())
    (tmp_path / "k.conf").write_text(check("") + instance())
    every = checked(str(tmp_path / "k.conf"), config_id="n", host=FakeHost()).diagnostics
    (follows,) = [one for one in every if one.code == "unknown-name"]
    assert follows.cause is not None
    assert follows.cause.code == "missing-check"


TRACKS: list[tuple[str, TrackedCheck | None, list[str]]] = [
    ("c", TrackedCheck("c", -7, True), []),  # type: ignore[arg-type]
    ("c weight 5 noreverse", TrackedCheck("c", 5), []),  # type: ignore[arg-type]
    ("d", None, ["16: (V) track check d not found, ignoring..."]),
    ("c\nc", TrackedCheck("c", -7, True), ["17: (V) duplicate track_check c - ignoring"]),  # type: ignore[arg-type]
    ("c wait 1", None, ["16: (V) unknown track check option wait - ignoring"]),
]


@pytest.mark.parametrize(("line", "track", "messages"), TRACKS)
def test_tracking(tmp_path: Path, line: str, track: TrackedCheck | None, messages: list[str]) -> None:
    loaded = read(tmp_path, check(f"{TCP}weight -7 reverse\n") + instance(line))
    assert said(loaded) == messages
    assert loaded.configuration.instances[0].track_checks == ((track,) if track else ())


def test_a_group_tracks_for_its_members(tmp_path: Path) -> None:
    group = "vrrp_sync_group G {\ngroup {\nV\nW\n}\ntrack_check {\nc weight 0\n}\n}\n"
    text = check() + group + instance(name="V") + instance(name="W", vrid=5)
    loaded = read(tmp_path, text)
    assert said(loaded) == []
    assert [one.name for one in loaded.configuration.groups[0].track_checks] == ["c"]
    assert read(tmp_path, dump(loaded.configuration)).configuration == loaded.configuration


def test_weights_that_cannot_count_are_dropped_as_those_of_scripts(tmp_path: Path) -> None:
    loaded = read(tmp_path, check() + instance("c weight 5").replace("priority 100", "priority 255"))
    assert any("ignoring tracked check c with weights due to address_owner" in line for line in said(loaded))
    assert loaded.configuration.instances[0].track_checks == ()


def test_names_are_shared_with_scripts(tmp_path: Path) -> None:
    script = (
        "global_defs {\nenable_script_security\nscript_user root\n}\nvrrp_script c {\nscript /bin/true\n}\n"
    )
    loaded = read(tmp_path, check() + script + instance())
    assert "1: vrrp_check c: a vrrp_script has that name, too - removing" in said(loaded)
    assert (loaded.configuration.checks, loaded.configuration.instances[0].track_checks) == ((), ())


def test_the_second_of_a_name_is_refused(tmp_path: Path) -> None:
    loaded = read(
        tmp_path, check() + check("TCP_CHECK {\nconnect_ip 10.1.0.6\nconnect_port 1\n}\n") + instance()
    )
    assert said(loaded) == ["7: vrrp_check c already defined - ignoring"]
    assert str(loaded.configuration.checks[0].asks.connect_ip) == "10.1.0.5"  # type: ignore[union-attr]


def test_what_is_unused_is_only_logged(tmp_path: Path) -> None:
    loaded = read(tmp_path, check() + check(name="d") + instance())
    assert (said(loaded), loaded.test_exit_code) == ([], 0)
    assert [one.message for one in loaded.diagnostics] == ["Warning - check d is not used"]


def test_the_schedule_of_a_real_server_s_check_is_read_and_not_used(tmp_path: Path) -> None:
    timing = "retry 3\ndelay_before_retry 2\ndelay_loop 7\nwarmup 3\nalpha\nlog_all_failures\n"
    loaded = read(tmp_path, check(f"TCP_CHECK {{\n{ADDRESSED}{timing}}}\n") + instance())
    assert (said(loaded), loaded.test_exit_code) == ([], 0)
    assert [one.code for one in loaded.diagnostics] == ["check-schedule"] * 6
    assert loaded.configuration.checks == read(tmp_path, check() + instance()).configuration.checks


WHOLE = """vrrp_check c {
    SSL_GET {
        connect_ip fd00::5
        connect_port 8443
        bindto fd00::1
        connect_timeout 0.7
        fwmark 5
        virtualhost www.example.com
        enable_sni on
        url {
            path /a
            status_code 200 301-303
        }
        url {
            path /b
            regex "fine"
        }
    }
    interval 0.5
    timeout 2
    weight 5 reverse
    rise 3
}
"""


def test_a_dump_reads_the_same(tmp_path: Path) -> None:
    loaded = read(tmp_path, WHOLE + instance("c weight -5 reverse"))
    text = dump(loaded.configuration)
    again = read(tmp_path, text)
    assert (said(loaded), said(again)) == ([], [])
    assert again.configuration == loaded.configuration
    assert dump(again.configuration) == text
    assert "        c weight -5 reverse\n" in text


@pytest.mark.parametrize("words", ["vrrp_check", "vrrp_instance/track_check", "vrrp_check/TCP_CHECK"])
def test_the_table_says_that_it_is_ours(words: str) -> None:
    places: list[Any] = found(words)
    assert places
    assert all("Only in keepalived-py" in remarks(place.keyword) for place in places)


def test_the_table_says_what_has_no_meaning() -> None:
    (place,) = found("vrrp_check/TCP_CHECK/retry")
    assert any(line.startswith("Without meaning here: interval") for line in remarks(place.keyword))
