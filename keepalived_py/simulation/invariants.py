"""What must hold at every single step of every router, whatever the network does.

These rules need no settled network:

* nobody but a master sends adverts (RFC 3768 section 6.4);
* role changes form a chain, and the last role announced to observers is the
  role in the state;
* if one member of a sync group is MASTER, all are; only a reload may put a BACKUP
  beside it, which listens first;
* whoever becomes BACKUP without having heard a master waits by its own
  interval: what an earlier master taught holds no more (RFC 9568 section
  6.4.1: Master_Adver_Interval begins as the own one).

A reload may rename instances, so they are told apart by their VRIDs.
"""

from collections.abc import Iterator

from keepalived_py.base.clock import Micros
from keepalived_py.base.errors import KeepalivedError
from keepalived_py.base.names import InstanceName
from keepalived_py.core.node import InstanceState, Node, Step
from keepalived_py.model.config import Configuration, SyncGroup
from keepalived_py.model.effects import Role, RoleChanged, SendAdvert
from keepalived_py.model.events import AdvertReceived, Event, SettingsReplaced
from keepalived_py.simulation.bounds import master_down_us


class RuleBroken(KeepalivedError):
    """A property does not hold.  `rule` is its short name, `detail` says who and how."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule
        self.detail = detail


def check_step(router: str, before: Node | None, event: Event | None, step: Step, now: Micros) -> None:
    """Raise RuleBroken if this step of `router` could never be right."""
    changes = [effect for effect in step.effects if isinstance(effect, RoleChanged)]
    if changes or isinstance(event, SettingsReplaced):
        _check_chains(router, before, step.node, changes)
        _check_groups(router, before, event, step.node)
        if not isinstance(event, AdvertReceived):
            for change in changes:
                _check_wait(router, change, step.node, now)
    elif before is not None:
        _check_silent_change(router, before, step.node)
    for effect in step.effects:
        if isinstance(effect, SendAdvert) and effect.advert.priority:
            _check_sender(router, before, step.node, effect)


def state_of(node: Node | None, vrid: int) -> InstanceState | None:
    """The state of the virtual router `vrid`, whatever its instance is called now."""
    if node is not None:
        for state in node.instances.values():
            if state.settings.vrid == vrid:
                return state
    return None


def _role(node: Node | None, vrid: int) -> Role:
    state = state_of(node, vrid)
    return Role.INIT if state is None else state.role


def _vrids(*configurations: Configuration | None) -> dict[InstanceName, int]:
    known = (each for each in configurations if each is not None)
    return {instance.name: instance.vrid for each in known for instance in each.instances}


def _check_chains(router: str, before: Node | None, node: Node, changes: list[RoleChanged]) -> None:
    vrids = _vrids(None if before is None else before.configuration, node.configuration)
    for vrid in set(vrids.values()):
        role = _role(before, vrid)
        for change in _of(vrid, vrids, changes):
            if change.old is not role:
                raise RuleBroken("role chain", f"{router} {vrid} was {role.name}, said {change.old.name}")
            role = change.new
        if role is not _role(node, vrid):
            raise RuleBroken("role chain", f"{router} {vrid} announced {role.name} and is something else")


def _of(vrid: int, vrids: dict[InstanceName, int], changes: list[RoleChanged]) -> Iterator[RoleChanged]:
    return (change for change in changes if vrids[change.instance] == vrid)


def _check_silent_change(router: str, before: Node, node: Node) -> None:
    if before.instances is node.instances:
        return
    for name, state in node.instances.items():
        if before.instances[name].role is not state.role:
            raise RuleBroken("role chain", f"{router} {name} changed its role without saying so")


def _check_groups(router: str, before: Node | None, event: Event | None, node: Node) -> None:
    """Only a reload may put a BACKUP beside a MASTER, and only time brings them together then."""
    for group in node.configuration.groups:
        # A member that a reload brought may wait for the first results of its checks.
        roles = {node.instances[name].role for name in group.members} - {Role.INIT}
        if Role.MASTER not in roles or len(roles) == 1:
            continue
        joined = isinstance(event, SettingsReplaced) or _was_mixed(before, group)
        if Role.FAULT in roles or not joined:
            names = " ".join(sorted(role.name for role in roles))
            raise RuleBroken("sync group", f"{router} {group.name}: {names}")


def _was_mixed(before: Node | None, group: SyncGroup) -> bool:
    if before is None:
        return False
    return len({before.instances[name].role for name in group.members if name in before.instances}) > 1


def _check_wait(router: str, change: RoleChanged, node: Node, now: Micros) -> None:
    state = node.instances.get(change.instance)
    if state is None or change.new is not Role.BACKUP or state.role is not Role.BACKUP:
        return
    longest = master_down_us(state.settings) + node.configuration.globals.startup_delay_us
    if state.deadline is None or state.deadline - now > longest:
        raise RuleBroken(
            "own interval", f"{router} {change.instance} heard nobody, waits until {state.deadline}"
        )


def _check_sender(router: str, before: Node | None, node: Node, sent: SendAdvert) -> None:
    vrid = sent.advert.vrid
    if Role.MASTER not in (_role(before, vrid), _role(node, vrid)):
        raise RuleBroken("sender", f"{router} {sent.instance} sent an advert without being master")
