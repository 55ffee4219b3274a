"""What a process that belongs to a cluster has of it: frames, the log's keeper, fencing, and their shell.

Opened in two parts: what can be refused, and what is forked before the process
has any thread, comes first; the rest when there is a node (or none: a witness).
"""

from collections.abc import Mapping, Sequence
from functools import partial

from keepalived_py.base.clock import Micros
from keepalived_py.base.logs import Log
from keepalived_py.base.names import InstanceName, LeaseName, MemberId
from keepalived_py.core.standing import Standings, leases_of
from keepalived_py.election.ports import GatePort
from keepalived_py.election.raft.keeper import Keeper, prepare
from keepalived_py.election.raft.links import Links
from keepalived_py.election.raft.ports import Surroundings
from keepalived_py.election.raft.shell import RaftShell
from keepalived_py.election.vrrp import VrrpShell
from keepalived_py.model.config import Configuration, VirtualAddress
from keepalived_py.model.events import LeaseGranted, LeaseLost
from keepalived_py.model.raft import LogPart, Orders, RaftCluster, RaftMessage
from keepalived_py.model.raft_events import Candidate
from keepalived_py.system.clocks import boottime
from keepalived_py.system.fence import FenceRunner


def addresses_of(configuration: Configuration, instances: Sequence[InstanceName]) -> Sequence[VirtualAddress]:
    """The virtual addresses of these instances."""
    return [
        address
        for settings in configuration.instances
        if settings.name in instances
        for address in (*settings.addresses, *settings.excluded_addresses)
    ]


class NodeSide:
    """The instances of this machine, as the shell of a member sees them."""

    def __init__(self, shell: VrrpShell) -> None:
        self._shell = shell
        self._standings = Standings()

    def candidates(self) -> Mapping[LeaseName, Candidate]:
        """What this machine could do with each lease."""
        node = self._shell.node
        return {} if node is None else self._standings.of(node)

    def held(self, instances: Sequence[InstanceName]) -> Sequence[VirtualAddress]:
        """The addresses that come with these instances."""
        node = self._shell.node
        if node is None:
            return ()
        return addresses_of(node.configuration, instances)

    def feed(self, event: LeaseGranted | LeaseLost) -> None:
        """A lease came or went."""
        self._shell.feed(event)

    def checks(self) -> Sequence[tuple[str, str, bool]]:
        """Name, address and verdict of the checks that connect to a port."""
        node = self._shell.node
        if node is None:
            return ()
        runs = node.objects.scripts
        return [
            (check.name, str(check.connect), check.name in runs and bool(runs[check.name].good))
            for check in node.configuration.scripts
            if check.connect is not None
        ]


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
        configuration: Configuration,
        node: VrrpShell | None = None,
        gate: GatePort | None = None,
    ) -> RaftShell:
        """The shell."""
        vip = None if configuration.cluster is None else str(configuration.cluster.vip)
        around = Surroundings(
            links=self._links,
            keeper=self._keeper,
            fences=FenceRunner(self._log.info, at_once=self._shoots()),
            log=self._log,
            now=boottime,
            node=None if node is None else NodeSide(node),
            gate=gate,
            keepvip=vip,
            counters=self._counters,
        )
        leases = leases_of(configuration) if node is not None else ()
        self.shell = RaftShell(self._cluster, leases, around)
        if self._keeper.orders is not None:
            # The log was quicker than we were.
            self.shell.decided(self._keeper.orders)
        return self.shell

    async def prepare(self, configuration: Configuration) -> None:
        """Before the node has a new configuration: what comes to it is guarded."""
        if self.shell is not None:
            await self.shell.prepare(leases_of(configuration), partial(addresses_of, configuration))

    def _shoots(self) -> bool:
        fencing = self._cluster.fencing
        return fencing.script is not None or bool(fencing.agents)

    def _counters(self) -> Mapping[str, int]:
        counters = self._links.counters
        return {"sent": counters.sent, "received": counters.received, **counters.refused}

    def _heard(self, sender: MemberId, message: RaftMessage, age_us: Micros) -> None:
        if self.shell is not None:
            self.shell.heard(sender, message, age_us)

    def _send_part(self, to: MemberId, part: LogPart) -> None:
        if self.shell is not None:
            self._links.send(to, part)

    def _decided(self, orders: Orders) -> None:
        if self.shell is not None:
            self.shell.decided(orders)
