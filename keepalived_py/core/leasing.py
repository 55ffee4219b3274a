"""Instances that a quorum elects (`election raft`): the roles are the same, others decide about them.

    INIT --healthy--> BACKUP --lease granted--> MASTER --lease lost--> BACKUP
                 any --fault--> FAULT --healthy--> BACKUP

Such an instance sends no adverts and hears none, not even to resign, and no
timer makes it MASTER: neither silence nor being the owner of its addresses nor
its sync group.  All instances of a lease become MASTER in one step, in the
order of their group, and give way in one step.  A fault is left to no quorum:
it releases everything at once, and what the node then says of itself
(`core.standing`) makes `core.raft` give up the lease.  What a MASTER puts into
the kernel, announces and notifies is the same as with VRRP.

A grant that comes too late, because an instance of it has a fault by now, is
not followed.  How long this process may pause, and how long a lease lasts, is
the business of `core.raft` and of the kernel's gate.
"""

from collections.abc import Callable, Iterable

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InstanceName, LeaseName
from keepalived_py.core.turn import Turn
from keepalived_py.core.vrrp import machine, sync
from keepalived_py.core.vrrp.state import InstanceState, Why
from keepalived_py.core.world import Node, Step
from keepalived_py.model.effects import Role, WriteLog
from keepalived_py.model.events import LeaseGranted, LeaseLost


def granted(node: Node, event: LeaseGranted, now: Micros) -> Step:
    """Every instance of the lease becomes MASTER, or none."""
    turn = Turn(node, now)
    names = _concerned(turn, event.lease, event.instances)
    unready = [name for name in names if not _is_ready(turn.instances[name])]
    if turn.quiet_until is not None or unready or not names:
        reason = "its startup is delayed" if turn.quiet_until is not None else "no such lease here"
        reason = f"{', '.join(unready)} cannot be MASTER" if unready else reason
        turn.out.append(WriteLog(f"Lease {event.lease} was granted, and is not taken: {reason}"))
        return turn.close()
    why = Why("granted by a quorum", event.evidence)
    idle = [name for name in names if turn.instances[name].role is not Role.MASTER]
    _move(turn, idle, Role.MASTER, lambda state: machine.become_master(state, now, why, turn.out))
    turn.settle(why)
    return turn.close()


def lost(node: Node, event: LeaseLost, now: Micros) -> Step:
    """Every MASTER of the lease gives way without a word."""
    turn = Turn(node, now)
    why = Why(f"lease lost: {event.reason}", event.evidence)
    masters = [
        name
        for name in _concerned(turn, event.lease, event.instances)
        if turn.instances[name].role is Role.MASTER
    ]
    if not masters:
        return Step(node, ())
    _move(turn, masters, Role.BACKUP, lambda state: machine.become_backup(state, now, why, turn.out))
    turn.settle(why)
    return turn.close()


def _concerned(turn: Turn, lease: LeaseName, names: Iterable[InstanceName]) -> list[InstanceName]:
    """Those that belong to the lease now: a reload may have come in between."""
    return [name for name in names if turn.shape.lease_of.get(name) == lease]


def _is_ready(state: InstanceState) -> bool:
    return state.role is Role.MASTER or (state.role is Role.BACKUP and state.healthy)


def _move(
    turn: Turn, names: list[InstanceName], role: Role, move: Callable[[InstanceState], InstanceState]
) -> None:
    """One after the other; of a group the first one leads, as if it had been decided for that one."""
    for number, name in enumerate(names):
        group = turn.shape.group_of.get(name)
        if number == 1 and group is not None:
            sync.log_syncing(group, role, True, turn.out)
        turn.instances[name] = move(turn.instances[name])
