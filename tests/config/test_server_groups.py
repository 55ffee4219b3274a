"""Groups of virtual servers, their scripts, and what is settled at the end."""

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from keepalived_py.config.dump import dump
from keepalived_py.config.host import FileStatus
from keepalived_py.model.virtual_server import (
    AddressRange,
    FirewallMark,
    ServerGroup,
)
from tests.config.fake_host import FakeHost
from tests.config.server_texts import FOUR, SECURE, VIP, group, logged, messages, one, read, server

# Groups ----------------------------------------------------------------------

V4, V6 = IPv4Address, IPv6Address
ENTRIES = [
    ("10.0.0.1", AddressRange(V4("10.0.0.1"), V4("10.0.0.1"))),
    ("10.0.0.1 80", AddressRange(V4("10.0.0.1"), V4("10.0.0.1"), 80)),
    ("10.0.0.1 0", AddressRange(V4("10.0.0.1"), V4("10.0.0.1"))),
    ("10.0.0.1-9 80", AddressRange(V4("10.0.0.1"), V4("10.0.0.9"), 80)),
    ("10.0.0.1-10.0.1.9", AddressRange(V4("10.0.0.1"), V4("10.0.1.9"))),
    ("10.0.0.0/30", AddressRange(V4("10.0.0.0"), V4("10.0.0.3"))),
    ("2001:db8::1-1f 80", AddressRange(V6("2001:db8::1"), V6("2001:db8::1f"), 80)),
    ("2001:db8::/112", AddressRange(V6("2001:db8::"), V6("2001:db8::ffff"))),
    ("fwmark 5", FirewallMark(5)),
    ("fwmark 5 inet", FirewallMark(5, 4)),
    ("fwmark 5 inet6", FirewallMark(5, 6)),
]


@pytest.mark.parametrize(("line", "entry"), ENTRIES)
def test_entries_of_a_group(tmp_path: Path, line: str, entry: AddressRange | FirewallMark) -> None:
    loaded = read(tmp_path, group(line))
    assert messages(loaded) == []
    assert loaded.configuration.server_groups == (ServerGroup("g", (entry,)),)


BAD_ENTRIES = [
    ("10.0.0.1:80", "Invalid virtual server group IP address 10.0.0.1:80  - skipping"),
    ("10.0.0.1 x", "Invalid virtual server group IP address 10.0.0.1 /port/x - skipping"),
    ("10.0.0.0/33", "Invalid netmask - 10.0.0.0/33 - skipping"),
    ("10.0.0.1/24", "Address mask bits not empty - 10.0.0.1/24 - skipping"),
    ("10.0.0.9-1", "Address range end is not greater than address range start - 10.0.0.9-1 - skipping"),
    ("10.0.0.1-256", "Virtual server group range '10.0.0.1-256' end '256' too large"),
    ("10.0.0.1-5x", "Virtual server group range '10.0.0.1-5x' has extra characters at end 'x'"),
    ("10.0.0.1-10.0.0.x", "Invalid range end 10.0.0.1-10.0.0.x - skipping"),
    (
        "10.0.0.9-10.0.0.1",
        "Address range end is less than address range start - 10.0.0.9-10.0.0.1 - skipping",
    ),
    ("fwmark x", f"(g): fwmark 'x' must be in [0, {FOUR}] - ignoring"),
    ("fwmark 5 ip", "(g): fwmark '5' family ip unknown - ignoring"),
]


@pytest.mark.parametrize(("line", "message"), BAD_ENTRIES)
def test_wrong_entries_of_a_group(tmp_path: Path, line: str, message: str) -> None:
    loaded = read(tmp_path, group("10.0.0.200", line))
    assert (messages(loaded)[-1], loaded.test_exit_code) == (message, 5)
    assert len(loaded.configuration.server_groups[0].entries) == 1


BAD_GROUPS = [
    (group(), 5, "virtual server group g has no entries - removing"),
    (
        group("fwmark 1", "10.0.0.1", "fe80::1"),
        5,
        "virtual server group g cannot have IPv4, IPv6 and fwmark without family - removing",
    ),
    (
        group("10.0.0.1", name="g h"),
        2,
        "*** Configuration line starting `***MISSING ***` is missing a parameter at word position 1",
    ),
    (
        group("10.0.0.1", name=""),
        2,
        "*** Configuration line starting `virtual_server_group` is missing a parameter"
        " after keyword `virtual_server_group` at word position 2",
    ),
    (
        group("fwmark"),
        2,
        "*** Configuration line starting `fwmark` is missing a parameter"
        " after keyword `fwmark` at word position 2",
    ),
]


@pytest.mark.parametrize(("text", "code", "message"), BAD_GROUPS)
def test_wrong_groups(tmp_path: Path, text: str, code: int, message: str) -> None:
    loaded = read(tmp_path, text)
    assert (messages(loaded), loaded.test_exit_code) == ([message], code)


def test_server_of_a_group(tmp_path: Path) -> None:
    text = group("10.0.0.5 80", "10.0.0.6-9 81") + server(header="group g")
    direct = text.replace("lvs_method NAT", "lvs_method DR")
    assert (one(read(tmp_path, text)).group, one(read(tmp_path, text)).family) == ("g", 4)
    assert messages(read(tmp_path, text)) == []
    assert messages(read(tmp_path, direct)) == [
        "virtual server [g]:0:[10.0.0.6-10.0.0.9,81] and real server [10.1.0.2]:tcp:80 ports don't match"
    ]


def test_servers_of_a_group_are_counted(tmp_path: Path) -> None:
    text = group("10.0.0.5 80") + server(header="group g") + server(header="group g", lines="ops")
    assert messages(read(tmp_path, text)) == [
        "Virtual server [g]:1: one packet scheduling requires UDP - resetting"
    ]


LINKS = [
    (
        server(header="group nowhere"),
        "Virtual server group nowhere specified but not configured - ignoring virtual server [nowhere]:0",
    ),
    (
        group("fe80::5 80") + server(header="group g"),
        "g: address family doesn't match virtual server [g]:0 - ignoring",
    ),
    (
        group("fe80::5 80", "10.0.0.5 80") + server(header="group g"),
        "g: virtual server group with IPv4 & IPv6 doesn't match virtual server [g]:0 - ignoring",
    ),
]


@pytest.mark.parametrize(("text", "message"), LINKS)
def test_servers_without_a_fitting_group_are_dropped(tmp_path: Path, text: str, message: str) -> None:
    """keepalived only logs it."""
    loaded = read(tmp_path, text)
    assert (messages(loaded), loaded.test_exit_code) == ([], 0)
    assert message in logged(loaded)
    assert loaded.configuration.virtual_servers == ()


# Scripts ---------------------------------------------------------------------

CHECKS_RUN = "SECURITY VIOLATION - check scripts are being executed but script_security not enabled."


def test_scripts_without_script_security(tmp_path: Path) -> None:
    for lines, real in (("quorum_up /bin/true", ""), ("", "notify_down /bin/true")):
        loaded = read(tmp_path, server(lines, real))
        assert (messages(loaded), loaded.test_exit_code) == ([CHECKS_RUN], 6)


def test_insecure_script(tmp_path: Path) -> None:
    host = FakeHost({"/x.sh": FileStatus(0o100777, 0, 0)})
    loaded = read(tmp_path, server("quorum_down /x.sh"), host)
    assert messages(loaded) == [f"{CHECKS_RUN} There are insecure scripts."]
    assert one(loaded).quorum_down is not None
    strict = read(tmp_path, SECURE + server("quorum_down /x.sh"), host)
    assert (messages(strict), strict.test_exit_code) == ([], 0)
    assert one(strict).quorum_down is None


def test_script_that_is_not_there(tmp_path: Path) -> None:
    loaded = read(tmp_path, server(real="notify_up /bin/nothing"))
    assert (messages(loaded), loaded.test_exit_code) == ([], 0)
    assert one(loaded).real_servers[0].notify_up is None


def test_second_script(tmp_path: Path) -> None:
    text = SECURE + server(
        "quorum_up /bin/true\nquorum_up /bin/false", "notify_up /bin/true\nnotify_up /bin/false"
    )
    loaded = read(tmp_path, text)
    assert messages(loaded) == [
        "((null)) quorum_up script already specified - ignoring /bin/false",
        "((null)) notify_up script already specified - ignoring /bin/false",
    ]
    found = one(loaded)
    assert found.quorum_up is not None and found.quorum_up.argv == ("/bin/true",)


def test_mail_follows_the_globals(tmp_path: Path) -> None:
    def alerts(common: str) -> tuple[bool, bool]:
        found = one(read(tmp_path, f"global_defs {{\n{common}\n}}\n{server()}"))
        return found.smtp_alert, found.real_servers[0].smtp_alert

    assert alerts("") == (False, True)
    assert alerts("smtp_alert") == (True, True)
    assert alerts("smtp_alert off") == (False, False)
    assert alerts("smtp_alert off\nsmtp_alert_checker") == (True, True)


# After the ports ---------------------------------------------------------------


def test_real_servers_that_become_the_same(tmp_path: Path) -> None:
    """Without NAT they get the port of the virtual server: IPVS can have such a server only once."""
    common = "lvs_sched rr\nlvs_method DR\nprotocol TCP\nquorum 2\n"
    loaded = read(tmp_path, server("real_server 10.1.0.2 {\n}", common=common))
    found = one(loaded)
    assert [(real.address, real.port) for real in found.real_servers] == [(IPv4Address("10.1.0.2"), 80)]
    assert (messages(loaded), found.quorum) == ([], 1)
    assert f"VS {VIP}: real server [10.1.0.2]:tcp:80 is there twice - using the first" in logged(loaded)


def test_scripts_of_a_server_that_is_skipped_do_not_count(tmp_path: Path) -> None:
    text = server("real_server fe80::2 80 {\nnotify_up /bin/true\n}")
    assert read(tmp_path, text).test_exit_code == 5


def test_script_of_the_pipe_counts(tmp_path: Path) -> None:
    pipe = "global_defs {\nlvs_notify_fifo /run/x\nlvs_notify_fifo_script /bin/true\n}\n"
    assert CHECKS_RUN in messages(read(tmp_path, pipe + server()))
    assert CHECKS_RUN not in messages(read(tmp_path, pipe))


def test_mapped_address_is_shown_as_inet_ntop_does(tmp_path: Path) -> None:
    loaded = read(tmp_path, server(header="::ffff:10.0.0.1 80", real_header="fe80::2 80", lines="ops"))
    assert messages(loaded) == [
        "Virtual server [::ffff:10.0.0.1]:tcp:80: one packet scheduling requires UDP - resetting"
    ]


def test_messages_about_the_whole_tell_where_it_begins(tmp_path: Path) -> None:
    loaded = read(tmp_path, "\n" + server("ops"))
    (found,) = loaded.diagnostics
    assert found.origin is None
    assert found.about is not None
    assert found.about.text.strip() == "ops"


FULL = """\
global_defs {
    smtp_alert off
    enable_script_security
    script_user root
}
virtual_server 10.0.0.1 80 {
    alpha
    retry 4
    weight 3
    lvs_method TUN type gue port 6080 csum
    lvs_sched sh
    sh-port
    protocol TCP
    persistence_granularity 255.255.255.0
    quorum 4
    hysteresis 2
    quorum_up "/bin/true 'a b'"
    virtualhost "a b"
    sorry_server 10.1.0.2 80
    sorry_server_lvs_method DR
    real_server 10.1.0.2 {
        alpha off
        lvs_method NAT
        weight 1
        smtp_alert
        TCP_CHECK {
        }
    }
    real_server 2001:db8::3 80 {
        connect_timeout 1.5
    }
}
virtual_server fwmark 5 {
    lvs_sched nq
    lvs_method TUN
    persistence_granularity 64
    real_server 10.1.0.2 {
    }
}
"""


def test_dump_reads_as_the_same(tmp_path: Path) -> None:
    before = read(tmp_path, FULL)
    again = read(tmp_path, dump(before.configuration))
    assert (messages(before), messages(again)) == ([], [])
    assert again.configuration.virtual_servers == before.configuration.virtual_servers
