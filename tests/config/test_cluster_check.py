"""Several files as one cluster: what contradicts, with the lines on both sides."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from keepalived_py.config.checked import checked
from keepalived_py.config.cluster_check import CODES, cluster_findings
from keepalived_py.config.host import Secret
from keepalived_py.diagnostics.report import Diagnostic, Severity
from tests.config.fake_host import FakeHost

ERROR, WARNING, HINT = Severity.ERROR, Severity.WARNING, Severity.HINT
ADDRESS = "virtual_ipaddress {\n10.1.0.100/16\n}"
SECURE = "global_defs {\nenable_script_security\nscript_user root\n}\n"
SCRIPT = 'vrrp_script chk {\nscript "/bin/true"\n}\n'


def instance(
    lines: str = "", *, name: str = "VI_1", vrid: int = 7, priority: int = 100, address: str = ADDRESS
) -> str:
    return (
        f"vrrp_instance {name} {{\ninterface eth0\nvirtual_router_id {vrid}\npriority {priority}\n"
        f"{lines}\n{address}\n}}\n"
    )


def compare(tmp_path: Path, *texts: str) -> list[Diagnostic]:
    subjects = []
    for number, text in enumerate(texts, 1):
        path = tmp_path / f"lb{number}.conf"
        path.write_text(text)
        host = FakeHost()
        host.secrets["/etc/keepalived/other.key"] = Secret(0o100600, b"o" * 32)
        subject = checked(str(path), config_id="", host=host).subject
        assert subject is not None
        subjects.append(subject)
    return cluster_findings(subjects)


def codes(found: Sequence[Diagnostic]) -> list[tuple[str, Severity]]:
    return [(one.code, one.severity) for one in found]


def track(weight: str) -> str:
    return f"track_script {{\nchk weight {weight}\n}}"


def unicast(own: str, *peers: str) -> str:
    return f"unicast_src_ip {own}\nunicast_peer {{\n" + "\n".join(peers) + "\n}"


def password(text: str) -> str:
    return f"authentication {{\nauth_type PASS\nauth_pass {text}\n}}"


def service(server: str = "10.1.0.5", port: int = 80) -> str:
    return (
        f"virtual_server 10.1.0.100 {port} {{\nlvs_sched rr\nlvs_method NAT\nprotocol TCP\n"
        f"real_server {server} 80 {{\n}}\n}}\n"
    )


def raft(*lines: str, node: str = "", names: str = "abc", key: str = "raft.key") -> str:
    members = [f"member {name} 10.1.0.{ord(name)}:7400" for name in names]
    own = [f"node_id {node}"] if node else []
    head = ("raft_cluster {", "cluster_id c", f"key_file /etc/keepalived/{key}")
    return "\n".join((*head, *members, *own, *lines, "}\n"))


ELECTED = instance("election raft")
A = instance(priority=150)
WATCHED = SECURE + SCRIPT
SECOND = instance(name="VI_2", vrid=8, address="virtual_ipaddress {\n10.1.0.101/16\n}")
GROUP = "vrrp_sync_group G {\ngroup {\nVI_1\nVI_2\n}\n}\n"

# code, severity, the first file, the second file, the line in the second, that in the first
CONTRADICTIONS = [
    ("cluster-router-id", ERROR, A, instance(vrid=9), 3, 3),
    ("cluster-version", ERROR, A, instance("version 3"), 5, 1),
    ("cluster-advert-int", ERROR, A, instance("advert_int 2"), 5, 1),
    (
        "cluster-advert-int",
        WARNING,
        instance("version 3\nadvert_int 2", priority=9),
        instance("version 3"),
        1,
        6,
    ),
    ("cluster-authentication", ERROR, A, instance(password("abc")), 6, 1),
    ("cluster-password", ERROR, instance(password("abd"), priority=9), instance(password("abc")), 7, 7),
    ("cluster-addresses", ERROR, A, instance(address="virtual_ipaddress {\n10.1.0.9\n}"), 6, 6),
    ("cluster-prefix-length", WARNING, A, instance(address=ADDRESS.replace("16", "24")), 6, 6),
    ("cluster-unicast", ERROR, A, instance(unicast("10.1.0.1", "10.1.0.2")), 6, 1),
    (
        "cluster-unicast",
        ERROR,
        instance(unicast("10.1.0.1", "10.1.0.3"), priority=9),
        instance(unicast("10.1.0.2", "10.1.0.1")),
        6,
        6,
    ),
    (
        "cluster-multicast-group",
        ERROR,
        A,
        "global_defs {\nvrrp_mcast_group4 224.0.0.99\n}\n" + instance(),
        9,
        6,
    ),
    ("cluster-priority", WARNING, A, instance(priority=150), 4, 4),
    ("cluster-priority", ERROR, instance(priority=255), instance(priority=255), 4, 4),
    ("cluster-state", HINT, instance("state MASTER", priority=9), instance("state MASTER"), 5, 5),
    ("cluster-nopreempt", WARNING, A, instance("nopreempt"), 5, 1),
    ("cluster-weight", WARNING, WATCHED + instance(track("-20"), priority=150), instance(), 13, None),
    ("cluster-virtual-servers", WARNING, A + service("10.1.0.5"), instance() + service("10.1.0.6"), 10, None),
    ("cluster-virtual-servers", WARNING, A + service() + service(port=81), instance() + service(), 17, None),
    ("cluster-instance-missing", WARNING, A + SECOND, instance(), 10, None),
    ("cluster-election", ERROR, raft() + ELECTED, raft() + A, 8, 12),
    (
        "cluster-addresses",
        ERROR,
        raft() + ELECTED,
        raft() + ELECTED.replace("10.1.0.100", "10.1.0.9"),
        13,
        13,
    ),
    ("cluster-raft", ERROR, raft() + ELECTED, raft(names="abd") + ELECTED, 6, None),
    ("cluster-raft", WARNING, raft() + ELECTED, raft(names="acb") + ELECTED, 6, None),
    ("cluster-raft", ERROR, raft() + ELECTED, (raft() + ELECTED).replace("98:7400", "98:7401"), 6, None),
    (
        "cluster-raft",
        ERROR,
        raft() + ELECTED,
        (raft() + ELECTED).replace("98:7400", "98:7400 witness"),
        6,
        None,
    ),
    ("cluster-raft", ERROR, raft() + ELECTED, (raft() + ELECTED).replace("id c", "id d"), 2, None),
    ("cluster-raft", ERROR, raft(node="b") + ELECTED, raft(node="b") + ELECTED, 7, None),
    ("cluster-raft", WARNING, raft() + ELECTED, raft("timing fast") + ELECTED, 7, None),
    ("cluster-raft", WARNING, raft() + A, instance(), 1, None),
    ("cluster-raft-key", ERROR, raft() + ELECTED, raft(key="other.key") + ELECTED, 3, None),
    ("cluster-raft-key", ERROR, (raft() + ELECTED).replace("key_file", "! "), raft() + ELECTED, 3, None),
]


@pytest.mark.parametrize(("code", "severity", "first", "second", "line", "other"), CONTRADICTIONS)
def test_contradictions(
    code: str, severity: Severity, first: str, second: str, line: int, other: int | None, tmp_path: Path
) -> None:
    found = compare(tmp_path, first, second)
    assert codes(found) == [(code, severity)]
    (one,) = found
    assert one.origin is not None
    assert one.origin.line == line
    assert one.error_class is None
    if other is not None:
        assert one.notes[0].startswith(f"the other side: {tmp_path}/lb1.conf:{other}")


def test_a_witness_needs_no_instances(tmp_path: Path) -> None:
    witness = raft(node="c").replace("99:7400", "99:7400 witness")
    assert compare(tmp_path, witness.replace("node_id c", "node_id a") + ELECTED, witness) == []


def test_every_code_has_a_case() -> None:
    assert {code for code, *_ in CONTRADICTIONS} | {"cluster-sync-group"} == set(CODES)


def test_groups_with_other_members(tmp_path: Path) -> None:
    second = instance(name="VI_2", vrid=8, priority=9, address="virtual_ipaddress {\n10.1.0.101/16\n}")
    third = second.replace("VI_2", "VI_3").replace("id 8", "id 9").replace("101", "102")
    one = GROUP + A + second + third
    two = GROUP.replace("VI_2", "VI_3") + one.removeprefix(GROUP).replace("150", "149").replace(
        "ty 9", "ty 8"
    )
    (found,) = compare(tmp_path, one, two)
    assert (found.code, found.severity) == ("cluster-sync-group", ERROR)
    assert found.origin is not None
    assert found.origin.line == 2
    assert "VI_1, VI_3" in found.message


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (A, instance()),
        (instance(password("abc"), priority=9), instance(password("abc"))),
        (instance(unicast("10.1.0.1", "10.1.0.2"), priority=9), instance(unicast("10.1.0.2", "10.1.0.1"))),
        (WATCHED + instance(track("-60"), priority=150), instance()),
        (WATCHED + instance(track("-20"), priority=50), instance()),
        (WATCHED + instance(track("20")), WATCHED + instance(track("20"), priority=90)),
        (
            instance(address="virtual_ipaddress {\n10.1.0.1\n10.1.0.2\n}", priority=9),
            instance(address="virtual_ipaddress {\n10.1.0.2\n10.1.0.1\n}"),
        ),
        (A, instance(name="other")),
        (
            GROUP + A + SECOND,
            GROUP + instance() + SECOND.replace("100", "90").replace("10.1.0.101", "10.1.0.101"),
        ),
    ],
)
def test_pairs_that_fit(first: str, second: str, tmp_path: Path) -> None:
    found = [one for one in compare(tmp_path, first, second) if one.code != "cluster-priority"]
    assert found == []


def test_one_id_of_two_routers(tmp_path: Path) -> None:
    one = A + instance(name="VI_2", vrid=8, priority=9, address="virtual_ipaddress {\n10.1.0.101\n}")
    two = one.replace("id 8", "id 5").replace("id 7", "id 8").replace("id 5", "id 7")
    found = compare(tmp_path, one, two.replace("150", "140").replace("ty 9", "ty 8"))
    assert set(codes(found)) == {("cluster-router-id", ERROR)}
    assert any("both use virtual_router_id 7" in each.message for each in found)


def test_positive_weights_count_when_they_are_lost(tmp_path: Path) -> None:
    """150 + 20 against 100 + 20: without its 20 the first still has 150."""
    first = WATCHED + instance(track("20"), priority=150)
    found = compare(tmp_path, first, WATCHED + instance(track("20"), priority=100))
    assert codes(found) == [("cluster-weight", WARNING)]
    assert "priority 150" in found[0].message
    assert "at its best 120" in found[0].message
    assert found[0].expected.startswith("weights greater by 31")


def test_three_files(tmp_path: Path) -> None:
    found = compare(tmp_path, A, instance(), instance("advert_int 3", priority=50))
    assert codes(found) == [("cluster-advert-int", ERROR)] * 2


def test_passwords_are_not_told(tmp_path: Path) -> None:
    (found,) = compare(tmp_path, instance(password("s3cret_1"), priority=9), instance(password("s3cret_2")))
    assert "s3cret" not in found.message
    assert "s3cret" not in "".join(found.notes)
