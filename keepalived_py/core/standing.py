"""What this machine could do with each lease: what the node tells the quorum's side (`core.raft`).

A lease belongs to a sync group or to an instance outside of groups.  The
machine is *able* to hold it when every instance of it is healthy and could be
MASTER now; one that a reload has put beside MASTERs may still wait for its
first results.  During `vrrp_startup_delay`, and once the node stops, nothing
can be held.  The priority is that of the worst instance.

It is *settled* when nothing of the lease is in the kernel, as far as this
program has to do with it: no instance is MASTER, every change of the kernel's
tables is answered, no deletion has failed.  What an instance held that a
reload has taken out of the lease, or with the lease itself, counts until it is
gone (`Node.leaving`); such a lease stands here as long as it takes.

`standings` looks at every lease; `Standings` looks only at what has changed
since it looked last, so that it may be asked after every step.
"""

from collections.abc import Mapping

from keepalived_py.base.names import InstanceName, LeaseName
from keepalived_py.core.holder.ledger import unfinished
from keepalived_py.core.leases import leases_of
from keepalived_py.core.vrrp.priority import HIGHEST, LOWEST
from keepalived_py.core.vrrp.state import InstanceState
from keepalived_py.core.world import Node
from keepalived_py.model.effects import Role
from keepalived_py.model.raft import Lease
from keepalived_py.model.raft_events import Candidate

__all__ = ["Standings", "leases_of", "standings"]

_GONE = Candidate(LOWEST, able=False, settled=False)


def standings(node: Node) -> dict[LeaseName, Candidate]:
    """The standing of every lease; one that is not configured any more stands here until it is settled."""
    busy = _busy(node)
    found = {lease.name: _candidate(node, lease, busy) for lease in node.shape.leases}
    return found | _unsettled(node, busy, found)


class Standings:
    """The standings of one node from step to step."""

    def __init__(self) -> None:
        self._node: Node | None = None
        self._busy: frozenset[InstanceName] = frozenset()
        self._found: dict[LeaseName, Candidate] = {}
        self._leases: dict[LeaseName, Lease] = {}

    def of(self, node: Node) -> Mapping[LeaseName, Candidate]:
        """The same as `standings(node)`, and the very same object as before if nothing is different."""
        before, self._node = self._node, node
        if before is None or _all_may_differ(before, node):
            return self._renewed(node)
        if node.instances is before.instances and node.ledger is before.ledger:
            return self._found
        if not node.shape.leases and not node.leaving:
            return self._found
        busy = self._busy if _same_changes(before, node) else _busy(node)
        touched = {*node.instances.changed_since(before.instances), *(busy ^ self._busy)}
        self._busy = busy
        lease_of = node.shape.lease_of
        names = {lease_of[name] for name in touched if name in lease_of}
        self._look_again(node, names)
        return self._found

    def _renewed(self, node: Node) -> Mapping[LeaseName, Candidate]:
        self._busy = _busy(node)
        self._leases = {lease.name: lease for lease in node.shape.leases}
        found = standings(node)
        if found != self._found:
            self._found = found
        return self._found

    def _look_again(self, node: Node, names: set[LeaseName]) -> None:
        changed = {
            name: candidate
            for name in names
            if (candidate := _candidate(node, self._leases[name], self._busy)) != self._found[name]
        }
        if changed:
            self._found = self._found | changed


def _all_may_differ(before: Node, node: Node) -> bool:
    return (
        before.shape is not node.shape
        or before.quiet_until != node.quiet_until
        or before.stopped != node.stopped
        or bool(node.leaving)
        or before.leaving != node.leaving
    )


def _same_changes(before: Node, node: Node) -> bool:
    old, new = before.ledger, node.ledger
    return old.under_way is new.under_way and old.ailing is new.ailing


def _candidate(node: Node, lease: Lease, busy: frozenset[InstanceName]) -> Candidate:
    states = [node.instances[name] for name in lease.instances]
    held = any(state.role is Role.MASTER for state in states)
    may = node.quiet_until is None and not node.stopped
    able = may and all(_is_able(state, held) for state in states)
    priority = min(state.effective_priority for state in states)
    concerned = node.leaving.get(lease.name, frozenset()).union(lease.instances)
    return Candidate(
        priority=max(LOWEST, min(HIGHEST, priority)),
        able=able,
        settled=not held and busy.isdisjoint(concerned),
    )


def _is_able(state: InstanceState, held: bool) -> bool:
    """`held`: another instance of the lease, or this one, is MASTER."""
    if state.faults or state.group_fault or state.role is Role.FAULT:
        return False
    return held or (state.role is Role.BACKUP and not state.waiting)


def _unsettled(
    node: Node, busy: frozenset[InstanceName], configured: Mapping[LeaseName, Candidate]
) -> dict[LeaseName, Candidate]:
    """The leases of former configurations of which something is left."""
    return {
        name: _GONE
        for name, owners in node.leaving.items()
        if name not in configured and not busy.isdisjoint(owners)
    }


def _busy(node: Node) -> frozenset[InstanceName]:
    """Whose changes of the kernel's tables are not finished."""
    return unfinished(node.ledger.under_way, node.ledger.ailing)
