"""`raft_cluster` and `election raft`: what they become, and that no mistake in them is passed over."""

import os
import subprocess
import sys
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import MemberId
from keepalived_py.config.dump import dump
from keepalived_py.config.facts import NoHost
from keepalived_py.config.host import FileStatus, RealHost, Secret
from keepalived_py.config.json_form import to_json
from keepalived_py.config.load import Loaded, load
from keepalived_py.config.raft_files import default_folder, read_key
from keepalived_py.diagnostics.render import render
from keepalived_py.diagnostics.report import Diagnostic
from keepalived_py.model.cluster import Endpoint
from keepalived_py.model.config import Election
from keepalived_py.model.raft import (
    PRESETS,
    FenceAgent,
    FencePolicy,
    Fencing,
    NoQuorum,
    RaftCluster,
    RaftMember,
    RaftTiming,
    Takeover,
)
from keepalived_py.model.scripts import Command
from tests.config.fake_host import PROGRAM, FakeHost

KEY = "/etc/keepalived/raft.key"
SECURE = "global_defs {\nenable_script_security\nscript_user root\n}\n"
MEMBERS = ("member n1 10.0.0.1:7400", "member n2 10.0.0.2:7400", "member n3 10.0.0.3:7400")
ELECTED = "vrrp_instance V {\ninterface eth0\nelection raft\nvirtual_ipaddress {\n10.0.0.9\n}\n}\n"
FENCED = ("takeover fence_first", "fence_script /bin/true")


def machine(*addresses: str) -> FakeHost:
    host = FakeHost({"/usr/sbin": FileStatus(0o040755, 0, 0), "/usr": FileStatus(0o040755, 0, 0)})
    host.files["/usr/sbin/fence_dummy"] = PROGRAM
    host.local = tuple(map(ip_address, addresses or ("127.0.0.1", "10.0.0.1", "fd00::1")))
    return host


def block(*lines: str, members: tuple[str, ...] = MEMBERS, cluster: str = "cluster_id c") -> str:
    return "\n".join(("raft_cluster {", cluster, f"key_file {KEY}", *members, *lines, "}\n"))


@dataclass
class Reader:
    """Reads texts as files of one folder."""

    folder: Path

    def __call__(self, text: str, host: FakeHost | NoHost | RealHost | None = None) -> Loaded:
        path = self.folder / "k.conf"
        path.write_text(text)
        return load(str(path), config_id="", host=host or machine())


@pytest.fixture(name="read")
def _read(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


def errors(loaded: Loaded) -> list[Diagnostic]:
    return [one for one in loaded.diagnostics if one.error_class is not None]


def quorum(loaded: Loaded) -> RaftCluster:
    assert loaded.start_exit_code is None, loaded.diagnostics
    found: RaftCluster = loaded.configuration.raft
    return found


def test_the_least_that_works(read: Reader) -> None:
    loaded = read(block() + ELECTED)
    assert loaded.diagnostics == ()
    assert quorum(loaded) == RaftCluster(
        id="c",
        own=MemberId("n1"),
        members=tuple(RaftMember(MemberId(f"n{n}"), Endpoint(f"10.0.0.{n}", 7400)) for n in (1, 2, 3)),
        key=b"k" * 32,
        key_file=KEY,
        directory="/var/lib/keepalived-py/c/n1",
        run_directory="/run/keepalived-py/c/n1",
    )
    (one,) = loaded.configuration.instances
    assert (one.election, one.vrid, one.base_priority, one.dead_man) == (Election.RAFT, 0, 100, False)


def test_everything(read: Reader) -> None:
    loaded = read(
        SECURE
        + block(
            "node_id n2",
            "bind [fd00::1]",
            "timing wan",
            "promise_time 2000",
            "margin 40",
            "data_directory /srv/raft",
            "run_directory /run/raft",
            "no_quorum keep",
            "takeover fence_first",
            'fence_script "/bin/true --now" root',
            "fence_timeout 7",
            "fence_failure ignore",
            "fence_agent fence_dummy n3 {",
            "ip 10.9.0.3",
            'password "a b"',
            "}",
            "fence_agent /usr/sbin/fence_dummy {",
            "plug all",
            "}",
            members=(
                "member n1 [fd00::7]:7400 fence_delay 5",
                "member n2 one.example:7401",
                "member n3 10.0.0.3:7400 witness",
            ),
        )
        + ELECTED
    )
    found = quorum(loaded)
    assert found.members[0] == RaftMember(
        MemberId("n1"), Endpoint("fd00::7", 7400), fence_delay_us=Micros(5_000_000)
    )
    assert found.members[1].endpoint == Endpoint("one.example", 7401)
    assert found.members[2].witness
    assert (found.own, found.bind) == ("n2", Endpoint("fd00::1", 7401))
    assert found.timing == RaftTiming(Micros(2_000_000), Micros(500_000), Micros(40_000))
    assert (found.directory, found.run_directory) == ("/srv/raft", "/run/raft")
    assert found.no_quorum is NoQuorum.KEEP
    agent = Command(("/usr/sbin/fence_dummy",), 0, 0)
    assert found.fencing == Fencing(
        Takeover.FENCE_FIRST,
        Command(("/bin/true", "--now"), 0, 0, "root"),
        (
            (MemberId("n3"), FenceAgent(agent, (("ip", "10.9.0.3"), ("password", "a b")))),
            (MemberId(""), FenceAgent(agent, (("plug", "all"),))),
        ),
        Micros(7_000_000),
        FencePolicy.IGNORE,
    )
    assert read(dump(loaded.configuration)).configuration == loaded.configuration


def test_what_agents_are_told_is_not_shown_to_everybody(read: Reader) -> None:
    text = SECURE + block("fence_agent fence_dummy {", "password hunter2", "}") + ELECTED
    configuration = read(text).configuration
    assert "hunter2" in dump(configuration)
    assert "password ********" in dump(configuration, secrets=False)
    assert "hunter2" in str(to_json(configuration))
    assert "hunter2" not in str(to_json(configuration, secrets=False))
    assert "hunter2" not in repr(configuration)
    assert "kkkk" not in repr(configuration)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_written_by_name(name: str, read: Reader) -> None:
    loaded = read(block(f"timing {name}") + ELECTED)
    assert quorum(loaded).timing == PRESETS[name]
    assert (f"timing {name}" in dump(loaded.configuration)) is (name != "lan")
    assert "promise_time" not in dump(loaded.configuration)


@pytest.mark.parametrize(
    ("addresses", "members", "own"),
    [
        (("10.0.0.3",), MEMBERS, "n3"),
        (("fd00:0::2",), ("member a [fd00::1]:1", "member b [fd00:0:0::2]:1", "member c 10.0.0.1:1"), "b"),
        (("10.0.0.3",), ("node_id b", "member a x.example:1", "member b y.example:1"), "b"),
        (("10.9.9.9",), (*MEMBERS, "node_id n2", "bind 10.9.9.9:1"), "n2"),
        (("10.9.9.9",), (*MEMBERS, "node_id n2", "bind 0.0.0.0"), "n2"),
    ],
)
def test_who_we_are(addresses: tuple[str, ...], members: tuple[str, ...], own: str, read: Reader) -> None:
    assert quorum(read(block(members=members) + ELECTED, machine(*addresses))).own == own


def test_without_a_machine_the_first_member_stands_for_ours(read: Reader) -> None:
    loaded = read(block(members=MEMBERS[::-1]) + ELECTED, NoHost())
    assert (quorum(loaded).own, quorum(loaded).key) == ("n3", b"")
    assert errors(loaded) == []


# What is in the block, a part of the message, a part of what is expected or suggested.
WRONG = [
    (block("node_id n11"), "node_id 'n11' is no member: they are n1, n2, n3", "n1"),
    (
        block("node_id n2"),
        "member n2 is this machine by its node_id, but 10.0.0.2 is not",
        "10.0.0.1, fd00::1",
    ),
    (
        block(members=MEMBERS[1:]),
        "no member has an address of this machine (10.0.0.1, fd00::1)",
        "node_id NAME",
    ),
    (
        block(members=("member a 10.0.0.1:1", "member b 10.0.0.1:2", "member c 10.0.0.2:1")),
        "the addresses of a, b are all of this machine",
        "node_id NAME: which of them",
    ),
    (block("member n1 10.0.0.4:1"), "member n1 is there twice", "a name of its own"),
    (block("member n4 10.0.0.3:7400"), "n3 and n4 have the same address 10.0.0.3:7400", "of its own"),
    (
        block("member n4 [fd00::4]:1", "member n5 [fd00:0:0::4]:1"),
        "n4 and n5 have the same address",
        "an address of its own",
    ),
    (block("member n4 X.example:1", "member n5 x.example.:1"), "have the same address", "of its own"),
    (block("member n4"), "member n4 needs ADDRESS:PORT, which '' is not", "[IPV6]:PORT"),
    (block("member n4 10.0.0.4"), "needs ADDRESS:PORT, which '10.0.0.4' is not", "IPV4:PORT"),
    (block("member n4 10.0.0.4:0"), "needs ADDRESS:PORT", "IPV4:PORT"),
    (block("member n4 10.0.0.400:7"), "needs ADDRESS:PORT", "IPV4:PORT"),
    (block("member n4 fd00::4:7400"), "needs ADDRESS:PORT", "[IPV6]:PORT"),
    (block("member n4 0.0.0.0:7400"), "0.0.0.0 is no address of a machine", "the other members"),
    (block("member n4 224.0.0.1:7400"), "224.0.0.1 is no address of a machine", "the other members"),
    (block("member a/b 10.0.0.4:1"), "'a/b' cannot be a name of a member", "1 to 64 of"),
    (block("member n4 10.0.0.4:1 witnes"), "unknown option 'witnes' of member n4", "fence_delay SECONDS"),
    (block("member n4 10.0.0.4:1 fence_delay x"), "fence_delay 'x' is out of range", "0 to 600 (seconds)"),
    (block(*(f"member m{n} 10.1.0.{n}:1" for n in range(1, 30))), "more than 31 members", "3 or 5"),
    (
        block(members=tuple(f"{each} witness" for each in MEMBERS)),
        "all members are witnesses: nobody could hold anything",
        "no witness",
    ),
    (block(members=()), "there are no members", "member NAME ADDRESS:PORT"),
    (block(cluster=""), "cluster_id is missing", "cluster_id NAME"),
    (block(cluster="cluster_id ../x"), "'../x' cannot be a cluster_id", "1 to 64"),
    (block() + block(), "there is one already", "one raft_cluster"),
    (block("bind example.org:1"), "bind 'example.org:1' is no address", "[IPV6]:PORT"),
    (block("bind 10.0.0.77"), "bind 10.0.0.77 is not an address of this machine", "10.0.0.1, fd00::1"),
    (block("timing lna"), "timing 'lna' is not known", "lan or fast or noisy or wan"),
    (block("promise_time 10"), "promise_time '10' is out of range", "from 50 to 60000 (milliseconds)"),
    (block("promise_time 150"), "a promise of 150 ms is too short for a heartbeat every 60", "180 or more"),
    (block("heartbeat_time 200"), "a promise of 300 ms is too short for a heartbeat every 200", "600"),
    (block("margin 220"), "nothing is left of a promise of 300 ms", "a smaller margin"),
    (block("data_directory raft"), "data_directory 'raft' is no absolute path", "begins with /"),
    (block("run_directory x"), "run_directory 'x' is no absolute path", "begins with /"),
    (block("no_quorum hold"), "no_quorum 'hold' is not known", "drop or keep"),
    (block("no_quorum keep"), "no_quorum keep is safe only where", "takeover fence_first"),
    (block("takeover fence"), "takeover 'fence' is not known", "lease or fence_first or lease_or_fence"),
    (block("takeover fence_first"), "takeover fence_first needs something", "fence_script or fence_agent"),
    (block("takeover lease_or_fence"), "takeover lease_or_fence needs something", "fence_script or"),
    (block("fence_failure maybe"), "fence_failure 'maybe' is not known", "wait or ignore"),
    (block("fence_timeout 0"), "fence_timeout '0' is out of range", "from 1 to 3600 (seconds)"),
    (block("fence_script /bin/none"), "fence_script /bin/none cannot be run: not found", "the full path"),
    (block("fence_script /bin/true nobody9"), "fence_script cannot be used", "PROGRAM ARGUMENT"),
    (block("fence_agent fence_none {", "}"), "fence_agent fence_none cannot be run", "the full path"),
    (
        block("fence_agent fence_dummy n9 {", "}"),
        "fence_agent for 'n9', which is no member",
        "the name of a member",
    ),
    (
        block(*["fence_agent fence_dummy n2 {", "}"] * 2),
        "a fence_agent for member n2 already",
        "one for each",
    ),
    (block("fence_agent fence_dummy {", "ip", "}"), "'ip' is no NAME VALUE", "an option of the agent"),
    (block("fence_agent fence_dummy {", "ip 1", "ip 2", "}"), "ip is there twice", ""),
    (block("no_qorum keep"), "Unknown keyword 'no_qorum'", "no_quorum"),
]


@pytest.mark.parametrize(("text", "message", "help"), WRONG)
def test_nothing_is_started_with_a_mistake(text: str, message: str, help: str, read: Reader) -> None:
    loaded = read(SECURE + text + ELECTED)
    assert (loaded.test_exit_code, loaded.start_exit_code) in ((5, 2), (4, 2))
    found = [one for one in errors(loaded) if message in one.message]
    assert len(found) == 1, [one.message for one in loaded.diagnostics]
    assert help in f"{found[0].expected} {found[0].suggestion}"
    assert found[0].place is not None
    assert loaded.configuration.raft is None
    assert not found[0].extension or found[0].expected in render(found, "keepalived")


KEYS = [
    (Secret(0o100644, b"k" * 32), "is readable by its group or by others (mode 0644)", f"chmod 600 {KEY}", 6),
    (Secret(0o100640, b"k" * 32), "(mode 0640)", f"chmod 600 {KEY}", 6),
    (Secret(0o100600, b"k" * 31), "has 31 bytes, not 32 to 1024", "head -c 32 /dev/urandom", 5),
    (Secret(0o100600, b"k" * 1025), "has more than 1024 bytes", "head -c 32 /dev/urandom", 5),
    (Secret(0o040700), "is no plain file", "a file with 32 to 1024 bytes", 5),
    (Secret(fault="No such file or directory"), "cannot be read (No such file", "chmod 600", 5),
]


@pytest.mark.parametrize(("secret", "message", "help", "code"), KEYS)
def test_keys_that_cannot_be_used(secret: Secret, message: str, help: str, code: int, read: Reader) -> None:
    host = machine()
    host.secrets[KEY] = secret
    loaded = read(block() + ELECTED, host)
    (found,) = errors(loaded)
    assert f"key_file '{KEY}'" in found.message
    assert message in found.message
    assert help in found.expected
    assert help in render([found], "keepalived")
    assert (loaded.test_exit_code, loaded.start_exit_code) == (code, 2)


def test_a_real_key(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"\0" * 31 + b"x\r\n")
    path.chmod(0o600)
    assert read_key(str(path), RealHost()) == b"\0" * 31 + b"x"
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name, reason in (
        ("none", "No such file or directory"),
        ("pipe", "no plain file"),
        ("\0", "null byte"),
    ):
        fault = read_key(str(tmp_path / name), RealHost())
        assert not isinstance(fault, bytes)
        assert reason in fault.message


def test_without_a_key_there_is_a_loud_line_in_the_log(read: Reader) -> None:
    loaded = read(block().replace("key_file", "#") + ELECTED)
    assert [(one.code, one.logged_only) for one in loaded.diagnostics] == [("raft-no-key", True)]
    assert "WARNING" in loaded.diagnostics[0].message
    assert (loaded.test_exit_code, loaded.start_exit_code) == (0, None)


# Instances ----------------------------------------------------------------------


def instance(name: str, *lines: str) -> str:
    inside = "\n".join(lines)
    address = f"10.0.0.{sum(name.encode()) % 200 + 20}"
    return f"vrrp_instance {name} {{\ninterface eth0\n{inside}\nvirtual_ipaddress {{\n{address}\n}}\n}}\n"


def group(name: str, *members: str) -> str:
    return f"vrrp_sync_group {name} {{\ngroup {{\n" + "\n".join(members) + "\n}\n}\n"


RAFT = "election raft"
VRRP = "virtual_router_id 7"
REFUSED = [
    (instance("A", RAFT), "(A) election raft needs a raft_cluster, and there is none"),
    ("global_defs {\nelection raft\n}\n" + instance("A"), "(A) election raft needs a raft_cluster"),
    (block() + instance("A", RAFT, "priority 255"), "(A) priority 255 is for the owner of an address"),
    (block() + instance("A", RAFT, "use_vmac"), "(A) use_vmac needs a virtual_router_id"),
    (block() + instance("A", "election rfat", VRRP), "election 'rfat' is not known"),
    (
        block() + group("G", "A", "B") + instance("A", RAFT) + instance("B", VRRP),
        "sync group G has members with election raft, and B with election vrrp",
    ),
    (
        block() + group("A", "B", "C") + instance("A", RAFT) + instance("B", RAFT) + instance("C", RAFT),
        "'A' is the name of a sync group and of an instance: both would be one lease",
    ),
    (
        block() + "".join(instance(f"VI_{number:0100}", RAFT) for number in range(200)),
        "raft_cluster: 201 leases and their names do not fit into one message",
    ),
    (block() + instance('"A\x01"', RAFT), "raft_cluster: a name cannot be sent"),
    (block() + instance("@log", RAFT), "'@log' is the name of the log of the cluster and of an instance"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_instances_that_are_refused(text: str, message: str, read: Reader) -> None:
    loaded = read(text)
    found = [one for one in errors(loaded) if one.message.startswith(message)]
    assert len(found) == 1, [one.message for one in loaded.diagnostics]
    assert found[0].expected
    assert found[0].place is not None
    assert (loaded.test_exit_code, loaded.start_exit_code) == (5, 2)


def test_both_elections_in_one_file(read: Reader) -> None:
    text = (
        "global_defs {\nelection raft\ndead_man\n}\n"
        + block()
        + group("G", "A", "B")
        + instance("A", "state MASTER")
        + instance("B", "priority 120")
        + instance("C", "election vrrp", VRRP, "dead_man off")
    )
    loaded = read(text)
    assert errors(loaded) == []
    ways = {str(one.name): (one.election, one.dead_man) for one in loaded.configuration.instances}
    assert ways == {"A": (Election.RAFT, True), "B": (Election.RAFT, True), "C": (Election.VRRP, False)}
    assert [one.base_priority for one in loaded.configuration.instances] == [100, 120, 100]
    assert read(dump(loaded.configuration)).configuration == loaded.configuration


def test_a_dump_without_a_quorum_has_none_of_its_words(read: Reader) -> None:
    text = dump(read(instance("C", VRRP)).configuration)
    assert "election" not in text
    assert "dead_man" not in text


def test_an_instance_of_adverts_still_needs_its_number(read: Reader) -> None:
    loaded = read(block() + instance("C", "election vrrp"))
    assert [one.code for one in errors(loaded)] == ["missing-router-id"]


def test_where_braces_are_wrong_the_block_is_read_once_all_the_same(read: Reader) -> None:
    loaded = read(block() + ELECTED + "}\n")
    assert quorum(loaded).own == "n1"
    assert loaded.test_exit_code != 0


# Files and machines ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("cluster", "member", "folder"),
    [
        ("web", "n1", "/r/web/n1"),
        ("..", ".", "/r/%2E%2E/%2E"),
        ("a/../b", "x y", "/r/a%2F..%2Fb/x%20y"),
        ("", "\udcff", "/r//%FF"),
    ],
)
def test_folders_stay_below_their_root(cluster: str, member: str, folder: str) -> None:
    assert default_folder("/r", cluster, member) == folder
    assert not os.path.relpath(default_folder("/r", cluster or "x", member), "/r").startswith("..")


def test_the_addresses_of_this_machine() -> None:
    found = RealHost().addresses()
    assert found is not None
    assert IPv4Address("127.0.0.1") in found
    done = subprocess.run(["ip", "-o", "addr"], capture_output=True, text=True, check=True)
    listed = {ip_address(line.split()[3].partition("/")[0]) for line in done.stdout.splitlines()}
    assert set(found) == listed
    assert all(isinstance(one, IPv4Address | IPv6Address) for one in found)


def test_a_file_without_a_quorum_does_not_pay_for_one(samples: Path) -> None:
    program = (
        "import sys\nfrom keepalived_py.cli.main import main\n"
        f"main(['-t', '-f', {str(samples / 'single-master/node1.conf')!r}])\n"
        "print([name for name in sys.modules if 'raft' in name.split('.', 2)[-1].replace('draft', '')])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[]", done
