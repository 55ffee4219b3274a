"""What the kernel last said about interfaces and addresses, as a fold.

The kernel repeats itself: a link message comes for each statistic that moves,
an IPv6 address message for each lifetime.  The table keeps the last state and
turns messages into events only where something changed that anyone asks for.
When messages were lost the same table yields the difference to a fresh read.

A new name on a known index is two events: the old interface left, the new
one came.  That is what the configuration sees.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from keepalived_py.base.names import InterfaceName
from keepalived_py.model.events import (
    AddressAdded,
    AddressRemoved,
    InterfaceAddress,
    InterfaceFacts,
    LinkChanged,
)

InterfaceEvent = LinkChanged | AddressAdded | AddressRemoved


def gone(facts: InterfaceFacts) -> InterfaceFacts:
    """The facts of an interface that does not exist any more."""
    return InterfaceFacts(name=facts.name, index=0, up=False)


class InterfaceTable:
    """All interfaces by index, each with its addresses."""

    __slots__ = ("_by_index",)

    def __init__(self, interfaces: Iterable[InterfaceFacts] = ()) -> None:
        self._by_index = {facts.index: facts for facts in interfaces}

    def by_name(self) -> dict[InterfaceName, InterfaceFacts]:
        """All interfaces by name."""
        return {facts.name: facts for facts in self._by_index.values()}

    def link(self, facts: InterfaceFacts) -> Iterator[InterfaceEvent]:
        """The link is so now (`facts.addresses` is not read)."""
        old = self._by_index.get(facts.index)
        if old is not None and old.name != facts.name:
            yield LinkChanged(gone(old))
        new = replace(facts, addresses=old.addresses if old else ())
        self._by_index[facts.index] = new
        if new == old:
            return
        yield LinkChanged(new)
        if old is not None and old.name != new.name:
            yield from (AddressAdded(new.name, address) for address in new.addresses)

    def link_gone(self, index: int) -> Iterator[InterfaceEvent]:
        """The interface was removed."""
        old = self._by_index.pop(index, None)
        if old is None:
            return
        yield LinkChanged(gone(old))
        yield from (AddressRemoved(old.name, address) for address in old.addresses)

    def address(self, index: int, address: InterfaceAddress) -> Iterator[InterfaceEvent]:
        """The address is on the interface."""
        old = self._by_index.get(index)
        if old is None or address in old.addresses:
            return
        others = _without(old.addresses, address)
        self._by_index[index] = replace(old, addresses=(*others, address))
        yield AddressAdded(old.name, address)

    def address_gone(self, index: int, address: InterfaceAddress) -> Iterator[InterfaceEvent]:
        """The address left the interface."""
        old = self._by_index.get(index)
        if old is None or len(others := _without(old.addresses, address)) == len(old.addresses):
            return
        self._by_index[index] = replace(old, addresses=others)
        yield AddressRemoved(old.name, address)

    def reread(self, interfaces: Iterable[InterfaceFacts]) -> Iterator[InterfaceEvent]:
        """All that changed unseen until a fresh read said `interfaces`."""
        fresh = {facts.index: facts for facts in interfaces}
        for index in [index for index in self._by_index if index not in fresh]:
            yield from self.link_gone(index)
        for facts in fresh.values():
            yield from self.link(facts)
            known = self._by_index[facts.index].addresses
            kept = {_identity(address) for address in facts.addresses}
            for address in known:
                if _identity(address) not in kept:
                    yield from self.address_gone(facts.index, address)
            for address in facts.addresses:
                yield from self.address(facts.index, address)


def _identity(address: InterfaceAddress) -> tuple[object, int]:
    """Address and prefix: "secondary" may change when another address leaves."""
    return address.address, address.prefix_length


def _without(addresses: tuple[InterfaceAddress, ...], one: InterfaceAddress) -> tuple[InterfaceAddress, ...]:
    return tuple(address for address in addresses if _identity(address) != _identity(one))
