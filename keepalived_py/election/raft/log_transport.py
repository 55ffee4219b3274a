"""The messages of the replicated log between the members, in a form of our own.

The library hands its messages to a `Transport` as dictionaries and would have them
pickled.  Here each kind is written out as JSON, field by field, and read back with
every field checked; what is not listed here neither leaves nor gets in.  The commands
inside travel as the JSON they are made of.

Datagrams get lost, come twice, and overtake each other; the library was written for a
connection.  So what it leaves out is added on the way: a count of entries is told with
the term it belongs to, a vote counts once, and nobody is believed to have more entries
than there are.

Who may lead the log follows the log's lease and not the library's timers: the library
believes that it is connected to the others only while this member has the lease, and
hears of a candidate only if it is the one that this member promised the lease to.  The
terms therefore grow only with the lease, and a member that comes back deposes nobody.

Raft elects nobody who lacks an entry that may be certain already.  A holder of the
lease that lacks one is told so (`behind`), and asks whoever told it to lead for a
moment (`stand_in`), until it has been filled; the one that stands in names it in its
own request for votes.

A member whose term is ahead (it was cut off, and asked for votes) takes nothing from a
leader of an older one, and the library would not say so.  Here it does (`stale`), and
the leader is elected again in a newer term.

Nothing leaves before `flush`, which comes after the journal is on the disk.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from keepalived_py.election.raft import log_machine
from keepalived_py.election.raft.journal import Journal
from keepalived_py.election.raft.library import Node, Transport
from keepalived_py.election.raft.log_machine import is_name, is_number
from keepalived_py.wire.raft import LONGEST_LOG_PART

LONGEST_DUMP = 4 * 1024 * 1024
DUMP_PIECE = 20 * 1024
# A term may be ahead of ours by so many elections; a made-up one cannot use up the numbers.
_FARTHEST_TERM = 1 << 32
_MOST_ENTRIES = 2048
_MOST_QUEUED = 256
_GREATEST_ERROR = 7

Message = dict[str, Any]


class BadPart(ValueError):
    """Not a message of the log."""


# -- to bytes ----------------------------------------------------------------------------


def encode(message: Message) -> bytes:
    """The bytes of a message; raises BadPart if it is none that may leave, or is too long.

    Of entries that would be too long together the last ones stay here; the others will ask for them.
    """
    kind: Any = message.get("type")
    if kind not in _FIELDS:
        raise BadPart(f"the log has no message {kind}")
    if kind != "append_entries":
        fields = {name: message[name] for name in _FIELDS[kind] if name in message}
        if "command" in fields:
            fields["command"] = log_machine.unpack(fields["command"])
        return _fitting({"type": kind, **fields})
    if "transmission" in message:
        raise BadPart("an entry is too long")
    made = {"type": kind, "term": message["term"], "commit_index": message["commit_index"]}
    if "prevLogIdx" not in message:
        return _fitting({**made, "dump": _dump_to_json(message["serialized"])})
    made["prev"] = [message["prevLogIdx"], message["prevLogTerm"]]
    entries = [[log_machine.unpack(command), index, term] for command, index, term in message["entries"]]
    while True:
        try:
            return _fitting({**made, "entries": entries})
        except BadPart:
            if not entries:
                raise
            entries = entries[: len(entries) // 2]


def _dump_to_json(transmission: Any) -> Any:
    return [transmission[0], transmission[1], transmission[2]] if transmission else None


def _fitting(value: Mapping[str, Any]) -> bytes:
    made = json.dumps(value, separators=(",", ":")).encode()
    if len(made) > LONGEST_LOG_PART:
        raise BadPart(f"{len(made)} bytes are too long")
    return made


# -- from bytes ----------------------------------------------------------------------------


def decode(body: bytes) -> Message:
    """The message in these bytes, in the library's form; raises BadPart."""
    if len(body) > LONGEST_LOG_PART:
        raise BadPart("too long")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as fault:
        raise BadPart("no JSON") from fault
    if not isinstance(found, dict) or not isinstance(found.get("type"), str) or found["type"] not in _FIELDS:
        raise BadPart("unknown message")
    kind = found["type"]
    if kind == "append_entries":
        return _append_entries(found)
    fields = _FIELDS[kind]
    if not set(found) - {"type"} <= set(fields):
        raise BadPart(f"{kind}: an unknown field")
    for name, good in fields.items():
        if name in found and not good(found[name]):
            raise BadPart(f"{kind}: {name} is wrong")
        if name not in found and name not in _OPTIONAL:
            raise BadPart(f"{kind}: no {name}")
    if kind == "apply_command_response" and ("error" in found) == ("log_idx" in found):
        raise BadPart("neither an error nor a place")
    if ("log_idx" in found) != ("log_term" in found):
        raise BadPart("half a place")
    return found


def _is_truth(value: object) -> bool:
    return isinstance(value, bool)


def _is_command(value: object) -> bool:
    try:
        return isinstance(value, list) and len(log_machine.pack(value)) > 0
    except log_machine.BadCommand:
        return False


def _is_error(value: object) -> bool:
    return is_number(value) and isinstance(value, int) and 0 < value <= _GREATEST_ERROR


_FIELDS: Mapping[str, Mapping[str, Callable[[object], bool]]] = {
    "append_entries": {},
    "request_vote": {
        "term": is_number,
        "last_log_index": is_number,
        "last_log_term": is_number,
        "for": is_name,
    },
    "response_vote": {"term": is_number},
    "next_node_idx": {
        "term": is_number,
        "next_node_idx": is_number,
        "reset": _is_truth,
        "success": _is_truth,
    },
    "apply_command": {"command": _is_command, "request_id": is_number},
    "apply_command_response": {
        "request_id": is_number,
        "error": _is_error,
        "log_idx": is_number,
        "log_term": is_number,
    },
    "behind": {},
    "stand_in": {},
    "stale": {"term": is_number},
}
_OPTIONAL = frozenset({"for", "error", "log_idx", "log_term"})


def _append_entries(found: Message) -> Message:
    term, commit = found.get("term"), found.get("commit_index")
    if not (is_number(term) and is_number(commit)):
        raise BadPart("append_entries: no term")
    made: Message = {"type": "append_entries", "term": term, "commit_index": commit}
    if set(found) == {"type", "term", "commit_index", "dump"}:
        return {**made, "serialized": _dump(found["dump"])}
    if set(found) != {"type", "term", "commit_index", "prev", "entries"}:
        raise BadPart("append_entries: other fields")
    prev, entries = found["prev"], found["entries"]
    if (
        not isinstance(prev, list)
        or len(prev) != 2
        or not all(map(is_number, prev))
        or prev[1] > found["term"]
    ):
        raise BadPart("append_entries: prev is wrong")
    if not isinstance(entries, list) or len(entries) > _MOST_ENTRIES:
        raise BadPart("append_entries: entries are wrong")
    made["prevLogIdx"], made["prevLogTerm"] = prev
    made["entries"] = _entries(entries, prev, found["term"])
    return made


def _entries(entries: list[Any], prev: list[int], greatest: int) -> list[tuple[bytes, int, int]]:
    index, term = prev
    made = []
    for each in entries:
        if not isinstance(each, list) or len(each) != 3 or not all(map(is_number, each[1:])):
            raise BadPart("append_entries: an entry is wrong")
        if each[1] != index + 1 or not term <= each[2] <= greatest:
            raise BadPart("append_entries: an entry is out of order")
        _, index, term = each
        try:
            made.append((log_machine.pack(each[0]), index, term))
        except log_machine.BadCommand as fault:
            raise BadPart("append_entries: a command is wrong") from fault
    return made


def _dump(value: object) -> Any:
    """A piece of a dump, as `Dumps` makes it, and whether it is the first and the last one."""
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 3 or not all(map(_is_truth, value[1:])):
        raise BadPart("append_entries: the dump is wrong")
    piece = value[0]
    good = (
        isinstance(piece, dict)
        and set(piece) == {"sum", "at", "all", "text"}
        and all(is_number(piece[name]) for name in ("sum", "at", "all"))
        and isinstance(piece["text"], str)
        and len(piece["text"]) <= DUMP_PIECE
        and piece["at"] + len(piece["text"]) <= piece["all"] <= LONGEST_DUMP
    )
    if not good:
        raise BadPart("append_entries: a piece of the dump is wrong")
    return piece, value[1], value[2]


# -- the transport -----------------------------------------------------------------------


class LogTransport(Transport):  # type: ignore[misc]  # the library has no types
    """Messages of the library to `out`, and those of the others to the library.

    `refused`: why messages were not taken, with their numbers.  `behind` and `asked_to_lead` are
    called with the member that says so.
    """

    def __init__(
        self, own: str, others: tuple[str, ...], journal: Journal, out: Callable[[str, bytes], None]
    ):
        self._own = Node(own)
        self._others = {each: Node(each) for each in others}
        super().__init__(None, self._own, set(self._others.values()))
        self._journal = journal
        self._out = out
        self._queue: list[tuple[str, bytes]] = []
        self._connected: frozenset[str] = frozenset()
        self._holder: str | None = None
        self._stands_in_for: str | None = None
        self._votes: tuple[int, set[str]] = (0, set())
        self.behind: Callable[[str], None] = lambda member: None
        self.asked_to_lead: Callable[[str], None] = lambda member: None
        self.refused: dict[str, int] = {}

    @property
    def own_node(self) -> Node:
        """This member, as the library calls it."""
        return self._own

    @property
    def other_nodes(self) -> set[Node]:
        """The others, as the library calls them."""
        return set(self._others.values())

    def follow(self, holder: str | None, connected: frozenset[str], stands_in_for: str | None) -> None:
        """From now on: who may lead, and which members the library shall believe to be connected to."""
        self._holder, self._stands_in_for = holder, stands_in_for
        for member in (connected - self._connected) & frozenset(self._others):
            self._onNodeConnected(self._others[member])
        for member in self._connected - connected:
            self._onNodeDisconnected(self._others[member])
        self._connected = connected & frozenset(self._others)

    def campaign(self, leader: Node | None, term: int) -> None:
        """Make the library ask for votes in its next tick, as if its present leader had asked it to."""
        self._onMessageReceived(leader, {"type": "timeout_now", "term": term})

    def ask_to_lead(self, member: str) -> None:
        """This member has the lease and lacks entries: the other one shall lead for a moment."""
        self._put(member, {"type": "stand_in"})

    # -- out ---------------------------------------------------------------------------------

    def send(self, node: Node, message: Message) -> bool:
        """The library's way out."""
        kind = message["type"]
        if kind == "next_node_idx":
            message = {**message, "term": self._journal.term}
            if message["reset"]:
                # The library goes back entry by entry, one in each period.  What is certain is the same
                # everywhere, so a long end that is not can be gone back over in one step.
                certain = self._journal.getRaftCommitIndex()
                message["next_node_idx"] = min(message["next_node_idx"], certain + 1)
        elif kind == "request_vote" and self._stands_in_for is not None:
            message = {**message, "for": self._stands_in_for}
        return self._put(node.id, message)

    def _put(self, member: str, message: Message) -> bool:
        if member not in self._others or len(self._queue) >= _MOST_QUEUED:
            return False
        try:
            self._queue.append((member, encode(message)))
        except (BadPart, log_machine.BadCommand) as fault:
            self._refuse(str(fault))
            return False
        return True

    def flush(self) -> None:
        """Send what has gathered; the journal is on the disk."""
        queue, self._queue = self._queue, []
        for member, body in queue:
            self._out(member, body)

    def forget(self) -> None:
        """Send nothing of what has gathered: what it promises could not be kept."""
        self._queue = []

    # -- in ----------------------------------------------------------------------------------

    def heard(self, member: str, body: bytes) -> None:
        """A message of another member, authentic or not; what is wrong with it is counted."""
        node = self._others.get(member)
        try:
            if node is None:
                raise BadPart("not a member")
            message = decode(body)
            if message.get("term", 0) > self._journal.term + _FARTHEST_TERM:
                raise BadPart("a term far ahead")
        except BadPart as fault:
            self._refuse(str(fault))
            return
        _DELIVERED[message["type"]](self, node, message)

    def _refuse(self, why: str) -> None:
        if why in self.refused or len(self.refused) < 32:
            self.refused[why] = self.refused.get(why, 0) + 1

    def _hear(self, node: Node, message: Message) -> None:
        self._onMessageReceived(node, message)

    def _hear_entries(self, node: Node, message: Message) -> None:
        if message["term"] < self._journal.term:
            self._put(node.id, {"type": "stale", "term": self._journal.term})
            return
        self._onMessageReceived(node, message)
        self._journal.settle()

    def _hear_stale(self, node: Node, message: Message) -> None:
        """A request for votes with no entry to show: the library takes its term, and votes for nobody."""
        leads = self._holder == self._own.id or self._stands_in_for is not None
        if leads and message["term"] > self._journal.term:
            hopeless = {"type": "request_vote", "last_log_index": 0, "last_log_term": -1}
            self._onMessageReceived(node, {**hopeless, "term": message["term"]})

    def _hear_candidate(self, node: Node, message: Message) -> None:
        if self._holder is None or self._holder not in (node.id, message.get("for")):
            return
        _, last, last_term = self._journal.last
        self._onMessageReceived(node, message)
        if (message["last_log_term"], message["last_log_index"]) < (last_term, last):
            self._put(node.id, {"type": "behind"})

    def _hear_vote(self, node: Node, message: Message) -> None:
        term, voters = self._votes
        if message["term"] != term:
            voters = set()
        if node.id in voters or message["term"] != self._journal.term:
            return
        self._votes = (message["term"], voters | {node.id})
        self._onMessageReceived(node, message)

    def _hear_place(self, node: Node, message: Message) -> None:
        if message["term"] != self._journal.term:
            return
        first = 1 if self._journal.base is not None else 2
        place = max(first, min(message["next_node_idx"], self._journal.last[1] + 1))
        self._onMessageReceived(node, {**message, "next_node_idx": place})

    def _hear_command(self, node: Node, message: Message) -> None:
        self._onMessageReceived(node, {**message, "command": log_machine.pack(message["command"])})

    def _hear_behind(self, node: Node, message: Message) -> None:
        if self._holder == self._own.id:
            self.behind(node.id)

    def _hear_request(self, node: Node, message: Message) -> None:
        if self._holder == node.id:
            self.asked_to_lead(node.id)


_DELIVERED: Mapping[str, Callable[[LogTransport, Node, Message], None]] = {
    "append_entries": LogTransport._hear_entries,
    "request_vote": LogTransport._hear_candidate,
    "response_vote": LogTransport._hear_vote,
    "next_node_idx": LogTransport._hear_place,
    "apply_command": LogTransport._hear_command,
    "apply_command_response": LogTransport._hear,
    "behind": LogTransport._hear_behind,
    "stand_in": LogTransport._hear_request,
    "stale": LogTransport._hear_stale,
}
