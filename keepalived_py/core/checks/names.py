"""What log lines, pipes and mails call virtual servers, real servers and sorry servers.

People and programs match on these texts, so they are keepalived's to the letter
(its FMT_VS, FMT_RS and FMT_CHK): "[10.0.0.1]:tcp:80", "FWM 7", "[group]:0".
"""

from collections.abc import Iterable
from ipaddress import IPv4Address

from keepalived_py.base.names import Address
from keepalived_py.model.check_events import Target
from keepalived_py.model.virtual_server import (
    AddressRange,
    GroupEntry,
    Protocol,
    RealServer,
    VirtualServer,
)

NOWHERE = IPv4Address(0)


def address_text(address: Address) -> str:
    """The address as inet_ntop writes it: the last four bytes of a mapped one as IPv4."""
    if address.version == 6 and int(address) >> 32 in (0, 0xFFFF) and int(address) >> 16:
        mapped = "ffff:" if int(address) >> 32 else ""
        return f"::{mapped}{IPv4Address(int(address) & 0xFFFFFFFF)}"
    return str(address)


def trio(address: Address, protocol: Protocol | None, port: int) -> str:
    """An address, a protocol and a port in one word."""
    return f"[{address_text(address)}]:{protocol.value.lower() if protocol else 'none'}:{port}"


def virtual_name(virtual: VirtualServer, place_in_group: int = 0) -> str:
    """A virtual server; `place_in_group` counts those before it that use the same group."""
    if virtual.group is not None:
        return f"[{virtual.group}]:{place_in_group}"
    if virtual.mark is not None:
        return f"FWM {virtual.mark}"
    return trio(virtual.address or NOWHERE, virtual.protocol, virtual.port)


def server_name(virtual: VirtualServer, server: RealServer) -> str:
    """A real server of that virtual server."""
    return trio(server.address, virtual.protocol, server.port)


def sorry_name(virtual: VirtualServer) -> str:
    """The sorry server of that virtual server; "" if it has none."""
    sorry = virtual.sorry_server
    return "" if sorry is None else trio(sorry.address, virtual.protocol, sorry.port)


def target_label(target: Target, virtual: VirtualServer) -> str:
    """Whom a check asks, as its log lines say it."""
    return trio(target.address, virtual.protocol, target.port)


def entry_name(virtual: VirtualServer, entry: GroupEntry) -> str:
    """An entry of a group, as lines about a reload say it."""
    if not isinstance(entry, AddressRange):
        return f"FWM {entry.mark}"
    first = trio(entry.first, virtual.protocol, entry.port)
    return first if entry.first == entry.last else f"{first}-{address_text(entry.last)}"


def places_in_groups(virtuals: Iterable[VirtualServer]) -> tuple[int, ...]:
    """`place_in_group` of each virtual server, in the order of the configuration; 0 without a group."""
    seen: dict[str, int] = {}
    places: list[int] = []
    for virtual in virtuals:
        places.append(0 if virtual.group is None else seen.get(virtual.group, 0))
        if virtual.group is not None:
            seen[virtual.group] = places[-1] + 1
    return tuple(places)
