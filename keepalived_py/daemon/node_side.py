"""The instances of this machine, as the shell of a cluster's member sees them."""

from collections.abc import Mapping, Sequence

from keepalived_py.base.names import InstanceName, LeaseName
from keepalived_py.core.holder.holding import all_addresses
from keepalived_py.core.standing import Standings
from keepalived_py.election.vrrp import VrrpShell
from keepalived_py.model.config import Configuration, VirtualAddress
from keepalived_py.model.events import LeaseGranted, LeaseLost
from keepalived_py.model.raft_events import Candidate


def addresses_of(configuration: Configuration, instances: Sequence[InstanceName]) -> Sequence[VirtualAddress]:
    """The virtual addresses of these instances."""
    return [
        address
        for settings in configuration.instances
        if settings.name in instances
        for address in all_addresses(settings)
    ]


class NodeSide:
    """See `election.raft.ports.NodePort`."""

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
