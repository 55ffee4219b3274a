"""A step in progress: the node's parts, opened for change, and the effects so far.

Nothing outside one call of `core.node.step` ever sees a `Turn`; it is opened
from a node and closed into the next one.  Every event that may change roles
goes through it, and ends the same way: faults and priorities are worked out
again, each instance takes the role that follows, sync groups are settled.
"""

from collections.abc import Iterable

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address, GroupName, InstanceName, InterfaceName, ScriptName
from keepalived_py.core.notify import scripts as notify_scripts
from keepalived_py.core.track import health
from keepalived_py.core.track.interface import source_of
from keepalived_py.core.track.script import ScriptState, launch
from keepalived_py.core.vrrp import machine, sync
from keepalived_py.core.vrrp.priority import effective_priority
from keepalived_py.core.vrrp.state import InstanceState, Why
from keepalived_py.core.world import Node, Shape, Step
from keepalived_py.model.config import CheckScript, Configuration, SyncGroup
from keepalived_py.model.effects import DeleteAddress, Effect, Role, WriteLog


class Turn:
    """One step in progress at `now`."""

    __slots__ = (
        "_node",
        "configuration",
        "group_roles",
        "instances",
        "interfaces",
        "now",
        "out",
        "removals",
        "roles_before",
        "scripts",
        "shape",
    )

    def __init__(self, node: Node, now: Micros) -> None:
        self._node = node
        self.now = now
        self.out: list[Effect] = []
        self.configuration: Configuration = node.configuration
        self.shape: Shape = node.shape
        self.instances: dict[InstanceName, InstanceState] = dict(node.instances)
        self.interfaces = dict(node.interfaces)
        self.scripts: dict[ScriptName, ScriptState] = dict(node.scripts)
        self.group_roles: dict[GroupName, Role] = dict(node.group_roles)
        self.removals: dict[tuple[InterfaceName, Address], int] = dict(node.removals)
        self.roles_before = {name: state.role for name, state in self.instances.items()}

    def close(self, *, quiet_until: Micros | None = None, stopped: bool = False) -> Step:
        """The next node, with every deletion we asked for noted as our own."""
        for effect in self.out:
            if isinstance(effect, DeleteAddress):
                key = (effect.address.interface, effect.address.address)
                self.removals[key] = self.removals.get(key, 0) + 1
        node = self._node._replace(
            configuration=self.configuration,
            shape=self.shape,
            instances=self.instances,
            interfaces=self.interfaces,
            scripts=self.scripts,
            group_roles=self.group_roles,
            removals=self.removals,
            quiet_until=quiet_until,
            stopped=stopped,
        )
        return Step(node, tuple(self.out))

    def removal_was_ours(self, interface: InterfaceName, address: Address) -> bool:
        """Tick off one deletion that we asked for; False: nobody here asked."""
        key = (interface, address)
        left = self.removals.get(key, 0)
        if left > 1:
            self.removals[key] = left - 1
        elif left:
            del self.removals[key]
        return left > 0

    # -- checks ---------------------------------------------------------------

    def launch_script(self, name: ScriptName) -> None:
        """A check is due."""
        self.scripts[name] = launch(self.scripts[name], self.now, self.out)

    def add_script(self, check: CheckScript, good: bool | None = None) -> None:
        """A check is new: it runs at once.  `good` is the verdict it starts with."""
        self.scripts[check.name] = ScriptState(check, self.now, good=good)
        self.launch_script(check.name)

    # -- what follows from facts ------------------------------------------------

    def assess(self, name: InstanceName) -> tuple[health.Fault, ...]:
        """Work out source, faults, waiting checks and priority of one instance again; returns new faults."""
        tracks = self.shape.tracks[name]
        state = self.instances[name]
        state = machine.with_source(state, source_of(state.settings, self.interfaces, self.shape.virtual))
        found = tuple(health.faults(state, tracks, self.scripts, self.interfaces))
        new = tuple(fault for fault in found if fault.key not in state.faults)
        keys = frozenset(fault.key for fault in found)
        state = state._replace(faults=keys, waiting=health.waiting(tracks, self.scripts))
        weights = health.weights(state.settings, tracks, self.scripts, self.interfaces)
        priority = effective_priority(state.settings.base_priority, weights)
        self.instances[name] = machine.with_priority(state, priority, self.out)
        return new

    def reassess(self, names: Iterable[InstanceName], why: Why) -> None:
        """Facts changed: every instance takes the role that follows from them."""
        names = tuple(names)
        for name in names:
            new = self.assess(name)
            state = self.instances[name]
            if state.faults and state.role is not Role.FAULT:
                self.fall(name, new, why)
        for name in names:
            self.recover(name, why)
        self.settle(why)

    def fall(self, name: InstanceName, new: tuple[health.Fault, ...], why: Why, *lines: WriteLog) -> None:
        """The instance has a fault of its own; `lines` are logged after its causes."""
        self.out.extend(WriteLog(fault.line) for fault in new)
        self.out.extend(lines)
        reason = why._replace(evidence=f"{why.evidence}: {', '.join(fault.key for fault in new)}")
        self.instances[name] = machine.become_fault(self.instances[name], reason, self.out)

    def recover(self, name: InstanceName, why: Why) -> None:
        """Leave FAULT, or INIT after the first results, once the whole group is healthy."""
        state = self.instances[name]
        idle = state.role is Role.FAULT or (state.role is Role.INIT and state.deadline is None)
        if not idle or state.faults or state.waiting:
            return
        if self.group_blocked(name):
            self.instances[name] = state._replace(group_fault=state.role is Role.FAULT)
            return
        self.instances[name] = machine.become_backup(state, self.now, why, self.out)

    # -- sync groups ------------------------------------------------------------

    def others(self, name: InstanceName) -> list[InstanceState]:
        """The other members of the instance's sync group."""
        group = self.shape.group_of.get(name)
        if group is None:
            return []
        return [self.instances[other] for other in group.members if other != name and other in self.instances]

    def group_blocked(self, name: InstanceName) -> bool:
        """Whether another member of the group is unhealthy."""
        return any(other.faults or other.waiting for other in self.others(name))

    def group_ready(self, name: InstanceName) -> bool:
        """Whether the whole group would be MASTER if this instance were."""
        return all(other.role is Role.MASTER or other.wants_master for other in self.others(name))

    def settle(self, why: Why) -> None:
        """Members of a sync group take the same role, then the group's scripts are told."""
        for group in self.configuration.groups:
            self._settle_group(group, why)

    def _settle_group(self, group: SyncGroup, why: Why) -> None:
        members = [name for name in group.members if name in self.instances]
        states = [self.instances[name] for name in members]
        wanted = sync.wanted_role(states, self.roles_before)
        if wanted is not None:
            followers = [name for name in members if sync.must_follow(self.instances[name], wanted)]
            sync.log_syncing(group, wanted, bool(followers), self.out)
            for name in followers:
                state = sync.follow(self.instances[name], wanted, self.now, why, self.out)
                self.instances[name] = state
        self._notify_group(group, members)

    def _notify_group(self, group: SyncGroup, members: list[InstanceName]) -> None:
        roles = {self.instances[name].role for name in members}
        if len(roles) != 1:
            return
        role = roles.pop()
        if role is not self.group_roles.get(group.name, Role.INIT):
            self.group_roles[group.name] = role
            notify_scripts.notify(group.notifies, "GROUP", group.name, role.name, 0, self.out)
