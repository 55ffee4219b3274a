"""A step in progress: the node's parts, opened for change, and the effects so far.

Nothing outside one call of `core.node.step` ever sees a `Turn`; it is opened
from a node and closed into the next one.  Opening copies nothing: every part
is shared with the old node until it is written to.  Every event that may
change roles goes through it, and ends the same way: faults and priorities are
worked out again, each instance takes the role that follows, sync groups are
settled.
"""

from collections.abc import Iterable, Mapping

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import GroupName, InstanceName, InterfaceName
from keepalived_py.core.holder.ledger import Books, unfinished
from keepalived_py.core.holder.things import STATIC, Place, Thing, bare, place_of
from keepalived_py.core.notify import scripts as notify_scripts
from keepalived_py.core.roster import Draft
from keepalived_py.core.track import health, objects
from keepalived_py.core.track.interface import source_of
from keepalived_py.core.vrrp import machine, sync
from keepalived_py.core.vrrp.priority import effective_priority
from keepalived_py.core.vrrp.state import InstanceState, Why
from keepalived_py.core.world import Node, Shape, Step
from keepalived_py.model.config import Configuration, SyncGroup
from keepalived_py.model.effects import (
    AddAddress,
    DeleteAddress,
    DeleteRoute,
    DeleteRule,
    Effect,
    KernelChange,
    Role,
    WriteLog,
)
from keepalived_py.model.events import InterfaceFacts


class Turn:
    """One step in progress at `now`."""

    __slots__ = (
        "_node",
        "books",
        "configuration",
        "group_roles",
        "instances",
        "interfaces",
        "leaving",
        "now",
        "objects",
        "out",
        "present",
        "quiet_until",
        "roles_before",
        "shape",
    )

    def __init__(self, node: Node, now: Micros) -> None:
        self._node = node
        self.now = now
        self.out: list[Effect] = []
        self.configuration: Configuration = node.configuration
        self.shape: Shape = node.shape
        self.instances = Draft(node.instances)
        self.interfaces: Mapping[InterfaceName, InterfaceFacts] = node.interfaces
        self.objects = node.objects
        self.group_roles: Mapping[GroupName, Role] = node.group_roles
        self.present: frozenset[Place] = node.present
        self.books = Books(node.ledger)
        self.quiet_until = node.quiet_until
        self.leaving = node.leaving
        self.roles_before: dict[InstanceName, Role] = {}

    def close(self, *, stopped: bool = False) -> Step:
        """The next node, with everything we asked of the kernel noted as ours."""
        self._keep_what_others_hold()
        for effect in self.out:
            if isinstance(effect, DeleteAddress):
                self.books.expect_removal(place_of(effect.address))
            elif isinstance(effect, AddAddress):
                self.books.expect_addition(place_of(effect.address))
        if self.shape.leases or self.leaving:
            self._expect_answers()
        node = self._node._replace(
            configuration=self.configuration,
            shape=self.shape,
            instances=self.instances.close(),
            interfaces=self.interfaces,
            objects=self.objects,
            group_roles=self.group_roles,
            present=self.present,
            ledger=self.books.close(),
            quiet_until=self.quiet_until,
            stopped=stopped,
            leaving=self.leaving,
        )
        return Step(node, tuple(self.out))

    def _expect_answers(self) -> None:
        """What is asked of the kernel's tables for a lease; what has left is forgotten."""
        leased, leaving = self.shape.lease_of, frozenset().union(*self.leaving.values())
        for effect in self.out:
            if isinstance(effect, KernelChange) and (effect.instance in leased or effect.instance in leaving):
                self.books.expect_answer(effect)
        if leaving:
            busy = unfinished(self.books.under_way, self.books.ailing)
            self.leaving = {
                lease: names for lease, names in self.leaving.items() if not busy.isdisjoint(names)
            }

    def _keep_what_others_hold(self) -> None:
        """A route or rule that is static too, or another MASTER's, stays when one holder gives it up.

        The kernel has it once.  An address needs no such care: its deletion is reported, and it is put back.
        """
        if not any(isinstance(effect, DeleteRoute | DeleteRule) and effect.instance for effect in self.out):
            return
        holders: dict[Thing, set[InstanceName]] = {}
        configuration = self.configuration
        for thing in configuration.static_routes + configuration.static_rules:
            holders.setdefault(bare(thing), set()).add(STATIC)
        for name, state in self.instances.items():
            if state.role is Role.MASTER:
                for thing in state.settings.routes + state.settings.rules:
                    holders.setdefault(bare(thing), set()).add(name)
        self.out = [effect for effect in self.out if not _is_held_by_others(effect, holders)]

    def set_interface(self, facts: InterfaceFacts) -> None:
        """This is what is known of an interface now."""
        self.interfaces = {**self.interfaces, facts.name: facts}

    def is_master(self, name: InstanceName) -> bool:
        """Whether there is such an instance, and it is MASTER."""
        return name in self.instances and self.instances[name].role is Role.MASTER

    def role_before(self, name: InstanceName) -> Role:
        """The role at the beginning of the step."""
        role = self.roles_before.get(name)
        if role is not None:
            return role
        old = self._node.instances
        return old[name].role if name in old else Role.INIT

    # -- what follows from facts ------------------------------------------------

    def assess(self, name: InstanceName) -> tuple[health.Fault, ...]:
        """Work out source, faults, waiting checks and priority of one instance again; returns new faults."""
        tracks = self.shape.tracks[name]
        state = self.instances[name]
        state = machine.with_source(state, source_of(state.settings, self.interfaces, self.shape.virtual))
        found = tuple(health.faults(state, tracks, self.objects, self.interfaces))
        new = tuple(fault for fault in found if fault.key not in state.faults)
        keys = frozenset(fault.key for fault in found)
        state = state._replace(faults=keys, waiting=health.waiting(tracks, self.objects))
        weights = health.weights(state.settings, tracks, self.objects, self.interfaces)
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
        self.recover_all(names, why)
        self.settle(why)

    def watch(self, before: objects.Objects, why: Why) -> None:
        """Tracked objects changed: whoever some verdict is another one for is judged anew."""
        touched = health.changed_for(before, self.objects)
        if touched:
            self.reassess(touched, why)

    def fall(self, name: InstanceName, new: tuple[health.Fault, ...], why: Why, *lines: WriteLog) -> None:
        """The instance has a fault of its own; `lines` are logged after its causes."""
        self.out.extend(WriteLog(fault.line) for fault in new if fault.line)
        self.out.extend(lines)
        reason = why._replace(evidence=f"{why.evidence}: {', '.join(fault.key for fault in new)}")
        self.instances[name] = machine.become_fault(self.instances[name], reason, self.out)

    def recover_all(self, names: Iterable[InstanceName], why: Why) -> None:
        """Each leaves FAULT if it can; of a group the last one that is healthy goes first, as in keepalived.

        The others of its group follow when it is settled.
        """
        grouped: dict[GroupName, list[InstanceName]] = {}
        for name in names:
            group = self.shape.group_of.get(name)
            if group is None:
                self.recover(name, why)
            else:
                grouped.setdefault(group.name, []).append(name)
        for members in grouped.values():
            any(self.recover(name, why) for name in reversed(members))

    def recover(self, name: InstanceName, why: Why) -> bool:
        """Leave FAULT, or INIT after the first results, once the whole group is healthy; whether it did."""
        state = self.instances[name]
        idle = state.role is Role.FAULT or (state.role is Role.INIT and state.deadline is None)
        if not idle or state.faults or state.waiting:
            return False
        if self.group_blocked(name):
            self.instances[name] = state._replace(group_fault=state.role is Role.FAULT)
            return False
        self.instances[name] = machine.become_backup(state, self.now, why, self.out)
        return True

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
        if not self.shape.group_of:
            return
        touched = {
            group.name: group
            for name in self.instances.changed
            if (group := self.shape.group_of.get(name)) is not None
        }
        for group in self.configuration.groups if len(touched) > 1 else touched.values():
            if group.name in touched:
                self._settle_group(group, why)

    def _settle_group(self, group: SyncGroup, why: Why) -> None:
        members = [name for name in group.members if name in self.instances]
        states = [self.instances[name] for name in members]
        wanted = sync.wanted_role(states, {name: self.role_before(name) for name in members})
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
            self.group_roles = {**self.group_roles, group.name: role}
            notify_scripts.notify(group.notifies, "GROUP", group.name, role.name, 0, self.out)


def _is_held_by_others(effect: Effect, holders: Mapping[Thing, set[InstanceName]]) -> bool:
    match effect:
        case DeleteRoute(owner, thing) if owner:
            return bool(holders.get(bare(thing), set()) - {owner})
        case DeleteRule(owner, thing) if owner:
            return bool(holders.get(bare(thing), set()) - {owner})
        case _:
            return False
