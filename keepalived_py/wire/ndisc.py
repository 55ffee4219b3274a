"""Unsolicited neighbour advertisements as keepalived sends them (RFC 4861 sections 4.4 and 7.2.6).

To all nodes, from the virtual address itself, with the override flag set and
the solicited flag clear; the router flag says whether the interface forwards.
The only option is the target's link-layer address.  86 bytes on Ethernet.  Over
Infiniband the frame begins as in `wire.arp`, and the option is padded.
"""

from functools import lru_cache
from ipaddress import IPv6Address

from keepalived_py.wire.arp import ETHERNET_ADDRESS, INFINIBAND_ADDRESS
from keepalived_py.wire.checksum import internet_checksum

ETHERTYPE_IPV6 = 0x86DD
_ALL_NODES = IPv6Address("ff02::1").packed
_ALL_NODES_ETHERNET = bytes.fromhex("333300000001")
# All nodes of the link (RFC 4391 section 4); the driver fills in the partition.
_ALL_NODES_INFINIBAND = bytes.fromhex("00ffffff" "ff12601b0000" "000000000000" "ffffffff")  # fmt: skip
_PROTOCOL_ICMPV6 = 58
_HOP_LIMIT = 255
_NEIGHBOUR_ADVERTISEMENT = 136
_ROUTER = 0x80
_OVERRIDE = 0x20
_TARGET_LINK_ADDRESS = 2
_CHECKSUM = 2


@lru_cache(maxsize=4096)
def unsolicited_advertisement(mac: bytes, address: IPv6Address, router: bool) -> bytes:
    """The whole frame that announces `address` at `mac`, an address of Ethernet or Infiniband.

    Raises ValueError if `mac` has neither 6 nor 20 bytes.
    """
    ethertype = ETHERTYPE_IPV6.to_bytes(2, "big")
    if len(mac) == ETHERNET_ADDRESS:
        link, option = _ALL_NODES_ETHERNET + mac + ethertype, mac
    elif len(mac) == INFINIBAND_ADDRESS:
        # The option counts in units of 8 bytes; the padding stands before the address.
        link, option = _ALL_NODES_INFINIBAND + ethertype + b"\0\0", b"\0\0" + mac
    else:
        raise ValueError(f"a hardware address has 6 or 20 bytes, not {len(mac)}")
    flags = _OVERRIDE | (_ROUTER if router else 0)
    message = (
        bytes((_NEIGHBOUR_ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0))
        + address.packed
        + bytes((_TARGET_LINK_ADDRESS, (2 + len(option)) // 8))
        + option
    )
    length = len(message).to_bytes(2, "big")
    pseudo = address.packed + _ALL_NODES + b"\0\0" + length + bytes((0, 0, 0, _PROTOCOL_ICMPV6))
    checksum = internet_checksum(pseudo + message).to_bytes(2, "big")
    header = b"\x60\0\0\0" + length + bytes((_PROTOCOL_ICMPV6, _HOP_LIMIT)) + address.packed + _ALL_NODES
    return link + header + message[:_CHECKSUM] + checksum + message[_CHECKSUM + 2 :]
