"""What a holder puts into the kernel, and when two of them are the same to the kernel.

An IPv4 address may be on an interface several times with different prefix
lengths or peers; an IPv6 address only once.  What else differs (label, scope,
lifetime, flags) cannot be changed in place: the address must come off before
it can be put on anew.  What is only about how we watch a thing (`no_track`,
`track_group`) is nothing to the kernel.
"""

from typing import NamedTuple

from keepalived_py.base.names import Address, InstanceName, InterfaceName
from keepalived_py.base.record import replace
from keepalived_py.model.config import Instance, VirtualAddress
from keepalived_py.model.effects import (
    AddAddress,
    AddRoute,
    AddRule,
    DeleteAddress,
    DeleteRoute,
    DeleteRule,
    KernelChange,
)
from keepalived_py.model.events import InterfaceAddress
from keepalived_py.model.network import Route, Rule

Thing = VirtualAddress | Route | Rule

STATIC = InstanceName("")


class Place(NamedTuple):
    """An address as the kernel names it when it reports or deletes one."""

    interface: InterfaceName
    address: Address
    prefix_length: int


def place_of(virtual: VirtualAddress) -> Place:
    """Where the kernel will report `virtual`; the prefix of an address with a peer is the peer's."""
    length = virtual.prefix_length
    if virtual.peer is not None:
        length = virtual.peer_prefix_length or virtual.peer.max_prefixlen
    return Place(virtual.interface, virtual.address, length)


def reported_place(interface: InterfaceName, known: InterfaceAddress) -> Place:
    """The place of an address that the kernel reported."""
    return Place(interface, known.address, known.prefix_length)


def slot(virtual: VirtualAddress) -> tuple[object, ...]:
    """Equal slots: the kernel has room for one of the two."""
    if virtual.address.version == 6:
        return (virtual.interface, virtual.address)
    return (*place_of(virtual), virtual.peer)


def bare(thing: Thing) -> Thing:
    """`thing` without what the kernel never sees."""
    if isinstance(thing, VirtualAddress):
        if thing.tracked and thing.track_group is None and not thing.use_vmac:
            return thing
        return replace(thing, tracked=True, track_group=None, use_vmac=False)
    if thing.tracked and thing.track_group is None:
        return thing
    return replace(thing, tracked=True, track_group=None)


def adding(owner: InstanceName, thing: Thing) -> KernelChange:
    """The effect that puts `thing` into the kernel."""
    if isinstance(thing, VirtualAddress):
        return AddAddress(owner, thing)
    if isinstance(thing, Route):
        return AddRoute(owner, thing)
    return AddRule(owner, thing)


def deleting(owner: InstanceName, thing: Thing) -> KernelChange:
    """The effect that takes `thing` out of the kernel."""
    if isinstance(thing, VirtualAddress):
        return DeleteAddress(owner, thing)
    if isinstance(thing, Route):
        return DeleteRoute(owner, thing)
    return DeleteRule(owner, thing)


def thing_of(change: KernelChange) -> Thing:
    """What `change` is about."""
    if isinstance(change, AddAddress | DeleteAddress):
        return change.address
    if isinstance(change, AddRoute | DeleteRoute):
        return change.route
    return change.rule


def everything(settings: Instance) -> tuple[Thing, ...]:
    """All that the instance's MASTER holds, in the order in which it is put in."""
    return settings.addresses + settings.excluded_addresses + settings.routes + settings.rules


def text_of(thing: Thing) -> str:
    """A few words that tell a user which one is meant."""
    if isinstance(thing, VirtualAddress):
        return f"IP {thing}"
    if isinstance(thing, Route):
        return _route_text(thing)
    return _rule_text(thing)


def _route_text(route: Route) -> str:
    ways = [f"via {route.gateway}"] if route.gateway is not None else []
    ways += [f"dev {route.interface}"] if route.interface else []
    ways += [f"table {route.table}"] if route.table != Route.defaults["table"] else []
    return " ".join(("route", str(route.destination), *ways))


def _rule_text(rule: Rule) -> str:
    words = [f"from {rule.source}"] if rule.source is not None else []
    words += [f"to {rule.destination}"] if rule.destination is not None else []
    words += [f"table {rule.table}"] if rule.table is not None else []
    return " ".join((f"rule {rule.priority}:", *words, *([] if words else [rule.action.value])))


def tracked_interfaces(thing: Thing) -> tuple[InterfaceName, ...]:
    """The interfaces whose loss is a fault of who holds `thing`; the ways of a multipath route may fail."""
    if not thing.tracked:
        return ()
    if isinstance(thing, Rule):
        return tuple(name for name in (thing.input_interface, thing.output_interface) if name)
    return (thing.interface,) if thing.interface else ()


def interfaces_of(thing: Thing) -> frozenset[InterfaceName]:
    """The interfaces without which the kernel refuses `thing`."""
    if isinstance(thing, VirtualAddress):
        return frozenset({thing.interface})
    if isinstance(thing, Route):
        names = {thing.interface, thing.vrf, *(hop.interface for hop in thing.next_hops)}
        return frozenset(name for name in names if name)
    return frozenset(name for name in (thing.input_interface, thing.output_interface) if name)
