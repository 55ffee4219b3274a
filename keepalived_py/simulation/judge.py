"""What must hold once the network has had its time: the oracle, independent of the core.

In every part of the network, for every virtual router: if anybody can be
master, exactly one is; nobody who cannot, is.  A backup that preempts never has
a higher effective priority than the master (at equal priority whoever became
master first stays, RFC 3768 section 6.4.2, so only priorities are compared).
Virtual addresses are on a router exactly while it is their master.  Members of
a sync group have one role.  Afterwards nothing moves any more.
"""

from collections.abc import Iterable

from keepalived_py.model.config import Instance, TrackedScript
from keepalived_py.model.effects import Role
from keepalived_py.simulation.faults import Trouble
from keepalived_py.simulation.invariants import RuleBroken
from keepalived_py.simulation.router import Router
from keepalived_py.simulation.scenario import OWNER

LOWEST, HIGHEST = 1, 254


def judge_part(routers: Iterable[Router], phase: str, *, preemption: bool = True) -> None:
    """Raise RuleBroken if these routers, who all hear each other, have not settled rightly."""
    part = list(routers)
    for instance in part[0].configuration.instances:
        master = _only_master(part, instance.vrid, phase)
        if master is not None and preemption:
            _check_preemption(part, master, instance.vrid, phase)
    for router in part:
        _check_priorities(router, phase)
        _check_addresses(router, phase)
        _check_group(router, phase)


def _instance(router: Router, vrid: int) -> Instance:
    return next(each for each in router.configuration.instances if each.vrid == vrid)


def eligible(router: Router, instance: Instance) -> bool:
    """Whether `router` is in a state to be master of `instance` at all."""
    script_faults = any(script.weight == 0 for script in instance.track_scripts)
    return (
        router.running
        and router.kernel.up
        and router.kernel.source_present
        and not (script_faults and Trouble.SCRIPT_FAILS in router.troubles)
    )


def expected_priority(router: Router, instance: Instance) -> int:
    """The effective priority by keepalived.conf(5): base and weights, kept within 1..254."""
    if instance.base_priority == OWNER:
        return OWNER
    fails = Trouble.SCRIPT_FAILS in router.troubles
    total = instance.base_priority + sum(_weight(script, fails) for script in instance.track_scripts)
    return min(max(total, LOWEST), HIGHEST)


def _weight(script: TrackedScript, fails: bool) -> int:
    counts = fails if script.weight < 0 else not fails
    return script.weight if counts else 0


def _only_master(part: list[Router], vrid: int, phase: str) -> Router | None:
    able = [router for router in part if eligible(router, _instance(router, vrid))]
    masters = [
        router
        for router in part
        if router.running and router.role(_instance(router, vrid).name) is Role.MASTER
    ]
    if len(masters) != min(1, len(able)) or any(master not in able for master in masters):
        raise RuleBroken(
            "one master",
            f"{phase}: vrid {vrid} of {_names(part)}: masters {_names(masters)}, able {_names(able)}",
        )
    return masters[0] if masters else None


def _names(routers: list[Router]) -> str:
    return "[" + " ".join(router.name for router in routers) + "]"


def _check_preemption(part: list[Router], master: Router, vrid: int, phase: str) -> None:
    best = expected_priority(master, _instance(master, vrid))
    for router in part:
        instance = _instance(router, vrid)
        priority = expected_priority(router, instance)
        if instance.preempt and eligible(router, instance) and priority > best:
            raise RuleBroken(
                "preemption",
                f"{phase}: vrid {vrid}: {router.name} ({priority}) lets {master.name} ({best}) be master",
            )


def _check_priorities(router: Router, phase: str) -> None:
    if router.node is None or not router.running:
        return
    for instance in router.configuration.instances:
        if not eligible(router, instance):
            continue
        expected, found = (
            expected_priority(router, instance),
            router.node.instances[instance.name].effective_priority,
        )
        if expected != found:
            raise RuleBroken(
                "priority", f"{phase}: {router.name} {instance.name} has {found}, not {expected}"
            )


def _check_addresses(router: Router, phase: str) -> None:
    if not router.judged:
        return
    due = {
        virtual.address
        for instance in router.configuration.instances
        if router.role(instance.name) is Role.MASTER
        for virtual in (*instance.addresses, *instance.excluded_addresses)
    }
    held = set(router.kernel.held)
    if held != due:
        wrong = " ".join(str(address) for address in sorted(held ^ due, key=str))
        raise RuleBroken("addresses", f"{phase}: {router.name}: lacking or left over: {wrong}")


def _check_group(router: Router, phase: str) -> None:
    for group in router.configuration.groups:
        roles = {router.role(member) for member in group.members}
        if router.running and len(roles) > 1:
            names = " ".join(sorted(role.name for role in roles))
            raise RuleBroken("sync group", f"{phase}: {router.name} {group.name}: {names}")
