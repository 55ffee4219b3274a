"""keepalived.conf to keep-vip's YAML and back: what is kept, and what is said to be lost."""

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from keepalived_py.base.record import replace
from keepalived_py.cli import convert_command
from keepalived_py.config.convert import Note, Unknown, to_cluster, to_keepalived
from keepalived_py.config.keepvip.reader import read_file
from keepalived_py.config.load import Loaded, interpret
from keepalived_py.config.syntax import read_document
from keepalived_py.model.cluster import Backend, BalancerKind, Cluster, Endpoint
from tests.config.fake_host import FakeHost

KEEPALIVED = """\
global_defs {
    router_id here
}
vrrp_instance first {
    state BACKUP
    interface eth0
    virtual_router_id 7
    priority 120
    garp_master_refresh 3
    unicast_src_ip 10.1.0.1
    unicast_peer {
        10.1.0.2
        10.1.0.3
    }
    authentication {
        auth_type PASS
        auth_pass secret
    }
    virtual_ipaddress {
        10.1.0.9/16 dev eth1
        10.1.0.10
    }
}
vrrp_instance second {
    interface eth1
    virtual_router_id 8
    virtual_ipaddress {
        10.1.0.11
    }
}
virtual_server 10.1.0.9 80 {
    lvs_sched wlc
    lvs_method DR
    protocol TCP
    real_server 10.1.0.21 8080 {
        weight 2
        TCP_CHECK {
            connect_timeout 3
        }
    }
}
virtual_server fwmark 3 {
    lvs_sched rr
    real_server 10.1.0.21 80 {
    }
}
"""


@pytest.fixture
def sample(samples: Path) -> Cluster:
    found = read_file(str(samples / "keep-vip.yaml"), FakeHost()).cluster
    assert found is not None
    return found


def back(text: str, tmp_path: Path, instance: str = "") -> tuple[Cluster | None, list[str], Loaded]:
    path = tmp_path / "k.conf"
    path.write_text(text)
    document = read_document(str(path), "", False)
    loaded = interpret(document.directives, document.diagnostics, FakeHost())
    cluster, notes = to_cluster(loaded.configuration, document.directives, instance)
    return cluster, [str(note).replace(f"{path}:", "") for note in notes], loaded


def test_round_trip_keeps_what_has_a_meaning(sample: Cluster, tmp_path: Path) -> None:
    done = to_keepalived(sample)
    assert done.text is not None
    again, _, loaded = back(done.text, tmp_path)
    assert loaded.diagnostics == ()
    assert again is not None
    assert (again.name, again.interface, again.vip) == (sample.name, sample.interface, sample.vip)
    assert again.checks_interval_us == sample.checks_interval_us
    assert again.members == sample.members
    (there,), (here,) = sample.load_balancers, again.load_balancers
    assert here.bind == Endpoint(str(sample.vip), 8080)
    assert here.kind is there.kind
    assert [one.endpoint for one in here.backends] == [one.endpoint for one in there.backends]


ELECTED = """\
raft_cluster {
    cluster_id c
    node_id b
    member a 10.1.0.1:7400
    member b [fd00::2]:7401
    member c host.example:7402
    member w 10.1.0.4:7403 witness
    key_file /etc/keepalived/raft.key
    timing noisy
}
vrrp_instance first {
    interface eth0
    election raft
    garp_master_refresh 3
    virtual_ipaddress {
        10.1.0.9
    }
}
"""


def test_a_quorum_keeps_its_members(tmp_path: Path) -> None:
    cluster, notes, _ = back(ELECTED, tmp_path)
    assert cluster is not None
    assert [(one.id, str(one.endpoint)) for one in cluster.members] == [
        ("a", "10.1.0.1:7400"),
        ("b", "[fd00::2]:7401"),
    ]
    assert (cluster.key_file, cluster.timing) == ("/etc/keepalived/raft.key", "noisy")
    assert notes == [
        "2: raft_cluster: cluster_id c has no counterpart",
        "member c: host.example:7402 has no IP address, by which it is known",
        "member w: a witness would hold the address like all others; left out",
    ]


def test_each_member_has_its_own_file(sample: Cluster, tmp_path: Path) -> None:
    done = to_keepalived(sample, "server2")
    _, _, loaded = back(done.text or "", tmp_path)
    (one,) = loaded.configuration.instances
    assert (one.source, one.base_priority) == (IPv4Address("172.16.0.12"), 99)
    assert [str(peer.address) for peer in one.unicast_peers] == ["172.16.0.11", "172.16.0.13"]
    assert not one.preempt
    assert "this is the file of member server2; each member needs its own (--member ID)" in map(
        str, done.notes
    )


def test_an_unknown_member(sample: Cluster) -> None:
    with pytest.raises(Unknown, match="no member 'x', only server1, server2, server3"):
        to_keepalived(sample, "x")


def test_what_keepalived_cannot_say(sample: Cluster, tmp_path: Path) -> None:
    (balancer,) = sample.load_balancers
    named = replace(
        balancer, kind=BalancerKind.HTTP, backends=(*balancer.backends, Backend("", Endpoint("host", 1)))
    )
    nowhere = replace(balancer, backends=(Backend("", Endpoint("host", 1)),))
    done = to_keepalived(replace(sample, load_balancers=(named, nowhere)))
    notes = "\n".join(map(str, done.notes))
    for text in (
        "host:1 has no IP address, IPVS needs one: left out",
        "load balancer web: left out, it has no address that IPVS could use",
        "IPVS shares out connections, not HTTP requests",
        "0.0.0.0:8080 is every address; IPVS needs one, the vip is taken",
        "prometheus: keepalived serves no metrics",
        "check http_80: has no counterpart",
        "virtual_router_id 100 is chosen",
    ):
        assert text in notes
    _, _, loaded = back(done.text or "", tmp_path)
    assert len(loaded.configuration.virtual_servers) == 1


def test_what_keep_vip_cannot_say(tmp_path: Path) -> None:
    cluster, notes, _ = back(KEEPALIVED, tmp_path)
    assert cluster is not None
    assert (cluster.name, cluster.vip, cluster.checks_interval_us) == (
        "first",
        IPv4Address("10.1.0.9"),
        3_000_000,
    )
    assert [str(one.endpoint) for one in cluster.members] == [
        "10.1.0.1:20000",
        "10.1.0.2:20000",
        "10.1.0.3:20000",
    ]
    assert notes == [
        "1: global_defs: has no counterpart",
        "5: vrrp_instance first: state BACKUP has no counterpart",
        "7: vrrp_instance first: virtual_router_id 7 has no counterpart",
        "8: vrrp_instance first: priority 120 has no counterpart",
        "15: vrrp_instance first: authentication has no counterpart",
        "24: vrrp_instance second: a keep-vip file has one address only",
        "33: virtual_server 10.1.0.9 80: lvs_method DR has no counterpart",
        "36: virtual_server 10.1.0.9 80, real_server 10.1.0.21 8080: weight 2 has no counterpart",
        "37: virtual_server 10.1.0.9 80, real_server 10.1.0.21 8080: TCP_CHECK has no counterpart",
        "address 10.1.0.9: its prefix length becomes 32",
        "address 10.1.0.9: stands on eth0, not on eth1",
        "address 10.1.0.10: keep-vip moves one IPv4 address only",
        "members: ids are made up, and port 20000, at which they speak Raft",
        "virtual_server 10.1.0.9 80: wlc becomes round robin",
        "virtual_server fwmark 3: keep-vip balances TCP and UDP ports only",
    ]


def test_another_instance_can_be_chosen(tmp_path: Path) -> None:
    cluster, notes, _ = back(KEEPALIVED, tmp_path, "second")
    assert cluster is not None
    assert (cluster.interface, cluster.members) == ("eth1", ())
    assert "members: multicast VRRP does not know its peers; list them all by hand" in notes
    with pytest.raises(Unknown, match="no vrrp_instance 'third', only first, second"):
        back(KEEPALIVED, tmp_path, "third")


def test_nothing_to_convert(tmp_path: Path) -> None:
    cluster, notes, _ = back("global_defs {\n}\n", tmp_path)
    assert (cluster, notes) == (None, ["there is no vrrp_instance: nothing that a cluster could be made of"])


def test_a_note_shows_its_place() -> None:
    assert str(Note("x", "f:1")) == "f:1: x"


def test_the_command(samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    yaml = str(samples / "keep-vip.yaml")
    assert convert_command.run([yaml]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("vrrp_instance cluster-01 {\n")
    assert "note: prometheus: keepalived serves no metrics\n" in err
    assert convert_command.run([yaml, "--to", "keepvip"]) == 1
    assert convert_command.run([yaml, "--member", "nobody"]) == 1
    assert convert_command.run([str(tmp_path / "missing.yaml")]) == 5
    assert convert_command.run([str(tmp_path / "missing.conf")]) == 5
    assert capsys.readouterr().out == ""


def test_the_command_refuses_what_would_not_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "k.conf"
    path.write_text("vrrp_instance V {\n}\n")
    assert convert_command.run([str(path)]) == 5
    assert capsys.readouterr().out == ""
