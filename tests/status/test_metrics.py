"""keep-vip's metrics, as Prometheus itself reads them."""

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from keepalived_py.base.record import replace
from keepalived_py.status import metrics, raft_snapshot
from keepalived_py.status.raft_snapshot import CheckLine, LeaseLine, MemberLine, Snapshot

LEADER = Snapshot(
    at=1000.0,
    cluster="cluster-01",
    own="server1",
    members=(MemberLine("server1", "172.16.0.11:20000"), MemberLine("server2", "172.16.0.12:20000")),
    leases=(LeaseLine("keep-vip", "server1", True, "leader"),),
    checks=(CheckLine("http_80", "127.0.0.1:80", True), CheckLine('odd "name"\n\\', "[::1]:81", False)),
    vip="172.16.0.100",
)
SERVER = {"keep_vip_cluster": "cluster-01", "server_id": "server1", "server_address": "172.16.0.11:20000"}


def read(snapshot: Snapshot | None, now_s: float = 1001.5) -> dict[str, list[tuple[dict[str, str], float]]]:
    """The samples by the name of their metric; all of them are gauges with a help text."""
    found = {}
    for family in text_string_to_metric_families(metrics.exposition(snapshot, now_s).decode()):
        assert (family.type, bool(family.documentation)) == ("gauge", True)
        found[family.name] = [(sample.labels, sample.value) for sample in family.samples]
    return found


def test_names_labels_and_values_are_keep_vips() -> None:
    assert read(LEADER) == {
        "keep_vip_snapshot_age_seconds": [({}, 1.5)],
        "keep_vip_member_is_leader": [({**SERVER, "vip": "172.16.0.100"}, 1.0)],
        "keep_vip_member_state": [({**SERVER, "vip": "172.16.0.100"}, 2.0)],
        "keep_vip_check_port": [
            ({**SERVER, "name": "http_80", "address": "127.0.0.1:80"}, 1.0),
            ({**SERVER, "name": 'odd "name"\n\\', "address": "[::1]:81"}, 0.0),
        ],
    }


def test_states_are_numbers() -> None:
    for state, number in (("follower", 0.0), ("candidate", 1.0), ("leader", 2.0)):
        snapshot = replace(LEADER, leases=(LeaseLine("keep-vip", None, False, state),))
        found = read(snapshot)
        assert found["keep_vip_member_state"][0][1] == number
        assert found["keep_vip_member_is_leader"][0][1] == 0.0


def test_old_knowledge_says_nothing_about_now() -> None:
    assert list(read(LEADER, 1000 + metrics.TOO_OLD_S)) == list(read(LEADER))
    assert list(read(LEADER, 1000.1 + metrics.TOO_OLD_S)) == ["keep_vip_snapshot_age_seconds"]


def test_a_clock_that_was_set_back_is_no_age() -> None:
    assert read(LEADER, 900)["keep_vip_snapshot_age_seconds"] == [({}, 0.0)]


def test_no_snapshot_no_metrics(tmp_path: Path) -> None:
    assert read(None) == {}
    path = tmp_path / "raft.json"
    assert metrics.page(str(path)) == b""
    path.write_text("{")
    assert metrics.page(str(path)) == b""


def test_the_page_is_made_from_the_file(tmp_path: Path) -> None:
    path = str(tmp_path / "raft.json")
    raft_snapshot.write(path, replace(LEADER, at=4e9))  # not old for a long time
    families = {family.name for family in text_string_to_metric_families(metrics.page(path).decode())}
    assert "keep_vip_member_is_leader" in families


def test_a_cluster_that_is_not_keep_vips_has_no_member_metrics() -> None:
    assert set(read(replace(LEADER, vip=None))) == {"keep_vip_snapshot_age_seconds", "keep_vip_check_port"}
