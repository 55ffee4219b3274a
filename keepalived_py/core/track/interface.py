"""Interfaces: what the kernel last said of them, and which address an instance sends from.

The source of an instance is the configured one, used whether it exists or
not, or else the first address of its family on its interface that is neither
secondary nor one of our own virtual addresses.
"""

from collections.abc import Mapping
from dataclasses import replace

from keepalived_py.base.names import Address, InterfaceName
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
    facts = interfaces.get(settings.interface)
    if facts is None:
        return None
    family = settings.destination.version
    for known in facts.addresses:
        address = known.address
        if address.version == family and not known.secondary and address not in virtual:
            return address
    return None


def is_up(interfaces: Interfaces, name: InterfaceName) -> bool:
    """Whether the interface exists and is UP and RUNNING."""
    facts = interfaces.get(name)
    return facts is not None and facts.index != 0 and facts.up


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
        out.append(WriteLog(f"Netlink reports {new.name} {'up' if new.up else 'down'}"))
    return replace(new, addresses=old.addresses if old is not None and existed else new.addresses)


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
