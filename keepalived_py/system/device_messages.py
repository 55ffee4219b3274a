"""The rtnetlink requests that change virtual devices, written by pyroute2's message classes.

Only who has something to change imports this module, and pyroute2 with it.
What pyroute2 has no class for is added here in its own terms: the IPv4
parameters of a link (it only reads them) and the flags of an ipvlan, which say
how its devices reach each other.

An attribute that pyroute2 does not know would be left out of the message
without a word; the names used here are checked by what the kernel makes of them.

Hundreds of devices get the same requests, and pyroute2 takes a tenth of a
millisecond for each.  So a request is written without the index of its link,
which `rtnetlink.numbered` fills in, and those that say the same are kept.
"""

import os
import socket
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from keepalived_py.base.names import Address, InterfaceName
from keepalived_py.model.interfaces import DeviceKind
from keepalived_py.system import rtnetlink
from keepalived_py.system.lean_pyroute2 import ifaddrmsg, ifinfmsg, nla
from keepalived_py.system.links import IPVLAN_FLAGS, IPVLAN_LAYER_2
from keepalived_py.system.rtnetlink import Request

_UP = 0x1
_ADDR_GEN_NONE = 1
_NO_DAD = 0x02
_FOR_EVER = 0xFFFFFFFF
_SCOPE_LINK = 253

# The link that a request is about, in `Request.indices`; both messages have its index in the same place.
_LINK = InterfaceName("")
_INDICES = ((rtnetlink.HEADER_LENGTH + 4, _LINK),)
_KEPT = 64

Attributes = list[tuple[str, Any]]


class _Ipvlan(nla):  # type: ignore[misc]
    nla_map = ((1, "IFLA_IPVLAN_MODE", "uint16"), (2, "IFLA_IPVLAN_FLAGS", "uint16"))


class _Ipv4Parameters(nla):  # type: ignore[misc]
    """IPV4_DEVCONF_* of linux/ip.h, by their names below /proc/sys/net/ipv4/conf."""

    nla_map = (
        (8, "rp_filter", "uint32"),
        (13, "arp_filter", "uint32"),
        (19, "arp_ignore", "uint32"),
        (20, "promote_secondaries", "uint32"),
        (23, "accept_local", "uint32"),
    )


class _Ipv4(nla):  # type: ignore[misc]
    nla_map = ((1, "IFLA_INET_CONF", "parameters"),)
    parameters = _Ipv4Parameters


class _Families(nla):  # type: ignore[misc]
    nla_map = ((socket.AF_INET, "AF_INET", "ipv4"), (socket.AF_INET6, "AF_INET6", "inet6"))
    ipv4 = _Ipv4
    inet6 = ifinfmsg.af_spec_inet.inet6


class _Link(ifinfmsg):  # type: ignore[misc]
    """A link message whose IPv4 parameters can be written."""

    af_spec = _Families


_Link.ifinfo.register_link_kind(module={DeviceKind.IPVLAN.value: _Ipvlan})


def add(
    name: str, kind: DeviceKind, mode: str, base_index: int, mac: bytes | None, group: int, master: int
) -> Request:
    """Make a device on the interface `base_index`.  `master` 0: below none."""
    attributes: Attributes = [
        ("IFLA_LINK", base_index),
        ("IFLA_IFNAME", os.fsencode(name)),
        ("IFLA_LINKINFO", _link_info(kind, mode)),
        ("IFLA_GROUP", group),
    ]
    if mac is not None:
        attributes.append(("IFLA_ADDRESS", mac.hex(":")))
    if master:
        attributes.append(("IFLA_MASTER", master))
    return _link(attributes, flags=rtnetlink.CREATE | rtnetlink.EXCLUSIVE)


def alter(kind: DeviceKind, mode: str, mac: bytes, master: int) -> Request:
    """Give a device another mode and MAC address."""
    return _link(
        [
            ("IFLA_LINKINFO", _link_info(kind, mode)),
            ("IFLA_ADDRESS", mac.hex(":")),
            ("IFLA_MASTER", master),
        ]
    )


@lru_cache(_KEPT)
def delete() -> Request:
    """Remove a device."""
    return _written(_Link(), rtnetlink.DELETE_LINK, [])


def delete_group(group: int) -> Request:
    """Remove all devices of a link group; to be sent with index 0."""
    return _written(_Link(), rtnetlink.DELETE_LINK, [("IFLA_GROUP", group)])


@lru_cache(_KEPT)
def set_up() -> Request:
    """Bring a link up."""
    message = _Link()
    message["flags"] = message["change"] = _UP
    return _written(message, rtnetlink.NEW_LINK, [])


@lru_cache(_KEPT)
def set_number(attribute: str, number: int) -> Request:
    """Set one attribute (IFLA_GROUP, IFLA_MASTER) of a link."""
    return _link([(attribute, number)])


@lru_cache(_KEPT)
def set_ipv4(parameters: tuple[tuple[str, int], ...]) -> Request:
    """Set IPv4 parameters of a link, named as below /proc/sys/net/ipv4/conf."""
    inet = {"attrs": [("IFLA_INET_CONF", {"attrs": parameters})]}
    return _link([("IFLA_AF_SPEC", {"attrs": [("AF_INET", inet)]})])


@lru_cache(_KEPT)
def generate_no_address() -> Request:
    """Have the kernel make no IPv6 address for a link."""
    inet6 = {"attrs": [("IFLA_INET6_ADDR_GEN_MODE", _ADDR_GEN_NONE)]}
    return _link([("IFLA_AF_SPEC", {"attrs": [("AF_INET6", inet6)]})])


def add_address(address: Address, length: int, deprecated: bool) -> Request:
    """Put an address on a link; `deprecated`: its preferred lifetime is over."""
    lifetimes = {"ifa_preferred": 0, "ifa_valid": _FOR_EVER}
    more: Attributes = [("IFA_CACHEINFO", lifetimes)] if deprecated else []
    flags = rtnetlink.CREATE | rtnetlink.EXCLUSIVE
    return _address(rtnetlink.NEW_ADDRESS, address, length, more, flags=flags)


def delete_address(address: Address, length: int) -> Request:
    """Take an address off a link."""
    return _address(rtnetlink.DELETE_ADDRESS, address, length, [])


def _link_info(kind: DeviceKind, mode: str) -> dict[str, Any]:
    if kind is DeviceKind.MACVLAN:
        data: Attributes = [("IFLA_MACVLAN_MODE", mode)]
    else:
        data = [("IFLA_IPVLAN_MODE", IPVLAN_LAYER_2), ("IFLA_IPVLAN_FLAGS", IPVLAN_FLAGS[mode])]
    return {"attrs": [("IFLA_INFO_KIND", kind.value), ("IFLA_INFO_DATA", {"attrs": data})]}


def _link(attributes: Attributes, *, flags: int = 0) -> Request:
    return _written(_Link(), rtnetlink.NEW_LINK, attributes, flags=flags)


def _address(kind: int, address: Address, length: int, more: Attributes, *, flags: int = 0) -> Request:
    message = ifaddrmsg()
    message["family"] = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    message["prefixlen"] = length
    attributes: Attributes = [("IFA_ADDRESS", str(address))]
    if isinstance(address, IPv6Address):
        message["flags"] = _NO_DAD
        message["scope"] = _SCOPE_LINK if address.is_link_local else 0
    else:
        attributes.insert(0, ("IFA_LOCAL", str(address)))
    return _written(message, kind, attributes + more, flags=flags)


def _written(message: Any, kind: int, attributes: Attributes, *, flags: int = 0) -> Request:
    message["header"].update(type=kind, flags=rtnetlink.REQUEST | flags)
    message["attrs"] = attributes
    message.encode()
    return Request(bytes(message.data), _INDICES)
