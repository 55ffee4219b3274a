"""Sync groups: rules over the joint roles of the members.

* One member with a fault: all are in FAULT.  All healthy: none is.
* One member leaves MASTER for BACKUP: all do.
* One member becomes MASTER (only possible when every other one is MASTER or
  wants to be): all do.
* Members that a quorum elects become MASTER together.  A reload may join one to
  MASTERs: the lease is here, so it becomes MASTER as soon as it is healthy.
* A reload may join a MASTER with a member that is not.  That one listens for
  its own `master_down_interval`, since nobody may claim an address unheard.
  The others stay MASTER, since nothing happened to them, until it has heard a
  master.  (keepalived takes all of them back to BACKUP at once.)

A MASTER forced to BACKUP by its group sends no priority 0; one forced to
FAULT sends one (the member at fault itself sends two).
"""

from collections.abc import Mapping, Sequence

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InstanceName
from keepalived_py.core.leases import is_leased
from keepalived_py.core.vrrp import machine
from keepalived_py.core.vrrp.state import InstanceState, Why
from keepalived_py.model.config import SyncGroup
from keepalived_py.model.effects import Effect, Role, WriteLog


def wanted_role(states: Sequence[InstanceState], before: Mapping[InstanceName, Role]) -> Role | None:
    """The role that all members must take now; None: they agree, or wait for each other.

    `before`: the roles at the beginning of the step.
    """
    roles = {state.role for state in states}
    if any(state.faults for state in states):
        return Role.FAULT if roles != {Role.FAULT} else None
    if len(roles) == 1:
        return None
    if any(state.waiting and state.role is Role.INIT for state in states):
        return None
    if Role.FAULT in roles:
        return Role.BACKUP
    fallen = any(
        state.role is Role.BACKUP and before.get(state.settings.name) is Role.MASTER for state in states
    )
    if Role.MASTER in roles and not fallen:
        ready = all(
            state.role is Role.MASTER or state.wants_master or is_leased(state.settings) for state in states
        )
        return Role.MASTER if ready else None
    return Role.BACKUP


def must_follow(state: InstanceState, wanted: Role) -> bool:
    """Whether the member is not there yet."""
    return state.role is not wanted


def follow(state: InstanceState, wanted: Role, now: Micros, why: Why, out: list[Effect]) -> InstanceState:
    """The member takes the role of its group."""
    because = Why(f"its sync group becomes {wanted.name}", f"{why.reason}: {why.evidence}")
    if wanted is Role.MASTER:
        return machine.become_master(state, now, because, out)
    if wanted is Role.FAULT:
        return machine.become_fault(state, because, out, own=False)._replace(group_fault=True)
    return machine.become_backup(state, now, because, out)


def log_syncing(group: SyncGroup, wanted: Role, any_follow: bool, out: list[Effect]) -> None:
    """keepalived's line before members are moved."""
    if any_follow:
        out.append(WriteLog(f"VRRP_Group({group.name}) Syncing instances to {wanted.name} state"))
