"""keep-vip's YAML: what it becomes, and what is said about mistakes in it."""

import os
import subprocess
import sys
import time
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.config.keepvip.reader import MOST_BYTES, Read, read_bytes, read_file
from keepalived_py.config.keepvip.writer import to_yaml
from keepalived_py.config.load import load
from keepalived_py.diagnostics.report import Severity
from keepalived_py.model.cluster import (
    Backend,
    BalancerKind,
    Cluster,
    Endpoint,
    LoadBalancer,
    Member,
    Prometheus,
    TcpCheck,
)
from tests.config.fake_host import FakeHost

MEMBERS = (
    "members:\n  - {id: a, address: '10.0.0.1:1'}\n  - {id: b, address: '10.0.0.2:1'}\n"
    "  - {id: c, address: '10.0.0.3:1'}\n"
)
BASE = f"interface: eth0\nvip: 10.0.0.9\nChecksInterval: 2\n{MEMBERS}"


def read(text: str | bytes) -> Read:
    content = text.encode() if isinstance(text, str) else text
    return read_bytes(content, "k.yaml", FakeHost())


def cluster(text: str) -> Cluster:
    found = read(text)
    assert found.cluster is not None, said(found)
    return found.cluster


def said(found: Read) -> list[str]:
    return [
        f"{one.origin.line if one.origin else '-'}:{one.origin.column if one.origin else '-'} {one.code}"
        for one in found.diagnostics
    ]


def test_the_sample(samples: Path) -> None:
    found = read_file(str(samples / "keep-vip.yaml"), FakeHost())
    assert found.diagnostics == ()
    assert found.cluster == Cluster(
        name="cluster-01",
        interface="eth0",
        vip=IPv4Address("172.16.0.100"),
        checks_interval_us=Micros(2_000_000),
        members=tuple(
            Member(f"server{number}", IPv4Address(f"172.16.0.1{number}"), 20000) for number in (1, 2, 3)
        ),
        checks=(TcpCheck("http_80", Endpoint("127.0.0.1", 80), Micros(1_000_000)),),
        prometheus=Prometheus(True, Endpoint("0.0.0.0", 9195)),
        load_balancers=(
            LoadBalancer(
                "web",
                Endpoint("0.0.0.0", 8080),
                BalancerKind.TCP,
                tuple(
                    Backend(f"nginx-0{number}", Endpoint(f"172.16.0.1{number}", 80)) for number in (1, 2, 3)
                ),
            ),
        ),
    )


def test_what_is_written_reads_the_same(samples: Path) -> None:
    first = read_file(str(samples / "keep-vip.yaml"), FakeHost()).cluster
    assert first is not None
    assert cluster(to_yaml(first)) == first


def test_case_of_keys_does_not_count() -> None:
    shouted = "\n".join(
        line.partition(":")[0].upper() + ":" + line.partition(":")[2] if line[:1].isalpha() else line
        for line in BASE.splitlines()
    )
    assert cluster(shouted) == cluster(BASE)


def test_the_key_decides_what_a_scalar_means() -> None:
    found = cluster(
        "cluster: 7\ninterface: 'eth0'\nvip: \"10.0.0.9\"\nchecksinterval: '3'\n"
        "members: [{id: 1, address: '[::1]:5'}]\nprometheus: {enabled: 1, address: ':9'}\n"
    )
    assert (found.name, found.checks_interval_us) == ("7", 3_000_000)
    assert found.members == (Member("1", IPv6Address("::1"), 5),)
    assert str(found.members[0].endpoint) == "[::1]:5"
    assert found.prometheus == Prometheus(True, Endpoint("", 9))


def test_null_is_nothing() -> None:
    assert cluster(BASE + "checks:\nloadBalancers: ~\ncluster: null\n") == cluster(BASE)


def test_merged_keys_and_aliases() -> None:
    text = BASE + (
        "checks:\n  - &one {name: x, protocol: tcp, address: 'h:1'}\n  - {<<: *one, name: y}\n  - *one\n"
    )
    assert [one.name for one in cluster(text).checks] == ["x", "y", "x"]


@pytest.mark.parametrize(
    ("timeout", "used_us"), [("1", 1_000_000), ("3", 500_000), ("0", 500_000), ("-1", 500_000)]
)
def test_a_timeout_that_cannot_work_is_replaced(timeout: str, used_us: int) -> None:
    text = BASE + f"checks:\n  - {{name: x, protocol: tcp, address: 'h:1', timeout: {timeout}}}\n"
    found = read(text)
    assert found.cluster is not None
    assert found.cluster.checks[0].timeout_us == used_us
    assert bool(found.diagnostics) is (used_us == 500_000)
    assert all(one.severity is Severity.WARNING for one in found.diagnostics)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["-:- empty-file"]),
        ("- a\n", ["1:1 wrong-type"]),
        ("a: [1\nb: 2\n", ["2:2 yaml-syntax"]),
        ("a: 1\n\tb: 2\n", ["2:1 yaml-syntax"]),
        ("a: *x\n", ["1:4 yaml-syntax"]),
        ("a: &x [*x]\n", ["1:8 yaml-syntax"]),
        (b"a: 1\nb: \x00\n", ["2:4 yaml-syntax"]),
        (b"a: 1\nb: \xff\n", ["2:4 not-utf-8"]),
        (BASE + "---\na: 1\n", ["8:1 second-document"]),
        (BASE + "intrface: eth1\n", ["8:1 unknown-key"]),
        (BASE + "VIP: 10.0.0.8\n", ["8:1 duplicate-key"]),
        (BASE + "? [a]\n: 1\n", ["8:3 wrong-type"]),
        (BASE.replace("vip: 10.0.0.9", "vip: ::9"), ["2:6 invalid-value"]),
        (BASE.replace("vip: 10.0.0.9", "vip: 10.0.0.9/24"), ["2:6 invalid-value"]),
        (BASE.replace("vip: 10.0.0.9", "vip: [a]"), ["2:6 wrong-type"]),
        (BASE.replace("vip: 10.0.0.9", "vip:"), ["2:1 missing-key"]),
        (BASE.replace("vip: 10.0.0.9\n", ""), ["1:1 missing-key"]),
        (BASE.replace("vip: 10.0.0.9", "vip: 10.0.0.1"), ["2:6 invalid-value"]),
        (BASE.replace("val: 2", "val: 2s"), ["3:17 wrong-type"]),
        (BASE.replace("val: 2", "val: 0"), ["3:17 invalid-value"]),
        (BASE.replace("eth0", "eth7"), ["1:12 unknown-interface"]),
        (BASE.replace("eth0", "sixteen-letters-"), ["1:12 invalid-value"]),
        (BASE.replace(MEMBERS, "members: []\n"), ["4:10 missing-key"]),
        (BASE.replace(MEMBERS, "members: {}\n"), ["4:10 wrong-type"]),
        (BASE.replace("id: b", "id: a"), ["6:10 duplicate"]),
        (BASE.replace("10.0.0.2:1", "10.0.0.1:1"), ["6:22 duplicate"]),
        (BASE.replace("10.0.0.2:1", "host:1"), ["6:22 invalid-value"]),
        (BASE.replace("10.0.0.2:1", "10.0.0.2"), ["6:22 invalid-value"]),
        (BASE.replace("10.0.0.2:1", "10.0.0.2:65536"), ["6:22 invalid-value"]),
        (BASE.replace("  - {id: c, address: '10.0.0.3:1'}\n", ""), ["5:3 even-members"]),
        (BASE + "prometheus: {enabled: yes}\n", ["8:23 wrong-type"]),
        (BASE + "prometheus: {enabled: true}\n", ["8:13 missing-key"]),
        (BASE + "checks: [{name: x, protocol: udp, address: 'h:1'}]\n", ["8:30 invalid-value"]),
        (BASE + "checks: [{name: x, protocol: tcp, address: ':1'}]\n", ["8:44 invalid-value"]),
        (BASE + "checks: [x]\n", ["8:10 wrong-type"]),
        (
            BASE + "loadBalancers: [{type: ftp, bindAddress: ':1', backends: [{address: 'h:1'}]}]\n",
            ["8:24 invalid-value"],
        ),
        (BASE + "loadBalancers: [{type: tcp, bindAddress: ':1', backends: []}]\n", ["8:58 missing-key"]),
    ],
)
def test_mistakes(text: str | bytes, expected: list[str]) -> None:
    found = read(text)
    assert said(found) == expected
    harmless = all(one.severity is Severity.WARNING for one in found.diagnostics)
    assert (found.cluster is not None) is harmless


def test_did_you_mean() -> None:
    (one,) = read(BASE + "loadBalancer: []\n").diagnostics
    assert (one.suggestion, one.severity) == ("loadBalancers", Severity.WARNING)


def test_a_port_is_taken_once_for_each_protocol() -> None:
    def balancer(kind: str) -> str:
        return f"  - {{type: {kind}, bindAddress: ':80', backends: [{{address: 'h:1'}}]}}\n"

    assert said(read(BASE + "loadBalancers:\n" + balancer("tcp") + balancer("udp"))) == []
    assert said(read(BASE + "loadBalancers:\n" + balancer("tcp") + balancer("http"))) == ["10:31 duplicate"]


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 200_000,
        b"{a: " * 200_000,
        b"? " * 100_000,
        b"a: &a [x,x,x,x,x,x,x,x,x]\n"
        + b"".join(b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in range(98, 120)),
        b"checks: &l\n - &b {name: x}\n" + b" - *b\n" * 50_000,
        b"loadBalancers:\n - &b {backends: [" + b"{address: 'a:1'}, " * 4_000 + b"]}\n" + b" - *b\n" * 4_000,
        b"a" * 1_000_000,
        pytest.param(b"x: 1\n" * 50_000, marks=pytest.mark.slow),
        b'"' * 99_999,
        bytes(range(256)) * 40,
    ],
)
def test_hostile_files_end_soon(content: bytes) -> None:
    start = time.monotonic()
    found = read(content)
    assert found.cluster is None
    assert any(one.severity is Severity.ERROR for one in found.diagnostics)
    assert time.monotonic() - start < 5


def test_every_prefix_of_the_sample_is_read(samples: Path) -> None:
    content = (samples / "keep-vip.yaml").read_bytes()
    for end in range(0, len(content), 7):
        found = read(content[:end])
        assert found.cluster is not None or found.diagnostics


def test_what_cannot_be_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.yaml")
    (tmp_path / "large.yaml").write_bytes(b"#" * (MOST_BYTES + 1))
    for name in ("missing.yaml", "fifo.yaml", "large.yaml", "."):
        found = read_file(str(tmp_path / name), FakeHost())
        assert (found.readable, said(found)) == (False, ["-:- unreadable-file"])


def test_the_one_door(tmp_path: Path, samples: Path) -> None:
    good = load(str(samples / "keep-vip.yaml"), config_id="", host=FakeHost())
    assert good.configuration.cluster.name == "cluster-01"
    assert (good.test_exit_code, good.start_exit_code) == (0, 2)  # nobody knows whether this is a member
    bad = tmp_path / "bad.yml"
    bad.write_text("vip: x\n")
    wrong = load(str(bad), config_id="", host=FakeHost())
    assert (wrong.configuration.cluster, wrong.test_exit_code, wrong.start_exit_code) == (None, 5, 2)
    missing = load(str(tmp_path / "missing.yaml"), config_id="", host=FakeHost())
    assert (missing.test_exit_code, missing.start_exit_code) == (5, 6)


@pytest.mark.parametrize("command", [("start", "-c"), ("-n", "-f")])
def test_it_is_refused_at_start(command: tuple[str, ...], samples: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "keepalived_py", *command, str(samples / "keep-vip.yaml")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    if command[0] == "start" or os.geteuid() == 0:
        assert done.returncode == 2
    if command[0] == "start":
        assert "Not to be started here: no member has an address of this machine" in done.stdout + done.stderr


def test_the_yaml_library_is_paid_by_yaml_only(samples: Path) -> None:
    program = (
        "import sys\nfrom keepalived_py.cli.main import main\n"
        f"main(['-t', '-f', {str(samples / 'single-master/node1.conf')!r}])\nprint('yaml' in sys.modules)\n"
        f"main(['-t', '-f', {str(samples / 'keep-vip.yaml')!r}])\nprint('yaml' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["False", "True"]
