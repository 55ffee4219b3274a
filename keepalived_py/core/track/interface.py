"""Interfaces: what the kernel last said of them, and whether an instance can work on its own.

The source of an instance is the configured one, used whether it exists or
not.  Else IPv4 takes the first address of the *configured* interface that is
neither secondary nor one of our virtual addresses: an advert that leaves by a
virtual MAC device still comes from the address of the interface below.  IPv6
takes a link-local address, that of the device itself when adverts leave by it
(RFC 9568 section 7.4), and an ipvlan has an address of its own.

An instance is at fault for its own links, its source, or an interface that
cannot do what it is asked for.  `dont_track_primary` excuses a link that is
down, never one that is gone: nothing can be put on it.  For a virtual MAC
device the interface below counts as well.  Who sends no adverts, because a quorum
elects, needs neither a source nor multicast.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from keepalived_py.base.names import Address, InterfaceName
from keepalived_py.core.holder.devices import is_ethernet
from keepalived_py.core.leases import is_leased
from keepalived_py.core.track.fault import Fault
from keepalived_py.model.config import Configuration, Instance
from keepalived_py.model.effects import Effect, WriteLog
from keepalived_py.model.events import InterfaceAddress, InterfaceFacts

Interfaces = Mapping[InterfaceName, InterfaceFacts]


def virtual_addresses(configuration: Configuration) -> frozenset[Address]:
    """Every address that some instance may hold."""
    return frozenset(
        virtual.address
        for instance in configuration.instances
        for virtual in instance.addresses + instance.excluded_addresses
    )


def source_of(settings: Instance, interfaces: Interfaces, virtual: frozenset[Address]) -> Address | None:
    """The address to send adverts from; None: there is none."""
    if settings.source is not None:
        return settings.source
    facts = interfaces.get(source_interface(settings))
    if facts is None:
        return None
    for known in facts.addresses:
        address = known.address
        if address.version != settings.family or known.secondary or address in virtual:
            continue
        if settings.family == 4 or address.is_link_local:
            return address
    return None


def source_interface(settings: Instance) -> InterfaceName:
    """The interface whose address an instance without a configured one sends from."""
    if settings.ipvlan is not None or settings.family == 6:
        return settings.advert_interface
    return settings.configured_interface


def is_up(interfaces: Interfaces, name: InterfaceName) -> bool:
    """Whether the interface exists and is UP and RUNNING."""
    facts = interfaces.get(name)
    return facts is not None and facts.index != 0 and facts.up


def link_faults(settings: Instance, interfaces: Interfaces, source: Address | None) -> Iterator[Fault]:
    """What of its own interfaces and its source keeps the instance from working.

    `source` is what `source_of` said.  What the configuration has already
    reported begins without a line.
    """
    name = settings.name
    for key, link in _own_links(settings):
        facts = interfaces.get(link)
        there = facts is not None and facts.index != 0
        if not there or (settings.track_primary and not is_up(interfaces, link)):
            yield Fault(key, f"({name}): entering FAULT state (interface {link} down)")
    if source is None and not is_leased(settings):
        yield Fault(
            "address", f"({name}) entering FAULT state (no IPv{settings.family} address for interface)"
        )
    elif (
        settings.track_source
        and settings.source is not None
        and source is not None
        and not _has(settings, interfaces, source)
    ):
        yield Fault("source", f"({name}): entering FAULT state (src address not configured)")
    yield from _unfit(settings, interfaces)


def _own_links(settings: Instance) -> Iterator[tuple[str, InterfaceName]]:
    if settings.interface:
        yield "link", settings.interface
    if settings.base_interface is not None:
        yield "base link", settings.base_interface


def _has(settings: Instance, interfaces: Interfaces, source: Address) -> bool:
    """Whether the machine has `source`, on the instance's interface if it has one."""
    links = {settings.interface, settings.configured_interface} if settings.interface else set(interfaces)
    return any(
        known.address == source
        for link in links
        if (facts := interfaces.get(link)) is not None
        for known in facts.addresses
    )


def _unfit(settings: Instance, interfaces: Interfaces) -> Iterator[Fault]:
    """What the interface cannot do, whatever its state."""
    name, base = settings.name, settings.configured_interface
    facts = interfaces.get(base)
    # What a quorum elects sends no adverts.
    deaf = facts is not None and facts.index != 0 and not facts.multicast
    if deaf and not settings.unicast and not is_leased(settings):
        text = f"interface {base} does not support multicast, specify unicast peers - disabling"
        yield Fault("multicast", f"({name}) {text}")
    if settings.unicast_fault_no_peer and not settings.unicast:
        yield Fault("peers", "")
    wants_device = settings.vmac is not None or settings.ipvlan is not None
    if wants_device and base and not is_ethernet(interfaces, base):
        yield Fault("vmac", f"({name}): vmacs are only supported on Ethernet type interfaces")
    if settings.ipvlan is not None and settings.family == 4 and settings.ipvlan.address is None:
        yield Fault("ipvlan address", "")


def link_changed(old: InterfaceFacts | None, new: InterfaceFacts, out: list[Effect]) -> InterfaceFacts:
    """What is known of the interface now; its addresses are kept while it exists."""
    existed = old is not None and old.index != 0
    was_up = old is not None and existed and old.up
    if existed and not new.index:
        out.append(WriteLog(f"Interface {new.name} deleted"))
        return replace(new, up=False, addresses=())
    if new.index and not existed:
        out.append(WriteLog(f"Interface {new.name} added"))
    if new.index and new.up is not was_up:
        reporter = "Linkbeat" if new.polled else "Netlink"
        out.append(WriteLog(f"{reporter} reports {new.name} {'up' if new.up else 'down'}"))
    if old is None or not existed:
        return new
    if new.index and new.mac != old.mac:
        change = f"from {_mac_text(old.mac)} to {_mac_text(new.mac)}"
        out.append(WriteLog(f"({new.name}) MAC Address changed {change}", detail=True))
    return replace(new, addresses=old.addresses)


def _mac_text(mac: bytes) -> str:
    return mac.hex(":") or "none"


def with_address(facts: InterfaceFacts, address: InterfaceAddress) -> InterfaceFacts:
    """`facts` with one more address (or with what is now known of it)."""
    others = [known for known in facts.addresses if not _same(known, address)]
    if len(others) == len(facts.addresses):
        return replace(facts, addresses=(*facts.addresses, address))
    return replace(
        facts, addresses=tuple(address if _same(known, address) else known for known in facts.addresses)
    )


def without_address(facts: InterfaceFacts, address: InterfaceAddress) -> InterfaceFacts:
    """`facts` without that address."""
    return replace(facts, addresses=tuple(known for known in facts.addresses if not _same(known, address)))


def _same(one: InterfaceAddress, other: InterfaceAddress) -> bool:
    return one.address == other.address and one.prefix_length == other.prefix_length
