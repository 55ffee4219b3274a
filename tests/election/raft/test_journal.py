"""The journal: what was synced comes back, whatever a power cut leaves of the last record."""

import os
import random
import stat
from pathlib import Path

import pytest

from keepalived_py.base.errors import FatalStart
from keepalived_py.election.raft import journal as journals
from keepalived_py.election.raft import log_machine
from keepalived_py.election.raft.journal import Base, Entry, Journal, JournalDamaged, recover


def entry(index: int, term: int = 1) -> Entry:
    return log_machine.pack(["pin", f"VI_{index}", "a"]), index, term


FIRST: Entry = (log_machine.pack(None), 1, 0)


def opened(path: Path) -> Journal:
    return Journal(str(path), "test", "a")


def written(path: Path, count: int = 6) -> list[tuple[int, tuple[Entry, ...]]]:
    """A journal with a record per entry; the size of the file after each, and the entries by then."""
    made = opened(path)
    made.add(*FIRST)
    made.sync()
    stages: list[tuple[int, tuple[Entry, ...]]] = [(path.stat().st_size, (FIRST,))]
    for index in range(2, count + 2):
        made.setCurrentTerm(index, "b")
        made.add(*entry(index))
        made.setRaftCommitIndex(index - 1)
        made.sync()
        stages.append((path.stat().st_size, (*stages[-1][1], entry(index))))
    made._destroy()
    return stages


def test_what_was_synced_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    stages = written(path)
    again = opened(path)
    assert tuple(again[:]) == stages[-1][1]
    assert (again.getCurrentTerm(), again.getVotedForNodeId(), again.getRaftCommitIndex()) == (7, "b", 6)
    again.deleteEntriesFrom(3)
    again.add(*entry(4, 8))
    again.setCurrentTerm(8, None)
    again.sync()
    again._destroy()
    third = opened(path)
    assert [each[1:] for each in third[:]] == [(1, 0), (2, 1), (3, 1), (4, 8)]
    assert third.getVotedForNodeId() is None and third.getRaftCommitIndex() == 4
    third._destroy()


def test_a_torn_end_is_cut_off_at_every_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal"
    stages = written(path, 3)
    # Some hundred times a disk would take long, and nobody cuts the power here.
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: None)
    data = path.read_bytes()
    for length in range(stages[0][0], len(data) + 1):
        path.write_bytes(data[:length])
        expected = max(stage for stage in stages if stage[0] <= length)
        found = recover(str(path), "test", "a")
        assert found.entries == expected[1] and found.good == expected[0], length
        assert found.torn == length - expected[0]
        lines = journals.prepare(str(tmp_path), "test", "a")
        assert len(lines) == (1 if found.torn else 0)
        made = opened(path)
        made.add(*entry(expected[1][-1][1] + 1, 9))
        made.sync()
        made._destroy()
        assert recover(str(path), "test", "a").entries[:-1] == expected[1]


@pytest.mark.parametrize("seed", range(3))
def test_a_scribbled_last_record_loses_nothing_before_it(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    path = tmp_path / "journal"
    stages = written(path, 3)
    data = path.read_bytes()
    begin = stages[-2][0]
    for at in range(begin, len(data)):
        for length in (1, 7, len(data) - at, 5000):
            junk = rng.choice((bytes(length), rng.randbytes(length), b"\n" * length, b"\xff" * length))
            path.write_bytes(data[:at] + junk + data[at + length :])
            found = recover(str(path), "test", "a")
            assert found.entries in (stages[-2][1], stages[-1][1])
            assert found.entries == stages[-2][1] or path.read_bytes()[: len(data)] == data


def test_damage_in_the_middle_is_for_a_person(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    stages = written(path, 3)
    data = path.read_bytes()
    for at in range(0, stages[-2][0] - 1):
        path.write_bytes(data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :])
        with pytest.raises(JournalDamaged):
            recover(str(path), "test", "a")
    with pytest.raises(FatalStart, match=r"journal cannot be used: .*Move the file away"):
        journals.prepare(str(tmp_path), "test", "a")
    os.rename(path, tmp_path / "damaged")
    assert journals.prepare(str(tmp_path), "test", "a") == ()


def test_records_that_check_but_make_no_sense_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    standing = {"term": 1, "vote": None, "commit": 1}
    head = journals._line({"raft_journal": 1, "cluster": "test", "member": "a"})
    begin = journals._line({"n": 1, **standing, "state": None, "entries": [[None, 1, 0]]})
    records: tuple[dict[str, object], ...] = (
        {"n": 3, **standing, "keep": 1, "add": []},
        {"n": 2, **standing, "keep": 5, "add": []},
        {"n": 2, **standing, "keep": 1, "add": [[None, 3, 1]]},
        {"n": 2, **standing, "keep": 1, "add": [["x", 2, 1]]},
        {"n": 2, **standing, "keep": 1, "add": [[["x"], 2, -1]]},
        {"n": 2, **standing, "term": "1", "keep": 1, "add": []},
        {"n": 2, **standing, "keep": 1},
    )
    for record in records:
        path.write_bytes(head + begin + journals._line(record))
        with pytest.raises(JournalDamaged):
            recover(str(path), "test", "a")
    path.write_bytes(head + begin)
    assert recover(str(path), "test", "a").entries == (FIRST,)
    for owner in (("other", "a"), ("test", "b")):
        with pytest.raises(JournalDamaged, match="belongs to member a of cluster test"):
            recover(str(path), *owner)


def test_a_state_replaces_the_entries_before_it(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    written(path, 20)
    made = opened(path)
    state = log_machine.to_json(log_machine.LogState(revision=3))
    made.propose(Base(state, entry(10), entry(11)))
    made.add(*entry(22))
    made.sync()
    assert made.base is None
    made.deleteEntriesTo(9)
    made.sync()
    made._destroy()
    again = opened(path)
    assert again.base == Base(state, entry(10), entry(11))
    assert (again[0], again.last, again.find(9), again.find(15)) == (entry(10), entry(22), None, entry(15))
    # A state from the leader takes the place of everything, in one step.
    again.propose(Base(state, entry(50, 7), entry(51, 7)))
    before = path.read_bytes()
    again.clear()
    again.add(*entry(50, 7))
    again.add(*entry(51, 7))
    assert path.read_bytes() == before
    again.sync()
    again._destroy()
    third = recover(str(path), "test", "a")
    assert third.entries == (entry(50, 7), entry(51, 7)) and third.base is not None


def test_what_was_cut_off_comes_back_unless_it_is_contradicted() -> None:
    made = Journal(None, "test", "a")
    for each in (FIRST, entry(2), entry(3), entry(4)):
        made.add(*each)
    made.deleteEntriesFrom(1)
    made.add(*entry(2))
    made.settle()
    assert made.last == entry(4)
    made.deleteEntriesFrom(1)
    made.add(*entry(2, 2))
    made.settle()
    assert made[:] == [FIRST, entry(2, 2)]


def test_the_file_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal"
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: None)
    made = opened(path)
    made.add(*FIRST)
    largest = 0
    for term in range(1, 6000):
        made.setCurrentTerm(term, "a member with a rather long name")
        made.sync()
        largest = max(largest, path.stat().st_size)
    assert largest < 300 * 1024
    made._destroy()
    assert recover(str(path), "test", "a").term == 5999


def test_the_directory_is_made_for_its_owner_only(tmp_path: Path) -> None:
    where = tmp_path / "one" / "two"
    assert journals.prepare(str(where), "test", "a") == ()
    assert stat.S_IMODE(where.stat().st_mode) == 0o700
    (tmp_path / "file").write_text("x")
    with pytest.raises(FatalStart, match="not a directory"):
        journals.prepare(str(tmp_path / "file"), "test", "a")
    with pytest.raises(FatalStart, match="name another one"):
        journals.prepare("/proc/keepalived-py", "test", "a")


def test_the_directories_above_can_be_entered_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o177)
    try:
        journals.prepare(str(tmp_path / "one" / "two" / "three"), "test", "a")
    finally:
        os.umask(before)
    modes = [(tmp_path / each).stat().st_mode & 0o777 for each in ("one", "one/two", "one/two/three")]
    assert modes == [0o755, 0o755, 0o700]


def test_a_directory_in_which_others_may_write_is_refused(tmp_path: Path) -> None:
    where = tmp_path / "open"
    where.mkdir()
    for mode in (0o777, 0o1777):
        where.chmod(mode)
        with pytest.raises(FatalStart, match=r"could be forged: others .* may write in .*/open\."):
            journals.prepare(str(where), "test", "a")
    # Below a sticky one, like /tmp, nobody moves what is ours; below another one everybody does.
    journals.prepare(str(where / "ours"), "test", "a")
    where.chmod(0o777)
    with pytest.raises(FatalStart, match="could be forged"):
        journals.prepare(str(where / "ours"), "test", "a")


@pytest.mark.netns
def test_a_directory_or_link_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 4242, 0)
    (tmp_path / "ours").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "ours")
    os.chown(tmp_path / "link", 4242, 0, follow_symlinks=False)
    for name in ("theirs", "theirs/below", "link"):
        with pytest.raises(FatalStart, match="belongs to the user 4242"):
            journals.prepare(str(tmp_path / name), "test", "a")
    os.chown(tmp_path / "link", 0, 0, follow_symlinks=False)
    assert journals.prepare(str(tmp_path / "link"), "test", "a") == ()


def test_one_directory_serves_one_member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "_LOCK_PATIENCE_S", 0.1)
    held = journals.lock(str(tmp_path))
    with pytest.raises(FatalStart, match="runs twice"):
        journals.prepare(str(tmp_path), "test", "a")
    os.close(held)
    assert journals.prepare(str(tmp_path), "test", "a") == ()
