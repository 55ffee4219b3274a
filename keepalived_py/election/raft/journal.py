"""The replicated log on disk: what this member has promised the others it will never forget.

The file is text, a record a line: a checksum, then JSON.  The first says whose file it
is; the second holds everything (term, vote, entries, and the state that the entries
before them came to); each further one tells what changed since the one before it.
These two at the beginning come into being together, as a new file that takes the name
of the old one.  All others are added at the end, each by one write and one
fdatasync(2), and the next is not written before that has returned.  Hence a power cut
can tear no record but the last, and nothing of that one was promised to anybody: what
does not check at the end is cut off.  What does not check in the middle was damaged
later by something else; then nothing in the file is worth a promise, and only a person
may decide to do without it.

`sync` is to be called before any message leaves that depends on what was changed.
Without a path everything is kept in memory, and lost with the process.

The library cuts off the end of its log whenever a message begins further ahead than
where the log ends, even an old message that repeats what is there; an entry that was
acknowledged would be gone for a while.  Raft cuts only what contradicts the leader.
So what is cut off is kept aside (`settle`), and what was not contradicted comes back.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import time
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from keepalived_py.base.errors import FatalStart, KeepalivedError
from keepalived_py.election.raft import log_machine
from keepalived_py.election.raft.log_machine import BadCommand, is_name, is_number
from keepalived_py.system.state_files import intruder, make_directory

FILE = "journal"
LOCK = "lock"
LARGEST_FILE = 64 * 1024 * 1024
_FORMAT = 1
_REWRITE_AFTER = 256 * 1024
_LOCK_PATIENCE_S = 2.0
_LOCK_AGAIN_S = 0.02
_CHECKSUM = 8

# The library's form of an entry: its command, index and term.
Entry = tuple[bytes, int, int]


class JournalDamaged(KeepalivedError):
    """The file holds something that no power cut can have left there; the text says what."""


class Base(NamedTuple):
    """The state after `last`, before which the log has been cut but for one entry."""

    state: dict[str, Any]
    before: Entry
    last: Entry


class Recovered(NamedTuple):
    """What a file says.  `good`: so many bytes of it, `torn`: so many behind them are half a record."""

    term: int = 0
    vote: str | None = None
    commit: int = 1
    base: Base | None = None
    entries: tuple[Entry, ...] = ()
    number: int = 0
    good: int = 0
    torn: int = 0


class Journal:
    """What the library wants of a journal, on a file of ours.  Raises OSError and JournalDamaged."""

    def __init__(self, path: str | None, cluster: str, member: str) -> None:
        self._path = path
        self._owner = {"cluster": cluster, "member": member}
        found = Recovered()
        self._descriptor: int | None = None
        if path is not None and os.path.exists(path):
            found = recover(path, cluster, member)
            self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            os.ftruncate(self._descriptor, found.good)
        self._term, self._vote, self._commit = found.term, found.vote, found.commit
        self._entries = list(found.entries)
        self._base = found.base
        self._next_base: Base | None = None
        self._number = found.number
        self._appended = 0
        self._aside: list[Entry] = []
        # So many entries are in the file as they are here.
        self._same = len(self._entries)
        self._whole = self._descriptor is None
        self._changed = False
        self._commit_changed = False

    @property
    def path(self) -> str | None:
        """The file; None: there is none."""
        return self._path

    @property
    def base(self) -> Base | None:
        """The state that the entries begin with; None: they begin with the first of all."""
        return self._base

    @property
    def term(self) -> int:
        """The greatest term that was ever seen."""
        return self._term

    @property
    def last(self) -> Entry:
        """The last entry."""
        return self._entries[-1]

    def find(self, index: int) -> Entry | None:
        """The entry of that index, if it is still (or already) here."""
        position = index - self._entries[0][1] if self._entries else -1
        return self._entries[position] if 0 <= position < len(self._entries) else None

    def propose(self, base: Base) -> None:
        """This state stands for what comes before `base.before`, as soon as the entries begin with that."""
        self._next_base = base

    # -- what the library calls ------------------------------------------------------------

    def add(self, command: bytes, index: int, term: int) -> None:
        """A new last entry."""
        entry = (command, index, term)
        if self._aside and self._aside[0] == entry:
            del self._aside[0]
        else:
            self._aside = []
        self._entries.append(entry)
        self._changed = True

    def clear(self) -> None:
        """No entries at all; others follow at once."""
        self._entries, self._aside = [], []
        self._whole = self._changed = True

    def deleteEntriesFrom(self, position: int) -> None:
        """Forget the entry at that position and those behind it, unless `settle` brings them back."""
        self._aside = self._entries[position:]
        del self._entries[position:]
        self._same = min(self._same, position)
        self._whole |= position == 0
        self._changed = True

    def deleteEntriesTo(self, position: int) -> None:
        """Forget the entries before that position."""
        del self._entries[:position]
        self._whole = self._changed = True

    def __getitem__(self, item: Any) -> Any:
        return self._entries[item]

    def __len__(self) -> int:
        return len(self._entries)

    def setRaftCommitIndex(self, index: int) -> None:
        """So far the log is certain."""
        self._commit_changed |= index != self._commit
        self._commit = index

    def getRaftCommitIndex(self) -> int:
        """So far the log was certain when this was last written."""
        return max(1, min(self._commit, self._entries[-1][1] if self._entries else 1))

    def setCurrentTerm(self, term: int, vote: str | None) -> None:
        """The term, and whom this member votes for in it."""
        self._changed |= (term, vote) != (self._term, self._vote)
        self._term, self._vote = term, vote

    def getCurrentTerm(self) -> int:
        """The term."""
        return self._term

    def getVotedForNodeId(self) -> str | None:
        """Who has this member's vote in the term."""
        return self._vote

    def onOneSecondTimer(self) -> None:
        """What is certain may be written at leisure: it can be learned again."""
        self._changed |= self._commit_changed

    def flush(self) -> None:
        """The library's word for `sync`."""
        self.sync()

    def _destroy(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    # -- the file --------------------------------------------------------------------------

    def settle(self) -> None:
        """A message has been dealt with: what it cut off and did not contradict is the log's end again."""
        self._entries += self._aside
        self._aside = []

    def sync(self) -> None:
        """Everything is on the disk when this returns.  Raises OSError; then nothing may be promised."""
        if not self._changed:
            return
        if self._path is None:
            self._choose_base()
        elif self._whole or self._appended > _REWRITE_AFTER:
            self._rewrite(self._path)
        else:
            self._append()
        self._same = len(self._entries)
        self._whole = self._changed = self._commit_changed = False

    def _choose_base(self) -> None:
        for base in (self._next_base, self._base):
            if base is not None and self._entries[:2] == [base.before, base.last]:
                self._base = base
                return
        self._base = None

    def _append(self) -> None:
        assert self._descriptor is not None
        self._number += 1
        keep = self._entries[self._same - 1][1] if self._same else 0
        data = _line(
            {
                "n": self._number,
                **self._standing(),
                "keep": keep,
                "add": [_entry_to_json(entry) for entry in self._entries[self._same :]],
            }
        )
        _write(self._descriptor, data)
        os.fdatasync(self._descriptor)
        self._appended += len(data)

    def _rewrite(self, path: str) -> None:
        self._choose_base()
        everything = {
            "n": 1,
            **self._standing(),
            "state": self._base.state if self._base is not None else None,
            "entries": [_entry_to_json(entry) for entry in self._entries],
        }
        new = f"{path}.new"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(new, flags, 0o600)
        try:
            _write(descriptor, _line({"raft_journal": _FORMAT, **self._owner}) + _line(everything))
            os.fsync(descriptor)
            os.replace(new, path)
            _sync_directory(os.path.dirname(path))
        except OSError:
            os.close(descriptor)
            raise
        self._destroy()
        self._descriptor, self._number, self._appended = descriptor, 1, 0

    def _standing(self) -> dict[str, Any]:
        return {"term": self._term, "vote": self._vote, "commit": self._commit}


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _sync_directory(directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _line(record: dict[str, Any]) -> bytes:
    text = json.dumps(record, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _entry_to_json(entry: Entry) -> list[Any]:
    return [log_machine.unpack(entry[0]), entry[1], entry[2]]


# -- reading it back -------------------------------------------------------------------------


def recover(path: str, cluster: str, member: str) -> Recovered:
    """What the file says.  Raises OSError, and JournalDamaged."""
    with open(path, "rb") as file:
        data = file.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise JournalDamaged(f"it is larger than {LARGEST_FILE} bytes")
    records = list(_records(data))
    if len(records) < 2:
        raise JournalDamaged("its beginning is missing")
    _check_owner(records[0][0], cluster, member)
    found = _beginning(records[1][0])
    for number, (record, _) in enumerate(records[2:], 2):
        found = _follow(found, record, number)
    good = records[-1][1]
    return found._replace(number=len(records) - 1, good=good, torn=len(data) - good)


def _records(data: bytes) -> Iterator[tuple[dict[str, Any], int]]:
    """Each record with the place where it ends.  Raises JournalDamaged if a good one follows a bad one."""
    at = 0
    while at < len(data):
        end = data.find(b"\n", at) + 1
        record = _record(data[at : end - 1]) if end else None
        if record is None:
            break
        at = end
        yield record, at
    begin = data.find(b"\n", at) + 1
    while begin:
        end = data.find(b"\n", begin) + 1
        if end and _record(data[begin : end - 1]) is not None:
            raise JournalDamaged(f"the record at byte {at} is damaged, and good ones follow")
        begin = end


def _record(line: bytes) -> dict[str, Any] | None:
    text = line[_CHECKSUM + 1 :]
    if line[: _CHECKSUM + 1] != b"%08x " % zlib.crc32(text):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _check_owner(record: dict[str, Any], cluster: str, member: str) -> None:
    if record.get("raft_journal") != _FORMAT:
        raise JournalDamaged("it does not begin like a journal of this version")
    if (record.get("cluster"), record.get("member")) != (cluster, member):
        whose = f"member {record.get('member')} of cluster {record.get('cluster')}"
        raise JournalDamaged(f"it belongs to {whose}, and this is {member} of {cluster}")


def _beginning(record: dict[str, Any]) -> Recovered:
    if record.get("n") != 1 or "entries" not in record:
        raise JournalDamaged("its second record is not a beginning")
    entries = _entries(record["entries"])
    if not entries:
        raise JournalDamaged("it has no entries")
    base = None
    if record.get("state") is not None:
        if len(entries) < 2:
            raise JournalDamaged("its state goes with no entry")
        try:
            log_machine.from_json(record["state"])
        except BadCommand as fault:
            raise JournalDamaged(str(fault)) from fault
        base = Base(record["state"], entries[0], entries[1])
    return _with_standing(Recovered(base=base, entries=entries), record)


def _follow(found: Recovered, record: dict[str, Any], number: int) -> Recovered:
    keep = record.get("keep")
    if record.get("n") != number or not isinstance(keep, int):
        raise JournalDamaged(f"record {number} is not the next one")
    kept = tuple(entry for entry in found.entries if entry[1] <= keep)
    if not kept or kept[-1][1] != keep:
        raise JournalDamaged(f"record {number} continues what is not there")
    entries = kept + _entries(record.get("add"), kept[-1])
    return _with_standing(found._replace(entries=entries), record)


def _with_standing(found: Recovered, record: dict[str, Any]) -> Recovered:
    term: Any = record.get("term")
    vote: Any = record.get("vote")
    commit: Any = record.get("commit")
    if not (is_number(term) and is_number(commit) and (vote is None or is_name(vote))):
        raise JournalDamaged("a record has no term")
    return found._replace(term=term, vote=vote, commit=commit)


def _entries(value: object, after: Entry | None = None) -> tuple[Entry, ...]:
    """The entries of a record, each with the next index and no lesser term."""
    if not isinstance(value, list):
        raise JournalDamaged("a record has no entries")
    made: list[Entry] = []
    for each in value:
        entry = _entry(each)
        if after is not None and (entry[1] != after[1] + 1 or entry[2] < after[2]):
            raise JournalDamaged(f"entry {entry[1]} follows entry {after[1]}")
        made.append(entry)
        after = entry
    return tuple(made)


def _entry(value: object) -> Entry:
    if not isinstance(value, list) or len(value) != 3 or not all(map(is_number, value[1:])):
        raise JournalDamaged("an entry is not one")
    try:
        return log_machine.pack(value[0]), value[1], value[2]
    except BadCommand as fault:
        raise JournalDamaged(str(fault)) from fault


# -- the directory ---------------------------------------------------------------------------


def prepare(directory: str, cluster: str, member: str) -> tuple[str, ...]:
    """Make the directory, check it, and mend the journal in it; what was mended, for the log.

    Raises FatalStart for what a person must see to.  Waits two seconds at most for an earlier
    process to leave.
    """
    _make_directory(directory)
    lock_descriptor = lock(directory)
    try:
        return _mend(os.path.join(directory, FILE), cluster, member)
    finally:
        os.close(lock_descriptor)


def _make_directory(directory: str) -> None:
    try:
        above = os.path.dirname(directory.rstrip("/"))
        if above:
            make_directory(above)
        with contextlib.suppress(FileExistsError):
            os.mkdir(directory, 0o700)
            os.chmod(directory, 0o700)  # whatever the umask is
        found = os.stat(directory)
        intruding = intruder(directory)
    except OSError as error:
        raise FatalStart(
            f"Unable to make the directory of the cluster's log, {directory}: {error.strerror}."
            " Make it, or name another one (data_directory)"
        ) from error
    if not stat.S_ISDIR(found.st_mode):
        raise FatalStart(f"{directory} is to keep the cluster's log and is not a directory: move it away")
    if intruding:
        raise FatalStart(
            f"The cluster's log in {directory} could be forged: {intruding}."
            " Correct its owner or mode (chmod go-w), or name another directory (data_directory)"
        )


def _mend(path: str, cluster: str, member: str) -> tuple[str, ...]:
    try:
        found = recover(path, cluster, member)
        if not found.torn:
            return ()
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.ftruncate(descriptor, found.good)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return ()
    except JournalDamaged as fault:
        raise FatalStart(
            f"The cluster's log in {path} cannot be used: {fault}. Move the file away;"
            " the other members will fill this one again"
        ) from fault
    except OSError as error:
        raise FatalStart(f"Unable to read the cluster's log in {path}: {error.strerror}") from error
    return (f"{path}: the last record was torn ({found.torn} bytes), as by a power cut; it was cut off",)


def lock(directory: str) -> int:
    """Keep all other processes away from the journal, as long as the descriptor is open.

    Raises FatalStart if the directory cannot be written, or is in use after two seconds.
    """
    path = os.path.join(directory, LOCK)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise FatalStart(
            f"Unable to write in the directory of the cluster's log, {directory}: {error.strerror}."
            " Give it to the user that this program runs as, or name another one (data_directory)"
        ) from error
    deadline = time.monotonic() + _LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except OSError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise FatalStart(
                    f"{directory} is in use: the same member runs twice, or two have one directory"
                ) from None
        time.sleep(_LOCK_AGAIN_S)
