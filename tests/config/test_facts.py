"""Machines that are not this one: what a description answers, and which descriptions are refused."""

import json
from ipaddress import ip_address
from typing import Any

import pytest

from keepalived_py.config.facts import (
    FORMAT,
    PLAUSIBLE,
    PLAUSIBLE_FOLDER,
    FactsError,
    FactsHost,
    LocalAddress,
    NoHost,
    facts_of,
)
from keepalived_py.config.host import FileStatus, Host

FACTS: dict[str, Any] = {
    "format": FORMAT,
    "host_name": "lb1.example",
    "interfaces": {
        "eth0": {"mtu": 9000, "loopback": False, "addresses": ["10.1.0.1/16", "fe80::1/64"]},
        "lo": {"mtu": 65536, "loopback": True, "addresses": []},
        "red": {"kind": "vrf"},
    },
    "users": {"root": [0, 0], "bob": [1000, 1001]},
    "groups": {"root": 0, "staff": 50},
    "search_path": ["/bin", "/usr/bin"],
    "folders": ["/etc/keepalived"],
    "links": {"/bin": "/usr/bin", "/srv": "/"},
    "files": {
        "/": {"mode": "40755", "uid": 0, "gid": 0},
        "/usr/bin/true": {"mode": "100755", "uid": 0, "gid": 0},
        "/opt": None,
    },
    "name_tables": {"rt_tables": {"blue": 100}},
    "hosts": {"mail": True, "nowhere": False},
    "processors": 4,
    "kernel": {"ip_vs": True},
}


def machine(**changes: Any) -> FactsHost:
    return facts_of(json.dumps({**FACTS, **changes}), "host.json")


def test_both_answer_everything_that_is_asked_of_a_host() -> None:
    questions = {name for name in vars(Host) if not name.startswith("_")}
    assert "real_path" in questions
    for kind in (FactsHost, NoHost):
        assert not questions - set(dir(kind))


def test_interfaces() -> None:
    host = machine()
    assert (host.interface_exists("eth0"), host.interface_exists("eth1")) == (True, False)
    assert (host.interface_is_loopback("lo"), host.interface_is_loopback("eth0")) == (True, False)
    assert (host.interface_is_vrf("red"), host.interface_is_vrf("eth0")) == (True, False)
    assert [host.interface_is_other_than(name, "vrf") for name in ("eth0", "red", "eth1")] == [
        True,
        False,
        False,
    ]
    assert (host.interface_mtu("eth0"), host.interface_mtu("eth1")) == (9000, 0)
    assert host.local_addresses("eth1") is None
    addresses = host.local_addresses("eth0")
    assert addresses is not None
    assert addresses[0] == LocalAddress(ip_address("10.1.0.1"), 16)


@pytest.mark.parametrize(
    ("address", "inside"), [("10.1.200.3", True), ("10.2.0.1", False), ("::1", False), ("10.1.0.1", True)]
)
def test_which_addresses_a_network_has(address: str, inside: bool) -> None:
    assert LocalAddress(ip_address("10.1.0.1"), 16).covers(ip_address(address)) is inside


def test_people() -> None:
    host = machine()
    bob = host.user("bob")
    assert bob is not None
    assert (bob.uid, bob.gid, host.user("eve")) == (1000, 1001, None)
    assert (host.group_id("staff"), host.group_id("eves")) == (50, None)
    assert (host.own_user().uid, host.host_name()) == (0, "lb1.example")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/usr/bin/true", FileStatus(0o100755, 0, 0)),
        ("/bin/true", FileStatus(0o100755, 0, 0)),
        ("/srv/usr/../bin/true", FileStatus(0o100755, 0, 0)),
        ("/opt", None),
        ("/opt/x.sh", None),
        ("/etc/keepalived/new.sh", None),
        ("/var/x.sh", PLAUSIBLE),
        ("/bin/other", PLAUSIBLE),
    ],
)
def test_files(path: str, status: FileStatus | None) -> None:
    host = machine()
    host.real_path(path)  # it shall be run
    assert host.status(path) == status
    assert host.skipped() == ((f"scripts and other files: {path}",) if status is PLAUSIBLE else ())


def test_what_is_not_to_be_run_is_not_there_unless_it_is_described() -> None:
    for host in (machine(), NoHost()):
        assert host.status("/var/lib/state") is None
        assert host.status("/var/lib") == PLAUSIBLE_FOLDER
        assert host.skipped() == ()
        assert host.status("/proc/sys/net/x") == PLAUSIBLE
        assert host.skipped() == ("scripts and other files: /proc/sys/net/x",)


@pytest.mark.parametrize(
    ("name", "known"),
    [("127.0.0.1", True), ("127.1", True), ("2130706433", True), ("127.0.0.300", False), ("10.1:25", False)],
)
def test_numbers_need_no_machine(name: str, known: bool) -> None:
    for host in (machine(), NoHost()):
        assert host.resolves(name) is known
        assert host.skipped() == ()


def test_links_are_followed() -> None:
    assert [machine().real_path(path) for path in ("/bin/true", "/srv", "/a/./b", "x")] == [
        "/usr/bin/true",
        "/",
        "/a/b",
        "x",
    ]


def test_names_of_hosts_and_processors() -> None:
    host = machine()
    assert [host.resolves(name) for name in ("mail", "nowhere", "unknown")] == [True, False, True]
    assert host.skipped() == ("names of hosts: unknown",)
    assert (host.processors(), machine(processors=8).processors()) == (4, 8)


def test_names_of_the_kernel() -> None:
    host = machine()
    assert (host.kernel_name("rt_tables", "blue"), host.kernel_name("rt_tables", "main")) == (100, None)
    assert host.kernel_name("rt_scopes", "link") == 253


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "host.json is no JSON"),
        ("[" * 200_000, "host.json is no JSON"),
        ("[]", "an object is expected"),
        ("{}", '"format" must be 1'),
        ('{"format": 2}', '"format" must be 1'),
        ('{"format": 1, "interfaces": []}', '"interfaces" must be an object'),
        ('{"format": 1, "interfaces": {"a": 1}}', '"interfaces.a" must be an object'),
        ('{"format": 1, "interfaces": {"a": {"mtu": "x"}}}', '"interfaces.a.mtu" must be a whole number'),
        ('{"format": 1, "interfaces": {"a": {"mtu": true}}}', '"interfaces.a.mtu" must be a whole number'),
        ('{"format": 1, "interfaces": {"a": {"addresses": ["x"]}}}', "x is no ADDRESS/LENGTH"),
        ('{"format": 1, "users": {"bob": [1]}}', '"users.bob" must be [uid, gid]'),
        ('{"format": 1, "users": {"bob": [1, "x"]}}', '"users.bob" must be a whole number'),
        ('{"format": 1, "files": {"/x": {"mode": "9"}}}', '"files./x.mode" must be octal digits'),
        ('{"format": 1, "files": {"/x": {"mode": 33261}}}', '"files./x.mode" must be a string'),
        ('{"format": 1, "folders": [1]}', '"folders[0]" must be a string'),
        ('{"format": 1, "name_tables": {"rt_tables": {"a": "b"}}}', '"name_tables.rt_tables.a" must be'),
    ],
)
def test_what_is_no_description(text: str, said: str) -> None:
    with pytest.raises(FactsError) as raised:
        facts_of(text, "host.json")
    assert said in str(raised.value)
    assert "host.json" in str(raised.value)


def test_without_a_machine_everything_is_in_order_and_noted() -> None:
    host = NoHost()
    assert host.interface_exists("eth7")
    assert not host.interface_exists("")
    assert host.user("root") == host.own_user()
    assert host.user("bob") is not None
    assert host.status(host.real_path("/x/y.sh")) == PLAUSIBLE
    assert host.kernel_name("rt_tables", "100") is None  # a number speaks for itself
    assert host.kernel_name("rt_tables", "blue") is not None
    assert host.skipped() == (
        "interfaces: eth7",
        "users and groups: bob",
        "scripts and other files: /x/y.sh",
        "kernel names: blue (rt_tables)",
    )


def test_a_long_list_of_the_unknown_is_cut() -> None:
    host = NoHost()
    for number in range(20):
        host.interface_exists(f"eth{number}")
    assert host.skipped() == ("interfaces: eth0, eth1, eth2, eth3, eth4, eth5, eth6, eth7 and 12 more",)
