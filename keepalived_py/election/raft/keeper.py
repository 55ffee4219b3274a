"""The electing process' end of the replicated log.

The log lives in a process of its own (`log_process`): it waits for disks.  Everything
that is told to it goes without waiting; a message of the log that finds no room is
lost, as on any network, and what must arrive is told again until it does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from keepalived_py.base.errors import FatalStart
from keepalived_py.base.names import MemberId
from keepalived_py.election.raft import control, journal
from keepalived_py.election.raft.log_machine import orders_from_json
from keepalived_py.election.raft.views import Holding, View
from keepalived_py.model.raft import LogPart, Orders, RaftCluster
from keepalived_py.status import raft_snapshot
from keepalived_py.system.helper import Helper
from keepalived_py.system.state_files import intruder, make_directory
from keepalived_py.wire.raft import LONGEST_LOG_PART

_AGAIN_S = 0.05
_BEGIN_AGAIN_S = 1.0
_MOST_HOLDINGS = 64
_SILENCE_S = 60.0
_MOST_SAID = 64
# A message to the process has room for so many leases with long names.
_MOST_SHOWN = 300


def prepare(cluster: RaftCluster) -> tuple[str, ...]:
    """Make the directories of the cluster and mend the journal; lines for the log.

    Before the fork, and when nothing hurries: it waits for disks.  Raises FatalStart for what a
    person must see to, with what to do.
    """
    lines = journal.prepare(cluster.directory, cluster.id, cluster.own) if cluster.directory else ()
    if cluster.run_directory:
        try:
            make_directory(cluster.run_directory)
            intruding = intruder(cluster.run_directory)
        except OSError as error:
            raise FatalStart(
                f"Unable to make {cluster.run_directory}, for the control socket: {error.strerror}."
                " Make it, or name another one (run_directory)"
            ) from error
        if intruding:
            raise FatalStart(
                f"The control socket in {cluster.run_directory} could be replaced: {intruding}."
                " Correct its owner or mode (chmod go-w), or name another directory (run_directory)"
            )
    return lines


def _serve(connection: socket.socket) -> None:
    # Only that process has the library in its memory.
    from keepalived_py.election.raft import log_process

    log_process.serve(connection)


class Keeper:
    """The log, from the electing process.  Make it inside a running loop.

    `sent` is given the messages for the other members, `decided` what the log has decided, each time
    that changes, and `say` lines for the log.
    """

    def __init__(
        self,
        cluster: RaftCluster,
        sent: Callable[[MemberId, LogPart], None],
        decided: Callable[[Orders], None],
        say: Callable[[str], None],
    ) -> None:
        self._cluster = cluster
        self._sent = sent
        self._decided = decided
        self._say = say
        self._said: dict[str, float] = {}
        self._loop = asyncio.get_running_loop()
        self._helper = Helper(_serve, self._heard, self._begin)
        self._view: View | None = None
        self._orders: Orders | None = None
        self._holdings: deque[Holding] = deque(maxlen=_MOST_HOLDINGS)
        self._owes_cluster = self._owes_view = False
        self._again: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def pid(self) -> int:
        """The process that keeps the log; 0: there is none."""
        return self._helper.pid

    @property
    def orders(self) -> Orders | None:
        """What was decided, as far as it was told; None: nothing yet."""
        return self._orders

    def start(self) -> None:
        """Fork it."""
        self._begin()

    def heard(self, member: MemberId, part: LogPart) -> None:
        """A message of the log from another member."""
        if (
            self._owes_cluster
            or self._helper.pid == 0
            or len(part.body) > LONGEST_LOG_PART
            or not part.body.isascii()
        ):
            return
        text = part.body.decode("ascii")
        if text.isprintable():
            self._helper.tell({"from": member, "part": text})

    def follow(self, view: View) -> None:
        """What the electing process knows now."""
        self._view, self._owes_view = view, True
        self._pay()

    def record(self, entry: Holding) -> None:
        """For the history: a lease was granted to this member."""
        self._holdings.append(entry)
        self._pay()

    def replace(self, cluster: RaftCluster) -> None:
        """A reload: from now on this is the cluster."""
        self._cluster, self._owes_cluster = cluster, True
        self._pay()

    def close(self) -> None:
        """Dismiss the process.  What the others were promised is on the disk already."""
        self._closed = True
        if self._again is not None:
            self._again.cancel()
            self._again = None
        self._helper.close()
        self._tidy()

    def _tidy(self) -> None:
        """The process ended in the middle of its work: nobody is to read what was, or to wait for it."""
        if self._cluster.run_directory:
            for name in (control.FILE, raft_snapshot.FILE):
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(self._cluster.run_directory, name))

    # -- what is owed ------------------------------------------------------------------------

    def _begin(self) -> None:
        """To a new process everything is told anew."""
        if self._closed:
            return
        self._owes_cluster, self._owes_view = self._helper.tell(self._settings()) != 0, self._view is not None
        if self._helper.pid == 0:
            self._pass_on("Unable to start the process that keeps the cluster's log; trying again")
            self._loop.call_later(_BEGIN_AGAIN_S, self._begin)
        self._pay()

    def _pay(self) -> None:
        """Tell everything that is owed, in its order; what finds no room is tried again soon."""
        if self._closed or self._helper.pid == 0:
            # Of a process that has ended, another one is made in a second, and told everything.
            return
        failed = 0
        if self._owes_cluster:
            failed = self._helper.tell(self._settings())
            self._owes_cluster = failed != 0
        if not failed and self._owes_view and self._view is not None:
            failed = self._helper.tell({"view": _view_to_json(self._view)})
            self._owes_view = failed != 0
        while not failed and self._holdings:
            failed = self._helper.tell({"hold": list(self._holdings[0])})
            if not failed:
                self._holdings.popleft()
        if failed and self._again is None:
            self._again = self._loop.call_later(_AGAIN_S, self._once_more)

    def _once_more(self) -> None:
        self._again = None
        self._pay()

    def _settings(self) -> dict[str, Any]:
        cluster = self._cluster
        members = {each.id: each.witness for each in cluster.members}
        return {
            "cluster": [cluster.id, cluster.own, members, cluster.directory, cluster.run_directory],
            "known": self._orders is not None,
        }

    # -- what is said --------------------------------------------------------------------------

    def _heard(self, message: Mapping[str, Any]) -> None:
        if "part" in message:
            self._sent(MemberId(message["to"]), LogPart(message["part"].encode()))
        elif "orders" in message:
            orders = orders_from_json(message["orders"])
            if orders != self._orders:
                self._orders = orders
                self._decided(orders)
        elif "log" in message:
            self._pass_on(message["log"])

    def _pass_on(self, text: str) -> None:
        """The same line once a minute: a process that cannot live comes back every second."""
        now = time.monotonic()
        if self._said.get(text, -_SILENCE_S) + _SILENCE_S > now:
            return
        if len(self._said) >= _MOST_SAID:
            self._said.clear()
        self._said[text] = now
        self._say(text)


def _view_to_json(view: View) -> dict[str, Any]:
    snapshot = view.snapshot
    if len(snapshot.get("leases", ())) > _MOST_SHOWN:
        snapshot = {**snapshot, "leases": snapshot["leases"][:_MOST_SHOWN]}
    return {
        "leads": view.leads,
        "promised_to": view.promised_to,
        "live": sorted(view.live),
        "snapshot": snapshot,
    }
