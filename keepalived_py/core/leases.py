"""What is elected by quorum, as the configuration has it: one lease for each instance or sync group.

A sync group has one role, so it has one lease, under the group's name; what it
takes to preempt for one member holds for all: the group preempts if every
member does, after the longest delay of all.  Members that elect by adverts
have no part in a lease.
"""

from collections.abc import Iterable, Sequence

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import LeaseName
from keepalived_py.model.config import Configuration, Election, Instance
from keepalived_py.model.raft import Lease


def is_leased(settings: Instance) -> bool:
    """Whether a quorum decides who holds what the instance holds."""
    return settings.election is Election.RAFT


def leases_of(configuration: Configuration) -> tuple[Lease, ...]:
    """All leases, in the order in which their first instances are configured."""
    leased = {settings.name: settings for settings in configuration.instances if is_leased(settings)}
    if not leased:
        return ()
    groups = {name: group for group in configuration.groups for name in group.members if name in leased}
    found: dict[LeaseName, Lease] = {}
    for name, settings in leased.items():
        group = groups.get(name)
        if group is None:
            found[LeaseName(name)] = _lease(LeaseName(name), (settings,))
        elif LeaseName(group.name) not in found:
            members = [leased[member] for member in dict.fromkeys(group.members) if member in leased]
            found[LeaseName(group.name)] = _lease(LeaseName(group.name), members)
    return tuple(found.values())


def _lease(name: LeaseName, instances: Sequence[Instance]) -> Lease:
    return Lease(
        name=name,
        instances=tuple(settings.name for settings in instances),
        preempt=all(settings.preempt for settings in instances),
        preempt_delay_us=_longest(settings.preempt_delay_us for settings in instances),
    )


def _longest(delays: Iterable[Micros | None]) -> Micros:
    return Micros(max((delay or 0 for delay in delays), default=0))
