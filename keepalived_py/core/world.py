"""One node: all its instances, and everything they share.

`Shape` is worked out once from the configuration: who is meant by an advert,
whose health depends on what, who holds which address.  No event then needs to
look at all instances to find the ones it is about.

`present` are the virtual addresses that are on interfaces now.  They are kept
apart from the other addresses of the interfaces because there may be very
many of them, and because no instance may take one for its source.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address, GroupName, InstanceName, InterfaceName, LeaseName
from keepalived_py.core.holder.ledger import CLEAN, Ledger
from keepalived_py.core.holder.things import STATIC, Place, Thing, tracked_interfaces
from keepalived_py.core.leases import is_leased, leases_of
from keepalived_py.core.roster import Instances
from keepalived_py.core.track.health import Tracks, tracks_of
from keepalived_py.core.track.interface import virtual_addresses
from keepalived_py.core.track.objects import Objects
from keepalived_py.model.config import Configuration, Instance, SyncGroup, TrackedInterface, VirtualAddress
from keepalived_py.model.effects import Effect, Role
from keepalived_py.model.events import InterfaceFacts
from keepalived_py.model.interfaces import Device
from keepalived_py.model.raft import Lease

Sender = tuple[InterfaceName, int, int]


class Shape(NamedTuple):
    """What follows from the configuration alone.

    `by_vrid`: whom an advert heard on (interface, IP version, VRID) may be for.  `dependants`: whose
    health an interface concerns.  `holders`: who may hold an address ("" for a static one), and how.
    `leases`: what a quorum decides about (`core.leases`), `lease_of`: by its instances.
    """

    by_vrid: Mapping[Sender, tuple[InstanceName, ...]]
    group_of: Mapping[InstanceName, SyncGroup]
    tracks: Mapping[InstanceName, Tracks]
    virtual: frozenset[Address]
    sources: frozenset[Address]
    links: frozenset[InterfaceName]
    dependants: Mapping[InterfaceName, tuple[InstanceName, ...]]
    holders: Mapping[tuple[InterfaceName, Address], tuple[tuple[InstanceName, VirtualAddress], ...]]
    devices: Mapping[InterfaceName, Device]
    leases: tuple[Lease, ...] = ()
    lease_of: Mapping[InstanceName, LeaseName] = {}


class Node(NamedTuple):
    """The whole state.  `quiet_until`: adverts are ignored till then (`vrrp_startup_delay`).

    `undecodable` counts packets without a VRRP header, `unknown_vrid` those
    for none of our instances.  `leaving`: whose changes of the kernel's tables a reload has begun
    to take what was held under a lease.
    """

    configuration: Configuration
    shape: Shape
    instances: Instances
    interfaces: Mapping[InterfaceName, InterfaceFacts]
    objects: Objects
    group_roles: Mapping[GroupName, Role]
    present: frozenset[Place] = frozenset()
    ledger: Ledger = CLEAN
    quiet_until: Micros | None = None
    stopped: bool = False
    undecodable: int = 0
    unknown_vrid: int = 0
    leaving: Mapping[LeaseName, frozenset[InstanceName]] = {}


class Step(NamedTuple):
    """The node after an event, and what shall be done, in this order."""

    node: Node
    effects: tuple[Effect, ...]


def shape_of(configuration: Configuration) -> Shape:
    """What follows from `configuration` alone."""
    instances = configuration.instances
    tracks = _with_implied_links(configuration, tracks_of(configuration))
    leases = leases_of(configuration)
    dependants: dict[InterfaceName, dict[InstanceName, None]] = {}
    by_vrid: dict[Sender, tuple[InstanceName, ...]] = {}
    for settings in instances:
        if not is_leased(settings):
            sender = (settings.advert_interface, settings.family, settings.vrid)
            by_vrid[sender] = (*by_vrid.get(sender, ()), settings.name)
        own = (settings.interface, settings.configured_interface, settings.advert_interface)
        for name in (*own, *(link.name for link in tracks[settings.name].interfaces)):
            dependants.setdefault(name, {})[settings.name] = None
    return Shape(
        by_vrid=by_vrid,
        group_of={name: group for group in configuration.groups for name in group.members},
        tracks=tracks,
        virtual=virtual_addresses(configuration),
        sources=frozenset(each.source for each in instances if each.source is not None),
        links=frozenset(dependants),
        dependants={name: tuple(found) for name, found in dependants.items()},
        holders=_holders(configuration),
        devices={device.name: device for device in configuration.devices},
        leases=leases,
        lease_of={name: lease.name for lease in leases for name in lease.instances},
    )


def _holders(
    configuration: Configuration,
) -> dict[tuple[InterfaceName, Address], tuple[tuple[InstanceName, VirtualAddress], ...]]:
    found: dict[tuple[InterfaceName, Address], list[tuple[InstanceName, VirtualAddress]]] = {}
    for settings in configuration.instances:
        for virtual in settings.addresses + settings.excluded_addresses:
            found.setdefault((virtual.interface, virtual.address), []).append((settings.name, virtual))
    for virtual in configuration.static_addresses:
        found.setdefault((virtual.interface, virtual.address), []).append((STATIC, virtual))
    return {place: tuple(owners) for place, owners in found.items()}


def _with_implied_links(
    configuration: Configuration, tracks: Mapping[InstanceName, Tracks]
) -> dict[InstanceName, Tracks]:
    """keepalived tracks the interfaces of what an instance holds, and of its track groups' static things."""
    implied: dict[InstanceName, list[InterfaceName]] = {}
    for settings in configuration.instances:
        own = (settings.addresses, settings.excluded_addresses, settings.routes, settings.rules)
        implied[settings.name] = list(_interfaces(thing for things in own for thing in things))
    statics: tuple[tuple[Thing, ...], ...] = (
        configuration.static_addresses,
        configuration.static_routes,
        configuration.static_rules,
    )
    for group in configuration.track_groups:
        linked = _interfaces(
            thing for things in statics for thing in things if thing.track_group == group.name
        )
        for name in group.members:
            if name in implied:
                implied[name].extend(linked)
    return {
        settings.name: _extended(settings, tracks[settings.name], implied[settings.name])
        for settings in configuration.instances
    }


def _interfaces(things: Iterable[Thing]) -> tuple[InterfaceName, ...]:
    return tuple(dict.fromkeys(name for thing in things for name in tracked_interfaces(thing)))


def _extended(settings: Instance, tracks: Tracks, implied: Iterable[InterfaceName]) -> Tracks:
    """As in keepalived, a weight is nothing where the interface must be up anyway."""
    own = {settings.interface, settings.configured_interface}
    needed = tuple(name for name in dict.fromkeys(implied) if name not in own)
    anyway = own.union(needed) if settings.track_primary else set(needed)
    if not needed and not any(link.name in anyway for link in tracks.interfaces):
        return tracks
    listed = tuple(link for link in tracks.interfaces if link.name not in anyway)
    return tracks._replace(interfaces=listed + tuple(map(TrackedInterface, needed)))
