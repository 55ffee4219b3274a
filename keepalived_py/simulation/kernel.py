"""The fake kernel of one router: an interface with its own address, and what was put into the tables.

It outlives the process: after a crash the virtual addresses are still there, as
they are after `kill -9` of the real program.  An IPv4 address may be there with
several prefix lengths, an IPv6 address only once; a link that goes down takes
routes along, without a word for IPv4, and IPv6 addresses.  What the packet filter
drops is changed by `simulation.filter`; a process that begins finds it empty.
"""

import errno
from typing import assert_never

from keepalived_py.base.names import Address, InterfaceName
from keepalived_py.model.config import Configuration, VirtualAddress
from keepalived_py.model.effects import (
    AddAddress,
    AddRoute,
    AddRule,
    AlreadySo,
    DeleteAddress,
    DeleteRoute,
    DeleteRule,
    Done,
    Failed,
    KernelChange,
    Outcome,
)
from keepalived_py.model.events import (
    AddressAdded,
    AddressRemoved,
    Event,
    InterfaceAddress,
    InterfaceFacts,
    RouteLost,
    RuleLost,
)
from keepalived_py.model.network import Route, Rule

Place = tuple[Address, int]


class Kernel:
    """State that effects and faults change."""

    def __init__(self, interface: InterfaceName, source: Address) -> None:
        self.interface = interface
        self.source = InterfaceAddress(source, 24 if source.version == 4 else 64)
        self.up = True
        self.source_present = True
        self.held: dict[Place, InterfaceAddress] = {}
        self.tables: dict[Route | Rule, None] = {}
        self.blocked: set[Address] = set()

    def facts(self) -> InterfaceFacts:
        """The interface as netlink would describe it now."""
        own = (self.source,) if self.source_present else ()
        mac = bytes((2, 0, *self.source.address.packed[-4:]))
        return InterfaceFacts(self.interface, 2, self.up, mac=mac, addresses=(*own, *self.held.values()))

    @property
    def addresses(self) -> set[Address]:
        """The virtual addresses that are there, with whatever prefix length."""
        return {address for address, _ in self.held}

    def perform(self, change: KernelChange) -> tuple[Outcome, Event | None]:
        """Do it: the answer, and what is reported to everybody."""
        match change:
            case AddAddress():
                return self._add(change.address)
            case DeleteAddress():
                return self._remove((change.address.address, change.address.prefix_length))
            case AddRoute():
                return self._enter(change.route), None
            case AddRule():
                return self._enter(change.rule), None
            case DeleteRoute():
                return self._strike(change.route), None
            case DeleteRule():
                return self._strike(change.rule), None
            case _:
                assert_never(change)

    def _add(self, virtual: VirtualAddress) -> tuple[Outcome, Event | None]:
        address, bits = virtual.address, virtual.prefix_length
        if (address, bits) in self.held or (address.version == 6 and address in self.addresses):
            return AlreadySo(), None
        added = InterfaceAddress(address, bits)
        self.held[address, bits] = added
        return Done(), AddressAdded(self.interface, added)

    def _remove(self, place: Place) -> tuple[Outcome, Event | None]:
        removed = self.held.pop(place, None)
        if removed is None:
            return AlreadySo(), None
        return Done(), AddressRemoved(self.interface, removed)

    def _enter(self, thing: Route | Rule) -> Outcome:
        if isinstance(thing, Route) and not self.up:
            return Failed(errno.ENETDOWN)
        if thing in self.tables:
            return AlreadySo()
        self.tables[thing] = None
        return Done()

    def _strike(self, thing: Route | Rule) -> Outcome:
        if thing not in self.tables:
            return AlreadySo()
        del self.tables[thing]
        return Done()

    def steal(self) -> list[Event]:
        """Somebody else takes everything virtual away: what is reported."""
        lost: list[Event] = [AddressRemoved(self.interface, known) for known in self.held.values()]
        lost += [RouteLost(one) if isinstance(one, Route) else RuleLost(one) for one in self.tables]
        self.held.clear()
        self.tables.clear()
        return lost

    def take_down(self) -> list[Event]:
        """The link goes down: what is lost with it, as far as it is reported."""
        self.up = False
        gone = [known for known in self.held.values() if known.address.version == 6]
        lost: list[Event] = [AddressRemoved(self.interface, known) for known in gone]
        lost += [RouteLost(one) for one in self.tables if isinstance(one, Route) and one.family == 6]
        self.held = {place: known for place, known in self.held.items() if known not in gone}
        self.tables = {one: None for one in self.tables if isinstance(one, Rule)}
        return lost

    def tidy(self, configuration: Configuration) -> None:
        """A process begins: what an earlier one left of another configuration was removed by hand.

        Nobody can know of it.  The firewall is the process's own affair.
        """
        instances = configuration.instances
        known = {
            (virtual.address, virtual.prefix_length)
            for instance in instances
            for virtual in instance.addresses + instance.excluded_addresses
        }
        things = {thing for instance in instances for thing in (*instance.routes, *instance.rules)}
        self.held = {place: held for place, held in self.held.items() if place in known}
        self.tables = {thing: None for thing in self.tables if thing in things}
        self.blocked.clear()

    def lose_power(self) -> None:
        """Nothing virtual is left."""
        self.held.clear()
        self.tables.clear()
        self.blocked.clear()
