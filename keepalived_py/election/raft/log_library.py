"""PySyncObj as it is used here: its algorithm, with our journal, our dumps and our commands.

The library makes its journal, its dump file and the commands' decoding itself, in its
private attributes, and with pickles.  Nothing in it is replaced: this subclass has
attributes of the same names, which the library's own code then finds.  If a later
version names them otherwise, it would go its own ways without telling; so each of them
notes that it was used, and the constructor raises if one was not.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable
from typing import Any

from keepalived_py.base.errors import FatalStart
from keepalived_py.election.raft import log_machine
from keepalived_py.election.raft.journal import Base, Entry, Journal
from keepalived_py.election.raft.library import SERIALIZER_STATE, Node, SyncObj, SyncObjConf
from keepalived_py.election.raft.log_machine import BadCommand, LogState
from keepalived_py.election.raft.log_transport import DUMP_PIECE, LogTransport

# The library's timers, in seconds.  Who leads is the lease's business: these only bound how long
# a leader goes on whom nobody answers, and how often members hear from it.
PERIOD_S = 0.2
_PATIENCE_S = 0.7
_PATIENCE_AT_MOST_S = 0.9
_FALLBACK_S = 1.0
# After so many entries the log is cut, and their outcome kept instead.
MOST_ENTRIES = 256
_BATCH_BYTES = 16 * 1024
_MOST_COMMANDS = 256
_NEVER_S = 1e12


class Dumps:
    """What the library's serializer does, on the journal: the state in place of old entries.

    A member that is farther behind than the log reaches gets the state in pieces.  A piece that is
    missing makes the others worthless; the leader begins anew when it is asked.
    """

    def __init__(self, journal: Journal, state: Callable[[], LogState], restore: Callable[[LogState], None]):
        self._journal = journal
        self._state = state
        self._restore = restore
        self._made = journal.base
        self._news: int | None = None
        self._sending: dict[Node, tuple[str, int]] = {}
        self._coming: tuple[int, str] = (0, "")

    # The names are the library's.

    def checkSerializing(self) -> tuple[int, int | None]:
        """Whether a dump has been made since the last look."""
        news, self._news = self._news, None
        if news is None:
            return SERIALIZER_STATE.NOT_SERIALIZING, None
        return SERIALIZER_STATE.SUCCESS, news

    def serialize(self, data: tuple[Any, Entry, Entry, Any], index: int) -> None:
        """Keep the present state, which is that after the later of the two entries in `data`."""
        _, last, before, _ = data
        self._made = Base(log_machine.to_json(self._state()), before, last)
        self._journal.propose(self._made)
        self._sending = {}
        self._news = index

    def deserialize(self) -> tuple[None, Entry, Entry, set[Node]]:
        """Go back to the dump; the two entries that the log goes on from."""
        assert self._made is not None
        self._restore(log_machine.from_json(self._made.state))
        return None, self._made.last, self._made.before, set()

    def getTransmissionData(self, node: Node) -> tuple[dict[str, Any], bool, bool] | None:
        """The next piece for a member: itself, whether it is the first one, and the last."""
        if self._made is None:
            return None
        text, at = self._sending.get(node) or (_dump_text(self._made), 0)
        piece = text[at : at + DUMP_PIECE]
        is_last = at + len(piece) == len(text)
        if is_last:
            self._sending.pop(node, None)
        else:
            self._sending[node] = (text, at + len(piece))
        value = {"sum": zlib.crc32(text.encode()), "at": at, "all": len(text), "text": piece}
        return value, at == 0, is_last

    def setTransmissionData(self, received: tuple[dict[str, Any], bool, bool] | None) -> bool:
        """A piece came; whether the dump is complete now, and good."""
        if received is None:
            return False
        piece = received[0]
        if piece["at"] == 0:
            self._coming = (piece["sum"], "")
        total, text = self._coming
        if piece["sum"] != total or piece["at"] != len(text):
            return False
        text += piece["text"]
        self._coming = (total, text)
        if len(text) < piece["all"]:
            return False
        self._coming = (0, "")
        base = _dump_from_text(text) if zlib.crc32(text.encode()) == total else None
        if base is None or self._is_known(base):
            return False
        self._made = base
        self._journal.propose(base)
        return True

    def _is_known(self, base: Base) -> bool:
        """Whether the log here has come to the end of the dump already, and perhaps farther."""
        _, index, term = base.last
        entry = self._journal.find(index)
        return index <= self._journal.getRaftCommitIndex() or (entry is not None and entry[2] == term)

    def cancelTransmisstion(self, node: Node) -> None:
        """A member has gone; it gets the next dump from its beginning."""
        self._sending.pop(node, None)


def _dump_text(base: Base) -> str:
    entries = [
        [log_machine.unpack(command), index, term] for command, index, term in (base.before, base.last)
    ]
    return json.dumps({"state": base.state, "entries": entries}, separators=(",", ":"))


def _dump_from_text(text: str) -> Base | None:
    """The dump in `text`; None: it is none."""
    try:
        found = json.loads(text)
        log_machine.from_json(found["state"])
        (one, at, term), (two, next_at, next_term) = found["entries"]
        before, last = (log_machine.pack(one), at, term), (log_machine.pack(two), next_at, next_term)
    except (BadCommand, ValueError, TypeError, KeyError, RecursionError):
        return None
    if not all(map(log_machine.is_number, (at, term, next_at, next_term))):
        return None
    return Base(found["state"], before, last) if next_at == at + 1 and term <= next_term else None


class ReplicatedLog(SyncObj):  # type: ignore[misc]  # the library has no types
    """One member's log.  `decided` is called with each command that is certain, in order.

    Raises FatalStart if the library is not of the make that this was written for.
    """

    def __init__(
        self,
        transport: LogTransport,
        journal: Journal,
        state: Callable[[], LogState],
        restore: Callable[[LogState], None],
        decided: Callable[[log_machine.Command], None],
    ) -> None:
        self._journal = journal
        self._dumps = Dumps(journal, state, restore)
        self._decided = decided
        self._used: set[str] = set()
        # The library looks for a dump at its start if there is a file of that name; ours is in the journal.
        dump = journal.path if journal.base is not None else None
        conf = SyncObjConf(
            autoTick=False,
            raftMinTimeout=_PATIENCE_S,
            raftMaxTimeout=_PATIENCE_AT_MOST_S,
            appendEntriesPeriod=PERIOD_S,
            leaderFallbackTimeout=_FALLBACK_S,
            appendEntriesUseBatch=False,
            appendEntriesBatchSizeBytes=_BATCH_BYTES,
            commandsQueueSize=_MOST_COMMANDS,
            commandsWaitLeader=False,
            logCompactionMinEntries=MOST_ENTRIES,
            logCompactionMinTime=_NEVER_S,
            dynamicMembershipChange=False,
            fullDumpFile=dump,
        )
        super().__init__(transport.own_node, transport.other_nodes, conf, transport=transport)
        if self._used != {"journal", "dumps"} or not hasattr(SyncObj, "_SyncObj__doApplyCommand"):
            raise FatalStart("this version of PySyncObj keeps its log in another way; install 0.3.17")

    def submit(self, command: log_machine.Command, outcome: Callable[[Any, int], None]) -> None:
        """Ask the leader for a command; `outcome` gets the library's reason (0: done), or never comes."""
        self._applyCommand(log_machine.pack(command), outcome)

    def close(self) -> None:
        """End it, and close what the library leaves open: the pipe by which it wakes its own loop."""
        self.destroy()
        for descriptor in vars(self._SyncObj__pipeNotifier).values():
            if isinstance(descriptor, int):
                os.close(descriptor)

    @property
    def leader(self) -> str | None:
        """Who leads the log, as far as this member knows."""
        node = self._getLeader()
        return None if node is None else node.id

    @property
    def is_up_to_date(self) -> bool:
        """Whether everything was done here that was certain before this member began.

        It has come to where a leader was, and that is an entry of the leader's own term, with which
        all that was before it became certain.
        """
        entry = self._journal.find(self.raftLastApplied)
        return entry is not None and entry[2] == self.raftCurrentTerm > 0 and bool(self.isReady())

    # -- what the library finds in place of its own -------------------------------------------

    @property
    def _SyncObj__raftLog(self) -> Journal:
        return self._journal

    @_SyncObj__raftLog.setter
    def _SyncObj__raftLog(self, value: object) -> None:
        self._used.add("journal")

    @property
    def _SyncObj__serializer(self) -> Dumps:
        return self._dumps

    @_SyncObj__serializer.setter
    def _SyncObj__serializer(self, value: object) -> None:
        self._used.add("dumps")

    def _SyncObj__doApplyCommand(self, made: bytes) -> None:
        command = log_machine.unpack(made)
        if command is not None:
            self._decided(command)
