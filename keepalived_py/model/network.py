"""Addresses, routes and rules: what is put into the kernel for whoever holds an instance."""

from ipaddress import IPv4Address

from keepalived_py.base.names import Address, InterfaceName
from keepalived_py.base.record import Record


class VirtualAddress(Record):
    """One address that follows the master.

    `scope` is the kernel's number (0 global, 253 link, 254 host).  `broadcast`
    None leaves it unset.  `tracked` False (`no_track`): its removal by others is ignored.
    """

    address: Address
    prefix_length: int
    interface: InterfaceName
    label: str | None = None
    scope: int = 0
    broadcast: IPv4Address | None = None
    peer: Address | None = None
    peer_prefix_length: int | None = None
    tracked: bool = True
    home: bool = False
    mngtmpaddr: bool = False
    noprefixroute: bool = False
    preferred_lifetime_s: int | None = None

    def __str__(self) -> str:
        bits = "" if self.prefix_length == self.address.max_prefixlen else f"/{self.prefix_length}"
        return f"{self.address}{bits} dev {self.interface}"
