"""What a process that belongs to a cluster has of it: frames, the log's keeper, fencing, and their shell.

Opened in two parts: what can be refused, and what is forked before the process
has any thread, comes first; the rest when there is a node.  A witness has the same
without a node, so nothing here may load what touches the network's configuration.
"""

from collections.abc import Iterable, Mapping

from keepalived_py.base.clock import Micros
from keepalived_py.base.logs import Log
from keepalived_py.base.names import MemberId
from keepalived_py.election.ports import GatePort
from keepalived_py.election.raft.keeper import Keeper, prepare
from keepalived_py.election.raft.links import Links
from keepalived_py.election.raft.ports import NodePort, Surroundings
from keepalived_py.election.raft.shell import RaftShell
from keepalived_py.model.raft import Lease, LogPart, Orders, RaftCluster, RaftMessage
from keepalived_py.status import raft_snapshot
from keepalived_py.system.clocks import boottime
from keepalived_py.system.fence import FenceRunner


class RaftParts:
    """The cluster's part of one process.  Make it inside its running loop, before there is any thread.

    Raises FatalStart if the log's directory cannot be used, or the address not be listened at; then
    nothing is left open.
    """

    def __init__(self, cluster: RaftCluster, log: Log) -> None:
        self._cluster = cluster
        self._log = log
        self.shell: RaftShell | None = None
        for line in prepare(cluster):
            log.info(line)
        self._links = Links(cluster, self._heard, log.info)
        self._links.open()
        self._keeper = Keeper(cluster, self._send_part, self._decided, log.info)
        self._keeper.start()

    def open(
        self,
        leases: Iterable[Lease] = (),
        node: NodePort | None = None,
        gate: GatePort | None = None,
        keepvip: str | None = None,
    ) -> RaftShell:
        """The shell; a witness has none of these.  `keepvip`: the address that a keep-vip file names."""
        around = Surroundings(
            links=self._links,
            keeper=self._keeper,
            fences=FenceRunner(self._log.info, at_once=self._shoots()),
            log=self._log,
            now=boottime,
            node=node,
            gate=gate,
            keepvip=keepvip,
            counters=self._counters,
        )
        self.shell = RaftShell(self._cluster, leases, around)
        if self._keeper.orders is not None:
            # The log was quicker than we were.
            self.shell.decided(self._keeper.orders)
        return self.shell

    def _shoots(self) -> bool:
        fencing = self._cluster.fencing
        return fencing.script is not None or bool(fencing.agents)

    def _counters(self) -> Mapping[str, int]:
        return raft_snapshot.counted(self._links.counters._asdict())

    def _heard(self, sender: MemberId, message: RaftMessage, age_us: Micros) -> None:
        if self.shell is not None:
            self.shell.heard(sender, message, age_us)

    def _send_part(self, to: MemberId, part: LogPart) -> None:
        if self.shell is not None:
            self._links.send(to, part)

    def _decided(self, orders: Orders) -> None:
        if self.shell is not None:
            self.shell.decided(orders)
