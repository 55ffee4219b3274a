"""Addresses as rtnetlink has them (linux/if_addr.h), written as keepalived writes them.

An IPv6 address skips duplicate address detection, which would keep it silent
for a second after the takeover.  A peer is the far end: it has the prefix, and
the kernel needs it to find the address again; keepalived leaves it out of the
removal and so never gets rid of such an address.
"""

import struct

from keepalived_py.model.events import InterfaceAddress
from keepalived_py.model.network import PROTOCOL_KEEPALIVED, VirtualAddress
from keepalived_py.system import rtnetlink
from keepalived_py.system.attributes import Attributes, address, split

ADDRESS, LOCAL, LABEL, BROADCAST, CACHE_INFO, FLAGS, PROTOCOL = 1, 2, 3, 4, 6, 8, 11
_SECONDARY = 0x01
_NO_DAD, _HOME, _MANAGE_TEMPORARY, _NO_PREFIX_ROUTE, _AUTOJOIN = 0x02, 0x10, 0x100, 0x200, 0x400
_FOR_EVER = 0xFFFFFFFF

_HEADER = struct.Struct("=BBBBI")
_INDEX_AT = 4
_CACHE_INFO = struct.Struct("=IIII")

DUMP = rtnetlink.dump(rtnetlink.GET_ADDRESS, bytes(_HEADER.size))


def addition(one: VirtualAddress) -> rtnetlink.Request:
    """The request that puts `one` on its interface."""
    written = _start(one)
    if one.address.version == 6 and one.preferred_lifetime_s is not None:
        written.add(CACHE_INFO, _CACHE_INFO.pack(one.preferred_lifetime_s, _FOR_EVER, 0, 0))
    written.address(LOCAL, one.address)
    if one.address.version == 4:
        written.address(BROADCAST, one.broadcast)
    written.number_32(FLAGS, _flags(one) or None)
    written.text(LABEL, one.label)
    written.address(ADDRESS, one.peer)
    written.number_8(PROTOCOL, PROTOCOL_KEEPALIVED)
    return rtnetlink.request(rtnetlink.NEW_ADDRESS, rtnetlink.CREATE | rtnetlink.EXCLUSIVE, written)


def removal(one: VirtualAddress) -> rtnetlink.Request:
    """The request that takes `one` off its interface."""
    written = _start(one)
    written.address(LOCAL, one.address)
    if one.peer is not None:
        written.address(ADDRESS, one.peer)
    elif one.address.version == 4:
        written.address(ADDRESS, one.address)
    return rtnetlink.request(rtnetlink.DELETE_ADDRESS, 0, written)


def _start(one: VirtualAddress) -> Attributes:
    family = rtnetlink.FAMILIES[one.address.version]
    written = Attributes(_HEADER.pack(family, _prefix_length(one), 0, one.scope, 0))
    written.indices.append((_INDEX_AT, one.interface))
    return written


def _prefix_length(one: VirtualAddress) -> int:
    if one.peer is None:
        return one.prefix_length
    return one.peer.max_prefixlen if one.peer_prefix_length is None else one.peer_prefix_length


def _flags(one: VirtualAddress) -> int:
    flags = _NO_DAD if one.address.version == 6 and not one.detects_duplicates else 0
    flags |= _HOME if one.home else 0
    flags |= _MANAGE_TEMPORARY if one.mngtmpaddr else 0
    flags |= _AUTOJOIN if one.autojoin else 0
    return flags | (_NO_PREFIX_ROUTE if one.noprefixroute else 0)


def read(payload: bytes) -> tuple[int, InterfaceAddress] | None:
    """Index of the interface and address that a message is about; None if it is of another family.

    IFA_ADDRESS is the far end of a point-to-point link; IFA_LOCAL, if there, is ours.
    """
    if len(payload) < _HEADER.size:
        return None
    _, prefix_length, flags, _, index = _HEADER.unpack_from(payload)
    found = split(payload, _HEADER.size)
    ours = address(found.get(LOCAL) or found.get(ADDRESS))
    if ours is None:
        return None
    return index, InterfaceAddress(ours, prefix_length, bool(flags & _SECONDARY))
