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

from keepalived_py.base.names import Address, InterfaceName
from keepalived_py.model.events import (
    AddressAdded,
    AddressRemoved,
    InterfaceAddress,
    InterfaceFacts,
    LinkChanged,
)

InterfaceEvent = LinkChanged | AddressAdded | AddressRemoved
# Address and prefix: "secondary" may change when another address leaves.
_Key = tuple[Address, int]


def gone(facts: InterfaceFacts) -> InterfaceFacts:
    """The facts of an interface that does not exist any more."""
    return InterfaceFacts(name=facts.name, index=0, up=False)


def _key(address: InterfaceAddress) -> _Key:
    return address.address, address.prefix_length


class _Entry:
    """An interface: its facts without addresses, and its addresses in the order in which they came."""

    __slots__ = ("addresses", "facts")

    def __init__(self, facts: InterfaceFacts) -> None:
        self.addresses = {_key(address): address for address in facts.addresses}
        self.facts = replace(facts, addresses=())

    def whole(self) -> InterfaceFacts:
        return replace(self.facts, addresses=tuple(self.addresses.values()))


class InterfaceTable:
    """All interfaces by index, each with its addresses."""

    __slots__ = ("_by_index",)

    def __init__(self, interfaces: Iterable[InterfaceFacts] = ()) -> None:
        self._by_index = {facts.index: _Entry(facts) for facts in interfaces}

    def by_name(self) -> dict[InterfaceName, InterfaceFacts]:
        """All interfaces by name."""
        return {entry.facts.name: entry.whole() for entry in self._by_index.values()}

    def name_of(self, index: int) -> InterfaceName | None:
        """The name of an interface; None if there is none of that index."""
        entry = self._by_index.get(index)
        return None if entry is None else entry.facts.name

    def link(self, facts: InterfaceFacts) -> Iterator[InterfaceEvent]:
        """The link is so now (`facts.addresses` is not read)."""
        new = replace(facts, addresses=()) if facts.addresses else facts
        entry = self._by_index.get(facts.index)
        if entry is None:
            self._by_index[facts.index] = _Entry(new)
            yield LinkChanged(new)
            return
        old = entry.facts
        if new == old:
            return
        entry.facts = new
        if old.name == new.name:
            yield LinkChanged(entry.whole())
            return
        yield LinkChanged(gone(old))
        yield LinkChanged(entry.whole())
        yield from (AddressAdded(new.name, address) for address in entry.addresses.values())

    def link_gone(self, index: int) -> Iterator[InterfaceEvent]:
        """The interface was removed."""
        entry = self._by_index.pop(index, None)
        if entry is None:
            return
        name = entry.facts.name
        yield LinkChanged(gone(entry.facts))
        yield from (AddressRemoved(name, address) for address in entry.addresses.values())

    def forwards(self, index: int, forwards: bool) -> Iterator[InterfaceEvent]:
        """The interface routes IPv6 now, or does so no longer."""
        entry = self._by_index.get(index)
        if entry is not None:
            yield from self.link(replace(entry.facts, forwards=forwards))

    def address(self, index: int, address: InterfaceAddress) -> Iterator[InterfaceEvent]:
        """The address is on the interface."""
        entry = self._by_index.get(index)
        if entry is None or entry.addresses.get(_key(address)) == address:
            return
        # What changed counts as the newest.
        entry.addresses.pop(_key(address), None)
        entry.addresses[_key(address)] = address
        yield AddressAdded(entry.facts.name, address)

    def address_gone(self, index: int, address: InterfaceAddress) -> Iterator[InterfaceEvent]:
        """The address left the interface."""
        entry = self._by_index.get(index)
        if entry is not None and entry.addresses.pop(_key(address), None) is not None:
            yield AddressRemoved(entry.facts.name, address)

    def reread(self, interfaces: Iterable[InterfaceFacts]) -> Iterator[InterfaceEvent]:
        """All that changed unseen until a fresh read said `interfaces`."""
        fresh = {facts.index: facts for facts in interfaces}
        for index in [index for index in self._by_index if index not in fresh]:
            yield from self.link_gone(index)
        for facts in fresh.values():
            yield from self.link(facts)
            kept = {_key(address) for address in facts.addresses}
            for address in list(self._by_index[facts.index].addresses.values()):
                if _key(address) not in kept:
                    yield from self.address_gone(facts.index, address)
            for address in facts.addresses:
                yield from self.address(facts.index, address)
