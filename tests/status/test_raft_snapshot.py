"""What a member knows, as a file: nothing is lost on the way, and nothing else is taken for one."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from keepalived_py.base.record import replace
from keepalived_py.status import raft_snapshot
from keepalived_py.status.raft_snapshot import BadSnapshot, CheckLine, LeaseLine, MemberLine, Snapshot
from keepalived_py.system.state_files import make_directory

FULL = Snapshot(
    at=1_700_000_000.25,
    cluster="c1",
    own="node1",
    term=7,
    log_index=42,
    log_leader="node2",
    gate=True,
    no_quorum="keep",
    members=(
        MemberLine("node1", "10.0.0.1:7000", live=True, guarded=True),
        MemberLine("node2", "10.0.0.2:7000", live=True, heard_us_ago=20_000, guarded=True),
        MemberLine("w", "10.0.0.3:7000", witness=True),
    ),
    leases=(LeaseLine("VI_1", "node1", True, "leader", 3, 210_000, 150, True), LeaseLine("VI_2")),
    pinned=(("VI_1", "node1"),),
    drained=("node2",),
    checks=(CheckLine("http", "127.0.0.1:80", True),),
    vip="10.0.0.100",
    counters=(("sent", 12),),
)


def test_nothing_is_lost_on_the_way(tmp_path: Path) -> None:
    path = str(tmp_path / "raft.json")
    raft_snapshot.write(path, FULL)
    assert raft_snapshot.read(path) == FULL
    raft_snapshot.write(path, raft_snapshot.to_json(replace(FULL, term=8)))
    assert raft_snapshot.read(path) == replace(FULL, term=8)
    assert os.listdir(tmp_path) == ["raft.json"]


def test_the_json_has_the_agreed_names() -> None:
    made = raft_snapshot.to_json(FULL)
    assert list(made) == [
        *("at", "cluster", "own", "witness", "term", "log_index", "log_leader", "gate", "no_quorum"),
        *("members", "leases", "pinned", "drained", "checks", "counters", "keepvip"),
    ]
    assert made["pinned"] == {"VI_1": "node1"}
    assert made["keepvip"] == {"vip": "10.0.0.100"}
    assert json.loads(json.dumps(made))["leases"][0] == {
        "name": "VI_1",
        "holder": "node1",
        "mine": True,
        "state": "leader",
        "token": 3,
        "left_us": 210_000,
        "priority": 150,
        "able": True,
    }


def test_everybody_may_read_it_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o177)
    try:
        make_directory(str(tmp_path / "run" / "c1" / "node1"))
        path = tmp_path / "run" / "c1" / "node1" / "raft.json"
        raft_snapshot.write(str(path), FULL)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    for directory in path.parents[:3]:
        assert stat.S_IMODE(directory.stat().st_mode) == 0o755


def test_a_directory_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    make_directory(str(tmp_path))
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        make_directory(str(tmp_path / "file"))


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "raft.json.new").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        raft_snapshot.write(str(tmp_path / "raft.json"), FULL)
    assert not (tmp_path / "elsewhere").exists()


def test_what_is_not_known_is_passed_over_and_what_is_missing_has_a_default() -> None:
    found = raft_snapshot.from_json({"at": 1, "cluster": "c", "own": "a", "news": [], "ok": True})
    assert found == Snapshot(at=1, cluster="c", own="a")
    assert found.vip is None


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"at": None}, "at: None is not float"),
        ({"at": True}, "at: True is not float"),
        ({"own": 1}, "own: 1 is not str"),
        ({"members": {}}, "members: {} is no list"),
        ({"members": [1]}, "members: 1 is no object"),
        ({"members": [{}]}, "members: id missing"),
        ({"leases": [{"name": "x", "token": "1"}]}, "token: '1' is not int"),
        ({"leases": [{"name": "x", "left_us": 1.5}]}, "left_us: 1.5 is not int | None"),
        ({"pinned": {"a": 1}}, "pinned: 1 is not str"),
        ({"drained": [None]}, "drained: None is not str"),
        ({"counters": {"a": True}}, "counters: True is not int"),
        ({"keepvip": {}}, "vip: None is not str"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadSnapshot) as raised:
        raft_snapshot.from_json({"at": 1, "cluster": "c", "own": "a", **changes})
    assert str(raised.value) == complaint


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_other_files_are_no_snapshots(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "raft.json"
    path.write_bytes(data)
    with pytest.raises(BadSnapshot):
        raft_snapshot.read(str(path))


def test_an_endless_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "raft.json"
    with path.open("wb") as file:
        file.truncate(raft_snapshot.LONGEST_FILE + 1)
    with pytest.raises(BadSnapshot, match="longer"):
        raft_snapshot.read(str(path))


def test_who_is_there_makes_a_quorum() -> None:
    assert (FULL.live, FULL.majority) == (2, 2)
    alone = replace(FULL, members=tuple(replace(each, live=False) for each in FULL.members))
    assert alone.live == 1
    assert FULL.lease("VI_2") == LeaseLine("VI_2")
    assert FULL.lease("VI_3") is None
    assert FULL.member("nobody") is None


def test_counters_by_reason_are_flat_numbers() -> None:
    assert raft_snapshot.counted({"sent": 3, "refused": {"stale": 1, "forged": 2}}) == {
        "sent": 3,
        "refused_stale": 1,
        "refused_forged": 2,
    }
