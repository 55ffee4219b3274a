"""Which addresses this machine has: with `ha_suspend` checks rest while their virtual address is elsewhere.

keepalived counts what the kernel says, and goes wrong when something is said twice (an
address that becomes a primary one, an interface that gets another name) or not at all (the
addresses of an interface that is deleted).  Here it is remembered what is where, so an
address on two interfaces is gone when both have lost it.
"""

from collections.abc import Iterator

from keepalived_py.base.names import Address, InterfaceName
from keepalived_py.model.events import AddressAdded, AddressRemoved
from keepalived_py.model.virtual_server import AddressRange, ServerGroup, VirtualServer

Range = tuple[Address, Address]


def ranges_of(virtual: VirtualServer, group: ServerGroup | None) -> tuple[Range, ...]:
    """First and last of the addresses of a virtual server; `group` is that of one by group."""
    if virtual.address is not None:
        return ((virtual.address, virtual.address),)
    entries = () if group is None else group.entries
    return tuple((entry.first, entry.last) for entry in entries if isinstance(entry, AddressRange))


def is_within(address: Address, ranges: tuple[Range, ...]) -> bool:
    """Whether it is one of these addresses."""
    number, version = int(address), address.version
    return any(version == first.version and int(first) <= number <= int(last) for first, last in ranges)


class Presence:
    """What has been said so far."""

    def __init__(self) -> None:
        self._interfaces: dict[Address, set[tuple[InterfaceName, int]]] = {}

    def said(self, event: AddressAdded | AddressRemoved) -> None:
        """An address came or went."""
        address = event.address.address
        place = (event.interface, event.address.prefix_length)
        if isinstance(event, AddressAdded):
            self._interfaces.setdefault(address, set()).add(place)
            return
        places = self._interfaces.get(address, set())
        places.discard(place)
        if not places:
            self._interfaces.pop(address, None)

    def of_interface(self, interface: InterfaceName) -> Iterator[tuple[Address, int]]:
        """The addresses of an interface, with the lengths of their prefixes."""
        for address, places in self._interfaces.items():
            yield from ((address, length) for name, length in places if name == interface)

    def has(self, ranges: tuple[Range, ...]) -> bool:
        """Whether any of these addresses is here."""
        if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
            return ranges[0][0] in self._interfaces
        return any(is_within(address, ranges) for address in self._interfaces)
