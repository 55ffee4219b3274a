"""What an instance's tracked objects make of it: faults, waiting checks, weights.

A tracked object with weight 0 that is bad is a fault; one with another weight
changes the effective priority.  Objects of a sync group count for each of its
members.  A member's own weights are ignored in a group unless the group says
`sync_group_tracking_weight`: the members would drift apart.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from keepalived_py.base.names import InstanceName, ScriptName
from keepalived_py.core.track.interface import Interfaces, is_up
from keepalived_py.core.track.script import ScriptState
from keepalived_py.core.vrrp.priority import weight_now
from keepalived_py.core.vrrp.state import InstanceState
from keepalived_py.core.vrrp.timing import OWNER
from keepalived_py.model.config import Configuration, Instance, TrackedInterface, TrackedScript

Scripts = Mapping[ScriptName, ScriptState]


class Tracks(NamedTuple):
    """Everything that one instance tracks, its group's objects included."""

    scripts: tuple[TrackedScript, ...]
    interfaces: tuple[TrackedInterface, ...]


class Fault(NamedTuple):
    """One reason to be in FAULT; `line` is logged when it begins ("" for none)."""

    key: str
    line: str


def tracks_of(configuration: Configuration) -> dict[InstanceName, Tracks]:
    """What each instance tracks."""
    return {instance.name: _tracks(configuration, instance) for instance in configuration.instances}


def _tracks(configuration: Configuration, instance: Instance) -> Tracks:
    scripts, interfaces = instance.track_scripts, instance.track_interfaces
    for group in configuration.groups:
        if instance.name not in group.members:
            continue
        if not group.tracking_weight:
            scripts = tuple(tracked for tracked in scripts if not tracked.weight)
            interfaces = tuple(link for link in interfaces if not link.weight)
        scripts += group.track_scripts
        interfaces += group.track_interfaces
    return Tracks(scripts, interfaces)


def faults(state: InstanceState, tracks: Tracks, scripts: Scripts, interfaces: Interfaces) -> Iterator[Fault]:
    """All reasons of the instance itself to be in FAULT."""
    settings = state.settings
    name = settings.name
    facts = interfaces.get(settings.interface)
    if settings.track_primary and not is_up(interfaces, settings.interface):
        yield Fault("link", f"({name}): entering FAULT state (interface {settings.interface} down)")
    if state.source is None:
        family = settings.destination.version
        yield Fault("address", f"({name}) entering FAULT state (no IPv{family} address for interface)")
    if facts is not None and facts.index and not facts.multicast and settings.destination.is_multicast:
        text = f"interface {settings.interface} does not support multicast, specify unicast peers - disabling"
        yield Fault("multicast", f"({name}) {text}")
    for tracked in tracks.scripts:
        run = scripts.get(tracked.name)
        if not tracked.weight and run is not None and run.good is not None and run.good is tracked.reverse:
            yield Fault(
                f"script {tracked.name}", f"({name}): entering FAULT state due to script {tracked.name}"
            )
    for link in tracks.interfaces:
        if not link.weight and is_up(interfaces, link.name) is link.reverse:
            how = "up" if link.reverse else "down"
            yield Fault(
                f"interface {link.name}", f"({name}): entering FAULT state (interface {link.name} {how})"
            )


def waiting(tracks: Tracks, scripts: Scripts) -> frozenset[str]:
    """The checks with weight 0 that have no result yet."""
    return frozenset(
        tracked.name
        for tracked in tracks.scripts
        if not tracked.weight and tracked.name in scripts and scripts[tracked.name].good is None
    )


def weights(settings: Instance, tracks: Tracks, scripts: Scripts, interfaces: Interfaces) -> list[int]:
    """What every weighted object adds to the priority now."""
    if settings.base_priority == OWNER:
        return []
    found = [
        weight_now(tracked.weight, tracked.reverse, scripts[tracked.name].good)
        for tracked in tracks.scripts
        if tracked.weight and tracked.name in scripts
    ]
    found += [
        weight_now(link.weight, link.reverse, is_up(interfaces, link.name))
        for link in tracks.interfaces
        if link.weight
    ]
    return found
