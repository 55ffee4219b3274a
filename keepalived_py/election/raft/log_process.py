"""The keeper's process: the replicated log, the control socket, and the file for readers.

It is forked by the electing process (`keeper`), and has a loop of its own, in which a
disk may be slow without delaying a heartbeat.  Messages of the log come and go through
the electing process, which owns the network; in return it says who may lead.

A round of the loop: take what has come, let the library tick, put the journal on the
disk, and only then send.  If the disk refuses, everything that was to be sent is thrown
away, as if it had been lost on the way, and the journal is opened anew some seconds
later; until then the cluster does without this member's memory.

Commands go to whoever leads the log, and are asked for again until they are certain
(they may come twice) or their time is over.
"""

from __future__ import annotations

import gc
import logging
import os
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from keepalived_py.base.errors import FatalStart
from keepalived_py.base.names import LeaseName, MemberId
from keepalived_py.election.raft import control, journal, log_machine
from keepalived_py.election.raft.journal import Journal, JournalDamaged
from keepalived_py.election.raft.log_library import ReplicatedLog
from keepalived_py.election.raft.log_machine import Command, LogState
from keepalived_py.election.raft.log_transport import LogTransport
from keepalived_py.election.raft.views import Holding
from keepalived_py.status import raft_snapshot
from keepalived_py.system.helper import tell, told
from keepalived_py.system.state_files import make_directory

# Somebody waits for the answer, two seconds at most.
ANSWER_S = 1.5
_REMEMBER_S = 60.0
_MOST_WANTED = 64
_AGAIN_S = 0.1
_UNANSWERED_S = 0.7
# After the first request for votes; twice as long after each further one, for slow disks.
_CAMPAIGN_AGAIN_S = 0.15
_CAMPAIGN_AGAIN_AT_MOST_S = 1.2
_FILLED_AFTER_S = 1.0
_STANDS_IN_S = 1.5
_BUSY_TICK_S = 0.1
_IDLE_TICK_S = 1.0
_REOPEN_S = 5.0
_BETWEEN_SNAPSHOTS_S = 0.1
_AT_ONCE = 64
_LONGEST_HISTORY = 40_000
_NICE = 10


class Settings(NamedTuple):
    """What the process must know of the cluster.  `members`: whether each is a witness."""

    cluster: str
    own: str
    members: dict[str, bool]
    directory: str
    run_directory: str


class Wanted:
    """A command on its way.  `outcome`: None until it is known; "": it is certain; else why it is not."""

    def __init__(self, command: Command, until: float) -> None:
        self.command = command
        self.until = until
        self.again = 0.0
        self.outcome: str | None = None


class Log:
    """This member's log: library, journal and state.  Raises FatalStart, JournalDamaged and OSError.

    `out` sends a message to a member, `say` writes a line.
    """

    def __init__(
        self, settings: Settings, out: Callable[[str, bytes], None], say: Callable[[str], None]
    ) -> None:
        self._own = settings.own
        self._say = say
        self._unknown: set[str] = set()
        self.state = LogState()
        self._lock: int | None = None
        path = None
        if settings.directory:
            for line in journal.prepare(settings.directory, settings.cluster, settings.own):
                say(line)
            self._lock = journal.lock(settings.directory)
            path = os.path.join(settings.directory, journal.FILE)
        self._journal = Journal(path, settings.cluster, settings.own)
        others = tuple(each for each in settings.members if each != settings.own)
        self._transport = LogTransport(settings.own, others, self._journal, out)
        self._transport.behind = self._is_behind
        self._transport.asked_to_lead = self._lead_for
        self._library = ReplicatedLog(
            self._transport, self._journal, lambda: self.state, self._restore, self._decided
        )
        self._leads = False
        self._holder: str | None = None
        self._live: frozenset[str] = frozenset()
        self._campaign_at = 0.0
        self._campaign_again = _CAMPAIGN_AGAIN_S
        self._asked_at = 0.0
        self._stands_in: tuple[str, float] | None = None
        self.knows = False

    @property
    def term(self) -> int:
        """The term."""
        return self._journal.term

    @property
    def index(self) -> int:
        """The last entry's."""
        return self._journal.last[1]

    @property
    def leader(self) -> str | None:
        """Who leads, if it is reachable."""
        leader = self._library.leader
        if leader == self._own:
            # The library notices a second later that it has lost the lease.
            return leader if self._leads or self._stands_in is not None else None
        return leader if leader in self._live else None

    @property
    def refused(self) -> Mapping[str, int]:
        """Messages that were not taken, by reason."""
        return self._transport.refused

    def close(self) -> None:
        """Give up the journal."""
        self._library.close()
        if self._lock is not None:
            os.close(self._lock)

    def follow(self, leads: bool, promised_to: str | None, live: frozenset[str]) -> None:
        """What the electing process knows: see `View`."""
        if leads and not self._leads:
            self._campaign_at, self._campaign_again = 0.0, _CAMPAIGN_AGAIN_S
        self._leads, self._live = leads, live
        self._holder = self._own if leads else promised_to
        self._connect()

    def heard(self, member: str, body: bytes) -> None:
        """A message of another member."""
        self._transport.heard(member, body)

    def submit(self, command: Command, outcome: Callable[[Any, int], None]) -> None:
        """See `ReplicatedLog.submit`."""
        self._library.submit(command, outcome)

    def round(self, now: float) -> float:
        """Let the library work, put its journal on the disk, and send.  When to come again.

        Raises OSError if the disk refuses; then nothing was sent.
        """
        if self._stands_in is not None and self._stands_in[1] <= now:
            self._stands_in = None
            self._connect()
        if self._may_campaign() and now >= self._campaign_at and not self.is_leader():
            self._campaign_at = now + self._campaign_again
            self._campaign_again = min(2 * self._campaign_again, _CAMPAIGN_AGAIN_AT_MOST_S)
            self._transport.campaign(self._library._getLeader(), self._journal.term)
        # What is certain by a first tick is sent and applied in a second.
        self._library.doTick(0)
        self._library.doTick(0)
        self.knows = self.knows or self._library.is_up_to_date
        self._journal.sync()
        self._transport.flush()
        return now + (_BUSY_TICK_S if self._leads or self._stands_in is not None else _IDLE_TICK_S)

    def _may_campaign(self) -> bool:
        return self._leads and (bool(self._live) or not self._transport.other_nodes)

    def is_leader(self) -> bool:
        """Whether this member leads, as far as it knows."""
        return self._library.leader == self._own

    def _connect(self) -> None:
        stands_in_for = self._stands_in[0] if self._stands_in is not None else None
        active = self._leads or stands_in_for is not None
        self._transport.follow(self._holder, self._live if active else frozenset(), stands_in_for)

    def _is_behind(self, member: str) -> None:
        """The member knows entries that this one lacks: let it lead, and be filled."""
        now = time.monotonic()
        if self._leads and not self.is_leader() and now >= self._asked_at + _FILLED_AFTER_S:
            self._asked_at = now
            self._campaign_at, self._campaign_again = now + _FILLED_AFTER_S, _CAMPAIGN_AGAIN_S
            self._transport.ask_to_lead(member)

    def _lead_for(self, member: str) -> None:
        self._stands_in = (member, time.monotonic() + _STANDS_IN_S)
        self._connect()
        if not self.is_leader():
            self._transport.campaign(self._library._getLeader(), self._journal.term)

    def _decided(self, command: Command) -> None:
        state = log_machine.apply(self.state, command)
        if state is not None:
            self.state = state
        elif command[0] not in self._unknown and len(self._unknown) < 16:
            self._unknown.add(command[0])
            self._say(f"The cluster's log has a command that this version does not know: {command[0]:.40}")

    def _restore(self, state: LogState) -> None:
        self.state = state


class _Lines(logging.Handler):
    """The library's own complaints, among ours.

    Not that it cuts off what it has applied: with each late message it does, and the journal puts that back.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if not text.startswith("truncating already-applied"):
            self._say(f"PySyncObj: {text:.300}")


class LogProcess:
    """The loop.  `connection` leads to the electing process."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._settings: Settings | None = None
        self._log: Log | None = None
        self._why_none = "the member is starting"
        self._reopen_at: float | None = None
        self._control: control.ControlServer | None = None
        self._control_at: float | None = None
        self._leader: str | None = None
        self._view: dict[str, Any] | None = None
        self._wanted: deque[Wanted] = deque()
        self._orders_told: dict[str, Any] | None = None
        self._knows = False
        self._shown: dict[str, Any] | None = None
        self._shown_at = 0.0
        self._round_at = 0.0
        logger = logging.getLogger("pysyncobj")
        logger.handlers, logger.propagate = [_Lines(self._say)], False

    def run(self) -> None:
        """Until the other side leaves."""
        while self._turn(with_control=True):
            pass
        self._close()

    def _say(self, text: str) -> None:
        tell(self._connection, {"log": text})

    # -- a round -----------------------------------------------------------------------------

    def _turn(self, *, with_control: bool) -> bool:
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        clients = self._control.descriptors() if self._control is not None and with_control else []
        for descriptor in clients:
            poll.register(descriptor, select.POLLIN)
        until = self._next_at()
        if with_control and self._control_at is not None:
            until = min(until, self._control_at)
        ready = [each for each, _ in poll.poll(max(0.0, until - time.monotonic()) * 1000)]
        if self._connection.fileno() in ready and not self._listen():
            return False
        self._work(time.monotonic())
        if with_control:
            for descriptor in ready:
                if descriptor in clients and self._control is not None:
                    self._control.ready(descriptor)
            if self._control_at is not None and time.monotonic() >= self._control_at:
                self._open_control()
        return True

    def _next_at(self) -> float:
        times = [self._round_at, self._reopen_at]
        if self._log is not None:
            times += [each.again for each in self._wanted]
        if self._shown_due():
            times.append(self._shown_at + _BETWEEN_SNAPSHOTS_S)
        return min(each for each in times if each is not None)

    def _listen(self) -> bool:
        """Take what has come, so many messages at most; False: the other side has left."""
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        for _ in range(_AT_ONCE):
            message = told(self._connection)
            if message is None:
                return False
            self._hear(message)
            if not poll.poll(0):
                break
        return True

    def _hear(self, message: Mapping[str, Any]) -> None:
        if "part" in message:
            if self._log is not None:
                self._log.heard(message["from"], message["part"].encode())
        elif "view" in message:
            self._view = message["view"]
            self._follow()
        elif "hold" in message:
            lease, member, token, reason = message["hold"]
            entry = Holding(LeaseName(lease), MemberId(member), token, reason)
            self._want(log_machine.hold(entry, int(time.time())), _REMEMBER_S)
        elif "cluster" in message:
            self._knows = self._knows or message["known"]
            self._begin(Settings(*message["cluster"]))

    def _work(self, now: float) -> None:
        self._round_at = now + _IDLE_TICK_S
        if self._reopen_at is not None and now >= self._reopen_at:
            self._open()
        if self._log is not None:
            try:
                self._round_at = self._log.round(now)
            except OSError as error:
                self._lose(f"the disk refuses the cluster's log: {error.strerror}")
            else:
                self._push(now)
        self._tell_orders()
        if self._shown_due() and now >= self._shown_at + _BETWEEN_SNAPSHOTS_S:
            self._show(now)

    # -- the log -----------------------------------------------------------------------------

    def _begin(self, settings: Settings) -> None:
        if settings == self._settings:
            return
        before, self._settings = self._settings, settings
        if before is None or before.run_directory != settings.run_directory:
            # Not now: somebody may be waiting at the old one for the end of what is under way.
            self._control_at = 0.0
        self._open()

    def _open(self) -> None:
        assert self._settings is not None
        if self._log is not None:
            self._log.close()
            self._log = None
        self._reopen_at = None
        try:
            self._log = Log(self._settings, self._send, self._say)
        except (FatalStart, JournalDamaged, OSError) as fault:
            self._lose(str(fault))
            return
        self._follow()
        self._round_at = 0.0

    def _lose(self, why: str) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None
        self._why_none = why
        self._reopen_at = time.monotonic() + _REOPEN_S
        self._say(f"The cluster's log is not kept here for now: {why}")

    def _follow(self) -> None:
        if self._log is not None and self._view is not None:
            view = self._view
            self._log.follow(view["leads"], view["promised_to"], frozenset(view["live"]))

    def _send(self, member: str, body: bytes) -> None:
        tell(self._connection, {"to": member, "part": body.decode()})

    def _tell_orders(self) -> None:
        """An older outcome must not be told after a newer one: not before this log has caught up.

        To somebody who knows nothing yet the older one is told at once.
        """
        if self._log is None or (self._knows and not self._log.knows):
            return
        orders = log_machine.orders_to_json(self._log.state.orders)
        if orders != self._orders_told:
            self._orders_told, self._knows = orders, True
            tell(self._connection, {"orders": orders})

    # -- commands ------------------------------------------------------------------------------

    def _want(self, command: Command, for_s: float) -> Wanted:
        wanted = Wanted(command, time.monotonic() + for_s)
        if len(self._wanted) >= _MOST_WANTED:
            self._wanted.popleft().outcome = "there are too many orders at once"
        self._wanted.append(wanted)
        return wanted

    def _push(self, now: float) -> None:
        """Ask for what is wanted and was not asked for lately."""
        assert self._log is not None and self._settings is not None
        if self._log.is_leader() and self._log.knows:
            ids = sorted(self._settings.members)
            if list(self._log.state.members) != ids and not any(
                w.command[0] == "members" for w in self._wanted
            ):
                self._want(log_machine.members(ids), _REMEMBER_S)
        if self._log.leader != self._leader:
            self._leader = self._log.leader
            for wanted in self._wanted:
                wanted.again = 0.0
        self._wanted = deque(each for each in self._wanted if each.outcome is None and each.until > now)
        for wanted in self._wanted:
            if wanted.again > now:
                continue
            wanted.again = now + _AGAIN_S
            if self._log.leader is not None:
                wanted.again = now + _UNANSWERED_S
                self._log.submit(wanted.command, partial(self._ended, wanted))
                self._round_at = 0.0

    def _ended(self, wanted: Wanted, result: object, reason: int) -> None:
        if reason == 0:
            wanted.outcome = ""
            wanted.again = 0.0
        else:
            wanted.again = time.monotonic() + _AGAIN_S

    def _order(self, command: Command) -> control.Reply:
        """Give a command and wait until it is certain."""
        if self._log is None:
            return _refused(f"the cluster's log is not kept here: {self._why_none}")
        live, members = 1 + len(self._view["live"] if self._view else ()), len(self._members())
        if live <= members // 2:
            return _refused(f"no quorum: {live} of {members} members are reachable from here")
        wanted = self._want(command, ANSWER_S)
        while wanted.outcome is None and time.monotonic() < wanted.until:
            if not self._turn(with_control=False):
                break
        if wanted.outcome == "":
            return {"ok": True}
        has_leader = self._log is not None and self._log.leader is not None
        why = "the leader of its log does not answer" if has_leader else "its log has no leader"
        return _refused(wanted.outcome or f"no quorum: the cluster has not agreed within {ANSWER_S} s, {why}")

    # -- the control socket --------------------------------------------------------------------

    def _open_control(self) -> None:
        self._control_at = None
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._settings is None or not self._settings.run_directory:
            return
        path = os.path.join(self._settings.run_directory, control.FILE)
        try:
            self._control = control.ControlServer(path, self._handle)
        except (FatalStart, OSError) as fault:
            self._say(str(fault))
            self._control_at = time.monotonic() + _REOPEN_S

    def _handle(self, request: control.Request) -> control.Reply:
        do = request["do"]
        if do == "status":
            shown = self._snapshot()
            return _refused("the member is starting") if shown is None else {"ok": True, **shown}
        if do == "history":
            return {"ok": True, "history": self._history()}
        if "lease" in request and request["lease"] not in self._leases():
            return _refused(f"unknown lease {request['lease']}; there are: {', '.join(self._leases())}")
        member = request.get("to", request.get("member"))
        if member is not None:
            wrong = self._wrong_member(member, do)
            if wrong:
                return _refused(wrong)
        if do == "unpin":
            return self._order(log_machine.unpin(request["lease"]))
        assert member is not None
        if do == "transfer":
            return self._order(log_machine.pin(request["lease"], member))
        return self._order(log_machine.drain(member) if do == "drain" else log_machine.undrain(member))

    def _wrong_member(self, member: str, do: str) -> str:
        members = self._members()
        if member not in members:
            return f"unknown member {member}; members are: {', '.join(members)}"
        if members[member] and do != "undrain":
            return f"{member} is a witness and never holds anything"
        if do == "transfer" and self._log is not None and member in self._log.state.orders.drained:
            return f"{member} is in maintenance and takes nothing; end that first"
        return ""

    def _members(self) -> Mapping[str, bool]:
        return self._settings.members if self._settings is not None else {}

    def _leases(self) -> list[str]:
        if self._view is None:
            return []
        return [lease["name"] for lease in self._view["snapshot"].get("leases", ())]

    def _history(self) -> list[dict[str, Any]]:
        """The latest lines, so many as an answer has room for, in their order."""
        made: list[dict[str, Any]] = []
        room = _LONGEST_HISTORY
        for held in reversed(self._log.state.history if self._log is not None else ()):
            room -= 100 + len(held.lease) + len(held.member) + len(held.reason)
            if room < 0:
                break
            made.append(held._asdict())
        return made[::-1]

    # -- the file for readers --------------------------------------------------------------------

    def _snapshot(self) -> dict[str, Any] | None:
        if self._view is None:
            return None
        orders = self._log.state.orders if self._log is not None else LogState().orders
        shown: dict[str, Any] = {
            **self._view["snapshot"],
            "at": time.time(),
            "term": self._log.term if self._log is not None else 0,
            "log_index": self._log.index if self._log is not None else 0,
            "log_leader": self._log.leader if self._log is not None else None,
            "pinned": dict(orders.pinned),
            "drained": sorted(orders.drained),
        }
        counters = dict(shown.get("counters", {}))
        counters["log_refused"] = sum(self._log.refused.values()) if self._log is not None else 0
        return {**shown, "counters": counters}

    def _shown_due(self) -> bool:
        if self._settings is None or not self._settings.run_directory:
            return False
        shown = self._snapshot()
        if shown is None:
            return False
        return self._shown is None or {**shown, "at": 0} != {**self._shown, "at": 0}

    def _show(self, now: float) -> None:
        assert self._settings is not None
        self._shown, self._shown_at = self._snapshot(), now
        assert self._shown is not None
        try:
            make_directory(self._settings.run_directory)
            raft_snapshot.write(os.path.join(self._settings.run_directory, raft_snapshot.FILE), self._shown)
        except OSError as error:
            self._say(
                f"Unable to write the state for readers to {self._settings.run_directory}: {error.strerror}"
            )

    def _close(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._log is not None:
            self._log.close()


def _refused(why: str) -> control.Reply:
    return {"ok": False, "error": why}


def serve(connection: socket.socket) -> None:
    """The process, until the other side leaves."""
    # Whoever elects on this machine comes first; a log that is a moment later harms nobody.
    os.nice(_NICE)
    # The electing process collects its garbage itself; here the interpreter may.
    gc.enable()
    try:
        LogProcess(connection).run()
    except Exception as fault:
        # Another process takes over in a second; what ended this one must be known.
        tell(connection, {"log": f"The process that keeps the cluster's log failed: {fault!r:.300}"})
        raise
