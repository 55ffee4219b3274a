"""Gratuitous ARP as keepalived sends it (RFC 826; RFC 3768 section 6.4.2).

Always the request form: sender and target protocol address are the virtual
address.  The target hardware address is the broadcast address, not zero as
usual; some switches look at it, so it stays.  42 bytes on Ethernet, not padded:
the driver pads.

Over Infiniband the hardware address has 20 bytes, and the frame handed to the
kernel begins with the link address of the receiver and the four bytes of the
encapsulation header (RFC 4391 section 6).
"""

from functools import lru_cache
from ipaddress import IPv4Address

ETHERNET_ADDRESS = 6
INFINIBAND_ADDRESS = 20
ETHERTYPE_ARP = 0x0806
_HARDWARE_ETHERNET = 1
_HARDWARE_INFINIBAND = 32
_ETHERTYPE_IPV4 = 0x0800
_REQUEST = 1
# The broadcast group of IPv4 (RFC 4391 section 4) in the default partition; the driver fills in its own.
_INFINIBAND_BROADCAST = bytes.fromhex("00ffffff" "ff12401bffff" "000000000000" "ffffffff")  # fmt: skip


@lru_cache(maxsize=4096)
def gratuitous_arp(mac: bytes, address: IPv4Address, broadcast: bytes | None = None) -> bytes:
    """The whole frame that announces `address` at `mac`, an address of Ethernet or Infiniband.

    `broadcast` is the interface's own broadcast address; None: the usual one.
    Raises ValueError if an address has neither 6 nor 20 bytes.
    """
    if len(mac) == ETHERNET_ADDRESS:
        everyone = broadcast or b"\xff" * ETHERNET_ADDRESS
        link, hardware = everyone + mac + _word(ETHERTYPE_ARP), _HARDWARE_ETHERNET
    elif len(mac) == INFINIBAND_ADDRESS:
        everyone = broadcast or _INFINIBAND_BROADCAST
        link, hardware = everyone + _word(ETHERTYPE_ARP) + b"\0\0", _HARDWARE_INFINIBAND
    else:
        raise ValueError(f"a hardware address has 6 or 20 bytes, not {len(mac)}")
    if len(everyone) != len(mac):
        raise ValueError(f"the broadcast address has {len(everyone)} bytes, the own one {len(mac)}")
    head = _word(hardware) + _word(_ETHERTYPE_IPV4) + bytes((len(mac), 4)) + _word(_REQUEST)
    return link + head + mac + address.packed + everyone + address.packed


def _word(value: int) -> bytes:
    return value.to_bytes(2, "big")
