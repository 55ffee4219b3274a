"""What is valid but wrong: what each lint finds, where, what it leaves alone, and how it is switched off."""

from ipaddress import ip_interface
from pathlib import Path
from typing import ClassVar

import pytest

from keepalived_py.config.checked import checked, skipped
from keepalived_py.config.cluster_check import CODES
from keepalived_py.config.facts import LocalAddress, NoHost
from keepalived_py.config.host import FileStatus, User
from keepalived_py.config.lint.rules import LINTS
from keepalived_py.diagnostics.report import Diagnostic, Severity
from tests.config.fake_host import FakeHost

PAGE = Path(__file__).parents[2] / "docs" / "lints.md"
SECURE = "global_defs {\nenable_script_security\nscript_user root\n}\n"
ALL = {lint.code for lint in LINTS}


class AddressedHost(FakeHost):
    """The machine of the tests, with its addresses, and a kernel without macvlan."""

    kernel: ClassVar = {"ip_vs": True, "macvlan": False}

    def local_addresses(self, interface: str) -> tuple[LocalAddress, ...] | None:
        texts = {"eth0": ("10.1.0.1/16", "fe80::1/64"), "eth1": ("192.168.200.1/24",)}.get(interface)
        return None if texts is None else tuple(map(_local, texts))


def _local(text: str) -> LocalAddress:
    found = ip_interface(text)
    return LocalAddress(found.ip, found.network.prefixlen)


def instance(
    lines: str = "", name: str = "VI_1", vrid: int = 7, interface: str = "eth0", vip: str = "10.1.0.100/16"
) -> str:
    return (
        f"vrrp_instance {name} {{\ninterface {interface}\nvirtual_router_id {vrid}\n{lines}\n"
        f"virtual_ipaddress {{\n{vip}\n}}\n}}\n"
    )


def group(*members: str, lines: str = "") -> str:
    return "vrrp_sync_group G {\ngroup {\n" + "\n".join(members) + f"\n}}\n{lines}\n}}\n"


def script(lines: str = "", name: str = "chk", command: str = "/bin/true") -> str:
    return f'vrrp_script {name} {{\nscript "{command}"\n{lines}\n}}\n'


def said(tmp_path: Path, text: str, host: FakeHost | NoHost | None = None, *ignored: str) -> list[Diagnostic]:
    path = tmp_path / "k.conf"
    path.write_text(text)
    found = checked(str(path), config_id="node", host=host or FakeHost(), ignored=ignored)
    return [one for one in found.diagnostics if one.own]


def raft(*lines: str, count: int = 3, key: str = "key_file /etc/keepalived/raft.key") -> str:
    members = [f"member n{number} 10.1.0.{number}:7400" for number in range(1, count + 1)]
    return "\n".join(("raft_cluster {", "cluster_id c", key, *members, *lines, "}\n"))


TRACK = "track_script {\nchk weight -30\n}"
PLAIN_TRACK = "track_script {\nchk\n}"
PEERS = "unicast_src_ip 10.1.0.1\nunicast_peer {\n"
MANY = "\n".join(f"10.1.1.{n}" for n in range(1, 22))
TWO = instance(name="VI_2", vrid=8, vip="10.1.0.101/16")
SERVERS = "real_server 10.1.0.5 80 {\n}\nreal_server 10.1.0.6 80 {\n}\n"
SERVICE = f"virtual_server 10.1.0.100 80 {{\nlvs_sched rr\nprotocol TCP\n{SERVERS}}}\n"


def check(where: str = "10.1.0.1", more: str = "") -> str:
    return f"vrrp_check web {{\nTCP_CHECK {{\nconnect_ip {where}\nconnect_port 80\n{more}\n}}\n}}\n"


CHECKED = "track_check {\nweb\n}"

# code, text, the line it stands at, a part of the message
FINDINGS = [
    ("check-own-address", check("10.1.0.100") + instance(CHECKED), 3, "an address of VI_1"),
    (
        "check-own-address",
        check("10.1.0.101") + instance() + TWO + group("VI_1", "VI_2", lines=CHECKED),
        3,
        "an address of VI_2",
    ),
    ("check-connect-timeout", check(more="connect_timeout 1") + instance(CHECKED), 5, "before its connect"),
    (
        "script-timeout",
        check(more="}\ntimeout 3\nTCP_CHECK {") + instance(CHECKED),
        6,
        "vrrp_check web may run",
    ),
    ("nopreempt-weight", SECURE + script() + instance(f"nopreempt\n{TRACK}"), 14, "chk"),
    (
        "weight-at-limit",
        SECURE + script() + instance("priority 254\ntrack_script {\nchk weight 5\n}"),
        14,
        "254",
    ),
    ("weight-at-limit", SECURE + script() + instance(f"priority 1\n{TRACK}"), 14, "priority 1"),
    ("owner-priority", instance("state MASTER"), 4, "priority 255"),
    ("strict-drops-traffic", "global_defs {\nvrrp_strict\n}\n" + instance() + TWO, 2, "VI_1, VI_2"),
    ("strict-drops-traffic", instance("strict_mode on"), 4, "no ping"),
    ("common-router-id", instance(vrid=51), 3, "51"),
    ("short-dead-time", instance("version 3\nadvert_int 0.05"), 5, "0.15 s"),
    ("common-password", instance("authentication {\nauth_type PASS\nauth_pass 1111\n}"), 6, "first anybody"),
    ("vmac-side-effects", instance("use_vmac"), 4, "MAC"),
    ("many-addresses", instance(vip=MANY), 5, "21 addresses"),
    ("address-outside", instance(vip="10.1.0.100/16\n10.2.0.1/24"), 7, "10.1.0.0/16"),
    ("address-outside", instance("version 3", vip="fe80::9\n2001:db8::1"), 7, "2001:db8::1"),
    ("address-twice", instance() + instance(name="VI_2", vrid=8), 14, "also belongs to VI_1"),
    ("unicast-self", instance(f"{PEERS}10.1.0.2\n10.1.0.1\n}}"), 7, "10.1.0.1"),
    ("source-not-local", instance("mcast_src_ip 10.1.0.77"), 4, "10.1.0.77"),
    (
        "sync-group-tracking",
        SECURE + script() + group("VI_1", "VI_2") + instance(PLAIN_TRACK) + TWO,
        20,
        "chk",
    ),
    ("sync-group-priority", group("VI_1", "VI_2") + instance("priority 9") + TWO, 2, "VI_1 9, VI_2 100"),
    ("sync-group-preempt", group("VI_1", "VI_2") + instance("nopreempt") + TWO, 2, "nopreempt in VI_1"),
    ("sync-group-interval", group("VI_1", "VI_2") + instance("advert_int 2") + TWO, 2, "intervals"),
    (
        "script-not-found",
        SECURE + script(command="/bin/none") + instance(PLAIN_TRACK),
        6,
        "/bin/none does not exist",
    ),
    (
        "script-not-found",
        SECURE + script(command="/opt/a/b") + instance(PLAIN_TRACK),
        6,
        "/opt does not exist",
    ),
    ("script-not-found", SECURE + instance('notify "none"'), 8, "no folder of PATH has it (/bin)"),
    (
        "script-not-executable",
        SECURE + instance("notify /bin/data"),
        8,
        "/bin/data (mode 0644, uid 0, gid 0)",
    ),
    (
        "script-not-found",
        SECURE + instance("notify /home/bob/deep/x bob"),
        8,
        "uid 1000 may not enter /home/bob/deep (mode 0700",
    ),
    (
        "insecure-script",
        SECURE + instance("notify /bin/open"),
        8,
        "everybody may write to /bin/open (mode 0777",
    ),
    (
        "insecure-script",
        SECURE + instance("notify /home/bob/x"),
        8,
        "/home/bob (mode 0755, uid 1000, gid 1000)",
    ),
    ("insecure-script", SECURE + instance("notify /bin/staff"), 8, "group 50 may write"),
    (
        "script-shell-syntax",
        SECURE + script(command="/bin/true a || /bin/false") + instance(PLAIN_TRACK),
        6,
        "'||'",
    ),
    ("script-timeout", SECURE + script("timeout 9\ninterval 3") + instance(PLAIN_TRACK), 7, "9 s"),
    ("script-slow", SECURE + script("interval 20\nfall 4") + instance(PLAIN_TRACK), 8, "80 s"),
    ("server-unchecked", instance() + SERVICE, 9, "health check"),
    ("kernel-feature", instance("use_vmac"), 4, "macvlan"),
    ("service-without-address", instance(vip="10.1.0.9") + SERVICE, 9, "10.1.0.100 port 80"),
    ("raft-no-key", raft(key="") + instance("election raft"), 1, "no key_file"),
    ("raft-members", raft(count=1) + instance("election raft"), 4, "one member"),
    ("raft-members", raft(count=2) + instance("election raft"), 5, "safe, but not available"),
    ("raft-members", raft(count=4) + instance("election raft"), 7, "4 members and can lose 1"),
    (
        "raft-fence-delay",
        SECURE + raft("takeover fence_first", "fence_script /bin/true", count=2) + instance("election raft"),
        9,
        "both members would shoot",
    ),
    ("raft-unused", raft() + instance(), 1, "elects nothing"),
    ("raft-idle", raft() + instance("election raft\nadvert_int 2\ndead_man"), 12, "advert_int, dead_man"),
]
FILES = {
    "/bin/data": FileStatus(0o100644, 0, 0),
    "/bin/open": FileStatus(0o100777, 0, 0),
    "/bin/staff": FileStatus(0o100775, 0, 50),
    "/home": FileStatus(0o040755, 0, 0),
    "/home/bob": FileStatus(0o040755, 1000, 1000),
    "/home/bob/x": FileStatus(0o100755, 0, 0),
    "/home/bob/deep": FileStatus(0o040700, 0, 0),
    "/home/bob/deep/x": FileStatus(0o100755, 1000, 1000),
}
USERS = {"bob": User("bob", 1000, 1000)}


@pytest.mark.parametrize(("code", "text", "line", "part"), FINDINGS)
def test_findings(code: str, text: str, line: int, part: str, tmp_path: Path) -> None:
    found = [one for one in said(tmp_path, text, AddressedHost(FILES, USERS)) if one.code == code]
    assert len(found) == 1
    assert part in found[0].message
    assert found[0].origin is not None
    assert found[0].origin.line == line
    assert found[0].severity is not Severity.ERROR
    assert found[0].error_class is None


@pytest.mark.parametrize(
    ("kernel", "text", "count"),
    [
        ({"ip_vs": False}, instance() + SERVICE, 1),
        ({}, instance() + SERVICE, 0),
        ({"ipv6": False}, instance("version 3", vip="fe80::9\n2001:db8::1"), 1),
        ({"ipv6": False}, instance(), 0),
    ],
)
def test_what_the_kernel_lacks(kernel: dict[str, bool], text: str, count: int, tmp_path: Path) -> None:
    host = FakeHost()
    host.kernel = kernel  # type: ignore[attr-defined]
    assert [one.code for one in said(tmp_path, text, host)].count("kernel-feature") == count


def test_many_alike_are_one_remark(tmp_path: Path) -> None:
    services = "".join(SERVICE.replace("10.1.0.100", f"10.9.0.{n}") for n in range(1, 41))
    found = [one for one in said(tmp_path, instance() + services) if one.code == "service-without-address"]
    assert len(found) == 11
    assert found[-1].message == "the same holds for 30 more virtual servers"


def test_every_lint_is_found_once_at_least_and_has_its_section() -> None:
    assert {code for code, *_ in FINDINGS} == ALL
    sections = [line[4:] for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("### ")]
    assert sorted(sections) == sorted(ALL | set(CODES))


GOOD = [
    check() + instance(CHECKED),
    instance("state BACKUP\npriority 150\nnopreempt"),
    instance("nopreempt\ntrack_interface {\neth1\n}"),
    "global_defs {\nvrrp_version 3\nvrrp_strict\n}\n" + instance("accept"),
    "global_defs {\nvrrp_version 3\nvrrp_strict\n}\n" + instance("no_accept"),
    SECURE + script("interval 2\nweight -20") + instance("priority 150\ntrack_script {\nchk\n}"),
    group("VI_1", "VI_2") + instance() + TWO,
    group("VI_1", "VI_2", lines=PLAIN_TRACK) + SECURE + script() + instance() + TWO,
    instance("authentication {\nauth_type PASS\nauth_pass k3yb0ard\n}", vip="10.1.0.7"),
    instance(f"{PEERS}10.1.0.2\n}}", vrid=51),
    instance(vip="10.1.0.100/16 dev eth0 label eth0:1\n192.168.200.9/24 dev eth1"),
    SECURE + script(command="/bin/true -a |b") + instance(PLAIN_TRACK),
    raft() + instance("election raft", vrid=51),
    raft(count=5) + "global_defs {\nelection raft\n}\n" + instance(),
    raft("member w 10.9.0.1:7400 witness", "node_id w", count=2),
    SECURE
    + raft("member n2 10.1.0.2:1 fence_delay 3", "takeover fence_first", "fence_script /bin/true", count=1)
    + instance("election raft"),
]


@pytest.mark.parametrize("text", GOOD)
def test_good_files_are_left_alone(text: str, tmp_path: Path) -> None:
    assert said(tmp_path, text, AddressedHost()) in ([], said(tmp_path, "", AddressedHost()))


def test_an_owner_of_the_addresses_is_left_alone(tmp_path: Path) -> None:
    owner, other = instance("priority 255", vip="10.1.0.1/16"), instance("priority 255", vip="10.1.0.9/16")
    assert [one.code for one in said(tmp_path, owner, AddressedHost())] == []
    assert [one.code for one in said(tmp_path, other, AddressedHost())] == ["owner-priority"]


@pytest.mark.parametrize(
    "line",
    [
        "virtual_router_id 51 # keepalived-py: ignore common-router-id",
        "virtual_router_id 51 ! keepalived-py: ignore many-addresses, common-router-id",
        "# keepalived-py: ignore common-router-id\nvirtual_router_id 51",
        "# because: keepalived-py: ignore common-router-id\n# more words\nvirtual_router_id 51",
    ],
)
def test_a_comment_switches_it_off(line: str, tmp_path: Path) -> None:
    text = instance(vrid=51)
    assert [one.code for one in said(tmp_path, text)] == ["common-router-id"]
    assert said(tmp_path, text.replace("virtual_router_id 51", line)) == []


@pytest.mark.parametrize(
    "line",
    [
        "virtual_router_id 51 # keepalived-py: ignore many-addresses",
        "virtual_router_id 51 # ignore common-router-id",
        "priority 9 # keepalived-py: ignore common-router-id\nvirtual_router_id 51",
        "virtual_router_id 51\n# keepalived-py: ignore common-router-id",
    ],
)
def test_other_comments_do_not(line: str, tmp_path: Path) -> None:
    found = said(tmp_path, instance(vrid=51).replace("virtual_router_id 51", line))
    assert [one.code for one in found] == ["common-router-id"]


def test_the_option_switches_it_off(tmp_path: Path) -> None:
    assert said(tmp_path, instance(vrid=51), None, "common-router-id") == []


def test_mistakes_cannot_be_switched_off(tmp_path: Path) -> None:
    path = tmp_path / "k.conf"
    path.write_text("nonsense # keepalived-py: ignore unknown-keyword\n")
    found = checked(str(path), config_id="", host=FakeHost(), ignored=("unknown-keyword",))
    assert [one.code for one in found.diagnostics] == ["unknown-keyword"]
    assert found.loaded.test_exit_code == 5


def test_a_comment_in_an_included_file(tmp_path: Path) -> None:
    (tmp_path / "inner.conf").write_text(
        instance(vrid=51).replace("id 51", "id 51 # keepalived-py: ignore common-router-id")
    )
    assert said(tmp_path, "include inner.conf\n") == []


def test_the_reason_stands_instead_of_the_line_in_the_log(tmp_path: Path) -> None:
    path = tmp_path / "k.conf"
    path.write_text(SECURE + instance("notify /bin/none"))
    found = checked(str(path), config_id="", host=FakeHost()).diagnostics
    assert [one.code for one in found] == ["script-not-found"]


def test_without_a_machine_one_hint_tells_what_was_not_checked(tmp_path: Path) -> None:
    path = tmp_path / "k.conf"
    path.write_text(SECURE + instance("notify /bin/none", interface="eth77"))
    host = NoHost()
    found = checked(str(path), config_id="", host=host)
    assert found.diagnostics == ()
    assert found.loaded.test_exit_code == 0
    (hint,) = skipped(host)
    assert hint.message.endswith("interfaces: eth77; scripts and other files: /bin/none")
    assert skipped(host, ("not-checked",)) == ()
    assert skipped(FakeHost()) == ()
