"""Gratuitous ARP as keepalived sends it (RFC 826; RFC 3768 section 6.4.2).

Always the request form: sender and target protocol address are the virtual
address.  The target hardware address is all ones, not zero as usual; some
switches look at it, so it stays.  42 bytes, not padded: the driver pads.
"""

from ipaddress import IPv4Address

_BROADCAST = b"\xff" * 6
_ETHERTYPE_ARP = b"\x08\x06"
# Ethernet, IPv4, address lengths 6 and 4, operation 1 (request).
_REQUEST = b"\x00\x01\x08\x00\x06\x04\x00\x01"
_MAC_LENGTH = 6


def gratuitous_arp(mac: bytes, address: IPv4Address) -> bytes:
    """The whole Ethernet frame that announces `address` at `mac`.

    Raises ValueError if `mac` is not the 6 bytes of an Ethernet address.
    """
    if len(mac) != _MAC_LENGTH:
        raise ValueError(f"an Ethernet address has 6 bytes, not {len(mac)}")
    packed = address.packed
    return _BROADCAST + mac + _ETHERTYPE_ARP + _REQUEST + mac + packed + _BROADCAST + packed
