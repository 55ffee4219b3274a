"""What must hold once the network has had its time: the oracle, independent of the core.

In every part of the network, for every virtual router: if anybody can be
master, exactly one is; nobody who cannot, is.  A backup that preempts never has
a higher effective priority than the master (at equal priority whoever became
master first stays, RFC 3768 section 6.4.2, so only priorities are compared).
Virtual addresses, routes and the firewall's entries are on a router exactly
while it is their master.  Members of a sync group have one role.  Afterwards
nothing moves any more.
"""

from collections.abc import Iterable, Iterator

from keepalived_py.base.names import Address
from keepalived_py.model.config import Configuration, Instance
from keepalived_py.model.effects import Role
from keepalived_py.simulation.cluster import FILE_NUMBER, OWNER, vrids_of
from keepalived_py.simulation.faults import Trouble
from keepalived_py.simulation.invariants import RuleBroken, state_of
from keepalived_py.simulation.router import Router

LOWEST, HIGHEST = 1, 254


def judge_roles(routers: Iterable[Router], phase: str, *, preemption: bool = True) -> None:
    """Raise RuleBroken if these routers, who all hear each other, have not settled rightly."""
    part = list(routers)
    for vrid in vrids_of(part[0].configuration):
        master = _only_master(part, vrid, phase)
        if master is not None and preemption:
            _check_preemption(part, master, vrid, phase)
    owners = sum(instance_of(router, vrid).base_priority == OWNER for router in part for vrid in _vrids(part))
    for router in part:
        _check_priorities(router, phase, rivals=owners > len(list(_vrids(part))))
        _check_group(router, phase)


def judge_kernels(routers: Iterable[Router], phase: str) -> None:
    """Raise RuleBroken if some kernel has not exactly what its router is to hold, and had time for it."""
    for router in routers:
        if (router.running or router.stopped) and not router.unruly:
            _check_kernel(router, phase)


def _vrids(part: list[Router]) -> Iterator[int]:
    return vrids_of(part[0].configuration)


def instance_of(router: Router, vrid: int) -> Instance:
    """The router's instance for `vrid`; raises KeyError if there is none."""
    for instance in router.configuration.instances:
        if instance.vrid == vrid:
            return instance
    raise KeyError(vrid)


def eligible(router: Router, instance: Instance) -> bool:
    """Whether `router` is in a state to be master of `instance`, and of its sync group, at all."""
    return (
        router.running
        and router.kernel.up
        and router.kernel.source_present
        and not any(_fails(router, each) for each in _bound_together(router, instance))
    )


def _bound_together(router: Router, instance: Instance) -> Iterator[Instance]:
    yield instance
    for group in router.configuration.groups:
        if instance.name in group.members:
            yield from map(router.configuration.instance, group.members)


def _watched(router: Router, instance: Instance) -> Iterator[tuple[int, bool, bool]]:
    """Weight, `reverse`, and whether it is good, of everything that the instance tracks."""
    kinds = (
        (instance.track_scripts, Trouble.SCRIPT_FAILS),
        (instance.track_processes, Trouble.PROCESS_GONE),
        (instance.track_bfds, Trouble.BFD_DOWN),
    )
    for tracked, trouble in kinds:
        for each in tracked:
            yield each.weight, each.reverse, trouble not in router.troubles


def _fails(router: Router, instance: Instance) -> bool:
    file_bad = Trouble.FILE_BAD in router.troubles
    if file_bad and any(each.weight == 0 for each in instance.track_files):
        return True
    return any(weight == 0 and good is reverse for weight, reverse, good in _watched(router, instance))


def expected_priority(router: Router, instance: Instance) -> int:
    """The effective priority by keepalived.conf(5): base and weights, kept within 1..254."""
    if instance.base_priority == OWNER:
        return OWNER
    total = instance.base_priority
    for weight, reverse, good in _watched(router, instance):
        if (weight > 0) is good:
            total += -weight if reverse else weight
    if Trouble.FILE_BAD in router.troubles:
        for file in instance.track_files:
            total += FILE_NUMBER * (-file.weight if file.reverse else file.weight)
    return min(max(total, LOWEST), HIGHEST)


def _only_master(part: list[Router], vrid: int, phase: str) -> Router | None:
    able = [router for router in part if eligible(router, instance_of(router, vrid))]
    masters = [router for router in part if router.running and router.role(vrid) is Role.MASTER]
    if len(masters) != min(1, len(able)) or any(master not in able for master in masters):
        raise RuleBroken(
            "one master",
            f"{phase}: vrid {vrid} of {_names(part)}: masters {_names(masters)}, able {_names(able)}",
        )
    return masters[0] if masters else None


def _names(routers: list[Router]) -> str:
    return "[" + " ".join(router.name for router in routers) + "]"


def _check_preemption(part: list[Router], master: Router, vrid: int, phase: str) -> None:
    best = expected_priority(master, instance_of(master, vrid))
    for router in part:
        instance = instance_of(router, vrid)
        priority = expected_priority(router, instance)
        if instance.preempt and eligible(router, instance) and priority > best:
            raise RuleBroken(
                "preemption",
                f"{phase}: vrid {vrid}: {router.name} ({priority}) lets {master.name} ({best}) be master",
            )


def _check_priorities(router: Router, phase: str, rivals: bool) -> None:
    """Of two address owners one may have given up a point of its priority."""
    if not router.running:
        return
    for instance in router.configuration.instances:
        state = state_of(router.node, instance.vrid)
        if not eligible(router, instance) or state is None:
            continue
        expected, found = expected_priority(router, instance), state.effective_priority
        reduced = rivals and expected == OWNER and found == OWNER - 1
        if expected != found and not reduced:
            raise RuleBroken(
                "priority", f"{phase}: {router.name} {instance.name} has {found}, not {expected}"
            )


def due_addresses(configuration: Configuration, mastered: set[int]) -> set[Address]:
    """What a router with this configuration holds if it is MASTER of the VRIDs `mastered`."""
    return {
        virtual.address
        for instance in configuration.instances
        if instance.vrid in mastered
        for virtual in (*instance.addresses, *instance.excluded_addresses)
    }


def _check_kernel(router: Router, phase: str) -> None:
    mastered = router.mastered()
    instances = [each for each in router.configuration.instances if each.vrid in mastered]
    places = {
        (virtual.address, virtual.prefix_length)
        for instance in instances
        for virtual in (*instance.addresses, *instance.excluded_addresses)
    }
    due: set[object] = set(places)
    due.update(route for instance in instances for route in instance.routes)
    for instance in instances:
        if not instance.accept and instance.base_priority != OWNER:
            due.update(
                ("blocked", address) for address in due_addresses(router.configuration, {instance.vrid})
            )
    held: set[object] = set(router.kernel.held) | set(router.kernel.tables)
    held.update(("blocked", address) for address in router.kernel.blocked)
    if held != due:
        lacking, surplus = (" ".join(sorted(map(str, each))) for each in (due - held, held - due))
        raise RuleBroken("kernel", f"{phase}: {router.name}: lacking: {lacking}; left over: {surplus}")


def _check_group(router: Router, phase: str) -> None:
    for group in router.configuration.groups:
        roles = {router.role(router.configuration.instance(member).vrid) for member in group.members}
        if router.running and len(roles) > 1:
            names = " ".join(sorted(role.name for role in roles))
            raise RuleBroken("sync group", f"{phase}: {router.name} {group.name}: {names}")
