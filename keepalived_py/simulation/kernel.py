"""The fake kernel of one router: an interface with its own address and the virtual ones.

It outlives the process: after a crash the virtual addresses are still there, as
they are after `kill -9` of the real program.
"""

from ipaddress import IPv4Address

from keepalived_py.base.names import Address, InterfaceName
from keepalived_py.model.config import VirtualAddress
from keepalived_py.model.events import InterfaceAddress, InterfaceFacts


class Kernel:
    """State that `AddAddress`, `DeleteAddress` and the faults change."""

    def __init__(self, interface: InterfaceName, source: IPv4Address) -> None:
        self.interface = interface
        self.source = InterfaceAddress(source, 24)
        self.up = True
        self.source_present = True
        self.held: dict[Address, InterfaceAddress] = {}

    def facts(self) -> InterfaceFacts:
        """The interface as netlink would describe it now."""
        own = (self.source,) if self.source_present else ()
        mac = bytes((2, 0, *self.source.address.packed[-4:]))
        return InterfaceFacts(self.interface, 2, self.up, mac=mac, addresses=(*own, *self.held.values()))

    def add(self, address: VirtualAddress) -> InterfaceAddress | None:
        """Put `address` on; None if it was there already."""
        if address.address in self.held:
            return None
        added = InterfaceAddress(address.address, address.prefix_length)
        self.held[address.address] = added
        return added

    def remove(self, address: Address) -> InterfaceAddress | None:
        """Take `address` off; None if it was not there."""
        return self.held.pop(address, None)
