"""The replicated log: several members in one process, on a network that loses and repeats."""

import json
import os
import pickle
import random
import time
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from keepalived_py.base.names import LeaseName, MemberId
from keepalived_py.election.raft import log_machine
from keepalived_py.election.raft.journal import JournalDamaged
from keepalived_py.election.raft.log_library import MOST_ENTRIES
from keepalived_py.election.raft.views import Holding
from tests.election.raft.log_net import Net, virtual_time


@pytest.fixture(autouse=True)
def _virtual_time(monkeypatch: pytest.MonkeyPatch) -> None:
    virtual_time(monkeypatch)


def test_the_leader_follows_the_lease_at_once() -> None:
    net = Net()
    net.lease("b")
    took = net.until(net.logs["b"].is_leader)
    assert took < 0.1, took
    net.order("a", log_machine.pin("VI_1", "c"))
    net.agree()
    assert net.logs["c"].state.orders.pinned == {"VI_1": "c"}
    term = net.logs["b"].term
    net.lease("c")
    assert net.until(lambda: net.logs["c"].is_leader() and net.logs["c"].knows) < 0.2
    assert net.logs["c"].term == term + 1
    net.close()


def test_nobody_leads_without_the_lease() -> None:
    net = Net()
    net.lease(None)
    end = time.monotonic() + 1.5
    net.until(lambda: time.monotonic() > end)
    assert {log.term for log in net.logs.values()} == {0}
    assert all(log.leader is None for log in net.logs.values())
    net.close()


def test_a_member_that_comes_back_does_not_depose() -> None:
    net = Net()
    net.lease("a")
    net.until(net.logs["a"].is_leader)
    net.order("a", log_machine.drain("c"))
    net.cut = {"c"}
    # It believes that it has the lease, and hears nobody.
    net.lease("a")
    net.logs["c"].follow(True, None, frozenset("ab"))
    end = time.monotonic() + 1.5
    net.until(lambda: time.monotonic() > end)
    term = net.logs["a"].term
    assert net.logs["c"].term > term
    net.cut = set()
    # For a moment it still believes that; its requests for votes reach the others, who promised nothing.
    end = time.monotonic() + 0.5
    net.until(lambda: time.monotonic() > end)
    assert net.logs["a"].is_leader() and net.logs["a"].term == term
    net.lease("a")
    net.order("b", log_machine.undrain("c"))
    net.until(lambda: net.logs["a"].is_leader() and net.logs["c"].state.orders.drained == frozenset())
    net.close()


def test_commands_survive_loss_disorder_and_repetition() -> None:
    net = Net(loss=0.2)
    net.lease("a")
    for number in range(30):
        if number % 10 == 9:
            net.lease("abc"[number // 10 % 3])
        entry = Holding(LeaseName("VI_1"), MemberId("a"), number, "granted")
        net.order("abc"[number % 3], log_machine.hold(entry, number))
    net.agree()
    tokens = [held.token for held in net.logs["a"].state.history]
    assert tokens == list(range(30))
    assert net.logs["b"].state.orders.tokens == {"VI_1": 29}
    net.close()


def test_a_holder_that_lacks_entries_is_filled_first() -> None:
    net = Net()
    net.lease("a")
    net.order("a", log_machine.drain("b"))
    net.cut = {"c"}
    net.lease("a")
    net.order("a", log_machine.undrain("b"))
    net.order("a", log_machine.pin("VI_1", "a"))
    net.cut = set()
    # c lacks two entries that are certain; now it gets the lease.  Raft alone would elect nobody.
    net.lease("c")
    took = net.until(lambda: net.logs["c"].is_leader() and net.logs["c"].knows)
    assert took < 4.0
    assert net.logs["c"].state.orders.pinned == {"VI_1": "a"}
    net.agree()
    net.close()


def test_a_long_uncertain_end_is_gone_back_over_in_one_step() -> None:
    net = Net()
    net.lease("a")
    net.until(net.logs["a"].is_leader)
    net.cut = {"a"}
    for number in range(60):
        # Nobody hears of these.
        net.logs["a"].submit(log_machine.pin("VI_1", "c"), lambda _, reason: None)
        net.logs["a"].round(time.monotonic() + number)
    net.logs["c"].follow(True, None, frozenset("b"))
    net.logs["b"].follow(False, "c", frozenset("c"))
    for _ in range(30):
        net.order("c", log_machine.pin("VI_1", "b"))
    net.cut = set()
    assert net.logs["a"].index > net.logs["c"].index
    net.lease("a")
    took = net.until(lambda: net.logs["a"].is_leader() and net.logs["a"].state == net.logs["c"].state)
    assert took < 2.0
    assert net.logs["a"].state.orders.pinned == {"VI_1": "b"}
    net.close()


def test_old_entries_become_a_state_and_new_members_are_filled(tmp_path: Path) -> None:
    net = Net(directory=tmp_path)
    net.lease("a")
    net.stop("c")
    net.lease("a")
    net.until(net.logs["a"].is_leader)
    count = 500
    assert count > MOST_ENTRIES + 200
    outcomes: list[int] = []
    for number in range(count):
        entry = Holding(LeaseName("VI_1"), MemberId("a"), number, "reason " * 20)
        net.logs["a"].submit(log_machine.hold(entry, number), lambda _, reason: outcomes.append(reason))
        if number % 50 == 49:
            net.until(lambda number=number: outcomes.count(0) > number)  # type: ignore[misc]
    assert os.path.getsize(tmp_path / "a" / "journal") < 400_000
    net.start("c")
    net.lease("a")
    net.agree()
    assert len(net.logs["c"].state.history) == log_machine.MOST_HISTORY
    assert net.logs["c"].state.orders.tokens == {"VI_1": count - 1}
    # Everybody comes back from the disk, and nothing is lost.
    net.close()
    for each in net.ids:
        net.start(each)
    net.lease("b")
    net.until(lambda: all(log.knows for log in net.logs.values()))
    net.agree()
    assert net.logs["c"].state.orders.tokens == {"VI_1": count - 1}
    assert not net.lines
    net.close()


def test_what_was_agreed_survives_the_end_of_everybody(tmp_path: Path) -> None:
    net = Net(directory=tmp_path)
    net.lease("a")
    net.order("b", log_machine.drain("c"))
    # As by kill -9: nobody closes anything.
    again = Net(size=0)
    again.ids, again.directory = net.ids, tmp_path
    for log in net.logs.values():
        os.close(log._lock or 0)
        log._lock = None
    for each in again.ids:
        again.start(each)
    again.lease("b")
    again.until(lambda: all(log.knows for log in again.logs.values()))
    assert {log.state.orders.drained for log in again.logs.values()} == {frozenset("c")}
    again.close()
    net.close()


def test_a_vote_is_on_the_disk_before_it_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net(directory=tmp_path)
    net.round()
    synced: list[str] = []
    real = os.fdatasync

    def fdatasync(descriptor: int) -> None:
        synced.append("disk")
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    votes: list[int] = []
    log = net.logs["b"]
    put = log._transport._out

    def out(member: str, body: bytes) -> None:
        if json.loads(body)["type"] == "response_vote":
            votes.append(len(synced))
        put(member, body)

    log._transport._out = out
    log.follow(False, "a", frozenset("ac"))
    request = {"type": "request_vote", "term": 5, "last_log_index": 1, "last_log_term": 0}
    log.heard("a", json.dumps(request).encode())
    assert not votes
    log.round(time.monotonic())
    assert votes == [1]
    # The same member, back from the disk, does not vote for somebody else in that term.
    net.stop("b")
    net.start("b")
    net.mail.clear()
    net.logs["b"].follow(False, "c", frozenset("ac"))
    net.logs["b"].heard("c", json.dumps(request).encode())
    net.logs["b"].round(time.monotonic())
    assert not net.mail and net.logs["b"].term == 5
    net.close()


def test_slow_disks_delay_a_leader_and_do_not_prevent_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = Net(directory=tmp_path)
    net.round()
    real = os.fdatasync

    def slow(descriptor: int) -> None:
        time.sleep(0.1)
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", slow)
    net.lease("b")
    net.until(lambda: net.logs["b"].is_leader() and net.logs["b"].knows)
    net.order("a", log_machine.pin("VI_1", "c"))
    net.close()


def test_a_state_that_is_known_already_is_not_taken_again() -> None:
    """A copy of an old dump that comes late must not take the log back."""
    net = Net()
    log = net.logs["b"]
    one, two = [log_machine.drain("a"), 2, 1], [log_machine.drain("b"), 3, 1]
    text = json.dumps({"state": log_machine.to_json(log_machine.LogState()), "entries": [[None, 1, 0], one]})
    piece = {"sum": zlib.crc32(text.encode()), "at": 0, "all": len(text), "text": text}
    dump = {"type": "append_entries", "term": 1, "commit_index": 2, "dump": [piece, True, True]}
    log.heard("a", json.dumps(dump).encode())
    log.round(time.monotonic())
    assert log.index == 2
    more = {"type": "append_entries", "term": 1, "commit_index": 2, "prev": [2, 1], "entries": [two]}
    log.heard("a", json.dumps(more).encode())
    log.heard("a", json.dumps(dump).encode())
    log.round(time.monotonic())
    assert log.index == 3
    for wrong in ({"sum": 1}, {"text": text[:-1] + " "}, {"all": len(text) + 1}):
        log.heard("a", json.dumps({**dump, "dump": [{**piece, **wrong}, True, True]}).encode())
    assert log.index == 3
    net.close()


def test_a_disk_that_refuses_silences_the_member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net(directory=tmp_path)
    net.round()

    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", refuse)
    log = net.logs["b"]
    log.follow(False, "a", frozenset("ac"))
    log.heard("a", b'{"type":"request_vote","term":5,"last_log_index":1,"last_log_term":0}')
    with pytest.raises(OSError):
        log.round(time.monotonic())
    assert not net.mail
    net.close()


def test_another_journal_is_refused(tmp_path: Path) -> None:
    net = Net(directory=tmp_path)
    net.round()
    net.close()
    os.rename(tmp_path / "a" / "journal", tmp_path / "b" / "journal")
    with pytest.raises(Exception, match="belongs to member a"):
        net.start("b")
    assert issubclass(JournalDamaged, Exception)


class Boom:
    """Unpickling it would make a directory."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


def hostile(path: str) -> list[bytes]:
    bomb = pickle.dumps(Boom(path), 0).decode("latin-1")
    raw = pickle.dumps(Boom(path))
    entry = {"type": "append_entries", "term": 9, "commit_index": 3, "prev": [1, 0]}
    return [
        raw,
        bomb.encode("latin-1"),
        json.dumps(bomb).encode(),
        json.dumps({**entry, "entries": [[bomb, 2, 9]]}).encode(),
        json.dumps({**entry, "entries": [[[bomb], 2, 9], [None, 3, 9]]}).encode(),
        json.dumps({**entry, "entries": [["\x03" + bomb, 2, 9]]}).encode(),
        json.dumps({**entry, "entries": [], "transmission": "finish", "data": bomb}).encode(),
        json.dumps(
            {"type": "append_entries", "term": 9, "commit_index": 3, "serialized": [bomb, True, True]}
        ).encode(),
        json.dumps(
            {"type": "append_entries", "term": 9, "commit_index": 3, "dump": [bomb, True, True]}
        ).encode(),
        json.dumps(
            {
                "type": "append_entries",
                "term": 9,
                "commit_index": 3,
                "dump": [{"sum": 0, "at": 0, "all": len(bomb), "text": bomb}, True, True],
            }
        ).encode(),
        json.dumps({"type": "apply_command", "command": bomb, "request_id": 1}).encode(),
        json.dumps({"type": "apply_command", "command": [bomb], "request_id": 1}).encode(),
        json.dumps({"type": "timeout_now", "term": 9}).encode(),
        json.dumps(
            {"type": "request_vote", "term": 1 << 59, "last_log_index": 1, "last_log_term": 0}
        ).encode(),
        b"[" * 40_000,
        b"{" + b'"a":' * 9000,
        b"9" * 40_000,
        b"\xff" * 100,
        b"",
    ]


def test_pickles_and_nonsense_do_nothing(tmp_path: Path) -> None:
    made = tmp_path / "made"
    assert pickle.loads(pickle.dumps(Boom(str(made)))) is None and made.exists()
    made.rmdir()
    net = Net()
    net.lease("a")
    net.order("a", log_machine.drain("c"))
    for body in hostile(str(made)):
        for own in "abc":
            for sender in ("a", "b", "c", "stranger"):
                net.logs[own].heard(sender, body)
        net.round()
    net.lease("b")
    net.lease("a")
    net.order("b", log_machine.pin("VI_1", "a"))
    net.agree()
    assert not made.exists()
    assert net.logs["c"].state.orders.pinned == {"VI_1": "a"}
    assert sum(net.logs["a"].refused.values()) > 20 and len(net.logs["a"].refused) <= 32
    net.close()


def test_messages_with_random_fields_are_refused_or_harmless() -> None:
    rng = random.Random(5)
    net = Net()
    net.lease("a")
    net.order("a", log_machine.drain("c"))
    pool: list[Any] = [
        None,
        True,
        False,
        -1,
        0,
        1,
        2,
        3,
        1.5,
        1 << 61,
        "",
        "a",
        "x" * 300,
        [],
        [1],
        [1, 0],
        {},
        [[None, 2, 1]],
        {"a": 1},
    ]
    names = [
        "term",
        "commit_index",
        "prev",
        "entries",
        "dump",
        "last_log_index",
        "last_log_term",
        "for",
        "reset",
    ]
    names += ["success", "next_node_idx", "command", "request_id", "error", "log_idx", "log_term", "data"]
    kinds: list[object] = [
        "append_entries",
        "request_vote",
        "response_vote",
        "next_node_idx",
        "apply_command",
    ]
    kinds += ["apply_command_response", "behind", "stand_in", "timeout_now", 7, None]
    for _ in range(5000):
        message = {
            "type": rng.choice(kinds),
            **{name: rng.choice(pool) for name in rng.sample(names, rng.randrange(8))},
        }
        net.logs[rng.choice("abc")].heard(rng.choice("abc"), json.dumps(message).encode())
    for log in net.logs.values():
        log.round(time.monotonic())
    net.close()


def test_an_old_copy_takes_nothing_away() -> None:
    """An entry that was acknowledged stays, though an older message ends before it."""
    net = Net()
    log = net.logs["b"]
    one, two = [log_machine.drain("a"), 2, 1], [log_machine.drain("b"), 3, 1]
    old = {"type": "append_entries", "term": 1, "commit_index": 1, "prev": [1, 0], "entries": [one]}
    new = {**old, "entries": [one, two]}
    for message in (old, new, old, {**old, "entries": []}):
        log.heard("a", json.dumps(message).encode())
        log.round(time.monotonic())
    assert log.index == 3
    other = {**old, "term": 2, "entries": [[None, 2, 2]]}
    log.heard("a", json.dumps(other).encode())
    log.round(time.monotonic())
    assert log.index == 2 and log.term == 2
    net.close()


def test_acknowledgements_of_another_term_do_not_count() -> None:
    net = Net()
    net.lease("a")
    net.until(net.logs["a"].is_leader)
    net.cut = {"b", "c"}
    outcomes: list[int] = []
    net.logs["a"].submit(log_machine.drain("c"), lambda _, reason: outcomes.append(reason))
    net.logs["a"].round(time.monotonic())
    stale = {
        "type": "next_node_idx",
        "term": net.logs["a"].term - 1,
        "next_node_idx": 99,
        "reset": False,
        "success": True,
    }
    for sender in "bc":
        net.logs["a"].heard(sender, json.dumps(stale).encode())
    net.logs["a"].round(time.monotonic())
    assert not outcomes
    net.logs["a"].heard("b", json.dumps({**stale, "term": net.logs["a"].term}).encode())
    net.logs["a"].round(time.monotonic())
    assert outcomes == [0]
    net.close()


def test_a_single_member_agrees_with_itself() -> None:
    net = Net(size=1)
    net.lease("a")
    net.order("a", log_machine.pin("VI_1", "a"))
    assert net.logs["a"].state.orders.pinned == {"VI_1": "a"}
    net.close()


def test_an_unknown_command_is_passed_over_with_a_line() -> None:
    net = Net()
    net.lease("a")
    net.order("b", ["shuffle", 1, [2, {"x": None}]])
    net.order("b", ["pin", 1])
    net.order("b", log_machine.pin("VI_1", "a"))
    net.agree()
    assert net.logs["c"].state.orders.pinned == {"VI_1": "a"}
    assert sum("shuffle" in line for line in net.lines) == 3
    net.close()


QUICK = [pytest.param(seed) for seed in range(10)]
LONG = [pytest.param(seed, marks=pytest.mark.slow) for seed in range(10, 40)]


@pytest.mark.parametrize("seed", QUICK + LONG)
def test_what_was_certain_stays_so_through_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Leases that move, members that are cut off or restarted, messages lost, repeated and out of order."""
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: None)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    rng = random.Random(seed)
    net = Net(directory=tmp_path, loss=0.15, seed=seed)
    certain: set[int] = set()

    def ended(number: int, result: object, reason: int) -> None:
        if reason == 0:
            certain.add(number)

    token = 0
    fault_at = 0.0
    end = time.monotonic() + 2.5
    net.lease("a")
    while time.monotonic() < end:
        if time.monotonic() > fault_at:
            fault_at = time.monotonic() + rng.uniform(0.05, 0.4)
            net.cut = set(rng.choice(("", "", "a", "b", "c")))
            if rng.random() < 0.3:
                again = rng.choice("abc")
                net.stop(again)
                net.start(again)
            # The lease never goes to somebody who is cut off, but its old holder may believe in it for a while.
            net.lease(rng.choice(sorted({"a", "b", "c"} - net.cut)))
        if token < 150 and rng.random() < 0.1:
            token += 1
            entry = Holding(LeaseName("VI_1"), MemberId("a"), token, "")
            command = log_machine.hold(entry, token)
            net.logs[rng.choice("abc")].submit(command, partial(ended, token))
        net.round()
        time.sleep(0.001)
    net.cut, net.loss = set(), 0.0
    net.lease("b")
    net.until(lambda: net.logs["b"].is_leader() and all(log.knows for log in net.logs.values()))
    net.order("c", log_machine.drain("a"))
    net.agree()
    remembered = {held.token for held in net.logs["c"].state.history}
    assert certain <= remembered and len(certain) > 10
    assert not net.lines, net.lines
    net.close()
