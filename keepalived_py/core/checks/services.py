"""What a virtual server is in the kernel's table: its services, and what can be edited about them.

A virtual server by address or mark is one service.  By a group it is one for
each address of each range and one for each mark, ranges first: that is the
order in which keepalived makes them.
"""

from collections.abc import Iterator

from keepalived_py.base.names import Address
from keepalived_py.model.ipvs import Destination, DestinationSettings, Service, ServiceSettings
from keepalived_py.model.virtual_server import (
    AddressRange,
    Forwarding,
    ForwardingMethod,
    GroupEntry,
    RealServer,
    ServerGroup,
    SorryServer,
    VirtualServer,
)

MOST_WEIGHT = 2**31 - 1
SORRY_WEIGHT = 1


def services_of(virtual: VirtualServer, group: ServerGroup | None) -> tuple[Service, ...]:
    """The services in the order in which they are added; `group` is that of a virtual server by group."""
    if virtual.address is not None:
        return (Service(virtual.address.version, virtual.protocol, virtual.address, virtual.port),)
    if virtual.mark is not None:
        return (Service(virtual.family or 4, mark=virtual.mark),)
    if group is None:
        return ()
    every = (one for entry in entries_of(group) for one in services_of_entry(virtual, entry))
    return tuple(dict.fromkeys(every))


def entries_of(group: ServerGroup) -> tuple[GroupEntry, ...]:
    """The entries in keepalived's order: ranges of addresses before marks."""
    return tuple(sorted(group.entries, key=lambda entry: not isinstance(entry, AddressRange)))


def services_of_entry(virtual: VirtualServer, entry: GroupEntry) -> Iterator[Service]:
    """One service for each address of a range, or for the mark."""
    if not isinstance(entry, AddressRange):
        yield Service(entry.family or virtual.family or 4, mark=entry.mark)
        return
    for steps in range(int(entry.last) - int(entry.first) + 1):
        yield Service(entry.first.version, virtual.protocol, entry.first + steps, entry.port)


def service_settings(virtual: VirtualServer) -> ServiceSettings:
    """What can be edited about each of its services.

    As in keepalived a persistence engine and a granularity mean nothing without
    persistence, and the services of a group have no granularity.
    """
    persistent = bool(virtual.persistence_timeout_s)
    return ServiceSettings(
        virtual.scheduler,
        virtual.one_packet,
        virtual.flag_1,
        virtual.flag_2,
        virtual.flag_3,
        virtual.persistence_timeout_s if persistent else None,
        virtual.persistence_granularity if persistent and virtual.group is None else None,
        virtual.persistence_engine if persistent else None,
    )


def real_weight(weight: int) -> int:
    """What the kernel can take of a weight that checks have made."""
    return min(max(weight, 0), MOST_WEIGHT)


def destination_settings(server: RealServer, weight: int) -> DestinationSettings:
    """What can be edited about a real server, with the weight that it is to have now."""
    return DestinationSettings(
        real_weight(weight), server.method, server.upper_threshold, server.lower_threshold
    )


def sorry_settings(sorry: SorryServer, serving: bool) -> DestinationSettings:
    """What can be edited about a sorry server: weight 1 while it serves, 0 while it only stands by."""
    return DestinationSettings(SORRY_WEIGHT if serving else 0, sorry.method)


def destination(service: Service, address: Address, port: int, method: ForwardingMethod) -> Destination:
    """A server as that service knows it: packets that are not rewritten keep the port of the service."""
    return Destination(address, port if method.forwarding is Forwarding.NAT else service.port)
