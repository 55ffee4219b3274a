"""What is run for keep-vip's YAML: a quorum, one instance, its checks; and on which machine."""

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InstanceName, InterfaceName, LeaseName, MemberId, ScriptName
from keepalived_py.config.facts import NoHost
from keepalived_py.config.host import Secret
from keepalived_py.config.keepvip.reader import read_bytes
from keepalived_py.config.keepvip.writer import to_yaml
from keepalived_py.config.load import Loaded, load
from keepalived_py.daemon.supported import runnable
from keepalived_py.model.cluster import Endpoint
from keepalived_py.model.config import Election, Instance, VirtualAddress
from keepalived_py.model.raft import PRESETS, RaftCluster, RaftMember
from keepalived_py.model.scripts import NO_COMMAND
from keepalived_py.model.tracking import CheckScript, TrackedScript
from keepalived_py.model.vrrp import GratuitousArp
from tests.config.fake_host import FakeHost

TEXT = (
    "interface: eth0\nvip: 10.0.0.9\nChecksInterval: 2\nmembers:\n  - {id: a, address: '10.0.0.1:1'}\n"
    "  - {id: b, address: '10.0.0.2:2'}\n  - {id: c, address: '10.0.0.3:3'}\n"
)
CHECKS = (
    "checks:\n  - {name: web, protocol: tcp, address: '127.0.0.1:80', timeout: 1}\n"
    "  - {name: web, protocol: tcp, address: 'db.example:5432'}\n  - {protocol: tcp, address: '[::1]:53'}\n"
)


def machine(*addresses: str) -> FakeHost:
    host = FakeHost()
    host.local = tuple(map(IPv4Address, addresses))
    return host


def read(tmp_path: Path, text: str, host: FakeHost | NoHost | None = None) -> Loaded:
    path = tmp_path / "k.yaml"
    path.write_text(text)
    return load(str(path), config_id="", host=host or machine("10.0.0.2"))


def test_the_quorum(tmp_path: Path) -> None:
    loaded = read(tmp_path, TEXT)
    assert (loaded.test_exit_code, loaded.start_exit_code) == (0, None)
    assert loaded.configuration.raft == RaftCluster(
        id="keep-vip",
        own=MemberId("b"),
        members=tuple(
            RaftMember(MemberId(name), Endpoint(f"10.0.0.{number}", number))
            for number, name in enumerate("abc", 1)
        ),
        directory="/var/lib/keepalived-py/keep-vip/b",
        run_directory="/run/keepalived-py/keep-vip/b",
        log_lease=LeaseName("10.0.0.9"),
    )
    assert loaded.configuration.instances == (
        Instance(
            name=InstanceName("10.0.0.9"),
            interface=InterfaceName("eth0"),
            vrid=0,
            preempt=False,
            addresses=(VirtualAddress(IPv4Address("10.0.0.9"), 32, InterfaceName("eth0")),),
            garp=GratuitousArp(refresh_us=Micros(2_000_000), refresh_repeat=1),
            election=Election.RAFT,
        ),
    )
    assert loaded.configuration.globals.router_id == "node.example"


def test_on_the_loopback_interface_the_address_has_the_scope_of_a_host(tmp_path: Path) -> None:
    (one,) = read(tmp_path, TEXT.replace("eth0", "lo")).configuration.instances
    assert [address.scope for address in one.addresses] == [254]


def test_checks_are_scripts_that_connect(tmp_path: Path) -> None:
    configuration = read(tmp_path, TEXT + CHECKS).configuration
    second = Micros(1_000_000)
    assert configuration.scripts == tuple(
        CheckScript(
            ScriptName(name), NO_COMMAND, Micros(2 * second), Micros(timeout), connect=Endpoint(*place)
        )
        for name, timeout, place in (
            ("web", second, ("127.0.0.1", 80)),
            ("web#2", 500_000, ("db.example", 5432)),
            ("[::1]:53", 500_000, ("::1", 53)),
        )
    )
    (one,) = configuration.instances
    assert one.track_scripts == tuple(TrackedScript(each.name) for each in configuration.scripts)
    assert runnable(configuration).configuration.scripts == configuration.scripts


def test_what_only_we_know(tmp_path: Path) -> None:
    more = "onCheckFailure: exit\nkeyFile: /etc/keepalived/raft.key\ndataDirectory: /srv/x\ntiming: fast\n"
    loaded = read(tmp_path, TEXT + CHECKS + more)
    assert loaded.diagnostics == ()
    raft = loaded.configuration.raft
    assert (raft.key, raft.key_file) == (b"k" * 32, "/etc/keepalived/raft.key")
    assert (raft.directory, raft.timing) == ("/srv/x", PRESETS["fast"])
    assert all(one.ends_program for one in loaded.configuration.scripts)
    cluster = loaded.configuration.cluster
    again = read_bytes(to_yaml(cluster).encode(), "k", machine())
    assert again.cluster == cluster


def test_stepping_down_is_the_default_and_is_not_written(tmp_path: Path) -> None:
    loaded = read(tmp_path, TEXT + CHECKS + "onCheckFailure: stepdown\ntiming: lan\n")
    assert not any(one.ends_program for one in loaded.configuration.scripts)
    text = to_yaml(loaded.configuration.cluster)
    assert [name for name in ("onCheckFailure", "keyFile", "dataDirectory", "timing") if name in text] == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("onCheckFailure: die", "onCheckFailure 'die' is not known"),
        ("timing: slow", "timing 'slow' is not known"),
        ("keyFile: key", "keyFile 'key' is no absolute path"),
        ("dataDirectory: [a]", "dataDirectory is a list"),
    ],
)
def test_wrong_values(line: str, message: str, tmp_path: Path) -> None:
    loaded = read(tmp_path, f"{TEXT}{line}\n")
    assert [one.message for one in loaded.diagnostics] == [message]
    assert (loaded.test_exit_code, loaded.start_exit_code) == (5, 2)


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        (machine("10.9.9.9", "127.0.0.1"), "no member has an address of this machine (10.9.9.9)"),
        (machine("10.0.0.1", "10.0.0.2"), "the addresses of the members a, b are all of this machine"),
        (machine(), "no member has an address of this machine (none)"),
        (NoHost(), ""),
    ],
)
def test_elsewhere_it_can_be_read_and_not_started(
    host: FakeHost | NoHost, reason: str, tmp_path: Path
) -> None:
    loaded = read(tmp_path, TEXT + "keyFile: /nowhere\n", host)
    assert (loaded.test_exit_code, loaded.start_exit_code) == (0, 2)
    assert loaded.configuration.cluster is not None
    said = [one.message for one in loaded.diagnostics if one.code == "no-member"]
    assert said == ([f"Not to be started here: {reason}"] if reason else [])


@pytest.mark.parametrize("name", ["x" * 256, '"a\\nb"'])
def test_members_must_be_able_to_tell_each_other(name: str, tmp_path: Path) -> None:
    loaded = read(tmp_path, TEXT.replace("id: c", f"id: {name}"))
    assert (loaded.test_exit_code, loaded.start_exit_code) == (5, 2)
    assert "at most 64 members" in loaded.diagnostics[0].expected


def test_a_member_needs_its_key(tmp_path: Path) -> None:
    text = TEXT + "keyFile: /etc/keepalived/raft.key\n"
    host = machine("10.0.0.1")
    host.secrets["/etc/keepalived/raft.key"] = Secret(0o100604, b"k" * 40)
    loaded = read(tmp_path, text, host)
    (found,) = loaded.diagnostics
    assert (found.code, found.expected) == ("readable-secret", "chmod 600 /etc/keepalived/raft.key")
    assert (loaded.test_exit_code, loaded.start_exit_code) == (6, 2)


def test_without_a_key_the_log_says_so(tmp_path: Path) -> None:
    (found,) = read(tmp_path, TEXT).diagnostics
    assert (found.code, found.logged_only) == ("raft-no-key", True)
    assert "WARNING" in found.message


def test_balancers_are_named_as_idle(samples: Path) -> None:
    loaded = load(str(samples / "keep-vip.yaml"), config_id="", host=FakeHost())
    assert runnable(loaded.configuration).idle == ("loadBalancers",)
