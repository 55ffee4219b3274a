"""Links as rtnetlink has them (linux/if_link.h): only what anyone here asks for.

A link message is long, and repeats all of it whenever a counter is asked for
or a flag moves; what is read here costs a few microseconds.
"""

import struct
from typing import NamedTuple

from keepalived_py.base.names import InterfaceName
from keepalived_py.model.events import InterfaceFacts
from keepalived_py.system import rtnetlink
from keepalived_py.system.attributes import number, split

ADDRESS, NAME, MTU, LINK_INFO, FAMILY_SPECIFIC = 1, 3, 4, 18, 26
_INFO_KIND, _INFO_DATA = 1, 2
_VRF_TABLE = 1
# How the devices of an ipvlan in layer 2 mode reach each other (IFLA_IPVLAN_FLAGS).
IPVLAN_LAYER_2 = 0
IPVLAN_FLAGS = {"bridge": 0, "private": 1, "vepa": 2}
_IPV6_CONFIGURATION = 2
_NETCONF_INDEX, _NETCONF_FORWARDING = 1, 2
# linux/if.h.
_UP_AND_RUNNING = 0x1 | 0x40
_MULTICAST = 0x1000

_HEADER = struct.Struct("=BxHiII")
_CONFIGURATION_ENTRY = struct.Struct("=i")

DUMP = rtnetlink.dump(rtnetlink.GET_LINK, bytes(_HEADER.size))


class Link(NamedTuple):
    """A link's facts (without addresses), and the routing table of a VRF device (0: it is none)."""

    facts: InterfaceFacts
    vrf_table: int


def index_of(payload: bytes) -> int | None:
    """The index of the link; None if the message does not speak of a link itself.

    A bridge speaks of its ports in link messages of its own family; the link did not change.
    """
    if len(payload) < _HEADER.size:
        return None
    family, _, index, _, _ = _HEADER.unpack_from(payload)
    return index if family == 0 else None


def read(payload: bytes) -> Link | None:
    """What a message says of a link; None if it does not speak of the link itself."""
    index = index_of(payload)
    if index is None:
        return None
    flags = _HEADER.unpack_from(payload)[3]
    found = split(payload, _HEADER.size)
    facts = InterfaceFacts(
        name=InterfaceName(_text(found.get(NAME, b""))),
        index=index,
        up=flags & _UP_AND_RUNNING == _UP_AND_RUNNING,
        multicast=bool(flags & _MULTICAST),
        mac=found.get(ADDRESS, b""),
        mtu=number(found.get(MTU)),
        forwards=_forwards(found.get(FAMILY_SPECIFIC, b"")),
    )
    return Link(facts, _vrf_table(found.get(LINK_INFO, b"")))


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")


def _forwards(by_family: bytes) -> bool:
    """Forwarding is the first of the link's IPv6 settings."""
    of_ipv6 = split(split(by_family).get(rtnetlink.FAMILIES[6], b""))
    settings = of_ipv6.get(_IPV6_CONFIGURATION, b"")
    return len(settings) >= _CONFIGURATION_ENTRY.size and _CONFIGURATION_ENTRY.unpack_from(settings)[0] > 0


def _vrf_table(info: bytes) -> int:
    parts = split(info)
    if _text(parts.get(_INFO_KIND, b"")) != "vrf":
        return 0
    return number(split(parts.get(_INFO_DATA, b"")).get(_VRF_TABLE))


def forwarding(payload: bytes) -> tuple[int, bool] | None:
    """Index of the interface, and whether it routes IPv6 now, of a message about IPv6 settings."""
    if not payload or payload[0] != rtnetlink.FAMILIES[6]:
        return None
    # The header is one byte, and the attributes start at the next multiple of four.
    found = split(payload, 4)
    if _NETCONF_INDEX not in found or _NETCONF_FORWARDING not in found:
        return None
    return number(found[_NETCONF_INDEX]), number(found[_NETCONF_FORWARDING]) > 0
