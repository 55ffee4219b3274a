"""The commands for a running member: what they ask of it, what they print, and how they fail."""

import json
import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from keepalived_py.base.record import replace
from keepalived_py.cli import members
from keepalived_py.cli.main import main
from keepalived_py.election.raft import control
from keepalived_py.status import raft_snapshot
from keepalived_py.status.raft_snapshot import LeaseLine, MemberLine, Snapshot
from keepalived_py.system.state_files import make_directory

NODE1 = MemberLine("node1", "10.0.0.1:7000", live=True, guarded=True)
NODE2 = MemberLine("node2", "[2001:db8::2]:7000", live=True, heard_us_ago=20_000, guarded=True)
WITNESS = MemberLine("w", "10.0.0.3:7000", witness=True, heard_us_ago=3_200_000)
VI_1 = LeaseLine("VI_1", "node1", True, "leader", 3, 210_000, 150, True)
VI_2 = LeaseLine("VI_2", None, False, "candidate", 0, None, 100, False)
USUAL = Snapshot(
    at=0,
    cluster="c1",
    own="node1",
    term=7,
    log_index=42,
    log_leader="node2",
    gate=True,
    members=(NODE1, NODE2, WITNESS),
    leases=(VI_1, VI_2),
)


class Stand:
    """A member that answers from a snapshot; `obey` may change it when an order comes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.known = USUAL
        self.orders: list[dict[str, str]] = []
        self.obey: Callable[[dict[str, str]], str | None] = lambda order: None
        self.history: list[dict[str, Any]] = []
        self._server = control.ControlServer(str(directory / "control"), self._handle)
        self._ends, self._end = os.pipe()
        self._thread = threading.Thread(target=self._loop)
        self._thread.start()

    def _handle(self, request: dict[str, str]) -> dict[str, Any]:
        if request["do"] == "status":
            return {"ok": True, **raft_snapshot.to_json(replace(self.known, at=time.time()))}
        if request["do"] == "history":
            return {"ok": True, "history": self.history}
        self.orders.append(request)
        error = self.obey(request)
        return {"ok": True} if error is None else {"ok": False, "error": error}

    def _loop(self) -> None:
        while True:
            readable, _, _ = select.select([self._ends, *self._server.descriptors()], [], [])
            if self._ends in readable:
                return
            for descriptor in readable:
                self._server.ready(descriptor)

    def stop(self) -> None:
        if self._thread.is_alive():
            os.write(self._end, b"x")
            self._thread.join(5)
            self._server.close()
            os.close(self._ends)
            os.close(self._end)

    def run(self, *words: str) -> int:
        return main([*words, "--run-directory", str(self.directory)])

    def holds(self, member: str | None) -> None:
        self.known = replace(self.known, leases=(replace(VI_1, holder=member), VI_2))


@pytest.fixture
def member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    monkeypatch.setattr(members, "_LOOK_AGAIN_S", 0.005)
    made = Stand(tmp_path)
    yield made
    made.stop()


Out = pytest.CaptureFixture[str]


# -- status ------------------------------------------------------------------------------


def test_status_is_a_table_for_eighty_columns(member: Stand, capsys: Out) -> None:
    member.known = replace(
        USUAL,
        pinned=(("VI_1", "node1"),),
        drained=("node2",),
        checks=(raft_snapshot.CheckLine("http", "127.0.0.1:80"),),
    )
    assert member.run("status") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines() == [
        "Cluster c1, member node1",
        "  quorum       yes (2 of 3 members, 2 needed; without one: drop)",
        "  log          term 7, index 42, leader node2",
        "  gate         the kernel ends leases by itself",
        "  maintenance  node2",
        "",
        "MEMBER  ADDRESS             STATE  HEARD  REMARKS",
        "node1   10.0.0.1:7000       there         this one",
        "node2   [2001:db8::2]:7000  there  20 ms  maintenance",
        "w       10.0.0.3:7000       GONE   3.2 s  witness",
        "",
        "LEASE  HOLDER  HERE   LEFT    TOKEN  PRIORITY  REMARKS",
        "VI_1   node1   holds  210 ms  3      150       pinned to node1",
        "VI_2   NOBODY  asks           0      100       not able",
        "",
        "CHECK  ADDRESS       STATE",
        "http   127.0.0.1:80  FAILS",
    ]
    assert max(map(len, out.splitlines())) <= 80


def test_status_says_what_is_missing(member: Stand, capsys: Out) -> None:
    member.known = replace(
        USUAL,
        gate=False,
        log_leader=None,
        members=(replace(NODE1, guarded=False), replace(NODE2, live=False)),
    )
    assert member.run("status") == 0
    out = capsys.readouterr().out
    assert "quorum       NO (1 of 2 members, 2 needed; without one: drop)" in out
    assert "leader none" in out
    assert "gate         no: a process that hangs keeps its addresses" in out
    assert "this one, no gate" in out


def test_status_for_programs(member: Stand, capsys: Out) -> None:
    assert member.run("status", "--json") == 0
    found = raft_snapshot.from_json(json.loads(capsys.readouterr().out))
    assert replace(found, at=0) == USUAL
    assert abs(found.at - time.time()) < 60


def test_status_of_a_member_that_is_gone(tmp_path: Path, capsys: Out) -> None:
    raft_snapshot.write(str(tmp_path / "raft.json"), replace(USUAL, at=time.time() - 100))
    assert main(["status", "--run-directory", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("Cluster c1, member node1\n")
    assert err.splitlines()[1].startswith("The member is not running: nobody listens at ")
    assert err.splitlines()[2].startswith("Shown is what it wrote 100.")


def test_status_for_those_who_may_not_ask(
    tmp_path: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "ask", refuse)
    raft_snapshot.write(str(tmp_path / "raft.json"), replace(USUAL, at=time.time()))
    assert main(["status", "--run-directory", str(tmp_path)]) == 0
    assert "Shown is what it wrote 0." in capsys.readouterr().err
    raft_snapshot.write(str(tmp_path / "raft.json"), replace(USUAL, at=time.time() - 10))
    assert main(["status", "--run-directory", str(tmp_path)]) == 1


def test_status_of_a_member_that_has_just_gone(tmp_path: Path, capsys: Out) -> None:
    raft_snapshot.write(str(tmp_path / "raft.json"), replace(USUAL, at=time.time()))
    assert main(["status", "--run-directory", str(tmp_path)]) == 1
    assert "The member is not running: " in capsys.readouterr().err


def test_status_without_anything(tmp_path: Path, capsys: Out) -> None:
    (tmp_path / "raft.json").write_text("nonsense")
    assert main(["status", "--run-directory", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"The member is not running: nobody listens at {tmp_path}/control\n")


def refuse(path: str, request: object, timeout_s: float) -> dict[str, Any]:
    raise control.NotAllowed(f"{path} may be used by its owner only")


def test_not_permitted(tmp_path: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "ask", refuse)
    assert main(["transfer", "VI_1", "--to", "node2", "--run-directory", str(tmp_path)]) == 4
    assert capsys.readouterr().err.endswith("may be used by its owner only; run this as root\n")


# -- transfer ------------------------------------------------------------------------------


def test_transfer_waits_until_it_is_held_there(member: Stand, capsys: Out) -> None:
    member.known = replace(USUAL, leases=(VI_1, VI_2))

    def hand_over(order: dict[str, str]) -> None:
        threading.Timer(0.05, member.holds, ("node2",)).start()

    member.obey = hand_over
    assert member.run("transfer", "VI_1", "--to", "node2") == 0
    assert member.orders == [{"do": "transfer", "lease": "VI_1", "to": "node2"}]
    assert capsys.readouterr().out == "VI_1 is held by node2\n"


def test_transfer_without_waiting(member: Stand, capsys: Out) -> None:
    assert member.run("transfer", "VI_1", "--to", "node2", "--wait", "0") == 0
    assert capsys.readouterr().out == "VI_1: node2 has been asked to take it\n"


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (USUAL, "node1 holds it; node2 may be unable to (see its own `keepalived-py status`)"),
        (replace(USUAL, leases=(replace(VI_1, holder=None),)), "nobody holds it; node2 may be unable"),
        (
            replace(USUAL, members=(NODE1, replace(NODE2, live=False), replace(WITNESS, live=True))),
            "node2 is not there (last heard of 0.0 s ago)",
        ),
    ],
)
def test_transfer_that_does_not_come_true(known: Snapshot, reason: str, member: Stand, capsys: Out) -> None:
    def happen(order: dict[str, str]) -> None:
        member.known = known

    member.obey = happen
    assert member.run("transfer", "VI_1", "--to", "node2", "--wait", "0.02") == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"VI_1 is not held by node2 after 0.02 s: {reason}")
    assert second == "The order stands; take it back with: keepalived-py transfer VI_1 --release"


def test_transfer_to_this_one_which_is_not_able(member: Stand, capsys: Out) -> None:
    assert member.run("transfer", "VI_2", "--to", "node1", "--wait", "0.02") == 1
    assert "node1 is not able to hold it (an interface is down, or a check fails)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("known", "words", "code", "reason"),
    [
        (USUAL, ("VI_9", "--to", "node2"), 1, "No lease is called VI_9; there are VI_1, VI_2 ("),
        (USUAL, ("VI_1", "--to", "node9"), 1, "The cluster has no member node9; there are node1, node2, w"),
        (USUAL, ("VI_1", "--to", "w"), 1, "w is a witness: it votes and never holds anything"),
        (replace(USUAL, drained=("node2",)), ("VI_1", "--to", "node2"), 1, "node2 is in maintenance: "),
        (
            replace(USUAL, members=(NODE1, replace(NODE2, live=False), WITNESS)),
            ("VI_1", "--to", "node2"),
            1,
            "No quorum: 1 of 3 members are there, 2 are needed.",
        ),
        (
            replace(USUAL, members=(NODE1, MemberLine("node2"), replace(WITNESS, live=True))),
            ("VI_1", "--to", "node2"),
            1,
            "node2 is not there (never heard of)",
        ),
        (replace(USUAL, witness=True), ("VI_1", "--to", "node2"), 1, "A witness knows no leases"),
        (USUAL, ("VI_9", "--release"), 1, "No lease is called VI_9"),
    ],
)
def test_transfer_that_cannot_be(
    known: Snapshot, words: tuple[str, ...], code: int, reason: str, member: Stand, capsys: Out
) -> None:
    member.known = known
    assert member.run("transfer", *words) == code
    assert capsys.readouterr().err.startswith(reason)
    assert member.orders == []


def test_what_the_cluster_refuses_is_said(member: Stand, capsys: Out) -> None:
    member.obey = lambda order: "no quorum: its log has no leader"
    assert member.run("transfer", "VI_1", "--to", "node2") == 1
    assert capsys.readouterr().err == "no quorum: its log has no leader\n"


def test_release(member: Stand, capsys: Out) -> None:
    assert member.run("transfer", "VI_1", "--release") == 0
    assert member.orders == [{"do": "unpin", "lease": "VI_1"}]
    assert capsys.readouterr().out == "VI_1: priorities decide again\n"


@pytest.mark.parametrize(
    "words",
    [("VI_1",), ("VI_1", "--to", "a", "--release"), ("VI_1", "--to", "a", "--wait", "-1"), ("--to", "a")],
)
def test_wrong_command_lines(words: tuple[str, ...], member: Stand) -> None:
    with pytest.raises(SystemExit) as ended:
        member.run("transfer", *words)
    assert ended.value.code == 1


# -- maintenance -----------------------------------------------------------------------------


def test_maintenance_waits_until_nothing_is_held(member: Stand, capsys: Out) -> None:
    def leave(order: dict[str, str]) -> None:
        threading.Timer(0.05, member.holds, ("node2",)).start()

    member.obey = leave
    assert member.run("maintenance", "on") == 0
    assert member.orders == [{"do": "drain", "member": "node1"}]
    assert member.known.leases[0].holder == "node2"
    assert capsys.readouterr().out == "node1 is in maintenance\n"


def test_maintenance_of_another_one_and_its_end(member: Stand, capsys: Out) -> None:
    assert member.run("maintenance", "on", "node2") == 0
    assert member.run("maintenance", "off", "node2") == 0
    assert member.orders == [{"do": "drain", "member": "node2"}, {"do": "undrain", "member": "node2"}]
    assert capsys.readouterr().out == "node2 is in maintenance\nnode2 competes again\n"


def test_maintenance_that_nobody_relieves(member: Stand, capsys: Out) -> None:
    assert member.run("maintenance", "on", "--wait", "0.02") == 1
    assert capsys.readouterr().err == (
        "node1 still holds VI_1 after 0.02 s. The order stands; take it back with: "
        "keepalived-py maintenance off node1\n"
    )


def test_maintenance_of_nobody(member: Stand, capsys: Out) -> None:
    assert member.run("maintenance", "on", "node9") == 1
    assert capsys.readouterr().err == "The cluster has no member node9; there are node1, node2, w\n"


# -- history ---------------------------------------------------------------------------------


def test_history(member: Stand, capsys: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    member.history = [
        {"at": 1_700_000_000, "lease": "VI_1", "member": "node1", "token": 1, "reason": "by node2, token 1"},
        {"at": 1_700_000_060, "lease": "VI_2", "member": "node2", "token": 4, "reason": ""},
    ]
    assert member.run("history") == 0
    assert capsys.readouterr().out.splitlines() == [
        "2023-11-14 22:13:20  VI_1 to node1, token 1: by node2",
        "2023-11-14 22:14:20  VI_2 to node2, token 4",
    ]
    assert member.run("history", "VI_2", "--json") == 0
    assert json.loads(capsys.readouterr().out) == member.history[1:]
    assert member.run("history", "VI_3") == 0
    assert capsys.readouterr().out == "Nothing is remembered.\n"


# -- which member ------------------------------------------------------------------------------


@pytest.fixture
def no_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No configuration at the usual place, and run directories under a place of the test's own."""
    monkeypatch.setattr(members, "DEFAULT_CONFIGURATION", str(tmp_path / "missing.conf"))
    monkeypatch.setattr(members, "RUN_DIRECTORIES", str(tmp_path / "run/*/*"))
    return tmp_path / "run"


def test_the_only_member_is_found(no_default: Path, capsys: Out) -> None:
    directory = no_default / "c1" / "node1"
    make_directory(str(directory))
    make_directory(str(no_default / "c1" / "empty"))
    raft_snapshot.write(str(directory / "raft.json"), replace(USUAL, at=time.time()))
    assert main(["status"]) == 1
    assert capsys.readouterr().out.startswith("Cluster c1, member node1\n")


def test_no_member_is_found(no_default: Path, capsys: Out) -> None:
    assert main(["status"]) == 1
    assert capsys.readouterr().err.startswith("No member of a cluster runs on this machine (")


def test_several_members_are_found(no_default: Path, capsys: Out) -> None:
    for name in ("node1", "node2"):
        make_directory(str(no_default / "c1" / name))
        (no_default / "c1" / name / "raft.json").write_text("")
    assert main(["status"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "Several members run on this machine: choose one with --run-directory",
        f"  {no_default}/c1/node1",
        f"  {no_default}/c1/node2",
    ]


def test_one_of_several_lives(no_default: Path, member: Stand, capsys: Out) -> None:
    dead = no_default / "c1" / "node0"
    make_directory(str(dead))
    (dead / "raft.json").write_text("")
    (no_default / "c1" / "node1").symlink_to(member.directory)
    assert main(["status"]) == 0
    assert capsys.readouterr().out.startswith("Cluster c1, member node1\n")


def test_a_file_that_does_not_help(tmp_path: Path, capsys: Out) -> None:
    assert main(["status", "-f", str(tmp_path / "missing.conf")]) == 1
    (tmp_path / "vrrp.conf").write_text("global_defs {\n}\n")
    assert main(["status", "-f", str(tmp_path / "vrrp.conf")]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"{tmp_path}/missing.conf: cannot be read",
        f"{tmp_path}/vrrp.conf configures no cluster that elects by quorum, or cannot be used here"
        f" (keepalived-py -t -f {tmp_path}/vrrp.conf tells)",
    ]
